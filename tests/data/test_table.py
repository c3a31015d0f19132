"""A table: what is read from it, how it is split, and what is said of a bad one."""

import importlib.util
import io
import os
import pickle
import zipfile

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runge.data import Rows, Table, read
from runge.data.rows import draw, number_points
from runge.data.table import open_table
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
    table = Table(file="a.csv", inputs=["x"], outputs=["y"])
    with pytest.raises(ConfigurationError, match=r"line 6, column 'dy_dx': must be a number, .* got 'five'"):
        read(table)
    with open("a.csv", "w") as file:
        file.write(text.replace("five", "5"))
    assert read(table).y[:, 0].tolist() == [1, 2, 4]
    with open("b.csv", "w") as file:
        file.write('x\n1\n""\n')
    with pytest.raises(ValueError, match=r"'b\.csv': row 2, column 'x': an input must be known"):
        open_table("b.csv").numbers(["x"], known=1)


@needs_pyarrow
def test_parquet(arrays):
    table = frame(*arrays)
    table["a"] = (100 * table["a"]).round()
    table.astype({"a": "int32", "drag": "float32"}).to_parquet("a.parquet")
    x, y, dydx = arrays
    y[:, 1] = y[:, 1].astype("float32")
    same(read(Table(file="a.parquet")), np.stack([(100 * x[:, 0]).round(), x[:, 1]], axis=1), y, dydx)


@pytest.mark.parametrize(("inputs", "outputs", "squeezed"), [(1, 1, True), (1, 2, False), (2, 1, True), (2, 2, False)])
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


def test_a_file_is_read_once_until_it_changes(monkeypatch):
    write_rows()
    reads = []
    monkeypatch.setattr("runge.data.rows.open_table", lambda path: reads.append(path) or open_table(path))
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


