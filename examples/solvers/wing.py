"""Make `examples/wing.csv`: lift and drag of an airliner's wing by OpenAeroStruct, with adjoint derivatives.

The wing is the planform of NASA's Common Research Model. A vortex lattice gives the lift, and the drag that the lift
induces; friction adds viscous drag. Shock waves do not: `with_wave` is False, so the drag is too small near Mach 0.8.
"""

from typing import Any

import numpy as np
import openmdao.api as om  # the extra `examples`
import pandas as pd
from openaerostruct.aerodynamics.aero_groups import AeroPoint
from openaerostruct.geometry.geometry_group import Geometry
from openaerostruct.meshing.mesh_generator import generate_mesh
from scipy.stats import qmc

ROWS = 100
INPUTS = {
    "v [m/s]": (200, 300),
    "alpha [deg]": (0, 6),
    "Mach": (0.6, 0.84),
    "Re [1/m]": (5e5, 2e6),
    "twist_tip [deg]": (-5, 5),
    "twist_mid [deg]": (-2, 6),
    "twist_root [deg]": (2, 8),
}
LOW, HIGH = np.transpose([*INPUTS.values()])
FLOW = {"v": "m/s", "alpha": "deg", "Mach_number": None, "re": "1/m", "rho": "kg/m**3"}  # OpenAeroStruct's names


def model() -> om.Problem:
    """Return the wing as an OpenMDAO problem."""
    mesh, twist = generate_mesh({"num_y": 21, "num_x": 3, "wing_type": "CRM", "symmetry": True, "num_twist_cp": 3})
    surface = {"name": "wing", "symmetry": True, "S_ref_type": "wetted", "mesh": mesh, "twist_cp": twist}
    surface |= {"with_viscous": True, "with_wave": False, "CL0": 0.0, "CD0": 0.015}
    surface |= {"k_lam": 0.05, "c_max_t": 0.303, "t_over_c_cp": np.array([0.1, 0.12, 0.15])}
    problem = om.Problem(reports=False)
    problem.model.add_subsystem("wing", Geometry(surface=surface))
    problem.model.add_subsystem("aero", AeroPoint(surfaces=[surface], compressible=True), promotes_inputs=[*FLOW])
    problem.model.connect("wing.mesh", ["aero.wing.def_mesh", "aero.aero_states.wing_def_mesh"])
    problem.model.connect("wing.t_over_c", "aero.wing_perf.t_over_c")
    for name, unit in FLOW.items():
        problem.model.set_input_defaults(name, 1.0, units=unit)
    problem.setup(mode="rev")
    return problem


def table(x: np.ndarray) -> pd.DataFrame:
    """Return lift and drag coefficients at points (n, 7), and their derivatives."""
    problem, inputs, rows = model(), ["v", "alpha", "Mach_number", "re", "wing.twist_cp"], list[Any]()
    for point in x:
        for name, value in zip(inputs, np.split(point, [1, 2, 3, 4]), strict=True):
            problem.set_val(name, value)
        problem.run_model()
        slopes: Any = problem.compute_totals(["aero.CL", "aero.CD"], inputs, return_format="array")
        rows.append([*point, *problem["aero.CL"], *problem["aero.CD"], *slopes.flat])
    bare = [name.split(" ")[0] for name in INPUTS]
    return pd.DataFrame(rows, columns=[*INPUTS, "CL", "CD", *(f"d{y}_d{x}" for y in ("CL", "CD") for x in bare)])


if __name__ == "__main__":
    rows = table(qmc.scale(qmc.LatinHypercube(len(INPUTS), rng=0).random(ROWS), LOW, HIGH))
    rows.to_csv("wing.csv", index=False, float_format="%.9g")
