"""Make the stack of some runs, its points and its networks, before anything is trained."""

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from runge.configuration.errors import ConfigurationError, describe, is_out_of_memory, listed
from runge.configuration.objects import explained
from runge.data.rows import Rows
from runge.data.sampled import Data
from runge.loggers import check_loggers
from runge.optimizers import of_members
from runge.process.interruption import interruption
from runge.records.directories import RunDirectory
from runge.resampling import Periodic
from runge.resampling.resample import Resample
from runge.schedules import NEVER
from runge.sobolev import losses
from runge.sobolev.any_network import OwnNetwork
from runge.sobolev.kernel import Kernel, step_function
from runge.sobolev.second import with_second
from runge.training.base import SobolevModule
from runge.training.callbacks.history import History
from runge.training.datamodule import PointsDataModule, SobolevDataModule
from runge.training.member import Member
from runge.training.module import SobolevRegression
from runge.training.own_parts import check_metrics, make_callbacks, make_own_network
from runge.training.plain import PlainRegression
from runge.training.plan import Plan, SobolevLoss

__all__ = ["Stack", "prepare"]

_ENDLESS = 10**9
"""The blocks of the only epoch: the run ends after its last step."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Some runs with their points and networks, which are trained together.

    Attributes:
        members: the runs.
        module: their networks, with the loss and the optimiser.
        data: their points.
        history: the metrics at the end of every block, none before it is trained.
        resample: the callback that moves the points; None: they do not move.
        callbacks: the user's callbacks.
        began: when its making began, as `time.perf_counter`.
    """

    members: Sequence[Member]
    module: SobolevModule
    data: PointsDataModule
    history: History
    resample: Resample | None
    callbacks: Sequence[Callback]
    began: float


def prepare(members: Sequence[Member]) -> Stack:
    """Make the stack of some runs.

    Args:
        members: the runs, which agree in everything that `Member.shared` lists.

    Raises:
        ConfigurationError: a size or a value is not allowed, or the stack does not fit into memory.
    """
    began = time.perf_counter()
    try:
        for entries in {repr(member.settings.logger): member.settings.logger for member in members}.values():
            check_loggers(entries)
        callbacks = make_callbacks(members[0].settings.callbacks)
        data = place_points(members)
        module = make_module(members, data)
        set_start(module, members, data)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        message = "not enough memory for the points and the weights; reduce data.n_train or model.width"
        raise ConfigurationError(f"data, model: {message}") from error
    interruption.check()
    rule, resample = members[0].settings.resampling, None
    if isinstance(rule, Periodic):
        resample = Resample(rule, data, [partial(member.data_seed.generator, "resampling") for member in members])
    return Stack(list(members), module, data, History(), resample, callbacks, began)


def place_points(members: Sequence[Member]) -> PointsDataModule:
    """Sample the functions of the runs, or split their tables.

    Raises:
        ConfigurationError: a size is not allowed, or a metric cannot be computed at the test points.
    """
    first = members[0].settings
    with explained("data", vars(first.data)):
        data = _of_formulas(members) if isinstance(first.data, Data) else _of_tables(members)
    check_metrics(
        first.metrics, data.dataset.test if data.units is None else data.units.restore_points(data.dataset.test)
    )
    return data


def _of_formulas(members: Sequence[Member]) -> SobolevDataModule:
    first = members[0].settings
    targets, samplings = map(list, zip(*(member.formula for member in members), strict=True))
    seeds = [member.data_seed.seed for member in members]
    folds = [member.settings.data.fold for member in members]
    data = SobolevDataModule(
        targets,
        samplings,
        sample_weight=[member.settings.loss.sample_weight for member in members],
        standardize=members[0].standardize,
        dtype=first.trainer.dtype,
        batches_per_epoch=_ENDLESS,
        **vars(first.data) | {"seed": seeds, "fold": folds},
    )
    if isinstance(first.resampling, Periodic):
        data.check_resampling()
    return data


def _of_tables(members: Sequence[Member]) -> PointsDataModule:
    first = members[0]
    return PointsDataModule.of_rows(
        [cast(Rows, member.rows) for member in members],
        [member.data_seed for member in members],
        [member.settings.loss.lambda_dd for member in members],
        standardize=first.standardize,
        dtype=first.settings.trainer.dtype,
        batch_size=first.batch_size,
        batches_per_epoch=_ENDLESS,
    )


def weigh_derivatives(members: Sequence[Member], data: PointsDataModule) -> tuple[Tensor, Tensor]:
    """Return lambda_d of each member, 0 if it has no derivatives, and the scale c of its derivatives, both (M,)."""
    train = data.dataset.train
    has_derivatives = train.weight_df.flatten(1).any(1).tolist()  # without them nothing is computed for them
    weights = [member.settings.loss.lambda_d * has for member, has in zip(members, has_derivatives, strict=True)]
    kinds: list[losses.DerivativeScale] = [member.settings.loss.derivative_scale for member in members]
    scales = {kind: losses.derivative_scale(kind, train) for kind in dict.fromkeys(kinds)}
    return torch.tensor(weights, dtype=torch.float64), torch.stack([scales[kind][i] for i, kind in enumerate(kinds)])


