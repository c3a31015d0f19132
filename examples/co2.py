"""CO2 near its critical point: fit CoolProp's enthalpy, entropy and density, and flash by Newton's method."""

import sys
from pathlib import Path

import CoolProp.CoolProp as cp  # noqa: N813  # the extra `examples`
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import qmc

import runge

ROWS = 120
INPUTS = {"T": (310, 450), "p": (8, 25)}  # K, MPa; the critical point is at 304.1 K and 7.38 MPa
LOW, HIGH = np.transpose([*INPUTS.values()])


def table(x: np.ndarray) -> pd.DataFrame:
    """Return h [J/kg], s [J/(kg K)] and rho [kg/m3] at temperatures and pressures (n, 2), with derivatives."""
    state, rows = cp.AbstractState("HEOS", "CO2"), []
    for temperature, p in x:
        state.update(cp.PT_INPUTS, 1e6 * p, temperature)
        row = {"T": temperature, "p": p, "h": state.hmass(), "s": state.smass(), "rho": state.rhomass()}
        for name, index in {"h": cp.iHmass, "s": cp.iSmass, "rho": cp.iDmass}.items():
            row[f"d{name}_dT"] = state.first_partial_deriv(index, cp.iT, cp.iP)
            row[f"d{name}_dp"] = 1e6 * state.first_partial_deriv(index, cp.iP, cp.iT)
        rows.append(row)
    return pd.DataFrame(rows)


def main(rows: int = ROWS, seconds: int = 60) -> None:
    """Make the table, fit it, flash 1000 states, and draw the heat capacity."""
    table(qmc.scale(qmc.LatinHypercube(2, rng=0).random(rows), LOW, HIGH)).to_csv("co2.csv", index=False)
    u = runge.fit(Path("co2.csv"), f"search.timeout={seconds}").function
    # The flash: from h and s of these states back to their temperature and pressure.
    truth = table(np.random.default_rng(1).uniform(LOW, HIGH, (1000, 2)))
    states, wanted = truth[["T", "p"]].to_numpy(), truth[["h", "s"]].to_numpy()
    x = np.tile((LOW + HIGH) / 2, (1000, 1))  # one guess for all
    for _ in range(30):
        value, slope = u.value_and_derivative(x)
        residual = value[:, :2] - wanted
        x = np.clip(x - np.linalg.solve(slope[:, :2], residual[..., None])[..., 0], LOW, HIGH)
    error = np.median(np.abs(x - states), axis=0)
    print(f"flash of 1000 states: the median error is {error[0]:.1g} K and {error[1]:.1g} MPa")

    for p in (8, 10, 15, 25):
        x = np.stack([np.linspace(*INPUTS["T"], 200), np.full(200, p)], 1)
        plt.plot(x[:, 0], u.derivative(x)[:, 0, 0] / 1e3, label=f"{p} MPa")
        plt.plot(x[::8, 0], table(x[::8])["dh_dT"] / 1e3, "k.", ms=3)
    plt.gca().set(xlabel="T [K]", ylabel="heat capacity dh/dT [kJ/(kg K)]", title="the fit, and CoolProp (dots)")
    plt.legend(frameon=False)
    plt.savefig("co2.png", dpi=130)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))  # python examples/co2.py ROWS SECONDS
