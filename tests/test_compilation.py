import pytest
import torch

from runge import compilation, losses, machine
from runge.compilation import compiled, pays
from runge.errors import RunError
from runge.network import StackedMLP
from runge.points import Points


def stack(members, activation="tanh", derivative="forward"):
    network = StackedMLP(
        activation=activation,
        depth=2,
        width=8,
        init="default",
        derivative=derivative,
        domains=torch.tensor([[-1.0, 1.0]]).expand(members, 1, 2),
        generators=[torch.Generator().manual_seed(i) for i in range(members)],
        dtype=torch.float64,
    )
    x = torch.linspace(-1, 1, 20, dtype=torch.float64).expand(members, 20)[..., None]
    weight = torch.full((members, 20), 0.05, dtype=torch.float64)
    points = Points(x, x[..., 0].sin(), x.cos(), weight, weight, torch.ones(members, 1, 20, dtype=torch.float64), ())
    return network, points


@pytest.mark.skipif(not machine.has_compiler(), reason="there is no C++ compiler")
def test_compiled_equals_eager_in_stacks_of_any_size():
    for members in (1, 3):
        network, points = stack(members)
        function = compiled("on", derivative="forward", neurons=1, steps=1, with_derivative=True)
        assert function is not losses.loss_and_gradient
        scale, weight = torch.ones(members, dtype=torch.float64), torch.full((members,), 0.1, dtype=torch.float64)
        for lambda_d in (weight, None):
            loss, gradient = function(network, points, scale, lambda_d)
            expected = losses.loss_and_gradient(network, points, scale, lambda_d)
            torch.testing.assert_close(loss, expected[0], rtol=1e-12, atol=0)
            torch.testing.assert_close(gradient, expected[1], rtol=1e-10, atol=1e-14)


def test_compiling_pays_for_much_work():
    assert not pays(neurons=2**15, steps=8000)
    assert pays(neurons=2**21, steps=2000)


@pytest.mark.parametrize(("how", "steps"), [("off", 10**9), ("auto", 10)])
def test_not_compiled(how, steps):
    made = compiled(how, derivative="forward", neurons=100, steps=steps, with_derivative=True)
    assert made is losses.loss_and_gradient


def test_without_a_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    made = compiled("auto", derivative="forward", neurons=2**21, steps=10**6, with_derivative=True)
    assert made is losses.loss_and_gradient
    with pytest.raises(ValueError, match="no C\\+\\+ compiler"):
        compiled("on", derivative="forward", neurons=1, steps=1, with_derivative=True)


def test_autograd_is_not_compiled():
    made = compiled("auto", derivative="autograd", neurons=2**21, steps=10**6, with_derivative=True)
    assert made is losses.loss_and_gradient
    with pytest.raises(ValueError, match="autograd"):
        compiled("on", derivative="autograd", neurons=1, steps=1, with_derivative=True)


def test_a_compiler_that_fails_is_done_without(monkeypatch, caplog):
    from torch._dynamo.exc import BackendCompilerFailed

    def fail(*_):
        raise BackendCompilerFailed(compilation.losses.loss_and_gradient, RuntimeError("broken"), None)

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fail)
    monkeypatch.setattr(compilation, "has_compiler", lambda: True)
    network, points = stack(2)
    arguments = network, points, torch.ones(2), torch.full((2,), 0.1)
    auto = compiled("auto", derivative="forward", neurons=2**21, steps=10**6, with_derivative=True)
    assert torch.equal(auto(*arguments)[1], losses.loss_and_gradient(*arguments)[1])
    assert "not compiled" in caplog.text
    with pytest.raises(RunError, match=r"trainer\.compile: the compiler fails"):
        compiled("on", derivative="forward", neurons=1, steps=1, with_derivative=True)(*arguments)
