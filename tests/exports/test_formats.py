"""Files for other programs give what the function gives, for all activations, depths, inputs and outputs."""

import copy
import json
import logging
import runpy
import sys

import numpy as np
import pytest
import torch

from runge.exports import card, export
from runge.function.calibration import Calibration
from runge.function.function import Function
from runge.records.checkpoints import join
from runge.sobolev.activations import ACTIVATIONS, Activation
from runge.sobolev.kernel import Kernel
from tests.exports.formats import (
    ALL,
    DOUBLE,
    FEW,
    FEW_ONNX,
    FORMATS,
    architectures,
    exact,
    function,
    load,
    matches,
)
from tests.exports.formats import points as points_of
from tests.sobolev.test_kernel import suited


def pytest_generate_tests(metafunc):
    if "network" in metafunc.fixturenames:
        every = metafunc.config.getoption("--exports") == "all"
        cases = [(to, one) for to in FORMATS for one in (ALL if every else FEW_ONNX if to == "onnx" else FEW)]
        metafunc.parametrize(("to", "network"), cases, ids=str)


def test_a_file_matches_its_function(to, network, tmp_path):
    """At 50 points, one and none; in units, inputs far from zero keep their digits; NaN stays NaN."""
    *shape, (units, dtype) = network
    for hessian in (units,) if to == "onnx" else (False, True):  # tracing takes seconds
        u, far = function(*shape, units=units, dtype=dtype), 0.0
        if units and (to == "onnx" or (to == "numpy" and not hessian)):
            u.networks[0].units.x_mean += (far := 1e9)
        tolerance = 5e-6 if far else 1e-12
        if to == "onnx" and dtype != DOUBLE:
            # ONNX Runtime approximates sigmoid to about 5 roundings, which s'' multiplies by z, here up to 16, in each
            # of 6 neurons.
            tolerance = 6 * 16 * 5 * 2**-24
        compute = load(u, to, tmp_path / f"u{hessian}", hessian=hessian)
        many = exact(u, to, points_of(u) + far, hessian)
        for n in (50, 1, 0) if to != "casadi" else (50, 1):
            x = points_of(u, n) + far
            matches(compute(x), exact(u, to, x, hessian), tolerance, many)
        unknown = points_of(u, 2) + far
        unknown[0, 0] = np.nan
        with np.errstate(invalid="ignore"):  # NumPy's own warning
            value = compute(unknown)[0]
        assert np.isnan(value[0]).all()
        assert np.isfinite(value[1]).all()
        if size := {"c": 1e200, "numpy": 1e4}.get(to):  # no overflow: a warning would be an error
            assert all(np.isfinite(part).all() for part in compute(size * points_of(u).astype(float)))


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize(("dimension", "outputs"), [(2, 3), (5, 1)])
def test_logarithms_of_inputs(to, dimension, outputs, tmp_path):
    """One network sees those of the first and of the last input, another one none; no value is known for x <= 0."""
    logs = torch.zeros(1, dimension, dtype=torch.bool)
    logs[0, [0, -1]] = True
    seeing = function("silu", 2, dimension, outputs, units=True, logs=logs)
    other = function("tanh", 1, dimension, outputs, units=True)
    u = Function([seeing.networks[0], other.networks[0]], outputs=seeing.outputs)
    x = np.random.default_rng(0).uniform(0.1, 5, (20, dimension))
    for hessian in (True,) if to == "onnx" else (False, True):
        if to == "onnx" and dimension > 2:  # tracing takes seconds
            continue
        compute = load(u, to, tmp_path / f"u{hessian:d}", hessian=hessian)
        matches(compute(x)[: 2 + hessian], exact(u, to, x, hessian))
        for value in (0.0, -1.0):
            assert np.isnan(compute(np.where(np.arange(dimension) == 0, value, x[:1]))[0]).all()


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
@pytest.mark.parametrize("how", ["torch", pytest.param("kernel", marks=suited), "c", "numpy"])
def test_small_slopes_of_saturated_neurons_are_accurate(how, activation, tmp_path):
    """Compare with s' = c e / (1 + e)^2, e = exp(-|c^(1/2) z|): with 1 - s^2 no digit of 4e-13 would be right."""
    u, x = function(activation, depth=1), np.array([[-0.9], [0.95]])
    (weight, bias), (last, _) = u.networks[0].layers()
    slope, c = (15.0, 4.0) if activation == "tanh" else (30.0, 1.0)
    with torch.no_grad():
        for part, value in ((weight, slope), (bias, 0.0), (last, 1.0)):
            part.fill_(value)
    scale, shift = u.networks[0].scale.item(), u.networks[0].shift.item()
    e = np.exp(-(c**0.5) * abs(slope * (x * scale + shift)))
    expected = 6 * slope * scale * c * e / (1 + e) ** 2
    if how == "kernel":
        found = Kernel(activation, DOUBLE).predict(u.networks[0], torch.from_numpy(x)[None])[1].detach().numpy()
    else:
        found = (u.value_and_derivative if how == "torch" else load(u, how, tmp_path / "u"))(x)[1]
    np.testing.assert_allclose(found.ravel(), expected.ravel(), rtol=1e-13)


