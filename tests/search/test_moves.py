"""The rule of a search, on made-up results."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from runge.search.moves import compare, entrants, improve, next_moves
from runge.search.paces import affords_all, pace_on_all, share_of, threads_of
from runge.search.refits import beginning, conclude, improved_until, judge_further
from runge.search.results import Move
from runge.search.standing import expected_error
from runge.search.state import merge
from tests.search.made_up import candidate, play, result, state, trained
from tests.search.test_answer import FOLDS, N, network, table

FIXED = candidate("f", "optimizer=random_features", completes=True)
GRADIENT = candidate("g", "optimizer=soap")


def moves(found):
    """Return the names and folds of some moves."""
    return [] if not found else [(move.candidate, move.changes, move.fold) for move in found[0]]


def test_an_error_that_falls_is_compared_by_where_it_goes():
    """It falls on by the power of time by which it has fallen since half of the time."""
    assert expected_error(result(8.0, 4.0, 2.0, 1.0), 2.0) == pytest.approx(2**-2)
    assert expected_error(result(8.0, 4.0, 2.0, 1.0), 40.0) == pytest.approx(3**-2)  # not as far as that
    assert expected_error(result(1.0, 1.0, 1.0, 1.0)) == 1.0
    assert expected_error(result(1e9, 1e9, 1.0), 2.0) == pytest.approx(1 / 4)  # no more than by the second power
    assert expected_error(result(1.0), 3.0) == pytest.approx(1 / 3)  # steps are slow


@pytest.mark.parametrize(("share", "expected"), [(0.2, 3**-2), (None, 1.0)])
def test_more_rows_continue_the_fall_of_an_error_at_rest(share, expected):
    """The steps on some of the rows have ended. On all rows nothing is left that would reduce it."""
    one = trained(state("a"), "a", result(8.0, 4.0, 2.0, 1.0, end="rest"), share=share)
    assert one.standings["a"].expected() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rows", "labels", "share"), [(1000, 5, 0.2), (300, 5, None), (100_000, 5, 0.002), (100_000, 1000, 0.0004)]
)
def test_a_candidate_begins_on_as_many_labels_as_it_has_weights(rows, labels, share):
    """It has 369 weights. They are on 1000 labels, and on ten rows for each input, at least."""
    one = state("a", listed=[GRADIENT], rows=rows, all_rows=rows, labels=labels)
    assert share_of(one, one.listed["a"], None, 1.0) == share
    assert share_of(one, GRADIENT, None, 1.0) is None  # a step has some of all rows


@pytest.mark.parametrize(
    ("first", "ratio", "pace", "end", "share"),
    [
        (1.0, 1.0, 0.01, "time", 0.002),
        (1.0, 2.0, 0.01, "time", 0.016),
        (2.0, 2.0, 0.01, "time", 0.002),
        (1.0, 1.0, 0.01, "rest", 0.016),
        (1.0, 2.0, 0.25, "time", 0.005),
    ],
)
def test_it_has_more_rows_once_steps_do_not_help_and_there_is_time_for_steps_on_them(first, ratio, pace, end, share):
    """It has eight times as many at most, of which 16 steps have time. While its error falls, it stays on the rows."""
    one = trained(
        state("a", rows=100_000, all_rows=100_000),
        "a",
        result(first, 1.0, ratio=ratio, steps=10, seconds=10 * pace, end=end),
        share=0.002,
    )
    network = one.standings["a"].by_fold[0]
    assert share_of(one, one.listed["a"], network, 10.0) == pytest.approx(share)


def test_each_comparison_has_an_equal_part_of_the_time():
    """Of 60 s the comparisons have 40 % of what the report leaves, after a start of 4 s."""
    one = state(*"abcd", judges=2, now=4.0)
    each, why = compare(one)
    assert why == "4 candidates on 200 rows"
    assert moves((each, why)) == [(name, {}, fold) for name in "abcd" for fold in (0, 1)]
    (seconds,) = {move.seconds for move in each}
    assert seconds == pytest.approx(0.4 * (60 - 5 - 4) / 2 * 2 / 8)
    assert {(move.share, move.rung, move.start) for move in each} == {(0.2, 0, None)}


def test_the_best_continue_and_whatever_falls_to_a_smaller_error_or_was_best_on_fewer_rows():
    one, early = state(*"abcdefgh"), {"rung": 0, "share": 0.2}
    one = trained(one, "a", result(1.0, 1.0, end="rest"), **early)
    one = trained(one, "b", result(8.0, 8.0, 2.0, 1.1), **early)  # it falls
    for name in "cdefgh":
        one = trained(one, name, result(3.0, 3.0), **early)
    assert [x.name for x in entrants(one.before(1), 1)] == ["b", "a", "c", "d"]
    found, _ = compare(one)
    assert [(move.candidate, move.start, move.rung) for move in found] == [
        ("b", 1, 1),
        ("a", 0, 1),
        ("c", 2, 1),
        ("d", 3, 1),
    ]
    for name in "bcd":
        one = trained(one, name, result(0.5, 0.1), rung=1)
    one = trained(one, "a", result(0.9), rung=1)
    assert [x.name for x in entrants(one.before(2), 2)][-1] == "a"  # the best one of the first comparison


def test_candidates_whose_curves_go_to_at_most_twice_the_smallest_error_also_continue():
    one = state(*"abcdefgh")
    for name in "abcd":
        one = trained(one, name, result(1.0, 1.0), rung=0)
    for name, error in (("e", 1.9), ("f", 2.1), ("g", 3.0), ("h", 3.0)):
        one = trained(one, name, result(error, error), rung=0)
    assert [x.name for x in entrants(one.before(1), 1)] == [*"abcde"]


@pytest.mark.parametrize(("last", "steps", "continues"), [(16.0, 8, True), (32.0, 8, False), (16.0, 40, False)])
def test_a_candidate_of_slow_steps_is_not_dropped_while_its_error_falls_fast(last, steps, continues):
    one = trained(state(*"abcdefgh"), "a", result(36.0, last, steps=steps), rung=0)
    for name in "bcdefgh":
        one = trained(one, name, result(1.0, 1.0), rung=0)
    assert ("a" in [x.name for x in entrants(one.before(1), 1)]) == continues


@pytest.mark.parametrize(
    ("changes", "tried"),
    [({}, []), ({"outputs": 3, "may_separate": True}, ["a", "b"]), ({"outputs": 3}, [])],
)
def test_the_best_of_several_outputs_are_also_tried_with_a_network_for_each(changes, tried):
    """Of two whose networks would have the same name, only one is tried: a trial belongs to its candidate by name."""
    small = candidate("b", "optimizer=levenberg_marquardt", "model.width=8", "model.depth=2")
    one = state(*"ac", listed=[candidate("soap", "optimizer=soap"), small], **changes)
    for name, error in {"a": 2.0, "b": 3.0, "c": 2.5, "soap": 1.0}.items():
        one = trained(one, name, result(error), rung=0)
    found, _ = compare(one)
    separate = [move for move in found if move.changes]
    assert [(move.candidate, move.changes, move.start) for move in separate] == [
        (name, {"separate": True}, None) for name in tried
    ]
    names = [one.candidate_of(move).name for move in separate]
    assert names == [f"Levenberg-Marquardt, silu, 2 x {width} per output" for width in (16, 8)[: len(tried)]]
    assert [one.trial(move).separate for move in separate] == [True] * len(tried)


@pytest.mark.parametrize(("error", "tried"), [(1.0, True), (9.0, False)])
def test_other_fixed_neurons_are_tried_if_the_first_ones_are_among_the_best(error, tried):
    fixed = [candidate(name, "optimizer=random_features", f"model.activation={name}") for name in ("tanh", "silu")]
    one = state(*"abcdefgh", listed=fixed)
    found, _ = compare(one)
    assert [move.candidate for move in found] == [*"abcdefgh", "tanh"]
    for name in "abcdefgh":
        one = trained(one, name, result(2.0, end="rest"), rung=0)
    one = trained(one, "tanh", result(error), rung=0)
    assert ("silu" in [x.name for x in entrants(one.before(1), 1)]) == tried


def test_the_best_that_see_logarithms_are_also_compared_without_them():
    """Not if the command has set the logarithms."""
    for fixed in (frozenset[str](), {"data.log10"}):
        one = state(listed=[candidate(name).having({"data.log10": ["h"]}) for name in "abcdef"], fixed=fixed)
        for i, name in enumerate("abcdef"):
            one = trained(one, f"{name}, log10 of h", result(1.0 + i), rung=0)
        names = [x.name for x in entrants(one, 0)]
        assert names == [f"{name}, log10 of h" for name in "abcdef"]
        plain = [] if fixed else ["a", "b", "c", "d"]
        moves, why = compare(one)
        assert [x.name for x in entrants(one.before(1), 1)] == names[:4] + plain
        assert [one.candidate_of(move).name for move in moves if move.start is None] == plain
        assert why.startswith("a, log10 of h (1.0e+00), b, log10 of h (2.0e+00)")
        assert ("(4.0e+00), a, b, c, d;" in why) == bool(plain)
        moves, why = improve(replace(one, now=30.0))
        assert one.candidate_of(moves[0]).name == ("a, log10 of h" if fixed else "a")
        assert ("better than their logarithms" in why) == (not fixed)


def test_no_trial_begins_while_a_comparison_has_not_ended():
    one = state("a", "b")
    begun, _ = next_moves(one)
    for move in begun:
        one = trained(one, move.candidate, result(1.0), rung=0, share=0.2)
    half = type(one)(one.conditions, one.listed, one.moves, {0: one.results[0]}, 1.0)
    assert next_moves(half) == ([], "")
    assert moves(next_moves(one)) == [("a", {}, 0), ("b", {}, 0)]


def compared(*errors, now=25.0, **changes):
    """Return a search whose comparisons have ended, with networks that still fall, whose steps are short."""
    one = state(*"abc"[: len(errors)], now=now, **changes)
    for name, error in zip("abc", errors, strict=False):
        folds = range(one.conditions.judges)
        for fold in folds:
            one = trained(one, name, result(1.5 * error, error, steps=1000), fold=fold, rung=0)
    return one


WIDER, DEEPER, AGAIN = {"model.width": 32}, {"model.depth": 3}, {"seed": 3}


@pytest.mark.parametrize(
    ("errors", "changes", "improved"),
    [
        ((1.0, 1.2, 1.22), {}, "ab"),  # a process is free beside the best one
        ((1.0, 1.2), {"cores": 1}, "a"),
        ((1.0, 1.2), {"judges": 2}, "a"),
        ((1.0, 1.9), {}, "ab"),
        ((1.0, 2.1), {}, "a"),
    ],
)
def test_the_best_continues_and_a_close_one_beside_it(errors, changes, improved):
    found, why = improve(compared(*errors, **changes))
    assert "".join(dict.fromkeys(move.candidate for move in found)) == improved
    assert "because more steps may reduce the error" in why
    assert all(move.start is not None for move in found)


def test_a_larger_network_is_trained_before_candidates_whose_first_one_falls_slowly_continue():
    one = trained(state(*"ab", now=20.0), "a", result(1.03, 1.0), rung=0)
    one = trained(one, "b", result(2.5, 1.9), rung=0)
    assert moves(improve(one)) == [("a", DEEPER, 0), ("a", WIDER, 0)]
    short = trained(state(*"ab", now=48.0), "a", result(1.03, 1.0, seconds=9.0), rung=0)  # no time for further seeds
    for change in (DEEPER, WIDER):
        short = trained_move(short, Move("a", change, 0, 1.0), result(3.0, end="rest"))
    found, why = improve(short)
    assert moves((found, why)) == [("a", {}, 0)]
    assert "more steps may still reduce the error" in why


def test_what_is_larger_waits_until_all_folds_have_judged_the_last_one():
    one = state("a", judges=2, now=20.0)
    for fold in range(2):
        one = trained(one, "a", result(1.0, end="rest", seconds=2.0), fold=fold, rung=0)
    found, _ = improve(one)
    assert [(move.changes, move.fold) for move in found] == [(DEEPER, 0), (DEEPER, 1)]
    first = merge(one, {2: found[0]._replace(at=20.0)}, {2: result(0.1, end="rest", seconds=4.0)}, 24.0)
    for begun, waits in ((22.0, True), (23.9, True), (24.1, False)):
        later = merge(first, {3: found[1]._replace(at=begun)}, {}, 24.0)
        assert (improve(later) == ([], "")) == waits


def test_each_fold_has_as_much_time_while_another_trial_has_a_processor():
    one = state(*"ab", judges=2, now=40.0)
    for name, fold in product("ab", range(2)):
        one = trained(one, name, result(1.0, end="rest", seconds=2.0), fold=fold, rung=0)
    both = improve(one)[0]
    assert {move.seconds for move in both} == {4.0}
    busy = merge(one, {len(one.moves): Move("b", {}, 0, 9.0, at=40.0)}, {}, 45.0)
    left = improved_until(busy, busy.ranked[0]) - 45.0
    assert {move.seconds for move in improve(busy)[0]} == {left / 2}
    assert left / 2 < 4.0


def test_the_best_of_long_steps_does_not_wait_for_a_second_processor():
    one = state(*"ab", now=20.0)
    one = trained(one, "a", result(9.0, 3.0, steps=8, seconds=8.0), rung=0)
    assert [move.threads for move in improve(one)[0]] == [2]
    for seconds, found in ((20.0, [("a", 1)]), (3.0, [])):  # the other one has it for a long time, or a short one
        after = merge(one, {1: Move("b", {}, 0, seconds, at=20.0)}, {}, 20.0)
        assert [(move.candidate, move.threads) for move in improve(after)[0]] == found


def test_larger_networks_and_further_seeds_are_trained_beside_the_best_one():
    one = compared(1.0, 4.0)
    seen = []
    for _ in range(5):
        found, why = improve(one)
        seen.append((found[0].candidate, dict(found[0].changes), why.partition("because ")[2]))
        for move in found:  # under way
            one = type(one)(one.conditions, one.listed, {**one.moves, len(one.moves): move}, one.results, one.now)
    better = "it may have a smaller error than a"
    assert seen[0] == ("a", {}, "more steps may reduce the error")
    assert seen[1:3] == [("a", DEEPER, better), ("a", WIDER, better)]
    assert seen[3] == ("a", AGAIN, "another seed may find another minimum")


def test_it_ends_early_only_when_two_seeds_agree():
    one = compared(1.0, 4.0, cores=1, seeds=1, rows=300, all_rows=300)
    one = trained(one, "a", result(1.0, end="rest"))
    one = trained(one, "b", result(4.0, end="rest"))
    for changes in (DEEPER, WIDER, {"seed": 1}):
        found, _ = improve(one)
        assert found[0].changes == changes
        one = trained_move(one, found[0], result(2.5, end="rest"))
    found, _ = improve(one)
    assert found[0].changes == {"seed": 2}
    one = trained_move(one, found[0], result(1.9, end="rest"))
    assert improve(one) is None
    assert {move.of_answer for move in next_moves(one)[0]} == {True}


WIDE = candidate("b", "optimizer=levenberg_marquardt", "model.width=64", "model.depth=3")


def at_rest(error, fold=0, size=1.0, turned=False):
    """Return the result of a network at rest, whose residuals on a fold are normal."""
    residuals = size * np.random.default_rng(fold).normal(size=N // FOLDS)
    unseen = network(fold, *(residuals[::-1] if turned else residuals))
    rest = result(error, end="rest")
    return replace(rest, left_out=unseen.left_out, validated=unseen.validated, residuals=unseen.residuals)


def of_two(size, error=1.01, **share):
    """Return a search of two candidates at rest, the second one of more weights, with residuals of some size."""
    one = replace(state("a", listed=[WIDE], now=25.0, rows=N, all_rows=N, labels=2), table=table())
    one = trained(one, "a", at_rest(1.0), rung=0, **share)
    return trained(one, "b", at_rest(error, size=size, turned=True), rung=0)


def test_where_noise_decides_candidates_are_judged_on_further_folds_and_not_made_larger():
    assert improve(of_two(3.0))[0][0].changes == DEEPER
    assert improve(of_two(1.0, error=1.3))[0][0].changes == DEEPER  # which is not as good, though it may be the best
    assert judge_further(of_two(3.0), 20.0) is None  # it is none that may be the best
    one = of_two(1.0)
    assert improve(one)[0][0].changes == AGAIN
    assert judge_further(one, 0.5) is None  # there is no time
    assert judge_further(of_two(1.0, share=0.2), 20.0) is None  # one has a part of the rows
    for fold in range(1, FOLDS):
        found, why = judge_further(one, 20.0)
        assert why == f"a, b without fold {fold}, because any may be the best"
        assert [(move.fold, move.start, move.share, move.steps) for move in found] == [(fold, None, None, 100)] * 2
        one = trained_move(one, found[1], at_rest(1.0, fold, turned=True))
        assert [x.name for x in one.ranked] == ["b", "a"]  # which is not judged there yet
        one = trained_move(one, found[0], at_rest(1.0, fold))
        assert improve(one) is None or improve(one)[0][0].fold == fold + 1
    assert judge_further(one, 20.0) is None


def test_a_trial_that_begins_late_leaves_the_networks_of_the_answer_their_time():
    one = trained(state(now=40.0, listed=[GRADIENT]), "g", result(1.0, 0.5, end="rest", steps=300, seconds=2.0))
    until = improved_until(one, one.ranked[0])
    assert 40.0 < until < one.conditions.end - 2
    late = Move("g", WIDER, 0, 30.0)
    assert beginning(one, late) == late._replace(at=40.0, seconds=until - 40.0)
    last = late._replace(of_answer=True)
    assert beginning(one, last).seconds == one.conditions.end - 40.0


def test_new_networks_of_a_method_by_the_gradient_have_a_whole_schedule():
    one = trained(state(now=40.0, listed=[GRADIENT]), "g", result(1.0, 0.5, 0.7, end="rest", steps=300))
    assert {(move.stop_at, move.steps) for move in conclude(one)[0]} == {(200, 200)}


def trained_move(one, move, outcome):
    number = len(one.moves)
    return merge(one, {number: move}, {number: outcome}, one.now)


def test_a_candidate_with_another_seed_is_varied_if_the_first_one_is_not_known():
    """The file of a trial may be damaged when a search is resumed."""
    one = trained_move(state("a", now=20.0), Move("a", WIDER | AGAIN, 0, 1.0), result(1.0, end="rest"))
    found, _ = improve(one)
    assert [move.changes for move in found] == [WIDER | DEEPER, {"model.width": 64}]


@pytest.mark.parametrize(("now", "affords"), [(20.0, True), (49.0, False)])
def test_fixed_neurons_are_wider_only_if_they_can_also_be_the_answer(now, affords):
    """Their trials cannot be cut: with twice the width one takes 4 s, and there are a judge and five folds."""
    one = trained(state(listed=[FIXED], now=now), "f", result(1.0, steps=1, end="steps"))
    found = improve(one)
    assert (moves(found) == [("f", {"model.width": 2 * FIXED.settings.model.width}, 0)]) is affords


def test_wider_fixed_neurons_try_slopes_from_the_best_one_on():
    listed = candidate("s", "optimizer=least_squares", "model.width=100", completes=True)
    outcome = result(2.0, 1.0, steps=2, end="steps")
    outcome.history["slope"] = np.array([3.0, 6.0])
    one = trained(state(listed=[listed], now=20.0), "s", outcome)
    (move,), _ = improve(one)
    assert move.changes == {"model.width": 200, "optimizer.slopes": [6.0, 9.0], "trainer.max_steps": 3}
    assert move.steps is None
    varied = one.candidate_of(move)
    assert (varied.settings.optimizer.slopes, varied.settings.trainer.max_steps) == ([6.0, 9.0], 3)
    assert {"optimizer.slopes=[6.0, 9.0]", "trainer.max_steps=3"} <= set(varied.overrides)


def test_scales_that_are_learnt_from_some_rows_take_little_longer_on_all_of_them():
    fixed = candidate("fixed", "optimizer=random_features")
    few = result(1.0, steps=1, seconds=2.0, rows=200)
    seconds = {}
    for one in (fixed, candidate("a")):
        before = trained(state(listed=[one]), one.name, few, share=0.2)
        standing = before.standings[one.name]
        seconds[one.name] = pace_on_all(before, standing, standing.in_order[0])
    assert seconds["a"] == pytest.approx(5 * 2.0)  # of 1000 rows
    assert 2.0 < seconds["fixed"] < 4.0


@pytest.mark.parametrize(("seconds", "until"), [(1.0, 55 - 2 * (1.3 * 1.25 + 0.3)), (8.0, 0.75 * 55)])
def test_new_networks_of_a_winner_have_a_quarter_of_the_time_at_most(seconds, until):
    """Four networks, of 1.25 times as many rows at most, are trained in two rounds by two processes."""
    one = trained(state("a"), "a", result(1.0, seconds=seconds, end="rest"))
    assert improved_until(one, one.ranked[0]) == pytest.approx(until, abs=0.1)


def test_the_answer_of_fixed_neurons_has_new_networks():
    """They are of all rows and without each of the folds that have not judged it, with the step that was best."""
    one = trained(state(now=40.0, seeds=1, listed=[FIXED]), "f", result(1.0, 0.5, 0.7, end="steps", steps=3))
    found, why = conclude(one)
    assert why == "f on all rows and without each fold, 5 networks"
    assert [(x.fold, x.stop_at, x.steps, x.start) for x in found] == [(k, 2, 3, None) for k in (None, 1, 2, 3, 4)]


def test_a_network_of_all_rows_that_has_failed_is_not_begun_again():
    one = trained(state("a", now=40.0), "a", result(1.0, 0.5, 0.2, end="rest", ratio=4.0, steps=99))
    ((move,), _) = conclude(one)
    found, why = conclude(trained_move(one, move._replace(at=one.now), result(failure="no memory")))
    assert (why, {x.fold for x in found}) == ("a without each fold, 4 networks", {1, 2, 3, 4})
    killed = trained(one, "a", result(failure="its time was over"), start=0)  # one that would have judged it again
    assert conclude(killed)[1] == "a on all rows, 1 network"


def test_new_networks_are_added_to_those_that_have_ended_if_there_is_time():
    ended = result(1.0, 0.5, 0.7, seconds=5.0, end="steps", steps=3)
    one = trained(state(now=43.0, seeds=1, listed=[FIXED]), "f", ended)
    first, *others = conclude(one)[0]
    assert [x.fold for x in (first, *others)] == [None, 1, 2, 3]
    again, _ = conclude(trained_move(one, first._replace(at=one.now), ended))
    assert [x.fold for x in again] == [1, 2, 3, 4]


@pytest.mark.parametrize("loss", [0.5, 0.1])
def test_the_answer_of_a_winner_that_rests_continues_on_all_rows(loss):
    """It has ten steps, and forty more unless its loss is as small as it was. Then networks leave out each other fold.

    They have as many steps as the winner had.
    """
    one = trained(state("a", now=40.0), "a", result(1.0, 0.5, 0.2, end="rest", ratio=4.0, steps=99))
    for steps in (10, 40):
        ((move,), why) = conclude(one)
        assert why == "a on all rows, 1 network"
        assert (move.fold, move.steps, move.start) == (None, steps, len(one.moves) - 1)
        ended = result(loss if steps == 10 else 0.1, steps=steps, end="steps")
        one = trained_move(one, move._replace(at=one.now), ended)
        assert len(one.ranked[0].refits) == 1
        if loss == 0.1:
            break
    found, why = conclude(one)
    assert why == "a without each fold, 4 networks"
    assert [(x.fold, x.stop_at, x.start, x.seed) for x in found] == [(k, 99, None, 1) for k in (1, 2, 3, 4)]
    assert conclude(trained_move(one, found[0], result(1.0))) == ([], "")


def test_the_answer_of_a_winner_that_falls_continues_on_all_rows_and_questions_the_labels():
    """As there is no time for as many steps, they only question the labels, on few rows."""
    one = trained(state("a", now=52.0), "a", result(2.0, 1.0, ratio=4.0))
    found, why = next_moves(one)
    assert why == "a on all rows, 1 network"
    one = trained_move(one, found[0], result(1.0, end="time"))
    found, why = next_moves(one)
    assert why == "a without each fold, 4 networks"
    assert [(x.fold, x.start, x.share, x.seed) for x in found] == [(k, None, 0.2, 1) for k in (1, 2, 3, 4)]
    assert next_moves(trained_move(one, found[0], result(1.0))) == ([], "")


@pytest.mark.parametrize(("seconds", "threads", "affords"), [(39.0, 1, False), (41.0, 1, True), (30.0, 2, True)])
def test_eight_steps_on_all_rows_are_affordable_with_the_threads_that_they_will_have(seconds, threads, affords):
    """A step took 1 s on 200 of 1000 rows."""
    one = trained(state("a"), "a", result(1.0, steps=8, seconds=8.0, rows=200), share=0.2)
    standing = one.standings["a"]
    assert affords_all(one, standing, standing.in_order[0], seconds, threads) is affords


@pytest.mark.parametrize(("seconds", "processor", "threads"), [(1.0, 1.0, 2), (0.1, 1.0, 1), (1.0, 0.5, 1)])
def test_the_steps_of_a_trial_share_processors_if_they_are_long_and_no_other_program_uses_these(
    seconds, processor, threads
):
    one = trained(state("a"), "a", replace(result(1.0, seconds=seconds), processor=processor))
    assert threads_of(one.ranked[0], 2) == threads


CURVES = {"a": (4.0, 0.3), "b": (2.0, 0.5), "c": (9.0, 2.5), "d": (3.0, 0.1), "e": (5.0, 0.0)}
"""The errors of candidates after a second, and the powers of time by which they fall: c has the largest at first."""


def power_law(before, move):
    """Return a result on a curve, whose time goes on where that of `start` has ended."""
    begin = before.results[move.start].history["seconds"][-1] if move.start is not None else 0.0
    first, power = CURVES[move.candidate]
    first /= 1.0 + 0.3 * ("model.width" in move.changes)
    seconds = max(move.seconds - 0.1, 0.3)
    one = result(*[first * (1 + begin + seconds * k / 4) ** -power for k in (1, 2, 3, 4)], seconds=seconds)
    one.history["seconds"][:] += begin
    return one


def test_a_whole_search_finds_the_candidate_that_is_best_in_the_end_and_gives_it_the_time():
    """At least half of the time of both processes is that of the winner's method."""
    last, lines = play(state(*CURVES), power_law)
    winner = last.ranked[0]
    assert winner.candidate.listed == "c"
    c = {n: move for n, move in last.moves.items() if move.candidate == "c"}
    spent = sum(move.threads * last.results[n].seconds for n, move in c.items())
    assert spent > 0.6 * 2 * last.conditions.end
    assert lines[0] == "0 s: 5 candidates on 200 rows"
    assert last.now == pytest.approx(last.conditions.end, abs=1.5)


