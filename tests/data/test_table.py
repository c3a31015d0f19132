"""A table: what is read from it, how it is split, and what is said of a bad one."""

import importlib.util
import io
import os
import sys
import zipfile

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runge.data.column_roles import columns_override
from runge.data.folds import number_points
from runge.data.rows import read
from runge.data.split import draw_sets
from runge.data.table import INDEX, Table, open_table
from tests.refusals import refuses

pytestmark = pytest.mark.usefixtures("in_folder")

needs_pyarrow = pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")
XY = {"inputs": ["x"], "outputs": ["y"]}
M, INPUTS, OUTPUTS = 40, ("a", "b_dc"), ("lift", "drag")


@pytest.fixture
def arrays():
    """The inputs, (M, 2), two outputs and their Jacobian, with cells that are not known."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (M, 2))
    y = np.stack([np.sin(x[:, 0]) * x[:, 1], 1e9 * np.exp(x[:, 0])], axis=1)
    dydx = rng.normal(size=(M, 2, 2))
    y[rng.random(y.shape) < 0.3] = np.nan
    dydx[rng.random(dydx.shape) < 0.3] = np.nan
    return x, y, dydx


def frame(x, y, dydx):
    columns = dict(zip(INPUTS, x.T, strict=True)) | dict(zip(OUTPUTS, y.T, strict=True))
    partials = {f"d{o}_d{i}": dydx[:, p, d] for p, o in enumerate(OUTPUTS) for d, i in enumerate(INPUTS)}
    return pandas.DataFrame(columns | partials)


def same(rows, x, y, dydx):
    for read_, expected in zip((rows.x, rows.y, rows.dydx), (x, y, dydx), strict=True):
        np.testing.assert_allclose(read_, expected, rtol=1e-15, atol=0)
        assert read_.dtype == np.float64


def write(text, name="a.csv"):
    with open(name, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())


def write_rows(m=100, **columns):
    x = np.linspace(0, 1, m)
    table = pandas.DataFrame({"x": x, "y": x**2, "dy_dx": 2 * x} | columns)
    table.to_csv("a.csv", index=False)
    return table


def shares(train, val, test):
    return {"split": {"train": train, "val": val, "test": test}}


def table(**options):
    return read(Table(**{"file": "a.csv"} | options))


LABELS = [(",", None), (";", ""), ("\t", "Unnamed: 0"), (",", INDEX)]


@pytest.mark.parametrize(("separator", "index"), LABELS)
def test_csv(arrays, separator, index):
    """The index of a data frame is not used, except for the names of rows if the package wrote it."""
    named = {"index": index is not None, "index_label": index}
    text = frame(*arrays).to_csv(sep=separator, lineterminator="\r\n", **named)
    write("\ufeff" + text.replace("\r\n", "\r\n\r\n", 2))  # as Excel writes it
    rows = table()
    same(rows, *arrays)
    assert (rows.inputs, rows.outputs, rows.unused) == (INPUTS, OUTPUTS, (index,) * (index not in (None, "", INDEX)))


def test_csv_in_quotes():
    """A name or a cell in quotes may have separators and ends of lines; lines are counted as an editor does."""
    for head in ("x, m;y, N;dy_dx", '"x, m";y'):
        write(f"{head}\n{';'.join('1' * (head.count(';') + 1))}\n")
        assert open_table("a.csv").names == head.replace('"', "").split(";")
    text = 'x,"note, long",y,dy_dx\n0, "a, b",1,2\n\n1,"c\nd",2,3\n2, "" ,4,five\n'
    write(text)
    with refuses("data.file: 'a.csv': line 6, column 'dy_dx'", "'five'", "number"):
        table(**XY)
    write(text.replace("five", "5"))
    assert table(**XY).y[:, 0].tolist() == [1, 2, 4]
    write('x\n1\n""\n')
    with refuses("data.file: 'a.csv': row 1, column 'x'", "", "input", "known"):
        open_table("a.csv").numbers("x", required=True)


@needs_pyarrow
def test_parquet(arrays, monkeypatch):
    written, (x, y, dydx) = frame(*arrays), arrays
    written["a"] = (100 * written["a"]).round()
    written.astype({"a": "int32", "drag": "float32"}).to_parquet("a.parquet")
    y[:, 1] = y[:, 1].astype("float32")
    same(table(file="a.parquet"), np.stack([(100 * x[:, 0]).round(), x[:, 1]], axis=1), y, dydx)
    pandas.DataFrame(x).to_parquet("b.parquet")  # names that are numbers
    assert open_table("b.parquet").names == ["0", "1"]
    os.utime("a.parquet", (0, 0))  # it is read again
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with refuses("data.file: 'a.parquet'", "", "pip install -e '.[parquet]'"):
        table(file="a.parquet")


@pytest.mark.parametrize(("inputs", "outputs", "squeezed"), [(1, 1, True), (1, 2, False), (2, 1, True), (2, 2, False)])
def test_npz(arrays, inputs, outputs, squeezed):
    x, y, dydx = arrays[0][:, :inputs], arrays[1][:, :outputs], arrays[2][:, :outputs, :inputs]
    parts = {"x": x, "y": y, "dydx": dydx}
    np.savez("a.npz", note=["a"] * M, **{name: part.squeeze() if squeezed else part for name, part in parts.items()})
    rows = table(file="a.npz")
    known = ~(np.isnan(y).all(1) & np.isnan(dydx).all((1, 2)))
    same(rows, x[known], y[known], dydx[known])
    assert rows.inputs == (("x",) if inputs == 1 else ("x1", "x2"))
    assert rows.outputs == (("y",) if outputs == 1 else ("y1", "y2"))
    assert rows.unused == ("note",)


def test_columns_are_chosen_and_named(arrays):
    """Derivatives are named without units."""
    written = frame(*arrays).rename(columns={"dlift_da": "dLift_dA"}).assign(number=range(M), dlift_dt=1.0, t=1)
    written.to_csv("a.csv", index_label="")
    named = {"derivatives": {"lift": {"a": "dLift_dA"}}}
    rows = table(inputs=["b_dc", "a"], outputs=["lift"], **named)
    x, y, dydx = (array[~np.isnan(arrays[1][:, 0]) | ~np.isnan(arrays[2][:, 0, 0])] for array in arrays)
    unknown = np.full(len(x), np.nan)
    same(rows, x[:, ::-1], y[:, :1], np.stack([unknown, dydx[:, 0, 0]], axis=1)[:, None])
    assert rows.unused == ("drag", "dlift_db_dc", "ddrag_da", "ddrag_db_dc", "number", "dlift_dt", "t")
    values = table(inputs=["a"], outputs=["lift", "drag"], derivatives={})
    assert np.isnan(values.dydx).all()
    written[["a", "lift", "dLift_dA"]].to_csv("b.csv", index=False)
    assert table(file="b.csv", **named).inputs == ("a",)
    units = {"p0 [MPa]": [1.0, 2, 3], "T (K)": [1.0, 2, 4], "F [kN]": [1.0, 2, 3], "dF_dp0": 4.0, "dF_dT [kN/K]": 5.0}
    pandas.DataFrame(units).to_csv("units.csv", index=False)
    rows = table(file="units.csv")
    assert (rows.inputs, rows.outputs) == (("p0 [MPa]", "T (K)"), ("F [kN]",))
    np.testing.assert_array_equal(rows.dydx, [[[4.0, 5.0]]] * 3)


def test_numbers_that_are_read():
    """Large ones that are no integers; and a row of which only the second derivative is known."""
    for size in (1e17, -3e53, 2.0**53):
        write_rows(y=size * np.linspace(0, 1, 100))
        assert table().y[-1] == size
    write("x,y,dy_dx,d2y_dx_dx\n0,1,2,3\n1,,,3\n2,,,\n3,1,,\n")
    np.testing.assert_array_equal(table().x[:, 0], [0, 1, 3])
    np.testing.assert_array_equal(table().d2ydx2[:, 0, 0], [3, 3, np.nan])


@pytest.mark.parametrize(("val", "test"), [(0.15, 0.15), (0.2, 0)])
def test_the_split(val, test):
    write_rows()
    rows = table(**shares(None, val, test))
    parts, fewer = rows.split(0), table(**shares(0.2, val, test)).split(0)
    assert [len(part) for part in parts] == [100 * (1 - val - test), 100 * val, 100 * test]
    assert sorted(np.concatenate(parts)) == list(range(100))
    assert all(map(np.array_equal, parts, rows.split(torch.Generator().manual_seed(0))))
    assert not np.array_equal(parts.val, rows.split(1).val)
    assert all(map(np.array_equal, fewer[1:], parts[1:]))
    assert len(fewer.train) == 20
    assert set(fewer.train) < set(parts.train)


@pytest.mark.parametrize("options", [{}, {"folds": 3, "fold": 1}, {"split_column": "set"}])
def test_a_part_of_the_training_rows(options):
    """A smaller one is in a larger one, and has all labels that few rows have; the other sets are not touched."""
    random, few = np.random.default_rng(0), [3, 50, 90]
    y = np.full(100, np.nan)
    y[few] = random.random(3)
    write_rows(y=y, set=["test"] * 2 + ["train"] * 90 + ["val"] * 8)
    whole, *parts = (table(**XY, **options, **shares(part, 0.1, 0.1)).split(0) for part in (None, 0.6, 0.2))
    for larger, part, n in zip([whole, *parts], parts, (60, 20), strict=False):
        assert len(part.train) == n
        assert set(part.train) <= set(larger.train)
        assert {*few} & {*whole.train} <= {*part.train}
        assert np.array_equal(part.val, whole.val)
        assert np.array_equal(part.test, whole.test)


@pytest.mark.parametrize("known", [10, 11])
def test_labels_of_few_rows_are_all_in_a_part(known):
    """Of 40 rows and two channels, 40 / (2 * 2) rows with a label are few."""
    x = np.arange(100.0)
    write_rows(x=x, y=x, dy_dx=np.where(x < known, 1.0, np.nan), set=["train"] * 80 + ["val"] * 10 + ["test"] * 10)
    part = {*table(split_column="set", **shares(0.4, 0.1, 0.1)).split(0).train}
    assert len(part) == 40
    assert part <= {*range(80)}
    assert ({*range(known)} <= part) == (known == 10)


@pytest.mark.parametrize("folds", [{}, {"folds": 5, "fold": 0}])
def test_a_part_of_sorted_rows_that_a_column_divides_is_drawn_from_all_of_them(folds):
    write_rows(1000, set=["train"] * 800 + ["val"] * 100 + ["test"] * 100)
    part = table(**XY, **folds, split_column="set", **shares(0.05, 0.1, 0.1)).split(0).train
    assert len(part) == 50
    assert part.min() < 100
    assert 300 < np.median(part) < 600


def test_an_input_that_rarely_varies_does_so_in_a_part():
    rare = {7, 40, 60, 90}
    write_rows(x=[float(i in rare) for i in range(100)], z=range(100), y=np.linspace(0, 1, 100))
    for fold in range(5):
        folds = {"folds": 5, "fold": fold, "inputs": ["x", "z"], "outputs": ["y"]}
        train, val, _ = table(**folds, **shares(0.05, 0.15, 0)).split(0)
        assert (len(train), len(val)) == (5, 20)
        assert rare & {*train}


def test_without_a_share_for_validation_the_training_rows_validate():
    write_rows(set=["train"] * 60 + ["test"] * 20 + ["val"] * 20)
    train, val, test = table(**XY, **shares(None, 0, 0.2)).split(0)
    assert len(test) == 20
    assert np.array_equal(train, val)
    assert sorted([*train, *test]) == list(range(100))
    marked = table(**XY, split_column="set", **shares(None, 0, 0)).split(0)
    assert marked.train.tolist() == marked.val.tolist() == [*range(60), *range(80, 100)]


def test_a_column_of_the_split():
    labels = ["train"] * 60 + ["Test "] * 20 + ["val"] * 10 + ["validation"] * 10
    write_rows(set=labels)
    parts = table(split_column="set").split(7)
    assert [part.tolist() for part in parts] == [[*range(60)], [*range(80, 100)], [*range(60, 80)]]
    x = np.linspace(0, 1, 100)
    np.savez("a.npz", x=x, y=x, dydx=x, set=np.array(labels))
    assert np.array_equal(table(file="a.npz", split_column="set").split(7).test, parts.test)
    write_rows(6, x=[0, 1, 1, 2, 3, 0], set=["train", "train", "val", "val", "test", "test"])
    rows = table(split_column="set")
    assert (rows.duplicates, rows.leaking) == (2, 2)
    assert [part.tolist() for part in rows.split(0)] == [[0, 1], [2, 3], [4, 5]]


def test_a_column_of_groups():
    """Its rows stay together, also with other inputs, and rows of two groups with the same inputs do not."""
    for part in ([f"specimen {i // 5}" for i in range(100)], np.arange(100) % 20):
        write_rows(x=np.arange(100) // 2, part=part)
        rows = table(group="part")
        assert (rows.unused, rows.duplicates) == ((), 80)
        groups = [{*np.asarray(part)[some]} for some in rows.split(0)]
        assert sum(map(len, groups)) == len(set.union(*groups)) == 20
        assert len(rows.split(0).test) == 15
    write_rows(part=np.arange(100) % 20, set=["train"] * 50 + ["test"] * 50)
    assert table(group="part", split_column="set").leaking == 50


def test_inputs_that_differ_by_round_off_are_the_same():
    x = np.random.default_rng(0).uniform(-1, 1, (60, 2))
    twice = np.concatenate([x, (x + 0.1) - 0.1, x / 3 * 3])
    assert (number_points(twice) == np.tile(np.arange(60), 3)).all()
    assert len(np.unique(twice, axis=0)) > 60
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(4.0)), axis=2).reshape(20, 2)  # each value is repeated
    assert (number_points(np.concatenate([grid, grid])) == np.tile(np.arange(20), 2)).all()
    assert (number_points(np.c_[np.zeros(60), x]) == np.arange(60)).all()
    n = np.arange(500.0)
    for spread in (np.geomspace(1e-8, 1e2, 500), 1.7e9 + n / 100, n, np.linspace(-1, 1, 500)):
        assert (number_points(spread[:, None]) == np.arange(500)).all()
    assert number_points(np.array([[0.0], [1], [1e-17], [-0.0], [0.3], [0.1 + 0.2]])).tolist() == [0, 1, 0, 0, 2, 2]


def test_a_file_is_read_once_until_it_changes(monkeypatch):
    write_rows()
    reads = []
    monkeypatch.setattr("runge.data.rows.open_table", lambda path: reads.append(path) or open_table(path))
    first, again = table(), table(file=os.path.abspath("a.csv"), seed=3, batch_size=5)
    assert table(**shares(0.5, 0.1, 0.1)).x is first.x
    assert again.table.seed == 3
    assert not first.x.flags.writeable
    write_rows(50)
    assert len(table().x) == 50
    assert reads.count("a.csv") == 2


def damaged() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY")
    return buffer.getvalue()


def npz(**arrays) -> tuple[bytes, dict[str, str]]:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue(), {"file": "a.npz"}


SETS = "x,y,dy_dx,set\n1,2,3,train\n2,2,3,tets\n"
GOOD = "x,y,dy_dx\n0,1,2\n1,2,3\n2,4,5\n"
X = np.arange(6.0)
ABY = {"inputs": ["a", "b"], "outputs": ["y"]}
X23, Y22 = X.reshape(2, 3), X[:4].reshape(2, 2)
BAD = {  # the content of the file, the settings, the key, and what else its message must contain
    "no file": ("", {"file": "b.csv"}, "file", "'b.csv'", "no file", " in '"),
    "directory": ("", {"file": "folder.csv"}, "file", "'folder.csv'", "no file"),
    "pipe": ("", {"file": "pipe.csv"}, "file", "'pipe.csv'", "no file"),
    "suffix": (GOOD, {"file": "a.xlsx"}, "file", "'a.xlsx'", ".csv, .tsv, .parquet, .npz"),
    "empty": ("", {}, "file: 'a.csv'", "", "first line", "names"),
    "no header": ("0,1,2\n1,2,3\n", {}, "file: 'a.csv'", "['0', '1', '2']", "first line", "names"),
    "open quote": ('x,"y\n1,2\n', {}, "file: 'a.csv'", "Error tokenizing data"),
    "no rows": ("x,y,dy_dx\n\n", {}, "file: 'a.csv'", "none", "one row"),
    "binary": (b"x,y\n\xff\xfe\x00,1\n", {}, "file: 'a.csv'", "", "UTF-8"),
    "twice": ("x,y,x\n1,2,3\n", {}, "file: 'a.csv'", "'x'", "one column"),
    "short line": (GOOD + "3,4\n", {}, "file: 'a.csv': line 5", "2", "3 cells"),
    "quoted long line": (GOOD + '\n3,"4,5",6,7\n', {}, "file: 'a.csv': line 6", "4", "3 cells"),
    "text": (GOOD + "\n3,abc,1\n", {}, "file: 'a.csv': line 6, column 'y'", "'abc'", "number", "empty"),
    "comma": ('x;y;dy_dx\n1;"0,5";2\n', {}, "file: 'a.csv': line 2, column 'y'", "'0,5'", "decimal point"),
    "truth": ("x,y,dy_dx\n1,True,2\n2,False,2\n", {}, "file: 'a.csv': line 2, column 'y'", "True", "number"),
    "infinity": (GOOD + "3,inf,1\n", {}, "file: 'a.csv': line 5, column 'y'", "'inf'", "finite", "1e+100"),
    "large": (GOOD + "3,1,-1e200\n", {}, "file: 'a.csv': line 5, column 'dy_dx'", "'-1e+200", "1e+100"),
    "unknown input": (GOOD + ",4,1\n", {}, "file: 'a.csv': line 5, column 'x'", "", "input", "known"),
    "integers": ("x,y,dy_dx\n1700000000000000001,1,2\n1,2,\n", {}, "file: 'a.csv'", "'x'", "2^53"),
    "integers, none": ("x,y,dy_dx\n1,,2\n2,9007199254740993,2\n", {}, "file: 'a.csv': line 3, column 'y'", "", "2^53"),
    "huge": (f"x,y,dy_dx\n1,{'9' * 23},2\n2,1,2\n", {}, "file: 'a.csv': line 2, column 'y'", "", "2^53"),
    "constant input": ("x,y,dy_dx\n1,1,2\n1,2,2\n", {}, "inputs: 'a.csv'", "'x'", "differ"),
    "tiny output": ("x,y,dy_dx\n1,1e-300,0\n2,2e-300,0\n", {}, "outputs: 'a.csv'", "'y'", "differ"),
    "no value": ("x,y,dy_dx\n1,,2\n2,,2\n", {}, "outputs: 'a.csv'", "'y'", "known in two rows, or in one"),
    "one value": ("a,b,y,dy_da\n1,2,5,1\n2,4,,1\n3,3,,2\n", ABY, "outputs: 'a.csv'", "got 1", "derivative", "to b"),
    "no input": (GOOD, XY | {"inputs": ["z"]}, "inputs: 'a.csv'", "'z'", "x, y, dy_dx"),
    "no output": ("q,dH_dq\n1,2\n2,3\n", {}, "", "q, dH_dq", "'dH_dq'", "'H'"),
    "no value of y": ("x,y,dy_dx\n1,,2\n2,,3\n", {}, "outputs: 'a.csv'", "got 0", "any value in one row"),
    "no roles": ("x,y\n1,2\n2,3\n", {}, "inputs: 'a.csv'", "", "d<outp"),
    "no outputs": ("x,y\n1,2\n2,3\n", {"inputs": ["x"]}, "outputs: 'a.csv'", "", "name the outputs"),
    "no name": ("a,,y,dy_da,dy_db\n1,2,3,4,5\n", {}, "", "dy_db", "inferred are a and the outputs y"),
    "unknown derivative": ("x,y,dy_dz\n1,2,3\n", XY, "", "'dy_dz'", "'y'", "'z'"),
    "capitals": ("x,y,dY_dX\n1,2,3\n", XY, "derivatives: 'a.csv'", "'dY"),
    "named derivative": (GOOD, XY | {"derivatives": {"z": {"x": "dy_dx"}}}, "derivatives", "", "of y by an input"),
    "two roles": (GOOD, XY | {"derivatives": {"y": {"x": "x"}}}, "", "'x'", "one role"),
    "ambiguous": ("a,b_dc,a_db,c,da_db_dc\n1,2,3,4,5\n", {}, "", "'da_db_dc'", "several ways"),
    "two units": ("a [m],a [s],y,dy_da\n1,2,3,4\n", {}, "", "dy_da", "dy_da [m] or dy_da [s]?"),
    "two names of one": ("a [m],y,dy_da,dy_da [1/m]\n1,2,3,4\n", {}, "", "'dy_da [1/m]'", "'dy_da'"),
    "risky name": ("=x,y,dy_d=x\n1,2,3\n", {}, "", "=x", "= + - @"),
    "no split column": (GOOD, {"split_column": "set"}, "split_column: 'a.csv'", "'set'", "x, y, dy_dx"),
    "no group": (GOOD, {"group": "specimen"}, "group: 'a.csv'", "'specimen'", "x, y, dy_dx"),
    "group of a row": ("x,y,dy_dx,s\n1,2,3,a\n2,2,3,\n", {"group": "s"}, "file: 'a.csv': line 3, column 's'", "NA"),
    "group and input": (GOOD, {"group": "x"}, "", "'x'", "one role"),
    "label": (SETS, {"split_column": "set"}, "file: 'a.csv': line 3, column 'set'", "'tets'", "train, val, test, v"),
    "no Parquet": (b"PAR1", {"file": "a.parquet"}, "file: 'a.parquet'"),
    "no NPZ": (b"\x93NUMPY", {"file": "a.npz"}, "file: 'a.npz'", "", "numpy.savez"),
    "damaged entry": (damaged(), {"file": "a.npz"}, "file: 'a.npz'"),
    "pickle": (*npz(x=np.array([{}, {}])), "file: 'a.npz'", "Object arrays cannot be loaded"),
    "no x": (*npz(X=X), "file: 'a.npz'", "'X'", "'x'"),
    "complex": (*npz(x=X, y=X * 1j), "file: 'a.npz'", "'y'", "(6,) or (6, n)"),
    "x of three axes": (*npz(x=X.reshape(1, 2, 3)), "file: 'a.npz'", "'x'", "shape"),
    "lengths": (*npz(x=X, y=X[1:]), "file: 'a.npz'", "'y'", "(6,) or (6, n)"),
    "dydx": (*npz(x=X, y=X, dydx=X[1:]), "file: 'a.npz'", "'dydx'", "(6, 1, 1)"),
    "dydx alone": (*npz(x=X, dydx=X), "file: 'a.npz'", "'dydx'", "'y'", "NaN"),
    "dydx turned": (*npz(x=X23, y=Y22, dydx=np.zeros((2, 3, 2))), "file: 'a.npz'", "float64", "(2, 2, 3)"),
    "unknown array": (*npz(x=X, y=X, grad=X), "file: 'a.npz'", "'grad'", "float64 of (6,)"),
    "integers in an array": (*npz(x=2**60 + np.arange(6), y=X), "file: 'a.npz': row 0, column 'x'", "", "2^53"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables(case):
    content, options, key, *parts = BAD[case]
    options = {"file": "a.csv"} | options
    os.mkdir("folder.csv")
    os.mkfifo("pipe.csv")
    if options["file"] not in ("b.csv", "folder.csv", "pipe.csv"):
        write(content, options["file"])
    with refuses(f"data.{key}", *parts):
        read(Table(**options))


@needs_pyarrow
@pytest.mark.parametrize(
    ("x", "key", "rule"),
    [
        ([[1.0], [1.0, 2.0], []], "row 0, column 'x'", "number"),
        (pandas.to_datetime(["2020-01-01"] * 3), "row 0, column 'x'", "number"),
        (pandas.array([1, None, 2**53 + 1], dtype="Int64"), "row 2, column 'x'", "2^53"),
    ],
)
def test_bad_parquet_files(x, key, rule):
    pandas.DataFrame({"x": x, "y": [1.0, 2, 3], "dx_dy": 0.0}).to_parquet("a.parquet")
    with refuses(f"data.file: 'a.parquet': {key}", "", rule):
        table(file="a.parquet")


def test_a_file_that_cannot_be_opened(monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "a.csv")

    write_rows()
    monkeypatch.setattr("pathlib.Path.open", refuse)
    with refuses("data.file: 'a.csv': Permission denied"):
        table()


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"train": 0.8, "val": 0.2}, "split: must be shares"),
        (*shares(None, 0.8, 0.2).values(), "train above 0"),
        (*shares(0.8, -0.1, 0.2).values(), "val and test at least 0"),
        (*shares(float("nan"), 0.1, 0.2).values(), "train above 0"),
        (*shares(0.8, 0.2, 0.2).values(), "at most 1 in total"),
    ],
)
def test_bad_shares(split, message):
    with pytest.raises(ValueError, match=message):
        Table(file="a.csv", split=split)
    Table(file="a.csv", folds=5, fold=0, **shares(0.6, 0.15, 0.4))  # that for validation does not count with folds


NO_VALUE = {"y": [np.nan, np.nan, 1, 1], "set": ["train", "train", "val", "test"]}


@pytest.mark.parametrize(
    ("columns", "options", "key", "parts"),
    [
        ({}, shares(0.8, 0.01, 0.19), "split: 'a.csv'", ("3 train, 0 val",)),
        ({"x": [0, 0, 1, 1]}, {}, "split: 'a.csv'", ("4 train, 0 val, 0 test, of 2 groups", "same inputs")),
        ({"set": ["train", "train", "val", "val"]}, {"split_column": "set"}, "split_column: 'a.csv'", (", 0 test",)),
        (NO_VALUE, {"split_column": "set"}, "outputs: 'a.csv'", ("", "in two rows in the training rows")),
        ({"set": ["train", "val", "val", "test"]}, {"split_column": "set"}, "inputs: 'a.csv'", ("'x'", "in 1 rows")),
    ],
)
def test_splits_that_leave_nothing(columns, options, key, parts):
    write_rows(4, **columns)
    rows = table(**options)
    with refuses(f"data.{key}", *parts):
        rows.split(0)


TWO_SHARES = st.sampled_from([(0.15, 0.15), (0.2, 0.1), (0.3, 0.3), (0.45, 0.45)])


@given(TWO_SHARES, st.integers(20, 80), st.integers(1, 30), st.integers(1, 3), st.integers(0, 2**32))
def test_rows_with_the_same_inputs_are_in_one_set(two, m, different, outputs, seed):
    """All training rows together have a known value of each output."""
    random = np.random.default_rng(seed)
    x = random.integers(0, different, (m, 1)).astype(float)
    known = random.random((m, outputs)) < random.choice([0, 0.2])
    known[random.integers(m)] = True
    parts = draw_sets(number_points(x), known, *two, torch.Generator().manual_seed(seed))
    inputs = [one for part in parts for one in set(x[part, 0])]
    assert len(inputs) == len(set(inputs))
    assert all(len(part) <= round(share * m + 0.5) for part, share in zip((parts.test, parts.val), two, strict=True))
    assert sorted(np.concatenate(parts)) == list(range(m))
    assert known[parts.train].any(0).all()


@pytest.mark.parametrize(("column", "row", "value"), [("dy_dt", 2, 0), ("y", 3, 1)])
def test_an_anchor_needs_a_derivative_by_each_input_in_the_training_rows(column, row, value):
    written = write_rows(6, set=["train"] * 4 + ["val", "test"])
    written["t"], written["dy_dt"] = [3, 1, 4, 1, 5, 9], [np.nan] * 4 + [1, 1]
    written.loc[1:, "y"] = np.nan
    options = {"split_column": "set", "inputs": ["x", "t"], "outputs": ["y"]}
    written.to_csv("a.csv", index=False)
    with refuses("data.outputs", "", "two rows in the training rows", "derivative with respect to t"):
        table(**options).split(0)
    written.loc[row, column] = value
    written.to_csv("a.csv", index=False)
    assert len(table(**options).split(0).train) == 4


def test_names_that_hydra_would_read_as_something_else_are_in_quotes():
    names = ["1.5", "true", "NaN", "1e5", "x1", "e1"]
    assert columns_override("data.outputs", names) == "data.outputs=['1.5','true','NaN','1e5',x1,e1]"
    assert columns_override("data.derivatives", {"1.5": {"x": "slope"}}) == ""  # a key has no quotes
