"""The simulator of searches, on curves that are made up."""

import math
from dataclasses import replace

import numpy as np
import pytest
from curves import Curve, Recording, gather, read, slowness
from replay import Task, play, regret, tasks_of
from rules import RULES, Move, Sizes

TIMES = np.geomspace(0.1, 100, 31)


def curve(power, share=1.0, **settings):
    """Return a curve whose error falls as a power of the seconds, which are fewer on a share of the rows."""
    error = TIMES**-power
    return Curve(TIMES * share, error, 2 * error, np.ones(31), **settings)


def task(powers, shares=(0.25, 1.0), **settings):
    """Return a table with a candidate for each power."""
    curves = {(f"c{i}", share): curve(x, share, **settings) for i, x in enumerate(powers) for share in shares}
    return Task("made up", curves, Sizes(100, 2, 1))


def once(*moves):
    """Return a rule that names some moves at the beginning."""
    return lambda state: [] if state.rounds else moves


def in_turn(*moves):
    """Return a rule that names one move after another."""
    return lambda state: [] if state.busy or state.rounds == len(moves) else [moves[state.rounds]]


def test_between_two_points_the_error_falls_as_a_power():
    assert curve(1.0).at(0.05) == (math.inf,) * 3
    np.testing.assert_allclose(curve(1.0).at(7.3), [1 / 7.3, 2 / 7.3, 1])
    assert curve(1.0).reaching(1 / 7.3) == pytest.approx(7.3)
    assert curve(1.0).reaching(20) == 0
    assert curve(1.0).reaching(1e-9) == 100


def test_the_fits_of_fixed_neurons_have_their_errors_at_their_points_only():
    cold = curve(1.0, warm=False)
    assert cold.at(TIMES[9] * 1.1) == cold.at(TIMES[9])
    assert cold.reaching(0.5) == 0


def test_more_seconds_continue_a_training():
    answer = play(in_turn(Move("c0", 1.0, 2), Move("c0", 1.0, 3)), task([1.0]), 60)
    assert answer.position == pytest.approx(5)
    assert answer.standing.error == pytest.approx(1 / 5)
    assert answer.test == pytest.approx(2 / 5)
    assert answer.standing.history == (pytest.approx((2, 1 / 2)), pytest.approx((5, 1 / 5)))


def test_more_rows_continue_where_the_error_is_the_same():
    answer = play(in_turn(Move("c0", 0.25, 2), Move("c0", 1.0, 3)), task([1.0]), 60)
    assert answer.position == pytest.approx(4 * 2 + 3)
    assert answer.standing.seconds == pytest.approx(5)
    again = play(in_turn(Move("c0", 0.25, 2), Move("c0", 1.0, 3)), task([1.0], warm=False), 60)
    assert again.position == pytest.approx(3)


def test_two_trainings_at_a_time_and_no_more_have_a_core():
    moves = [Move(f"c{i}", 1.0, 10) for i in range(3)]
    assert play(once(*moves), task([1, 1, 2]), 10).standing.name == "c0"
    assert play(once(*moves), task([1, 1, 2]), 20).standing.name == "c2"
    assert play(once(*moves), task([1, 1, 2]), 10, cores=3).standing.name == "c2"


def test_the_limit_ends_a_training_and_its_set_up_takes_time():
    assert play(once(Move("c0", 1.0, 99)), task([1.0]), 10).position == pytest.approx(10)
    assert play(once(Move("c0", 1.0, 99)), task([1.0], set_up=2.0), 10).position == pytest.approx(8)
    assert play(once(Move("c0", 1.0, 99)), task([1.0]), 0.05).standing.error == math.inf  # its first step is not over


def test_a_candidate_that_has_failed_takes_its_time_and_has_no_error():
    failed = Curve(*np.zeros((4, 0)))
    some = replace(task([]), curves={("c0", 1.0): failed, ("c1", 1.0): curve(1.0)})
    answer = play(in_turn(Move("c0", 1.0, 4), Move("c1", 1.0, 99)), some, 10)
    assert answer.standing.name == "c1"
    assert answer.position == pytest.approx(6)


