"""An airliner's wing: fit OpenAeroStruct's lift and drag, and twist the wing for the least drag at a given lift."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.optimize import minimize
from solvers.wing import HIGH, INPUTS, LOW, table

import runge

# Load the table, and check that the derivatives match the values.
rows = pd.read_csv(Path(__file__).with_name("wing.csv"))
print(runge.check(rows))

# Fit. The summary has the errors to expect at new points.
answer = runge.fit(rows, timeout=60)
print(answer.summary())
u = answer.function

# Judge the fit by 100 new points of the solver.
fresh = table(np.random.default_rng(1).uniform(LOW, HIGH, (100, 7)))
predicted = answer.predict(fresh[[*INPUTS]], level=0.9)
for name in ("CL", "CD"):
    error = (predicted[f"u_{name}"] - fresh[name]).pow(2).mean() ** 0.5 / fresh[name].std()
    inside = fresh[name].between(predicted[f"u_{name}_low"], predicted[f"u_{name}_high"]).mean()
    print(f"{name} at new points: error {error:.1e}, {inside:.0%} in the intervals of 90 %")


# Use it: the angle of attack and the twist of tip and middle with the least drag at a lift of 0.5.
def point(z: np.ndarray) -> np.ndarray:
    """Return the seven inputs of an angle of attack and two twists, at Mach 0.7, with the root twisted by 4 degrees."""
    alpha, tip, middle = z
    return np.array([250, alpha, 0.7, 1e6, tip, middle, 4])


def coefficient(z: np.ndarray, index: int) -> tuple[float, np.ndarray]:
    """Return CL (index 0) or CD (1), and its derivatives with respect to the three unknowns."""
    value, jacobian = u.value_and_derivative(point(z))
    return value[index], jacobian[index][[1, 4, 5]]


def counts(z: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the drag in counts of 1e-4, because an optimiser needs numbers of about 1 to 1000, and its derivatives."""
    drag, slopes = coefficient(z, 1)
    return 1e4 * drag, 1e4 * slopes


lift = {"type": "eq", "fun": lambda z: coefficient(z, 0)[0] - 0.5, "jac": lambda z: coefficient(z, 0)[1]}
box = [(0, 6), (-5, 5), (-2, 6)]
best = minimize(counts, [3, -4, 0], jac=True, bounds=box, constraints=lift).x
print("least drag: alpha {:.2f}, twist of tip and middle {:.2f} and {:.2f} degrees".format(*best))

# Guard: the optimum is inside the data, and the solver confirms its lift and drag.
print(f"outside: {u.outside(point(best)[None])[0]:.2f} (1 is the edge of the data)")
exact = table(point(best)[None]).iloc[0]
print(f"CL {u(point(best))[0]:.6f}, by OpenAeroStruct {exact['CL']:.6f}")
print(f"CD {u(point(best))[1]:.6f}, by OpenAeroStruct {exact['CD']:.6f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for label, (tip, middle) in {"twist of the start": (-4, 0), "twist of least drag": best[1:]}.items():
    polar = np.array([point(np.array([alpha, tip, middle])) for alpha in np.linspace(0, 6, 25)])
    fitted, solver = u(polar), table(polar)
    left.plot(1e4 * fitted[:, 1], fitted[:, 0], label=label)
    left.plot(1e4 * solver["CD"][::3], solver["CL"][::3], "k.", ms=4)
    right.plot(solver["CL"], 1e4 * (fitted[:, 1] - solver["CD"]), label=label)
left.set(xlabel="drag [counts of 1e-4]", ylabel="lift CL", title="the fit (lines), and OpenAeroStruct (dots)")
right.set(xlabel="lift CL", ylabel="error of the drag [counts of 1e-4]", title="the fit minus OpenAeroStruct")
left.legend(frameon=False)
figure.savefig("wing.png", dpi=130)
