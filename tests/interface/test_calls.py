import html
import io
import json
import logging
import pkgutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from inspect import isfunction
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from matplotlib.figure import Figure

import runge
from runge.configuration.errors import ConfigurationError, RunError
from runge.data.memory import file_of
from runge.records.ensemble import write_answer
from tests.conftest import command, interrupted_at
from tests.sweeps.commands import TINY_SEARCH
from tests.sweeps.test_run import SHORT, figures

pytestmark = pytest.mark.usefixtures("in_folder")

ALONE = (*SHORT, "hydra.launcher.processes=1")
DIVERGES = ("optimizer=sgd", "optimizer.clip_norm=null", "optimizer.lr=100")


def test_the_package_shows_its_interface_and_nothing_else():
    assert set(dir(runge)) == {*runge.__all__, "SobolevRegressor", "__version__"}
    assert list(runge.__all__) == sorted(runge.__all__)
    verbs = ["fit", "train", "sweep", "check", "predict", "suggest", "export", "draw", "compare", "load", "runs"]
    for module in pkgutil.walk_packages(runge.__path__, "runge."):  # an imported one of this name would shadow a verb
        assert module.name.removeprefix("runge.") not in runge.__all__
    assert all(isfunction(getattr(runge, name)) for name in verbs)
    assert all(getattr(runge, name).__doc__ for name in runge.__all__)


def test_a_run_from_python_has_the_bits_and_files_of_the_commands(trained, tmp_path):
    folder, _ = trained(*SHORT)
    (commanded,) = folder.glob("outputs/*/*/")
    run = runge.train(*SHORT)
    assert run.directory.parent.parent.resolve() == (tmp_path / "outputs").resolve()
    assert figures(run.directory) == figures(commanded)
    assert (run.directory / "history.csv").read_text() == (commanded / "history.csv").read_text()
    assert (run.directory / "run.json").read_text() == (commanded / "run.json").read_text()
    names = [
        {str(path.relative_to(directory)) for path in directory.rglob("*") if "tensorboard" not in path.parts}
        for directory in (run.directory, commanded)
    ]
    assert names[0] == names[1]
    assert "lambda_d on" in (run.directory / "train.log").read_text()
    with pytest.raises(ConfigurationError, match="a directory without a run"):
        runge.train(*SHORT, "seed=1", directory=run.directory)
    assert figures(run.directory) == figures(commanded)


def test_a_run_shows_what_is_in_its_directory():
    run = runge.train(*SHORT, "pictures=true", directory="here, 'there' and \\ everywhere")
    assert run.directory.name == "here, 'there' and \\ everywhere"
    assert run.status == "finished"
    assert run.metrics == json.loads((run.directory / "metrics.json").read_text())
    assert run.settings["model.width"] == 8
    assert run.history["step"].iloc[-1] == 120
    x = torch.tensor(run.fit["x"].to_numpy())
    torch.testing.assert_close(run.function(x).detach().double(), torch.tensor(run.fit["u"].to_numpy()))
    assert isinstance(run.figure(), Figure)
    assert run._repr_png_() == (run.directory / "fit.png").read_bytes()
    assert f"test/mse_f={run.metrics['test/mse_f']:.3g}" in repr(run)


def test_the_figures_and_pictures_of_a_table():
    x = np.random.default_rng(0).random((40, 2))
    y = np.stack([x[:, 0] * x[:, 1], x[:, 0]], 1)
    columns = np.column_stack([x, y, x[:, 1], np.where(x[:, 0] < 0.8, x[:, 0], np.nan)])
    np.savetxt("t.csv", columns, delimiter=",", header="a,b,y,z,dy_da,dy_db", comments="")
    short = "trainer.max_steps=20", "trainer.log_every=20", "model.width=8"
    run = runge.train("data=table", "data.file=t.csv", "data.inputs=[a,b]", "data.outputs=[y,z]", *short)
    assert list(run.fit.columns[:8]) == ["a", "b", "y", "z", "dy_da", "dy_db", "dz_da", "dz_db"]
    assert run.fit["dz_da"].isna().all()
    assert f"test/nrmse_df={run.metrics['test/nrmse_df']:.3g}" in repr(run)
    assert run.figure().axes[0].get_title(loc="left") == "$y$"
    assert {"fit.png", "curves.png", "profiles.png"} <= {path.name for path in run.directory.iterdir()}


@pytest.fixture
def table():
    """A table whose numbers need all of their digits, with cells that are not known."""
    x = np.random.default_rng(0).random((40, 2)) / 3
    y, slopes = np.sin(3 * x[:, 0]) * x[:, 1], np.stack([3 * np.cos(3 * x[:, 0]) * x[:, 1], np.sin(3 * x[:, 0])], 1)
    y[3] = slopes[4, 0] = np.nan
    return pandas.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y, "dy_da": slopes[:, 0], "dy_db": slopes[:, 1]})