@pytest.mark.parametrize(
    "moves", [(Move("c0", 1.0, 1), Move("c0", 0.25, 1)), (Move("c0", 0.5, 1),), (Move("c9", 1.0, 1),)]
)
def test_a_move_that_is_not_recorded_or_is_under_way_is_an_error(moves):
    with pytest.raises(ValueError, match="must"):
        play(once(*moves), task([1.0]), 10)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("limit", [1, 10, 60])
def test_rules_come_to_an_end_and_find_a_candidate_that_is_the_best_from_the_beginning(name, limit):
    some = task([*np.linspace(0.1, 0.5, 9)], set_up=0.001).curves
    best = {("c9", share): replace(curve(3.0, share), error=TIMES**-3 / 1e3) for share in (0.25, 1.0)}
    answer = play(RULES[name], replace(task([]), curves=some | best), limit)
    assert answer.standing.name == "c9"
    assert answer.standing.seconds <= limit


@pytest.mark.parametrize("name", [name for name in RULES if name != "all equal"])
def test_rules_do_not_stop_when_a_round_has_nothing_to_train(name):
    """All curves on few rows end at once, those of half of the candidates fail."""
    few = {(f"c{i}", 0.25): replace(curve(1.0), seconds=TIMES / 1e4) for i in range(10)}
    failed = {(f"c{i}", 1.0): Curve(*np.zeros((4, 0))) for i in range(5)}
    every = {(f"c{i}", 1.0): curve(0.1 * i, set_up=0.001) for i in range(5, 10)}
    some = replace(task([]), curves=few | failed | every)
    assert play(RULES[name], some, 60).standing.share == 1.0


def test_the_regret_of_equal_times_is_that_of_the_time_that_the_others_take():
    some = task([1.0, *[0.5] * 9], shares=(1.0,))
    assert regret(RULES["all equal"], some, 60) == pytest.approx(5)
    assert regret(once(Move("c0", 1.0, 60)), some, 60) == pytest.approx(1)
    assert regret(once(), some, 60) == pytest.approx(1 / (2 / 60))  # no answer


def test_recordings_are_read_back_and_rescaled_by_a_quiet_machine(tmp_path):
    points = {"seconds": [2.0, 4.0], "steps": [10.0, 20.0], "value": [0.2, 0.1], "derivative": [0.8, None]}
    points |= {"test_value": [0.3, 0.1], "test_derivative": [None, None], "loss_ratio": [1.0, 2.0]}
    busy = Recording("t", "c, 2 x 16", 1 / 4, 0, points=points, set_up=0.1)
    quiet = replace(busy, points=points | {"seconds": [0.5, 1.0], "steps": [5.0, 10.0]})
    assert slowness(busy, quiet) == pytest.approx(2)
    for folder, one in ((tmp_path, busy), (tmp_path / "speeds", quiet)):
        folder.mkdir(exist_ok=True)
        (folder / f"{one.name}.json").write_text(one.as_text())
    assert gather(tmp_path, tmp_path / "all.xz") == 1
    (back,) = read(tmp_path / "all.xz")
    assert back == replace(busy, slowness=2.0)
    rescaled = Curve.of(back)
    assert rescaled.seconds.tolist() == [1, 2]
    np.testing.assert_allclose(rescaled.error, [0.4, 0.1])
    np.testing.assert_allclose(rescaled.test, [0.3, 0.1])


def test_a_table_is_played_once_all_candidates_are_recorded_on_all_rows():
    points = {"seconds": [1.0], "steps": [1.0], "value": [0.1], "derivative": [0.1]}
    points |= {"test_value": [0.1], "test_derivative": [0.1], "loss_ratio": [1.0]}
    first = Recording("a", "c0", 1.0, 0, rows=40, inputs=2, outputs=1, points=points)
    some = [first, replace(first, candidate="c1", points={}, failure="diverged"), replace(first, share=0.25)]
    some += [replace(first, table="b")]
    (only,) = tasks_of(some)
    assert only.table == "a"
    assert only.shares == [1.0]
    assert only.sizes == Sizes(40, 2, 1)
