"""What CasADi needs beyond the same values: dense arrays, derivatives to the fourth order, and a file without torch."""

import runpy
import subprocess
import sys

import numpy as np
import pytest
import torch

from runge.exports import export
from runge.sobolev.activations import ACTIVATIONS
from tests.exports.formats import function, points


@pytest.fixture
def casadi():
    return pytest.importorskip("casadi", reason="needs the package casadi")


def test_the_saved_function_is_that_of_the_module(tmp_path, casadi):
    u = function("silu", 3, 2, 3, units=True)
    module = runpy.run_path(str(export(u, "casadi", tmp_path / "u.py")))
    loaded, x = casadi.Function.load(str(tmp_path / "u.casadi")), points(u)
    whole = module["function"](hessian=True)
    assert all(whole.sparsity_out(i).is_dense() for i in range(3)), "in C its arrays would have other sizes"
    assert loaded.name_out() == ["u", "du"]
    assert all(casadi.is_equal(*pair) for pair in zip(loaded(x.T), module["function"]()(x.T), strict=True))
    assert loaded(x[0])[1].shape == (3, 2)
    assert export(u, "casadi", tmp_path / "u", hessian=True, force=True)
    assert casadi.Function.load(str(tmp_path / "u.casadi")).size_out(2) == (6, 2)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_derivatives_to_the_fourth_order(activation, tmp_path, casadi):
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


CODE = """
import sys, casadi, numpy, u
x = casadi.SX.sym('x', 2)
f, at = casadi.Function('f', [x], [u.value(x)]), numpy.array([0.1, 0.2])
assert max(abs(float(one(at)) - u.function().call([at])[0]) for one in (f, u.value)) < 1e-14
assert not {'torch', 'runge'} & set(sys.modules)
"""


@pytest.mark.usefixtures("casadi")
def test_the_module_needs_casadi_and_numpy_alone(tmp_path):
    export(function("silu", dimension=2), "casadi", tmp_path / "u")
    assert not [path for path in tmp_path.iterdir() if b"import runge" in path.read_bytes()]
    subprocess.run([sys.executable, "-c", CODE], cwd=tmp_path, check=True)
