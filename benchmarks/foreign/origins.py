"""The programs that the tables come from, and the register of their makers."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Rows = tuple[Array, Array, Array]
"""Inputs, (n, D), outputs, (n, P), and partial derivatives, (n, P, D); NaN: the program does not give it."""

PROGRAMS = {
    "ase": ("LGPL-2.1-or-later", "https://ase-lib.org"),
    "botorch": ("MIT", "https://botorch.org"),
    "cantera": ("BSD-3-Clause", "https://cantera.org"),
    "casadi": ("LGPL-3.0-or-later", "https://web.casadi.org"),
    "CoolProp": ("MIT", "http://www.coolprop.org"),
    "diffrax": ("Apache-2.0", "https://docs.kidger.site/diffrax"),
    "dymos": ("Apache-2.0", "https://openmdao.github.io/dymos"),
    "galpy": ("BSD-3-Clause", "https://docs.galpy.org"),
    "lenstronomy": ("BSD-3-Clause", "https://lenstronomy.readthedocs.io"),
    "mujoco": ("Apache-2.0", "https://mujoco.readthedocs.io"),
    "openmdao": ("Apache-2.0", "https://openmdao.org"),
    "openmm": ("MIT and LGPL", "https://openmm.org"),
    "pin": ("BSD-2-Clause", "https://github.com/stack-of-tasks/pinocchio"),
    "pymoo": ("Apache-2.0", "https://pymoo.org"),
    "pyproj": ("MIT", "https://pyproj4.github.io/pyproj"),
    "pyscf": ("Apache-2.0", "https://pyscf.org"),
    "QuantLib": ("BSD-3-Clause", "https://www.quantlib.org"),
    "rebound": ("GPL-3.0-only", "https://rebound.hanno-rein.de"),
    "scikit-learn": ("BSD-3-Clause", "https://scikit-learn.org"),
    "scipy": ("BSD-3-Clause", "https://scipy.org"),
    "smt": ("BSD-3-Clause", "https://smt.readthedocs.io"),
    "statsmodels": ("BSD-3-Clause", "https://www.statsmodels.org"),
    "tblite": ("LGPL-3.0-or-later", "https://tblite.readthedocs.io"),
}
"""The licence and the link of each package."""


class Origin(NamedTuple):
    """A table's maker, the package and the function that it calls, and how its rows are drawn."""

    make: Callable[[np.random.Generator], Rows]
    package: str
    function: str
    drawn: str


TABLES: dict[str, Origin] = {}
"""The makers by the names of their tables, in the order of their numbers."""


def table(
    package: str, function: str, drawn: str = "random"
) -> Callable[[Callable[[np.random.Generator], Rows]], None]:
    """Register a maker as a table of the same name."""

    def register(make: Callable[[np.random.Generator], Rows]) -> None:
        TABLES[make.__name__.replace("_", " ")] = Origin(make, package, function, drawn)

    return register


def path(function: Callable[[Array], tuple[float, Array]], starts: Array, **options: object) -> Rows:
    """Return all points at which an optimiser of SciPy evaluates a function, from some starts."""
    from scipy.optimize import minimize

    seen = list[tuple[Array, float, Array]]()

    def recorded(x: Array) -> tuple[float, Array]:
        seen.append((x.copy(), *function(x)))
        return seen[-1][1:]

    for start in starts:
        minimize(recorded, start, jac=True, **options)  # pyright: ignore[reportArgumentType, reportCallIssue]
    x, y, dydx = map(np.array, zip(*seen, strict=True))
    return x, y[:, None], dydx[:, None]


def stacked(rows: Iterable[tuple[Any, Any, Any]]) -> Rows:
    """Return the tables of single rows, x (D,), y (P,), dydx (P, D), as one."""
    x, y, dydx = (np.array(part, float) for part in zip(*rows, strict=True))
    return x, y, dydx
