"""Comparisons of real runs: the command, the files, the page in a browser, and TensorBoard."""

import base64
import csv
import errno
import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import unquote

import numpy as np
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from werkzeug.serving import make_server

import runge
from runge.compare import __main__ as compare
from runge.compare.comparison import Comparison, collect
from runge.compare.watch import Watch
from runge.runs.directories import RunDirectory
from runge.runs.reading import RunRecord
from tests.conftest import ROOT
from tests.launch.test_run import SHORT

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
EVIL = "<script>document.title='owned'</script>"


@pytest.fixture
def sweep(trained):
    """Return the directory and the output of a sweep over activation and seed."""
    options = ("hydra.sweep.dir=sweep", "trainer.progress_bar=false")
    folder, out = trained("-m", *SHORT, "model.activation=tanh,relu", "seed=range(5)", *options)
    return folder / "sweep", out


@pytest.fixture
def copy(sweep, tmp_path):
    return shutil.copytree(sweep[0], tmp_path / "sweep")


def table(path):
    return list(csv.DictReader((path / "comparison.csv").read_text().splitlines()))


def page_data(path):
    match = re.search(r'id="data">(.*)</script>', (path / "comparison.html").read_text())
    return json.loads(match[1], parse_constant=pytest.fail)


def numbers(packed, kind="<f4"):
    return np.frombuffer(base64.b64decode(packed), kind)


def test_end_of_a_sweep(sweep):
    path, out = sweep
    assert {"comparison.csv", "comparison.html", "comparison.png"} <= {file.name for file in path.iterdir()}
    end = out[out.index("10 runs by test/mse_df") :]
    assert "activation" in end
    assert "seed" in end
    assert "Mann-Whitney U, n = 5 and 5" in end
    assert "report: sweep/comparison.html" in end
    rows = table(path)
    assert len(rows) == 10
    errors = [float(row["test/mse_df"]) for row in rows]
    assert errors == sorted(errors)
    assert rows[0].keys() >= {
        "run",
        "status",
        "overrides",
        "model.activation",
        "seed",
        "test/mse_f/peak",
        "seconds/fit",
    }
    assert "model.width" not in rows[0]
    assert "model.activation=" in rows[0]["overrides"]


def test_figures_are_those_of_the_runs(sweep):
    for row in table(sweep[0]):
        metrics = json.loads((sweep[0].parent / row["run"] / "metrics.json").read_text())
        assert float(row["test/max_df"]) == metrics["test/max_df"]


def test_sweep_with_failures_is_compared(train, tmp_path):
    status, out, err = train("-m", *SHORT, "optimizer=sgd", "optimizer.lr=0.01,1e12", "optimizer.clip_norm=null")
    assert status == 1
    assert "diverged" in err
    (path,) = tmp_path.glob("outputs/multirun/*/*/comparison.csv")
    assert [row["status"] for row in table(path.parent)] == ["finished", "diverged"]
    assert "diverged: diverged" not in " ".join((out + err).split())
    assert "2 runs by test/mse_df" in out


def test_unfinished_runs_are_listed_with_the_reason(copy, capsys):
    (copy / "0" / "metrics.json").write_text("{")
    (copy / "1" / "metrics.json").unlink()
    shutil.rmtree(copy / "2" / ".hydra")
    (copy / "3" / "status.json").unlink()
    (copy / "4" / "fit.csv").write_text("x,f,df,u,du\n")
    (copy / "5" / "history.csv").write_bytes(b"\xff")
    (copy / "6" / "status.json").write_text("[]")
    (copy / "7" / ".hydra" / "config.yaml").write_text("a: [")
    metrics = (copy / "8" / "metrics.json").read_text()
    (copy / "8" / "metrics.json").write_text(re.sub('("test/mse_df"): [^,]*', r"\1: NaN", metrics))
    lines = (copy / "9" / "history.csv").read_text().splitlines()
    (copy / "9" / "history.csv").write_text("\n".join([*lines[:-1], lines[-1][:20]]))
    configuration = (copy / "9" / ".hydra" / "config.yaml").read_text()
    (copy / "9" / ".hydra" / "config.yaml").write_text(configuration + "extra: .inf\n")
    compare.main([str(copy)])
    statuses = {row["run"].rpartition("/")[2]: (row["status"], row["message"]) for row in table(copy)}
    assert [statuses[str(i)][0] for i in range(10)] == [
        *("unreadable", "running", "unreadable", "unreadable", "finished"),
        *("finished", "unreadable", "unreadable", "unreadable", "finished"),
    ]
    assert all(message for status, message in statuses.values() if status != "finished")
    assert table(copy)[0]["test/mse_df"] != ""
    runs = page_data(copy)["runs"]
    assert len(runs) == 10
    messages = {run["name"]: run["message"] for run in runs}
    assert "fit.csv is damaged" in messages["4"]
    assert "history.csv is damaged" in messages["5"]
    assert "unreadable" in capsys.readouterr().out


