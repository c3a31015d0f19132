"""Lift and drag of an airliner's wing: fit OpenAeroStruct's coefficients, and twist the wing for the least drag."""

import runpy
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import openmdao.api as om  # the extra `examples`, as the next three
import pandas as pd
from openaerostruct.aerodynamics.aero_groups import AeroPoint
from openaerostruct.geometry.geometry_group import Geometry
from openaerostruct.meshing.mesh_generator import generate_mesh
from scipy.optimize import minimize
from scipy.stats import qmc

import runge

FLOW = {"v": "m/s", "alpha": "deg", "Mach_number": None, "re": "1/m", "rho": "kg/m**3"}
INPUTS = {"v": (200, 300), "alpha": (0, 6), "Mach": (0.6, 0.84), "re": (5e5, 2e6)}
INPUTS |= {"tip": (-5, 5), "middle": (-2, 6), "root": (2, 8)}  # the twist in degrees
ROWS, (LOW, HIGH) = 100, np.transpose([*INPUTS.values()])


def table(x: np.ndarray) -> pd.DataFrame:
    """Return lift and drag coefficients at points (n, 7) by a vortex lattice, and their adjoint derivatives."""
    mesh, twist = generate_mesh({"num_y": 21, "num_x": 3, "wing_type": "CRM", "symmetry": True, "num_twist_cp": 3})
    surface = {"name": "wing", "symmetry": True, "S_ref_type": "wetted", "with_viscous": True, "with_wave": False}
    surface |= {"CL0": 0.0, "CD0": 0.015, "k_lam": 0.05, "c_max_t": 0.303, "t_over_c_cp": np.array([0.1, 0.12, 0.15])}
    surface |= {"mesh": mesh, "twist_cp": twist}
    problem, rows = om.Problem(reports=False), list[Any]()
    problem.model.add_subsystem("wing", Geometry(surface=surface))
    problem.model.add_subsystem("aero", AeroPoint(surfaces=[surface], compressible=True), promotes_inputs=[*FLOW])
    problem.model.connect("wing.mesh", ["aero.wing.def_mesh", "aero.aero_states.wing_def_mesh"])
    problem.model.connect("wing.t_over_c", "aero.wing_perf.t_over_c")
    for name, unit in FLOW.items():
        problem.model.set_input_defaults(name, 1.0, units=unit)
    problem.setup(mode="rev")
    inputs = ["v", "alpha", "Mach_number", "re", "wing.twist_cp"]
    for point in x:
        for name, value in zip(inputs, np.split(point, [1, 2, 3, 4]), strict=True):
            problem.set_val(name, value)
        problem.run_model()
        slopes: Any = problem.compute_totals(["aero.CL", "aero.CD"], inputs, return_format="array")
        rows.append([*point, *problem["aero.CL"], *problem["aero.CD"], *slopes.flat])
    return pd.DataFrame(rows, columns=[*INPUTS, "CL", "CD", *(f"d{y}_d{x}" for y in ("CL", "CD") for x in INPUTS)])


def main(rows: int = ROWS, seconds: int = 60) -> None:
    """Make the table, fit it, minimise the drag at a lift of 0.5 with the exported function, and draw both polars."""
    table(qmc.scale(qmc.LatinHypercube(7, rng=0).random(rows), LOW, HIGH)).to_csv("crm.csv", index=False)
    runge.export(runge.fit(Path("crm.csv"), f"search.timeout={seconds}"), "numpy", "crm_fit.py", force=True)
    exported = runpy.run_path("crm_fit.py")["value_and_derivative"]  # it needs only NumPy

    def fit(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # of the angle of attack and the twist, in cruise
        value, slope = exported(np.array([[250, z[0], 0.8, 1e6, *z[1:]]]))
        return value[0], slope[0][:, [1, 4, 5, 6]]

    lift = {"type": "eq", "fun": lambda z: fit(z)[0][0] - 0.5, "jac": lambda z: fit(z)[1][0]}
    box = np.stack([LOW, HIGH], 1)[[1, 4, 5, 6]]
    best = minimize(lambda z: [1e4 * part[1] for part in fit(z)], box.mean(1), jac=True, bounds=box, constraints=lift)
    for name, twist in {"built": [-3.75, -0.94, 6.72], "best": best.x[1:].round(2)}.items():
        polar = np.array([[250, alpha, 0.8, 1e6, *twist] for alpha in np.linspace(0, 6, 25)])
        (lifts, drags), truth = exported(polar)[0].T, table(polar[::3])
        print(f"{name} twist {twist}: drag {np.interp(0.5, truth['CL'], truth['CD']):.5f} by OpenAeroStruct")
        plt.plot(1e4 * drags, lifts, label=f"{name} twist")
        plt.plot(1e4 * truth["CD"], truth["CL"], "k.", ms=3)
    plt.gca().set(xlabel="drag [counts of 1e-4]", ylabel="lift", title="the fit, and OpenAeroStruct (dots)")
    plt.legend(frameon=False)
    plt.savefig("crm.png", dpi=130)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))  # python examples/crm.py ROWS SECONDS
