"""The search of `search=best`: whole ones, and its decisions on made-up results, for which nothing is trained."""

import json
import re
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

import runge
from runge.comparison.ranking import rank_directories
from runge.composing.overrides import explain
from runge.function.outside import OUTSIDE
from runge.function.residuals import rows_of
from runge.records.directories import RunDirectory
from runge.records.leaderboard import read_leaderboard
from runge.sweeps.journal import Batch, Journal
from runge.sweeps.policies.best import selection
from runge.sweeps.policies.best.selection import PlannedRun
from runge.sweeps.policies.best.successive_halving import Best
from tests.comparison.pages import numbers
from tests.conftest import command, interrupted_at
from tests.refusals import check_refusal, refuses
from tests.sweeps.commands import TINY_SEARCH
from tests.sweeps.policies.made_up import Launcher, policy, run, trained_run

RACE = ("-m", *TINY_SEARCH, "hydra.sweep.dir=race")
SHORT = (*RACE, "data.file=t.csv", "search.compare=false")
FORMULAS = tuple(x.replace("tables", "formulas") for x in (*RACE, "search.compare=false") if not x.startswith("data"))
FEW = ("data.folds=2", "search.seeds=1", "trainer.max_steps=20")
SMALL = (*RACE, "search.compare=false", "data.folds=2", "trainer.max_steps=20")
ALONE = '+search.tables.alone=["loss.lambda_d=0"]'
NAMED = ("data.inputs=[a,b]", "data.outputs=[y]")


def rows(n=30):
    x = np.random.default_rng(0).uniform(-1, 1, (n, 2))
    y = np.sin(2 * x[:, 0]) * x[:, 1]
    return np.column_stack([x, y, 2 * np.cos(2 * x[:, 0]) * x[:, 1], np.sin(2 * x[:, 0])])


def save(table, header="a,b,y,dy_da,dy_db", path="t.csv"):
    text = [",".join("" if cell != cell else repr(float(cell)) for cell in row) for row in np.asarray(table)]
    Path(path).write_text("\n".join([header, *text]) + "\n")


@pytest.fixture(autouse=True)
def _table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(rows())


def share_table(shared):
    """Return the override of a table that several tests share, and with it what they train."""
    save(rows(), path=(part := Path("shared.csv")))
    return f"data.file={part.rename(shared / 'table-of-the-race.csv')}"


def board(sweep="race"):
    """The candidates of the leaderboard without their times."""
    content = json.loads((Path(sweep) / "leaderboard.json").read_text())
    return [{name: x for name, x in one.items() if name != "seconds"} for one in content["candidates"]]


def names(candidates):
    """The names of some candidates, apart from their seeds."""
    return {candidate["name"].partition("; seed=")[0] for candidate in candidates}


def read_board(sweep="race"):
    found = read_leaderboard([sweep])
    assert found is not None
    return found


def check_same(ours, theirs):
    answer = json.loads((ours / "answer.json").read_text())
    assert answer == json.loads((theirs / "answer.json").read_text())
    assert board(ours) == board(theirs)
    for name in answer["runs"]:
        pair = [torch.load(RunDirectory(sweep / name).best, weights_only=True) for sweep in (ours, theirs)]
        for name, weights in pair[0]["state_dict"].items():
            assert torch.equal(weights, pair[1]["state_dict"][name])
    x = rows()[:, :2]
    assert np.array_equal(runge.load(ours)(x), runge.load(theirs)(x))


def only_sweep(folder):
    """Return the directory that a sweep has made, in which its runs were trained."""
    (directory,) = folder.glob("outputs/multirun/*/*")
    assert (directory / "0").is_dir()
    return directory


