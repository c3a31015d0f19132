"""What a search does with the time that its comparisons leave: moves, of which the first affordable one is taken."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from runge.sweeps.policies.best.answer import questioning_seconds, redrawing_seconds
from runge.sweeps.policies.best.candidates import Candidate
from runge.sweeps.policies.best.constants import (
    AS_GOOD_FACTOR,
    CLOSE_FACTOR,
    LEAST_SET_UPS,
    MANY_FOLDS,
    REDRAWN_SHARE,
    RESTARTS,
    RUNNERS_UP,
    SAME_MINIMUM_FACTOR,
    WINNER_STEPS_SHARE,
)
from runge.sweeps.policies.best.selection import Selection

__all__ = ["MOVES", "Position", "improved_until", "next_move", "variations"]


class Position(NamedTuple):
    """What a search has when it chooses its next move.

    Attributes:
        selection: the candidates.
        ranked: the candidates that have been trained, the best first.
        seconds: the time that is left for moves.
        seeds: how many networks, which differ in their seed, the answer has at most.
        end: the time at which training ends, in seconds.
    """

    selection: Selection
    ranked: Sequence[Candidate]
    seconds: float
    seeds: int
    end: float

    @classmethod
    def of(cls, selection: Selection, seeds: int, end: float) -> "Position":
        """Return the present position of a search."""
        ranked = selection.ranked()
        best = ranked[0]
        rivals = [x for x in ranked[1:] if x.continues and x.error <= AS_GOOD_FACTOR * best.error]
        return cls(selection, ranked, selection.left(improved_until(selection, best, rivals, end)), seeds, end)

    @property
    def best(self) -> Candidate:
        """The best candidate."""
        return self.ranked[0]

    def may_gain(self, candidate: Candidate) -> bool:
        """Return whether half of the time may help a candidate."""
        return self.selection.may_gain(candidate, self.seconds / 2)


def continued(position: Position) -> list[Candidate]:
    """Return the best candidates, if more steps may help them.

    The other ones are as good as the best one. Candidates that are nearly as good take processes that are free beside
    the best one. If the best one of a formula lacks points, more steps do not help.
    """
    selection, best = position.selection, position.best
    if selection.table is None and best.in_order[0].lacks_rows:
        return []
    gaining = [x for x in position.ranked if position.may_gain(x)]
    near = [x for x in gaining if x.error <= AS_GOOD_FACTOR * best.error]
    if best in near and selection.table:
        close = [x for x in gaining if x not in near and x.error <= CLOSE_FACTOR * best.error]
        near += close[: max(0, selection.processes // selection.judges - len(near))]
    return near


def runners_up(position: Position) -> list[Candidate]:
    """Return the next candidates of a table that have had less time than the best one, if more steps may help them."""
    if position.selection.table is None:
        return []
    following = position.ranked[1 : 1 + RUNNERS_UP]
    return [x for x in following if position.may_gain(x) and x.spent < position.best.spent]


def variations(position: Position) -> list[Candidate]:
    """Return the variations of the best candidate that are new, and have time until the end.

    Runs of fixed neurons cannot be cut: there must be time to judge them, and to train the answer. Other runs take the
    time that they get.
    """
    selection, best = position.selection, position.best
    runs = selection.judges + (selection.crossed if selection.table else 0)
    left = selection.left(position.end) * selection.processes
    affordable = list[Candidate]()
    for variation in selection.factory.variations(_with_first_seed(selection, best)):
        seconds = best.seconds * variation.member.work() / best.member.work()
        affords = not variation.member.settings.optimizer.last_layer_alone or runs * seconds <= left
        if affords and variation.name not in selection.candidates:
            affordable.append(variation)
    return affordable


def restarts(position: Position) -> list[Candidate]:
    """Return the best candidate of a table with further seeds, until a second seed has found the same minimum.

    They have the time that the networks of the answer leave. Fixed neurons have one minimum.
    """
    selection, best, seeds = position.selection, position.best, position.seeds
    first = _with_first_seed(selection, best)
    same = [x for x in selection.candidates.values() if _with_first_seed(selection, x) is first]
    equal = sum(x.error <= SAME_MINIMUM_FACTOR * best.error for x in same)
    if selection.table is None or best.member.settings.optimizer.last_layer_alone or equal > 1:
        return []
    count = min(-(-selection.processes // selection.judges), RESTARTS + 1 - len(same))
    # They also have steps after their best ones.
    runs = seeds * (selection.crossed + 1) + 2 * count * selection.judges
    if runs * selection.seconds_of(best) > selection.left(position.end) * selection.processes:
        return []
    numbers = [first.member.settings.seed.seed + seeds * (len(same) + i) for i in range(count)]
    return [replace(selection.factory.changed(first, {"seed": seed}), first_seed=first.name) for seed in numbers]


def _with_first_seed(selection: Selection, candidate: Candidate) -> Candidate:
    """Return the candidate of which a candidate has all settings except the seed."""
    return selection.candidates[candidate.first_seed or candidate.name]


MOVES: Mapping[Callable[[Position], list[Candidate]], str] = {
    continued: "because more steps may reduce the error",
    runners_up: "because {best} has had more time",
    variations: "because more steps do not reduce the error",
    restarts: "because another seed may find another minimum",
}
"""The moves, the preferred one first, and their reasons, in which `best` is the name of the best candidate.

A move returns the candidates that it trains. There are none if its condition is not met, or if it costs more than the
time that is left.
"""


def next_move(position: Position) -> tuple[list[Candidate], str]:
    """Return the candidates of the first affordable move, at most one for each process, and its reason; none: the end.

    Every move costs more than twice the set-up of a run.
    """
    selection = position.selection
    if position.seconds > LEAST_SET_UPS * selection.set_up:
        for move, why in MOVES.items():
            if candidates := move(position):
                return candidates[: selection.processes], why.format(best=position.best.name)
    return [], ""


def improved_until(selection: Selection, best: Candidate, rivals: Sequence[Candidate], end: float) -> float:
    """Return the time until which candidates are improved, such that the networks of the answer have what is left.

    A winner that continues can have all of the time if it does not lack rows, or has nearly all rows. The answer of a
    winner that does not continue consists of networks with newly drawn weights, which have at most a quarter of the
    time. Only networks of fixed neurons have all the time that they need. If there are rivals, they have a quarter, or
    the time of one such network.

    Args:
        selection: the candidates.
        best: the best candidate.
        rivals: the candidates that are as good, and may gain from more steps.
        end: the time at which training ends, in seconds.
    """
    run = best.in_order[0]
    if selection.table is None:
        return end
    if not best.continues:
        seconds, most = redrawing_seconds(selection, best), REDRAWN_SHARE * end
        if best.member.settings.optimizer.last_layer_alone:
            most = max(most, selection.seconds_of(best)) if rivals else seconds
        return end - min(seconds, most)
    last = (1 - WINNER_STEPS_SHARE) * end
    whole = run.lacks_rows and selection.folds <= MANY_FOLDS and selection.affords_all(best, run, last)
    return end - last * whole - questioning_seconds(selection, best, end)
