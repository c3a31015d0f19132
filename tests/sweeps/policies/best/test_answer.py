"""The networks of the answer."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from runge.data.channels import Channels
from runge.sweeps.policies.best.answer import _agreeing, answer, questioning_seconds, redrawing_seconds
from runge.sweeps.policies.best.candidates import Candidate
from tests.sweeps.policies.made_up import trained_run


def search(*folds: int, fixed: bool = False, cut: bool = False, **changes: Any) -> Any:
    """Return a search of 100 rows in five folds, of which these judge the winner; a network of it takes 1 s."""
    run = trained_run(metrics={"val/nrmse_f": 1.0}, cut=cut, max_steps=64, used_share=0.25)
    member: Any = SimpleNamespace(settings=SimpleNamespace(optimizer=SimpleNamespace(last_layer_alone=fixed)))
    best = Candidate("any", [], member, dict.fromkeys(folds, run))
    parts = {
        "table": SimpleNamespace(fewest_rows=10, rows=SimpleNamespace(x=np.zeros((100, 1)))),
        "ranked": lambda: [best],
        "processes": 2,
        "crossed": 5,
        "set_up": 0.5,
        "seeds": 1,
        "end": 10.0,
        "start_of": lambda candidate, fold: None,
        "seconds_of": lambda candidate: 1.0,
        "step_of": lambda candidate: 36,
        "display": SimpleNamespace(say=lambda what: None),
        "train": lambda runs: iter([runs]),
    }
    return SimpleNamespace(**parts | changes)


def runs_of(selection: Any, left: float, **changes: Any) -> Any:
    """Return the runs of an answer for which some time is left; none is: the batch before has ended late."""
    vars(selection).update(left=lambda until: left, **changes)
    return next(answer(selection))


@pytest.mark.parametrize("cut", [False, True])
def test_neurons_of_all_rows_have_the_schedule_of_those_of_a_fold_that_took_fewer_steps(cut):
    """The slopes of drawn neurons depend on the step over the number of steps that were planned."""
    selection = search(0, 1, fixed=True, cut=cut, crossed=2, processes=1)
    run = runs_of(selection, 10.0)[0]
    assert (run.fold, run.steps, run.stop_at) == (None, 64, 36)
    assert runs_of(selection, -20.0) == []


@pytest.mark.parametrize(
    ("left", "processes", "networks", "seconds"),
    [(2.0, 2, 4, 1.0), (1.99, 2, 4, 0.995), (1.5, 2, 2, 1.5), (9.0, 2, 5, 3.0), (1.5, 8, 5, 1.5), (0.9, 8, 0, None)],
)
def test_new_networks_of_a_winner_are_trained_in_rounds(left, processes, networks, seconds):
    """It is trained on all rows, and without the other four of five folds; a network takes 1 s at most."""
    selection = search(2, processes=processes)
    runs = [run for run in runs_of(selection, left) if run.stop_at]
    assert [run.fold for run in runs] == [None, 0, 1, 3, 4][:networks]
    assert all(run.seconds == pytest.approx(seconds) for run in runs)
    assert redrawing_seconds(selection, selection.ranked()[0]) == -(-5 // processes)


@pytest.mark.parametrize(("rows", "share"), [(10, 0.1), (24, 0.24), (26, 0.25)])  # of 100; the winner had 25
def test_short_runs_of_a_winner_that_continues_question_the_labels_of_the_other_folds(rows, share):
    """They have the rows of the first comparison, or the winner's if these are fewer, and four times their set-up.

    They get 12 % of the time at most, and are not begun with less than twice their set-up.
    """
    selection = search(0, 3, cut=True)
    selection.table.fewest_rows = rows
    for left, end, seconds in ((20.0, 100.0, 2.0), (2.4, 100.0, 1.6), (20.0, 20.0, 1.6)):
        assert [
            (run.fold, pytest.approx(run.seconds), run.start, run.share, run.seed)
            for run in runs_of(selection, left, seeds=3, end=end)
        ] == [(fold, seconds, None, share, 1) for fold in (1, 2, 4)]
    for late in (1.49, -20.0):
        assert runs_of(selection, late, seeds=3, end=100.0) == []
    selection.left = lambda end: 20.0
    assert questioning_seconds(selection, selection.ranked()[0]) == 3.0
    selection.set_up = 4.1
    assert questioning_seconds(selection, selection.ranked()[0]) == 0.0


def test_a_network_of_all_rows_that_is_wrong_between_them_is_no_answer(monkeypatch):
    """Its error on these rows, which is none, does not tell."""
    judge, right, wrong = (trained_run(name, metrics={"val/nrmse_f": 0.1}) for name in "abc")
    member: Any = SimpleNamespace(settings=SimpleNamespace(optimizer=None))
    x = np.linspace(0, 1, 11)[:, None]
    y = np.where(np.arange(11) < 5, -1000.0, 1200.0)[:, None] * [[1.0, 0.0]]  # its second output is constant
    channels = Channels.of(x, y, np.full((11, 2, 1), np.nan))
    known = SimpleNamespace(rows=SimpleNamespace(x=x), seen=np.arange(11), channels=channels)
    shifts = {"a": 0.0} | {name: times * y.std(axis=0)[0] for name, times in (("b", 0.95), ("c", 1.05))}  # of 10 errors

    def jet(points: torch.Tensor) -> list[torch.Tensor]:
        both = torch.cat([points, points], dim=2)
        return [torch.cat([both + torch.tensor([shift, 9.0]) for shift in shifts.values()])]

    networks = SimpleNamespace(runs=list(shifts), like=torch.zeros(0, dtype=torch.float64), jet=jet)
    monkeypatch.setattr("runge.function.loading.load_runs", lambda runs: networks)
    selection: Any = SimpleNamespace(table=known)
    best = Candidate("any", [], member, {0: judge})
    assert _agreeing(selection, best, [right, wrong]) == [right]
    assert _agreeing(selection, best, []) == []