@pytest.mark.nightly
def test_a_search_without_a_directory_makes_one_and_names_a_candidate_that_fails(tmp_path):
    """Its runs are read from the directory in which they were trained, and no other one is left."""
    search = (x for x in SHORT if not x.startswith("hydra.sweep.dir"))
    assert command(*search, *FEW, '+search.tables.three=["optimizer.lr=1e12","optimizer.weight_decay=0"]') == (0, "")
    directory = only_sweep(tmp_path)
    assert (directory / "answer.json").exists()
    ((name, _, message),) = (one.partition(": ") for one in read_board(directory).left_out)
    assert name == "three"
    assert "diverged" in message


@pytest.mark.nightly
def test_a_search_with_optuna_without_a_directory_makes_one(tmp_path):
    search = "search=optuna", "search.trials=1", "optimizer.lr=interval(1e-3,0.1)", "hydra.launcher.processes=1"
    assert command("-m", *search, "search.compare=false", "trainer.max_steps=20") == (0, "")
    assert (only_sweep(tmp_path) / "search.json").exists()


def check_profiles(answer, board):
    """Compare the curves and the intervals of a report with those of the answer."""
    assert [(one.output, one.input) for one in board.profiles] == [("y", "a"), ("y", "b")]
    middle, ends = np.median(rows()[:, :2], 0), (rows()[:, :2].min(0), rows()[:, :2].max(0))
    for d, one in enumerate(board.profiles):
        t, u, around, du, around_du, outside = numbers(one.curve, "<f8").reshape(6, -1)
        x = np.tile(middle, (len(t), 1))
        x[:, d] = np.linspace(ends[0][d], ends[1][d], len(t))
        np.testing.assert_array_equal(t, x[:, d])
        for centre, half, (low, high) in (
            (u, around, answer.interval(x)),
            (du, around_du, answer.derivative_interval(x)),
        ):
            low, high = (end if end.ndim == 1 else end[:, d] for end in (low, high))
            np.testing.assert_allclose([centre - half, centre + half], [low, high], rtol=1e-6)  # in single precision
        np.testing.assert_array_equal(outside, answer.outside(x) > OUTSIDE)
    assert re.match(r"In these rows, 90 % of the values were within \S+ and 90 %", board.sentences[2])


def test_the_answer_is_one_function_of_the_best(shared, trained):
    folder, printed = trained(*RACE, share_table(shared), "data.folds=5")
    race = folder / "race"
    answer, one = runge.load(race), board(race)
    assert names(one) == {"one", "two"}
    assert [entry["folds"] for entry in one] == [5, *[4] * (len(one) - 1)]
    runs = json.loads((race / "answer.json").read_text())["runs"]
    assert answer.members == len(runs)
    for name in runs:  # trained on all rows, as folds say
        settings = RunDirectory(race / name).read_configuration()[0]
        assert (settings["data"]["fold"], settings["data"]["split"]["val"]) == (None, 0)
        assert settings["trainer"]["stop_at"] <= 40
    found = answer.calibration  # by further networks of the same rows, as the answer has
    assert found.local
    assert found.counts == (30, 30, 30)
    assert found == runge.load(race).calibration
    folds = [run.settings for run in runge.compare(race).runs if run.settings["data.fold"] is not None]
    # Two seeds leave out each of five folds, and four of these runs have judged the candidate.
    assert sum(settings["trainer.stop_at"] is not None for settings in folds) == 2 * 5 - 4
    assert [len(entry["calibrating"]) for entry in one] == [5, *[0] * (len(one) - 1)]
    assert rank_directories([race]).groups[0].name in [entry["name"] for entry in one]
    assert "leads" not in runge.compare(race).lead or "interval" not in runge.compare(race).lead
    check_profiles(answer, read_board(race))
    assert (race / "comparison.html").is_file()
    assert "2 candidates on 24 rows" in printed


