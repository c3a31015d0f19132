"""A user's own loggers, and Lightning's, with single runs and in stacks."""

import csv
import errno
import json
import math
import os
import re
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch.loggers import Logger
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.custom_scalar.metadata import CONFIG_SUMMARY_TAG
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG, parse_session_start_info_plugin_data

from runge.composing.overrides import explain
from runge.configuration.errors import DivergedError
from runge.configuration.objects import digest
from runge.loggers.tensorboard import LOGARITHMS, TensorBoard, label, settings
from runge.records.directories import RunDirectory
from tests.refusals import check_refusal, refuses
from tests.sweeps.test_bad_input import prepare_run
from tests.sweeps.test_run import SHORT, at_step, check_equal, figures, fit_alone, history, only_run, state

SWEEP = ("search.compare=false", "hydra.sweep.dir=sweep")
RECORDER = "+logger.recorder._target_=tests.test_loggers.Recorder"
STEPS = [20, 40, 60, 80, 100, 120]


class Recorder(Logger):
    """A user's logger that writes each call as a line of a file."""

    def __init__(self, run_name, save_dir, start_step, note="none", name=None):
        assert name == run_name
        self.path, self.about = Path(save_dir) / "calls.jsonl", [run_name, start_step, note]

    name, version = "recorder", 0

    def write(self, what, *arguments):
        with self.path.open("a") as file:
            file.write(json.dumps([what, *arguments]) + "\n")

    def log_hyperparams(self, params, *args, **kwargs):
        self.write("settings", params, *self.about)

    def log_metrics(self, metrics, step=None):
        self.write("figures", metrics, step)

    def log_image(self, key, images, step=None):
        assert all(Path(image).read_bytes().startswith(b"\x89PNG") for image in images)
        self.write("image", key, step)

    def save(self):
        self.write("save")

    def finalize(self, status):
        self.write("end", status)


class Full(Recorder):
    """A logger that fails, in the second run of a sweep, from step 60 on, and writes nothing."""

    def write(self, *_):
        pass

    def log_metrics(self, metrics, step=None):
        if self.path.parent.name == "1" and step >= 60:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "remote")


def events_of(place):
    return EventAccumulator(str(place)).Reload()


def calls(directory, kind):
    lines = map(json.loads, (directory / "calls.jsonl").read_text().splitlines())
    return [arguments for what, *arguments in lines if what == kind]


def promised(directory):
    """Return what a logger receives from a finished run: settings, rows of the history, final figures."""
    recorded, *_ = RunDirectory(directory).read_configuration()
    settings = {key: value for key, value in recorded.items() if key not in ("logger", "resume", "search")}
    rows = [{key: float(x) for key, x in row.items() if x} for row in history(directory)]
    final = {key: x for key, x in figures(directory).items() if key.startswith("test/") or key == "switched_on_step"}
    return settings, rows, {key: x for key, x in final.items() if x is not None}


def check_calls(directory, *, start_step=0, note="none"):
    """Check the settings, the history after a step, the final test figures, the pictures and the end."""
    ((settings, name, start, noted),), expected = calls(directory, "settings"), promised(directory)
    *rows, last = calls(directory, "figures")
    assert settings == expected[0]
    assert f"/{directory.name})" in name
    assert (start, noted) == (start_step, note)
    assert [{"step": step} | row for row, step in rows] == [row for row in expected[1] if row["step"] > start_step]
    assert last == [expected[2], 120]
    drawn = [name for name in ("fit", "curves") if (directory / f"{name}.png").exists()]
    assert calls(directory, "image") == [[name, 120] for name in drawn]
    assert calls(directory, "save")
    assert calls(directory, "end") == [["success"]]