TINY = ("trainer.max_steps=20", "model.width=8", "trainer.progress_bar=false", "pictures=false")
TWO = ("seed=0,1", "search.compare=false", "hydra.launcher.processes=1")


def test_a_table_in_memory_has_the_bits_of_the_same_file(table, tmp_path):
    table.to_csv("t.csv", index=False)
    named = runge.train("data=table", "data.file=t.csv", *TINY)
    run = runge.train(table.set_index(np.arange(40) + 7), *TINY, directory="it's here")
    assert figures(run.directory) == figures(named.directory)
    assert run.settings["data.file"] == str(tmp_path / "it's here" / "data.csv")
    for name, values in pandas.read_csv(run.settings["data.file"]).items():
        np.testing.assert_array_equal(values, table[name])
    arrays = {"x": table[["a", "b"]], "y": table["y"], "dydx": table[["dy_da", "dy_db"]]}
    np.savez("t.npz", **arrays)
    named = runge.train("data=table", "data.file=t.npz", *TINY)
    run = runge.train(arrays, "data=table", *TINY)
    assert figures(run.directory) == figures(named.directory)
    assert run.settings["data.file"] == str(run.directory.resolve() / "data.npz")


def test_a_sweep_of_a_table_in_memory(table, monkeypatch, tmp_path):
    comparison = runge.sweep(table, *TINY, *TWO, directory="sweep")
    assert comparison.table["data.file"].tolist() == [str(tmp_path / "sweep" / "data.csv")] * 2
    assert [path.name for path in tmp_path.rglob("data.csv")] == ["data.csv"]
    assert runge.load("sweep").members == 2
    with monkeypatch.context() as patch:
        patch.setattr("runge.optimizers.optimizer.Problem", None)  # nothing is trained again
        runge.sweep(table, *TINY, *TWO, directory="sweep")
    with pytest.raises(ConfigurationError, match=r"data: .*data\.csv' holds another table; choose another directory"):
        runge.sweep(table.iloc[1:], *TINY, *TWO, directory="sweep")


def test_the_answer_for_a_table_in_memory(table, monkeypatch, capfd):
    answer = runge.fit(table, *TINY_SEARCH, directory="race")
    assert isinstance(answer, runge.Answer)
    assert capfd.readouterr() == ("", "")
    board = answer.leaderboard
    assert set(board["name"]) == {"one", "two"}
    assert repr(answer) == f"Answer({str(answer.directory)!r}): {board['name'][0]}"
    lines = answer.summary().splitlines()
    assert lines[0].startswith("The answer is ")
    assert lines[1].startswith("In rows left out of training (")
    (error,) = answer.error.to_dict("records")
    assert all(f" {error[kind]:.1e} " in lines[1] for kind in ("value", "derivative"))
    assert (error["output"], {"value_bound", "derivative_bound"} <= error.keys()) == ("y", True)
    page = answer._repr_html_()
    assert all(part in page for part in (html.escape(lines[0]), "<td>one</td>", str(answer.directory)))
    assert len(page) < 5000
    assert answer.draw().keys() == {"answer", "profiles"}
    assert len(answer.figure().axes) > 1
    u, influences = answer.function, answer.sensitivity.set_index("input")
    assert set(influences["output"]) == {"y"}
    np.testing.assert_allclose(influences.loc[["a", "b"], "labels_mean"], table[["dy_da", "dy_db"]].mean())
    points = np.random.default_rng(0).uniform(table[["a", "b"]].min(), table[["a", "b"]].max(), (10**4, 2))
    slopes = u.derivative(points).mean(0)
    np.testing.assert_allclose(influences.loc[["a", "b"], "mean"], slopes, rtol=0.03)
    assert (u.inputs, u.outputs) == (("a", "b"), ("y",))
    x = table[["b", "a"]]  # by name
    values = answer.predict(x)
    assert np.array_equal(values, u(table[["a", "b"]].to_numpy()))
    assert np.array_equal(runge.load("race")(x), values)
    with monkeypatch.context() as patch:
        patch.setattr("runge.optimizers.optimizer.Problem", None)  # nothing is trained again
        assert np.array_equal(runge.fit(table, *TINY_SEARCH, directory="race").predict(x), values)
    write_answer("race", ["0", "2"])  # of both candidates
    mean, spread = runge.Answer("race").predict(x, std=True)
    each = [runge.load(f"race/{run}")(x) for run in (0, 2)]
    np.testing.assert_allclose(mean, (each[0] + each[1]) / 2, rtol=1e-12)
    np.testing.assert_allclose(spread, np.abs(each[0] - each[1]) / np.sqrt(2), rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "overrides", "message"),
    [
        (runge.fit, ("target=kink", "search=optuna"), "search: must be best in fit, got optuna; "),
        (runge.fit, ("target=kink", "search=none"), "search: must be best in fit, got none; "),
        (runge.fit, ("target=kink", "~search"), "search: must be best in fit, got None; "),
        (runge.train, ("search=best",), "search: must be none in train, got best; "),
        (runge.train, ("search=optuna", "seed=1"), "search: must be none in train, got optuna; "),
        (runge.sweep, ("search=best", "target=kink"), "search: must be none or optuna in sweep, got best; "),
    ],
)
def test_each_function_has_one_kind_of_outcome(call, overrides, message, tmp_path):
    how = "train one run with runge.train, a sweep with runge.sweep, and find the best fit with runge.fit"
    with pytest.raises(ConfigurationError, match=f"^{message}{how}$"):
        call(*overrides)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("data", ["lr=0.1.csv", Path("lr=0.1.csv")])
