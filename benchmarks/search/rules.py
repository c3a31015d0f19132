"""Rules of a search, as pure functions of its state: four from textbooks, and the one that was estimated.

References:
    K. Jamieson, A. Talwalkar (2016). Non-stochastic best arm identification and hyperparameter optimization.
    https://arxiv.org/abs/1502.07943
    L. Li et al. (2018). Hyperband: a novel bandit-based approach to hyperparameter optimization.
    https://arxiv.org/abs/1603.06560
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Move(NamedTuple):
    """A candidate that is trained on a share of the rows for some seconds, with its set-up."""

    name: str
    share: float
    seconds: float


@dataclass(frozen=True)
class Standing:
    """A candidate so far.

    Attributes:
        name: its name.
        share: the share of the rows on which it was last trained; 0: it was not trained.
        seconds: the seconds that were spent on it.
        error: its smallest error in rows left out.
        loss_ratio: the loss of this network in rows left out over that in training rows: if it is much above 1, more
            rows help, and otherwise more steps.
        ended: whether more seconds on this share would not help.
        busy: whether it is being trained.
        history: the seconds and the error after each of its trainings.
    """

    name: str
    share: float = 0.0
    seconds: float = 0.0
    error: float = math.inf
    loss_ratio: float = math.inf
    ended: bool = False
    busy: bool = False
    history: Sequence[tuple[float, float]] = ()


class Sizes(NamedTuple):
    """The sizes of a table: its training rows, inputs and outputs."""

    rows: int
    inputs: int
    outputs: int


class State(NamedTuple):
    """A search so far.

    Attributes:
        limit: its seconds.
        now: the seconds that are over.
        cores: the trainings at a time.
        candidates: the candidates, the fast ones first.
        shares: the shares of the rows that a move may have, ascending.
        rounds: how many times the rule has named moves.
        sizes: the sizes of the table.
    """

    limit: float
    now: float
    cores: int
    candidates: Sequence[Standing]
    shares: Sequence[float]
    rounds: int
    sizes: Sizes

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return self.limit - self.now

    @property
    def busy(self) -> bool:
        """Whether a candidate is being trained."""
        return any(candidate.busy for candidate in self.candidates)

    @property
    def ranked(self) -> list[Standing]:
        """The candidates, the best ones first."""
        return sorted(self.candidates, key=lambda candidate: candidate.error)


Rule = Callable[[State], Sequence[Move]]
"""A function that returns the next moves, in the order in which they begin; none: wait for a training to end."""


def all_equal(state: State) -> Sequence[Move]:
    """Train all candidates on all rows for the same time."""
    each = state.limit * state.cores / len(state.candidates)
    return [] if state.rounds else [Move(candidate.name, 1.0, each) for candidate in state.candidates]


def successive_halving(state: State, ratio: float = 2.0) -> Sequence[Move]:
    """Train all candidates on all rows, then the better half further, and so on, with the same time for each round."""
    count = len(state.candidates)
    rounds = max(1, math.ceil(math.log(count, ratio)))
    if state.busy or state.rounds == rounds:
        return []
    kept = state.ranked[: math.ceil(count / ratio**state.rounds)]
    return _together(kept, 1.0, state.left / (rounds - state.rounds), state)


def hyperband(state: State, ratio: float = 3.0) -> Sequence[Move]:
    """Divide the time among brackets of successive halving, with fewer and fewer candidates, which are drawn."""
    count = len(state.candidates)
    most = math.floor(math.log(count, ratio) + 1e-9)
    plan = [(bracket, rung) for bracket in range(most, -1, -1) for rung in range(bracket + 1)]
    if state.busy or state.rounds == len(plan):
        return []
    bracket, rung = plan[state.rounds]
    drawn = min(count, math.ceil((most + 1) / (bracket + 1) * ratio**bracket))
    members = {state.candidates[i].name for i in np.random.default_rng(bracket).permutation(count)[:drawn]}
    ranked = [candidate for candidate in state.ranked if candidate.name in members]
    seconds = state.limit / (most + 1) / (bracket + 1)
    return _together(ranked[: max(1, int(drawn / ratio**rung))], 1.0, min(seconds, state.left), state)


def best_so_far(state: State, first: float = 0.2, slices: int = 20) -> Sequence[Move]:
    """Train all candidates on all rows for a short time, then always the best one that is free for a further slice.

    Args:
        state: the state.
        first: the share of the time for the first trainings.
        slices: the slices of the time.
    """
    if state.rounds == 0:
        return _together(state.candidates, 1.0, first * state.limit, state)
    free = [candidate for candidate in state.ranked if not candidate.busy and not candidate.ended]
    return [Move(candidate.name, 1.0, state.limit / slices) for candidate in free[:1]]


def estimated(
    state: State, ratio: float = 2.5, compared: float = 0.4, first: float = 4.0, least: float = 8.0
) -> Sequence[Move]:
    """Compare candidates in rounds with fewer of them on more rows, then continue the best ones.

    It is the rule that the search had before its curves were recorded, without larger networks and further seeds.

    Args:
        state: the state.
        ratio: the candidates of a round over those of the next one.
        compared: the share of the time after which the rounds end.
        first: the time of the first round over that of each further one.
        least: the seconds of a slice of the best ones, at least; otherwise half of those that are left.
    """
    count = len(state.candidates)
    rounds = max(2, math.ceil(math.log(count, ratio)))
    if state.rounds < rounds:
        if state.busy:
            return []
        share = state.shares[max(0, len(state.shares) - rounds + state.rounds)]
        weights = [first, *[1.0] * (rounds - 1)][state.rounds :]
        seconds = max(0.0, compared * state.limit - state.now) * weights[0] / sum(weights)
        return _together(state.ranked[: math.ceil(count / ratio**state.rounds)], share, seconds, state)
    free = [x for x in state.ranked if not x.busy and not (x.ended and x.share == 1.0)]
    return [Move(x.name, 1.0, max(state.left / 2, min(state.left, least))) for x in free[:1]]


def _together(candidates: Sequence[Standing], share: float, seconds: float, state: State) -> list[Move]:
    """Return moves that take some seconds together on all cores, without those that have ended, unless all have."""
    some = [candidate for candidate in candidates if not candidate.ended or candidate.share != share] or candidates
    each = seconds * min(1.0, state.cores / max(1, len(some)))
    return [Move(candidate.name, share, each) for candidate in some]


RULES: Mapping[str, Rule] = {
    "all equal": all_equal,
    "successive halving": successive_halving,
    "Hyperband": hyperband,
    "best so far": best_so_far,
    "estimated": estimated,
}
"""The rules by their names. The rule of `runge.search` belongs here, too."""
