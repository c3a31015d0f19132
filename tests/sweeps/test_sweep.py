"""Fused sweeps leave what Hydra's own launcher would, in less time."""

import json
import os
import re
import resource
import time
import weakref

import pytest
import torch
import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from joblib.externals.loky import get_reusable_executor
from omegaconf import OmegaConf

from runge.records.directories import RunDirectory
from runge.sweeps.compose import Composer, options_of, register_resolvers
from runge.sweeps.jobs import Job, plan
from runge.training.member import Member
from runge.training.stack import Stack
from tests.conftest import ROOT
from tests.sweeps.commands import Command
from tests.sweeps.test_run import SHORT, figures


def new_run(path):
    path.mkdir()
    return RunDirectory(path)


def directories(sweep):
    return {path.parent.name: path.parent for path in sweep.glob("*/metrics.json")}


@pytest.mark.parametrize("processes", ["1", "2"])
def test_jobs_are_left_as_hydra_s_own_launcher_leaves_them(processes, train, trained, tmp_path):
    sweep = ("-m", "model.activation=tanh,sin", "sampling=random,chebyshev", "trainer.precision=64", *SHORT)
    sweep += ("search.compare=false",)
    status, out, err = train(*sweep, f"hydra.launcher.processes={processes}", "hydra.sweep.dir=fused")
    assert status == 0, out + err
    fused = directories(tmp_path / "fused")
    basic = directories(trained(*sweep, "hydra/launcher=basic", "hydra.sweep.dir=basic")[0] / "basic")
    assert sorted(fused) == sorted(basic) == [str(number) for number in range(4)]
    for name, theirs in basic.items():
        ours = fused[name]
        files = [
            sorted(str(path.relative_to(run)) for path in run.rglob("*") if "tfevents" not in path.name)
            for run in (ours, theirs)
        ]
        alone = "checkpoints/last.ckpt"  # the state of a run that is trained alone, as each is with two processes
        assert files[0] == [name for name in files[1] if name != alone or processes == "2"]
        assert json.loads((ours / "run.json").read_text()) == json.loads((theirs / "run.json").read_text())
        for record in ("config.yaml", "overrides.yaml"):
            assert (ours / ".hydra" / record).read_text() == (theirs / ".hydra" / record).read_text()
        hydra = [yaml.safe_load((run / ".hydra" / "hydra.yaml").read_text())["hydra"] for run in (ours, theirs)]
        for record in hydra:
            for key in ("launcher", "sweep", "runtime", "overrides"):
                record.pop(key)
        assert hydra[0] == hydra[1]
        logs = [(run / "train.log").read_text().splitlines() for run in (ours, theirs)]
        said = [[line.split("] - ")[1].split(";")[0] for line in lines] for lines in logs]
        # A run that is trained alone says that lambda_d is on when it is switched on, and again at its end.
        assert [*dict.fromkeys(said[0])] == [*dict.fromkeys(said[1])]
        assert figures(ours) == pytest.approx(figures(theirs), rel=1e-6, abs=1e-9)
        assert json.loads((ours / "status.json").read_text())["status"] == "finished"


def test_a_diverging_member_leaves_its_neighbours_bits(train, tmp_path):
    sweep = ("-m", "optimizer=sgd", "optimizer.clip_norm=null", "model.activation=relu", *SHORT[:-1])
    sweep += ("schedule=constant", "hydra.launcher.processes=1", "search.compare=false")
    assert train(*sweep, "loss.lambda_d=0.1,0.2,0.3", "hydra.sweep.dir=good")[0] == 0
    status, out, err = train(*sweep, "loss.lambda_d=0.1,1e12,0.3", "hydra.sweep.dir=bad")
    assert status == 1
    assert "error: diverged" in err
    assert "Traceback" not in out + err
    state = json.loads((tmp_path / "bad" / "1" / "status.json").read_text())
    assert (state["status"], state["step"]) == ("diverged", 20)
    for name in "02":
        ours, theirs = (tmp_path / sweep / name for sweep in ("good", "bad"))
        assert figures(ours) == figures(theirs)
        assert (ours / "history.csv").read_bytes() == (theirs / "history.csv").read_bytes()


def test_a_stack_of_more_runs_than_files_may_be_open(train, monkeypatch):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = [*(option for option in SHORT if "max_steps" not in option), "search.compare=false"]
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 24, before[1]))
    try:
        status, out, err = train("-m", "trainer.max_steps=2", "seed=range(32)", "hydra.launcher.processes=1", *few)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert status == 0, out + err


@pytest.mark.parametrize("options", [["hydra/launcher=basic"], ["hydra/job_logging=none"]])
def test_batches(options, train, tmp_path, one_core):
    batches = ("search.batch=2", *options, "search.compare=false", "hydra.sweep.dir=sweep")
    status, out, err = train("-m", "seed=0,1,2", *batches, *SHORT)
    assert status == 0, out + err
    assert sorted(directories(tmp_path / "sweep")) == ["0", "1", "2"]


