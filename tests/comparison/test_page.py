"""The report: its data, and one journey in a browser; the drawings of special cases are tests of the night."""

import base64
import csv
import hashlib
import itertools
import math
import re
import shutil
from collections import Counter
from dataclasses import replace
from urllib.parse import unquote

import numpy as np
import pytest
from rich.console import Console

import runge
from runge.commands import compare as compare
from runge.comparison.html_report import publish, render
from runge.comparison.ranking import rank
from runge.comparison.tables import show
from runge.records.directories import RunDirectory
from runge.records.metrics import SWITCHED_ON_STEP
from runge.records.reading import fit_table
from tests.comparison.pages import axis, data_in, drawn, made_up, merge, numbers, page_data, plot

EVIL = "<script>document.title='owned'</script>"


def test_a_journey_in_a_browser(copy, opened, axe):
    shutil.move(copy / "0", copy / EVIL.replace("/", "|"))
    model = RunDirectory(copy / "1").read_configuration()[0]["model"] | {"activation": EVIL}
    merge(copy / "1" / "status.json", checksums={}, made_with={})  # those of the file that is changed
    merge(copy / "1" / "run.json", model=model, **{"<img src=x onerror=document.title='owned'>": 1})
    page = opened(copy)
    names = page.locator("#runs tbody tr td:nth-child(2)")
    assert names.count() == 10
    assert page.title() == "target=runge: 10 runs"
    assert "<script>" in page.locator("main").inner_text()

    # It says what was done: the command, when, by which versions, and the settings that do not differ.
    said = page.locator("#summary").inner_text()
    assert "runge train -m trainer.max_steps=120" in said
    assert "model.activation=tanh,relu 'seed=range(5)'" in said
    assert re.search(rf"Trained \d{{4}}-.*; runge {runge.__version__}, torch 2.*; ranked by test/mse_df", said)
    page.locator("#summary summary").click()
    assert "model.depth=2" in page.locator("#summary code").all_inner_texts()

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
    counts = {"error_df": 2, "value": 3, "losses": 4, "regions": 2}
    assert {name: plot(page, name, "data.length") for name in counts} == counts
    assert plot(page, "losses", "layout.shapes.length") == 2

    # The buttons of a plot send nothing away.
    buttons = page.locator("#losses .modebar-btn").evaluate_all("all => all.map(one => one.dataset.title)")
    assert buttons == ["Download plot as a PNG", "Reset axes"]

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
    extra = "<img src=x onerror=document.title='owned'>"
    assert header == ["run", "seed", "model.activation", extra, "test/mse_df", "files"]
    addresses = [link.get_attribute("href") for link in page.locator("#legend a").all()]
    assert len(addresses) >= 30
    assert all((copy / unquote(address)).exists() for address in addresses)

    # A heat map of any two settings.
    page.locator("#down").select_option(label="seed")
    page.locator("#across").select_option(label="model.activation")
    drawn(page)
    cells = plot(page, "heat", "data[0].z")
    assert [len(cells), len(cells[0])] == [5, 3]

    # Filtered by column: the plots follow, and a page that is loaded again keeps it.
    page.locator("#runs thead th").filter(has_text="model.activation").get_by_role("button", name="Filter").click()
    page.locator(".dtcc-list button", has_text="relu").click()
    for reload in (False, True):
        if reload:
            page.reload()
        drawn(page)
        assert "5 of 10 runs" in page.locator("#matching").inner_text()
        assert (names.count(), len(axis(page, "front"))) == (5, 5)

    # No column is cut off, the keyboard has a way past the table, and axe-core finds nothing, also in the dark.
    table = "(({scrollWidth, clientWidth}) => scrollWidth <= clientWidth)(document.querySelector('.dt-container'))"
    page.set_viewport_size({"width": 1600, "height": 900})
    assert page.evaluate(table)
    page.locator("body").press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the plots"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "plots"
    assert page.locator('#runs input[tabindex="0"]').count() == 1
    for scheme, button in (("light", "Columns"), ("dark", "Filter")):  # with the menu open
        page.emulate_media(color_scheme=scheme)
        drawn(page)
        page.locator("#runs thead").get_by_role("button", name=button).first.click()
        found = axe.run(page).response["violations"]
        assert [(one["impact"], one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
        page.keyboard.press("Escape")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 24)"
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.documentElement.scrollWidth <= 390")
    assert page.title() == "target=runge: 10 runs"


@pytest.mark.nightly
def test_many_runs_are_drawn_as_median_and_quartiles_of_their_groups(copy, opened):
    """More runs than colours: a band and a line for each group, whose figures are those of NumPy.

    Then those with relu have no figures yet, and the histories have different lengths.
    """
    runs = [RunDirectory(copy / str(number)) for number in range(20)]
    for number, run in enumerate(runs[10:], 10):
        shutil.copytree(runs[number - 10].path, run.path)
        merge(run.configuration, seed=number)
        merge(run.status, checksums={}, made_with={})  # those of the file that is changed
    groups = {name: [run for run in runs if name in run.configuration.read_text()] for name in ("tanh", "relu")}
    fits = [fit_table(run.path)["u"] for run in groups["relu"]]
    page = all_selected(copy, opened)
    assert "20 of 20 runs selected: median and quartiles of 2 groups" in page.locator("#selected").inner_text()
    assert page.locator("#legend tbody tr").count() == 2
    counts = {"value": 1 + 2 * 3, "error_df": 2 * 3, "losses": 2 * 2 * 3, "regions": 2}
    assert {name: plot(page, name, "data.length") for name in counts} == counts
    low, high, middle = (plot(page, "value", f"data[{i}].y") for i in (1, 2, 3))
    assert np.allclose([low, high, middle], np.quantile(np.stack(fits), (0.25, 0.75, 0.5), axis=0), atol=1e-5)

    on, losses = [], []
    for number, run in enumerate(runs):
        figures, state, table = run.read_metrics(), run.read_state(), runge.history(run.path)
        figures[SWITCHED_ON_STEP] = None if number % 2 else number
        if run in groups["relu"]:
            run.metrics.unlink()
            table, state, figures = table[: 2 + number // 10], replace(state, status="running"), None
            losses.append(table["train/loss"].tolist())
        elif figures[SWITCHED_ON_STEP]:
            on.append(number)
        run.write(state, table.to_dict("list"), figures)
    page = all_selected(copy, opened)
    assert "median and quartiles of 2 groups" in page.locator("#selected").inner_text()
    rows = [row.inner_text().split("\t")[1:] for row in page.locator("#legend tbody tr").all()]
    assert [row[0] for row in rows] == ["10", "10"]
    assert rows[1][1] == "-" != rows[0][1]
    assert [len(x) for x in plot(page, "losses", "data.map(trace => trace.x)")[3:6]] == [3, 3, 3]  # half have them
    expected = [np.median([loss[i] for loss in losses if i < len(loss)]) for i in range(3)]
    assert np.allclose(plot(page, "losses", "data[5].y"), expected, rtol=1e-6)
    assert [line["x0"] for line in plot(page, "losses", "layout.shapes")] == [np.median(on)]


def all_selected(sweep, opened):
    page = opened(sweep)
    page.get_by_role("button", name="Select all").click()
    drawn(page)
    return page


WINNER = "model.activation=tanh, optimizer.lr=0.001, model.width=19"


@pytest.fixture
def ranking():
    """Runs of which over all else relu looks best, because a large learning rate suits it; the best group has tanh."""
    settings = itertools.product(("relu", "tanh"), (0.1, 0.001), range(8, 20))
    errors = {one: 0.1 if one[0] == "relu" else 10 if one[1] == 0.1 else 1 / one[2] ** 3 for one in settings}
    return rank(made_up(errors))


LINK = "<a href='https://example.org'>click</a>"
FORMULA = "=HYPERLINK(1) <i>"


@pytest.mark.nightly
def test_texts_of_runs_are_no_markup_and_no_formulas(opened):
    """In all plots of two settings, which are dots or cells, in the CSV file, and in a picture."""
    names = ("model.activation", "optimizer.lr", FORMULA)
    records = made_up({(("tanh", LINK, "<b>relu")[i % 3], 0.1**i, i): 1 + i for i in range(15)}, seeds=1)
    settings = [dict(zip(names, record.settings.values(), strict=False)) for record in records]
    page = opened(rank([replace(one, settings=x) for one, x in zip(records, settings, strict=True)]), webgl=True)
    assert page.locator("#parallel .no-webgl").count() == 0
    for across, down in itertools.permutations(names, 2):
        page.locator("#across").select_option(label=across)
        page.locator("#down").select_option(label=down)
        drawn(page)
        assert page.locator("svg a").count() == 0
        heat = page.locator("#heat").inner_text()
        assert across in heat
        assert down in heat
        assert (LINK in heat) == ("model.activation" in (across, down))
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    rows = list(csv.DictReader(download.value.path().read_text("utf-8-sig").splitlines()))
    assert [row["model.activation"] for row in rows[:3]] == ["tanh", LINK, "<b>relu"]
    assert [row[f"'{FORMULA}"] for row in rows] == [str(i) for i in range(15)]
    assert "test/mse_df" in rows[0]
    page.locator("#front").hover()
    with page.expect_download() as download:
        page.locator("#front .modebar-btn").first.click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_only_the_scripts_of_the_page_run(ranking):
    """The policy names the script that starts all others by its checksum, so that the browser runs no other."""
    page = render(ranking)
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    (script,) = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    checksum = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; script-src 'sha256-{checksum}' " in policy
    assert "'unsafe-inline'" not in policy.partition("style-src")[0]
    assert page.index(policy) < page.index("<script")


def test_all_parts_name_the_same_winner(ranking, capsys):
    assert ranking.groups[0].name == WINNER
    assert ranking.lead.startswith("model.activation=tanh leads")
    show(ranking, Console(width=200))
    shown = capsys.readouterr().out
    assert re.search(rf"{re.escape(WINNER)} +5 +1\.75e-04", shown)
    assert "the best 10 of 48 groups" in " ".join(shown.split())
    assert shown.index(WINNER) < shown.index("model.width=18", shown.index("over seeds"))
    assert next(csv.DictReader(ranking.csv().splitlines()))["model.width"] == "19"
    data = data_in(render(ranking))
    assert (len(data["groups"]), len(data["runs"]), data["over"]) == (48, 240, "seeds")
    assert data["groups"][0] == {"name": WINNER}
    first, *_, last = data["runs"]
    assert {"model.activation", "optimizer.lr", "model.width"} <= {*data["settings"]}
    assert (first["status"], first["group"]) == ("finished", WINNER)
    assert {"tanh", 0.001, 19} <= {*first["settings"]}
    assert {"tanh", 0.1} <= {*last["settings"]}


@pytest.mark.nightly
def test_the_page_draws_the_winner_first(ranking, opened):
    page = opened(ranking)
    assert page.locator(".groups").first.locator("tbody tr").count() == 10
    assert page.locator(".groups td").first.inner_text() == WINNER
    assert page.locator("#runs tbody tr").first.inner_text().split()[3:7] == ["finished", "tanh", "0.001", "19"]
    assert plot(page, "boxes", "data[0].name").replace("<br>", " ") == WINNER
    # Six groups have a colour and a name, which no other has.
    colours = plot(page, "front", "data[0].marker.color")
    assert sorted(Counter(colours).values()) == [5, 5, 5, 5, 5, 5, 42 * 5]
    named = [item.inner_text() for item in page.locator("#colours > span").all()]
    assert [named[0], *named[6:]] == ["activation=tanh, lr=0.001, width=19", "42 other groups"]
    box = plot(page, "boxes", "data[0]")
    boxes = [*box["q1"], *box["median"], *box["q3"], *box["x"]]
    assert boxes[:3] == pytest.approx([*ranking.groups[0].quartiles])
    assert sorted(boxes[3]) == pytest.approx([*ranking.groups[0].values])
    page.locator("#groups summary").click()
    assert page.locator(".groups").nth(1).locator("tbody tr").count() == 38
    page.locator("#across").select_option(label="model.activation")
    page.locator("#down").select_option(label="optimizer.lr")
    winners = {}
    for statistic in ("group", "run", "all"):
        page.locator("#statistic").select_option(statistic)
        drawn(page)
        heat = plot(page, "heat", "data[0]")
        lowest = [min(column) for column in zip(*heat["z"], strict=True)]
        winners[statistic] = heat["x"][lowest.index(min(lowest))], min(lowest)
    assert winners["group"] == ("tanh", pytest.approx(math.log10(1.2 / 19**3)))
    assert winners["run"] == ("tanh", pytest.approx(math.log10(1 / 19**3)))
    page.locator("#down").select_option(label="seed")
    drawn(page)
    over_all = plot(page, "heat", "data[0]")
    lowest = {x: min(row[i] for row in over_all["z"]) for i, x in enumerate(over_all["x"])}
    assert lowest["relu"] < lowest["tanh"]


def diverging():
    """Return the ranking of runs of three learning rates; of two of these some have diverged."""
    records = made_up({("tanh", 0.1, 8): 2, ("tanh", 0.6, 8): 1, ("tanh", 9, 8): 1})
    records = [
        replace(one, status="diverged", figures={}) if one.settings["optimizer.lr"] * (i % 5) > 0.6 else one
        for i, one in enumerate(records)
    ]
    return rank(records)


def test_diverged_runs_are_the_worst_everywhere(tmp_path, capsys):
    ranking = diverging()
    assert ranking.lead.startswith("optimizer.lr=0.1 leads optimizer.lr=0.6 by a factor of inf (95 %: ")
    publish(ranking, tmp_path)
    out = capsys.readouterr().out
    assert re.search(r"lr=0 +5 +5 \(3 of 5 +inf +1\.1e\+00 to inf +inf +0\.69", out)
    runs = data_in((tmp_path / "comparison.html").read_text())["runs"]
    assert [run["status"] for run in runs] == ["finished"] * 8 + ["diverged"] * 7
    assert all(figure is None for run in runs[8:] for figure in run["figures"])


@pytest.mark.nightly
def test_the_page_draws_diverged_runs_last(opened):
    page = opened(diverging())
    rows = [row.split("\t") for row in page.locator(".groups tbody tr").all_inner_texts()]
    counts = [("5", "5"), ("5", "5 (3 of 5 diverged)"), ("5", "5 (4 of 5 diverged)")]
    names = [f"optimizer.lr={lr}" for lr in (0.1, 0.6, 9)]
    assert [row[:3] for row in rows] == [[name, *count] for name, count in zip(names, counts, strict=True)]
    boxes = [name.replace("<br>", " ") for name in plot(page, "boxes", "layout.yaxis.ticktext")]
    assert boxes == ["lr=0.1", "lr=0.6, 3 of 5 diverged or failed", "lr=9, 4 of 5 diverged or failed"]
    header = [name for name in page.locator("#runs thead th").all_inner_texts() if name]
    assert "lambda_d on" not in header  # it is empty
    assert "test/max_f" not in header


@pytest.mark.nightly
def test_few_numbers_and_runs_that_diverged(opened):
    """A search over two numbers: an axis without round numbers has its ends, and runs that diverged are crosses."""
    records = made_up({("tanh", 0.1 + i / 7, 8 + i * i): 2.1e-3 + i * 1.6e-4 for i in range(16)}, seeds=1)
    records[3:5] = [replace(one, status="diverged", figures={}) for one in records[3:5]]
    page = opened(rank(records), webgl=True)
    assert plot(page, "heat", "data.map(trace => trace.x.length)") == [14, 2]
    assert "crosses: diverged or failed" in plot(page, "heat", "layout.title.text")
    assert page.locator("#parallel .no-webgl").count() == 0
    assert plot(page, "parallel", "data[0].dimensions.at(-1).ticktext") == ["0.0021", "0.0045"]
    assert "8 other groups" in page.locator("#colours").inner_text()
    page.get_by_role("searchbox").fill("nothing")
    assert "other groups" not in page.locator("#colours").inner_text()


def write_fit(run, columns):
    """Replace the fit of a finished run, and its test errors by output."""
    directory = RunDirectory(run)
    figures = {name: figure for name, figure in directory.read_metrics().items() if name.count("/") < 2}
    outputs = [name[2:] for name in columns if name.startswith("u_")]
    figures |= {f"test/mse_df/{name}": 0.1 for name in outputs}
    table = {name: np.asarray(values).tolist() for name, values in columns.items()}
    directory.write(directory.read_state(), runge.history(run).to_dict("list"), figures, None, table)


@pytest.fixture
def several(copy):
    """Runs with the inputs t and <b>v</b>, and outputs a and b; a is not known at the first two points."""
    t, v = np.random.default_rng(0).random((2, 30))
    a = t * v
    a[:2] = np.nan
    known = {"t": t, "<b>v</b>": v, "a": a, "b": t + v, "db_dt": np.ones(30), "u_b": t + v + 1e-3, "du_b_dt": 1 + t}
    known |= {"du_b_d<b>v</b>": v, "du_a_dt": v, "du_a_d<b>v</b>": t}
    for number in range(10):
        write_fit(copy / str(number), known | {"u_a": t * v + 0.01 * number})
    return copy, t, v


def test_data_of_several_inputs_and_outputs(several):
    copy, t, v = several
    data = page_data(copy)
    assert data["by"] == "output"
    (function,) = data["functions"]
    assert (function["inputs"], function["outputs"]) == (["t", "<b>v</b>"], ["a", "b"])
    run = next(run for run in data["runs"] if run["name"] == "3")
    assert np.allclose(numbers(run["error_f"]).reshape(30, 2)[2:], [0.03, 1e-3], rtol=1e-6)
    assert np.isnan(numbers(run["error_df"]).reshape(30, 2, 2)[:, 0]).all()
    assert np.allclose(numbers(run["u"]).reshape(30, 2)[:, 0], t * v + 0.03, rtol=1e-6)


@pytest.mark.nightly
def test_page_of_several_inputs_and_outputs(several, opened):
    copy, t, _ = several
    page = opened(copy)
    for hidden in ("value", "derivative", "error_f", "error_df", "of_output"):
        assert not page.locator(f"#{hidden}").is_visible()
    for name in ("parity", "residual", "along"):
        assert plot(page, name, "data.filter(trace => trace.name).length") == 2
    page.locator("#quantity").select_option(label="∂b/∂t")
    drawn(page)
    assert np.allclose(axis(page, "map"), t, rtol=1e-6)
    assert np.allclose(10 ** np.array(plot(page, "map", "data[0].marker.color")), t, rtol=1e-5)
    titles = [plot(page, "map", f"layout.{name}axis.title.text") for name in "xy"]
    assert titles == ["t", "&lt;b>v&lt;/b>"]
    page.get_by_role("button", name="Clear the selection").click()
    assert page.locator("#legend tbody tr").count() == 0


@pytest.mark.nightly
def test_filters_by_column(opened):
    """The choice of words and the range of numbers hide rows, all plots follow, and a page loaded again keeps them."""
    settings = itertools.product(("relu", "tanh"), (0.1, 0.001), range(8, 22))
    records = made_up({one: one[1] / one[2] for one in settings}, seeds=1)
    ranking = rank([replace(one, figures={**one.figures, "test/r2_f": 0.999987}) for one in records])
    page = opened(ranking)
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
    for reload in (False, True):
        if reload:
            page.reload()
        drawn(page)
        assert sorted(set(axis(page, "heat", "y") + axis(page, "heat", "x"))) == ["10", "11", "12", "tanh"]
        assert len(axis(page, "front")) == 6
        assert "6 of 56 runs" in page.locator("#matching").inner_text()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    rows = list(csv.DictReader(download.value.path().read_text("utf-8-sig").splitlines()))
    shown = [record for record in ranking.records if record.settings["model.width"] in (10, 11, 12)]
    shown = [record for record in shown if record.settings["model.activation"] == "tanh"]
    assert {row["test/r2_f"] for row in rows} == {"0.999987"}
    assert [float(row["test/mse_df"]) for row in rows] == [record.figures["test/mse_df"] for record in shown]
    filter_of("model.width")
    assert page.get_by_role("textbox", name="model.width to").input_value() == "12"
    page.get_by_role("textbox", name="model.width from").fill("1000")
    drawn(page)
    assert not page.locator("#front").is_visible()


@pytest.mark.nightly
def test_page_of_a_sweep_that_runs(copy, opened):
    """The page shows the runs as they are; written again and loaded again it keeps what was chosen."""
    for name in ("metrics.json", "history.csv"):
        (copy / "3" / name).rename(copy.parent / name)
    merge(status := copy / "3" / "status.json", status="running", step=60)
    page = opened(copy)
    page.locator("#runs tbody tr", has_text="running: step 60 of 120").click()
    assert "9 finished, 1 running" in page.locator("#summary").inner_text()
    page.locator("#curve").select_option("val/mse_f")
    merge(status, status="finished", step=120)
    for name in ("history.csv", "metrics.json"):
        (copy.parent / name).rename(copy / "3" / name)
    compare.main([str(copy)])
    page.reload()
    drawn(page)
    assert "running" not in page.locator("#runs").inner_text()
    assert page.locator("#selected").inner_text() == "3 of 10 runs selected"
    assert page.locator("#curve").input_value() == "val/mse_f"