def test_fits_are_those_of_the_files(copy):
    compare.main([str(copy)])
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


def test_runs_of_an_older_version_are_compared_without_their_fits(copy):
    for number in range(3):
        (copy / str(number) / "fit.csv").unlink()
    (copy / "3" / "metrics.json").unlink()
    (copy / "3" / "fit.csv").unlink()
    compare.main([str(copy)])
    fits = {run["name"]: "error_f" in run for run in page_data(copy)["runs"]}
    assert fits == {str(number): number > 3 for number in range(10)}
    assert "without fit.csv, written by older versions: 3." in (copy / "comparison.html").read_text()


def test_comparing_loads_neither_torch_nor_hydra(copy):
    code = (
        "import runpy, sys; runpy.run_module('runge.compare', run_name='__main__');"
        "sys.exit(' '.join({'torch', 'lightning', 'hydra', 'omegaconf'} & set(sys.modules)) or 0)"
    )
    command = [sys.executable, "-c", code, str(copy)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_table_is_written_completely_or_not_at_all(copy, tmp_path, monkeypatch, capsys):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "table.csv").write_text("older")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SystemExit):
        compare.main([str(copy), "--csv", str(tmp_path / "table.csv")])
    assert f"No space left on device: '{tmp_path / 'table.csv'}'" in capsys.readouterr().err
    assert (tmp_path / "table.csv").read_text() == "older"


def test_command(copy, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compare.main([str(copy), "--out", "there", "--metric", "test/mse_f", "--where", "model.activation=tanh"])
    out = capsys.readouterr().out
    assert "5 runs by test/mse_f" in out
    assert {file.name for file in (tmp_path / "there").iterdir()} == {
        "comparison.csv",
        "comparison.html",
        "comparison.png",
    }
    compare.main([str(copy / "3"), "sweep", str(tmp_path), "--csv", "-", "--where", "seed=3"])
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert ["seed=3" in row["overrides"] for row in rows] == [True, True]
    compare.main([str(copy), "--csv", "table.csv"])
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 11
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as pool:  # a pipe is written to, not replaced
        read = pool.submit((tmp_path / "pipe").read_text)
        compare.main([str(copy), "--csv", "pipe"])
        assert read.result(timeout=60) == (tmp_path / "table.csv").read_text()
    compare.main([str(copy), "--where", "target.domain=[-1,1]", "--group-by", "model.activation, seed"])
    assert "model.activation=relu, seed=4" in capsys.readouterr().out
    compare.main([str(copy), "--group-by", "seed"])
    assert "seed=4" in capsys.readouterr().out
    compare.main([str(copy / "0")])
    assert "1 run by test/mse_df" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["nowhere"], ["nowhere"]),
        ([".", "--metric", "test/mse"], ["--metric", "such as test/mse_f, test/mse_df,", "--csv -", "'test/mse'"]),
        ([".", "--where", "model.width"], ["--where", "key=value", "'model.width'"]),
        ([".", "--where", "model.wdth=3"], ["--where", "such as model.width,", "'model.wdth=3'"]),
        ([".", "--where", "seed=77"], ["--where", "0, 1, 2, 3, 4", "'77'"]),
        ([".", "--csv", "x.csv", "--out", "y"], ["--csv", "--out"]),
        ([".", "--group-by", "model.wdth"], ["--group-by", "model.width", "'model.wdth'"]),
        ([".", "--out", "file/x"], ["file"]),
    ],
)
def test_mistakes(arguments, fragments, copy, capsys, monkeypatch):
    monkeypatch.chdir(copy)
    (copy / "file").touch()
    with pytest.raises(SystemExit) as end:
        compare.main(arguments)
    assert end.value.code != 0
    message = capsys.readouterr().err.splitlines()[-1]
    assert all(fragment in message for fragment in fragments)


