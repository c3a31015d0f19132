"""A search: Optuna's trials, trained by the fused launcher, resumed, judged by the validation points, and recorded."""

import json
import shutil
import statistics
import sys

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from runge.configuration.errors import ConfigurationError
from runge.metrics import Objective
from runge.sweeps.policies.space import read_space, rounded
from tests.conftest import ROOT, command

optuna = pytest.importorskip("optuna")

from runge.sweeps.policies.study import Result, Study  # noqa: E402

SHORT = ("trainer.max_steps=40", "trainer.log_every=20", "data.n_test=51", "trainer.progress_bar=false", "logger=[]")
SEARCH = ("-m", "search=optuna", "search.compare=false", "hydra.launcher.processes=1", *SHORT)
RANGES = ("loss.lambda_d=tag(log,interval(1e-3,10))", "model.width=choice(4,8)", "optimizer.lr=interval(1e-3,0.1)")
WHOLE = (*SEARCH, *RANGES, "search.trials=6", "search.batch=3", "hydra.sweep.dir=search")


@pytest.fixture(scope="module")
def searched(trained):
    return trained(*WHOLE)


def parse(*overrides):
    return read_space(OverridesParser.create().parse_overrides(list(overrides)))


def found(folder):
    return json.loads((folder / "search" / "search.json").read_text())


def jobs(folder):
    """Return the overrides of the runs in the journal, batch by batch."""
    return [batch["jobs"] for batch in json.loads((folder / "search" / "journal.json").read_text())["batches"]]


def stop(journal, ended):
    """Rewrite a journal as if the search had been killed in the batch after some that had ended."""
    content = json.loads(journal.read_text())
    content["batches"] = [*content["batches"][:ended], content["batches"][ended] | {"seconds": None, "results": []}]
    journal.write_text(json.dumps(content))


def metrics(folder, run):
    return json.loads((folder / "search" / str(run) / "metrics.json").read_text())


def test_the_best_is_that_of_the_validation_points(searched):
    folder, printed = searched
    content, objective = found(folder), Objective("val/nrmse")
    values = [objective.values(metrics(folder, i))[0] for i in range(6)]
    assert [trial["values"] for trial in content["trials"]] == [[value] for value in values]
    (best,) = content["best"]
    assert values[best] == min(values)
    overrides = yaml.safe_load((folder / "search" / str(best) / ".hydra" / "overrides.yaml").read_text())
    assert content["command"] == [f"python {ROOT}/train.py " + " ".join(f"'{x}'" if "[" in x else x for x in overrides)]
    assert content["command"][0] in printed
    assert [trial["status"] for trial in content["trials"]] == ["finished"] * 6
    assert [len(batch) for batch in jobs(folder)] == [3, 3]


def test_a_search_whose_journal_is_gone_trains_no_run_again(searched, tmp_path, monkeypatch):
    folder, _ = searched
    shutil.copytree(folder / "search", tmp_path / "search")
    for name in ("search.json", "journal.json"):
        (tmp_path / "search" / name).unlink()
    before = (tmp_path / "search" / "4" / "metrics.json").stat().st_mtime_ns
    monkeypatch.chdir(tmp_path)
    assert command(*WHOLE) == (0, "")
    assert found(tmp_path) == found(folder)
    assert jobs(tmp_path) == jobs(folder)
    assert (tmp_path / "search" / "4" / "metrics.json").stat().st_mtime_ns == before


def test_a_damaged_journal_is_reported(fail, tmp_path):
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "journal.json").write_text("garbage" * 100)
    _, err = fail(*WHOLE)
    assert err.startswith("error: search/journal.json is damaged")
    assert err.count("\n") == 1, err


