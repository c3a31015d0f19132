"""The networks of the answer of a search."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from runge.data.channels import Channels
from runge.search.answer import Answer, agreeing
from tests.search.made_up import result, state, trained


def test_networks_in_a_worse_minimum_are_not_in_the_answer():
    """Neither those without a fold nor those of all rows, whose errors on their own rows say nothing else."""
    one = state("a")
    for fold, error in enumerate((1.0, 2.9, 3.1)):
        one = trained(one, "a", result(error), fold=fold)
    for error in (0.5, 0.9, 9.0):
        one = trained(one, "a", result(error), fold=None, of_answer=True)
    answer = Answer.of(one.ranked[0])
    assert [x.move.fold for x in answer.judging] == [0, 1]
    assert [x.result.error for x in answer.refits] == pytest.approx([0.5, 0.9])
    assert answer.winner.error == pytest.approx(np.sqrt((1 + 2.9**2) / 2))
    assert Answer.of(trained(state("a"), "a", result(1.0)).ranked[0]).refits == []


def test_a_network_of_all_rows_that_is_wrong_between_them_is_no_answer(monkeypatch):
    """Its error on these rows, which is none, does not tell."""
    x = np.linspace(0, 1, 11)[:, None]
    y = np.where(np.arange(11) < 5, -1000.0, 1200.0)[:, None] * [[1.0, 0.0]]  # its second output is constant
    channels = Channels.of(x, y, np.full((11, 2, 1), np.nan))
    table = SimpleNamespace(rows=SimpleNamespace(x=x), seen=np.arange(11), channels=channels)
    shifts = {"a": 0.0} | {name: times * y.std(axis=0)[0] for name, times in (("b", 0.95), ("c", 1.05))}  # of 10 errors

    def jet(points):
        both = torch.cat([points, points], dim=2)
        return [torch.cat([both + torch.tensor([shift, 9.0]) for shift in shifts.values()])]

    networks = SimpleNamespace(runs=list(shifts), like=torch.zeros(0, dtype=torch.float64), jet=jet)
    monkeypatch.setattr("runge.function.loading.load_runs", lambda runs: networks)
    assert agreeing(table, 0.1, ["a"], ["b", "c"]) == [True, False]
    assert agreeing(table, 0.1, ["a"], []) == []
    assert agreeing(table, None, ["a"], ["c"]) == [True]
