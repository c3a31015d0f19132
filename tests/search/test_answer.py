"""The networks of the answer of a search, and the errors in rows that they have not seen."""

from dataclasses import replace

import numpy as np
import pytest

from runge.data.channels import Channels
from runge.data.rows import Rows
from runge.data.table import Table
from runge.records.metrics import TRAIN_LOSS
from runge.search.agreement import Agreement
from runge.search.answer import Answer
from runge.search.judging import SearchTable
from runge.search.search import Search
from tests.search.made_up import result, state, trained

N, FOLDS = 200, 5


def table(groups=None):
    """Return the table of a search, whose values are known except in its first row."""
    x, y = np.linspace(0, 1, N)[:, None], np.linspace(0, 9, N)[:, None].copy()
    y[0] = np.nan
    rows = Rows.of((x, y, np.ones((N, 1, 1))), ("x",), ("y",), Table(file="t.csv"), groups=groups)
    return SearchTable(rows, np.empty(0, int), np.arange(N), Channels.of(rows.x, rows.y, rows.dydx))


def network(fold, *errors, loss=1.0):
    """Return the result of a network whose values have some errors in the rows of a fold, again and again."""
    rows = np.arange(fold, N, FOLDS)
    residuals = np.stack([np.resize(errors, len(rows)), np.zeros(len(rows))], axis=1)
    return replace(result(loss), left_out=rows, validated=np.ones(len(rows), bool), residuals=residuals)


def test_networks_in_a_worse_minimum_are_not_in_the_answer():
    """Neither those without a fold nor those of all rows, whose errors on their own rows say nothing else."""
    one = state("a")
    for fold, error in enumerate((1.0, 2.9, 3.1)):
        one = trained(one, "a", result(error), fold=fold)
    for error in (0.5, 0.9, 9.0):
        one = trained(one, "a", result(error), fold=None, of_answer=True)
    answer = Answer.of(one.ranked)
    assert [x.move.fold for x in answer.judging] == [0, 1]
    assert [x.result.error for x in answer.refits] == pytest.approx([0.5, 0.9])
    assert answer.winner.error == pytest.approx(np.sqrt((1 + 2.9**2) / 2))
    assert Answer.of(trained(state("a"), "a", result(1.0)).ranked).refits == []


def test_a_network_of_all_rows_is_as_good_if_its_loss_is_that_of_few_rows_held_out():
    """A winner of few rows, which it goes through, has a loss there that no network of all rows can have."""
    few = replace(result(1.0), history=result(1.0).history | {TRAIN_LOSS: np.array([1e-8])})
    one = trained(trained(state("a"), "a", few, share=0.1), "a", result(0.9), fold=None, of_answer=True)
    assert len(Answer.of(one.ranked).refits) == 1


def test_losses_far_below_the_errors_make_no_network_worse():
    """Neither one that leaves out a fold nor one of all rows; one whose loss is as large as its error is worse."""
    one = state("a")
    for fold, loss in enumerate((1e-8, 0.2, 1.0)):
        one = trained(
            one,
            "a",
            replace(network(fold, 1.0), history=result(1.0).history | {TRAIN_LOSS: np.array([loss**2])}),
            fold=fold,
        )
    for loss in (0.2, 0.9):
        one = trained(one, "a", result(loss), fold=None, of_answer=True)
    answer = Answer.of(one.ranked)
    assert [x.move.fold for x in answer.judging] == [0, 1]
    assert [x.result.loss for x in answer.refits] == pytest.approx([0.2])
    better = Answer.of(trained(one, "a", result(0.02), fold=None, of_answer=True).ranked)
    assert [x.result.loss for x in better.refits] == pytest.approx([0.02])  # the other one would spoil the mean


def test_a_network_that_disagrees_is_no_run_of_the_answer(monkeypatch, tmp_path):
    one = trained(state("a"), "a", network(0, 1.0))
    for _ in range(2):
        one = trained(one, "a", result(0.9), fold=None, of_answer=True)
    made, written = Search.__new__(Search), []
    made.state, made._directory = one, tmp_path
    monkeypatch.setattr(made, "_publish", lambda workers, networks: [tmp_path / f"{i}" for i in range(len(networks))])
    differences = np.full((2, 1), 0.5)
    monkeypatch.setattr("runge.search.search.agreement_of", lambda *_: Agreement([False, True], differences))
    monkeypatch.setattr("runge.search.search.write_answer", lambda directory, runs, intervals: written.extend(runs))
    answer = made._write_answer(None, table())
    assert (written, answer.runs, len(answer.refits)) == (["2"], [2], 1)
    assert answer.differences is differences


def test_the_stated_error_is_not_that_of_the_rows_that_chose():
    """Nor that of short trials, which only question labels."""
    one = trained(state("a"), "a", network(0, 1e-9))
    one = trained(one, "a", network(1, 1.0), network(2, 1.0), fold=None)
    for fold in (1, 2):
        one = trained(one, "a", network(fold, 3.0), fold=fold, of_answer=True, stop_at=7)
        one = trained(one, "a", network(fold, 5.0), fold=fold, of_answer=True, stop_at=7, seed=1)
    for fold in (2, 3):
        one = trained(one, "a", network(fold, 1e3), fold=fold, of_answer=True, seed=1)
    answer = Answer.of(one.ranked)
    left_out = answer.left_out(table())
    fold = np.arange(N) % FOLDS
    np.testing.assert_array_equal(left_out.residuals[:, 0], np.where((fold == 1) | (fold == 2), 4.0, np.nan))
    assert left_out.choosing == 0
    assert answer.calibrate(table().rows, left_out).counts == (80, 80)


def test_few_rows_that_did_not_choose_are_joined_by_those_that_did():
    """In ten groups there are enough, in nine not."""
    one = trained(state("a"), "a", network(0, 2.0))
    one = trained(one, "a", network(1, 3.0), fold=1, of_answer=True, stop_at=7)
    for count, choosing in ((10, 0), (9, 40)):
        left_out = Answer.of(one.ranked).left_out(table(np.arange(N) // FOLDS % count))
        assert left_out.choosing == choosing
        assert np.isfinite(left_out.residuals[:, 1]).sum() == 40 + choosing
    assert np.nanmax(left_out.residuals[::5, 0]) == 2
    assert np.isnan(left_out.residuals[0, 0])  # the label is not known


def test_the_error_of_rows_that_chose_is_that_without_their_choice():
    """Of equal candidates with independent errors, the best one has a smaller error in the rows that chose it."""
    chance, stated, selected = np.random.default_rng(0), [], []
    for _ in range(30):
        one = state(*"abcdefgh")
        for name in "abcdefgh":
            error = chance.normal(size=40)
            one = trained(one, name, network(0, *error, loss=np.sqrt((error**2).mean())))
        left_out = Answer.of(one.ranked).left_out(table())
        assert left_out.choosing == 40
        stated.append(np.nanmean(left_out.residuals[:, 0] ** 2))
        selected.append(one.ranked[0].error ** 2)
    assert np.sqrt(np.mean(selected)) < 0.9
    assert np.sqrt(np.mean(stated)) == pytest.approx(1, abs=0.05)
    single = Answer.of(one.ranked).left_out(table(np.arange(N) % FOLDS)).residuals[5::5, 0]  # of one group: as they are
    np.testing.assert_allclose(np.abs(single), np.abs(one.ranked[0].results[0].residuals[1:, 0]))
    alone = Answer.of(one.ranked[:1]).left_out(table()).residuals[5::5, 0]
    np.testing.assert_allclose(alone, one.ranked[0].results[0].residuals[1:, 0], rtol=1e-12)
