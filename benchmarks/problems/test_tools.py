"""The contract of the adapters whose packages are always installed."""

import numpy as np
import pytest
from choice import derivative
from tables import label
from tools import adapter
from tools.units import Units

pytestmark = pytest.mark.usefixtures("fresh_seeds")  # a tool seeds the global generators itself

SHORT = {
    "polynomial": {"degree": 8},
    "PyTorch by hand": {"steps": 300, "rate": 1e-2},
    "scikit-learn MLP": {"solver": "lbfgs", "max_iter": 300, "activation": "tanh"},
    "scikit-learn GP": {"kernel": "RBF"},
    "scikit-learn boosting": {"min_samples_leaf": 2},
}


def two_outputs(x):
    return np.stack([100 * np.sin(x[:, 0]) * x[:, 1], np.exp(x[:, 1]) + x[:, 0] / 5], axis=1)


@pytest.fixture(scope="module")
def rows():
    box = np.array([[-2.0, 3.0], [10.0, 10.5]])
    x = np.random.default_rng(0).uniform(*box.T, (60, 2))
    return label(lambda x: two_outputs((x - [0, 10]) * [1, 4]), x)


@pytest.fixture(scope="module")
def short_run():
    """Return what makes a short run of a seed."""
    return lambda seed: adapter("runge")(seed, "trainer.max_steps=200", "model.width=16")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ["runge", *SHORT])
def test_contract(name, rows, short_run):
    """Values fit in all units; derivatives, if there are any, are those of the values."""
    model = (short_run if name == "runge" else adapter(name))(1, **SHORT.get(name, {})).fit(*rows)
    value, slopes = model.predict(rows.x), derivative(model, rows.x)
    assert value.shape == rows.y.shape
    assert (np.abs(value - rows.y).std(axis=0) < 0.4 * rows.y.std(axis=0)).all()
    if name == "scikit-learn boosting":
        assert slopes is None
        return
    assert slopes.shape == rows.dydx.shape
    for d, step in enumerate(1e-2 * np.diag(rows.x.std(axis=0))):
        difference = (model.predict(rows.x + step) - model.predict(rows.x - step)) / (2 * step.sum())
        np.testing.assert_allclose(slopes[..., d], difference, atol=2e-3 * np.abs(rows.dydx[..., d]).max())


@pytest.mark.parametrize("name", ["runge", "PyTorch by hand"])
def test_labels_that_are_not_known(name, rows, short_run):
    """One value and all gradients are enough."""
    y = rows.y.copy()
    y[1:] = np.nan
    kind, settings = (short_run, {}) if name == "runge" else (adapter(name), SHORT[name])
    value = kind(0, **settings).fit(rows.x, y, rows.dydx).predict(rows.x)
    assert (np.abs(value - rows.y).std(axis=0) < 0.4 * rows.y.std(axis=0)).all()


@pytest.mark.parametrize("name", ["scikit-learn MLP", "scikit-learn GP", "scikit-learn boosting"])
def test_values_that_are_needed(name, rows):
    y = np.where(np.arange(60)[:, None] == 7, np.nan, rows.y)
    with pytest.raises(ValueError, match="NaN"):
        adapter(name)().fit(rows.x, y, rows.dydx)


def test_units(rows):
    """Standardised labels are again those of a function and its derivative, and an output by one value has a unit."""
    units = Units(*rows)
    x, y, dydx = units.rows(*rows)
    for column in (x, y):
        np.testing.assert_allclose([column.mean(0), column.std(0)], [[0, 0], [1, 1]], atol=1e-9)
    np.testing.assert_allclose(units.values(y), rows.y)
    np.testing.assert_allclose(units.derivatives(dydx), rows.dydx)
    np.testing.assert_allclose(dydx[:, 1, 0] * y[:, 1].std() / x[:, 0].std(), 0.2 * units.s[0] / units.t[1])
    one = np.where(np.arange(60)[:, None] == 7, rows.y, np.nan)
    assert (Units(rows.x, one, rows.dydx).rows(rows.x, one, rows.dydx)[2] ** 2).sum(2).mean() == pytest.approx(2)


@pytest.mark.parametrize("name", SHORT)
def test_grids(name):
    kind = adapter(name)
    assert 2 <= len(kind.GRID) <= 11
    for settings in kind.GRID:
        kind(0, **settings)
