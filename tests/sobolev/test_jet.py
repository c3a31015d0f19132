"""Second derivatives against two passes of autograd, in float64."""

import itertools

import numpy as np
import pandas
import pytest
import torch

from runge.function.function import Function
from runge.sobolev.activations import ACTIVATIONS
from runge.sobolev.units import Units
from tests.conftest import generator
from tests.sobolev.test_network import stack

ALL = list(itertools.product(ACTIVATIONS, (1, 2, 3, 4), range(1, 7), (1, 2, 3)))
DOUBLE = torch.float64


def reference(u, x):
    """Return u'' of the sum over points, which do not depend on each other, (N, P, D, D)."""
    x = x.reshape(-1, len(u.inputs)).clone().requires_grad_()
    values = u(x[:, 0] if len(u.inputs) == 1 else x).reshape(len(x), -1)
    rows = []
    for value in values.sum(0):
        (slope,) = torch.autograd.grad(value, x, create_graph=True)
        each = [torch.autograd.grad(one + 0 * x.sum(), x, retain_graph=True)[0] for one in slope.sum(0)]
        rows.append(torch.stack(each, dim=1))
    return torch.stack(rows, dim=1)


def made(activation="tanh", depth=2, dimension=2, outputs=1, members=1, **changes):
    network = stack(members, activation=activation, depth=depth, dimension=dimension, outputs=outputs, width=6)
    sizes = torch.arange(1, 1 + dimension, dtype=DOUBLE), torch.arange(1, 1 + outputs, dtype=DOUBLE)
    network.units = Units(*(part.expand(members, -1) for part in (sizes[0] / 7, sizes[0] / 3, 2 - sizes[1], sizes[1])))
    return Function(network, outputs=list("abc")[:outputs], **changes)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_hessian_is_that_of_autograd(activation, request):
    every = [network for network in ALL if network[0] == activation]
    for network in every if request.config.getoption("--exports") == "all" else every[:: len(every) // 12 + 1]:
        u = made(*network)
        dimension, outputs = network[2:]
        x, v = torch.rand(2, 5, dimension, dtype=DOUBLE, generator=generator())
        x = 2 * x - 1
        points = x[:, 0] if dimension == 1 else x
        exact = reference(u, x)
        parts = u.requires_grad_(False).value_derivative_hessian(points)
        torch.testing.assert_close(parts[:2], u.value_and_derivative(points), rtol=1e-13, atol=1e-14)
        single = (*[outputs] * (outputs > 1), *[dimension] * (2 if dimension > 1 else 0))
        assert parts[2].shape == (5, *single)
        size = exact.abs().max().clamp_min(1e-300)
        assert ((parts[2].reshape(exact.shape) - exact).abs().max() / size) < 1e-12
        assert (activation == "relu") == (exact.abs().max() == 0)
        product = u.hvp(points, v[:, 0] if dimension == 1 else v)
        assert product.shape == parts[1].shape
        expected = torch.einsum("npij,nj->npi", exact, v)
        assert ((product.reshape(expected.shape) - expected).abs().max() / size) < 1e-12


def test_the_hessian_of_several_members_is_their_mean():
    u = made("silu", members=3, outputs=2).requires_grad_(False)
    x = torch.rand(4, 7, 2, dtype=DOUBLE, generator=generator())
    whole = u.hessian(x)
    assert whole.shape == (4, 7, 2, 2, 2)
    torch.testing.assert_close(whole.reshape(28, 2, 2, 2), reference(u, x), rtol=1e-11, atol=1e-13)
    v = np.array([1.0, 2.0])
    product = u.hvp(pandas.DataFrame(x[0].numpy(), columns=["x1", "x2"]), v)  # one direction for all points
    np.testing.assert_allclose(product.to_numpy().reshape(7, 2, 2), whole[0].numpy() @ v, rtol=1e-12)
    x, whole = x.repeat(50, 1, 1), whole.repeat(50, 1, 1, 1, 1)  # more than are evaluated at a time
    torch.testing.assert_close(u.hessian(x), whole, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(u.hvp(x, x), torch.einsum("abpij,abj->abpi", whole, x), rtol=1e-12, atol=1e-13)
    with pytest.raises(ValueError, match=r"v: must have the shape of x, \(4, 2\), or .*; got \(3, 2\)"):
        made().hvp(torch.zeros(4, 2), torch.zeros(3, 2))


def test_the_hessian_can_be_differentiated():
    u = made("tanh", dimension=1).requires_grad_(False)
    x = torch.linspace(-1, 1, 5, dtype=DOUBLE, requires_grad=True)
    (third,) = torch.autograd.grad(u.hessian(x).sum(), x)
    step = 1e-5
    difference = (u.hessian(x.detach() + step) - u.hessian(x.detach() - step)) / (2 * step)
    torch.testing.assert_close(third, difference, rtol=1e-6, atol=1e-7)


def test_the_derivatives_are_by_the_inputs_whose_logarithms_the_networks_see():
    """Each of the networks sees those of other inputs; without a logarithm all is NaN."""
    u = made("silu", dimension=3, outputs=2, members=2)
    units = u.networks[0].units
    u.networks[0].units = Units(*units.buffers(), logs=torch.tensor([[True, False, True], [True, False, False]]))
    x, v = torch.rand(2, 5, 3, dtype=DOUBLE, generator=generator())
    x = 3 * x + torch.tensor([0.1, -2, 0.1])
    exact = reference(u, x)
    _, slopes, curvatures = u.requires_grad_(False).value_derivative_hessian(x)
    at = x.clone().requires_grad_()
    expected = torch.stack([torch.autograd.grad(y, at, retain_graph=True)[0] for y in u(at).sum(0)], dim=1)
    torch.testing.assert_close(slopes, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(curvatures, exact, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(u.hvp(x, v), torch.einsum("npij,nj->npi", exact, v), rtol=1e-11, atol=1e-11)
    for value in (0.0, -1.0):
        x[0, 0] = value
        parts = u.value_derivative_hessian(x)
        assert all(part[0].isnan().all() and part[1:].isfinite().all() for part in parts)
