"""Find the inputs whose labels improve a fit most, as a table for the solver that computes them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runge.configuration.errors import ConfigurationError, listed
from runge.configuration.validation import Floats
from runge.data.channels import Channels
from runge.data.memory import table_of
from runge.data.rows import Rows
from runge.data.table import INDEX, SETS, open_table
from runge.function.function import Function
from runge.function.loading import load_finished, load_runs
from runge.function.predictions import predict
from runge.function.residuals import rows_of
from runge.function.suggestions import choose, choose_farthest, draw_points, relative
from runge.records.directories import RunDirectory
from runge.records.leaderboard import read_leaderboard

if TYPE_CHECKING:
    import pandas

__all__ = ["Interval", "criterion", "fitted", "suggest_for"]

Interval = Sequence[float]

_MOST_CANDIDATES = 2048
_MOST_CORRELATED_ROWS = 10_000
"""The most candidates, and the most rows, whose correlations are a matrix of 800 MB."""


def suggest_for(
    function: Function,
    rows: Rows,
    points: int = 16,
    box: Mapping[str, float | Interval] | None = None,
    candidates: Any = None,
    seed: int = 0,
) -> "pandas.DataFrame":
    """Return the points to compute next for a function that was fitted to some rows, as `runge.suggest`."""
    import pandas

    intervals = _intervals(box or {}, rows)
    if candidates is None:
        ends = [intervals.get(name, (x.min(), x.max())) for name, x in zip(rows.inputs, rows.x.T, strict=True)]
        x = draw_points(rows.x, np.array(ends, float), seed)
        frame = pandas.DataFrame(dict(zip(rows.inputs, x.T, strict=True)))
    else:
        frame, x = _points_of(candidates, rows)
    allowed = np.flatnonzero(_are_new(x, rows, intervals))
    if len(allowed) > (most := max(_MOST_CANDIDATES, points)):
        allowed = np.sort(np.random.default_rng(seed).choice(allowed, most, replace=False))
    predictions = predict(function, x[allowed])
    has_value = np.isfinite(predictions["u"]).all(axis=1)  # the logarithm of an input is not known at 0
    allowed = allowed[has_value]
    if not 1 <= points <= len(allowed):
        which = "the candidates that are no row yet, at which the fit has a value, in the box"
        which = f"{which} and, unless it is larger than the range of the rows, near them; --candidates takes any"
        raise ConfigurationError(f"points: must be at least 1 and at most {len(allowed)}, {which}; got {points}")
    if function.members > 1:
        spread = _squares(predictions["u_std"][has_value], predictions["du_std"][has_value], rows)
        chosen = choose(x[allowed], spread, rows.x, points)
    else:
        chosen = choose_farthest(x[allowed], function.input_weights, rows.x, points)
    chosen = allowed[chosen]
    return _as_table(frame.iloc[chosen], x[chosen], rows, keep_index=candidates is not None)


def _points_of(candidates: Any, rows: Rows) -> "tuple[pandas.DataFrame, Floats]":
    """Return the points of a table, as such and as an array, (N, D)."""
    file = table_of(candidates, "candidates")
    if missing := [name for name in rows.inputs if name not in file.frame.columns]:
        rule = f"must have a column for each input, {listed(rows.inputs)}"
        raise ConfigurationError(f"candidates: {rule}; missing: {listed(missing)}")
    columns = [file.numbers(name, required=True) for name in rows.inputs]
    return file.frame, np.stack(columns, axis=1) + 0.0  # -0.0 is 0.0


def _are_new(x: Floats, rows: Rows, intervals: Mapping[str, Interval]) -> NDArray[np.bool_]:
    """Return whether points, (N, D), are in the box, and neither rows nor repeated, (N,)."""
    import pandas

    new = ~pandas.DataFrame(np.concatenate([rows.x + 0.0, x])).duplicated().to_numpy()[len(rows.x) :]
    for name, (low, high) in intervals.items():
        column = x[:, rows.inputs.index(name)]
        new &= (low <= column) & (column <= high)
    return new


def fitted(directory: str) -> tuple[Function, Rows]:
    """Return the function of a run or a sweep, and the rows that it was fitted to.

    If an answer is one network, the networks that judged it take its place if they are several, because they disagree.
    """
    function = load_finished(directory, "RUN_OR_SWEEP")
    if "file" not in (function.configuration.get("data") or {}):
        rule = "must be fitted to a table, to which rows can be added"
        how = "data.n_train takes more points of a formula"
        raise ConfigurationError(f"RUN_OR_SWEEP: {rule}; {how}; got a fit of a formula in {directory!r}")
    rows, _ = rows_of(RunDirectory(function.runs[0]))
    if len(rows.x) > _MOST_CORRELATED_ROWS:
        rule = f"must be fitted to at most {_MOST_CORRELATED_ROWS} rows"
        raise ConfigurationError(f"RUN_OR_SWEEP: {rule}; {rows.table.file!r} has {len(rows.x)}")
    if function.members == 1 and (board := read_leaderboard([directory])):
        runs = [RunDirectory(Path(directory, str(run))) for entry in board.candidates[:1] for run in entry.runs]
        judges = [run for run in runs if run.metrics.exists()]
        function = load_runs(judges) if len(judges) > 1 else function
    return function, rows


def criterion(function: Function) -> str:
    """Return by what criterion the points for a function are chosen, in words."""
    if function.members > 1:
        return f"the disagreement of {function.members} networks"
    return "the distance from the rows, weighted by how much each input matters, because there is only one network"


def _squares(u_std: Floats, du_std: Floats, rows: Rows) -> Floats:
    """Return the squares of the spread at points, (N,): of values and derivatives, each relative to its mean."""
    channels = Channels.of(rows.x, rows.y, rows.dydx)
    value, slope = channels.value * u_std, channels.slope * du_std
    return relative(np.square(value).sum(axis=1), np.square(slope).sum(axis=(1, 2)))


def _intervals(box: Mapping[str, float | Interval], rows: Rows) -> dict[str, Interval]:
    """Return the intervals of a box."""
    intervals = dict[str, Interval]()
    for name, interval in box.items():
        if name not in rows.inputs:
            raise ConfigurationError(f"box: must name inputs, {listed(rows.inputs)}; got {name!r}")
        try:
            low, high = np.broadcast_to(np.asarray(interval, float), 2)
        except (TypeError, ValueError):
            rule = "must be a number, or a pair of numbers (low, high)"
            raise ConfigurationError(f"box: {name}: {rule}; got {interval!r}") from None
        x = rows.x[:, rows.inputs.index(name)]
        if not (low <= high and np.isfinite([low, high]).all()):
            raise ConfigurationError(f"box: {name}: must be LOW:HIGH with finite LOW <= HIGH, got {low:g}:{high:g}")
        if high < x.min() or low > x.max():
            rule = f"must meet the range of the table's rows, {x.min():g}:{x.max():g}"
            raise ConfigurationError(f"box: {name}: {rule}, got {low:g}:{high:g}")
        intervals[name] = float(low), float(high)
    return intervals


def _as_table(frame: "pandas.DataFrame", x: Floats, rows: Rows, *, keep_index: bool) -> "pandas.DataFrame":
    """Return points, with their known columns, as rows of the fitted table.

    If they have no index to keep, theirs continues the whole numbers of a fitted DataFrame's, or begins with 0.
    """
    file = open_table(rows.table.file)
    is_one = file.names.count("") < 2  # a column without a name, such as the index that pandas writes
    names, labels = [name for name in file.names if name or is_one], file.frame.index
    added = [name for name in frame.columns if name and name not in names]
    table = frame.reindex(columns=[*names, *added])
    table[[*rows.inputs]] = x
    if (split := rows.table.split_column) is not None:
        table[split] = SETS[0]
    first = int(labels.to_numpy().max()) + 1 if labels.name == INDEX and labels.dtype.kind in "iu" else 0
    return table if keep_index else table.set_axis(range(first, first + len(table)))
