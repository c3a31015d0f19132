"""The logger of Weights & Biases, offline, read back from the files that `wandb sync` uploads."""

import json
import struct
import sys

import pytest

from runge.loggers.wandb import Wandb
from tests.refusals import refuses
from tests.sweeps.test_bad_input import prepare
from tests.sweeps.test_run import SHORT
from tests.test_loggers import promised

OFFLINE = ("logger=[tensorboard,wandb]", "logger.wandb.mode=offline")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def wandb():
    """The package, which takes half a second to load; end its process, which keeps the folder where it was started."""
    package = pytest.importorskip("wandb")
    yield package
    package.teardown()


def records(path):
    """Read a run's file: records in LevelDB's format for logs, in blocks of 32 kB."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, part = path.read_bytes(), 7, b""
    while place < len(content):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        size, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        part += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # the whole record, or its last part
            yield Record.FromString(part)
            part = b""


def stored(tmp_path):
    """Return the content of all runs, by their identifiers: group and name, settings, rows and exit codes."""
    runs = {}
    for path in sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb")):
        run = runs.setdefault(path.stem.removeprefix("run-"), {"config": {}, "rows": [], "ends": [], "group": []})
        for record in records(path):
            kind = record.WhichOneof("record_type")
            content = getattr(record, kind)
            if kind == "run":
                run["group"].append((content.run_group, content.display_name))
            if kind in ("run", "config"):
                updates = content.config.update if kind == "run" else content.update
                run["config"] |= {
                    update.key or update.nested_key[0]: json.loads(update.value_json) for update in updates
                }
            elif kind == "history":
                run["rows"].append({".".join(item.nested_key): json.loads(item.value_json) for item in content.item})
            elif kind == "exit":
                run["ends"].append(content.exit_code)
    return runs


def check(run, directory, sweep=None):
    settings, rows, final = promised(directory)
    assert {key: run["config"][key] for key in settings} == settings
    assert run["config"]["run_directory"] == str(directory)
    assert run["config"].get("sweep_directory") == sweep
    assert run["config"]["runge_version"]
    rows.append(final | {"step": rows[-1]["step"]})
    stored = [{key: x for key, x in row.items() if not key.startswith("_")} for row in run["rows"]]
    pictures = [row for row in stored if any(key.endswith("._type") for key in row)]
    assert [row | {"step": row.pop("trainer/global_step")} for row in stored if row not in pictures] == rows
    drawn = {path.stem for path in directory.glob("*.png")}
    assert {key.partition(".")[0] for row in pictures for key in row if key.endswith("._type")} == drawn


def test_each_member_of_a_stack_is_a_run_which_continues(fail, finish, tmp_path):
    """They are interrupted, and resumed."""
    sweep, options = tmp_path / "sweep", ("hydra.launcher.processes=1", *SHORT, *OFFLINE, "pictures=true")
    fail("-m", "seed=0,1", *options, "hydra.sweep.dir=sweep", interrupt=61)
    finish("-m", "seed=0,1", *options, "hydra.sweep.dir=sweep")
    runs = stored(tmp_path)
    for name in "01":
        run = runs.pop(json.loads((sweep / name / "wandb.json").read_text())["run"])
        check(run, sweep / name, str(sweep))
        assert (run["ends"], run["config"]["seed"]) == ([1, 0], int(name))
    assert not runs


def test_a_project_that_may_not_be_written_is_refused(wandb, tmp_path, monkeypatch):
    def init(**_):
        raise wandb.errors.CommError("permission denied")

    monkeypatch.setattr(wandb, "init", init)
    with pytest.raises(ValueError, match=r"mode: online cannot .* \(permission denied\); offline needs no account"):
        Wandb("runge", "online", str(tmp_path), "a", [])
    assert not (tmp_path / "wandb.json").exists()


def test_what_it_lacks_is_reported_before_training(tmp_path, monkeypatch):
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with refuses("logger.wandb.mode", "online", "needs an account", "offline"):
        prepare([*SHORT, "logger=wandb", "logger.wandb.mode=online"])
    monkeypatch.setitem(sys.modules, "wandb", None)
    with refuses("logger", "wandb", "pip install -e '.[wandb]'"):
        prepare([*SHORT, "logger=wandb"])
