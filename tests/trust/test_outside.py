"""How far points are outside: against dense solves, and on rows with holes, grids, and inputs that do not matter."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from runge.trust.outside import EDGE, OUTSIDE, Box, Support, thinned

RNG = np.random.default_rng


def slopes(rows, *matter):
    return np.broadcast_to(np.array(matter, float), (len(rows), 1, rows.shape[1]))


def distance(x, rows):
    """The distance of one point from the nearest weighted mean of rows, from its optimality conditions."""
    n, away = len(rows), np.linalg.norm(rows - x, axis=1)
    conditions = np.block([[cdist(rows, rows), np.ones((n, 1))], [np.ones((1, n)), np.zeros((1, 1))]])
    weights = np.linalg.solve(conditions, np.append(away, 1))[:n]
    return weights @ away - weights @ cdist(rows, rows) @ weights / 2


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_the_number_is_a_distance_over_a_quantile_of_those_of_the_rows(dimension):
    rows, matter = RNG(0).uniform(0, 1, (30, dimension)), RNG(1).uniform(0.1, 1, dimension)
    z = matter / (matter * rows.std(0)).max() * np.append(rows, RNG(2).uniform(0.1, 0.9, (4, dimension)), axis=0)
    own = [distance(z[i], np.delete(z[:30], i, axis=0)) for i in range(30)]
    expected = [distance(x, z[:30]) / np.quantile(own, 0.95) for x in z[30:]]
    found = Support(rows, slopes(rows, *matter)).outside(z[30:] * (matter * rows.std(0)).max() / matter)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("dimension", [2, 5])
def test_points_of_the_same_distribution_are_inside_and_others_outside(dimension):
    rows = RNG(0).uniform(-1, 1, (100, dimension))
    support, fresh = Support(rows, slopes(rows, *np.ones(dimension))), RNG(1).uniform(-1, 1, (1000, dimension))
    assert support.outside(rows).max() < 1e-3
    assert (support.outside(fresh) > EDGE).mean() < 0.1
    assert (support.outside(fresh) > OUTSIDE).mean() < 0.01
    for d in range(dimension):
        for sign in (-1, 1):
            faces = np.where(np.arange(dimension) == d, 2.0 * sign, 0.2)[None]
            assert support.outside(faces) > OUTSIDE
            assert [*support.beyond(faces)[0]] == [sign * (k == d) for k in range(dimension)]
    far = support.outside(np.array([[1e3], [1e12], [1e90]]) * np.ones(dimension))
    np.testing.assert_allclose(far[1:] / far[:-1], [1e9, 1e78], rtol=1e-2)


def test_a_hole_and_a_line_are_outside_within_the_ranges():
    x = RNG(0).uniform(-1, 1, (300, 2))
    hole = Support(rows := x[np.linalg.norm(x, axis=1) > 0.6], slopes(rows, 1, 1))
    assert hole.outside(np.zeros((1, 2))) > OUTSIDE
    assert not hole.beyond(np.zeros((1, 2))).any()
    line = Support(rows := x[:, :1] + [0, 1] * x * 0.05, slopes(rows, 1, 1))
    on, off = line.outside(np.array([[0.5, 0.5], [0.5, -0.5]]))
    assert on < EDGE < OUTSIDE < off


def test_an_input_that_does_not_matter_does_not_count():
    rows = RNG(0).uniform(-1, 1, (100, 3))
    support, x = Support(rows, slopes(rows, 1, 1, 1e-6)), np.array([[0.1, 0.2, 50.0], [1.5, 0.2, 0]])
    assert support.outside(x)[0] < EDGE < OUTSIDE < support.outside(x)[1]
    assert support.beyond(x).tolist() == [[0, 0, 0], [1, 0, 0]]
    several = np.array([[[1, 1, 1e-6], [0, 0, 0], [0, 1e-9, 1e-8]]])  # it matters most for the last output
    assert Support(rows, np.repeat(several, 100, axis=0)).outside(x).min() > OUTSIDE
    assert (Support(rows, slopes(rows, 0, 0, 0)).outside(x) > EDGE).all(), "none matters: all count"


def test_units_change_nothing():
    rows, x, unit = RNG(0).uniform(-1, 1, (60, 3)), RNG(1).uniform(-2, 2, (50, 3)), np.array([1e-9, 1, 1e9])
    expected = Support(rows, slopes(rows, 1, 2, 0.5))
    other = Support(rows * unit + 10 * unit, slopes(rows, *np.array([1, 2, 0.5]) / unit * 1e5))
    np.testing.assert_allclose(other.outside(x * unit + 10 * unit), expected.outside(x), rtol=1e-6)
    np.testing.assert_array_equal(other.beyond(x * unit + 10 * unit), expected.beyond(x))


@pytest.mark.parametrize("matter", [1, 0.1, 1e-3, 0])
@pytest.mark.parametrize(("levels", "dimension"), [(3, 3), (3, 5), (5, 2), (10, 2)])
def test_points_between_the_levels_of_a_grid_are_inside(levels, dimension, matter):
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, levels)] * dimension), -1).reshape(-1, dimension)
    support = Support(grid, slopes(grid, matter, *np.ones(dimension - 1)))
    assert support.outside(RNG(0).uniform(0, 1, (500, dimension))).max() < EDGE
    assert support.outside(np.append(0.5, np.full(dimension - 1, 3.0))[None]) > OUTSIDE


def test_few_rows_and_constant_inputs():
    one = Support(np.array([[1.0, 2.0]]), np.ones((1, 1, 2)))
    np.testing.assert_array_equal(one.outside(np.array([[1.0, 2.0], [1.0, 2.1]])), [0, np.inf])
    two = Support(np.array([[0.0], [1.0]]), np.ones((2, 1, 1)))
    assert two.outside(np.array([[0.5]])) < EDGE < OUTSIDE < two.outside(np.array([[3.0]]))
    rows = np.column_stack([RNG(0).uniform(0, 1, 40), np.full(40, 0.1)])
    constant = Support(rows, slopes(rows, 1, 7))
    x = np.array([[0.5, 0.1], [0.5, 0.2]])
    assert constant.outside(x)[0] < EDGE
    assert constant.outside(x)[1] == np.inf
    assert constant.beyond(x).tolist() == [[0, 0], [0, 1]]


def test_rows_are_thinned():
    rows = RNG(0).normal(0, 1, (5000, 3))
    few = thinned(np.concatenate([rows, rows]))
    assert len(few) == len(np.unique(few, axis=0)) == 1000
    assert np.isin(few, rows).all()
    np.testing.assert_array_equal([few.min(0), few.max(0)], [rows.min(0), rows.max(0)])
    np.testing.assert_array_equal(thinned(rows[::-1]), few)
    np.testing.assert_array_equal(thinned(np.array([[2.0], [1.0], [2.0]])), [[1.0], [2.0]])


def test_the_box_of_a_formula():
    box = Box(np.array([-1.0, 0.1]), np.array([1.0, 0.3]))
    x = np.array([[0, 0.2], [1, 0.1], [0, 0.4], [-3, 0.2]])
    np.testing.assert_allclose(box.outside(x), [0, 1, 2, 3], atol=1e-14)
    assert box.outside(x)[1] == 1, "the ends are inside"
    assert box.beyond(x).tolist() == [[0, 0], [0, 0], [0, 1], [-1, 0]]
