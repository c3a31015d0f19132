"""Rules of a search from textbooks, which take the place of the comparisons and the improvements of `runge.search`.

They train all candidates on all rows, have three quarters of the time, and no variation of a candidate. The networks of
the answer are trained as those of `runge fit` are.

References:
    K. Jamieson, A. Talwalkar (2016). Non-stochastic best arm identification and hyperparameter optimization.
    https://arxiv.org/abs/1502.07943
    L. Li et al. (2018). Hyperband: a novel bandit-based approach to hyperparameter optimization.
    https://arxiv.org/abs/1603.06560
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from runge.search.moves import next_moves
from runge.search.refits import conclude
from runge.search.results import Move
from runge.search.standing import Standing
from runge.search.state import State

Rule = Callable[[State], tuple[Sequence[Move], str]]
"""A function that returns the next trials, and why, as `runge.search.moves.next_moves`."""

SHARE = 0.75
"""The share of the time after which the networks of the answer are trained, which is what `runge fit` keeps at most."""


def all_equal(state: State, _round: int) -> list[Move]:
    """Train all candidates for the same time."""
    return [] if _round else _together(state, list(state.standings.values()), _left(state))


def successive_halving(state: State, number: int, ratio: float = 2.0) -> list[Move]:
    """Train all candidates, then the better half further, and so on, with the same time for each round."""
    rounds = max(1, math.ceil(math.log(len(state.listed), ratio)))
    if number >= rounds:
        return []
    kept = _ranked(state)[: math.ceil(len(state.listed) / ratio**number)]
    return _together(state, kept, _left(state) / (rounds - number))


def hyperband(state: State, number: int, ratio: float = 3.0) -> list[Move]:
    """Divide the time among brackets of successive halving, with fewer and fewer candidates, which are drawn."""
    count = len(state.listed)
    most = math.floor(math.log(count, ratio) + 1e-9)
    plan = [(bracket, rung) for bracket in range(most, -1, -1) for rung in range(bracket + 1)]
    if number >= len(plan):
        return []
    bracket, rung = plan[number]
    drawn = min(count, math.ceil((most + 1) / (bracket + 1) * ratio**bracket))
    members = np.random.default_rng(bracket).permutation(sorted(state.listed))[:drawn]
    kept = [standing for standing in _ranked(state) if standing.name in members]
    return _together(state, kept[: max(1, int(drawn / ratio**rung))], _left(state) / (len(plan) - number))


def best_so_far(state: State, number: int, first: float = 0.2, slices: int = 20) -> list[Move]:
    """Train all candidates for a short time, then always the best one that may gain for a further slice.

    Args:
        state: the state.
        number: the number of the round.
        first: the share of the time for the first trials.
        slices: the slices of the time.
    """
    if number == 0:
        return _together(state, _ranked(state), first * _left(state))
    gaining = [standing for standing in state.ranked if standing.continues]
    return _together(state, gaining[:1], min(_left(state), SHARE * state.conditions.end / slices))


def with_answer(rule: Callable[[State, int], list[Move]]) -> Rule:
    """Return a rule that is asked in rounds, and then trains the networks of the answer."""

    def moves(state: State) -> tuple[Sequence[Move], str]:
        number = 1 + max((-1 if move.rung is None else move.rung for move in state.moves.values()), default=-1)
        if state.running:
            return [], ""
        if not state.winner and _left(state) > 2 * state.set_up and (found := rule(state, number)):
            return [move._replace(rung=number) for move in found], f"round {number + 1}"
        return conclude(state)

    return moves


def _left(state: State) -> float:
    return state.left(SHARE * state.conditions.end)


def _ranked(state: State) -> list[Standing]:
    """Return all candidates, the best ones first, and those that have no network last."""
    return sorted(state.standings.values(), key=lambda standing: standing.error)


def _together(state: State, standings: Sequence[Standing], seconds: float) -> list[Move]:
    """Return trials on all rows that take some seconds together, without the candidates that cannot gain."""
    pairs = list[tuple[Standing, int]]()
    for standing in standings:
        known = standing.by_fold
        folds = [fold for fold in range(state.conditions.judges) if fold not in known or known[fold].may_gain]
        pairs += [(standing, fold) for fold in folds]
    moves = list[Move]()
    for standing, fold in pairs:
        candidate, network = standing.candidate, standing.by_fold.get(fold)
        start = None if network is None or candidate.has_fixed_neurons else network.number
        each = seconds * min(1.0, state.conditions.cores / len(pairs))
        moves.append(Move(candidate.listed, candidate.changes, fold, each, start=start))
    return moves


RULES: Mapping[str, Rule] = {
    "runge fit": next_moves,
    "all equal": with_answer(all_equal),
    "successive halving": with_answer(successive_halving),
    "Hyperband": with_answer(hyperband),
    "best so far": with_answer(best_so_far),
}
"""The rules by their names."""
