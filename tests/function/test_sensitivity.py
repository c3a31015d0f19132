"""Sensitivity measures and total indices against closed forms."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from runge.function.influences import _cautions, sensitivity_of
from runge.function.sensitivity import measure, measure_function, row_indices, total_indices, unevenness

A, B, PI = 7, 0.1, np.pi
WEIGHTS = np.array([0, 1, 4.5, 99])


class Ishigami:
    """sin x1 + 7 sin^2 x2 + 0.1 x3^4 sin x1 in [-pi, pi]^3."""

    box = np.array([[-PI, PI]] * 3)
    variance = A**2 / 8 + B * PI**4 / 5 + B**2 * PI**8 / 18 + 0.5
    nu = np.array([0.5 + B * PI**4 / 5 + B**2 * PI**8 / 18, A**2 / 2, 8 / 7 * B**2 * PI**6])
    total = np.array([0.557589, 0.442411, 0.243684])

    def __call__(self, x):
        return (1 + B * x[:, 2] ** 4) * np.sin(x[:, 0]) + A * np.sin(x[:, 1]) ** 2

    def derivative(self, x):
        first, third = np.sin(x[:, 0]), x[:, 2]
        return np.stack([np.cos(x[:, 0]) * (1 + B * third**4), A * np.sin(2 * x[:, 1]), 4 * B * third**3 * first], 1)


class Product:
    """Sobol's g-function in [0, 1]^4, and minus twice the same as a second output."""

    box = np.array([[0.0, 1.0]] * 4)
    parts = 1 / 3 / (1 + WEIGHTS) ** 2
    variance = np.prod(1 + parts) - 1
    nu = 48 * parts * np.prod(1 + parts) / (1 + parts)
    total = nu / 48 / variance

    def __call__(self, x):
        return np.prod((np.abs(4 * x - 2) + WEIGHTS) / (1 + WEIGHTS), axis=1)[:, None] * [1, -2] + 1e6

    def derivative(self, x):
        factors = (np.abs(4 * x - 2) + WEIGHTS) / (1 + WEIGHTS)
        slopes = 4 * np.sign(4 * x - 2) / (1 + WEIGHTS) * np.prod(factors, axis=1)[:, None] / factors
        return slopes[:, None] * np.array([1, -2])[:, None]


@pytest.mark.parametrize("u", [Ishigami(), Product()], ids=lambda u: type(u).__name__)
def test_functions_whose_measures_are_known(u):
    own, total = measure_function(u, u.box), total_indices(u, u.box)
    for p in range(len(total)):
        assert_allclose(own.nu[p], u.nu * 4**p, rtol=2e-3)
        assert_allclose(own.bound[p], np.ptp(u.box, axis=1) ** 2 / PI**2 * u.nu / u.variance, rtol=5e-3)
        assert_allclose(total[p], u.total, rtol=0.01, atol=0.003)
        assert_allclose(own.mean[p], 0, atol=0.01)
        assert_allclose(own.rising[p], 0.5, atol=0.01)


def test_the_bound_is_12_over_pi2_of_a_line_and_sharp_for_a_cosine():
    rng, box, slopes = np.random.default_rng(0), np.array([[-1.0, 3.0], [5.0, 5.5]]), np.array([2.0, -16.0])
    x = rng.uniform(*box.T, (10**5, 2))
    y = x @ slopes
    own = measure(y[:, None], np.tile(slopes, (len(x), 1))[:, None], box)
    assert_allclose(own.bound, [[12 / PI**2 / 2] * 2], rtol=0.01)
    assert_allclose([own.mean, own.mean_error], [[slopes], [0 * slopes]], atol=1e-12)
    assert own.rising.tolist() == [[1, 0]]
    assert_allclose(total_indices(lambda x: x @ slopes, box), 0.5, rtol=0.01)
    x = (np.arange(1000) + 0.5)[:, None] / 1000
    assert_allclose(measure(np.cos(PI * x), -PI * np.sin(PI * x)[..., None], np.array([[0, 1]])).bound, 1)


def test_standard_errors_are_the_spread_over_samples():
    u, rng = Ishigami(), np.random.default_rng(0)
    points = rng.uniform(*u.box.T, (400, 150, 3))
    samples = [measure(u(x)[:, None], u.derivative(x)[:, None], u.box) for x in points]
    for name in ("bound", "mean"):
        spread, stated = ([getattr(one, key) for one in samples] for key in (name, f"{name}_error"))
        assert_allclose(np.mean(stated, axis=0), np.std(spread, axis=0), rtol=0.12)


