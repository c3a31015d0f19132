"""Levenberg-Marquardt's iterative system against NumPy, in a stack, and as a whole."""

import numpy as np
import pytest
import torch

from runge.optimizers import LevenbergMarquardt, Problem
from runge.optimizers.iterative import COLUMNS, IterativeSpace
from runge.optimizers.levenberg_marquardt import space_of
from runge.optimizers.systems import ErrorSpace, WeightSpace
from runge.sobolev import losses
from runge.sobolev.jacobian import jacobian, linearise
from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points
from tests.conftest import model


def problem(members=1, n=40, width=8, lambda_d=0.1):
    """Return two functions of two variables, of which some values and derivatives are not known."""
    generator = torch.Generator().manual_seed(0)
    network = StackedMLP(
        model(activation="tanh", depth=2, width=width),
        domains=torch.tensor([[-1.0, 1.0]] * 2, dtype=torch.float64).expand(members, 2, 2),
        generators=[torch.Generator().manual_seed(i) for i in range(members)],
        dtype=torch.float64,
        outputs=2,
    )
    x = 2 * torch.rand(n, 2, dtype=torch.float64, generator=generator) - 1
    a, b = x[:, 0], x[:, 1]
    f = torch.stack([torch.sin(2 * a + b), a * b], dim=1)
    slope = torch.cos(2 * a + b)
    df = torch.stack([torch.stack([2 * slope, slope], dim=1), torch.stack([b, a], dim=1)], dim=1)
    weight_f, weight_df = torch.full_like(f, 1 / n), torch.full_like(df, 1 / n)
    weight_f[::5], weight_df[3::7, :, 0] = 0, 0
    tensors = (x, f, df, weight_f, weight_df, torch.ones(1, n, dtype=torch.float64))
    x, f, df, weight_f, weight_df, masks = (part.expand(members, *part.shape).clone() for part in tensors)
    points = Points(x, f, df, weight_f, weight_df, masks, outputs=("f", "g"))
    ones = torch.ones(members, dtype=torch.float64)
    return Problem(network, points, ones, None if lambda_d is None else lambda_d * ones, losses.loss_and_gradient)


def system(what, columns=COLUMNS):
    """Return the iterative system, and e, W and J."""
    network, points = what.network, what.points
    with torch.no_grad():
        u, du, tape = network.propagate(points.x, with_derivative=what.lambda_d is not None)
        errors, weights = losses.least_squares(u, du, points, what.scale, what.lambda_d)
        of_all = IterativeSpace.of(what, tape, weights, torch.full_like(what.scale, columns))
        return of_all, errors, weights, jacobian(network, tape)


@pytest.fixture(autouse=True)
def small_systems_are_iterative(monkeypatch):
    monkeypatch.setattr("runge.optimizers.levenberg_marquardt._FACTORISED", 0)


@pytest.mark.parametrize("lambda_d", [0.1, None])
@pytest.mark.parametrize("columns", [1.0, 24.0])  # without a coarse space, and with one
@torch.no_grad()
def test_step_is_that_of_numpy(lambda_d, columns, monkeypatch):
    monkeypatch.setattr("runge.optimizers.iterative._ITERATIONS", 1000)
    monkeypatch.setattr("runge.optimizers.iterative._SHARE", 1e-22)
    what = problem(members=2, lambda_d=lambda_d)
    iterative, errors, weights, rows = system(what, columns)
    for damping in ([0.5, 0.01], [1e-4, 1e3]):
        iterative.damp(torch.tensor(damping, dtype=torch.float64))
        steps = iterative.solve(errors)
        chosen = iterative.take(torch.tensor([1]), what.network.take(torch.tensor([1])))
        chosen.damp(torch.tensor(damping[1:], dtype=torch.float64))
        assert torch.equal(chosen.solve(errors[1:])[0], steps[1])
        for i, mu in enumerate(damping):
            j, w, e = rows[i].numpy(), weights[i].numpy(), errors[i].numpy()
            expected = np.linalg.solve(j.T @ (w[:, None] * j) + mu * np.eye(j.shape[1]), j.T @ (w * e))
            assert np.abs(steps[i].numpy() - expected).max() < 1e-7 * np.abs(expected).max()


@torch.no_grad()
def test_columns_save_iterations(monkeypatch):
    """Count the passes back through the network: three for the step, if all columns are there."""
    calls, adjoint = [], StackedMLP.adjoint
    monkeypatch.setattr(StackedMLP, "adjoint", lambda *args: calls.append(0) or adjoint(*args))
    monkeypatch.setattr("runge.optimizers.iterative._ITERATIONS", 1000)
    monkeypatch.setattr("runge.optimizers.iterative._SHARE", 1e-6)
    counts = []
    for columns in (1.0, 24.0, 1000.0):
        iterative, errors, *_ = system(problem(), columns)
        iterative.damp(torch.full((1,), 1e-6, dtype=torch.float64))
        calls.clear()
        iterative.solve(errors)
        counts.append(len(calls))
    assert counts[0] > counts[1] > counts[2] == 3


