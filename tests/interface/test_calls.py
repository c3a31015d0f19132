import html
import json
import logging
import pkgutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from inspect import isfunction
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch

import runge
from runge.comparison.ranking import rank
from runge.configuration.errors import RunError
from runge.function.ensemble import write_answer
from runge.records.reading import RunRecord
from tests.commands.conftest import ONE
from tests.conftest import command, interrupted_at
from tests.refusals import refuses
from tests.sweeps.commands import TINY_SEARCH

pytestmark = pytest.mark.usefixtures("in_folder")

TINY = ("trainer.max_steps=20", "trainer.log_every=5", "model.width=8", "trainer.progress_bar=false", "pictures=false")
DRAWN = (*TINY[:-1], "pictures=true")
SWEEP = (*TINY, "hydra.launcher.processes=1", "search.compare=false")
DIVERGES = ("optimizer=sgd", "optimizer.clip_norm=null", "optimizer.lr=100")
UNTRAINED = ("runge.optimizers.optimizer.Problem", None)  # a patch with which nothing can be trained
INTERRUPTED = "runge.optimizers.optimizer.Problem"
SEARCH = (*TINY_SEARCH, "data.folds=2", "trainer.max_steps=20", "search.seeds=1")
QUICK = (*(one for one in SEARCH if "tables" not in one), *ONE, "search.compare=false")


def figures(run):
    """The metrics of a run, without the times."""
    metrics = json.loads((Path(getattr(run, "directory", run)) / "metrics.json").read_text())
    return {key: value for key, value in metrics.items() if not key.startswith("seconds/")}


@pytest.fixture
def table():
    """A table whose numbers need all of their digits, with cells that are not known."""
    x = np.random.default_rng(0).random((40, 2)) / 3
    y, slopes = np.sin(3 * x[:, 0]) * x[:, 1], np.stack([3 * np.cos(3 * x[:, 0]) * x[:, 1], np.sin(3 * x[:, 0])], 1)
    y[3] = slopes[4, 0] = np.nan
    return pandas.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y, "dy_da": slopes[:, 0], "dy_db": slopes[:, 1]})


def test_the_package_shows_its_interface_and_nothing_else():
    late = {"DerivativeLoss", "PlainRegression", "SobolevDataModule", "SobolevRegression", "SobolevRegressor", "extend"}
    assert set(dir(runge)) == {*runge.__all__, *late, "__version__"}
    assert not any(getattr(runge, name) is None for name in dir(runge))
    assert list(runge.__all__) == sorted(runge.__all__)
    verbs = ["fit", "train", "sweep", "check", "predict", "suggest", "export", "draw", "compare", "load", "runs"]
    for module in pkgutil.walk_packages(runge.__path__, "runge."):  # an imported one of this name would shadow a verb
        assert module.name.removeprefix("runge.") not in runge.__all__
    assert all(isfunction(getattr(runge, name)) for name in verbs)
    assert all(getattr(runge, name).__doc__ for name in runge.__all__)


def test_a_run_from_python_has_the_bits_and_files_of_the_commands(trained, tmp_path):
    (commanded,) = trained(*DRAWN)[0].glob("outputs/*/*/")
    run = runge.train(*DRAWN)
    assert not (run.directory.parent / "outputs").exists()
    assert figures(run) == figures(commanded)
    for name in ("history.csv", "run.json"):
        assert (run.directory / name).read_text() == (commanded / name).read_text()
    names = [
        {str(path.relative_to(directory)) for path in directory.rglob("*") if "tensorboard" not in path.parts}
        for directory in (run.directory, commanded)
    ]
    assert names[0] == names[1]
    assert "lambda_d on" in (run.directory / "train.log").read_text()
    with refuses("directory", "", "a directory without a run"):
        runge.train(*DRAWN, "seed=1", directory=run.directory)
    assert figures(run) == figures(commanded)
    assert run.status == "finished"
    assert run.metrics == json.loads((run.directory / "metrics.json").read_text())
    assert run.settings["model.width"] == 8
    assert run.history["step"].iloc[-1] == 20
    x = torch.tensor(run.test_points["x"].to_numpy())
    torch.testing.assert_close(run.function(x).detach().double(), torch.tensor(run.test_points["u"].to_numpy()))
    assert run._repr_png_() == (run.directory / "fit.png").read_bytes()
    assert f"test/mse_f={run.metrics['test/mse_f']:.3g}" in repr(run)


