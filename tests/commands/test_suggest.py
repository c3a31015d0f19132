"""`runge suggest`: which points are chosen from, the table that is written, and its messages."""

import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest

import runge
from runge import suggest
from runge.commands.suggest import main
from runge.function.ensemble import write_answer
from runge.function.next_rows import fitted as loaded
from runge.records.leaderboard import Leaderboard, LeaderboardEntry
from tests.commands.conftest import SWEEP
from tests.refusals import refuses

ROLES = ("data=table", "data.file=t.csv", "data.inputs=[b,a]", "data.outputs=[y]")
SETS = ("data.split_column=kind", "data.group=part", "data.folds=2", "data.split.test=0")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with a table and a sweep of its two folds."""
    folder = tmp_path_factory.mktemp("suggest")
    a, b = np.random.default_rng(0).uniform((0, -1), (1, 1), (20, 2)).T
    labels = {"y": a * b**2, "dy_db": 2 * a * b, "dy_da": b**2}
    table = pandas.DataFrame({"note": "old", "b": b, **labels, "a": a, "kind": "train", "part": np.arange(20) % 10})
    table.to_csv(folder / "t.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        runge.sweep(*ROLES, *SETS, *SWEEP, "optimizer=levenberg_marquardt", directory="sweep")
    return folder


@pytest.fixture(autouse=True)
def inside(fitted, monkeypatch):
    monkeypatch.chdir(fitted)


def test_points_are_new_rows_of_the_table(tmp_path, capsys):
    main(["sweep", "--points", "5", "--out", str(tmp_path / "new.csv")])
    old, new = pandas.read_csv("t.csv"), pandas.read_csv(tmp_path / "new.csv")
    assert list(new) == list(old)
    assert new[["note", "y", "dy_da", "dy_db", "part"]].isna().all(axis=None)
    assert set(new["kind"]) == {"train"}
    assert len(new.drop_duplicates(["a", "b"])) == 5
    for name in "ab":
        assert new[name].between(old[name].min(), old[name].max()).all()
    out = capsys.readouterr().out
    assert "fit t.csv" in out
    assert "their labels (y, dy_db, dy_da), fill in part, append" in out
    assert "data.split_column=kind data.group=part" in out
    again = runge.suggest("sweep", 5)[["a", "b"]]
    pandas.testing.assert_frame_equal(again, new[["a", "b"]], check_exact=True)
    assert not suggest("sweep", 5, seed=1)["a"].isin(new["a"]).any()


def test_rows_for_other_files_than_text_and_for_an_index_without_a_name(tmp_path, capsys):
    x = np.linspace(-1, 1, 20)
    run = runge.train({"x": x, "y": x**2}, "trainer.max_steps=2", directory=tmp_path / "run")
    main([str(run.directory), "--points", "2"])
    assert f"add these rows to the data of {run.directory / 'data.npz'}, and run" in capsys.readouterr().out
    pandas.DataFrame({"x": x, "y": x**2, "dy_dx": 2 * x}).to_csv(tmp_path / "t.csv")
    run = runge.train(
        "data=table", f"data.file={tmp_path / 't.csv'}", "trainer.max_steps=2", directory=tmp_path / "two"
    )
    assert list(suggest(run, 2)) == ["", "x", "y", "dy_dx"]


def test_points_in_the_standard_output(capfd):
    before = sorted(Path().rglob("*"))
    main(["sweep", "--points", "3", "--out", "-"])
    out, err = capfd.readouterr()
    assert [len(line.split(",")) for line in out.splitlines()] == 4 * [len(pandas.read_csv("t.csv").columns)]
    assert "3 points: -\nCriterion: the disagreement of 2 networks\nNext: " in err
    assert sorted(Path().rglob("*")) == before


def test_the_advice_for_a_frame_works_as_it_is_printed(tmp_path, monkeypatch, capsys):
    """The index of the suggested rows continues that of the DataFrame; its file can be appended to data.csv, too."""
    df = pandas.read_csv("t.csv")[["a", "b", "y", "dy_da", "dy_db"]].set_index(np.arange(20) + 7)
    monkeypatch.chdir(tmp_path)
    sweep = runge.sweep(df, *SWEEP, "seed=0,1", directory="it's")
    assert suggest(sweep, 3).index.tolist() == [27, 28, 29]
    assert suggest(sweep, 1, candidates=pandas.DataFrame({"a": [0.5], "b": [0.5]}, ["own"])).index.tolist() == ["own"]
    main(["it's", "--points", "3"])
    *_, how, advice = capsys.readouterr().out.splitlines()
    assert how == "Next: compute their labels (y, dy_da, dy_db), and run in Python, where df is your DataFrame"
    new = pandas.read_csv("it's/suggested.csv", index_col=0).fillna(0.5)
    new.to_csv("it's/suggested.csv")
    fitted = []
    monkeypatch.setattr(runge, "fit", lambda *arguments: fitted.append(arguments))
    exec(advice.strip(), {"runge": runge, "pandas": pandas, "df": df})
    ((both,),) = fitted
    pandas.testing.assert_frame_equal(both, pandas.concat([df, new]), check_names=False)
    lines = Path("it's/suggested.csv").read_text().splitlines()[1:]
    Path("all.csv").write_text(Path("it's/data.csv").read_text() + "\n".join(lines) + "\n")
    for table in (both, "all.csv"):
        assert runge.check(table).report.rows == 23
    texts = runge.sweep(df.set_index(df["a"].astype(str) + "x"), *SWEEP, "seed=0,1", directory="texts")
    assert suggest(texts, 2).index.tolist() == [0, 1]


def test_box(tmp_path):
    new = suggest("sweep", 8, {"a": [0.5, 3.0], "b": 0.25})
    assert set(new["b"]) == {0.25}
    assert new["a"].between(0.5, 3.0).all()
    assert new["a"].max() > 1  # beyond the table's rows
    for wrong in ((0, 1, 2), "x"):
        with refuses("box: a", "", "must be a number, or a pair of numbers"):
            suggest("sweep", 2, {"a": wrong})
    main(["sweep", "--points", "3", "--box", "a=0.25", "--box", "b=0.5:1", "--out", str(tmp_path / "new.csv")])
    new = pandas.read_csv(tmp_path / "new.csv")
    called = runge.suggest("sweep", 3, {"a": 0.25, "b": (0.5, 1)})
    pandas.testing.assert_frame_equal(called, new, check_dtype=False)
    assert set(new["a"]) == {0.25}
    assert new["b"].between(0.5, 1).all()


def test_candidates():
    old = pandas.read_csv("t.csv")[["a", "b"]]
    own = pandas.DataFrame({"where": list("pqrst"), "a": [0.1, 0.9, 0.9, 0.5, 0.2], "b": [0.0, 0.5, 0.6, -0.5, 0.0]})
    pandas.concat([old, own]).to_csv("own.csv", index=False)
    new = suggest("sweep", 5, candidates=Path("own.csv"))
    assert sorted(new["where"]) == list("pqrst")
    merged = new.merge(own, on=["where", "a", "b"])
    assert len(merged) == 5
    assert list(suggest("sweep", 1, {"a": (0.3, 0.8)}, candidates=own)["where"]) == ["s"]
    many = pandas.DataFrame(np.random.default_rng(1).uniform((0, -1), (1, 1), (3000, 2)), columns=["a", "b"])
    new = suggest("sweep", 3, candidates=many.set_axis(range(7, 3007)))
    assert len(new.merge(many, on=["a", "b"])) == 3
    np.testing.assert_array_equal(new[["a", "b"]], many.loc[new.index - 7])
    assert suggest("sweep", 3).index.tolist() == [0, 1, 2]
    with refuses("candidates", "missing: b, a", "must have a column for each input"):
        suggest("sweep", 1, candidates={"x": many.to_numpy()})
    for wrong in (many.iloc[:0], many.set_axis(["a", "a"], axis=1), many.set_axis(range(2), axis=1)):
        with refuses("candidates", "", "the DataFrame must have rows, and columns whose"):
            suggest("sweep", 3, candidates=wrong)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--points 0", "points: must be at least 1 and at most 2048"),
        ("--points 21 --candidates t.csv", "at most 0"),
        ("--box c=0:1", "box: must name inputs, b, a; got 'c'"),
        ("--box a=1:0", "box: a: must be LOW:HIGH with finite LOW <= HIGH, got 1:0"),
        ("--out new.parquet", "--out: must end in .csv or .tsv, because it is text; got 'new.parquet'"),
        ("--box a=2:3", "box: a: must meet the range of the table's rows, 0.0"),
        ("--box a=0:nan", "box: must be such as x1=0:1,x2=-2:2,x3=0.5; got 'a=0:nan'"),
        ("--candidates none.csv", "candidates: there is no file 'none.csv'"),
        ("--candidates one.csv", "candidates: must have a column for each input, b, a; missing: b"),
        ("--out t.csv", "--out: must be a new file, got 't.csv', which exists; --force overwrites it"),
    ],
)
def test_a_mistake_is_one_message(arguments, words, refusal):
    pandas.DataFrame({"a": [0.5]}).to_csv("one.csv", index=False)
    assert words in refusal(main, "sweep", *arguments.split())


def test_no_point_is_suggested_where_the_fit_has_no_value(tmp_path):
    """A network that sees the logarithm of an input is not known at 0."""
    roles = "data.inputs=[b,a]", "data.outputs=[y]", "data.log10=[a]", "data.derivatives={y:{b:dy_db}}"
    run = runge.train("data=table", "data.file=t.csv", *roles, "trainer.max_steps=2", directory=tmp_path / "run")
    own = pandas.DataFrame({"a": [0.0, 0.3, 0.0, 0.7], "b": [0.1, 0.2, 0.3, 0.4]})
    assert sorted(run.suggest(2, candidates=own)["a"]) == [0.3, 0.7]
    with refuses("points", "", "at most 2, the candidates that are no row yet, at which the fit has a value"):
        run.suggest(3, candidates=own)
    with refuses("box: a", "", "with finite LOW <= HIGH"):
        run.suggest(1, box={"a": (0, np.inf)})


def test_the_cells_are_separated_as_those_of_the_table(tmp_path):
    table = pandas.read_csv("t.csv")
    table.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    run = runge.train(
        *ROLES[:1], f"data.file={tmp_path / 't.tsv'}", *ROLES[2:], "trainer.max_steps=2", directory=tmp_path / "run"
    )
    main([str(run.directory), "--points", "2", "--out", str(tmp_path / "new.tsv")])
    assert list(pandas.read_csv(tmp_path / "new.tsv", sep="\t").columns) == list(table.columns)


def test_a_run_has_no_spread(tmp_path, capsys):
    """Its points are the farthest from the rows."""
    main(["sweep/0", "--points", "5", "--out", str(tmp_path / "new.csv")])
    assert "Criterion: the distance from the rows, weighted by how much each input matters" in capsys.readouterr().out
    new, old = pandas.read_csv(tmp_path / "new.csv"), pandas.read_csv("t.csv")
    assert [*new] == [*old]
    nearest = np.linalg.norm(new[["a", "b"]].to_numpy()[:, None] - old[["a", "b"]].to_numpy(), axis=2).min(axis=1)
    assert nearest.max() > 0.1
    called = runge.Run("sweep/0").suggest(5)
    pandas.testing.assert_frame_equal(called[["a", "b"]], new[["a", "b"]], check_exact=True)


def test_an_answer_of_one_network_has_the_spread_of_those_that_judged_it(tmp_path):
    answer = Path(shutil.copytree("sweep", tmp_path / "sweep"))
    write_answer(answer, ["1"])
    assert loaded(str(answer))[0].members == 1
    judged = LeaderboardEntry("one", [], [0, 1], [], 2, None, None, 1.0, 1.0, 4)
    Leaderboard([judged], [], []).write(answer)
    several, _ = loaded(str(answer))
    assert [Path(run).name for run in several.runs] == ["0", "1"]
    assert not set(suggest(answer, 3)["a"]) & set(suggest(answer / "1", 3)["a"])
    (answer / "0" / "metrics.json").unlink()
    assert [Path(run).name for run in loaded(str(answer))[0].runs] == ["1"]


def test_a_formula_has_no_rows(sweep):
    for directory in ("sweep", "sweep/0"):
        with refuses("RUN_OR_SWEEP", f"got a fit of a formula in '{directory}'", "must be fitted to a table"):
            suggest(directory)
