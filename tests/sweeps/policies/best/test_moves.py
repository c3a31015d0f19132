"""Variations of the winner of a search, and the time until which it is improved."""

from types import SimpleNamespace
from typing import Any

import pytest

from runge.sweeps.policies.best.candidates import Candidate
from runge.sweeps.policies.best.moves import improved_until, next_move, variations
from runge.sweeps.policies.best.successive_halving import Best


def candidate(work: float, *, last_layer_alone: bool) -> Any:
    optimizer = SimpleNamespace(last_layer_alone=last_layer_alone)
    member = SimpleNamespace(settings=SimpleNamespace(optimizer=optimizer), work=lambda: work)
    return SimpleNamespace(name=f"{work:g}", first_seed="", seconds=2.0, member=member)


@pytest.mark.parametrize(
    ("left", "table", "affords"),
    [(28.0, True, True), (27.9, True, False), (8.0, False, True), (7.9, False, False)],
)
def test_fixed_neurons_are_varied_only_if_they_can_also_be_the_answer(left, table, affords):
    """Their runs cannot be cut: with four times the work a run takes 8 s, and there are two judges and five folds."""

    def varied(best: Any, variation: Any, *known: Any) -> bool:
        place = {"judges": 2, "crossed": 5, "table": table or None, "processes": 2, "left": {100.0: left}.get}
        place["end"] = 100.0
        factory = SimpleNamespace(variations=lambda of: [variation] if of is best else [])
        selection: Any = SimpleNamespace(**place, factory=factory, candidates={one.name: one for one in (best, *known)})
        return variations(selection, [best], 0.0) == [variation]

    fixed, larger = candidate(1.0, last_layer_alone=True), candidate(4.0, last_layer_alone=True)
    assert varied(fixed, larger) is affords
    assert not varied(fixed, larger, larger)
    assert varied(candidate(1.0, last_layer_alone=False), candidate(400.0, last_layer_alone=False))


@pytest.mark.parametrize(
    ("seconds", "fixed", "rivals", "until"),
    [
        (8.0, False, 0, 76.0),
        (8.4, False, 0, 75.0),
        (40.0, False, 1, 75.0),
        (40.0, True, 0, -20.0),
        (40.0, True, 1, 60.0),  # one of its networks
        (8.4, True, 1, 75.0),
    ],
)
def test_new_networks_of_a_winner_have_a_quarter_of_the_time_unless_it_has_fixed_neurons(seconds, fixed, rivals, until):
    """Five networks are trained in three rounds by two processes."""
    member = SimpleNamespace(settings=SimpleNamespace(optimizer=SimpleNamespace(last_layer_alone=fixed)))
    common = {"in_order": [None], "by_fold": {0: None}, "member": member}
    best: Any = SimpleNamespace(continues=False, error=1.0, **common)
    others: Any = [
        SimpleNamespace(continues=continues, error=error, **common)
        for continues, error in ((True, 1.3), (False, 1.0), *[(True, 1.2)] * rivals)
    ]
    place: Any = {"table": True, "crossed": 5, "processes": 2, "end": 100.0}
    selection: Any = SimpleNamespace(**place, seconds_of=lambda candidate: seconds)
    assert improved_until(selection, [best, *others]) == until


@pytest.mark.parametrize(
    ("errors", "resting", "judges", "processes", "improved"),
    [
        ((1.0, 2.9, 2.95), "", 1, 2, "ab"),  # a process is free beside the best one
        ((1.0, 3.1), "", 1, 2, "a"),
        ((1.0, 2.9), "", 1, 1, "a"),
        ((1.0, 2.9), "", 2, 3, "a"),
        ((1.0, 1.2, 2.9), "", 1, 2, "ab"),
        ((1.0, 1.2, 2.9), "", 1, 4, "abc"),
        ((1.0, 1.2, 2.9), "a", 1, 4, "b"),  # nothing is beside a best one that rests
    ],
)
def test_who_is_improved_with_the_best_candidate(errors, resting, judges, processes, improved):
    of_rest = {}
    for by_gradient in (False, True):
        runs = improving_runs(errors, resting, judges, processes, by_gradient)
        assert "".join(dict.fromkeys(run.candidate.name for run in runs)) == improved
        of_rest[by_gradient] = runs[0].seconds
    assert of_rest[True] == 2 * of_rest[False]  # its rate falls once


