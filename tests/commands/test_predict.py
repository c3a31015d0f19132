"""`runge predict` and `runge.predict`: the files, the table of errors and the messages."""

import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import pytest
import torch

import runge
from runge.commands.predict import _outside, main
from runge.data.column_roles import find_roles
from runge.data.rows import read
from runge.data.seed import Seed
from runge.data.table import SETS, Table, open_table
from runge.function import loading as module
from runge.function.calibration import Calibration
from runge.function.ensemble import write_answer
from runge.function.function import Function
from tests.commands.conftest import SHORT, SWEEP
from tests.exports.formats import function
from tests.refusals import check_refusal, refuses

TABLE = ("data=table", "data.file=hx.csv")

pytestmark = pytest.mark.usefixtures("in_folder")


@pytest.fixture
def hx():
    """A table of 40 rows, one of whose partial derivatives is constant up to round-off, in the present directory."""
    a, b = np.random.default_rng(0).uniform(0, 1, (2, 40))
    table = pandas.DataFrame({"a": a, "b": b, "y": np.sin(3 * a), "dy_da": 3 * np.cos(3 * a), "dy_db": 1e-15 * a})
    table.to_csv("hx.csv", index=False)
    return table


class Stub(SimpleNamespace):
    """A function of 2 inputs with 3 outputs, as a network with several outputs will return them."""

    inputs, outputs, members, runs, flat, factors = ("a", "b"), ("u", "v", "w"), 1, (), True, np.arange(1.0, 4)

    def outside(self, x):
        return np.zeros(len(x))

    def value_and_derivative(self, x):
        du = np.stack([x[:, 1:] * self.factors, x[:, :1] * self.factors], axis=2)
        return (x[:, :1] * x[:, 1:] * self.factors).astype(np.float32), du

    def value_derivative_hessian(self, x):
        hessian = np.multiply.outer(self.factors, [[0, 1], [1, 0]])
        return *self.value_and_derivative(x), np.tile(hessian, (len(x), 1, 1, 1))


@pytest.fixture
def stub(monkeypatch):
    """Let any run be this function."""
    u = Stub(configuration={"data": {}})
    monkeypatch.setattr(module, "load_finished", lambda *_, **__: u)
    return u


@pytest.fixture
def said(capsys):
    """Return the output of a command as one line."""

    def run(*arguments):
        capsys.readouterr()
        main(arguments)
        return " ".join(capsys.readouterr().out.split())

    return run


@pytest.fixture
def refused(refusal):
    """The message of a refusal, as one line."""
    return lambda *arguments: " ".join(refusal(main, *arguments).split())


