"""The leaderboard of a search, with sentences on the answer, its errors and its sensitivity."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from runge.configuration.command_line import key_of
from runge.data.column_roles import columns_override, listed
from runge.data.rows import Rows
from runge.function.function import Function
from runge.function.influences import sensitivity_of
from runge.function.loading import load
from runge.function.slices import profiles_of
from runge.records.files import public
from runge.records.fits import LEVEL
from runge.records.leaderboard import AnswerProfile, Leaderboard, LeaderboardEntry, OutputError, packed
from runge.records.metrics import ERRORS
from runge.search.answer import Answer
from runge.search.constants import (
    BAD_ERROR,
    MANY_DECADES,
    PROFILE_NUMBERS,
    PROFILED_COLUMNS,
    PROFILED_ROWS,
)
from runge.search.contradiction import describe_contradiction
from runge.search.judging import SearchTable, decades_of
from runge.search.standing import Standing
from runge.search.state import State
from runge.search.statements import (
    KINDS,
    describe_bounds,
    describe_errors,
    describe_levels,
    describe_test,
    of_answer,
)
from runge.search.unseen import column_errors, describe_suspects, errors_of, find_suspects

__all__ = ["leaderboard"]

log = logging.getLogger(__name__)


def leaderboard(
    state: State, table: SearchTable | None, answer: Answer, search: Path, left_out: Sequence[str], wrong: str
) -> Leaderboard:
    """Return the leaderboard of a search, without its moves.

    Args:
        state: its candidates, of which some have been trained.
        table: the table; None: a formula.
        answer: its answer.
        search: its directory, in which the answer is written.
        left_out: the candidates that the command's overrides do not allow, and why.
        wrong: which columns of derivatives contradict the values; empty: none.
    """
    best, ranked = answer.winner, [answer.winner, *answer.rivals]
    late = [x for x in state.standings.values() if not x.by_fold]
    why = "not tried, because the time was over or the first one of its method was worse than others"
    left_out = [*left_out, *(f"{x.name}: {x.failure or why}" for x in late)]
    if table is None:
        value, derivative = map(best.metric, ERRORS)
        error = OutputError("", value, derivative, None, None)
        both = " and ".join(f"{x:.1e} for the {kind}s" for kind in KINDS if (x := getattr(error, kind)) is not None)
        stated = f"Its error on the validation points, which also chose it, over the standard deviation, is {both}."
        sentences = [_describe_answer(answer, 0, 0, 0), stated, *_warn(_bad([error]), len(ranked))]
        return Leaderboard([_entry(standing, [], answer) for standing in ranked], sentences, left_out)

    function, judged, questioned = load(search), answer.left_out(table), answer.question(table.rows)
    of_rows = errors_of(judged.residuals, table)
    every, columns, far_apart = of_answer(of_rows, column_errors(judged.residuals, table), answer.differences)
    errors, decades = _of_decades(every, table.rows, best.candidate.logs)
    entries, folds = [_entry(x, errors, answer, table.rows.inputs) for x in ranked], state.conditions.folds
    if state.wrong:
        entries = [replace(entry, derivative=None) for entry in entries]
    suspects, examined = find_suspects(questioned, table.rows), int((~np.isnan(questioned)).any(axis=1).sum())
    sentences = [
        _describe_answer(answer, len(table.seen), len(table.test), folds),
        describe_contradiction(state.wrong, table.rows),
        describe_errors(errors, of_rows, columns, judged, table.rows, folds),
        far_apart,
        describe_bounds(errors),
        describe_levels(table.rows),
        *describe_test(function, table, every),
        *_warn(_bad(every), len(entries)),
        describe_suspects(suspects),
        wrong,
        decades,
        f"Of the {len(table.rows.x)} rows, {examined} were examined for wrong labels." * (examined < len(table.rows.x)),
    ]
    return Leaderboard(
        entries,
        [sentence for sentence in sentences if sentence],
        left_out,
        sensitivity=sensitivity_of(function, table.rows) if len(function.inputs) > 1 else None,
        profiles=_profiles(function, table),
        level=LEVEL,
        suspects=suspects,
        errors=errors,
        columns=columns if errors is every else [],
    )


def _bad(errors: Sequence[OutputError]) -> list[str]:
    """Return of what the error is at least that of a constant."""
    bad = [(kind, row.output) for kind in KINDS for row in errors if (getattr(row, kind) or 0) >= 1]
    return [f"the {kind}s" + f" of {output}" * (len(errors) > 1) for kind, output in bad]


def _warn(bad: Sequence[str], candidates: int) -> list[str]:
    """Return sentences, which are also logged, on errors that are bad, and on no comparison.

    Args:
        bad: of what the error is at least that of a constant.
        candidates: the number of candidates that were compared.
    """
    sentences = [f"This fit is no better than a constant for {listed(bad, last=' and ')}."] if bad else []
    if candidates == 1:
        sentences.append("No other candidate could be compared; search.timeout=SECONDS gives more time.")
    for sentence in sentences:
        log.warning("%s", sentence)
    return sentences


def _of_decades(errors: list[OutputError], rows: Rows, logs: Sequence[str]) -> tuple[list[OutputError], str]:
    """Return the errors, or none and the reason if a large one is of inputs over many decades other than `logs`."""
    spans = {name: decades for name, decades in decades_of(rows).items() if name not in logs}
    wide = [f"{name} spans {decades:.0f} decades" for name, decades in spans.items() if decades > MANY_DECADES]
    numbers = [error for row in errors for kind in KINDS if (error := getattr(row, kind)) is not None]
    if not wide or max(numbers, default=0.0) <= BAD_ERROR:
        return errors, ""
    none = [OutputError(row.output, *[None] * 4) for row in errors]
    return none, f"{listed(wide)}: the errors in rows left out are too large to state an error in new rows."


def _entry(
    standing: Standing, errors: Sequence[OutputError], answer: Answer, inputs: Sequence[str] = ()
) -> LeaderboardEntry:
    """Return a candidate with its errors, of the outputs that are judged, or of all if none is, and its curve.

    If each output has a network of its own, its overrides are those of a sweep over the outputs. One that names the
    derivatives of all outputs allows no such sweep.
    """
    judged = [[row.output for row in errors if getattr(row, kind) is not None] for kind in KINDS]
    value, derivative = (
        _mean([standing.metric(f"{name}/{output}") for output in outputs])
        if 0 < len(outputs) < len(errors)
        else standing.metric(name)
        for name, outputs in zip(ERRORS, judged, strict=True)
    )
    is_answer, candidate, (shown, *_) = standing is answer.winner, standing.candidate, standing.results
    overrides = list(candidate.overrides)
    if candidate.separate and "data.derivatives" not in map(key_of, overrides):
        each = [columns_override("data.outputs", [row.output]).partition("=")[2] for row in errors]
        overrides = [x for x in overrides if key_of(x) not in ("data.inputs", "data.outputs")]
        overrides += [columns_override("data.inputs", inputs), f"data.outputs={','.join(each)}"]
    return LeaderboardEntry(
        name=standing.name,
        overrides=public(overrides),
        runs=list(range(len(answer.judging))) if is_answer else [],
        refits=list(answer.runs) if is_answer else [],
        folds=len(standing.by_fold),
        value=value,
        derivative=derivative,
        error=standing.error,
        seconds=standing.seconds,
        steps=max(result.best_step for result in standing.results),
        curve=packed([shown.history[name] for name in ("seconds", "step", *ERRORS)]),
    )


def _mean(numbers: Sequence[float | None]) -> float | None:
    """Return the mean of the numbers that are known; None: there are none."""
    measured = [number for number in numbers if number is not None]
    return sum(measured) / len(measured) if measured else None


def _describe_answer(answer: Answer, seen: int, test: int, folds: int) -> str:
    """Return a sentence on the networks of the answer.

    Args:
        answer: the answer.
        seen: the number of rows for training and validation; 0: a formula.
        test: the number of test rows.
        folds: the number of folds.
    """
    count = len(answer.refits or answer.judging)
    mean = f"the mean of {count} networks" if count > 1 else "one network"
    sentence = f"The answer is {mean} ({answer.winner.name})"
    if not seen:
        return f"{sentence}."
    rows = f"the {seen} rows that are not for the test" if test else f"all {seen} rows"
    if answer.winner.candidate.share is not None or not (answer.refits or answer.winner.has_all_rows):
        numbers = sorted({network.result.rows for network in answer.refits or answer.judging})
        return f"{sentence}, trained on {' or '.join(map(str, numbers))} of {rows}."
    if answer.refits:
        return f"{sentence}, trained on {rows}" + ("." if test else ", so that no row is left to test it.")
    return f"{sentence}, {'each ' if count > 1 else ''}trained on {rows} except one of {folds} folds."


def _profiles(function: Function, table: SearchTable) -> list[AnswerProfile]:
    """Return the profiles of a function that was fitted to a table, along the inputs that matter most."""
    rows, seen = table.rows, table.seen
    outputs = range(min(len(rows.outputs), PROFILED_COLUMNS))
    inputs = np.sort(np.argsort(-function.input_weights, kind="stable")[:PROFILED_COLUMNS]).tolist()
    points = PROFILE_NUMBERS // (len(inputs) * max(6 * len(outputs), len(rows.inputs)))
    sections = profiles_of(function, rows.x[seen], inputs, min(max(points, 21), 201))
    shown = seen[:: -(-len(seen) // PROFILED_ROWS)] if len(rows.inputs) == 1 else seen[:0]
    labels = [[rows.x[shown, 0], rows.y[shown, p], rows.dydx[shown, p, 0]] for p in outputs]
    return [
        AnswerProfile.of((rows.outputs[p], rows.inputs[d]), section, p, labels[p])
        for p in outputs
        for d, section in zip(inputs, sections, strict=True)
    ]
