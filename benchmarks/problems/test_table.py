"""The public table: its cells and their file, the choice of settings, ranks and medians, the page."""

import importlib.util
import os
import re
import signal
import time
from functools import partial

import cells
import numpy as np
import pandas as pd
import pytest
from cells import Cell, Fits, keep
from choice import best, limited
from factors import geometric_mean, median
from ranking import BEST, advantage, chosen, common, factors, lost, medians, ranks, read, standings
from table_page import PAGE, SUMMARY, pages, processors
from tables import Entry, Rows, errors

NONE = float("nan")
X = np.random.default_rng(0).uniform(-1, 1, (60, 2))
ROWS = Rows(X, X[:, :1] * X[:, 1:], X[:, None, ::-1])
PROBLEMS = {
    name: Entry("test functions", lambda seed: (ROWS, ROWS), "by hand, https://a.b/c.html")
    for name in ("branin", "kink")
}
# the errors of value and derivative, or the text of a failure
FITS = {
    (BEST, "default"): ((1, 4), (5, 4), (9, 9)),
    ("JENN", "default"): ((7, 6), (3, 6), (5, 6)),
    ("JENN", "validation"): ((1, 2), "not done after 300 s"),
    ("SMT KRG", "default"): ((2, NONE), (2, NONE), (2, NONE)),
    ("GPyTorch", "default"): ("MemoryError: no", "MemoryError: no", "MemoryError: no"),
}


@pytest.fixture
def table(tmp_path):
    """Return the path of the figures of one problem."""
    found = {}
    for (tool, by), fits in FITS.items():
        for seed, fit in enumerate(fits):
            figures = {"failure": fit} if isinstance(fit, str) else dict(zip(("value", "derivative"), fit, strict=True))
            figures |= {} if "failure" in figures else {"seconds": 40 if by == "validation" else 2}
            found[Cell("branin", tool, by, str(seed))] = figures | {"version": "2.10", "commit": "12e4567"}
    keep(found, path=tmp_path / "table.csv")
    return tmp_path / "table.csv"


def test_medians_are_over_the_seeds_that_all_tools_have(table):
    """Of the third seed JENN has no fit by validation: at first it has none of any problem."""
    middle = medians(chosen(read(table))).loc["branin"]
    assert middle["value"].to_dict() == {BEST: 5, "JENN": 2, "SMT KRG": 2, "GPyTorch": np.inf}
    assert middle.seeds.to_dict() == {BEST: 3, "JENN": 2, "SMT KRG": 3, "GPyTorch": 3}
    keep({Cell("kink", "JENN", "validation", "2"): {"value": 1, "derivative": 1}}, path=table)
    middle = medians(chosen(read(table))).loc["branin"]
    assert middle["value"].to_dict() == {BEST: 3, "JENN": 2, "SMT KRG": 2, "GPyTorch": np.inf}
    assert middle["worst_value"].to_dict() == {BEST: 5, "JENN": 3, "SMT KRG": 2, "GPyTorch": np.inf}
    assert middle["derivative"].to_dict() == {BEST: 4, "JENN": 4, "SMT KRG": np.inf, "GPyTorch": np.inf}
    assert set(middle.seeds) == {2}


def test_ranks_and_factors(table):
    middle = medians(chosen(read(table)))
    assert ranks(middle, "value").loc["branin"].to_dict() == {"JENN": 1.5, "SMT KRG": 1.5, BEST: 3, "GPyTorch": 4}
    assert ranks(middle, "derivative").loc["branin"].to_dict() == {
        "JENN": 1.5,
        BEST: 1.5,
        "SMT KRG": 3.5,
        "GPyTorch": 3.5,
    }
    assert factors(middle, "value").loc["branin", BEST] == 2.5
    assert lost(middle, BEST).to_numpy().tolist() == [["branin", "value", "JENN", 2, 5, 2.5]]
    found = standings(middle)
    assert found.index[0] == "JENN"
    assert found.loc["GPyTorch", ["problems", "fails"]].tolist() == [1, 1]


