"""The energy of a water molecule: fit PySCF's energies and gradients, and find the minimum with SciPy."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.optimize import minimize
from solvers.water import HIGH, LOW, table

import runge

# Load the table, and check that the derivatives match the values.
rows = pd.read_csv(Path(__file__).with_name("water.csv"))
print(runge.check(rows))

# Fit. The summary has the errors to expect at new geometries.
answer = runge.fit(rows, timeout=60)
print(answer.summary())
u = answer.function

# Judge the fit by 50 new geometries of PySCF.
fresh = table(np.random.default_rng(1).uniform(LOW, HIGH, (50, 3)))
predicted = answer.predict(fresh[["r1", "r2", "angle"]], level=0.9)
for name in ("E", "dE_dr1", "dE_dr2", "dE_dangle"):
    column = f"u_{name}" if name == "E" else f"du_{name[1:]}"
    error = (predicted[column] - fresh[name]).pow(2).mean() ** 0.5 / fresh[name].std()
    inside = fresh[name].between(predicted[f"{column}_low"], predicted[f"{column}_high"]).mean()
    print(f"{name} at new geometries: error {error:.1e}, {inside:.0%} in the intervals of 90 %")

# Use it: BFGS takes the energy and its gradient from one call.
best = minimize(u.value_and_derivative, (LOW + HIGH) / 2, jac=True, method="BFGS").x
r1, r2, angle = best
print(f"minimum: bonds of {r1:.5f} and {r2:.5f} Bohr, angle {np.degrees(angle):.3f} degrees")

# Guard: the minimum is inside the data, and PySCF confirms that it is one.
print(f"outside: {u.outside(best[None])[0]:.2f} (1 is the edge of the data)")
slopes = table(best[None])[["dE_dr1", "dE_dr2", "dE_dangle"]].abs().to_numpy()
print(f"PySCF's derivatives there are at most {slopes.max():.1g} Hartree per Bohr or radian")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for a in (1.5, angle, 2.2):
    x = np.column_stack([np.linspace(1.5, 2.3, 41), np.full(41, r2), np.full(41, a)])
    fitted, exact = u.derivative(x)[:, 0], table(x)["dE_dr1"]
    left.plot(x[:, 0], fitted, label=f"{np.degrees(a):.1f} degrees")
    left.plot(x[::4, 0], exact[::4], "k.", ms=4)
    right.plot(x[:, 0], fitted - exact)
left.set(xlabel="r1 [Bohr]", ylabel="dE/dr1 [Hartree/Bohr]", title="the fit (lines), and PySCF (dots)")
right.set(xlabel="r1 [Bohr]", ylabel="error of dE/dr1 [Hartree/Bohr]", title="the fit minus PySCF")
left.legend(frameon=False)
figure.savefig("water.png", dpi=130)
