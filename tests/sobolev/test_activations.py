import pytest
import torch

from runge.sobolev.activations import ACTIVATIONS


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


def test_relu_has_slope_zero_at_its_kink_as_in_torch():
    z = torch.zeros(1)
    assert ACTIVATIONS["relu"].first(z, z).item() == 0