@pytest.mark.nightly
def test_ctrl_c_leaves_the_best_so_far(shared, trained, tmp_path, monkeypatch):
    search = *SMALL, share_table(shared)
    with monkeypatch.context() as patch:
        patch.setattr("runge.optimizers.optimizer.Problem", interrupted_at(50))  # in the batch of the answer
        status, message = command(*search)
    assert status == 1
    how = "to continue, run the same command with hydra.sweep.dir=race"
    assert re.fullmatch(f"error: interrupted; the best answer so far, (one|two), is in race; {how}", message)
    assert runge.load("race").members > 1
    assert command(*search) == (0, "")
    check_same(tmp_path / "race", trained(*search)[0] / "race")


def test_a_time_that_is_too_short_gives_the_fastest_candidate(capsys):
    assert command(*SHORT, "search.timeout=1e-6") == (0, "")
    said = "search.timeout: no candidate has ended within 1e-06 s; one has some more seconds"
    assert said in capsys.readouterr().out
    assert runge.load("race").members == 1
    assert [entry["folds"] for entry in board()] == [1]


def halving(count):
    """Return a command of so many candidates, of which one fold judges."""
    own = ", ".join(f'{name}: ["optimizer.lr=0.0{i}"]' for i, name in enumerate("abcdefg"[:count], 1))
    dropped = "~search.tables", "+search.tables", "data.folds", "search.seeds"
    kept = (override for override in SHORT if not override.startswith(dropped))
    return [*kept, "data.folds=5", "search.seeds=1", "~search.tables", f"+search.tables={{{own}}}"]


@pytest.mark.nightly
def test_candidates_begin_with_few_rows_and_the_best_continue_with_more():
    """All are judged on the same rows, and a repeated command takes the same decisions."""
    save(rows(900))
    search = *halving(3), "trainer.max_steps=20"
    assert command(*search) == (0, "")
    journal, candidates = Path("race/journal.json").read_text(), board()
    first, second = (
        [dict(override.split("=", 1) for override in job) for job in batch["jobs"]]
        for batch in json.loads(journal)["batches"][:2]
    )
    assert {job["data.fold"] for job in first + second} == {"0"}
    assert [len(first), {job.get("data.split.train") for job in first}] == [3, {"0.2"}]
    assert {job.get("data.split.train") for job in second} == {None}
    assert all("trainer.start" in job for job in second)
    splits = [rows_of(RunDirectory(Path("race", str(number))))[1] for number in range(len(first + second))]
    assert [[len(part) for part in splits[number][:2]] for number in (0, 3)] == [[180, 180], [720, 180]]
    assert len({tuple(sorted(split.val)) for split in splits}) == 1
    assert runge.load("race").interval(rows()[:, :2])[0].shape == (30,)
    Path("race/answer.json").unlink()
    assert command(*search) == (0, "")
    assert Path("race/journal.json").read_text() == journal
    assert board() == candidates
    assert runge.load("race").members >= 1


def test_of_many_rows_the_first_comparison_has_a_hundredth():
    save(rows(42_000).round(3))
    assert [share for _, share, _ in policy(*halving(7))._rungs()] == [0.008, 0.08, None]


def tables():
    table, nan = rows(), np.nan
    two = np.c_[table, table[:, 2] ** 2]
    two[::4, 2], two[::5, 3] = nan, nan
    sets = np.tile(["test", "val", "train", "train", "train"], 6)
    x = np.linspace(0, 1, 8)
    gradients, wrong = rows(), rows(60)
    gradients[1:, 2] = nan
    wrong[:, 3] = np.random.default_rng(1).normal(size=60)
    columns = "a,b,y,dy_da,dy_db"
    named = ("data.inputs=[a,b]", "data.outputs=[y,z]", "data.split_column=split")
    return {
        "two outputs, unknown labels, a column of sets": (two, f"{columns},z", named, sets),
        "eight rows of one input, five folds": (np.c_[x, x**2, 2 * x], "x,y,dy_dx", ("data.folds=5",)),
        "a plane": (np.c_[table[:, :2], table[:, :2] @ [0.1, 0.7], np.tile([0.1, 0.7], (30, 1))], columns, ()),
        "gradients and one value": (gradients, columns, (ALONE,)),
        "derivatives that contradict the values": (wrong, columns, (ALONE,)),
    }


