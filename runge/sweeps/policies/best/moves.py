"""The moves of a search in the time that its comparisons leave, of which the first affordable one is made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

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

__all__ = ["MOVES", "improved_until", "next_move", "variations"]


def continued(selection: Selection, ranked: Sequence[Candidate], seconds: float) -> list[Candidate]:
    """Return the best candidates, if more steps may help them.

    The other ones are as good as the best one. Candidates that are nearly as good take processes that are free beside
    the best one. If the best one of a formula lacks points, more steps do not help.
    """
    best = ranked[0]
    if selection.table is None and best.in_order[0].lacks_rows:
        return []
    gaining = [x for x in ranked if selection.may_gain(x, seconds / 2)]
    near = [x for x in gaining if x.error <= AS_GOOD_FACTOR * best.error]
    if best in near and selection.table:
        close = [x for x in gaining if x not in near and x.error <= CLOSE_FACTOR * best.error]
        near += close[: max(0, selection.processes // selection.judges - len(near))]
    return near


def runners_up(selection: Selection, ranked: Sequence[Candidate], seconds: float) -> list[Candidate]:
    """Return the next candidates of a table that have had less time than the best one, if more steps may help them."""
    if selection.table is None:
        return []
    following = [x for x in ranked[1 : 1 + RUNNERS_UP] if x.spent < ranked[0].spent]
    return [x for x in following if selection.may_gain(x, seconds / 2)]


def variations(selection: Selection, ranked: Sequence[Candidate], seconds: float) -> list[Candidate]:
    """Return the variations of the best candidate that are new, and have time until the end.

    Runs of fixed neurons cannot be cut: there must be time to judge them, and to train the answer. Other runs take the
    time that they get.
    """
    best = ranked[0]
    runs = selection.judges + (selection.crossed if selection.table else 0)
    left = selection.left(selection.end) * selection.processes
    affordable = list[Candidate]()
    for variation in selection.factory.variations(_with_first_seed(selection, best)):
        of_run = best.seconds * variation.member.work() / best.member.work()
        affords = not variation.member.settings.optimizer.last_layer_alone or runs * of_run <= left
        if affords and variation.name not in selection.candidates:
            affordable.append(variation)
    return affordable


def restarts(selection: Selection, ranked: Sequence[Candidate], seconds: float) -> list[Candidate]:
    """Return the best candidate of a table with further seeds, until a second seed has found the same minimum.

    They have the time that the networks of the answer leave. Fixed neurons have one minimum.
    """
    best, seeds = ranked[0], selection.seeds
    first = _with_first_seed(selection, best)
    same = [x for x in selection.candidates.values() if _with_first_seed(selection, x) is first]
    equal = sum(x.error <= SAME_MINIMUM_FACTOR * best.error for x in same)
    if selection.table is None or best.member.settings.optimizer.last_layer_alone or equal > 1:
        return []
    count = min(-(-selection.processes // selection.judges), RESTARTS + 1 - len(same))
    # They also have steps after their best ones.
    runs = seeds * (selection.crossed + 1) + 2 * count * selection.judges
    if runs * selection.seconds_of(best) > selection.left(selection.end) * selection.processes:
        return []
    numbers = [first.member.settings.seed.seed + seeds * (len(same) + i) for i in range(count)]
    return [replace(selection.factory.changed(first, {"seed": seed}), first_seed=first.name) for seed in numbers]


def _with_first_seed(selection: Selection, candidate: Candidate) -> Candidate:
    """Return the candidate of which a candidate has all settings except the seed."""
    return selection.candidates[candidate.first_seed or candidate.name]


MOVES: Mapping[Callable[[Selection, Sequence[Candidate], float], list[Candidate]], str] = {
    continued: "because more steps may reduce the error",
    runners_up: "because {best} has had more time",
    variations: "because more steps do not reduce the error",
    restarts: "because another seed may find another minimum",
}
"""The moves, the preferred one first, and their reasons, in which `best` is the name of the best candidate.

A move returns the candidates that it trains, given a search, its trained candidates, the best first, and the seconds
that are left for moves. There are none if its condition is not met, or if it costs more than the time that is left.
"""


def next_move(selection: Selection, ranked: Sequence[Candidate], seconds: float) -> tuple[list[Candidate], str]:
    """Return the candidates of the first affordable move, at most one for each process, and its reason; none: the end.

    Every move costs more than twice the set-up of a run.
    """
    if seconds > LEAST_SET_UPS * selection.set_up:
        for move, why in MOVES.items():
            if candidates := move(selection, ranked, seconds):
                return candidates[: selection.processes], why.format(best=ranked[0].name)
    return [], ""


def improved_until(selection: Selection, ranked: Sequence[Candidate]) -> float:
    """Return the time until which candidates are improved, such that the networks of the answer have what is left.

    A winner that continues can have all of the time if it does not lack rows, or has nearly all rows. The answer of a
    winner that does not continue consists of networks with newly drawn weights, which have at most a quarter of the
    time. Only networks of fixed neurons have all the time that they need. If there are rivals, which are as good and
    may gain from more steps, they have a quarter, or the time of one such network.
    """
    best, end = ranked[0], selection.end
    if selection.table is None:
        return end
    if not best.continues:
        seconds, most = redrawing_seconds(selection, best), REDRAWN_SHARE * end
        if best.member.settings.optimizer.last_layer_alone:
            rivals = [x for x in ranked[1:] if x.continues and x.error <= AS_GOOD_FACTOR * best.error]
            most = max(most, selection.seconds_of(best)) if rivals else seconds
        return end - min(seconds, most)
    last, run = (1 - WINNER_STEPS_SHARE) * end, best.in_order[0]
    whole = run.lacks_rows and selection.folds <= MANY_FOLDS and selection.affords_all(best, run, last)
    return end - last * whole - questioning_seconds(selection, best)
