import copy
import html
import io
import pickle
import shutil

import numpy as np
import pandas
import pytest
import torch

import runge
from runge.function.calibration import Calibration
from runge.function.ensemble import write_answer
from runge.function.function import Function
from runge.function.outside import Box
from runge.sobolev.activations import ACTIVATIONS
from runge.sobolev.units import Units
from tests.conftest import generator
from tests.sobolev.test_network import stack

DOUBLE = torch.float64
MIXED = [  # three architectures, the second with two members; with and without units; in both precisions
    {"activation": "tanh", "width": 8},
    {"activation": "gelu", "width": 6, "depth": 1, "members": 2},
    {"activation": "silu", "width": 5, "depth": 3, "dtype": torch.float32},
]


def single(**shape):
    return Function(stack(members=1, **shape), {})


def mixture(dimension=2, outputs=3, **first):
    """A mean of networks of several architectures."""
    shapes = [{"members": 1, "dimension": dimension, "outputs": outputs, **shape} for shape in MIXED]
    shapes[0] |= first
    random = generator()
    for shape in shapes[1:]:
        x, y = (1 + torch.rand(2, shape["members"], columns, generator=random) for columns in (dimension, outputs))
        shape["units"] = Units(*x, *y)
    return Function([stack(**shape) for shape in shapes], inputs="ab"[:dimension], outputs="uvw"[:outputs])


