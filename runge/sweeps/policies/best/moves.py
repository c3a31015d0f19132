"""Variations and further seeds of the best candidate of a search, and the time until which it is improved."""

from collections.abc import Sequence
from dataclasses import replace

from runge.sweeps.policies.best.answer import questioning_seconds, seconds_anew
from runge.sweeps.policies.best.candidates import Candidate
from runge.sweeps.policies.best.constants import (
    MANY_FOLDS,
    REDRAWN_SHARE,
    RESTARTS,
    SAME_MINIMUM_FACTOR,
    WINNER_STEPS_SHARE,
)
from runge.sweeps.policies.best.selection import Selection

__all__ = ["improved_until", "restarts", "variations"]


def improved_until(selection: Selection, best: Candidate, rivals: Sequence[Candidate], end: float) -> float:
    """Return the time until which candidates are improved, such that the networks of the answer have what is left.

    A winner that needs more steps can have all of the time if it does not lack rows, or has nearly all of them. New
    networks of another one have at most a quarter of the time. Fixed neurons, which cannot continue, have all that they
    need, or with rivals one of them has.

    Args:
        selection: the candidates.
        best: the best one.
        rivals: those that are as good, and may gain from more steps.
        end: the time at which training ends, in seconds.
    """
    run = best.in_order[0]
    if selection.table is None:
        return end
    if not best.continues:
        seconds, most = seconds_anew(selection, best), REDRAWN_SHARE * end
        if best.member.optimizer.last_layer_alone:
            most = max(most, selection.seconds_of(best)) if rivals else seconds
        return end - min(seconds, most)
    last = (1 - WINNER_STEPS_SHARE) * end
    whole = run.lacks_rows and selection.folds <= MANY_FOLDS and selection.affords_all(best, run, last)
    return end - last * whole - questioning_seconds(selection, best, end)


def variations(selection: Selection, best: Candidate, end: float) -> list[Candidate]:
    """Return the variations of a candidate that are new, and have time until the end.

    Runs of fixed neurons cannot be cut: there must be time to judge them, and to train the answer. Others take the time
    that they get.
    """
    runs = selection.judges + (selection.crossed if selection.table else 0)
    left = selection.left(end) * selection.processes
    affordable = list[Candidate]()
    for variation in selection.factory.variations(_with_first_seed(selection, best)):
        seconds = best.seconds * variation.member.work() / best.member.work()
        affords = not variation.member.optimizer.last_layer_alone or runs * seconds <= left
        if affords and variation.name not in selection.candidates:
            affordable.append(variation)
    return affordable


def restarts(selection: Selection, best: Candidate, seeds: int, end: float) -> list[Candidate]:
    """Return a candidate with further seeds, until a second seed has found the same minimum.

    They have the time that the networks of the answer leave. Fixed neurons have one minimum.

    Args:
        selection: the candidates.
        best: the best one.
        seeds: how many networks, which differ in their seed, the answer has at most.
        end: the time at which training ends, in seconds.
    """
    first = _with_first_seed(selection, best)
    same = [x for x in selection.candidates.values() if _with_first_seed(selection, x) is first]
    equal = sum(x.error <= SAME_MINIMUM_FACTOR * best.error for x in same)
    if selection.table is None or best.member.optimizer.last_layer_alone or equal > 1:
        return []
    count = min(-(-selection.processes // selection.judges), RESTARTS + 1 - len(same))
    # They also have steps after their best ones.
    runs = seeds * (selection.crossed + 1) + 2 * count * selection.judges
    if runs * selection.seconds_of(best) > selection.left(end) * selection.processes:
        return []
    numbers = [first.member.seed.seed + seeds * (len(same) + i) for i in range(count)]
    return [replace(selection.factory.changed(first, {"seed": seed}), first_seed=first.name) for seed in numbers]


def _with_first_seed(selection: Selection, candidate: Candidate) -> Candidate:
    """Return the candidate that a candidate is, apart from its seed."""
    return selection.candidates[candidate.first_seed or candidate.name]
