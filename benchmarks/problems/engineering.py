"""Problems of engineering for the public table: small models in SI units, by formula, with complex steps."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pfr
from fresh import FRESH
from functions import Function, entry
from hard import HARD
from numpy.typing import NDArray
from tables import Entry, Rows, label, noisy

BAY, MODULUS, LOAD = 9.144, 68.95e9, 444.8e3
"""The truss: metres, pascal, newton."""
NODES = BAY * np.array([[2, 1], [2, 0], [1, 1], [1, 0], [0, 1], [0, 0]])
BARS = np.array([[4, 2], [2, 0], [5, 3], [3, 1], [3, 2], [1, 0], [4, 3], [5, 2], [2, 1], [3, 0]])
GRAVITY, END, STEPS = 9.81, 2.0, 100
"""The pendulum: m/s2, seconds, steps."""
NOISE = 0.05


def truss(areas: NDArray) -> NDArray:
    """Return the sag of the tip (mm) and the norm of the stresses (MPa) of the ten-bar truss, by its areas (cm2).

    Two bays of bars carry a load at each lower free node; the elongations are e = B^T K^-1 f with K = B diag(E A / L)
    B^T. The norm is (sum s^8)^(1/8), a smooth largest stress.
    """
    along = NODES[BARS[:, 1]] - NODES[BARS[:, 0]]
    length = np.linalg.norm(along, axis=1)
    ends = np.eye(len(NODES))[BARS[:, 1]] - np.eye(len(NODES))[BARS[:, 0]]
    geometry = (ends[:, :, None] * (along / length[:, None])[:, None, :])[:, :4].reshape(len(BARS), 8)
    stiffness = np.einsum("bi,mb,bj->mij", geometry, MODULUS * areas * 1e-4 / length, geometry)
    force = np.zeros((8, 1))
    force[[3, 7]] = -LOAD
    moved = np.linalg.solve(stiffness, force)[..., 0]
    stress = moved @ geometry.T * (MODULUS / length) / 1e6
    return np.stack([-1e3 * moved[:, 3], (stress**8).sum(axis=1) ** (1 / 8)], axis=1)


def heat_exchanger(x: NDArray) -> NDArray:
    """Return the outlet temperatures (K) of oil and water in counterflow.

    Inputs: the flows of oil and water (kg/s), their inlet temperatures (K), the area (m2), the fouling (cm2 K/W). The
    oil's effectiveness is (1 - e) / (1 - r e), with e = exp(-N (1 - r)), the ratio of heat capacities r, below 1 in the
    box, and N = U A / C of the oil. Its film is 300 W/m2/K at 1 kg/s, that of the water 2500.
    """
    oil, water, hot, cold, area, fouling = x.T
    of_oil, of_water = 2100 * oil, 4180 * water
    conductance = 1 / (1 / (300 * oil**0.6) + 1 / (2500 * water**0.8) + 1e-4 * fouling)
    ratio = of_oil / of_water
    decay = np.exp(-conductance * area / of_oil * (1 - ratio))
    drop = (1 - decay) / (1 - ratio * decay) * (hot - cold)
    return np.stack([hot - drop, cold + ratio * drop], axis=1)


def runge_kutta(flow: Callable[[NDArray], NDArray], state: NDArray, h: float, steps: int) -> NDArray:
    """Return the solution of state' = flow(state) after some steps of length h of the classical Runge-Kutta method."""
    for _ in range(steps):
        first = flow(state)
        second = flow(state + h / 2 * first)
        third = flow(state + h / 2 * second)
        state = state + h / 6 * (first + 2 * second + 2 * third + flow(state + h * third))
    return state


def pendulum(x: NDArray) -> NDArray:
    """Return the angle (rad) and its rate (rad/s) of a damped pendulum after two seconds.

    Inputs: both at the start, the damping c (1/s) and the length l (m) in a'' = -(g/l) sin a - c a'. The solution is
    that of 100 steps of the classical Runge-Kutta method, and its derivative is that of these steps.
    """
    angle, rate, damping, length = x.T
    h = END / STEPS

    def flow(state: NDArray) -> NDArray:
        return np.stack([state[1], -GRAVITY / length * np.sin(state[0]) - damping * state[1]])

    return runge_kutta(flow, np.stack([angle, rate]), h, STEPS).T


