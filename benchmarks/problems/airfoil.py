"""The drag of airfoils: 42 039 rows, 16 inputs, all partial derivatives, from the examples in the wheel of SMT.

The inputs are 14 modes of the shape, the Mach number and the angle of attack (Bouhlel, He and Martins 2019,
https://doi.org/10.17632/ngpd634smf.1). A fifth of the rows is for the test.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from tables import Rows


def installed() -> Path:
    """Return the folder of the data in the installed SMT, which is not imported."""
    spec = find_spec("smt")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the airfoils are in the package smt; pip install -e '.[bench]'")
    return Path(spec.origin).parent / "examples" / "airfoil_parameters"


def read(source: Path) -> Rows:
    xy, dy = (np.loadtxt(source / name, delimiter=";") for name in ("cd_x_y.csv", "cd_dy.csv"))
    return Rows(xy[:, :-1], xy[:, -1:], dy[:, None, :])


def problem(rows: Rows, seed: int) -> tuple[Rows, Rows]:
    """Split the rows at random: 80 % that a tool may see, and 20 % for the test."""
    order = np.random.default_rng(seed).permutation(len(rows.x))
    seen, test = np.split(order, [len(order) * 8 // 10])
    return rows.part(seen), rows.part(test)
