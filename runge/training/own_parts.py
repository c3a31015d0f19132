"""A user's own callbacks and metrics."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping
from torch import Tensor

from runge.configuration.errors import ConfigurationError, describe
from runge.configuration.objects import build, locate, section
from runge.sobolev.accuracy import Metric
from runge.sobolev.points import Points

_ROUND_OFF = 1e-3
"""The largest relative difference of a metric of a member alone and in a stack: an estimate, above round-off in 32 bit,
which the averages of a metric may amplify, and far below the effect of another member with other labels."""


def make_callbacks(entries: Mapping[str, Any]) -> list[Callback]:
    """Make a user's own callbacks for a stack, given the section `callbacks`.

    Raises:
        ConfigurationError: an entry does not name a callback, or one that saves checkpoints, or a parameter is wrong.
    """
    callbacks = []
    for name, entry in entries.items():
        values = section(key := f"callbacks.{name}", entry)
        kind: Any = locate(key, values.get("_target_"), Callback)
        if issubclass(kind, Checkpoint):
            raise ConfigurationError(f"{key}: must not save checkpoints; each run has its own, see resume=")
        if issubclass(kind, EarlyStopping):  # by default it waits for the end of the only epoch
            values = {"check_on_train_epoch_end": False} | values
        callbacks.append(build(key, values, Callback))
    return callbacks


def check_metrics(functions: Mapping[str, Metric], points: Points) -> None:
    """Compute a user's own metrics of the function itself, and of made-up values for one member and for two.

    Raises:
        ConfigurationError: one cannot be computed, is not a figure per member, or depends on the other members.
    """
    pair = points.take(torch.tensor([0, 0]))  # the second has three times the labels and the weights, and other errors
    labels = {name: torch.cat([x[:1], 3 * x[1:]]) for name, x in pair.tensors().items() if name not in ("x", "masks")}
    pair = replace(pair, **labels)
    u, du = (torch.cat([1.25 * x[:1] + 0.25, 1.5 * x[1:] + 1]) for x in (pair.f, pair.df))
    first = pair.take(torch.tensor([0]))
    for name, function in functions.items():
        _compute(name, function, points.f, points.df, points)
        (alone,) = _compute(name, function, u[:1], du[:1], first)
        both = _compute(name, function, u, du, pair)
        size = both.nan_to_num(posinf=0, neginf=0).abs().max()  # a figure may be small by cancellation
        if not torch.allclose(alone, both[0], rtol=_ROUND_OFF, atol=_ROUND_OFF * float(size), equal_nan=True):
            rule = "must not depend on the other members of a stack, nor on chance"
            got = f"{float(alone):.6g} for a member alone, and {float(both[0]):.6g} with another one"
            raise ConfigurationError(f"metrics.{name}: {rule}; got {got}")


def _compute(name: str, function: Metric, u: Tensor, du: Tensor, points: Points) -> Tensor:
    """Return the figures of a user's own metric, (M,), in 64 bit."""
    try:
        figures = function(u, du, points)
    except Exception as error:  # a user's function may raise anything
        raise ConfigurationError(f"metrics.{name}: cannot be computed ({describe(error)})") from error
    got = tuple(figures.shape) if isinstance(figures, Tensor) else repr(figures)
    if got != (members := tuple(u.shape[:1])):
        rule = f"a tensor (M,), one figure per member, here {members}"
        raise ConfigurationError(f"metrics.{name}: must return {rule}; got {got}")
    return figures.double()
