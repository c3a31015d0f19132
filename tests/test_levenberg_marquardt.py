"""Levenberg-Marquardt with each of its linear systems, against NumPy and SciPy, and in a stack."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
import torch

from runge.optimizers import LevenbergMarquardt, Problem
from runge.optimizers.elimination import HiddenSpace, eliminate, relative_ridge
from runge.optimizers.systems import COLUMNS, ErrorSpace, IterativeSpace, WeightSpace, space_of
from runge.sobolev import losses
from runge.sobolev.jacobian import jacobian
from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points
from tests.conftest import model

LM = LevenbergMarquardt()
ELIMINATE = replace(LM, readout="eliminate")


def made(x, f, df, weight_f, weight_df, lambda_d, **shape):
    """Return the problem of these points in [-1, 1]^D for networks of a shape."""
    (members, n, dimension), outputs = x.shape, f.shape[2]
    network = StackedMLP(
        model(**shape),
        domains=torch.tensor([[-1.0, 1.0]] * dimension, dtype=torch.float64).expand(members, dimension, 2),
        generators=[torch.Generator().manual_seed(i) for i in range(members)],
        dtype=torch.float64,
        outputs=outputs,
    )
    ones, names = torch.ones(members, 1, n, dtype=torch.float64), tuple("fgh"[:outputs])
    points, scale = Points(x, f, df, weight_f, weight_df, ones, outputs=names), ones[:, 0, 0].clone()
    return Problem(network, points, scale, None if lambda_d is None else lambda_d * scale, losses.loss_and_gradient)


def problem(members=1, n=20, width=6, depth=2, lambda_d=0.1, f=torch.sin, df=torch.cos, outputs=1, **shape):
    """Return the problem of f(3x) on a line."""
    x = torch.linspace(-1, 1, n, dtype=torch.float64).expand(members, n)[..., None]
    values, slopes = (part.expand(-1, -1, outputs).clone() for part in (f(3 * x), 3 * df(3 * x)))
    weight, shape = torch.full_like(values, 1 / n), {"width": width, "depth": depth, **shape}
    return made(x, values, slopes[..., None], weight, weight[..., None], lambda_d, **shape)


def runge(members=1, n=40, width=16):
    """Return Runge's function at Chebyshev's points, for networks with evenly spaced knots."""
    x = torch.cos(torch.pi * (torch.arange(n, dtype=torch.float64) + 0.5) / n).expand(members, n)[..., None]
    weight = torch.full_like(x, 1 / n)
    return made(x, *labels(x), weight, weight[..., None], 1.0, depth=1, width=width, init="knots")


def labels(x):
    f = 1 / (1 + 25 * x**2)
    return f, (-50 * x * f**2)[..., None]


def plane(members=2, n=12, width=5, lambda_d=0.3, outputs=2):
    """Return two functions of two variables at random points, of which some values and derivatives are not known."""
    generator = torch.Generator().manual_seed(0)

    def uniform(*shape):
        return torch.rand(n, *shape, generator=generator, dtype=torch.float64)

    x, weight_f, weight_df = 2 * uniform(2) - 1, uniform(outputs) / n, uniform(outputs, 2) / n
    weight_f[::5], weight_df[3::7, :, 0] = 0, 0
    (a, b), slope = x.unbind(1), torch.cos(2 * x[:, 0] + x[:, 1])
    f = torch.stack([torch.sin(2 * a + b), a * b], dim=1)[:, :outputs]
    df = torch.stack([torch.stack([2 * slope, slope], 1), torch.stack([b, a], 1)], 1)[:, :outputs]
    parts = (part.expand(members, *part.shape).clone() for part in (x, f, df, weight_f, weight_df))
    return made(*parts, lambda_d, width=width, depth=2)


def train(what, steps, method=LM):
    optimizer = method.build([what.network.theta])
    for _ in range(steps):
        method.step(optimizer, what, 0.0)
    return optimizer


@torch.no_grad()
def linearised(what, theta=None):
    """Return the errors of each member, their weights, the tape and J, at the present weights or others."""
    if theta is not None:
        what.network.theta.copy_(torch.as_tensor(theta))
    u, du, tape = what.network.propagate(what.points.x, with_derivative=what.lambda_d is not None)
    return *losses.least_squares(u, du, what.points, what.scale, what.lambda_d), tape, jacobian(what.network, tape)


@pytest.mark.parametrize(("n", "lambda_d"), [(10, 0.1), (60, None)])
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

    def part(theta, which):
        e, weights, _, rows = linearised(what, theta[None])
        return (weights.sqrt()[0, :, None] * (e[0, :, None], rows[0])[which]).squeeze().numpy()

    options = {"method": "lm", "max_nfev": 100_000, **dict.fromkeys(("ftol", "xtol", "gtol"), 1e-15)}
    expected = scipy.optimize.least_squares(
        lambda theta: part(theta, 0), start[0].numpy(), jac=lambda theta: part(theta, 1), **options
    )
    linearised(what, start)
    train(what, 300)
    assert what.loss_and_gradient()[0].item() == pytest.approx(2 * expected.cost, rel=1e-6)


def close_to_numpy(steps, errors, weights, rows, damping):
    for step, e, w, j, mu in zip(steps, errors.numpy(), weights.numpy(), rows.numpy(), damping, strict=True):
        expected = np.linalg.solve(j.T @ (w[:, None] * j) + mu * np.eye(j.shape[1]), j.T @ (w * e))
        assert np.abs(step.numpy() - expected).max() < 1e-7 * np.abs(expected).max()


@pytest.mark.parametrize("numbers", [1, 1500, 2**22])
@pytest.mark.parametrize("lambda_d", [0.1, None])
@torch.no_grad()
def test_the_step_of_a_factorised_system_is_that_of_numpy(lambda_d, numbers, monkeypatch):
    monkeypatch.setattr("runge.optimizers.systems._NUMBERS_AT_ONCE", numbers)
    monkeypatch.setattr("runge.optimizers.systems._BLOCK", 7)
    what, damping = plane(n=60, lambda_d=lambda_d), [0.5, 0.01]
    errors, weights, tape, rows = linearised(what)
    for space in (ErrorSpace, WeightSpace):
        system = space.of(what, tape, weights)
        system.damp(torch.tensor(damping, dtype=torch.float64))
        close_to_numpy(system.solve(errors), errors, weights, rows, damping)
    assert (space_of(3000, 10_000), space_of(10_000, 3000)) == (ErrorSpace, WeightSpace)  # the smaller one, or
    assert space_of(6144, 4804) is IterativeSpace


@pytest.mark.parametrize("damping", [1e-9, 10.0])
def test_damping_grows_by_tries_that_fail_and_by_a_gain_ratio(damping):
    """Compare with the dense formula at the start, with the damping of the try that succeeded."""
    method = replace(LM, damping=damping, acceleration=1e9)
    what = problem(n=15, f=torch.tanh, df=lambda x: 1 - torch.tanh(x) ** 2)
    theta, start = what.network.theta, what.network.theta.detach().clone()
    after = train(what, 1, method).state[theta]["damping"].item()
    moved, (e,), (w,), _, (rows,) = theta.detach() - start, *linearised(what, start)

    def step(mu):
        normal = rows.T @ (w[:, None] * rows) + mu * torch.eye(len(start[0]), dtype=torch.float64)
        v = -torch.linalg.solve(normal, rows.T @ (w * e))
        sides = [linearised(what, start + sign * 0.1 * v)[0][0] for sign in (1, -1)]
        return v, -torch.linalg.solve(normal, rows.T @ (w * (sides[0] - 2 * e + sides[1]) / 0.1**2))

    def loss(errors):
        return (w * errors.square()).sum()

    fails, (v, a) = next(
        (fails, (v, a))
        for fails, (v, a) in ((fails, step(damping * 2**fails)) for fails in range(40))
        if (moved[0] - v - a / 2).norm() < 1e-4 * moved.norm()
    )
    assert (fails > 3) == (damping < 1)
    gained = (loss(e) - loss(linearised(what, start + v + a / 2)[0][0])) / (loss(e) - loss(e + rows @ v))
    factor = (1 - (2 * gained - 1) ** 3).clamp(1 / 3, 2)
    assert after == pytest.approx(damping * 2**fails * factor.item(), rel=1e-2)


@pytest.mark.parametrize("method", [LM, ELIMINATE])
def test_points_without_a_weight_do_not_count(method):
    what, other = plane(), plane()
    f, df = (what.points.f.masked_fill(what.points.weight_f == 0, 1e6), what.points.df)
    spoiled = replace(other, points=replace(other.points, f=f, df=df.masked_fill(what.points.weight_df == 0, -1e6)))
    before = what.loss_and_gradient()[0]
    for one in (what, spoiled):
        train(one, 5, method)
    assert torch.allclose(what.network.theta, spoiled.network.theta, rtol=1e-6, atol=1e-9)
    assert (what.loss_and_gradient()[0] < 0.5 * before).all()


@pytest.mark.parametrize(("make", "method", "loss"), [(problem, LM, 1e-6), (runge, ELIMINATE, 1e-5)])
def test_a_member_in_a_stack_equals_the_one_alone(make, method, loss):
    together, alone = make(members=3), make()
    with torch.no_grad():
        together.network.theta[1] = torch.nan
    for what in (together, alone):
        train(what, 15, method)
    assert torch.allclose(together.network.theta[0], alone.network.theta[0], rtol=1e-6, atol=1e-8)
    assert together.network.theta[1].isnan().all()
    assert together.loss_and_gradient()[0][2] < loss


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
    theta = what.network.theta[0].clone()
    ELIMINATE.finish(what)
    assert torch.equal(what.network.theta[0], theta)


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


@pytest.mark.parametrize("method", [LM, ELIMINATE])
def test_a_member_at_rest_keeps_its_weights(method):
    what = runge(members=2)
    optimizer = train(what, 3, method)
    theta = what.network.theta.detach().clone()
    method.rest(optimizer, what.network.theta, torch.tensor([True, False]))
    method.step(optimizer, what, 0.0)
    assert (what.network.theta == theta).all(1).tolist() == [True, False]


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
    twice = replace(twice, points=Points(**double))
    train(twice, 40)
    assert np.isfinite(twice.network.theta.detach().numpy()).all()
    assert twice.loss_and_gradient()[0] < 1e-12


@pytest.mark.parametrize("method", [LM, ELIMINATE])
def test_the_state_can_be_restored(method):
    whole, parts = runge(), runge()
    train(whole, 8, method)
    first, second = train(parts, 5, method), method.build([parts.network.theta])
    second.load_state_dict(first.state_dict())
    for _ in range(3):
        method.step(second, parts, 0.0)
    assert torch.equal(whole.network.theta, parts.network.theta)


# The last layer eliminated.


def weighted(what, theta):
    """Return the errors of each member times the roots of their weights, at some weights, (M, R), in NumPy."""
    errors, weights, *_ = linearised(what, theta)
    return (weights.sqrt() * errors).numpy()


def columns(what, indices, step):
    """Return the derivatives of the weighted errors by some weights, (M, R, K), by central differences."""
    theta, parts = what.network.theta.detach().numpy().copy(), []
    for i in indices:
        moved = np.zeros_like(theta)
        moved[:, i] = step
        parts.append((weighted(what, theta + moved) - weighted(what, theta - moved)) / (2 * step))
    weighted(what, theta)
    return np.stack(parts, axis=2)


@pytest.mark.parametrize("lambda_d", [0.3, None])
@pytest.mark.parametrize("n", [4, 40])  # in the space of the errors, and in that of the weights
@torch.no_grad()
def test_elimination_and_its_step_are_those_of_numpy(n, lambda_d):
    """Project the Jacobian by central differences with an orthonormal basis of the last layer's columns."""
    what, ridge, damping = plane(n=n, lambda_d=lambda_d), torch.tensor([1e-3, 0.2]).double(), [0.1, 1e-4]
    start = what.network.theta.numpy().copy()
    count = int(np.prod(what.network.shapes[-1])) + what.network.outputs
    hidden = start.shape[1] - count
    start[:, hidden:] = 0
    target = -weighted(what, start)
    a = columns(what, range(hidden, start.shape[1]), step=1.0)  # linear: the step does not matter
    at = eliminate(what, ridge)
    system = HiddenSpace.of(what, at)
    system.damp(torch.tensor(damping, dtype=torch.float64))
    step, theta = system.solve(at.errors).numpy(), what.network.theta.numpy().copy()
    assert np.array_equal(theta[:, :hidden], start[:, :hidden])
    assert (step[:, hidden:] == 0).all()
    j, errors = columns(what, range(hidden), step=1e-5), weighted(what, theta)
    for m in range(2):
        stacked, right = np.r_[a[m], ridge[m].item() * np.eye(count)], np.r_[target[m], np.zeros(count)]
        expected = np.linalg.lstsq(stacked, right)[0]
        assert np.allclose(theta[m, hidden:], expected, rtol=1e-9, atol=1e-10)
        residual = stacked @ expected - right
        assert at.errors[m].square().sum().item() == pytest.approx(residual @ residual, rel=1e-10)
        basis, rows = np.linalg.qr(stacked)[0], np.r_[j[m], np.zeros((count, hidden))]
        rows -= basis @ (basis.T @ rows)
        right = rows.T @ np.r_[errors[m], ridge[m].item() * theta[m, hidden:]]
        expected = np.linalg.solve(rows.T @ rows + damping[m] * np.eye(hidden), right)
        assert np.abs(step[m, :hidden] - expected).max() < 1e-6 * np.abs(expected).max()