def test_nothing_to_compare(tmp_path, capsys):
    with pytest.raises(SystemExit):
        compare.main([str(tmp_path)])
    assert "there is none" in capsys.readouterr().err


def test_keys_without_effect_do_not_distinguish_runs(copy):
    path = copy / "0" / ".hydra" / "config.yaml"
    path.write_text(path.read_text().replace("progress_bar: false", "progress_bar: true"))
    assert Comparison(collect([copy])).keys == ["seed", "model.activation"]


def test_a_setting_with_the_name_of_a_figure_is_ignored(copy, capsys):
    """So is one named `status`; the figures of a run without any stay empty."""
    for number, value in (("0", 1e-99), ("1", 2e-99)):
        path = copy / number / ".hydra" / "config.yaml"
        path.write_text(f"{path.read_text()}test/mse_df: {value}\ntest/mine: {value}\nstatus: finished\n")
    (copy / "0" / "metrics.json").unlink()
    comparison = Comparison(collect([copy]))
    assert comparison.keys == ["seed", "model.activation", "test/mine"]
    assert [record.path for record in comparison.records][-1] == str(copy / "0")
    assert min(min(group.values) for group in comparison.groups) > 1e-9
    compare.main([str(copy)])
    header, *rows = csv.reader((copy / "comparison.csv").read_text().splitlines())
    assert header.count("test/mse_df") == header.count("status") == 1
    last = dict(zip(header, rows[-1], strict=True))
    assert (last["test/mse_df"], last["status"], last["test/mine"]) == ("", "running", "1e-99")
    runs = runge.runs(copy).set_index("run")
    assert math.isnan(runs.loc[str(copy / "0"), "test/mse_df"])
    assert runs.loc[str(copy / "1"), "test/mse_df"] > 1e-9


def test_notebook(sweep):
    runs = runge.runs(sweep[0])
    assert len(runs) == 10
    assert set(runs["status"]) == {"finished"}
    assert runs.groupby("model.activation")["test/mse_df"].median().shape == (2,)
    curves = runge.history(runs["run"][0])
    assert curves["step"].tolist() == [20, 40, 60, 80, 100, 120]
    assert "val/mse_df/peak" in curves
    assert len(runge.runs(sweep[0], sweep[0] / "0")) == 10


def test_two_dimensions(train, tmp_path):
    target = ("target=expression", "target.expr=sin(x)*y", "target.domain=[[-1,1],[0,2]]")
    status, out, err = train("-m", *target, "model.depth=1,2", *SHORT)
    assert status == 0, out + err
    assert list(tmp_path.glob("outputs/multirun/*/*/comparison.html"))


