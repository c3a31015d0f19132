"""The closed forms against `torch.func.jacrev`."""

import itertools

import pytest
import torch

from runge.sobolev.activations import ACTIVATIONS
from runge.sobolev.jacobian import gram, gram_diagonal, jacobian
from runge.sobolev.network import StackedMLP
from tests.conftest import model


def stack(activation, depth, dimension, members=2, width=6):
    return StackedMLP(
        model(activation=activation, depth=depth, width=width),
        domains=torch.tensor([[-1.0, 1.0], [0.0, 3.0], [-2.0, 1.0]], dtype=torch.float64)[:dimension].expand(
            members, dimension, 2
        ),
        generators=[torch.Generator().manual_seed(i) for i in range(members)],
        dtype=torch.float64,
    ).requires_grad_(False)


def points(network, n=5):
    generator = torch.Generator().manual_seed(7)
    return torch.rand(len(network.theta), n, network.dimension, dtype=torch.float64, generator=generator)


def reference(network, x, *, with_derivative):
    """Return the Jacobian of u and u' by reverse mode, row by row."""

    def outputs(theta):
        def u(x):
            return torch.func.functional_call(network, {"theta": theta}, (x,))

        if not with_derivative:
            return u(x)
        du = torch.func.grad(lambda x: u(x).sum())(x)
        return torch.cat([u(x), du.mT.flatten(1)], dim=1)

    full = torch.func.jacrev(outputs)(network.theta.detach())
    return torch.stack([full[i, :, i] for i in range(len(network.theta))])


CASES = list(itertools.product(ACTIVATIONS, (1, 2, 3, 4), (1, 2, 3)))


@pytest.mark.parametrize(("activation", "depth", "dimension"), CASES)
def test_jacobian_and_gram_matrix(activation, depth, dimension):
    network = stack(activation, depth, dimension)
    x = points(network)
    for with_derivative in (True, False):
        tape = network.propagate(x, with_derivative=with_derivative)[2]
        expected = reference(network, x, with_derivative=with_derivative)
        actual = jacobian(network, tape)
        assert (actual - expected).abs().max() <= 1e-12 * expected.abs().max()
        product = (expected @ expected.mT).tril()
        assert (gram(network, tape).tril() - product).abs().max() <= 1e-12 * product.abs().max()


def test_gram_matrix_of_a_large_stack():
    """The members are multiplied out a few at a time."""
    network = stack("tanh", 2, 1, members=5)
    x = points(network, n=120)
    tape = network.propagate(x, with_derivative=True)[2]
    rows = jacobian(network, tape)
    torch.testing.assert_close(gram(network, tape).tril(), (rows @ rows.mT).tril(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("with_derivative", [False, True])
def test_diagonal_of_the_gram_matrix(dimension, with_derivative):
    network = stack("tanh", 2, dimension)
    tape = network.propagate(points(network), with_derivative=with_derivative)[2]
    expected = jacobian(network, tape).square().sum(2)
    torch.testing.assert_close(gram_diagonal(network, tape), expected, rtol=1e-12, atol=0)