@pytest.mark.parametrize(
    ("cores", "judges", "rows"), [(1, 1, 1000), (2, 1, 50_000), (2, 4, 40), (5, 2, 1000), (2, 1, 0)]
)
@pytest.mark.parametrize("timeout", [5.0, 60.0])
def test_any_search_ends_in_time_and_trains_no_network_twice_at_a_time(cores, judges, rows, timeout, draws):
    """Also if trials fail, or come to rest."""
    chance, curves = draws(rows + cores), {}
    methods = candidate("a"), candidate("b"), FIXED, GRADIENT

    def outcome(before, move):
        first, power = curves.setdefault(
            before.candidate_of(move).name, (chance.uniform(0.01, 10), chance.choice((0, 1, 2)))
        )
        begin = before.results[move.start].history["seconds"][-1] if move.start is not None else 0.0
        running = [(x.candidate, x.changes, x.fold, x.seed, x.start) for x in before.running]
        assert (move.candidate, move.changes, move.fold, move.seed, move.start) not in running
        seconds, how = max(move.seconds - 0.1, 0.3), chance.random()
        if how < 0.05:
            return result(failure="it has failed", seconds=seconds)
        end = "steps" if before.candidate_of(move).has_fixed_neurons else "rest" if how < 0.25 else "time"
        seconds = seconds if end == "time" else min(seconds / 3, 1.0)
        errors = [first * (1 + begin + seconds * k / 4) ** -power for k in (1, 2, 3, 4)]
        one = result(*errors, seconds=seconds, end=end, ratio=chance.choice((1.0, 4.0)), steps=chance.choice((3, 300)))
        one.history["seconds"][:] += begin
        return one

    sizes = {"rows": rows, "all_rows": rows} if rows else {"rows": 0, "all_rows": 0, "folds": 0}
    search = state(listed=methods, cores=cores, judges=judges, timeout=timeout, now=2.0, **sizes)
    last, _ = play(search, outcome)
    assert last.results.keys() == last.moves.keys()
    assert last.ranked
    assert last.now < timeout + 0.5 * len(methods)