def values(errors, *tools):
    """Return the medians of the value of some tools by problem."""
    rows = {(problem, tool): e for problem, some in errors.items() for tool, e in zip(tools, some, strict=True)}
    return pd.DataFrame({"value": rows}).rename_axis(["problem", "tool"])


def test_advantage():
    """The best of the others is JENN where it fits; without JENN it is SMT KRG."""
    errors = {"a": (1, 8, 9), "b": (2, 1, 4), "c": (1, 16, np.inf), "d": (1, np.inf, np.inf)}
    middle = values(errors, BEST, "JENN", "SMT KRG")
    found = advantage(middle, BEST, ["JENN", "SMT KRG"], "value")
    assert (found.problems, found.counts) == (3, (2, 0, 1))
    assert found.factors == pytest.approx((8, 0.5, 16))
    assert found.median.middle == pytest.approx(8)
    assert advantage(middle, BEST, ["SMT KRG"], "value").factors == pytest.approx((9, 2))


def test_ties_and_families():
    """A factor of 1.2 is a tie, either way, and two baskets count once, by their geometric mean."""
    errors = {"a": (1, 1.2), "b": (1.2, 1), "c": (1, 1.3), "basket_7": (1, 2), "basket_20": (1, 8)}
    found = advantage(values(errors, BEST, "JENN"), BEST, ["JENN"], "value")
    assert (found.problems, found.counts) == (5, (2, 2, 0))
    assert found.factors == pytest.approx((1.2, 1 / 1.2, 1.3, 4))


def test_factors_are_over_the_same_problems():
    errors = {"a": (1, 2), "b": (1, 32), "c": (1, np.inf)}
    assert common(values(errors, BEST, "JENN")) == ["a", "b"]


def test_intervals_contain_the_factor():
    """The sign test's interval of n values is between order statistics: of 8 at 95 %, the first and the last."""
    ratios = np.exp(np.arange(1.0, 9.0))
    middle, low, high = median(ratios)
    assert (middle, low, high) == pytest.approx((np.exp(4.5), np.exp(1), np.exp(8)))
    middle, low, high = geometric_mean(ratios)
    assert low < middle < high
    assert middle == pytest.approx(np.exp(4.5))
    assert np.log([low, high]) == pytest.approx([4.5 - 1.96 * 0.81, 4.5 + 1.96 * 0.81], abs=0.3)


def test_pages(table):
    texts = pages(table.parent, PROBLEMS)
    assert set(texts) == {SUMMARY, PAGE}
    summary = texts[SUMMARY].splitlines()
    assert "| all | value | 1 (1) | 0 | 0 | 1 | 0.40 |" in summary
    assert "Unequal processors" not in texts[SUMMARY]
    assert "| branin | value | JENN | 2.0 | 5.0 | 2.50 |" in summary
    for line in (
        "- **branin**: 2 inputs, 1 output, 60 rows (by hand, <https://a.b/c.html>)",
        "| runge fit | 5.0 |",
        "| runge fit | **4.0** |",
        "| JENN | **2.0** |",
        "| JENN | **4.0** |",
        "| SMT KRG | **2.0** |",
        "| SMT KRG | - |",
        "| GPyTorch | too large |",
        "| branin | JENN | 2 | 3.0 | 6.0 | 21 | defaults | 5.0 | 6.0 | 2 |",
        "- JENN, settings by validation, branin: not done in its time",
    ):
        assert line in texts[PAGE].replace("\n  ", " ").splitlines(), line
    method = " ".join(texts[PAGE].split())
    assert "jenn 2.10" in method
    assert "`12e4567`" in method
    assert "**kink**" not in "".join(texts.values())
    assert "5 of 7 pairs of a problem and a tool, by default or by validation, have been fitted" in method
    keep({Cell("branin", tool, "validation", "0"): {"failure": "no"} for tool in ("SMT KRG", "GPyTorch")}, path=table)
    assert "not complete" not in pages(table.parent, PROBLEMS)[PAGE]