def screening(x: NDArray) -> NDArray:
    """Return a function of 20 inputs: five decide, thirteen matter little, and two (x8, x16) not at all."""
    linear = np.zeros(20)
    linear[[1, 2, 4, 5, 6, 8, 9, 10, 13, 14, 16, 17, 18]] = (
        *(0.05, 0.08, 1, -0.03, 0.03, -0.09, -0.01, -0.07, -0.04, 0.06, -0.01, -0.03, -5),
    )
    curved = 5 * (x[:, 3] - x[:, 19]) ** 2 + 40 * x[:, 18] ** 3 + 0.25 * x[:, 12] ** 2
    return 5 * x[:, 11] / (1 + x[:, 0]) + curved + x @ linear


def with_noise(function: Function, field: str, source: str) -> Entry:
    """Return a problem whose rows have noise of 5 % in values and derivatives, unlike those of its test."""
    exact = entry(function, field, source)

    def rows(seed: int) -> tuple[Rows, Rows]:
        seen, test = exact.rows(seed)
        return noisy(seen, NOISE, NOISE, seed), test

    return exact._replace(rows=rows)


def reactor(n: int) -> Entry:
    """Return n points of the reactor; each seed has a pool of its own, and the test is that of its notebook."""

    def rows(seed: int) -> tuple[Rows, Rows]:
        return label(pfr.reactor, pfr.design(pfr.POOL, 1000 + seed)[:n]), pfr.test_set()

    return Entry("chemistry", rows, "notebook 43 of https://github.com/jkitchin/pounce", pfr.reactor)


def read_airfoils() -> Rows:
    """Return the drag of airfoils: 42 039 rows with 14 modes of the shape, the Mach number and the angle of attack.

    The data are among the examples in the wheel of SMT, which is not imported.
    """
    spec = find_spec("smt")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the airfoils are in the package smt; pip install -e '.[bench]'")
    source = Path(spec.origin).parent / "examples" / "airfoil_parameters"
    xy, dy = (np.loadtxt(source / name, delimiter=";") for name in ("cd_x_y.csv", "cd_dy.csv"))
    return Rows(xy[:, :-1], xy[:, -1:], dy[:, None, :])


def airfoils(seed: int) -> tuple[Rows, Rows]:
    """Split the rows of airfoils at random: 80 % that a tool may see, and 20 % for the test."""
    rows = read_airfoils()
    order = np.random.default_rng(seed).permutation(len(rows.x))
    seen, test = np.split(order, [len(order) * 8 // 10])
    return rows.part(seen), rows.part(test)


LIBRARY = "https://www.sfu.ca/~ssurjano"
PENDULUM = ((-2, 2), (-1.5, 1.5), (0.05, 0.5), (0.5, 2))
EXCHANGER = ((0.5, 1.5), (1, 3), (350, 400), (280, 300), (5, 25), (0, 5))
ENTRIES = {
    "ishigami": entry(FRESH["ishigami"], "test functions", f"Ishigami and Homma 1990, {LIBRARY}/ishigami.html"),
    "friedman_noise": with_noise(
        FRESH["friedman"]._replace(n=200), "test functions", f"Friedman 1991, {LIBRARY}/fried.html"
    ),
    "screening_20": entry(
        Function(screening, ((-0.5, 0.5),) * 20, 200),
        "test functions",
        f"Welch, Buck, Sacks, Wynn, Mitchell and Morris 1992, {LIBRARY}/welchetal92.html",
    ),
    "borehole": entry(HARD["borehole"], "engineering", f"Harper and Gupta 1983, {LIBRARY}/borehole.html"),
    "ten_bar_truss": entry(
        Function(truss, ((20.0, 120.0),) * 10, 150),
        "engineering",
        "Haftka and Gürdal 1992, Elements of Structural Optimization, https://doi.org/10.1007/978-94-011-2550-5",
    ),
    "heat_exchanger": entry(
        Function(heat_exchanger, EXCHANGER, 120),
        "engineering",
        "Kays and London 1984, Compact Heat Exchangers; the sizes are ours",
    ),
    "wing_weight": entry(
        HARD["wing_10"], "aerospace", f"Forrester, Sobester and Keane 2008, {LIBRARY}/wingweight.html"
    ),
    "airfoils": Entry("aerospace", airfoils, "Bouhlel, He and Martins 2019, https://doi.org/10.17632/ngpd634smf.1"),
    "damped_pendulum": entry(Function(pendulum, PENDULUM, 150), "dynamics", "its equation of motion"),
    "reactor_64": reactor(64),
    "reactor_256": reactor(256),
}
