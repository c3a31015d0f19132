r"""Energies of mechanical systems, known by their gradients and by one value.

Measured trajectories give the gradient of a Hamiltonian, :math:`\dot q = \partial H / \partial p`,
:math:`\dot p = -\partial H / \partial q`, and never its value; one value fixes the constant. Formulas, constants and
boxes are those of the paper's code, https://github.com/AlphaGergedan/Random-HNN, but alpha of Hénon and Heiles is 1.

References:
    A. Rahma, C. Datar, F. Dietrich (2024). Training Hamiltonian neural networks without backpropagation.
    https://arxiv.org/abs/2411.17511
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from tables import Array, Entry, Rows, label

TEST_POINTS = 10_000
POINTS = 2000  # other tools do not cope with ten times as many
FIRST = 100  # the first seed; settings were tried on earlier ones


def rows(value: Callable[[Array], Array], upper: tuple[float, ...], seed: int) -> tuple[Rows, Rows]:
    """Return random points with gradients, of which the first has a value, and points for the test, in -upper..upper.

    Args:
        value: H, (m, 1), at points (m, 2 n).
        upper: the upper ends of the box, (2 n,).
        seed: the number of the rows.
    """
    generator = np.random.default_rng(FIRST + seed)
    box = np.array(upper)
    known, test = (label(value, generator.uniform(-box, box, (n, len(box)))) for n in (POINTS, TEST_POINTS))
    known.y[1:] = np.nan
    return known, test


def pendulum(q: Any, p: Any) -> Any:
    """Return p^2 / 2 + 1 - cos q."""
    return p**2 / 2 + 1 - np.cos(q)


def lotka_volterra(q: Any, p: Any) -> Any:
    """Return p - e^p + 2 q - e^q."""
    return p - np.exp(p) + 2 * q - np.exp(q)


def henon_heiles(q: Any, r: Any, p: Any, s: Any) -> Any:
    """Return (p^2 + s^2 + q^2 + r^2) / 2 + q^2 r - r^3 / 3."""
    return (p**2 + s**2 + q**2 + r**2) / 2 + q**2 * r - r**3 / 3


def double_pendulum(q: Any, r: Any, p: Any, s: Any) -> Any:
    """Return (p^2 + 2 s^2 - 2 p s cos(q - r)) / (2 (1 + sin(q - r)^2)) - 2 cos q - cos r."""
    kinetic = (p**2 + 2 * s**2 - 2 * p * s * np.cos(q - r)) / (2 * (1 + np.sin(q - r) ** 2))
    return kinetic - 2 * np.cos(q) - np.cos(r)


SOURCE = f"Rahma, Datar and Dietrich 2024, https://arxiv.org/abs/2411.17511, with {POINTS} gradients and one value"


def entry(energy: Callable[..., Any], *upper: float) -> Entry:
    """Return a problem: H of q_1, ..., q_n, p_1, ..., p_n, each (m,), real or complex, in a box."""

    def value(x: Array) -> Array:
        return energy(*x.T)[:, None]

    return Entry("dynamics", partial(rows, value, upper), SOURCE, value)


ENTRIES = {
    "pendulum_energy": entry(pendulum, 2 * np.pi, 6),
    "lotka_volterra": entry(lotka_volterra, 5, 5),
    "henon_heiles": entry(henon_heiles, 5, 5, 5, 5),
    "double_pendulum": entry(double_pendulum, np.pi, np.pi, 1, 1),
}
