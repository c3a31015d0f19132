"""The state of a fit, advanced by hand, without Lightning."""

import pytest
import torch

from runge.schedules import NEVER
from runge.training.module import SobolevRegression
from runge.training.progress import Progress, advance, keep_best, should_stop, wait


def progress(members=2, **changes):
    """Return the state of members with lambda_d = 0.1 before a fit, with some fields changed."""
    start = Progress.start(torch.full((members,), 0.1, dtype=torch.float64), outputs=1, dimension=1)
    tensors = {name: torch.tensor(value, dtype=getattr(start, name).dtype) for name, value in changes.items()}
    return start._replace(**tensors)


def factors(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_steps_advance_the_step_the_factor_and_the_switch():
    start = progress()
    once = advance(start, factors([0, 0], [0, 0.5], [0, 1]))
    assert (int(start.step), start.switched_on.tolist()) == (0, [NEVER, NEVER])  # it is not changed
    assert (int(once.step), once.factor.tolist(), once.switched_on.tolist()) == (3, [0, 1], [NEVER, 1])
    twice = advance(once, factors([0, 1], [1, 1]), over=True)
    assert (int(twice.step), twice.factor.tolist(), twice.switched_on.tolist()) == (5, [1, 1], [4, 1])
    assert [bool(one.ended) for one in (start, once, twice)] == [False, False, True]
    assert bool(advance(twice, factors([1, 1])).ended)
    rest = {"lambda_now", "channels", "settled_from", "best_loss", "best_step", "waiting_since", "stopped_at"}
    assert all(getattr(twice, name) is getattr(start, name) for name in rest)


def test_blocks_of_any_length_lead_to_the_same_state():
    whole = torch.tensor([[0, 0.2], [0, 0.4], [0.5, 0.6], [0.5, 1], [1, 1]], dtype=torch.float64)
    for cut in range(1, 5):
        parts = advance(advance(progress(), whole[:cut]), whole[cut:])
        for name, value in advance(progress(), whole)._asdict().items():
            assert torch.equal(value, getattr(parts, name)), name


@pytest.mark.parametrize(
    ("changes", "loss", "better"),
    [
        ({}, 5.0, True),  # the first validation
        ({"best_loss": [1.0]}, 0.5, True),
        ({"best_loss": [1.0]}, 1.0, False),
        ({"best_loss": [1.0]}, torch.nan, False),
        ({"best_loss": [0.0]}, 0.0, True),  # no label is in the loss
        ({"best_loss": [1.0], "best_step": [10], "switched_on": [25]}, 2.0, True),  # the first one with lambda_d
        ({"best_loss": [1.0], "best_step": [10], "switched_on": [30]}, 2.0, False),  # its first step is the next one
        ({"best_loss": [1.0], "best_step": [28], "switched_on": [25]}, 2.0, False),
        ({"best_loss": [1.0], "stopped_at": [20]}, 0.5, False),
    ],
)
def test_the_best_weights_have_the_lowest_loss_that_counts(changes, loss, better):
    before, lambda_d = progress(1, step=30, waiting_since=[3], **changes), torch.tensor([0.1])
    after, mask = keep_best(before, torch.tensor([loss]), lambda_d)
    assert mask.tolist() == [better]
    expected = (loss, 30, 30) if better else (before.best_loss.item(), before.best_step.item(), 3)
    assert (after.best_loss.item(), after.best_step.item(), after.waiting_since.item()) == expected
    _, mask = keep_best(before, torch.tensor([loss]), lambda_d, always=True)
    assert mask.tolist() == [not before.stopped.item()]


def test_without_lambda_d_the_losses_before_the_switch_count():
    before = progress(1, step=30, best_loss=[1.0], best_step=[10], switched_on=[25])
    assert keep_best(before, torch.tensor([2.0]), torch.tensor([0.0]))[1].tolist() == [False]


@pytest.mark.parametrize(
    ("changes", "first", "at_rest", "stops", "since"),
    [
        ({}, 0, False, True, 10),
        ({"waiting_since": [11]}, 0, False, False, 11),
        ({"factor": [0.5]}, 0, False, False, 30),  # lambda_d grows
        ({}, 30, False, False, 30),
        ({}, 29, False, True, 10),
        ({}, 0, True, False, 10),
    ],
)
def test_a_member_stops_when_its_patience_has_run_out(changes, first, at_rest, stops, since):
    before = progress(1, **{"step": 30, "waiting_since": [10]} | changes)
    after = wait(before, 20, first, torch.tensor([at_rest]))
    assert (after.stopped.item(), after.waiting_since.item()) == (stops, since)
    assert after.stopped_at.item() == (30 if stops else NEVER)
    later = wait(after._replace(step=after.step + 100), 20, first, torch.tensor([at_rest]))
    assert not stops or later.stopped_at.item() == 30


def test_a_fit_stops_at_its_last_step_at_its_end_and_at_a_signal():
    assert [should_stop(progress(step=step), 30) for step in (0, 29, 30, 31)] == [False, False, True, True]
    assert should_stop(progress(ended=True), 30)
    assert should_stop(progress(), 30, interrupted=True)
    assert not should_stop(progress(stopped_at=[10, NEVER]), 30)


def test_the_loss_is_settled_when_neither_points_nor_weights_change():
    assert progress(step=10, settled_from=10).is_settled
    assert not progress(step=9, settled_from=10).is_settled
    assert not progress(step=10, factor=[1.0, 0.5]).is_settled
    assert progress(step=10, factor=[1.0, 0.5], lambda_now=[0.1, 0.0]).is_settled


def test_another_fit_keeps_the_best_weights_and_the_weights_of_the_loss():
    kept = {"best_loss": [1.0, 2.0], "best_step": [10, 20], "lambda_now": [0.3, 0.4], "settled_from": 7}
    ended = {"step": 30, "switched_on": [5, NEVER], "waiting_since": [10, 20], "stopped_at": [30, 30], "ended": True}
    again = progress(**kept, **ended).restarted()
    for name, value in progress(**kept)._asdict().items():
        assert torch.equal(value, getattr(again, name)), name


def test_a_checkpoint_has_the_whole_state():
    """Under names that do not change, because runs that were interrupted resume from it."""
    module = SobolevRegression([-1.0, 1.0], seed=[0, 1], width=4)
    names = {"step", "lambda_now", "channels", "factor", "switched_on", "rests_from", "best_loss", "best_step"}
    names |= {"waiting_since", "stopped_at", "ended", "lambda_d", "scale"}
    state = {name: value for name, value in module.state_dict().items() if "." not in name}
    assert state.keys() == names
    for position, name in enumerate(sorted(names - {"lambda_d", "scale"})):
        state[name].fill_(position % 2 if name == "ended" else position)
    other = SobolevRegression([-1.0, 1.0], seed=[0, 1], width=4)
    other.load_state_dict(state, strict=False)
    for name, value in module.progress._asdict().items():
        assert torch.equal(value, getattr(other.progress, name)), name
