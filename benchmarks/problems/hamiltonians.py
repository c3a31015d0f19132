r"""Energies of mechanical systems, known by their gradients and by one value.

Measured trajectories give the gradient of a Hamiltonian, :math:`\dot q = \partial H / \partial p`,
:math:`\dot p = -\partial H / \partial q`, and never its value; one value fixes the constant. Formulas, constants and
boxes are those of the paper's code, https://github.com/AlphaGergedan/Random-HNN, but alpha of Hénon and Heiles is 1.

References:
    A. Rahma, C. Datar, F. Dietrich (2024). Training Hamiltonian neural networks without backpropagation.
    https://arxiv.org/abs/2411.17511
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from tables import Array, Entry, Rows, label

TEST_POINTS = 10_000
FEW = 2000  # points in the public table, in which other tools do not cope with ten times as many


class System(NamedTuple):
    """A Hamiltonian in a box.

    Attributes:
        energy: H of q_1, ..., q_n, p_1, ..., p_n, each (m,), real or complex.
        lower: the lower ends of the box, (2 n,).
        upper: the upper ends.
        points: the number of points of the published fits.
        published: the published relative L2 errors of H, means of ten runs: the best of three ways to draw neurons, and
            a network that was trained; None: not published.
        start: the point at which a trajectory begins that stays in the box, (2 n,).
        step: the time of its steps.
    """

    energy: Callable[..., Any]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    points: int
    published: tuple[float, float | None]
    start: tuple[float, ...]
    step: float

    def value(self, x: Array) -> Array:
        """Return H, (m, 1), at points x, (m, 2 n)."""
        return self.energy(*x.T)[:, None]

    def rows(self, seed: int, points: int = FEW) -> tuple[Rows, Rows]:
        """Return uniform random points with gradients, of which the first has a value, and points for the test."""
        generator = np.random.default_rng(seed)
        known, test = (
            label(self.value, generator.uniform(self.lower, self.upper, (n, len(self.lower))))
            for n in (points, TEST_POINTS)
        )
        known.y[1:] = np.nan
        return known, test


def trajectory(gradient: Callable[[Array], Array], start: Sequence[float], step: float, steps: int) -> Iterator[Array]:
    """Yield the points of a trajectory, (2 n,), by the symplectic method of Gauss with two stages, of order 4.

    Args:
        gradient: returns that of H, (m, 2 n), at points (m, 2 n).
        start: the first point, (2 n,).
        step: the time of a step.
        steps: how many there are.

    References:
        E. Hairer, C. Lubich, G. Wanner (2006). Geometric Numerical Integration, section II.1.3.
        https://doi.org/10.1007/3-540-30666-8
    """
    x, half, root = np.array(start, float), len(start) // 2, np.sqrt(3) / 6
    a = np.array([[1 / 4, 1 / 4 - root], [1 / 4 + root, 1 / 4]])
    slopes = np.zeros((2, len(x)))
    for _ in range(steps):
        yield x
        for _ in range(50):
            before, dh = slopes, gradient(x + step * a @ slopes)
            slopes = np.concatenate([dh[:, half:], -dh[:, :half]], axis=1)
            if np.abs(slopes - before).max() < 1e-14:
                break
        x = x + step * slopes.mean(0)


def pendulum(q: Any, p: Any) -> Any:
    """Return p^2 / 2 + 1 - cos q."""
    return p**2 / 2 + 1 - np.cos(q)


def lotka_volterra(q: Any, p: Any) -> Any:
    """Return p - e^p + 2 q - e^q."""
    return p - np.exp(p) + 2 * q - np.exp(q)


def lotka_volterra_large(q: Any, p: Any) -> Any:
    """Return 0.07 e^p - 10 p + 0.025 e^q - 3.5 q."""
    return 0.07 * np.exp(p) - 10 * p + 0.025 * np.exp(q) - 3.5 * q


def henon_heiles(q: Any, r: Any, p: Any, s: Any) -> Any:
    """Return (p^2 + s^2 + q^2 + r^2) / 2 + q^2 r - r^3 / 3."""
    return (p**2 + s**2 + q**2 + r**2) / 2 + q**2 * r - r**3 / 3


def double_pendulum(q: Any, r: Any, p: Any, s: Any) -> Any:
    """Return (p^2 + 2 s^2 - 2 p s cos(q - r)) / (2 (1 + sin(q - r)^2)) - 2 cos q - cos r."""
    kinetic = (p**2 + 2 * s**2 - 2 * p * s * np.cos(q - r)) / (2 * (1 + np.sin(q - r) ** 2))
    return kinetic - 2 * np.cos(q) - np.cos(r)


def _further_rows(system: System, seed: int) -> tuple[Rows, Rows]:
    return system.rows(FIRST + seed)


_PI = np.pi
SYSTEMS = {
    "pendulum": System(pendulum, (-2 * _PI, -1), (2 * _PI, 1), 10_000, (1.5e-11, 2.2e-3), (0.8, 0), 0.1),
    "pendulum, p to 6": System(pendulum, (-2 * _PI, -6), (2 * _PI, 6), 10_000, (6.9e-10, 7.4e-4), (2, 0), 0.1),
    "Lotka-Volterra, 2": System(lotka_volterra, (-2, -2), (2, 2), 10_000, (3.0e-12, None), (0.2, 0.5), 0.1),
    "Lotka-Volterra, 5": System(lotka_volterra, (-5, -5), (5, 5), 10_000, (8.0e-9, None), (-1, 1), 0.1),
    "Lotka-Volterra, 0 to 8": System(lotka_volterra_large, (0, 0), (8, 8), 10_000, (1.5e-8, None), (4, 4.5), 0.02),
    "Hénon-Heiles": System(henon_heiles, (-5,) * 4, (5,) * 4, 20_000, (6.8e-8, 6.7e-4), (0, 0.1, 0.45, 0), 0.1),
    "double pendulum": System(
        double_pendulum, (-_PI, -_PI, -1, -1), (_PI, _PI, 1, 1), 10_000, (4.1e-3, 3.6e-3), (0.3, -0.2, 0, 0), 0.05
    ),
}
_NAMES = {
    "pendulum_energy": "pendulum, p to 6",
    "lotka_volterra": "Lotka-Volterra, 5",
    "henon_heiles": "Hénon-Heiles",
    "double_pendulum": "double pendulum",
}
FIRST = 100  # the first seed of the table; settings of the study were tried on earlier ones
SOURCE = f"Rahma, Datar and Dietrich 2024, https://arxiv.org/abs/2411.17511, with {FEW} gradients and one value"
ENTRIES = {
    name: Entry("dynamics", partial(_further_rows, SYSTEMS[system]), SOURCE, SYSTEMS[system].value)
    for name, system in _NAMES.items()
}