AT_PUSH = "two outputs, unknown labels, a column of sets", "gradients and one value"


@pytest.mark.parametrize("name", [pytest.param(x, marks=[pytest.mark.nightly] * (x not in AT_PUSH)) for x in tables()])
def test_any_table_has_an_answer(name):
    table, header, overrides, *sets = tables()[name]
    save(table, header)
    if sets:
        lines = zip(Path("t.csv").read_text().splitlines(), ["split", *sets[0]], strict=True)
        Path("t.csv").write_text("\n".join(map(",".join, lines)))
    assert command(*SHORT, *FEW, *overrides) == (0, "")
    u, one, found = runge.load("race"), board()[0], read_board()
    x, said = table[:, : len(u.inputs)], " ".join(found.sentences)
    assert np.isfinite(u(x[:, 0] if len(u.inputs) == 1 else x)).all()
    assert 0 < one["error"] < 1.5
    assert (one["derivative"] is None) == (name in ("a plane", "derivatives that contradict the values"))
    assert (one["value"] is None) == (name == "gradients and one value")
    assert names(board()) == {"one", "two"}
    if sets:
        assert "On the 6 test rows, which no network has seen" in said
        assert "trained on the 24 rows that are not for the test" in said
    elif one["value"] is None:  # the known one is that of the answer; values alone are not fitted
        assert u(x[0]) == pytest.approx(table[0, 2], abs=1e-6)
        assert np.isnan(u.interval(x)).all()
        assert found.left_out == ["alone: no two values of an output are known that differ"]
        assert "90 % of the derivatives were within" in said
        assert "values" not in said
    elif ALONE in overrides:
        assert re.match("The derivatives of y .* These derivatives are left out", found.sentences[-1])
        why = "no derivatives are known, so it would equal the candidate with derivatives"
        assert found.left_out == [f"alone: {why}"]


@pytest.mark.nightly
def test_derivatives_that_contradict_the_values_are_kept_if_the_command_names_them():
    """The search looks for them, and not each run again, which would take longer than it with many inputs."""
    table, kept = rows(60), "data.derivatives={y:{a:dy_da,b:dy_db}}"
    table[:, 3] = np.random.default_rng(1).normal(size=60)
    save(table)
    best = policy(*SHORT, kept)
    assert best._wrong.startswith("The derivative")
    assert "left out" not in best._wrong
    assert best.selection.table.channels.slope.any()
    assert command(*SHORT, *FEW, kept) == (0, "")
    logs = [path.read_text() for path in Path("race").glob("*/train.log")]
    assert len(logs) > 1
    assert not any(best._wrong[:40] in log for log in logs)


def test_without_derivatives_a_network_is_trained_once():
    save(rows()[:, :3], "a,b,y")
    best = policy(*SHORT, ALONE, *NAMED)
    assert list(best.selection.candidates) == ["one", "two"]
    assert best._left_out == ["alone: no derivatives are known, so it would equal the candidate with derivatives"]


def test_a_formula_has_an_answer():
    assert command(*FORMULAS, "data.n_train=20") == (0, "")
    assert {entry["name"] for entry in board()} == {"one", "two"}
    assert runge.load("race").members == 1


@pytest.mark.nightly
def test_the_winner_of_a_formula_gets_more_points():
    """Also one by Levenberg-Marquardt, which continues from its weights."""
    own = '"optimizer=levenberg_marquardt", "trainer.max_steps=100", "data.n_train=20", "data.n_val=50"'
    dropped = "data", "~search", "+search", "trainer.max_steps", "search.timeout"
    arguments = [*(x for x in RACE if not x.startswith(dropped)), "search.timeout=10"]
    assert command(*arguments, "~search.formulas", f"+search.formulas={{one: [{own}]}}") == (0, "")
    batches = json.loads(Path("race/journal.json").read_text())["batches"]
    jobs = [dict(override.split("=", 1) for override in job) for batch in batches for job in batch["jobs"]]
    points = [job["data.n_train"] for job in jobs]
    assert points[0] == "20"
    assert "trainer.start" in jobs[points.index("40")]


