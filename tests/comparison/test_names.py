"""Texts in the files of runs are data in the report and in its table, whatever characters they have."""

import csv
import json
from html.parser import HTMLParser

import hypothesis
import pytest
from hypothesis import strategies as st

from runge.comparison import html_report
from runge.comparison.ranking import rank_directories
from runge.records.directories import RunDirectory
from tests.comparison.pages import data_in
from tests.exports.test_names import ANY


class Markup(HTMLParser):
    """The elements of a page, and the names of their attributes."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.attributes = set(), set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes.update(name for name, _ in attrs)


def ranking(folder, texts):
    """Return the ranking of four failed runs and a search, whose files have some texts."""
    key, value, setting, versions, message, override = texts
    for i in range(4):
        run = RunDirectory(folder / str(i))
        run.path.mkdir(exist_ok=True)
        configuration = {f"k{key}": value if i < 2 else "v", "q": setting, f"x{versions}": i, "seed": i % 2}
        run.configuration.write_text(json.dumps(configuration | {"overrides": [override, message], "options": {}}))
        state = {"status": "failed", "step": 1, "message": message, "versions": versions, "began": 1.0, "written": 2.0}
        run.status.write_text(json.dumps(state))
    search = {"objective": [message], "trials": [{"number": 0, "runs": [0]}], "best": [0], "folds": 0}
    (folder / "search.json").write_text(json.dumps(search | {"overrides": [texts]}))
    return rank_directories([folder])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@hypothesis.given(texts=st.lists(ANY, min_size=6, max_size=6))
def test_texts_in_files_are_data(texts, folder):
    with pytest.MonkeyPatch.context() as patch:  # its libraries are 5 MB of each page
        patch.setattr(html_report, "get_plotlyjs", str)
        patch.setattr(html_report, "_datatables", lambda _: "")
        plain = Markup(html_report.render(ranking(folder, list("abcdef"))))
        runs = ranking(folder, texts)
        page = html_report.render(runs)
    page.encode()
    assert len(data_in(page)["runs"]) == 4
    markup = Markup(page)
    assert markup.elements <= plain.elements | {"code", "details", "summary"}
    assert markup.attributes <= plain.attributes
    header, *rows = csv.reader(runs.csv().splitlines())
    assert [len(row) for row in rows] == [len(header)] * 4
    for cell in [*header, *(cell for row in rows for cell in row)]:
        assert cell.isprintable()
        assert not cell.startswith(("=", "+", "-", "@"))
