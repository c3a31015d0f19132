"""Evaluate a trained function and its Jacobian at the rows of a table."""

import argparse
import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table as Grid

from runge.data.columns import TableFile
from runge.data.files import FORMATS, open_table
from runge.data.roles import Roles, listed, partial_name, read_arrays
from runge.errors import ConfigurationError, describe
from runge.function import Function, load_finished
from runge.records.files import printable, write
from runge.records.reading import find

__all__ = ["Prediction", "main", "predict"]

_MOST_LINES = 40  # of the table of errors


class Prediction(NamedTuple):
    """The prediction of one function, or of several.

    Attributes:
        u: the values, (m, P), the mean over the functions.
        du: the partial derivatives, (m, P, D), likewise.
        u_std: the standard deviation of the values over the functions, with n - 1 in the denominator; None: there is
            one function.
        du_std: that of the partial derivatives.
    """

    u: np.ndarray
    du: np.ndarray
    u_std: np.ndarray | None = None
    du_std: np.ndarray | None = None


def predict(functions: Iterable[Function], x: np.ndarray) -> Prediction:
    r"""Return the mean of some functions and of their derivatives, and the standard deviations if there are several.

    Args:
        functions: the functions, all of the same inputs and outputs; each is used before the next is asked for.
        x: the points, (m, D).

    Raises:
        ValueError: there is no function.
    """
    number, mean, squares = 0, [np.zeros(0)] * 2, [np.zeros(0)] * 2
    for number, function in enumerate(functions, 1):
        # B. P. Welford (1962): one pass, and no difference of large numbers
        parts = _evaluate(function, x)
        if number == 1:
            mean, squares = parts, [np.zeros_like(part) for part in parts]
            continue
        for i, part in enumerate(parts):
            step = part - mean[i]
            mean[i] = mean[i] + step / number
            squares[i] += step * (part - mean[i])
    if not number:
        raise ValueError("functions: must be at least one, got none")
    if number == 1:
        return Prediction(*mean)
    return Prediction(*mean, *(np.sqrt(part / (number - 1)) for part in squares))


def _evaluate(function: Function, x: np.ndarray) -> list[np.ndarray]:
    """Return u, (m, P), and du, (m, P, D), in float64."""
    u, du = function.value_and_derivative(x[:, 0] if function.network.dimension == 1 else x)
    u = u.astype(float).reshape(len(x), -1)  # also of a function with one output
    return [u, du.astype(float).reshape(*u.shape, x.shape[1])]


def _columns(x: np.ndarray, prediction: Prediction, roles: Roles) -> dict[str, np.ndarray]:
    """Return the columns of the file that is written: the inputs, then of each output u and its partial derivatives."""
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
    return columns


def _content(x: np.ndarray, prediction: Prediction, roles: Roles, suffix: str) -> bytes:
    """Return the content of the file that is written."""
    import pandas

    buffer = io.BytesIO()
    if suffix == ".npz":
        np.savez_compressed(
            buffer, x=x, **{name: part for name, part in prediction._asdict().items() if part is not None}
        )
        return buffer.getvalue()
    frame = pandas.DataFrame(_columns(x, prediction, roles))
    if suffix == ".parquet":
        frame.to_parquet(buffer, index=False)
    else:
        frame.to_csv(buffer, index=False, sep="\t" if suffix == ".tsv" else ",")
    return buffer.getvalue()


def _errors(
    y: np.ndarray, dydx: np.ndarray, prediction: Prediction, roles: Roles
) -> list[tuple[str, int, float, float]]:
    """Return a line for each output and each partial derivative with known labels: name, number, RMSE and NRMSE.

    NRMSE is the RMSE over the standard deviation of the known labels (NaN: they are constant).
    """
    lines = []
    for p, output in enumerate(roles.outputs):
        pairs = [(output, y[:, p], prediction.u[:, p])]
        for d, name in enumerate(roles.inputs):
            pairs.append((partial_name(output, name), dydx[:, p, d], prediction.du[:, p, d]))
        for name, label, predicted in pairs:
            if (known := ~np.isnan(label)).any():
                rmse = float(np.sqrt(np.mean((predicted - label)[known] ** 2)))
                std = float(np.std(label[known]))
                lines.append((name, int(known.sum()), rmse, rmse / std if std > 0 else np.nan))
    return lines


