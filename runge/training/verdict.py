"""Judge a finished fit by its validation points: say that it is poor, why, and what to try."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from runge.metrics import TRAIN_LOSS, VAL_LOSS, key
from runge.objective import best_row
from runge.sobolev.points import Points

__all__ = ["Finding", "hardly_matters", "verdict"]

_LITTLE, _NOTHING = 0.9, 0.05  # R2 below which a fit explains little, and nothing
_POOR = 0.05  # val/nrmse of a fit of which it is worth saying how to improve it
_OVERFITS = 3.0  # the root of the validation loss over that of the training loss
# The share of the steps, and how far the root of the validation loss must have fallen since then to be still falling.
# A learning rate that ends at zero lowers it anyway.
_SINCE = {"cosine": (0.5, 0.5), "constant": (0.8, 0.7)}
_OSCILLATES, _TOO_MANY = 10.0, 1000.0  # the frequencies for which fixed neurons are the way
_MATTERS = 1e-3  # the root mean square of a partial derivative, relative to the output's largest


class Finding(NamedTuple):
    """Something that the validation says of a fit.

    Attributes:
        what: what is the case.
        how: what to try.
    """

    what: str
    how: str

    def __str__(self) -> str:
        return f"{self.what}: {self.how}"


def verdict(
    figures: Mapping[str, float | int | None],
    history: Mapping[str, Sequence[float]],
    train: Points,
    unimportant: Sequence[str],
    *,
    of_table: bool,
    rate: str,
) -> list[Finding]:
    """Return the findings about a fit; none about a good one.

    Args:
        figures: its final figures.
        history: its history, by key.
        train: the training points, a stack of one.
        unimportant: the inputs of a table that hardly matter.
        of_table: the points are the rows of a table.
        rate: the course of the learning rate, `cosine` or `constant`.
    """
    more = "more rows" if of_table else "more points (data.n_train)"
    found, outputs = [], train.outputs
    for name in outputs:
        r2 = figures.get(key("val", "r2_f", name if len(outputs) > 1 else ""))
        if r2 is not None and r2 < _LITTLE:
            of = f" of {name}" if len(outputs) > 1 else ""
            what = f"explains nothing{of}" if r2 < _NOTHING else f"explains only {100 * r2:.0f} % of the variance{of}"
            found.append(Finding(f"{what} (R2 = {r2:.3g})", _early(history, more) or f"try {_method(train, of_table)}"))
    if not found and _nrmse(figures) > _POOR:
        losses = [figures.get(name) or 0.0 for name in (VAL_LOSS, TRAIN_LOSS)]
        if losses[1] > 0 and (ratio := math.sqrt(losses[0] / losses[1])) > _OVERFITS:
            how = _early(history, more) or f"try {more}, or fewer neurons (model.width)"
            found.append(Finding(f"overfits (validation errors are {ratio:.2g} times those of training)", how))
        elif _falls(history, *_SINCE[rate]):
            found.append(Finding("still falling at the end", "try a larger trainer.max_steps"))
    if unimportant:
        them = "inputs hardly matter" if len(unimportant) > 1 else "an input hardly matters"
        how = "to leave out what has no meaning, name the others in data.inputs"
        found.append(Finding(f"{them} ({', '.join(unimportant)})", how))
    return found


def _method(train: Points, of_table: bool) -> str:
    """Return the settings to try where a fit explains little.

    With one input k, the root mean square of f' in units of half the length of the domain over the standard deviation
    of f, is the frequency of a sine. Fixed neurons need as many points and neurons as three times that, and slopes up
    to it, for `sin(60*x)` and for `exp(-x)*cos(250*x)`.
    """
    if of_table:
        return "optimizer=levenberg_marquardt, model.activation=tanh or sin, or more rows"
    k = float(train.df.square().mean().sqrt() * (train.x.max() - train.x.min()) / 2 / train.f.std(correction=0))
    if train.x.shape[2] > 1 or not _OSCILLATES < k < _TOO_MANY:
        return "model.activation=sin, more points (data.n_train), or more neurons (model.width)"
    n = 2 ** math.ceil(math.log2(3 * k))
    return f"optimizer=least_squares data.n_train={n} model.width={n} optimizer.slopes=[1,{math.ceil(3 * k)}]"


def _early(history: Mapping[str, Sequence[float]], more: str) -> str:
    """Return what to try if the best weights came in the first quarter of the steps, as with noise; else nothing."""
    steps, best = history.get("step", []), best_row(history)["step"] if history.get(VAL_LOSS) else math.inf
    if not steps or best > steps[-1] / 4:
        return ""
    noise = f"it was best after {best:.0f} of {steps[-1]:.0f} steps, as with noise in the labels"
    return f"{noise}; try optimizer=adamw optimizer.weight_decay=1, or {more}"


def hardly_matters(du: Tensor, points: Points) -> Tensor:
    """Return which inputs change each output by less than a thousandth of what another one does, (M, D).

    Args:
        du: the Jacobians of the fit, (M, N, P, D).
        points: the points, in the same units.
    """
    sizes = du.double().square().mean(1).sqrt() * points.x.double().std(1, correction=0)[:, None]
    return (sizes < _MATTERS * sizes.amax(2, keepdim=True)).all(1)


def _nrmse(figures: Mapping[str, float | int | None]) -> float:
    return max(figures.get(key("val", name)) or 0.0 for name in ("nrmse_f", "nrmse_df"))


def _falls(history: Mapping[str, Sequence[float]], since: float, factor: float) -> bool:
    """Say whether the root of the best validation loss fell below `factor` times that after a share of the steps."""
    losses = torch.tensor(history.get(VAL_LOSS, []), dtype=torch.float64).nan_to_num(torch.inf)
    before = losses[: int(since * len(losses))]
    return len(before) > 0 and bool(losses.min() < factor**2 * before.min())
