"""The networks of the answer."""

from types import SimpleNamespace
from typing import Any

import pytest

from runge.records.directories import RunDirectory
from runge.sweeps.policies.best.answer import answer
from runge.sweeps.policies.best.candidates import Entrant
from runge.sweeps.policies.best.judge import Fit


class Run(RunDirectory):
    """A run that was to take 64 steps."""

    def read_configuration(self) -> Any:
        return {"trainer": {"max_steps": 64}}, []


@pytest.mark.parametrize("cut", [False, True])
def test_neurons_of_all_rows_have_the_schedule_of_those_of_a_fold_that_took_fewer_steps(cut):
    """The slopes of drawn neurons depend on the step over the number of steps that were planned."""
    fit = Fit(Run("."), 0, {"val/nrmse_f": 1.0}, None, cut, 0, 0.0)
    member: Any = SimpleNamespace(optimizer=SimpleNamespace(last_layer_alone=True))
    best = Entrant("drawn", [], member, {0: fit, 1: fit})
    selection: Any = SimpleNamespace(
        ranked=lambda: [best],
        left=lambda end: end,
        processes=1,
        crossed=2,
        seconds_of=lambda entrant: 1.0,
        step_of=lambda entrant: 36,
        display=SimpleNamespace(say=lambda what: None),
        train=iter,
    )
    run = next(answer(selection, seeds=1, end=10.0))
    assert (run.fold, run.steps, run.stop_at) == (None, 64, 36)