def test_a_batch_of_which_no_run_could_be_trained_begins_again(searched, fail, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    folder, _ = searched
    shutil.copytree(folder / "search", tmp_path / "search")
    for number in (3, 4, 5):
        shutil.rmtree(tmp_path / "search" / str(number))
    stop(tmp_path / "search" / "journal.json", 1)
    with monkeypatch.context() as patch:
        patch.setattr("runge.sweeps.run.train_jobs", full)
        _, err = fail(*WHOLE)
    assert "No space left on device" in err
    assert command(*WHOLE) == (0, "")
    assert found(tmp_path) == found(folder)


def test_another_search_is_not_continued_but_a_longer_one_is(searched, tmp_path, train, fail):
    folder, _ = searched
    shutil.copytree(folder / "search", tmp_path / "search")
    for other, key in (
        ("search.seed=1", "search.seed"),
        ("optimizer.lr=interval(1e-3,0.2)", "ranges"),
        ("objective=val/loss", "objective"),
        ("data.n_train=64", "overrides"),
    ):
        _, err = fail(*WHOLE, other)
        assert err.startswith(f"error: {key}: must be as when the search in 'search' began")
    assert train(*WHOLE, "search.trials=7")[0] == 0
    longer, shorter = ([trial["params"] for trial in found(place)["trials"]] for place in (tmp_path, folder))
    assert len(longer) == 7
    assert longer[:6] == shorter
    assert train(*WHOLE, "search.trials=4")[0] == 0  # which have ended already
    assert [trial["params"] for trial in found(tmp_path)["trials"]] == shorter[:4]


def test_a_trial_of_several_seeds_and_several_objectives(trained):
    """Medians over seeds; the best are those that no other dominates."""
    options = ("objective=[val/mse_f,val/mse_df]", "search.seeds=3", "search.trials=3")
    folder, printed = trained(*SEARCH, RANGES[0], *options, "model.width=4", "hydra.sweep.dir=search")
    content = found(folder)
    for trial in content["trials"]:
        figures = [metrics(folder, run) for run in trial["runs"]]
        assert trial["values"] == [statistics.median(one[key] for one in figures) for key in content["objective"]]
    points = [trial["values"] for trial in content["trials"]]
    front = [n for n, (f, df) in enumerate(points) if all(f < g or df < dg for g, dg in points[:n] + points[n + 1 :])]
    assert content["best"] == front
    assert printed.count(f"  python {ROOT}/train.py ") == len(front)


def test_ranges():
    space, fixed = parse(
        *("a=choice(x,y)", "b=1,2", "c=range(1,8,3)", "d=interval(0,1)", "e=int(interval(1,9))", "f=3"),
        *("g=tag(log,interval(1e-3,1))", "h=range(0.5,0,-0.25)", "e=int(tag(log,interval(1,8)))"),
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
        "e": kinds.IntDistribution(1, 8, log=True),
    }
    assert rounded(space["g"], 0.0123456) == 0.01235
    assert rounded(space["g"], 0.00100001) == 0.001


@pytest.mark.parametrize(
    ("override", "words"),
    {
        "lr=tag(log,interval(0,1))": ("low > 0", "interval(0,1)"),
        "lr=tag(log,choice(1,2))": ("interval can have the tag log", "choice(1,2)"),
        "lr=tag(fast,interval(1,2))": ("no tag but log", "fast"),
        "lr=choice(1,1)": ("different values",),
        "lr=3": ("at least one key with a range",),
    }.items(),
)
def test_impossible_ranges(override, words):
    with pytest.raises(ConfigurationError) as error:
        parse(override)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    {
        ("model.width=choice(8,0)",): ("model.width", "greater than or equal to 1", "got 0"),
        ("optimizer.lr=interval(-1,1)",): ("optimizer.lr", "got -1"),
        ("optimizer=adamw", "optimizer.lr=interval(0.1,1)", "optimizer.weight_decay=interval(0,2)"): (
            "weight_decay",
            "at most 1 / lr",
        ),
        ("model.width=8,16", "search.sampler=grid"): ("search.sampler", "'tpe'", "'grid'"),
        ("model.width=8,16", "objective=test/mse_f"): ("objective", "validation points"),
        ("model.width=8,16", "objective=val/mse_f,val/mse_df"): ("objective", "a list"),
        ("seed=range(3)",): ("seed", "search.seeds"),
        ("model.width=8",): ("search", "at least one key"),
    }.items(),
)
def test_mistakes_are_refused_before_any_work(overrides, words, fail, tmp_path):
    _, err = fail(*SEARCH, *overrides, "hydra.sweep.dir=search")
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    for word in words:
        assert word in err, err
    assert not (tmp_path / "search").exists()


def test_without_optuna(train, fail, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    _, err = fail(*SEARCH, *RANGES, "hydra.sweep.dir=search")
    assert "pip install -e '.[search]'" in err
    assert train("-m", "seed=0", "model.width=4", "hydra.launcher.processes=1", *SHORT)[0] == 0


def study(sampler="tpe", seed=0):
    space, _ = parse("lr=tag(log,interval(1e-3,1))", "x=interval(0.0,1)", "w=choice(1,2,3)")
    return Study(space, 1, sampler, seed)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_samplers(sampler):
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


def test_what_the_sampler_is_told():
    made = study()
    ends = [("finished", (2.0,)), ("finished", (1.0,)), ("diverged", ()), ("failed", ())]
    made.tell(made.propose(4), [Result(*end, [i]) for i, end in enumerate(ends)])
    assert [trial.state.name for trial in made.trials] == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL"]
    assert [trial.values for trial in made.trials] == [[2.0], [1.0], None, None]
    assert [trial.number for trial in made.best()] == [1]
