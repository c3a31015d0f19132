"""The race of `search=best` as a command: its answer, its messages, and what a kill or Ctrl-C leaves."""

import json
import re
import shutil
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

import runge
from runge.comparison.leaderboard import read_leaderboard
from runge.function.outside import OUTSIDE
from runge.function.residuals import rows_of
from runge.records.directories import RunDirectory
from runge.records.files import locked
from runge.sweeps.policies.best.judge import Fit
from tests.comparison.pages import numbers
from tests.conftest import command, interrupted_at
from tests.sweeps.commands import TINY_SEARCH

RACE = ("-m", *TINY_SEARCH, "hydra.sweep.dir=race")
SHORT = (*RACE, "data.file=t.csv", "search.compare=false")


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


@pytest.fixture
def race(shared, tmp_path):
    """The overrides of a race whose table several tests share, with the usual number of folds and a comparison."""
    table = (tmp_path / "t.csv").rename(shared / "table-of-the-race.csv")
    save(rows())
    return *RACE, f"data.file={table}", "data.folds=5"


@pytest.fixture
def whole(race, trained):
    """The directory of a race that was not interrupted, and what it printed."""
    folder, printed = trained(*race)
    return folder / "race", printed


def board(sweep):
    """The leaderboard without the times."""
    content = json.loads((sweep / "leaderboard.json").read_text())
    return [{name: x for name, x in one.items() if name != "seconds"} for one in content["candidates"]]


def check_same(ours, theirs):
    answer = json.loads((ours / "answer.json").read_text())
    assert answer == json.loads((theirs / "answer.json").read_text())
    assert board(ours) == board(theirs)
    for run in answer["runs"]:
        pair = [torch.load(RunDirectory(sweep / run).best, weights_only=True) for sweep in (ours, theirs)]
        for name, weights in pair[0]["state_dict"].items():
            assert torch.equal(weights, pair[1]["state_dict"][name])
    x = rows()[:, :2]
    assert np.array_equal(runge.load(ours)(x), runge.load(theirs)(x))


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


def test_the_answer_is_one_function_of_the_best(whole):
    race, printed = whole
    answer, one = runge.load(race), board(race)
    assert {entry["name"] for entry in one} == {"one", "two"}
    assert [entry["folds"] for entry in one] == [5, 4]
    runs = json.loads((race / "answer.json").read_text())["runs"]
    assert answer.members == len(runs)
    for run in runs:  # trained on all rows, as folds say
        settings = RunDirectory(race / run).read_configuration()[0]
        assert (settings["data"]["fold"], settings["data"]["split"]["val"]) == (None, 0)
        assert settings["trainer"]["stop_at"] <= 40
    found = answer.calibration  # by further networks of the same rows, as the answer has
    assert found.local
    assert found.counts == (30, 30, 30)
    assert found == runge.load(race).calibration
    folds = [run.settings for run in runge.Answer(race).runs if run.settings["data.fold"] is not None]
    further = [settings["trainer.stop_at"] for settings in folds if settings["seed"] > 0]
    assert len(further) == 5
    assert None not in further
    assert [len(entry["calibrating"]) for entry in one] == [5, 0]
    assert runge.Answer(race).groups[0].name in ("one", "two")
    assert "leads" not in runge.Answer(race).lead or "interval" not in runge.Answer(race).lead
    check_profiles(answer, read_leaderboard([race]))
    assert (race / "comparison.html").is_file()
    assert "2 candidates on 24 rows" in printed


def test_no_network_of_the_answer_is_trained_on_test_rows(tmp_path):
    """Whatever its seed is."""
    assert command(*SHORT, "data.split.test=0.2", "search.seeds=3") == (0, "")
    runs = [RunDirectory(tmp_path / "race" / run) for run in map(str, range(50)) if (tmp_path / "race" / run).is_dir()]
    splits = [rows_of(run)[1] for run in runs]
    assert {tuple(sorted(split.test)) for split in splits} == {tuple(sorted(splits[0].test))}
    assert len({run.read_configuration()[0]["seed"] for run in runs}) == 3


def test_ctrl_c_leaves_the_best_so_far(race, whole, tmp_path, monkeypatch):
    for step, left in ((20, "no candidate has ended"), (100, "the best answer so far, (one|two), is")):
        with monkeypatch.context() as patch:
            patch.setattr("runge.optimizers.optimizer.Problem", interrupted_at(step))  # in the first or second round
            status, message = command(*race)
        assert status == 1
        how = "to continue, run the same command with hydra.sweep.dir=race"
        assert re.fullmatch(f"error: interrupted; {left} in race; {how}", message)
    assert runge.load("race").members > 1
    assert command(*race) == (0, "")
    check_same(tmp_path / "race", whole[0])