def test_the_prediction_and_its_errors(run, capsys):
    x = np.linspace(-1, 1, 9)
    f, df = 1 / (1 + 25 * x**2), -50 * x / (1 + 25 * x**2) ** 2
    f[2] = df[[3, 4]] = np.nan
    pandas.DataFrame({"df_dx": df, "note": "text", "x": x, "f": f, "dF_dx": df}).to_csv("a.csv", index=False)
    main(["run", "a.csv"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "columns not used: note, dF_dx"
    table = pandas.read_csv("a_predicted.csv")
    assert list(table.columns) == ["x", "u_f", "du_f_dx", "outside", "set"]
    u = runge.load("run")
    np.testing.assert_allclose(table["x"], x, rtol=1e-15)
    for name, column, label, fit, n in (("f", "u_f", f, u(x), 8), ("df_dx", "du_f_dx", df, u.derivative(x), 7)):
        np.testing.assert_allclose(table[column], fit, rtol=1e-6)
        rmse = np.sqrt(np.nanmean((fit - label) ** 2))
        assert [name, f"{n}", f"{rmse:.3e}", f"{rmse / np.nanstd(label):.3e}"] in [line.split() for line in lines]
    assert lines[-1] == "9 rows: a_predicted.csv"


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".tsv"])
def test_several_outputs_in_other_formats(stub, suffix, said):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    stub.configuration["data"] = {"derivatives": {"w": {"b": "slope"}}}
    x = np.random.default_rng(0).uniform(0, 1, (5, 2))
    u, du = stub.value_and_derivative(x)
    table = pandas.DataFrame(x[:, ::-1], columns=["b", "a"])
    table.to_csv("a.csv", index=False)
    out = said("run", "a.csv", "--out", f"a{suffix}", "--hessian")
    assert "no labels in the table: no errors" in out
    assert "the second derivatives of relu are 0" in out
    table.assign(d2v_db_da=2.5, v=u[:, 1] + 1, slope=du[:, 2, 1]).to_csv("b.csv", index=False)
    errors = said("run", "b.csv", "--out", f"b{suffix}", "--hessian").split()
    assert errors[errors.index("d2v_da_db") + 1 :][:2] == ["5", "5.000e-01"]
    assert errors[errors.index("v") + 1 :][:2] == ["5", "1.000e+00"]
    assert {"u", "w", "du_da", "dw_da"}.isdisjoint(errors)
    assert "dw_db" in errors
    d2u = [[[0, n], [n, 0]] for n in (1, 2, 3)]
    if suffix == ".npz":
        with np.load("b.npz") as file:
            for name, expected in {"u": u, "du": du, "d2u": [d2u] * 5}.items():
                np.testing.assert_allclose(file[name], expected)
        return
    table = pandas.read_csv("b.tsv", sep="\t") if suffix == ".tsv" else pandas.read_parquet("b.parquet")
    ends = ["u_{}", "du_{}_da", "du_{}_db", "d2u_{}_da_da", "d2u_{}_da_db", "d2u_{}_db_db"]
    expected = np.concatenate([u[..., None], du, np.tile([[0, n, 0] for n in (1, 2, 3)], (5, 1, 1))], 2)
    for i, name in enumerate("uvw"):
        np.testing.assert_allclose(table[[end.format(name) for end in ends]], expected[:, i], rtol=1e-6)
    columns = [end.format(name) for name in "uvw" for end in ends[:3]]
    assert [name for name in table if not name.startswith("d2u")] == ["a", "b", *columns, "outside", "set"]


def test_which_derivatives_are_round_off_depends_on_no_unit(stub, said):
    """The derivative with respect to b is about 1e-12 of the other one, because the numbers of b are as large."""
    a, b = np.random.default_rng(0).uniform(0, 1, (2, 9))
    pandas.DataFrame({"a": a, "b": 1e12 * b, "du_da": 1e12 * b, "du_db": a + 1}).to_csv("a.csv", index=False)
    errors = said("run", "a.csv").split()
    assert float(errors[errors.index("du_db") + 3]) == pytest.approx(1 / a.std(), rel=1e-3)


def test_derivatives_have_the_names_that_tables_have(stub, said):
    """The written file can be read as a table, without overrides."""
    stub.inputs, stub.outputs = ("T [K]", "p (MPa)"), ("h [kJ/kg]", "v", "s")
    pandas.DataFrame({"T [K]": [1.0, 2.0], "p (MPa)": [3.0, 4.0], "h [kJ/kg]": 0.0, "dh_dT": 0.0}).to_csv("a.csv")
    errors = said("run", "a.csv", "--hessian")
    assert "dh_dT 2 " in errors
    table = pandas.read_csv("a_predicted.csv")
    assert [*table][2:8] == ["u_h [kJ/kg]", "du_h_dT", "du_h_dp", "d2u_h_dT_dT", "d2u_h_dT_dp", "d2u_h_dp_dp"]
    columns = {"inputs": ["T [K]", "p (MPa)"], "outputs": ["u_h [kJ/kg]", "u_v", "u_s"]}
    roles = find_roles(open_table("a_predicted.csv"), Table(file="a_predicted.csv", **columns))
    assert roles.partials["u_h [kJ/kg]", "p (MPa)"] == "du_h_dp"
    assert roles.seconds["u_h [kJ/kg]", "T [K]", "p (MPa)"] == "d2u_h_dT_dp"


def test_the_mean_over_a_sweep(sweep, said):
    pandas.DataFrame({"x": [0.0, 0.5]}).to_csv("a.csv", index=False)
    Path("sweep/1/metrics.json").unlink()
    assert "mean and standard deviation of 2 runs; left out because unfinished: 1 " in said("sweep", "a.csv")
    table = pandas.read_csv("a_predicted.csv")
    assert list(table.columns) == ["x", "u_f", "du_f_dx", "u_f_std", "du_f_dx_std", "outside", "set"]
    u = np.stack([runge.load(f"sweep/{i}").derivative(np.array([0.0, 0.5])) for i in (0, 2)])
    expected = np.stack([u.mean(0), u.std(0, ddof=1)], 1)
    np.testing.assert_allclose(table[["du_f_dx", "du_f_dx_std"]], expected, rtol=1e-6)


