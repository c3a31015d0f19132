"""Levenberg-Marquardt against scipy, in both spaces, and in a stack."""

import numpy as np
import pytest
import scipy.optimize
import torch

from runge.optimizers import LevenbergMarquardt, Problem
from runge.optimizers.systems import ErrorSpace, WeightSpace
from runge.sobolev import losses
from runge.sobolev.jacobian import jacobian
from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points
from tests.conftest import model

LM = LevenbergMarquardt(damping=1.0, decrease=3.0, increase=2.0, acceleration=0.75, readout=True)


def problem(members=1, n=20, width=6, depth=2, lambda_d=0.1, activation="tanh", f=torch.sin, df=torch.cos, outputs=1):
    network = StackedMLP(
        model(activation=activation, depth=depth, width=width),
        domains=torch.tensor([[-1.0, 1.0]], dtype=torch.float64).expand(members, 1, 2),
        generators=[torch.Generator().manual_seed(i) for i in range(members)],
        dtype=torch.float64,
        outputs=outputs,
    )
    x = torch.linspace(-1, 1, n, dtype=torch.float64).expand(members, n)[..., None]
    weight = torch.full((members, n, outputs), 1 / n, dtype=torch.float64)
    masks = torch.ones(members, 1, n, dtype=torch.float64)
    points = Points(x, f(3 * x), 3 * df(3 * x)[..., None], weight, weight[..., None], masks)
    ones = torch.ones(members, dtype=torch.float64)
    return Problem(network, points, ones, None if lambda_d is None else lambda_d * ones, losses.loss_and_gradient)


def train(what, steps):
    optimizer = LM.build([what.network.theta])
    for _ in range(steps):
        LM.step(optimizer, what, 0.0)
    return optimizer


@pytest.mark.parametrize("lambda_d", [0.1, None])
@pytest.mark.parametrize("n", [10, 60])
def test_minimum_is_that_of_scipy(n, lambda_d):
    """Start near a network that fits the data up to noise, so that the minimum is not at infinity."""
    what, generator = problem(n=n, width=2, depth=1, lambda_d=lambda_d), torch.Generator().manual_seed(0)

    def noise(like):
        return torch.randn(like.shape, generator=generator, dtype=torch.float64)

    with torch.no_grad():
        what.network.theta.mul_(3)
        u, du = what.network.value_and_derivative(what.points.x)
        what.points.f.copy_(u + 0.02 * noise(u))
        what.points.df.copy_(du + 0.02 * noise(du))
        start = what.network.theta + 0.1 * noise(what.network.theta)
        what.network.theta.copy_(start)

    def linearised(theta):
        with torch.no_grad():
            what.network.theta.copy_(torch.as_tensor(theta)[None])
            u, du, tape = what.network.propagate(what.points.x, with_derivative=lambda_d is not None)
            e, weights = losses.least_squares(u, du, what.points, what.scale, what.lambda_d)
            root = weights.sqrt()[0]
            return (root * e[0]).numpy(), (root[:, None] * jacobian(what.network, tape)[0]).numpy()

    expected = scipy.optimize.least_squares(
        lambda theta: linearised(theta)[0],
        start[0].numpy(),
        jac=lambda theta: linearised(theta)[1],
        method="lm",
        max_nfev=100_000,
        **dict.fromkeys(("ftol", "xtol", "gtol"), 1e-15),
    )
    with torch.no_grad():
        what.network.theta.copy_(start)
    train(what, 500)
    assert what.loss_and_gradient()[0].item() == pytest.approx(2 * expected.cost, rel=1e-6)


@pytest.mark.parametrize("numbers", [1, 1500, 2**22])
@pytest.mark.parametrize("lambda_d", [0.1, None])
def test_both_spaces_give_the_same_step(lambda_d, numbers, monkeypatch):
    monkeypatch.setattr("runge.optimizers.systems._NUMBERS_AT_ONCE", numbers)
    monkeypatch.setattr("runge.optimizers.systems._BLOCK", 7)
    what = problem(members=2, n=300, lambda_d=lambda_d)
    network, points = what.network, what.points
    with torch.no_grad():
        u, du, tape = network.propagate(points.x, with_derivative=lambda_d is not None)
        errors, weights = losses.least_squares(u, du, points, what.scale, what.lambda_d)
        damping = torch.tensor([0.5, 0.01], dtype=torch.float64)
        steps = []
        for space in (ErrorSpace, WeightSpace):
            system = space.of(what, tape, weights)
            system.damp(damping)
            steps.append(system.solve(errors))
        assert (steps[0] - steps[1]).abs().max() < 1e-9 * steps[1].abs().max()


