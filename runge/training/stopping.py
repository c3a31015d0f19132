"""When a run ends before its last step: nothing changes any more, patience has run out, or others are better.

All of these are callbacks that set `stopped_at` of the members that stop. It is saved with the stack, so that a resumed
run takes no further steps. The members that halving stops are `pruned` too, and the stack continues without them.

References:
    K. Jamieson, A. Talwalkar (2016). Non-stochastic best arm identification and hyperparameter optimization.
    https://proceedings.mlr.press/v51/jamieson16.html
"""

import math
from collections.abc import Sequence

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter

from runge.metrics import TRAIN_LOSS, VAL_LOSS
from runge.objective import best_row
from runge.training.history import History
from runge.training.member import Member
from runge.training.module import SobolevRegression
from runge.training.trainer import BlockCallback

_EARLIEST = 0.1
"""The share of the steps before which there is no rung: earlier errors say little about the last ones."""
_FULL_FOR = 0.25
"""The share of the steps up to a rung for which each run must have had its full lambda_d."""


class StopEarly(BlockCallback):
    """A callback that ends a run when no further step would change anything, or no member has a finite loss.

    With `patience`, a member stops when its validation loss has not improved for that many steps, and the run ends when
    all members have stopped. They count from `first` at the earliest, once lambda_d is at its full value, and in the
    last residual stage. What a member leaves is that of the step at which it has stopped.

    Args:
        patience: the steps without an improvement; None: no limit.
        first: the step from which they count at the earliest.
    """

    def __init__(self, patience: int | None = None, first: int = 0) -> None:
        self.patience, self.first = patience, first

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take no step if the run had ended, if all members have stopped, or while some are to leave."""
        assert isinstance(pl_module, SobolevRegression)
        pl_module.ended.logical_or_(pl_module.stopped.all() & ~pl_module.pruned.any())
        trainer.should_stop = bool(pl_module.ended | pl_module.pruned.any())

    def at_block_end(self, module: SobolevRegression) -> None:
        """Look at the losses, and at what a further step would change."""
        at_rest = _at_rest(module)  # before members that stop are put to rest: the others finish with another step
        if self.patience is not None:
            self._wait(module, self.patience)
        finite = torch.stack([module.figures[loss].isfinite() for loss in (TRAIN_LOSS, VAL_LOSS)]).any(0)
        if at_rest or not bool((finite & ~module.stopped).any()):
            module.ended.fill_(True)
            module.trainer.should_stop = True

    def _wait(self, module: SobolevRegression, patience: int) -> None:
        """Stop the members whose patience has run out, except those at rest, which have nothing to wait for."""
        step = int(module.step)
        counts = _with_full_lambda_d(module) & (step > self.first and _in_last_stage(module))
        module.waiting_since.masked_fill_(~counts, step)
        stale = step - module.waiting_since >= patience
        if bool(stale.any()):
            optimized = _optimized(module)
            module.stopped_at.masked_fill_(stale & ~module.stopped & ~module.optimizer.resting(*optimized), step)
            module.optimizer.rest(*optimized, module.stopped)


class Halving(BlockCallback):
    """A callback that stops the worst members at rungs, by successive halving.

    With eta = 3 there are rungs at a ninth and at a third of the steps, at the ends of their blocks. Of n trials
    ceil(n / eta^k) stay, where k counts the rungs since the last one that counted. Runs that differ only in seed and
    fold are one trial, with the median of their values. A rung counts only if every run has had its full lambda_d for
    the last quarter of the steps up to it, because before that the errors say nothing about lambda_d; the next rung
    then makes up for it.

    Args:
        factor: eta, at least 2.
        members: the runs of the stack.
        history: the figures at the end of every block.
    """

    def __init__(self, factor: int, members: Sequence[Member], history: History) -> None:
        self.factor, self.members, self.history = factor, members, history

    def at_block_end(self, module: SobolevRegression) -> None:
        """Stop the worst members at a rung, and let the fit pause for their leave."""
        step = int(module.step)
        rungs = {_block_end(module, at): i for i, at in enumerate(targets(module.max_steps, self.factor), start=1)}
        if step not in rungs or step >= module.max_steps or bool(module.ended) or not _counts(module, step):
            return
        trials: dict[str, list[int]] = {}
        for i, member in enumerate(self.members):
            trials.setdefault(member.apart_from_seed(), []).append(i)
        before = max((rungs[one] for one in rungs if one < step and _counts(module, one)), default=0)
        stay = math.ceil(len(trials) / self.factor ** (rungs[step] - before))
        rows = [best_row(self.history.member(i, module.last_step(i))) for i in range(len(self.members))]
        each = [member.objective.values(row) for member, row in zip(self.members, rows, strict=True)]
        values = [np.median([each[i] for i in trial], axis=0) for trial in trials.values()]
        for rank in order(np.array(values, dtype=np.float64))[stay:]:
            module.pruned[list(trials.values())[rank]] = True
        module.stopped_at.masked_fill_(module.pruned & ~module.stopped, step)
        module.trainer.should_stop |= bool(module.pruned.any())


def targets(steps: int, factor: int) -> list[int]:
    """Return the steps after which there is a rung: ceil(steps / eta^k), for k = ..., 2, 1 with eta^k <= 10.

    Example:
        >>> targets(9000, 3)
        [1000, 3000]
    """
    powers = range(math.floor(math.log(1 / _EARLIEST, factor)), 0, -1)
    return [math.ceil(steps / factor**power) for power in powers if steps > factor**power]


def order(values: NDArray[np.float64]) -> list[int]:
    """Return the rows of some values, (n, objectives), the best first; smaller is better, and NaN is the worst.

    With several objectives rows are sorted by how many others dominate them, and then by the sum of their ranks.

    Example:
        >>> order(np.array([[3.0, 1.0], [2.0, 2.0], [4.0, 4.0], [1.0, np.nan]]))
        [0, 1, 3, 2]

    References:
        C. M. Fonseca, P. J. Fleming (1993). Genetic algorithms for multiobjective optimization. ICGA, 416-423.
    """
    values = np.nan_to_num(values, nan=np.inf)
    no_worse, better = (values[:, None] <= values).all(2), (values[:, None] < values).any(2)
    dominated = (no_worse & better).sum(0)
    ranks = (values[:, None] < values).sum(0).sum(1)
    return sorted(range(len(values)), key=lambda i: (dominated[i], ranks[i], i))


def _block_end(module: SobolevRegression, step: int) -> int:
    """Return the end of the block in which a step is taken."""
    stage, local = divmod(step - 1, module.steps_per_stage)
    blocks = -(-(local + 1) // module.steps_per_block)
    end = stage * module.steps_per_stage + min(blocks * module.steps_per_block, module.steps_per_stage)
    return min(end, module.max_steps)


def _counts(module: SobolevRegression, rung: int) -> bool:
    """Return whether every member had its full lambda_d for the last quarter of the steps up to a rung."""
    first = rung - math.ceil(_FULL_FOR * rung)
    return bool((module.lambda_at(first, 1) == module.lambda_now).all())


def _at_rest(module: SobolevRegression) -> bool:
    """Return True if no step would change anything: a stage helped no member, or the optimiser is at rest.

    Before `rests_from` no run is at rest, because its points or its weight will change. Nor is one whose lambda_d is
    not at its full value yet, because that is reported.
    """
    step, stage = int(module.step), module.stage()
    if step < int(module.rests_from) or not bool(_with_full_lambda_d(module).all()):
        return False
    if stage and step % module.steps_per_stage == 0 and not module.best.amplitude[:, stage].any():
        return True
    return _in_last_stage(module) and module.optimizer.at_rest(*_optimized(module))


def _with_full_lambda_d(module: SobolevRegression) -> Tensor:
    """Say whether the last step had the full lambda_d, (M,)."""
    return (module.lambda_at(int(module.step) - 1, 1) == module.lambda_now)[0]


def _in_last_stage(module: SobolevRegression) -> bool:
    """Say whether the last step was one of the last stage."""
    return module.stage() == (module.max_steps - 1) // module.steps_per_stage


def _optimized(module: SobolevRegression) -> tuple[torch.optim.Optimizer, Parameter]:
    """Return the optimiser of torch, and the weights of the present stage."""
    return module.trainer.optimizers[0], module.network.stage(module.stage()).theta