def indices(predicted, names=SETS):
    """The rows of each set, as they were written."""
    sets = pandas.read_csv(predicted, keep_default_na=False)["set"]
    return {name: [*np.flatnonzero(sets == name)] for name in names}


def splits(seeds=(0,), folds=None, **data):
    """The rows of each set, of each seed and fold."""
    tables = [Table(file="hx.csv", folds=folds, fold=fold if folds else None, **data) for fold in range(folds or 1)]
    found = [read(table).split(Seed(seed=seed).generator("data")) for seed in seeds for table in tables]
    return [{name: sorted(rows) for name, rows in one._asdict().items()} for one in found]


def test_rows_that_were_trained_on(hx, capsys, said, refused):
    runge.sweep(*SWEEP, *TABLE, "seed=0,1", directory="sweep")
    first, second = splits(seeds=(0, 1))
    hx.loc[40] = hx.loc[0] * 1.01
    hx.to_csv("more.csv", index=False)
    main(["sweep/0", "more.csv"])
    assert indices("more_predicted.csv", [*SETS, ""]) == first | {"": [40]}
    out = capsys.readouterr().out
    assert f"{len(first['train'])} of these 41 rows were trained on; their errors are not independent" in out
    rows = [line.split() for line in out.splitlines()]
    counts = {name: f"{len(index)}" for name, index in [*first.items(), ("other", [40])]}
    assert {row[1]: row[2] for row in rows if row[0] == "y"} == counts
    assert {row[4] for row in rows if row[0] == "dy_db"} == {"-"}, "its labels are constant up to round-off"
    main(["sweep", "more.csv", "--out", "more.npz"])
    assert {*np.flatnonzero(np.load("more.npz")["set"] == "train")} == {*first["train"], *second["train"]}
    hx.loc[:39].assign(y=1 - hx["y"]).to_csv("hx.csv", index=False)
    rule = "it cannot be known which of these rows were trained on: data.file: "
    assert f"{rule}'hx.csv' does not hold the rows of the run sweep/0" in said("sweep", "more.csv", "--force")
    assert pandas.read_csv("more_predicted.csv")["set"].isna().all()
    runge.train(*SHORT, *TABLE, "seed=2", directory="sweep/2")
    assert "differ in the rows of data.file" in refused("sweep", "hx.csv")
    Path("hx.csv").unlink()
    assert f"{rule}there is no file 'hx.csv'" in said("sweep/0", "more.csv", "--force")


