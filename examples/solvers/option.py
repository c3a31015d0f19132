"""Make `examples/option.csv`: prices of a call under Heston's stochastic volatility by QuantLib, with the Greeks."""

import numpy as np
import pandas as pd
import QuantLib as ql  # noqa: N813  # the extra `examples`
from scipy.stats import qmc

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
    """Return prices V at points (n, 3) in whole days, and their derivatives as central differences.

    QuantLib has no Greeks for this model. The prices have almost no noise, so a small step is as good as exact.
    """
    rows = []
    for spot, v, days in np.column_stack([x[:, :2], x[:, 2].round()]):
        by_spot = (price(spot + 0.01, v, days) - price(spot - 0.01, v, days)) / 0.02
        by_v = (price(spot, v + 1e-5, days) - price(spot, v - 1e-5, days)) / 2e-5
        by_days = (price(spot, v, days + 1) - price(spot, v, days - 1)) / 2
        rows.append([spot, v, days, price(spot, v, days), by_spot, by_v, by_days])
    return pd.DataFrame(rows, columns=[*INPUTS, "V", "dV_dS", "dV_dv", "dV_ddays"])


if __name__ == "__main__":
    rows = table(qmc.scale(qmc.LatinHypercube(len(INPUTS), rng=0).random(ROWS), LOW, HIGH))
    rows.to_csv("option.csv", index=False, float_format="%.12g")
