"""The elimination of the last layer against NumPy, and Levenberg-Marquardt with it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from runge.optimizers import LevenbergMarquardt, Problem
from runge.optimizers.elimination import HiddenSpace, eliminate, relative_ridge
from runge.sobolev import losses
from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points
from tests.conftest import model

LM = LevenbergMarquardt(damping=1.0, decrease=3.0, increase=2.0, acceleration=0.75, readout="eliminate")


def problem(members=2, n=12, width=5, depth=2, dimension=2, outputs=2, lambda_d=0.3):
    """Return random labels at random points, a third of them without a value and a quarter without a derivative."""
    generator = torch.Generator().manual_seed(0)
    network = StackedMLP(
        model(depth=depth, width=width),
        domains=torch.tensor([[-1.0, 2.0]] * dimension, dtype=torch.float64).expand(members, dimension, 2),
        generators=[torch.Generator().manual_seed(i) for i in range(members)],
        dtype=torch.float64,
        outputs=outputs,
    )

    def normal(*shape):
        return torch.randn(members, n, *shape, generator=generator, dtype=torch.float64)

    weight_f, weight_df = normal(outputs).square() / n, normal(outputs, dimension).square() / n
    weight_f[:, ::3], weight_df[:, 1::4] = 0, 0
    masks = torch.ones(members, 1, n, dtype=torch.float64)
    points = Points(normal(dimension), normal(outputs), normal(outputs, dimension), weight_f, weight_df, masks)
    ones = torch.ones(members, dtype=torch.float64)
    c = torch.arange(1, members + 1, dtype=torch.float64)
    return Problem(network, points, 1 / c, None if lambda_d is None else lambda_d * ones, losses.loss_and_gradient)


def runge(members=1, n=64, width=48):
    """Return Runge's function at Chebyshev's points, for networks with evenly spaced knots."""
    x = torch.cos(torch.pi * (torch.arange(n, dtype=torch.float64) + 0.5) / n).expand(members, n)[..., None]
    network = StackedMLP(
        model(depth=1, width=width, init="knots"),
        domains=torch.tensor([[-1.0, 1.0]], dtype=torch.float64).expand(members, 1, 2),
        generators=[torch.Generator().manual_seed(i) for i in range(members)],
        dtype=torch.float64,
    )
    weight, masks = torch.full_like(x, 1 / n), torch.ones(members, 1, n, dtype=torch.float64)
    points = Points(x, *labels(x), weight, weight[..., None], masks)
    ones = torch.ones(members, dtype=torch.float64)
    return Problem(network, points, ones, ones, losses.loss_and_gradient)


def labels(x):
    f = 1 / (1 + 25 * x**2)
    return f, (-50 * x * f**2)[..., None]


def train(what, steps, method=LM):
    optimizer = method.build([what.network.theta])
    for _ in range(steps):
        method.step(optimizer, what, 0.0)
    return optimizer


def weighted_errors(what, theta):
    """Return the errors of each member times the roots of their weights, at some weights, (M, R), in NumPy."""
    with torch.no_grad():
        what.network.theta.copy_(torch.as_tensor(theta))
        u, du = what.network.value_and_derivative(what.points.x)
        errors, weights = losses.least_squares(u, du, what.points, what.scale, what.lambda_d)
    return (weights.sqrt() * errors).numpy()


def last(what):
    """Return the number of weights in the last layer."""
    return int(np.prod(what.network.shapes[-1])) + what.network.outputs


def columns(what, indices, step):
    """Return the derivatives of the weighted errors by some weights, (M, R, K), by central differences."""
    theta, parts = what.network.theta.detach().numpy().copy(), []
    for i in indices:
        moved = np.zeros_like(theta)
        moved[:, i] = step
        parts.append((weighted_errors(what, theta + moved) - weighted_errors(what, theta - moved)) / (2 * step))
    weighted_errors(what, theta)
    return np.stack(parts, axis=2)


@pytest.mark.parametrize("lambda_d", [0.3, None])
@pytest.mark.parametrize("n", [4, 40])
@torch.no_grad()
def test_the_last_layer_is_that_of_numpy(n, lambda_d):
    what, ridge = problem(n=n, lambda_d=lambda_d), torch.tensor([1e-3, 0.2], dtype=torch.float64)
    count, start = last(what), what.network.theta.numpy().copy()
    start[:, -count:] = 0
    target = -weighted_errors(what, start)
    a = columns(what, range(start.shape[1] - count, start.shape[1]), step=1.0)  # linear: the step does not matter
    at = eliminate(what, ridge)
    theta = what.network.theta.numpy()
    assert np.array_equal(theta[:, :-count], start[:, :-count])
    for m in range(2):
        stacked = np.concatenate([a[m], ridge[m].item() * np.eye(count)])
        expected = np.linalg.lstsq(stacked, np.r_[target[m], np.zeros(count)])[0]
        assert np.allclose(theta[m, -count:], expected, rtol=1e-9, atol=1e-10)
        residual = stacked @ expected - np.r_[target[m], np.zeros(count)]
        assert at.errors[m].square().sum().item() == pytest.approx(residual @ residual, rel=1e-10)


@pytest.mark.parametrize("lambda_d", [0.3, None])
@pytest.mark.parametrize("n", [4, 40])  # in the space of the errors, and in that of the weights
@torch.no_grad()
def test_a_step_is_that_of_numpy(n, lambda_d):
    """Project the Jacobian by central differences with an orthonormal basis of the last layer's columns."""
    what, ridge = problem(n=n, lambda_d=lambda_d), torch.tensor([1e-3, 0.2], dtype=torch.float64)
    damping, count = torch.tensor([0.1, 1e-4], dtype=torch.float64), last(what)
    at = eliminate(what, ridge)
    system = HiddenSpace.of(what, at)
    system.damp(damping)
    step = system.solve(at.errors).numpy()
    theta = what.network.theta.numpy().copy()
    hidden = theta.shape[1] - count
    a, j = columns(what, range(hidden, theta.shape[1]), step=1.0), columns(what, range(hidden), step=1e-5)
    errors = weighted_errors(what, theta)
    assert (step[:, hidden:] == 0).all()
    for m in range(2):
        basis = np.linalg.qr(np.r_[a[m], ridge[m].item() * np.eye(count)])[0]
        rows = np.r_[j[m], np.zeros((count, hidden))]
        rows -= basis @ (basis.T @ rows)
        right = rows.T @ np.r_[errors[m], ridge[m].item() * theta[m, hidden:]]
        expected = np.linalg.solve(rows.T @ rows + damping[m].item() * np.eye(hidden), right)
        assert np.abs(step[m, :hidden] - expected).max() < 1e-6 * np.abs(expected).max()


