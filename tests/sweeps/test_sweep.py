"""Fused sweeps leave what Hydra's own launcher would, in less time."""

import errno
import os
import resource
import weakref
from unittest.mock import Mock

import pytest
import torch
import yaml
from hydra.errors import HydraException
from hydra.types import RunMode
from joblib.externals.loky import get_reusable_executor
from omegaconf import OmegaConf

import runge.training.train as training_run
from runge.composing.composition import Composer, options_of
from runge.composing.jobs import Job
from runge.configuration.errors import DivergedError
from runge.records.checkpoints import STACKS
from runge.records.directories import RunDirectory
from runge.sweeps import launch
from runge.sweeps.chunks import begun_chunks, plan_chunks
from runge.training.member import Member
from runge.training.prepare import Stack, prepare
from runge.training.settings import Settings
from tests.conftest import composer, fit_stack
from tests.sweeps.commands import Command, until
from tests.sweeps.test_run import SHORT, check_equal, figures, state

SWEEP = ("-m", "seed=0,1,2", "sampling=random", "hydra.launcher.processes=1", "search.compare=false", *SHORT)
QUICK = (*SHORT, "trainer.max_steps=4", "trainer.log_every=2", "search.compare=false", "hydra.launcher.processes=1")


def new_run(path):
    path.mkdir()
    return RunDirectory(path)


def directories(sweep):
    return {path.parent.name: path.parent for path in sweep.glob("*/metrics.json")}


@pytest.mark.parametrize("processes", ["1", pytest.param("2", marks=pytest.mark.nightly)])
def test_jobs_are_left_as_hydra_s_own_launcher_leaves_them(processes, finish, trained, tmp_path):
    """Two in a stack, and one alone."""
    sweep = ("-m", "sampling=random,chebyshev,mixed", "trainer.precision=64", *SHORT)
    sweep += ("search.compare=false", "search.batch=2")
    finish(*sweep, f"hydra.launcher.processes={processes}", "hydra.sweep.dir=fused")
    fused = directories(tmp_path / "fused")
    basic = directories(trained(*sweep, "hydra/launcher=basic", "hydra.sweep.dir=basic")[0] / "basic")
    assert sorted(fused) == sorted(basic) == ["0", "1", "2"]
    for name, theirs in basic.items():
        ours, files, hydra, said = fused[name], [], [], []
        for run in (ours, theirs):
            files.append({str(path.relative_to(run)) for path in run.rglob("*") if "tfevents" not in path.name})
            hydra.append(yaml.safe_load((run / ".hydra" / "hydra.yaml").read_text())["hydra"])
            for key in ("launcher", "sweep", "runtime", "overrides"):
                hydra[-1].pop(key)
            # A run that is trained alone says that lambda_d is on when it is switched on, and again at its end.
            lines = (run / "train.log").read_text().splitlines()
            said.append([*dict.fromkeys(line.split("] - ")[1].split(";")[0] for line in lines)])
        # The state of a run that is trained alone, as each is with two processes.
        assert files[1] - files[0] == ({"checkpoints/last.ckpt"} if processes == "1" and name in "01" else set())
        assert files[0] <= files[1]
        assert hydra[0] == hydra[1]
        assert said[0] == said[1]
        for record in ("run.json", ".hydra/config.yaml", ".hydra/overrides.yaml"):
            assert (ours / record).read_text() == (theirs / record).read_text()
        assert figures(ours) == pytest.approx(figures(theirs), rel=1e-6, abs=1e-9)
        assert state(ours)["status"] == "finished"


def test_a_diverging_member_leaves_its_neighbours_bits(configuration, tmp_path):
    options = ("optimizer=sgd", "optimizer.clip_norm=null", "model.activation=relu", *SHORT[:-1], "schedule=constant")

    def train(name, *weights):
        members = [
            Member(Settings.of(configuration(*options, f"loss.lambda_d={weight}")), options) for weight in weights
        ]
        runs = [new_run(tmp_path / f"{name}{i}") for i in range(len(members))]
        return [run.path for run in runs], fit_stack(prepare(members), runs)

    good, _ = train("good", 0.1, 0.2, 0.3)
    bad, outcomes = train("bad", 0.1, 1e12, 0.3)
    assert [isinstance(outcome, DivergedError) for outcome in outcomes] == [False, True, False]
    assert (state(bad[1])["status"], state(bad[1])["step"]) == ("diverged", 20)
    check_equal(bad[0], good[0])
    check_equal(bad[2], good[2])