@pytest.fixture
def made_up(monkeypatch):
    """Let runs have made-up files, of candidate `one` with errors of 1 or of its seeds, else with 2, and no answer."""
    launcher = Launcher()
    launcher.errors = {}

    def read_run(directory, number, share, start, *, completes):
        overrides = [job for batch in launcher.batches for job in batch][number]
        error = launcher.errors.get(overrides.get("seed"), 1.0) if overrides["optimizer.lr"] == "0.01" else 2.0
        metrics = {"val/nrmse_f": error}
        return trained_run(directory.path, number, metrics=metrics, share=share, cut=not completes)

    monkeypatch.setattr(selection, "read_run", read_run)
    monkeypatch.setattr("runge.sweeps.policies.best.successive_halving.answer", lambda *_: iter(()))
    monkeypatch.setattr(Best, "conclude", lambda _: None)
    return launcher


def test_of_seven_candidates_three_continue_with_more_rows_and_two_of_them_with_all(made_up):
    save(rows(3400))
    promotions = run(made_up, *halving(7)).promotions
    rungs = made_up.batches[:3]
    assert list(map(len, rungs)) == [7, 3, 2]
    assert [{job.get("data.split.train") for job in rung} for rung in rungs] == [{"0.05"}, {"0.2"}, {None}]
    assert "5 have larger errors" in promotions[2]


def test_ctrl_c_while_runs_are_read_leaves_the_answer_of_the_candidates(made_up, monkeypatch):
    calls, read_run = count(1), selection.read_run

    def interrupted(*arguments, completes):
        if next(calls) == 8:  # both candidates have three folds then
            raise KeyboardInterrupt
        return read_run(*arguments, completes=completes)

    monkeypatch.setattr(selection, "read_run", interrupted)
    boards = []
    monkeypatch.setattr(Best, "conclude", lambda best: boards.append(best.selection.ranked()))
    short = [x for x in SHORT if not x.startswith("trainer.max_steps")]  # so that they continue
    with pytest.raises(SystemExit, match="interrupted; the best answer so far, one, is in race"):
        run(made_up, *short)
    assert [(one.name, len(one.by_fold)) for one in boards[0]] == [("one", 3), ("two", 3)]
    assert json.loads(Path("race/answer.json").read_text())["runs"] == ["0", "1", "2"]


def test_ctrl_c_before_a_candidate_has_ended(made_up):
    def interrupted(*_):
        raise KeyboardInterrupt

    made_up.result = interrupted
    with pytest.raises(SystemExit, match="interrupted; no candidate has ended in race; to continue, run the same"):
        run(made_up, *SHORT)


def test_runs_have_a_time_after_which_they_end_with_what_they_have(made_up):
    run(made_up, *SHORT)
    first = made_up.batches[0]
    assert len(first) == 6
    assert 0 < sum(float(job["trainer.max_seconds"]) for job in first) < 1e5


@pytest.mark.parametrize(
    ("errors", "seeds"),
    [
        ({}, ["2"]),  # the first two are equal
        ({"2": 0.1}, ["2", "4", "6", "8", "10", "12", "14", "16"]),  # none is found twice
        ({"2": 0.4, "4": 0.1, "8": 0.19}, ["2", "4", "6", "8"]),
    ],
)
def test_the_best_begins_again_with_further_seeds_until_two_find_the_same_minimum(errors, seeds, made_up):
    made_up.errors = errors
    best = run(made_up, *SHORT, "data.folds=2")
    further = [job["seed"] for batch in made_up.batches for job in batch if "seed" in job]
    assert list(dict.fromkeys(further)) == seeds
    assert all(job["trainer.max_steps"] == "40" for batch in made_up.batches for job in batch)
    found = best.selection.ranked()[0]
    least = min(errors, key=lambda seed: errors[seed], default=None)
    assert (found.name, found.error) == (f"one; seed={least}", errors[least]) if least else ("one", 1.0)