@torch.no_grad()
def test_the_gradient_is_exact_although_a_term_of_the_jacobian_is_left_out():
    what, ridge = problem(), torch.tensor([0.1, 0.2], dtype=torch.float64)
    at = eliminate(what, ridge)
    system, theta = HiddenSpace.of(what, at), what.network.theta.clone()
    gradient = 2 * torch.einsum("mrw,mr->mw", system.jacobian, at.errors)
    for i in range(0, gradient.shape[1], 5):
        sides = []
        for sign in (1, -1):
            what.network.theta.copy_(theta)
            what.network.theta[:, i] += sign * 1e-5
            sides.append(eliminate(what, ridge).errors.square().sum(1))
        assert torch.allclose((sides[0] - sides[1]) / 2e-5, gradient[:, i], rtol=1e-6, atol=1e-8)


@torch.no_grad()
def test_the_ridge_is_relative_to_the_labels():
    what = problem()
    loss = torch.from_numpy(weighted_errors(what, what.network.theta)).square().sum(1)
    large = Problem(
        what.network,
        replace(what.points, f=1e3 * what.points.f, df=1e3 * what.points.df),
        *(what.scale, what.lambda_d, what.function),
    )
    ridge = relative_ridge(what, 1e-4 * loss)
    assert torch.allclose(ridge, relative_ridge(large, 1e2 * loss), rtol=1e-12)
    assert torch.allclose(ridge, 10 * relative_ridge(what, 1e-6 * loss), rtol=1e-12)
    nothing = replace(what.points, f=0 * what.points.f, df=0 * what.points.df)
    nothing = Problem(what.network, nothing, what.scale, what.lambda_d, what.function)
    assert relative_ridge(nothing, torch.zeros(2, dtype=torch.float64)).isfinite().all()


