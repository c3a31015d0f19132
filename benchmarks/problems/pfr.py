"""A plug-flow reactor with a cooling jacket: five inputs, four outputs, the full Jacobian.

The problem is from notebook 43 of https://github.com/jkitchin/pounce: A reacts to the product P and that to waste, both
reactions give heat. With k_i = k_i0 exp(-G_i (500/T - 1)) and z from the inlet 0 to the outlet 1,

    CA' = -tau k1 CA,  CP' = tau (k1 CA - k2 CP),  T' = tau (60 k1 CA + 25 k2 CP - beta (T - Tc)),

solved by the trapezoidal rule on 80 intervals, as are the integrals in the outputs: the conversion X, the yield Y, the
smooth maximum of the temperature Thot, and the heat taken by the jacket Qc. The Jacobian is that of this
system.

    python benchmarks/problems/pfr.py DIR [--check]

writes a table for each of the five pools and each number of points from 16 to 256.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc
from tables import Array, Problem, Rows, label

INPUTS = {"tau": (0.6, 1.6), "Tin": (480, 520), "Tc": (470, 510), "CA0": (0.8, 1.4), "beta": (2.0, 4.5)}
OUTPUTS = "X", "Y", "Thot", "Qc"
POOLS, SIZES, N_TEST = 5, (16, 32, 64, 128, 256), 1000
INTERVALS, NEWTON_STEPS = 80, 8


def rates(temperature: NDArray) -> tuple[NDArray, NDArray]:
    """Return the rate constants k1 and k2."""
    excess = 500 / temperature - 1
    return 2.0 * np.exp(-12 * excess), 0.2 * np.exp(-20 * excess)


def reactor(x: NDArray, intervals: int = INTERVALS) -> NDArray:
    """Return the outputs (m, 4) at inputs (m, 5), which may be complex.

    In each interval the concentrations at its end are explicit in the temperature there, which Newton's method finds.
    """
    tau, inlet, coolant, ca0, beta = x.T
    half = tau / (2 * intervals)
    ca, cp, temperature = ca0, 0 * ca0, inlet
    profile = [temperature]
    for _ in range(intervals):
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
    hot = 600 + np.log(np.trapezoid(np.exp(2 * (profile - 600)), dx=1 / intervals, axis=0)) / 2
    duty = tau * beta * np.trapezoid(profile - coolant, dx=1 / intervals, axis=0)
    return np.stack([1 - ca / ca0, cp / ca0, hot, duty], axis=-1)


def design(n: int, seed: int) -> Array:
    """Return n points of a Latin hypercube in the box of the inputs."""
    # With `rng`, its name since SciPy 1.15, the points are others than those of the notebook.
    hypercube = qmc.LatinHypercube(d=5, seed=seed)  # pyright: ignore[reportCallIssue]
    return qmc.scale(hypercube.random(n), *zip(*INPUTS.values(), strict=True))


def pools() -> list[Rows]:
    """Return the five pools of points for training and validation."""
    return [label(reactor, design(max(SIZES), 1000 + i)) for i in range(POOLS)]


def test_set() -> Rows:
    """Return the points of the test."""
    return label(reactor, design(N_TEST, 90210))


def problem(pool: Rows, n: int, test: Rows) -> Problem:
    """Train on three quarters of the first n points of a pool, and validate on the last quarter."""
    return Problem(pool.part(slice(n * 3 // 4)), pool.part(slice(n * 3 // 4, n)), test)


def write(directory: Path) -> dict[tuple[int, int], Path]:
    """Write all tables; return their paths by (pool, number of points)."""
    directory.mkdir(parents=True, exist_ok=True)
    test, all_pools = test_set(), pools()
    return {
        (i, n): problem(pool, n, test).write(directory / f"pfr_{i}_{n}.npz")
        for i, pool in enumerate(all_pools)
        for n in SIZES
    }


def check() -> None:
    """Compare with figures that the notebook prints, and the Jacobian with central differences."""
    middle = np.array([[1.1, 500, 490, 1.1, 3.25]])
    np.testing.assert_allclose(reactor(middle)[0], (0.935281, 0.750987, 515.341659, 67.830011), rtol=1e-6)
    np.testing.assert_allclose(reactor(middle, 4000)[0], (0.935260, 0.750974, 515.339128, 67.828827), rtol=2e-6)
    x = design(100, 4242)
    rows, spread = label(reactor, x), x.std(axis=0)
    for d in range(5):
        step = 1e-5 * spread[d] * np.eye(5)[d]
        difference = (reactor(x + step) - reactor(x - step)) / (2 * step[d])
        scale = np.abs(difference).mean(axis=0)
        print(list(INPUTS)[d], np.abs((rows.dydx[..., d] - difference) / scale).max(axis=0))
    mean = dict(zip(OUTPUTS, label(reactor, design(1000, 90210)).dydx.mean(axis=0), strict=True))
    print("means of the partial derivatives:", mean)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--check", action="store_true", help="check the reactor and its Jacobian first")
    arguments = parser.parse_args()
    if arguments.check:
        check()
    print(f"{len(write(arguments.directory))} tables in {arguments.directory}")
