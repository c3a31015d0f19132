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
from runge.data.memory import partials_of
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
    "checked_derivatives",
    "composed",
    "option_of",
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


def checked_derivatives(
    dydx: Any, x: Floats, y: Floats, inputs: Sequence[str], outputs: Sequence[str], check: str
) -> Floats:
    """Return the derivatives, (n, P, D), NaN where they are not known.

    Args:
        dydx: the derivatives.
        x: the inputs, (n, D).
        y: the values, (n, P).
        inputs: the names of the inputs.
        outputs: the names of the outputs.
        check: what is done if they contradict the values: `warn`, `raise`, or `off`, which does not look.

    Raises:
        ValueError: they have another shape, contradict the values and `check` is `raise`, or a number is too large for
            its square; or `check` is another word.
    """
    if check not in (allowed := ("warn", "raise", "off")):
        raise ValueError(f"check: must be one of {', '.join(allowed)}; got {check!r}")
    shape = n, count, dimension = len(x), len(outputs), len(inputs)
    dydx = np.full(shape, np.nan) if dydx is None else partials_of(dydx, inputs, outputs)
    slopes = CHECK(dydx, input_name="dydx", allow_nd=True, **OF_LABELS)
    allowed = [shape, *[(n, dimension)] * (count == 1), *[(n,)] * (count == dimension == 1)]
    if slopes.shape not in allowed:
        raise ValueError(f"dydx: must have the shape {' or '.join(map(str, allowed))}; got {slopes.shape}")
    slopes = slopes.reshape(shape)
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
    return slopes


@cache
def composed(option: str, steps: int | None = None) -> dict[str, Any]:
    """Return the configuration of a run on a table with an optimiser, and with some steps; None: its default."""
    limit = [] if steps is None else [f"trainer.max_steps={steps}"]  # a share of which is the distance of validations
    return compose("data=table", "data.file=X", f"optimizer={option}", *limit, *QUIET)


def option_of(optimizer: Any) -> str:
    """Return the name of an optimiser, or of the option that has the class of an object; ValueError: there is none."""
    if isinstance(optimizer, Optimizer):
        target = f".{type(optimizer).__name__}"
        return next((name for name in OPTIMIZERS if composed(name)["optimizer"]["_target_"].endswith(target)), "adam")
    if optimizer not in OPTIMIZERS:
        rule = f"must be one of {', '.join(OPTIMIZERS)}, or an object from runge.optimizers"
        raise ValueError(f"optimizer: {rule}; got {optimizer!r}")
    return optimizer


def seed_of(random_state: Any) -> int:
    """Return a seed up to 10^9 itself, or one that is drawn from another source of randomness."""
    if isinstance(random_state, int | np.integer) and 0 <= random_state <= _LARGEST_SEED:
        return int(random_state)
    return int(check_random_state(random_state).randint(_LARGEST_SEED))
