"""The MLflow logger, read back through MLflow's own client."""

import sys
from pathlib import Path

import pytest

from runge.loggers.mlflow import MLflow
from tests.refusals import refuses
from tests.sweeps.test_bad_input import prepare
from tests.sweeps.test_run import SHORT, at_step, fit_alone
from tests.test_loggers import promised

LOGGER = "logger=[tensorboard,mlflow]"
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",  # of the libraries below MLflow
    "ignore::ResourceWarning",  # it leaves its databases open
)


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """A store for all tests of this module, because MLflow takes seconds to load and to make one."""
    pytest.importorskip("mlflow")
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        MLflow.check(f"sqlite:///{folder}/mlflow.db", "runge")
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture
def store(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return uri


def client_of(uri):
    from mlflow import MlflowClient  # late: it takes a second

    return MlflowClient(uri)


def runs(uri, directory):
    """Return the runs of a store whose directories are at or below a directory."""
    client = client_of(uri)
    found = client.search_runs([client.get_experiment_by_name("runge").experiment_id])
    return [run for run in found if run.data.tags["run_directory"].startswith(str(directory))]


def rows(uri, run, key):
    return [(metric.step, metric.value) for metric in client_of(uri).get_metric_history(run.info.run_id, key)]


def check(uri, directory, run, group, sweep=None):
    """Check a stored run against the files of its directory."""
    settings, measured, final = promised(directory)
    assert run.data.params["seed"] == str(settings["seed"])
    assert run.data.params["model/width"] == str(settings["model"]["width"])
    assert not any(key.startswith("logger") for key in run.data.params)
    assert run.info.status == "FINISHED"
    assert run.info.end_time >= run.info.start_time
    assert f"({directory.parent.name}/{directory.name})" in run.info.run_name
    tags = {"run_directory": str(directory), "group": group, "sweep_directory": sweep and str(sweep)}
    assert {key: run.data.tags.get(key) for key in tags} == tags
    assert run.data.tags["runge_version"]
    columns = {key for row in measured for key in row} - {"step"}
    assert run.data.metrics.keys() == columns | final.keys()
    for key in columns:
        assert rows(uri, run, key) == [(row["step"], row[key]) for row in measured if key in row], key
    assert all(rows(uri, run, key) == [(120, x)] for key, x in final.items())


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_a_sweep(processes, store, finish, tmp_path, monkeypatch):
    """Two processes write to one SQLite file in a new store, which `mlflow ui` shows without an option."""
    if processes == 2:
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        store = "sqlite:///mlflow.db"
    launcher = f"hydra.launcher.processes={processes}", "hydra.launcher.members=2"
    short = [option.replace("log_every=20", "log_every=60") for option in SHORT]  # a row takes long in this store
    group = " ".join(short).replace("false", "False")  # as Hydra writes it for the jobs of a sweep
    finish("-m", "seed=range(3)", *launcher, *short, LOGGER, "search.compare=false", "hydra.sweep.dir=sweep")
    stored = runs(store, tmp_path)
    assert len(stored) == 3
    for run in stored:
        directory = tmp_path / "sweep" / run.data.params["seed"]
        check(store, directory, run, group, tmp_path / "sweep")
    assert list((tmp_path / "sweep" / "0" / "tensorboard").iterdir())


def test_a_resumed_run_continues_its_run(store, tmp_path):
    options = (*SHORT, LOGGER)
    fit_alone(tmp_path / "run", *options, interrupt=at_step(61))
    (begun,) = runs(store, tmp_path)
    assert begun.info.status == "FAILED"
    assert [step for step, _ in rows(store, begun, "val/loss")] == [20, 40, 60]
    fit_alone(tmp_path / "run", *options)
    (run,) = runs(store, tmp_path)
    assert run.info.run_id == begun.info.run_id
    assert [step for step, _ in rows(store, run, "val/loss")] == [20, 40, 60, 80, 100, 120]


def test_a_run_that_is_not_in_the_store_is_refused(store, tmp_path):
    (tmp_path / "mlflow.json").write_text('{"run": "0123"}')
    with pytest.raises(ValueError, match=r"tracking_uri: must be a store .* has the run that .*mlflow\.json names"):
        MLflow(None, "runge", str(tmp_path), "a", [])
    (tmp_path / "mlflow.json").write_text('{"run": "../x"}')  # from somebody else
    MLflow(None, "runge", str(tmp_path), "name " * 100, [])
    (stored,) = runs(store, tmp_path)
    assert stored.info.run_name == ("name " * 100)[:250]


def test_a_store_that_cannot_be_used_is_reported_before_training(in_folder, monkeypatch):
    pytest.importorskip("mlflow")
    Path("file").touch()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for uri in ("sqlite:///file/mlflow.db", "http://localhost:9"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with refuses("logger.mlflow.tracking_uri", uri, "must be a store that can be reached and written to"):
            prepare([*SHORT, "logger=mlflow"])
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with refuses("logger", "mlflow", "pip install -e '.[mlflow]'"):
        prepare([*SHORT, "logger=mlflow"])
