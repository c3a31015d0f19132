"""The leaderboard of a race, in the terminal and in the report."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from runge.comparison.html_report import render
from runge.comparison.leaderboard_table import show_leaderboard
from runge.comparison.ranking import rank
from runge.records.leaderboard import (
    AnswerProfile,
    ColumnError,
    Influence,
    Leaderboard,
    LeaderboardEntry,
    OutputError,
    Sensitivity,
    Suspect,
    packed,
)
from runge.records.reading import RunRecord
from tests.comparison.pages import data_in, drawn, plot

LONG = "Levenberg-Marquardt, softplus, 3 x 64; [b]width"
OVERRIDES = ["data.folds=5", "optimizer=levenberg_marquardt", "data.file='<b>.csv'"]
COMMAND = "runge train -m data.folds=5 optimizer=levenberg_marquardt \"data.file='<b>.csv'\""
FIRST = LeaderboardEntry(LONG, OVERRIDES, [0, 1], [4, 5], 2, 1.23e-6, 1.2e-5, 1e-5, 123.4, 16000)
SECOND = LeaderboardEntry("Adam, silu, 3 x 64", ["seed=1"], [2, 3], [], 2, 1e-3, None, 1e-3, 2.26, 100)
NAME = "<i>an_input_with_a_name_that_is_very_long_indeed"
LEAST = Influence("y", "a", 0.0, 1e-4, 0.0, 1.0, 1.0, *[None] * 5, rows_index=1e-4, rows_mean=0.0, rows_rising=1.0)
MOST = Influence("y", NAME, 0.75, 2.5, 3.0, -9.0, 0.0, 25.0, 1.25, 3.0, -0.0123, 0.0004, 0.4, -0.01, 0.999)
INFLUENCES = Sensitivity([LEAST, MOST, replace(MOST, output="z", rows_rising=0.3)], 2048, ["Careful <b>."])
T = np.linspace(0, 1, 21)
PROFILES = [
    AnswerProfile(y, x, packed([T, k * T**2, 0.1 + 0.1 * T, 2 * k * T, np.full(21, np.nan), T > 0.8], "<f8"))
    for k, y in enumerate(("y", "z"), 1)
    for x in ("a", NAME)
]
SENTENCES = ["The answer is the mean of 2 networks.", "Why: <i>."]
SUSPECTS = [Suspect("line 17", "y", 1.2, 0.8, -0.4, 41.3)]
BOARD = Leaderboard(
    [FIRST, SECOND], SENTENCES, ["slow: takes too long"], INFLUENCES, PROFILES, 0.9, SUSPECTS, ["0 s: 2 candidates"]
)
BOARD = replace(BOARD, columns=[ColumnError("dy_da", 0.25, 0.2, None, 24)])


def printed(board, tmp_path, width=80):
    console = Console(file=io.StringIO(), width=width)
    show_leaderboard(board, console, tmp_path / "a b")
    return console.file.getvalue()


def test_errors_that_are_not_judged_may_differ_in_new_rows(tmp_path):
    none, some = OutputError("y", *[None] * 4), OutputError("z", None, 0.1, None, None)
    for errors, expected in (([], False), ([none, some], False), ([none], True)):
        text = " ".join(printed(replace(BOARD, errors=errors), tmp_path).split())
        assert ("by folds, which may differ much from those in new rows" in text) is expected


@pytest.fixture
def ranking():
    """The runs of the board: those on folds, and two on all rows, whose validation errors are on training rows."""
    records = []
    for i, error in enumerate((1e-5, 2e-5, 3e-3, 4e-3, 1e-9, 1e-9)):
        settings = {"data.file": "/a/rows.csv", "data.fold": i % 2 if i < 4 else None, "seed": i, "model.width": i // 2}
        settings |= {"data.folds": 2 if i < 4 else None, "data.split.val": 0.2 if i < 4 else 0}
        figures = {"val/nrmse_f": error, "val/nrmse_df": error, "test/nrmse_df": 1.0}
        records.append(RunRecord(f"sweep/{i}", "finished", settings=settings, figures=figures))
    return rank(records, board=BOARD)


def test_a_terminal_of_80_columns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = printed(BOARD, tmp_path)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["candidate", "value", "df/dx", "folds", "steps", "s"]
    rows = [line.split()[-5:] for line in lines[2:] if "e-0" in line]
    assert rows[0] == ["1.2e-06", "1.2e-05", "2", "16000", "123"]
    assert rows[1] == ["1.0e-03", "-", "2", "100", "2.3"]
    assert "Levenberg-Marquardt," in text  # no word is torn
    assert "1 not compared" in text
    assert "    runge predict 'a b' NEW_FILE\n    runge export 'a b' --to c\n" in text


def test_only_the_best_are_printed(tmp_path):
    board = replace(BOARD, candidates=[replace(SECOND, name=f"number {i}") for i in range(13)], left_out=[])
    text = printed(board, tmp_path)
    shown = [words in text for words in ("13 candidates, the best 12", "number 11", "number 12", "not compared")]
    assert shown == [True, True, False, False]


def test_groups_are_the_candidates_and_runs_on_all_rows_are_not_ranked(ranking):
    assert (ranking.metric, ranking.folded) == ("val/nrmse_df", True)
    assert [one.name for one in ranking.groups] == [LONG, "Adam, silu, 3 x 64"]
    assert ranking.groups[0].middle == pytest.approx(1.5e-5)
    assert [record.path for record in ranking.records][-2:] == ["sweep/4", "sweep/5"]
    assert ranking.places[-1].group == f"{LONG}, all rows"
    assert "val/nrmse_df" not in ranking.records[-1].figures
    page = render(ranking)
    assert "Cross-validation" not in page, "a second table of the candidates"
    assert "<title>The best fit of rows.csv</title>" in page
    assert '<td class="name">dy_da</td><td>2.5e-01</td><td>2.0e-01</td><td>-</td><td>24</td>' in page
    data = data_in(page)
    assert (data["race"], data["level"], len(data["profiles"])) == (True, 0.9, 4)
    assert data["runs"][0]["group"] == LONG


@pytest.mark.nightly
def test_the_report_begins_with_the_leaderboard(ranking, opened, axe):
    page = opened(ranking)
    assert page.title() == "The best fit of rows.csv"
    assert page.locator("h1").all_inner_texts() == ["The best fit of rows.csv"]
    race = page.locator("#race")
    assert all(sentence in race.inner_text() for sentence in BOARD.sentences)
    assert race.locator("tbody tr").count() == 1 + 2 + 3
    assert race.locator("tr.chosen").count() == 1
    board = race.locator(".race").first
    assert not board.locator("code").first.is_visible()
    board.locator("summary").first.click()
    assert board.locator("code").first.inner_text() == COMMAND
    first, second = race.locator(".outputs h3 + table").all()
    headers, _, *rows = [row.split("\t") for row in first.inner_text().splitlines()]
    assert [header.strip() for header in headers] == ["", "in the box", "over the rows"]
    assert [[cell.strip() for cell in row] for row in rows if len(row) > 1] == [
        ["", "0.750", "2.500", "25 ± 1.250", "0.400", "-0.0123 ± 0.0004", "rises"],
        ["", "<0.001", "<0.001", "-", "<0.001", "0", "-"],
    ]
    assert second.get_by_text("rises in 30 %").count() == 1
    assert race.get_by_text("Careful <b>.").count() == 1
    assert race.get_by_role("heading", name="The answer, with intervals that contain 90 % of new labels").count() == 1
    page.locator("#profiled").select_option("z")
    drawn(page)
    band, line, *_, slope, _ = plot(page, "profile1", "data.map(one => [...one.y])")
    assert [line, slope] == [pytest.approx(2 * T**2), pytest.approx(4 * T)]  # which has no interval, and no band
    assert band == pytest.approx([*(2 * T**2 + 0.1 + 0.1 * T), *(2 * T**2 - 0.1 - 0.1 * T)[::-1]])
    texts = plot(page, "profile1", "layout.annotations.map(one => one.text)")
    assert texts == ["90 % interval: ± 0.1 to 0.2; grey: outside the data", ""]
    assert plot(page, "profile1", "layout.shapes.map(grey => [grey.x0, grey.x1])") == [[T[17], 1]]
    headers = page.locator("#runs thead th").all_inner_texts()
    assert "candidate" in headers
    assert not {"model.width", "model.\nwidth"} & {*headers}
    assert page.locator("#runs tbody tr").first.get_by_text(LONG).count() == 1
    page.get_by_text("1 not compared").click()
    assert race.get_by_text("slow: takes too long").is_visible()
    page.get_by_text("In which order they were trained").click()
    assert race.get_by_text("0 s: 2 candidates").is_visible()
    for width in (1300, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert axe.run(page, {"include": ["#race"]}).violations_count == 0
