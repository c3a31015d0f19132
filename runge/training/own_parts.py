"""A user's own callbacks and metrics."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping

from runge.configuration.errors import ConfigurationError, describe
from runge.configuration.objects import build, locate, section
from runge.sobolev.accuracy import Metric
from runge.sobolev.points import Points


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
    """Compute a user's own metrics of the function itself.

    Raises:
        ConfigurationError: one cannot be computed, or is not a figure per member.
    """
    for name, function in functions.items():
        try:
            figure = function(points.f, points.df, points)
        except Exception as error:  # a user's function may raise anything
            raise ConfigurationError(f"metrics.{name}: cannot be computed ({describe(error)})") from error
        got = tuple(figure.shape) if isinstance(figure, torch.Tensor) else repr(figure)
        if got != (members := tuple(points.f.shape[:1])):
            rule = f"a tensor (M,), one figure per member, here {members}"
            raise ConfigurationError(f"metrics.{name}: must return {rule}; got {got}")
