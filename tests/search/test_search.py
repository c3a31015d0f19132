"""Whole searches of `search=best`, and what is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import runge
from runge.comparison.ranking import rank_directories
from runge.composing.overrides import explain
from runge.function.loading import load_runs
from runge.function.outside import OUTSIDE
from runge.function.residuals import UnseenErrors, rows_of
from runge.records.directories import RunDirectory
from runge.records.leaderboard import read_leaderboard
from runge.search.answer import Answer
from runge.search.moves import next_moves
from runge.search.results import Move, read_trials
from runge.search.search import Search
from runge.search.verdict import _describe_answer
from runge.training.member import Member
from tests.comparison.pages import numbers
from tests.conftest import command, compose, interrupted_at
from tests.refusals import check_refusal, refuses
from tests.search.made_up import result, trained
from tests.sweeps.commands import TINY_SEARCH
from tests.sweeps.policies.made_up import read_command

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
    return {candidate["name"].partition(", seed ")[0] for candidate in candidates}


def trials(sweep="race"):
    """How the trials of a search were planned, and their results."""
    return [(move, result) for move, result, _ in read_trials(Path(sweep)).values()]


def made(*arguments):
    """Return a search that has not begun."""
    return Search(read_command(*arguments))


def read_board(sweep="race"):
    found = read_leaderboard([sweep])
    assert found is not None
    return found


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
    # Two seeds leave out each of five folds, and four of these networks have judged the candidate.
    assert sum(move.of_answer and move.fold is not None for move, _ in trials(race)) == 2 * 5 - 4
    assert [len(entry["runs"]) for entry in one] == [5, *[0] * (len(one) - 1)]
    assert sorted(map(str, one[0]["runs"] + one[0]["refits"])) == sorted(path.name for path in race.glob("[0-9]*"))
    assert rank_directories([race]).groups[0].name in [entry["name"] for entry in one]
    assert "leads" not in runge.compare(race).lead or "interval" not in runge.compare(race).lead
    check_profiles(answer, read_board(race))
    assert (race / "comparison.html").is_file()
    assert "2 candidates on 24 rows" in printed


def test_the_networks_of_the_answer_are_runs_with_their_curves(shared, trained):
    """All figures that a run has follow from the weights of the trial, and loggers have a row for each block."""
    race = trained(*RACE, share_table(shared), "data.folds=5")[0] / "race"
    best, judging = board(race)[0]["name"], []
    for number, entry in enumerate(board(race)[0]["runs"]):
        run = RunDirectory(race / str(entry))
        result = next(result for move, result in trials(race) if (move.candidate, move.fold) == (best, number))
        history, metrics = runge.history(run.path), run.read_metrics()
        assert history["step"].tolist() == result.history["step"].tolist()
        assert metrics["best_step"] == result.best_step
        for name in ("val/nrmse_f", "val/nrmse_df", "val/loss"):
            assert metrics[name] == pytest.approx(result.metric(name), rel=1e-6)
        assert run.read_state().status == "finished"
        settings, overrides, _ = run.read_configuration()
        composed = compose(*overrides, "data.file=" + settings["data"]["file"])
        assert {**composed, "trainer": settings["trainer"]} == {**settings, "trainer": settings["trainer"]}
        assert any(run.tensorboard.rglob("events*"))
        rows = rows_of(run)[0]
        errors = runge.load(run.path)(rows.x[result.left_out]) - rows.y[result.left_out, 0]
        assert errors == pytest.approx(result.residuals[:, 0], abs=1e-6)
        judging.append(result)
    networks = load_runs([RunDirectory(race / str(number)) for number in range(len(judging))])
    unseen = [(result.left_out, result.validated, result.residuals) for result in judging]
    known = UnseenErrors.of_errors(rows, networks.runs, unseen).mean(validated=True)
    evaluated = UnseenErrors.of(networks.jet, networks.runs, everywhere=False).mean(validated=True)
    np.testing.assert_allclose(known, evaluated, rtol=0, atol=1e-6)


@pytest.mark.nightly
def test_ctrl_c_leaves_the_best_so_far_and_the_trials_that_have_ended(shared, monkeypatch):
    search = *SMALL, share_table(shared)
    with monkeypatch.context() as patch:
        patch.setattr("runge.optimizers.optimizer.Problem", interrupted_at(50))
        status, message = command(*search)
    assert status == 1
    how = "to continue, run the same command with --out race"
    assert re.fullmatch(f"error: interrupted; the best answer so far, (one|two), is in race; {how}", message)
    assert runge.load("race").members >= 1
    before = {path: path.stat().st_mtime_ns for path in Path("race/trials").iterdir()}
    assert before
    assert command(*search, "--out", "race") == (0, "")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(trials()) > len(before)


def test_ctrl_c_before_a_trial_has_ended(monkeypatch):
    monkeypatch.setattr("runge.optimizers.optimizer.Problem", interrupted_at(5))
    how = "to continue, run the same command with --out race"
    assert command(*SHORT) == (1, f"error: interrupted; no candidate has ended in race; {how}")


def test_a_time_that_is_too_short_gives_the_fastest_candidate(capsys):
    assert command(*SHORT, "search.timeout=1e-6") == (0, "")
    said = "search.timeout: no candidate has ended within 1e-06 s; one has some more seconds"
    assert said in capsys.readouterr().out
    assert runge.load("race").members == 1
    assert [entry["folds"] for entry in board()] == [1]


def halving(count):
    """Return a command of so many candidates of Levenberg-Marquardt, of which one fold judges."""
    method = '"optimizer=levenberg_marquardt", "model.depth=1", "trainer.max_steps=20"'
    own = ", ".join(f'{name}: [{method}, "model.width={i}"]' for i, name in enumerate("abcdefg"[:count], 4))
    dropped = "~search.tables", "+search.tables", "data.folds", "search.seeds", "search.timeout", "trainer.", "model."
    kept = (override for override in SHORT if not override.startswith(dropped))
    quiet = "data.folds=5", "trainer.progress_bar=false"
    return [*kept, *quiet, "search.seeds=1", "search.timeout=6", "~search.tables", f"+search.tables={{{own}}}"]


@pytest.mark.nightly
def test_candidates_begin_with_few_rows_and_the_best_continue():
    """All are judged on the same rows."""
    save(rows(900))
    assert command(*halving(3)) == (0, "")
    judging = [(x, result) for x, result in trials() if x.fold == 0 and not (x.seed or x.of_answer)]
    first = [(x, result) for x, result in judging if x.rung == 0]
    assert [len(first), {x.share is None for x, _ in first}] == [3, {False}]
    assert {result.rows for _, result in first} == {333}  # 1000 labels
    assert any(x.start is not None for x, _ in judging)
    judged = {tuple(result.left_out[result.validated]) for _, result in judging}
    assert [len(one) for one in judged] == [180]
    assert runge.load("race").interval(rows()[:, :2])[0].shape == (30,)


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
    assert (one["derivative"] is None) == (name == "a plane")
    assert (one["value"] is None) == (name == "gradients and one value")
    assert names(board()) == {"one", "two", *(["alone"] if name == "derivatives that contradict the values" else [])}
    if sets:
        assert "On the 6 test rows, which no network has seen, no error is stated: their labels are too few." in said
        assert "trained on the 24 rows that are not for the test" in said
    elif one["value"] is None:  # the known one is that of the answer; values alone are not fitted
        assert u(x[0]) == pytest.approx(table[0, 2], abs=1e-6)
        assert np.isnan(u.interval(x)).all()
        assert found.left_out == ["alone: no two values of an output are known that differ"]
        assert "90 % of the derivatives were within" in said
        assert "values" not in said
    elif ALONE in overrides:
        assert re.match("dy_da does not follow .* These derivatives are left out", found.sentences[-1])
        assert found.left_out == []  # another derivative is known


def test_derivatives_that_contradict_the_values_are_kept_if_the_command_names_them():
    table, kept = rows(60), "data.derivatives={y:{a:dy_da,b:dy_db}}"
    table[:, 3] = np.random.default_rng(1).normal(size=60)
    save(table)
    best = made(*SHORT, kept)
    assert best._wrong.startswith("dy_da does not follow the values")
    assert "left out" not in best._wrong
    assert best.state.table.channels.slope.any()


def test_the_answer_fits_the_values_if_derivatives_are_too_large():
    table = rows(100)
    table[:, 3:] *= 1.3
    save(table)
    own = "data.file=t.csv", "data.split.test=0.2", "model.width=40", "model.depth=1"
    kept = (x for x in SMALL if not x.startswith(("+search.tables", "model.", "trainer.max_steps")))
    exact = '"optimizer=least_squares"'
    both = f'+search.tables={{joint: [{exact}], alone: [{exact}, "loss.lambda_d=0"]}}'
    assert command(*kept, *own, both, "trainer.max_steps=8", "search.seeds=1") == (0, "")
    alone, joint = board()
    assert (alone["name"], alone["derivative"], joint["derivative"]) == ("alone", None, None)
    found = read_board()
    said = " ".join(found.sentences)
    assert re.search(r"dy_da is 1\.\d+ \+- [\d.]+ and dy_db is 1\.\d+ \+- [\d.]+ times the derivative of a fit", said)
    assert "for the derivatives" not in said
    assert [error.error is None for error in found.columns] == [False, True, True]


def test_a_column_is_left_out_only_if_a_fit_without_it_is_better(monkeypatch):
    table = rows(60)
    table[:, 3] = np.random.default_rng(1).normal(size=60)
    save(table)
    best = made(*SHORT, "trainer.max_steps=300", "search.timeout=200")
    assert np.isnan(best.state.table.rows.dydx).all(axis=0).tolist() == [[True, False]]
    assert best._wrong.endswith(" shows more. These derivatives are left out; data.derivatives={...} chooses others.")
    better = "runge.search.search._error_of_values"
    monkeypatch.setattr(better, lambda _, member, __: float(np.isnan(member.rows.dydx).any()))
    best = made(*SHORT)
    assert not np.isnan(best.state.table.rows.dydx).any()
    assert best._wrong.startswith("dy_da does not follow the values")
    assert "Are they wrong? A fit with these derivatives is better in rows left out, so they are kept" in best._wrong


def test_a_name_says_which_of_its_settings_are_those_of_the_command():
    kept = (x for x in SMALL if not x.startswith(("+search.tables", "model.")))
    both = '+search.tables={silu: ["model.activation=silu"], tanh: ["model.activation=tanh", "model.width=7"]}'
    best = made(*kept, "data.file=t.csv", both, "model.activation=tanh")
    assert list(best.state.listed) == ["silu, model.activation=tanh", "tanh"]


@pytest.mark.parametrize("listed", ["3", "text", "[3]"])
def test_a_candidate_is_a_list_of_overrides(listed):
    with refuses("search.tables.own", "should be a valid"):
        made(*SHORT, f"+search.tables.own={listed}")


def test_the_rows_are_those_of_the_command():
    """They are not all rows, and the search does not begin with fewer."""
    save(rows(3000))
    kept = [x for x in SHORT if not x.startswith(("+search.tables", "trainer.max_steps"))]
    method = "data.folds=2", '+search.tables={one: ["optimizer=levenberg_marquardt"]}'
    assert {move.share is None for move in next_moves(made(*kept, *method).state)[0]} == {False}
    half = made(*kept, *method, "data.split={train: 0.5}")
    moves, why = next_moves(half.state)
    assert why.endswith(" on 1500 rows")
    assert {move.share for move in moves} == {None}
    assert {half.state.trial(move).settings.data.split["train"] for move in moves} == {0.5}
    one = trained(half.state, moves[0].candidate, result(0.1, rows=15))
    answer = Answer.of(trained(one, moves[0].candidate, result(0.1, rows=15), fold=None, of_answer=True).ranked)
    assert _describe_answer(answer, 30, 0, 2) == "The answer is one network (one), trained on 15 of all 30 rows."


def test_without_derivatives_a_network_is_trained_once():
    save(rows()[:, :3], "a,b,y")
    best = made(*SHORT, ALONE, *NAMED)
    assert list(best.state.listed) == ["one", "two"]
    assert best._left_out == ["alone: no derivatives are known, so it would equal the candidate with derivatives"]


def test_the_logarithm_of_an_input_over_decades_is_compared_and_wins():
    h, a = 10 ** np.random.default_rng(0).uniform([-1, -0.3], [2, 0.3], (60, 2)).T
    save(np.column_stack([h, a, np.sin(np.log(h)) + a, np.cos(np.log(h)) / h, 1 + 0 * a]), "h,a,y,dy_dh,dy_da")
    only = '+search.tables={one: ["optimizer=levenberg_marquardt"]}'
    options = [only if x.startswith("+search.tables") else x for x in (*SHORT, *FEW)]
    assert command(*options) == (0, "")
    best, *others = board()
    assert best["name"].startswith("one, log10 of h")
    assert "data.log10=[h]" in best["overrides"]
    plain = next(one for one in others if one["name"] == "one")
    assert best["error"] < plain["error"] / 3
    assert "data.log10=[]" in plain["overrides"]
    assert list(made(*options, "data.log10=[]").state.listed) == ["one"]
    u, x = runge.load("race"), np.array([[3.0, 1.0], [30.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(u(x[:2]), np.sin(np.log(x[:2, 0])) + 1, atol=0.2)
    assert np.isnan(u(x)[2])
    assert u.outside(x)[2] == np.inf


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
    first, *others = trials()
    more = next(move for move, _ in others if move.changes.get("data.n_train") == 40)
    assert first[1].rows == 20
    assert more.start is not None


def test_no_network_of_the_answer_is_trained_on_test_rows():
    """Whatever its seed is."""
    best = made(*SHORT, "data.split.test=0.2", "search.seeds=3")
    pairs = [(fold, seed) for fold in (None, 0, 1, 2) for seed in range(3)]
    each = [best.state.trial(Move("one", {}, fold, 10.0, seed=seed)).settings for fold, seed in pairs]
    tests = [member.rows.split(member.data_seed.generator("data")).test for member in map(Member, each)]
    assert {tuple(sorted(test)) for test in tests} == {tuple(sorted(best.state.table.test))}
    assert len(tests[0]) == 6
    assert {settings.seed.seed for settings in each} == {0, 1, 2}


def test_a_search_is_not_continued_on_other_rows():
    Path("race").mkdir()
    made(*SHORT)._resume()
    save(rows()[::-1])
    with refuses("data.file", "got", "must be as when the search in", '"rows '):
        made(*SHORT)._resume()


# An override: the key, what was given, and what is allowed.
MISTAKES = {
    "data.file=none.csv": ("data.file", "'none.csv'", "there is no file"),
    "data.file=null": ("data.file", "got None", "valid string"),
    "data.file=seven.csv": ("data.file", "got 7", "at least 8 rows"),
    "data.file=constant.csv": ("data.inputs", "'b'", "must have values that differ"),
    "model.widht=8": ("model.widht", "", "unknown key"),
    "model.width=8,16": ("model.width", "8,16", "must have one value with search=best"),
    "search.timeout=0": ("search.timeout", "got 0", "greater than"),
    "search.timeout=now": ("search.timeout", "got 'now'", "valid number"),
    "optimizer=sgd": ("optimizer", "got sgd", "must be that of a candidate", "adamw"),
    "data.fold=1": ("data.fold", "got 1", "must be null with search=best"),
    "data.folds=null": ("data.folds", "got null", "must be at least 2 with search=best"),
    "hydra.launcher.cluster=slurm": ("hydra.launcher.cluster", "got slurm", "must be local with search=best"),
    "objective=val/mse_f": ("objective", "got objective=val/mse_f", "must not be set with search=best", "geometric"),
    "trainer.stop_at=7": ("trainer.stop_at", "got trainer.stop_at=7", "must not be set with search=best"),
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
        made(*(x for x in SHORT if x.partition("=")[0] != key), override)
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
