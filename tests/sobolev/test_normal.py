"""The normal matrix against the Jacobian."""

import pytest
import torch

from runge.sobolev.jacobian import jacobian
from runge.sobolev.normal import normal_matrix
from tests.sobolev.test_network import points, stack


@pytest.mark.parametrize("with_derivative", [True, False])
@pytest.mark.parametrize(("depth", "dimension", "outputs"), [(1, 5, 1), (2, 1, 3), (3, 4, 2), (3, 6, 1)])
@torch.no_grad()
def test_normal_matrix_is_that_of_the_jacobian(depth, dimension, outputs, with_derivative, monkeypatch):
    monkeypatch.setattr("runge.sobolev.normal._POINTS_AT_ONCE", 7)
    network = stack(activation="tanh", depth=depth, dimension=dimension, outputs=outputs, width=6)
    x = points(network, n=20)
    rows = jacobian(network, network.propagate(x, with_derivative=with_derivative)[-1])
    weights = torch.rand(rows.shape[:2], generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    weights[:, ::3] = 0
    expected = (rows.mT @ (weights[..., None] * rows)).tril()
    for dtype, digits in ((torch.float64, 1e-14), (torch.float32, 1e-6)):
        matrix = normal_matrix(network, x, weights, dtype).tril()
        assert (matrix - expected).abs().max() < digits * expected.abs().max()


@torch.no_grad()
def test_equal_weights_do_not_add_up_their_round_off():
    """Sum 1/N for the last bias, which in 32 bits has an error of 3e-5 for 3000 points."""
    network = stack(dimension=4, width=3)
    x = points(network, n=3000)
    weights = torch.full((len(x), 5 * 3000), 1 / 3000, dtype=x.dtype)
    assert torch.allclose(normal_matrix(network, x, weights, torch.float32)[:, -1, -1], weights.sum(1) / 5, rtol=1e-12)
