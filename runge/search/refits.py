"""The last trials of a search: the networks of the answer, and those by which its intervals are calibrated."""

from collections.abc import Sequence

from runge.search.constants import (
    AS_GOOD_FACTOR,
    LEAST_SET_UPS,
    MANY_FOLDS,
    QUESTIONING_SET_UPS,
    QUESTIONING_SHARE,
    REDRAWN_SHARE,
    WINNER_STEPS_SHARE,
)
from runge.search.paces import affords_all, seconds_of, share_of, step_of
from runge.search.results import Move
from runge.search.state import Standing, State

__all__ = ["conclude", "improved_until"]


def conclude(state: State) -> tuple[Sequence[Move], str]:
    """Return the trials of the answer.

    A winner that needs no more steps is trained with newly drawn weights: on all rows, with several seeds, and without
    each of the other folds. A winner whose error was still falling, or whose new networks would take too long,
    continues on all rows. Short trials then leave out the other folds: they only question the labels there.
    """
    best, left = state.ranked[0], state.left()
    if not state.conditions.of_table or state.running or left <= 0:
        return [], ""
    begun = any(move.of_answer for move in state.moves.values())
    if not best.continues and left >= seconds_of(state, best):
        moves, what = _redrawn(state, best, left), "on all rows and without each fold"
    else:
        moves, what = [] if begun else [*_on_all_rows(state, best, left), *_questioning(state, best)], "on all rows"
    why = f"{best.name} {what}, {len(moves)} networks" if moves else ""
    return [move._replace(of_answer=True) for move in moves], why


def _redrawn(state: State, best: Standing, left: float) -> list[Move]:
    """Return trials with newly drawn weights. The intervals of the mean of some seeds follow from further such means.

    These leave out a fold each.
    """
    conditions, most = state.conditions, state.conditions.cores * int(left / seconds_of(state, best))
    done = {(move.fold, move.seed) for move in state.moves.values() if move.of_answer}
    every = [(fold, seed) for seed in range(conditions.seeds) for fold in (None, *range(conditions.crossed))]
    pairs = [(fold, seed) for fold, seed in every if seed or fold not in best.by_fold][:most]
    pairs = [pair for pair in pairs if pair not in done]
    seconds = left / max(1, -(-len(pairs) // conditions.cores))  # they are trained in rounds
    stop_at, last = step_of(best), max(int(x.history["step"][-1]) for x in best.results)
    planned = 0 if best.candidate.by_gradient else best.candidate.settings.trainer.max_steps
    move = Move(best.candidate.listed, best.candidate.changes, None, seconds, stop_at=stop_at)
    return [move._replace(fold=fold, seed=seed, steps=max(stop_at, last, planned)) for fold, seed in pairs]


def _on_all_rows(state: State, best: Standing, left: float) -> list[Move]:
    """Return trials that continue with the weights of the winner on all rows, if that helps and there is time."""
    if best.candidate.has_fixed_neurons:
        return []
    starts, cores = [x for x in best.in_order if x.result.lacks_rows], state.conditions.cores
    seconds = (left - _questioning_seconds(state, best)) * cores / max(len(starts), cores)
    starts = [x for x in starts if affords_all(state, best, x, seconds - state.set_up)]
    candidate = best.candidate
    return [Move(candidate.listed, candidate.changes, None, seconds, start=network.number) for network in starts]


def _questioning(state: State, best: Standing) -> list[Move]:
    """Return short trials of a winner, one for each fold that no network of it has left out.

    They are on as few rows as the first comparison: in such a time a network of all rows would be far worse. With its
    own seed, a trial on a further fold would judge the candidate.
    """
    conditions, candidate, used = state.conditions, best.candidate, best.in_order[0].move.share
    folds = [fold for fold in range(conditions.crossed) if fold not in best.by_fold]
    seconds = _questioning_seconds(state, best) * conditions.cores / max(len(folds), 1)
    share = share_of(state, candidate, None, seconds) or used
    move = Move(candidate.listed, candidate.changes, None, seconds, share, seed=1)
    return [move._replace(fold=fold) for fold in folds if seconds]


def _questioning_seconds(state: State, best: Standing) -> float:
    """Return the seconds of the trials that question the labels; 0: there are none, or they would be too short."""
    end, set_up, conditions = state.conditions.end, state.set_up, state.conditions
    set_ups = set_up * (conditions.crossed - len(best.by_fold)) / conditions.cores
    seconds = min(QUESTIONING_SET_UPS * set_ups, QUESTIONING_SHARE * end, state.left())
    return seconds if set_ups > 0 and seconds >= LEAST_SET_UPS * set_ups else 0.0


def improved_until(state: State, best: Standing) -> float:
    """Return the time until which candidates are improved, such that the networks of the answer have what is left.

    A winner that continues can have all of the time if it does not lack rows, or has nearly all rows. The answer of a
    winner that does not continue consists of networks with newly drawn weights, which have at most a quarter of the
    time. Only networks of fixed neurons have all the time that they need. If there are rivals, which are as good and
    may gain from more steps, they have a quarter, or the time of one such network.
    """
    conditions, end = state.conditions, state.conditions.end
    if not conditions.of_table:
        return end
    if not best.continues:
        seconds, most = _redrawing_seconds(state, best), REDRAWN_SHARE * end
        if best.candidate.has_fixed_neurons:
            rivals = [x for x in state.ranked[1:] if x.continues and x.error <= AS_GOOD_FACTOR * best.error]
            most = max(most, seconds_of(state, best)) if rivals else seconds
        return end - min(seconds, most)
    last, network = (1 - WINNER_STEPS_SHARE) * end, best.in_order[0]
    lacks = network.result.lacks_rows and conditions.folds <= MANY_FOLDS
    whole = lacks and affords_all(state, best, network, last)
    return end - last * whole - _questioning_seconds(state, best)


def _redrawing_seconds(state: State, best: Standing) -> float:
    """Return the seconds of the networks of the answer if all of them have newly drawn weights.

    They are a network of all rows, and one without each fold that has not judged the winner.
    """
    networks = 1 + state.conditions.crossed - len(best.by_fold)
    return -(-networks // state.conditions.cores) * seconds_of(state, best)
