"""Make the model card of an exported function: its known facts, as plain JSON."""

import math
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
import torch

from runge.comparison.leaderboard import OutputError, read_leaderboard
from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import flatten
from runge.function.function import Function
from runge.metrics import QUANTITIES, key, on_test
from runge.records.checkpoints import read_checkpoint
from runge.records.directories import RunDirectory
from runge.records.files import printable
from runge.records.fits import LEVEL, Columns
from runge.sobolev.network import StackedMLP

__all__ = ["card"]

LICENSE = "the license of runge does not extend to this file"

_UNIT = re.compile(r".*\S\s+(?:\[([^][]+)]|\(([^()]+)\))")
_RELU = "the derivative at the kink is 0; the second derivative is 0"

Figures = Mapping[str, float | int | None]


class _Record(NamedTuple):
    """The facts in the files of a finished run."""

    checksum: str
    points: dict[str, int]
    figures: Figures

    @property
    def unseen(self) -> str | None:
        """The set that its errors are given for: `test` or, without such rows, `val`; None: it was trained on all."""
        if on_test(self.figures):
            return "test"
        val, train = ([self.figures.get(key(split, name)) for name in QUANTITIES] for split in ("val", "train"))
        return "val" if val != train else None


def card(function: Function, interval: float | None = None) -> dict[str, Any]:
    """Return the known facts about a function, as docs/howto/export.md describes them; the same for all formats.

    No table of training rows is read, except for `interval`. Unknown facts are left out.

    Args:
        function: a trained function.
        interval: the level of the intervals that are exported with it.

    Raises:
        ConfigurationError: the table by which the intervals of a level are calibrated has changed, or is gone.
        ValueError: there are too few rows for the level.
    """
    records = _records(function)
    entries = {
        "runge": sys.modules["runge"].__version__,
        "data": _data(function, records),
        "inputs": _inputs(function),
        "outputs": [_named(name) for name in function.outputs],
        "networks": [_network(network) for network in function.networks],
        "errors": [*_errors(function, records), *_left_out(function)],
        "intervals": _intervals(function, interval),
        "license": LICENSE,
    }
    return _without_empty(entries)