def test_rows_that_a_run_of_an_answer_was_trained_on(hx, capsys, said):
    """Its members differ in the labels that they read, and in the fold that they leave out."""
    roles = "data.inputs=[a,b]", "data.outputs=[y]", "data.derivatives=null,{}"
    runge.sweep(*SWEEP, *TABLE, *roles, "data.folds=2", "data.split.test=0.25", directory="sweep")
    expected = splits(folds=2, split={"test": 0.25, "val": 0.15})
    for run, split in enumerate(2 * expected):
        main([f"sweep/{run}", "hx.csv", "--force"])
        assert indices("hx_predicted.csv") == split
    capsys.readouterr()
    write_answer("sweep", ["0", "3"])
    main(["sweep", "hx.csv", "--force"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mean and standard deviation of 2 runs"
    assert lines[-2] == "30 of these 40 rows were trained on; their errors are not independent"
    assert {line.split()[1] for line in lines if line.split()[0] in ("y", "dy_da")} == {"train", "test"}
    found = indices("hx_predicted.csv")
    assert (found["test"], len(found["train"])) == (expected[0]["test"], 30)
    write_answer("sweep", ["1"])
    out = said("sweep", "hx.csv", "--force")
    assert "mean" not in out
    assert "15 of these 40 rows were trained on" in out
    assert list(pandas.read_csv("hx_predicted.csv")) == ["a", "b", "u_y", "du_y_da", "du_y_db", "outside", "set"]


def test_no_row_is_called_unseen_if_the_table_has_changed(hx, said):
    runge.sweep(*SWEEP, *TABLE, "data.folds=2", directory="sweep")
    write_answer("sweep", ["0", "1"], Calibration.of(np.random.default_rng(0).normal(size=(40, 3)), None))
    new = pandas.DataFrame({"a": [0.25], "b": [0.75], "y": [0.5]})
    pandas.concat([hx, new]).to_csv("more.csv", index=False)
    assert "% of 7 values and 58.3% of 12 derivatives of rows that no network has seen" in said(
        "sweep", "more.csv", "--interval", "0.5"
    )
    Path("more.csv").replace("hx.csv")
    changed = said("sweep", "hx.csv", "--interval", "0.5")
    assert "cannot be known which of these rows were trained on" in changed
    assert "that no network has seen" not in changed


def test_an_output_that_is_named_after_the_spread_of_another(hx, refused, monkeypatch):
    network, roles = function(dimension=2, outputs=2).networks[0], {"inputs": ["a", "b"], "outputs": ["y", "y_std"]}
    several = Function([network, network], {"data": {}}, **roles)
    monkeypatch.setattr(module, "load_finished", lambda *_, **__: several)
    Path("sweep").mkdir()
    rule = "--out: .csv: two columns would have the name 'u_y_std'; take --out FILE.npz"
    assert rule in refused("sweep", "hx.csv")
    main(["sweep", "hx.csv", "--out", "new.npz"])
    with np.load("new.npz") as found:
        assert found["u"].shape == found["u_std"].shape == (40, 2)


def test_an_array_of_other_columns_and_a_file_that_exists(stub, refused):
    x = np.random.default_rng(0).uniform(1, 2, (7, 3))
    np.savez("a.npz", x=x)
    files = ["run", "a.npz", "--out", "b.npz"]
    stub.inputs = ("x1", "x2")
    rule = "FILE: 'a.npz': must have the 2 inputs of the run, x1, x2; got 'x' with 3 columns without names"
    assert rule in refused(*files)
    stub.inputs = ("x1", "x3")
    stub.configuration["data"] = {"file": "c.csv", "inputs": ["x1", "x3"]}
    assert "with 3 columns without names" in refused(*files)
    stub.configuration["data"]["file"] = "c.npz"
    main(files)
    np.testing.assert_array_equal(np.load("b.npz")["x"], x[:, [0, 2]])
    written = Path("b.npz").read_bytes()
    Path("b.npz").write_text("mine")
    assert "--out: must be a new file, got 'b.npz', which exists; --force overwrites it" in refused(*files)
    assert Path("b.npz").read_text() == "mine"
    main([*files, "--force"])
    assert Path("b.npz").read_bytes() == written
    for folder in ("one", "two"):  # tables of one name have predictions of their own
        Path(folder).mkdir()
        np.savez(f"{folder}/new.npz", x=x)
        main(["run", f"{folder}/new.npz"])
        assert f"got '{folder}/new_predicted.npz', which exists" in refused("run", f"{folder}/new.npz")


def test_a_pipe_has_the_table_and_nothing_else(run, monkeypatch, capfd):
    """The table is that of the file; all messages are in the error output."""
    table = "\ufeffx,note\n0.5,a\n\n-0.25,b\n"
    Path("x.csv").write_text(table)
    main(["run", "x.csv"])
    (out, _), written = capfd.readouterr(), Path("x_predicted.csv").read_text()
    assert out.endswith("2 rows: x_predicted.csv\n")
    for words in (["x.csv", "--out", "-"], ["-", "--out", "-"], ["-"], ["-", "--out", "x.npz"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(table.encode())))
        main(["run", *words])
        to_file = words[-1] == "x.npz"
        printed = capfd.readouterr()
        assert printed[0 if to_file else 1] == out.replace("x_predicted.csv", words[-1] if to_file else "-")
        assert printed[1 if to_file else 0] == ("" if to_file else written)
    np.testing.assert_allclose(np.load("x.npz")["u"][:, 0], pandas.read_csv("x_predicted.csv")["u_f"])
    assert {path.name for path in Path().iterdir()} == {"run", "x.csv", "x.npz", "x_predicted.csv"}


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        (b"", "the first line must hold the names of the columns, got []"),
        (b"x\n", "must have at least one row, got none"),
        (b"y\n1\n", "must have the 1 inputs of the run, x; got y"),
        (b"x,y\n1\n", "line 2 must have 2 cells"),
        (b"x\n\xff\n", "must be text in UTF-8"),
    ],
)
def test_a_pipe_without_a_table(table, rule, run, monkeypatch, refused):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(table)))
    message = refused("run", "-")
    check_refusal(message, "FILE: '-': ", "", rule)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("nowhere a.csv", "RUN_OR_SWEEP: must be the directory of a finished run, got 'nowhere'"),
        ("run b.csv", "FILE: there is no file 'b.csv'"),
        ("run wrong.csv", "FILE: 'wrong.csv': must have the 1 inputs of the run, x; got y; missing: x"),
        ("run empty.csv", "FILE: 'empty.csv': line 3, column 'x': an input must be known"),
        ("run wrong.txt", "FILE: must be a file that ends in .csv"),
        ("run a.csv --out b.xlsx", "--out: must be another file than FILE, and end in .csv"),
        ("run a.csv --out ./a.csv", "--out: must be another file than FILE"),
        ("run a.csv --out no/b.csv", "--out: a file cannot be read or written (No such file"),
    ],
)
def test_mistakes(run, arguments, expected, refused):
    for name, text in (("a", "x\n0\n"), ("wrong", "y\n0\n"), ("empty", "x,y\n0,1\n,1\n")):
        Path(f"{name}.csv").write_text(text)
    assert expected in refused(*arguments.split())
    assert not list(Path().rglob("*predicted*"))


