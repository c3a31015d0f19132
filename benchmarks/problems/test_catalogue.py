from functools import cache

import engineering
import functions
import numpy as np
import pfr
import pytest
from catalogue import CATALOGUE
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp


@pytest.fixture(scope="module", autouse=True)
def few_rows():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functions, "N_TEST", 100)
        patch.setattr(pfr, "N_TEST", 100)
        patch.setattr(engineering, "read_airfoils", cache(engineering.read_airfoils))
        yield


@pytest.mark.parametrize("name", CATALOGUE)
def test_rows_of_a_problem(name):
    """A seed gives the same rows each time, another seed others; none of the test is seen, and its labels are exact."""
    if name == "airfoils":
        pytest.importorskip("smt")
    problem = CATALOGUE[name]
    (seen, test), (again, _), (other, _) = (problem.rows(seed) for seed in (0, 0, 1))
    for x, y, dydx in (seen, test):
        assert x.ndim == y.ndim == 2
        assert dydx.shape == (*y.shape, x.shape[1])
        assert not np.isinf(dydx).any()
    for one, same, another in zip(seen, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert one.shape == another.shape
        assert np.isnan(one).all() or not np.array_equal(one, another, equal_nan=True)
    assert not set(map(bytes, seen.x)) & set(map(bytes, test.x))
    assert problem.field
    assert problem.source
    if problem.value:
        few, steps = test.part(slice(20)), 1e-5 * np.diag(test.x.std(axis=0))
        assert_allclose(few.y, problem.value(few.x), rtol=1e-12)
        differences = [(problem.value(few.x + h) - problem.value(few.x - h)) / (2 * h.sum()) for h in steps]
        spread = test.x.std(axis=0)
        found, exact = (slopes * spread for slopes in (np.stack(differences, axis=-1), few.dydx))
        assert_allclose(found, exact, rtol=1e-4, atol=1e-7 * np.abs(exact).max())


def test_noise_is_five_per_cent():
    exact, (seen, test) = CATALOGUE["friedman_noise"], CATALOGUE["friedman_noise"].rows(0)
    assert_allclose((seen.y - exact.value(seen.x)).std() / test.y.std(), 0.05, rtol=0.3)


def test_models_against_other_methods():
    """The truss: a published optimum's sag; the exchanger: its mean temperature difference; the reactor's notebook."""
    optimum = np.array([[30.52, 0.1, 23.20, 15.22, 0.1, 0.55, 7.46, 21.04, 21.53, 0.1]]) * 2.54**2
    assert_allclose(engineering.truss(optimum)[0, 0], 50.8, rtol=5e-3)
    oil, water, hot, cold, area, fouling = x = np.array([0.9, 1.7, 380.0, 290.0, 14.0, 2.0])
    out_oil, out_water = engineering.heat_exchanger(x[None])[0]
    heat, ends = 2100 * oil * (hot - out_oil), np.array([hot - out_water, out_oil - cold])
    conductance = 1 / (1 / (300 * oil**0.6) + 1 / (2500 * water**0.8) + fouling * 1e-4)
    assert_allclose(heat, 4180 * water * (out_water - cold))
    assert_allclose(heat, conductance * area * -np.diff(ends)[0] / np.log(ends[0] / ends[1]))
    angle, rate, damping, length = 1.9, -1.2, 0.3, 0.6
    motion = solve_ivp(
        lambda _, a: [a[1], -9.81 / length * np.sin(a[0]) - damping * a[1]], (0, 2), (angle, rate), rtol=1e-10
    )
    assert_allclose(engineering.pendulum(np.array([[angle, rate, damping, length]]))[0], motion.y[:, -1], atol=1e-5)
    assert_allclose(engineering.screening(np.full((1, 20), 0.5)), 4.699166666666667)
    middle = np.mean([*pfr.INPUTS.values()], axis=1)
    assert_allclose(pfr.reactor(middle[None])[0], (0.935281, 0.750987, 515.341659, 67.830011), rtol=1e-6)


def test_airfoils_without_smt(monkeypatch):
    monkeypatch.setattr(engineering, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="package smt"):
        CATALOGUE["airfoils"].rows(0)
