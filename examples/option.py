"""A call under Heston's stochastic volatility: fit QuantLib's prices and Greeks, and hedge with the fit."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from solvers.option import HIGH, KAPPA, LOW, MEAN, RHO, SIGMA, table

import runge

# Load the table, and check that the Greeks match the prices.
rows = pd.read_csv(Path(__file__).with_name("option.csv"))
print(runge.check(rows))

# Fit. The summary has the errors to expect at new points.
answer = runge.fit(rows, timeout=60)
print(answer.summary())
u = answer.function

# Judge the fit by 500 new points of QuantLib.
fresh = table(np.random.default_rng(1).uniform(LOW, HIGH, (500, 3)))
predicted = answer.predict(fresh[["S", "v", "days"]], level=0.9)
for name in ("V", "dV_dS", "dV_dv", "dV_ddays"):
    column = f"u_{name}" if name == "V" else f"du_{name[1:]}"
    error = (predicted[column] - fresh[name]).pow(2).mean() ** 0.5 / fresh[name].std()
    inside = fresh[name].between(predicted[f"{column}_low"], predicted[f"{column}_high"]).mean()
    print(f"{name} at new points: error {error:.1e}, {inside:.0%} in the intervals of 90 %")

# Use it: hedge a sold call with a year to expiry for 90 days, on 1000 random paths of Heston's model.
random, day = np.random.default_rng(2), 1 / 365
spot, v = np.full(1000, 100.0), np.full(1000, MEAN)
x = np.column_stack([spot, v, np.full(1000, 365)])
price = u(x)  # that the buyer pays
gain = {"no hedge": price, "delta": price, "minimum variance": price}
farthest = 0.0
for days in range(365, 365 - 90, -1):
    delta, vega = u.derivative(x)[:, :2].T
    shares = {"no hedge": 0 * delta, "delta": delta, "minimum variance": delta + RHO * SIGMA * vega / spot}
    first, second = random.standard_normal((2, 1000)) * np.sqrt(day)
    change = spot * np.expm1(np.sqrt(v) * first - v * day / 2)
    gain = {name: money + shares[name] * change for name, money in gain.items()}
    spot = spot + change
    v = v + KAPPA * (MEAN - v) * day + SIGMA * np.sqrt(v) * (RHO * first + np.sqrt(1 - RHO**2) * second)
    v = v.clip(LOW[1])
    x = np.column_stack([spot, v, np.full(1000, days - 1)])
    farthest = max(farthest, np.mean(u.outside(x) > 1.5))
gain = {name: money - u(x) for name, money in gain.items()}  # the price of the call that is bought back
for name, money in gain.items():
    print(f"{name}: standard deviation {money.std():.2f}")

# Guard: few paths have left the data, and QuantLib confirms delta at the ends of 100 paths.
print(f"paths outside the data: at most {farthest:.1%} on any day")
print(f"delta: wrong by at most {np.abs(u.derivative(x)[:100, 0] - table(x[:100])['dV_dS']).max():.1g}")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for name, money in gain.items():
    left.hist(money, [*np.arange(-20, 12, 0.5)], histtype="step", label=name)
right.plot(fresh["S"], predicted["du_V_dS"] - fresh["dV_dS"], ".", ms=3)
left.set(xlabel="gain of the seller after 90 days", ylabel="number of paths", title="1000 paths of a sold call")
right.set(xlabel="spot S", ylabel="error of delta", title="the fit minus QuantLib at 500 new points")
left.legend(frameon=False)
figure.savefig("option.png", dpi=130)