def test_the_figures_of_a_table(table):
    table = table.assign(z=table["b"]).drop(columns="dy_db")
    run = runge.train(table, "data.inputs=[a,b]", "data.outputs=[y,z]", *TINY)
    assert list(run.test_points.columns[:8]) == ["a", "b", "y", "z", "dy_da", "dy_db", "dz_da", "dz_db"]
    assert run.test_points["dz_da"].isna().all()
    assert f"test/nrmse_df={run.metrics['test/nrmse_df']:.3g}" in repr(run)
    assert run.figure().axes[0].get_title(loc="left") == "$y$"


def test_derivatives_that_a_fit_has_left_out_are_checked_too(table):
    """Otherwise the check would find nothing in the table that it was asked about."""
    wrong = table.assign(dy_db=-table["dy_db"])
    for name, is_found in (("dy_da", True), ("slope", False)):  # by its name, the second one is no derivative
        frame, known = wrong.rename(columns={"dy_da": name}), f"data.derivatives={{y:{{a:{name}}}}}"
        run = runge.train(frame, "data.inputs=[a,b]", "data.outputs=[y]", known, *TINY)
        assert ("dy_db" in " ".join(found.what for found in run.check().findings)) == is_found


def test_the_best_run_has_the_smallest_metric_of_all_conditions(monkeypatch):
    """Runs are ranked within each number of points."""
    figures = {8: 2.0, 16: 1.0, 32: 1.5}
    records = [
        RunRecord(f"r{n}", "finished", settings={"data.n_train": n}, figures={"m": x}) for n, x in figures.items()
    ]
    made = runge.Comparison(["r"], rank(records, "m"))
    monkeypatch.setattr("runge.interface.outcomes.Run", lambda path: path)
    assert (made.runs, made.best()) == (["r8", "r16", "r32"], "r16")


def test_a_table_in_memory_has_the_bits_of_the_same_file(table, tmp_path):
    table.to_csv("t.csv", index=False)
    named = runge.train("data=table", "data.file=t.csv", *TINY)
    run = runge.train(table.set_index(np.arange(40) + 7), *TINY, directory="it's here")
    assert figures(run) == figures(named)
    assert run.settings["data.file"] == str(tmp_path / "it's here" / "data.csv")
    pandas.testing.assert_frame_equal(
        pandas.read_csv(run.settings["data.file"], index_col=0),
        table.set_index(np.arange(40) + 7),
        check_names=False,
        check_exact=True,
    )
    hidden = np.ma.array(table["y"].fillna(9), mask=table["y"].isna())
    arrays = {"x": table[["a", "b"]], "y": hidden, "dydx": table[["dy_da", "dy_db"]]}
    run = runge.train(arrays, "data=table", *TINY)
    assert [*figures(run).values()] == [*figures(named).values()]  # their inputs are x1 and x2
    assert run.settings["data.file"] == str(run.directory.resolve() / "data.npz")


def test_a_sweep_of_a_table_in_memory(table, monkeypatch, tmp_path):
    comparison = runge.sweep(table, *SWEEP, "seed=0,1", directory="sweep")
    assert comparison.table["data.file"].tolist() == [str(tmp_path / "sweep" / "data.csv")] * 2
    assert [path.name for path in tmp_path.rglob("data.csv")] == ["data.csv"]
    assert runge.load("sweep").members == 2
    monkeypatch.setattr(*UNTRAINED)
    runge.sweep(table, *SWEEP, "seed=0,1", directory="sweep")
    with refuses("data", "data.csv' holds another table", "choose another directory"):
        runge.sweep(table.iloc[1:], *SWEEP, "seed=0,1", directory="sweep")


