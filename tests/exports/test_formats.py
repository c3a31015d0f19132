"""Files for other programs give what the function gives, for all activations, depths, inputs and outputs."""

import copy
import itertools
import json
import runpy
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from runge.exports import card, export
from runge.function.function import Function
from runge.records.calibration import Calibration
from runge.records.checkpoints import join
from runge.sobolev.activations import ACTIVATIONS, Activation
from runge.sobolev.network import StackedMLP
from runge.sobolev.units import Units
from tests.conftest import model

DOUBLE, SINGLE = torch.float64, torch.float32
KINDS = [(1, False, DOUBLE), (3, True, SINGLE)]
"""Outputs, units and precision."""
ALL = list(itertools.product(ACTIVATIONS, (1, 2, 3, 4), (1, 2, 3), KINDS))
# Their operations are not in ONNX Runtime in double precision.
FEW = [("softplus", 1, 1, KINDS[0]), ("gelu", 2, 2, KINDS[1])]


def pytest_generate_tests(metafunc):
    if "network" in metafunc.fixturenames:
        metafunc.parametrize("network", ALL if metafunc.config.getoption("--exports") == "all" else FEW, ids=str)


def function(
    activation="tanh", depth=2, dimension=1, outputs=1, dtype=DOUBLE, units=False, **configuration
) -> Function:
    lengths, heights = torch.arange(1, 1 + dimension, dtype=DOUBLE), torch.arange(1, 1 + outputs, dtype=DOUBLE)
    made = Units(*(part[None] for part in (lengths / 7, lengths / 3, 2 - heights, heights * 0.3)))
    network = StackedMLP(
        model(activation=activation, depth=depth, width=6, init="knots"),
        domains=torch.tensor([[-1.0, 1.1], [0.0, 3.0], [10.0, 10.5]], dtype=DOUBLE).repeat(2, 1)[None, :dimension],
        generators=[torch.Generator().manual_seed(0)],
        dtype=dtype,
        outputs=outputs,
        units=made if units else None,
    )
    return Function(network, configuration, outputs=["f"] if outputs == 1 else list("abc")[:outputs]).eval()


def points(u: Function, n: int = 50) -> torch.Tensor:
    lower, upper = torch.tensor([[-2.0, -1.0, 9.5], [2.0, 4.0, 11.0]], dtype=DOUBLE).repeat(1, 2)[
        :, : u.networks[0].dimension
    ]
    x = torch.rand(n, u.networks[0].dimension, generator=torch.Generator().manual_seed(n), dtype=DOUBLE)
    return (lower + (upper - lower) * x).to(u.networks[0].theta if u.networks[0].units is None else DOUBLE)


def assert_same(results, u: Function, x: torch.Tensor, tolerance: float) -> None:
    """Compare results at x, (N, D), with those of u, relative to their size where it is above 1."""
    several = u.networks[0].outputs > 1
    shapes = [(len(x), *[3] * several), (len(x), *[3] * several, u.networks[0].dimension)]
    assert [tuple(result.shape) for result in results] == shapes
    for result, expected in zip(results, u.value_and_derivative(x.numpy()), strict=True):
        size = max(1, np.abs(expected).max(initial=0))
        assert np.abs(np.asarray(result) - expected.reshape(result.shape)).max(initial=0) <= tolerance * size


def in_onnx(file, x: torch.Tensor):
    return onnxruntime.InferenceSession(file).run(["u", "du"], {"x": x.numpy()})


def test_files(network, tmp_path):
    """In units, inputs far from zero keep their digits."""
    *shape, (outputs, units, dtype) = network
    u, far = function(*shape, outputs=outputs, units=units, dtype=dtype), 1e9 * units
    if units:
        u.networks[0].units.x_mean += far
    file, tolerance = export(u, "onnx", tmp_path / "u"), 1e-12 if dtype == DOUBLE else 5e-6
    program = torch.export.load(export(u, "torch", tmp_path / "u")).module()
    module = runpy.run_path(str(export(u, "numpy", tmp_path / "u")))
    for n in (50, 1, 0):
        x = points(u, n) + far
        assert_same(in_onnx(file, x), u, x, tolerance)
        assert_same(program(x), u, x, 1e-14 if dtype == DOUBLE else tolerance)
        assert_same(module["value_and_derivative"](x), u, x, tolerance)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_numpy_source(activation, tmp_path, request):
    every = request.config.getoption("--exports") == "all"
    for _, *shape, _ in [one for one in ALL if one[0] == activation] if every else [(activation, 3, 2, None)]:
        u = function(activation, *shape)
        module = runpy.run_path(str(export(u, "numpy", tmp_path / "u.py")))
        for n in (50, 1, 0):
            assert_same(module["value_and_derivative"](points(u, n)), u, points(u, n), 1e-12)
    single = u.to(SINGLE)  # the file computes in double precision nevertheless
    module = runpy.run_path(str(export(single, "numpy", tmp_path / "u.py")))
    x = points(single)
    assert_same(module["value_and_derivative"](x), single.to(DOUBLE), x.double(), 1e-12)
    wide = module["value_and_derivative"](x * 1e4)  # no overflow: a warning would be an error
    assert all(np.isfinite(part).all() for part in wide)


