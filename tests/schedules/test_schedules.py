import pytest
import torch

from runge import schedules
from runge.schedules import NEVER, Constant, Plateau, TwoStage, members_by_schedule


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


FALLING = [2.0**-i for i in range(10)]
NOISY = [1.0, 0.5, 0.9, 0.4, 0.8, 0.3, 0.7, 0.2, 0.6, 0.1]
AT_ONCE, SMOOTHED = {"smoothing": 0.0}, {"smoothing": 0.8}


@pytest.mark.parametrize(
    ("changes", "values", "step"),
    [
        (AT_ONCE, FALLING, NEVER),
        (AT_ONCE, [1.0, 0.5, *[0.25] * 6], 50),
        (AT_ONCE | {"patience": 1}, NOISY, 30),
        (SMOOTHED | {"threshold": 0.02}, NOISY, NEVER),  # smoothing sees through noise
        (SMOOTHED | {"threshold": 0.05, "patience": 1}, [1.0, 0.8, 0.8, 0.8], 20),  # and counts what has fallen by 4 %
        ({"latest_step": 45}, FALLING, 45),  # a fallback
        (AT_ONCE | {"latest_step": 45}, [1.0] * 8, 30),
        (AT_ONCE, [1.0, torch.nan, torch.nan], 30),  # a value that is not finite is no improvement
        (AT_ONCE, [1.0, 1.0, 1.0, 0.1, 0.01, 0.01, 0.01], 30),  # a switch is final
    ],
)
def test_the_step_of_the_switch(changes, values, step):
    """A member beside, whose values fall, does not switch."""
    pairs = list(zip(values, FALLING, strict=False))
    assert run(two_stage(**changes), pairs) == [step, changes.get("latest_step", NEVER)]


def test_factor_at_once_and_as_a_ramp():
    steps, at = torch.arange(8), torch.tensor([3, NEVER, 0])
    assert two_stage().factor(steps, at).T.tolist() == [[0, 0, 0, 1, 1, 1, 1, 1], [0] * 8, [1] * 8]
    ramp = two_stage(ramp_steps=4).factor(steps, at)
    assert ramp[:, 0].tolist() == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1]
    assert ramp[:2, 2].tolist() == [0.25, 0.5]
    assert Constant().factor(steps, at).tolist() == [[1.0] * 3] * 8


def test_each_member_of_a_stack_follows_its_schedule():
    """Against the schedules alone; a fixed step and a constant ignore the values."""
    flat = two_stage(smoothing=0.0)
    each = [flat, Constant(), two_stage(at_step=3), flat, two_stage(smoothing=0.0, ramp_steps=2)]
    plateau, switched_on = Plateau.start(5), torch.tensor([schedule.first_switch() for schedule in each])
    for step, falling in ((10, 1.0), (20, 0.5), (30, 0.25)):
        values = torch.tensor([1.0, 1.0, 1.0, falling, 1.0], dtype=torch.float64)
        before = [state.clone() for state in plateau]
        after, switched_on = schedules.observe(members_by_schedule(each), plateau, switched_on, values, step)
        torch.testing.assert_close(list(plateau), before, equal_nan=True)  # not changed in place
        plateau = after
    assert switched_on.tolist() == [30, 0, 3, NEVER, 30]
    steps = torch.arange(28, 33)
    expected = [schedule.factor(steps, switched_on[i : i + 1]) for i, schedule in enumerate(each)]
    assert torch.equal(schedules.factors(members_by_schedule(each), steps, switched_on), torch.cat(expected, dim=1))


def test_the_first_positive_factor():
    rows = torch.tensor([[0.0, 0.0, 0.5, 0.0], [0.0, 0.2, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0]])
    before = torch.tensor([NEVER, NEVER, NEVER, 7])
    assert schedules.first_positive(rows, 20, before).tolist() == [NEVER, 21, 20, 7]
    assert schedules.first_positive(rows[:0], 20, before).tolist() == before.tolist()


def test_learning_rate():
    assert schedules.learning_rate_factor("constant", 0.5) == 1
    assert [schedules.learning_rate_factor("cosine", at) for at in (0.0, 0.5, 1.0)] == pytest.approx([1, 0.5, 0])
