"""How far points are outside: the shares by construction, the nearest row, and inputs that do not matter."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial import KDTree
from scipy.stats import beta

import runge
from runge.function.outside import EDGE, OUTSIDE, Box, NearestRow, input_weights, per_quantile, thinned

RNG = np.random.default_rng


def slopes(rows, *matter):
    return np.broadcast_to(np.array(matter, float), (len(rows), 1, rows.shape[1]))


def number(measure, x):
    return measure.outside(torch.from_numpy(np.asarray(x, float))).numpy()


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_the_number_is_the_distance_to_the_nearest_row_over_a_quantile_of_those_of_the_rows_in_any_units(dimension):
    rows, matter = RNG(0).uniform(0, 1, (39, dimension)), RNG(1).uniform(0.1, 1, dimension)
    x, z = RNG(2).uniform(-1, 2, (100, dimension)), matter / (matter * rows.std(0)).max()
    own = np.sort(KDTree(rows * z).query(rows * z, 2)[0][:, 1])
    expected = KDTree(rows * z).query(x * z)[0] / own[37]  # the 38th of 40 with a new one
    measure = NearestRow(rows, input_weights(rows, slopes(rows, *matter)))
    assert_allclose(number(measure, x), expected, rtol=1e-12)
    assert number(measure, rows).max() == 0
    unit = np.geomspace(1e-9, 1e9, dimension)
    others = (rows + 10) * unit
    measure = NearestRow(others, input_weights(others, slopes(others, *matter / unit * 1e5)))
    assert_allclose(number(measure, (x + 10) * unit), expected, rtol=1e-6)


DRAWS = {
    "uniform": lambda rng, n: rng.uniform(size=(n, 1)),
    "normal": lambda rng, n: rng.normal(size=(n, 3)),
    "a line": lambda rng, n: np.repeat(rng.exponential(size=(n, 1)), 2, axis=1) + 0.01 * rng.normal(size=(n, 2)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_twentieth_of_new_points_is_farther_than_the_rows_are_from_each_other(name):
    shares = []
    for seed in range(200):
        rows, fresh = DRAWS[name](RNG(seed), 40), DRAWS[name](RNG(10**6 + seed), 200)
        shares.append((number(NearestRow(rows, np.ones(rows.shape[1])), fresh) > EDGE).mean())
    assert np.mean(shares) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("n", [10, 40, 300])
@pytest.mark.parametrize("channels", [1, 4])
def test_a_twentieth_of_new_rows_has_a_larger_disagreement(n, channels):
    """Of rows that can be exchanged, the share above has the distribution Beta(n + 1 - k, k) with k = 0.95 (n + 1)."""
    shares, k = [], min(0.95 * (n + 1), n)
    for seed in range(400):
        spread = RNG(seed).standard_cauchy((n + 500, channels)) ** 2 * np.geomspace(1, 1e6, channels)
        factors = per_quantile(spread[:n], np.geomspace(1, 1e-6, channels))
        shares.append((np.linalg.norm(factors * spread[n:], axis=1) > EDGE).mean())
    law = beta(n + 1 - k, k)
    assert np.mean(shares) == pytest.approx(law.mean(), abs=4 * np.hypot(law.std(), 0.01) / 20)
    assert np.std(shares) == pytest.approx(np.hypot(law.std(), 0.01), rel=0.25)
    assert_array_equal(per_quantile(np.zeros((20, 3)), np.ones(3)), np.zeros(3))


@pytest.mark.parametrize("dimension", [2, 5])
def test_points_beyond_in_a_hole_and_off_a_line_are_outside(dimension):
    rows = RNG(0).uniform(-1, 1, (200, dimension))
    measure = NearestRow(rows, np.ones(dimension))
    assert (number(measure, 3 * (np.eye(dimension) - 0.5)) > OUTSIDE).all()
    far = number(measure, np.array([[1e3], [1e12], [1e90]]) * np.ones(dimension))
    assert_allclose(far[1:] / far[:-1], [1e9, 1e78], rtol=1e-2)
    plane = RNG(0).uniform(-1, 1, (300, 2))
    assert number(NearestRow(plane[np.linalg.norm(plane, axis=1) > 0.6], np.ones(2)), np.zeros((1, 2))) > OUTSIDE
    on, off = number(NearestRow(plane[:, :1] + [0, 1] * plane * 0.05, np.ones(2)), [[0.5, 0.5], [0.5, -0.5]])
    assert on < EDGE < OUTSIDE < off


def test_an_input_that_does_not_matter_does_not_count():
    rows = RNG(0).uniform(-1, 1, (100, 3))
    x = np.array([[0.1, 0.2, 50.0], [2.5, 0.2, 0]])
    weights = input_weights(rows, slopes(rows, 1, 1, 1e-3))
    assert (weights[:2].max(), weights[2]) == (1, pytest.approx(1e-3, rel=0.2))
    near, far = number(NearestRow(rows, weights), x)
    assert near < EDGE < OUTSIDE < far
    of_last = np.array([[[1, 1, 1e-6], [0, 0, 0], [0, 1e-9, 1e-8]]])  # it matters most for the last output
    assert number(NearestRow(rows, input_weights(rows, np.repeat(of_last, 100, axis=0))), x).min() > OUTSIDE
    assert_array_equal(input_weights(rows, slopes(rows, 0, 0, 0)), np.ones(3))
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 10)] * 2), -1).reshape(-1, 2)
    found = number(NearestRow(grid, np.array([1, 1e-3])), [[0.51, 0.5], [0.5, 0.51], [2, 0.5]])
    assert found[:2].max() < EDGE < OUTSIDE < found[2], "rows of a grid that differ only in the other input are one"


def test_few_rows_and_constant_inputs():
    one = NearestRow(np.array([[1.0, 2.0]]), np.ones(2))
    assert_array_equal(number(one, [[1.0, 2.0], [1.0, 2.1]]), [0, np.inf])
    two = NearestRow(np.array([[0.0], [1.0]]), np.ones(1))
    assert number(two, [[0.5]]) < EDGE < OUTSIDE < number(two, [[3.0]])
    rows = np.column_stack([RNG(0).uniform(0, 1, 40), np.full(40, 0.1)])
    near, far = number(NearestRow(rows, np.array([1.0, 0])), [[0.5, 0.1], [0.5, 0.2]])
    assert near < EDGE < far == np.inf


def test_rows_are_thinned():
    rows = RNG(0).normal(0, 1, (5000, 3))
    few = thinned(np.concatenate([rows, rows]))
    assert len(few) == len(np.unique(few, axis=0)) == 1000
    assert np.isin(few, rows).all()
    assert_array_equal([few.min(0), few.max(0)], [rows.min(0), rows.max(0)])
    assert_array_equal(thinned(rows[::-1]), few)
    assert_array_equal(thinned(np.array([[2.0], [1.0], [2.0]])), [[1.0], [2.0]])


def test_the_box_of_a_formula():
    found = number(Box(np.array([-1.0, 0.1]), np.array([1.0, 0.3])), [[0, 0.2], [1, 0.1], [0, 0.4], [-3, 0.2]])
    assert_allclose(found, [0, 1, 2, 3], atol=1e-14)
    assert found[1] == 1, "the ends are inside"


def test_an_input_of_a_formula_may_have_one_value():
    found = number(Box(np.array([-1.0, 0.5]), np.array([1.0, 0.5])), [[0, 0.5], [3, 0.5], [0, 0.6]])
    assert_allclose(found, [0, 3, np.inf])


def test_points_are_not_outside_because_there_are_few_rows():
    """The rows of 30 inputs do not vary in the directions of the others."""
    x = RNG(0).normal(size=(60, 30))
    shares = [(number(NearestRow(x[:n], np.ones(30)), x[30:]) > EDGE).mean() for n in (15, 30)]
    assert max(shares) < 0.2


def test_points_beside_collinear_rows_are_outside():
    random = np.random.default_rng(0)
    a = random.uniform(-1, 1, 200)
    x = np.c_[a, 2 * a + 1e-5 * random.normal(size=200), np.full(200, 3.0)]
    measure = NearestRow(x[:150], np.array([1.0, 0.5, 1.0]))
    assert np.mean(measure.outside(torch.from_numpy(x[150:])).numpy() <= 1) > 0.8
    beside = x[150:] + np.array([0, 1e-2, 0])
    assert measure.outside(torch.from_numpy(beside)).min() > 2
    ignored = NearestRow(x[:150], np.array([1.0, 0.0, 1.0]))  # an input that does not matter does not count
    assert np.mean(ignored.outside(torch.from_numpy(beside)).numpy() <= 1) > 0.8


def test_an_input_whose_logarithm_a_network_sees_counts_by_it():
    rows = 10 ** RNG(0).uniform(-2, 2, (60, 1))
    measure = NearestRow(rows, np.ones(1), torch.tensor([True]))
    x = np.array([[1e-4], [1e-3], [1.0], [1e3]])
    assert_allclose(number(measure, x), number(NearestRow(np.log(rows), np.ones(1)), np.log(x)))
    assert number(measure, x)[1] > OUTSIDE > EDGE > number(NearestRow(rows, np.ones(1)), x)[1]
    assert_array_equal(number(measure, [[0.0], [-1.0]]), np.inf)


def test_the_weight_of_such_an_input_is_that_of_its_logarithm():
    """Over ten decades the largest rows alone would decide, and no other input would matter."""
    x = RNG(0).uniform(-1, 1, (60, 2))
    x[:, 0] = 10 ** (5 * x[:, 0])
    data = {"x": x, "y": np.log10(x[:, 0]) + 5 * x[:, 1]}
    u = runge.train(data, "data.log10=[x1]", "trainer.max_steps=50", "model.width=8").function
    assert u.input_weights.min() > 0.1
    assert u.outside([1.0, 40.0]) > OUTSIDE
