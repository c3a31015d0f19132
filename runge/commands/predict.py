"""Evaluate a trained function and its Jacobian at the rows of a table; of several runs, mean and spread."""

import argparse
import io
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runge.commands.endings import STANDARD, add_out, check_new, ending, write_new
from runge.configuration.errors import ConfigurationError, listed
from runge.data.column_roles import column_names
from runge.data.fit_errors import FitErrors
from runge.data.table import FORMATS, SETS, File, open_table
from runge.function.ensemble import read_answer
from runge.function.predictions import Arrays, as_frame, columns_of, marks_of, parts_of, read_rows
from runge.records.files import printable
from runge.records.reading import find

if TYPE_CHECKING:
    from runge.function.function import Function

__all__ = ["main"]

_NAMED_ROWS = 5
"""The most rows outside the training data that are named, the farthest first."""

_NAMED_INPUTS = 3
"""The most inputs of such a row that are named."""


def _content(x: np.ndarray, prediction: Arrays, function: "Function", marks: Arrays, to: str) -> bytes:
    """Return the content of the file that is written, of the format with a suffix; marks are further columns, (m,).

    Raises:
        ValueError: two of its columns would have one name.
    """
    buffer = io.BytesIO()
    if to == ".npz":
        np.savez_compressed(buffer, x=x, **prediction, **marks)  # pyright: ignore[reportArgumentType]
        return buffer.getvalue()
    try:
        frame = as_frame(x, prediction, function, marks)
    except ValueError as error:
        how = "take --out FILE.npz, or fit the table with another name of the output"
        raise ValueError(f"--out: {to}: {error}; {how}") from error
    if to == ".parquet":
        frame.to_parquet(buffer, index=False)
    else:
        frame.to_csv(buffer, index=False, sep="\t" if to == ".tsv" else ",")
    return buffer.getvalue()


def _errors(function: "Function", x: np.ndarray, labels: Sequence[Any], prediction: Arrays, sets: np.ndarray) -> str:
    """Return a table of the errors of each output and its derivatives in each set, where labels are known.

    The RMSE is also given over the standard deviation of the labels of all sets; "-": they are constant up to
    round-off.
    """
    import pandas

    from runge.data.channels import deviation  # late, as torch is

    pairs = zip(parts_of(prediction), labels, strict=False)  # second derivatives without labels have no errors
    columns = columns_of(function, [fit - label for fit, label in pairs])
    spread = np.where(np.ptp(x, axis=0) > 0, x.std(axis=0), 0)
    first, second = np.triu_indices(len(spread))
    lengths = None, spread, spread[first] * spread[second]
    deviations = [deviation(label, of_inputs)[None] for label, of_inputs in zip(labels, lengths, strict=False)]
    scales = np.concatenate([*columns_of(function, deviations).values()])
    residuals = np.stack([*columns.values()], axis=1)
    records = {rows: FitErrors.of(residuals[sets == rows], scales) for rows in (*SETS, "")}
    lines = [
        (printable(name), rows or "other", errors.labels[i], errors.rmse[i], errors.nrmse[i])
        for i, name in enumerate(columns)
        for rows, errors in records.items()
        if errors.labels[i]
    ]
    if not lines:
        return "no labels in the table: no errors"
    frame = pandas.DataFrame(lines, columns=["quantity", "rows", "labels", "RMSE", "RMSE / std"])
    frame = frame if sets.any() else frame.drop(columns="rows")
    return frame.to_string(index=False, na_rep="-", float_format="{:.3e}".format, max_rows=40)


def _held(function: "Function", labels: Sequence[Any], prediction: Arrays, unseen: np.ndarray, level: float) -> str:
    """Return a sentence on the share of labels that intervals contain, in rows that no network has seen, (m,).

    Rows for validation have calibrated the intervals, and chose the weights.
    """
    calibration = function.calibration
    shares = list[str]()
    for what, name, label in (("values", "u", labels[0]), ("derivatives", "du", labels[1])):
        labelled = ~np.isnan(label[unseen]) & ~np.isnan(prediction[f"{name}_low"][unseen])
        held = (prediction[f"{name}_low"] <= label) & (label <= prediction[f"{name}_high"])
        shares += [f"{held[unseen][labelled].mean():.1%} of {labelled.sum()} {what}"] if labelled.any() else []
    least, most = min(filter(None, calibration.counts)), max(calibration.counts)
    rows = f"{most}" if least == most else f"{least} to {most}"
    wide = "" if calibration.local else ", with the same width everywhere"
    held = f"; they contain {' and '.join(shares)} of rows that no network has seen" if shares else ""
    partials = chain.from_iterable(column_names(function.inputs, function.outputs, 1))
    channels = zip([*function.outputs, *partials], calibration.factors(level), strict=True)
    none = [name for name, factor in channels if np.isnan(factor)]
    without = f"; none of {listed(none)}: too few labels" if none else ""
    return printable(f"intervals of level {level:g}, calibrated by {rows} rows{wide}{held}{without}")