def test_the_answer_for_a_table_in_memory(table, monkeypatch, capfd):
    """It is that of an interrupted search that continues."""
    with monkeypatch.context() as patch:
        patch.setattr(INTERRUPTED, interrupted_at(30))
        with pytest.raises(
            KeyboardInterrupt,
            match=r"^interrupted; the best answer so far, .*; to continue, make the same call with directory=.*race$",
        ):
            runge.fit(table, *SEARCH, directory="race")
    assert repr(runge.Answer("race")).endswith(runge.Answer("race").leaderboard["name"][0])
    answer = runge.fit(table, *SEARCH, directory="race")
    assert isinstance(answer, runge.Answer)
    assert capfd.readouterr() == ("", "")
    board = answer.leaderboard
    assert {name.partition(", seed ")[0] for name in board["name"]} == {"one", "two"}
    assert repr(answer) == f"Answer({str(answer.directory)!r}): {board['name'][0]}"
    lines = answer.summary().splitlines()
    assert lines[0].startswith("The answer is ")
    assert lines[1].startswith("Networks trained without the rows of a fold (")
    errors = answer.errors
    assert [line.split()[0] for line in lines[-3:]] == [*errors.index]
    assert lines[-3].split()[1] == f"{errors['error']['y']:.1e}"
    assert [*errors.index] == ["y", "dy_da", "dy_db"]
    assert errors["rows"].tolist() == [39, 39, 40]
    assert (errors["low"] < errors["error"]).all()
    assert (errors["error"] < errors["high"]).all()
    page = answer._repr_html_()
    assert all(part in page for part in (html.escape(lines[0]), "<td>one</td>", str(answer.directory)))
    assert len(page) < 5000
    assert len(answer.figure().axes) > 1
    u, influences = answer.function, answer.sensitivity.set_index("input").loc[["a", "b"]]
    assert set(influences["output"]) == {"y"}
    np.testing.assert_allclose(influences["labels_mean"], table[["dy_da", "dy_db"]].mean())
    points = np.random.default_rng(0).uniform(table[["a", "b"]].min(), table[["a", "b"]].max(), (10**4, 2))
    np.testing.assert_allclose(influences["mean"], u.derivative(points).mean(0), rtol=0.03)
    assert (u.inputs, u.outputs) == (("a", "b"), ("y",))
    x = table[["b", "a"]]  # by name
    values = answer.predict(x, 0.5)["u_y"]
    assert np.array_equal(values, u(table[["a", "b"]].to_numpy()))
    assert np.array_equal(runge.load("race")(x), values)
    assert answer.check().ok
    assert answer.export("numpy").parent == answer.directory
    monkeypatch.setattr(*UNTRAINED)
    again = runge.fit(table, *SEARCH, "search.compare=false", directory="race")
    assert np.array_equal(again.predict(x)["u_y"], values)
    write_answer("race", ["0", "2"])  # of both candidates
    again = runge.Answer("race")
    assert [*again.suggest(3)] == [*table]
    mean, spread = again.predict(x)[["u_y", "u_y_std"]].to_numpy().T
    each = [runge.load(f"race/{run}")(x) for run in (0, 2)]
    np.testing.assert_allclose(mean, (each[0] + each[1]) / 2, rtol=1e-12)
    np.testing.assert_allclose(spread, np.abs(each[0] - each[1]) / np.sqrt(2), rtol=1e-9)


@pytest.mark.nightly
def test_the_answer_for_a_file(table, monkeypatch):
    """It is that of the command, whose search is not repeated."""
    table.to_csv("lr=0.1.csv", index=False)
    overrides = [override for override in QUICK[1:] if override != "data=table"]
    assert command("fit", "lr=0.1.csv", *overrides, "hydra.sweep.dir=race")[0] == 0
    monkeypatch.setattr(*UNTRAINED)
    for data in ("lr=0.1.csv", Path("lr=0.1.csv")):
        answer = runge.fit(data, *overrides, directory="race")
        assert isinstance(answer, runge.Answer)
        assert runge.compare(answer).runs[0].settings["data.file"] == "lr=0.1.csv"


def test_the_answer_for_a_target():
    formulas = [one.replace("tables", "formulas") for one in QUICK if not one.startswith("data")]
    answer = runge.fit(*formulas, "data.n_train=20")
    assert isinstance(answer, runge.Answer)
    assert answer.function.inputs == ("x",)
    assert answer.sensitivity.empty
    assert answer.errors.empty
    assert answer.suspects.empty
    assert not hasattr(answer, "best")
    assert "Its error on the validation points" in answer.summary()
    assert answer.predict(np.zeros(3)).columns.tolist() == ["x", "u_f", "du_f_dx", "outside", "set"]
    with refuses("check", "", "needs a table, and"):
        answer.check()


def test_calls_in_several_threads_wait_for_each_other_and_leave_logging_as_it_was(fit):
    log = logging.getLogger("runge")
    before = log.level, log.propagate
    alone = [figures(fit(f"alone{seed}", *TINY, f"seed={seed}")) for seed in (0, 1)]
    with ThreadPoolExecutor(2) as pool:  # which, once all is loaded, begin at the same time
        together = list(pool.map(lambda seed: runge.train(*TINY, f"seed={seed}"), (0, 1)))
    assert [figures(run) for run in together] == alone
    assert (log.level, log.propagate) == before


