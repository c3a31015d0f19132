"""CasADi's derivatives of an exported function are the function's, and finite to the fourth order."""

import copy
import itertools
import runpy
import subprocess
import sys

import casadi
import numpy as np
import pytest
import torch

from runge.exports import export
from runge.function.function import Function
from runge.records.checkpoints import join
from runge.sobolev.activations import ACTIVATIONS, Activation
from tests.exports.test_formats import function, points

ALL = list(itertools.product((1, 2, 3, 4), (1, 2, 3, 4, 5, 6), (1, 2, 3)))
FEW = [(1, 1, 1), (3, 2, 3)]


def assert_same(results, u: Function, x: np.ndarray) -> None:
    """Compare u, du and d2u at N points, one beside the other, with those of u, relative to sizes above 1."""
    exact = *u.value_and_derivative(x), u.hessian(x)
    p, d, n = len(u.outputs), len(u.inputs), len(x)
    for result, expected, shape in zip(results, exact, ((p, n), (p, n, d), (p, d, n, d)), strict=True):
        found, size = np.moveaxis(result.full().reshape(shape), -1 - (len(shape) > 2), 0), np.abs(expected).max()
        np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=0, atol=1e-12 * max(1, size))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_value_jacobian_and_hessian(activation, tmp_path, request):
    for depth, dimension, outputs in ALL if request.config.getoption("--exports") == "all" else FEW:
        u = function(activation, depth, dimension, outputs, units=depth > 1)
        module = runpy.run_path(str(export(u, "casadi", tmp_path / "u.py")))
        loaded, x = casadi.Function.load(str(tmp_path / "u.casadi")), points(u).numpy()
        whole = module["function"](hessian=True)
        assert_same(whole(x.T), u, x)
        assert all(whole.sparsity_out(i).is_dense() for i in range(3)), "in C its arrays would have other sizes"
        assert loaded.name_out() == ["u", "du"]
        assert all(casadi.is_equal(*pair) for pair in zip(loaded(x.T), module["function"]()(x.T), strict=True))
        assert loaded(x[0])[1].shape == (outputs, dimension)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_derivatives_to_the_fourth_order(activation, tmp_path):
    """Of an activation, also where exp(z) overflows: those of its closed second derivative in torch."""
    module = runpy.run_path(str(export(function(activation), "casadi", tmp_path / "u")))
    z, s = torch.tensor([-800.0, -41, -1.5, 0, 0.7, 38, 40, 41, 800]).double().requires_grad_(), casadi.SX.sym("z")
    of, order = ACTIVATIONS[activation], [module[activation](s)]
    value = of.value(z)
    expected = [value, slope := of.first(z, value), of.second(z, value, slope)]
    for _ in range(2):
        part = torch.autograd.grad((expected[-1] + 0 * z).sum(), z, create_graph=True)[0]
        expected.append(part)
    for _ in range(4):
        order.append(casadi.jacobian(order[-1], s))
    found = casadi.Function("s", [s], order)(z.detach().numpy()[None])
    for part, exact in zip(found, expected, strict=True):
        np.testing.assert_allclose(part.full()[0], exact.detach(), rtol=1e-12, atol=1e-14)


def test_a_mean_of_several_architectures(tmp_path):
    """The first two networks share a stack."""
    shapes = ("gelu", 2, 2, 3), ("gelu", 2, 2, 3), ("softplus", 1, 2, 3), ("gelu", 3, 2, 3)
    first, second, *networks = (function(*shape, units=shape[1] > 1).networks[0] for shape in shapes)
    second.theta.data += 0.1
    state, stack = join([first.state_dict(), second.state_dict()]), copy.deepcopy(first)
    for name, part in [*stack.named_parameters(), *stack.named_buffers()]:
        part.data = state[name]
    networks = [stack, *networks]
    u = Function(networks, outputs=["a", "b", "c"])
    x = points(u).numpy()
    module = runpy.run_path(str(export(u, "casadi", tmp_path / "u")))
    assert_same(module["function"](hessian=True)(x.T), u, x)
    assert export(u, "casadi", tmp_path / "u", hessian=True)
    assert casadi.Function.load(str(tmp_path / "u.casadi")).size_out(2) == (6, 2)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_is_not_known_stays_unknown(activation, tmp_path):
    path = export(function(activation, dimension=2), "casadi", tmp_path / "u")
    u = runpy.run_path(str(path))["function"]()
    assert np.isnan(u([0.1, np.nan])[0].full()).all()


CODE = """
import sys, casadi, numpy, u
x = casadi.SX.sym('x', 2)
f, at = casadi.Function('f', [x], [u.value(x)]), numpy.array([0.1, 0.2])
assert max(abs(float(one(at)) - u.function().call([at])[0]) for one in (f, u.value)) < 1e-14
assert not {'torch', 'runge'} & set(sys.modules)
"""


def test_the_module_needs_casadi_and_numpy_alone(tmp_path):
    export(function("silu", dimension=2), "casadi", tmp_path / "u")
    assert not [path for path in tmp_path.iterdir() if b"import runge" in path.read_bytes()]
    subprocess.run([sys.executable, "-c", CODE], cwd=tmp_path, check=True)


def test_what_casadi_does_not_have(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="interval: casadi has the mean alone; onnx, torch, numpy have intervals"):
        export(function(), "casadi", tmp_path / "u", interval=0.9)
    monkeypatch.setitem(ACTIVATIONS, "cube", Activation(lambda z: z**3, lambda z, s: 3 * z**2, lambda z, s, s1: 6 * z))
    with pytest.raises(ValueError, match=r"model\.activation: casadi supports tanh, .*, got 'cube'; onnx and torch"):
        export(function("cube"), "casadi", tmp_path / "u")
    monkeypatch.setitem(sys.modules, "casadi", None)
    with pytest.raises(ImportError, match=r"needs the package casadi; install it with pip install -e '.\[interop\]'"):
        export(function(), "casadi", tmp_path / "u")
    assert not list(tmp_path.iterdir())
