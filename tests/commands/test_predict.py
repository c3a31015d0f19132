"""`runge predict`: its files, its table of errors and its messages."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import pytest
import torch

import runge
from runge.commands.predict import _outside, main
from runge.data.rows import read
from runge.data.seed import Seed
from runge.data.table import SETS, Table
from runge.function import loading as module
from runge.records.ensemble import write_answer

SHORT = ("model.width=8", "trainer.max_steps=4", "trainer.progress_bar=false", "pictures=false")


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of a finished run of one input, in the present directory."""
    shutil.copytree(trained(*SHORT, "hydra.run.dir=run")[0] / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def stub(scale=1.0, **data):
    """A function of 2 inputs with 3 outputs, as a network with several outputs will return them."""
    factors = scale * np.arange(1.0, 4)

    def value_and_derivative(x):
        du = np.stack([x[:, 1:] * factors, x[:, :1] * factors], axis=2)
        return (x[:, :1] * x[:, 1:] * factors).astype(np.float32), du

    def value_derivative_hessian(x):
        return *value_and_derivative(x), np.tile(np.multiply.outer(factors, [[0, 1], [1, 0]]), (len(x), 1, 1, 1))

    return SimpleNamespace(
        inputs=("a", "b"),
        outputs=("u", "v", "w"),
        configuration={"data": data},
        members=1,
        runs=(),
        outside=lambda x: np.zeros(len(x)),
        flat=True,
        value_and_derivative=value_and_derivative,
        value_derivative_hessian=value_derivative_hessian,
    )


def test_the_prediction_and_its_errors(run, capsys):
    x = np.linspace(-1, 1, 9)
    f, df = 1 / (1 + 25 * x**2), -50 * x / (1 + 25 * x**2) ** 2
    f[2] = df[[3, 4]] = np.nan
    pandas.DataFrame({"df_dx": df, "note": "text", "x": x, "f": f, "dF_dx": df}).to_csv("a.csv", index=False)
    main(["run", "a.csv"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "columns not used: note, dF_dx"
    table = pandas.read_csv("run/a_predicted.csv")
    assert list(table.columns) == ["x", "u_f", "du_f_dx", "outside"]
    u = runge.load("run")
    np.testing.assert_allclose(table["x"], x, rtol=1e-15)
    np.testing.assert_allclose(table["u_f"], u(x), rtol=1e-6)
    np.testing.assert_allclose(table["du_f_dx"], u.derivative(x), rtol=1e-6)
    for name, label, fit, number in (("f", f, u(x), 8), ("df_dx", df, u.derivative(x), 7)):
        rmse = np.sqrt(np.nanmean((fit - label) ** 2))
        assert [name, f"{number}", f"{rmse:.3e}", f"{rmse / np.nanstd(label):.3e}"] in [line.split() for line in lines]
    assert lines[-1] == "9 rows: run/a_predicted.csv"


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".tsv"])
def test_other_formats(tmp_path, monkeypatch, suffix, capsys):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(module, "load_finished", lambda *_, **__: stub())
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).uniform(0, 1, (5, 2))
    pandas.DataFrame(x, columns=["a", "b"]).assign(d2v_db_da=2.5).to_csv("labels.csv", index=False)
    main(["run", "labels.csv", "--out", f"c{suffix}", "--hessian"])
    assert "d2v_da_db 5 5.000e-01" in " ".join(capsys.readouterr().out.split())
    pandas.DataFrame(x, columns=["a", "b"]).to_csv("a.csv", index=False)
    main(["run", "a.csv", "--out", f"b{suffix}", "--hessian"])
    out = capsys.readouterr().out
    assert "no labels in the table: no errors" in out
    assert "the second derivatives of relu are 0" in out
    u, du = stub().value_and_derivative(x)
    if suffix == ".npz":
        with np.load("b.npz") as file:
            np.testing.assert_allclose(file["u"], u)
            np.testing.assert_allclose(file["du"], du)
            np.testing.assert_allclose(file["d2u"][:, 2], [[[0, 3], [3, 0]]] * 5)
        return
    table = pandas.read_csv("b.tsv", sep="\t") if suffix == ".tsv" else pandas.read_parquet("b.parquet")
    np.testing.assert_allclose(table[["du_v_da", "du_v_db"]], du[:, 1])
    np.testing.assert_allclose(table[["d2u_v_da_da", "d2u_v_da_db", "d2u_v_db_db"]], [[0, 2, 0]] * 5)


