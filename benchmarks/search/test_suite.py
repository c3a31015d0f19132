"""The tables of the search's benchmark: the formulas that are made for it, and which tables are for the check."""

import numpy as np
from suite import CHECK, FAMILIES, LINKS, MASSES, OBLATENESS, START, TABLES, draw_check, orbit, torques


def energy(angle, rate):
    """Return the energy of the arm, (m,)."""
    angle, rate = angle.cumsum(axis=1), rate.cumsum(axis=1)
    speeds = [(LINKS * part * rate).cumsum(axis=1) for part in (-np.sin(angle), np.cos(angle))]
    height = (LINKS * np.sin(angle)).cumsum(axis=1)
    return (MASSES * ((speeds[0] ** 2 + speeds[1] ** 2) / 2 + 9.81 * height)).sum(axis=1)


def test_the_power_of_the_torques_is_the_change_of_the_energy():
    x = np.random.default_rng(0).uniform(-1, 1, (5, 9))
    angle, rate, acceleration = np.split(x, 3, axis=1)
    power = energy(angle + 1e-30j * rate, rate + 1e-30j * acceleration).imag / 1e-30
    np.testing.assert_allclose((torques(x) * rate).sum(axis=1), power, rtol=1e-12)


def test_the_torques_at_rest_are_the_gradient_of_the_potential_energy():
    x = np.random.default_rng(1).uniform(-1, 1, (5, 9))
    x[:, 3:] = 0
    steps = 1e-30j * np.eye(3)
    gradient = np.stack([energy(x[:, :3] + step, x[:, 3:6]).imag / 1e-30 for step in steps], axis=1)
    np.testing.assert_allclose(torques(x), gradient, rtol=1e-12)


def test_the_orbit_keeps_its_energy():
    def energy(state):
        distance = np.linalg.norm(state[:, :3], axis=1)
        bulge = OBLATENESS / distance**2 * (1.5 * (state[:, 2] / distance) ** 2 - 0.5)
        return (state[:, 3:] ** 2).sum(axis=1) / 2 - (1 - bulge) / distance

    start = START + np.random.default_rng(0).uniform(-0.05, 0.05, (5, 6))
    np.testing.assert_allclose(energy(orbit(start)), energy(start), rtol=1e-7)


def test_a_third_of_the_tables_is_for_the_check_and_no_family_is_divided():
    assert len(TABLES) == 36
    assert len(CHECK) == 12
    assert set(TABLES) >= CHECK
    drawn = draw_check({name: number for number, name in enumerate(TABLES)})
    for check in (CHECK, drawn):
        assert len(check) == 12
        for family in FAMILIES:
            assert len({name in check for name in TABLES if name.startswith(family)}) == 1
