"""Functions of engineering with inputs of very different sizes.

The points are as in `functions.py`; the functions of engineering are in https://www.sfu.ca/~ssurjano/.
"""

import numpy as np
from functions import Function
from numpy.typing import NDArray


def borehole(x: NDArray) -> NDArray:
    """Return the flow through a borehole; its radius decides, and two inputs change it by less than a thousandth."""
    radius, reach, upper, upper_head, lower, lower_head, length, conductivity = x.T
    log = np.log(reach / radius)
    leak = 1 + 2 * length * upper / (log * radius**2 * conductivity) + upper / lower
    return 2 * np.pi * upper * (upper_head - lower_head) / (log * leak)


def wing_weight(x: NDArray) -> NDArray:
    """Return the weight of a light aircraft's wing, by ten inputs."""
    area, fuel, aspect, sweep, pressure, taper, thickness, load, weight, paint = x.T
    cosine = np.cos(sweep * np.pi / 180)
    shape = (aspect / cosine**2) ** 0.6 * taper**0.04 * (100 * thickness / cosine) ** -0.3
    return 0.036 * area**0.758 * fuel**0.0035 * pressure**0.006 * shape * (load * weight) ** 0.49 + area * paint


def piston(x: NDArray) -> NDArray:
    """Return the cycle time of a piston."""
    mass, surface, volume, spring, pressure, ambient, filling = x.T
    force = pressure * surface + 19.62 * mass - spring * volume / surface
    gas = pressure * volume / filling * ambient
    reached = surface / (2 * spring) * (np.sqrt(force**2 + 4 * spring * gas) - force)
    return 2 * np.pi * np.sqrt(mass / (spring + surface**2 * gas / reached**2))


WING = (
    (150, 200),
    (220, 300),
    (6, 10),
    (-10, 10),
    (16, 45),
    (0.5, 1),
    (0.08, 0.18),
    (2.5, 6),
    (1700, 2500),
    (0.025, 0.08),
)
WELL = ((0.05, 0.15), (100, 50000), (63070, 115600), (990, 1110), (63.1, 116), (700, 820), (1120, 1680), (9855, 12045))
CYLINDER = ((30, 60), (0.005, 0.02), (0.002, 0.01), (1000, 5000), (90000, 110000), (290, 296), (340, 360))

HARD = {
    "borehole": Function(borehole, WELL, 120),
    "wing_10": Function(wing_weight, WING, 150),
    "piston": Function(piston, CYLINDER, 120),
}
