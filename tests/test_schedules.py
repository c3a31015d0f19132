import pytest
import torch

from runge.schedules import (
    NEVER,
    Constant,
    Plateau,
    TwoStage,
    factors,
    first_positive,
    learning_rate_factor,
    members_by_schedule,
    observe,
)


def two_stage(**changes):
    stopping = {"smoothing": 0.5, "threshold": 0.1, "patience": 2}
    return TwoStage(**{"at_step": None, "latest_step": None, "ramp_steps": 0} | stopping | changes)


def run(schedule, values, every=10):
    """Return the step of each member's switch, given the values of its validation MSE_f, (steps, M)."""
    values = torch.tensor(values, dtype=torch.float64)
    plateau, switched_on = Plateau.start(values.shape[1]), torch.full((values.shape[1],), schedule.first_switch())
    for i, value in enumerate(values):
        plateau = schedule.observe(plateau, value)
        switched_on = schedule.switch(plateau, (i + 1) * every, switched_on)
    return switched_on.tolist()


def test_each_member_switches_at_its_own_step():
    falling = [2.0**-i for i in range(8)]
    flat_from_3 = [1.0, 0.5, 0.25] + [0.25] * 5
    # With smoothing 0.5 the average of the second still falls by over 10 % for two more validations.
    assert run(two_stage(smoothing=0.0), list(zip(falling, flat_from_3, strict=True))) == [NEVER, 50]


def test_smoothing_sees_through_noise():
    noisy = [[x] for x in (1.0, 0.5, 0.9, 0.4, 0.8, 0.3, 0.7, 0.2, 0.6, 0.1)]
    assert run(two_stage(smoothing=0.0, patience=1), noisy) == [30]
    assert run(two_stage(smoothing=0.8, patience=2, threshold=0.02), noisy) == [NEVER]


def test_latest_step_is_a_fallback():
    falling = [[2.0**-i] for i in range(8)]
    assert run(two_stage(latest_step=45), falling) == [45]
    assert run(two_stage(latest_step=45, smoothing=0.0), [[1.0]] * 8) == [30]


def test_a_value_that_is_not_finite_counts_as_no_improvement():
    assert run(two_stage(smoothing=0.0), [[1.0], [torch.nan], [torch.nan]]) == [30]


def test_a_switch_is_final():
    assert run(two_stage(smoothing=0.0), [[1.0], [1.0], [1.0], [0.1], [0.01], [0.01], [0.01]]) == [30]


def test_factor_at_once_and_as_a_ramp():
    steps = torch.arange(8)
    at = torch.tensor([3, NEVER, 0])
    assert two_stage().factor(steps, at)[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert two_stage().factor(steps, at)[:, 1].tolist() == [0] * 8
    assert two_stage(ramp_steps=4).factor(steps, at)[:, 0].tolist() == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1]
    assert two_stage(ramp_steps=4).factor(steps, at)[:2, 2].tolist() == [0.25, 0.5]
    assert Constant().factor(steps, at).tolist() == [[1.0] * 3] * 8


def test_each_member_of_a_stack_follows_its_schedule():
    """Against the schedules alone; a fixed step and a constant ignore the values."""
    flat = two_stage(smoothing=0.0)
    schedules = [flat, Constant(), two_stage(at_step=3), flat, two_stage(smoothing=0.0, ramp_steps=2)]
    plateau, switched_on = Plateau.start(5), torch.tensor([schedule.first_switch() for schedule in schedules])
    for step, falling in ((10, 1.0), (20, 0.5), (30, 0.25)):
        values = torch.tensor([1.0, 1.0, 1.0, falling, 1.0], dtype=torch.float64)
        before = [state.clone() for state in plateau]
        after, switched_on = observe(members_by_schedule(schedules), plateau, switched_on, values, step)
        torch.testing.assert_close(list(plateau), before, equal_nan=True)  # not changed in place
        plateau = after
    assert switched_on.tolist() == [30, 0, 3, NEVER, 30]
    steps = torch.arange(28, 33)
    expected = [schedule.factor(steps, switched_on[i : i + 1]) for i, schedule in enumerate(schedules)]
    assert torch.equal(factors(members_by_schedule(schedules), steps, switched_on), torch.cat(expected, dim=1))


def test_the_first_positive_factor():
    rows = torch.tensor([[0.0, 0.0, 0.5, 0.0], [0.0, 0.2, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0]])
    before = torch.tensor([NEVER, NEVER, NEVER, 7])
    assert first_positive(rows, 20, before).tolist() == [NEVER, 21, 20, 7]
    assert first_positive(rows[:0], 20, before).tolist() == before.tolist()


def test_learning_rate():
    assert learning_rate_factor("constant", 0.5) == 1
    assert [learning_rate_factor("cosine", at) for at in (0.0, 0.5, 1.0)] == pytest.approx([1, 0.5, 0])
