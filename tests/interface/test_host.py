"""The verbs in a program that has a life of its own: they take nothing from it."""

import logging
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import warnings

import matplotlib
import numpy as np
import pandas
import psutil
import pytest
import torch
from hydra import initialize_config_dir, version
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

import runge
from runge.search.display import Display
from runge.sweeps.processes import start_loading
from runge.training.callbacks.history import ProgressBar
from tests.commands.conftest import ONE
from tests.sweeps.commands import TINY_SEARCH

pytestmark = pytest.mark.usefixtures("in_folder")

TINY = ("trainer.max_steps=20", "trainer.log_every=5", "model.width=8", "model.depth=1")
LOGGERS = "", "runge", "lightning", "lightning.pytorch", "hydra"


def state():
    """What a program may have set, as far as it can be compared."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    resolved = OmegaConf.create({"all": "${share:1} ${directory:1} ${record:1}"})
    return {
        "handlers of signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "blocked signals": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "interval of the timer": signal.getitimer(signal.ITIMER_REAL)[1],
        "loggers": [(one.handlers[:], one.filters[:], one.level, one.propagate, one.disabled) for one in loggers],
        "errors of loggers": logging.raiseExceptions,
        "resolvers": resolved.all,
        "Hydra": (GlobalHydra.instance().hydra, HydraConfig.instance().cfg, version.getbase()),
        "filters of warnings": warnings.filters[:],
        "matplotlib": (matplotlib.get_backend(), dict(matplotlib.rcParams)),
        "torch": (torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype()),
        "random numbers": (torch.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate()),  # noqa: NPY002
        "streams": (sys.stdout, sys.stderr, sys.stdin, sys.excepthook),
        "environment": {*os.environ.items()},
        "paths": (os.getcwd(), sys.path[:], sys.argv[:]),
        "processes": (multiprocessing.active_children(), psutil.Process().children()),
    }


@pytest.fixture
def host(monkeypatch, tmp_path):
    """A program with a thread that prints until an event, a timer whose signals it collects, and own settings."""
    runge.train(*TINY)  # libraries change some settings when they are imported
    _ = runge.SobolevRegressor
    stop, printed, alarms = threading.Event(), [], []

    def talk():
        while not stop.wait(0.005):
            print(f"tick {len(printed)}")
            printed.append(len(printed))

    numbers = signal.SIGALRM, signal.SIGINT, signal.SIGTERM
    before = {number: signal.signal(number, lambda one, _: alarms.append(one)) for number in numbers}
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    for name in ("share", "directory", "record"):
        OmegaConf.register_new_resolver(name, lambda one, name=name: f"own {name} {one}", replace=True)
    own, threads = logging.StreamHandler(open(tmp_path / "host.log", "w")), torch.get_num_threads()  # noqa: SIM115
    logging.getLogger().addHandler(own)
    logging.getLogger("runge").addHandler(own)
    monkeypatch.setattr(logging.getLogger("lightning.pytorch"), "level", logging.DEBUG)
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setattr("runge.process.machine.keep_memory", lambda: pytest.fail("malloc belongs to the program"))
    torch.set_num_threads(2)
    talker = threading.Thread(target=talk, daemon=True)
    (tmp_path / "host").mkdir()
    with initialize_config_dir(str(tmp_path / "host"), version_base="1.2"), warnings.catch_warnings():
        warnings.simplefilter("once", ResourceWarning)
        with matplotlib.rc_context({"font.size": 7}):
            yield talker, stop, alarms
            stop.set()
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)
    for name in ("", "runge"):
        logging.getLogger(name).removeHandler(own)
    own.stream.close()
    torch.set_num_threads(threads)
    for name in ("share", "directory", "record"):
        OmegaConf.clear_resolver(name)


def mistake():
    with pytest.raises(runge.ConfigurationError, match="unknown key"):
        runge.train("model.widht=8")


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_no_verb_takes_anything_from_its_host(processes, host, capfd):
    if processes > 1:
        start_loading()  # the server of the package remains, for the next sweep
    (talker, stop, alarms), trained_by = host, [f"hydra.launcher.processes={processes}"]
    x = np.linspace(0, 1, 40)
    table = pandas.DataFrame({"x": x, "y": np.sin(3 * x), "dy_dx": 3 * np.cos(3 * x)})
    left_out = "~search.tables", "+search.tables", "data=", "hydra.launcher"
    search = *(one for one in TINY_SEARCH if not one.startswith(left_out)), *ONE, *TINY[:1], *trained_by
    estimator = runge.SobolevRegressor(max_steps=20, width=8, random_state=0)
    verbs = {
        "train": lambda: runge.train(table, *TINY, directory="run"),
        "sweep": lambda: runge.sweep(table, *TINY, *trained_by, "seed=0,1", directory="sweep"),
        "fit": lambda: runge.fit(table, *search, directory="fit"),
        "check": lambda: runge.check(table),
        "predict": lambda: runge.predict("run", table, 0.5),
        "suggest": lambda: runge.suggest("sweep", 3),
        "export": lambda: runge.export("run", "c"),
        "draw": lambda: runge.draw("run"),
        "compare": lambda: runge.compare("run", "sweep", out="report"),
        "mistake": mistake,
        "estimator": lambda: estimator.fit(x[:, None], np.sin(x), dydx=np.cos(x)),
    }
    talker.start()
    for name, verb in verbs.items():
        del alarms[:]
        before = state()
        verb()
        while not alarms:  # the timer is armed
            time.sleep(0.01)
        after = state()
        changed = {key: (before[key], after[key]) for key in after if after[key] != before[key]}
        assert not changed, f"{name} changes {changed}"
        assert {*alarms} == {signal.SIGALRM}, name
    stop.set()
    talker.join()
    out, err = capfd.readouterr()
    count = out.count("tick")
    assert count > 100
    assert "steps/s" not in err
    assert out == "".join(f"tick {number}\n" for number in range(count))


def test_progress_is_shown_in_a_notebook(monkeypatch):
    assert ProgressBar(10, 0).bar.disable
    assert Display(list, 60, shown=True).live is None
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("runge.process.machine.find_spec", lambda _: None)  # Rich would only warn without these widgets
    assert ProgressBar(10, 0).bar.disable
    monkeypatch.setattr("runge.process.machine.find_spec", lambda name: name)
    assert not ProgressBar(10, 0).bar.disable
    assert Display(list, 60, shown=True).live
