"""Judge a finished fit: whether it is poor, why, and what to try."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from runge.records.metrics import SWITCHED_ON_STEP, TRAIN_LOSS, VAL_LOSS, key
from runge.training.member import Member

__all__ = ["fit_findings"]

# Estimates: only what is said of a fit depends on them, and no fit does.
_LITTLE_R2 = 0.9
"""The R2 of an output below which its fit is said to explain only a part of the variance."""

_NO_R2 = 0.05
"""The R2 of an output below which its fit is said to explain nothing."""

_LOST_R2 = -1.0
"""The R2 of the training points below which a gradient method is said to have moved away from them."""

_FEW_STEPS = 500
"""The steps of a gradient method below which a poor fit is blamed on their number."""

_POOR_NRMSE = 0.05
"""The validation error, over the standard deviation, above which it is said how to reduce it."""

_OVERFIT_RATIO = 3.0
"""The root of the validation loss over that of the training loss, above which a fit is said to overfit."""

_FALLING = {"cosine": (0.5, 0.5), "constant": (0.8, 0.7)}
"""When a fit is said to be still falling, by the course of the learning rate: a share of the steps, and the factor by
which the root of the best validation loss must have fallen since then. A rate that ends at zero reduces it anyway.
"""


def fit_findings(
    metrics: Mapping[str, float | int | None], history: Mapping[str, Sequence[float]], member: Member, lambda_d: float
) -> list[str]:
    """Return sentences on a finished fit that say why it is poor and what to try; none: it is good.

    Args:
        metrics: the final metrics of the run.
        history: the history of the run, by key.
        member: the run.
        lambda_d: its full lambda_d, 0 if it has no derivatives.
    """
    more = "more points (data.n_train)" if member.rows is None else "more rows"
    trainer, steps = member.settings.trainer, history.get("step") or [0]
    later = "trainer.stop_at" if trainer.stop_at else "trainer.max_steps"
    if trainer.max_seconds and steps[-1] < (trainer.stop_at or trainer.max_steps):
        later = "trainer.max_seconds"
    # The course of the learning rate, `cosine` or `constant`; None: the optimiser has no learning rate.
    rate = getattr(member.settings.optimizer, "lr_schedule", None)
    sentences, several = [], len(member.outputs) > 1
    few = rate is not None and 0 < steps[-1] < _FEW_STEPS
    for name in member.outputs:
        r2 = metrics.get(key("val", "r2_f", name if several else ""))
        if r2 is not None and r2 < _LITTLE_R2:
            of = f" of {name}" if several else ""
            what = f"explains nothing{of}" if r2 < _NO_R2 else f"explains only {100 * r2:.0f} % of the variance{of}"
            how = f"try optimizer=levenberg_marquardt, model.activation=sin, or {more}"
            if few:
                how = f"it took {steps[-1]:.0f} steps; try a larger {later}"
            fitted = metrics.get(key("train", "r2_f", name if several else ""))
            if rate is not None and fitted is not None and fitted < _LOST_R2:
                how = f"nor does it fit the training points (R2 = {fitted:.3g}); try a smaller optimizer.lr"
            sentences.append(f"{what} (R2 = {r2:.3g}): {how}")
    if not sentences and any((metrics.get(key("val", name)) or 0.0) > _POOR_NRMSE for name in ("nrmse_f", "nrmse_df")):
        val, training = (metrics.get(name) or 0.0 for name in (VAL_LOSS, TRAIN_LOSS))
        if training > 0 and (ratio := math.sqrt(val / training)) > _OVERFIT_RATIO:
            how = f"try {more}, or fewer neurons (model.width)"
            sentences.append(f"overfits (validation errors are {ratio:.2g} times those of training): {how}")
        elif _falls(history, *_FALLING[rate or "constant"]):
            sentences.append(f"still falling at the end: try a larger {later}")
    if lambda_d and metrics.get(SWITCHED_ON_STEP) is None:
        how = f"no derivative was fitted; try schedule=constant or a larger {later}"
        sentences.append(f"lambda_d was never on: {how}")
    return sentences


def _falls(history: Mapping[str, Sequence[float]], since: float, factor: float) -> bool:
    """Return whether the root of the best validation loss has fallen by a factor since a share of the steps."""
    losses = np.nan_to_num(history.get(VAL_LOSS, []), nan=np.inf)
    before = losses[: int(since * len(losses))]
    return len(before) > 0 and bool(losses.min() < factor**2 * before.min())
