"""The MLflow logger, and `python -m runge.compare --to mlflow`, read back through MLflow's own client."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing

import pytest
import yaml

from runge.compare.__main__ import main as compare
from runge.configuration import flatten
from runge.runs.directories import RunDirectory
from runge.runs.mlflow import ClientStore, MlflowRun, _client, connect
from tests.conftest import ROOT
from tests.launch.test_run import SHORT, figures, history, interrupted_at, only_run

MlflowClient = pytest.importorskip("mlflow").MlflowClient
LOGGER = "logger=[tensorboard,mlflow]"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the libraries below MLflow


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """A store for all tests of this module, because MLflow takes seconds to make one."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.chdir(folder)  # where MLflow keeps the pictures
        connect(f"sqlite:///{folder}/mlflow.db", "runge")
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture
def store(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


def runs(uri, directory):
    """Return the runs of a store whose directories are at or below a directory."""
    client = MlflowClient(uri)
    found = client.search_runs([client.get_experiment_by_name("runge").experiment_id])
    return [run for run in found if run.data.tags["run_directory"].startswith(str(directory))]


def steps(uri, run, key):
    return [metric.step for metric in MlflowClient(uri).get_metric_history(run.info.run_id, key)]


def check(uri, directory, run, group, sweep=None):
    """Check a stored run against the files of its directory."""
    client, run_id = MlflowClient(uri), run.info.run_id
    configuration = yaml.safe_load((directory / ".hydra" / "config.yaml").read_text())
    settings = flatten({key: x for key, x in configuration.items() if key not in ("logger", "resume")})
    assert run.data.params == {key: "null" if x is None else str(x) for key, x in settings.items()}
    assert run.info.status == "FINISHED"
    assert run.info.end_time >= run.info.start_time
    assert f"({directory.parent.name}/{directory.name})" in run.info.run_name
    tags = {"run_directory": str(directory), "group": group, "sweep_directory": sweep and str(sweep)}
    assert {key: run.data.tags.get(key) for key in tags} == tags
    rows = history(directory)
    for key in rows[0].keys() - {"step"}:
        stored = [(metric.step, metric.value) for metric in client.get_metric_history(run_id, key)]
        assert stored == [(int(row["step"]), float(row[key])) for row in rows if row[key]], key
    tested = {key: x for key, x in figures(directory).items() if key.startswith("test/")}
    assert {key: x for key, x in run.data.metrics.items() if key.startswith("test/")} == tested
    assert all(steps(uri, run, key) == [120] for key in tested)
    pictures = [artifact.path for artifact in client.list_artifacts(run_id)]
    assert pictures == ["curves.png", "fit.png"]


def test_a_sweep_of_two_processes_in_a_new_store(train, tmp_path):
    """Both write to one SQLite file, which `mlflow ui` shows without an option."""
    sweep = ("-m", "seed=range(4)", "hydra.launcher.processes=2", "hydra.launcher.members=2", *SHORT, LOGGER)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        status, out, err = train(*sweep, "hydra.sweep.dir=sweep")
    assert status == 0, out + err
    log = {"mlflow.db-wal", "mlflow.db-shm"}  # is left if the last two processes close the file at the same moment
    assert {path.name for path in tmp_path.iterdir()} - log == {"mlflow.db", "mlruns", "sweep"}
    stored = runs("sqlite:///mlflow.db", tmp_path)
    assert len(stored) == 4
    for run in stored:
        directory = tmp_path / "sweep" / run.data.params["seed"]
        check("sqlite:///mlflow.db", directory, run, " ".join(SHORT), tmp_path / "sweep")
        assert run.data.tags["runge_version"]
    assert list((tmp_path / "sweep" / "0" / "tensorboard").iterdir())


def test_a_resumed_run_continues_its_run_and_repeats_no_row(train, store, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("runge.optimizers.optimizer.Problem", interrupted_at(61))
        assert train(*SHORT, LOGGER, "hydra.run.dir=run")[0] == 1
    (begun,) = runs(store, tmp_path)
    assert begun.info.status == "FAILED"
    assert steps(store, begun, "val/loss") == [20, 40, 60]
    shutil.copytree("run", "before")
    assert train("resume=run", LOGGER)[0] == 0
    # As if it had been killed after its last rows were stored, and before its checkpoint was.
    shutil.rmtree("run")
    shutil.copytree("before", "run")
    assert train("resume=run", LOGGER)[0] == 0
    (run,) = runs(store, tmp_path)
    assert run.info.run_id == begun.info.run_id
    check(store, tmp_path / "run", run, " ".join(SHORT))


def test_a_run_that_is_no_longer_in_the_store_gets_a_new_one(store, tmp_path):
    for _ in range(2):
        run = MlflowRun(connect(store, "runge"), RunDirectory(tmp_path), "a", {"run_directory": str(tmp_path)}, 0)
        MlflowClient(store).delete_run(run.id)
    assert not runs(store, tmp_path)
    (tmp_path / "mlflow.json").write_text('{"runs": ["../x", 1]}')  # from somebody else
    MlflowRun(connect(store, "runge"), RunDirectory(tmp_path), "a", {"run_directory": str(tmp_path)}, 0)
    assert len(runs(store, tmp_path)) == 1


def content(path):
    """Return the tables of a store, and its rows that do not depend on the time."""
    rows = ("name, sql FROM sqlite_master", "version_num FROM alembic_version")
    rows += ("experiment_id, name, artifact_location, lifecycle_stage FROM experiments",)
    with closing(sqlite3.connect(path)) as db:
        tables, *others = [sorted(db.execute(f"SELECT {what}").fetchall(), key=str) for what in rows]
    # MLflow's migrations write a table's constraints in any order.
    clauses = [(name, sorted(re.split(r",\s*\n\s*|\s*\n\s*", sql or ""))) for name, sql in tables]
    return [[(name, [clause.rstrip(",) ") for clause in parts]) for name, parts in clauses], *others]


def test_a_second_new_store_is_what_mlflow_would_make(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    for cache, name in (("", "made"), (str(tmp_path / "cache"), "first"), (str(tmp_path / "cache"), "second")):
        (tmp_path / name).mkdir()
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path / name)
            patch.setenv("RUNGE_CACHE_DIR", cache or "/dev/null")  # a cache that cannot be used
            if name == "second":
                patch.setattr("subprocess.run", None)
            connect("sqlite:///mlflow.db", "mine")
    made, first, second = (content(tmp_path / name / "mlflow.db") for name in ("made", "first", "second"))
    assert first[:2] == second[:2] == made[:2]
    places = [
        (number, name, f"{tmp_path}/%s/mlruns/{number}", "active") for number, name in ((0, "Default"), (1, "mine"))
    ]
    for name, stored in {"made": made, "first": first, "second": second}.items():
        assert stored[2] == [(number, title, place % name, stage) for number, title, place, stage in places]


def test_runs_of_one_process_are_stored_together(store, tmp_path):
    """A stack's figures are one transaction: each of them would write the same pages of the file again."""
    members = []
    for name in "ab":
        (tmp_path / name).mkdir()
        about = {"run_directory": str(tmp_path / name)}
        members.append(MlflowRun(connect(store, "runge"), RunDirectory(tmp_path / name), name, about, 0))
    for i, member in enumerate(members):
        member.add({"x": i}, 1, 0)
    members[0].flush()
    assert {run.info.run_name: run.data.metrics for run in runs(store, tmp_path)} == {"a": {"x": 0}, "b": {"x": 1}}


WRITE = """
import sys
from pathlib import Path
from runge.runs.directories import RunDirectory
from runge.runs.mlflow import MlflowRun, connect

for i in range(10):
    path = Path(f"{sys.argv[2]}.{i}")
    path.mkdir()
    run = MlflowRun(connect(sys.argv[1], "runge"), RunDirectory(path), "", {"run_directory": str(path)}, 0)
    for step in range(30):
        run.add({f"x{j}": step + j for j in range(20)}, step, 0)
        run.flush()
    run.end("FINISHED", 1)
"""


def test_processes_that_write_at_once_lose_nothing(store, tmp_path):
    commands = [[sys.executable, "-c", WRITE, store, str(tmp_path / name)] for name in "ab"]
    processes = [subprocess.Popen(command, cwd=ROOT) for command in commands]
    assert [process.wait() for process in processes] == [0, 0]
    stored = runs(store, tmp_path)
    assert Counter(run.info.status for run in stored) == {"FINISHED": 20}
    for run in stored:
        assert run.data.metrics == {f"x{j}": 29 + j for j in range(20)}
        assert steps(store, run, "x3") == list(range(30))


@pytest.mark.parametrize("through_client", [False, True])
def test_a_file_holds_what_the_client_would_have_stored(through_client, store, tmp_path):
    (tmp_path / "fit.png").write_bytes(b"a picture")
    for _ in range(2):  # the second time it is continued
        place = ClientStore(store, "runge") if through_client else connect(store, "runge")
        assert isinstance(place, ClientStore) == through_client
        run = MlflowRun(place, RunDirectory(tmp_path), "name " * 100, {"run_directory": str(tmp_path), "a": "b"}, 1.5)
        run.describe({"seed": 0, "long": "x" * 9999, "null": None} | {f"k{i}": i for i in range(150)})
        for step in range(1, 41):
            row = {"train/loss": 1 / step, "inf": float("inf"), "nan": float("nan"), "T [K]": -step}
            run.add(row | {f"m{i}": i for i in range(50)}, step, step)
        run.add_picture(tmp_path / "fit.png")
        run.end("KILLED", 2.5)
    (stored,) = runs(store, tmp_path)
    data, info = stored.data, stored.info
    assert (info.run_name, info.status, info.start_time, info.end_time) == (("name " * 100)[:250], "KILLED", 1500, 2500)
    assert data.tags == {"run_directory": str(tmp_path), "a": "b", "mlflow.runName": ("name " * 100)[:250]}
    assert data.params == {"seed": "0", "long": "x" * 5000, "null": "null"} | {f"k{i}": str(i) for i in range(150)}
    assert data.metrics["inf"] > 1e308
    assert data.metrics["T _K_"] == -40
    assert "nan" not in data.metrics
    assert len(data.metrics) == 53
    client = MlflowClient(store)
    for key in data.metrics:
        measured = client.get_metric_history(info.run_id, key)
        assert [(metric.step, metric.timestamp) for metric in measured] == [(i, 1000 * i) for i in range(1, 41)], key
    assert [artifact.path for artifact in client.list_artifacts(info.run_id)] == ["fit.png"]


def test_runs_from_their_files(trained, store, tmp_path, capsys):
    run = shutil.copytree(only_run(trained(*SHORT)[0]), tmp_path / "runs" / "new")
    shutil.copytree(run, tmp_path / "runs" / "old")
    shutil.copytree(run, tmp_path / "runs" / "damaged")
    (tmp_path / "runs" / "damaged" / "history.csv").write_text("step\nx")
    for _ in range(2):  # the second time they are updated
        compare([str(tmp_path / "runs"), "--csv", str(tmp_path / "table.csv"), "--to", "mlflow"])
        out, err = capsys.readouterr()
        assert out == "mlflow: 2 runs\n"
        assert "damaged" in err
    stored = {run.data.tags["run_directory"]: run for run in runs(store, tmp_path)}
    assert stored.keys() == {str(tmp_path / "runs" / name) for name in ("new", "old")}
    group = stored[str(run)].data.tags["group"]
    assert "trainer.max_steps=120" in group  # a setting in which the two differ
    check(store, run, stored[str(run)], group)
    assert stored[str(tmp_path / "runs" / "old")].data.metrics["test/mse_df"] > 0


def test_a_trained_run_is_not_stored_twice(train, store, tmp_path):
    assert train(*SHORT, "logger=mlflow", "hydra.run.dir=run")[0] == 0
    compare([str(tmp_path / "run"), "--csv", str(tmp_path / "table.csv"), "--to", f"mlflow:{store}"])
    (run,) = runs(store, tmp_path)
    check(store, tmp_path / "run", run, "all runs")  # one run has no other to differ from


def test_a_store_elsewhere_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        compare([str(tmp_path), "--csv", str(tmp_path / "x"), "--to", "excel"])
    assert "--to: must be mlflow or mlflow:URI, got 'excel'" in capsys.readouterr().err


@pytest.mark.parametrize("sweep", [[], ["-m", "seed=0,1", "hydra.launcher.processes=1"]])
def test_a_store_that_cannot_be_used_is_reported_before_training(sweep, train, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t (x)").connection.close()
    _client.cache_clear()
    for uri, words in {
        "sqlite:///file/mlflow.db": ("must be a store that can be written to", "file/mlflow.db"),
        "sqlite:///other.db": ("must be a store that can be written to", "experiments"),
        "http://localhost:9": ("must be a store that can be reached", "http://localhost:9"),
    }.items():
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        status, out, err = train(*sweep, *SHORT, "logger=mlflow")
        assert status == 1
        assert "Traceback" not in out + err
        assert all(word in err for word in ("logger.mlflow.tracking_uri", *words)), err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    status, out, err = train(*sweep, *SHORT, "logger=mlflow")
    assert status == 1
    assert "pip install 'runge[mlflow]'" in err
    assert not list(tmp_path.rglob("status.json"))


def test_a_store_that_breaks_costs_no_run(train, store, tmp_path, monkeypatch):
    def fail(*_):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("runge.runs.mlflow.SqliteStore.flush", fail)
    assert train(*SHORT, "logger=mlflow", "hydra.run.dir=run")[0] == 0
    assert "disk I/O error" in (tmp_path / "run" / "train.log").read_text()
    assert os.path.exists("run/metrics.json")