def test_a_step_that_is_tried_again_has_more_damping():
    """Compare with the dense formula at the start, with the damping of the try that succeeded."""
    method = LevenbergMarquardt(damping=1e-9, decrease=3.0, increase=2.0, acceleration=1e9, readout=True)
    what = problem(n=15, f=torch.tanh, df=lambda x: 1 - torch.tanh(x) ** 2)
    theta, start = what.network.theta, what.network.theta.detach().clone()
    optimizer = method.build([theta])
    method.step(optimizer, what, 0.0)
    damping, moved = optimizer.state[theta]["damping"], theta.detach() - start
    assert damping > 1e-8

    def errors(at):
        theta.copy_(at)
        u, du, tape = what.network.propagate(what.points.x, with_derivative=True)
        e, weights = losses.least_squares(u, du, what.points, what.scale, what.lambda_d)
        return e[0], weights[0], jacobian(what.network, tape)[0]

    with torch.no_grad():
        e, w, rows = errors(start)
        normal = rows.T @ (w[:, None] * rows) + damping * torch.eye(len(start[0]), dtype=torch.float64)
        v = -torch.linalg.solve(normal, rows.T @ (w * e))
        second = (errors(start + 0.1 * v)[0] - 2 * e + errors(start - 0.1 * v)[0]) / 0.1**2
        a = -torch.linalg.solve(normal, rows.T @ (w * second))
    assert (moved[0] - v - a / 2).norm() < 1e-4 * moved.norm()


def test_points_without_a_weight_do_not_count():
    what, without = problem(n=12), problem(n=12)
    points = without.points
    points.weight_f[:, ::3] = points.weight_df[:, 1::4] = 0
    spoiled = Points(**{**vars(points), "f": points.f.clone(), "df": points.df.clone()})
    spoiled.f[:, ::3], spoiled.df[:, 1::4] = 1e6, -1e6
    what = Problem(what.network, spoiled, what.scale, what.lambda_d, what.function)
    for one in (what, without):
        train(one, 8)
    assert torch.allclose(what.network.theta, without.network.theta, rtol=1e-6, atol=1e-9)
    assert without.loss_and_gradient()[0] < 0.1


def test_a_member_in_a_stack_equals_the_one_alone():
    together, alone = problem(members=3), problem(members=1)
    with torch.no_grad():
        together.network.theta[1] = torch.nan
    for what in (together, alone):
        train(what, 15)
    assert torch.allclose(together.network.theta[0], alone.network.theta[0], rtol=1e-7, atol=1e-9)
    assert together.loss_and_gradient()[0][2] < 1e-6


@pytest.mark.parametrize("lambda_d", [0.1, None])
def test_finish_solves_the_last_layer(lambda_d):
    """Check that the gradient of the last layer vanishes, and that a diverged neighbour is unchanged."""
    what = problem(members=2, n=30, lambda_d=lambda_d)
    with torch.no_grad():
        what.network.theta[1] = torch.nan
    loss_before, gradient_before = what.loss_and_gradient()
    LM.finish(what)
    loss, gradient = what.loss_and_gradient()
    assert loss[0] < 1e-2 * loss_before[0]
    # The solution's weights are large, so that cancellation leaves more than one round-off.
    assert gradient[0, -7:].norm() < 1e-10 * gradient_before[0, -7:].norm()
    assert what.network.theta[1].isnan().all()


def test_rest():
    """Fit a constant, which one bias does exactly: no step helps then, until the loss changes."""
    what = problem(n=8, width=1, depth=1, lambda_d=None, f=torch.ones_like)
    optimizer = train(what, 200)
    theta = what.network.theta.detach().clone()
    assert LM.at_rest(optimizer, what.network.theta)
    LM.step(optimizer, what, 0.0)
    assert torch.equal(what.network.theta, theta)
    LM.reset(optimizer)
    assert not LM.at_rest(optimizer, what.network.theta)


def test_a_kink_a_nan_and_a_singular_system_are_no_crash():
    kink = problem(n=40, activation="relu", f=torch.abs, df=torch.sign)
    before = kink.loss_and_gradient()[0]
    train(kink, 30)
    assert kink.loss_and_gradient()[0] < before
    nowhere = problem(f=lambda x: x * torch.nan)
    theta = nowhere.network.theta.detach().clone()
    train(nowhere, 3)
    assert torch.equal(nowhere.network.theta, theta)
    twice = problem(n=6)  # each point twice: J J^T has half its rank
    double = {name: torch.cat([t, t], dim=2 if name == "masks" else 1) for name, t in twice.points.tensors().items()}
    twice = Problem(twice.network, Points(**double), twice.scale, twice.lambda_d, twice.function)
    train(twice, 40)
    assert np.isfinite(twice.network.theta.detach().numpy()).all()
    assert twice.loss_and_gradient()[0] < 1e-12


def test_the_state_can_be_restored():
    whole, parts = problem(), problem()
    train(whole, 12)
    first = train(parts, 5)
    second = LM.build([parts.network.theta])
    second.load_state_dict(first.state_dict())
    for _ in range(7):
        LM.step(second, parts, 0.0)
    assert torch.equal(whole.network.theta, parts.network.theta)
