"""Comparisons of runs: the command, its files, and what the terminal shows. The page is in `test_page`."""

import csv
import errno
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from rich.console import Console

import runge
from runge.commands import compare as compare
from runge.comparison.html_report import publish
from runge.comparison.ranking import rank, rank_directories
from runge.comparison.runs import collect
from runge.comparison.tables import show
from runge.pictures.style import image
from runge.records.reading import RunRecord
from tests.comparison.pages import data_in, made_up, merge, numbers, page_data, table
from tests.conftest import ROOT


def test_end_of_a_sweep(sweep):
    path, out = sweep
    assert {"comparison.csv", "comparison.html", "comparison.png"} <= {file.name for file in path.iterdir()}
    end = out[out.index("10 runs by test/mse_df") :]
    for words in ("activation", "seed", "Mann-Whitney U, n = 5 and 5", "factor", "report: sweep/comparison.html"):
        assert words in end
    assert (path / "comparison.html").stat().st_size < 7_000_000
    rows = table(path)
    errors = [float(row["test/mse_df"]) for row in rows]
    assert errors == sorted(errors)
    columns = {"run", "status", "overrides", "model.activation", "seed", "test/mse_f/peak", "seconds/fit"}
    assert rows[0].keys() >= columns
    assert "model.width" not in rows[0]
    metrics = [json.loads((path.parent / row["run"] / "metrics.json").read_text()) for row in rows]
    assert [float(row["test/max_df"]) for row in rows] == [one["test/max_df"] for one in metrics]
    assert len(rows) == 10


def test_sweep_with_failures_is_compared(train, tmp_path):
    options = ("trainer.max_steps=20", "model.width=8", "hydra.launcher.processes=1", "trainer.progress_bar=false")
    rates = ("optimizer=sgd", "optimizer.lr=0.01,1e12", "optimizer.clip_norm=null")
    status, out, err = train("-m", *options, *rates, "pictures=false", "logger=[]")
    assert status == 1
    assert "diverged" in err
    (path,) = tmp_path.glob("outputs/multirun/*/*/comparison.csv")
    assert [row["status"] for row in table(path.parent)] == ["finished", "diverged"]
    assert "diverged: diverged" not in " ".join((out + err).split())
    assert "2 runs by test/mse_df" in out


def test_unfinished_runs_are_listed_with_the_reason(copy, capsys):
    for name in ("1/metrics.json", "2/run.json", "3/status.json"):
        (copy / name).unlink()
    damaged = {"0/metrics.json": "{", "4/fit.csv": "x,f,df,u,du\n", "5/history.csv": "\xff", "6/status.json": "[]"}
    for name, content in damaged.items():
        (copy / name).write_text(content, "latin-1")
    merge(copy / "8" / "metrics.json", **{"test/mse_df": math.nan})
    lines = (copy / "9" / "history.csv").read_text().splitlines()
    (copy / "9" / "history.csv").write_text("\n".join([*lines[:-1], lines[-1][:20]]))
    compare.main([str(copy)])
    statuses = {row["run"].rpartition("/")[2]: (row["status"], row["message"]) for row in table(copy)}
    assert [statuses[str(i)][0] for i in range(10)] == [
        *("unreadable", "running", "unreadable", "unreadable", "unreadable"),
        *("unreadable", "unreadable", "finished", "unreadable", "unreadable"),
    ]
    assert all(message for status, message in statuses.values() if status != "finished")
    assert table(copy)[0]["test/mse_df"] != ""
    messages = {run["name"]: run["message"] for run in data_in((copy / "comparison.html").read_text())["runs"]}
    assert len(messages) == 10
    assert "fit.csv is damaged" in messages["4"]
    assert "history.csv is damaged" in messages["5"]
    assert "unreadable" in capsys.readouterr().out