def test_mistakes_from_python(run):
    with refuses("source", "got 'nowhere'", "must be the directory of a finished run"):
        runge.predict("nowhere", pandas.DataFrame())
    with refuses("new", "'nowhere.csv'", "there is no file"):
        runge.predict("run", "nowhere.csv")
    with refuses("new", "got y", "'the DataFrame': must have the 1 inputs of the run, x;"):
        runge.predict("run", pandas.DataFrame({"y": [1.0]}))
    with refuses("new", "got 'abc'", "'the DataFrame': row 26, column 'x': must be a number"):
        runge.predict("run", pandas.DataFrame({"x": [1.0, "abc"]}, index=[3, 26]))
    with pytest.raises(ValueError, match=r"^x: must have the shape \(\.\.\., 1\).*got \(3, 2\)"):
        runge.predict("run", np.zeros((3, 2)))
    with refuses("new", "got float64 of (0,)", "the arrays: 'x' must be an array of numbers"):
        runge.predict("run", {"x": []})


def test_rows_keep_the_index_of_their_table(run):
    """Otherwise pandas assigns the prediction of another row, without a word."""
    new = pandas.DataFrame({"x": np.linspace(-1, 1, 9), "note": "text"}).sample(frac=1, random_state=0)
    u = runge.load("run")
    new["u"] = runge.predict("run", new)["u_f"]
    np.testing.assert_array_equal(new["u"], u(new["x"].to_numpy()))
    for index in (pandas.date_range("2020-01-01", periods=9), list("aabbccdde")):
        assert [*u.predict(new.set_axis(index)).index] == [*index]
    x = new["x"].to_numpy(copy=True)
    expected = runge.Run("run").predict(new, hessian=True)
    pandas.testing.assert_frame_equal(u.predict(new["x"], hessian=True), expected)
    for points in (x, x[:, None], torch.from_numpy(x), {"x": x}, [*x]):
        predicted = u.predict(points, hessian=True)
        pandas.testing.assert_frame_equal(predicted, expected.reset_index(drop=True))
    assert u.predict(0.5).shape == (1, 5)