def choose_step(members: Sequence[Member], data: PointsDataModule) -> losses.LossAndGradient:
    """Return the loss and its gradient by torch's operations, or by the compiled `Kernel` where that saves time.

    Raises:
        ConfigurationError: it is to be compiled, and cannot be.
    """
    first, dimension = members[0].settings, data.dataset.train.x.shape[2]
    with explained("trainer", vars(first.trainer)):
        return step_function(
            first.trainer.compile,
            first.model,
            first.trainer.dtype,
            neurons=len(members) * data.batch * first.model.width * (1 + dimension) * first.model.depth,
            steps=first.trainer.max_steps if first.optimizer.by_gradient else 0,
            on_gpu=members[0].on_gpu(),
        )


def make_module(members: Sequence[Member], data: PointsDataModule) -> SobolevModule:
    """Make the networks, with their loss and their optimiser.

    Raises:
        ConfigurationError: the step is to be compiled, and cannot be; or a network of the user's own is none.
    """
    first, (lambda_d, scale) = members[0].settings, weigh_derivatives(members, data)
    loss_and_gradient = losses.loss_and_gradient if members[0].why_steps else choose_step(members, data)
    compiled = loss_and_gradient if isinstance(loss_and_gradient, Kernel) else None
    if first.penalty is not None:
        loss_and_gradient = partial(losses.loss_and_gradient, penalty=first.penalty)
    objective = first.balance.objective(loss_and_gradient, first.penalty)
    # A fold may be too small to have a standard deviation that means something.
    beside = {} if first.data.folds is None else {"val": [data.dataset.train]}
    loss = SobolevLoss(
        scale=scale,
        penalty=first.penalty,
        loss_and_gradient=with_second(objective) if first.loss.lambda_dd else objective,
        compiled=compiled,
        terms=first.terms,
    )
    plan = Plan(
        steps_per_block=first.trainer.log_every,
        stop_at=first.trainer.stop_at,
        diagnostics_every=first.trainer.diagnostics_every,
        own_metrics=first.metrics,
        log_figures=False,
    )
    settings: dict[str, Any] = {
        "lambda_d": lambda_d,
        "loss": loss,
        "optimizer": of_members([member.settings.optimizer for member in members]),
        "max_steps": first.trainer.max_steps,
        "plan": plan,
        "labels": replace(data.labels, beside=beside, units=deepcopy(data.units)),  # which moves with the networks
        "dtype": first.trainer.dtype,
    }
    seeds = [member.settings.seed.seed for member in members]
    if isinstance(first.model, OwnNetwork):
        return PlainRegression(
            data.box[0], make_own_network(first.model, first.seed.generator("weights"), data), **settings
        )
    if members[0].why_steps:
        return PlainRegression(data.box[0], seed=seeds[0], **settings, **vars(first.model))
    return SobolevRegression(data.box, seed=seeds, **settings, **vars(first.model))


def set_start(module: SobolevModule, members: Sequence[Member], data: PointsDataModule) -> None:
    """Set what the runs begin with: the functions of `trainer.start`, and the first lambda_d of the balance.

    Raises:
        ConfigurationError: a directory of `trainer.start` holds no run with the same network.
    """
    first = members[0]
    for i, member in enumerate(members):
        if member.settings.trainer.start is not None:
            _adopt(module, i, member.settings.trainer.start, (list(data.inputs), list(data.dataset.train.outputs)))
    module.set_lambda_d(first.settings.balance.start(module.lambda_d, data.dataset.train, module.scale))
    module.settle(settled_from(first))


def settled_from(member: Member) -> int:
    """Return the step from which neither the points nor the lambda_d of the balance change."""
    look = member.settings.balance.next_look(0)
    return max(member.settings.resampling.settled_from(), 0 if look == NEVER else look)


def _adopt(module: SobolevModule, member: int, directory: str, names: tuple[list[str], list[str]]) -> None:
    """Give a member the function of a finished run with the same names of inputs and outputs."""
    from runge.function.loading import load_runs  # late: few runs need it

    try:
        function = load_runs([RunDirectory(directory)])
        if (theirs := (list(function.inputs), list(function.outputs))) != names:
            columns = [f"inputs {listed(inputs)} and outputs {listed(outputs)}" for inputs, outputs in (theirs, names)]
            raise ValueError(f"it has the {columns[0]}, and this run the {columns[1]}")
        module.network.adopt(member, function.networks[0])
    except (ValueError, OSError) as error:
        rule = "must be the directory of a finished run with the same network, inputs and outputs"
        why = describe(error) if isinstance(error, OSError) else error
        raise ConfigurationError(f"trainer.start: {rule}; got {directory!r} ({why})") from error
