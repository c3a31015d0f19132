"""How candidates are ranked."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runge.sweeps.journal import EndedRun
from runge.sweeps.policies.best.candidates import Candidate
from runge.sweeps.policies.best.search_table import SearchTable
from runge.sweeps.policies.best.selection import PlannedRun, Selection, merge
from runge.sweeps.policies.best.trained_runs import TrainedRun, error_of
from tests.sweeps.policies.made_up import trained_run, written


def run(value: float | None, derivative: float | None) -> TrainedRun:
    return trained_run(metrics={"val/nrmse_f": value, "val/nrmse_df": derivative})


def selection_of(*candidates: Any, table: Any = None, factory: Any = None) -> Selection:
    place = {"folds": 5, "judges": 2, "directory": Path(), "timeout": 60.0, "seeds": 3, "processes": 1}
    return Selection(factory, {candidate.name: candidate for candidate in candidates}, table, **place)


def test_noise_of_the_derivatives_does_not_hide_errors_of_the_values():
    exact, rough = [run(1e-8, 0.1)] * 2, [run(1e-2, 0.0999)] * 2
    assert error_of(exact) == pytest.approx(1e-9**0.5)
    assert error_of(exact) < 0.01 * error_of(rough)
    assert error_of([run(0.3, None)]) == pytest.approx(0.3)
    assert error_of([run(None, 0.5)]) == pytest.approx(0.5)
    assert error_of([run(0.3, 0.1), run(0.4, 0.1)]) == pytest.approx((0.125**0.5 * 0.1) ** 0.5)
    assert error_of([]) == error_of([run(None, None)]) == np.inf


def test_the_best_come_first_and_after_them_those_that_lack_a_fold():
    errors = {"a": (1.0, 5), "b": (0.9, 2), "c": (0.3, 2), "d": (0.01, 1), "e": (0.1, 1), "f": (0.0, 0)}
    member: Any = None
    candidates = [
        Candidate(name, [], member, dict.fromkeys(range(folds), run(error, error)))
        for name, (error, folds) in errors.items()
    ]
    assert "".join(candidate.name for candidate in selection_of(*candidates).ranked()) == "cbade"
    assert selection_of().ranked() == []


@pytest.mark.parametrize(("fixed", "step"), [(True, 3), (False, 2)])
def test_the_step_of_a_network_of_all_rows(fixed, step):
    """Each step of fixed neurons is another fit: the mean of the best ones of two folds is neither of them."""
    runs = [
        trained_run(logged_steps=np.arange(1, 1 + len(errors)), logged_errors=np.array(errors))
        for errors in ([-9.0, 0.0, -8.0, 0.0], [-1.0, -2.0, -8.0])
    ]
    member = SimpleNamespace(settings=SimpleNamespace(optimizer=SimpleNamespace(last_layer_alone=fixed)))
    candidate: Any = SimpleNamespace(member=member, in_order=runs, by_fold=runs)
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
def test_a_network_at_rest_on_some_of_the_rows_may_gain_by_more_until_they_do_not_help(
    share, table, fixed, grows, tmp_path
):
    member: Any = SimpleNamespace(
        settings=SimpleNamespace(optimizer=SimpleNamespace(last_layer_alone=False, by_gradient=False))
    )
    candidate = Candidate("any", [], member)
    command = SimpleNamespace(directory_of=lambda number, overrides: directory.path)
    factory: Any = SimpleNamespace(fixed={fixed: ""}, command=command)
    selection = selection_of(candidate, table=table, factory=factory)
    for number, error, expected in ((0, 1.0, grows), (1, 2.0, False)):
        directory = written(tmp_path / str(number), error=error, share=share)
        planned = PlannedRun(candidate, 0, 9.0)
        run = selection._read(planned, EndedRun(number, [], 1.0), threads=1)
        candidate = merge(candidate, planned, number, run)
        assert (candidate.by_fold[0].error, candidate.by_fold[0].number) == (1.0, 0)
        assert candidate.cut is expected
    assert candidate.runs == [0, 1]


GRADIENT, FIXED, NEWTON = (
    SimpleNamespace(by_gradient=by_gradient, last_layer_alone=alone)
    for by_gradient, alone in ((True, False), (False, True), (False, False))
)


def candidate_of(optimizer: Any = NEWTON, **changes: Any) -> Candidate:
    member: Any = SimpleNamespace(settings=SimpleNamespace(optimizer=optimizer))
    return Candidate("any", [], member, **changes)


@pytest.mark.parametrize(
    ("fold", "seed", "changed"),
    [(None, 0, {"refits": [7]}), (None, 1, {"refits": [7]}), (2, 1, {"calibrating": [7]}), (2, 0, {"runs": [7]})],
)
@pytest.mark.parametrize("fails", [False, True])
def test_a_further_run_is_kept_where_it_belongs(fold, seed, changed, fails):
    before, trained = candidate_of(failure="before", slowness=1.5), trained_run(slowness=3.0)
    after = merge(before, PlannedRun(before, fold, 9.0, seed=seed), 7, ValueError("why") if fails else trained)
    judged = {2: trained} if "runs" in changed and not fails else {}
    kept = {"refits": (), "calibrating": (), "runs": (), "by_fold": judged} | changed
    kept |= {"failure": "ValueError: why", "slowness": 1.5} if fails else {"failure": "", "slowness": 3.0}
    assert {name: getattr(after, name) for name in kept} == kept
    assert (before.by_fold, before.runs) == ({}, ())


@pytest.mark.parametrize(
    ("optimizer", "steps", "cut"),
    [
        *((NEWTON, 20, True), (NEWTON, 21, False)),
        *((GRADIENT, 2000, True), (GRADIENT, 2001, False)),
        *((FIXED, 40, True), (FIXED, 41, False)),  # as many as it had before
    ],
)
def test_steps_that_do_not_help_end_a_candidate_unless_they_were_few(optimizer, steps, cut):
    earlier = run(1.0, 1.0)
    before = candidate_of(optimizer, by_fold={0: earlier})
    after = merge(before, PlannedRun(before, 0, 9.0), 7, replace(run(2.0, 1.0), steps=steps, cut=True))
    assert after.by_fold[0].cut is cut
    assert merge(before, PlannedRun(before, 0, 9.0), 7, ValueError("why")).by_fold[0].cut is False
