"""Sentences on the errors of an answer, in rows left out of training and in test rows."""

import math
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

import numpy as np

from runge.configuration.validation import Floats
from runge.data.column_roles import column_names, listed
from runge.data.rows import Rows
from runge.function.function import Function
from runge.function.predictions import predict
from runge.labels.unseen_rows import LEAST_GROUPS, count_groups
from runge.records.leaderboard import ColumnError, OutputError
from runge.search.answer import LeftOut
from runge.search.constants import ANSWER_GAIN, LOSS_ROUND_OFF, WIDE_FACTOR
from runge.search.judging import SearchTable
from runge.search.unseen import column_errors, errors_of

__all__ = ["KINDS", "describe_bounds", "describe_errors", "describe_levels", "describe_test", "of_answer"]

KINDS = "value", "derivative"
"""The kinds of labels, each of which has its own errors."""

_NO_ENDS = 0.0, math.inf


def of_answer(
    errors: Sequence[OutputError], columns: Sequence[ColumnError], differences: Floats | None
) -> tuple[list[OutputError], list[ColumnError], str]:
    """Return errors with the intervals of the answer's error, and a sentence on large differences of networks.

    The interval of an error E that was E / F to E F is E² / (g m) to m, with the measured gain g, and m = max(E F, d):
    it contains the difference d of two networks. That of a partial derivative does not know it.

    Args:
        errors: the errors of each output in rows left out, with their own intervals.
        columns: those of each column.
        differences: those of `runge.search.agreement.Agreement`; None: there are none.
    """
    found, parts = list(errors), list[str]()
    for k, kind in enumerate(KINDS):
        largest = dict[str, float]()
        for p, row in enumerate(errors):
            error, high = getattr(row, kind), getattr(row, f"{kind}_high")
            difference = 0.0 if differences is None else float(np.nan_to_num(differences[k, p]))
            if error and high:
                high = max(high, difference)
                found[p] = replace(found[p], **{f"{kind}_low": error**2 / high / ANSWER_GAIN, f"{kind}_high": high})
            if error and difference > WIDE_FACTOR * error:
                largest[row.output] = difference
        if largest:
            name = max(largest, key=lambda output: largest[output])
            of_output = f" of {name}" if len(errors) > 1 else ""
            parts.append(f"{largest[name]:.0e} for the {kind}s{of_output}")
    ends = {x.column: (x.low and x.low / ANSWER_GAIN, x.high) for x in columns}
    ends |= {row.output: (row.value_low, row.value_high) for row in found}
    of_columns = [replace(x, low=ends[x.column][0], high=ends[x.column][1]) for x in columns]
    where = "Where no row is, the networks of this fit differ by"
    return found, of_columns, f"{where} {' and '.join(parts)}: errors may be as large there." if parts else ""


def describe_errors(
    errors: Sequence[OutputError],
    of_rows: Sequence[OutputError],
    columns: Sequence[ColumnError],
    left_out: LeftOut,
    rows: Rows,
    folds: int,
) -> str:
    """Return sentences on the errors of networks in rows that they have not seen, and on labels without any.

    Args:
        errors: the errors of each output, with the intervals of the answer.
        of_rows: the same before `of_answer`.
        columns: the errors of each column.
        left_out: the errors in these rows.
        rows: the rows of the table.
        folds: the number of folds.
    """
    residuals, count = left_out.residuals, len({network.move.fold for network in left_out.networks})
    error, judged = _in_words(errors, columns, of_rows), int((~np.isnan(residuals)).any(axis=1).sum())
    which = f"Networks trained without the rows of a fold ({count} of {folds} folds, {judged} rows)"
    sentences = [f"{which} had errors of {error} in these rows, over the standard deviation."] if error else []
    if error and left_out.choosing:
        some = "These rows" if left_out.choosing == judged else f"{left_out.choosing} of these rows"
        sentences.append(f"{some} also chose the model, for which their errors are corrected.")
    if "[" in error:
        sentences.append("The intervals are those of the answer's error.")
    judged_labels, groups = (~np.isnan(residuals)).sum(axis=0), count_groups(residuals, rows.groups)
    labels, few = (~np.isnan(rows.labels)).sum(axis=0), list[str]()
    for p, (name, partials) in enumerate(zip(rows.outputs, column_names(rows.inputs, rows.outputs, 1), strict=True)):
        channels = [p, *range(len(rows.outputs) + p * len(partials), len(rows.outputs) + (p + 1) * len(partials))]
        if (most := groups[channels].max()) < LEAST_GROUPS:
            of_groups = f", in {most} groups" if rows.table.group is not None else ""
            have = f"{judged_labels[channels].sum()} of its {labels[channels].sum()} labels{of_groups}"
            sentences.append(f"{name} is not judged: these rows have {have}.")
        else:
            names = zip(channels, [name, *partials], strict=True)
            few += [column for i, column in names if labels[i] and groups[i] < LEAST_GROUPS]
    if few:
        sentences.append(f"Not judged, because these rows have few of their labels: {listed(few)}.")
    return " ".join(sentences)