@pytest.mark.parametrize("to", [pytest.param(to, marks=pytest.mark.nightly) if to == "onnx" else to for to in FORMATS])
def test_the_mean_of_several_architectures(to, tmp_path):
    """With the standard deviation, where the format has it.

    The first two networks share a stack; another one has another precision, and one no units.
    """
    first, *others = architectures(dimension=2, outputs=3)
    second, stack = copy.deepcopy(first), copy.deepcopy(first.networks[0])
    second.networks[0].theta.data += 0.1
    state = join([one.networks[0].state_dict() for one in (first, second)])
    for name, part in [*stack.named_parameters(), *stack.named_buffers()]:
        part.data = state[name]
    alone = [first, second, *others]
    u = Function([stack, *(one.networks[0] for one in others)], {"target": "mine"}, outputs=first.outputs)
    x = points_of(alone[0])
    parts = [one.value_and_derivative(x.astype(one.networks[0].theta.detach().numpy().dtype)) for one in alone]
    stacked = [np.stack(some) for some in zip(*parts, strict=True)]
    mean = [values.mean(0) for values in stacked]
    deviation = [values.std(0, ddof=1) for values in stacked] if to in ("onnx", "numpy") else []
    compute = load(u, to, tmp_path / "u")
    for n in (50, 1):
        matches(compute(x[:n]), [part[:n] for part in (*mean, *deviation)], 5e-5)
    if to not in ("onnx", "numpy"):
        matches(load(u, to, tmp_path / "whole", hessian=True)(x), exact(u, to, x, True))


@pytest.mark.parametrize(("outputs", "local"), [(1, False), pytest.param(3, True, marks=pytest.mark.nightly)])
def test_the_ends_of_intervals(outputs, local, tmp_path, monkeypatch):
    alone = [function("silu", dimension=2, outputs=outputs, units=True) for _ in range(3)]
    for i, one in enumerate(alone):
        one.networks[0].theta.data += 0.1 * i
    channels, names = 3 * outputs, alone[0].outputs
    floors = tuple(0.1 + 0.1 * np.arange(channels))
    scores = *((0.5, 1.0, 1.5, 2.0),) * (channels - 1), (1.0,)  # of the last derivative too few labels are known
    found = Calibration(floors, scores, tuple(map(len, scores)), local)
    networks = [one.networks[0] for one in alone]
    u = Function(networks, outputs=names, rows=["all", "some", "all"], calibration=found)
    x = points_of(alone[0])
    (low, high), slopes = u.value_and_derivative_interval(x, 0.8)
    first, last = (one.value_and_derivative(x)[0] for one in alone[::2])
    variance = (first - last) ** 2 / 2 * local
    np.testing.assert_allclose(high - low, 4 * np.sqrt(variance + np.array(floors[:outputs]) ** 2).reshape(low.shape))
    monkeypatch.setattr(logging.root.manager, "disable", logging.ERROR)  # the choice of the host
    for to in ("numpy", "onnx") if local else ("numpy",):
        result = load(u, to, tmp_path / "u", level=0.8)(x)
        assert logging.root.manager.disable == logging.ERROR
        for part, end in zip(result[4:], (low, high, *slopes), strict=True):
            np.testing.assert_allclose(np.asarray(part), end, rtol=1e-11, atol=1e-12)
    assert runpy.run_path(str(tmp_path / "u.py"))["CARD"]["interval"] == 0.8
    if local:
        onnx = pytest.importorskip("onnx", reason="needs the package onnx")
        names = [one.name for one in onnx.load(tmp_path / "u.onnx").graph.output]
        assert names[4:] == ["u_low", "u_high", "du_low", "du_high"]


