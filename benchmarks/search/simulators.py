"""Sixteen small simulators, of which only the cart and pole had a part in a choice of the search: values in a box.

Each is a formula or the classical Runge-Kutta method, so that complex steps give exact derivatives. Ten have 50 to 150
rows, the other ones 400 to 3000.
"""

import numpy as np
from engineering import GRAVITY, runge_kutta
from functions import Function
from numpy.typing import NDArray


def planet(x: NDArray) -> NDArray:
    """Return the position of a planet after five units of time, with a perturber on a circular orbit of radius 1.

    Inputs: the semi-major axis and the eccentricity of its orbit, at whose near end it begins, the mass of the
    perturber over that of the star, and the angle at which that begins (rad). The star is fixed.
    """
    axis, eccentricity, mass, phase = x.T
    near, time, h = axis * (1 - eccentricity), np.zeros_like(axis), 0.05

    def flow(state: NDArray) -> NDArray:
        position, velocity, now = state[:2], state[2:4], state[4]
        away = position - np.stack([np.cos(now + phase), np.sin(now + phase)])
        pull = -position / (position**2).sum(axis=0) ** 1.5 - mass * away / (away**2).sum(axis=0) ** 1.5
        return np.concatenate([velocity, pull, [np.ones_like(now)]])

    speed = np.sqrt((1 + eccentricity) / near)
    return runge_kutta(flow, np.stack([near, time, time, speed, time]), h, 100)[:2].T


def lorenz(x: NDArray) -> NDArray:
    """Return the state after 0.4 units of time by the equations of Lorenz.

    Lorenz 1963, https://doi.org/10.1175/1520-0469(1963)020%3C0130:DNF%3E2.0.CO;2
    """

    def flow(state: NDArray) -> NDArray:
        x, y, z = state
        return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])

    return runge_kutta(flow, x.T, 0.005, 80).T


def van_der_pol(x: NDArray) -> NDArray:
    """Return position and velocity of van der Pol's oscillator after three units of time; its third input is mu."""
    mu = x[:, 2]

    def flow(state: NDArray) -> NDArray:
        return np.stack([state[1], mu * (1 - state[0] ** 2) * state[1] - state[0]])

    return runge_kutta(flow, x.T[:2], 0.03, 100).T


def brusselator(x: NDArray) -> NDArray:
    """Return the concentrations of the Brusselator after three units of time, by a, b and those at the beginning."""
    a, b = x.T[:2]

    def flow(state: NDArray) -> NDArray:
        product = state[0] ** 2 * state[1]
        return np.stack([a - (b + 1) * state[0] + product, b * state[0] - product])

    return runge_kutta(flow, x.T[2:], 0.03, 100).T


def neuron(x: NDArray) -> NDArray:
    """Return the state of FitzHugh and Nagumo's neuron after ten units of time, by that at the beginning and a current.

    The fourth input is the rate of recovery. https://doi.org/10.1016/S0006-3495(61)86902-6
    """
    current, rate = x.T[2:]

    def flow(state: NDArray) -> NDArray:
        v, w = state
        return np.stack([v - v**3 / 3 - w + current, rate * (v + 0.7 - 0.8 * w)])

    return runge_kutta(flow, x.T[:2], 0.05, 200).T


def lens(x: NDArray) -> NDArray:
    """Return the height (mm) and the angle (rad) of a ray 60 mm behind a lens of 8 mm, by Snell's law.

    Inputs: its height (mm) and angle (rad) before the lens, the radii of its two sides (mm) and its index. At the back
    side the ray is refracted in the plane of the vertex, by the normal at its height there.
    """
    height, angle, front, back, index = x.T
    normal = np.arcsin(height / front)
    incidence = angle + normal
    angle = np.arcsin(np.sin(incidence) / index) - normal
    sag = front - np.sqrt(front**2 - height**2)
    height = height + (8 - sag) * np.tan(angle)
    normal = -np.arcsin(height / back)  # the other side is curved the other way
    angle = np.arcsin(index * np.sin(angle + normal)) - normal
    return np.stack([height + 60 * np.tan(angle), angle], axis=1)


def fin(x: NDArray) -> NDArray:
    """Return the heat (W) and the excess temperature (K) of the tip of a fin, 5 cm wide, with 100 K at its base.

    Inputs: its length and thickness (mm), its conductivity (W/m/K) and the heat transfer coefficient (W/m2/K). The tip
    loses heat by convection (Incropera and DeWitt, Fundamentals of Heat and Mass Transfer, chapter 3.6).
    """
    length, thick, conductivity, film = x.T
    length, thick, wide = 1e-3 * length, 1e-3 * thick, 0.05
    around, area = 2 * (wide + thick), wide * thick
    m = np.sqrt(film * around / conductivity / area)
    tip, size = film / m / conductivity, np.sqrt(film * around * conductivity * area)
    sinh, cosh = np.sinh(m * length), np.cosh(m * length)
    below = cosh + tip * sinh
    return np.stack([size * 100 * (sinh + tip * cosh) / below, 100 / below], axis=1)