@contextmanager
def opened(report):
    """Open a report in a browser, and collect errors and requests as `wrong`."""
    if BROWSER is None:
        pytest.skip("no browser is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.wrong = []
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("console", lambda message: page.wrong.append(message.text) if message.type == "error" else None)
        address = report if isinstance(report, str) else report.as_uri()

        def note(request):
            if request.url.startswith("http") and not request.url.startswith(address):
                page.wrong.append(request.url)

        page.on("request", note)
        page.goto(address)
        page.wait_for_selector("html[data-plots=ready]")
        yield page
        browser.close()


@pytest.fixture
def page(copy):
    shutil.move(copy / "0", copy / EVIL.replace("/", "|"))
    configuration = yaml.safe_load((copy / "1" / ".hydra" / "config.yaml").read_text())
    configuration["model"]["activation"] = EVIL
    configuration["<img src=x onerror=document.title='owned'>"] = 1
    (copy / "1" / ".hydra" / "config.yaml").write_text(yaml.safe_dump(configuration))
    compare.main([str(copy)])
    with opened(copy / "comparison.html") as page:
        yield page


def drawn(page):
    """Wait until all plots are drawn."""
    page.wait_for_selector("html[data-plots=ready]")


def traces(page, plot):
    return page.evaluate(f"document.getElementById('{plot}').data.map(trace => trace.name)")


def test_page_in_a_browser(page, copy):
    folder = copy
    names = page.locator("#runs tbody tr td:nth-child(2)")
    assert names.count() == 10
    assert page.title() == "Comparison of 10 runs"
    assert "<script>" in page.locator("main").inner_text()

    # Sorted, by the keyboard.
    column = page.locator("#runs thead th").all_inner_texts().index("test/mse_f") + 1
    for order in ("ascending", "descending"):
        page.get_by_role("button", name="test/mse_f:").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(f"#runs thead th:nth-child({column})[aria-sort={order}]")
        figures = [float(text) for text in page.locator(f"#runs tbody tr td:nth-child({column})").all_inner_texts()]
        assert figures == sorted(figures, reverse=order == "descending")

    # Filtered by text.
    page.get_by_role("searchbox").fill("relu")
    assert names.count() == 5
    page.get_by_role("searchbox").fill("")

    # Two runs overlaid, one by a click, one by the keyboard.
    page.get_by_role("button", name="Clear the selection").click()
    assert not page.locator("#error_df").is_visible()
    page.locator("#runs tbody tr input").nth(0).focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    drawn(page)
    assert page.locator("#selected").inner_text() == "2 of 10 runs selected"
    assert len(traces(page, "error_df")) == 2
    assert len(traces(page, "value")) == 3
    assert len(traces(page, "losses")) == 4
    assert page.evaluate("document.getElementById('losses').layout.shapes.length") == 2
    assert len(traces(page, "regions")) == 2

    # All runs, each of a colour of its own, which its row has too; a row under the pointer lights its lines.
    page.get_by_role("button", name="Select all").click()
    drawn(page)
    boxes = page.locator("#runs tbody tr input")
    assert len({box.evaluate("box => box.style.accentColor") for box in boxes.all()}) == 10
    assert len({box.get_attribute("aria-label") for box in boxes.all()}) == 10
    assert page.locator("#legend tbody tr").count() == 10
    assert page.evaluate("document.querySelector('#value .nsewdrag').getBoundingClientRect().height") > 200
    page.locator("#runs tbody tr").nth(2).hover()
    opacity = "[...document.querySelectorAll('#error_df .scatterlayer .trace')].map(line => line.style.opacity)"
    assert sorted(page.evaluate(opacity)) == ["", *["0.12"] * 9]
    page.locator("h1").hover()
    assert page.evaluate(opacity) == [""] * 10

    # A row says in what the selected runs differ, and links to their files.
    header = page.locator("#legend th").all_inner_texts()
    assert header == [
        "run",
        "seed",
        "model.activation",
        "<img src=x onerror=document.title='owned'>",
        "test/mse_df",
        "files",
    ]
    addresses = [link.get_attribute("href") for link in page.locator("#legend a").all()]
    assert len(addresses) == 50
    assert all((folder / unquote(address)).exists() for address in addresses)

    # A heat map of any two settings.
    page.locator("#down").select_option(label="seed")
    page.locator("#across").select_option(label="model.activation")
    drawn(page)
    cells = page.evaluate("document.getElementById('heat').data[0].z")
    assert [len(cells), len(cells[0])] == [5, 3]

    assert page.title() == "Comparison of 10 runs"
    assert page.wrong == []


def made_up(errors, seeds=5):
    """Return the records of a sweep whose errors follow from its settings."""
    records = []
    for settings, error in errors.items():
        for seed in range(seeds):
            values = {"model.activation": settings[0], "optimizer.lr": settings[1], "model.width": settings[2]}
            figures = {"test/mse_df": error * (1 + seed / 10), "test/mse_f": error}
            records.append(
                RunRecord(f"runs/{len(records)}", "finished", settings=values | {"seed": seed}, figures=figures)
            )
    return records


def test_all_parts_name_the_same_winner(tmp_path, capsys):
    """Over all else relu looks best, because a large learning rate suits it; the best group is one of tanh."""
    settings = itertools.product(("relu", "tanh"), (0.1, 0.001), range(8, 20))
    errors = {one: 0.1 if one[0] == "relu" else 10 if one[1] == 0.1 else 1 / one[2] ** 3 for one in settings}
    comparison = Comparison(made_up(errors))
    winner = "model.activation=tanh, optimizer.lr=0.001, model.width=19"
    assert comparison.lead.startswith(f"{winner} leads")
    comparison.show(Console(width=200))
    shown = capsys.readouterr().out
    assert re.search(rf"{re.escape(winner)} +5 +1\.75e-04", shown)
    assert shown.index(winner) < shown.index("model.width=18", shown.index("over seeds"))
    assert next(csv.DictReader(comparison.csv().splitlines()))["model.width"] == "19"
    (tmp_path / "report.html").write_text(comparison.html())
    with opened(tmp_path / "report.html") as page:
        assert page.locator(".groups").first.locator("tbody tr").count() == 10
        assert page.locator(".groups td").first.inner_text() == winner
        assert page.locator("#runs tbody tr").first.inner_text().split()[1:4] == ["tanh", "0.001", "19"]
        assert page.evaluate("document.getElementById('boxes').data[0].name.replaceAll('<br>', ' ')") == winner
        page.locator("summary").click()
        assert page.locator(".groups").nth(1).locator("tbody tr").count() == 38
        page.locator("#across").select_option(label="model.activation")
        page.locator("#down").select_option(label="optimizer.lr")
        winners = {}
        for statistic in ("group", "run", "all"):
            assert statistic == "group" or page.locator("#statistic").select_option(statistic)
            drawn(page)
            heat = page.evaluate("document.getElementById('heat').data[0]")
            lowest = [min(column) for column in zip(*heat["z"], strict=True)]
            winners[statistic] = heat["x"][lowest.index(min(lowest))], min(lowest)
        assert winners["group"] == ("tanh", pytest.approx(math.log10(1.2 / 19**3)))
        assert winners["run"] == ("tanh", pytest.approx(math.log10(1 / 19**3)))
        page.locator("#down").select_option(label="seed")
        drawn(page)
        over_all = page.evaluate("document.getElementById('heat').data[0]")
        lowest = {x: min(row[i] for row in over_all["z"]) for i, x in enumerate(over_all["x"])}
        assert lowest["relu"] < lowest["tanh"]
        assert page.wrong == []


def test_diverged_runs_are_the_worst_everywhere(tmp_path, capsys):
    records = made_up({("tanh", 0.1, 8): 2, ("tanh", 0.6, 8): 1, ("tanh", 9, 8): 1})
    records = [
        replace(one, status="diverged", figures={}) if one.settings["optimizer.lr"] * (i % 5) > 0.6 else one
        for i, one in enumerate(records)
    ]
    comparison = Comparison(records)
    assert comparison.lead.startswith("optimizer.lr=0.1 leads optimizer.lr=0.6 in the median; Mann-Whitney U, n = 5")
    comparison.publish(tmp_path)
    out = capsys.readouterr().out
    row = ["lr=0.6", "5", "(3", "of", "5", "diverged)", "inf", "1.1e+00", "to", "inf", "inf"]
    assert " ".join(row) in " ".join(out.split())
    assert len(table(tmp_path)) == 15
    with opened(tmp_path / "comparison.html") as page:
        rows = [row.split("\t") for row in page.locator(".groups tbody tr").all_inner_texts()]
        counts = ["5", "5 (3 of 5 diverged)", "5 (4 of 5 diverged)"]
        names = [f"optimizer.lr={lr}" for lr in (0.1, 0.6, 9)]
        assert [row[:2] for row in rows] == [list(row) for row in zip(names, counts, strict=True)]
        boxes = page.evaluate(
            "document.getElementById('boxes').layout.yaxis.ticktext.map(x => x.replaceAll('<br>', ' '))"
        )
        assert boxes == [names[0], f"{names[1]}, 3 of 5 diverged", f"{names[2]}, 4 of 5 diverged"]
        assert page.wrong == []


def test_figures_that_some_runs_lack(tmp_path, capsys):
    """As of older runs, and of runs without labels of derivatives; files hold no NaN."""
    records = made_up({("tanh", 0.1, width): width for width in (8, 9, 10)})
    for i, record in enumerate(records):
        own = {"test/nrmse_df": 0.1, "test/nrmse_df/dy_dx": 0.2} if i < 5 else {}
        lacking = dict.fromkeys(record.figures) if i % 2 else dict(record.figures)
        records[i] = replace(record, figures=lacking | own)
    for metric in (None, "test/nrmse_df", "test/nrmse_df/dy_dx"):
        Comparison(records, metric).publish(tmp_path)
        assert "15 runs by" in capsys.readouterr().out
        assert {row["status"] for row in table(tmp_path)} == {"finished"}


def test_many_groups_on_a_terminal(capsys):
    settings = itertools.product(("relu", "tanh"), (0.1, 0.001), range(8, 20))
    Comparison(made_up({one: one[1] / one[2] for one in settings})).show(Console())
    out = capsys.readouterr().out
    assert "the best 10 of 48 groups" in " ".join(out.split())


def write_fit(run, columns):
    """Replace the fit of a finished run, and its test errors by output."""
    directory = RunDirectory(run)
    figures = {name: figure for name, figure in directory.read_metrics().items() if name.count("/") < 2}
    outputs = [name[2:] for name in columns if name.startswith("u_")]
    figures |= {f"test/mse_df/{name}": 0.1 for name in outputs}
    table = {name: np.asarray(values).tolist() for name, values in columns.items()}
    directory.write(directory.read_state(), runge.history(run).to_dict("list"), figures, None, table)


def test_page_of_several_inputs_and_outputs(copy):
    """Columns of the table: inputs t and <b>v</b>, outputs a and b; a is not known at the first two points."""
    t, v = np.random.default_rng(0).random((2, 30))
    a = t * v
    a[:2] = np.nan
    known = {"t": t, "<b>v</b>": v, "a": a, "b": t + v, "db_dt": np.ones(30), "u_b": t + v + 1e-3, "du_b_dt": 1 + t}
    known |= {"du_b_d<b>v</b>": v, "du_a_dt": v, "du_a_d<b>v</b>": t}
    for number in range(10):
        write_fit(copy / str(number), known | {"u_a": t * v + 0.01 * number})
    compare.main([str(copy)])
    data = page_data(copy)
    assert data["by"] == "output"
    (function,) = data["functions"]
    assert (function["inputs"], function["outputs"]) == (["t", "<b>v</b>"], ["a", "b"])
    run = next(run for run in data["runs"] if run["name"] == "3")
    assert np.allclose(numbers(run["error_f"]).reshape(30, 2)[2:], [0.03, 1e-3], rtol=1e-6)
    assert np.isnan(numbers(run["error_df"]).reshape(30, 2, 2)[:, 0]).all()
    assert np.allclose(numbers(run["u"]).reshape(30, 2)[:, 0], t * v + 0.03, rtol=1e-6)
    with opened(copy / "comparison.html") as page:
        for hidden in ("value", "derivative", "error_f", "error_df", "of_output"):
            assert not page.locator(f"#{hidden}").is_visible()
        for plot in ("parity", "residual", "along"):
            assert len([name for name in traces(page, plot) if name]) == 2
        assert page.locator("#legend tbody tr").count() == 2
        page.locator("#quantity").select_option(label="∂b/∂t")
        drawn(page)
        shown = (
            "({data: [{x, marker}], layout: {xaxis, yaxis}}) => [x, marker.color, xaxis.title.text, yaxis.title.text]"
        )
        first, errors, across, up = page.evaluate(f"({shown})(document.getElementById('map'))")
        assert np.allclose(first, t, rtol=1e-6)
        assert np.allclose(10 ** np.array(errors), t, rtol=1e-5)
        assert (across, up) == ("t", "&lt;b>v&lt;/b>")
        page.get_by_role("button", name="Clear the selection").click()
        assert page.locator("#legend tbody tr").count() == 0
        assert page.wrong == []
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def axis(page, plot, name="x"):
    return page.evaluate(f"document.getElementById('{plot}').data[0].{name}")


def test_filters_by_column(tmp_path):
    """The choice of words and the range of numbers hide rows, and all plots follow."""
    settings = itertools.product(("relu", "tanh"), (0.1, 0.001), range(8, 22))
    comparison = Comparison(made_up({one: one[1] / one[2] for one in settings}, seeds=1))
    (tmp_path / "report.html").write_text(comparison.html())
    with opened(tmp_path / "report.html") as page:
        info, header = page.locator(".dt-info"), page.locator("#runs thead th")

        def filter_of(column):
            header.filter(has_text=column).get_by_role("button", name="Filter").click()

        filter_of("model.activation")
        page.locator(".dtcc-list button", has_text="tanh").click()
        assert "28 entries" in info.inner_text()
        drawn(page)
        assert len(axis(page, "front")) == 28
        assert axis(page, "heat", "x") == ["tanh"] or axis(page, "heat", "y") == ["tanh"]
        page.keyboard.press("Escape")
        filter_of("model.width")
        page.get_by_role("textbox", name="model.width from").fill("10")
        page.get_by_role("textbox", name="model.width to").fill("12")
        drawn(page)
        assert sorted(set(axis(page, "heat", "y") + axis(page, "heat", "x"))) == ["10", "11", "12", "tanh"]
        assert len(axis(page, "front")) == 6
        assert "6 of 56 runs" in page.locator("#matching").inner_text()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download CSV").click()
        rows = list(csv.DictReader(download.value.path().read_text("utf-8-sig").splitlines()))
        shown = [record for record in comparison.records if record.settings["model.width"] in (10, 11, 12)]
        shown = [record for record in shown if record.settings["model.activation"] == "tanh"]
        assert [float(row["test/mse_df"]) for row in rows] == [record.figures["test/mse_df"] for record in shown]
        filter_of("model.width")
        page.get_by_role("textbox", name="model.width from").fill("1000")
        drawn(page)
        assert not page.locator("#front").is_visible()
        assert page.wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_accessible(page, scheme):
    """No finding of axe-core, and a way past the table for the keyboard."""
    page.emulate_media(color_scheme=scheme)
    drawn(page)
    page.locator("body").press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the plots"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "plots"
    assert page.locator('#runs input[tabindex="0"]').count() == 1
    for button in ("Columns", "Filter"):  # the menu of each is open
        page.locator("#runs thead").get_by_role("button", name=button).first.click()
        found = Axe().run(page).response["violations"]
        assert [(one["impact"], one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
        page.keyboard.press("Escape")


def test_a_sweep_is_watched(copy):
    """The page follows the files, and keeps its selection; other names of this machine and other files are refused."""
    for name in ("metrics.json", "history.csv"):
        (copy / "3" / name).rename(copy.parent / name)
    state = json.loads((copy / "3" / "status.json").read_text())
    (copy / "3" / "status.json").write_text(json.dumps(state | {"status": "running", "step": 60}))
    watch = Watch(lambda: Comparison(collect([copy])))
    server = make_server("127.0.0.1", 0, watch.application, threaded=True)
    address = f"http://127.0.0.1:{server.server_port}/"
    with ThreadPoolExecutor() as pool:
        pool.submit(server.serve_forever)
        try:
            with opened(address) as page:
                running = page.locator("#runs tbody tr", has_text="running: step 60 of 120")
                assert running.count() == 1
                assert "9 finished, 1 running" in page.locator("#summary").inner_text()
                running.click()
                chosen = page.locator("#selected").inner_text()
                (copy / "3" / "status.json").write_text(json.dumps(state))
                for name in ("history.csv", "metrics.json"):
                    (copy.parent / name).rename(copy / "3" / name)
                page.wait_for_function("document.querySelector('#runs').innerText.search('running') < 0")
                assert page.locator("#selected").inner_text() == chosen == "3 of 10 runs selected"
                link = page.locator("#legend a", has_text="configuration").first.get_attribute("href")
                with urllib.request.urlopen(address + link) as answer:
                    assert b"max_steps: 120" in answer.read()
                shutil.move(copy, copy.parent / "moved")
                page.wait_for_function("document.querySelector('#trouble').textContent.includes('no directory')")
                page.wrong.clear()
            for path, host in (("files/0/../1/metrics.json", None), ("now", "evil.example")):
                request = urllib.request.Request(address + path, headers={"Host": host} if host else {})
                with pytest.raises(urllib.error.HTTPError, match=r"40[04]"):
                    urllib.request.urlopen(request)
        finally:
            server.shutdown()
            server.server_close()


def test_page_on_a_phone_and_in_the_dark(page):
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("getComputedStyle(document.body).backgroundColor === 'rgb(22, 22, 24)'")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.wrong == []


def test_page_is_self_contained(sweep):
    text = (sweep[0] / "comparison.html").read_text()
    assert not re.search(r"""<(script|link|img|iframe)[^>]*\s(src|href)=["']?http""", text)
    assert len(text) < 7_000_000


def test_unfinished_runs_are_in_hparams(train, tmp_path):
    sgd = ("optimizer=sgd", "optimizer.lr=1e12", "optimizer.clip_norm=null")
    assert train(*SHORT, *sgd, "hydra.run.dir=run")[0] == 1
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_hparams_of_tensorboard(sweep):
    """Ask TensorBoard itself: each run appears once, with all settings and test errors in their columns."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(sweep[0]), "--port", "0", "--load_fast=false"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        address = next(match[1] for line in server.stderr if (match := re.search(r"(http://localhost:\d+/)", line)))

        def ask(what, body):
            url = f"{address}data/plugin/hparams/{what}"
            request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)

        experiment = ask("experiment", {})
        for _ in range(100):
            if len(groups := _session_groups(ask, experiment)) == 10:
                break
            experiment = ask("experiment", {})
        assert len(groups) == 10
        experiment = ask("experiment", {})  # whose columns follow from the runs that have been read
        columns = [info["name"] for info in experiment["hparamInfos"]]
        assert {"model.activation", "seed"} == {*columns[:2]}  # those that differ
        assert {"data.batch_size", "loss.lambda_d", "sampling", "optimizer.lr"} <= {*columns}
        assert {info["name"]["tag"] for info in experiment["metricInfos"]} >= {"test/mse_df", "test/max_f/peak"}
        for group in groups:
            assert {"model.activation", "seed", "data.batch_size", "optimizer.betas"} <= set(group["hparams"])
            assert group["hparams"]["model.activation"] in ("tanh", "relu")
            assert len(group["sessions"]) == 1
            values = {value["name"]["tag"]: value["value"] for value in group["metricValues"]}
            run = sweep[0] / group["sessions"][0]["name"].rpartition("/tensorboard")[0]
            assert values["test/mse_df"] == pytest.approx(json.loads((run / "metrics.json").read_text())["test/mse_df"])
    finally:
        server.terminate()
        server.wait()
        server.stderr.close()


def _session_groups(ask, experiment):
    columns = [{"hparam": info["name"]} for info in experiment.get("hparamInfos", [])]
    columns += [{"metric": info["name"]} for info in experiment.get("metricInfos", [])]
    body = {"experimentName": "", "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_RUNNING"]}
    return ask("session_groups", body | {"colParams": columns, "startIndex": 0, "sliceSize": 100}).get(
        "sessionGroups", []
    )
