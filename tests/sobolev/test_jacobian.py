"""The closed forms against `torch.func.jacrev`."""

import itertools

import pytest
import torch

from runge.sobolev.activations import ACTIVATIONS
from runge.sobolev.jacobian import gram, gram_columns, gram_diagonal, jacobian, linearise, product
from runge.sobolev.network import StackedMLP
from tests.conftest import model


def stack(activation, depth, dimension, members=2, width=6, outputs=1):
    return StackedMLP(
        model(activation=activation, depth=depth, width=width),
        domains=torch.tensor([[-1.0, 1.0], [0.0, 3.0], [-2.0, 1.0]], dtype=torch.float64)[:dimension].expand(
            members, dimension, 2
        ),
        generators=[torch.Generator().manual_seed(i) for i in range(members)],
        dtype=torch.float64,
        outputs=outputs,
    ).requires_grad_(False)


def points(network, n=5):
    generator = torch.Generator().manual_seed(7)
    return torch.rand(len(network.theta), n, network.dimension, dtype=torch.float64, generator=generator)


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
def test_jacobian_and_gram_matrix(activation, depth, dimension, outputs):
    network = stack(activation, depth, dimension, outputs=outputs)
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


@pytest.mark.parametrize(("dimension", "outputs"), [(1, 1), (2, 1), (3, 2)])
@pytest.mark.parametrize("with_derivative", [False, True])
@pytest.mark.parametrize("numbers", [1, 2**17])
def test_products_with_the_jacobian(dimension, outputs, with_derivative, numbers, monkeypatch):
    monkeypatch.setattr("runge.sobolev.jacobian._CACHED", numbers)
    network = stack("tanh", 3, dimension, outputs=outputs)
    tape = network.propagate(points(network, n=7), with_derivative=with_derivative)[2]
    layers, rows = linearise(network, tape), jacobian(network, tape)
    change = torch.randn(network.theta.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = (rows @ change[..., None])[..., 0]
    torch.testing.assert_close(product(layers, 7, change), expected, rtol=1e-12, atol=1e-12)
    few = torch.tensor([4, 0, 5])
    chosen = (7 * torch.arange(rows.shape[1] // 7)[:, None] + few).flatten()
    expected = rows @ rows[:, chosen].mT
    torch.testing.assert_close(gram_columns(layers, 7, few), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("dimension", "outputs"), [(1, 1), (2, 1), (2, 3)])
@pytest.mark.parametrize("with_derivative", [False, True])
def test_diagonal_of_the_gram_matrix(dimension, outputs, with_derivative):
    network = stack("tanh", 2, dimension, outputs=outputs)
    tape = network.propagate(points(network), with_derivative=with_derivative)[2]
    expected = jacobian(network, tape).square().sum(2)
    torch.testing.assert_close(gram_diagonal(network, tape), expected, rtol=1e-12, atol=0)