@pytest.mark.parametrize(
    ("call", "overrides", "refused"),
    [
        (runge.fit, "target=kink search=optuna", ("search", "got optuna", "must be best in fit")),
        (runge.fit, "target=kink search=none", ("search", "got none", "must be best in fit")),
        (runge.fit, "target=kink ~search", ("search", "got None", "must be best in fit")),
        (runge.fit, "seed=1", ("data", "", "target=NAME")),
        (lambda file: runge.fit(file, *ONE), "nowhere.csv", ("data.file", "there is no file 'nowhere.csv'")),
        (lambda file: runge.fit(Path(file), *ONE), "a=1.csv", ("data.file", "there is no file 'a=1.csv'")),
        (runge.train, "search=best", ("search", "got best", "must be none in train")),
        (runge.train, "search=optuna seed=1", ("search", "got optuna", "must be none in train")),
        (runge.train, "model.width=0", ("model.width",)),
        (runge.train, "model.widht=8", ("model.widht", "unknown key")),
        (runge.train, "resume=nowhere", ("resume",)),
        (runge.train, "pictures=never", ("pictures", "got 'never'", "must be auto, true or false")),
        (runge.sweep, "search=best target=kink", ("search", "got best", "must be none or optuna in sweep")),
        (runge.sweep, "model.width=0 seed=1,2", ("model.width",)),
        (runge.sweep, "optimizer=64 seed=1,2", ("optimizer", "must be one of")),
        (runge.sweep, "data=table data.file=a.csv seed=1,2", ("data.file", "there is no file 'a.csv'")),
    ],
)
def test_mistakes_are_raised_and_nothing_is_left(call, overrides, refused, tmp_path, capfd):
    stderr = sys.stderr
    with refuses(*refused, *(("runge.train", "runge.sweep", "runge.fit") if refused[0] == "search" else ())):
        call(*overrides.split())
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")
    assert sys.stderr is stderr


def test_nothing_is_written_through_a_link_in_the_directory_of_a_run(tmp_path):
    """As the command refuses it."""
    precious, folder = tmp_path / "precious", tmp_path / "run"
    folder.mkdir()
    (folder / "train.log").symlink_to(precious)
    with refuses("directory", "is a link"):
        runge.train("trainer.max_steps=1", directory=folder)
    assert not precious.exists()


def test_mistakes_in_a_table_in_memory(table, tmp_path):
    one, arrays = table[["a", "y", "dy_da"]], {"x": np.arange(4.0), "y": np.arange(4.0)}
    text = one.astype({"y": object})
    text.loc[2, "y"] = "abc"
    calls = cycle([runge.fit, runge.sweep, runge.train])
    for arguments, words in [
        (("data=table", one), ("arguments", "got a DataFrame", "must be", "data are the first argument")),
        ((arrays, {"seed": 1}), ("arguments", "got a dict after ")),
        ((np.zeros((3, 2)),), ("data", "got a ndarray", "must be a DataFrame, or arrays by their names in a mapping")),
        ((one.iloc[:0],), ("data", "got 0 rows of ['a', 'y', 'dy_da']", "the DataFrame must have rows, and columns")),
        ((text,), ("data.file", "got 'abc'", "the DataFrame: row 2, column 'y': must be a number")),
        (({**arrays, "y": np.arange(3.0)},), ("data.file", "the arrays: 'y' must be an array", "shape (4,) or")),
        (({**arrays, "file": arrays["x"]},), ("data", "got 'file'", "an array must be named x, y, dydx or ")),
        ((one, "data.file=t.csv"), ("data.file", "", "must not be set where the data are an argument")),
        ((one, "resume=run"), ("resume", "", "must not be set where the data are an argument")),
        ((one, "model.widht=8"), ("model.widht", "unknown key")),
        *[((one, "loss.lambda_d=-1"), ("loss.lambda_d", "should be greater"))] * 2,  # found when the runs are checked
        ((one, "loss.lambda_d=-1", *ONE), ("loss.lambda_d", "should be greater")),
    ]:
        with refuses(*words):
            next(calls)(*arguments)
    assert not list(tmp_path.iterdir())


def test_a_run_that_diverges_raises_and_is_kept():
    directory = "here, 'there' and \\ everywhere"
    with pytest.raises(RunError, match="diverged: the loss is not finite"):
        runge.train(*TINY, *DIVERGES, directory=directory)
    run = runge.Run(directory)
    assert (run.directory.name, run.status) == (directory, "diverged")
    assert "diverged" in repr(run)
    with pytest.raises(FileNotFoundError):
        _ = run.metrics