def test_a_logger_of_the_user_s_own_and_those_of_lightning_work_as_they_are(fit, trained):
    other = "+logger.other._target_=lightning.pytorch.loggers.TensorBoardLogger"
    further = "+logger.other.max_queue=5"  # an argument of the writer in this logger
    own = (RECORDER, "+logger.recorder.note='https://me:1234@host'")
    run = fit("run", *SHORT, "pictures=true", "logger=[tensorboard,csv]", other, further, *own)
    plain = only_run(trained(*SHORT)[0])
    check_calls(run, note="https://me:1234@host")
    assert "1234" not in calls(run, "settings")[0][1]  # the name of the run, which a server shows
    assert len(calls(run, "image")) == 2
    check_equal(run, plain)  # which has another logger
    assert list((run / "tensorboard").iterdir())
    with (run / "csv" / "version_0" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [*STEPS, 120]
    assert float(rows[-2]["val/loss"]) == float(history(run)[-1]["val/loss"])
    assert float(rows[-1]["test/mse_df"]) == figures(run)["test/mse_df"]


@pytest.fixture(params=["hydra.launcher.processes=1", pytest.param("hydra/launcher=basic", marks=pytest.mark.nightly)])
def sweep(request, trained):
    """A sweep of two runs, with several loggers, of which one fails in the second run."""
    loggers = (RECORDER, "+logger.full._target_=tests.test_loggers.Full")
    fixed = ("optimizer.lr=1e-3", "model.standardize=true", "seed=3")  # jobs have 0.001 and True
    swept = ("-m", "sampling=random,stratified", *fixed, request.param, *SHORT, *loggers, "hydra.sweep.dir=sweep")
    return trained(*swept, "search.compare=false")[0] / "sweep"


def test_each_run_of_a_sweep_has_its_own_and_a_failing_one_costs_no_run(sweep):
    runs = [sweep / number for number in "01"]
    for name, run in zip(("random", "stratified"), runs, strict=True):
        check_calls(run)
        ((settings, called, *_),) = calls(run, "settings")
        assert settings["sampling"]["_target_"] == f"runge.sampling.{name.title()}"
        assert called.startswith(f"sampling={name} ")
        assert state(run)["status"] == "finished"
    assert "No space left on device (remote)" in "".join((run / "train.log").read_text() for run in runs)
    events = events_of(runs[1] / "tensorboard" / "1 stratified")  # the other loggers have not noticed
    assert [event.step for event in events.Scalars("val/loss")] == STEPS


def test_a_resumed_run_logs_what_is_new_and_continues_in_its_place_in_tensorboard(tmp_path):
    run, options = tmp_path / "run", (*SHORT, "model.width=9", RECORDER)
    fit_alone(run, *options, interrupt=at_step(61))
    assert [step for _, step in calls(run, "figures")] == [20, 40, 60]
    assert calls(run, "end") == [["failed"]]
    (run / "calls.jsonl").unlink()
    moved = run.rename(tmp_path / "moved")
    time.sleep(1)  # event files are read in the order of their names, and in one second number 100 is before 99
    fit_alone(moved, *options)
    check_calls(moved, start_step=61)
    (place,) = (moved / "tensorboard").iterdir()
    assert place.name.startswith("run ")
    assert "width 9" in place.name
    assert [event.step for event in events_of(place).Scalars(LOGARITHMS["val/mse_f"])] == STEPS


def test_a_recorded_logger_is_not_trusted(finish, tmp_path):
    """A run from somebody else must not write where its file says."""
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    fit_alone(run, *SHORT, f"+logger.tensorboard.save_dir={elsewhere}", interrupt=at_step(61))
    shutil.rmtree(elsewhere, ignore_errors=True)
    finish("resume=run")
    assert not elsewhere.exists()
    assert list((run / "tensorboard").iterdir())


def test_a_diverged_run_has_failed(tmp_path):
    diverging = ("optimizer=sgd", "optimizer.lr=1e12", "optimizer.momentum=0", "optimizer.clip_norm=null")
    run = tmp_path / "run"
    assert isinstance(fit_alone(run, *SHORT, *diverging, "pictures=true", RECORDER), DivergedError)
    assert state(run)["status"] == "diverged"
    assert not (run / "metrics.json").exists()
    assert calls(run, "end") == [["failed"]]
    assert not calls(run, "image")


# One or two overrides: the key, what was given, and what is allowed.
WRONG_SECTIONS = {
    "+logger.x.y=1": ("logger.x._target_", "None"),
    "+logger.x._target_=nowhere.Logger": ("logger.x._target_", "nowhere.Logger"),
    "+logger.x._target_=runge.sampling.Random": ("logger.x._target_", "derived from Logger"),
    f"{RECORDER} +logger.recorder.colour=red": ("logger.recorder.colour", "unknown key", "note"),
    "logger=null": ("logger", "tensorboard", "[] for none"),
}


@pytest.mark.parametrize("overrides", WRONG_SECTIONS)
def test_a_wrong_section_is_refused(overrides):
    with pytest.raises(Exception) as error:  # noqa: PT011, which of several classes is no matter to a user
        prepare_run([*SHORT, *overrides.split()])
    check_refusal(str(explain(error.value)), *WRONG_SECTIONS[overrides])


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_missing_package_is_reported_before_training(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with refuses(f"logger.{package}", f"pip install -e '.[{package}]'"):
        prepare_run([*SHORT, f"logger={package}"])


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_each_run_of_a_sweep_is_a_run_in_mlflow(finish, tmp_path, monkeypatch):
    """The two processes of the sweep write to one store, which is new and which `mlflow ui` shows without an option."""
    mlflow = pytest.importorskip("mlflow", reason="needs the package mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    finish("-m", "seed=0,1", "hydra.launcher.processes=2", *SHORT, "logger=mlflow", *SWEEP)
    client = mlflow.MlflowClient("sqlite:///mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("runge").experiment_id])
    assert sorted(run.data.params["seed"] for run in runs) == ["0", "1"]
    for run in runs:
        seed = run.data.params["seed"]
        _, rows, final = promised(tmp_path / "sweep" / seed)
        assert run.info.status == "FINISHED"
        assert run.info.run_name.endswith(f"(sweep/{seed})")
        logged = client.get_metric_history(run.info.run_id, "val/loss")
        assert [(x.step, x.value) for x in logged] == [(row["step"], row["val/loss"]) for row in rows]
        assert final.items() <= run.data.metrics.items()


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("processes", [1, 2])
def test_each_run_of_a_sweep_is_a_run_in_wandb(processes, finish, tmp_path):
    wandb = pytest.importorskip("wandb", reason="needs the package wandb")
    offline = ("logger=wandb", "logger.wandb.offline=true")
    finish("-m", "seed=0,1", f"hydra.launcher.processes={processes}", *SHORT, *offline, *SWEEP)
    wandb.teardown()  # its process keeps the folder where it was started
    files = sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    contents = [file.read_bytes() for file in files]
    names = [re.findall(rb"\(sweep/(\d)\)", content) for content in contents]
    assert sorted(names) == [[b"0"], [b"1"]]
    assert all(b"test/mse_df" in content for content in contents)


def hparams(folder):
    """Return the rows of HPARAMS by the names of the runs, as TensorBoard reads them, and its names of metrics."""
    runs = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(runs, str(folder))))
    rows = context.hparams_metadata(RequestContext(), "")
    table = context.experiment_from_metadata(RequestContext(), "", True, rows, [])
    starts = {name: parse_session_start_info_plugin_data(row[SESSION_START_INFO_TAG]) for name, row in rows.items()}
    values = {
        name: {key: getattr(value, value.WhichOneof("kind")) for key, value in start.hparams.items()}
        for name, start in starts.items()
    }
    assert {info.name for info in table.hparam_infos} == {key for row in values.values() for key in row}
    return values, {name: start.group_name for name, start in starts.items()}, [x.name.tag for x in table.metric_infos]


GROUPS = {"target": "runge", "sampling": "uniform", "resampling": "none", "schedule": "two_stage", "balance": "fixed"}
GROUPS |= {"optimizer": "adam", "data": "sampled"}
MAIN = {"seed": 0, "loss.lambda_d": 0.1, "model.activation": "tanh", "model.width": 8, "optimizer.lr": 0.01}


def test_rows_of_hparams_can_be_compared(sweep, trained, tmp_path):
    """Those of two sweeps and of a run with the defaults have the groups and the main settings, and what differs."""
    shutil.copytree(sweep, tmp_path / "all" / "first")
    alone = ("optimizer._target_=torch.optim.RMSprop", "~optimizer.betas", "tags=[mine,2d]", "note='to keep'")
    short = [override for override in SHORT if not override.startswith("schedule")]
    second = trained("-m", *short, "schedule=constant,two_stage", "data.batch_size=8,null", *SWEEP)[0] / "sweep"
    shutil.copytree(second, tmp_path / "all" / "second")
    for name, overrides in (("third", ()), ("fourth", alone)):
        shutil.copytree(only_run(trained(*SHORT, *overrides)[0]), tmp_path / "all" / name)
    rows = {Path(name).parts[:-2]: row for name, row in hparams(tmp_path / "all")[0].items()}
    default = GROUPS | MAIN
    assert rows["third",].items() >= (default | {"data.n_train": 16}).items()  # the last one is an override
    assert rows["first", "1"] == default | {"sampling": "stratified", "seed": 3, "optimizer.lr": 1e-3}
    assert rows["second", "0"] == default | {"schedule": "constant", "data.batch_size": 8}
    assert rows["second", "3"] == default | {"data.batch_size": "null"}
    remarks = {"tags": "['mine', '2d']", "note": "to keep"}
    assert rows["fourth",].items() >= (default | {"optimizer": "RMSprop"} | remarks).items()


def test_tensorboard_of_a_sweep(sweep):
    """Runs are called by what differs; logarithms of the errors are the first columns of HPARAMS."""
    runs = EventMultiplexer().AddRunsFromDirectory(str(sweep)).Reload()
    names = ["0/tensorboard/0 random", "1/tensorboard/1 stratified"]
    assert sorted(runs.Runs()) == names
    rows, called, metrics = hparams(sweep)
    above = sweep.parent.name
    assert [called[name] for name in names] == [f"0 random ({above}/sweep)", f"1 stratified ({above}/sweep)"]
    assert [rows[name]["sampling"] for name in names] == ["random", "stratified"]
    first = sorted(tag for figure, tag in LOGARITHMS.items() if "/" in figure)
    assert metrics[: len(first)] == first
    assert not any(tag[0].isdigit() for tag in metrics)
    assert {"test/mse_df", "test/max_f/peak"} < {*metrics}

    for number, name in enumerate(names):
        events, rows, errors = events_of(sweep / name), history(sweep / str(number)), figures(sweep / str(number))
        for tag in ("val/mse_df", "val/mse_f", "train/mse_df", "train/mse_f", "lambda_d"):
            expected = [(int(row["step"]), math.log10(float(row[tag]))) for row in rows if float(row[tag])]
            logged = [(event.step, event.value) for event in events.Scalars(LOGARITHMS[tag])]
            assert np.array(logged) == pytest.approx(np.array(expected), rel=1e-6)
        assert len(events.Scalars(LOGARITHMS["lambda_d"])) == 3  # from the step at which it is on
        (event,) = events.Scalars(LOGARITHMS["test/mse_df"])
        assert event.value == pytest.approx(math.log10(errors["test/mse_df"]), rel=1e-6)

        (layout,) = runs.Tensors(name, CONFIG_SUMMARY_TAG)
        (chart,) = Layout.FromString(layout.tensor_proto.string_val[0]).category[0].chart
        shown = {tag for tag in metrics for pattern in chart.multiline.tag if re.match(pattern, tag)}
        assert shown == {tag for figure, tag in LOGARITHMS.items() if not figure.startswith("test/")}


def test_names_in_tensorboard_are_safe(tmp_path):
    expr, file = "target.expr='sin(x)/(1+x**2)'", "data.file='/data/../2 ra\u0308ume.csv'"
    assert label("7", settings([expr, file, "model.width=8"])) == "7 sin x 1+x 2 2 r\u00e4ume.csv width 8"
    long = label("7", settings([f"optimizer.slopes=[{','.join(map(str, range(100)))}]"]))
    assert long.startswith("7 slopes 0 1 2")
    assert len(long) == 60
    assert label("..", {}) == "run"
    TensorBoard(save_dir="/out", start_step=0, varied=[], options={}).log_hyperparams({})  # as in a container
    logger = TensorBoard(save_dir=str(tmp_path), start_step=0, varied=["seed=../../x", "logger=csv"], options={})
    logger.save()
    (file,) = tmp_path.rglob("events.*")
    assert file.parent == tmp_path / "tensorboard" / f"{tmp_path.name} seed .. .. x"


def test_the_distance_of_rows_follows_the_steps(configuration):
    def every(*overrides):
        return configuration(*overrides)["trainer"]["log_every"]

    assert [every(f"trainer.max_steps={steps}") for steps in (8000, 200, 59, 7)] == [100, 10, 2, 1]
    assert every("trainer.max_steps=200", "trainer.log_every=50") == 50
    assert every("optimizer=levenberg_marquardt") == 5
    assert every("optimizer=levenberg_marquardt", "trainer.max_steps=40") == 2


def test_loggers_do_not_identify_a_run(configuration):
    plain = configuration()
    assert plain["logger"] == {"tensorboard": {"_target_": "runge.loggers.TensorBoard"}}
    assert configuration("logger=[tensorboard]") == plain
    without = {key: value for key, value in plain.items() if key != "logger"}
    assert digest(plain) == digest(without) == digest(configuration(RECORDER)) == digest(configuration("logger=[]"))