def projectile(x: NDArray) -> NDArray:
    """Return the position (m) of a projectile, by its speed (m/s), its angle, its quadratic drag (1/m) and the time."""
    speed, angle, drag, time = x.T

    def flow(state: NDArray) -> NDArray:
        velocity = state[2:]
        pull = -drag * np.sqrt((velocity**2).sum(axis=0)) * velocity
        pull[1] -= GRAVITY
        return time * np.concatenate([velocity, pull])

    zero = np.zeros_like(speed)
    return runge_kutta(flow, np.stack([zero, zero, speed * np.cos(angle), speed * np.sin(angle)]), 0.01, 100)[:2].T


def mixture(x: NDArray) -> NDArray:
    """Return the pressure (bar) of carbon dioxide and propane, by Peng and Robinson's equation of state (1976).

    Inputs: the mole fraction of carbon dioxide, the temperature (K), the molar volume (l). The binary interaction
    parameter is 0.12.
    https://doi.org/10.1021/i160057a011
    """
    share, temperature, volume = x.T
    shares, gas = np.stack([share, 1 - share]), 0.0831446
    critical, pressure, acentric = np.array([[304.13, 369.83], [73.77, 42.48], [0.225, 0.152]])[..., None]
    kappa = 0.37464 + 1.54226 * acentric - 0.26992 * acentric**2
    root = np.sqrt(0.45724 / pressure) * gas * critical * (1 + kappa * (1 - np.sqrt(temperature / critical)))
    a = ((shares * root).sum(axis=0)) ** 2 - 2 * 0.12 * (shares * root).prod(axis=0)
    b = (shares * 0.0778 * gas * critical / pressure).sum(axis=0)
    return (gas * temperature / (volume - b) - a / (volume**2 + 2 * b * volume - b**2))[:, None]


def absorber(x: NDArray) -> NDArray:
    """Return the amplitudes of a mass and of its absorber over the static deflection, with damping of both.

    Inputs: the ratio of the masses, of their frequencies, of the exciting frequency, and both ratios of damping (after
    Den Hartog 1956, Mechanical Vibrations, chapter 3).
    """
    mass, tuned, forced, damping, of_absorber = x.T
    square, friction = forced**2, 2 * of_absorber * tuned * forced
    own, ground = tuned**2 - square, 1 - square
    real = ground * own - mass * tuned**2 * square - 2 * damping * forced * friction
    imaginary = friction * (ground - mass * square) + 2 * damping * forced * own
    below = np.sqrt(real**2 + imaginary**2)
    return np.stack([np.sqrt(own**2 + friction**2) / below, np.sqrt(tuned**4 + friction**2) / below], axis=1)


def cart_pole(x: NDArray) -> NDArray:
    """Return the accelerations (rad/s2, m/s2) of a pole and its cart of 1 kg (Florian 2007, without friction).

    Inputs: the pole's angle and rate, the force (N), the pole's mass (kg) and half of its length (m).
    """
    angle, rate, force, mass, length = x.T
    total, sine, cosine = 1 + mass, np.sin(angle), np.cos(angle)
    pushed = (force + mass * length * rate**2 * sine) / total
    turning = (GRAVITY * sine - cosine * pushed) / (length * (4 / 3 - mass * cosine**2 / total))
    return np.stack([turning, pushed - mass * length * turning * cosine / total], axis=1)


def stirred_tank(x: NDArray) -> NDArray:
    """Return the concentration and the temperature of a stirred tank with an exothermic reaction, dimensionless.

    Inputs: both at the beginning, the feed's flow and concentration, the temperature of the coolant, the activation
    energy. Two units of time (Uppal, Ray and Poore 1974, https://doi.org/10.1016/0009-2509(74)80089-8).
    """
    flow_in, fed, coolant, energy = x.T[2:]

    def flow(state: NDArray) -> NDArray:
        concentration, temperature = state
        reacted = 0.5 * concentration * np.exp(temperature / (1 + temperature / energy))
        heated = 4 * reacted - (flow_in + 1.5) * temperature + 1.5 * coolant
        return np.stack([flow_in * (fed - concentration) - reacted, heated])

    return runge_kutta(flow, x.T[:2], 0.02, 100).T


