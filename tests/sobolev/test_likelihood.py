"""The loss 1/2 sum_c nu_c log MSE_c and its gradient against autograd."""

from functools import partial

import pytest
import torch

from runge.sobolev import losses
from runge.sobolev.likelihood import Likelihood, variances
from tests.sobolev.test_losses import some_points
from tests.sobolev.test_network import stack

SCALE = torch.tensor([2.0, 0.5], dtype=torch.float64)
ON, ONE_OFF = (torch.tensor(values, dtype=torch.float64) for values in ([0.3, 7.0], [0.3, 0.0]))


def by_loop(network, points, lambda_d, rho):
    """Return the loss, written as a loop over members and channels, and its gradient."""
    u, du = network.value_and_derivative(points.x)
    total = []
    for m in range(2):
        logs, counts = [], []
        for p in range(u.shape[2]):
            channels = [(points.weight_f[m, :, p], u[m, :, p] - points.f[m, :, p])]
            for d in range(du.shape[3]):
                residual = (du[m, :, p, d] - points.df[m, :, p, d]) / SCALE[m]
                channels.append((points.weight_df[m, :, p, d], residual))
            for k, (weight, residual) in enumerate(channels):
                counts.append(int((weight > 0).sum()))
                if counts[-1] and (k == 0 or (lambda_d is not None and lambda_d[m] > 0)):
                    logs.append(counts[-1] * (weight * (rho or torch.square)(residual)).sum().log() / 2)
        total.append(len(counts) / sum(counts) * sum(logs))
    loss = torch.stack(total)
    return loss, torch.autograd.grad(loss.sum(), network.theta)[0]


def partly_known(outputs):
    """Return points of which some labels are missing, and one partial derivative altogether."""
    points = some_points(dimension=2, outputs=outputs)
    points.weight_f[0, :2] = 0
    points.weight_df[1, 1, 0] = 0
    points.weight_df[:, :, 0, 1] = 0
    return points


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("lambda_d", [ON, ONE_OFF, None], ids=["on", "one off", "off"])
@pytest.mark.parametrize("derivative", ["forward", "autograd"])
@pytest.mark.parametrize("rho", [None, lambda residual: residual.square().log1p()], ids=["square", "penalty"])
def test_gradient(outputs, lambda_d, derivative, rho):
    network, points = stack(dimension=2, outputs=outputs, derivative=derivative), partly_known(outputs)
    function = Likelihood(partial(losses.loss_and_gradient, penalty=rho), rho)
    (loss, gradient), true = function(network, points, SCALE, lambda_d), by_loop(network, points, lambda_d, rho)
    torch.testing.assert_close(loss, true[0].detach(), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(gradient, true[1], rtol=1e-9, atol=1e-13)


def test_a_channel_without_errors_weighs_nothing():
    network, points = stack(dimension=2), some_points(dimension=2)
    with torch.no_grad():
        points.f.copy_(network(points.x))
    loss, gradient = Likelihood(losses.loss_and_gradient)(network, points, SCALE, None)
    assert loss.tolist() == [0, 0]
    assert not gradient.any()


@pytest.mark.parametrize("lambda_d", [ON, ONE_OFF])
def test_a_derivative_that_is_0_has_the_variance_of_the_others(lambda_d):
    """Compare with the loss in which the two that are 0, or nearly, are divided by a constant."""
    network, points = stack(dimension=2, outputs=2), some_points(dimension=2, outputs=2)
    points.df[:, :, 0, 1], points.df[0, :, 1, 0] = 1e-9, 0
    zeros = torch.zeros(2, 2, 3, dtype=torch.bool)
    zeros[:, 0, 2], zeros[0, 1, 1] = True, True
    u, du = network.value_and_derivative(points.x)
    mse = losses.channels(u, du, points, SCALE).view(2, 2, 3)
    on = torch.ones_like(mse)
    on[..., 1:] = (lambda_d > 0)[:, None, None]
    others = (mse * ~zeros).sum((1, 2)) / (~zeros).sum((1, 2))
    parts = torch.where(zeros, mse / others.detach()[:, None, None], mse.log())
    loss = (on * parts).sum((1, 2)) / 2
    (expected,) = torch.autograd.grad(loss.sum(), network.theta)
    actual = Likelihood(losses.loss_and_gradient)(network, points, SCALE, lambda_d)
    torch.testing.assert_close(actual[0], loss.detach())
    torch.testing.assert_close(actual[1], expected)
    points.df.zero_()
    points.weight_f.zero_()  # an output without any slope has variances of its own
    assert torch.equal(variances(points, mse), mse)
