import numpy as np
import pytest

from runge.trust.cells import check_cells
from tests.trust.test_labels import SIZES, table


@pytest.mark.parametrize(("dimension", "rows"), [*SIZES, (2, 80), (3, 150)])
@pytest.mark.parametrize("noise", [0, 0.05])
def test_sound_tables_have_no_outlier(dimension, rows, noise):
    for seed in range(4):
        random, x, y, dydx = table(seed, dimension, rows, outputs=2)
        y, dydx = (part + noise * part.std(0) * random.normal(size=part.shape) for part in (y, dydx))
        assert check_cells(x, y, dydx) == ([], rows)


@pytest.mark.parametrize(("rows", "seed"), [(60, 22), (80, 21), (60, 25)])
def test_steep_rows_are_no_outliers(rows, seed):
    """Beale's function: the first two need the comparison with the values, the last one the gap."""
    x = np.random.default_rng(seed).uniform(-2, 2, (rows, 2))
    a, b = x.T
    terms = [(c - a + a * b**k, b**k - 1, k * a * b ** (k - 1)) for k, c in ((1, 1.5), (2, 2.25), (3, 2.625))]
    y, by_a, by_b = (sum(parts) for parts in zip(*((t**2, 2 * t * ta, 2 * t * tb) for t, ta, tb in terms), strict=True))
    assert check_cells(x, y[:, None], np.stack([by_a, by_b], axis=1)[:, None]).found == []


@pytest.mark.parametrize("noise", [0, 0.05])
def test_outliers_are_found_with_what_they_should_be(noise):
    for seed in (0, 1, 3, 4):
        random, x, y, dydx = table(seed, 3, 150, outputs=2)
        y, dydx = (part + noise * part.std(0) * random.normal(size=part.shape) for part in (y, dydx))
        d = int(np.abs(dydx[:, 0]).mean(0).argmax())
        right, slope, size = y[17, 1], dydx[40, 0, d], np.abs(dydx[:, 0, d]).mean()
        y[17, 1] += 4 * y[:, 1].std()
        dydx[40, 0, d] += 4 * size
        first, second = check_cells(x, y, dydx).found
        assert (first.place, first.row, second.place, second.row) == ((0, d), 40, (1, None), 17)
        assert first.expected == pytest.approx(slope, abs=size)
        assert second.expected == pytest.approx(right, abs=y[:, 1].std())


def test_a_derivative_at_the_end_of_its_input_is_not_judged():
    _, x, y, dydx = table(2, 3, 150)
    end = int(x[:, 2].argmin())
    dydx[end, 0, 2] *= 10
    assert check_cells(x, y, dydx).found == []


def test_rows_with_the_same_inputs_have_the_same_labels_up_to_noise():
    random, x, y, dydx = table(1, 2, 100)
    twice = [np.concatenate([part, part[:5]]) for part in (x, y + 0.05 * random.normal(size=y.shape), dydx)]
    twice[1] = twice[1] + 0.05 * y.std() * random.normal(size=twice[1].shape)
    assert check_cells(*twice).found == []
    twice[1][101] += 3 * y.std()
    assert [(one.place, one.row, one.twin) for one in check_cells(*twice).found] == [((0, None), 101, 1)]
    for part in twice[:2]:
        part[2] = part[1]
    twice[1][1] = np.nan  # of three equal rows the first one says nothing
    twice[0][2], twice[2][2] = twice[0][1], twice[2][1]
    assert [(one.place, one.row, one.twin) for one in check_cells(*twice).found] == [((0, None), 101, 2)]


def test_of_many_inputs_no_row_is_tested():
    for dimension, tested in ((10, 30), (300, 0)):
        assert check_cells(*table(1, dimension, 30)[1:]) == ([], tested)


def test_of_many_rows_a_sample_is_tested(monkeypatch):
    monkeypatch.setattr("runge.trust.cells._WORK", 1e6)
    found, tested = check_cells(*table(1, 4, 300)[1:])
    assert found == []
    assert 20 <= tested < 300


@pytest.mark.parametrize(
    "known", [lambda x, y, dydx: (x[:19], y[:19], dydx[:19]), lambda x, y, dydx: (x, y * np.nan, dydx * np.nan)]
)
def test_labels_that_say_nothing(known):
    assert check_cells(*known(*table(1, 3, 60)[1:])).found == []
