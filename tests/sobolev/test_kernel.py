"""The compiled loss and gradient against eager ones, and how the file is compiled, kept and chosen."""

import itertools
import os
import platform
import re
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from runge.process import machine
from runge.sobolev import library, losses
from runge.sobolev.activations import ACTIVATIONS, Activation
from runge.sobolev.kernel import Kernel, step_function
from runge.sobolev.points import Points
from tests.conftest import model
from tests.sobolev.test_losses import some_points
from tests.sobolev.test_network import stack

DOUBLE, SINGLE = torch.float64, torch.float32
no_kernel = not library.suits_the_machine()
suited = pytest.mark.skipif(no_kernel, reason="the kernel needs Linux, x86 or ARM, and a compiler")
COMPILERS = ["clang++"] if shutil.which("clang++") else []
if platform.machine() == "x86_64":
    COMPILERS += ["g++ -mno-avx512f", "g++ -mno-avx"]  # for CPUs with shorter vectors
pytestmark = suited
BOTH = ((DOUBLE, 1e-13), (SINGLE, 1e-5))
LONG = {"neurons": 2**21, "steps": 10**6}
# Those of the night call no function in 32 bits that the others do not call.
AT_NIGHT = [(name, SINGLE) for name in ("relu", "sigmoid", "silu")]
KINDS = [
    pytest.param(*kind, marks=[pytest.mark.nightly] * (kind in AT_NIGHT))
    for kind in itertools.product(ACTIVATIONS, (DOUBLE, SINGLE))
]


def problem(members=2, activation="tanh", *, points=20, dtype=DOUBLE, dimension=1, outputs=1, **shape):
    """Return a network, points, a scale and lambda_d, which is 0 for the second member."""
    sizes = {"dimension": dimension, "outputs": outputs}
    network = stack(members, activation=activation, dtype=dtype, **{"width": 8} | sizes | shape)
    data = some_points(members, points, **sizes).to(dtype=dtype)
    scale, lambda_d = torch.linspace(1, 2, members), torch.ones(members).index_fill(0, torch.tensor([1 % members]), 0)
    return network, replace(data, f=(5 * data.f).sin(), df=(5 * data.df).cos()), scale.to(dtype), lambda_d.to(dtype)


def close(actual, expected, tolerance):
    for one, other in zip(actual, expected, strict=True):
        assert (one - other).abs().max() < tolerance * other.abs().max()


def equal(actual, expected):
    return all(map(torch.equal, actual, expected))


def compare(arguments, activation="tanh", tolerance=1e-13):
    """Compare all that a kernel computes with the reference."""
    network, points, scale, lambda_d = arguments
    compiled = Kernel(activation, network.theta.dtype)
    for weight in (lambda_d, None):
        at = network, points, scale, weight
        close(compiled(*at), losses.loss_and_gradient(*at), tolerance)
    with torch.no_grad():
        close(compiled.predict(network, points.x), network.value_and_derivative(points.x), tolerance)


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """Compile in less time, without the kernels that other tests have compiled, and with a cache of its own."""
    monkeypatch.setenv("RUNGE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", shlex.join([*machine.compiler(), "-O0"]))
    library.library_of.cache_clear()
    yield tmp_path / "cache"
    library.library_of.cache_clear()


@pytest.fixture(params=["", *(pytest.param(compiler, marks=pytest.mark.nightly) for compiler in COMPILERS)])
def any_compiler(request, monkeypatch):
    """Compile by the usual compiler, or another one, once for all tests."""
    monkeypatch.setenv("CXX", request.param)
    library.library_of.cache_clear()
    yield
    library.library_of.cache_clear()