def test_ctrl_c_while_runs_are_read_leaves_the_answer_of_the_leaderboard(tmp_path, monkeypatch):
    calls, of = count(1), Fit.of

    def interrupted(*arguments):
        if next(calls) == 8:  # both candidates have three folds then
            raise KeyboardInterrupt
        return of(*arguments)

    monkeypatch.setattr(Fit, "of", interrupted)
    assert command(*SHORT)[0] == 1
    assert [entry["folds"] for entry in board(tmp_path / "race")] == [3, 3]
    assert runge.load("race").members == 3


def test_two_commands_do_not_share_a_directory(tmp_path, capsys):
    with locked(tmp_path / "race", "hydra.sweep.dir"):
        assert command(*SHORT)[0] == 1
    assert "hydra.sweep.dir: 'race' is in use by process" in capsys.readouterr().err


def test_a_time_that_is_too_short_gives_the_fastest_candidate(tmp_path, capsys):
    assert command(*SHORT, "search.timeout=1e-6") == (0, "")
    said = "search.timeout: no candidate has ended within 1e-06 s; one has some more seconds"
    assert said in capsys.readouterr().out
    assert runge.load("race").members == 1
    assert [entry["folds"] for entry in board(tmp_path / "race")] == [1]


def rungs(directory):
    """Return the overrides of the runs of a search, by batches, without those of the command."""
    batches = json.loads((directory / "journal.json").read_text())["batches"]
    return [[dict(override.split("=", 1) for override in job) for job in batch["jobs"]] for batch in batches]


OWN = ", ".join(f'{name}: ["optimizer.lr=0.0{i}"]' for i, name in enumerate("abcde", 1))
HALVING = [override for override in SHORT if "tables" not in override and not override.startswith("data.folds")]
HALVING += ["data.folds=5", "~search.tables", f"+search.tables={{{OWN}}}"]


@pytest.fixture(scope="module")
def halved(tmp_path_factory):
    """The folder of a search that begins with few of its rows, which are many for it."""
    folder = tmp_path_factory.mktemp("halved")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        few_rows_are_many(patch)
        save(rows(300))
        assert command(*HALVING) == (0, "")
    return folder


def few_rows_are_many(patch):
    patch.setattr("runge.sweeps.policies.best.search_table._LEFT_OUT_OF_FEW", 60)
    patch.setattr("runge.sweeps.policies.best.successive_halving._LABELS", 60)


def test_candidates_begin_with_few_rows_and_the_better_half_continues_with_more(halved, monkeypatch):
    first, second, third, *_ = rungs(halved / "race")
    assert [len(batch) for batch in (first, second, third)] == [5, 3, 2]
    assert {job["data.fold"] for batch in (first, second, third) for job in batch} == {"0"}
    assert [{job.get("data.split.train") for job in batch} for batch in (first, second, third)] == [
        {"0.05"},
        {"0.2"},
        {None},
    ]
    assert all("trainer.start" in job for job in second + third)
    found = read_leaderboard([halved / "race"])
    assert found is not None
    assert len(found.promotions) >= 3
    assert "3 have larger errors" in found.promotions[2]
    monkeypatch.chdir(halved)
    train, val, _ = rows_of(RunDirectory(halved / "race" / "0"))[1]
    assert (len(train), len(val)) == (15, 60)
    assert runge.load("race").interval(rows()[:, :2])[0].shape == (30,)


def test_all_candidates_are_judged_on_the_same_rows(halved, monkeypatch):
    monkeypatch.chdir(halved)
    runs = [RunDirectory(halved / "race" / str(number)) for number in range(8)]
    assert len({tuple(sorted(rows_of(run)[1].val)) for run in runs}) == 1


def test_a_search_by_rows_that_is_repeated_takes_the_same_decisions(halved, tmp_path, monkeypatch):
    few_rows_are_many(monkeypatch)
    shutil.copy(halved / "t.csv", tmp_path)
    shutil.copytree(halved / "race", tmp_path / "race")
    journal, candidates = (tmp_path / "race" / "journal.json").read_text(), board(tmp_path / "race")
    (tmp_path / "race" / "answer.json").unlink()
    assert command(*HALVING) == (0, "")
    assert (tmp_path / "race" / "journal.json").read_text() == journal
    assert board(tmp_path / "race") == candidates
    assert runge.load("race").members >= 1


