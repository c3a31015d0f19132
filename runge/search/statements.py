"""Sentences on the errors of an answer, in rows left out of training and in test rows."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from runge.configuration.validation import Floats
from runge.data.column_roles import column_names, listed
from runge.data.rows import Rows
from runge.function.function import Function
from runge.function.predictions import predict
from runge.labels.unseen_rows import LEAST_GROUPS, count_groups
from runge.records.leaderboard import ColumnError, OutputError
from runge.search.answer import LeftOut
from runge.search.constants import LOSS_ROUND_OFF, WIDE_FACTOR
from runge.search.judging import SearchTable
from runge.search.unseen import column_errors, errors_of

__all__ = ["KINDS", "describe_bounds", "describe_errors", "describe_levels", "describe_test", "with_differences"]

KINDS = "value", "derivative"
"""The kinds of labels, each of which has its own errors."""


def with_differences(errors: Sequence[OutputError], differences: Floats | None) -> tuple[list[OutputError], str]:
    """Return the errors with intervals that contain the differences of networks, and a sentence on large differences.

    Args:
        errors: the errors of each output.
        differences: those of `runge.search.agreement.Agreement`; None: there are none.
    """
    if differences is None:
        return list(errors), ""
    found, parts = list(errors), list[str]()
    for k, kind in enumerate(KINDS):
        largest = dict[str, float]()
        for p, row in enumerate(errors):
            error, factor, difference = getattr(row, kind), getattr(row, f"{kind}_factor"), float(differences[k, p])
            if error and factor and difference > factor * error:
                found[p] = replace(found[p], **{f"{kind}_factor": difference / error})
            if error and difference > WIDE_FACTOR * error:
                largest[row.output] = difference
        if largest:
            name = max(largest, key=lambda output: largest[output])
            of_output = f" of {name}" if len(errors) > 1 else ""
            parts.append(f"{largest[name]:.0e} for the {kind}s{of_output}")
    where = "Where no row is, the networks of this fit differ by"
    return found, f"{where} {' and '.join(parts)}: errors may be as large there." if parts else ""


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
        errors: the errors of each output.
        of_rows: the same before `with_differences`.
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

    A mean may be larger by at most the largest factor. The error of the worst partial derivative follows, over its own
    standard deviation; the arguments are those of `describe_errors`.
    """
    parts = list[str]()
    for kind in KINDS:
        judged = {row.output: error for row in errors if (error := getattr(row, kind)) is not None}
        if not judged:
            continue
        factors = {row.output: getattr(row, f"{kind}_factor") or math.inf for row in errors if row.output in judged}
        largest, factor = max(judged, key=lambda output: judged[output]), max(factors.values())
        outputs = {row.output for row in errors}
        partials = [(one.error, one.high, one.column) for one in columns if one.error and one.column not in outputs]
        notes = list[str]()
        if len(judged) > 1:
            notes.append(f"{largest}: {_with_interval(judged[largest], factors[largest])}")
        if kind == "derivative" and len(partials) > 1:
            error, high, name = max(partials, key=lambda one: one[0])
            interval = _with_interval(error, math.inf if factor > WIDE_FACTOR else (high or math.inf) / error)
            notes.append(f"worst partial {name}: {interval} of its own standard deviation")
        if factor > WIDE_FACTOR:
            few = any(
                (getattr(row, f"{kind}_factor") or math.inf) > WIDE_FACTOR for row in of_rows if row.output in judged
            )
            notes.append("few rows decide it" if few else "networks differ more where no row is")
        mean = _with_interval(sum(judged.values()) / len(judged), factor)
        parts.append(f"{mean} for the {kind}s" + f" ({'; '.join(notes)})" * bool(notes))
    return " and ".join(parts)


def _with_interval(error: float, factor: float) -> str:
    """Return an error as text, with its interval, or with one digit if that is so wide that it means nothing."""
    return f"about {error:.0e}" if factor > WIDE_FACTOR else f"{error:.1e} [{error / factor:.1e}, {error * factor:.1e}]"


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
            low, high = _interval(row, kind)[0], _interval(before, kind)[1]
            if low > high and low > LOSS_ROUND_OFF:
                worse.append(f"the {kind}s of {row.output}")
    where = "is larger than in rows left out by more than both intervals allow: believe the test"
    return f"The error of {listed(worse, last=' and ')} {where}." if worse else ""


def _interval(row: OutputError, kind: str) -> tuple[float, float]:
    """Return the interval of an error; NaN: it has none."""
    error, factor = (math.nan if x is None else x for x in (getattr(row, kind), getattr(row, f"{kind}_factor")))
    return error / factor, error * factor
