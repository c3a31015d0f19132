"""Make `examples/water.csv`: the energy of a water molecule by PySCF, with its gradient."""

import numpy as np
import pandas as pd
from pyscf import gto, scf  # the extra `examples`
from scipy.stats import qmc

ROWS = 80
INPUTS = {"r1": (1.5, 2.3), "r2": (1.5, 2.3), "angle": (1.4, 2.3)}  # bond lengths in Bohr, and radians
LOW, HIGH = np.transpose([*INPUTS.values()])


def table(x: np.ndarray) -> pd.DataFrame:
    """Return the energy in Hartree at geometries (n, 3), and its derivatives by the chain rule.

    The oxygen atom is at the origin. One hydrogen atom is on the first axis, the other one is in the plane.
    """
    rows = []
    for r1, r2, angle in x:
        along = np.array([np.cos(angle), np.sin(angle), 0])
        across = np.array([-np.sin(angle), np.cos(angle), 0])
        atoms = [("O", (0, 0, 0)), ("H", (r1, 0, 0)), ("H", r2 * along)]
        field = scf.RHF(gto.M(atom=atoms, basis="6-31g", unit="Bohr", verbose=0))
        field.conv_tol = 1e-12
        energy, (_, first, second) = field.kernel(), field.nuc_grad_method().kernel()  # by positions of the atoms
        rows.append([r1, r2, angle, energy, first[0], second @ along, r2 * second @ across])
    return pd.DataFrame(rows, columns=["r1", "r2", "angle", "E", "dE_dr1", "dE_dr2", "dE_dangle"])


if __name__ == "__main__":
    rows = table(qmc.scale(qmc.LatinHypercube(len(INPUTS), rng=0).random(ROWS), LOW, HIGH))
    rows.to_csv("water.csv", index=False, float_format="%.12g")