def test_the_answer_for_a_file(data, table, monkeypatch):
    """It is that of the command, whose search is not repeated."""
    table.to_csv("lr=0.1.csv", index=False)
    assert command("fit", "lr=0.1.csv", *TINY_SEARCH[1:], "hydra.sweep.dir=race")[0] == 0
    monkeypatch.setattr("runge.optimizers.optimizer.Problem", None)
    overrides = [override for override in TINY_SEARCH if override != "data=table"]
    answer = runge.fit(data, *overrides, directory="race")
    assert isinstance(answer, runge.Answer)
    assert answer.runs[0].settings["data.file"] == "lr=0.1.csv"


def test_a_fit_without_a_table_or_a_target():
    with pytest.raises(ConfigurationError, match="FILE: must be the first argument, or target=NAME must be given"):
        runge.fit("seed=1")
    with pytest.raises(ConfigurationError, match=r"data\.file: there is no file 'nowhere\.csv'"):
        runge.fit("nowhere.csv")
    with pytest.raises(ConfigurationError, match=r"data\.file: there is no file 'a=1\.csv'"):
        runge.fit(Path("a=1.csv"))


def test_the_answer_for_a_target():
    formulas = [one.replace("tables", "formulas") for one in TINY_SEARCH if not one.startswith("data")]
    answer = runge.fit(*formulas, "data.n_train=20")
    assert isinstance(answer, runge.Answer)
    assert answer.function.inputs == ("x",)
    assert answer.sensitivity.empty
    assert answer.error.empty
    assert "Its error on the validation points" in answer.summary()
    with pytest.raises(ValueError, match="needs several members"):
        answer.predict(np.zeros(3), std=True)


def test_a_search_that_is_interrupted_says_where_its_best_is(table, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("runge.optimizers.optimizer.Problem", interrupted_at(100))
        with pytest.raises(KeyboardInterrupt, match=r"^interrupted; the best answer so far, .*race; to continue, run"):
            runge.fit(table, *TINY_SEARCH, directory="race")
    assert repr(runge.Answer("race")).endswith(runge.Answer("race").leaderboard["name"][0])


def test_a_default_run_of_a_table_in_memory(table):
    run = runge.train(table, *TINY)
    assert isinstance(run, runge.Run)
    assert figures(run.directory) == figures(runge.train(table, *TINY).directory)


def test_masked_labels_are_not_known():
    y = np.ma.array([1, 2, 3], mask=[False, True, False])
    _, content = file_of({"x": np.arange(3), "y": y})
    np.testing.assert_array_equal(np.load(io.BytesIO(content))["y"], [1, np.nan, 3])


@pytest.mark.parametrize("call", [runge.fit, runge.sweep, runge.train])
def test_mistakes_in_a_table_in_memory(call, table, tmp_path):
    one, arrays = table[["a", "y", "dy_da"]], {"x": np.arange(4.0), "y": np.arange(4.0)}
    text = one.astype({"y": object})
    text.loc[2, "y"] = "abc"
    mistakes = [
        (("data=table", one), "arguments: an override must be .*, and data are the first argument; got a DataFrame"),
        ((one, {"seed": 1}), "got a dict after "),
        ((np.zeros((3, 2)),), "data: must be a DataFrame, or arrays by their names in a mapping, .*; got a ndarray"),
        ((one.iloc[:0],), r"data: the DataFrame must have rows, and columns .*, got 0 rows of \['a', 'y', 'dy_da'\]"),
        ((text,), r"data\.file: the DataFrame: row 3, column 'y': must be a number, .* got 'abc'"),
        (({**arrays, "y": np.arange(3.0)},), r"data\.file: the arrays: 'y' must be an array of .* shape \(4,\) or"),
        (({**arrays, "file": arrays["x"]},), "data: an array must be named x, y, dydx or .*, got 'file'"),
        ((one, "data.file=t.csv"), "data.file: must not be set where the data are an argument"),
        ((one, "resume=run"), "resume: must not be set where the data are an argument"),
        ((one, "model.widht=8"), "model.widht: unknown key"),
        ((one, "loss.lambda_d=-1"), r"loss\.lambda_d: should be greater"),  # found when the runs are checked
    ]
    for arguments, words in mistakes:
        with pytest.raises(ConfigurationError, match=words):
            call(*arguments)
    assert not list(tmp_path.iterdir())


def test_calls_in_several_threads_wait_for_each_other():
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda seed: runge.train(*TINY, f"seed={seed}"), (0, 1)))
    for seed, run in enumerate(together):
        assert figures(run.directory) == figures(runge.train(*TINY, f"seed={seed}").directory)


