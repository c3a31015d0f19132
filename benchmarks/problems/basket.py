"""A call on a basket of D assets, of which each path gives one payoff and its pathwise derivatives: labels with noise.

Spots at T1 are normal, and so are the changes until T2. A row is a spot x, (D,), and the mean of the payoffs
max(a x' - K, 0) of two antithetic paths from x to T2, with the derivatives of that mean. The function that they are
unbiased samples of, and by which fits are tested, is Bachelier's price g(a x), with the deltas g'(a x) a. Correlations,
weights a and volatilities are other ones for each seed.

Source: B. Huge, A. Savine (2020). Differential machine learning. https://arxiv.org/abs/2005.02347; the draws are those
of https://github.com/differential-machine-learning/notebooks, DifferentialML.ipynb.
"""

import numpy as np
from scipy.stats import norm
from tables import Entry, Rows

STRIKE, VOLATILITY, SPREAD = 1.10, 0.2, 1.5  # of the basket; how much wider the spots at T1 are
MOST, N_TEST = 16384, 4096
"""The paths of a seed, of which a fit has the first ones, and the spots of the test."""

TEST_SEED = 10**6
"""The number added to the seed for the spots of the test."""


def paths(dimension: int, n: int, seed: int) -> tuple[Rows, Rows]:
    """Return the rows of n <= 16384 pairs of paths, and those of the test, at spots that are uniform in a box."""
    random = np.random.RandomState(seed)
    factors = random.uniform(-1, 1, (2 * dimension, dimension))
    covariance = factors.T @ factors
    size = np.sqrt(np.diagonal(covariance))
    correlation = covariance / np.outer(size, size)
    a = random.uniform(1, 10, dimension)
    a /= a.sum()
    volatilities = random.uniform(5, 50, dimension)
    volatilities *= VOLATILITY / np.sqrt(a * volatilities @ correlation @ (a * volatilities))
    root = np.linalg.cholesky(correlation * np.outer(volatilities, volatilities))
    normal = random.normal(size=(2, MOST, dimension))[:, :n]
    spots, change = 1 + SPREAD * normal[0] @ root.T, normal[1] @ root.T
    baskets = np.stack([spots + change, spots - change]) @ a
    payoffs, above = np.maximum(baskets - STRIKE, 0).mean(0), (baskets > STRIKE).mean(0)
    rows = Rows(spots, payoffs[:, None], (above[:, None] * a)[:, None])

    half = 0.5 * (1 + 0.5 * np.sqrt((dimension - 1) / 12))
    spots = np.random.RandomState(TEST_SEED + seed).uniform(1 - half, 1 + half, (N_TEST, dimension))
    d = (spots @ a - STRIKE) / VOLATILITY
    value, delta = VOLATILITY * (d * norm.cdf(d) + norm.pdf(d)), norm.cdf(d)
    return rows, Rows(spots, value[:, None], (delta[:, None] * a)[:, None])


NOTEBOOK = "Huge and Savine 2020, https://github.com/differential-machine-learning/notebooks"
FIRST = 20  # the first seed of the table; a candidate of `search=best` was tried on earlier ones
ENTRIES = {f"basket_{d}": Entry("finance", lambda seed, d=d: paths(d, 8192, FIRST + seed), NOTEBOOK) for d in (7, 20)}