def test_no_network_of_the_answer_is_trained_on_test_rows():
    """Whatever its seed is."""
    best = policy(*SHORT, "data.split.test=0.2", "search.seeds=3")
    one = best.selection.candidates["one"]
    pairs = [(fold, seed) for fold in (None, 0, 1, 2) for seed in range(3)]
    jobs = [best.selection._job(PlannedRun(one, fold, 10.0, seed=seed)) for fold, seed in pairs]
    members = [best.selection.factory.member(job) for job in jobs]
    tests = [member.rows.split(member.data_seed.generator("data")).test for member in members]
    assert {tuple(sorted(test)) for test in tests} == {tuple(sorted(best.selection.table.test))}
    assert len(tests[0]) == 6
    assert {member.settings.seed.seed for member in members} == {0, 1, 2}


def test_a_search_is_not_continued_on_other_rows(tmp_path):
    Journal(tmp_path, policy(*SHORT).description(), True, 0.0).replay(Batch([["seed=0"]]))
    save(rows()[::-1])
    with refuses("data.file", "got", "must be as when the search in", '"rows '):
        Journal(tmp_path, policy(*SHORT).description(), True, 0.0)


# An override: the key, what was given, and what is allowed.
MISTAKES = {
    "data.file=none.csv": ("data.file", "'none.csv'", "there is no file"),
    "data.file=null": ("data.file", "got None", "valid string"),
    "data.file=seven.csv": ("data.folds", "got 7", "at least 8 rows"),
    "data.file=constant.csv": ("data.inputs", "'b'", "must have values that differ"),
    "model.widht=8": ("model.widht", "", "unknown key"),
    "model.width=8,16": ("model.width", "8,16", "must have one value with search=best"),
    "search.timeout=0": ("search.timeout", "got 0", "greater than"),
    "search.timeout=now": ("search.timeout", "got 'now'", "valid number"),
    "optimizer=sgd": ("optimizer", "got sgd", "must be that of a candidate", "adamw"),
    "data.fold=1": ("data.fold", "got 1", "must be null with search=best"),
    "data.folds=null": ("data.folds", "got null", "must be at least 2 with search=best"),
    "data.folds=1": ("data.folds", "got 1", "greater than or equal to 2"),
    "+search.tables={}": ("search.tables, search.formulas", "got none", "must have a candidate"),
}


@pytest.mark.parametrize("override", MISTAKES)
def test_mistakes_are_refused_before_any_work(override, tmp_path):
    save(rows(7), path="seven.csv")
    save(rows() * [1, 0, 1, 1, 1], path="constant.csv")
    before = sorted(tmp_path.iterdir())
    key = override.partition("=")[0]
    with pytest.raises(Exception) as error:  # noqa: PT011, which of several classes is no matter to a user
        policy(*(x for x in SHORT if x.partition("=")[0] != key), override)
    check_refusal(str(explain(error.value)), *MISTAKES[override])
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("search=best",), "search: needs -m"),
        ((*SHORT, "data.folds=null"), "data.folds: must be at least 2 with search=best"),
        ((*SHORT, "resume=race"), "resume: resumes one run; to resume a sweep, repeat its command"),
        ((*SHORT, "hydra.sweep.dir=t.csv/race"), "hydra.sweep.dir: must be a directory that can be"),
    ],
)
def test_mistakes_are_reported_by_the_command(overrides, message, fail, tmp_path):
    out, err = fail(*overrides)
    assert message in out + err
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