def test_several_outputs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "load_finished", lambda *_, **__: stub(derivatives={"w": {"b": "slope"}}))
    monkeypatch.chdir(tmp_path)
    a, b = np.random.default_rng(0).uniform(1, 2, (2, 7))
    pandas.DataFrame({"b": b, "a": a, "v": 2 * a * b + 1, "slope": 3 * a}).to_csv("a.csv", index=False)
    main(["run", "a.csv", "--out", "b.csv"])
    lines = capsys.readouterr().out.splitlines()
    table = pandas.read_csv("b.csv")
    expected = ["u_u", "du_u_da", "du_u_db", "u_v", "du_v_da", "du_v_db", "u_w", "du_w_da", "du_w_db"]
    assert list(table.columns) == ["a", "b", *expected, "outside"]
    np.testing.assert_allclose(table["u_v"], 2 * a * b, rtol=1e-6)
    np.testing.assert_allclose(table["du_w_da"], 3 * b, rtol=1e-15)
    np.testing.assert_allclose(table["du_w_db"], 3 * a, rtol=1e-15)
    errors = {words[0]: words[1:] for words in map(str.split, lines)}
    assert errors["v"][:2] == ["7", "1.000e+00"]
    assert {"u", "w", "du_da", "dw_da"}.isdisjoint(errors)
    assert "dw_db" in errors


def test_the_mean_over_a_sweep(trained, tmp_path, monkeypatch, capsys, refusal):
    options = (*SHORT, "hydra.launcher.processes=1", "hydra.sweep.dir=sweep", "search.compare=false")
    folder, _ = trained("-m", "seed=0,1,2", "target=runge,steep", *options)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder / "sweep", "sweep")
    pandas.DataFrame({"x": [0.0, 0.5]}).to_csv("a.csv", index=False)
    error = refusal(main, "sweep", "a.csv").replace("\n", " ")
    assert "RUN_OR_SWEEP: the runs below 'sweep' must differ only in seed and fold to be one function; " in error
    assert "sweep/0 and sweep/1 differ in target (Runge and Expression), target.expr (None and " in error
    for steep in "135":
        shutil.rmtree(f"sweep/{steep}")
    Path("sweep/4/metrics.json").unlink()
    main(["sweep", "a.csv"])
    assert "mean and standard deviation of 2 runs; left out because unfinished: 1\n" in capsys.readouterr().out
    table = pandas.read_csv("sweep/a_predicted.csv")
    assert list(table.columns) == ["x", "u_f", "du_f_dx", "u_f_std", "du_f_dx_std", "outside"]
    u = np.stack([runge.load(f"sweep/{i}").derivative(np.array([0.0, 0.5])) for i in (0, 2)])
    np.testing.assert_allclose(table["du_f_dx"], u.mean(0), rtol=1e-6)
    np.testing.assert_allclose(table["du_f_dx_std"], u.std(0, ddof=1), rtol=1e-6)


@pytest.fixture
def hx(tmp_path, monkeypatch):
    """A table of 40 rows, one of whose partial derivatives is constant up to round-off, in the present directory."""
    monkeypatch.chdir(tmp_path)
    a, b = np.random.default_rng(0).uniform(0, 1, (2, 40))
    table = pandas.DataFrame({"a": a, "b": b, "y": np.sin(3 * a), "dy_da": 3 * np.cos(3 * a), "dy_db": 1e-15 * a})
    table.to_csv("hx.csv", index=False)
    return table


TABLE = ("data=table", "data.file=hx.csv", "search.compare=false", "hydra.launcher.processes=1")


