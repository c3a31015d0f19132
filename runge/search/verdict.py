"""The leaderboard of a search, with sentences on the answer, its errors and its sensitivity."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from runge.configuration.validation import Floats
from runge.data.column_roles import listed, partial_name
from runge.data.rows import Rows
from runge.labels.unseen_rows import LEAST_GROUPS, count_groups, rank, sizes_of
from runge.metrics import ERRORS
from runge.records.files import public
from runge.records.fits import LEVEL
from runge.records.leaderboard import AnswerProfile, Leaderboard, LeaderboardEntry, OutputError, packed
from runge.search.answer import Answer
from runge.search.constants import (
    BAD_ERROR,
    DECADES,
    NARROW_FACTOR,
    PROFILE_NUMBERS,
    PROFILED_COLUMNS,
    PROFILED_ROWS,
    SURPRISE_PROBABILITY,
    WIDE_FACTOR,
)
from runge.search.influences import sensitivity_of
from runge.search.judging import SearchTable
from runge.search.state import Standing, State
from runge.search.unseen import column_errors, describe_suspects, errors_of, find_suspects

if TYPE_CHECKING:
    from runge.function.function import Function

__all__ = ["leaderboard"]

_KINDS = "value", "derivative"


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
    best, ranked = answer.winner, [answer.winner, *state.ranked[1:]]
    late = [x for x in state.standings.values() if not x.by_fold]
    left_out = [*left_out, *(f"{x.name}: {x.failure or 'its time was over before it began'}" for x in late)]
    if table is None:
        errors = [("values", best.metric(ERRORS[0])), ("derivatives", best.metric(ERRORS[1]))]
        both = " and ".join(f"{error:.1e} for the {what}" for what, error in errors if error is not None)
        error = f"Its error on the validation points, over the standard deviation, is {both}."
        entries = [_entry(standing, [], answer) for standing in ranked]
        return Leaderboard(entries, [_describe_answer(answer, best.name, 0, 0, 0), error], left_out)

    from runge.function.loading import load  # late, as torch is

    function, (residuals, questioned) = load(search), answer.errors_of(table.rows)
    suspects, every = find_suspects(questioned, table.rows), errors_of(residuals, table.rows.groups, table)
    errors, decades = _of_decades(every, table.rows)
    entries, folds = [_entry(standing, errors, answer) for standing in ranked], state.conditions.folds
    sentences = [
        _describe_answer(answer, best.name, len(table.seen), len(table.test), folds),
        _describe_errors(errors, residuals, table.rows, len(best.by_fold), folds),
        _describe_bounds(errors),
        *_describe_test(function, table, residuals),
    ]
    if len(entries) == 1:
        sentences.append("No other candidate could be compared; search.timeout=SECONDS gives more time.")
    sentences += [describe_suspects(suspects), wrong, decades]
    return Leaderboard(
        entries,
        [sentence for sentence in sentences if sentence],
        left_out,
        sensitivity=sensitivity_of(function, table.rows) if len(function.inputs) > 1 else None,
        profiles=_profiles(function, table),
        level=LEVEL,
        suspects=suspects,
        errors=errors,
        columns=column_errors(residuals, table.rows) if errors is every else [],
    )


def _of_decades(errors: list[OutputError], rows: Rows) -> tuple[list[OutputError], str]:
    """Return the errors, and the sentence on inputs over many decades; no errors if there are any and one is large."""
    sentence = _describe_decades(rows)
    numbers = [error for row in errors for kind in _KINDS if (error := getattr(row, kind)) is not None]
    if not sentence or max(numbers, default=0.0) <= BAD_ERROR:
        return errors, sentence
    none = [OutputError(row.output, *[None] * 4) for row in errors]
    return none, f"{sentence} The errors in rows left out are too large to state an error in new rows."


def _describe_decades(rows: Rows) -> str:
    """Return a sentence on the inputs whose logarithm may be the better input; empty: there are none."""
    spans = {name: np.log10(x.max() / x.min()) for name, x in zip(rows.inputs, rows.x.T, strict=True) if x.min() > 0}
    wide = [f"{name} spans {span:.0f} decades" for name, span in spans.items() if span > DECADES]
    how = "a fit of the logarithm may have a much smaller error: replace x by log(x), and dy_dx by x dy_dx"
    return f"{listed(wide)}: {how}." if wide else ""


def _entry(standing: Standing, errors: Sequence[OutputError], answer: Answer) -> LeaderboardEntry:
    """Return a candidate with its errors, of the outputs that are judged, or of all if none is, and its curve."""
    judged = [[row.output for row in errors if getattr(row, kind) is not None] for kind in _KINDS]
    value, derivative = (
        _mean([standing.metric(f"{name}/{output}") for output in outputs])
        if 0 < len(outputs) < len(errors)
        else standing.metric(name)
        for name, outputs in zip(ERRORS, judged, strict=True)
    )
    is_answer, (first, *_) = standing is answer.winner, standing.results
    return LeaderboardEntry(
        name=standing.name,
        overrides=public(standing.candidate.overrides),
        runs=list(range(len(answer.judging))) if is_answer else [],
        refits=[len(answer.judging) + place for place in range(len(answer.refits))] if is_answer else [],
        folds=len(standing.by_fold),
        value=value,
        derivative=derivative,
        error=standing.error,
        seconds=standing.seconds,
        steps=max(result.best_step for result in standing.results),
        curve=packed([first.history[name] for name in ("seconds", "step", *ERRORS)]),
    )


def _mean(numbers: Sequence[float | None]) -> float | None:
    """Return the mean of the numbers that are known; None: there are none."""
    measured = [number for number in numbers if number is not None]
    return sum(measured) / len(measured) if measured else None


def _describe_answer(answer: Answer, name: str, seen: int, test: int, folds: int) -> str:
    """Return a sentence on the networks of the answer.

    Args:
        answer: the answer.
        name: the name of the best candidate.
        seen: the number of rows for training and validation; 0: a formula.
        test: the number of test rows.
        folds: the number of folds.
    """
    count = len(answer.refits or answer.judging)
    mean = f"the mean of {count} networks" if count > 1 else "one network"
    sentence = f"The answer is {mean} ({name})"
    if not seen:
        return f"{sentence}."
    rows = f"the {seen} rows that are not for the test" if test else f"all {seen} rows"
    if answer.refits:
        return f"{sentence}, trained on {rows}."
    return f"{sentence}, {'each ' if count > 1 else ''}trained on {rows} except one of {folds} folds."


def _describe_errors(errors: Sequence[OutputError], residuals: Floats, rows: Rows, count: int, folds: int) -> str:
    """Return a sentence on the errors of networks in rows that they have not seen, and on outputs without any.

    Args:
        errors: the errors of each output.
        residuals: those in rows that networks have not seen, (n, P + P D), values first; NaN: not known.
        rows: the rows of the table.
        count: the number of these networks, of which each left out another fold.
        folds: the number of folds.
    """
    where = f"In rows left out of training ({count} of {folds} folds)"
    error = _in_words(errors)
    sentences = [f"{where}, the error of one network, over the standard deviation, is {error}."] if error else []
    for p, name in enumerate(rows.outputs):
        labels = (~np.isnan(rows.y[:, p])).sum() + (~np.isnan(rows.dydx[:, p])).sum()
        columns = [p, *range(len(rows.outputs) + p * len(rows.inputs), len(rows.outputs) + (p + 1) * len(rows.inputs))]
        known = (~np.isnan(residuals[:, columns])).sum(axis=0)
        groups = count_groups(residuals[:, columns], rows.groups).max()
        if groups < LEAST_GROUPS:
            of_groups = f", in {groups} groups" if rows.table.group is not None else ""
            sentences.append(f"{name} is not judged: these rows have {known.sum()} of its {labels} labels{of_groups}.")
    return " ".join(sentences)


def _in_words(errors: Sequence[OutputError]) -> str:
    """Return the errors of values and derivatives as text: their means over the outputs, and the largest of several.

    A mean may be larger by at most the largest factor.
    """
    parts = list[str]()
    for kind in _KINDS:
        judged = {row.output: error for row in errors if (error := getattr(row, kind)) is not None}
        if not judged:
            continue
        factors = {row.output: getattr(row, f"{kind}_factor") or 1.0 for row in errors if row.output in judged}
        largest, factor = max(judged, key=lambda output: judged[output]), max(factors.values())
        notes = list[str]()
        if len(judged) > 1:
            notes.append(f"{largest}: {_with_interval(judged[largest], factors[largest])}")
        if factor > WIDE_FACTOR:
            notes.append("few rows decide it")
        mean = _with_interval(sum(judged.values()) / len(judged), factor)
        parts.append(f"{mean} for the {kind}s" + f" ({'; '.join(notes)})" * bool(notes))
    text = " and ".join(parts)
    return f"{text}, with jackknife intervals" if "[" in text else text


def _with_interval(error: float, factor: float) -> str:
    """Return an error as text, with its interval unless that is narrow, or so wide that it means nothing."""
    interval = f" [{error / factor:.1e}, {error * factor:.1e}]" if NARROW_FACTOR < factor <= WIDE_FACTOR else ""
    return f"{error:.1e}{interval}"


def _describe_bounds(errors: Sequence[OutputError]) -> str:
    """Return a sentence on the largest bounds of the outputs; empty: some have too few rows."""
    parts = list[str]()
    for name in _KINDS:
        bounds = [getattr(row, f"{name}_bound") for row in errors if getattr(row, name) is not None]
        if bounds and None not in bounds:
            parts.append(f"90 % of the {name}s were within {max(bounds):.1e}")
    return f"In these rows, {' and '.join(parts)} standard deviations of the prediction." if parts else ""


def _describe_test(function: "Function", table: SearchTable, left_out: Floats) -> list[str]:
    """Return sentences on the errors of the answer on the test rows; empty: there are none."""
    if not len(table.test):
        return []
    from runge.function.predictions import predict  # late, as torch is

    prediction, rows = predict(function, table.rows.x[table.test]), table.rows
    value, slope = prediction["u"] - rows.y[table.test], prediction["du"] - rows.dydx[table.test]
    residuals = np.concatenate([value, slope.reshape(len(slope), -1)], axis=1)
    errors = _in_words(errors_of(residuals, rows.groups[table.test], table))
    which = f"On the {len(table.test)} test rows, which no network has seen"
    return [f"{which}, the error of the answer is {errors}.", _describe_surprise(residuals, left_out, table)]


def _describe_surprise(test: Floats, left_out: Floats, table: SearchTable) -> str:
    """Return a sentence that says so if test rows have larger residuals than rows left out have; empty: they do not.

    If all n + m residuals of a channel are exchangeable, the number of the m in test rows within the k-th smallest of
    the n others has a beta-binomial distribution. The level is divided by the number of channels (Bonferroni). Nothing
    is said of rows of named groups, whose residuals are not independent.

    Args:
        test: the residuals in the test rows, (m, P + P D); NaN: not known.
        left_out: the residuals in rows left out of training, (n, P + P D), likewise.
        table: the table.
    """
    if table.rows.table.group is not None:
        return ""
    from scipy.stats import betabinom  # late: it takes a while

    rows, shortfalls = table.rows, list[tuple[float, str]]()
    names = [*rows.outputs, *(partial_name(y, x) for y in rows.outputs for x in rows.inputs)]
    for channel, name in enumerate(names):
        reference, errors = sizes_of(left_out, channel), sizes_of(test, channel)
        n, m = len(reference), len(errors)
        if m and n and (k := rank(n, n, LEVEL)) <= n:
            within = int((errors <= reference[k - 1]).sum())
            p = float(betabinom.cdf(within, m, k, n + 1 - k))
            few = f"Only {within} of {m} test values of {name}"
            shortfalls.append((p, f"{few} are within the bound of 90 % in rows left out"))
    p, sentence = min(shortfalls, default=(1.0, ""))
    if not shortfalls or p >= SURPRISE_PROBABILITY / len(shortfalls):
        return ""
    return f"{sentence}, fewer than chance allows for independent rows: they may belong to groups (data.group)."


def _profiles(function: "Function", table: SearchTable) -> list[AnswerProfile]:
    """Return the profiles of a function that was fitted to a table, along the inputs that matter most."""
    from runge.function.slices import profiles_of  # late, as torch is

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