def test_a_stack_of_more_runs_than_files_may_be_open(finish):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 8, before[1]))
    try:
        finish("-m", *QUICK, "seed=range(8)")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.nightly
def test_joblib_caps_threads(finish, tmp_path):
    """For one run, one of the two workers loads everything."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    large = ("data.n_train=1024", "model.width=128", "trainer.max_steps=2", "data.n_val=16", "data.n_test=101")
    large += ("pictures=false", "search.compare=false")
    try:
        finish("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep", *large)
    finally:
        get_reusable_executor().shutdown()  # which would outlive the command
    checkpoint = torch.load(tmp_path / "sweep" / "0" / "checkpoints" / "last.ckpt")
    assert checkpoint["stack"]["threads"] <= max(1, (os.cpu_count() or 1) // 2)


def test_too_few_seeds_are_said(configuration, caplog):
    for seeds, weights, needed in ((2, 2, 1), (5, 7, 0), (1, 3, 0), (3, 1, 0)):
        caplog.clear()
        made = [(f"seed={seed}", f"loss.lambda_d={weight}") for seed in range(seeds) for weight in range(weights)]
        launch._warn_of_few_seeds(jobs(configuration, *made))
        assert caplog.text.count("more than chance needs 5 seeds, not") == needed


def test_interrupted_sweep_keeps_what_is_finished(tmp_path):
    """As a command with a group of its own, interrupted as by Ctrl-C."""
    short = [option for option in SHORT if "max_steps" not in option]
    sweep = ("-m", "trainer.max_steps=100,200000", *short, "hydra.sweep.dir=sweep", "hydra.launcher.processes=2")
    command = Command(tmp_path, *sweep)
    until((tmp_path / "sweep" / "1" / "checkpoints" / "last.ckpt").exists)
    until((tmp_path / "sweep" / "0" / "metrics.json").exists)
    command.end("INT", "command")
    code, printed = command.wait()
    assert code == 1
    assert "error: interrupted; 1 of 2 runs are finished" in printed
    assert "Traceback" not in printed
    states = [state(tmp_path / "sweep" / name) for name in "01"]
    assert [one["status"] for one in states] == ["finished", "interrupted"]
    assert states[1]["step"] > 0


def test_a_run_that_diverges_or_a_mistake_in_a_later_batch(fail, tmp_path):
    """Also without logs of the runs."""
    one_by_one = "search.batch=1", "hydra/job_logging=none", *QUICK, "hydra.sweep.dir=sweep"
    fail("-m", "model.depth=1,-1", *one_by_one)
    assert list(tmp_path.iterdir()) == []
    _, err = fail("-m", "optimizer=sgd", "optimizer.lr=1e9,1e-3", "model.activation=relu", *one_by_one)
    assert "error: diverged" in err
    assert sorted(directories(tmp_path / "sweep")) == ["1"]


def test_only_whole_stacks_resume_and_a_run_alone_begins_again(fail, finish, trained, tmp_path):
    """The stack continues with a run that has finished without it, and with one that was only begun without it."""
    sweep = (*SWEEP[2:], "hydra.sweep.dir=sweep")
    whole = directories(trained(*SWEEP, "hydra.sweep.dir=sweep")[0] / "sweep")
    fail("-m", "seed=0,1,2", *sweep, interrupt=80)
    (stack,) = (tmp_path / "sweep" / STACKS).iterdir()
    _, err = fail("-m", "seed=2,0", *sweep)
    assert "error: hydra.sweep.dir: " in err  # the second run has another number
    assert "begins again" in finish("resume=sweep/0")
    fail("resume=sweep/1", interrupt=10)
    assert [*stack.parent.iterdir()] == [stack]
    assert "begins again" not in finish("-m", "seed=0,1,2", *sweep)
    assert not stack.parent.exists()
    ours = directories(tmp_path / "sweep")
    assert figures(ours["0"]) == pytest.approx(figures(whole["0"]), rel=1e-3)
    for name in "12":
        assert figures(ours[name]) == figures(whole[name])


@pytest.mark.nightly
def test_a_command_with_fewer_or_more_runs_than_its_stack_begins_them(fail, finish, trained, tmp_path):
    sweep = (*SWEEP[2:], "hydra.sweep.dir=sweep")
    whole = directories(trained(*SWEEP, "hydra.sweep.dir=sweep")[0] / "sweep")
    fail("-m", "seed=0,1", *sweep, interrupt=80)
    assert "is not continued: the command has 1 of its 2 runs" in finish("-m", "seed=0", *sweep)
    finish("-m", "seed=0,1,2", *sweep)
    for name, folder in directories(tmp_path / "sweep").items():
        assert figures(folder) == pytest.approx(figures(whole[name]), rel=1e-3)
    assert not (tmp_path / "sweep" / STACKS).exists()


def test_a_state_of_a_stack_that_cannot_be_read(configuration, tmp_path, monkeypatch, caplog):
    """It is left alone on an error of the disk; one that is damaged is set aside, and its runs begin again."""
    monkeypatch.chdir(tmp_path)
    ended, begun = jobs(configuration, ("seed=0",), ("seed=1",))
    RunDirectory(begun.directory).hydra.mkdir(parents=True)
    file = tmp_path / STACKS / "0.ckpt"
    file.parent.mkdir()
    file.write_bytes(b"damaged")
    both = [ended._replace(outcome=1.0), begun]
    with monkeypatch.context() as patch:
        patch.setattr("zipfile.ZipFile", Mock(side_effect=OSError(errno.EIO, os.strerror(errno.EIO), str(file))))
        with pytest.raises(OSError, match="Input/output error"):
            begun_chunks(both, tmp_path)
    assert file.read_bytes() == b"damaged"
    chunks, _ = plan_chunks(both, 1, 32, begun_chunks(both, tmp_path))
    assert [chunk.jobs for chunk in chunks] == [[1]]
    assert "0.ckpt cannot be read" in caplog.text
    assert "a stack of 2 runs begins again with 1 of them, whose figures are the same to round-off" in caplog.text
    assert [path.name for path in file.parent.iterdir()] == ["0.ckpt.damaged"]


COMPOSED = [
    ["seed=3", "loss.lambda_d=1e-3", "model.activation=relu", "data.seed=null", "trainer.progress_bar=false"],
    ["sampling=mixed", "sampling.share=0.5"],
    ["sampling.share=0.5", "sampling=mixed"],
    ["experiment=hw2", "model.width=7"],
    ["optimizer=sgd", "+optimizer.betas=[0.5,0.6]", "optimizer.lr=0.5"],
    ["~optimizer.betas"],
    ["target=expression", "target.expr='exp(-x)*sin(8*x)'", "target.domain=[0,1]"],
    ["seed=1", "seed=2", "+new=1", "++new=2", "++seed=3", "new=4"],
    ["loss.lambda_d=1", "loss={lambda_d: 3}"],
    ["loss={lambda_d: 3}", "loss.lambda_d=1"],
    ["seed=3", "~seed"],
    ["+new=1", "~new"],
    ["model=3", "objective=[val/mse_f,val/mse_df]"],
    ["seed=", "resume='a, \\'b\\': ${seed}'", "trainer.patience=${trainer.max_steps}", "trainer.max_steps=???"],
    ["+optimizer@second=sgd", "second.lr=0.5"],
    ["~balance", "hydra.job.config.override_dirname.kv_sep=:", "seed=4"],
]
REFUSED = [
    ["optimizer=sdg"],
    ["nokey=1"],
    ["seed.low=1"],
    ["model.nokey=1", "seed=2"],
    ["+seed=1"],
    ["~nokey"],
    ["~seed=5"],
    ["seed=1,2"],
    ["sampling@other=mixed"],
    ["+sampling=mixed"],
    ["data/nogroup=1"],
]


@pytest.fixture(scope="module")
def compose():
    """The composer of the jobs of a sweep with `schedule=constant`."""
    loader = composer()._loader
    master = loader.load_configuration("config", ["hydra.mode=MULTIRUN", "schedule=constant"], RunMode.MULTIRUN)
    return Composer(loader, master)


@pytest.mark.parametrize("overrides", COMPOSED, ids=" ".join)
def test_composes_as_hydra_does(overrides, compose):
    theirs = compose._loader.load_sweep_config(compose._master, overrides)
    compose(["seed=1"], 0)  # what was composed before leaves no trace
    ours = compose(overrides, 5)
    assert ours.hydra.job.num == 5
    for config in (ours, theirs):
        OmegaConf.set_struct(config, False)
        config.hydra.job.num = config.hydra.job.id = 0
    assert OmegaConf.to_yaml(ours) == OmegaConf.to_yaml(theirs)


@pytest.mark.parametrize("overrides", REFUSED, ids=" ".join)
def test_refuses_as_hydra_does(overrides, compose):
    with pytest.raises(HydraException) as theirs:
        compose._loader.load_sweep_config(compose._master, overrides)
    with pytest.raises(HydraException) as ours:
        compose(overrides, 0)
    assert (type(ours.value), str(ours.value)) == (type(theirs.value), str(theirs.value))
    assert str(ours.value.__cause__) == str(theirs.value.__cause__)


def test_options_are_those_of_the_run_and_not_of_the_sweep(compose):
    chosen = options_of(compose(["schedule=two_stage_ramp", "seed=1"], 0).hydra)
    assert (chosen["schedule"], chosen["optimizer"], chosen["target"]) == ("two_stage_ramp", "adam", "runge")
    replaced = options_of(compose(["optimizer._target_=torch.optim.RMSprop", "~optimizer.betas"], 1).hydra)
    assert "optimizer" not in replaced
    assert not any(group.startswith("hydra/") for group in chosen)


def jobs(configuration, *overrides):
    made = [Member(Settings.of(configuration(*own)), list(own)) for own in overrides]
    return [Job(None, [], str(i), member, None) for i, member in enumerate(made)]


def chunks_of(jobs, processes=1, most=32):
    return plan_chunks(jobs, processes, most)[0]


def test_plan_shares_stacks_and_keeps_all_processes_busy(configuration):
    samplings = ("random", "mixed")
    made = [(f"seed={i}", f"loss.lambda_d={i}", f"sampling={name}") for i in range(4) for name in samplings]
    eight = jobs(configuration, *made)
    (chunk,) = chunks_of(eight)
    assert sorted(chunk.jobs) == list(range(8))
    assert [len(chunk.jobs) for chunk in chunks_of(eight, 2)] == [4, 4]
    assert [len(chunk.jobs) for chunk in chunks_of(eight, 1, 3)] == [3, 3, 2]
    some = [job._replace(outcome=1.0) for job in eight[:3]]
    assert sorted(chunks_of([*some, *eight[3:]])[0].jobs) == [3, 4, 5, 6, 7]
    widths = [(f"seed={seed}", f"model.width={width}") for width in (30, 31, 32, 33) for seed in (0, 1)]
    three, four = jobs(configuration, *widths[:6]), jobs(configuration, *widths)
    assert [len(chunk.jobs) for chunk in chunks_of(three, 2)] == [1] * 6  # halves of each group
    # Two whole groups for each process, the longest first.
    assert [chunk.jobs for chunk in chunks_of(four, 2)] == [[6, 7], [4, 5], [2, 3], [0, 1]]
    assert [len(chunk.jobs) for chunk in chunks_of(four, 3)] == [1] * 8


def test_plan_puts_the_longest_first_and_lbfgs_alone_and_separates_what_cannot_share(configuration):
    wide, lbfgs = ("model.width=128",), ("optimizer=lbfgs",)
    made = jobs(configuration, ("seed=0",), lbfgs, wide, lbfgs, ("seed=1",))
    assert [sorted(chunk.jobs) for chunk in chunks_of(made, 2)] == [[2], [0, 4], [1], [3]]
    assert [sorted(chunk.jobs) for chunk in chunks_of(made, 1)] == [[0, 4], [1], [2], [3]]  # in their own order
    for other in ("model.activation=relu", "optimizer.betas=[0.8,0.999]", "data.n_train=64"):
        chunks = chunks_of(jobs(configuration, ("seed=0",), ("seed=1", other), ("seed=2",)), 1)
        assert sorted(sorted(chunk.jobs) for chunk in chunks) == [[0, 2], [1]], other


@pytest.mark.nightly
def test_one_stack_at_a_time_is_in_memory_and_the_progress_is_shown(train, monkeypatch):
    """Also without the cyclic garbage collection, which commands make rare."""
    made, counts, make, take_steps = weakref.WeakSet(), [], Stack.__init__, training_run.train

    def count(self, *given):
        made.add(self)
        make(self, *given)

    def train_one(*given):
        counts.append(len(made))
        return take_steps(*given)

    monkeypatch.setattr(Stack, "__init__", count)
    monkeypatch.setattr(training_run, "train", train_one)
    status, out, err = train("-m", "seed=0,1", "model.depth=1,2,3", *QUICK)
    assert status == 0
    assert counts == [1, 1, 1]
    assert "more than chance needs 5 seeds, not 2" in out
    assert "6 of 6 runs" in err
    assert "steps/s" in err