def _show(lines: Sequence[tuple[str, int, float, float]]) -> None:
    if not lines:
        print("no labels in the table: no errors")
        return
    grid = Grid("quantity", "labels", "RMSE", "RMSE / std")
    for name, number, *figures in lines[:_MOST_LINES]:
        cells = ["-" if np.isnan(figure) else f"{figure:.3e}" for figure in figures]
        grid.add_row(printable(name).replace("[", r"\["), str(number), *cells)
    Console().print(grid)
    if len(lines) > _MOST_LINES:
        print(f"and {len(lines) - _MOST_LINES} more")


def _fitted(function: Function) -> tuple[Any, ...]:
    """Return what a function was fitted to: two runs with the same make an ensemble."""
    data = function.configuration.get("data") or {}
    columns = {key: data.get(key) for key in ("file", "inputs", "outputs", "derivatives")}
    return function.inputs, function.outputs, function.configuration.get("target"), columns


def _ensemble(function: Function, directory: str) -> Iterable[Function]:
    """Load the finished runs of a sweep that were fitted to the same as a function; say which were left out."""
    used, others = 0, 0
    for run in find(directory):
        if not run.metrics.exists():
            others += 1
            continue
        one = load_finished(str(run.path), "--ensemble")
        if _fitted(one) == _fitted(function):
            used += 1
            yield one
        else:
            others += 1
    if used < 2:
        rule = "must be a sweep with at least two finished runs that fit what the run fits"
        raise ConfigurationError(f"--ensemble: {rule}, got {used} in {directory!r}")
    left = f"; {others} others are unfinished or fit something else" if others else ""
    print(f"mean and standard deviation of {used} runs{left}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command `python -m runge.predict`."""
    parser = argparse.ArgumentParser(prog="python -m runge.predict", description=__doc__)
    parser.add_argument("run", metavar="RUN_DIR", help="the directory of a finished run")
    parser.add_argument("file", metavar="FILE", help="a table with the run's inputs: .csv, .tsv, .parquet or .npz")
    parser.add_argument(
        "--out", metavar="FILE", help="the file to write (default: NAME_predicted in the run's directory)"
    )
    parser.add_argument(
        "--ensemble",
        metavar="SWEEP_DIR",
        help="mean and spread over all finished runs of a sweep that fit the same columns of the same data",
    )
    args = parser.parse_args(arguments)
    table = Path(args.file)
    out = Path(args.out or Path(args.run) / f"{table.stem}_predicted{table.suffix}")
    try:
        if (suffix := out.suffix.lower()) not in FORMATS:
            raise ValueError(f"--out: must be a file that ends in {', '.join(FORMATS)}, got {str(out)!r}")
        if out.resolve() == table.resolve():
            raise ValueError(f"--out: must be another file than FILE, got {str(out)!r}")
        function = load_finished(args.run, "RUN_DIR")
        inputs, outputs = function.inputs, function.outputs
        roles = Roles(inputs, outputs, {(y, x): partial_name(y, x) for y in outputs for x in inputs})
        x, y, dydx = _read(args.file, roles, function)
        functions = [function] if args.ensemble is None else _ensemble(function, args.ensemble)
        prediction = predict(functions, x)
        content = _content(x, prediction, roles, suffix)
    except (ValueError, FileNotFoundError, ImportError) as error:
        parser.error(printable(f"{error}"))
    try:
        write(out, content)
    except OSError as error:
        parser.error(printable(f"--out: the file cannot be written ({describe(error)}); --out FILE names another"))
    _show(_errors(y, dydx, prediction, roles))
    print(printable(f"{len(x)} rows: {out}"))


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