@pytest.fixture
def threads():
    """Return what sets the number of threads, which is restored at the end."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def compiler_that(folder, script):
    path = folder / "g++"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(("activation", "dtype"), KINDS)
@pytest.mark.parametrize(
    ("depth", "dimension", "outputs"), [(1, 1, 1), (2, 2, 1), (4, 3, 2), (2, 1, 5), (1, 2, 9), (1, 45, 1)]
)
def test_the_kernel_equals_the_reference(activation, depth, dimension, outputs, dtype):
    """Use more points than a block has."""
    sizes = {"depth": depth, "width": 11, "dimension": dimension, "outputs": outputs, "points": 400}
    compare(problem(3, activation, **sizes, dtype=dtype), activation, 1e-14 if dtype == DOUBLE else 1e-5)


@pytest.mark.usefixtures("any_compiler")
@pytest.mark.parametrize(("width", "points"), [(width, 30) for width in (1, 2, 7, 16, 33, 130)] + [(64, 1), (64, 1100)])
def test_the_kernel_takes_any_width_and_number_of_points(width, points):
    """Use one point, unequal blocks, and several slices, in forward and in reverse mode."""
    for (dtype, tolerance), dimension in itertools.product(BOTH, (1, 3)):
        sizes = {"depth": 3, "width": width, "points": points, "dimension": dimension}
        compare(problem(**sizes, dtype=dtype), tolerance=tolerance)


@pytest.mark.parametrize("activation", ["gelu", "softplus", "sin"])
def test_a_c_library_without_functions_of_vectors(activation, fresh, monkeypatch, tmp_path):
    for part in Path(library.__file__).parent.glob("*.[ch]pp"):
        (tmp_path / part.name).write_text(re.sub(r"#if SINCE\(.*\)", "#if 0", part.read_text()))
    monkeypatch.setenv(
        "CXX", compiler_that(tmp_path, f'shift\nexec {os.environ["CXX"]} {tmp_path}/kernel.cpp "$@" -O0')
    )
    compare(problem(2, activation), activation, 1e-14)
    (compiled,) = fresh.iterdir()
    assert b"_ZGV" not in compiled.read_bytes()


def test_without_openmp_the_step_has_one_thread(fresh, monkeypatch, tmp_path, threads):
    """Use a compiler that lacks OpenMP."""
    refuse = 'case "$*" in *-fopenmp*) echo "error: no OpenMP" >&2; exit 1;; esac'
    monkeypatch.setenv("CXX", compiler_that(tmp_path, f'{refuse}\nexec {os.environ["CXX"]} "$@" -O0'))
    threads(3)
    compare(problem(points=1100, width=64))


def test_the_kernel_takes_tensors_of_any_layout_and_precision():
    network, points, one, _ = problem(dimension=2)
    expected = losses.loss_and_gradient(network, points, one, one)
    for x in (points.x, points.x.mT.contiguous().mT):
        for scale in (one, one.float(), one.repeat_interleave(2)[::2]):
            strided = Points(**{**points.tensors(), "x": x}, regions=())
            close(Kernel("tanh", DOUBLE)(network, strided, scale, scale.double()), expected, 1e-6)
    with pytest.raises(ValueError, match=r"must be in torch\.float32, as its compiled step; got torch\.float64"):
        Kernel("tanh", SINGLE)(network, points, one, one)


def test_a_member_has_the_same_bits_in_any_stack_and_with_any_number_of_threads(threads):
    network, points, *others = at = problem(5, width=64, points=1100, dtype=SINGLE)
    function = Kernel("tanh", SINGLE)
    expected = function(*at)
    for count in (2, 8):  # of ten slices
        threads(count)
        assert equal(function(*at), expected)
    threads(1)
    for i in torch.arange(5)[:, None]:
        alone = function(network.take(i), points.take(i), *(other[i] for other in others))
        assert equal(alone, [part[i] for part in expected])


@pytest.mark.parametrize("dimension", [1, 3])
@pytest.mark.parametrize(("activation", "dtype"), KINDS)
def test_a_member_that_diverges_affects_neither_its_neighbour_nor_the_next_call(activation, dtype, dimension):
    """The last block is shorter than the others. Nor does lambda_d = 0 differ from none, to the bit."""
    shape = {"depth": 3, "width": 33, "points": 150, "dimension": dimension}
    network, points, one, _ = problem(2, activation, **shape, dtype=dtype)
    function = Kernel(activation, dtype)
    assert equal(function(network, points, one, 0 * one), function(network, points, one, None))
    expected = function(network, points, one, one)
    function._workspace.fill_(torch.nan)
    assert equal(function(network, points, one, one), expected)
    with torch.no_grad():
        network.theta[0, 3] = torch.nan
    for part, other in zip(function(network, points, one, one), expected, strict=True):
        assert part[0].isnan().any()
        assert torch.equal(part[1], other[1])


def test_the_fields_of_a_struct_are_those_of_the_c_file():
    """Python has no list of its own: a name that is missing or unknown is an error."""
    steps = library.library_of("tanh", DOUBLE).steps
    assert [name for name, _ in steps._fields_][-3:] == ["rates", "mean", "square"]
    whole = {name: 0 for name, _ in steps._fields_}
    for wrong in ({**whole, "epsilon": 0.0}, {name: 0 for name in whole if name != "mean"}):
        with pytest.raises(TypeError, match=r"fields of the C\+\+ struct"):
            steps(**wrong)


def test_the_file_is_compiled_once_and_again_if_it_is_damaged(fresh, monkeypatch):
    """A directory into which other users can write is not used."""
    fresh.mkdir()
    for mode, damage in ((0o770, False), (0o700, True)):
        fresh.chmod(mode)
        library.library_of.cache_clear()
        Kernel("relu", DOUBLE)
        assert len(list(fresh.iterdir())) == damage
    (compiled,) = fresh.iterdir()
    compiled.unlink()  # what is loaded must not shrink
    compiled.touch()
    library.library_of.cache_clear()
    Kernel("relu", DOUBLE)
    assert compiled.stat().st_size > 0
    monkeypatch.setattr(library.subprocess, "run", None)
    library.library_of.cache_clear()
    Kernel("relu", DOUBLE)
    assert list(fresh.iterdir()) == [compiled]


@pytest.mark.parametrize("damage", ["others may write", "link", "another user"])
def test_a_compiled_file_that_is_not_this_users_own_is_not_loaded(damage, fresh, tmp_path):
    Kernel("relu", DOUBLE)
    (compiled,) = fresh.iterdir()
    if damage == "others may write":
        compiled.chmod(0o770)
    elif damage == "link":
        compiled.rename(tmp_path / "planted.so")
        compiled.symlink_to(tmp_path / "planted.so")
    elif os.geteuid() == 0:
        os.chown(compiled, 12345, -1)
    else:
        pytest.skip("only root can give a file away")
    library.library_of.cache_clear()
    Kernel("relu", DOUBLE)
    assert list(fresh.iterdir()) == [compiled]
    assert machine.is_own(compiled)


def test_the_compiled_file_is_on_the_disk_before_it_gets_its_name(fresh, monkeypatch):
    written = []

    def fsync(number, fsync=os.fsync):
        assert not list(fresh.glob("*.so"))
        written.append(os.fstat(number).st_ino)
        fsync(number)

    monkeypatch.setattr(library.os, "fsync", fsync)
    Kernel("relu", DOUBLE)
    (compiled,) = fresh.iterdir()
    assert written == [compiled.stat().st_ino]


def test_a_compiler_that_does_not_end_is_stopped(fresh, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("CXX", compiler_that(tmp_path, "exec tail -f /dev/null"))
    monkeypatch.setattr(library, "_COMPILER_SECONDS", 0.01)
    assert step_function("auto", model(), DOUBLE, **LONG) is losses.loss_and_gradient
    assert re.search(r"cannot be compiled: .*g\+\+ did not end within 0\.01 seconds; the run continues", caplog.text)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo In file included from kernel.cpp >&2; echo 'error: out of order' >&2; exit 1", "error: out of order"),
        ("kill -9 $$", "ended with status -9"),
        ("exit 0", "kernel.so"),  # it writes no file
    ],
)
def test_without_a_compiler_that_works_the_run_continues(script, reason, fresh, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("CXX", compiler_that(tmp_path, script))
    assert step_function("auto", model(), DOUBLE, **LONG) is losses.loss_and_gradient
    assert "the step cannot be compiled" in caplog.text
    assert reason in caplog.text
    with pytest.raises(ValueError, match=rf"compile: must be auto or off, got 'on', but the step .*{reason}"):
        step_function("on", model(), DOUBLE, neurons=1, steps=1)


def test_the_machines_that_the_kernel_is_for(monkeypatch):
    monkeypatch.setattr(library, "compiler", lambda: ["g++"])
    machines = ("linux", "x86_64"), ("linux", "aarch64"), ("linux", "riscv64"), ("darwin", "arm64"), ("win32", "AMD64")
    for k, (system, processor) in enumerate(machines):
        monkeypatch.setattr(sys, "platform", system)
        monkeypatch.setattr(platform, "machine", lambda processor=processor: processor)
        assert library.suits_the_machine() == (k < 2)


def test_the_choice_of_the_step(monkeypatch):
    """Take the kernel where it can be used and pays, and say why not with `on`."""
    cubed = Activation(lambda z: z**3, lambda z, s: 3 * z**2, lambda z, s, s1: 6 * z)
    monkeypatch.setitem(ACTIVATIONS, "cubed", cubed)

    def chosen(how, shape=None, sizes=LONG, **where):
        return isinstance(step_function(how, shape or model(), DOUBLE, **sizes, **where), Kernel)

    short = {"neurons": 100, "steps": 10}
    assert [chosen("on", sizes=short), chosen("auto", sizes=short), chosen("auto"), chosen("off")] == [1, 0, 1, 0]
    for shape, where, reason in (
        (model(activation="cubed"), {}, "no model.activation=cubed"),
        (model(derivative="autograd"), {}, "derivative is autograd"),
        (model(), {"on_gpu": True}, "a CPU"),
        (model(), {}, "a C\\+\\+ compiler"),
    ):
        if reason.endswith("compiler"):
            monkeypatch.setenv("CXX", "no-such-compiler")
        assert not chosen("auto", shape, **where)
        with pytest.raises(ValueError, match=reason):
            chosen("on", shape, **where)
