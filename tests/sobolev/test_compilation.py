import platform
import re
import shutil
import sys

import pytest
import torch

from runge import machine
from runge.errors import RunError
from runge.launch.compose import compose
from runge.sobolev import compilation, kernel, losses
from runge.sobolev.activations import ACTIVATIONS, Activation
from runge.sobolev.compilation import own_kernel, step_function
from runge.sobolev.kernel import Kernel
from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points
from runge.training.member import Member
from tests.conftest import model

TANH = {"model": model(), "dtype": torch.float64}
clang = pytest.mark.skipif(shutil.which("clang++") is None, reason="there is no clang++")
suited = pytest.mark.skipif(not kernel.suits_the_machine(), reason="the kernel needs Linux, x86 or ARM, and a compiler")
COMPILERS = ["g++", pytest.param("clang++", marks=clang)]
if platform.machine() == "x86_64":  # also for CPUs with shorter vectors
    COMPILERS += ["g++ -mno-avx512f", "g++ -mno-avx"]


def stack(members, activation="tanh", *, depth=2, width=8, dimension=1, outputs=1, points=20, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.rand(shape, generator=generator, dtype=torch.float64).to(dtype)

    network = StackedMLP(
        model(activation=activation, depth=depth, width=width),
        domains=torch.tensor([[-1.0, 2.0]], dtype=torch.float64).expand(members, dimension, 2),
        generators=[torch.Generator().manual_seed(i) for i in range(members)],
        dtype=dtype,
        outputs=outputs,
    )
    x = 3 * random(members, points, dimension) - 1
    f, df = (random(members, points, outputs, *rest).mul(5).sin() for rest in ((), (dimension,)))
    weights = [random(*part.shape) / points for part in (f, df)]
    return network, Points(x, f, df, *weights, torch.ones(members, 1, points, dtype=dtype))


@pytest.fixture
def fresh():
    """Start and end without the kernels that other tests have compiled."""
    kernel._library.cache_clear()
    yield
    kernel._library.cache_clear()


def close(actual, expected, tolerance):
    for one, other in zip(actual, expected, strict=True):
        assert (one - other).abs().max() < tolerance * other.abs().max()


@suited
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize(("dimension", "outputs"), [(1, 1), (2, 1), (3, 1), (1, 5), (3, 2), (2, 9)])
def test_the_kernel_equals_the_formulas(activation, depth, dimension, outputs):
    """Use more points than a block has, a member with lambda_d = 0, and a different scale per member."""
    for dtype, tolerance in ((torch.float64, 1e-14), (torch.float32, 1e-5)):
        sizes = {"depth": depth, "width": 11, "dimension": dimension, "outputs": outputs, "points": 400}
        network, points = stack(3, activation, **sizes, dtype=dtype)
        scale, lambda_d = torch.tensor([1.0, 2, 3], dtype=dtype), torch.tensor([0.1, 0, 2], dtype=dtype)
        for weight in (lambda_d, None):
            actual = Kernel(activation, dtype)(network, points, scale, weight)
            assert actual[0].dtype == actual[1].dtype == dtype
            close(actual, losses.loss_and_gradient(network, points, scale, weight), tolerance)
            errors = Kernel(activation, dtype).channels(network, points, scale, weight)
            expected = losses.channel_errors(network, points, scale, weight)
            expected[..., 1:] *= 0 if weight is None else (weight > 0)[:, None, None]
            torch.testing.assert_close(errors, expected, rtol=100 * tolerance, atol=0)
        with torch.no_grad():
            expected = network.value_and_derivative(points.x)
        close(Kernel(activation, dtype).predict(network, points.x), expected, tolerance)


@suited
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_kernel_by_any_compiler(compiler, dtype, fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setenv("RUNGE_CACHE_DIR", str(tmp_path))
    for width, n in [*((width, width) for width in range(1, 20)), (33, 300)]:
        network, points = stack(2, depth=3, width=width, dimension=2, points=n, dtype=dtype)
        arguments = network, points, torch.ones(2, dtype=dtype), torch.tensor([1, 0], dtype=dtype)
        tolerance = 1e-13 if dtype == torch.float64 else 1e-5
        close(Kernel("tanh", dtype)(*arguments), losses.loss_and_gradient(*arguments), tolerance)


@suited
@clang
@pytest.mark.parametrize("activation", ["gelu", "softplus", "sin"])
def test_clang_finds_the_functions_of_vectors(activation, fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "clang++")
    monkeypatch.setenv("RUNGE_CACHE_DIR", str(tmp_path))
    arguments = *stack(2, activation), torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    close(Kernel(activation, torch.float64)(*arguments), losses.loss_and_gradient(*arguments), 1e-14)


@suited
@pytest.mark.parametrize("activation", ["gelu", "softplus", "sin"])
def test_a_c_library_without_functions_of_vectors(activation, fresh, monkeypatch, tmp_path):
    for part in kernel._PARTS:
        (tmp_path / part.name).write_text(re.sub(r"#if SINCE\(.*\)", "#if 0", part.read_text()))
    monkeypatch.setattr(kernel, "_SOURCE", tmp_path / kernel._SOURCE.name)
    monkeypatch.setenv("RUNGE_CACHE_DIR", str(tmp_path / "cache"))
    arguments = *stack(2, activation), torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    close(Kernel(activation, torch.float64)(*arguments), losses.loss_and_gradient(*arguments), 1e-14)
    (compiled,) = (tmp_path / "cache").iterdir()
    assert b"_ZGV" not in compiled.read_bytes()


@suited
def test_without_openmp_the_step_has_one_thread(fresh, monkeypatch, tmp_path):
    """Use a compiler that lacks OpenMP."""
    command, *_ = machine.compiler()
    refuse = 'case "$*" in *-fopenmp*) echo "error: no OpenMP" >&2; exit 1;; esac'
    monkeypatch.setenv("CXX", compiler_that(tmp_path, f'{refuse}\nexec {command} "$@"'))
    monkeypatch.setenv("RUNGE_CACHE_DIR", str(tmp_path / "cache"))
    arguments = *stack(2, points=1100, width=64), torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        close(Kernel("tanh", torch.float64)(*arguments), losses.loss_and_gradient(*arguments), 1e-13)
    finally:
        torch.set_num_threads(threads)


@suited
@pytest.mark.parametrize("width", [1, 2, 7, 16, 33, 64, 130])
def test_the_kernel_takes_any_width(width):
    for dtype, tolerance in ((torch.float64, 1e-13), (torch.float32, 1e-5)):
        network, points = stack(2, depth=3, width=width, points=30, dtype=dtype)
        arguments = network, points, torch.ones(2, dtype=dtype), torch.ones(2, dtype=dtype)
        close(Kernel("tanh", dtype)(*arguments), losses.loss_and_gradient(*arguments), tolerance)


@suited
@pytest.mark.parametrize("points", [1, 63, 65, 129, 1100])
def test_the_kernel_takes_any_number_of_points(points):
    """Use one point, unequal blocks, and several slices."""
    arguments = (
        *stack(2, width=64, points=points),
        torch.ones(2, dtype=torch.float64),
        torch.ones(2, dtype=torch.float64),
    )
    close(Kernel("tanh", torch.float64)(*arguments), losses.loss_and_gradient(*arguments), 1e-13)
    errors = Kernel("tanh", torch.float64).channels(*arguments)
    torch.testing.assert_close(errors, losses.channel_errors(*arguments), rtol=1e-12, atol=0)
    with torch.no_grad():
        expected = arguments[0].value_and_derivative(arguments[1].x)
    close(Kernel("tanh", torch.float64).predict(arguments[0], arguments[1].x), expected, 1e-13)


@suited
def test_the_kernel_takes_tensors_of_any_layout_and_precision():
    network, points = stack(2, dimension=2)
    one = torch.ones(2, dtype=torch.float64)
    expected = losses.loss_and_gradient(network, points, one, one)
    for x in (points.x, points.x.mT.contiguous().mT):
        for scale in (one, one.float(), one[:1].expand(2)):
            strided = Points(**{**points.tensors(), "x": x}, regions=())
            close(Kernel("tanh", torch.float64)(network, strided, scale, scale), expected, 1e-14)
    single, _ = stack(2, dimension=2, dtype=torch.float32)
    actual = Kernel("tanh", torch.float64)(single, points, one, one)
    assert actual[0].dtype == actual[1].dtype == torch.float64
    close(actual, expected, 1e-5)


@suited
def test_a_member_has_the_same_bits_in_any_stack_and_with_any_number_of_threads():
    network, points = stack(5, width=64, points=1100, dtype=torch.float32)
    scale, lambda_d, before = torch.ones(5), torch.tensor([0.1, 0, 1, 0, 2]), torch.get_num_threads()
    function = Kernel("tanh", torch.float32)
    try:
        torch.set_num_threads(1)
        loss, gradient = function(network, points, scale, lambda_d)
        for threads in (2, 3, 8):  # of ten slices
            torch.set_num_threads(threads)
            again = function(network, points, scale, lambda_d)
            assert torch.equal(again[0], loss)
            assert torch.equal(again[1], gradient)
    finally:
        torch.set_num_threads(before)
    for i in range(5):
        index = torch.tensor([i])
        alone = function(network.take(index), points.take(index), scale[index], lambda_d[index])
        assert torch.equal(alone[0][0], loss[i])
        assert torch.equal(alone[1][0], gradient[i])


@suited
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_workspace_is_initialised(dtype):
    """Fill it with NaN, as a diverged member would; the last block is shorter than the others."""
    network, points = stack(3, "gelu", depth=3, width=33, points=150, dtype=dtype)
    function, one, lambda_d = Kernel("gelu", dtype), torch.ones(3, dtype=dtype), torch.tensor([0.1, 0, 1], dtype=dtype)
    expected = function(network, points, one, lambda_d)
    function._workspace.fill_(torch.nan)
    for actual, before in zip(function(network, points, one, lambda_d), expected, strict=True):
        assert torch.equal(actual, before)


@suited
def test_with_lambda_d_zero_the_bits_are_those_of_values_alone():
    network, points = stack(2, dtype=torch.float32)
    function, one = Kernel("tanh", torch.float32), torch.ones(2)
    zero, without = (function(network, points, one, weight) for weight in (0 * one, None))
    assert all(map(torch.equal, zero, without))


@suited
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_member_that_diverges_does_not_affect_its_neighbour(activation):
    network, points = stack(2, activation, dtype=torch.float32)
    function, one = Kernel(activation, torch.float32), torch.ones(2)
    expected = function(network, points, one, one)
    with torch.no_grad():
        network.theta[0, 3] = torch.nan
    loss, gradient = function(network, points, one, one)
    assert loss[0].isnan()
    assert gradient[0].isnan().any()
    assert torch.equal(loss[1], expected[0][1])
    assert torch.equal(gradient[1], expected[1][1])


@suited
def test_an_activation_of_the_users_own_is_compiled_by_torch(monkeypatch):
    assert tuple(ACTIVATIONS) == kernel.ACTIVATIONS
    monkeypatch.setitem(ACTIVATIONS, "cubed", Activation(lambda z: z**3, lambda z, s: 3 * z**2, lambda z, s, s1: 6 * z))
    network, points = stack(2, "cubed")
    one = torch.ones(2, dtype=torch.float64)
    function = step_function(
        "on", **{**TANH, "model": model(activation="cubed")}, neurons=1, steps=1, with_derivative=True
    )
    close(function(network, points, one, one), losses.loss_and_gradient(network, points, one, one), 1e-12)


@suited
def test_the_kernel_alone_looks_at_gradients(monkeypatch):
    """`torch.compile` would compile each number of points."""
    arguments = {**TANH, "neurons": 1, "steps": 1, "with_derivative": True}
    function = step_function("on", **arguments)
    assert own_kernel(function) is function
    assert own_kernel(step_function("off", **arguments)) is None
    monkeypatch.setattr(kernel, "suits_the_machine", lambda: False)
    assert own_kernel(step_function("on", **arguments)) is None


@suited
def test_the_kernel_is_compiled_once(fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("RUNGE_CACHE_DIR", str(tmp_path / "cache"))
    network, points = stack(1, "sin")
    one = torch.ones(1, dtype=torch.float64)
    Kernel("sin", torch.float64)(network, points, one, one)
    (compiled,) = (tmp_path / "cache").iterdir()
    kernel._library.cache_clear()
    monkeypatch.setattr("runge.sobolev.kernel.subprocess.run", None)
    Kernel("sin", torch.float64)(network, points, one, one)
    assert list((tmp_path / "cache").iterdir()) == [compiled]


@suited
def test_what_is_compiled_ahead(fresh, monkeypatch, tmp_path):
    """The file that other processes will load, if they would compile one."""
    monkeypatch.setenv("RUNGE_CACHE_DIR", str(tmp_path / "cache"))

    def compiled(*overrides, runs=1):
        Member(compose(*overrides)).compile_ahead(runs)
        return len(list(tmp_path.glob("cache/*.so")))

    assert compiled("trainer.compile=off") == 0
    assert compiled("model.derivative=autograd") == 0
    assert compiled("optimizer=least_squares", "data.n_train=300") == 0
    assert compiled("trainer.max_steps=100") == 0
    assert compiled("trainer.max_steps=100", runs=1000) == 1
    assert compiled() == 1
    assert compiled("model.activation=sin") == 2


def left_by_a_step(folder):
    """Take a step that is compiled or loaded in this environment; return the suffixes of the files in the folder."""
    kernel._library.cache_clear()
    arguments = *stack(2), torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    close(Kernel("tanh", torch.float64)(*arguments), losses.loss_and_gradient(*arguments), 1e-14)
    return [path.suffix for path in folder.rglob("*") if path.is_file()]


@suited
def test_compiled_files_are_kept_with_other_caches(fresh, monkeypatch, tmp_path):
    monkeypatch.delenv("RUNGE_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert left_by_a_step(tmp_path / "caches" / "runge") == [".so"]
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert left_by_a_step(tmp_path / "home" / ".cache" / "runge") == [".so"]
    monkeypatch.setattr(kernel.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    left_by_a_step(tmp_path)


@suited
@pytest.mark.parametrize("mode", [0o700, 0o770, 0o707])
def test_nothing_is_run_that_another_user_could_have_written(mode, fresh, monkeypatch, tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)
    monkeypatch.setenv("RUNGE_CACHE_DIR", str(folder))
    assert left_by_a_step(folder) == ([".so"] if mode == 0o700 else [])


@suited
def test_a_compiler_with_options(fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "g++ -g0")
    monkeypatch.setenv("RUNGE_CACHE_DIR", str(tmp_path))
    assert machine.compiler()[1:] == ["-g0"]
    assert left_by_a_step(tmp_path) == [".so"]


def compiler_that(folder, script):
    path = folder / "g++"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@suited
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo In file included from kernel.cpp >&2; echo 'error: out of order' >&2; exit 1", "error: out of order"),
        ("kill -9 $$", "ended with status -9"),
        ("exit 0", "kernel.so"),  # it writes no file
    ],
)
def test_without_a_compiler_that_works_the_run_continues(script, reason, fresh, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("RUNGE_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("CXX", compiler_that(tmp_path, script))
    network, points = stack(2)
    arguments = network, points, torch.ones(2, dtype=torch.float64), torch.full((2,), 0.1, dtype=torch.float64)
    auto = step_function("auto", **TANH, neurons=2**21, steps=10**6, with_derivative=True)
    assert torch.equal(auto(*arguments)[1], losses.loss_and_gradient(*arguments)[1])
    assert "the step cannot be compiled" in caplog.text
    assert reason in caplog.text
    with pytest.raises(RunError, match=rf"trainer\.compile: the step cannot be compiled: .*{reason}"):
        step_function("on", **TANH, neurons=1, steps=1, with_derivative=True)(*arguments)


@suited
def test_a_damaged_file_is_compiled_again(fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("RUNGE_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("runge.sobolev.kernel._key", lambda *_: "damaged")
    (tmp_path / "damaged.so").write_bytes(b"")
    assert left_by_a_step(tmp_path) == [".so"]
    assert (tmp_path / "damaged.so").stat().st_size > 0


@pytest.mark.parametrize(
    ("system", "processor", "suits"),
    [
        *(("linux", "x86_64", True), ("linux", "aarch64", True), ("linux", "riscv64", False)),
        *(("darwin", "arm64", False), ("win32", "AMD64", False)),
    ],
)
def test_the_machines_that_the_kernel_is_for(system, processor, suits, monkeypatch):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: processor)
    monkeypatch.setattr(kernel, "compiler", lambda: ["g++"])
    assert kernel.suits_the_machine.__wrapped__() == suits


@pytest.mark.skipif(machine.compiler() is None, reason="there is no C++ compiler")
def test_compiled_by_torch_equals_eager_in_stacks_of_any_size(monkeypatch):
    monkeypatch.setattr(kernel, "suits_the_machine", lambda: False)
    for members in (1, 3):
        network, points = stack(members)
        function = step_function("on", **TANH, neurons=1, steps=1, with_derivative=True)
        assert function is not losses.loss_and_gradient
        scale, weight = torch.ones(members, dtype=torch.float64), torch.full((members,), 0.1, dtype=torch.float64)
        for lambda_d in (weight, None):
            actual = function(network, points, scale, lambda_d)
            close(actual, losses.loss_and_gradient(network, points, scale, lambda_d), 1e-10)


def test_if_torchs_compiler_fails_the_run_continues(monkeypatch, caplog):
    from torch._dynamo.exc import BackendCompilerFailed

    def fail(*_):
        raise BackendCompilerFailed(compilation.losses.loss_and_gradient, RuntimeError("broken"), None)

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fail)
    monkeypatch.setattr(machine, "compiler", lambda: ["g++"])
    monkeypatch.setattr(kernel, "suits_the_machine", lambda: False)
    network, points = stack(2)
    arguments = network, points, torch.ones(2), torch.full((2,), 0.1)
    auto = step_function("auto", **TANH, neurons=2**21, steps=10**6, with_derivative=True)
    assert torch.equal(auto(*arguments)[1], losses.loss_and_gradient(*arguments)[1])
    assert "continues uncompiled" in caplog.text
    with pytest.raises(RunError, match=r"trainer\.compile: the step cannot be compiled"):
        step_function("on", **TANH, neurons=1, steps=1, with_derivative=True)(*arguments)


@pytest.mark.parametrize(("how", "steps"), [("off", 10**9), ("auto", 10)])
def test_not_compiled(how, steps):
    function = step_function(how, **TANH, neurons=100, steps=steps, with_derivative=True)
    assert function is losses.loss_and_gradient


def test_without_a_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    function = step_function("auto", **TANH, neurons=2**21, steps=10**6, with_derivative=True)
    assert function is losses.loss_and_gradient
    with pytest.raises(ValueError, match="no C\\+\\+ compiler"):
        step_function("on", **TANH, neurons=1, steps=1, with_derivative=True)


def test_autograd_is_not_compiled():
    autograd = {**TANH, "model": model(derivative="autograd")}
    function = step_function("auto", **autograd, neurons=2**21, steps=10**6, with_derivative=True)
    assert function is losses.loss_and_gradient
    with pytest.raises(ValueError, match="autograd"):
        step_function("on", **autograd, neurons=1, steps=1, with_derivative=True)