def test_hessians(network, tmp_path, request):
    """A file for NumPy is written by hand; the others are traced."""
    activation, depth, _, (outputs, units, dtype) = network
    u = function(activation, depth, 3, outputs, units=units, dtype=dtype)
    found = [runpy.run_path(str(export(u, "numpy", tmp_path / "u", hessian=True)))["value_and_derivative"]]
    if units or request.config.getoption("--exports") == "all":
        session = onnxruntime.InferenceSession(export(u, "onnx", tmp_path / "u", hessian=True))
        found.append(lambda x: session.run(["u", "du", "d2u"], {"x": x}))
        program = torch.export.load(export(u, "torch", tmp_path / "u", hessian=True)).module()
        found.append(lambda x: program(torch.from_numpy(x)))
    for n in (50, 0):
        x = points(u, n).numpy()
        exact = copy.deepcopy(u).to(DOUBLE).value_derivative_hessian(x.astype(float))  # as the file for NumPy computes
        own = u.value_derivative_hessian(x)
        for i, compute in enumerate(found):
            most = 5e-6 if i and dtype != DOUBLE else 1e-12
            for result, expected in zip(compute(x), own if i else exact, strict=True):
                assert result.shape == expected.shape
                size = max(1, np.abs(expected).max(initial=0))
                assert np.abs(np.asarray(result) - expected).max(initial=0) <= most * size


def test_the_mean_and_standard_deviation_over_members(tmp_path):
    shape = {"dimension": 2, "outputs": 3, "units": True}
    alone = [function("silu", **shape) for _ in range(3)]
    for i, one in enumerate(alone):
        for part in (one.networks[0].theta.data, *one.networks[0].units.buffers()):
            part += 0.1 * i
    u = function("silu", **shape)
    state = join([one.networks[0].state_dict() for one in alone])
    u.networks[0] = copy.deepcopy(u.networks[0])
    for name, part in [*u.networks[0].named_parameters(), *u.networks[0].named_buffers()]:
        part.data = state[name]
    x = points(u)
    each = [one.value_and_derivative(x.numpy()) for one in alone]
    shapes = [(50, 3), (50, 3, 2)] * 2
    stacked = [np.stack(parts) for parts in zip(*each, strict=True)]
    expected = [part.mean(0) for part in stacked] + [part.std(0, ddof=1) for part in stacked]
    for result in (
        runpy.run_path(str(export(u, "numpy", tmp_path / "u")))["value_and_derivative"](x.numpy()),
        torch.export.load(export(u, "torch", tmp_path / "u")).module()(x),
    ):
        assert [tuple(part.shape) for part in result] == shapes
        for part, exact in zip(result, expected, strict=True):
            np.testing.assert_allclose(np.asarray(part), exact.reshape(part.shape), rtol=1e-11, atol=1e-12)
    assert card(u)["networks"][0]["members"] == 3


@pytest.mark.parametrize(("outputs", "local"), [(1, False), (3, True)])
def test_the_ends_of_intervals(outputs, local, tmp_path):
    alone = [function("silu", dimension=2, outputs=outputs, units=True) for _ in range(3)]
    for i, one in enumerate(alone):
        one.networks[0].theta.data += 0.1 * i
    channels, names = 3 * outputs, alone[0].outputs
    floors = tuple(0.1 + 0.1 * np.arange(channels))
    scores = *((0.5, 1.0, 1.5, 2.0),) * (channels - 1), (1.0,)  # of the last derivative too few labels are known
    found = Calibration(floors, scores, tuple(map(len, scores)), local)
    networks = [one.networks[0] for one in alone]
    u = Function(networks, outputs=names, rows=["all", "some", "all"], calibration=found)
    x = points(alone[0])
    (low, high), slopes = u.value_and_derivative_interval(x.numpy(), 0.8)
    first, last = (one.value_and_derivative(x.numpy())[0] for one in alone[::2])
    variance = (first - last) ** 2 / 2 * local
    np.testing.assert_allclose(high - low, 4 * np.sqrt(variance + np.array(floors[:outputs]) ** 2).reshape(low.shape))
    module = runpy.run_path(str(export(u, "numpy", tmp_path / "u", interval=0.8)))
    assert module["CARD"]["intervals"]["level"] == 0.8
    results = [module["value_and_derivative"](x.numpy())]
    if local:
        session = onnxruntime.InferenceSession(export(u, "onnx", tmp_path / "u", interval=0.8))
        assert [one.name for one in session.get_outputs()][4:] == ["u_low", "u_high", "du_low", "du_high"]
        results.append(session.run(None, {"x": x.numpy()}))
        results.append(torch.export.load(export(u, "torch", tmp_path / "u", interval=0.8)).module()(x))
    for result in results:
        for part, exact in zip(result[4:], (low, high, *slopes), strict=True):
            np.testing.assert_allclose(np.asarray(part), exact, rtol=1e-11, atol=1e-12)