def test_rows_that_were_trained_on(hx, capsys, refusal):
    runge.sweep(*SHORT, *TABLE, "seed=0,1", directory="sweep")
    splits = [read(Table(file="hx.csv")).split(Seed(seed=seed).generator("data")) for seed in (0, 1)]
    hx.loc[40] = hx.loc[0] * 1.01
    hx.to_csv("more.csv", index=False)
    main(["sweep/0", "more.csv"])
    sets = pandas.read_csv("sweep/0/more_predicted.csv", keep_default_na=False)["set"]
    assert {name: sorted(np.flatnonzero(sets == name)) for name in SETS} == {
        name: sorted(rows) for name, rows in splits[0]._asdict().items()
    }
    assert sets[40] == ""
    out = capsys.readouterr().out
    assert f"{len(splits[0].train)} of these 41 rows were trained on; their errors are not independent" in out
    rows = [line.split() for line in out.splitlines()]
    assert [row[:3] for row in rows if row[0] == "y"] == [
        ["y", name, f"{len(index)}"] for name, index in [*splits[0]._asdict().items(), ("other", [40])]
    ]
    assert {row[4] for row in rows if row[0] == "dy_db"} == {"-"}, "its labels are constant up to round-off"
    main(["sweep", "more.csv", "--out", "more.npz"])
    trained = set(splits[0].train) | set(splits[1].train)
    assert set(np.flatnonzero(np.load("more.npz")["set"] == "train")) == trained
    changed = hx.loc[:39].assign(y=1 - hx["y"])
    changed.to_csv("hx.csv", index=False)
    main(["sweep", "more.csv"])
    out = capsys.readouterr().out.replace("\n", " ")
    rule = "it cannot be known which of these rows were trained on: data.file: "
    assert f"{rule}'hx.csv' does not hold the rows of the run sweep/0" in out
    assert "set" not in pandas.read_csv("sweep/more_predicted.csv")
    runge.train(*SHORT, *TABLE[:2], "seed=2", directory="sweep/2")
    assert "differ in the rows of data.file" in refusal(main, "sweep", "hx.csv").replace("\n", " ")
    Path("hx.csv").unlink()
    main(["sweep/0", "more.csv"])
    assert f"{rule}there is no file 'hx.csv'" in capsys.readouterr().out.replace("\n", " ")


def test_a_row_is_trained_on_if_a_run_of_any_fold_was(hx, capsys):
    runge.sweep(*SHORT, *TABLE, "seed=0,1", "data.folds=3", "data.split.test=0.25", directory="sweep")
    splits = [read(Table(file="hx.csv", folds=3, fold=fold, split={"test": 0.25, "val": 0.15})) for fold in range(3)]
    splits = [rows.split(Seed(seed=0).generator("data")) for rows in splits]
    hx.to_csv("same.csv", index=False)
    for fold, split in enumerate(splits):
        for seed in (0, 1):
            directory = f"sweep/{3 * seed + fold}"
            main([directory, "same.csv"])
            sets = pandas.read_csv(f"{directory}/same_predicted.csv", keep_default_na=False)["set"]
            assert {name: [*np.flatnonzero(sets == name)] for name in SETS} == {
                name: sorted(rows) for name, rows in split._asdict().items()
            }
    capsys.readouterr()
    main(["sweep", "same.csv"])
    assert "mean and standard deviation of 6 runs" in capsys.readouterr().out
    sets = pandas.read_csv("sweep/same_predicted.csv", keep_default_na=False)["set"]
    assert [*np.flatnonzero(sets == "test")] == sorted(splits[0].test)
    assert (sets == "train").sum() == 30


def test_an_output_that_is_named_after_the_spread_of_another(hx, refusal):
    hx.rename(columns={"dy_db": "y_std"}).to_csv("twice.csv", index=False)
    roles = "data=table", "data.file=twice.csv", "data.inputs=[a,b]", "data.outputs=[y,y_std]", "data.derivatives={}"
    runge.sweep(*SHORT, *roles, *TABLE[2:], "seed=0,1", directory="sweep")
    assert "--out: .csv: two columns would have the name 'u_y_std'; take --out FILE.npz" in refusal(
        main, "sweep", "twice.csv"
    )
    main(["sweep", "twice.csv", "--out", "new.npz"])
    with np.load("new.npz") as found:
        assert found["u"].shape == found["u_std"].shape == (40, 2)


