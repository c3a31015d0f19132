"""A user's own loggers, and Lightning's, with single runs and in stacks."""

import csv
import errno
import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from lightning.pytorch.loggers import Logger
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams.backend_context import Context

from runge.configuration import digest
from tests.launch.test_run import SHORT, figures, history, only_run, state

RECORDER = "+logger.recorder._target_=tests.test_loggers.Recorder"


class Recorder(Logger):
    """A user's logger that writes each call as a line of a file."""

    def __init__(self, run_name, save_dir, start_step, overrides, note="none"):
        assert " ".join(overrides) in run_name
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
    """A logger that fails, for one seed, from step 60 on."""

    def log_hyperparams(self, params, *args, **kwargs):
        self.seed = params["seed"]

    def log_metrics(self, metrics, step=None):
        if self.seed == 1 and step >= 60:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "remote")


def calls(directory, kind):
    lines = map(json.loads, (directory / "calls.jsonl").read_text().splitlines())
    return [arguments for what, *arguments in lines if what == kind]


def check_calls(directory, *, start_step=0, note="none"):
    """Check the settings, the history after a step, the final test figures, the pictures and the end."""
    ((settings, name, start, noted),) = calls(directory, "settings")
    recorded = yaml.safe_load((directory / ".hydra" / "config.yaml").read_text())
    assert settings == {key: value for key, value in recorded.items() if key not in ("logger", "resume")}
    assert f"/{directory.name})" in name
    assert (start, noted) == (start_step, note)
    *rows, (tested, end) = calls(directory, "figures")
    expected = [row for row in history(directory) if int(row["step"]) > start_step]
    assert [{"step": str(step)} | {k: repr(x) for k, x in row.items()} for row, step in rows] == [
        {key: x for key, x in row.items() if x} for row in expected
    ]
    assert tested == {key: x for key, x in figures(directory).items() if key.startswith("test/")}
    assert end == 120
    drawn = [name for name in ("fit", "curves") if (directory / f"{name}.png").exists()]
    assert calls(directory, "image") == [[name, 120] for name in drawn]
    assert calls(directory, "save")
    assert calls(directory, "end") == [["success"]]


def test_a_logger_of_the_user_s_own(finish, trained, tmp_path):
    finish(*SHORT, RECORDER, "+logger.recorder.note=mine", "hydra.run.dir=run")
    check_calls(tmp_path / "run", note="mine")
    plain = only_run(trained(*SHORT)[0])
    assert figures(tmp_path / "run") == figures(plain)  # which has another logger
    assert (tmp_path / "run" / "history.csv").read_bytes() == (plain / "history.csv").read_bytes()


def test_each_member_of_a_stack_has_its_own(finish, tmp_path):
    sweep = ("-m", "seed=0,1", "hydra.launcher.processes=1", *SHORT, RECORDER, "hydra.sweep.dir=sweep")
    finish(*sweep)
    for number in "01":
        check_calls(tmp_path / "sweep" / number)
        ((settings, name, *_),) = calls(tmp_path / "sweep" / number, "settings")
        assert settings["seed"] == int(number)
        assert name.startswith(f"seed={number} ")


def test_a_resumed_run_logs_what_is_new(train, tmp_path):
    assert train(*SHORT, RECORDER, "hydra.run.dir=run", interrupt=61)[0] == 1
    run = tmp_path / "run"
    assert [step for _, step in calls(run, "figures")] == [20, 40, 60]
    assert calls(run, "end") == [["failed"]]
    (run / "calls.jsonl").unlink()
    assert train("resume=run", RECORDER)[0] == 0
    check_calls(run, start_step=61)


def test_a_recorded_logger_is_not_trusted(train, tmp_path):
    """A run from somebody else must not write where its file says."""
    elsewhere = f"+logger.tensorboard.save_dir={tmp_path / 'elsewhere'}"
    assert train(*SHORT, elsewhere, "hydra.run.dir=run", interrupt=61)[0] == 1
    shutil.rmtree(tmp_path / "elsewhere", ignore_errors=True)
    assert train("resume=run")[0] == 0
    assert not (tmp_path / "elsewhere").exists()
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_a_diverged_run_has_failed(fail, tmp_path):
    diverging = ("optimizer=sgd", "optimizer.lr=1e12", "optimizer.momentum=0", "optimizer.clip_norm=null")
    _, err = fail(*SHORT, *diverging, RECORDER, "hydra.run.dir=run")
    assert "diverged" in err
    assert state(tmp_path / "run")["status"] == "diverged"
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert calls(tmp_path / "run", "end") == [["failed"]]
    assert not calls(tmp_path / "run", "image")


