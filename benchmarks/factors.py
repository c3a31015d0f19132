"""Factors between errors: medians and geometric means, with intervals of 95 %."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import bootstrap, quantile_test

LEVEL = 0.95
FEWEST = 5  # factors for an interval by bootstrap, which has few different resamples of fewer


class Factor(NamedTuple):
    """A factor with its interval; the bounds are NaN if there are too few factors for one."""

    middle: float
    low: float = np.nan
    high: float = np.nan


def median(factors: ArrayLike) -> Factor:
    """Return the median, and the interval of its sign test, which assumes no distribution."""
    logs = np.log(np.asarray(factors, dtype=float))
    if not logs.size:
        return Factor(np.nan)
    interval = quantile_test(logs, p=0.5).confidence_interval(LEVEL)
    return Factor(*np.exp([np.median(logs), interval.low, interval.high]).tolist())


def geometric_mean(factors: ArrayLike) -> Factor:
    """Return the geometric mean, and its BCa bootstrap interval over the factors."""
    logs = np.log(np.asarray(factors, dtype=float))
    if not logs.size:
        return Factor(np.nan)
    mean = float(np.exp(logs.mean()))
    if logs.size < FEWEST or not np.isfinite(logs).all() or np.ptp(logs) == 0:
        return Factor(mean)
    generator = np.random.default_rng(0)
    interval = bootstrap((logs,), np.mean, confidence_level=LEVEL, rng=generator).confidence_interval
    return Factor(mean, *np.exp([interval.low, interval.high]).tolist())