def test_few_points_suffice():
    """Reach errors at the points between with which steps in all weights, and one exact solution, do not compare."""
    what, without = runge(), runge()
    train(what, 80)
    solved = replace(LM, readout=True)
    train(without, 80, solved)
    solved.finish(without)
    x = torch.linspace(-1, 1, 501, dtype=torch.float64).expand(1, 501)[..., None]
    (f, df), mse = labels(x), []
    for one in (what, without):
        with torch.no_grad():
            u, du = one.network.value_and_derivative(x)
        mse.append(((u - f).square().mean().item(), (du - df).square().mean().item()))
    assert mse[0][0] < 1e-22
    assert mse[0][1] < 1e-19
    assert mse[1][1] > 1e3 * mse[0][1]


def test_points_without_a_weight_do_not_count():
    what = problem()
    missing_f, missing_df = what.points.weight_f == 0, what.points.weight_df == 0
    spoiled = replace(
        what.points, f=what.points.f.masked_fill(missing_f, 1e6), df=what.points.df.masked_fill(missing_df, -1e6)
    )
    spoiled = Problem(problem().network, spoiled, what.scale, what.lambda_d, what.function)
    before = what.loss_and_gradient()[0]
    for one in (what, spoiled):
        train(one, 5)
    assert torch.allclose(what.network.theta, spoiled.network.theta, rtol=1e-9, atol=1e-12)
    assert (what.loss_and_gradient()[0] < 0.5 * before).all()


def test_a_member_in_a_stack_equals_the_one_alone():
    together, alone = runge(members=3, n=40, width=16), runge(n=40, width=16)
    with torch.no_grad():
        together.network.theta[1] = torch.nan
    for what in (together, alone):
        train(what, 15)
    assert torch.allclose(together.network.theta[0], alone.network.theta[0], rtol=1e-6, atol=1e-8)
    assert together.network.theta[1].isnan().all()
    assert together.loss_and_gradient()[0][2] < 1e-5


def test_a_member_at_rest_keeps_its_weights():
    what = runge(members=2, n=40, width=16)
    optimizer = train(what, 3)
    theta = what.network.theta.detach().clone()
    LM.rest(optimizer, what.network.theta, torch.tensor([True, False]))
    LM.step(optimizer, what, 0.0)
    assert torch.equal(what.network.theta[0], theta[0])
    assert not torch.equal(what.network.theta[1], theta[1])


def test_the_state_can_be_restored():
    whole, parts = runge(n=40, width=16), runge(n=40, width=16)
    train(whole, 8)
    first, second = train(parts, 5), LM.build([parts.network.theta])
    second.load_state_dict(first.state_dict())
    for _ in range(3):
        LM.step(second, parts, 0.0)
    assert torch.equal(whole.network.theta, parts.network.theta)


def test_finish_leaves_the_last_layer_as_it_is():
    what = runge(n=40, width=16)
    train(what, 3)
    theta = what.network.theta.detach().clone()
    LM.finish(what)
    assert torch.equal(what.network.theta, theta)


def test_other_words_are_refused():
    with pytest.raises(ValueError, match="eliminate"):
        replace(LM, readout="always")
