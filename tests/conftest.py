import gc
import io
import logging
import os
import runpy
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import cache
from hashlib import sha256
from itertools import count
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import torch
from filelock import FileLock
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from hypothesis import settings

from runge.composing.composition import Composer, plain_data, register_resolvers
from runge.configuration.objects import CONFIGURATIONS
from runge.optimizers import Problem
from runge.process import machine
from runge.records.directories import RunDirectory
from runge.sobolev.network import Model
from runge.training.member import Member
from runge.training.settings import Settings
from tests.randomness import _seeded, fresh_seeds

__all__ = ["_seeded", "fresh_seeds"]

ROOT = Path(__file__).resolve().parent.parent

torch.set_num_threads(1)
# The same examples in each run, so that the tests that a newcomer runs are those that were green. More and other ones:
# `pytest --hypothesis-profile default`. A busy machine may need longer for one than 0.2 s.
settings.register_profile("default", deadline=None)
settings.register_profile("few", settings.get_profile("default"), max_examples=25, derandomize=True)
settings.load_profile("few")
# A shell ignores it for what it starts in the background, and so would all that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=1, help="how many runs of each kind are killed")
    parser.addoption("--compositions", type=int, default=2, help="how many random compositions are compared")
    parser.addoption("--commands", type=int, default=2, help="how many random commands are tried")
    parser.addoption("--attacks", type=int, default=2, help="how many attacks on a directory are tried")
    parser.addoption("--sequences", type=int, default=1, help="how many sequences of disturbances are tried")
    parser.addoption("--exports", choices=["few", "all"], default="few", help="which of all networks are exported")
    parser.addoption("--nightly", action="store_true", help="also the tests that take long or need a further tool")


def pytest_configure(config):
    config.addinivalue_line("markers", "nightly: it takes long, or needs a tool beyond pip and a C compiler")


def pytest_collection_modifyitems(config, items):
    """Skip what is for the night, unless `--nightly` is given."""
    if not config.getoption("nightly"):
        for item in items:
            if item.get_closest_marker("nightly"):
                item.add_marker(pytest.mark.skip(reason="it takes long: `--nightly` runs it"))


if TYPE_CHECKING:
    from runge.training.prepare import Stack
    from runge.training.record import Outcome


