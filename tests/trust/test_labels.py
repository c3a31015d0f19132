import numpy as np
import pytest

from runge.trust.labels import compare

SIZES = [(1, 20), (2, 1000), (4, 100), (8, 300)]


def table(seed, dimension, rows, steepness=1.0):
    """Rows of a random function, its values and its gradients."""
    random = np.random.default_rng([seed, dimension, rows])
    a, phase = random.normal(size=(6, dimension)) / np.sqrt(dimension), random.uniform(0, 6, 6)
    a = a * 2 * steepness * random.uniform(0.05, 1, dimension)  # some inputs hardly matter
    x, height = random.uniform(-1, 1, (rows, dimension)), random.normal(size=6)
    if seed % 2:
        return random, x, np.sin(x @ a.T + phase) @ height, (np.cos(x @ a.T + phase) * height) @ a
    return random, x, np.exp(x @ a[0]) + x @ a[1], np.exp(x @ a[0])[:, None] * a[0] + a[1]


def wrong(x, y, dydx):
    agreement = compare(x, y, dydx)
    return [] if agreement is None else agreement.wrong


@pytest.mark.parametrize(("dimension", "rows"), SIZES)
@pytest.mark.parametrize("spoilt", ["rough", "noisy", "noisy slopes", "outliers", "partly known"])
def test_correct_labels_are_not_wrong(spoilt, dimension, rows):
    for seed in range(6):
        random, x, y, dydx = table(seed, dimension, rows, 5.0 if spoilt == "rough" else 1.0)
        if spoilt == "noisy":
            y = y + 0.2 * y.std() * random.normal(size=y.shape)
        if spoilt == "noisy slopes":
            dydx = dydx + 0.2 * dydx.std(0) * random.normal(size=dydx.shape)
        if spoilt == "outliers":
            y = y + 5 * y.std() * (random.random(rows) < 0.05)
        if spoilt == "partly known":
            y, dydx = (np.where(random.random(part.shape) < 0.2, np.nan, part) for part in (y, dydx))
        assert wrong(x, y, dydx) == []


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_units_that_a_scaler_has_changed_are_found(dimension):
    for seed in range(4):
        _, x, y, dydx = table(seed, dimension, 300)
        for scale in (x.std(0), np.ptp(x, axis=0), np.full(dimension, 100.0)):
            assert wrong(x, y, dydx) == []
            assert wrong(x / scale, y, dydx)
            assert wrong(x / scale, y, dydx * scale) == []


def test_factors():
    _, x, y, dydx = table(1, 3, 300)
    agreement = compare(np.c_[x, np.ones(300)], y, np.c_[dydx * [1, -1, 0.5], np.ones(300)])
    assert agreement.factors == pytest.approx([1, -1, 2, np.nan], rel=0.1, nan_ok=True)
    assert agreement.wrong == [1, 2]


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda x, y, dydx: (x[:19], y[:19], dydx[:19]),
        lambda x, y, dydx: (x, y, dydx * [1, np.nan, 1]),
        lambda x, y, dydx: (np.sign(x), y, dydx),
        lambda x, y, dydx: (x, 0 * y, dydx),
    ],
    ids=["few", "unknown", "two levels", "constant"],
)
def test_labels_that_say_nothing(spoilt):
    assert compare(*spoilt(*table(1, 3, 300)[1:])) is None
