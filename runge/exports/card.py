"""Make the model card of an exported function, as plain JSON."""

import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Any

from runge.configuration.errors import ConfigurationError
from runge.function.function import Function
from runge.records.directories import RunDirectory
from runge.records.leaderboard import read_leaderboard
from runge.records.metrics import key

__all__ = ["card"]

LICENSE = "the license of runge does not extend to this file"

_UNIT = re.compile(r".*\S\s+(?:\[([^][]+)]|\(([^()]+)\))")


def card(function: Function, interval: float | None = None) -> dict[str, Any]:
    """Return the version, the inputs and their ranges, the outputs, the errors, and the level of exported intervals."""
    inputs = [_named(name) for name in function.inputs]
    if function.inside is not None:
        for entry, low, high in zip(inputs, *function.ranges, strict=True):
            entry |= {"low": float(low), "high": float(high)}
    entries = {
        "runge": sys.modules["runge"].__version__,
        "inputs": inputs,
        "outputs": [_named(name) for name in function.outputs],
        "errors": _errors(function),
        "interval": interval,
        "license": LICENSE,
    }
    return {name: entry for name, entry in entries.items() if entry}


def _named(name: str) -> dict[str, Any]:
    """Return a name with its unit, if it ends in one: a space, and a text in brackets.

    Example:
        >>> _named("lift [N]"), _named("alpha (deg)"), _named("f(x)")
        ({'name': 'lift [N]', 'unit': 'N'}, {'name': 'alpha (deg)', 'unit': 'deg'}, {'name': 'f(x)'})
    """
    unit = _UNIT.fullmatch(name)
    return {"name": name} | ({"unit": unit[1] or unit[2]} if unit else {})


def _errors(function: Function) -> dict[str, Any]:
    """Return the nrmse of a network for each value and derivative, and the set of the points; empty: not known.

    The set is `test`, or without test points `left out`, the rows that the networks of an answer left out, or `val`.
    """
    runs, board = list[dict[str, Any]](), None
    with suppress(ConfigurationError, OSError):
        runs = [RunDirectory(run).read_metrics() for run in function.runs]
        board = read_leaderboard([PurePath(function.runs[0]).parent]) if runs else None
    regions = {output: output if len(function.outputs) > 1 else "" for output in function.outputs}
    sets: dict[str, dict[str, list[float | None]]] = {
        split: {
            output: [_rms([run.get(key(split, name, region)) for run in runs]) for name in ("nrmse_f", "nrmse_df")]
            for output, region in regions.items()
        }
        for split in ("train", "val", "test")
    }
    networks = {*map(str, (*board.candidates[0].runs, *board.candidates[0].refits))} if board else set[str]()
    if board and {PurePath(run).name for run in function.runs} <= networks:
        sets["left out"] = {error.output: [error.value, error.derivative] for error in board.errors}
    if sets["val"] == sets["train"]:  # all rows were for the training
        del sets["val"]
    for name in ("test", "left out", "val"):
        pairs = {output: zip(("value", "derivative"), pair, strict=True) for output, pair in sets.get(name, {}).items()}
        errors = {output: {of: float(f"{x:.6g}") for of, x in pair if x is not None} for output, pair in pairs.items()}
        if present := {output: entry for output, entry in errors.items() if entry}:
            return {"set": name, "nrmse": present}
    return {}


def _rms(errors: Sequence[float | None]) -> float | None:
    """Return the root mean square over the networks; None: not known of one of them."""
    squares = [error**2 for error in errors if error is not None]
    return (sum(squares) / len(squares)) ** 0.5 if errors and len(squares) == len(errors) else None