@torch.no_grad()
def test_each_iteration_reduces_the_model(monkeypatch):
    """Compare with the reduction of the exact step, from none to the whole."""
    monkeypatch.setattr("runge.optimizers.iterative._SHARE", 0.0)
    damping, values = 1e-7, []
    iterative, errors, weights, rows = system(problem(), 24.0)
    iterative.damp(torch.full((1,), damping, dtype=torch.float64))
    k, b = weights[0, :, None].sqrt() * rows[0], (weights.sqrt() * errors)[0]

    def model(step):
        return ((b - k @ step).square().sum() + damping * step.square().sum()) / b.square().sum()

    for count in range(12):
        monkeypatch.setattr("runge.optimizers.iterative._ITERATIONS", count)
        values.append(model(iterative.solve(errors)[0]).item())
    assert values[0] < 1
    assert (np.diff(values) < 0).all()
    exact = torch.linalg.solve(k.mT @ k + damping * torch.eye(k.shape[1], dtype=torch.float64), k.mT @ b)
    assert model(exact).item() < values[-1]


def train(what, steps):
    method = LevenbergMarquardt()
    optimizer = method.build([what.network.theta])
    for _ in range(steps):
        method.step(optimizer, what, 0.0)
    return what.loss_and_gradient()[0]


def columns_of(optimizer, what):
    return optimizer.state[what.network.theta]["columns"].tolist()


def test_columns_grow_where_iterations_do_not_suffice(monkeypatch):
    """Let one member need them, while the other is at rest; and continue from the state, to the same bits."""
    monkeypatch.setattr("runge.optimizers.levenberg_marquardt.COLUMNS", 20.0)
    for name, value in {"MOST_COLUMNS": 40.0, "_ITERATIONS": 2, "_GROWTH": 3.0}.items():
        monkeypatch.setattr(f"runge.optimizers.iterative.{name}", value)
    method, whole, parts = LevenbergMarquardt(damping=1e-4), problem(members=2), problem(members=2)
    optimizer, first = method.build([whole.network.theta]), method.build([parts.network.theta])
    method.rest(optimizer, whole.network.theta, torch.tensor([True, False]))
    method.rest(first, parts.network.theta, torch.tensor([True, False]))
    method.step(optimizer, whole, 0.0)
    method.step(first, parts, 0.0)
    assert columns_of(optimizer, whole) == [20, 40]
    second = method.build([parts.network.theta])
    second.load_state_dict(first.state_dict())
    for _ in range(5):
        method.step(optimizer, whole, 0.0)
        method.step(second, parts, 0.0)
    assert columns_of(optimizer, whole) == columns_of(second, parts) == [20, 40]
    assert torch.equal(whole.network.theta, parts.network.theta)


def test_a_member_at_rest_builds_no_system(monkeypatch):
    built = []
    monkeypatch.setattr("runge.optimizers.iterative.linearise", lambda *args: built.append(0) or linearise(*args))
    method, what = LevenbergMarquardt(), problem(members=3)
    optimizer = method.build([what.network.theta])
    method.rest(optimizer, what.network.theta, torch.tensor([True, False, True]))
    method.step(optimizer, what, 0.0)
    assert len(built) == 1


def test_members_train_as_they_do_alone(monkeypatch):
    """Compare bit for bit; the first member has diverged, the second fits already."""
    monkeypatch.setattr("runge.optimizers.levenberg_marquardt.COLUMNS", 24.0)
    monkeypatch.setattr("runge.optimizers.iterative._ITERATIONS", 4)  # so that columns grow
    together, alone = problem(members=3), problem()
    with torch.no_grad():
        alone.network.theta.copy_(together.network.theta[2:])
        together.network.theta[0] = torch.nan
        u, du = together.network.value_and_derivative(together.points.x)
        together.points.f[1], together.points.df[1] = u[1], du[1]
    start = together.network.theta[1].clone()
    before = alone.loss_and_gradient()[0]
    after = train(alone, 25)
    train(together, 25)
    assert torch.equal(together.network.theta[2], alone.network.theta[0])
    assert torch.equal(together.network.theta[1], start)
    assert after < 1e-6 * before


def test_points_without_any_weight_are_no_error():
    what = problem()
    what.points.weight_f.zero_()
    what.points.weight_df.zero_()
    assert train(what, 2) == 0


def test_choice_of_the_system(monkeypatch):
    monkeypatch.undo()
    assert space_of(3000, 10_000) is ErrorSpace
    assert space_of(10_000, 3000) is WeightSpace
    assert space_of(6144, 4804) is IterativeSpace
