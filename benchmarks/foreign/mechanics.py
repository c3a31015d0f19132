"""Tables of engineering, robotics, ordinary differential equations, astronomy and maps."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from origins import Array, Rows, stacked, table


def totals(model, inputs: Mapping[str, Array], outputs: list[str], **fixed: float) -> Rows:  # noqa: ANN001
    """Return the rows of a model of OpenMDAO, with its total derivatives."""
    import openmdao.api as om

    problem = om.Problem(model, reports=False)
    problem.setup()
    problem.set_solver_print(-1)
    for name, value in fixed.items():
        problem.set_val(name.replace("__", "."), value)
    rows = list[tuple[Any, Any, Any]]()
    for values in zip(*inputs.values(), strict=True):
        for name, value in zip(inputs, values, strict=True):
            problem.set_val(name, value)
        problem.run_model()
        slopes = problem.compute_totals(outputs, list(inputs), return_format="array")
        rows.append((np.concatenate([*map(np.ravel, values)]), np.ravel([problem.get_val(y) for y in outputs]), slopes))
    return stacked(rows)


@table("openmdao", "test_suite SellarDerivatives, solver at rtol 1e-3, adjoint")
def sellar_loose(random: np.random.Generator) -> Rows:
    import openmdao.api as om
    from openmdao.test_suite.components.sellar import SellarDerivatives

    solver = om.NonlinearBlockGS(rtol=1e-3, atol=1e-3)
    model = SellarDerivatives(nonlinear_solver=solver, linear_solver=om.DirectSolver())
    x = random.uniform(0, 10, (200, 3)) - [5, 0, 0]
    return totals(model, {"z": x[:, :2], "x": x[:, 2]}, ["obj", "con1", "con2"])


@table("openmdao", "test_suite BeamGroup of 30 elements, adjoint")
def beam_30(random: np.random.Generator) -> Rows:
    from openmdao.test_suite.test_examples.beam_optimization.beam_group import BeamGroup

    model = BeamGroup(E=1.0, L=1.0, b=0.1, volume=0.01, num_elements=30)
    return totals(
        model, {"h": random.uniform(0.05, 0.15, (400, 30))}, ["compliance_comp.compliance", "volume_comp.volume"]
    )


@table("dymos", "examples.min_time_climb.MinTimeClimbODE, partials of tables by Akima splines")
def climbing_fighter(random: np.random.Generator) -> Rows:
    from dymos.examples.min_time_climb.min_time_climb_ode import MinTimeClimbODE

    x = random.uniform([0, 120, -0.3, 12e3, -0.1], [18e3, 500, 0.6, 19e3, 0.15], (400, 5))
    inputs: dict[str, Array] = dict(zip(("h", "v", "gam", "m", "alpha"), x.T, strict=True))
    model = MinTimeClimbODE(num_nodes=1)
    for name, unit in {"h": "m", "v": "m/s", "alpha": "rad"}.items():
        model.set_input_defaults(name, 0.0, units=unit)
    outputs = [f"flight_dynamics.{name}" for name in ("v_dot", "gam_dot", "h_dot")] + ["prop.m_dot"]
    return totals(model, inputs, outputs, S=49.2386, Isp=1600.0, throttle=1.0)


@table("pin", "computeRNEADerivatives of buildSampleModelManipulator")
def manipulator(random: np.random.Generator) -> Rows:
    import pinocchio

    model = pinocchio.buildSampleModelManipulator()
    data = model.createData()

    def torques(q: Array, v: Array, a: Array) -> tuple[Array, Array, Array]:
        slopes = pinocchio.computeRNEADerivatives(model, data, q, v, a)
        return np.concatenate([q, v, a]), pinocchio.rnea(model, data, q, v, a).copy(), np.concatenate(slopes, axis=1)

    return stacked([torques(*at) for at in random.uniform(-1.5, 1.5, (2000, 3, 6))])


@table("mujoco", "mjd_transitionFD of the hopper of gymnasium, with contacts", "trajectories in time")
def hopper(random: np.random.Generator) -> Rows:
    import gymnasium
    import mujoco

    assets = gymnasium.__path__[0] + "/envs/mujoco/assets"
    model = mujoco.MjModel.from_xml_path(f"{assets}/hopper.xml")
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST  # it allows no Runge-Kutta method
    data, rows = mujoco.MjData(model), list[tuple[Array, Array, Array]]()
    for k in range(800):
        if k % 100 == 0:
            mujoco.mj_resetData(model, data)
        data.ctrl[:] = random.uniform(-0.4, 0.4, 3)
        mujoco.mj_step(model, data, 9)
        a, b = np.zeros((12, 12)), np.zeros((12, 3))
        mujoco.mjd_transitionFD(model, data, 1e-6, True, a, b, None, None)
        x = np.concatenate([data.qpos, data.qvel, data.ctrl])
        mujoco.mj_step(model, data)
        rows.append((x, np.concatenate([data.qpos, data.qvel]), np.concatenate([a, b], axis=1)))
    return stacked(rows)


@table("casadi", "integrator('cvodes') of its van der Pol oscillator, reltol 1e-3, forward sensitivities")
def van_der_pol_loose(random: np.random.Generator) -> Rows:
    import casadi

    x, u = casadi.SX.sym("x", 2), casadi.SX.sym("u")
    equation = {"x": x, "p": u, "ode": casadi.vertcat((1 - x[1] ** 2) * x[0] - x[1] + u, x[0])}
    end = casadi.integrator("end", "cvodes", equation, 0, 4, {"reltol": 1e-3, "abstol": 1e-3})
    jacobian = end.factory("jacobian", ["x0", "p"], ["xf", "jac:xf:x0", "jac:xf:p"])

    def row(at: Array) -> tuple[Array, Array, Array]:
        y, *slopes = (np.array(part) for part in jacobian(at[:2], at[2]))
        return at, y.ravel(), np.concatenate(slopes, axis=1)

    return stacked([row(at) for at in random.uniform([-2, -2, -0.5], [2, 2, 0.5], (400, 3))])


@table("diffrax", "Tsit5 of its Lorenz system, rtol 1e-3, BacksolveAdjoint, float32")
def lorenz_float32(random: np.random.Generator) -> Rows:
    import diffrax
    import jax

    def field(t, y, p):  # noqa: ANN001, ANN202
        return jax.numpy.stack([p[0] * (y[1] - y[0]), y[0] * (p[1] - y[2]) - y[1], y[0] * y[1] - p[2] * y[2]])

    def end(x):  # noqa: ANN001, ANN202
        control = diffrax.PIDController(rtol=1e-3, atol=1e-3)
        term, adjoint = diffrax.ODETerm(field), diffrax.BacksolveAdjoint()
        method = {"stepsize_controller": control, "adjoint": adjoint}
        return diffrax.diffeqsolve(term, diffrax.Tsit5(), 0.0, 0.7, 0.01, x[3:], args=x[:3], **method).ys[-1]

    jax.config.update("jax_enable_x64", False)  # OpenMDAO changes this default
    x = random.uniform([9, 20, 2, -5, -5, 15], [11, 30, 3, 5, 5, 25], (500, 6)).astype("float32")
    y, dydx = (np.array(jax.jit(jax.vmap(function))(x), float) for function in (end, jax.jacrev(end)))
    return x.astype(float), y, dydx


@table("rebound", "IAS15, variational equations of two planets in orbital elements")
def two_planets(random: np.random.Generator) -> Rows:
    import rebound

    varied = [(1, "a"), (1, "e"), (2, "a"), (2, "e")]

    def row(at: Array) -> tuple[Array, Array, Array]:
        simulation = rebound.Simulation()
        simulation.add(m=1.0)
        for mass, angle, (a, e) in zip((1e-3, 2e-3), (0.3, 2.0), at.reshape(2, 2), strict=True):
            simulation.add(m=mass, a=a, e=e, f=angle, omega=0.5, primary=simulation.particles[0])
        variations = [simulation.add_variation() for _ in varied]
        for variation, element in zip(variations, varied, strict=True):
            variation.vary(*element)
        simulation.integrate(10.0)
        planet, moved = simulation.particles[1], [variation.particles[1] for variation in variations]
        return at, np.array([planet.x, planet.y]), np.array([[one.x for one in moved], [one.y for one in moved]])

    return stacked([row(at) for at in random.uniform([0.9, 0.01, 1.6, 0.01], [1.1, 0.2, 2.0, 0.2], (300, 4))])


@table("galpy", "MWPotential2014: evaluateRforces, evaluatezforces", "one orbit in time")
def galactic_orbit(random: np.random.Generator) -> Rows:
    from galpy import potential
    from galpy.orbit import Orbit

    field, times = potential.MWPotential2014, np.linspace(0, 100, 2000)
    orbit = Orbit([1.0, 0.2, 1.1, 0.1, 0.15, 0.0])
    orbit.integrate(times, field)
    x = np.stack([orbit.R(times), orbit.z(times)], axis=1)
    of_x = (potential.evaluatePotentials, potential.evaluateRforces, potential.evaluatezforces)
    y, *forces = ([float(function(field, *at)) for at in x] for function in of_x)
    return x, np.array(y)[:, None], -np.array(forces).T[:, None]


@table("lenstronomy", "LensModel(['EPL', 'SHEAR']): potential, alpha, hessian")
def gravitational_lens(random: np.random.Generator) -> Rows:
    from lenstronomy.LensModel.lens_model import LensModel

    lens, at = LensModel(["EPL", "SHEAR"]), random.uniform(-2, 2, (2, 500))
    epl = {"theta_E": 1.2, "gamma": 2.1, "e1": 0.1, "e2": -0.05, "center_x": 0.0, "center_y": 0.0}
    settings = [epl, {"gamma1": 0.03, "gamma2": -0.04}]
    alpha = np.stack(lens.alpha(*at, settings), axis=1)
    second = np.stack(lens.hessian(*at, settings), axis=1).reshape(500, 2, 2)
    return (
        at.T,
        np.column_stack([lens.potential(*at, settings), alpha]),
        np.concatenate([alpha[:, None], second], axis=1),
    )


@table("pyproj", "Proj('+proj=robin +R=1').get_factors, differences of PROJ", "random, in radians")
def map_projection(random: np.random.Generator) -> Rows:
    from pyproj import Proj

    projection, at = Proj("+proj=robin +R=1"), random.uniform([-170, -85], [170, 85], (400, 2)).T
    factors = projection.get_factors(*at)
    slopes = [[factors.dx_dlam, factors.dx_dphi], [factors.dy_dlam, factors.dy_dphi]]
    return np.deg2rad(at.T), np.stack(projection(*at), axis=1), np.moveaxis(np.array(slopes), 2, 0)
