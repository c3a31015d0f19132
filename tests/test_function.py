import pytest
import torch

import runge
from runge.function import Function
from tests.sobolev.test_stages import sum_of_networks


@pytest.mark.parametrize("shape", [(), (5,), (5, 1), (2, 3)])
def test_one_dimension_takes_any_shape(shape):
    u = Function(sum_of_networks(members=1), {})
    x = torch.rand(shape, dtype=torch.float64)
    assert u(x).shape == u.derivative(x).shape == shape
    assert isinstance(u, torch.nn.Module)


def test_numbers_and_precision():
    u = Function(sum_of_networks(members=1), {})
    assert u(0.5).shape == ()
    assert u(torch.tensor(0.5)).dtype == torch.float64


def test_two_dimensions():
    u = Function(sum_of_networks(members=1, dimension=2), {})
    x = torch.rand(4, 3, 2, dtype=torch.float64)
    assert u(x).shape == (4, 3)
    assert u.derivative(x).shape == (4, 3, 2)
    for wrong in (torch.rand(4), torch.tensor(1.0), torch.rand(4, 3)):
        with pytest.raises(ValueError, match="shape"):
            u(wrong)


@pytest.mark.parametrize("how", ["forward", "autograd"])
def test_both_can_be_differentiated_further(how):
    u = Function(sum_of_networks(members=1, derivative=how), {})
    x = torch.linspace(-1, 1, 7, dtype=torch.float64, requires_grad=True)
    (du,) = torch.autograd.grad(u(x).sum(), x)
    torch.testing.assert_close(u.derivative(x), du, rtol=1e-12, atol=1e-14)
    (second,) = torch.autograd.grad(u.derivative(x).sum(), x)
    step = 1e-5
    with torch.no_grad():
        difference = (u.derivative(x + step) - u.derivative(x - step)) / (2 * step)
    torch.testing.assert_close(second, difference, rtol=1e-6, atol=1e-8)


def test_missing_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        runge.load(tmp_path)
    with pytest.raises(AttributeError, match="nothing"):
        _ = runge.nothing