def test_a_failing_logger_costs_no_run(finish, tmp_path):
    failing = "+logger.full._target_=tests.test_loggers.Full"
    finish("-m", "seed=0,1", "hydra.launcher.processes=1", *SHORT, failing, "hydra.sweep.dir=sweep")
    assert [state(tmp_path / "sweep" / number)["status"] for number in "01"] == ["finished", "finished"]
    logs = [(tmp_path / "sweep" / number / "train.log").read_text() for number in "01"]
    assert "No space left on device (remote)" in "".join(logs)
    events = EventAccumulator(str(tmp_path / "sweep" / "1" / "tensorboard"))  # the other logger has not noticed
    events.Reload()
    assert [event.step for event in events.Scalars("val/loss")] == [20, 40, 60, 80, 100, 120]


def test_loggers_of_lightning_work_as_they_are(finish, tmp_path):
    other = "+logger.other._target_=lightning.pytorch.loggers.TensorBoardLogger"  # which takes any further argument
    options = ("trainer.log_every=60", "logger=[tensorboard,csv]", other)
    finish(*SHORT, *options, "hydra.run.dir=run")
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    text = (tmp_path / "run" / "csv" / "version_0" / "metrics.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert [int(row["step"]) for row in rows] == [60, 120, 120]
    assert float(rows[1]["val/loss"]) == float(history(tmp_path / "run")[1]["val/loss"])
    assert float(rows[2]["test/mse_df"]) == figures(tmp_path / "run")["test/mse_df"]


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["+logger.x.y=1"], ["logger.x._target_", "None"]),
        (["+logger.x._target_=nowhere.Logger"], ["logger.x._target_", "nowhere.Logger"]),
        (["+logger.x._target_=runge.sampling.Random"], ["logger.x._target_", "derived from Logger"]),
        ([RECORDER, "+logger.recorder.colour=red"], ["logger.recorder.colour", "unknown key", "note"]),
        (["logger=null"], ["logger", "tensorboard", "[] for none"]),
        (["logger=mlflow", "logger.mlflow.experiment=3"], ["logger.mlflow.experiment", "string", "3"]),
        (["logger=wandb", "logger.wandb.mode=later"], ["logger.wandb.mode", "'offline'", "'later'"]),
        (["logger=wandb", "logger.wandb.project=a/b"], ["logger.wandb.project", "a/b"]),
    ],
)
def test_a_wrong_section_is_refused(overrides, parts, fail, tmp_path):
    _, err = fail("-m", "seed=0,1", "hydra.launcher.processes=1", *SHORT, *overrides)
    assert all(part in err for part in parts), err
    assert not list(tmp_path.rglob("status.json"))


def test_hparams_of_tensorboard(train, tmp_path):
    """TensorBoard makes a table of all runs, with the settings that differ first, and all test errors."""
    sweep = ("-m", "sampling=random,stratified", "hydra.launcher.processes=1", *SHORT, "hydra.sweep.dir=sweep")
    assert train(*sweep)[0] == 0
    runs = EventMultiplexer().AddRunsFromDirectory(str(tmp_path / "sweep"))
    runs.Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(runs, str(tmp_path / "sweep"))))
    rows = context.hparams_metadata(RequestContext(), "")
    table = context.experiment_from_metadata(RequestContext(), "", True, rows, [])
    assert rows.keys() == {"0/tensorboard", "1/tensorboard"}
    assert next(info.name for info in table.hparam_infos if info.differs) == "sampling"
    keys = {"seed", "data.batch_size", "sampling.quotas"}  # one that is null, and one that one run has
    assert keys <= {info.name for info in table.hparam_infos}
    assert {info.name.tag for info in table.metric_infos} >= {"test/mse_df", "test/max_f/peak"}


def test_loggers_do_not_identify_a_run(configuration):
    plain = configuration()
    assert plain["logger"] == {"tensorboard": {"_target_": "runge.loggers.TensorBoard"}}
    assert configuration("logger=[tensorboard]") == plain
    without = {key: value for key, value in plain.items() if key != "logger"}
    assert digest(plain) == digest(without) == digest(configuration(RECORDER)) == digest(configuration("logger=[]"))
