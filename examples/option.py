"""A call under Heston's stochastic volatility: fit QuantLib's prices and Greeks, and hedge with the fit."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import QuantLib as ql  # noqa: N813  # the extra `examples`
from scipy.stats import qmc

import runge

ROWS = 120
INPUTS = {"S": (60, 150), "v": (0.001, 0.2), "days": (200, 400)}  # spot, variance per year, days to expiry
LOW, HIGH = np.transpose([*INPUTS.values()])
KAPPA, MEAN, SIGMA, RHO = 2.0, 0.04, 0.4, -0.7  # of the variance; the strike is 100, and the interest rate 0
TODAY = ql.Settings.instance().evaluationDate = ql.Date(1, 1, 2026)
RATE = ql.YieldTermStructureHandle(ql.FlatForward(TODAY, 0.0, ql.Actual365Fixed()))


def price(spot: float, v: float, days: float) -> float:
    """Return QuantLib's price of the call."""
    process = ql.HestonProcess(RATE, RATE, ql.QuoteHandle(ql.SimpleQuote(spot)), v, KAPPA, MEAN, SIGMA, RHO)
    option = ql.EuropeanOption(ql.PlainVanillaPayoff(ql.Option.Call, 100), ql.EuropeanExercise(TODAY + int(days)))
    option.setPricingEngine(ql.AnalyticHestonEngine(ql.HestonModel(process), 160))
    return option.NPV()


def table(x: np.ndarray) -> pd.DataFrame:
    """Return prices at points (n, 3) in whole days, and the Greeks by moving each quote up and down."""
    x = np.column_stack([x[:, :2], x[:, 2].round()])
    greeks = [[(price(*p + h) - price(*p - h)) / (2 * h.sum()) for h in np.diag([1e-2, 1e-5, 1])] for p in x]
    names = [*INPUTS, "V", *(f"dV_d{name}" for name in INPUTS)]
    return pd.DataFrame(np.column_stack([x, [price(*p) for p in x], greeks]), columns=names)


def main(rows: int = ROWS, seconds: int = 60) -> None:
    """Make the table, fit it, hedge a sold call for three months on random paths, and draw the results."""
    table(qmc.scale(qmc.LatinHypercube(3, rng=0).random(rows), LOW, HIGH)).to_csv("option.csv", index=False)
    u = runge.fit(Path("option.csv"), f"search.timeout={seconds}").function
    x, normal = np.tile([100, MEAN, 365], (1000, 1)), np.random.default_rng(1).standard_normal((90, 2, 1000))
    results = u(x) + np.zeros((3, 1000))  # of the sold call with no hedge, delta, and the least variance
    for first, second in normal / np.sqrt(365):
        spot, v, days = x.T
        delta, vega = u.derivative(x)[:, :2].T
        change = spot * np.expm1(np.sqrt(v) * first - v / 730)
        results += np.stack([0 * delta, delta, delta + RHO * SIGMA * vega / spot]) * change
        v = v + KAPPA * (MEAN - v) / 365 + SIGMA * np.sqrt(v) * (RHO * first + np.sqrt(1 - RHO**2) * second)
        x = np.stack([spot + change, v.clip(LOW[1]), days - 1], 1)
    print(
        f"delta on 100 paths: wrong by at most {np.abs(u.derivative(x)[:100, 0] - table(x[:100])['dV_dS']).max():.1g}"
    )
    for name, result in zip(("no hedge", "delta", "least variance"), results - u(x), strict=True):
        plt.hist(result, [*np.arange(-15, 10, 0.5)], histtype="step", label=f"{name}: {result.std():.2f}")
    plt.gca().set(xlabel="result after 90 days", ylabel="paths", title="a sold call, and its standard deviation")
    plt.legend(frameon=False)
    plt.savefig("option.png", dpi=130)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))  # python examples/option.py ROWS SECONDS
