"""The closed forms against `torch.func.jacrev`."""

import itertools

import pytest
import torch

from runge.sobolev.activations import ACTIVATIONS
from runge.sobolev.jacobian import gram, gram_columns, jacobian, linearise, product
from tests.sobolev.test_network import points, stack


def reference(network, x, *, with_derivative):
    """Return the Jacobian of u and u' by reverse mode, row by row."""

    def outputs(theta):
        def u(x, p):
            return torch.func.functional_call(network, {"theta": theta}, (x,))[..., p]

        rows = []
        for p in range(network.outputs):
            rows.append(u(x, p))
            if with_derivative:
                rows += torch.func.grad(lambda x, p=p: u(x, p).sum())(x).unbind(2)
        return torch.cat(rows, dim=1)

    full = torch.func.jacrev(outputs)(network.theta.detach())
    return torch.stack([full[i, :, i] for i in range(len(network.theta))])


CASES = [*itertools.product(ACTIVATIONS, (1, 2, 3, 4), (1, 2, 3), (1,))]
CASES += [*itertools.product(("tanh", "sin"), (1, 2, 3), (1, 3), (2, 3))]


@pytest.mark.parametrize(("activation", "depth", "dimension", "outputs"), CASES)
@torch.no_grad()
def test_jacobian_and_gram_matrix(activation, depth, dimension, outputs):
    network = stack(activation=activation, depth=depth, dimension=dimension, outputs=outputs, width=6)
    x = points(network, n=5)
    for with_derivative in (True, False):
        tape = network.propagate(x, with_derivative=with_derivative)[2]
        expected = reference(network, x, with_derivative=with_derivative)
        actual, square = jacobian(network, tape), expected @ expected.mT
        assert (actual - expected).abs().max() <= 1e-12 * expected.abs().max()
        assert (gram(network, tape)[0] - square).abs().max() <= 1e-12 * square.abs().max()


@pytest.mark.parametrize(
    ("members", "dimension", "outputs", "n"), [(2, 1, 1, 7), (2, 2, 1, 7), (2, 3, 2, 7), (5, 1, 1, 20)]
)
@pytest.mark.parametrize("with_derivative", [False, True])
@pytest.mark.parametrize("numbers", [1, 2**12])
@torch.no_grad()
def test_products_with_the_jacobian(members, dimension, outputs, n, with_derivative, numbers, monkeypatch):
    """Multiply one member and point at a time, or several: two of five members, or all."""
    monkeypatch.setattr("runge.sobolev.jacobian._CACHED", numbers)
    network, few = stack(members, depth=3, dimension=dimension, outputs=outputs, width=6), torch.tensor([4, 0, 5])
    tape = network.propagate(points(network, n), with_derivative=with_derivative)[2]
    layers, rows = linearise(network, tape), jacobian(network, tape)
    change = torch.randn(network.theta.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    chosen = (n * torch.arange(rows.shape[1] // n)[:, None] + few).flatten()
    for actual, expected in (
        (product(layers, n, change), (rows @ change[..., None])[..., 0]),
        (gram_columns(layers, n, few), rows @ rows[:, chosen].mT),
    ):
        torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-12)
    monkeypatch.setattr("runge.sobolev.jacobian._ROWS", numbers)  # with 1, each point is a block
    matrix, order = gram(network, tape)
    assert sorted(order.tolist()) == [*range(rows.shape[1])]
    torch.testing.assert_close(matrix.tril(), (rows @ rows.mT)[:, order][:, :, order].tril(), rtol=1e-11, atol=1e-12)