def _outside(function: "Function", x: np.ndarray, number: np.ndarray, file: File) -> str:
    """Return sentences on the rows that are outside the training data, by the number `outside` of each, (m,)."""
    from runge.function.outside import EDGE, OUTSIDE  # late: help needs no torch

    far, edge = int((number > OUTSIDE).sum()), int(((number > EDGE) & (number <= OUTSIDE)).sum())
    if not far + edge:
        return ""
    verb = "is" if far == 1 else "are"
    what = f"{far} of these {len(x)} rows {verb} outside the training data (outside > {OUTSIDE:g})"
    also = f", and {edge} at their edge (> {EDGE:g})" if edge else ""
    farthest = np.argsort(-number, kind="stable")[: min(far + edge, _NAMED_ROWS)]
    named = [f"{file.row_name(row)} (outside {number[row]:.3g}): {_beyond(function, x[row])}" for row in farthest]
    more = f"\nand {far + edge - len(named)} more" if far + edge > len(named) else ""
    lines = "\n".join(named)
    return f"{what}{also}:\n{lines}{more}"


def _beyond(function: "Function", x: np.ndarray) -> str:
    """Return in words which inputs of a row, (D,), are beyond their range in the training data, and by how much."""
    sentences = list[tuple[float, str]]()
    for name, value, low, high in zip(function.inputs, x, *function.ranges, strict=True):
        if low == high != value:
            sentences.append((np.inf, f"{name} is not {low:g}, its only value"))
        elif share := max(value - high, low - value, 0) / (high - low or 1):
            side = "above its largest" if value > high else "below its smallest"
            sentences.append((share, f"{name} is {100 * share:.3g} % of its range {side} value"))
    named = [sentence for _, sentence in sorted(sentences, key=lambda pair: -pair[0])]
    if len(named) > _NAMED_INPUTS:
        named[_NAMED_INPUTS:] = [f"and {len(named) - _NAMED_INPUTS} more"]
    return ", ".join(named) or "all inputs are within their ranges"


@ending("--out")
def main(arguments: Sequence[str] | None = None, prog: str = "runge predict") -> None:
    """Run the command `runge predict`."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    of_run = "the directory that `runge fit` prints, of a finished run, or of a sweep over seeds or folds"
    parser.add_argument("run", metavar="RUN_OR_SWEEP", help=of_run)
    of_file = f"a table with the run's inputs: {', '.join(FORMATS)}; -: CSV from the standard input"
    parser.add_argument("file", metavar="FILE", help=of_file)
    add_out(parser, "NAME_predicted beside FILE; -: CSV to the standard output, as for FILE -")
    ends = "also write the ends of intervals that contain this share of new labels, such as 0.9"
    parser.add_argument("--interval", metavar="LEVEL", type=float, help=ends)
    second = "also write the second derivatives, one column for each pair of inputs, such as d2u_lift_dalpha_dspeed"
    parser.add_argument("--hessian", action="store_true", help=second)
    args = parser.parse_args(arguments)
    table, piped = Path(args.file), sys.stdin.buffer if args.file == STANDARD else None
    out = args.out or (STANDARD if piped else str(table.with_name(f"{table.stem}_predicted{table.suffix}")))
    suffix = ".csv" if out == STANDARD else Path(out).suffix.lower()
    file = open_table(args.file, "FILE", piped)
    if suffix not in FORMATS or (out != STANDARD and Path(out).resolve() == table.resolve()):
        rule = f"must be another file than FILE, and end in {', '.join(FORMATS)}"
        raise ConfigurationError(f"--out: {rule}; got {out!r}")
    check_new(out, args.force)
    from runge.function.function import FLAT  # late: help, and the mistakes above, do not need torch
    from runge.function.loading import load_finished
    from runge.function.predictions import predict

    function = load_finished(args.run, "RUN_OR_SWEEP")
    (x, *labels), unused = read_rows(file, function, args.hessian)
    prediction = predict(function, x, args.interval, args.hessian)
    marks, unknown = marks_of(function, x)
    number, sets = marks.values()
    write_new(out, _content(x, prediction, function, marks, suffix))
    lines = [f"columns not used: {listed(unused)}"] if unused else []
    if function.members > 1:
        runs = [] if read_answer(args.run) else find(args.run)
        unfinished = sum(not run.metrics.exists() for run in runs)
        left_out = f"; left out because unfinished: {unfinished}" * (unfinished > 0)
        lines += [f"mean and standard deviation of {function.members} runs{left_out}"]
    lines += [_errors(function, x, labels, prediction, sets)]
    if args.interval is not None:
        unseen = np.isin(sets, ("", "test")) & ("set" not in unknown)
        lines += [_held(function, labels, prediction, unseen, args.interval)]
    if args.hessian and function.flat:
        lines += [FLAT]
    lines += [_outside(function, x, number, file), *unknown.values()]
    if trained := (sets == "train").sum():
        lines += [f"{trained} of these {len(x)} rows were trained on; their errors are not independent"]
    lines += [f"{len(x)} rows: {out}"]
    # Nothing but the table may be in the standard output.
    print(printable("\n".join(filter(None, lines)), keep="\n"), file=sys.stderr if out == STANDARD else sys.stdout)
