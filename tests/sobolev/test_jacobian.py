"""The closed forms of the Jacobian, its Gram matrix and its normal matrix against `torch.func.jacrev`."""

import itertools

import pytest
import torch

from runge.sobolev.activations import ACTIVATIONS
from runge.sobolev.jacobian import gram, gram_columns, jacobian, linearise, product
from runge.sobolev.normal import normal_matrix
from tests.conftest import generator
from tests.sobolev.test_network import points, stack


def reference(network, x, *, with_derivative):
    """Return the Jacobian of u and u' by reverse mode, row by row."""

    def u(theta, x, p):
        return torch.func.functional_call(network, {"theta": theta}, (x,))[..., p]

    def outputs(theta):
        rows = []
        for p in range(network.outputs):
            rows.append(u(theta, x, p))
            if with_derivative:
                rows += torch.func.grad(lambda x, p=p: u(theta, x, p).sum())(x).unbind(2)
        return torch.cat(rows, dim=1)

    full = torch.func.jacrev(outputs)(network.theta.detach())
    return torch.stack([full[i, :, i] for i in range(len(network.theta))])


CASES = [("tanh", *sizes) for sizes in (*itertools.product((1, 2, 3, 4), (1, 2, 3), (1,)), (1, 5, 1), (3, 6, 1))]
CASES += [("sin", *sizes) for sizes in itertools.product((1, 2, 3), (1, 3), (2, 3))]
CASES += [(name, *sizes) for name in ACTIVATIONS for sizes in ((1, 2, 1), (4, 3, 2)) if name != "tanh"]


@pytest.mark.parametrize(("activation", "depth", "dimension", "outputs"), CASES)
@torch.no_grad()
def test_the_matrices_are_those_of_autograd(activation, depth, dimension, outputs):
    network = stack(activation=activation, depth=depth, dimension=dimension, outputs=outputs, width=6)
    x = points(network, n=5)
    for with_derivative in (True, False):
        tape = network.propagate(x, with_derivative=with_derivative)[2]
        rows = reference(network, x, with_derivative=with_derivative)
        weights = torch.rand(rows.shape[:2], generator=generator(), dtype=x.dtype)
        weights[:, ::3] = 0
        square, normal = rows @ rows.mT, (rows.mT @ (weights[..., None] * rows)).tril()
        for actual, expected, digits in (
            (jacobian(network, tape), rows, 1e-12),
            (gram(network, tape)[0], square, 1e-12),
            (normal_matrix(network, x, weights, torch.float64).tril(), normal, 1e-14),
            (normal_matrix(network, x, weights, torch.float32).tril(), normal, 1e-6),
        ):
            assert (actual - expected).abs().max() <= digits * expected.abs().max()


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "digits"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_the_normal_matrix_of_many_points_is_a_sum_over_blocks(dtype, digits):
    network = stack(dimension=2, outputs=2, width=4)
    x = points(network, n=600)
    rows = jacobian(network, network.propagate(x, with_derivative=True)[2])
    weights = torch.rand(rows.shape[:2], generator=generator(), dtype=x.dtype)
    expected = (rows.mT @ (weights[..., None] * rows)).tril()
    assert (normal_matrix(network, x, weights, dtype).tril() - expected).abs().max() <= digits * expected.abs().max()


@torch.no_grad()
def test_equal_weights_do_not_add_up_their_round_off():
    """Sum 1/N for the last bias, which in 32 bits has an error of 3e-5 for 3000 points."""
    network = stack(dimension=4, width=3)
    x = points(network, n=3000)
    weights = torch.full((len(x), 5 * 3000), 1 / 3000, dtype=x.dtype)
    assert torch.allclose(normal_matrix(network, x, weights, torch.float32)[:, -1, -1], weights.sum(1) / 5, rtol=1e-12)


@pytest.mark.parametrize(
    ("members", "dimension", "outputs", "n"), [(2, 1, 1, 7), (2, 2, 1, 7), (2, 3, 2, 7), (5, 1, 1, 100), (2, 3, 2, 100)]
)
@pytest.mark.parametrize("with_derivative", [False, True])
@torch.no_grad()
def test_products_with_the_jacobian(members, dimension, outputs, n, with_derivative):
    """Multiply all members and points at once; or three of five members, or one of two in blocks of 40 points."""
    network, few = stack(members, depth=3, dimension=dimension, outputs=outputs, width=6), torch.arange(0, n, 2).flip(0)
    tape = network.propagate(points(network, n), with_derivative=with_derivative)[2]
    layers, rows = linearise(network, tape), jacobian(network, tape)
    change = torch.randn(network.theta.shape, dtype=torch.float64, generator=generator())
    chosen = (n * torch.arange(rows.shape[1] // n)[:, None] + few).flatten()
    for actual, expected in (
        (product(layers, n, change), (rows @ change[..., None])[..., 0]),
        (gram_columns(layers, n, few), rows @ rows[:, chosen].mT),
    ):
        torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-12)
    matrix, order = gram(network, tape)
    assert sorted(order.tolist()) == [*range(rows.shape[1])]
    torch.testing.assert_close(matrix.tril(), (rows @ rows.mT)[:, order][:, :, order].tril(), rtol=1e-11, atol=1e-12)
