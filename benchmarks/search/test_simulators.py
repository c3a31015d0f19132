"""The simulators of the search's benchmark: laws that they must obey, and known limits."""

import numpy as np
import pytest
from functions import problem
from simulators import (
    SIMULATORS,
    absorber,
    brusselator,
    cart_pole,
    cluster,
    epidemic,
    fin,
    lens,
    lorenz,
    mixture,
    neuron,
    planet,
    projectile,
    three_bodies,
    van_der_pol,
    wall,
)


@pytest.mark.parametrize("name", SIMULATORS)
def test_derivatives_are_those_of_the_values(name):
    function = SIMULATORS[name]
    x = problem(function, 0)[0].part(slice(20))
    low, high = np.transpose(function.box)
    for d, h in enumerate(1e-6 * (high - low)):
        step = h * np.eye(len(low))[d]
        differences = (function.value(x.x + step) - function.value(x.x - step)) / (2 * h)
        np.testing.assert_allclose(x.dydx[:, :, d], differences, rtol=1e-5, atol=1e-5 * np.abs(x.dydx[:, :, d]).max())


def test_without_a_perturber_a_planet_comes_back_after_its_period():
    axis = (5 / (2 * np.pi)) ** (2 / 3)
    np.testing.assert_allclose(planet(np.array([[axis, 0.1, 0.0, 0.5]])), [[0.9 * axis, 0]], atol=1e-4)


def test_three_bodies_keep_their_centre_of_mass():
    x = np.random.default_rng(0).uniform(0.5, 1.5, (5, 9))
    before, after = (part.reshape(5, 3, 2) * x[:, 6:, None] for part in (x[:, :6], three_bodies(x)))
    np.testing.assert_allclose(after.sum(axis=1), before.sum(axis=1), rtol=1e-12)


def test_without_drag_a_projectile_falls_freely():
    expected = [20 * np.cos(0.5) * 1.5, 20 * np.sin(0.5) * 1.5 - 9.81 / 2 * 1.5**2]
    np.testing.assert_allclose(projectile(np.array([[20.0, 0.5, 0.0, 1.5]])), [expected], rtol=1e-12)


def test_a_thin_ray_is_bent_by_the_power_of_the_thick_lens():
    index, front, back = 1.5, 50.0, 45.0
    power = (index - 1) * (1 / front + 1 / back - (index - 1) * 8 / (index * front * back))
    np.testing.assert_allclose(lens(np.array([[1e-3, 0.0, front, back, index]]))[0, 1], -1e-3 * power, rtol=1e-6)


def test_a_long_fin_has_the_heat_of_an_infinite_one():
    length, thick, conductivity, film = 1000.0, 1.0, 20.0, 100.0
    around, area = 2 * (0.05 + 1e-3), 0.05 * 1e-3
    heat = fin(np.array([[length, thick, conductivity, film]]))[0, 0]
    assert heat == pytest.approx(100 * np.sqrt(film * around * conductivity * area), rel=1e-9)


def test_a_thin_mixture_is_an_ideal_gas():
    assert mixture(np.array([[0.3, 400.0, 1e6]]))[0, 0] == pytest.approx(0.0831446 * 400 / 1e6, rel=1e-5)


def test_an_absorber_with_much_damping_is_a_part_of_the_mass():
    mass, forced = 0.2, 0.7
    amplitudes = absorber(np.array([[mass, 0.9, forced, 0.0, 1e6]]))
    np.testing.assert_allclose(amplitudes, [[1 / abs(1 - (1 + mass) * forced**2)] * 2], rtol=1e-5)


def test_a_pole_and_its_cart_have_the_momentum_of_the_force():
    angle, rate, force, mass, length = x = np.random.default_rng(0).uniform(0.3, 1.0, (5, 10))
    turning, accelerated = cart_pole(x.T).T
    pole = accelerated + length * (turning * np.cos(angle) - rate**2 * np.sin(angle))
    np.testing.assert_allclose(accelerated + mass * pole, force, rtol=1e-12)


def test_systems_stay_at_their_fixed_points():
    points = {
        brusselator: ([1.1, 2.0, 1.1, 2.0 / 1.1], [2, 3]),
        lorenz: ([np.sqrt(72), np.sqrt(72), 27.0], [0, 1, 2]),
        van_der_pol: ([0.0, 0.0, 1.5], [0, 1]),
        neuron: ([0.5, 1.5, 0.5**3 / 3 + 1.0, 0.1], [0, 1]),
    }
    for function, (x, state) in points.items():
        np.testing.assert_allclose(function(np.array([x]))[0], np.array(x)[state], atol=1e-12)


def test_a_slow_force_moves_the_mass_as_a_steady_one():
    np.testing.assert_allclose(absorber(np.array([[0.1, 0.9, 1e-9, 0.05, 0.1]])), [[1, 1]], rtol=1e-8)


def test_the_energy_of_a_cluster_is_least_without_a_move_and_does_not_change_as_it_is_shifted():
    moves = np.random.default_rng(0).uniform(-0.1, 0.1, (5, 12))
    assert cluster(np.zeros((1, 12)))[0, 0] == pytest.approx(0, abs=1e-20)
    assert (cluster(moves) > 0).all()
    np.testing.assert_allclose(cluster(moves + np.tile([0.3, -0.2, 0.1], 4)), cluster(moves), rtol=1e-10)


def test_a_uniform_wall_has_a_straight_profile():
    np.testing.assert_allclose(wall(np.ones((1, 20))), [[1, 13, 6]])


def test_without_the_infected_nobody_falls_ill():
    np.testing.assert_allclose(epidemic(np.array([[0.5, 0.2, 0.2, 0.0, 0.0, 0.3]])), [[0, 0, 0.3]])