def test_a_module_describes_itself_and_is_read_without_runge(tmp_path, monkeypatch):
    names = ['x"""\nimport nothing\n', "y"]
    u = Function(function("softplus", depth=1, dimension=2).networks[0], inputs=names)
    x, source = points_of(u), export(u, "numpy", tmp_path / "u")
    with monkeypatch.context() as patch:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("runge", "torch")]:
            patch.setitem(sys.modules, name, None)
        module = runpy.run_path(str(source))
        results = module["value_and_derivative"](x)
    matches(results, exact(u, "numpy", x))
    assert module["CARD"] == json.loads((tmp_path / "u.json").read_text()) == card(u)
    assert [one["name"] for one in module["CARD"]["inputs"]] == names


def test_an_onnx_model_describes_itself(tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    u = function("softplus", depth=1, dimension=2)
    x = points_of(u)
    matches(load(u, "onnx", tmp_path / "u")(x), exact(u, "onnx", x))
    loaded = onnx.load(tmp_path / "u.onnx")
    assert {entry.key: json.loads(entry.value) for entry in loaded.metadata_props} == card(u)
    axes = [axis.dim_param for value in loaded.graph.output for axis in value.type.tensor_type.shape.dim]
    assert axes == ["N", "N", ""]
    assert b"runge/" not in loaded.SerializeToString(), "it names source files of this machine"


def test_an_activation_of_ones_own(tmp_path, monkeypatch):
    """All formats but ONNX refuse it, and name ONNX, which has it."""
    softsign = Activation(lambda z: z / (1 + z.abs()) + 1e-9, lambda z, s: 1 / (1 + z.abs()) ** 2, lambda z, s, s1: z)
    monkeypatch.setitem(ACTIVATIONS, "softsign", softsign)
    u = function("softsign", depth=1)
    (tmp_path / "none").mkdir()
    for to in ("c", "casadi", "numpy"):
        with pytest.raises(ValueError, match=rf"model\.activation: {to} .*tanh, .*'softsign'.*onnx"):
            export(u, to, tmp_path / "none" / "u")
    assert not list((tmp_path / "none").iterdir())
    x = points_of(u)
    matches(load(u, "onnx", tmp_path / "u")(x), exact(u, "onnx", x), 1e-14)


NO_MODULES = "Python can import: letters,", ["my-fit", "numpy.py", "math", "class", "2d.py"]
NO_FUNCTIONS = ["my-run", "3d", "été", "int", "class", "tanh", "main", "time", "size_t", "NAN", "NULL", "_x", "u.h"]


@pytest.mark.parametrize(
    ("to", "rule", "names"), [("c", "C identifier", NO_FUNCTIONS), ("casadi", *NO_MODULES), ("numpy", *NO_MODULES)]
)
def test_names_that_no_function_or_module_can_have(to, rule, names, tmp_path):
    for name in names:
        with pytest.raises(ValueError, match=f"^path, --out: .*{rule}.* '{name}'"):
            export(function(), to, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"to: .*onnx, numpy, casadi, c.*'pdf'"):
        export(function(), "pdf", tmp_path / "u")
    with pytest.raises(IsADirectoryError):
        export(function(), "numpy", tmp_path)
    with pytest.raises(FileNotFoundError):
        export(function(), "numpy", tmp_path / "missing" / "u")
    found = Calibration((0.1,) * 2, ((0.5, 1.0),) * 2, (2,) * 2, local=False)
    u = Function(function().networks[0], calibration=found)
    for to in ("c", "casadi"):
        with pytest.raises(ValueError, match=f"level, --interval: {to} .*onnx, numpy"):
            export(u, to, tmp_path / "u", level=0.5)
    monkeypatch.setitem(sys.modules, "casadi", None)
    with pytest.raises(ImportError, match=r"casadi.*pip install -e '.\[interop\]'"):
        export(function(), "casadi", tmp_path / "u")
    assert not list(tmp_path.iterdir())
