"""Searches whose trials are not trained: candidates, results with made-up curves, and a whole search with a clock."""

import heapq
from dataclasses import replace

import numpy as np

from runge.records.metrics import ERRORS, TRAIN_LOSS, VAL_LOSS
from runge.search.candidates import Candidate
from runge.search.conditions import Conditions
from runge.search.moves import next_moves
from runge.search.refits import beginning
from runge.search.results import Move, Result
from runge.search.state import State, merge
from runge.training.settings import Settings
from tests.conftest import compose

SIZES = {"rows": 1000, "all_rows": 1000, "inputs": 4, "labels": 5}
DEFAULTS = {"cores": 2, "seeds": 3, "folds": 5, "judges": 1} | SIZES


def candidate(name="a", *overrides, **changes):
    """Return a candidate for a table, of Levenberg-Marquardt and 2 x 16 neurons by default."""
    method = overrides or ("optimizer=levenberg_marquardt", "model.width=16", "model.depth=2")
    typed = ["data=table", "data.file=t.csv", "data.folds=5", "data.fold=0", "data.split.test=0", *method]
    return Candidate(name, Settings.of(compose(*typed)), typed, **changes)


def result(*errors, seconds=1.0, steps=100, end="time", ratio=1.0, failure="", set_up=0.1, rows=800, start=None):
    """Return a result with the errors of a curve at equal times, of which the last network has the smallest."""
    step = np.linspace(0, steps, len(errors) + 1)[1:] + (start.best_step if start else 0)
    error = np.array(errors, float)
    history = {
        "step": step,
        "seconds": seconds * step / max(steps, 1),
        TRAIN_LOSS: error**2,
        VAL_LOSS: ratio * error**2,
    }
    best = int(np.argmin(error)) if len(errors) else 0
    return Result(
        history | dict.fromkeys(ERRORS, error),
        best,
        rows=rows,
        seconds=seconds,
        total=seconds + set_up,
        steps=steps,
        end=end,
        failure=failure,
    )


def state(*names, now=0.0, timeout=60.0, listed=(), **changes):
    """Return the state of a search of some candidates before its first trial."""
    found = {name: candidate(name) for name in names} | {one.listed: one for one in listed}
    return State(Conditions(timeout, **DEFAULTS | changes), found, now=now)


def trained(before, name, *results, fold=0, **move):
    """Return a state after a candidate has had some trials on a fold."""
    for one in results:
        number = len(before.moves)
        listed = before.standings[name].candidate
        planned = Move(listed.listed, listed.changes, fold, 1.0, **move)
        before = merge(before, {number: planned}, {number: replace(one, share=planned.share)}, before.now)
    return before


def play(before, curve):
    """Play a search to its end with a clock.

    Args:
        before: its state at the beginning.
        curve: returns the result of a trial, given the state when it begins and the move.

    Returns:
        The last state, and the lines of its moves, each with the time at which it was made.
    """
    running, queue, lines, now = [], [], [], before.now
    while True:
        before = replace(before, now=now)
        while before.free > 0 and before.left() > 0:
            if not queue:
                moves, why = next_moves(before)
                if not moves:
                    break
                queue, lines = list(moves), [*lines, f"{now:.0f} s: {why}"]
            if queue[0].threads > before.free:
                break
            move, number = beginning(before, queue.pop(0)), len(before.moves)
            one = curve(before, move)
            heapq.heappush(running, (now + one.total, number, one))
            before = merge(before, {number: move}, {}, now)
        if not running:
            return before, lines
        now, number, one = heapq.heappop(running)
        before = merge(before, {}, {number: one}, now)
