"""Check the arrays and the parameters of an estimator, and make rows and a configuration of them."""

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_random_state

from runge.composing.composition import compose
from runge.configuration.objects import CONFIGURATIONS
from runge.configuration.validation import Floats
from runge.data.memory import partials_of, unmasked
from runge.data.rows import Rows
from runge.data.table import FARTHEST
from runge.labels.contradictions import ColumnNames, wrong_columns
from runge.optimizers import Optimizer

__all__ = [
    "CHECK",
    "OF_LABELS",
    "OPTIMIZERS",
    "QUIET",
    "Names",
    "RowsInMemory",
    "check_derivatives",
    "checked_weights",
    "composed",
    "option_of",
    "read_derivatives",
    "seed_of",
]

Names = tuple[str, ...]

CHECK: Any = check_array
"""It returns another type than its own hints say if it is called with other arguments than the defaults."""

OF_LABELS = {"dtype": np.float64, "ensure_2d": False, "ensure_all_finite": "allow-nan"}
OPTIMIZERS = sorted(path.stem for path in (CONFIGURATIONS / "optimizer").glob("*.yaml"))
QUIET = "trainer.progress_bar=false", "~logger"
_LARGEST_SEED = 10**9


class RowsInMemory(Rows):
    """Rows in which an input may be constant, as in a part of a cross-validation."""

    INPUTS_VARY = False


def checked_weights(sample_weight: Any, n: int) -> Floats:
    """Return the weights of n rows, (n,), 1 if there are none; ValueError: one is negative, or all are 0."""
    weights = np.ones(n) if sample_weight is None else sample_weight
    weights = CHECK(weights, input_name="sample_weight", dtype=np.float64, ensure_2d=False)
    if weights.shape != (n,) or weights.min() < 0 or weights.max() == 0:
        rule = f"must have the shape ({n},), and be at least 0 and not all zero"
        raise ValueError(f"sample_weight: {rule}; got {weights.shape} from {weights.min():g} to {weights.max():g}")
    return weights


def read_derivatives(dydx: Any, n: int, inputs: Sequence[str], outputs: Sequence[str]) -> Floats:
    """Return the derivatives of n rows, (n, P, D), NaN where one is not known; ValueError: they have another shape."""
    shape = _, count, dimension = n, len(outputs), len(inputs)
    dydx = np.full(shape, np.nan) if dydx is None else partials_of(unmasked(dydx), inputs, outputs)
    slopes = CHECK(dydx, input_name="dydx", allow_nd=True, **OF_LABELS)
    allowed = [shape, *[(n, dimension)] * (count == 1), *[(n,)] * (count == dimension == 1)]
    if slopes.shape not in allowed:
        raise ValueError(f"dydx: must have the shape {' or '.join(map(str, allowed))}; got {slopes.shape}")
    return slopes.reshape(shape)


def check_derivatives(
    x: Floats, y: Floats, slopes: Floats, inputs: Sequence[str], outputs: Sequence[str], check: str
) -> None:
    """Look for derivatives, (n, P, D), that contradict the values.

    Args:
        x: the inputs, (n, D).
        y: the values, (n, P).
        slopes: the derivatives.
        inputs: the names of the inputs.
        outputs: the names of the outputs.
        check: what is done then: `warn`, `raise`, or `off`, which does not look.

    Raises:
        ValueError: they contradict the values and `check` is `raise`, or a number is too large for its square; or
            `check` is another word.
    """
    if check not in (allowed := ("warn", "raise", "off")):
        raise ValueError(f"check: must be one of {', '.join(allowed)}; got {check!r}")
    for name, array in (("X", x), ("y", y), ("dydx", slopes)):
        if (large := np.abs(array) > FARTHEST).any():
            raise ValueError(f"{name}: must be within {FARTHEST:g} of 0, got {array[large][0]:g}; change its unit")
    if check != "off" and (wrong := wrong_columns(x, y, slopes, ColumnNames(inputs, outputs))):
        rule = "must be the derivatives of y with respect to the inputs as X has them"
        got = " ".join(f"{finding.what} {finding.evidence}" for finding in wrong)
        then = "if a scaler has changed X, leave it out, because this estimator has one, or multiply dydx by its scale_"
        message = f"dydx: {rule}. {got} What to do: {wrong[0].advice} Or {then}"
        if check == "raise":
            raise ValueError(message)
        warnings.warn(message, stacklevel=3)


@cache
def composed(option: str | None, steps: int | None = None) -> dict[str, Any]:
    """Return the configuration of a run on a table with an optimiser, and with some steps; None: the default."""
    limit = [] if steps is None else [f"trainer.max_steps={steps}"]  # a share of which is the distance of validations
    chosen = [] if option is None else [f"optimizer={option}"]
    return compose("data=table", "data.file=X", *chosen, *limit, *QUIET)


def option_of(optimizer: Any) -> str | None:
    """Return the name of an optimiser, or of the option that has the class of an object; None: it is not given.

    Raises:
        ValueError: there is no such option.
    """
    if isinstance(optimizer, Optimizer):
        target = f".{type(optimizer).__name__}"
        return next((name for name in OPTIMIZERS if composed(name)["optimizer"]["_target_"].endswith(target)), "adam")
    if optimizer not in (None, *OPTIMIZERS):
        rule = f"must be one of {', '.join(OPTIMIZERS)}, or an object from runge.optimizers"
        raise ValueError(f"optimizer: {rule}; got {optimizer!r}")
    return optimizer


def seed_of(random_state: Any) -> int:
    """Return a seed up to 10^9 itself, or one that is drawn from another source of randomness."""
    if isinstance(random_state, int | np.integer) and 0 <= random_state <= _LARGEST_SEED:
        return int(random_state)
    return int(check_random_state(random_state).randint(_LARGEST_SEED))
