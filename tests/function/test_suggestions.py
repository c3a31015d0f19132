"""The choice of the next points, against the definition."""

import numpy as np
import pytest

from runge.function.suggestions import choose, choose_farthest, draw_points, relative

EVEN, DECADES = np.linspace(0, 1, 11)[:, None], 10 ** np.linspace(-8, 2, 11)[:, None]


def test_each_point_leaves_the_smallest_sum_of_variances():
    chance = np.random.default_rng(0)
    known, x, squares = chance.random((7, 2)) * [1, 50], chance.random((30, 2)) * [1, 50], chance.random(30)
    chosen, unit = [], known.std(axis=0)
    length = np.sqrt(np.prod(np.ptp(np.concatenate([x, known]) / unit, axis=0)) / 7)

    def left(points):
        """The variance that is left at the candidates after labels at some points."""
        rho = [np.exp(-(((a[:, None] - points) / unit / length) ** 2).sum(2) / 2) for a in (x, points)]
        return squares * (1 - np.sum(rho[0] * np.linalg.solve(rho[1] + 1e-6 * np.eye(len(points)), rho[0].T).T, axis=1))

    for _ in range(4):
        best = min(set(range(30)) - {*chosen}, key=lambda i: left(np.concatenate([known, x[[*chosen, i]]])).sum())
        chosen.append(best)
    assert choose(x, squares, known, 4).tolist() == chosen


def test_points_are_where_the_spread_is_and_apart():
    """Inputs over decades are compared by their logarithms; all candidates can be chosen, also known rows."""
    x = np.linspace(0, 1, 201)[:, None]
    chosen = x[choose(x, np.where(x[:, 0] > 0.6, 1.0, 1e-6), EVEN, 4), 0]
    assert np.sort(chosen) == pytest.approx([0.65, 0.75, 0.85, 0.95], abs=0.03)
    x = 10 ** np.linspace(-8, 2, 101)[:, None]
    chosen = np.log10(x[choose(x, np.where(x[:, 0] < 1e-4, 1.0, 1e-6), DECADES, 4), 0])
    assert np.sort(chosen) == pytest.approx([-7.5, -6.5, -5.5, -4.5], abs=0.3)
    known = np.array([[0.0, 3], [1, 3], [0.5, 3]])
    assert sorted(choose(known, np.zeros(3), known, 3)) == [0, 1, 2]


def test_of_one_network_each_point_is_farthest_from_the_rows_and_the_points_before():
    """Inputs that do not matter hardly count."""
    chance = np.random.default_rng(0)
    known, x, weights = chance.random((7, 2)) * [1, 50], chance.random((30, 2)) * [1, 50], np.array([1, 0.3])
    points, chosen = known, []
    for _ in range(4):
        distances = [((x[:, None] - points) ** 2 * (weights / known.std(axis=0)) ** 2).sum(2).min(1)]
        chosen.append(int(np.argmax(distances)))
        points = np.concatenate([points, x[chosen[-1:]]])
    assert choose_farthest(x, weights, known, 4).tolist() == chosen
    for d in range(2):
        nearest = np.abs(x[:, d, None] - known[:, d]).min(axis=1)
        assert choose_farthest(x, np.eye(2)[d], known, 1) == [nearest.argmax()]
    assert sorted(choose_farthest(known, np.zeros(2), known, 7)) == [*range(7)]
    x = 10 ** np.linspace(-8, 2, 101)[:, None]
    assert x[choose_farthest(x, np.ones(1), DECADES[[0, 5, 10]], 2), 0] == pytest.approx([10**-5.5, 10**-0.5])


def test_parts_weigh_the_same():
    ones = np.array([1.0, 3.0])
    np.testing.assert_allclose(relative(ones, 1e-9 * ones[::-1], np.zeros(2)), [2, 2])
    np.testing.assert_allclose(relative(np.zeros(2), np.zeros(2)), [1, 1])


def box_of(rows):
    return np.stack([rows.min(axis=0), rows.max(axis=0)], axis=1)


def test_drawn_points_stay_near_the_rows():
    chance = np.random.default_rng(0)
    known = chance.random((60, 1)) + [[0, 1e-3]] * chance.standard_normal((60, 1))
    x, box = draw_points(known, box_of(known), 0), box_of(known)
    assert len(x) > 100
    assert np.abs(x[:, 0] - x[:, 1]).max() < 0.1
    larger = box + np.array([[0, 1], [0, 0]])
    assert np.abs(np.subtract(*draw_points(known, larger, 0).T)).max() > 0.9, "it was asked for"


def test_drawn_points_are_whole_numbers_and_even_logarithms_where_rows_are():
    chance = np.random.default_rng(0)
    known = np.stack([chance.integers(0, 5, 60), 10 ** chance.uniform(-8, 2, 60), chance.random(60)], axis=1)
    x, box = draw_points(known, box_of(known), 0), box_of(known)
    assert {*x[:, 0]} == {0, 1, 2, 3, 4}
    assert np.median(np.log10(x[:, 1])) == pytest.approx(-3, abs=0.3)
    assert ((box[:, 0] <= x) & (x <= box[:, 1])).all()
    assert {*draw_points(known, np.array([[0.5, 0.5], box[1], box[2]]), 0)[:, 0]} == {0.5}, "a fixed value"