@torch.no_grad()
def test_the_gradient_is_exact_although_a_term_of_the_jacobian_is_left_out():
    what, ridge = plane(), torch.tensor([0.1, 0.2], dtype=torch.float64)
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
    what = plane()
    loss = torch.from_numpy(weighted(what, what.network.theta)).square().sum(1)

    def scaled(factor):
        return replace(what, points=replace(what.points, f=factor * what.points.f, df=factor * what.points.df))

    ridge = relative_ridge(what, 1e-4 * loss)
    assert torch.allclose(ridge, relative_ridge(scaled(1e3), 1e2 * loss), rtol=1e-12)
    assert torch.allclose(ridge, 10 * relative_ridge(what, 1e-6 * loss), rtol=1e-12)
    assert relative_ridge(scaled(0), torch.zeros(2, dtype=torch.float64)).isfinite().all()


def test_few_points_suffice():
    """Reach errors at the points between with which steps in all weights, and one exact solution, do not compare."""
    x = torch.linspace(-1, 1, 501, dtype=torch.float64).expand(1, 501)[..., None]
    (f, df), mse = labels(x), []
    for method in (ELIMINATE, LM):
        what = runge(n=64, width=48)
        train(what, 80, method)
        method.finish(what)
        with torch.no_grad():
            u, du = what.network.value_and_derivative(x)
        mse.append(((u - f).square().mean().item(), (du - df).square().mean().item()))
    assert mse[0][0] < 1e-22
    assert mse[0][1] < 1e-19
    assert mse[1][1] > 1e3 * mse[0][1]


