"""A user's own callbacks and metrics, and where they act on single steps."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import FunctionType
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping, StochasticWeightAveraging, WeightAveraging
from torch import Tensor, nn

from runge.configuration.errors import ConfigurationError, describe
from runge.configuration.objects import build, explained, locate, section
from runge.sobolev.accuracy import Metric
from runge.sobolev.any_network import OwnNetwork
from runge.sobolev.points import Points
from runge.training.datamodule import PointsDataModule

_IN_A_STEP = ("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step")
"""Lightning's hooks that are not called for the steps of a block."""

_OF_BATCHES = (*_IN_A_STEP, "on_train_batch_start", "on_train_batch_end")
"""Lightning's hooks that belong to a step if a batch is one."""

_OF_A_MODULE = (
    *_OF_BATCHES,
    *("training_step", "configure_optimizers", "configure_gradient_clipping", "backward"),
    *("optimizer_step", "optimizer_zero_grad", "lr_scheduler_step"),
)
"""The methods of a LightningModule by which a subclass changes a step."""

_PLAIN = "runge.training.plain.PlainRegression, in which a batch is a step"


def check_blocks(module: pl.LightningModule, base: type[pl.LightningModule]) -> None:
    """Check that no method of a subclass takes the place of one of the base that acts on blocks.

    Raises:
        TypeError: it has one, or `torch.compile` has replaced one.
    """
    if "training_step" in vars(module):
        raise TypeError(f"{base.__name__} cannot be compiled, because its batches are blocks of steps; use {_PLAIN}")
    for name in _OF_A_MODULE:
        if getattr(type(module), name) is not getattr(base, name):
            who = f"{type(module).__name__}.{name} would have no effect on the steps of {base.__name__}"
            raise TypeError(f"{who}; derive from {_PLAIN}")


def check_callbacks(callbacks: list[Callback]) -> None:
    """Check that no callback of a Trainer whose batches are blocks acts on single steps.

    Raises:
        TypeError: one does.
    """
    for callback in callbacks:
        hooks = [name for name in _IN_A_STEP if _overrides(type(callback), name) or name in vars(callback)]
        if hooks or isinstance(callback, WeightAveraging | StochasticWeightAveraging):
            what = f"would not see the single steps ({', '.join(hooks) or 'it averages their weights'})"
            raise TypeError(f"{type(callback).__name__} {what} of SobolevRegression; use {_PLAIN}")


def acts_on_steps(entries: Mapping[str, Any]) -> Iterator[str]:
    """Find the callbacks of the section `callbacks` that act on single steps, or may stop a run.

    Whether a class may set the trainer's `should_stop` is read from the names in its methods.
    """
    for name, entry in entries.items():
        kind: Any = locate(f"callbacks.{name}", section(f"callbacks.{name}", entry).get("_target_"), Callback)
        if hooks := [hook for hook in _OF_BATCHES if _overrides(kind, hook)]:
            yield f"callbacks.{name} has {hooks[0]}"
        elif any("should_stop" in method.__code__.co_names for method in _methods(kind)):
            yield f"callbacks.{name} may stop a run"


def _overrides(kind: type, hook: str) -> bool:
    """Return whether a class of callbacks has a hook of its own."""
    return getattr(kind, hook) is not getattr(Callback, hook)


def _methods(kind: type) -> Iterator[FunctionType]:
    """Return the functions in a class of callbacks and in its bases."""
    for base in kind.__mro__:
        if base not in (Callback, object):
            yield from (member for member in vars(base).values() if isinstance(member, FunctionType))


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
        if issubclass(kind, StochasticWeightAveraging):
            raise ConfigurationError(f"{key}: averages over epochs, and a run is one epoch; use WeightAveraging")
        if issubclass(kind, EarlyStopping):  # by default it waits for the end of the only epoch
            values = {"check_on_train_epoch_end": False} | values
        callbacks.append(build(key, values, Callback))
    return callbacks


def make_own_network(model: OwnNetwork, generator: torch.Generator, data: PointsDataModule) -> nn.Module:
    """Make a network of the user's own, whose initial weights follow from a generator.

    Raises:
        ConfigurationError: it cannot be made, or does not map each row of inputs to a row of outputs.
    """
    train, drawn = data.dataset.train, torch.Generator().manual_seed(0)
    x = torch.rand(8, train.x.shape[2], generator=drawn).mul(2).sub(1).to(train.x)
    shape = (len(x), len(train.outputs))
    with explained("model", ["_target_"]):
        network = model.make(generator).to(x)
        rule = f"{model.kind.__name__} must map inputs, {tuple(x.shape)}, to outputs, {shape}, row by row"
        try:
            outputs = [_once(network, points) for points in (x, torch.cat([x[:1], x[1:] / 2]))]
            got = tuple(outputs[0].shape)
        except Exception as error:  # a user's class may raise anything
            raise ValueError(f"_target_: {rule} ({describe(error)})") from error
        if got != shape:
            raise ValueError(f"_target_: {rule}; got {got}")
        if not torch.allclose(outputs[0][0], outputs[1][0], rtol=1e-4, atol=1e-6):
            raise ValueError(f"_target_: {rule}; the first row of its outputs depends on other rows of its inputs")
    return network


def _once(network: nn.Module, x: Tensor) -> Tensor:
    """Return the outputs of a network, which may have a state, such as running means, and draw random numbers."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return copy.deepcopy(network)(x)


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
