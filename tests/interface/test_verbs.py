"""The verbs from Python, with what the command writes."""

from pathlib import Path

import numpy as np
import pandas
import pytest
from matplotlib.figure import Figure

import runge
from runge.commands import draw, export, predict, suggest
from runge.configuration.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("in_folder")

SHORT = ("trainer.max_steps=20", "model.width=8", "trainer.progress_bar=false", "pictures=false")


@pytest.fixture(scope="module")
def table():
    x = np.random.default_rng(0).random((40, 2))
    y, slopes = np.sin(x[:, 0]) * x[:, 1], (np.cos(x[:, 0]) * x[:, 1], np.sin(x[:, 0]))
    return pandas.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y, "dy_da": slopes[0], "dy_db": slopes[1]})


@pytest.fixture(scope="module")
def swept(table, tmp_path_factory):
    directory = tmp_path_factory.mktemp("verbs") / "sweep"
    options = "seed=0,1", "data.seed=0", "data.split.val=0.5", "search.compare=false", "hydra.launcher.processes=1"
    return runge.sweep(table, *SHORT, *options, directory=directory)


def test_a_prediction_is_the_table_that_the_command_writes(table, swept):
    rows = table[["b", "a"]].head(9).assign(note="x")
    rows.loc[9] = [40.0, 0.5, "far"]
    rows.to_csv("new.csv", index=False)
    predict.main([str(swept.directory), "new.csv", "--interval", "0.5", "--hessian", "--out", "out.csv"])
    written = pandas.read_csv("out.csv")
    for data in (rows, "new.csv", Path("new.csv")):
        predicted = runge.predict(swept, data, 0.5, hessian=True)
        pandas.testing.assert_frame_equal(predicted, written.assign(set=written["set"].fillna("")), check_exact=True)
    assert {"u_y_std", "u_y_low", "du_y_da_high", "d2u_y_da_db", "outside"} <= {*predicted}
    assert (predicted["set"].iloc[:9] != "").all()
    assert predicted["outside"].iloc[-1] > 1.5
    plain = runge.predict(runge.load(swept), rows)
    pandas.testing.assert_frame_equal(plain, predicted[list(plain)])
    assert "set" not in runge.predict(swept, rows.tail(1))


def test_mistakes_in_a_prediction(table, swept):
    with pytest.raises(ConfigurationError, match="run: must be the directory of a finished run, got 'nowhere'"):
        runge.predict("nowhere", table)
    with pytest.raises(ConfigurationError, match=r"data: there is no file 'nowhere\.csv'"):
        runge.predict(swept, "nowhere.csv")
    with pytest.raises(ConfigurationError, match="data: 'the DataFrame': must have the 2 inputs of the run, a, b; got"):
        runge.predict(swept, table[["a"]])


def test_a_suggestion_is_the_table_that_the_command_writes(swept):
    suggest.main([str(swept.directory), "--points", "3", "--box", "a=0.2:0.4", "--out", "next.csv"])
    suggested = runge.suggest(swept, 3, {"a": (0.2, 0.4)})
    pandas.testing.assert_frame_equal(suggested, pandas.read_csv("next.csv"), check_dtype=False)
    pandas.testing.assert_frame_equal(suggested, swept.suggest(3, box={"a": (0.2, 0.4)}))


def test_an_export_is_the_file_that_the_command_writes(swept, tmp_path):
    export.main([str(swept.directory), "--to", "c", "--hessian", "--out", "commanded"])
    assert runge.export(swept, "c", "called", hessian=True) == Path("called.c")
    texts = [Path(name).read_text() for name in ("commanded.c", "called.c")]
    assert texts[0].replace("commanded", "called") == texts[1]
    assert runge.export(swept.directory, "numpy") == swept.directory / "function.py"
    assert runge.export(runge.load(swept).double(), "numpy", tmp_path / "u") == tmp_path / "u.py"
    with pytest.raises(ConfigurationError, match="path: must be given for a function, which has no directory"):
        runge.export(runge.load(swept), "numpy")


def test_pictures_are_those_that_the_command_writes(swept):
    run = swept.runs[0]
    pictures = runge.draw(run)
    assert all(isinstance(figure, Figure) for figure in pictures.values())
    assert pictures.keys() == {"fit", "curves", "profiles"}
    assert runge.draw(swept).keys() == {"answer", "profiles"}
    draw.main([str(swept.directory)])
    assert {path.stem for path in run.directory.glob("*.png")} == pictures.keys()
    with pytest.raises(FileNotFoundError):
        runge.draw("nowhere")


def test_any_runs_are_compared(swept, tmp_path, capfd):
    other = runge.train("target=kink", *SHORT, directory="kink")
    both = runge.compare(swept, other)
    assert len(both.table) == 3
    assert len(runge.compare(swept.directory, other, where=["seed=0"]).table) == 2
    grouped = runge.compare(swept, metric="test/mse_f", group_by=["seed"], out="report")
    assert grouped.metric == "test/mse_f"
    assert {path.name for path in Path("report").iterdir()} == {f"comparison.{end}" for end in ("csv", "html", "png")}
    assert capfd.readouterr().out == ""
    assert not list(Path("kink").glob("comparison*"))
    with pytest.raises(ValueError, match="directories: must be at least one, got none"):
        runge.compare()
    with pytest.raises(ValueError, match="--group-by"):
        runge.compare(swept, group_by=["sed"])