def test_several_processors_are_named(table):
    fit = {"value": 1, "derivative": 3, "processor": "another"}
    keep({Cell("branin", BEST, "default", str(seed)): fit for seed in range(3)}, path=table)
    texts = pages(table.parent, PROBLEMS)
    assert "| runge fit | **1.0** |" in texts[PAGE]
    assert "Unequal processors" in texts[SUMMARY]
    assert "A record without vector instructions" in texts[PAGE]


def test_processors_are_named_with_the_tools_that_had_no_other():
    names = {"A": "X", "B": "X", "C": "Y"}
    fits = pd.DataFrame([(tool, processor) for tool, processor in names.items() for _ in range(2)])
    fits.columns = "tool", "processor"
    assert processors(fits[fits.tool != "C"]) == "X"
    assert processors(fits) == "4 fits on X; 2 fits on Y, all of C among them"
    fits.loc[4, "processor"] = "X"
    assert processors(fits) == "5 fits on X; 1 fit on Y"


def test_page_of_a_part(tmp_path):
    with pytest.raises(ValueError, match=r"table\.csv: must exist"):
        pages(tmp_path, PROBLEMS)
    keep({Cell("gone", "JENN", "default", "0"): {"value": 1, "derivative": 1}}, path=tmp_path / "table.csv")
    with pytest.raises(ValueError, match=r"must have figures of at least one of the problems, has none"):
        pages(tmp_path, PROBLEMS)
    figures = {Cell("kink", "SMT GEKPLS", "default", "0"): {"value": 1, "derivative": 1, "seconds": 1}}
    figures[Cell("kink", "JENN", "default", "0")] = {"failure": "ValueError: `no`"}
    keep(figures, path=tmp_path / "table.csv")
    text = pages(tmp_path, PROBLEMS)[PAGE]
    assert "- JENN, settings by default, kink: `no`" in text.splitlines()


def test_a_fit_has_so_many_seconds_of_the_processor():
    with pytest.raises(TimeoutError, match="not done after"), limited(0.05):
        Tool(0, factor=1).fit(*ROWS)
    assert cells.result(-signal.SIGXCPU, "", "")["failure"].startswith("not done")
    with limited(10):
        pass


def test_figures_of_an_interrupted_run(tmp_path):
    path = tmp_path / "table.csv"
    one, other = Cell("branin", "JENN", "default", "0"), Cell("kink", "JENN", "default", "0")
    path.write_text("problem,tool,settings_by,seed,value,gone\nbranin,JENN,default,0,0.5,1\nkink,JENN,default,0,0.")
    assert list(cells.read(path)) == [one]
    keep({other: {"value": 0.25}}, path=path)
    found = cells.read(path)
    assert {cell: row["value"] for cell, row in found.items()} == {one: "0.5", other: "0.25"}
    assert set(found[one]) == set(cells.FIELDS)
    keep({}, drop=[one], path=path)
    assert list(cells.read(path)) == [other]


def test_a_fit_that_takes_too_long_ends_with_its_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "HERE", tmp_path)
    (tmp_path / "slow.py").write_text(
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "pathlib.Path(sys.argv[1]).write_text(str(child.pid))\n"
        "time.sleep(20)\n"
        "pathlib.Path(sys.argv[1]).write_text('it was not ended')\n"
    )
    (tmp_path / "quick.py").write_text("import sys\nprint('a banner')\nprint(sys.argv[1])\n")
    fits = Fits(limit=2)
    assert fits.answer("slow.py", str(tmp_path / "pid"))["failure"] == "not done after 2 s"
    assert not fits.running
    child = int((tmp_path / "pid").read_text())
    for _ in range(100):  # until its new parent has taken note
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the process of a process is still there")
    assert fits.answer("quick.py", '{"value": 2.0}')["value"] == 2
    assert fits.answer("quick.py", "}")["failure"]
    with pytest.raises(ModuleNotFoundError, match="no jenn"):
        fits.answer("quick.py", '{"missing": "no jenn"}')


