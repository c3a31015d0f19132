"""What is known of a candidate of a search: its networks, their errors, and where these go."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from runge.records.metrics import TRAIN_LOSS, VAL_LOSS
from runge.search.candidates import Candidate
from runge.search.constants import (
    FEW_STEPS,
    LEAST_SLOPE,
    LOOK_AHEAD,
    MOST_SLOPE,
    OVERFITTING_POWER,
    SLOWNESS_AT_FIRST,
    THREADS_POWER,
    UNKNOWN_SLOPE,
)
from runge.search.results import Move, Result

__all__ = ["Network", "Standing", "expected_error", "has_enough_steps", "slope_of"]


def slope_of(result: Result) -> float:
    r"""Return the power of time by which the smallest error E so far has fallen since half of the time T.

    .. math:: s = \log_2 \frac{E(T / 2)}{E(T)}.

    It is `UNKNOWN_SLOPE` if there is no error in the first half of the time.
    """
    seconds, least = result.history["seconds"], np.minimum.accumulate(result.errors)
    after = int(np.searchsorted(seconds, seconds[-1] / 2, side="right"))
    half, last = least[max(after - 1, 0)], least[-1]
    return min(math.log2(half / last), MOST_SLOPE) if after and math.isfinite(half) and last > 0 else UNKNOWN_SLOPE


def expected_error(result: Result, factor: float = math.inf) -> float:
    r"""Return the error to which a curve falls if its training continues for a multiple c of its time.

    It is extrapolated by the power s of time of `slope_of`, also where steps are at rest and more rows continue it:

    .. math:: E(c T) = E(T) \, c^{-s}.

    Args:
        result: the result.
        factor: the multiple, of which no more than `LOOK_AHEAD` counts.
    """
    return result.error * min(factor, LOOK_AHEAD) ** -slope_of(result)


def has_enough_steps(result: Result) -> bool:
    r"""Return whether a trial on some of the rows needs more rows, not more steps: it is at rest, or overfits them.

    It overfits them if the held-out loss is much larger than the training loss, and its error falls slowly with time
    (`LEAST_SLOPE`), or the held-out loss M falls far less than the training loss L, from half of the time T to its end:

    .. math:: \frac{M(T / 2)}{M(T)} < \left(\frac{L(T / 2)}{L(T)}\right)^p, \quad p = 0.4.
    """
    if result.end == "rest" or not result.lacks_rows:
        return result.end == "rest"
    if slope_of(result) < LEAST_SLOPE:
        return True
    seconds = result.history["seconds"]
    half = max(int(np.searchsorted(seconds, seconds[-1] / 2, side="right")) - 1, 0)
    fall, fall_held_out = (
        float(np.subtract(*np.log(np.maximum(result.history[name][[half, -1]], 1e-300))))
        for name in (TRAIN_LOSS, VAL_LOSS)
    )
    return fall_held_out < OVERFITTING_POWER * fall


class Network(NamedTuple):
    """The best network of a candidate on a fold: its trial, whether more steps or rows may help, and whether rows."""

    number: int
    move: Move
    result: Result
    may_gain: bool
    grows: bool

    @property
    def pace(self) -> float:
        """The seconds of a step with one thread."""
        return self.move.threads**THREADS_POWER * self.result.seconds / max(self.result.steps, 1)


@dataclass(frozen=True, eq=False)
class Standing:
    """A candidate so far.

    Attributes:
        candidate: the candidate.
        by_fold: its best networks, by the fold that they leave out.
        refits: its networks of all rows.
        calibrating: its further networks that leave out a fold.
        slowness: the time of its steps over what was expected.
        failure: how its last trial has failed; empty: it has not.
    """

    candidate: Candidate
    by_fold: Mapping[int, Network] = field(default_factory=dict)
    refits: Sequence[Network] = ()
    calibrating: Sequence[Network] = ()
    slowness: float = SLOWNESS_AT_FIRST
    failure: str = ""

    @property
    def name(self) -> str:
        """The name of the candidate."""
        return self.candidate.name

    @property
    def in_order(self) -> list[Network]:
        """Its best networks, in the order of the folds."""
        return [self.by_fold[fold] for fold in sorted(self.by_fold)]

    @property
    def results(self) -> list[Result]:
        """The results of these networks."""
        return [network.result for network in self.in_order]

    @property
    def error(self) -> float:
        """The root mean square of their errors, by which it is ranked; infinite without a network."""
        return self.expected(0.0)

    def expected(self, seconds: float = math.inf) -> float:
        """Return the same of the errors to which its curves fall in some more seconds; infinite: as far as is known."""
        falls = not self.candidate.has_fixed_neurons
        times = [1 + seconds / x.result.history["seconds"][-1] if x.may_gain and falls else 1.0 for x in self.in_order]
        errors = [expected_error(result, time) for result, time in zip(self.results, times, strict=True)]
        return math.sqrt(np.mean(np.square(errors))) if errors else math.inf

    @property
    def seconds(self) -> float:
        """The mean time of the training of its best networks, from drawn weights on."""
        return sum(float(result.history["seconds"][-1]) for result in self.results) / max(len(self.by_fold), 1)

    @property
    def last_step(self) -> int:
        """The largest number of steps that its best networks have had, from drawn weights on."""
        return max(int(result.history["step"][-1]) for result in self.results)

    @property
    def has_few_steps(self) -> bool:
        """True if its steps are so slow that its time has ended after few of them, while its error falls fast."""
        is_cut = self.continues and not self.candidate.by_gradient and all(x.end == "time" for x in self.results)
        return is_cut and self.last_step <= FEW_STEPS and min(map(slope_of, self.results)) >= UNKNOWN_SLOPE

    @property
    def has_all_rows(self) -> bool:
        """True if its best networks have all rows that are not left out."""
        return all(network.move.share is None for network in self.by_fold.values())

    @property
    def may_gain(self) -> bool:
        """True if more steps or rows may reduce the error on some fold."""
        return any(network.may_gain for network in self.by_fold.values())

    @property
    def continues(self) -> bool:
        """True if more steps may help, from the present weights."""
        return self.may_gain and not self.candidate.has_fixed_neurons

    def metric(self, name: str) -> float | None:
        """Return the root mean square of a figure over its best networks; None: it is not known."""
        figures = [figure for result in self.results if (figure := result.metric(name)) is not None]
        return math.sqrt(np.mean(np.square(figures))) if figures else None

    def after(self, number: int, move: Move, result: Result) -> "Standing":
        """Return what it is after a further trial."""
        if result.failure:
            by_fold = {fold: x._replace(may_gain=x.may_gain and fold != move.fold) for fold, x in self.by_fold.items()}
            return replace(self, by_fold=by_fold, failure=result.failure)
        candidate = self.candidate
        is_cut = result.end == "time" or (result.end == "steps" and not candidate.completes)
        move = move._replace(share=result.share)  # which may have grown
        is_over = has_enough_steps(result) or (candidate.has_fixed_neurons and result.lacks_rows)
        grows = move.share is not None and is_over
        network = Network(number, move, result, (is_cut or grows) and not move.of_answer, grows)
        standing = replace(self, failure="", slowness=result.slowness)
        if move.fold is None:
            return replace(standing, refits=[*(x for x in self.refits if x.number != move.start), network])
        if move.seed:
            return replace(standing, calibrating=[*self.calibrating, network])
        before = self.by_fold.get(move.fold)
        if before is not None and not result.error < before.result.error:
            grows = move.share is not None and move.share == before.move.share
            # The rate of a gradient method begins high again, so that fewer steps than before say little.
            is_short = candidate.by_gradient and result.steps < before.result.steps
            falls = is_short and slope_of(before.result) >= LEAST_SLOPE
            network = before._replace(may_gain=grows or falls, grows=grows)
        return replace(standing, by_fold={**self.by_fold, move.fold: network})