X, XY = np.arange(6.0), {"inputs": ["x"], "outputs": ["y"]}
ABY = {"inputs": ["a", "b"], "outputs": ["y"]}
BAD = {  # the content of the file, the settings, and a part of the message
    "no file": ("", {"file": "b.csv"}, "file: there is no file 'b.csv' in '"),
    "directory": ("", {"file": "folder.csv"}, "file: there is no file 'folder.csv'"),
    "suffix": (GOOD, {"file": "a.xlsx"}, "file: must be a file that ends in .csv, .tsv, .parquet, .npz, got 'a.xlsx'"),
    "NUL in the name": (GOOD, {"file": "a\0.csv"}, "file: "),
    "empty": ("", {}, "file: 'a.csv': the first line must hold the names of the columns"),
    "blank header": ("\n1,2\n", {}, "file: 'a.csv': the first line must hold the names of the columns"),
    "no header": ("0,1,2\n1,2,3\n", {}, "the first line must hold the names of the columns, got ['0', '1', '2']"),
    "open quote": ('x,"y\n1,2\n', {}, "file: 'a.csv': Error tokenizing data"),
    "no rows": ("x,y,dy_dx\n\n", {}, "file: 'a.csv': must have at least one row, got none"),
    "binary": (b"x,y\n\xff\xfe\x00,1\n", {}, "file: 'a.csv': 'utf-8' codec can't decode byte"),
    "twice": ("x,y,x\n1,2,3\n", {}, "each name must stand for one column, got 'x' more than once"),
    "short line": (GOOD + "3,4\n", {}, "file: 'a.csv': line 5 must have 3 cells, as line 1 has, got 2"),
    "long lines": ("x,y,dy_dx\n0,1,2,3\n", {}, "line 2 must have 3 cells, as line 1 has, got 4"),
    "quoted long line": (GOOD + '\n3,"4,5",6,7\n', {}, "line 6 must have 3 cells, as line 1 has, got 4"),
    "quoted end": (GOOD + '3,4,"5\n4,5,6\n', {}, "file: 'a.csv': Error tokenizing data"),
    "text": (GOOD + "\n3,abc,1\n", {}, "'a.csv': line 6, column 'y': must be a number, with a decimal point, or empty"),
    "comma": (
        'x;y;dy_dx\n1;"0,5";2\n',
        {},
        "line 2, column 'y': must be a number, with a decimal point, or empty; got",
    ),
    "truth": ("x,y,dy_dx\n1,True,2\n2,False,2\n", {}, "line 2, column 'y': must be a number"),
    "units": ("x,y,dy_dx\nm,s,-\n" + GOOD[10:], {}, "line 2, column 'x': must be a number"),
    "infinity": (GOOD + "3,inf,1\n", {}, "line 5, column 'y': must be finite and within 1e+100 of 0; got 'inf'"),
    "large": (GOOD + "3,1,-1e200\n", {}, "line 5, column 'dy_dx': must be finite and within 1e+100 of 0; got '-1e+200"),
    "unknown input": (GOOD + ",4,1\n", {}, "'a.csv': line 5, column 'x': an input must be known in each row"),
    "integers": ("x,y,dy_dx\n1700000000000000001,1,2\n1,2,\n", {}, "'x': an integer must be within 2^53 of 0"),
    "integers and an empty cell": ("x,y,dy_dx\n1,,2\n2,9007199254740993,2\n", {}, "line 3, column 'y': an integer"),
    "huge integers": ("x,y,dy_dx\n1,99999999999999999999999,2\n2,1,2\n", {}, "line 2, column 'y': an integer must"),
    "constant input": ("x,y,dy_dx\n1,1,2\n1,2,2\n", {}, "inputs: 'a.csv': 'x' must have values that differ"),
    "one row": ("x,y,dy_dx\n1,2,3\n", {}, "inputs: 'a.csv': 'x' must have values that differ"),
    "tiny input": ("x,y,dy_dx\n1e-200,1,0\n2e-200,2,0\n", {}, "inputs: 'a.csv': 'x' must have values that differ by"),
    "tiny output": ("x,y,dy_dx\n1,1e-300,0\n2,2e-300,0\n", {}, "outputs: 'a.csv': 'y' must have values that differ"),
    "no value": ("x,y,dy_dx\n1,,2\n2,,2\n", {}, "outputs: 'a.csv': 'y' must be known in at least one row"),
    "one value": ("a,b,y,dy_da\n1,2,5,1\n2,4,,1\n3,3,,2\n", ABY, "got one row and no derivative by b"),
    "no output": ("x,dy_dx\n1,2\n2,2\n", XY, "outputs: 'a.csv': must be among its columns, x, dy_dx; got 'y'"),
    "no input": (
        GOOD,
        {"inputs": ["z"], "outputs": ["y"]},
        "inputs: 'a.csv': must be among its columns, x, y, dy_dx; g",
    ),
    "no roles": ("x,y\n1,2\n2,3\n", {}, "inputs: 'a.csv': must name the inputs, because no columns are named d<outp"),
    "no outputs": ("x,y\n1,2\n2,3\n", {"inputs": ["x"]}, "outputs: 'a.csv': must name the outputs, because"),
    "left over": ("x,z,y,dy_dx\n1,2,3,4\n", {}, "inputs: 'a.csv': must be named, and outputs too, because z could be"),
    "no name": ("a,,y,dy_da,dy_db\n1,2,3,4,5\n", {}, "dy_db could be either; inferred are a and the outputs y"),
    "unknown derivative": ("x,y,dy_dz\n1,2,3\n", XY, "because 'dy_dz' looks like one of 'y' by 'z', which are no"),
    "derivative of nothing": ("x,y,df_dx\n1,2,3\n", XY, "because 'df_dx' looks like one of 'f' by 'x'"),
    "capitals": (
        "x,y,dY_dX\n1,2,3\n",
        XY,
        "derivatives: 'a.csv': must name the columns of derivatives, because 'dY_dX'",
    ),
    "named derivative": (
        GOOD,
        XY | {"derivatives": {"z": {"x": "dy_dx"}}},
        "must be of an output of y by an input of x",
    ),
    "no derivative column": (GOOD, {"derivatives": {"y": {"x": "slope"}}}, "derivatives: 'a.csv': must be among its c"),
    "two roles": (GOOD, XY | {"derivatives": {"y": {"x": "x"}}}, "each column must have one role, got several for 'x'"),
    "the same column twice": (GOOD, {"inputs": ["x"], "outputs": ["x"]}, "each column must have one role, got several"),
    "ambiguous": ("a,b_dc,a_db,c,da_db_dc\n1,2,3,4,5\n", {}, "because 'da_db_dc' can be read in several ways"),
    "risky name": ("=x,y,dy_d=x\n1,2,3\n", {}, "inputs: 'a.csv': must not begin with one of = + - @"),
    "no split column": (
        GOOD,
        {"split_column": "set"},
        "split_column: 'a.csv': must be among its columns, x, y, dy_dx; ",
    ),
    "label": (
        *("x,y,dy_dx,set\n1,2,3,train\n2,2,3,tets\n", {"split_column": "set"}),
        "split_column: 'a.csv': line 3, column 'set': must be train, val, test, validation; got 'tets'",
    ),
    "no Parquet": (b"PAR1", {"file": "a.parquet"}, "file: 'a.parquet': "),
    "no NPZ": (b"\x93NUMPY", {"file": "a.npz"}, "file: 'a.npz': is not an NPZ file, which numpy.savez writes"),
    "pickle": (npz(x=np.array([{}, {}])), {"file": "a.npz"}, "'a.npz': Object arrays cannot be loaded"),
    "pickled entry": (member("x", pickle.dumps(X)), {"file": "a.npz"}, "must have an array 'x', got none"),
    "damaged entry": (member("x.npy", b"\x93NUMPY"), {"file": "a.npz"}, "file: 'a.npz': "),
    "truncated": (npz(x=X)[:-60], {"file": "a.npz"}, "file: 'a.npz': is "),
    "no x": (npz(X=X), {"file": "a.npz"}, "file: 'a.npz': must have an array 'x', got 'X'"),
    "complex": (
        npz(x=X, y=X * 1j),
        {"file": "a.npz"},
        "'y' must be an array of numbers of the shape (6,) or (6, n), got",
    ),
    "x of three axes": (npz(x=X.reshape(1, 2, 3)), {"file": "a.npz"}, "'x' must be an array of numbers of the shape"),
    "lengths": (
        npz(x=X, y=X[1:]),
        {"file": "a.npz"},
        "'y' must be an array of numbers of the shape (6,) or (6, n), got",
    ),
    "dydx": (npz(x=X, y=X, dydx=X[1:]), {"file": "a.npz"}, "'dydx' must be an array of numbers of the shape (6, 1, 1)"),
    "dydx alone": (npz(x=X, dydx=X), {"file": "a.npz"}, "and come with 'y'"),
    "dydx turned": (
        *(npz(x=X.reshape(2, 3), y=X[:4].reshape(2, 2), dydx=np.zeros((2, 3, 2))), {"file": "a.npz"}),
        "'dydx' must be an array of numbers of the shape (2, 2, 3), and come with 'y', got float64 of (2, 3, 2)",
    ),
    "unknown array": (npz(x=X, y=X, grad=X), {"file": "a.npz"}, "labels of a split; got 'grad', float64 of (6,)"),
    "integers in an array": (npz(x=2**60 + np.arange(6), y=X), {"file": "a.npz"}, "row 1, column 'x': an integer must"),
}


