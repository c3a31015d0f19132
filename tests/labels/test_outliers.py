import numpy as np
import pytest

from runge.labels.outliers import outliers
from tests.labels.test_columns import table


def residuals_of(seed, dimension=2, rows=100, outputs=2, size=1e-3):
    """Residuals of normal sizes, and the labels that they belong to."""
    random, x, y, dydx = table(seed, dimension, rows, outputs=outputs)
    return size * random.normal(size=(rows, outputs * (1 + dimension))), x, y, dydx


def spoilt(seed):
    """The same with a value in row 17 that is 3 too large, and so is the size of its residual."""
    residuals, x, y, dydx = residuals_of(seed)
    y[17, 1] += 3 * y[:, 1].std()
    residuals[17, 1] = -3 * y[:, 1].std()
    return residuals, x, y, dydx


def nearest(x, row):
    """The other rows by their distance in standardised inputs."""
    z = x / x.std(axis=0)
    return np.argsort(np.linalg.norm(z - z[row], axis=1))[1:]


@pytest.mark.parametrize("dimension", [1, 3])
def test_wrong_labels_are_named_with_their_deviations(dimension):
    residuals, x, y, dydx = residuals_of(0, dimension)
    assert outliers(residuals, x, y, dydx) == []
    top = int(y[:, 0].argmax())
    for row, column, labels, share in (
        *((17, 1, y[:, 1], 4), (40, 2, dydx[:, 0, 0], -3)),
        *((top, 0, y[:, 0], 0.3), (60, 0, y[:, 0], 0.2)),  # the last one is 200 robust deviations, but small
    ):
        residuals[row, column] = -share * labels.std()
        labels[row] += share * labels.std()
    found = outliers(residuals, x, y, dydx)
    assert {(row, column) for row, column, _ in found} == {(17, 1), (40, 2), (top, 0)}
    assert found == sorted(found, key=lambda one: -one.deviations)
    for row, column, deviations in found:
        errors = residuals[:, column]
        scale = 1.4826 * np.median(np.abs(errors - np.median(errors)))
        assert deviations == pytest.approx(abs(errors[row]) / scale, rel=1e-4)


def test_a_column_whose_residuals_are_mostly_equal():
    """The derivative of a network with relu is exact where it is constant: the robust deviation is 0."""
    residuals, x, y, dydx = spoilt(1)
    residuals[:70, 4] = 0
    dydx[80, 1, 0] += 3 * dydx[:, 1, 0].std()
    residuals[80] = 0
    residuals[80, 4] = -3 * dydx[:, 1, 0].std()
    named = {(row, column): deviations for row, column, deviations in outliers(residuals, x, y, dydx)}
    assert set(named) == {(17, 1), (80, 4)}
    assert np.isfinite(list(named.values())).all()


def test_noise_has_no_outlier():
    for seed in range(10):
        assert outliers(*residuals_of(seed, size=0.3)) == []


def test_a_row_that_is_hard_to_learn_is_not_named():
    residuals, x, y, dydx = spoilt(1)
    robust = 1.4826 * np.median(np.abs(residuals - np.median(residuals, axis=0)), axis=0)
    for column in (0, 5):
        for share, named in ((0.08, 1), (0.087, 0)):  # 1 / 12 is 0.083
            residuals[17, column] = share * abs(residuals[17, 1]) / robust[1] * robust[column]
            assert len(outliers(residuals, x, y, dydx)) == named
        residuals[17, column] = 0


@pytest.mark.parametrize("unit", [1, np.array([50, 1e-3])])
def test_a_label_between_those_of_the_nearest_rows_is_not_named(unit):
    residuals, x, y, dydx = spoilt(1)
    residuals[:, 2:] /= np.resize(unit, 4)
    x, dydx = x * unit, dydx / unit
    (named,) = outliers(residuals, x, y, dydx)
    sixth, seventh = nearest(x, 17)[5:7]
    for row, names in ((sixth, []), (seventh, [named])):
        labels = y.copy()
        labels[row, 1] = y[17, 1]
        assert outliers(residuals, x, labels, dydx) == names
    assert outliers(-residuals, x, -y, dydx) == [named]


