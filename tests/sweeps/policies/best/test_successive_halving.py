"""The decisions of the search on what is trained next."""

from types import SimpleNamespace
from typing import Any

import pytest

from runge.sweeps.policies.best.successive_halving import Best


def candidate(work: float, *, last_layer_alone: bool) -> Any:
    optimizer = SimpleNamespace(last_layer_alone=last_layer_alone)
    return SimpleNamespace(seconds=2.0, member=SimpleNamespace(optimizer=optimizer, work=lambda: work))


@pytest.mark.parametrize(
    ("left", "table", "affords"),
    [(28.0, True, True), (27.9, True, False), (8.0, False, True), (7.9, False, False)],
)
def test_fixed_neurons_are_varied_only_if_they_can_also_be_the_answer(left, table, affords):
    """Their runs cannot be cut: with four times the work a run takes 8 s, and there are two judges and five folds."""
    best = SimpleNamespace(
        end=100.0,
        selection=SimpleNamespace(
            judges=2, crossed=5, table=table or None, processes=2, left=lambda until: {100.0: left}[until]
        ),
    )
    variation = candidate(4.0, last_layer_alone=True)
    assert Best._affords(best, variation, candidate(1.0, last_layer_alone=True)) is affords  # type: ignore[arg-type]
    variation = candidate(400.0, last_layer_alone=False)
    assert Best._affords(best, variation, candidate(1.0, last_layer_alone=False))  # type: ignore[arg-type]
