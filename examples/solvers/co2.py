"""Make `examples/co2.csv`: enthalpy, entropy and density of CO2 by CoolProp, with their partial derivatives."""

import CoolProp.CoolProp as cp  # noqa: N813  # the extra `examples`
import numpy as np
import pandas as pd
from scipy.stats import qmc

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
            row[f"d{name}_dp"] = 1e6 * state.first_partial_deriv(index, cp.iP, cp.iT)  # per MPa
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    rows = table(qmc.scale(qmc.LatinHypercube(len(INPUTS), rng=0).random(ROWS), LOW, HIGH))
    rows.to_csv("co2.csv", index=False, float_format="%.12g")
