"""A plug-flow reactor with a cooling jacket: five inputs, four outputs, the full Jacobian.

The problem is from notebook 43 of https://github.com/jkitchin/pounce: A reacts to the product P and that to waste, both
reactions give heat. With k_i = k_i0 exp(-G_i (500/T - 1)) and z from the inlet 0 to the outlet 1,

    CA' = -tau k1 CA,  CP' = tau (k1 CA - k2 CP),  T' = tau (60 k1 CA + 25 k2 CP - beta (T - Tc)),

solved by the trapezoidal rule on 80 intervals, as are the integrals in the outputs: the conversion X, the yield Y, the
smooth maximum of the temperature Thot, and the heat taken by the jacket Qc. The Jacobian is that of this system.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc
from tables import Array, Rows, label

INPUTS = {"tau": (0.6, 1.6), "Tin": (480, 520), "Tc": (470, 510), "CA0": (0.8, 1.4), "beta": (2.0, 4.5)}
OUTPUTS = "X", "Y", "Thot", "Qc"
POOL, N_TEST = 256, 1000  # points of the notebook's largest tables, and of its test
INTERVALS, NEWTON_STEPS = 80, 8


def rates(temperature: NDArray) -> tuple[NDArray, NDArray]:
    """Return the rate constants k1 and k2."""
    excess = 500 / temperature - 1
    return 2.0 * np.exp(-12 * excess), 0.2 * np.exp(-20 * excess)


def reactor(x: NDArray) -> NDArray:
    """Return the outputs (m, 4) at inputs (m, 5), which may be complex.

    In each interval the concentrations at its end are explicit in the temperature there, which Newton's method finds.
    """
    tau, inlet, coolant, ca0, beta = x.T
    half = tau / (2 * INTERVALS)
    ca, cp, temperature = ca0, 0 * ca0, inlet
    profile = [temperature]
    for _ in range(INTERVALS):
        k1, k2 = rates(temperature)
        ca_known, cp_known = ca - half * k1 * ca, cp + half * (k1 * ca - k2 * cp)
        heat = 60 * k1 * ca + 25 * k2 * cp - beta * (temperature - coolant)
        known = temperature + half * heat
        for _ in range(NEWTON_STEPS):
            k1, k2 = rates(temperature)
            dk1, dk2 = 6000 * k1 / temperature**2, 10000 * k2 / temperature**2
            ca = ca_known / (1 + half * k1)
            dca = -ca * half * dk1 / (1 + half * k1)
            r1, dr1 = k1 * ca, dk1 * ca + k1 * dca
            cp = (cp_known + half * r1) / (1 + half * k2)
            dcp = half * (dr1 - dk2 * cp) / (1 + half * k2)
            r2, dr2 = k2 * cp, dk2 * cp + k2 * dcp
            residual = temperature - known - half * (60 * r1 + 25 * r2 - beta * (temperature - coolant))
            temperature = temperature - residual / (1 - half * (60 * dr1 + 25 * dr2 - beta))
        k1, k2 = rates(temperature)
        ca = ca_known / (1 + half * k1)
        cp = (cp_known + half * k1 * ca) / (1 + half * k2)
        profile.append(temperature)
    profile = np.stack(profile)
    hot = 600 + np.log(np.trapezoid(np.exp(2 * (profile - 600)), dx=1 / INTERVALS, axis=0)) / 2
    duty = tau * beta * np.trapezoid(profile - coolant, dx=1 / INTERVALS, axis=0)
    return np.stack([1 - ca / ca0, cp / ca0, hot, duty], axis=-1)


def design(n: int, seed: int) -> Array:
    """Return n points of a Latin hypercube in the box of the inputs."""
    # With `rng`, its name since SciPy 1.15, the points are others than those of the notebook.
    hypercube = qmc.LatinHypercube(d=5, seed=seed)  # pyright: ignore[reportCallIssue]
    return qmc.scale(hypercube.random(n), *zip(*INPUTS.values(), strict=True))


def test_set() -> Rows:
    """Return the points of the test."""
    return label(reactor, design(N_TEST, 90210))
