"""The last trials of a search: on further folds, of the answer, and those by which its intervals are calibrated."""

import math
from collections.abc import Sequence

from runge.search.constants import (
    AS_GOOD_FACTOR,
    JUDGING_TIME,
    LEAST_SET_UPS,
    MANY_FOLDS,
    QUESTIONING_SET_UPS,
    QUESTIONING_SHARE,
    REDRAWN_SHARE,
    STEPS_GROWTH,
    STEPS_ON_ALL_ROWS,
    WINNER_STEPS_SHARE,
)
from runge.search.paces import affords_all, pace_on_all, seconds_of, share_of, step_of, threads_of
from runge.search.results import Move
from runge.search.standing import Network, Standing
from runge.search.state import State

__all__ = ["beginning", "conclude", "improved_until", "judge_further"]


def conclude(state: State) -> tuple[Sequence[Move], str]:
    """Return the trials of the answer.

    Networks of fixed neurons, and by a gradient that has come to rest, are trained with newly drawn weights: on all
    rows, with several seeds, and without each of the other folds. Other ones continue on all rows with the weights that
    were judged, because new weights may end in a worse minimum. Then networks leave out the other folds.
    """
    best, left = state.ranked[0], state.left()
    which = "all rows" if best.candidate.share is None else "their rows"
    if not state.conditions.of_table or state.running or left <= 0:
        return [], ""
    begun = any(move.of_answer and move.fold is None and move.start is None for move in state.moves.values())
    if begun or (_draws_again(best) and left >= seconds_of(state, best)):
        moves, what = _redrawn(state, best, left), f"on {which} and without each fold"
    elif moves := _on_all_rows(state, best):
        what = f"on {which}"
    else:
        moves, what = _crossing(state, best), "without each fold"
    why = f"{best.name} {what}, {len(moves)} network{'s' * (len(moves) > 1)}" if moves else ""
    return [move._replace(of_answer=True) for move in moves], why


def _draws_again(best: Standing) -> bool:
    return best.candidate.has_fixed_neurons or (best.candidate.by_gradient and not best.continues)


