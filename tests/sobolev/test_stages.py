"""A sum of networks against its parts, and the residual that a later stage fits."""

import pytest
import torch

from runge.sobolev.points import Points
from runge.sobolev.stages import ResidualStages
from tests.conftest import model

AMPLITUDES = torch.tensor([1.0, 0.1, 0.003], dtype=torch.float64)


def sum_of_networks(members=2, dimension=1, stages=3, width=40, outputs=1, units=None, dtype=torch.float64, **changes):
    network = ResidualStages(
        model(width=width, stages=stages, **changes),
        domains=torch.tensor([[-1.0, 1.0], [0.0, 3.0]] * 3, dtype=torch.float64)[:dimension].expand(members, -1, 2),
        generators=[torch.Generator().manual_seed(i) for i in range(members)],
        dtype=dtype,
        outputs=outputs,
        units=units,
    )
    network.amplitude.copy_(AMPLITUDES[:stages].expand(members, stages))
    return network


def points(network, n=21):
    x = torch.linspace(-1, 1, n, dtype=torch.float64).expand(len(network.amplitude), n)[..., None]
    weight = torch.full((len(x), n, 1), 1 / n, dtype=torch.float64)
    masks = torch.ones(len(x), 1, n, dtype=torch.float64)
    return Points(x, (40 * x).sin(), 40 * (40 * x).cos()[..., None], weight, weight[..., None], masks)


@pytest.mark.parametrize("dimension", [1, 2])
def test_sum(dimension):
    """A stage of amplitude 0 does not count, not even if it is NaN, because a later stage may diverge."""
    network = sum_of_networks(dimension=dimension)
    x = torch.rand(2, 5, dimension, dtype=torch.float64)
    parts = [network.stage(k).value_and_derivative(x) for k in range(3)]
    for actual, part in zip(network.value_and_derivative(x), zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(actual, sum(a * one for a, one in zip(AMPLITUDES, part, strict=True)))
    assert torch.equal(network(x), network.value_and_derivative(x)[0])
    network.amplitude[0, 1:] = 0
    with torch.no_grad():
        network.stage(1).theta[0] = torch.nan
    assert torch.equal(network(x)[0], parts[0][0][0])
    assert (network.parameters_in_use() / network.stage(0).theta.shape[1]).tolist() == [1, 3]


def test_a_stage_fits_the_residual_at_size_one():
    network = sum_of_networks(members=2)
    network.amplitude[:, 1:] = 0
    data, scale, lambda_d = points(network), torch.tensor([1.0, 2.0]).double(), torch.tensor([0.1, 0.5]).double()
    network.begin_stage(1, data, scale, lambda_d)
    residual = network.residual(1, data)
    mse_f, mse_df = residual.f.square().mean((1, 2)), residual.df.square().mean((1, 2, 3)) / scale**2
    torch.testing.assert_close(mse_f + lambda_d * mse_df, torch.ones(2, dtype=torch.float64))
    u, du = network.stage(0).value_and_derivative(data.x)
    torch.testing.assert_close(u + network.amplitude[:, 1, None, None] * residual.f, data.f)
    torch.testing.assert_close(du + network.amplitude[:, 1, None, None, None] * residual.df, data.df)


def test_slopes_follow_the_frequency_within_bounds():
    raised = []
    for frequency in (1.0, 45.0, 1000.0):
        network, before = sum_of_networks(members=1), sum_of_networks(members=1)
        network.amplitude[:, 1:] = 0
        data = points(network)
        with torch.no_grad():
            network.stage(0).theta.zero_()
        data.f.copy_(torch.ones_like(data.f))
        data.df.copy_(frequency * torch.ones_like(data.df))
        network.begin_stage(1, data, torch.ones(1), torch.ones(1))
        raised.append((network.stage(1).layers()[0][0] / before.stage(1).layers()[0][0]).mean().item())
    assert raised == pytest.approx([4.0, 45 / 8, 8.0])


def test_after_a_stage_that_did_not_help_there_is_none():
    network = sum_of_networks()
    network.amplitude[0, 1] = 0
    network.begin_stage(2, points(network), torch.ones(2), torch.ones(2))
    assert network.amplitude[0, 2] == 0
    assert network.amplitude[1, 2] > 0