def test_a_search_is_not_continued_on_other_rows(tmp_path, capsys):
    assert command(*SHORT) == (0, "")
    save(rows()[::-1])
    assert command(*SHORT)[0] == 1
    assert "data.file: must be as when the search in 'race' began, \"rows " in capsys.readouterr().err


def test_a_candidate_that_fails_is_named_with_its_failure(tmp_path):
    assert command(*SHORT, '+search.tables.three=["optimizer.lr=1e12","optimizer.weight_decay=0"]') == (0, "")
    found = read_leaderboard([tmp_path / "race"])
    assert found is not None
    assert [one.partition(":")[0] for one in found.left_out] == ["three"]
    assert "diverged" in found.left_out[0]


def test_a_time_that_is_over_ends_a_run_with_what_it_has(tmp_path):
    long = [override for override in SHORT if not override.startswith(("trainer.max_steps", "search.timeout"))]
    assert command(*long, "trainer.max_steps=100000000", "search.timeout=4") == (0, "")
    runs = (tmp_path / "race").glob("[0-9]*")
    steps = [state.step for run in runs if (state := RunDirectory(run).read_state()) and state.status == "finished"]
    assert 0 < max(steps) < 1e8


def tables():
    table, nan = rows(), np.nan
    two = np.c_[table, table[:, 2] ** 2]
    two[::4, 2], two[::5, 3] = nan, nan
    x = np.linspace(0, 1, 8)
    plane = np.c_[table[:, :2], table[:, :2] @ [0.1, 0.7], np.tile([0.1, 0.7], (30, 1))]
    named = ("data.inputs=[a,b]", "data.outputs=[y,z]")
    return {
        "no derivatives": (table[:, :3], "a,b,y", ("data.inputs=[a,b]", "data.outputs=[y]")),
        "two outputs, unknown labels": (two, "a,b,y,dy_da,dy_db,z", named),
        "eight rows of one input, five folds": (np.c_[x, x**2, 2 * x], "x,y,dy_dx", ("data.folds=5",)),
        "a plane": (plane, "a,b,y,dy_da,dy_db", ()),
    }


@pytest.mark.parametrize("name", tables())
def test_any_table_has_an_answer(name, tmp_path):
    table, header, overrides = tables()[name]
    save(table, header)
    assert command(*SHORT, *overrides) == (0, "")
    u, one = runge.load("race"), board(tmp_path / "race")[0]
    x = table[:, : len(u.inputs)]
    assert np.isfinite(u(x[:, 0] if len(u.inputs) == 1 else x)).all()
    assert 0 < one["error"] < 1.5
    assert (one["derivative"] is None) == (name in ("no derivatives", "a plane"))
    assert one["value"] is not None


def test_without_derivatives_a_network_is_trained_once(tmp_path):
    save(rows()[:, :3], "a,b,y")
    alone = '+search.tables.alone=["loss.lambda_d=0"]'
    assert command(*SHORT, alone, "data.inputs=[a,b]", "data.outputs=[y]") == (0, "")
    found = read_leaderboard([tmp_path / "race"])
    assert found is not None
    assert [one.name for one in found.candidates] == ["one", "two"]
    assert found.left_out == ["alone: no derivatives are known, so it would equal the candidate with derivatives"]


def test_derivatives_that_contradict_the_values_are_left_out(tmp_path):
    table = rows(60)
    table[:, 3] = np.random.default_rng(1).normal(size=60)
    save(table)
    assert command(*SHORT, "search.timeout=20") == (0, "")
    found = read_leaderboard([tmp_path / "race"])
    assert found is not None
    assert re.match("The derivatives of y .* These derivatives are left out", found.sentences[-1])
    assert found.candidates[0].derivative is None
    assert command(*SHORT, "data.derivatives={y:{a:dy_da,b:dy_db}}", "hydra.sweep.dir=all") == (0, "")
    found = read_leaderboard([tmp_path / "all"])
    assert found is not None
    assert "left out" not in found.sentences[-1]


def test_the_answer_of_gradients_and_one_value(tmp_path):
    """The answer has the known value, and the leaderboard says nothing of values; those alone are not fitted."""
    table = rows()
    table[1:, 2] = np.nan
    save(table)
    alone = '+search.tables.alone=["loss.lambda_d=0"]'
    assert command(*SHORT, alone) == (0, "")
    u, found = runge.load("race"), read_leaderboard([tmp_path / "race"])
    assert found is not None
    assert u(table[0, :2]) == pytest.approx(table[0, 2], abs=1e-6)
    assert np.isnan(u.interval(table[:, :2])).all()
    assert board(tmp_path / "race")[0]["value"] is None
    assert found.left_out == ["alone: no two values of an output are known that differ"]
    assert "90 % of the derivatives were within" in " ".join(found.sentences)
    assert "values" not in " ".join(found.sentences)


