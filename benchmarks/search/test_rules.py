"""The rules from textbooks on made-up curves, and the regret of rules."""

import pytest
from pages import DOCS
from play import page, read, regrets
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


def test_the_page_is_that_of_the_figures():
    assert (DOCS / "explanation" / "search.md").read_text(encoding="utf-8") == page(read())
