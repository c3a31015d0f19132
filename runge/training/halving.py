"""Successive halving inside a stack: at rungs the worst runs leave, and the others continue in a smaller stack.

With eta = 3 there are rungs at a ninth and at a third of the steps, at the ends of their blocks. At each the best third
of the runs stays. Runs that differ in their seed alone leave together, by their median. A rung counts
only if every run has had its full lambda_d for the last quarter of the steps up to it, because before that the errors
say nothing about lambda_d; the next rung then makes up for it. All of this follows from the settings and the history,
so that a stack that was killed at a rung loses the same runs when it is resumed.

References:
    K. Jamieson, A. Talwalkar (2016). Non-stochastic best arm identification and hyperparameter optimization.
    https://proceedings.mlr.press/v51/jamieson16.html
"""

import math
from collections.abc import Sequence

import lightning.pytorch as pl
import numpy as np
from numpy.typing import NDArray

from runge.objective import best_row
from runge.training.callback import BlockCallback
from runge.training.history import History
from runge.training.member import Member
from runge.training.module import SobolevRegression

_EARLIEST = 0.1
"""The share of the steps before which there is no rung: earlier errors say little about the last ones."""
_FULL_FOR = 0.25
"""The share of the steps up to a rung for which each run must have had its full lambda_d."""


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


class Halving(BlockCallback):
    """A callback that ends the fit at a rung at which members leave.

    Of n trials ceil(n / eta^k) stay, where k counts the rungs since the last one that counted.

    Args:
        factor: eta, at least 2.
        members: the runs of the stack.
        history: the figures at the end of every block.
        after: the step of the rung with which the stack began as the rest of a larger one; None: it did not.

    Attributes:
        leaving: the members that leave; empty: none.
        values: the values of their objectives by member, when they leave.
    """

    def __init__(self, factor: int, members: Sequence[Member], history: History, after: int | None = None) -> None:
        self.factor, self.members, self.history, self.after = factor, members, history, after
        self.leaving: list[int] = []
        self.values: dict[int, tuple[float, ...]] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let members leave if the run was killed at a rung."""
        assert isinstance(pl_module, SobolevRegression)
        if int(pl_module.step) != self.after:
            self.at_block_end(pl_module)

    def at_block_end(self, module: SobolevRegression) -> None:
        """Choose the members that leave, and end the fit if there are any."""
        step, rungs = int(module.step), self._rungs(module)
        if step not in rungs or not _counts(module, step):
            return
        groups: dict[str, list[int]] = {}
        for i, member in enumerate(self.members):
            groups.setdefault(member.apart_from_seed(), []).append(i)
        before = max((rungs[one] for one in rungs if one < step and _counts(module, one)), default=0)
        stay = math.ceil(len(groups) / self.factor ** (rungs[step] - before))
        self.values = {i: self._value(module, i) for i in range(len(self.members))}
        medians = [np.median([self.values[i] for i in group], axis=0) for group in groups.values()]
        worst = [list(groups.values())[rank] for rank in order(np.array(medians, dtype=np.float64))[stay:]]
        self.leaving = sorted(i for group in worst for i in group)
        module.trainer.should_stop |= bool(worst)

    def _rungs(self, module: SobolevRegression) -> dict[int, int]:
        """Return the steps of the rungs, at ends of blocks, each with how often the stack is divided up to it."""
        return {_block_end(module, step): i for i, step in enumerate(targets(module.max_steps, self.factor), start=1)}

    def _value(self, module: SobolevRegression, i: int) -> tuple[float, ...]:
        return self.members[i].objective.values(best_row(self.history.member(i, module.last_step(i))))


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
