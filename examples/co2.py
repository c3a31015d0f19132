"""Supercritical CO2: fit CoolProp's enthalpy, entropy and density, and solve a flash by Newton's method."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from solvers.co2 import HIGH, LOW, table

import runge

# Load the table, and check that the derivatives match the values.
rows = pd.read_csv(Path(__file__).with_name("co2.csv"))
print(runge.check(rows))

# Fit. The summary has the errors to expect at new states.
answer = runge.fit(rows, timeout=60)
print(answer.summary())
u = answer.function

# Judge the fit by 1000 new states of CoolProp.
fresh = table(np.random.default_rng(1).uniform(LOW, HIGH, (1000, 2)))
predicted = answer.predict(fresh[["T", "p"]], level=0.9)
for name in ("h", "s", "rho"):
    error = (predicted[f"u_{name}"] - fresh[name]).pow(2).mean() ** 0.5 / fresh[name].std()
    inside = fresh[name].between(predicted[f"u_{name}_low"], predicted[f"u_{name}_high"]).mean()
    print(f"{name} at new states: error {error:.1e}, {inside:.0%} in the intervals of 90 %")

# Use it: find T and p from h and s by Newton's method, for all states at once.
wanted = fresh[["h", "s"]].to_numpy()
x = np.tile((LOW + HIGH) / 2, (1000, 1))  # the first guess
for _ in range(30):
    value, jacobian = u.value_and_derivative(x)
    residual = value[:, :2] - wanted
    step = np.linalg.solve(jacobian[:, :2], residual[:, :, None])[:, :, 0]
    x = np.clip(x - step, LOW, HIGH)
error = np.median(np.abs(x - fresh[["T", "p"]].to_numpy()), axis=0)
print(f"flash: the median error is {error[0]:.1g} K and {error[1]:.1g} MPa")

# Guard: above 1, as beyond the corner next to the critical point, do not expect the errors above.
for state in ([350, 12], [305, 7.5]):
    print(f"{state[0]} K, {state[1]} MPa: outside {u.outside([state])[0]:.2f} (1 is the edge of the data)")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for p in (8, 10, 15, 25):
    x = np.column_stack([np.linspace(310, 450, 200), np.full(200, p)])
    fitted, exact = u.derivative(x)[:, 0, 0] / 1e3, table(x)["dh_dT"] / 1e3
    left.plot(x[:, 0], fitted, label=f"{p} MPa")
    left.plot(x[::8, 0], exact[::8], "k.", ms=4)
    right.plot(x[:, 0], 100 * (fitted / exact - 1))
left.set(xlabel="T [K]", ylabel="heat capacity dh/dT [kJ/(kg K)]", title="the fit (lines), and CoolProp (dots)")
right.set(xlabel="T [K]", ylabel="error of the heat capacity [%]", title="the fit against CoolProp")
left.legend(frameon=False)
figure.savefig("co2.png", dpi=130)
