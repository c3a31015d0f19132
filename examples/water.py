"""The energy of a water molecule: fit PySCF's energies and gradients, and find the minimum with SciPy."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from pyscf import gto, scf  # the extra `examples`
from scipy.optimize import minimize
from scipy.stats import qmc

import runge

ROWS = 80
INPUTS = {"r1": (1.5, 2.3), "r2": (1.5, 2.3), "angle": (1.4, 2.3)}  # bond lengths in Bohr, and radians
LOW, HIGH = np.transpose([*INPUTS.values()])


def table(x: np.ndarray) -> pd.DataFrame:
    """Return the energy in Hartree at geometries (n, 3), and its derivatives by the chain rule."""
    rows = []
    for r1, r2, angle in x:
        along, across = np.array([np.cos(angle), np.sin(angle), 0]), np.array([-np.sin(angle), np.cos(angle), 0])
        atoms = [("O", (0, 0, 0)), ("H", (r1, 0, 0)), ("H", r2 * along)]
        field = scf.RHF(gto.M(atom=atoms, basis="6-31g", unit="Bohr", verbose=0))
        field.conv_tol = 1e-12
        energy, (_, first, second) = field.kernel(), field.nuc_grad_method().kernel()  # by nuclear positions
        rows.append([r1, r2, angle, energy, first[0], second @ along, r2 * second @ across])
    return pd.DataFrame(rows, columns=["r1", "r2", "angle", "E", "dE_dr1", "dE_dr2", "dE_dangle"])


def main(rows: int = ROWS, seconds: int = 60) -> None:
    """Make the table, fit it, find the minimum, and draw the force along a bond."""
    table(qmc.scale(qmc.LatinHypercube(3, rng=0).random(rows), LOW, HIGH)).to_csv("water.csv", index=False)
    u = runge.fit(Path("water.csv"), f"search.timeout={seconds}").function

    best = minimize(u.value_and_derivative, (LOW + HIGH) / 2, jac=True, method="BFGS").x
    slope = table(best[None]).filter(regex="^dE").abs().to_numpy().max()
    print(f"minimum: bonds of {best[0]:.5f} and {best[1]:.5f} Bohr, angle {np.degrees(best[2]):.3f} degrees")
    print(f"PySCF's derivatives there are at most {slope:.1g} Hartree per Bohr or radian")

    for angle in (1.5, best[2], 2.2):
        x = np.stack([np.linspace(*INPUTS["r1"], 100), np.full(100, best[1]), np.full(100, angle)], 1)
        plt.plot(x[:, 0], u.derivative(x)[:, 0], label=f"{np.degrees(angle):.1f} degrees")
        plt.plot(x[::10, 0], table(x[::10])["dE_dr1"], "k.", ms=3)
    plt.gca().set(xlabel="r1 [Bohr]", ylabel="dE/dr1 [Hartree/Bohr]", title="the fit, and PySCF (dots)")
    plt.legend(frameon=False)
    plt.savefig("water.png", dpi=130)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))  # python examples/water.py ROWS SECONDS
