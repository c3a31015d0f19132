from itertools import pairwise

import numpy as np
import pytest
from hamiltonians import SYSTEMS, trajectory
from numpy.testing import assert_allclose
from tables import label


@pytest.mark.parametrize("name", SYSTEMS)
def test_rows_have_gradients_and_one_value(name):
    system = SYSTEMS[name]
    seen, test = system.rows(0, 50)
    assert_allclose(seen.y[0], system.value(seen.x)[0])
    assert np.isnan(seen.y[1:]).all()
    assert not np.isnan(seen.dydx).any()
    assert ((seen.x > system.lower) & (seen.x < system.upper)).all()
    assert not np.isnan(test.y).any()


def test_energies_against_equations_of_motion():
    """A point of mass 1 on each of two rods of length 1: both accelerations from Lagrange's equations."""
    q, r, p, s = x = np.array([0.7, -1.1, 0.4, 0.8])
    mass = np.array([[2, np.cos(q - r)], [np.cos(q - r), 1]])
    rates = np.linalg.solve(mass, [p, s])
    assert_allclose(SYSTEMS["double pendulum"].value(x[None]), [[rates @ mass @ rates / 2 - 2 * np.cos(q) - np.cos(r)]])


def test_a_trajectory_of_order_four_keeps_the_energy():
    system, ends = SYSTEMS["double pendulum"], list[np.ndarray]()
    for steps in (100, 200, 400):
        path = [*trajectory(lambda x: label(system.value, x).dydx[:, 0], system.start, 10 / steps, steps + 1)]
        assert np.ptp(system.value(np.array(path))) < 1e-6
        ends.append(path[-1])
    coarse, fine = (np.abs(one - other).max() for one, other in pairwise(ends))
    assert 14 < coarse / fine < 18
