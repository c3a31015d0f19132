"""The floors of intervals."""

import numpy as np
import pytest
from scipy.stats import laplace

from runge.function.calibration import Calibration


def test_floor_is_the_most_likely_one():
    """The errors have a Laplace distribution with sizes in proportion to the root of s^2 + tau^2."""
    random, taus = np.random.default_rng(0), 10 ** np.linspace(-2, 3, 21)
    s = np.exp(random.normal(size=(60, 3)))
    errors = random.laplace(size=s.shape) * np.sqrt(s**2 + np.array([0.5, 5, 50]) ** 2)
    found = Calibration.of(errors, s)
    for c, error in enumerate(np.abs(errors).T):
        roots = [np.sqrt(s[:, c] ** 2 + (tau * np.median(s[:, c])) ** 2) for tau in taus]
        likelihood = [laplace.logpdf(error, scale=(error / root).mean() * root).sum() for root in roots]
        root = roots[best := int(np.argmax(likelihood))]
        assert found.floors[c] == pytest.approx(taus[best] * np.median(s[:, c]), rel=1e-12)
        assert found.scores[c] == pytest.approx(np.sort(error / root), rel=1e-12)


def test_floors_where_networks_agree_or_nothing_is_known():
    errors = np.array([[1.0, np.nan], [2.0, np.nan], [4.0, np.nan]])
    agreed, unknown = Calibration.of(errors, np.zeros_like(errors)).floors
    assert agreed == pytest.approx(0.2)  # a tenth of the median error
    assert 0 < unknown < 1e-100
    exact = Calibration.of(0 * errors[:, :1], np.ones((3, 1)))
    assert exact.floors[0] > 0
    assert Calibration.of(np.arange(1.0, 10)[:, None], None).factors(0.9) == [9]  # the largest score
    with pytest.raises(ValueError, match="between 0 and 1"):
        exact.factors(-0.5)
