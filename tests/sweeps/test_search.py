"""A search: Optuna's trials, judged by the validation points, recorded and resumed."""

import json
import shutil
import statistics
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from runge.composing.overrides import explain
from runge.composing.ranges import read_space, rounded
from runge.records.metrics import Objective
from runge.sweeps.loop import policy_of
from runge.sweeps.policies.grid import Grid
from tests.conftest import ROOT, command
from tests.refusals import check_refusal, refuses
from tests.sweeps.policies.made_up import Launcher, policy, read_command, run

optuna = pytest.importorskip("optuna")

from runge.sweeps.policies.study import Result, Study  # noqa: E402

SHORT = ("trainer.max_steps=40", "trainer.log_every=20", "data.n_test=51", "trainer.progress_bar=false", "logger=[]")
SEARCH = ("-m", "search=optuna", "search.compare=false", "hydra.launcher.processes=1", *SHORT)
RANGES = ("loss.lambda_d=tag(log,interval(1e-3,10))", "model.width=choice(4,8)", "optimizer.lr=interval(1e-3,0.1)")
WHOLE = (*SEARCH, *RANGES, "search.trials=6", "search.batch=3", "hydra.sweep.dir=search")

pytestmark = pytest.mark.usefixtures("in_folder")


def parse(*overrides):
    return read_space(OverridesParser.create().parse_overrides(list(overrides)))


def found(folder=Path()):
    return json.loads((folder / "search" / "search.json").read_text())


def params():
    return [trial["params"] for trial in found()["trials"]]


def jobs(folder):
    """Return the overrides of the runs in the journal, batch by batch."""
    return [batch["jobs"] for batch in json.loads((folder / "search" / "journal.json").read_text())["batches"]]


def test_the_best_is_that_of_the_validation_points(trained):
    folder, printed = trained(*WHOLE)
    content, objective, runs = found(folder), Objective("val/nrmse"), [folder / "search" / str(i) for i in range(6)]
    values = [objective.values(json.loads((run / "metrics.json").read_text()))[0] for run in runs]
    assert [trial["values"] for trial in content["trials"]] == [[value] for value in values]
    (best,) = content["best"]
    assert values[best] == min(values)
    overrides = yaml.safe_load((runs[best] / ".hydra" / "overrides.yaml").read_text())
    assert (content["overrides"], content["folds"]) == ([overrides], 0)
    assert f"python {ROOT}/train.py " + " ".join(f"'{x}'" if "[" in x else x for x in overrides) in printed
    assert [trial["status"] for trial in content["trials"]] == ["finished"] * 6
    assert [len(batch) for batch in jobs(folder)] == [3, 3]


def test_a_search_whose_journal_is_gone_trains_no_run_again(trained, tmp_path):
    folder, _ = trained(*WHOLE)
    shutil.copytree(folder / "search", tmp_path / "search")
    for name in ("search.json", "journal.json"):
        (tmp_path / "search" / name).unlink()
    before = (tmp_path / "search" / "4" / "metrics.json").stat().st_mtime_ns
    assert command(*WHOLE) == (0, "")
    assert found(tmp_path) == found(folder)
    assert jobs(tmp_path) == jobs(folder)
    assert (tmp_path / "search" / "4" / "metrics.json").stat().st_mtime_ns == before


def sum_of_trial(_, overrides):
    return float(overrides["optimizer.lr"]) + float(overrides["loss.lambda_d"])


def test_a_batch_of_which_no_run_could_be_trained_begins_again():
    full = Launcher(lambda n, x: OSError(28, "No space left") if n > 2 else sum_of_trial(n, x))
    with pytest.raises(OSError, match="No space left"):
        run(full, *WHOLE)
    rest = Launcher(sum_of_trial)
    run(rest, *WHOLE)
    assert rest.batches == full.batches[1:]
    again = found()
    shutil.rmtree("search")
    run(rest, *WHOLE)
    assert again == found()


def test_another_search_is_not_continued_but_a_longer_one_is():
    run(Launcher(sum_of_trial), *WHOLE)
    six = params()
    for other, key, begun in (
        ("search.seed=1", "search.seed", "0"),
        ("optimizer.lr=interval(1e-3,0.2)", "ranges", "0.1"),
        ("objective=val/loss", "objective", "val/nrmse"),
        ("data.n_train=64", "overrides", "trainer.max_steps=40"),
    ):
        with refuses(key, "got", "must be as when", begun):
            run(Launcher(), *WHOLE, other)
    longer = Launcher(sum_of_trial)
    run(longer, *WHOLE, "search.trials=7")
    assert [len(batch) for batch in longer.batches] == [1]
    assert params()[:6] == six
    assert len(params()) == 7
    run(None, *WHOLE, "search.trials=4")  # which have ended already
    assert params() == six[:4]