def test_mistakes_are_raised_and_nothing_is_left(tmp_path, capfd):
    stderr = sys.stderr
    for overrides, words in {
        ("model.width=0",): "model.width: ",
        ("model.widht=8",): "model.widht: unknown key",
        ("optimizer=64",): "optimizer",
        ("resume=nowhere",): "resume: ",
        ("data=table", "data.file=a.csv"): r"there is no file 'a\.csv'",
    }.items():
        with pytest.raises(ConfigurationError, match=words):
            runge.train(*overrides)
        with pytest.raises(ConfigurationError, match=words):
            runge.sweep(*overrides, "seed=1,2")
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")
    assert sys.stderr is stderr


def test_a_run_that_diverges_raises_and_is_kept(tmp_path):
    with pytest.raises(RunError, match="diverged: the loss is not finite"):
        runge.train(*SHORT, *DIVERGES, directory="run")
    run = runge.Run("run")
    assert run.status == "diverged"
    assert "diverged" in repr(run)
    with pytest.raises(FileNotFoundError):
        _ = run.metrics


def test_a_run_that_is_interrupted_resumes_with_the_same_bits(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("runge.optimizers.optimizer.Problem", interrupted_at(50))
        with pytest.raises(KeyboardInterrupt, match="continue with runge train resume=") as interrupt:
            runge.train(*SHORT, directory="run")
    assert "interrupted at step 50" in str(interrupt.value)
    assert runge.Run("run").status == "interrupted"
    resumed = runge.train("resume=run")
    assert figures(resumed.directory) == figures(runge.train(*SHORT).directory)


def test_a_sweep_is_a_comparison_best_first(tmp_path):
    root, threads = logging.getLogger(), torch.get_num_threads()
    with closing(logging.FileHandler("program.log", "w")) as own:
        before = root.handlers[:], root.level
        comparison = runge.sweep("model.activation=relu,tanh", "seed=range(2)", *ALONE)
        # The process is as it was, and a log of the calling program's is open.
        assert (root.handlers[:], root.level, torch.get_num_threads()) == (*before, threads)
        own.handle(logging.makeLogRecord({"msg": "after"}))
    assert Path("program.log").read_text() == "after\n"
    assert comparison.directory.parent.parent.resolve() == (tmp_path / "outputs" / "multirun").resolve()
    assert comparison.table["test/mse_df"].is_monotonic_increasing
    assert [run.metrics["test/mse_df"] for run in comparison.runs] == comparison.table["test/mse_df"].tolist()
    assert comparison.best().metrics["test/mse_df"] == comparison.table["test/mse_df"].min()
    assert "4 runs" in repr(comparison)
    assert comparison.lead in repr(comparison)
    assert (comparison.directory / "comparison.html").is_file()
    page = comparison._repr_html_()
    assert all(text in page for text in (html.escape(comparison.lead), "<td>relu</td>", "comparison.html"))
    assert len(page) < 5000


def test_a_sweep_in_which_a_run_diverges_warns():
    with pytest.warns(UserWarning, match=r"1 of 2 runs finished; diverged"):
        comparison = runge.sweep(*DIVERGES[:2], "optimizer.lr=0.01,100", *ALONE, "search.compare=false")
    assert comparison.table["status"].tolist() == ["finished", "diverged"]
    with pytest.raises(RunError, match="diverged"):
        runge.sweep("seed=1,2", *DIVERGES, *ALONE, "search.compare=false")


@pytest.mark.nightly
def test_a_script_that_sweeps_needs_no_guard(tmp_path):
    script = tmp_path / "script.py"
    sweep = f"runge.sweep('seed=1,2', *{SHORT}, 'hydra.launcher.processes=2')"
    script.write_text(f"import runge\nprint('begins')\n{sweep}\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.count("begins") == 1
    assert len(list(tmp_path.glob("outputs/multirun/*/*/*/metrics.json"))) == 2
