"""Variations of the winner of a search."""

from types import SimpleNamespace
from typing import Any

import pytest

from runge.sweeps.policies.best.winner import variations


def candidate(work: float, *, last_layer_alone: bool) -> Any:
    optimizer = SimpleNamespace(last_layer_alone=last_layer_alone)
    member = SimpleNamespace(optimizer=optimizer, work=lambda: work)
    return SimpleNamespace(name=f"{work:g}", first_seed="", seconds=2.0, member=member)


@pytest.mark.parametrize(
    ("left", "table", "affords"),
    [(28.0, True, True), (27.9, True, False), (8.0, False, True), (7.9, False, False)],
)
def test_fixed_neurons_are_varied_only_if_they_can_also_be_the_answer(left, table, affords):
    """Their runs cannot be cut: with four times the work a run takes 8 s, and there are two judges and five folds."""

    def varied(best: Any, variation: Any, *known: Any) -> bool:
        place = {"judges": 2, "crossed": 5, "table": table or None, "processes": 2}
        factory = SimpleNamespace(variations=lambda of: [variation] if of is best else [])
        candidates = {one.name: one for one in (best, *known)}
        selection: Any = SimpleNamespace(
            **place, factory=factory, candidates=candidates, left=lambda until: {100.0: left}[until]
        )
        return variations(selection, best, 100.0) == [variation]

    fixed, larger = candidate(1.0, last_layer_alone=True), candidate(4.0, last_layer_alone=True)
    assert varied(fixed, larger) is affords
    assert not varied(fixed, larger, larger)
    assert varied(candidate(1.0, last_layer_alone=False), candidate(400.0, last_layer_alone=False))