def test_rows_outside_are_named_from_the_farthest_and_so_are_their_inputs():
    number = np.array([0.5, 1.2, 2.345, 0.9, 40.0, np.inf])
    u: Any = SimpleNamespace(inputs=("a", "b", "c", "d", "e"), ranges=(np.zeros(5), np.arange(5.0)[::-1]))
    x = np.full((6, 5), 0.0)
    x[2, 0], x[4], x[5, 4] = 4.48, [-1, -9, 5, 3, 0], 7
    file: Any = SimpleNamespace(row_name="line {}".format)
    first, *lines = _outside(u, x, number, file).splitlines()
    assert re.findall(r"\d[.\d]*", first) == ["3", "6", "1.5", "1", "1"]  # outside, of all, above 1.5; above 1 alone
    assert [re.findall(r"^line \d|\b[a-e] is \S+|\d more", line) for line in lines] == [
        ["line 5", "e is not"],
        ["line 4", "b is 300", "d is 200", "c is 150", "1 more"],
        ["line 2", "a is 12"],
        ["line 1"],
    ]
    number = np.full(9, 1.6)
    first, *lines = _outside(u, np.zeros((9, 5)), number, file).splitlines()
    assert (first[0], len(lines), "4 more" in lines[-1]) == ("9", 6, True)


def test_rows_outside_the_training_data(hx, said):
    """They are written with a number and named, also when the table is gone; of a run without its rows it is read."""
    runge.sweep(*SWEEP, *TABLE, "data.folds=2", directory="sweep")
    far = pandas.DataFrame({"b": 0.5, "a": [3.0, -9.0], "note": "far"})
    new = pandas.concat([hx[["b", "a"]].sample(3, random_state=0), far], ignore_index=True)
    new.to_csv("new.csv", index=False)
    u, x = runge.load("sweep"), new[["a", "b"]].to_numpy(float)
    train = [row for split in splits(folds=2) for row in split["train"]]
    np.testing.assert_array_equal(u.inside, np.unique(hx.loc[train, ["a", "b"]].to_numpy(), axis=0))
    (low, _), (high, _) = u.ranges
    for suffix, reader in (("npz", np.load), ("csv", pandas.read_csv), ("parquet", pandas.read_parquet)):
        if suffix == "parquet":
            pytest.importorskip("pyarrow")
        out = said("sweep", "new.csv", "--out", f"out.{suffix}", "--interval", "0.5", "--hessian")
        number = np.asarray(reader(f"out.{suffix}")["outside"])
        np.testing.assert_allclose(number, u.outside(x))
        assert (number[:3] < 1).all()
        assert (number[3:] > 1.5).all()
        assert "2 of these 5 rows are outside the training data (outside > 1.5): line 6 (outside " in out
        assert f"a is {100 * (low + 9) / (high - low):.3g} % of its range below its smallest value line 5" in out
        assert f"a is {100 * (3 - high) / (high - low):.3g} % of its range above its largest value" in out
    written = pandas.read_csv("out.csv", keep_default_na=False)
    for data in (new, "new.csv", Path("new.csv")):
        predicted = runge.predict("sweep", data, 0.5, hessian=True)
        pandas.testing.assert_frame_equal(predicted, written, check_exact=True)
    frames = [runge.predict("sweep", rows, 0.5) for rows in (new, new.tail(1))]
    assert [*frames[0]] == [*frames[1]]
    assert {"u_y_std", "u_y_low", "du_y_da_high", "d2u_y_da_db", "outside"} <= {*predicted}
    assert (predicted["set"] != "").tolist() == [True] * 3 + [False] * 2
    plain = runge.predict(u, new)
    pandas.testing.assert_frame_equal(plain, predicted[list(plain)])
    assert "outside" not in said("sweep", "hx.csv", "--out", "inside.csv")
    for path in Path("sweep").rglob("best.ckpt"):
        checkpoint = torch.load(path)
        del checkpoint["inside"]
        torch.save(checkpoint, path)
        status = path.parent.parent / "status.json"
        status.write_text(json.dumps(json.loads(status.read_text()) | {"checksums": {}}))
    main(["sweep", "new.csv", "--out", "old.csv"])
    np.testing.assert_array_equal(pandas.read_csv("old.csv")["outside"], written["outside"])
    Path("hx.csv").unlink()
    rule = "it cannot be known which of these rows are outside the training data: data.file: there is no file 'hx.csv'"
    assert rule in said("sweep", "new.csv", "--out", "gone.csv")
    assert pandas.read_csv("gone.csv")["outside"].isna().all()