def test_a_trial_of_several_seeds_and_several_objectives(capsys):
    """Medians over seeds; the best are those that no other dominates."""
    values = [(1, 9), (5, 2), (3, 7), (2, 8), (4, 5), (9, 6), (4, 8), (3, 9), (5, 9)]
    options = ("objective=[val/mse_f,val/mse_df]", "search.seeds=3", "search.trials=3", "hydra.sweep.dir=search")
    run(Launcher(lambda n, _: values[n]), *SEARCH, RANGES[0], *options)
    content = found()
    for trial in content["trials"]:
        columns = zip(*(values[number] for number in trial["runs"]), strict=True)
        assert trial["values"] == list(map(statistics.median, columns))
    assert [trial["values"] for trial in content["trials"]] == [[3, 7], [4, 6], [4, 9]]
    assert content["best"] == [0, 1]
    assert capsys.readouterr().out.count("\n  ") == 2  # commands


def test_ranges():
    space, fixed = parse(
        *("a=choice(x,y)", "b=1,2", "c=range(1,8,3)", "d=interval(0,1)", "e=int(interval(1,9))", "f=3"),
        *("g=tag(log,interval(1e-3,1))", "h=range(0.5,0,-0.25)", "i=range(0,1,0.3)", "e=int(tag(log,interval(1,8)))"),
    )
    assert fixed == ["f=3"]
    kinds = optuna.distributions
    assert space == {
        "a": kinds.CategoricalDistribution(("x", "y")),
        "b": kinds.CategoricalDistribution(("1", "2")),
        "c": kinds.IntDistribution(1, 7, step=3),
        "d": kinds.FloatDistribution(0, 1),
        "g": kinds.FloatDistribution(1e-3, 1, log=True),
        "h": kinds.FloatDistribution(0.25, 0.5, step=0.25),
        "i": kinds.FloatDistribution(0, 0.9, step=0.3),
        "e": kinds.IntDistribution(1, 8, log=True),
    }
    assert rounded(space["g"], 0.0123456) == 0.01235
    assert rounded(space["g"], 0.00100001) == 0.001


# Overrides of a search: the key, what was given, and what is allowed.
MISTAKES = {
    "optimizer.lr=tag(log,interval(0,1))": ("optimizer.lr", "interval(0,1)", "low > 0"),
    "optimizer.lr=tag(log,choice(1,2))": ("optimizer.lr", "choice(1,2)", "interval can have the tag log"),
    "optimizer.lr=tag(fast,interval(1,2))": ("optimizer.lr", "fast", "no tag but log"),
    "model.width=choice(8,8)": ("model.width", "", "different values"),
    "model.width=choice(8,0)": ("model.width", "got 0", "greater than or equal to 1"),
    "optimizer.lr=interval(-1,1)": ("optimizer.lr", "got -1"),
    "optimizer=adamw optimizer.lr=interval(0.1,1) optimizer.weight_decay=interval(0,2)": (
        *("optimizer.weight_decay", "", "at most 1 / lr"),
    ),
    "model.width=8,16 search.sampler=grid": ("search.sampler", "'grid'", "'tpe'"),
    "model.width=8,16 objective=test/mse_f": ("objective", "", "validation points"),
    "model.width=8,16 objective=val/mse_f,val/mse_df": ("objective", "", "a list"),
    "seed=range(3)": ("seed", "", "search.seeds"),
    "model.width=8": ("search", "", "at least one key with a range"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_refused_before_any_work(mistake):
    with pytest.raises(Exception) as error:  # noqa: PT011, which of several classes is no matter to a user
        policy(*SEARCH, *mistake.split(" "), "hydra.sweep.dir=search")
    check_refusal(str(explain(error.value)), *MISTAKES[mistake])
    assert not Path("search").exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_several_processes_begin_to_load_before_the_first_run(processes, monkeypatch):
    begun = []
    monkeypatch.setattr("runge.sweeps.loop.start_loading", lambda: begun.append(processes))
    policy_of(read_command(*SEARCH, *RANGES, "hydra.sweep.dir=search")._replace(processes=processes))
    assert begun == [2][: processes - 1]


def test_without_optuna(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with refuses("search", "", "pip install -e '.[search]'"):
        policy(*SEARCH, *RANGES, "hydra.sweep.dir=search")
    assert isinstance(policy("-m", "seed=0", "model.width=4", *SHORT), Grid)


@pytest.fixture
def study():
    space, _ = parse("lr=tag(log,interval(1e-3,1))", "x=interval(0.0,1)", "w=choice(1,2,3)")
    return partial(Study, space, 1)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_samplers(sampler, study):
    """The same seed gives the same trials; other batches are others."""

    def trials(seed):
        made, batches = study(sampler, seed), []
        for _ in range(3):
            params = made.propose(16)
            made.tell(params, [Result("finished", (one["lr"] + one["x"],), [0]) for one in params])
            batches.append(params)
        return batches

    first, again, other = trials(3), trials(3), trials(4)
    assert first == again
    assert first != other
    assert len({tuple(one.values()) for batch in first for one in batch}) == 48
    assert all(len({one["w"] for one in batch}) == 3 for batch in first)


def test_what_the_sampler_is_told(study):
    made = study("tpe", 0)
    ends = [("finished", (2.0,)), ("finished", (1.0,)), ("diverged", ()), ("failed", ())]
    made.tell(made.propose(4), [Result(*end, [i]) for i, end in enumerate(ends)])
    assert [trial.state.name for trial in made.trials] == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL"]
    assert [trial.values for trial in made.trials] == [[2.0], [1.0], None, None]
    assert [trial.number for trial in made.best()] == [1]
