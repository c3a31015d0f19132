"""Sentences on the errors of an answer, in rows left out of training and in test rows."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from runge.configuration.validation import Floats
from runge.data.column_roles import column_names, listed
from runge.data.fit_errors import rank
from runge.data.rows import Rows
from runge.function.function import Function
from runge.function.predictions import predict
from runge.labels.unseen_rows import LEAST_GROUPS, count_groups, sizes_of
from runge.records.fits import LEVEL
from runge.records.leaderboard import ColumnError, OutputError
from runge.search.answer import LeftOut
from runge.search.constants import LOSS_ROUND_OFF, SURPRISE_PROBABILITY, WIDE_FACTOR
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
    errors: Sequence[OutputError], columns: Sequence[ColumnError], left_out: LeftOut, rows: Rows, folds: int
) -> str:
    """Return sentences on the errors of networks in rows that they have not seen, and on outputs without any.

    Args:
        errors: the errors of each output.
        columns: the errors of each column.
        left_out: the errors in these rows.
        rows: the rows of the table.
        folds: the number of folds.
    """
    residuals, count = left_out.residuals, len({network.move.fold for network in left_out.networks})
    error, judged = _in_words(errors, columns), int((~np.isnan(residuals)).any(axis=1).sum())
    which = f"Networks trained without the rows of a fold ({count} of {folds} folds, {judged} rows)"
    sentences = [f"{which} had errors of {error} in these rows, over the standard deviation."] if error else []
    if error and left_out.choosing:
        some = "These rows" if left_out.choosing == judged else f"{left_out.choosing} of these rows"
        sentences.append(f"{some} also chose the model, for which their errors are corrected.")
    for p, name in enumerate(rows.outputs):
        labels = (~np.isnan(rows.y[:, p])).sum() + (~np.isnan(rows.dydx[:, p])).sum()
        channels = [p, *range(len(rows.outputs) + p * len(rows.inputs), len(rows.outputs) + (p + 1) * len(rows.inputs))]
        known = (~np.isnan(residuals[:, channels])).sum(axis=0)
        groups = count_groups(residuals[:, channels], rows.groups).max()
        if groups < LEAST_GROUPS:
            of_groups = f", in {groups} groups" if rows.table.group is not None else ""
            sentences.append(f"{name} is not judged: these rows have {known.sum()} of its {labels} labels{of_groups}.")
    return " ".join(sentences)


def _in_words(errors: Sequence[OutputError], columns: Sequence[ColumnError]) -> str:
    """Return the errors of values and derivatives as text: their means over the outputs, and the largest of several.

    A mean may be larger by at most the largest factor. The error of the worst partial derivative follows, over its own
    standard deviation.
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
            notes.append("few rows decide it")
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


def describe_test(function: Function, table: SearchTable, left_out: Floats) -> list[str]:
    """Return sentences on the errors of the answer on the test rows; empty: there are none."""
    if not len(table.test):
        return []
    prediction, rows = predict(function, table.rows.x[table.test]), table.rows
    value, slope = prediction["u"] - rows.y[table.test], prediction["du"] - rows.dydx[table.test]
    residuals = np.concatenate([value, slope.reshape(len(slope), -1)], axis=1)
    every = np.full((len(rows.x), residuals.shape[1]), np.nan)
    every[table.test] = residuals
    errors = _in_words(errors_of(every, table), column_errors(every, rows))
    which = f"On the {len(table.test)} test rows, which no network has seen"
    return [f"{which}, the error of the answer is {errors}.", _describe_surprise(residuals, left_out, table)]


def _describe_surprise(test: Floats, left_out: Floats, table: SearchTable) -> str:
    """Return a sentence that says so if test rows have larger residuals than rows left out have; empty: they do not.

    If all n + m residuals of a channel are exchangeable, the number of the m in test rows within the k-th smallest of
    the n others has a beta-binomial distribution. The level is divided by the number of channels (Bonferroni). Nothing
    is said of channels whose residuals are round-off, such as derivatives that are zero, and of rows of named groups,
    whose residuals are not independent.

    Args:
        test: the residuals in the test rows, (m, P + P D); NaN: not known.
        left_out: the residuals in rows left out of training, (n, P + P D), likewise.
        table: the table.
    """
    if table.rows.table.group is not None:
        return ""
    from scipy.stats import betabinom  # late: it takes a while

    rows, shortfalls = table.rows, list[tuple[float, str]]()
    names = [*rows.outputs, *chain.from_iterable(column_names(rows.inputs, rows.outputs, 1))]
    for channel, name in enumerate(names):
        reference, errors = sizes_of(left_out, channel), sizes_of(test, channel)
        n, m = len(reference), len(errors)
        largest = table.channels.of_residuals[channel] * max([*reference, *errors], default=0.0)
        if m and n and largest > LOSS_ROUND_OFF and (k := rank(n, n, LEVEL)) <= n:
            within = int((errors <= reference[k - 1]).sum())
            p = float(betabinom.cdf(within, m, k, n + 1 - k))
            few = f"Only {within} of {m} test values of {name}"
            shortfalls.append((p, f"{few} are within the bound of 90 % in rows left out"))
    p, sentence = min(shortfalls, default=(1.0, ""))
    if not shortfalls or p >= SURPRISE_PROBABILITY / len(shortfalls):
        return ""
    worse = "these rows are worse than those left out in the fit: believe the test"
    return f"{sentence}, fewer than chance allows: {worse}."