def _redrawn(state: State, best: Standing, left: float) -> list[Move]:
    """Return trials with newly drawn weights. The intervals of the mean of some seeds follow from further such means.

    These leave out a fold each. The rate of a gradient method falls until its last step: in the midst of a longer run,
    the weights of its best step would scatter far more.
    """
    conditions, most = state.conditions, state.conditions.cores * int(left / seconds_of(state, best))
    done = {(move.fold, move.seed) for move in state.moves.values() if move.of_answer}
    every = [(fold, seed) for seed in range(conditions.seeds) for fold in (None, *range(conditions.crossed))]
    pairs = [(fold, seed) for fold, seed in every if seed or fold not in best.by_fold]
    pairs = [pair for pair in pairs if pair not in done][:most]
    seconds = left / max(1, -(-len(pairs) // conditions.cores))  # they are trained in rounds
    stop_at, planned = step_of(best), max(best.last_step, best.candidate.settings.trainer.max_steps)
    steps = stop_at if best.candidate.by_gradient else planned
    move = Move(best.candidate.listed, best.candidate.changes, None, seconds, stop_at=stop_at, steps=steps)
    return [move._replace(fold=fold, seed=seed) for fold, seed in pairs]


def _on_all_rows(state: State, best: Standing) -> list[Move]:
    """Return trials that continue with the weights of the winner on all rows, if that helps and there is time.

    They go on until the loss on all rows is as small as it was on the rows on which the weights were trained.
    """
    starts, conditions = list[Network](), state.conditions
    failed = {state.moves[n].start for n, x in state.results.items() if x.failure and state.moves[n].of_answer}
    for network in best.in_order:
        last = next((x for x in best.refits if state.origin(x.move) == network.number), network)
        is_over = last.result.end != "steps" or last.result.loss <= network.result.loss or best.candidate.by_gradient
        if network.result.lacks_rows and (last is network or not is_over) and last.number not in failed:
            starts.append(last)
    began = min((move.at for move in state.moves.values() if move.of_answer), default=state.now)
    left = min(state.left(began + _seconds_on_all_rows(state, best)), state.left())
    seconds = left * conditions.cores / max(len(starts), conditions.cores)
    threads = threads_of(best, conditions.cores // max(len(starts), 1))
    move = Move(best.candidate.listed, best.candidate.changes, None, seconds, threads=threads)
    moves = list[Move]()
    for last in starts:
        if affords_all(state, best, last, seconds - state.set_up, threads):
            steps = STEPS_ON_ALL_ROWS if last.move.fold is not None else STEPS_GROWTH * last.result.steps
            moves.append(move._replace(start=last.number, steps=None if best.candidate.by_gradient else steps))
    return moves


def _crossing(state: State, best: Standing) -> list[Move]:
    """Return trials of a winner, one for each fold that no network of it has left out.

    If it falls, there is no time for as many steps. They are on as few rows as its first trial then, and only question
    the labels: on more rows they would be far worse. With its own seed, they would judge the candidate.
    """
    conditions, candidate = state.conditions, best.candidate
    folds = [fold for fold in range(conditions.crossed) if fold not in best.by_fold]
    if any(move.of_answer and move.fold is not None for move in state.moves.values()):
        return []
    seconds = _crossing_seconds(state, best) * conditions.cores / max(len(folds), conditions.cores)
    move = Move(candidate.listed, candidate.changes, None, seconds, seed=1)
    if best.continues:
        move = move._replace(share=share_of(state, candidate, None, seconds) or best.in_order[0].move.share)
    else:
        move = move._replace(stop_at=step_of(best), steps=step_of(best), share=best.in_order[0].move.share)
    return [move._replace(fold=fold) for fold in folds if seconds]


def _crossing_seconds(state: State, best: Standing) -> float:
    """Return the seconds of the trials that leave out further folds; 0: there are none, or they would be too short."""
    conditions = state.conditions
    trials = (conditions.crossed - len(best.by_fold)) / conditions.cores
    if not best.continues:
        return min(math.ceil(trials) * seconds_of(state, best), REDRAWN_SHARE * conditions.end, state.left())
    set_ups = trials * state.set_up
    seconds = min(QUESTIONING_SET_UPS * set_ups, QUESTIONING_SHARE * conditions.end, state.left())
    return seconds if set_ups > 0 and seconds >= LEAST_SET_UPS * set_ups else 0.0


def beginning(state: State, move: Move) -> Move:
    """Return a trial as it begins now, perhaps later than planned: it has at most the time that is left.

    A trial that improves a candidate leaves the networks of the answer theirs.
    """
    improves = move.rung is None and not move.of_answer and bool(state.ranked)
    until = improved_until(state, state.ranked[0]) if improves else None
    return move._replace(at=state.now, seconds=min(move.seconds, max(state.left(until), 0.0)))


def judge_further(state: State, seconds: float) -> tuple[Sequence[Move], str] | None:
    """Return trials that judge the candidates that may be the best on a further fold; None: no fold or time is left.

    With much noise, the rows of the first folds do not show which candidate is the best, and more networks are better.
    The candidates have all rows: on a further fold, a network that began with few would not be like the other ones.
    """
    conditions, fold = state.conditions, state.judges
    if fold >= conditions.crossed or state.running:
        return None
    moves, left = list[Move](), seconds * conditions.cores
    for standing in state.contenders:
        candidate, needed = standing.candidate, JUDGING_TIME * standing.seconds + state.set_up
        steps = None if candidate.has_fixed_neurons else standing.last_step
        if standing.has_all_rows and needed <= min(left, seconds):
            moves.append(Move(candidate.listed, candidate.changes, fold, needed, steps=steps))
            left -= needed
    names = [state.candidate_of(move).name for move in moves]
    if len(moves) < 2 or state.ranked[0].name not in names:
        return None
    return moves, f"{', '.join(names)} without fold {fold}, because any may be the best"


def improved_until(state: State, best: Standing) -> float:
    """Return the time until which candidates are improved, such that the networks of the answer have what is left.

    Newly drawn networks have at most a quarter of the time. Only those of fixed neurons have all the time that they
    need; if there are rivals, which are as good and may gain from more steps, a quarter, or the time of one of them.
    """
    conditions, end = state.conditions, state.conditions.end
    if not conditions.of_table:
        return end
    if _draws_again(best):
        networks = 1 + conditions.crossed - len(best.by_fold)  # of all rows, and without each fold that did not judge
        seconds, most = -(-networks // conditions.cores) * seconds_of(state, best), REDRAWN_SHARE * end
        if best.candidate.has_fixed_neurons:
            rivals = [x for x in state.ranked[1:] if x.continues and x.error <= AS_GOOD_FACTOR * best.error]
            most = max(most, seconds_of(state, best)) if rivals else seconds
        return end - min(seconds, most)
    return end - _seconds_on_all_rows(state, best) - _crossing_seconds(state, best)


def _seconds_on_all_rows(state: State, best: Standing) -> float:
    """Return the seconds for continuing the winner on all rows, with as many steps as it has had at most; 0: none."""
    conditions, most = state.conditions, (1 - WINNER_STEPS_SHARE) * state.conditions.end
    lacking = [x for x in best.in_order if x.result.lacks_rows]
    threads = threads_of(best, conditions.cores // max(len(lacking), 1))
    if not lacking or conditions.folds > MANY_FOLDS or not affords_all(state, best, lacking[0], most, threads):
        return 0.0
    if best.candidate.by_gradient:
        return most
    as_before = int(lacking[0].result.history["step"][-1]) * pace_on_all(state, best, lacking[0])
    return min(most, 2 * state.set_up + -(-len(lacking) // conditions.cores) * as_before)
