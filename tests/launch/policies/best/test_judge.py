import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import KDTree

from runge.launch.policies.best.candidates import Entrant
from runge.launch.policies.best.judge import Fit, error_of, parts_of, surroundings, weigh
from runge.launch.policies.best.selection import Selection
from runge.records.directories import RunDirectory


def fit(errors, around=(0.0, 0.0, 0.0), known=(True, True)):
    """A fit with errors of a value and of two partial derivatives."""
    return Fit(RunDirectory("."), None, False, np.array(errors), np.array(around), {}, 3, known)


def test_noise_of_the_derivatives_does_not_hide_errors_of_the_values():
    exact, rough = [fit([1e-8, 0.1, 0.1])] * 2, [fit([1e-2, 0.0999, 0.0999])] * 2
    assert parts_of(exact) == pytest.approx((1e-8, 0.1 * 2**0.5))
    assert error_of(exact) == pytest.approx((1e-9 * 2**0.5) ** 0.5)
    assert error_of(exact) < 0.01 * error_of(rough)
    assert error_of([fit([0.3, 0, 0], known=(True, False))]) == pytest.approx(0.3)
    assert error_of([fit([0, 0.3, 0.4], known=(False, True))]) == pytest.approx(0.5)
    assert error_of([]) == np.inf


def test_more_folds_come_first_unless_others_are_far_better():
    entrants = list[Entrant]()
    for name, error, folds in (
        ("a", 1.0, 5),
        ("b", 0.9, 5),
        ("c", 0.3, 2),
        ("d", 0.2, 2),
        ("e", 0.1, 2),
        ("f", 0.01, 1),
    ):
        fits = {fold: fit([error, error, 0]) for fold in range(folds)}
        entrants.append(Entrant(name, [], None, fits))  # pyright: ignore[reportArgumentType]
    entrants.append(Entrant("g", [], None))  # pyright: ignore[reportArgumentType]
    place = None, 5, True, Path(), 60.0, 1
    selection = Selection(None, entrants, *place)  # pyright: ignore[reportArgumentType]
    assert "".join(entrant.name for entrant in selection.ranked()) == "edbacf"
    assert Selection(None, [], *place).ranked() == []  # pyright: ignore[reportArgumentType]


def test_networks_that_disagree_around_the_rows_are_worse():
    apart = fit([1e-3, 0, 2e-3], [0.1, 0, 0]), fit([1e-3, 0, 2e-3], [-0.1, 0, 0.2])
    assert parts_of(apart) == pytest.approx(((1e-6 + 0.02) ** 0.5, (4e-6 + 0.02) ** 0.5))


def brute_force(products, parts):
    """The smallest error of a mean of candidates whose weights are multiples of 1 / parts."""
    weights = (w for w in itertools.product(range(parts + 1), repeat=len(products)) if sum(w) == parts)
    return min(np.array(w) @ products @ np.array(w) / parts**2 for w in weights)


@pytest.mark.parametrize("seed", range(5))
def test_weights_are_as_good_as_the_best_on_a_grid(seed):
    chance = np.random.default_rng(seed)
    vectors = (chance.normal(size=(3, 12)) + 0.5 * chance.normal(size=12)) * [[1.0], [1.5], [0.8]]
    variances = chance.random(3)
    products, weights = vectors @ vectors.T + np.diag(variances), weigh(vectors, variances)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert weights @ products @ weights <= 1.001 * brute_force(products, 50)
    assert weights @ products @ weights < products.diagonal().min()


def test_weights_of_what_is_exact_worse_or_alone():
    vectors = np.array([[1.0, 1.0], [1.0, -1.0], [30.0, 30.0]])
    np.testing.assert_allclose(weigh(vectors, np.zeros(3)), [0.5, 0.5, 0], atol=1e-12)
    assert weigh(vectors, np.array([0, 100.0, 0]))[1] < 0.05
    assert weigh(np.array([[0.0, 0], [1, 1]]), np.zeros(2)).tolist() == [1, 0]
    assert weigh(vectors[:1], np.ones(1)).tolist() == [1]


def test_surroundings_of_many_rows_are_those_of_a_part(monkeypatch):
    sizes, x = list[int](), np.random.default_rng(0).random((20_000, 2))
    monkeypatch.setattr("scipy.spatial.KDTree", lambda rows: sizes.append(len(rows)) or KDTree(rows))
    assert surroundings(x).shape == (2000, 2)
    assert sizes == [5000]


def test_surroundings_are_in_the_box_and_where_rows_are():
    chance = np.random.default_rng(0)
    x = chance.random((30, 2)) * [1, 1000]
    around = surroundings(x)
    assert around.shape == (2000, 2)
    assert (around >= x.min(axis=0)).all()
    assert (around <= x.max(axis=0)).all()
    assert np.array_equal(around, surroundings(x))
    t = chance.random(60)
    line = np.c_[t, t + 0.01 * chance.random(60)]
    assert np.abs(np.diff(surroundings(line))).max() < 0.2  # not at the corners, far from the line
    assert surroundings(np.c_[t, np.full(60, 3.0)])[:, 1].tolist() == [3.0] * 2000
    assert surroundings(t[:, None]).shape == (2000, 1)
    box = surroundings(np.array([[0.0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0.5]]))
    assert {(0.0, 0.0), (1.0, 1.0), (1.0, 0.0)} <= set(map(tuple, box))
