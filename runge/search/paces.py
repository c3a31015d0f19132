"""What steps and networks of a candidate should take, by what its trials have taken."""

import math

import numpy as np

from runge.search.candidates import Candidate
from runge.search.constants import (
    GROWING_SHARE,
    LEAST_ROW_GROWTH,
    LEAST_STEPS_ON_ALL_ROWS,
    LEAST_STEPS_ON_MORE_ROWS,
    MOST_ROW_GROWTH,
    OWN_PROCESSOR_SHARE,
    SHARED_STEP_SECONDS,
    THREADS_POWER,
    TIME_MARGIN,
)
from runge.search.results import Move
from runge.search.standing import Network, Standing
from runge.search.state import State

__all__ = [
    "affords_all",
    "affords_larger",
    "grown_share",
    "is_worthwhile",
    "pace_on_all",
    "seconds_of",
    "share_of",
    "step_of",
    "threads_of",
]


def pace_on_all(state: State, standing: Standing, network: Network) -> float:
    """Return the seconds of a step of a candidate on all rows with one thread, given a trial on some of them.

    Those of fixed neurons grow with the multiplications: scales are learnt from some of many rows.
    """
    candidate, conditions = standing.candidate, state.conditions
    if candidate.by_gradient or not conditions.of_table:  # with mini-batches of many rows
        return network.pace
    few, many = max(network.result.rows, 1), conditions.rows
    if candidate.has_fixed_neurons:
        weights, width = conditions.weights_of(candidate), candidate.settings.model.width
        products = [candidate.settings.optimizer.products(n * conditions.labels, weights, width) for n in (few, many)]
        few, many = products if products[0] else (few, many)
    return network.pace * many / few


def affords_all(state: State, standing: Standing, network: Network, seconds: float, threads: int) -> bool:
    """Return whether a candidate has time for some steps on all rows with some threads, given a trial on some rows."""
    return seconds * threads**THREADS_POWER >= LEAST_STEPS_ON_ALL_ROWS * pace_on_all(state, standing, network)


def step_of(standing: Standing) -> int:
    """Return the step at which a network of a candidate with drawn weights should end, by those of its folds.

    A step of fixed neurons is a fit of its own: it is the one that is best on all folds together.
    """
    results = standing.results
    if standing.candidate.has_fixed_neurons:
        shared = min(len(result.errors) for result in results)
        total = sum(np.log(result.errors[:shared]) for result in results)
        return max(1, int(results[0].history["step"][int(np.argmin(total))]))
    return max(1, math.ceil(sum(result.best_step for result in results) / len(results)))


def seconds_of(state: State, standing: Standing) -> float:
    """Return the seconds that a network of all rows with drawn weights should take at most."""
    paces = [pace_on_all(state, standing, network) for network in standing.in_order]
    return TIME_MARGIN * step_of(standing) * sum(paces) / len(paces) + state.set_up


def share_of(state: State, candidate: Candidate, network: Network | None, seconds: float) -> float | None:
    """Return the share of the rows of a candidate's next trial that leaves out a fold; None: all that it does not.

    It begins with as many labels as it has weights. It has more rows than before if its error on the rows that were
    held out is larger than on its training rows: otherwise steps are lacking, not rows. Some steps on them should fit
    into its time. Methods by the gradient have all rows, of which a step takes some. The command may set the
    share.

    Args:
        state: the state.
        candidate: the candidate.
        network: its best network on this fold; None: it is the first trial there.
        seconds: the time of the trial.
    """
    conditions, completes = state.conditions, candidate.completes and not candidate.has_fixed_neurons
    is_late = state.left() < GROWING_SHARE * conditions.end
    if candidate.share is not None:
        return None
    if network is None:
        if candidate.by_gradient or completes or not conditions.of_table:
            return None
        share = conditions.first_rows(candidate) / conditions.all_rows
    elif network.move.share is None or not (network.grows or (is_late and network.result.lacks_rows)):
        return network.move.share
    else:
        steps, least = (1, 1.0) if candidate.has_fixed_neurons else (LEAST_STEPS_ON_MORE_ROWS, LEAST_ROW_GROWTH)
        affordable = seconds / max(steps * network.pace, 1e-9)
        return grown_share(network.move.share, affordable, conditions.most_share, least)
    return share if share < conditions.most_share else None


def grown_share(share: float, affordable: float, most_share: float, least: float = LEAST_ROW_GROWTH) -> float | None:
    """Return a larger share of the rows; None: all rows that are not left out.

    Args:
        share: the share before.
        affordable: the factor of the rows with which some steps fit into the time.
        most_share: the share above which all of them are taken.
        least: the least factor.
    """
    grown = share * min(MOST_ROW_GROWTH, max(least, affordable))
    return grown if grown < most_share else None


def affords_larger(state: State, best: Standing, candidate: Candidate, seconds: float) -> bool:
    """Return whether a larger network than the best one has time for some steps, by what these have taken.

    The time of a step of Levenberg-Marquardt grows with the square of the weights, and with the rows.
    """
    conditions, network = state.conditions, best.in_order[0]
    if candidate.by_gradient or candidate.has_fixed_neurons or not conditions.of_table:
        return True
    few, many = map(conditions.weights_of, (best.candidate, candidate))
    share = share_of(state, candidate, None, seconds)
    rows = conditions.training_rows if share is None else share * conditions.all_rows
    pace = network.pace * (many / few) ** 2 * rows / max(network.result.rows, 1)
    return LEAST_STEPS_ON_MORE_ROWS * pace <= seconds


def threads_of(standing: Standing, free: int) -> int:
    """Return how many of the free threads a trial of a candidate takes.

    It is one if its steps are short, or if other programs use the processors: each thread would wait for the last one.
    """
    network = standing.in_order[0]
    shares = network.pace > SHARED_STEP_SECONDS and network.result.processor > OWN_PROCESSOR_SHARE
    return max(1, free) if shares and not standing.candidate.has_fixed_neurons else 1


def is_worthwhile(state: State, move: Move) -> bool:
    """Return whether a trial may be better than the one before it: weights that are drawn again need more rows."""
    network = state.standing_of(state.candidate_of(move)).by_fold.get(move.fold or 0)
    before = network and network.move.share
    return move.start is not None or not before or not move.share or move.share >= LEAST_ROW_GROWTH * before
