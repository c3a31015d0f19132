"""The contract of all policies of a sweep: one that is killed and continued ends with the same runs and answer.

`pytest tests/sweeps/policies/test_contract.py --nightly --kills 25` kills each 25 times, in two processes.
"""

import json

import pytest

from runge.configuration.objects import CONFIGURATIONS
from tests.search.test_search import SMALL as SMALL_RACE
from tests.search.test_search import share_table
from tests.sweeps.commands import Command, until
from tests.sweeps.test_killed import SMALL, check_files, finish
from tests.sweeps.test_run import SHORT, figures
from tests.sweeps.test_search import WHOLE

POLICIES = {
    "none": ("-m", "model.width=4,8", "seed=0,1", "search.compare=false", *(x for x in SHORT if "width" not in x)),
    "optuna": WHOLE,
    "best": SMALL_RACE,
}
GRID = ("-m", "search.compare=false", *SMALL, "trainer.max_steps=3000")
LONG = {
    "a grid of several stacks": (*GRID, "seed=range(4)", "resampling=none,residual", "balance=gradnorm"),
    "a grid in one stack": (*GRID, "seed=range(5)", "loss.lambda_d=0,1"),
}


def test_each_policy_is_tested():
    assert POLICIES.keys() == {path.stem for path in (CONFIGURATIONS / "search").glob("*.yaml")}


def finished(sweep, pattern="*/metrics.json"):
    """Return the times at which the metrics of the finished runs, or other files, were written, by their paths."""
    return {path: path.stat().st_mtime_ns for path in sweep.glob(pattern)}


def kill(folder, sweep, pattern, count, seconds, *arguments):
    """Start a sweep, and kill all of its processes some seconds after so many of its runs have finished."""
    command = Command(folder, *arguments)
    until(lambda: not command.process.is_alive() or len(finished(sweep, pattern)) >= count)
    command.process.join(seconds)
    command.end("KILL", "all")
    command.wait()


def answer(sweep):
    """Return the metrics and the history of all runs, and what the policy has concluded, without times and places."""
    content = {
        path.parent.name: (figures(path.parent), (path.parent / "history.csv").read_text()) for path in finished(sweep)
    }
    for name in ("answer.json", "search.json", "leaderboard.json"):
        if (sweep / name).exists():
            content[name] = json.loads((sweep / name).read_text())
    content.get("search.json", {}).pop("overrides", None)  # which name the directory
    if "leaderboard.json" in content:
        candidates = content["leaderboard.json"]["candidates"]
        timed = {"seconds": 0, "overrides": [], "curve": ""}
        content["leaderboard.json"] = [candidate | timed for candidate in candidates]
    return content


AT_NIGHT = [pytest.param(name, marks=pytest.mark.nightly) for name in ("optuna", "best", *LONG)]


@pytest.mark.parametrize("policy", ["none", *AT_NIGHT])
def test_a_sweep_that_is_killed_continues_to_the_same_answer(policy, shared, in_folder, tmp_path, pytestconfig, draws):
    processes, place = (2 if pytestconfig.getoption("nightly") else 1), tmp_path / "whole"
    arguments = (*(POLICIES | LONG)[policy], *([share_table(shared)] if policy == "best" else []))
    arguments += (f"hydra.launcher.processes={processes}",)
    finish(tmp_path, *arguments, "hydra.sweep.dir=whole")
    whole, ended = answer(place), "trials/*.pt" if policy == "best" else "*/metrics.json"
    for trial in range(pytestconfig.getoption("kills")):
        chance, sweep = draws(trial), tmp_path / f"sweep{trial}"
        count, cadence = chance.randrange(len(finished(place, ended))), chance.choice((0, 0.1, 1, 30))
        killed = (*arguments, f"trainer.checkpoint_seconds={cadence}", f"hydra.sweep.dir={sweep.name}")
        kill(tmp_path, sweep, ended, count, chance.uniform(0, 1), *killed)
        for path in sweep.glob("[0-9]*"):
            check_files(path)
        before = finished(sweep, ended)
        finish(tmp_path, *killed)
        assert answer(sweep) == whole
        assert before.items() <= finished(sweep, ended).items()  # these runs are not trained again