def cluster(x: NDArray) -> NDArray:
    """Return the energy of four atoms by their displacements from a tetrahedron of sides 1, with Morse's potential."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 8**0.5
    atoms = corners + x.reshape(len(x), 4, 3)
    first, second = np.triu_indices(4, 1)
    distance = np.sqrt(((atoms[:, first] - atoms[:, second]) ** 2).sum(axis=2))
    return ((1 - np.exp(-3 * (distance - 1))) ** 2).sum(axis=1, keepdims=True)


def wall(x: NDArray) -> NDArray:
    """Return the flux and two temperatures of a wall of 18 layers between two fluids, by 20 conductances."""
    resistance = (1 / x).cumsum(axis=1)
    flux = 20 / resistance[:, -1]
    return np.stack([flux, 20 - flux * resistance[:, 6], 20 - flux * resistance[:, 13]], axis=1)


def three_bodies(x: NDArray) -> NDArray:
    """Return the positions of three bodies after a unit of time, by those at the beginning and their masses.

    They begin at rest, and their gravity is softened by 0.1.
    """
    mass = x.T[6:]

    def flow(state: NDArray) -> NDArray:
        position, velocity = state.reshape(2, 3, 2, -1)
        away = position[None] - position[:, None]
        pull = (mass[:, None] * away / ((away**2).sum(axis=2, keepdims=True) + 0.01) ** 1.5).sum(axis=1)
        return np.concatenate([velocity, pull]).reshape(12, -1)

    start = np.concatenate([x.T[:6], np.zeros_like(x.T[:6])])
    return runge_kutta(flow, start, 0.02, 50)[:6].T


def epidemic(x: NDArray) -> NDArray:
    """Return the shares of the exposed, infected and removed after 30 days, by the SEIR model.

    Inputs: the rates of transmission, incubation and removal (1/d), the shares of the exposed, infected and immune at
    first.
    """
    contact, onset, removal = x.T[:3]

    def flow(state: NDArray) -> NDArray:
        exposed, infected, removed = state
        new = contact * infected * (1 - exposed - infected - removed)
        return np.stack([new - onset * exposed, onset * exposed - removal * infected, removal * infected])

    return runge_kutta(flow, x.T[3:], 0.3, 100).T


TRIANGLE = tuple((at - 0.3, at + 0.3) for at in (1.0, 0.0, -0.5, 0.9, -0.5, -0.9))
SIMULATORS = {
    "planet": Function(planet, ((0.5, 0.6), (0.0, 0.15), (0.0, 5e-3), (-2.0, 2.0)), 150),
    "Lorenz": Function(lorenz, ((-10, 10), (-10, 10), (15, 35)), 100),
    "van der Pol": Function(van_der_pol, ((-2, 2), (-2, 2), (0.2, 2)), 80),
    "Brusselator": Function(brusselator, ((0.8, 1.2), (1.5, 2.8), (0.5, 2), (0.5, 2)), 100),
    "neuron": Function(neuron, ((-2, 2), (-1, 1.5), (0, 1), (0.04, 0.12)), 120),
    "lens": Function(lens, ((1, 10), (-0.1, 0.1), (40, 60), (40, 60), (1.45, 1.7)), 60),
    "fin": Function(fin, ((20, 100), (1, 5), (10, 400), (5, 100)), 50),
    "projectile": Function(projectile, ((10, 60), (0.3, 1.2), (0, 0.02), (0.5, 2)), 80),
    "mixture": Function(mixture, ((0, 1), (320, 450), (0.2, 2)), 60),
    "absorber": Function(absorber, ((0.05, 0.3), (0.7, 1.1), (0.6, 1.4), (0.02, 0.1), (0.05, 0.3)), 150),
    "cart and pole": Function(cart_pole, ((-np.pi, np.pi), (-5, 5), (-10, 10), (0.1, 0.5), (0.3, 1)), 600),
    "stirred tank": Function(stirred_tank, ((0, 1), (-1, 1), (0.5, 2), (0.5, 1.5), (-1, 1), (10, 30)), 400),
    "cluster": Function(cluster, ((-0.15, 0.15),) * 12, 2000),
    "wall": Function(wall, ((0.5, 2.0),) * 20, 800),
    "three bodies": Function(three_bodies, TRIANGLE + ((0.5, 1.5),) * 3, 3000),
    "epidemic": Function(epidemic, ((0.2, 0.8), (0.1, 0.5), (0.1, 0.4), (0, 0.1), (0, 0.1), (0, 0.5)), 1000),
}
"""The simulators, with their numbers of rows."""
