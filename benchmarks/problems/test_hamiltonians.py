import numpy as np
import pytest
from hamiltonians import ENTRIES
from numpy.testing import assert_allclose


@pytest.mark.parametrize("name", ENTRIES)
def test_rows_have_gradients_and_one_value(name):
    seen, _ = ENTRIES[name].rows(0)
    assert_allclose(seen.y[0], ENTRIES[name].value(seen.x)[0])
    assert np.isnan(seen.y[1:]).all()
    assert not np.isnan(seen.dydx).any()


def test_energies_against_equations_of_motion():
    """A point of mass 1 on each of two rods of length 1: both accelerations from Lagrange's equations."""
    q, r, p, s = x = np.array([0.7, -1.1, 0.4, 0.8])
    mass = np.array([[2, np.cos(q - r)], [np.cos(q - r), 1]])
    rates = np.linalg.solve(mass, [p, s])
    energy = rates @ mass @ rates / 2 - 2 * np.cos(q) - np.cos(r)
    assert_allclose(ENTRIES["double_pendulum"].value(x[None]), [[energy]])