def write_bad(case):
    """Write a bad table; return its settings and a part of the message."""
    content, options, message = BAD[case]
    options = {"file": "a.csv"} | options
    os.mkdir("folder.csv")
    if options["file"] not in ("b.csv", "folder.csv", "a\0.csv"):
        with open(options["file"], "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
    return options, message


@pytest.mark.parametrize("case", BAD)
def test_bad_tables(case):
    options, message = write_bad(case)
    with pytest.raises(ConfigurationError) as raised:
        read(Table(**options))
    assert str(raised.value).startswith("data.")
    assert message in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@needs_pyarrow
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (["a", "b", "c"], "row 1, column 'x': must be a number"),
        ([[1.0], [1.0, 2.0], []], "row 1, column 'x': must be a number"),
        (pandas.to_datetime(["2020-01-01"] * 3), "row 1, column 'x': must be a number"),
        ([1, np.inf, 2], "row 2, column 'x': must be finite"),
        (pandas.array([1, None, 2**53 + 1], dtype="Int64"), r"row 3, column 'x': an integer must be within 2\^53"),
    ],
)
def test_bad_parquet_files(x, message):
    pandas.DataFrame({"x": x, "y": [1.0, 2, 3], "dx_dy": 0.0}).to_parquet("a.parquet")
    with pytest.raises(ConfigurationError, match=rf"'a.parquet': {message}"):
        read(Table(file="a.parquet"))


