import pytest
import torch

from runge.function.function import Function
from runge.sobolev.activations import ACTIVATIONS, Activation, activation
from runge.sobolev.kernel import Kernel
from tests.conftest import model
from tests.sobolev.test_kernel import suited
from tests.sobolev.test_network import stack


def gradient(y, z):
    return torch.autograd.grad(y.sum(), z, create_graph=True, allow_unused=True)[0]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivatives_are_those_of_autograd(name):
    activation = ACTIVATIONS[name]
    # Include large |z|, where a formula may cancel, but not the kink of relu.
    z = torch.cat([torch.linspace(-30, 30, 1001), torch.tensor([-1e-9, 1e-9])]).double()
    z = (z[z != 0]).requires_grad_()
    s = activation.value(z)
    s1 = gradient(s, z)
    torch.testing.assert_close(activation.first(z, s), s1, rtol=1e-13, atol=1e-13)
    s2 = gradient(s1, z) if s1.requires_grad else torch.zeros_like(z)
    torch.testing.assert_close(activation.second(z, s, s1), s2, rtol=1e-12, atol=1e-12)


def slopes_in_the_kernel(network, x):
    return Kernel("relu", torch.float64).predict(network, x[None, :, None])[1].flatten()


@pytest.mark.parametrize("how", ["forward", "autograd", pytest.param("kernel", marks=suited)])
def test_relu_has_slope_zero_at_its_kink(how):
    """Evaluate points at each of which z of a neuron is exactly 0."""
    derivative = how.replace("kernel", "forward")
    network = stack(1, activation="relu", init="knots", depth=1, width=5, derivative=derivative)
    u, x = Function(network, {}), torch.linspace(-1, 1, 5, dtype=torch.float64)
    (first, _), (second, _) = network.layers()
    slopes = torch.where(first[0] * (x[:, None] - x) > 0, first[0], 0) @ second[0, :, 0]
    points = x.clone().requires_grad_()
    of_autograd = torch.autograd.grad(u(points).sum(), points)[0]
    for found in (slopes_in_the_kernel(network, x) if how == "kernel" else u.derivative(x), of_autograd):
        torch.testing.assert_close(found, slopes, rtol=1e-15, atol=1e-15)


GAUSSIAN = Activation(lambda z: torch.exp(-z * z), lambda z, s: -2 * z * s, lambda z, s, s1: -2 * (s + z * s1))
WRONG = Activation(lambda z: z**3, lambda z, s: 3 * z * z, lambda z, s, s1: 3 * z)
HERE = "tests.sobolev.test_activations"


class Wave(Activation):
    def __init__(self, frequency=3.0):
        super().__init__(
            lambda z: torch.sin(frequency * z),
            lambda z, s: frequency * torch.cos(frequency * z),
            lambda z, s, s1: -(frequency**2) * s,
        )


def test_an_activation_of_ones_own():
    assert activation(f"{HERE}.GAUSSIAN") is GAUSSIAN
    assert isinstance(activation(f"{HERE}.Wave"), Wave)
    assert model(activation=f"{HERE}.GAUSSIAN").activation == f"{HERE}.GAUSSIAN"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere.GAUSSIAN", "one of tanh.*dotted path of an Activation .*nowhere"),
        (f"{HERE}.HERE", "dotted path of an Activation"),
        ("os.system", "dotted path of an Activation"),
        (f"{HERE}:GAUSSIAN", "dotted path of an Activation"),
        (f"{HERE}.WRONG", "autograd does not agree with second"),
    ],
)
def test_what_is_no_activation_is_refused(path, reason):
    with pytest.raises(ValueError, match=reason):
        activation(path)