def test_a_mean_of_several_architectures(tmp_path):
    """The first two networks share a stack; with and without units, and in one of them in another precision."""
    shapes = [("gelu", 2, True, DOUBLE)] * 2 + [("softplus", 1, False, DOUBLE), ("gelu", 3, True, SINGLE)]
    keys = ("activation", "depth", "units", "dtype")
    alone = [function(dimension=2, outputs=3, **dict(zip(keys, shape, strict=True))) for shape in shapes]
    networks = [one.networks[0] for one in alone]
    networks[1].theta.data += 0.1
    stack = copy.deepcopy(networks[0])
    state = join([one.state_dict() for one in networks[:2]])
    for name, part in [*stack.named_parameters(), *stack.named_buffers()]:
        part.data = state[name]
    u = Function([stack, *networks[2:]], {"target": "mine"}, outputs=alone[0].outputs)
    x = points(alone[0])
    each = [one.value_and_derivative(x.to(one.like).numpy()) for one in alone]
    parts = [np.reshape(part, (4, -1)) for part in zip(*each, strict=True)]
    expected = [part.mean(0) for part in parts] + [part.std(0, ddof=1) for part in parts]
    session = onnxruntime.InferenceSession(export(u, "onnx", tmp_path / "u"))
    module = runpy.run_path(str(export(u, "numpy", tmp_path / "u")))
    program = torch.export.load(export(u, "torch", tmp_path / "u")).module()
    for n in (50, 1, 0):
        for result in (
            module["value_and_derivative"](x[:n].numpy()),
            program(x[:n]),
            session.run(["u", "du", "u_std", "du_std"], {"x": x[:n].numpy()}),
        ):
            assert [tuple(part.shape) for part in result] == [(n, 3), (n, 3, 2)] * 2
            for part, exact in zip(result, expected, strict=True):
                exact = exact.reshape(50, *part.shape[1:])[:n]
                np.testing.assert_allclose(np.asarray(part), exact, rtol=5e-6, atol=5e-5)
    assert [one["members"] for one in module["CARD"]["networks"]] == [2, 1, 1]


CODE = """
import sys, numpy, u
u.value_and_derivative(numpy.zeros((3, 2)))
assert 'torch' not in sys.modules
import torch
torch.export.load('u.pt2').module()(torch.zeros(3, 2).double())
assert not any('runge' in name for name in sys.modules)
"""


def test_files_describe_themselves_and_are_read_without_runge(tmp_path):
    target = {"_target_": "runge.targets.Expression", "expr": 'x*y"""\nimport nothing\n'}
    u = function("silu", dimension=2, target=target)
    expected = card(u)
    assert expected["data"] == {"target": "Expression", "formulas": {"f": target["expr"]}}
    loaded = onnx.load(export(u, "onnx", tmp_path / "u"))
    assert {entry.key: json.loads(entry.value) for entry in loaded.metadata_props} == expected
    axes = [axis.dim_param for value in loaded.graph.output for axis in value.type.tensor_type.shape.dim]
    assert axes == ["N", "N", ""]
    assert b"runge/" not in loaded.SerializeToString(), "it names source files of this machine"
    assert runpy.run_path(str(export(u, "numpy", tmp_path / "u")))["CARD"] == expected
    extra, file = {"card.json": ""}, export(u, "torch", tmp_path / "u")
    torch.export.load(file, extra_files=extra)
    assert b"runge/" not in file.read_bytes()
    subprocess.run([sys.executable, "-W", "ignore", "-c", CODE], cwd=tmp_path, check=True)
    assert json.loads(extra["card.json"]) == json.loads((tmp_path / "u.json").read_text()) == expected


def test_an_activation_of_ones_own(tmp_path, monkeypatch):
    softsign = Activation(lambda z: z / (1 + z.abs()) + 1e-9, lambda z, s: 1 / (1 + z.abs()) ** 2, lambda z, s, s1: z)
    monkeypatch.setitem(ACTIVATIONS, "softsign", softsign)
    u = function("softsign")
    program = torch.export.load(export(u, "torch", tmp_path / "u")).module()
    assert_same(program(points(u)), u, points(u), 1e-14)
    with pytest.raises(ValueError, match=r"model\.activation: numpy supports tanh, .*, got 'softsign'; onnx"):
        export(u, "numpy", tmp_path / "u")


def test_what_cannot_be_exported(tmp_path):
    with pytest.raises(ValueError, match="to: must be one of onnx, torch, numpy, casadi, c, got 'pdf'"):
        export(function(), "pdf", tmp_path / "u")
    with pytest.raises(IsADirectoryError):
        export(function(), "numpy", tmp_path)
    with pytest.raises(FileNotFoundError):
        export(function(), "numpy", tmp_path / "missing" / "u")
    assert not list(tmp_path.iterdir())