def test_parquet_without_its_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with open("a.parquet", "wb") as file:
        file.write(b"PAR1")
    with pytest.raises(ConfigurationError, match=r"pip install -e '\.\[parquet\]'"):
        read(Table(file="a.parquet"))


def test_a_file_without_permission(monkeypatch):
    write_rows()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "a.csv")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(ConfigurationError, match=r"data\.file: 'a\.csv': Permission denied"):
        read(Table(file="a.csv"))


def test_a_pipe_is_not_waited_for():
    os.mkfifo("a.csv")
    with pytest.raises(ConfigurationError, match="there is no file"):
        read(Table(file="a.csv"))


SHARE_RULE = "split: must be shares: val above 0, test at least 0, train above 0"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": []}, "inputs\n.*at least 1 item"),
        ({"split": {"train": 0.8, "val": 0.2}}, SHARE_RULE),
        ({"split": {"train": None, "val": 0.8, "test": 0.2}}, SHARE_RULE),
        ({"split": {"train": 0.8, "val": 0, "test": 0.2}}, SHARE_RULE),
        ({"split": {"train": float("nan"), "val": 0.1, "test": 0.2}}, SHARE_RULE),
        ({"split": {"train": 0.8, "val": 0.2, "test": 0.2}}, "at most 1 in total"),
        ({"split": {"trian": 0.8, "val": 0.1, "test": 0.1}}, "split.trian.*\n.*should be 'train', 'val' or 'test'"),
        ({"file": 3}, "file\n.*valid string"),
        ({"seed": -1}, "greater than or equal to 0"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        Table(**{"file": "a.csv"} | options)


def test_the_split_without_test_rows():
    write_rows()
    train, val, test = read(Table(file="a.csv", split={"train": None, "val": 0.2, "test": 0})).split(0)
    assert (len(train), len(val), len(test)) == (80, 20, 0)
    fewer = read(Table(file="a.csv", split={"train": 0.1, "val": 0.2, "test": 0})).split(0)
    assert set(fewer.train) < set(train)
    assert np.array_equal(fewer.val, val)


NO_VALUE = {"y": [np.nan, np.nan, 1, 1], "set": ["train", "train", "val", "test"]}


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({}, {"split": {"train": 0.8, "val": 0.01, "test": 0.19}}, r"data\.split: 'a\.csv': .*got 3 train, 0 val"),
        ({"x": [0, 0, 1, 1]}, {}, r"got 4 train, 0 val, 0 test .* 2 rows differ in their inputs"),
        ({"set": ["train", "train", "val", "val"]}, {"split_column": "set"}, r"split_column: .*\(test is empty\)"),
        (NO_VALUE, {"split_column": "set"}, r"data\.outputs: .*in at least one row in the training rows"),
        ({"set": ["train", "val", "val", "test"]}, {"split_column": "set"}, r"data\.inputs: .*'x' .* in 1 rows"),
    ],
)
def test_splits_that_leave_nothing(columns, options, message):
    write_rows(4, **columns)
    rows = read(Table(file="a.csv", **options))
    with pytest.raises(ConfigurationError, match=message):
        rows.split(0)


def some_rows(x, y, shares):
    """Return rows with these inputs, (m, 1), and outputs, (m, P)."""
    names = tuple(f"y{p}" for p in range(y.shape[1]))
    table = Table(file="a.csv", split=shares)
    return Rows(x, y, np.zeros((*y.shape, 1)), ("x",), names, None, table, "", (), number_points(x))


def drawn(rows, seed):
    split = rows.table.split
    return draw(rows.points, ~np.isnan(rows.y), split["train"], split["val"], split["test"], seed)


SHARES = st.sampled_from([(0.7, 0.15, 0.15), (0.5, 0.2, 0.1), (0.02, 0.3, 0.3), (0.1, 0.45, 0.45)])


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