def test_labels_that_are_not_known():
    rng = np.random.default_rng(0)
    y, dydx, box = rng.normal(size=(30, 3)), rng.normal(size=(30, 3, 2)), np.array([[0, 1], [0, 2]])
    y[:, 1], dydx[:, 2] = 0.1, np.nan
    own = measure(y, dydx, box)
    gaps = np.concatenate([y, np.full((9, 3), np.nan)]), np.concatenate([dydx, np.full((9, 3, 2), np.nan)])
    for part, same in zip(own, measure(*gaps, box), strict=True):
        assert_allclose(part, same)
        assert np.isnan(part[2]).all()
    assert not np.isfinite([own.bound[1], own.bound_error[1]]).any()
    assert np.isfinite(own.mean[:2]).all()
    dydx[1:, 0, 0] = np.nan
    assert np.isnan(measure(y, dydx, box).mean_error[0]).tolist() == [True, False]


def test_indices_over_rows_are_those_of_their_own_distribution():
    """Of correlated inputs the closed form of a line; of independent ones their shares in a bound."""
    x = np.random.default_rng(0).multivariate_normal([3, -2], [[4, 1.8], [1.8, 1]], 10**5)
    slopes, y = np.array([[[1.0, -2.0]], [[1.0, 2.0]]]), x @ [[1, 1], [-2, 2]]
    own = row_indices(np.c_[y, 0 * y[:, :1] + 0.1], np.concatenate([slopes, 0 * slopes[:1]]).reshape(1, 3, 2), x)
    assert_allclose(own[:2], [[5, 5], [5 / 19, 5 / 19]], rtol=0.02)
    assert np.isnan(own[2]).all(), "a constant"
    x = np.random.default_rng(0).standard_normal((10**5, 2))
    y, dydx = np.sin(x[:, 0]) + x[:, 1] ** 2 / 2, np.stack([np.cos(x[:, 0]), x[:, 1]], axis=1)
    variances = (1 - np.exp(-2)) / 2, 1 / 2
    squares = (1 + np.exp(-2)) / 2, 1
    assert_allclose(row_indices(y[:, None], dydx[:, None], x), [np.divide(squares, sum(variances))], rtol=0.03)


def test_unevenness():
    box, even = np.array([[2.0, 4.0]] * 2), np.linspace(0, 1, 1000)
    x = 2 + 2 * np.stack([even, even**2], 1)  # P(t < s) = sqrt(s), which is farthest from s at 1/4
    assert_allclose(unevenness(x, box), [0, 0.25], atol=2e-3)


def test_cautions_on_the_rows():
    t = np.random.default_rng(0).uniform(size=(200, 3))
    box = np.array([[0.0, 1.0]] * 3)
    for few in (t, t[:12]):  # of 12 some correlate by chance
        assert _cautions(SimpleNamespace(x=few, inputs=("a", "b", "c")), box) == []
    x = np.stack([t[:, 0], 1 - t[:, 0], t[:, 2] ** 3], 1)
    related, uneven = _cautions(SimpleNamespace(x=x, inputs=("a", "b", "c")), box)
    assert re.search(r"\ba and b\b.*-1\.00", related)
    assert re.search(r"\balong c\b", uneven)
    assert _cautions(SimpleNamespace(x=x[:12], inputs=("a", "b", "c")), box) == [related]


class Product:
    """A fit of s t, by one network of one neuron."""

    networks = (SimpleNamespace(members=1, shapes=[(2, 1)]),)

    def __call__(self, x):
        return x.prod(axis=1)

    def derivative(self, x):
        return x[:, ::-1]

    def value_and_derivative(self, x):
        return self(x), self.derivative(x)


def test_the_sensitivity_over_the_rows_is_not_that_in_the_box():
    """Without a network's neurons all rows count; t is positive in most of the box, and in few rows."""
    chance = np.random.default_rng(0)
    s, t = chance.uniform(1, 2, 5000), np.append(chance.uniform(-1, 0, 4999), 3.0)
    x = np.stack([s, t], axis=1)
    rows = SimpleNamespace(x=x, y=(s * t)[:, None], dydx=x[:, None, ::-1] * np.nan, inputs=("s", "t"), outputs=("y",))
    first, second = sensitivity_of(Product(), rows).influences
    assert (first.mean, first.rising) == (pytest.approx(1, rel=0.01), pytest.approx(0.75, rel=0.01))
    assert (first.rows_mean, first.rows_rising) == (pytest.approx(-0.5, rel=0.03), pytest.approx(0, abs=1e-3))
    assert second.rows_mean == pytest.approx(1.5, rel=0.01)
    variance = 28 / 36 - 9 / 16  # of the product of two uniform inputs
    assert first.rows_index == pytest.approx(1 / 12 / 3 / variance, rel=0.05)
    assert second.rows_index == pytest.approx(28 / 12 / 12 / variance, rel=0.05)
