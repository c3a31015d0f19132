"""The rules from textbooks on made-up curves, and the regret of rules."""

import more_rows
import pytest
from pages import DOCS
from play import page, page_of_accuracy, read, regrets
from rules import RULES

import runge.search.moves
from tests.search.made_up import play, result, state

CURVES = {"a": (4.0, 0.3), "b": (2.0, 0.5), "c": (9.0, 2.5), "d": (3.0, 0.1)}
"""The errors after a second, and the powers of time by which they fall: in the end c has the smallest."""


def power_law(before, move):
    """Return a result on a curve, whose time begins where that of `start` has ended."""
    begin = before.results[move.start].history["seconds"][-1] if move.start is not None else 0.0
    first, power = CURVES[move.candidate]
    seconds = max(move.seconds - 0.1, 0.3)
    one = result(*[first * (1 + begin + seconds * k / 4) ** -power for k in (1, 2, 3, 4)], seconds=seconds)
    one.history["seconds"][:] += begin
    return one


@pytest.mark.parametrize("name", [name for name in RULES if name != "runge fit"])
def test_a_rule_from_a_textbook_finds_the_best_in_three_quarters_of_the_time(name, monkeypatch):
    monkeypatch.setattr("tests.search.made_up.next_moves", RULES[name])
    last, _ = play(state(*CURVES), power_law)
    assert last.ranked[0].name == ("c" if name != "best so far" else last.ranked[0].name)
    compared = [move for move in last.moves.values() if move.rung is not None]
    assert {move.share for move in compared} == {None}
    assert max(move.at + move.seconds for move in compared) == pytest.approx(0.75 * last.conditions.end, rel=0.05)
    assert last.now <= last.conditions.end + 1.0
    assert RULES["runge fit"] is runge.search.moves.next_moves


def test_the_regret_is_the_error_over_the_smallest_one_of_all_rules():
    rows = [
        {"rule": "a", "table": "t", "value": 1e-3, "derivative": 4e-3},
        {"rule": "b", "table": "t", "value": 4e-3, "derivative": 4e-3},
        {"rule": "b", "table": "u", "value": 1e-15, "derivative": 1e-13},
        {"rule": "a", "table": "u", "value": 1e-11, "derivative": 1e-11},
    ]
    assert regrets(rows) == {
        "a": {"t": pytest.approx(1.0), "u": pytest.approx(10.0)},
        "b": {"t": pytest.approx(2.0), "u": pytest.approx(1.0)},
    }


def test_a_step_is_the_error_of_four_times_the_rows_over_the_one_before():
    """Of several seeds the medians count, and tables that are not measured with all rows have no line."""
    errors = {1: (1.0, 4.0, 2.0), 4: (1.0, 1.0, 1.0), 16: (3.0, 3.0, 3.0)}
    key = {"seconds": 60.0, "processor": "p"}
    rows = [
        {"table": "piston", "times": times, "seed": seed, "value": x, "derivative": x} | key
        for times, of_seeds in errors.items()
        for seed, x in enumerate(of_seeds)
    ]
    values = more_rows.page_values([*rows, rows[0] | {"table": "ridges"}])
    assert values["growing"] == [["piston", 3, 60, "2.0e+00", "1.0e+00", "3.0e+00"]]
    assert (values["step"], values["largest_step"], values["largest_step_of"]) == ("1.8", "3", "piston")


def test_the_pages_are_those_of_the_figures():
    for name, text in (("search.md", page(read())), ("search_accuracy.md", page_of_accuracy())):
        assert (DOCS / "explanation" / name).read_text(encoding="utf-8") == text