def test_a_table_with_a_column_of_sets(tmp_path):
    lines = (tmp_path / "t.csv").read_text().splitlines()
    sets = ["split", *(["test", "val", "train", "train", "train"] * 6)]
    (tmp_path / "t.csv").write_text("\n".join(f"{line},{one}" for line, one in zip(lines, sets, strict=True)))
    named = ("data.inputs=[a,b]", "data.outputs=[y]", "data.split_column=split")
    assert command(*SHORT, *named) == (0, "")
    board_text = (tmp_path / "race" / "leaderboard.json").read_text()
    assert "On the 6 test rows, which no network has seen" in board_text
    assert "trained on the 24 rows that are not for the test" in board_text


def test_a_formula_has_an_answer(tmp_path):
    formulas = [one.replace("tables", "formulas") for one in RACE if not one.startswith("data")]
    assert command(*formulas, "data.n_train=20", "search.compare=false") == (0, "")
    assert {entry["name"] for entry in board(tmp_path / "race")} == {"one", "two"}
    assert runge.load("race").members == 1


@pytest.mark.nightly
def test_the_winner_of_a_formula_gets_more_points(tmp_path):
    """Also one by Levenberg-Marquardt, which continues from its weights."""
    own = '"optimizer=levenberg_marquardt", "trainer.max_steps=100", "data.n_train=20", "data.n_val=50"'
    dropped = "data", "~search", "+search", "trainer.max_steps", "search.timeout"
    arguments = [*(x for x in RACE if not x.startswith(dropped)), "search.timeout=10"]
    assert command(*arguments, "~search.formulas", f"+search.formulas={{one: [{own}]}}") == (0, "")
    jobs = [job for batch in rungs(tmp_path / "race") for job in batch]
    points = [job["data.n_train"] for job in jobs]
    assert points[0] == "20"
    assert "trainer.start" in jobs[points.index("40")]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("search=best",), "search: needs -m"),
        (("-m", *TINY_SEARCH, "data.file=none.csv"), "data.file: there is no file 'none.csv'"),
        (("-m", *TINY_SEARCH), "data.file: should be a valid string, got None"),
        ((*RACE, "data.file=seven.csv"), "data.folds: 'seven.csv': must have at least 8 rows .*, got 7"),
        ((*RACE, "data.file=constant.csv"), "data.inputs: 'constant.csv': 'b' must have values that differ"),
        ((*RACE, "data.file=t.csv", "model.widht=8"), "model.widht: unknown key"),
        ((*RACE, "data.file=t.csv", "model.width=8,16"), "model.width: must have one value with search=best"),
        ((*RACE, "data.file=t.csv", "search.timeout=0"), r"search\.timeout: should be greater than"),
        ((*RACE, "data.file=t.csv", "search.timeout=now"), r"search\.timeout: should be a valid number"),
        ((*RACE, "data.file=t.csv", "optimizer=sgd"), "optimizer: must be that of a candidate .*, adamw; got sgd"),
        ((*RACE, "data.file=t.csv", "data.fold=1"), "data.fold: must be null with search=best"),
        ((*RACE, "data.file=t.csv", "data.folds=null"), "data.folds: must be at least 2 with search=best, got null"),
        ((*RACE, "data.file=t.csv", "data.folds=1"), "data.folds: should be greater than or equal to 2"),
        ((*RACE, "data.file=t.csv", "resume=race"), "resume: resumes one run; to resume a sweep, repeat its command"),
        ((*RACE, "data.file=t.csv", "hydra.sweep.dir=t.csv/race"), "hydra.sweep.dir: must be a directory that can be"),
        (
            ("-m", "search=best", "data=table", "data.file=t.csv", "~search.tables", "+search.tables={}"),
            "search.tables, search.formulas: must have a candidate",
        ),
    ],
)
def test_mistakes_are_reported_before_any_work(overrides, words, tmp_path, capsys):
    save(rows(7), path="seven.csv")
    save(rows() * [1, 0, 1, 1, 1], path="constant.csv")
    before = sorted(path.name for path in tmp_path.iterdir())
    status, message = command(*overrides)
    assert status == 1
    assert re.search(words, message + capsys.readouterr().err)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
