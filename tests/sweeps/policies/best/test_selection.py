"""How candidates are ranked."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runge.metrics import FIT_SECONDS
from runge.records.directories import RunDirectory
from runge.sweeps.journal import EndedRun
from runge.sweeps.policies.best.candidates import Candidate
from runge.sweeps.policies.best.search_table import SearchTable
from runge.sweeps.policies.best.selection import PlannedRun, Selection
from runge.sweeps.policies.best.trained_runs import Fit, error_of


def fit(value: float | None, derivative: float | None) -> Fit:
    return Fit(RunDirectory("."), 0, {"val/nrmse_f": value, "val/nrmse_df": derivative}, None, False, 0, 0.0)


def selection_of(*candidates: Any, table: Any = None, factory: Any = None) -> Selection:
    return Selection(factory, candidates, table, folds=5, judges=2, directory=Path(), timeout=60.0, processes=1)


def test_noise_of_the_derivatives_does_not_hide_errors_of_the_values():
    exact, rough = [fit(1e-8, 0.1)] * 2, [fit(1e-2, 0.0999)] * 2
    assert error_of(exact) == pytest.approx(1e-9**0.5)
    assert error_of(exact) < 0.01 * error_of(rough)
    assert error_of([fit(0.3, None)]) == pytest.approx(0.3)
    assert error_of([fit(None, 0.5)]) == pytest.approx(0.5)
    assert error_of([fit(0.3, 0.1), fit(0.4, 0.1)]) == pytest.approx((0.125**0.5 * 0.1) ** 0.5)
    assert error_of([]) == error_of([fit(None, None)]) == np.inf


def test_the_best_come_first_and_after_them_those_that_lack_a_fold():
    errors = {"a": (1.0, 5), "b": (0.9, 2), "c": (0.3, 2), "d": (0.01, 1), "e": (0.1, 1), "f": (0.0, 0)}
    member: Any = None
    candidates = [
        Candidate(name, [], member, dict.fromkeys(range(folds), fit(error, error)))
        for name, (error, folds) in errors.items()
    ]
    assert "".join(candidate.name for candidate in selection_of(*candidates).ranked()) == "cbade"
    assert selection_of().ranked() == []


@pytest.mark.parametrize(("fixed", "step"), [(True, 3), (False, 2)])
def test_the_step_of_a_network_of_all_rows(fixed, step):
    """Each step of fixed neurons is another fit: the mean of the best ones of two folds is neither of them."""
    fits = [
        SimpleNamespace(best_step=1, history=lambda: (np.arange(1, 5), np.array([-9.0, 0.0, -8.0, 0.0]))),
        SimpleNamespace(best_step=3, history=lambda: (np.arange(1, 4), np.array([-1.0, -2.0, -8.0]))),
    ]
    member = SimpleNamespace(optimizer=SimpleNamespace(last_layer_alone=fixed))
    candidate: Any = SimpleNamespace(member=member, in_order=fits, fits=fits)
    assert selection_of().step_of(candidate) == step


@pytest.mark.parametrize(
    ("rows", "folds", "judges"), [(49, 10, 4), (50, 5, 2), (299, 5, 2), (300, 5, 1), (1000, 10, 1)]
)
def test_few_rows_need_several_folds_that_judge(rows, folds, judges):
    table: Any = SimpleNamespace(seen=range(rows))
    assert SearchTable.count_judges(table, folds) == judges


@pytest.mark.parametrize(
    ("share", "table", "fixed", "grows"),
    [
        (0.25, True, "", True),
        (None, True, "", False),
        (0.25, None, "", False),
        (0.25, True, "trainer.max_steps", False),
        (0.25, True, "data.split.train", False),
    ],
)
def test_a_network_at_rest_on_some_of_the_rows_may_gain_by_more_until_they_do_not_help(share, table, fixed, grows):
    errors = iter([1.0, 2.0])

    class Resting(RunDirectory):
        def read_configuration(self) -> Any:
            return {"trainer": {"max_steps": 100, "max_seconds": 9.0}, "data": {"split": {"train": share}}}, []

        def read_state(self) -> Any:
            return SimpleNamespace(step=4)

        def read_metrics(self) -> Any:
            return {FIT_SECONDS: 2.0, "val/nrmse_f": next(errors)}

    member: Any = SimpleNamespace(optimizer=SimpleNamespace(last_layer_alone=False, by_gradient=False))
    candidate = Candidate("any", [], member)
    factory: Any = SimpleNamespace(fixed={fixed: ""}, directory_of=lambda number, overrides: Resting("."))
    selection = selection_of(candidate, table=table, factory=factory)
    for expected in (grows, False):
        selection._read(PlannedRun(candidate, 0, 9.0), EndedRun(0, [], 1.0), threads=1)
        assert selection.candidates["any"].fits[0].error == 1.0
        assert selection.candidates["any"].cut is expected