def improving_runs(errors, resting, judges, processes, by_gradient):
    run = SimpleNamespace(lacks_rows=False, before=0, steps=10, may_gain=True)
    member = SimpleNamespace(settings=SimpleNamespace(optimizer=SimpleNamespace(by_gradient=by_gradient)))
    common = {"member": member, "by_fold": {0: run}, "in_order": [run], "continues": True, "spent": 1.0}
    ranked = [SimpleNamespace(name=name, error=error, **common) for name, error in zip("abc", errors, strict=False)]
    place = {"judges": judges, "processes": processes, "folds": 5, "crossed": 5, "table": True, "candidates": {}}
    policy: Any = object.__new__(Best)
    policy.promotions = []
    policy.selection = SimpleNamespace(
        ranked=lambda: ranked,
        may_gain=lambda candidate, seconds: candidate.name != resting,
        left=lambda until: until,
        start_of=lambda candidate, fold: None,
        train=lambda runs: iter([runs]),
        display=SimpleNamespace(say=lambda line: None),
        journal=SimpleNamespace(seconds=0.0),
        set_up=0.1,
        end=99.0,
        seeds=3,
        **place,
    )
    return next(policy._improve())


STEPS, VARIED, AGAIN = (
    "because more steps may reduce the error",
    "because more steps do not reduce the error",
    "because another seed may find another minimum",
)


@pytest.mark.parametrize(
    ("changes", "chosen", "why"),
    [
        ({}, "ab", STEPS),
        ({"processes": 1}, "a", STEPS),
        ({"gaining": "c"}, "c", "because a has had more time"),
        ({"gaining": "c", "table": None}, "v", VARIED),
        ({"lacks_rows": True}, "ab", STEPS),
        ({"lacks_rows": True, "table": None}, "v", VARIED),
        ({"gaining": ""}, "v", VARIED),
        ({"gaining": "", "known": "v"}, "rr", AGAIN),
        ({"gaining": "", "known": "v", "table": None}, "", ""),
        ({"gaining": "", "known": "v", "left": 10.9}, "", ""),  # 3 seeds of 6 networks, and twice 2 restarts: 22 s
        ({"seconds": 0.2}, "", ""),
    ],
)
def test_the_first_affordable_move_is_made(changes, chosen, why):
    given = {"gaining": "abc", "known": "", "processes": 2, "left": 11.0, "lacks_rows": False, "table": True} | changes
    settings = SimpleNamespace(optimizer=SimpleNamespace(last_layer_alone=False), seed=SimpleNamespace(seed=0))
    member = SimpleNamespace(settings=settings, work=lambda: 1.0)
    common = {"member": member, "first_seed": "", "seconds": 1.0, "in_order": [SimpleNamespace(**given)]}
    ranked: Any = [
        SimpleNamespace(name=name, error=error, spent=spent, **common)
        for name, error, spent in (("a", 1.0, 2.0), ("b", 1.2, 2.0), ("c", 3.1, 1.0))
    ]
    selection: Any = SimpleNamespace(
        candidates={**{one.name: one for one in ranked}, **dict.fromkeys(given["known"], ranked[2])},
        factory=SimpleNamespace(
            variations=lambda candidate: [SimpleNamespace(name="v", member=member)],
            changed=lambda candidate, changes: Candidate("r", [], member),
        ),
        may_gain=lambda candidate, seconds: candidate.name in given["gaining"],
        seconds_of=lambda candidate: 1.0,
        left=lambda until: given["left"],
        table=given["table"],
        processes=given["processes"],
        judges=1,
        crossed=5,
        set_up=0.1,
        end=100.0,
        seeds=3,
    )
    candidates, reason = next_move(selection, ranked, given.get("seconds", 9.0))
    assert ("".join(candidate.name for candidate in candidates), reason) == (chosen, why)