def test_a_run_that_is_interrupted_resumes_with_the_same_bits(trained, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(INTERRUPTED, interrupted_at(10))
        with pytest.raises(KeyboardInterrupt, match=r"continue with runge\.train\(.resume=") as interrupt:
            runge.train(*DRAWN, directory="run")
    assert "interrupted at step 10" in str(interrupt.value)
    assert runge.Run("run").status == "interrupted"
    (commanded,) = trained(*DRAWN)[0].glob("outputs/*/*/")
    assert figures(runge.train("resume=run", "pictures=false")) == figures(commanded)


def test_a_sweep_is_a_comparison_best_first_and_any_runs_are_compared(tmp_path, capfd):
    root, threads = logging.getLogger(), torch.get_num_threads()
    with closing(logging.FileHandler("program.log", "w")) as own:
        before = root.handlers[:], root.level
        comparison = runge.sweep("model.activation=relu,tanh", "seed=range(2)", *SWEEP[:-1])
        # The process is as it was, and a log of the calling program's is open.
        assert (root.handlers[:], root.level, torch.get_num_threads()) == (*before, threads)
        own.handle(logging.makeLogRecord({"msg": "after"}))
    assert Path("program.log").read_text() == "after\n"
    assert comparison.table["test/mse_df"].is_monotonic_increasing
    assert [run.metrics["test/mse_df"] for run in comparison.runs] == comparison.table["test/mse_df"].tolist()
    assert comparison.best().metrics["test/mse_df"] == comparison.table["test/mse_df"].min()
    assert "4 runs" in repr(comparison)
    assert comparison.lead in repr(comparison)
    assert (comparison.directory / "comparison.html").is_file()
    page = comparison._repr_html_()
    assert all(text in page for text in (html.escape(comparison.lead), "<td>relu</td>", "comparison.html"))
    assert len(page) < 5000
    other = runge.train("target=kink", *TINY, directory="kink")
    several = runge.compare(comparison, other)
    assert len(several.table) == 5
    assert str(other.directory) in repr(several)
    assert "report:" not in several._repr_html_()
    with pytest.raises(ValueError, match=rf"^directory: must be one, .* has 2, {comparison.directory}, .*kink; use "):
        runge.predict(several, pandas.DataFrame({"x": [0.5]}))
    shown = ["best", "directory", "figure", "lead", "metric", "runs", "save", "sentences", "table", "verdict_table"]
    assert [name for name in dir(several) if not name.startswith("_")] == shown
    with pytest.raises(FileNotFoundError, match=r"no leaderboard.json in '.*': .* for a sweep use runge.compare"):
        runge.Answer(comparison.directory)
    assert len(runge.compare(comparison.directory, other, where=["seed=0"]).table) == 3
    capfd.readouterr()
    grouped = runge.compare(comparison, metric="test/mse_f", group_by=["seed"], out="report")
    assert grouped.metric == "test/mse_f"
    kept = grouped.save("kept")
    assert (kept.metric, kept.sentences) == (grouped.metric, grouped.sentences)
    assert [run.directory.resolve() for run in kept.runs] == [
        Path("kept").resolve() / run.directory.name for run in grouped.runs
    ]
    names = {path.name for path in Path("report").iterdir()}
    assert names == {"comparison.csv", "comparison.html", "comparison.png", "verdicts.csv"}
    assert capfd.readouterr().out == ""
    assert not list(Path("kink").glob("comparison*"))
    for directories, options, rule in (
        ((), {}, "directories: must be at"),
        ((other,), {"group_by": ["sed"]}, "group_by: "),
    ):
        with pytest.raises(ValueError, match=rule):
            runge.compare(*directories, **options)


def test_a_sweep_in_which_a_run_diverges_warns():
    with pytest.warns(UserWarning, match=r"1 of 2 runs finished; diverged"):
        comparison = runge.sweep(*DIVERGES[:2], "optimizer.lr=0.01,100", *SWEEP)
    assert comparison.table["status"].tolist() == ["finished", "diverged"]
    with pytest.raises(RunError, match="diverged"):
        runge.sweep("seed=1,2", *DIVERGES, *SWEEP)


@pytest.mark.nightly
def test_a_script_that_sweeps_needs_no_guard(tmp_path):
    script = tmp_path / "script.py"
    sweep = f"runge.sweep('seed=1,2', *{TINY}, 'hydra.launcher.processes=2', directory='sweep')"
    script.write_text(f"import runge\nprint('begins')\n{sweep}\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.count("begins") == 1
    assert len(list(tmp_path.glob("sweep/*/metrics.json"))) == 2