# The iterative system.


def iterative(what, columns=COLUMNS):
    """Return the iterative system, and e, W and J."""
    errors, weights, tape, rows = linearised(what)
    return IterativeSpace.of(what, tape, weights, torch.full_like(what.scale, columns)), errors, weights, rows


@pytest.fixture
def limits(monkeypatch):
    """Make all systems iterative; return what sets the limits of their columns and iterations."""

    def change(**values):
        for name, value in values.items():
            monkeypatch.setattr(f"runge.optimizers.systems.{name}", value)
            monkeypatch.setattr(f"runge.optimizers.levenberg_marquardt.{name}", value, raising=False)

    monkeypatch.setattr("runge.optimizers.systems._FACTORISED", 0)
    return change


@pytest.mark.parametrize("lambda_d", [0.1, None])
@pytest.mark.parametrize("columns", [1.0, 24.0])  # without a coarse space, and with one
@torch.no_grad()
def test_the_iterative_step_is_that_of_numpy(lambda_d, columns, limits):
    limits(_ITERATIONS=1000, _SHARE=1e-22)
    what, second = plane(n=40, width=8, lambda_d=lambda_d), torch.tensor([1])
    system, *parts = iterative(what, columns)
    for damping in ([0.5, 0.01], [1e-4, 1e3]):
        mu = torch.tensor(damping, dtype=torch.float64)
        system.damp(mu)
        steps, chosen = system.solve(parts[0]), system.take(second, what.network.take(second))
        close_to_numpy(steps, *parts, damping)
        chosen.damp(mu[1:])
        assert torch.equal(chosen.solve(parts[0][1:])[0], steps[1])


