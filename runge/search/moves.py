"""The rule of a search: which trials are next, a pure function of its state.

A held-out fold of the rows judges all candidates, or several folds if there are few rows. First the candidates are
compared in rounds of equal time (`compare`). Fewer and fewer of them continue: those whose curves fall to the smallest
errors, and whatever had the smallest error before. Then the best ones have all of the time, as long as that reduces the
error (`IMPROVEMENTS`), and at last the networks of the answer are trained (`runge.search.refits`). The rows of a trial
follow from what its candidate lacks (`runge.search.paces.share_of`).

References:
    K. Jamieson, A. Talwalkar (2016). Non-stochastic best arm identification and hyperparameter optimization.
    https://arxiv.org/abs/1502.07943
    L. Li et al. (2018). Hyperband: a novel bandit-based approach to hyperparameter optimization.
    https://arxiv.org/abs/1603.06560
"""

import math
from collections.abc import Callable, Mapping, Sequence

from runge.search.candidates import Candidate
from runge.search.constants import (
    AS_GOOD_FACTOR,
    COMPARISON_SHARE,
    LEAST_FALL,
    LEAST_SET_UPS,
    LEAST_SLICE_SECONDS,
    PROMOTION_RATIO,
    RESTARTS,
    RIVAL_FACTOR,
    SAME_MINIMUM_FACTOR,
    WIDER_COST,
)
from runge.search.paces import affords_larger, is_worthwhile, seconds_of, share_of, threads_of
from runge.search.refits import conclude, improved_until, judge_further
from runge.search.results import Move
from runge.search.standing import Standing
from runge.search.state import State

__all__ = ["IMPROVEMENTS", "compare", "entrants", "improve", "next_moves"]


def next_moves(state: State) -> tuple[Sequence[Move], str]:
    """Return the next trials, and why; none: wait for one that is running, or, if there is none, the search has ended.

    It is asked whenever a process is free and all trials that it has named have begun.
    """
    if found := compare(state):
        return found
    if any(move.rung is not None for move in state.running) or not state.ranked:
        return [], ""
    if not state.winner and (found := improve(state)):
        return found
    return conclude(state)


# The comparisons.


