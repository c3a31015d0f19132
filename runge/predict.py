"""Evaluate a trained function and its Jacobian at the rows of a table; of a sweep over seeds, mean and spread."""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table as Grid

from runge.data import Split
from runge.data.columns import TableFile
from runge.data.files import FORMATS, open_table
from runge.data.roles import Roles, listed, partial_name, read_arrays
from runge.errors import ConfigurationError, describe
from runge.function import Function, load_finished
from runge.runs.directories import RunDirectory
from runge.runs.files import printable, write
from runge.runs.reading import find
from runge.sobolev.errors import variance
from runge.training.used_rows import used_rows

__all__ = ["Prediction", "main", "predict"]

_MOST_LINES = 40  # of the table of errors


class Prediction(NamedTuple):
    """The prediction of a function.

    Attributes:
        u: the values, (m, P), the mean over the members.
        du: the partial derivatives, (m, P, D), likewise.
        u_std: the standard deviation of the values over the members, with M - 1 in the denominator; None: there is one
            member.
        du_std: that of the partial derivatives.
    """

    u: np.ndarray
    du: np.ndarray
    u_std: np.ndarray | None = None
    du_std: np.ndarray | None = None


def predict(function: Function, x: np.ndarray) -> Prediction:
    """Return the values and derivatives of a function at points x, (m, D), in float64."""
    points = x[:, 0] if function.network.dimension == 1 else x
    parts = [*function.value_and_derivative(points)]
    if function.members > 1:
        parts += function.value_and_derivative_std(points)
    shapes = [(len(x), len(function.outputs)), (len(x), len(function.outputs), x.shape[1])] * 2
    return Prediction(*(part.astype(float).reshape(shape) for part, shape in zip(parts, shapes, strict=False)))


