"""Full disks, lost directories and killed processes affect only their own runs, which can be completed later."""

import errno
import os
import shutil
import signal
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.metadata import CONFIG_SUMMARY_TAG

from runge.loggers import TensorBoard
from runge.process.interruption import Interruption
from runge.training.module import SobolevRegression
from tests.sweeps.commands import Command, until
from tests.sweeps.test_killed import check_files, check_same
from tests.sweeps.test_run import SHORT, before_step, figures, fit_alone, only_run, state
from tests.sweeps.test_sweep import SWEEP


def full_disk(monkeypatch, is_full):
    """Let the disk be full for each file for whose path this is true."""
    original = os.fsync

    def fsync(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if not os.path.isdir(path) and is_full(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def after(count):
    """Return true for all files after this number of them."""
    left = iter(range(count))
    return lambda path: next(left, None) is None


def test_full_disk(fail, finish, trained, tmp_path, monkeypatch):
    """Twice: when a run begins, and when it is resumed."""
    run = tmp_path / "run"
    for count, words in ((1, (*SHORT, "hydra.run.dir=run")), (18, ("resume=run",))):
        with monkeypatch.context() as patch:
            full_disk(patch, after(count))
            _, err = fail(*words)
        assert "No space left on device" in err
        check_files(run)
        assert not (run / "metrics.json").exists()
    finish("resume=run")
    check_same(run, only_run(trained(*SHORT)[0]))


@pytest.mark.nightly
def test_states_that_cannot_be_saved(fit, trained, monkeypatch, caplog):
    """The files of a run do not depend on its own checkpoints."""
    with monkeypatch.context() as patch:
        full_disk(patch, lambda path: "last.ckpt" in path)
        run = fit("run", *SHORT)
    assert caplog.text.count("No space left on device") == 1
    assert not (run / "checkpoints" / "last.ckpt").exists()
    whole = only_run(trained(*SHORT)[0])  # afterwards, because Hydra takes the handler of caplog away
    assert figures(run) == figures(whole)


@pytest.mark.nightly
def test_full_disk_in_a_sweep_and_runs_whose_files_cannot_be_written_or_are_gone(
    fail, finish, trained, tmp_path, monkeypatch
):
    """The disk is full when it begins, and when it is continued; then one run's weights cannot be written, and the
    directory of another goes while it is trained.
    """
    sweep, whole = tmp_path / "sweep", trained(*SWEEP, "hydra.sweep.dir=sweep")[0] / "sweep"
    compared = (*SWEEP, "search.compare=true", "hydra.sweep.dir=sweep")
    for count in (5, 35):
        with monkeypatch.context() as patch:
            full_disk(patch, after(count))
            out, err = fail(*compared)
        assert "No space left on device" in out + err
        assert "failed" in out[out.index("3 runs by") :]
    with monkeypatch.context() as patch:
        full_disk(patch, lambda path: "/1/checkpoints/" in path)
        before_step(patch, 100, lambda: shutil.rmtree(sweep / "2"))
        out, _ = fail(*compared)
    assert "failed: its files cannot be written" in " ".join(out[out.index("3 runs by") :].split())
    assert not (sweep / "2").exists()
    assert "best.ckpt" in state(sweep / "1")["message"]
    assert [state(sweep / name)["status"] for name in "01"] == ["finished", "failed"]
    finish(*SWEEP, "hydra.sweep.dir=sweep")
    assert not (sweep / ".stacks").exists()
    for name in "01":
        check_same(sweep / name, whole / name)
    assert figures(sweep / "2") == pytest.approx(figures(whole / "2"), rel=1e-3)


@contextmanager
def half_written(path, mode):
    """Open a file that fails after half of its content is written, as on a full disk."""
    with open(path, mode) as file:

        def write(content):
            file.write(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        yield SimpleNamespace(write=write)


def test_full_event_file_stays_readable(tmp_path, monkeypatch):
    run = tmp_path / "run"
    (run / "tensorboard").mkdir(parents=True)
    (run / "tensorboard" / "events.0").touch()  # of a run whose first write failed
    logger = TensorBoard(save_dir=str(run), start_step=0, varied=[], options={})
    logger.log_hyperparams({})
    logger.log_metrics({"a": 1.0}, 1)
    logger.save()
    logger.log_metrics({"a": 2.0}, 2)
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.open", half_written)
        with pytest.raises(OSError, match=r"No space left on device.*tfevents"):
            logger.save()
    logger.save()
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert [event.value for event in events.Scalars("a")] == [1.0, 2.0]
    assert CONFIG_SUMMARY_TAG in events.Tags()["tensors"]
    shutil.rmtree(run)
    with pytest.raises(FileNotFoundError):
        logger.save()
    assert not run.exists()


@pytest.mark.nightly
def test_no_memory_in_one_stack(fail, finish, tmp_path, monkeypatch):
    original = SobolevRegression.training_step

    def run_out(self, block, index):
        if self.network.theta.shape[1] > 100 and int(self.step) == 60:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        original(self, block, index)

    sweep = (*SWEEP, "seed=0", "model.width=4,12", "hydra.sweep.dir=sweep")
    with monkeypatch.context() as patch:
        patch.setattr(SobolevRegression, "training_step", run_out)
        fail(*sweep)
    states = [state(tmp_path / "sweep" / name) for name in "01"]
    assert [one["status"] for one in states] == ["finished", "failed"]
    assert "out of memory" in states[1]["message"]
    assert states[1]["step"] == 60
    finish(*sweep)


@pytest.mark.nightly
def test_killed_worker(finish, tmp_path):
    sweep = ("-m", *SHORT, "seed=range(4)", "trainer.max_steps=2000", "trainer.log_every=250", "hydra.sweep.dir=sweep")
    sweep += ("search.compare=false", "trainer.progress_bar=false")
    command = Command(tmp_path, *sweep, "hydra.launcher.processes=2")
    runs = [tmp_path / "sweep" / name for name in "0123"]
    until(lambda: len([*tmp_path.glob("sweep/.stacks/*.ckpt")]) == 2)
    assert len(command.members()) == 3  # with both workers
    command.end("KILL", "worker")
    assert command.wait()[0] == 1
    states = [state(run) for run in runs]
    assert sorted(one["status"] for one in states) == ["failed", "failed", "finished", "finished"]
    messages = [one["message"] for one in states if one["status"] == "failed"]
    assert all("its process was killed by SIGKILL" in message for message in messages)
    finish(*sweep, "hydra.launcher.processes=1")
    for run in runs:
        check_files(run)
        assert state(run)["status"] == "finished"


@pytest.mark.nightly
def test_signal_during_a_drawing(trained, tmp_path):
    """A drawing may take some seconds to end; if it is interrupted, Matplotlib raises an error of its own."""
    draw, drawn, run = Figure.draw, [], tmp_path / "run"

    def interrupted(figure, renderer):
        if not drawn:
            drawn.append(figure)
            signal.raise_signal(signal.SIGINT)
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                raise ValueError("Invalid bounding box") from None
        draw(figure, renderer)

    def interrupt(patch):
        patch.setattr(Interruption, "PATIENCE", 0.2)
        patch.setattr(Figure, "draw", interrupted)

    fit_alone(run, *SHORT, "pictures=true", interrupt=interrupt)
    assert drawn
    assert state(run)["status"] == "interrupted"
    fit_alone(run, *SHORT)
    check_same(run, only_run(trained(*SHORT)[0]))


def test_signal_before_the_fit(fail, tmp_path, monkeypatch):
    monkeypatch.setattr("runge.training.prepare.set_start", lambda *_: signal.raise_signal(signal.SIGTERM))
    _, err = fail(*SHORT, "hydra.run.dir=run")
    assert "error: interrupted" in err
    assert not (tmp_path / "run").exists()