def _in_words(errors: Sequence[OutputError], columns: Sequence[ColumnError], of_rows: Sequence[OutputError]) -> str:
    """Return the errors of values and derivatives as text: their means over the outputs, and the largest of several.

    A mean may be smaller or larger by at most the largest factors. The error of the worst partial derivative follows,
    over its own standard deviation; the arguments are those of `describe_errors`.
    """
    parts = list[str]()
    for kind in KINDS:
        numbers = attrgetter(kind, f"{kind}_low", f"{kind}_high")
        judged = [(getattr(row, kind), _ends(*numbers(row)), row.output) for row in errors]
        if not (judged := [row for row in judged if row[0] is not None]):
            continue
        error, ends, name = max(judged)
        low, high = (end(each[k] for _, each, _ in judged) for k, end in enumerate((min, max)))
        of_partials = columns[len(errors) :]  # the first ones are the outputs
        partials = [(x.error, _ends(x.error, x.low, x.high), x.column) for x in of_partials if x.error]
        notes = [f"{name}: {_with_interval(error, *ends)}"] if len(judged) > 1 else []
        if kind == "derivative" and len(partials) > 1:
            error, ends, name = max(partials)
            interval = _with_interval(error, *(ends if high <= WIDE_FACTOR else _NO_ENDS))
            notes.append(f"worst partial {name}: {interval} of its own standard deviation")
        if high > WIDE_FACTOR:
            few = any(_ends(*numbers(row))[1] > WIDE_FACTOR for row in of_rows if getattr(row, kind) is not None)
            notes.append("few rows decide it" if few else "networks differ more where no row is")
        mean = _with_interval(sum(error for error, *_ in judged) / len(judged), low, high)
        parts.append(f"{mean} for the {kind}s" + f" ({'; '.join(notes)})" * bool(notes))
    return " and ".join(parts)


def _ends(error: float | None, low: float | None, high: float | None) -> tuple[float, float]:
    """Return the ends of the interval of an error, over that; 0 and infinite: it has none."""
    return (low / error, high / error) if error and high and low is not None else _NO_ENDS


def _with_interval(error: float, low: float, high: float) -> str:
    """Return an error and the interval of these multiples of it; one digit if that is so wide that it means nothing."""
    return f"about {error:.0e}" if high > WIDE_FACTOR else f"{error:.1e} [{error * low:.1e}, {error * high:.1e}]"


def describe_bounds(errors: Sequence[OutputError]) -> str:
    """Return a sentence on the largest bounds of the outputs; empty: some have too few rows."""
    parts = list[str]()
    for name in KINDS:
        bounds = [getattr(row, f"{name}_bound") for row in errors if getattr(row, name) is not None]
        if bounds and None not in bounds:
            parts.append(f"90 % of the {name}s were within {max(bounds):.1e}")
    of_derivative = " (of a derivative: of its output's gradient)" * (KINDS[1] in "".join(parts))
    units = f"standard deviations{of_derivative}"
    return f"In these rows, {' and '.join(parts)} {units} of the prediction." if parts else ""


def describe_levels(rows: Rows) -> str:
    """Return a sentence on inputs that have two values, between which no row is; empty: there are none.

    An input that is 0 or 1 is a switch.
    """
    levels = {name: np.unique(x) for name, x in zip(rows.inputs, rows.x.T, strict=True)}
    two = [name for name, values in levels.items() if len(values) == 2 and values.tolist() != [0, 1]]
    return f"{listed(two)} {'have' if len(two) > 1 else 'has'} two values: no row tests the fit between." if two else ""


def describe_test(function: Function, table: SearchTable, stated: Sequence[OutputError]) -> list[str]:
    """Return sentences on the errors of the answer on the test rows; empty: there are none.

    Args:
        function: the answer.
        table: the table.
        stated: the errors of each output in rows left out, with which those in test rows are compared.
    """
    if not len(table.test):
        return []
    prediction, rows = predict(function, table.rows.x[table.test]), table.rows
    value, slope = prediction["u"] - rows.y[table.test], prediction["du"] - rows.dydx[table.test]
    every = np.full((len(rows.x), value.shape[1] * (1 + len(rows.inputs))), np.nan)
    every[table.test] = np.concatenate([value, slope.reshape(len(slope), -1)], axis=1)
    errors = errors_of(every, table)
    which = f"On the {len(table.test)} test rows, which no network has seen"
    words = _in_words(errors, column_errors(every, table), errors)
    stated_error = f"the error of the answer is {words}" if words else "no error is stated: their labels are too few"
    return [f"{which}, {stated_error}.", _describe_worse(errors, stated)]


def _describe_worse(test: Sequence[OutputError], stated: Sequence[OutputError]) -> str:
    """Return a sentence on errors whose intervals in test rows are above those in rows left out; empty: there are none.

    Nothing is said of errors that are round-off, such as those of derivatives that are zero.
    """
    worse = list[str]()
    for kind in KINDS:
        for row, before in zip(test, stated, strict=True):
            low, high = getattr(row, f"{kind}_low"), getattr(before, f"{kind}_high")
            if low and high and low > max(high, LOSS_ROUND_OFF):
                worse.append(f"the {kind}s of {row.output}")
    where = "is larger than in rows left out by more than both intervals allow: believe the test"
    return f"The error of {listed(worse, last=' and ')} {where}." if worse else ""