def test_the_answer_of_a_sweep(hx, capsys, refusal):
    """Its members differ in architecture, in the labels that they read, and in the fold that they leave out."""
    roles = "data.inputs=[a,b]", "data.outputs=[y]", "data.split.test=0", "data.folds=3"
    runge.sweep(*SHORT, *TABLE, *roles, "model.activation=tanh,gelu", "data.derivatives=null,{}", directory="sweep")
    write_answer("sweep", ["0", "4", "11"])
    main(["sweep", "hx.csv"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mean and standard deviation of 3 runs"
    assert lines[-2] == "40 of these 40 rows were trained on; their errors are not independent"
    assert {line.split()[1] for line in lines if line.split()[0] in ("y", "dy_da")} == {"train"}
    table, x = pandas.read_csv("sweep/hx_predicted.csv"), hx[["a", "b"]].to_numpy()
    slopes = np.stack([runge.load(f"sweep/{name}").derivative(x)[:, 0] for name in ("0", "4", "11")])
    np.testing.assert_allclose(table["du_y_da"], slopes.mean(0), rtol=1e-6)
    np.testing.assert_allclose(table["du_y_da_std"], slopes.std(0, ddof=1), rtol=1e-5)
    write_answer("sweep", ["9"])
    main(["sweep", "hx.csv"])
    out = capsys.readouterr().out
    assert "mean" not in out
    assert "26 of these 40 rows were trained on" in out
    assert list(pandas.read_csv("sweep/hx_predicted.csv")) == ["a", "b", "u_y", "du_y_da", "du_y_db", "outside", "set"]
    Path("sweep/answer.json").write_text('{"runs": [".."]}')
    expected = "RUN_OR_SWEEP: sweep/answer.json must name runs in its directory, got 'sweep/..'"
    assert expected in refusal(main, "sweep", "hx.csv").replace("\n", " ")


def test_an_existing_file_is_not_overwritten(run, refusal):
    pandas.DataFrame({"x": [0.0, 0.5]}).to_csv("a.csv", index=False)
    for _ in range(2):
        main(["run", "a.csv"])  # overwrites its own
    Path("b.csv").write_text("mine")
    expected = "--out: must be a new file, got 'b.csv', which exists; --force overwrites it"
    assert expected in refusal(main, "run", "a.csv", "--out", "b.csv").replace("\n", " ")
    assert Path("b.csv").read_text() == "mine"
    main(["run", "a.csv", "--out", "b.csv", "--force"])
    assert Path("b.csv").read_text().startswith("x,u_f,")


def test_an_array_of_other_columns(tmp_path, monkeypatch, refusal):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).uniform(1, 2, (7, 3))
    np.savez("a.npz", x=x)
    function = stub()
    monkeypatch.setattr(module, "load_finished", lambda *_: function)
    function.inputs = ("x1", "x2")
    expected = "FILE: 'a.npz': must have the 2 inputs of the run, x1, x2; got 'x' with 3 columns without names"
    assert expected in refusal(main, "run", "a.npz", "--out", "b.npz")
    function.inputs = ("x1", "x3")
    function.configuration["data"] = {"file": "c.csv", "inputs": ["x1", "x3"]}
    assert "with 3 columns without names" in refusal(main, "run", "a.npz", "--out", "b.npz")
    function.configuration["data"] = {"file": "c.npz", "inputs": ["x1", "x3"]}
    main(["run", "a.npz", "--out", "b.npz"])
    np.testing.assert_array_equal(np.load("b.npz")["x"], x[:, [0, 2]])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("nowhere", "a.csv"), "RUN_OR_SWEEP: must be the directory of a finished run, got 'nowhere'"),
        (("run", "b.csv"), "FILE: there is no file 'b.csv'"),
        (("run", "wrong.csv"), "FILE: 'wrong.csv': must have the 1 inputs of the run, x; got y"),
        (("run", "empty.csv"), "FILE: 'empty.csv': line 3, column 'x': an input must be known"),
        (("run", "a.csv", "--out", "b.xlsx"), "--out: must be another file than FILE, and end in .csv"),
        (("run", "a.csv", "--out", "./a.csv"), "--out: must be another file than FILE"),
        (("run", "a.csv", "--out", "no/b.csv"), "--out: a file cannot be read or written (No such file"),
    ],
)
def test_mistakes(run, arguments, expected, refusal):
    for name, text in (("a", "x\n0\n"), ("wrong", "y\n0\n"), ("empty", "x,y\n0,1\n,1\n")):
        (run.parent / f"{name}.csv").write_text(text)
    assert expected in refusal(main, *arguments)
    assert not list(run.parent.rglob("*predicted*"))