@cache
def composer() -> Composer:
    """The composer of a sweep's jobs, to which a composition of the same options takes 2 ms instead of 90 ms."""
    register_resolvers()
    with initialize_config_dir(str(CONFIGURATIONS), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        return Composer(loader, loader.load_configuration("config", ["hydra.mode=MULTIRUN"], RunMode.MULTIRUN))


def compose(*overrides: str) -> dict[str, Any]:
    """The configuration of a run, as plain data, composed as that of a job of a sweep is."""
    return plain_data(composer()(overrides, 0))[0]


def command(*arguments: str) -> tuple[int, str]:
    """`python train.py ...`: its exit status, and the text that the interpreter prints before it exits with 1."""
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train.py", *arguments])
        try:
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        except SystemExit as end:
            return (1, end.code) if isinstance(end.code, str) else (int(end.code or 0), "")
        finally:  # the log of a directory that may be gone would be opened again by what the next test logs
            for handler in logging.getLogger().handlers[:]:
                if isinstance(handler, logging.FileHandler):
                    logging.getLogger().removeHandler(handler)
                    handler.close()
    return 0, ""


def fit_stack(stack: "Stack", directories: Sequence[RunDirectory], **options: Any) -> "list[Outcome]":
    """Train a stack without the command and without a progress bar; return the outcomes."""
    from runge.pictures.drawing import draw_into
    from runge.training.train import train_and_record  # late: it loads Lightning

    return train_and_record(stack, directories, draw_into, lambda _: None, **options)


def interrupted_at(step: int) -> Callable[..., Problem]:
    """Return a substitute for `Problem`, which each step makes once; it sends a Ctrl-C at this step."""
    steps = count(1)

    def problem(*arguments: Any) -> Problem:
        if next(steps) == step:
            signal.raise_signal(signal.SIGINT)
        return Problem(*arguments)

    return problem


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder of all processes of the tests."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(autouse=True)
def _frozen() -> None:
    """Keep what has been loaded out of the collections of garbage: each takes 0.3 s, and a sweep makes one a stack."""
    _freeze("lightning" in sys.modules)


@cache
def _freeze(with_lightning: bool) -> None:  # at first, and again when a test has loaded Lightning
    gc.collect()
    gc.freeze()


@pytest.fixture
def draws(pytestconfig) -> Callable[[int], Random]:
    """The random numbers of a trial, always the same ones unless `--hypothesis-seed` is given."""
    seed = pytestconfig.getoption("--hypothesis-seed")
    return lambda trial: Random(trial if seed is None else f"{seed} {trial}")


@pytest.fixture
def in_folder(tmp_path, monkeypatch) -> None:
    """Be in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def one_core(monkeypatch) -> None:
    """Let sweeps train in the process of their test, because each further process takes seconds to start."""
    monkeypatch.setattr(machine, "cores", lambda: 1)


@pytest.fixture
def refusal(capsys) -> Callable[..., str]:
    """The message with which a command ends after a user's mistake, given its `main` and its arguments."""

    def refused(main: Callable[[Sequence[str]], None], *arguments: str) -> str:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2
        return capsys.readouterr().err

    return refused


@pytest.fixture(scope="session", autouse=True)
def _kernels(shared) -> None:
    """Share the compiled kernels among all processes of the tests."""
    folder = shared / "kernels"
    folder.mkdir(mode=0o700, exist_ok=True)
    os.environ["RUNGE_CACHE_DIR"] = str(folder)


@pytest.fixture
def fit(tmp_path, monkeypatch) -> Callable[..., Path]:
    """Train a run by its member and its stack, without the command; return its directory, in an empty folder."""
    from runge.training.prepare import prepare  # late: it loads Lightning

    monkeypatch.chdir(tmp_path)

    def run(name: str, *overrides: str) -> Path:
        directory, configuration = RunDirectory(tmp_path / name), compose(*overrides)
        directory.path.mkdir()
        directory.begin(configuration, overrides, {})
        (outcome,) = fit_stack(prepare([Member(Settings.of(configuration), overrides)]), [directory], alone=True)
        assert isinstance(outcome, dict), outcome
        return directory.path

    return run


@pytest.fixture
def train(tmp_path, monkeypatch, capfd) -> Callable[..., tuple[int, str, str]]:
    """`python train.py ...` in an empty folder, with a Ctrl-C at a step: its exit status, its output and its errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, interrupt: int | None = None) -> tuple[int, str, str]:
        with pytest.MonkeyPatch.context() as patch:
            if interrupt:
                patch.setattr("runge.optimizers.optimizer.Problem", interrupted_at(interrupt))
            status, last_words = command(*arguments)
        out, err = capfd.readouterr()
        return status, out, err + last_words

    return run


@pytest.fixture
def finish(train) -> Callable[..., str]:
    """`python train.py ...`, which must succeed: its output."""

    def run(*arguments: str) -> str:
        status, out, err = train(*arguments)
        assert status == 0, out + err
        return out

    return run


@pytest.fixture
def fail(train) -> Callable[..., tuple[str, str]]:
    """`python train.py ...`, which must fail without a traceback: its output and its errors."""

    def run(*arguments: str, interrupt: int | None = None) -> tuple[str, str]:
        status, out, err = train(*arguments, interrupt=interrupt)
        assert status in (1, 2), out + err
        assert "Traceback" not in out + err
        return out, err

    return run


@pytest.fixture(scope="session")
def trained(shared) -> Callable[..., tuple[Path, str]]:
    """`python train.py ...`, once for all tests that ask for it: its folder, of which they may take a copy, and output.

    Whoever asks must have patched nothing.
    """

    def run(*arguments: str) -> tuple[Path, str]:
        folder = shared / f"trained-{sha256(repr(arguments).encode()).hexdigest()[:16]}"
        printed = folder.with_suffix(".txt")
        with FileLock(folder.with_suffix(".lock")):
            if not printed.exists():
                folder.mkdir()
                with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
                    patch.chdir(folder)
                    status, last_words = command(*arguments)
                assert status == 0, out.getvalue() + last_words
                printed.write_text(out.getvalue())
        return folder, printed.read_text()

    return run


@pytest.fixture
def configuration() -> Callable[..., dict[str, Any]]:
    """The configuration that a sweep composes from these overrides, as plain data."""
    return compose


def generator(seed: int = 0) -> torch.Generator:
    """A source of random numbers."""
    return torch.Generator().manual_seed(seed)


def model(**changes) -> Model:
    """A network's shape, 1 -> 8 -> 8 -> 1 except for these changes."""
    shape = {"activation": "tanh", "depth": 2, "width": 8, "init": "default", "derivative": "forward"}
    return Model(**shape | changes)