@torch.no_grad()
def test_each_iteration_reduces_the_model(limits):
    """Compare with the reduction of the exact step, from none to the whole."""
    damping, values = 1e-7, []
    system, errors, weights, rows = iterative(plane(members=1, n=40, width=8), 24.0)
    system.damp(torch.full((1,), damping, dtype=torch.float64))
    k, b = weights[0, :, None].sqrt() * rows[0], (weights.sqrt() * errors)[0]

    def reduced(step):
        return ((b - k @ step).square().sum() + damping * step.square().sum()) / b.square().sum()

    for count in range(12):
        limits(_SHARE=0.0, _ITERATIONS=count)
        values.append(reduced(system.solve(errors)[0]).item())
    assert values[0] < 1
    assert (np.diff(values) < 0).all()
    exact = torch.linalg.solve(k.mT @ k + damping * torch.eye(k.shape[1], dtype=torch.float64), k.mT @ b)
    assert reduced(exact).item() < values[-1]


def test_columns_grow_where_iterations_do_not_suffice(limits):
    """Let one member need them, while the other is at rest; and continue from the state, to the same bits."""
    limits(COLUMNS=20.0, _MOST=40.0, _ITERATIONS=2, _GROWTH=3.0)
    method, final = replace(LM, damping=1e-4), []
    for restored in (False, True):
        what = plane(n=40, width=8)
        optimizer = method.build([what.network.theta])
        method.rest(optimizer, what.network.theta, torch.tensor([True, False]))
        for _ in range(6):
            method.step(optimizer, what, 0.0)
            state = optimizer.state_dict()
            assert state["state"][0]["columns"].tolist() == [20, 40]
            if restored:
                optimizer = method.build([what.network.theta])
                optimizer.load_state_dict(state)
        final.append(what.network.theta)
    assert torch.equal(*final)


def test_members_train_as_they_do_alone_with_iterations(limits):
    """Compare bit for bit; the first member has diverged, the second fits already."""
    limits(COLUMNS=24.0, _ITERATIONS=4)  # so that columns grow
    together, alone = plane(members=3, n=40, width=8), plane(members=1, n=40, width=8)
    with torch.no_grad():
        alone.network.theta.copy_(together.network.theta[2:])
        together.network.theta[0] = torch.nan
        u, du = together.network.value_and_derivative(together.points.x)
        together.points.f[1], together.points.df[1] = u[1], du[1]
    start, before = together.network.theta[1].clone(), alone.loss_and_gradient()[0]
    train(alone, 25)
    train(together, 25)
    assert torch.equal(together.network.theta[2], alone.network.theta[0])
    assert torch.equal(together.network.theta[1], start)
    assert alone.loss_and_gradient()[0] < 1e-5 * before
    together.points.weight_f.zero_()
    together.points.weight_df.zero_()
    train(together, 2)  # without any weight: no error