def entrants(state: State, rung: int) -> list[Standing]:
    """Return the candidates of a comparison, given the state of those before.

    They are at first all of them, with the logarithms that the search has chosen, but of fixed neurons only one for
    each method, because its trials cannot be cut.
    """
    first = {type(x.settings.optimizer): x for x in [*state.listed.values()][::-1] if x.has_fixed_neurons}
    if rung == 0:
        every = state.standings.values()
        return [x for x in every if first.get(type(x.candidate.settings.optimizer), x.candidate) is x.candidate]
    ranked = sorted(state.ranked, key=lambda x: x.expected())
    most = math.ceil(len(state.listed) / PROMOTION_RATIO**rung)
    most = -(-most // state.conditions.cores) * state.conditions.cores  # so that no process waits
    close = RIVAL_FACTOR * ranked[0].expected() if ranked else 0.0
    chosen = ranked[:most] + [x for x in ranked[most:] if x.expected() <= close or x.has_few_steps][:most]
    new = _newcomers(state, chosen, ranked) if rung == 1 else []
    earlier = {found[0].name for i in range(1, rung + 1) if (found := state.before(i).ranked)}
    return chosen + [x for x in ranked if x.name in earlier and x not in chosen] + new


def _newcomers(state: State, continuing: Sequence[Standing], ranked: Sequence[Standing]) -> list[Standing]:
    """Return candidates that enter the second comparison.

    They are the ones that continue without their logarithms, other fixed neurons of their methods, and two others with
    a network for each output: the best one, and one of few weights, because a single output may need fewer.
    """
    methods = {type(x.candidate.settings.optimizer) for x in continuing if x.candidate.has_fixed_neurons}
    others = [x for x in state.standings.values() if not x.by_fold and not x.failure]
    new = [x for x in others if type(x.candidate.settings.optimizer) in methods]
    if "data.log10" not in state.conditions.fixed:
        new += [Standing(x.candidate.varied({"data.log10": []})) for x in continuing if x.candidate.logs]
    solved = [x.candidate for x in ranked if not x.candidate.is_of_values]
    solved = [x for x in solved if not (x.by_gradient or x.has_fixed_neurons)]
    if not state.conditions.may_separate or not solved:
        return new
    best, *others = [x.varied({"separate": True}) for x in solved]
    few = [x for x in sorted(others, key=state.conditions.weights_of) if x.name != best.name]
    return new + [Standing(x) for x in (best, *few[:1])]


def compare(state: State) -> tuple[Sequence[Move], str] | None:
    """Return the trials of the next comparison; None: there is none, or one is running."""
    conditions = state.conditions
    if state.running or any(move.rung is None for move in state.moves.values()):
        return None
    rounds = max(2, math.ceil(math.log(len(state.listed), PROMOTION_RATIO)))
    begun = {(state.candidate_of(x).name, x.fold, x.rung) for x in state.moves.values()}
    first = min((move.at for move in state.moves.values()), default=state.now)
    left = state.left(first + COMPARISON_SHARE * (conditions.end - first))
    for rung in range(rounds):
        before = state.before(rung)
        chosen, folds = entrants(before, rung), range(conditions.judges)
        pairs = [(x.candidate, fold) for x in chosen for fold in folds if _may_gain(before, x.candidate, fold)]
        seconds = left / (rounds - rung) * min(1.0, conditions.cores / max(len(pairs), 1))
        missing = [(x, fold) for x, fold in pairs if (x.name, fold, rung) not in begun]
        # Those that enter late have the time of the comparison before, too.
        moves = [
            _judged(before, x, fold, (1 if before.standing_of(x).by_fold else rung + 1) * seconds)._replace(rung=rung)
            for x, fold in missing
        ]
        moves = [move for move in moves if rung == 0 or is_worthwhile(before, move)]
        if moves:
            is_enough = rung == 0 or seconds >= LEAST_SET_UPS * state.set_up
            return (moves, _describe_rung(before, moves, chosen)) if is_enough else None
    return None


def _describe_rung(state: State, moves: Sequence[Move], chosen: Sequence[Standing]) -> str:
    conditions = state.conditions
    if moves[0].rung == 0:
        shares = [x.share or state.candidate_of(x).share for x in moves]
        rows = {round(share * conditions.all_rows) if share else conditions.training_rows for share in shares}
        where = f" on {' to '.join(map(str, sorted({min(rows), max(rows)})))} rows" if conditions.of_table else ""
        return f"{len(chosen)} candidate{'s' * (len(chosen) > 1)}{where}"
    names = ", ".join(f"{x.name} ({x.error:.1e})" if x.by_fold else x.name for x in chosen)
    dropped = [x for x in state.ranked if x not in chosen]
    why = f"; {len(dropped)} have larger errors, from {min(x.error for x in dropped):.1e}" if dropped else ""
    return f"{names}{why}"


# The improvements, each of which returns the candidates that it trains.


def without_logarithms(state: State, seconds: float) -> list[Candidate]:
    """Train the best candidate without logarithms, if the comparisons ended before any was."""
    if "data.log10" in state.conditions.fixed or not all(x.candidate.logs for x in state.standings.values()):
        return []
    return [state.ranked[0].candidate.varied({"data.log10": []})]


def continued(state: State, seconds: float) -> list[Candidate]:
    """Continue the candidates that may be the best ones at the end, if the first of them falls enough, or has new rows.

    If the best one of a formula lacks points, more steps do not help.
    """
    first, *_ = _rivals(state, seconds)
    is_new = first.candidate.has_fixed_neurons or any(network.grows for network in first.in_order)
    falls = is_new or first.expected(seconds) <= LEAST_FALL * first.error
    return continued_slowly(state, seconds) if falls and _gains(state, first, seconds) else []


def continued_slowly(state: State, seconds: float) -> list[Candidate]:
    """Continue them although the first of them falls slowly, as long as more steps may help."""
    if not state.conditions.of_table and state.ranked[0].results[0].lacks_rows:
        return []
    return [x.candidate for x in _rivals(state, seconds) if _gains(state, x, seconds)]


def larger(state: State, seconds: float) -> list[Candidate]:
    """Train the best candidate with twice its width, and with a further layer.

    Nothing is gained by it where noise decides: one of twice the weights, at rest, is then as good as another.
    Trials of fixed neurons cannot be cut: there must be time to judge them, and to train the answer.
    """
    best, conditions = state.ranked[0], state.conditions
    as_good = [x for x in state.contenders if not x.may_gain and x.error <= AS_GOOD_FACTOR * best.error]
    weights = [conditions.weights_of(x.candidate) for x in as_good]
    if max(weights, default=0) > 2 * min(weights, default=0):
        return []
    needed = (conditions.judges + conditions.crossed) * WIDER_COST * best.seconds
    if best.candidate.has_fixed_neurons and needed > state.left() * conditions.cores:
        return []
    varied = state.unseeded(best.candidate).larger(conditions.fixed, best.results[0].metric("slope"))
    return [x for x in varied if x.name not in state.standings and affords_larger(state, best, x, seconds / 2)]


def reseeded(state: State, seconds: float) -> list[Candidate]:
    """Train the best candidate of a table with further seeds, until a second seed has found the same minimum.

    There must be time for as many steps as it has had, and as many again. Fixed neurons have one minimum.
    """
    best, conditions = state.ranked[0], state.conditions
    same = [x for x in state.standings.values() if x.candidate.kind == best.candidate.kind]
    equal = sum(x.error <= SAME_MINIMUM_FACTOR * best.error for x in same)
    if not conditions.of_table or best.candidate.has_fixed_neurons or equal > 1:
        return []
    count = min(-(-conditions.cores // conditions.judges), RESTARTS + 1 - len(same))
    if 2 * count * conditions.judges * seconds_of(state, best) > seconds * conditions.cores:
        return []
    first = state.unseeded(best.candidate)
    numbers = [first.settings.seed.seed + conditions.seeds * (len(same) + i) for i in range(count)]
    return [first.varied({"seed": number}) for number in numbers]


IMPROVEMENTS: Mapping[Callable[[State, float], list[Candidate]], str] = {
    without_logarithms: "because inputs may be better than their logarithms",
    continued: "because more steps may reduce the error",
    larger: "because it may have a smaller error than {best}",
    reseeded: "because another seed may find another minimum",
    continued_slowly: "because more steps may still reduce the error",
}
"""The moves, the preferred one first, and their reasons, in which `best` is the name of the best candidate.

A move returns the candidates that it trains on the folds that judge, given a state and the seconds that are left for
moves.
"""


def improve(state: State) -> tuple[Sequence[Move], str] | None:
    """Return the trials of the first move that has some, for the free processes; None: there are none."""
    conditions, best = state.conditions, state.ranked[0]
    seconds = state.left(improved_until(state, best))
    if seconds <= LEAST_SET_UPS * state.set_up:
        return None
    if state.judges > conditions.judges:
        return judge_further(state, seconds)
    busy = {(state.candidate_of(move).name, move.fold) for move in state.running}
    for move, why in IMPROVEMENTS.items():
        found = move(state, seconds)
        pairs = [(x, fold) for x in found for fold in range(conditions.judges) if (x.name, fold) not in busy]
        pairs = [(x, fold) for x, fold in pairs if _may_gain(state, x, fold)]
        chosen = list(dict.fromkeys(x.name for x, _ in pairs))[: max(1, state.free // conditions.judges)]
        pairs = [(x, fold) for x, fold in pairs if x.name in chosen]
        if not pairs:
            continue
        first = state.standing_of(pairs[0][0])
        if first.name not in state.standings and _is_nearly_judged(state):
            return [], ""  # what is larger follows from it
        threads = threads_of(first if first.by_fold else best, conditions.cores // len(found) // conditions.judges)
        if threads > 1 and threads * len(pairs) > state.free:
            if max(move.at + move.seconds for move in state.running) <= state.now + LEAST_SLICE_SECONDS:
                return [], ""  # others end soon
            threads = max(1, state.free // len(pairs))
        # The rate of a gradient method falls in a run, and would rise again in the next one.
        part = seconds
        if not all(x.by_gradient for x, _ in pairs):
            part = max(seconds / 4, min(seconds, LEAST_SLICE_SECONDS))
        # Each fold has as much time, although a processor may be busy.
        part = min(part * min(1.0, conditions.cores / len(pairs)), seconds * state.free / len(pairs))
        moves = [_improving(state, best, x, fold, part)._replace(threads=threads) for x, fold in pairs]
        moves = [move for move in moves if is_worthwhile(state, move)]
        if moves:
            return moves, f"{' and '.join(chosen)} for {part:.0f} s, {why.format(best=best.name)}"
    return judge_further(state, seconds)


def _rivals(state: State, seconds: float) -> list[Standing]:
    """Return the candidates that may be the best ones at the end, by where their curves go, the best one first."""
    listed = [x for x in state.ranked if x.candidate.is_of_values or not state.wrong]
    most = RIVAL_FACTOR * min(x.expected(seconds) for x in listed)
    return sorted([x for x in listed if x.expected(seconds) <= most], key=lambda x: x.expected(seconds))


def _gains(state: State, standing: Standing, seconds: float) -> bool:
    """Return whether more steps may help a candidate; newly drawn weights need more time than it has had."""
    redrawn = sum(result.seconds for result in standing.results) if standing.candidate.has_fixed_neurons else -math.inf
    return standing.may_gain and seconds / 2 * state.conditions.cores > redrawn


def _is_nearly_judged(state: State) -> bool:
    """Return whether a candidate that some folds have judged will soon have been judged by the others."""
    running = [(state.standing_of(state.candidate_of(move)), move.at) for move in state.running]
    partly = [at + x.seconds for x, at in running if 0 < len(x.by_fold) < state.conditions.judges]
    return bool(partly) and max(partly) <= state.now + LEAST_SLICE_SECONDS


def _may_gain(state: State, candidate: Candidate, fold: int) -> bool:
    network = state.standing_of(candidate).by_fold.get(fold)
    return network is None or network.may_gain


def _improving(state: State, best: Standing, candidate: Candidate, fold: int, seconds: float) -> Move:
    """Return a trial that improves a candidate, or a new one in as many steps as the best one has had."""
    move = _judged(state, candidate, fold, seconds)
    if candidate.name not in state.standings:
        has_more_points = "data.n_train" in candidate.changes and not candidate.has_fixed_neurons
        start = best.in_order[0].number if has_more_points else None
        steps = max(candidate.settings.trainer.max_steps, int(best.results[0].history["step"][-1]))
        plans = candidate.by_gradient or candidate.has_fixed_neurons
        return move._replace(start=start, steps=None if plans else steps)
    return move


def _judged(state: State, candidate: Candidate, fold: int, seconds: float) -> Move:
    """Return a trial that judges a candidate on a fold, and begins with its weights there if there are some."""
    network = state.standing_of(candidate).by_fold.get(fold)
    start = None if network is None or candidate.has_fixed_neurons else network.number
    share = share_of(state, candidate, network, seconds)
    return Move(candidate.listed, candidate.changes, fold, seconds, share, start=start)