def test_labels_that_are_not_known():
    residuals, x, y, dydx = spoilt(2)
    (named,) = outliers(residuals, x, y, dydx)
    holes, near = residuals.copy(), nearest(x, 17)
    holes[17, [0, 2, 3, 4]] = np.nan
    assert outliers(holes, x, y, dydx) == [named]
    holes[17, 5] = np.nan
    assert outliers(holes, x, y, dydx) == []
    values = np.where(np.arange(6) < 2, residuals, np.nan)
    assert outliers(values, x, y, np.full_like(dydx, np.nan)) == [named]
    for known, names in (([17], [named]), ([0, 1, 2, 17], [named]), ([0, 1, 2, 3, 17], [])):
        few, alone = (np.full_like(part, np.nan) for part in (residuals, y))
        few[:, 1:], alone[:, 1] = residuals[:, 1:], y[:, 1]
        few[known, 0], alone[known, 0] = residuals[known, 0], y[known, 0]
        few[17, 0], alone[17, 0] = 5.0, 0.0
        assert outliers(few, x, alone, dydx) == names  # a column with fewer than five labels is not judged
    y[near[:5], 1] = np.nan
    assert outliers(residuals, x, y, dydx) == [named]
    y[near[5], 1] = np.nan
    assert outliers(residuals, x, y, dydx) == []
    assert outliers(np.full_like(residuals, np.nan), x, y, dydx) == []


def test_derivatives_that_are_round_off_and_exact_predictions_are_not_named():
    residuals, x, y, dydx = residuals_of(3, size=1e-15)
    dydx[:, 0, 0] = 1e-16 * dydx[:, 0, 1]
    residuals[17, 2], dydx[17, 0, 0] = 1e-8, -1e-8
    assert outliers(residuals, x, y, dydx) == []
    assert outliers(0 * residuals, x, y, dydx) == []
    assert outliers(residuals[:1], x[:1], y[:1], dydx[:1]) == []


@pytest.mark.parametrize(("share", "explained"), [(1e-4, True), (0.04, True), (0.22, False), (1, False)])
def test_a_column_that_networks_do_not_explain_is_not_judged(share, explained):
    """Where a few labels have most of a column's variance, a network may predict none of them."""
    residuals, x, y, dydx = spoilt(1)
    dydx[:, 1, 0] *= np.geomspace(1e-4, 1, len(x))
    dydx[40, 1, 0], residuals[40] = 10 * np.abs(dydx[:, 1, 0]).max(), 0
    residuals[:, 4] = -share * dydx[:, 1, 0]
    residuals[40, 4] = -dydx[40, 1, 0]
    named = {(row, column) for row, column, _ in outliers(residuals, x, y, dydx)}
    assert named == {(17, 1)} | ({(40, 4)} if explained else set())


def test_rows_at_the_end_of_an_input_that_are_hard_to_learn_are_not_named():
    """Near row 17 in one input, one other row with a sixth of its residual may also be wrong; two are a hard region."""
    residuals, x, y, dydx = spoilt(1)
    x[:, 1] = np.where(x[:, 1] == x[17, 1], x[:, 1].min() - 1, x[:, 1])  # the last one in this order
    first, second, *_, seventh = np.argsort(x[:, 1])[1:8]
    for rows, share, named in (
        *(([first, second], 0.17, False), ([first, second], 0.16, True)),
        *(([first], 0.5, True), ([first, seventh], 0.5, True)),
    ):
        large = residuals.copy()
        large[rows, 1] = share * residuals[17, 1]
        assert ((17, 1) in {(row, column) for row, column, _ in outliers(large, x, y, dydx)}) == named
    large[second] = np.nan  # the seventh is the sixth one now whose residual is known
    assert outliers(large, x, y, dydx) == []