@pytest.mark.parametrize("file", ["history.csv", "run.json", "status.json", "metrics.json"])
def test_a_changed_file_is_found(file, copy, capsys):
    """As a seed that somebody edited, also with a new checksum of its file."""
    path = copy / "0" / file
    if file == "status.json":
        merge(copy / "0" / "run.json", seed=99)
        checksum = hashlib.sha256((copy / "0" / "run.json").read_bytes()).hexdigest()
        merge(path, checksums=json.loads(path.read_text())["checksums"] | {"run.json": checksum})
    else:
        path.write_text(path.read_text().replace("1", "2", 1))
    compare.main([str(copy), "--csv", "-"])
    (row,) = [row for row in csv.DictReader(capsys.readouterr().out.splitlines()) if row["status"] != "finished"]
    damaged = "run.json is damaged (its hash" if file == "status.json" else f"{file} is damaged (its checksum"
    assert (row["status"], damaged in row["message"]) == ("unreadable", True)


def test_runs_of_an_earlier_version_are_read_and_say_what_they_lack(copy):
    for status in copy.glob("*/status.json"):
        content = json.loads(status.read_text())
        assert content["made_with"].keys() >= {"Python", "processor"}
        files = [status.parent / name for name in content["checksums"]]
        checksums = {file.name: f"{zlib.crc32(file.read_bytes()):08x}" for file in files if file.exists()}
        merge(status, checksums=checksums, made_with={})
    ranking = rank_directories([copy])
    assert {record.status for record in ranking.records} == {"finished"}
    said = "10 runs of an earlier version have no commit, Python, processor and SHA-256 checksums."
    assert ranking.sentences[-1] == said
    (copy / "0" / "history.csv").write_text("step\n")
    assert [record.status for record in rank_directories([copy]).records].count("unreadable") == 1


def test_fits_are_those_of_the_files(copy):
    data = page_data(copy)
    (function,) = data["functions"]  # one for all runs
    for run in data["runs"]:
        fit = np.genfromtxt(copy / run["name"] / "fit.csv", delimiter=",", names=True)
        assert np.array_equal(numbers(function["x"], "<f8"), fit["x"])
        assert all(np.array_equal(numbers(function[name]), fit[name].astype("f4")) for name in ("f", "df"))
        assert np.array_equal(numbers(run["error_f"]), (fit["u"] - fit["f"]).astype("f4"))
        assert np.array_equal(numbers(run["error_df"]), (fit["du"] - fit["df"]).astype("f4"))
        assert run["function"] == 0
    assert (function["rows"], function["inputs"], function["outputs"]) == (False, ["x"], ["f"])
    assert data["by"] == "region"


