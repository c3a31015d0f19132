"""What steps and networks of a candidate should take, by what its trials have taken."""

import math

import numpy as np

from runge.search.constants import LEAST_STEPS_ON_ALL_ROWS, LEAST_STEPS_ON_MORE_ROWS, TIME_MARGIN
from runge.search.results import Result
from runge.search.state import Network, Standing, State

__all__ = ["affords_all", "seconds_of", "share_for", "step_of"]


def pace_on_all(state: State, standing: Standing, result: Result) -> float:
    """Return the seconds that a step of a candidate on all rows should take, given a trial on some of them."""
    if standing.candidate.by_gradient or not state.conditions.of_table:  # with mini-batches of many rows
        return result.pace
    return result.pace * state.conditions.rows / max(result.rows, 1)


def affords_all(state: State, standing: Standing, result: Result, seconds: float) -> bool:
    """Return whether a candidate has time for some steps on all rows, given a trial on some of them."""
    return seconds >= LEAST_STEPS_ON_ALL_ROWS * pace_on_all(state, standing, result)


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
    paces = [pace_on_all(state, standing, result) for result in standing.results]
    return TIME_MARGIN * step_of(standing) * sum(paces) / len(paces) + state.set_up


def share_for(state: State, network: Network, seconds: float) -> float | None:
    """Return the share of the rows of a trial that continues.

    There are more than before if its error on the rows that were held out is larger than on its training rows:
    otherwise steps are lacking, not rows. Some steps should fit into its time.
    """
    before, result, conditions = network.move.share, network.result, state.conditions
    if before is None or (network.may_gain and result.end != "rest" and not result.lacks_rows):
        return before
    share = before * max(1.0, seconds / (LEAST_STEPS_ON_MORE_ROWS * max(result.pace, 1e-9)))
    return None if share * conditions.all_rows >= conditions.training_rows else share
