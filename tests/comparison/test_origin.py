import shlex
import shutil
from datetime import datetime

import hypothesis
import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import strategies as st

from runge.comparison.html_report import trial_commands
from runge.comparison.leaderboard_table import candidate_row
from runge.comparison.origin import command_of, origin_of
from runge.comparison.ranking import rank_directories
from runge.records.directories import RunDirectory, RunState
from runge.records.leaderboard import LeaderboardEntry
from runge.records.trials import Trials

BEGAN = datetime(2026, 3, 1, 9, 30).timestamp()
GIVEN = ["target.expr='sin(x) + x**2'", "~callbacks.rich", "+model.note=a b", "logger=wandb", "+logger.api_key=secret"]
TYPED = ["hydra.mode=MULTIRUN", "seed=range(3)", "trainer.progress_bar=false", "objective=val/loss"]


@pytest.fixture
def sweep(tmp_path):
    """The directory of a sweep of three runs."""
    for number in range(3):
        run = RunDirectory(tmp_path / str(number))
        run.path.mkdir()
        run.begin({"seed": number, "model": {"width": 8}}, [*GIVEN, f"seed={number}"], {})
        run.write(RunState("diverged", 1, versions="runge 1, torch 2", began=BEGAN + 60 * number))
    overrides = {"hydra": TYPED[:1], "task": TYPED[1:]}
    (tmp_path / "multirun.yaml").write_text(yaml.dump({"hydra": {"overrides": overrides}}))
    return tmp_path


def origin(*paths):
    ranking = rank_directories(paths)
    return origin_of(ranking.records, ranking.common)


def given(*paths):
    """Return the arguments of the command."""
    return [part for part in shlex.split(origin(*paths).command) if "=" in part or part.startswith(("-", "~"))]


def test_the_command_can_be_pasted_and_is_that_of_these_runs(sweep):
    assert given(sweep) == ["-m", "seed=range(3)", "objective=val/loss"]
    assert given(sweep / "1") == [*GIVEN[:3], "seed=1"]
    assert "\"target.expr='sin(x) + x**2'\" '~callbacks.rich' '+model.note=a b'" in origin(sweep / "1").command
    assert origin(sweep / "0", sweep / "1").command == ""
    assert origin(sweep).fixed == ["model.width=8"]


def test_the_only_run_of_a_sweep_or_one_of_a_race(sweep):
    shutil.rmtree(sweep / "2")
    run = RunDirectory(sweep / "1")
    run.begin({"seed": 1}, ["search=best", "data=table", "data.file=a.csv", "data.fold=0"], {})
    assert given(run.path) == ["data=table", "data.file=a.csv", "data.fold=0"]
    shutil.rmtree(sweep / "0")
    assert given(run.path) == ["-m", "seed=range(3)", "objective=val/loss"]


TRUSTED = ["--config-dir=mine", "-cd", "-cp=mine", "--config-path=mine", "--experimental-rerun=config.pickle"]
TRUSTED += ["hydra.searchpath=[mine]", "hydra={searchpath: [mine]}", "+hydra.job.env_set.CXX=mine", "~hydra.job"]
TRUSTED += ["penalty._target_=os.system", "+callbacks={mine: {_target_: os.system, command: id}}"]
TRUSTED += [
    "target=../../../tmp/mine",
    "experiment=[one,../mine]",
    "target@model=../mine",
    "model.width=${oc.env:HOME}",
]
TRUSTED += ["model.activation=mine.gaussian", "model={activation: mine.gaussian}", "logger.csv.save_dir=/tmp"]
OTHERS = ["target.expr='2.5 * x**2'", "data.file=../wing.csv", "hydra/launcher=slurm", "model.activation=tanh,relu"]
OTHERS += ["optimizer.lr=0.1", "~callbacks.rich", "data.derivatives={lift: {alpha: a..b}}"]


@pytest.mark.parametrize("override", TRUSTED)
def test_a_command_to_copy_has_nothing_from_a_file_that_it_would_trust(override, sweep):
    """It is left out of all three commands: of runs, of a candidate, and of a trial."""
    RunDirectory(sweep / "1").begin({"seed": 1}, [override, *OTHERS], {})
    overrides = [OTHERS[0], override, *OTHERS[1:]]
    candidate = LeaderboardEntry("one", overrides, [0], [], 1, None, None, 1.0, 1.0, 1)
    trial = Trials(objective=[], trials=[], best=[0], overrides=[overrides], folds=0)
    for command in (origin(sweep / "1").command, candidate_row(candidate).command, *trial_commands(trial)):
        assert shlex.split(command)[2:] == OTHERS


KEYS = ["hydra", "logger", "target", "x", "_target_", ".", "/", "@"]
VALUES = [
    "_target_",
    "..",
    "/",
    "{x:",
    "}",
    "[",
    "]",
    ",",
    "'",
    '"',
    "`",
    "$(id)",
    "${x}",
    ";",
    "\\",
    "!",
    "#",
    " ",
    "1",
]


@hypothesis.given(
    sign=st.sampled_from(["", "+", "++", "~", "-"]),
    key=st.lists(st.sampled_from(KEYS), min_size=1, max_size=4).map("".join),
    value=st.lists(st.sampled_from(VALUES), max_size=4).map("".join),
)
def test_a_command_to_copy_is_one_word_of_a_shell_for_each_override(sign, key, value):
    override = f"{sign}{key}={value}"
    words = shlex.split(command_of(["seed=1", override], sweep=False))
    assert words[2:] in (["seed=1", override], ["seed=1"])
    try:
        parsed = OverridesParser.create().parse_override(override)
    except Exception:  # Hydra refuses it
        return
    is_option = "." not in parsed.key_or_group and ".." in str(parsed.value())
    if parsed.key_or_group.partition(".")[0] in ("hydra", "logger") or "_target_" in override or is_option:
        assert words[2:] == ["seed=1"]


@pytest.mark.parametrize("content", ["[" * 600, "hydra: 1", "hydra: {overrides: {hydra: [], task: 1}}", "a: [", "\0"])
def test_a_damaged_record_of_the_sweep(sweep, content):
    (sweep / "multirun.yaml").write_text(content)
    assert origin(sweep).command == ""


def test_the_time_is_that_of_the_status(sweep, monkeypatch):
    run = RunDirectory(sweep / "2")
    monkeypatch.setattr("time.time", lambda: BEGAN + 3600 * 24)
    run.write(run.read_state())
    monkeypatch.undo()
    assert origin(sweep).trained.startswith("2026-03-01 09:30 to ")
    assert origin(sweep / "2").trained == "2026-03-01 09:32 to 2026-03-02 09:30"
    assert origin(sweep).versions == "runge 1, torch 2"
    run.status.write_text('{"status": "diverged", "step": 1}')  # of an earlier version
    assert origin(run.path)[2:4] == ("", "")
    run.status.write_text('{"status": "diverged", "step": 1, "began": 1e300, "written": 1e300}')
    assert origin(run.path).trained == ""
