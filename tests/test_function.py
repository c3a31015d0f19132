import copy
import io
import pickle
import shutil

import numpy as np
import pandas
import pytest
import torch

import runge
from runge import function
from runge.function import Function
from runge.sobolev.activations import ACTIVATIONS
from tests.sobolev.test_stages import sum_of_networks

DOUBLE = torch.float64
NETWORKS = [
    {"activation": name, "depth": 1 + i % 4, "stages": 1 + i % 2, "dimension": 1 + i % 2, "width": 8}
    for i, name in enumerate(ACTIVATIONS)
]
SHORT = ("model.stages=2", "model.width=4", "trainer.max_steps=2", "trainer.progress_bar=false")


def saved_and_loaded(u):
    file = io.BytesIO()
    torch.save(u, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def points(u, n=7):
    x = torch.rand(n, u.network.dimension, dtype=DOUBLE)
    return x[:, 0] if u.network.dimension == 1 else x


def test_shapes():
    u = Function(sum_of_networks(members=1), {})
    for shape in ((), (5, 1), (2, 3)):
        x = torch.rand(shape, dtype=torch.float64)
        assert u(x).shape == u.derivative(x).shape == shape
    tenth = u(torch.tensor([0.1], dtype=torch.float64))
    assert torch.equal(torch.cat([u(0.1)[None], u([0.1]), u([[0.1]])[0]]), tenth.expand(3))  # not rounded to float32
    u = Function(sum_of_networks(members=1, dimension=2), {})
    x = torch.rand(4, 3, 2, dtype=torch.float64)
    assert u(x).shape == (4, 3)
    assert u.derivative(x).shape == (4, 3, 2)
    for wrong in (torch.rand(4), torch.tensor(1.0), torch.rand(4, 3)):
        with pytest.raises(ValueError, match="shape"):
            u(wrong)


def test_both_can_be_differentiated_further():
    u = Function(sum_of_networks(members=1), {})
    x = torch.linspace(-1, 1, 7, dtype=torch.float64, requires_grad=True)
    (du,) = torch.autograd.grad(u(x).sum(), x)
    torch.testing.assert_close(u.derivative(x), du, rtol=1e-12, atol=1e-14)
    (second,) = torch.autograd.grad(u.derivative(x).sum(), x)
    step = 1e-5
    with torch.no_grad():
        difference = (u.derivative(x + step) - u.derivative(x - step)) / (2 * step)
    torch.testing.assert_close(second, difference, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("again", [copy.deepcopy, saved_and_loaded, lambda u: pickle.loads(pickle.dumps(u))])
def test_copies_are_equal(again):
    u = Function(sum_of_networks(members=1, **NETWORKS[1]), {"seed": 0})
    other, x = again(u), points(u)
    assert torch.equal(other(x), u(x))
    assert torch.equal(other.derivative(x), u.derivative(x))
    assert other.configuration == {"seed": 0}
    assert all(parameter.requires_grad for parameter in other.parameters())


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated")  # by torch 2.13's own compiler
@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0")
@pytest.mark.parametrize("shape", NETWORKS, ids=lambda shape: shape["activation"])
def test_compiled_and_exported(shape, request):
    every = request.config.getoption("--exports") == "all"
    if not every and shape["activation"] != "gelu":
        pytest.skip("tracing takes long; --exports all")
    u = Function(sum_of_networks(members=1, **shape), {})
    x, rows = points(u), {0: torch.export.Dim("n")}
    torch._dynamo.reset()
    value, both = (torch.compile(call, fullgraph=True, backend="eager") for call in (u, u.value_and_derivative))
    program = torch.export.export(u.eval(), (x,), dynamic_shapes=(rows,)).module()
    for n in (7, 3):
        x = points(u, n)
        torch.testing.assert_close(value(x), u(x), rtol=1e-14, atol=1e-15)
        torch.testing.assert_close(both(x), u.value_and_derivative(x), rtol=1e-14, atol=1e-15)
        torch.testing.assert_close(program(x), u(x), rtol=1e-14, atol=1e-15)
    if every:  # to machine code
        compiled = torch.compile(u.derivative, fullgraph=True)
        torch.testing.assert_close(compiled(x), u.derivative(x), rtol=1e-13, atol=1e-14)


def test_numpy_in_and_out():
    u = Function(sum_of_networks(members=1), {})
    x = np.linspace(-1, 1, 12).reshape(3, 4)
    with torch.no_grad():
        expected = u.value_and_derivative(torch.tensor(x))
    for view in (x, x.astype(">f8"), np.broadcast_to(x, (2, 3, 4))[1], np.flip(np.flip(x))):
        for result, value in zip(u.value_and_derivative(view), expected, strict=True):
            assert type(result) is np.ndarray
            assert np.array_equal(result, value.numpy())
    assert u(x[0, 0]).shape == u.derivative(np.array(0)).shape == ()
    assert u.to(torch.float32)(x).dtype == np.float32
    assert Function(sum_of_networks(members=1, dimension=2), {}).derivative(np.zeros((3, 2))).shape == (3, 2)
    with pytest.raises(ValueError, match="could not convert"):
        u(np.array(["a"]))


@pytest.mark.parametrize("dimension", [1, 2])
def test_many_points_are_evaluated_in_chunks_without_gradients(dimension, monkeypatch):
    u = Function(sum_of_networks(members=1, dimension=dimension), {})
    x, sizes = points(u, 11), []
    whole = u.value_and_derivative(x)
    monkeypatch.setattr(function, "_CHUNK", 4)
    u.network.register_forward_pre_hook(lambda _, arguments: sizes.append(arguments[0].shape[1]))
    with torch.no_grad():
        torch.testing.assert_close((u(x), u.derivative(x)), whole, rtol=1e-14, atol=1e-15)
        assert u(x[:0]).shape == (0,)
        assert u.derivative(x[:0]).shape == x[:0].shape
    assert sizes == [4, 4, 3, 0]
    assert u(x).requires_grad
    assert sizes[4:] == [11]
    u.requires_grad_(False)
    assert u(x).grad_fn is None  # no tape is kept
    assert sizes[5:] == [4, 4, 3]
    assert u(x.requires_grad_()).requires_grad
    assert sizes[8:] == [11]


def test_a_loaded_function_has_the_stages_in_use_and_the_forward_derivative(trained):
    folder, _ = trained(*SHORT, "model.derivative=autograd", "hydra.run.dir=run")
    u = runge.load(folder / "run")
    assert len(u.network.stages) == u.network.amplitude.count_nonzero()
    assert {stage.derivative for stage in u.network.stages} == {"forward"}
    x = torch.linspace(-1, 1, 5)
    assert not any(result.requires_grad for result in u.value_and_derivative(x))
    assert u(x.clone().requires_grad_()).requires_grad
    assert u.requires_grad_()(x).requires_grad
    with torch.inference_mode():
        assert u.derivative(0.5).shape == ()


@pytest.mark.parametrize(("dimension", "shape"), [(1, (5,)), (2, (4, 3, 2))])
def test_several_members_are_their_mean_and_standard_deviation(dimension, shape):
    u = Function(sum_of_networks(members=3, dimension=dimension))
    x = torch.rand(shape, dtype=DOUBLE)
    u.requires_grad_(False)
    members = [part.numpy()[:, :, 0] for part in u.jet(x.reshape(1, -1, dimension))]
    for result, part in zip(u.value_and_derivative(x), members, strict=True):
        np.testing.assert_allclose(result.flatten(), part.mean(0).flatten(), rtol=1e-13, atol=1e-15)
    for result, part in zip((u.std(x), u.derivative_std(x)), members, strict=True):
        np.testing.assert_allclose(result.flatten(), part.std(0, ddof=1).flatten(), rtol=1e-12, atol=1e-15)
    assert (u(x).shape, u.std(x).shape) == (shape if dimension == 1 else shape[:-1],) * 2
    with pytest.raises(ValueError, match="needs several members: load a sweep over seeds"):
        Function(sum_of_networks(members=1)).std(0.5)


def test_a_sweep_over_seeds_is_one_function(trained, tmp_path):
    folder, _ = trained("-m", "seed=0,1,2", *SHORT, "hydra.sweep.dir=sweep", "hydra.launcher.processes=1")
    shutil.copytree(folder / "sweep", sweep := tmp_path / "sweep")
    (sweep / "2" / "metrics.json").unlink()  # unfinished
    u, x = runge.load(sweep), torch.linspace(-1, 1, 9)
    alone = [runge.load(sweep / name) for name in ("0", "1")]
    assert u.runs == tuple(str(sweep / name) for name in ("0", "1"))
    torch.testing.assert_close(u(x), torch.stack([one(x) for one in alone]).mean(0))
    torch.testing.assert_close(u.derivative_std(x), torch.stack([one.derivative(x) for one in alone]).std(0))
    settings = sweep / "1" / "run.json"
    settings.write_text(settings.read_text().replace('"max_steps": 2,', '"max_steps": 3,'))
    with pytest.raises(ValueError, match=r"sweep/0 and .*sweep/1 differ in trainer\.max_steps \(2 and 3\)"):
        runge.load(sweep)
    for name in ("0", "1"):
        (sweep / name / "metrics.json").unlink()
    with pytest.raises(ValueError, match="must contain a finished run, got none in"):
        runge.load(sweep)


def test_the_columns_of_a_table_are_taken_by_name():
    u = Function(sum_of_networks(members=1, dimension=2), inputs=["a", "b"])
    x = np.random.default_rng(0).random((5, 2))
    table = pandas.DataFrame({"b": x[:, 1], "note": "text", "a": x[:, 0]}, index=range(3, 8))
    assert np.array_equal(u(table), u(x))
    assert np.array_equal(u.derivative(table), u.derivative(x))
    one = Function(sum_of_networks(members=1), inputs=["b"])
    assert np.array_equal(one.derivative(table), one.derivative(x[:, 1]))
    with pytest.raises(ValueError, match=r"x: must have a column for each input, a, b; missing: \['a'\]"):
        u(table[["b", "note"]])
    with pytest.raises(ValueError, match="could not convert"):
        u(table.assign(a="text"))


def test_missing_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        runge.load(tmp_path)
    with pytest.raises(AttributeError, match="nothing"):
        _ = runge.nothing