def test_the_words_of_rows_outside():
    number = np.array([0.5, 1.2, 2.345, 0.9, 40.0, np.inf])
    function: Any = SimpleNamespace(
        inputs=("a", "b", "c", "d", "e"), outside=lambda x: number[: len(x)], ranges=(np.zeros(5), np.arange(5.0)[::-1])
    )
    x = np.full((6, 5), 0.0)
    x[2, 0], x[4], x[5, 4] = 4.48, [-1, -9, 5, 3, 0], 7
    _, sentence = _outside(function, x)
    assert sentence == (
        "3 of these 6 rows are outside the training data (outside > 1.5), and 1 at their edge (> 1):\n"
        "row 6 (outside inf): e is not 0, its only value\n"
        "row 5 (outside 40): b is 300 % of its range below its smallest value, d is 200 % of its range above its "
        "largest value, c is 150 % of its range above its largest value, and 1 more\n"
        "row 3 (outside 2.35): a is 12 % of its range above its largest value\n"
        "row 2 (outside 1.2): all inputs are within their ranges\n"
    )
    number = np.full(9, 1.6)
    lines = _outside(function, np.zeros((9, 5)))[1].splitlines()
    assert (lines[0], lines[-1]) == ("9 of these 9 rows are outside the training data (outside > 1.5):", "and 4 more")


def test_rows_outside_the_training_data(hx, capsys, monkeypatch):
    """They are written with a number and named, also when the table is gone; of a run without its rows it is read."""
    runge.sweep(*SHORT, *TABLE, "data.folds=2", directory="sweep")
    x = hx[["a", "b"]].sample(3, random_state=0).to_numpy()
    x = np.append(x, [[3.0, 0.5], [-9.0, 0.5]], axis=0)
    pandas.DataFrame(x, columns=["a", "b"]).to_csv("new.csv", index=False)
    train = np.concatenate([split.train for split in _splits(folds=2)])
    for suffix in ("csv", "npz", "parquet"):
        if suffix == "parquet":
            pytest.importorskip("pyarrow")
        main(["sweep", "new.csv", "--out", f"out.{suffix}"])
        file = {"npz": np.load, "csv": pandas.read_csv, "parquet": pandas.read_parquet}[suffix](f"out.{suffix}")
        number = np.asarray(file["outside"])
        u = runge.load("sweep")
        np.testing.assert_allclose(number, u.outside(x))
        np.testing.assert_array_equal(u.inside, np.unique(hx.loc[train, ["a", "b"]].to_numpy(), axis=0))
        assert (number[:3] < 1).all()
        assert (number[3:] > 1.5).all()
        (low, _), (high, _) = u.ranges
        warning = "2 of these 5 rows are outside the training data (outside > 1.5):\nrow 5 (outside "
        out = capsys.readouterr().out
        assert warning in out
        assert f"a is {100 * (low + 9) / (high - low):.3g} % of its range below its smallest value\nrow 4" in out
        assert f"a is {100 * (3 - high) / (high - low):.3g} % of its range above its largest value\n" in out
    main(["sweep", "hx.csv", "--out", "inside.csv"])
    assert "outside" not in capsys.readouterr().out
    for run in ("0", "1"):
        path = Path(f"sweep/{run}/checkpoints/best.ckpt")
        checkpoint = torch.load(path)
        del checkpoint["inside"]
        torch.save(checkpoint, path)
    main(["sweep", "new.csv", "--out", "old.csv"])
    np.testing.assert_array_equal(pandas.read_csv("old.csv")["outside"], pandas.read_csv("out.csv")["outside"])
    Path("hx.csv").unlink()
    capsys.readouterr()
    main(["sweep", "new.csv", "--out", "gone.csv"])
    rule = "it cannot be known which of these rows are outside the training data: data.file: there is no file 'hx.csv'"
    assert rule in capsys.readouterr().out.replace("\n", " ")
    assert "outside" not in pandas.read_csv("gone.csv")


def _splits(folds):
    tables = [Table(file="hx.csv", folds=folds, fold=fold) for fold in range(folds)]
    return [read(table).split(Seed(seed=0).generator("data")) for table in tables]
