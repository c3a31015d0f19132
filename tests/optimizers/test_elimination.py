"""The last layer eliminated from the errors, against NumPy."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from runge.optimizers.levenberg_marquardt.elimination import HiddenSpace, eliminate, relative_ridge
from tests.sums_of_squares import ELIMINATE, LM, labels, linearised, plane, runge, train


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