def _columns(x: np.ndarray, prediction: Prediction, roles: Roles, sets: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns of the file that is written: the inputs, each u and its derivatives, and `set`."""
    columns = dict(zip(roles.inputs, x.T, strict=True))
    spread = {"": (prediction.u, prediction.du)}
    if prediction.u_std is not None and prediction.du_std is not None:
        spread["_std"] = (prediction.u_std, prediction.du_std)
    for p, output in enumerate(roles.outputs):
        for suffix, (u, _) in spread.items():
            columns[f"u_{output}{suffix}"] = u[:, p]
        for d, name in enumerate(roles.inputs):
            for suffix, (_, du) in spread.items():
                columns[f"{partial_name(f'u_{output}', name)}{suffix}"] = du[:, p, d]
    if sets.any():
        columns.setdefault("set", sets)
    return columns


def _content(x: np.ndarray, prediction: Prediction, roles: Roles, sets: np.ndarray, suffix: str) -> bytes:
    """Return the content of the file that is written."""
    import pandas

    buffer = io.BytesIO()
    if suffix == ".npz":
        arrays: dict[str, Any] = {"x": x, **prediction._asdict(), "set": sets if sets.any() else None}
        np.savez_compressed(buffer, **{name: part for name, part in arrays.items() if part is not None})
        return buffer.getvalue()
    frame = pandas.DataFrame(_columns(x, prediction, roles, sets))
    if suffix == ".parquet":
        frame.to_parquet(buffer, index=False)
    else:
        frame.to_csv(buffer, index=False, sep="\t" if suffix == ".tsv" else ",")
    return buffer.getvalue()


class _Line(NamedTuple):
    """A line of the table of errors: of one output or partial derivative, in one set of rows."""

    name: str
    rows: str
    labels: int
    rmse: float
    nrmse: float


def _errors(y: np.ndarray, dydx: np.ndarray, prediction: Prediction, roles: Roles, sets: np.ndarray) -> list[_Line]:
    """Return a line for each output and each partial derivative, and for each set, where labels are known.

    NRMSE is the RMSE over the standard deviation of the known labels of all sets (NaN: they are constant).
    """
    std, slope_std = _std(y), _std(dydx)
    lines = []
    for p, output in enumerate(roles.outputs):
        columns = [(output, y[:, p], prediction.u[:, p], std[p])]
        for d, name in enumerate(roles.inputs):
            part = dydx[:, p, d], prediction.du[:, p, d], slope_std[p, d]
            columns.append((partial_name(output, name), *part))
        for name, label, predicted, scale in columns:
            for rows in (*Split._fields, ""):
                if (known := ~np.isnan(label) & (sets == rows)).any():
                    rmse = float(np.sqrt(np.mean((predicted - label)[known] ** 2)))
                    lines.append(_Line(name, rows, int(known.sum()), rmse, rmse / float(scale)))
    return lines


def _std(label: np.ndarray) -> np.ndarray:
    """Return the standard deviation of labels over the rows; NaN where they are constant up to round-off."""
    known = torch.from_numpy(~np.isnan(label))[None]
    return variance(torch.from_numpy(np.nan_to_num(label))[None], known)[0].sqrt().numpy()


def _show(lines: Sequence[_Line]) -> None:
    if not lines:
        print("no labels in the table: no errors")
        return
    several = any(line.rows for line in lines)
    grid = Grid("quantity", *["rows"] * several, "labels", "RMSE", "RMSE / std")
    for name, rows, number, *figures in lines[:_MOST_LINES]:
        cells = ["-" if np.isnan(figure) else f"{figure:.3e}" for figure in figures]
        grid.add_row(printable(name).replace("[", r"\["), *[rows or "other"] * several, str(number), *cells)
    Console().print(grid)
    if len(lines) > _MOST_LINES:
        print(f"and {len(lines) - _MOST_LINES} more")


def _sets(function: Function, x: np.ndarray) -> tuple[np.ndarray, str]:
    """Return the set of each row in the training of a function, empty if none, and a sentence on it."""
    none, data = np.full(len(x), "", dtype="U5"), function.configuration.get("data") or {}
    if "file" not in data or not function.runs:
        return none, ""
    try:
        sets = used_rows(map(RunDirectory, function.runs), data, x)
    except ConfigurationError as error:
        return none, f"it cannot be known which of these rows were trained on: {error}"
    number = int((sets == "train").sum())
    trained = f"{number} of these {len(x)} rows were trained on; their errors are not independent"
    return sets, trained if number else ""


def main(arguments: Sequence[str] | None = None, prog: str = "python -m runge.predict") -> None:
    """Run the command `runge predict`, or `python -m runge.predict`."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument(
        "run", metavar="RUN_OR_SWEEP", help="the directory of a finished run, or of a sweep over seeds: mean and spread"
    )
    parser.add_argument("file", metavar="FILE", help="a table with the run's inputs: .csv, .tsv, .parquet or .npz")
    parser.add_argument("--out", metavar="FILE", help="the file to write (default: NAME_predicted in that directory)")
    parser.add_argument("--force", action="store_true", help="overwrite the file that --out names")
    parser.add_argument(
        "--ensemble",
        metavar="SWEEP_DIR",
        help="mean and spread over the finished runs of a sweep that differ from the run only in their seeds",
    )
    args = parser.parse_args(arguments)
    table, directory = Path(args.file), args.ensemble or args.run
    out = Path(args.out or Path(directory) / f"{table.stem}_predicted{table.suffix}")
    try:
        if (suffix := out.suffix.lower()) not in FORMATS:
            raise ValueError(f"--out: must be a file that ends in {', '.join(FORMATS)}, got {str(out)!r}")
        if out.resolve() == table.resolve():
            raise ValueError(f"--out: must be another file than FILE, got {str(out)!r}")
        if args.out and out.is_file() and not args.force:
            raise ValueError(f"--out: must be a new file, got {str(out)!r}, which exists; --force overwrites it")
        function = load_finished(args.run, "RUN_OR_SWEEP")
        if args.ensemble is not None:
            function = load_finished(args.ensemble, "--ensemble", like=args.run)
        inputs, outputs = function.inputs, function.outputs
        roles = Roles(inputs, outputs, {(y, x): partial_name(y, x) for y in outputs for x in inputs})
        x, y, dydx = _read(args.file, roles, function)
        prediction = predict(function, x)
        sets, remark = _sets(function, x)
        content = _content(x, prediction, roles, sets, suffix)
    except (ValueError, FileNotFoundError, ImportError) as error:
        parser.error(printable(f"{error}"))
    try:
        write(out, content)
    except OSError as error:
        parser.error(printable(f"--out: the file cannot be written ({describe(error)}); --out FILE names another"))
    if function.members > 1:
        left = len(find(directory)) - function.members
        why = "unfinished, differ in more than their seeds, or were fitted to other rows"
        print(f"mean and standard deviation of {function.members} runs" + f"; {left} left out: {why}" * (left > 0))
    _show(_errors(y, dydx, prediction, roles, sets))
    print(printable("\n".join(filter(None, [remark, f"{len(x)} rows: {out}"])), keep="\n"))


def _read(path: str, roles: Roles, function: Function) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read the inputs, and the labels that a table has."""
    given = (function.configuration.get("data") or {}).get("derivatives")
    if given is not None:
        roles = roles._replace(partials={(y, x): column for y, one in given.items() for x, column in one.items()})
    try:
        file = open_table(path)
        _check_number(file, roles.inputs, function)
        if missing := [name for name in roles.inputs if name not in file.names]:
            columns = ", ".join(file.names[:_MOST_LINES])
            raise ValueError(
                f"{path!r}: must have the run's inputs, {', '.join(roles.inputs)}; got {columns} without {missing[0]}"
            )
        used = {*roles.inputs, *roles.outputs, *roles.partials.values()}
        if unused := [name for name in file.names if name and name not in used]:
            print(printable(f"columns not used: {listed(unused)}"))
        return read_arrays(file, roles)
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"FILE: {error}") from error


def _check_number(file: TableFile, inputs: Sequence[str], function: Function) -> None:
    """Raise ValueError unless an array x has a column for each input of a run, or the run chose its inputs by name.

    The columns of an array are named by their position: x1 of two is not x1 of three.
    """
    data = function.configuration.get("data") or {}
    chosen = data.get("inputs") and str(data.get("file")).lower().endswith(".npz")
    if file.inputs is not None and len(file.inputs) != len(inputs) and not chosen:
        rule = f"'x', whose columns have no names, must have one for each of the run's inputs, {', '.join(inputs)}"
        raise file.wrong(f"{rule}; got the shape {file.numbers(file.inputs).shape}")


if __name__ == "__main__":
    main(sys.argv[1:])