@pytest.mark.nightly
def test_comparing_loads_neither_torch_nor_hydra(copy):
    """Not even late; what modules import is a contract of `test_imports`, on every push."""
    code = (
        "import sys; from runge.commands.compare import main; main();"
        "sys.exit(' '.join({'torch', 'lightning', 'hydra', 'omegaconf'} & set(sys.modules)) or 0)"
    )
    command = [sys.executable, "-c", code, str(copy)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_table_is_written_completely_or_not_at_all(copy, tmp_path, monkeypatch, refusal):
    (tmp_path / "table.csv").write_text("older")
    monkeypatch.setattr(os, "fsync", Mock(side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    said = refusal(compare.main, str(copy), "--csv", str(tmp_path / "table.csv"), "--force")
    for words in ("--out, --csv: ", "No space left on device", str(tmp_path / "table.csv")):
        assert words in said
    assert (tmp_path / "table.csv").read_text() == "older"


def test_command(copy, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compare.main([str(copy), "--out", "there", "--metric", "test/mse_f", "--where", "model.activation=tanh"])
    assert "5 runs by test/mse_f" in capsys.readouterr().out
    names = {file.name for file in (tmp_path / "there").iterdir()}
    assert names == {"comparison.csv", "comparison.html", "comparison.png", "verdicts.csv"}
    compare.main([str(copy / "3"), "sweep", str(tmp_path), "--csv", "-", "--where", "seed=3"])
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert ["seed=3" in row["overrides"] for row in rows] == [True, True]
    compare.main([str(copy), "--csv", "table.csv"])
    assert len(table(tmp_path, "table.csv")) == 10
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as pool:  # a pipe is written to, not replaced
        read = pool.submit((tmp_path / "pipe").read_text)
        compare.main([str(copy), "--csv", "pipe"])
        assert read.result() == (tmp_path / "table.csv").read_text()
    where = "--where", "target.domain=[-1,1]", "--where", "trainer.progress_bar=false"
    compare.main([str(copy), *where, "--group-by", "model.activation, seed"])
    assert "model.activation=relu, seed=4" in capsys.readouterr().out
    compare.main([str(copy), "--out", "vector", "--format", "svg"])
    assert (tmp_path / "vector" / "comparison.svg").read_text().count("model.activation=relu") == 1
    assert (tmp_path / "vector" / "comparison.png").read_bytes() == image(runge.compare(copy).figure())
    compare.main([str(copy / "0")])
    assert "1 run by test/mse_df" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["comparison.csv", "comparison.png", "comparison.svg", "verdicts.csv", "table.csv"])
def test_a_file_that_exists_is_not_overwritten_unless_it_is_of_a_report(name, copy, tmp_path, monkeypatch, refusal):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("mine")
    words = [str(copy / "0"), *(["--csv", name] if name == "table.csv" else ["--out", ".", "--format", "svg"])]
    said = refusal(compare.main, *words)
    assert f"error: {words[1]}: must be a new file, got {name!r}, which exists; --force overwrites it\n" == said
    assert (tmp_path / name).read_text() == "mine"
    for force in ["--force"], [] if name != "table.csv" else ["--force"]:  # at last, a report of its own
        compare.main([*words, *force])
        assert (tmp_path / name).read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["nowhere"], ["nowhere"]),
        (["empty"], ["there is none"]),
        (["--metric", "test/r2_f"], ["--metric: ", "smaller when it is better"]),
        (["--metric", "test/mse"], ["--metric", "such as test/mse_f, test/mse_df,", "--csv -", "'test/mse'"]),
        (["--where", "model.width"], ["--where", "key=value", "'model.width'"]),
        (["--where", "model.wdth=3"], ["--where", "such as model.width,", "'model.wdth=3'"]),
        (["--where", "seed=77"], ["--where", "0, 1, 2, 3, 4", "'77'"]),
        (["--csv", "x.csv", "--out", "y"], ["--csv", "--out"]),
        (["--format", "pfd"], ["--format", "'pfd'", "pdf"]),
        (["--format", "pdf", "--csv", "x.csv"], ["--format", "--csv"]),
        (["--group-by", "model.wdth"], ["--group-by", "model.width", "'model.wdth'"]),
        (["--out", "file/x"], ["file"]),
    ],
    ids=" ".join,
)
def test_mistakes(arguments, fragments, sweep, refusal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    runs = [str(sweep[0])] if len(arguments) > 1 else []
    message = refusal(compare.main, *runs, *arguments).splitlines()[-1]
    assert all(fragment in message for fragment in fragments)


def test_groups_are_named_by_their_options(copy):
    path = copy / "0" / "run.json"
    content = json.loads(path.read_text())
    assert content.pop("options")["schedule"] == "two_stage"
    assert collect([copy])[0].settings["schedule"] == "two_stage"
    assert len(collect([copy], ["schedule=two_stage"])) == 10
    path.write_text(json.dumps(content))  # a run before version 0.3
    assert {record.settings["schedule"] for record in collect([copy])} == {"TwoStage"}


def test_keys_that_distinguish_no_runs(copy):
    """They are those without effect, and those with the name of a figure or of `status`."""
    for number, value in (("0", 1e-99), ("1", 2e-99)):
        path = copy / number / "run.json"
        trainer = json.loads(path.read_text())["trainer"] | {"progress_bar": True}
        merge(path.with_name("status.json"), checksums={}, made_with={})
        merge(path, trainer=trainer, status="finished", **{"test/mse_df": value, "test/mine": value})
    (copy / "0" / "metrics.json").unlink()
    ranking = rank_directories([copy])
    assert ranking.keys == ["seed", "model.activation", "test/mine"]
    assert [record.path for record in ranking.records][-1] == str(copy / "0")
    assert min(min(group.values) for group in ranking.groups) > 1e-9
    header, *rows = csv.reader(ranking.csv().splitlines())
    assert header.count("test/mse_df") == header.count("status") == 1
    last = dict(zip(header, rows[-1], strict=True))
    assert (last["test/mse_df"], last["status"], last["test/mine"]) == ("", "running", "1e-99")
    runs = runge.runs(copy).set_index("run")
    assert math.isnan(runs.loc[str(copy / "0"), "test/mse_df"])
    assert runs.loc[str(copy / "1"), "test/mse_df"] > 1e-9


def test_tags_and_notes_are_columns_where_there_are_any_and_divide_no_runs(copy):
    plain = rank_directories([copy])
    for ranking in (plain, rank_directories([copy / "0"])):
        assert not {"tags", "note"} & {*ranking.csv().splitlines()[0].split(","), *runge.runs(copy)}
    for name in "01":  # without the checksums of what is changed here
        merge(copy / name / "status.json", checksums={})
    merge(copy / "0" / "run.json", tags=["first", "x"], note="the first")
    merge(copy / "1" / "run.json", note="=1+1")
    twin = shutil.copytree(copy / "0", copy / "10")
    merge(twin / "run.json", note="a copy")
    ranking = rank_directories([copy])
    assert (ranking.keys, ranking.repetitions) == (plain.keys, 1)
    assert [group.values for group in ranking.groups] == [group.values for group in plain.groups]
    header, *rows = csv.reader(ranking.csv().splitlines())
    of_run = {(row := dict(zip(header, line, strict=True)))["run"]: (row["tags"], row["note"]) for line in rows}
    assert of_run[str(copy / "0")] == ("['first', 'x']", "the first")
    assert of_run[str(copy / "2")] == ("", "")
    assert page_data(copy)["others"] == ["tags", "note"]


def test_notebook(sweep):
    runs = runge.runs(sweep[0], sweep[0] / "0")
    assert len(runs) == 10
    assert runs.groupby("model.activation")["test/mse_df"].median().shape == (2,)
    curves = runge.history(runs["run"][0])
    assert curves["step"].tolist() == [20, 40, 60, 80, 100, 120]
    assert "val/mse_df/peak" in curves


def test_figures_that_some_runs_lack(tmp_path, capsys):
    """As of runs without labels of derivatives; files hold no NaN."""
    records = made_up({("tanh", 0.1, width): width for width in (8, 9, 10)})
    for i, record in enumerate(records):
        own = {"test/nrmse_df": 0.1, "test/nrmse_df/dy_dx": 0.2} if i < 5 else {}
        lacking = dict.fromkeys(record.figures) if i % 2 else dict(record.figures)
        records[i] = replace(record, figures=lacking | own)
    for metric in (None, "test/nrmse_df/dy_dx"):
        publish(rank(records, metric), tmp_path)
        assert "15 runs by" in capsys.readouterr().out
        assert {row["status"] for row in table(tmp_path)} == {"finished"}


@pytest.mark.parametrize("width", [60, 200])
@pytest.mark.parametrize("number", [1, 3, 5])
def test_nothing_is_torn_on_a_narrow_terminal(number, width, capsys):
    keys = ["optimizer", "trainer.max_steps", "trainer.diagnostics_every", "trainer.precision", "trainer.log_every"]
    records = []
    for i, name in enumerate(("adam", "levenberg_marquardt")):
        settings = dict.fromkeys(keys[:number], 10**i) | {"optimizer": name, "seed": i}
        overrides, figures = f"optimizer={name} seed={i}", {"test/mse_df": 1.0}
        records.append(RunRecord(f"runs/{i}", "finished", overrides=overrides, settings=settings, figures=figures))
    show(rank(records), Console(width=width))
    shown = capsys.readouterr().out.partition("leads")[0]
    assert "2 runs by test/mse_df" in shown
    for word in ("levenberg_marquardt", "test/mse_df", "finished", *(["diagnostics_every"] if number == 3 else [])):
        assert re.search(rf"\b{word}\b", shown)