def _without_empty(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that are not empty."""
    return {name: entry for name, entry in entries.items() if entry}


def _records(function: Function) -> list[_Record]:
    """Return the records of all members; none if one of them is not known."""
    records = list[_Record]()
    with suppress(ConfigurationError, OSError):
        for run in map(RunDirectory, function.runs):
            state, points = run.read_state(), read_checkpoint(run.best).get("points", {})
            counts = points.items() if isinstance(points, Mapping) else ()
            points = {str(name): n for name, n in counts if isinstance(n, int) and n}
            records.append(_Record("" if state is None else state.rows, points, run.read_metrics()))
    return records if len(records) == function.members else []


def _data(function: Function, records: Sequence[_Record]) -> dict[str, Any]:
    """Return the name of the table and the checksum of its rows, or the formulas; and the numbers of points."""
    configuration, entries = function.configuration, dict[str, Any]()
    if file := (configuration.get("data") or {}).get("file"):
        entries["file"] = printable(PurePath(str(file)).name)
    if target := flatten(configuration).get("target"):
        entries["target"] = str(target)
        if formulas := _formulas(configuration["target"]):
            entries["formulas"] = dict(zip(function.outputs, map(str, formulas), strict=False))
    if len(checksums := {record.checksum for record in records if record.checksum}) == 1:
        (entries["sha256_of_rows"],) = checksums
    points = [{name: n for name, n in record.points.items() if name != "val" or record.unseen} for record in records]
    if all(points):
        entries |= {"points": points[0] if all(counts == points[0] for counts in points) else points} if points else {}
    return entries


def _formulas(target: Any) -> list[Any]:
    """Return the formulas of a target, which may be one, a list, or a mapping of outputs; empty: it has none."""
    expressions = target.get("expr") if isinstance(target, Mapping) else None
    if isinstance(expressions, Mapping):
        return list(expressions.values())
    return [expressions] if isinstance(expressions, str) else list(expressions or [])


def _named(name: str) -> dict[str, Any]:
    """Return a name with its unit, if it ends in one: a space, and a text in brackets.

    Example:
        >>> _named("lift [N]"), _named("alpha (deg)"), _named("f(x)")
        ({'name': 'lift [N]', 'unit': 'N'}, {'name': 'alpha (deg)', 'unit': 'deg'}, {'name': 'f(x)'})
    """
    unit = _UNIT.fullmatch(name)
    return {"name": name} | ({"unit": unit[1] or unit[2]} if unit else {})


def _inputs(function: Function) -> list[dict[str, Any]]:
    """Return the names of the inputs, the range of the training inputs, and their mean and standard deviation."""
    facts = dict[str, Any]()
    if function.inside is not None:
        facts["low"], facts["high"] = function.ranges
    units = [network.units for network in function.networks if network.units is not None]
    if "target" not in function.configuration and units:
        for name in ("mean", "std"):
            of_members = torch.cat([getattr(unit, f"x_{name}").double() for unit in units])
            facts[name] = [_rounded(x, 15) for x in of_members.mean(0).tolist()]
    columns = [dict(zip(facts, map(float, column), strict=True)) for column in zip(*facts.values(), strict=True)]
    columns = columns or [{}] * len(function.inputs)
    return [_named(name) | column for name, column in zip(function.inputs, columns, strict=True)]


def _network(network: StackedMLP) -> dict[str, Any]:
    """Return the architecture of a stack."""
    facts = {
        "activation": network.activation_name,
        "layers": [network.dimension, *(width for _, width in network.shapes)],
        "members": network.members,
        "precision": str(network.theta.dtype).removeprefix("torch."),
    }
    return facts | ({"convention": _RELU} if network.activation_name == "relu" else {})


def _errors(function: Function, records: Sequence[_Record]) -> list[dict[str, Any]]:
    """Return the errors of each network at points that it was not trained on."""
    entries = list[dict[str, Any]]()
    for number, record in enumerate(records, 1):
        if (split := record.unseen) is not None:
            of = "run" if len(records) == 1 else f"member {number}"
            described = {"of": of, "set": split, "points": record.points.get(split)}
            entries.append(_without_empty(described | _by_channel(function, record.figures, split)))
    return entries


def _left_out(function: Function) -> list[dict[str, Any]]:
    """Return the errors of networks of the answer of `runge fit` in rows left out of training; empty: not known."""
    board, runs = None, {PurePath(run).name for run in function.runs}
    with suppress(ConfigurationError, OSError):
        board = read_leaderboard([PurePath(function.runs[0]).parent]) if runs else None
    if board is None or not runs <= {str(run) for run in (*board.candidates[0].runs, *board.candidates[0].refits)}:
        return []
    errors = {
        name: _without_empty({error.output: _bounded(error, kind) for error in board.errors})
        for name, kind in (("values", "value"), ("gradients", "derivative"))
    }
    if not (present := _without_empty(errors)):
        return []
    return [{"of": "one network without a fold", "set": "left out"} | present]


def _bounded(error: OutputError, what: str) -> dict[str, float]:
    """Return the error of the values or derivatives of an output, and the bound of 90 % of the residuals."""
    numbers = {"nrmse": getattr(error, what), "bound_90": getattr(error, f"{what}_bound")}
    return {name: _rounded(number) for name, number in numbers.items() if number is not None}


def _by_channel(function: Function, figures: Figures, split: str) -> dict[str, Any]:
    """Return the errors of each value, of each gradient, and of each partial derivative, from the errors of a run."""

    def numbers(**keys: str) -> dict[str, float]:
        errors = {name: figure for name, metric in keys.items() if (figure := figures.get(metric)) is not None}
        return {name: _rounded(figure**0.5 if name == "rmse" else figure) for name, figure in errors.items()}

    def of_outputs(of: str) -> dict[str, dict[str, float]]:
        regions = {output: output if len(function.outputs) > 1 else "" for output in function.outputs}
        quantities = {"rmse": f"mse_{of}", "max": f"max_{of}", "nrmse": f"nrmse_{of}"}
        return {
            output: numbers(**{name: key(split, quantity, region) for name, quantity in quantities.items()})
            for output, region in regions.items()
        }

    slopes = Columns.of(function.inputs, function.outputs).slopes
    partials = {name: numbers(nrmse=key(split, "nrmse_df", name)) for name in slopes}
    errors = {"values": of_outputs("f"), "gradients": of_outputs("df"), "partials": partials}
    return {name: present for name, quantities in errors.items() if (present := _without_empty(quantities))}


def _intervals(function: Function, interval: float | None) -> dict[str, Any]:
    """Return the facts about intervals of a level; without a level, of 0.9 if they are known without a table."""
    if interval is None and not function.calibrated:
        return {}
    calibration, level = function.calibration, LEVEL if interval is None else interval
    try:
        halves = calibration.factors(level) * np.array(calibration.floors)
    except ValueError:
        if interval is None:
            return {}  # too few rows for this level
        raise
    columns = Columns.of(function.inputs, function.outputs)
    pairs = zip([*columns.values, *columns.slopes], halves.tolist(), strict=True)
    half_widths = {name: _rounded(half) for name, half in pairs if math.isfinite(half)}
    width = "local" if calibration.local else "constant"
    return {"level": level, "rows": max(calibration.counts), "width": width, "half_widths": half_widths}


def _rounded(x: float, digits: int = 6) -> float:
    return float(f"{x:.{digits}g}")
