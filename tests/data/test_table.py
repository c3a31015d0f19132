"""A table: what is read from it, how it is split, and what is said of a bad one."""

import importlib.util
import io
import os
import pickle
import re
import zipfile

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runge.data import Rows, Table, read
from runge.data import columns as table_columns
from runge.data.files import open_table
from runge.data.splitting import draw, number_points
from runge.errors import ConfigurationError

needs_pyarrow = pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")
M, INPUTS, OUTPUTS = 40, ("a", "b_dc"), ("lift", "drag")


@pytest.fixture
def arrays():
    """The inputs, (M, 2), two outputs and their Jacobian, with cells that are not known."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (M, 2))
    y = np.stack([np.sin(x[:, 0]) * x[:, 1], 1e9 * np.exp(x[:, 0])], axis=1)
    dydx = np.empty((M, 2, 2))
    dydx[:, 0] = np.stack([np.cos(x[:, 0]) * x[:, 1], np.sin(x[:, 0])], axis=1)
    dydx[:, 1] = np.stack([1e9 * np.exp(x[:, 0]), np.zeros(M)], axis=1)
    y[rng.random(y.shape) < 0.3] = np.nan
    dydx[rng.random(dydx.shape) < 0.3] = np.nan
    return x, y, dydx


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def frame(x, y, dydx):
    columns = dict(zip(INPUTS, x.T, strict=True)) | dict(zip(OUTPUTS, y.T, strict=True))
    partials = {f"d{o}_d{i}": dydx[:, p, d] for p, o in enumerate(OUTPUTS) for d, i in enumerate(INPUTS)}
    return pandas.DataFrame(columns | partials)


def same(rows, x, y, dydx):
    for read_, expected in zip((rows.x, rows.y, rows.dydx), (x, y, dydx), strict=True):
        np.testing.assert_allclose(read_, expected, rtol=1e-15, atol=0)
        assert read_.dtype == np.float64


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv(arrays, separator):
    text = frame(*arrays).to_csv(index=False, sep=separator, lineterminator="\r\n")
    with open("a.csv", "w", encoding="utf-8-sig", newline="") as file:  # as Excel writes it
        file.write(text.replace("\r\n", "\r\n\r\n", 2))
    rows = read(Table(file="a.csv"))
    same(rows, *arrays)
    assert (rows.inputs, rows.outputs) == (INPUTS, OUTPUTS)


def test_csv_in_quotes(arrays):
    """A cell in quotes may have separators and ends of lines; lines are counted as an editor does."""
    text = 'x,"note, long",y,dy_dx\n0, "a, b",1,2\n\n1,"c\nd",2,3\n2, "" ,4,five\n'
    with open("a.csv", "w") as file:
        file.write(text)
    with pytest.raises(ConfigurationError, match=r"line 6, column 'dy_dx': must be a number, .* got 'five'"):
        read(Table(file="a.csv", inputs=["x"], outputs=["y"]))
    with open("a.csv", "w") as file:
        file.write(text.replace("five", "5"))
    assert read(Table(file="a.csv", inputs=["x"], outputs=["y"])).y[:, 0].tolist() == [1, 2, 4]


@needs_pyarrow
def test_parquet(arrays):
    table = frame(*arrays)
    table["a"] = (100 * table["a"]).round()
    table.astype({"a": "int32", "drag": "float32"}).to_parquet("a.parquet")
    x, y, dydx = arrays
    y[:, 1] = y[:, 1].astype("float32")
    same(read(Table(file="a.parquet")), np.stack([(100 * x[:, 0]).round(), x[:, 1]], axis=1), y, dydx)


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("squeezed", [False, True])
def test_npz(arrays, inputs, outputs, squeezed):
    x, y, dydx = arrays[0][:, :inputs], arrays[1][:, :outputs], arrays[2][:, :outputs, :inputs]
    parts = {"x": x, "y": y, "dydx": dydx}
    np.savez("a.npz", **{name: part.squeeze() if squeezed else part for name, part in parts.items()})
    rows = read(Table(file="a.npz"))
    known = ~(np.isnan(y).all(1) & np.isnan(dydx).all((1, 2)))
    same(rows, x[known], y[known], dydx[known])
    assert rows.inputs == (("x",) if inputs == 1 else ("x1", "x2"))
    assert rows.outputs == (("y",) if outputs == 1 else ("y1", "y2"))


def test_columns_are_chosen_and_named(arrays):
    table = frame(*arrays).rename(columns={"dlift_da": "slope"}).assign(number=range(M))
    table.to_csv("a.csv", index_label="")
    rows = read(Table(file="a.csv", inputs=["b_dc", "a"], outputs=["lift"], derivatives={"lift": {"a": "slope"}}))
    x, y, dydx = (array[~np.isnan(arrays[1][:, 0]) | ~np.isnan(arrays[2][:, 0, 0])] for array in arrays)
    np.testing.assert_allclose(rows.x, x[:, ::-1], rtol=1e-15)
    np.testing.assert_allclose(rows.y[:, 0], y[:, 0], rtol=1e-15)
    np.testing.assert_allclose(rows.dydx[:, 0, 1], dydx[:, 0, 0], rtol=1e-15)
    assert np.isnan(rows.dydx[:, 0, 0]).all()
    values = read(Table(file="a.csv", inputs=["a"], outputs=["lift", "drag"], derivatives={}))
    assert np.isnan(values.dydx).all()
    only = table[["a", "lift", "slope"]]
    only.to_csv("b.csv", index=False)
    assert read(Table(file="b.csv", derivatives={"lift": {"a": "slope"}})).inputs == ("a",)


def test_columns_that_are_not_used(arrays):
    frame(*arrays).assign(note="a", dlift_dt=1.0, t=1).to_csv("a.csv", index=False)
    rows = read(Table(file="a.csv", inputs=list(INPUTS), outputs=["drag"]))
    assert rows.unused == ("lift", "dlift_da", "dlift_db_dc", "note", "dlift_dt", "t")
    np.savez("a.npz", x=arrays[0], y=arrays[1], note=np.full(M, "a"))
    assert read(Table(file="a.npz")).unused == ("note",)
    pandas.DataFrame({"x": [0, 1], "y": [0, 1], "dY_dx": [1, 1]}).to_csv("b.csv", index=False)
    named = read(Table(file="b.csv", inputs=["x"], outputs=["y"], derivatives={"y": {"x": "dY_dx"}}))
    assert (named.dydx[:, 0, 0].tolist(), named.unused) == ([1, 1], ())
    assert read(Table(file="b.csv", inputs=["x"], outputs=["y"], derivatives={})).unused == ("dY_dx",)


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__"])
def test_the_index_of_a_data_frame_is_not_used(arrays, name):
    frame(*arrays).to_csv("a.csv", index_label=name)
    rows = read(Table(file="a.csv"))
    same(rows, *arrays)
    assert rows.unused == (name,) * bool(name)


@pytest.mark.parametrize("size", [1e17, -3e53, 2.0**53])
def test_large_numbers_that_are_no_integers_are_read(size):
    write_rows(y=size * np.linspace(0, 1, 100))
    assert read(Table(file="a.csv")).y[-1] == size


def write_rows(m=100, **columns):
    x = np.linspace(0, 1, m)
    table = pandas.DataFrame({"x": x, "y": x**2, "dy_dx": 2 * x} | columns)
    table.to_csv("a.csv", index=False)
    return table


def test_the_split():
    write_rows()
    rows = read(Table(file="a.csv"))
    parts = rows.split(0)
    assert [len(part) for part in parts] == [70, 15, 15]
    assert sorted(np.concatenate(parts)) == list(range(100))
    assert all(map(np.array_equal, parts, rows.split(torch.Generator().manual_seed(0))))
    assert not np.array_equal(parts.test, rows.split(1).test)
    fewer = read(Table(file="a.csv", split={"train": 0.2, "val": 0.15, "test": 0.15})).split(0)
    assert np.array_equal(fewer.test, parts.test)
    assert np.array_equal(fewer.val, parts.val)
    assert len(fewer.train) == 20
    assert set(fewer.train) < set(parts.train)


def test_the_split_without_test_rows():
    write_rows()
    given, null = ({"train": share, "val": 0.15, "test": 0.15} for share in (0.7, None))
    first, second = (read(Table(file="a.csv", split=one)).split(0) for one in (given, null))
    assert all(map(np.array_equal, first, second))
    train, val, test = read(Table(file="a.csv", split={"train": None, "val": 0.2, "test": 0})).split(0)
    assert (len(train), len(val), len(test)) == (80, 20, 0)
    assert read(Table(file="a.csv", split={"val": 0.2, "test": 0})).split(0).train.tolist() == train.tolist()
    fewer = read(Table(file="a.csv", split={"train": 0.1, "val": 0.2, "test": 0})).split(0)
    assert set(fewer.train) < set(train)
    assert np.array_equal(fewer.val, val)
    write_rows(4, set=["train", "train", "val", "val"])
    options = {"file": "a.csv", "split": {"train": None, "val": 0.2, "test": 0}}
    assert [len(part) for part in read(Table(**options, split_column="set")).split(0)] == [2, 2, 0]
    write_rows(4)
    options["split"]["val"] = 0.01
    with pytest.raises(ConfigurationError, match=r"rows for each of train, val, got .* with these shares 101 rows are"):
        read(Table(**options)).split(0)


def test_the_only_known_values_are_in_the_training_rows():
    names = ("y", "z")
    for seed in range(20):
        table = write_rows(20, z=0.0, dz_dx=1.0)
        for name, row in zip(names, (seed, (3 * seed + 1) % 20), strict=True):
            table.loc[np.arange(20) != row, name] = np.nan
        table.to_csv(f"{seed}.csv", index=False)
        rows = read(Table(file=f"{seed}.csv"))
        assert rows.outputs == names
        parts = rows.split(seed)
        assert sorted(np.concatenate(parts)) == list(range(20))
        assert (~np.isnan(rows.y[parts.train])).any(0).all()


def test_a_column_of_the_split():
    labels = ["train"] * 60 + ["Test "] * 20 + ["val"] * 10 + ["validation"] * 10
    write_rows(set=labels)
    train, val, test = read(Table(file="a.csv", split_column="set")).split(7)
    assert (train.tolist(), val.tolist(), test.tolist()) == ([*range(60)], [*range(80, 100)], [*range(60, 80)])
    x = np.linspace(0, 1, 100)
    np.savez("a.npz", x=x, y=x, dydx=x, set=np.array(labels))
    assert np.array_equal(read(Table(file="a.npz", split_column="set")).split(7).test, test)


def test_rows_without_labels_are_left_out():
    table = write_rows(set=["train"] * 98 + ["val", "test"])
    table.loc[[3, 5], ["y", "dy_dx"]] = np.nan
    table.to_csv("a.csv", index=False)
    rows = read(Table(file="a.csv", split_column="set"))
    assert len(rows.x) == 98
    assert rows.split(0).test.tolist() == [97]


def test_a_file_is_read_once_until_it_changes(monkeypatch):
    write_rows()
    reads = []
    monkeypatch.setattr("runge.data.table.open_table", lambda path: reads.append(path) or open_table(path))
    first, again = read(Table(file="a.csv")), read(Table(file=os.path.abspath("a.csv"), seed=3, batch_size=5))
    assert read(Table(file="a.csv", split={"train": 0.5, "val": 0.1, "test": 0.1})).x is first.x
    assert again.table.seed == 3
    assert not first.x.flags.writeable
    write_rows(50)
    assert len(read(Table(file="a.csv")).x) == 50
    assert reads.count("a.csv") == 2


GOOD = "x,y,dy_dx\n0,1,2\n1,2,3\n2,4,5\n"


def member(name: str, content: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


X = np.arange(6.0)
BAD = {
    "no file": ("", {"file": "b.csv"}, "file: there is no file 'b.csv' in '"),
    "directory": ("", {"file": "folder.csv"}, "file: must be a file, got 'folder.csv', which is a directory"),
    "suffix": (GOOD, {"file": "a.xlsx"}, "file: must be a file that ends in .csv, .tsv, .parquet, .npz, got 'a.xlsx'"),
    "NUL in the name": (GOOD, {"file": "a\0.csv"}, "file: "),
    "empty": ("", {}, "file: 'a.csv' is empty"),
    "blank header": ("\n1,2\n", {}, "file: 'a.csv': the first line must hold the names of the columns"),
    "no header": ("0,1,2\n1,2,3\n", {}, "the first line must hold the names of the columns, got '0,1,2'"),
    "open quote": ('x,"y\n1,2\n', {}, "the first line must hold the names of the columns; it is empty or damaged"),
    "no rows": ("x,y,dy_dx\n\n", {}, "file: 'a.csv': must have at least one row, got none"),
    "binary": (b"x,y\n\xff\xfe\x00,1\n", {}, "file: 'a.csv': must be text in UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), {}, "file: 'a.csv': must be text in UTF-8"),
    "twice": ("x,y,x\n1,2,3\n", {}, "each name must stand for one column, got 'x' more than once"),
    "short line": (GOOD + "3,4\n", {}, "file: 'a.csv': line 5 must have 3 cells, as line 1 has, got 2"),
    "long lines": ("x,y,dy_dx\n0,1,2,3\n", {}, "line 2 must have 3 cells, as line 1 has, got 4"),
    "quoted short line": (GOOD + '"3",4\n', {}, "file: 'a.csv': line 5 must have 3 cells, as line 1 has, got 2"),
    "quoted long line": (GOOD + '\n3,"4,5",6,7\n', {}, "line 6 must have 3 cells, as line 1 has, got 4"),
    "quoted end": (GOOD + '3,4,"5\n4,5,6\n', {}, "file: 'a.csv': is not a CSV file (Error tokenizing data"),
    "text": (GOOD + "\n3,abc,1\n", {}, "'a.csv': line 6, column 'y': must be a number, with a decimal point, or"),
    "formula": (
        GOOD + "3,=1+1,1\n",
        {},
        "line 5, column 'y': must be a number, with a decimal point, or empty; got '=1+",
    ),
    "comma": (
        'x;y;dy_dx\n1;"0,5";2\n',
        {},
        "line 2, column 'y': must be a number, with a decimal point, or empty; got '0,5",
    ),
    "truth": ("x,y,dy_dx\n1,True,2\n2,False,2\n", {}, "line 2, column 'y': must be a number"),
    "units": ("x,y,dy_dx\nm,s,-\n" + GOOD[10:], {}, "line 2, column 'x': must be a number"),
    "infinity": (GOOD + "3,inf,1\n", {}, "'a.csv': line 5, column 'y': must be finite and within 1e+100 of 0, got inf"),
    "large": (GOOD + "3,1,-1e200\n", {}, "line 5, column 'dy_dx': must be finite and within 1e+100 of 0, got -1e+200"),
    "unknown input": (GOOD + ",4,1\n", {}, "'a.csv': line 5, column 'x': an input must be known, got an empty cell"),
    "constant input": ("x,y,dy_dx\n1,1,2\n1,2,2\n", {}, "inputs: 'a.csv': 'x' must differ from row to row"),
    "no value": (
        "x,y,dy_dx\n1,,2\n2,,2\n",
        {},
        "outputs: 'a.csv': 'y' must be known in at least one row, got none; its de",
    ),
    "no derivative by an input": (
        "a,b,y,dy_da\n1,2,5,1\n2,4,,1\n3,3,,2\n",
        {"inputs": ["a", "b"], "outputs": ["y"]},
        "outputs: 'a.csv': 'y' must be known in at least two rows, or have a known derivative by each input; got one "
        "row and no derivative by b",
    ),
    "one value": ("a,b,y\n1,2,5\n2,4,\n", {"inputs": ["a", "b"], "outputs": ["y"]}, "by a, b"),
    "no labels": ("x,y,dy_dx\n1,,\n2,,\n", {}, "outputs: 'a.csv': 'y' must be known in at least one row, got none"),
    "no output": (
        "x,dy_dx\n1,2\n2,2\n",
        {"inputs": ["x"], "outputs": ["y"]},
        "'dy_dx' alone determines it up to a constant",
    ),
    "unknown column": (
        GOOD,
        {"inputs": ["z"], "outputs": ["y"]},
        "inputs: 'a.csv': must be among its columns, x, y, dy_dx; g",
    ),
    "no roles": (
        "x,y\n1,2\n2,3\n",
        {},
        "inputs: 'a.csv': must name the inputs, because no columns are named d<output>_d<in",
    ),
    "no outputs": ("x,y\n1,2\n2,3\n", {"inputs": ["x"]}, "outputs: 'a.csv': must name the outputs, because"),
    "left over": (
        "x,z,y,dy_dx\n1,2,3,4\n",
        {},
        "inputs: 'a.csv': must be named, and outputs too, because z could be either",
    ),
    "no name": (
        "a,,y,dy_da,dy_db\n1,2,3,4,5\n",
        {},
        "dy_db could be either: inferred are the inputs a and the outputs y; there is no column 'b' for dy_db; column "
        "2 has no name",
    ),
    "derivatives of no column": (
        "a,b,dq_da,dq_db\n1,2,3,4\n",
        {},
        "its columns are a, b, dq_da, dq_db; there is no column 'q' for dq_da, dq_db",
    ),
    "a derivative of no column": (
        "a,y,dy_da,dq_da\n1,2,3,4\n",
        {},
        "dq_da could be either: inferred are the inputs a and the outputs y; there is no column 'q' for dq_da",
    ),
    "unknown derivative": (
        "x,y,dy_dz\n1,2,3\n",
        {"inputs": ["x"], "outputs": ["y"]},
        "derivatives: 'a.csv': must name the columns of derivatives, because 'dy_dz' is one by its name",
    ),
    "derivative of nothing": (
        "x,y,df_dx\n1,2,3\n",
        {"inputs": ["x"], "outputs": ["y"]},
        "because 'df_dx' is one by its name, and its output 'f' is no column",
    ),
    "derivative by no column": (
        GOOD,
        {"derivatives": {"y": {"z": "dy_dz"}}},
        "derivatives: 'a.csv': must be {output: {input: column}}, an input being one of its columns, x, y, dy_dx; got "
        "'dy_dz' of 'y' by 'z'",
    ),
    "constant inputs": (
        "a,b,y\n1,2,1\n1,2,2\n",
        {"inputs": ["a", "b"], "outputs": ["y"]},
        "inputs: 'a.csv': must differ from row to row, got the same a, b in all rows",
    ),
    "directory without a suffix": ("", {"file": "."}, "ends in .csv, .tsv, .parquet, .npz, got '.', which is a dire"),
    "one row": ("x,y,dy_dx\n1,2,3\n", {}, "file: 'a.csv': must have at least two rows, got one"),
    "a comment first": (
        "# of a solver\n" + GOOD,
        {},
        "file: 'a.csv': must have a column for each input and output, with their names in the first line of a CSV file"
        ", separated by commas, semicolons or tabs; got one column, '# of a solver'",
    ),
    "blanks": (GOOD.replace(",", " "), {"inputs": ["x"], "outputs": ["y"]}, "got one column, 'x y dy_dx'"),
    "tiny output": (
        "x,y,dy_dx\n1,1e-300,0\n2,2e-300,0\n",
        {},
        "outputs: 'a.csv': 'y' must have values that differ by at least 1e-100; change its unit, got values within 1e",
    ),
    "tiny input": ("x,y,dy_dx\n1e-200,1,0\n2e-200,2,0\n", {}, "inputs: 'a.csv': 'x' must have values that differ by"),
    "capitals": (
        "x,z,y,dY_dX,dy_dz\n1,2,3,4,5\n",
        {"inputs": ["x", "z"], "outputs": ["y"]},
        "must name the columns of derivatives, because 'dY_dX' looks like one, which would be 'dy_dx'; rename it",
    ),
    "capitals of no column": (
        "x,y,DY_DT,dy_dx\n1,2,3,4\n",
        {"inputs": ["x"], "outputs": ["y"]},
        "because 'DY_DT' is one by its name, and its input 'T' is no column",
    ),
    "integers": (
        "x,y,dy_dx\n1700000000000000001,1,2\n1700000000000000002,2,\n",
        {},
        "file: 'a.csv': line 2, column 'x': an integer must be within 2^53 of 0, because its last digits would be "
        "lost, got 1700000000000000001; subtract an offset from the column, or change its unit",
    ),
    "integers and an empty cell": ("x,y,dy_dx\n1,,2\n2,9007199254740993,2\n", {}, "line 3, column 'y': an integer"),
    "huge integers": ("x,y,dy_dx\n1,99999999999999999999999,2\n2,1,2\n", {}, "line 2, column 'y': an integer must"),
    "named derivative": (
        GOOD,
        {"inputs": ["x"], "outputs": ["y"], "derivatives": {"z": {"x": "dy_dx"}}},
        "derivatives: 'a.csv': must be of an output of y by an input of x, got 'z' by 'x'",
    ),
    "no derivative column": (
        GOOD,
        {"derivatives": {"y": {"x": "slope"}}},
        "derivatives: 'a.csv': must be among its colum",
    ),
    "two roles": (
        GOOD,
        {"inputs": ["x"], "outputs": ["y"], "derivatives": {"y": {"x": "x"}}},
        "each column must have one role, got several",
    ),
    "ambiguous": (
        "a,b_dc,a_db,c,da_db_dc\n1,2,3,4,5\n2,3,4,5,6\n",
        {},
        "derivatives: 'a.csv': must name the columns, because 'da_db_dc' can be read in several ways",
    ),
    "risky name": ("=x,y,dy_d=x\n1,2,3\n", {}, "inputs: 'a.csv': must not begin with one of = + - @"),
    "no split column": (
        GOOD,
        {"split_column": "set"},
        "split_column: 'a.csv': must be among its columns, x, y, dy_dx; g",
    ),
    "label": (
        "x,y,dy_dx,set\n1,2,3,train\n2,2,3,tets\n",
        {"split_column": "set"},
        "split_column: 'a.csv': line 3, column 'set': must be train, val, test, validation, got 'tets'",
    ),
    "no Parquet": (b"PAR1", {"file": "a.parquet"}, "file: 'a.parquet': "),
    "no NPZ": (b"\x93NUMPY", {"file": "a.npz"}, "file: 'a.npz': is not an NPZ file, which numpy.savez writes"),
    "pickle": (
        npz(x=np.array([{}, {}])),
        {"file": "a.npz"},
        "'x' must be an array of numbers, got Python objects, which a",
    ),
    "pickled entry": (member("x", pickle.dumps(X)), {"file": "a.npz"}, "must have an array 'x', got none"),
    "damaged entry": (member("x.npy", b"\x93NUMPY"), {"file": "a.npz"}, "file: 'a.npz': is damaged"),
    "truncated": (npz(x=X)[:-60], {"file": "a.npz"}, "file: 'a.npz': is "),
    "no x": (npz(X=X), {"file": "a.npz"}, "file: 'a.npz': must have an array 'x', got 'X'"),
    "x of text": (npz(x=X.astype(str), y=X), {"file": "a.npz"}, "'x' must be an array of numbers, got the type <U"),
    "complex": (npz(x=X, y=X * 1j), {"file": "a.npz"}, "'y' must be an array of numbers, got the type complex128"),
    "x of three axes": (
        npz(x=X.reshape(1, 2, 3)),
        {"file": "a.npz"},
        "'x' must have the shape (m,) or (m, n), and not be e",
    ),
    "lengths": (npz(x=X, y=X[1:]), {"file": "a.npz"}, "'y' must have as many rows as 'x', 6, got 5"),
    "dydx": (npz(x=X, y=X, dydx=X[1:]), {"file": "a.npz"}, "'dydx' must have the shape (6, 1, 1), got (5,)"),
    "dydx turned": (
        npz(x=X.reshape(2, 3), y=X[:4].reshape(2, 2), dydx=np.zeros((2, 3, 2))),
        {"file": "a.npz"},
        "'dydx' must have the shape (2, 2, 3), got (2, 3, 2)",
    ),
    "unknown array": (
        npz(x=X, y=X, grad=X),
        {"file": "a.npz"},
        "file: 'a.npz': must have the arrays 'x', 'y', 'dydx', and text of the shape (6,), such as the labels of a "
        "split; got 'grad', float64 of (6,)",
    ),
    "array of another length": (npz(x=X, y=X, set=np.array(["train"])), {"file": "a.npz"}, "got 'set', <U5 of (1,)"),
    "integers in an array": (
        npz(x=2**60 + np.arange(6), y=X),
        {"file": "a.npz"},
        "file: 'a.npz': row 1, column 'x': an integer must be within 2^53 of 0, because its last digits would be "
        "lost, got 1152921504606846976",
    ),
    "dydx alone": (npz(x=X, dydx=X), {"file": "a.npz"}, "'dydx' must come with 'y'"),
}


@pytest.mark.parametrize(("content", "options", "message"), BAD.values(), ids=BAD)
def test_bad_tables(content, options, message):
    os.mkdir("folder.csv")
    options = {"file": "a.csv"} | options
    if "b.csv" not in options["file"] and "\0" not in options["file"] and options["file"] not in ("folder.csv", "."):
        with open(options["file"], "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError) as raised:
        read(Table(**options))
    assert str(raised.value).startswith("data.")
    assert message in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("content", [npz(x=X, y=X), GOOD.encode()])
def test_a_file_that_is_too_large(content, monkeypatch):
    name = "a.csv" if content == GOOD.encode() else "a.npz"
    with open(name, "wb") as file:
        file.write(content)
    monkeypatch.setattr(table_columns, "MOST_NUMBERS", 8)
    with pytest.raises(ConfigurationError, match=f"data.file: '{name}': must have at most 8 numbers"):
        read(Table(file=name))


@needs_pyarrow
def test_bad_parquet_files(monkeypatch):
    pandas.DataFrame({"x": ["a", "b"], "y": [1, 2], "dy_dx": [1, 2]}).to_parquet("a.parquet")
    with pytest.raises(ConfigurationError, match=r"'a.parquet': column 'x' must be of numbers, got the type"):
        read(Table(file="a.parquet"))
    pandas.DataFrame({"x": [1.0, 2], "y": [1, np.inf], "dy_dx": [1, 2]}).to_parquet("b.parquet")
    with pytest.raises(ConfigurationError, match=r"'b.parquet': row 2, column 'y': must be finite"):
        read(Table(file="b.parquet"))
    pandas.DataFrame({"x": [1, None, 2**53 + 1], "y": 0.0}, dtype="Int64").to_parquet("c.parquet")
    with pytest.raises(ConfigurationError, match=r"'c.parquet': row 3, column 'x': an integer must be within 2\^53"):
        read(Table(file="c.parquet", inputs=["y"], outputs=["x"]))
    monkeypatch.setattr(table_columns, "MOST_NUMBERS", 5)
    with pytest.raises(ConfigurationError, match="must have at most 5 numbers"):
        read(Table(file="b.parquet"))


def test_parquet_without_its_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with open("a.parquet", "wb") as file:
        file.write(b"PAR1")
    with pytest.raises(ConfigurationError, match=re.escape("pip install -e '.[parquet]'")):
        read(Table(file="a.parquet"))


def test_a_file_without_permission(monkeypatch):
    write_rows()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "a.csv")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(ConfigurationError, match=r"data\.file: 'a\.csv' cannot be read \(Permission denied\)"):
        read(Table(file="a.csv"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": []}, "inputs: must be at least one column, each once"),
        ({"outputs": ["y", "y"]}, "outputs: must be at least one column, each once"),
        ({"inputs": ["x"], "outputs": ["x"]}, "outputs: must be other columns than the inputs, got 'x' in both"),
        ({"split": {"train": 0.8, "val": 0.2}}, "split: must be shares: val above 0, test at least 0, train above 0"),
        ({"split": {"train": None, "val": 0.8, "test": 0.2}}, "split: must be shares: val above 0, test at least 0"),
        ({"split": {"train": 0.8, "val": None, "test": 0.2}}, "split: must be shares: val above 0, test at least 0"),
        (
            {"split": {"trian": 0.8, "val": 0.1, "test": 0.1}},
            "split: must have the keys train, val, test only, got 'tr",
        ),
        ({"split": {"train": 0.8, "val": 0.2, "test": 0.2}}, "at most 1 in total"),
        ({"split": {"train": 0.8, "val": 0, "test": 0.2}}, "split: must be shares: val above 0"),
        ({"split": {"train": float("nan"), "val": 0.1, "test": 0.2}}, "split: must be shares: val above 0"),
        ({"file": 3}, "file\n.*must name a table, a file that ends in .csv"),
        ({"seed": -1}, "greater than or equal to 0"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        Table(**{"file": "a.csv"} | options)


def test_splits_that_leave_nothing():
    write_rows(4)
    with pytest.raises(
        ConfigurationError, match=r"data\.split: 'a\.csv': must leave rows for each .*got 3 train, 0 val"
    ):
        read(Table(file="a.csv", split={"train": 0.8, "val": 0.01, "test": 0.19})).split(0)
    write_rows(4, set=["train", "train", "val", "val"])
    with pytest.raises(ConfigurationError, match=r"data\.split_column: .*got 2 train, 2 val, 0 test \(test is empty\)"):
        read(Table(file="a.csv", split_column="set")).split(0)
    table = write_rows(4, set=["train", "train", "val", "test"])
    table.loc[:1, "y"] = np.nan
    table.to_csv("a.csv", index=False)
    with pytest.raises(
        ConfigurationError, match=r"data\.outputs: .*in at least one row in the training rows, got none; "
    ):
        read(Table(file="a.csv", split_column="set")).split(0)
    write_rows(4, set=["train", "val", "val", "test"])
    with pytest.raises(
        ConfigurationError, match=r"data\.inputs: .*'x' must differ .*got 0 in all 1 in the training rows"
    ):
        read(Table(file="a.csv", split_column="set")).split(0)


def some_rows(x, y, shares):
    """Return rows with these inputs, (m, 1), and outputs, (m, P)."""
    names = tuple(f"y{p}" for p in range(y.shape[1]))
    table = Table(file="a.csv", split=shares)
    return Rows(x, y, np.zeros((*y.shape, 1)), ("x",), names, None, table, "", (), number_points(x))


def drawn(rows, seed):
    split = rows.table.split
    return draw(rows.points, ~np.isnan(rows.y), split["train"], split["val"], split["test"], seed)


def split_of_rows(rows, seed):
    """The split before rows with the same inputs were kept together."""
    order = torch.randperm(len(rows.x), generator=torch.Generator().manual_seed(seed)).numpy()
    for known in ~np.isnan(rows.y.T):
        last = np.flatnonzero(known[order])[-1]
        order = np.append(np.delete(order, last), order[last])
    ends = np.rint(np.cumsum([rows.table.split[name] for name in ("test", "val", "train")]) * len(order)).astype(int)
    n_train = min(ends[2], len(order)) - ends[1]
    return order[len(order) - n_train :], order[ends[0] : ends[1]], order[: ends[0]]


SHARES = st.sampled_from([(0.7, 0.15, 0.15), (0.5, 0.2, 0.1), (0.02, 0.3, 0.3), (0.1, 0.45, 0.45)])


@given(SHARES, st.integers(2, 80), st.integers(1, 3), st.integers(0, 2**32), st.data())
def test_rows_that_differ_are_split_as_they_always_were(shares, m, outputs, seed, data):
    y = np.where(np.random.default_rng(seed).random((m, outputs)) < data.draw(st.sampled_from([0.1, 1])), 1, np.nan)
    y[data.draw(st.integers(0, m - 1))] = 1
    x = np.random.default_rng(seed).permutation(m)[:, None] - m / 2
    rows = some_rows(x, y, dict(zip(("train", "val", "test"), shares, strict=True)))
    for part, expected in zip(drawn(rows, seed), split_of_rows(rows, seed), strict=True):
        assert part.tolist() == expected.tolist()


@given(SHARES, st.integers(20, 80), st.integers(1, 30), st.integers(1, 3), st.integers(0, 2**32))
def test_rows_with_the_same_inputs_are_in_one_set(shares, m, different, outputs, seed):
    random = np.random.default_rng(seed)
    x = random.integers(0, different, (m, 1)).astype(float)
    y = np.where(random.random((m, outputs)) < 0.2, 1, np.nan)
    y[random.integers(m)] = 1
    train, *others = shares
    rows = some_rows(x, y, {"train": train, "val": others[0], "test": others[1]})
    parts = drawn(rows, seed)
    inputs = [one for part in parts for one in set(x[part, 0])]
    assert len(inputs) == len(set(inputs))
    assert all(len(part) <= round(share * m + 0.5) for part, share in zip(parts[1:], others, strict=True))
    used = np.concatenate(parts)
    assert len(set(used)) == len(used)
    more = drawn(some_rows(x, y, {"train": None, "val": others[0], "test": others[1]}), seed)
    assert set(parts.train) <= set(more.train)
    assert (~np.isnan(y[more.train])).any(0).all()
    assert np.array_equal(parts.test, more.test)


def test_rows_of_a_column_that_have_the_inputs_of_training_rows():
    write_rows(6, x=[0, 1, 1, 2, 3, 0], set=["train", "train", "val", "val", "test", "test"])
    rows = read(Table(file="a.csv", split_column="set"))
    assert (rows.duplicates, rows.leaking) == (2, 2)
    assert [part.tolist() for part in rows.split(0)] == [[0, 1], [2, 3], [4, 5]]


def test_repeated_inputs_that_fill_no_set():
    write_rows(40, x=np.repeat([0, 1], 20))
    with pytest.raises(ConfigurationError, match=r"40 train, 0 val, .* rows with the same inputs are in one set, and"):
        read(Table(file="a.csv")).split(0)


@given(st.lists(st.integers(1, 60), min_size=3, max_size=3), st.integers(0, 60))
def test_so_many_rows_are_enough(parts, unused):
    shares = dict(zip(("train", "val", "test"), np.array(parts) / (sum(parts) + unused), strict=True))
    x = np.arange(2000.0)

    def rows(m):
        return some_rows(x[:m, None], x[:m, None], shares)

    with pytest.raises(ConfigurationError, match=r"data\.split: .* with these shares \d+ rows are enough$") as raised:
        rows(2).split(0)
    enough = int(re.findall(r"(\d+) rows are enough", str(raised.value))[0])
    assert enough - 1 <= 1 / min(shares.values()) < enough
    for m in range(enough, enough + 100):
        sizes = [len(part) for part in drawn(rows(m), 0)]
        assert min(sizes) > 0, (m, sizes)


def test_an_anchor_needs_a_derivative_by_each_input_in_the_training_rows():
    table = write_rows(6, set=["train"] * 4 + ["val", "test"])
    table["t"], table["dy_dt"] = [3, 1, 4, 1, 5, 9], [np.nan] * 4 + [1, 1]
    table.loc[1:, "y"] = np.nan
    options = {"file": "a.csv", "split_column": "set", "inputs": ["x", "t"], "outputs": ["y"]}
    table.to_csv("a.csv", index=False)
    with pytest.raises(ConfigurationError, match=r"at least two rows in the training rows, .* no derivative by t$"):
        read(Table(**options)).split(0)
    table.loc[2, "dy_dt"] = 0
    table.to_csv("a.csv", index=False)
    assert len(read(Table(**options)).split(0).train) == 4
    table["dy_dt"] = np.nan
    table.loc[3, "y"] = 1
    table.to_csv("a.csv", index=False)
    assert len(read(Table(**options)).split(0).train) == 4


def test_a_pipe_is_not_waited_for():
    os.mkfifo("a.csv")
    with pytest.raises(ConfigurationError, match="which is not a regular file"):
        read(Table(file="a.csv"))
