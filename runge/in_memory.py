"""One run on arrays in memory, without files; its weights are those of a run on a file of these rows, bit for bit."""

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from runge.configuration import CONFIGURATIONS, build
from runge.data import Rows, Table
from runge.errors import RunError
from runge.function import Function
from runge.launch.compose import compose
from runge.metrics import TRAIN_LOSS
from runge.optimizers import Optimizer
from runge.residuals import errors_of
from runge.training.member import Member
from runge.training.report import inside
from runge.training.stack import Stack
from runge.trust.intervals import Calibration

__all__ = ["OPTIMIZERS", "QUIET", "composed", "member_of", "trained"]

Floats = NDArray[np.float64]
Names = tuple[str, ...]

OPTIMIZERS = sorted(path.stem for path in (CONFIGURATIONS / "optimizer").glob("*.yaml"))
"""The names of the optimisers."""

QUIET = "trainer.progress_bar=false", "~logger"
"""The overrides of a run that shows and logs nothing."""


class _Arrays(Rows):
    """Rows in which an input may be constant, as in a part of a cross-validation."""

    INPUTS_VARY = False


def member_of(
    x: Floats,
    y: Floats,
    dydx: Floats,
    names: tuple[Names, Names],
    optimizer: str | Optimizer,
    seed: int,
    settings: Mapping[str, Mapping[str, Any]],
) -> Member:
    """Return a run on the rows of arrays, which are copied.

    Args:
        x: the inputs, (n, D).
        y: the values, (n, P); NaN: not known.
        dydx: the partial derivatives, (n, P, D); NaN: not known.
        names: the names of the inputs and of the outputs.
        optimizer: the name of an option, or an object.
        seed: the seed.
        settings: those that differ from the command's, by section and key.

    Raises:
        ConfigurationError: a setting is not allowed, or the rows are too few.
        ValueError: there is no such optimiser.
    """
    steps = settings["trainer"].get("max_steps")  # a share of which is the distance of the validations
    whole = composed(_option(optimizer), steps if isinstance(steps, int) else None)  # others are refused
    configuration = whole | {"seed": seed} | {section: whole[section] | own for section, own in settings.items()}
    if not isinstance(optimizer, str):
        configuration["optimizer"] = optimizer
    copies = x.copy(), y.copy(), dydx.copy()  # which become read-only
    table = build("data", configuration["data"], Table)
    return Member(configuration, rows=_Arrays.of(copies, *names, table))


def trained(member: Member) -> tuple[Function, list[float]]:
    """Train a run of `member_of`; return its function in 64 bit, calibrated if it can be, and its loss by block.

    Raises:
        RunError: the loss was never finite.
        KeyboardInterrupt: it was interrupted.
    """
    stack, rows = Stack([member]), cast(Rows, member.rows)
    history = stack.fit_in_memory()
    if not stack.module.best_loss.isfinite().all():
        raise RunError("the loss is not finite; try an optimizer with a smaller lr, or a smaller lambda_d")
    network = stack.module.best.requires_grad_(False).cpu().double().eval()
    seen = inside(member)["rows"].numpy()
    function = Function(network, inputs=rows.inputs, outputs=rows.outputs, inside=seen)
    if rows.table.split["val"]:
        left_out = rows.split(member.data_seed.generator("data")).val
        function.calibration = Calibration.of(errors_of(function.jet, rows, left_out)[0].numpy(), None)
    return function, list(history.member(0)[TRAIN_LOSS])


@cache
def composed(option: str, steps: int | None = None) -> dict[str, Any]:
    """Return the configuration of a run on a table with an optimiser, and with some steps; None: its default."""
    own = [] if steps is None else [f"trainer.max_steps={steps}"]
    return compose("data=table", "data.file=X", f"optimizer={option}", *own, *QUIET)


def _option(optimizer: Any) -> str:
    """Return the name of an optimiser, or of the option that has the class of an object; ValueError: there is none."""
    if isinstance(optimizer, Optimizer):
        target = f".{type(optimizer).__name__}"
        return next((name for name in OPTIMIZERS if composed(name)["optimizer"]["_target_"].endswith(target)), "adam")
    if optimizer not in OPTIMIZERS:
        rule = f"must be one of {', '.join(OPTIMIZERS)}, or an object from runge.optimizers"
        raise ValueError(f"optimizer: {rule}; got {optimizer!r}")
    return optimizer
