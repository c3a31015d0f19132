"""The studies: their pages are those of the figures that are kept, and the answers count what they should."""

from results import PROCESS
from studies import intervals, pages, spoilt
from studies_of_fits import by_hand, large_tables, more_rows, shipped

from tests.conftest import ROOT


def test_pages_agree_with_the_figures():
    texts = pages()
    assert {name: (ROOT / "docs" / name).read_text() for name in texts} == texts


def test_wrong_columns_are_counted():
    rows = [
        {"kind": "sign", "noise": 0.0, "right": 3, "tables": 4, "first": 1, "of": 1},
        {"kind": "sign", "noise": 0.05, "right": 2, "tables": 4, "first": 1, "of": 1},
        {"kind": "sound", "noise": 0.0, "right": 7, "tables": 8, "first": 1, "of": 2},
        {"kind": "missed", "tables": [{"kind": "sign", "wrong": True}, {"kind": "sound", "wrong": True}]},
        {"kind": "seconds", "processor": 0.5},
    ]
    tables, answer = spoilt(rows)
    assert "the right ones in 5 of 8 tables, and none in 7 of 8 tables" in answer
    assert "In 1 of the corrupted tables" in tables


def test_intervals_count_channels_that_matter():
    row = {"problem": "f", "matters": [True, False], "held": [0.75, 0.1], "score": [1.0, 9.0]}
    row |= {f"held, {key}": [0.9, 0.9] for key in ("constant", "cv+", "spread")}
    row |= {"score, constant": [2.0, 1.0], "score, cv+": [4.0, 1.0]}
    tables, answer = intervals([row])
    assert "| f | 1 | 0.50 | 0.25 |" in tables
    assert "1 of 1 shares are below 80 %, and the smallest is 75%" in answer


def test_methods_are_compared_with_the_better_of_two():
    errors = {"AdamW": 4e-2, "Levenberg-Marquardt": 1e-2, "SOAP": 2e-3}
    rows = [{"table": "t", "method": name, "value": error, "derivative": error} for name, error in errors.items()]
    tables, answer = large_tables(rows)
    assert "| SOAP | 1 | 5.0 | 5.0 to 5.0 |" in tables
    assert "AdamW |" not in tables.split("range")[1]
    assert "by 5.0" in answer


def test_more_rows_are_compared_with_fewer_and_with_a_process():
    def row(n, limit, fit, value, noise=0.0):
        of = {"problem": "f", "rows": n, "limit": limit, "fit": fit, "noise": noise, "seed": 0}
        return of | {"value": value, "derivative": 4 * value}

    rows = [row(400, 60.0, "runge fit", 2e-3), row(400, 5.0, "runge fit", 3e-3), row(1600, 60.0, "runge fit", 5e-4)]
    rows += [row(100, 60.0, fit, value, 0.05) for fit, value in {"runge fit": 3e-3, PROCESS: 2e-3}.items()]
    tables, answer = more_rows(rows)
    assert "| f | 100 | 5% | 1.5 | 1.5 |" in tables
    assert "for the values of 0 and the derivatives of 0" in answer
    assert "| f | value | 3.0e-03 | 2.0e-03 |" in tables
    assert "| f | derivative |  | 8.0e-03 | 2.0e-03 |" in tables
    assert "by 4.0 in the median; 0 of 2 do not fall" in answer


def test_a_search_is_compared_with_single_runs():
    def row(problem, fit, value, derivative):
        return {"problem": problem, "rows": 400, "fit": fit, "value": value, "derivative": derivative}

    rows = [row("f", "runge fit", 2e-3, 8e-3), row("f", "AdamW", 1e-3, 1e-1), row("f", "LM", 1e-3, 4e-3)]
    tables, answer = by_hand([*rows, row("g", "runge fit", 1e-3, 1e-3), row("g", "AdamW", 2e-3, 2e-3)])
    assert "| f | 400 | LM | 2.0e-03 | 8.0e-03 | 2 | 2 | 2 | 0.08 |" in tables
    assert (
        "at most 1.3 times as large on 1 of 2 tables. In the median it is 1.2 times as large, and at most 2" in answer
    )
    assert "1 of 4 errors are larger" in answer


def test_the_default_time_is_compared_with_the_table():
    rows = [{"problem": "branin", "seed": 0, "value": error, "derivative": error} for error in [1e-3]]
    _, answer = shipped(rows)
    assert "on 0 of 1 for the value and on 0 of 1 for the derivative" in answer
    tables, answer = shipped([rows[0] | {"value": 1e-12}])
    assert "on 1 of 1 for the value and on 0 of 1 for the derivative" in answer
    assert "| branin | value | 1.0e-12 |" in tables