def saved_and_loaded(u):
    file = io.BytesIO()
    torch.save(u, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def points(u, n=7):
    x = torch.rand(n, u.networks[0].dimension, dtype=DOUBLE, generator=generator())
    return x[:, 0] if u.networks[0].dimension == 1 else x


def same(found, expected, rtol=1e-14, atol=1e-15):
    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("again", [copy.deepcopy, saved_and_loaded, lambda u: pickle.loads(pickle.dumps(u))])
def test_copies_are_equal(again):
    for u in (Function(stack(members=1, depth=2, dimension=2), {"seed": 0}), mixture()):
        other, x = again(u), points(u)
        assert all(map(torch.equal, other.value_and_derivative(x), u.value_and_derivative(x)))
        assert all(map(torch.equal, other.jet(x[None]), u.jet(x[None])))
        assert other.configuration == u.configuration
        assert all(parameter.requires_grad for parameter in other.parameters())
    assert torch.equal(other.std(x), u.std(x))


def test_numpy_in_and_out():
    u, x = single(), np.linspace(-1, 1, 12).reshape(3, 4, 1)
    with torch.no_grad():
        expected = u.value_and_derivative(torch.tensor(x))
    for view in (x, x.astype(">f8"), np.broadcast_to(x, (2, 3, 4, 1))[1], np.flip(np.flip(x))):
        for result, value in zip(u.value_and_derivative(view), expected, strict=True):
            assert type(result) is np.ndarray
            assert np.array_equal(result, value.numpy())
    with pytest.raises(ValueError, match="could not convert"):
        u(np.array(["a"]))


@pytest.mark.parametrize("dimension", [1, 2])
def test_many_points_are_evaluated_in_chunks_without_gradients(dimension):
    u = single(dimension=dimension)
    x, sizes = points(u, 8195), []
    whole = u.value_and_derivative(x)
    u.networks[0].register_forward_pre_hook(lambda _, arguments: sizes.append(arguments[0].shape[1]))
    with torch.no_grad():
        same((u(x), u.derivative(x)), whole)
        assert (u(x[:0]).shape, u.derivative(x[:0]).shape) == ((0,), x[:0].shape)
    assert sizes == [4096, 4096, 3, 0]
    assert u(x).requires_grad
    u.requires_grad_(False)
    assert u(x).grad_fn is None  # no tape is kept
    assert u(x.requires_grad_()).requires_grad
    assert sizes[4:] == [8195, 4096, 4096, 3, 8195]


def test_the_columns_of_a_table_are_taken_by_name():
    u = Function(stack(members=1, dimension=2), inputs=["a", "b"])
    x = np.random.default_rng(0).random((5, 2))
    table = pandas.DataFrame({"b": x[:, 1], "note": "text", "a": x[:, 0]}, index=range(3, 8))
    assert np.array_equal(u(table), u(x))
    assert np.array_equal(u.derivative(table), u.derivative(x))
    one = Function(stack(members=1), inputs=["b"])
    assert np.array_equal(one.derivative(table)["df_db"], one.derivative(x[:, 1]))
    assert np.array_equal(one.derivative(table["b"][1:]), one.derivative(x[1:, 1]))
    with pytest.raises(ValueError, match=r"^x: .* a, b; .*'a'"):
        u(table[["b", "note"]])
    with pytest.raises(ValueError, match="could not convert"):
        u(table.assign(a="text"))


@pytest.mark.parametrize(("dimension", "outputs"), [(1, 1), (2, 3)])
def test_a_mean_of_several_architectures(dimension, outputs):
    """The mean and the standard deviation of u and u' are those over the networks, one after the other."""
    u, x = mixture(dimension, outputs), torch.rand(9, dimension, dtype=DOUBLE, generator=generator())
    points = x[:, 0] if dimension == 1 else x
    both = [*u.value_and_derivative(points), *u.value_and_derivative_std(points)]
    assert u.members == 4
    assert {result.dtype for result in both} == {DOUBLE}
    assert torch.equal(u(points), both[0])
    assert both[0].shape == (9, outputs)[: 1 + (outputs > 1)]
    parts = [Function(network, outputs=u.outputs).jet(x[None]) for network in copy.deepcopy(u).double().networks]
    members = [np.concatenate([one.numpy(force=True) for one in part]) for part in zip(*parts, strict=True)]
    exact = [part.mean(0) for part in members] + [part.std(0, ddof=1) for part in members]
    u.double()
    double = [*u.value_and_derivative(points.numpy()), *u.value_and_derivative_std(points.numpy())]
    for result, of_double, expected in zip(both, double, exact, strict=True):
        np.testing.assert_allclose(result.numpy(force=True), expected.reshape(result.shape), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(of_double, expected.reshape(result.shape), rtol=1e-12, atol=1e-14)


AT_NIGHT = [pytest.param(name, marks=pytest.mark.nightly) for name in ACTIVATIONS if name != "tanh"]


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated")  # by torch 2.13's own compiler
@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0")
@pytest.mark.parametrize("activation", ["tanh", *AT_NIGHT])
def test_a_mean_of_several_architectures_keeps_what_a_function_promises(activation):
    u = mixture(outputs=1, activation=activation).double()
    x = torch.rand(7, 2, dtype=DOUBLE, generator=generator(), requires_grad=True)
    (du,) = torch.autograd.grad(u(x).sum(), x, create_graph=True)
    same(u.derivative(x), du, 1e-12, 1e-13)
    same(torch.autograd.grad(u.derivative(x).sum(), x)[0], u.hessian(x.detach()).sum(-2), 1e-11, 1e-12)
    assert all(part is not None for part in torch.autograd.grad(u(x).sum(), list(u.parameters())))
    u, x = u.requires_grad_(False).eval(), x.detach()
    torch._dynamo.reset()
    both = torch.compile(u.value_and_derivative, fullgraph=True, dynamic=True, backend="eager")
    program = torch.export.export(u, (x,), dynamic_shapes=({0: torch.export.Dim("n")},)).module()
    for n in (7, 3):
        same(both(x[:n]), u.value_and_derivative(x[:n]))
        same(program(x[:n]), u(x[:n]))
    if activation != "tanh":  # to machine code
        same(torch.compile(u.derivative, fullgraph=True)(x), u.derivative(x), 1e-13, 1e-14)
    whole = u.value_and_derivative(x)
    same(u.value_and_derivative(x.repeat(300, 1)), [part.repeat(300, *[1] * (part.ndim - 1)) for part in whole])
    assert u(x[:0]).shape == (0,)
    single, x = u.to(torch.float32), x.float()
    assert {part.dtype for part in (single(x), *single.value_and_derivative_std(x))} == {torch.float32}
    same(single.derivative(x).double(), whole[1], 1e-5, 1e-6)


SHORT = ("target=runge", "model.width=8", "trainer.max_steps=5", "trainer.progress_bar=false", "pictures=false")
KINDS = ("-m", "model.activation=tanh,gelu", "model.standardize=true,false", "seed=0,1", "search.compare=false")


def test_a_loaded_run_has_the_forward_derivative_and_the_domain_of_its_formula(trained, tmp_path):
    folder, _ = trained(*SHORT, "model.derivative=autograd", "target.domain=[-1,3]", "hydra.run.dir=run")
    u, x = runge.load(folder / "run"), torch.linspace(-1, 1, 5)
    assert u.networks[0].derivative == "forward"
    assert not any(result.requires_grad for result in u.value_and_derivative(x))
    assert u(x.clone().requires_grad_()).requires_grad
    assert u.requires_grad_()(x).requires_grad
    with torch.inference_mode():
        assert u.derivative(0.5).shape == ()
    np.testing.assert_array_equal(u.outside(np.array([1.0, 3.0, 5.0])), [0, 1, 2])
    with pytest.raises(ValueError, match="intervals need runs on a table"):
        u.interval(0.0)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        runge.load(tmp_path)
    with pytest.raises(AttributeError, match="nothing"):
        _ = runge.nothing


def test_a_function_is_shown_by_its_columns_its_networks_and_its_errors():
    u, errors = mixture(outputs=2), np.linspace(-1, 1, 19)[:, None] * [0.001, 0.2, 1, 1, 1, 1]
    shown = "a, b -> u, v; 1 network of 2 x 8 tanh; 2 networks of 1 x 6 gelu; 1 network of 3 x 5 silu"
    assert repr(u) == shown
    u.calibration = Calibration.of(errors, None)
    assert repr(u) == f"{shown}; median errors 5.6e-04, 1.1e-01"
    assert u._repr_html_() == f"<p>{html.escape(repr(u))}</p>"


@pytest.fixture
def sweep(trained, tmp_path):
    """A sweep over more than seeds."""
    folder, _ = trained(*KINDS, *SHORT, "hydra.sweep.dir=sweep", "hydra.launcher.processes=1")
    return shutil.copytree(folder / "sweep", tmp_path / "sweep")


def test_a_sweep_over_seeds_is_one_function(sweep):
    for name in "34567":
        shutil.rmtree(sweep / name)
    (sweep / "2" / "metrics.json").unlink()  # unfinished
    u, x = runge.load(sweep), torch.linspace(-1, 1, 9)
    alone = [runge.load(sweep / name) for name in "01"]
    assert u.runs == tuple(str(sweep / name) for name in "01")
    torch.testing.assert_close(u(x), torch.stack([one(x) for one in alone]).mean(0))
    torch.testing.assert_close(u.derivative_std(x), torch.stack([one.derivative(x) for one in alone]).std(0))
    settings = sweep / "1" / "run.json"
    settings.write_text(settings.read_text().replace('"max_steps": 5,', '"max_steps": 3,'))
    with pytest.raises(ValueError, match=r"sweep/0 and .*sweep/1 .* trainer\.max_steps \(5 and 3\)"):
        runge.load(sweep)
    for name in "01":
        (sweep / name / "metrics.json").unlink()
    with pytest.raises(ValueError, match="finished run, got none in"):
        runge.load(sweep)


def test_the_answer_of_a_sweep_is_one_function(sweep):
    write_answer(sweep, ["5", "0", "7", "4"])
    u, x = runge.load(sweep), torch.linspace(-1, 1, 9, dtype=DOUBLE)
    assert u.runs == tuple(str(sweep / name) for name in "5407"), "runs of one architecture share a stack"
    assert [network.members for network in u.networks] == [2, 1, 1]
    alone = [runge.load(run).derivative(x).double() for run in u.runs]
    torch.testing.assert_close(u.derivative(x), sum(alone) / 4)
    assert not any(parameter.requires_grad for parameter in u.parameters())
    assert len(runge.runs(sweep)) == 8
    best, elsewhere = sweep / "7/checkpoints/best.ckpt", sweep / "7/checkpoints/elsewhere"
    best.rename(elsewhere)
    with pytest.raises(FileNotFoundError, match="7/checkpoints/best"):
        runge.load(sweep)
    content = torch.load(elsewhere, weights_only=True)
    torch.save(content | {"columns": {"inputs": ["y"], "outputs": ["f"]}}, best)
    with pytest.raises(ValueError, match=r"7/checkpoints/best\.ckpt is damaged \(its checksum"):
        runge.load(sweep)
    (sweep / "7/status.json").unlink()  # a run of somebody who has removed the checksum
    with pytest.raises(ValueError, match=r"sweep/7 must have the inputs and the outputs of .*sweep/5"):
        runge.load(sweep)
    write_answer(sweep, ["3"])
    u, one = runge.load(sweep), runge.load(sweep / "3")
    assert (u.members, u.runs) == (1, one.runs)
    assert torch.equal(u(x), one(x))
    with pytest.raises(ValueError, match="needs several members: load a sweep over seeds"):
        u.std(x)
    (sweep / "answer.json").write_text('{"runs": "5"}')
    with pytest.raises(ValueError, match=r"sweep/answer\.json is damaged"):
        runge.load(sweep)


def test_outside_has_the_shape_of_the_value():
    u = Function(stack(members=1), {}, inside=Box(np.array([-1.0]), np.array([0.1])))
    assert u.outside(0.1).item() == 1, "the end of the domain is not rounded to float32"
    for x in (torch.zeros(2, 3, 1), torch.zeros(2, 3, 1, dtype=DOUBLE, requires_grad=True), np.zeros((2, 3, 1))):
        number = u.outside(x)
        assert type(number) is type(x)
        assert (number.shape, number[0, 0].item()) == ((2, 3), pytest.approx(0.9 / 1.1))
    x = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    u = Function(stack(members=1, dimension=2), {}, inputs=["a", "b"], inside=x)
    expected = u._measure(torch.from_numpy(4 * x)).numpy()
    assert expected.max() > 1
    np.testing.assert_array_equal(u.outside(4 * x.reshape(5, 8, 2)), expected.reshape(5, 8))
    np.testing.assert_array_equal(u.outside(pandas.DataFrame(4 * x[:, ::-1], columns=["b", "a"])), expected)
    np.testing.assert_array_equal(copy.deepcopy(u).outside(torch.from_numpy(4 * x)).numpy(), expected)
    np.testing.assert_array_equal(u.outside(np.array([[np.inf, 0.0], [0.0, -np.inf], [np.nan, 0.0]])), np.inf)
    np.testing.assert_array_equal(u.ranges, [x.min(0), x.max(0)])


def test_far_outside_the_value_warns():
    x = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    near, far = np.array([[0.0, 2.8]]), np.array([[0.0, 3.2]])
    for inside in (x, Box(x.min(0), x.max(0))):
        u = Function(stack(members=2, dimension=2), {}, inside=inside)
        u(near)
        u.value_and_derivative(far)
        for points in (far, torch.from_numpy(far).float().requires_grad_()):
            with pytest.warns(RuntimeWarning, match="an input is beyond its training range"):
                u(points)
    torch.func.vmap(u)(torch.from_numpy(far).float())


def test_loaded_parameters_have_no_intervals_of_others():
    calibration = Calibration.of(np.linspace(-1, 1, 19)[:, None] * [1, 1], None)
    u = Function(stack(members=2), rows=["a", "a"], runs=["a", "b"], calibration=calibration, inside=np.eye(4)[:, :1])
    u.interval(0.0), u.outside(0.0)
    torch.nn.ModuleList([u]).load_state_dict(torch.nn.ModuleList([Function(stack(members=2))]).state_dict())
    with pytest.raises(ValueError, match="intervals need runs"):
        u.interval(0.0)
    with pytest.raises(ValueError, match="outside needs a function that knows its training inputs"):
        u.outside(0.0)