@pytest.mark.nightly
def test_joblib_caps_threads(finish, tmp_path):
    """For one run, one of the two workers loads everything."""
    large = ("data.n_train=1024", "model.width=128", "trainer.max_steps=2", "data.n_val=16", "data.n_test=101")
    large += ("pictures=false", "search.compare=false")
    try:
        finish("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep", *large)
    finally:
        get_reusable_executor().shutdown()  # which would outlive the command
    checkpoint = torch.load(tmp_path / "sweep" / "0" / "checkpoints" / "last.ckpt")
    assert checkpoint["stack"]["threads"] <= max(1, (os.cpu_count() or 1) // 2)


@pytest.mark.parametrize(
    ("sweep", "needed"),
    [
        (["seed=0,1", "loss.lambda_d=0,1"], "5 seeds, not 2"),
        (["seed=range(5)", "loss.lambda_d=range(7)"], None),
    ],
)
def test_too_few_seeds_are_said_before_training(sweep, needed, train, monkeypatch):
    monkeypatch.setattr("runge.sweeps.launch.watch_chunks", lambda *_: [])
    _, out, _ = train("-m", *SHORT, *sweep, "hydra.launcher.processes=1")
    assert re.findall("more than chance needs (.*)", out) == ([needed] if needed else [])


def test_progress_of_a_sweep(train):
    short = [*(option for option in SHORT if "width" not in option), "search.compare=false"]
    status, _, err = train("-m", "seed=0,1,2,3", "model.width=8,16", "hydra.launcher.processes=1", *short)
    assert status == 0
    assert "8 of 8 runs" in err
    assert "steps/s" in err


def test_interrupted_sweep_keeps_what_is_finished(tmp_path):
    """As a command with a group of its own, interrupted as by Ctrl-C."""
    short = [option for option in SHORT if "max_steps" not in option]
    sweep = ("-m", "trainer.max_steps=100,200000", *short, "hydra.sweep.dir=sweep", "hydra.launcher.processes=2")
    command, deadline = Command(tmp_path, *sweep), time.monotonic() + 120
    begun = tmp_path / "sweep" / "1" / "checkpoints" / "last.ckpt", tmp_path / "sweep" / "0" / "metrics.json"
    while not all(path.exists() for path in begun) and time.monotonic() < deadline:
        time.sleep(0.05)
    command.end("INT", "command")
    code, printed = command.wait()
    assert code == 1
    assert "error: interrupted; 1 of 2 runs are finished" in printed
    assert "Traceback" not in printed
    states = [json.loads(path.read_text()) for path in sorted((tmp_path / "sweep").glob("*/status.json"))]
    assert [state["status"] for state in states] == ["finished", "interrupted"]
    assert states[1]["step"] > 0


def test_a_run_that_diverges_or_a_mistake_in_a_later_batch(train, fail, tmp_path):
    one_by_one = "search.batch=1", "hydra.launcher.processes=1", "hydra.sweep.dir=sweep", *SHORT
    fail("-m", "model.depth=1,-1", *one_by_one)
    assert list(tmp_path.iterdir()) == []
    _, err = fail("-m", "optimizer=sgd", "optimizer.lr=1e9,1e-3", "model.activation=relu", *one_by_one)
    assert "diverged" in err
    assert sorted(directories(tmp_path / "sweep")) == ["1"]


def test_some_runs_of_a_stack_resume_without_the_others(train, fail, finish, tmp_path):
    sweep = "hydra.launcher.processes=1", "hydra.sweep.dir=sweep", "search.compare=false", *SHORT
    fail("-m", "seed=0,1,2", *sweep, interrupt=80)
    (stack,) = (tmp_path / "sweep" / ".stacks").iterdir()
    for some, runs in (("seed=0", ["0"]), ("seed=0,1", ["0", "1"])):
        finish("-m", some, *sweep)
        assert sorted(directories(tmp_path / "sweep")) == runs
        assert [*stack.parent.iterdir()] == [stack]
    status, out, err = train("-m", "seed=0,1,2", *sweep)
    assert status == 0, out + err
    assert "begins again" not in out + err
    assert not stack.parent.exists()
    finish("-m", "seed=0,1,2", *sweep, "hydra.sweep.dir=whole")
    for name, folder in directories(tmp_path / "whole").items():
        assert figures(tmp_path / "sweep" / name) == pytest.approx(figures(folder), rel=1e-2)


def test_damaged_checkpoint_in_a_sweep(train, tmp_path):
    sweep = ("-m", "seed=0,1", "hydra.launcher.processes=1", "hydra.sweep.dir=sweep", "search.compare=false", *SHORT)
    assert train(*sweep)[0] == 0
    (tmp_path / "sweep" / "1" / "metrics.json").unlink()
    (tmp_path / "sweep" / ".stacks").mkdir()
    (tmp_path / "sweep" / ".stacks" / "0.ckpt").write_bytes(b"damaged")
    status, out, err = train(*sweep)
    assert status == 0, out + err
    assert "0.ckpt cannot be read" in out + err
    assert "a stack of 2 runs begins again with 1 of them, whose figures are the same to round-off" in out + err
    assert "Traceback" not in out + err
    assert sorted(directories(tmp_path / "sweep")) == ["0", "1"]


COMPOSED = [
    ["seed=3", "loss.lambda_d=1e-3", "model.activation=relu", "data.seed=null", "trainer.progress_bar=false"],
    ["sampling=mixed", "sampling.share=0.5"],
    ["experiment=hw2", "model.width=7"],
    ["optimizer=sgd", "+optimizer.betas=[0.5,0.6]", "optimizer.lr=0.5"],
    ["~optimizer.betas"],
    ["target=expression", "target.expr='exp(-x)*sin(8*x)'", "target.domain=[0,1]"],
]


@pytest.mark.parametrize("overrides", COMPOSED, ids=" ".join)
def test_composes_as_hydra_does(overrides):
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("config", ["hydra.mode=MULTIRUN"], run_mode=RunMode.MULTIRUN)
        theirs = loader.load_sweep_config(master, overrides)
        compose = Composer(loader, master)
        compose(["seed=1"], 0)  # what was composed before leaves no trace
        ours = compose(overrides, 5)
    assert ours.hydra.job.num == 5
    for config in (ours, theirs):
        OmegaConf.set_struct(config, False)
        config.hydra.job.num = config.hydra.job.id = 0
    assert OmegaConf.to_yaml(ours) == OmegaConf.to_yaml(theirs)


def test_options_are_those_of_the_run_and_not_of_the_sweep():
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        compose = Composer(loader, loader.load_configuration("config", ["schedule=constant"], RunMode.MULTIRUN))
        chosen = options_of(compose(["schedule=two_stage_ramp", "seed=1"], 0).hydra)
        replaced = options_of(compose(["optimizer._target_=torch.optim.RMSprop", "~optimizer.betas"], 1).hydra)
    assert (chosen["schedule"], chosen["optimizer"], chosen["target"]) == ("two_stage_ramp", "adam", "runge")
    assert "optimizer" not in replaced
    assert not any(group.startswith("hydra/") for group in chosen)


def jobs(configuration, *overrides):
    made = [Member(configuration(*own), list(own)) for own in overrides]
    return [Job(None, [], str(i), member, None) for i, member in enumerate(made)]


def chunks_of(jobs, processes=1, most=32):
    return plan(jobs, processes, most)[0]


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
    made = [(f"seed={seed}", f"model.width={width}") for width in (30, 31, 32) for seed in (0, 1)]
    assert [len(chunk.jobs) for chunk in chunks_of(jobs(configuration, *made), 2)] == [1] * 6  # halves of each group
    made = [(f"seed={seed}", f"model.width={width}") for width in (30, 31, 32, 33) for seed in (0, 1)]
    four = jobs(configuration, *made)
    assert [len(chunk.jobs) for chunk in chunks_of(four, 2)] == [2] * 4  # two whole groups for each process
    assert [chunk.jobs for chunk in chunks_of(four, 2)] == [[6, 7], [4, 5], [2, 3], [0, 1]]  # the longest first
    assert [len(chunk.jobs) for chunk in chunks_of(four, 3)] == [1] * 8


@pytest.mark.parametrize("other", ["model.activation=relu", "optimizer.betas=[0.8,0.999]", "data.n_train=64"])
def test_plan_separates_what_cannot_share(other, configuration):
    chunks = chunks_of(jobs(configuration, ("seed=0",), ("seed=1", other), ("seed=2",)), 1)
    assert sorted(sorted(chunk.jobs) for chunk in chunks) == [[0, 2], [1]]


def test_plan_puts_the_longest_first_and_lbfgs_alone(configuration):
    wide, lbfgs = ("model.width=128",), ("optimizer=lbfgs",)
    made = jobs(configuration, ("seed=0",), lbfgs, wide, lbfgs, ("seed=1",))
    assert [sorted(chunk.jobs) for chunk in chunks_of(made, 2)] == [[2], [0, 4], [1], [3]]
    assert [sorted(chunk.jobs) for chunk in chunks_of(made, 1)] == [[0, 4], [1], [2], [3]]  # in their own order


def test_one_stack_at_a_time_is_in_memory(train, monkeypatch):
    """Also without the cyclic garbage collection, which commands make rare."""
    made, counts, make, fit = weakref.WeakSet(), [], Stack.__init__, Stack.fit

    def count(self, *given):
        made.add(self)
        make(self, *given)

    def train_one(self, *given, **further):
        counts.append(len(made))
        return fit(self, *given, **further)

    monkeypatch.setattr(Stack, "__init__", count)
    monkeypatch.setattr(Stack, "fit", train_one)
    sweep = ("model.depth=1,2,3", "hydra.launcher.processes=1", "search.compare=false")
    assert train("-m", *sweep, *SHORT, "hydra.sweep.dir=sweep")[0] == 0
    assert counts == [1, 1, 1]
