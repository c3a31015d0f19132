"""A search: Optuna's trials, trained by the fused launcher, resumed, judged by the validation points, and recorded."""

import json
import shutil
import statistics
import sys

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from runge.errors import ConfigurationError
from runge.launch.policies.space import read_space, rounded
from runge.objective import Objective
from tests.conftest import ROOT, command

optuna = pytest.importorskip("optuna")

from runge.launch.policies.study import Result, Study  # noqa: E402

SHORT = ("trainer.max_steps=40", "trainer.log_every=20", "data.n_test=51", "trainer.progress_bar=false", "logger=[]")
SEARCH = ("-m", "hydra/sweeper=search", "hydra.sweeper.compare=false", "hydra.launcher.processes=1", *SHORT)
RANGES = ("loss.lambda_d=tag(log,interval(1e-3,10))", "model.width=choice(4,8)", "optimizer.lr=interval(1e-3,0.1)")
WHOLE = (*SEARCH, *RANGES, "hydra.sweeper.trials=6", "hydra.sweeper.batch=3", "hydra.sweep.dir=search")


@pytest.fixture(scope="module")
def searched(trained):
    return trained(*WHOLE)


def parse(*overrides):
    return read_space(OverridesParser.create().parse_overrides(list(overrides)))


def found(folder):
    return json.loads((folder / "search" / "search.json").read_text())


def stored(folder):
    """Return the trials in Optuna's journal."""
    journal = optuna.storages.journal.JournalFileBackend(str(folder / "search" / "study.log"))
    return optuna.load_study(study_name="search", storage=optuna.storages.JournalStorage(journal)).trials


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
    assert [trial.state.name for trial in stored(folder)] == ["COMPLETE"] * 6


@pytest.mark.parametrize("recorded", [None, 0, 2])
def test_a_killed_search_has_the_same_trials(recorded, searched, tmp_path, monkeypatch):
    """In its second batch the runs are trained, and none or two of its trials are recorded; or nothing at all."""
    folder, _ = searched
    shutil.copytree(folder / "search", tmp_path / "search")
    (tmp_path / "search" / "search.json").unlink()
    journal = tmp_path / "search" / "study.log"
    lines = journal.read_text().splitlines(keepends=True)
    trials = [i for i, line in enumerate(lines) if json.loads(line)["op_code"] == 4]  # a trial is one line
    assert len(trials) == 6
    journal.unlink() if recorded is None else journal.write_text("".join(lines[: trials[3 + recorded]]))
    (tmp_path / "search" / "study.log.lock").symlink_to(journal)  # as Optuna leaves it
    before = (tmp_path / "search" / "4" / "metrics.json").stat().st_mtime_ns
    monkeypatch.chdir(tmp_path)
    assert command(*WHOLE) == (0, "")
    assert found(tmp_path) == found(folder)
    assert [trial.params for trial in stored(tmp_path)] == [trial.params for trial in stored(folder)]
    assert (tmp_path / "search" / "4" / "metrics.json").stat().st_mtime_ns == before


def test_a_damaged_study_is_reported(fail, tmp_path):
    (tmp_path / "search").mkdir()
    for content in (b"garbage" * 100, b"{}\n"):
        (tmp_path / "search" / "study.log").write_bytes(content)
        _, err = fail(*WHOLE)
        assert "study.log cannot be used" in err
        assert "Traceback" not in err


def test_another_search_is_not_continued_but_a_longer_one_is(searched, tmp_path, train, fail):
    folder, _ = searched
    shutil.copytree(folder / "search", tmp_path / "search")
    for other, key in (
        ("hydra.sweeper.seed=1", "hydra.sweeper.seed"),
        ("optimizer.lr=interval(1e-3,0.2)", "hydra.sweeper.params"),
        ("objective=val/loss", "objective"),
        ("data.n_train=64", "overrides"),
    ):
        _, err = fail(*WHOLE, other)
        assert err.startswith(f"error: {key}: must be as when the search in 'search' began")
    assert train(*WHOLE, "hydra.sweeper.trials=7")[0] == 0
    longer, shorter = ([trial["params"] for trial in found(place)["trials"]] for place in (tmp_path, folder))
    assert longer[:6] == shorter


def test_a_trial_of_several_seeds_and_several_objectives(trained):
    """Medians over seeds; the best are those that no other dominates."""
    options = ("objective=[val/mse_f,val/mse_df]", "hydra.sweeper.seeds=3", "hydra.sweeper.trials=3")
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
        ("model.width=8,16", "hydra.sweeper.sampler=grid"): ("hydra.sweeper.sampler", "'tpe'", "'grid'"),
        ("model.width=8,16", "objective=test/mse_f"): ("objective", "validation points"),
        ("model.width=8,16", "objective=val/mse_f,val/mse_df"): ("objective", "a list"),
        ("seed=range(3)",): ("seed", "hydra.sweeper.seeds"),
        ("model.width=8",): ("hydra.sweeper", "at least one key"),
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


def study(folder, sampler="tpe", seed=0, batch=16):
    folder.mkdir(exist_ok=True)
    space, _ = parse("lr=tag(log,interval(1e-3,1))", "x=interval(0.0,1)", "w=choice(1,2,3)")
    description = {"objective": ["val/nrmse"], "hydra.sweeper.sampler": sampler, "hydra.sweeper.seed": seed}
    return Study(folder, space, description, batch)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_samplers(sampler, tmp_path):
    """The same seed gives the same trials; other batches are others."""

    def trials(folder, seed):
        batches = []
        for _ in range(3):  # as if the search had been killed after each batch
            made = study(tmp_path / folder, sampler, seed)
            first, params = made.propose(48)
            assert first == 16 * len(batches)
            made.tell(params, [Result("finished", (one["lr"] + one["x"],), [first]) for one in params])
            batches.append(params)
        return batches

    first, again, other = trials("a", 3), trials("b", 3), trials("c", 4)
    assert first == again
    assert first != other
    assert len({tuple(one.values()) for batch in first for one in batch}) == 48
    assert all(len({one["w"] for one in batch}) == 3 for batch in first)


def test_what_the_sampler_is_told(tmp_path):
    made = study(tmp_path / "a", batch=4)
    assert made.best() == []
    ends = [("finished", (2.0,)), ("finished", (1.0,)), ("diverged", ()), ("failed", ())]
    made.tell(made.propose(4)[1], [Result(*end, [i]) for i, end in enumerate(ends)])
    assert [trial.state.name for trial in made.trials] == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL"]
    assert [trial.values for trial in made.trials] == [[2.0], [1.0], None, None]
    assert [trial.number for trial in made.best()] == [1]
    assert made.propose(4) == (4, [])