def test_a_run_continues_where_it_stopped(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("table", cells.HERE / "__main__.py")
    main = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(main)
    path = tmp_path / "table.csv"
    monkeypatch.setattr(cells, "HERE", tmp_path)
    monkeypatch.setattr(main, "keep", partial(keep, path=path))
    monkeypatch.setattr(main, "read", partial(cells.read, path))
    (tmp_path / "cell.py").write_text(
        "import json, sys\n"
        "found = {'missing': 'no module'} if sys.argv[2] == 'JENN' else {'failure': ' '.join(sys.argv[1:])}\n"
        "print(json.dumps(found))\n"
    )
    asked = [Cell("kink", tool, by, "4") for tool in ("runge", "JENN") for by in ("default", "validation")]
    main.measure(asked, again=False, seconds=0)
    assert "4 fits are left" in capsys.readouterr().out
    main.measure(asked[1:], again=False, seconds=60)
    printed = capsys.readouterr().out
    assert "1/3, " in printed
    assert "JENN: not installed (no module); pip install" in printed
    assert re.fullmatch(r"kink runge --seed=4 --core=\d+ --chosen", main.read()[asked[1]]["failure"])
    main.measure(asked, again=False, seconds=60)
    assert "1/3, " in capsys.readouterr().out
    assert set(main.read()) == set(asked[:2])
    keep({asked[0]: {"failure": "old"}, asked[1]: {"failure": "old"}}, path=path)
    main.measure(asked[:1], again=False, seconds=60)
    main.measure(asked[1:2], again=True, seconds=60)
    assert [main.read()[cell]["failure"] == "old" for cell in asked[:2]] == [True, False]


class Tool:
    """A tool that knows the answer, up to a factor; NaN is a bad factor, and with 1 it is too slow."""

    GRID = ({"factor": 1.5}, {"factor": NONE}, {"factor": 1}, {"factor": 1.1}, {"factor": None})

    def __init__(self, seed, factor=2.0):
        self.factor = factor

    def fit(self, x, y, dydx):
        if self.factor is None:
            raise IndexError("it cannot")
        while self.factor == 1:
            pass
        self.rows, self.values = len(x), np.isfinite(y).sum()
        return self

    def predict(self, x):
        assert self.values
        return self.factor * x[:, :1] * x[:, 1:]

    def predict_derivative(self, x):
        return self.factor * x[:, None, ::-1]


def test_settings_are_chosen_by_validation():
    model, settings = best(Tool, ROWS, 0, 1)
    assert settings == {"factor": 1.1}
    assert model.rows == 60
    y = np.full_like(ROWS.y, NONE)
    row = np.random.default_rng(0).permutation(60)[0]
    y[row] = ROWS.y[row]
    model, settings = best(Tool, ROWS._replace(y=y), 0, 1)  # the only value is for training
    assert settings == {"factor": 1.1}


def test_labels_that_are_not_known_are_left_out():
    u, du = 1.5 * ROWS.y, 1.5 * ROWS.dydx
    found = errors(u, du, ROWS)
    assert found["derivative"] == pytest.approx(0.5)
    assert found["value"] == pytest.approx(0.5 * np.sqrt(np.mean(ROWS.y**2)) / ROWS.y.std())
    known = ROWS.part(slice(30, None))
    y, dydx = ROWS.y.copy(), ROWS.dydx.copy()
    y[:30], dydx[:, :, 0] = NONE, NONE
    found = errors(u, du, ROWS._replace(y=y, dydx=dydx))
    assert found["value"] == pytest.approx(errors(u[30:], du[30:], known)["value"])
    assert found["derivative"] == pytest.approx(0.5)
    assert np.isnan(errors(u * NONE, du, ROWS)["value"])
