"""Errors of networks at rows of their table that they have not seen: what intervals and `outside` follow from."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import build, section
from runge.data.channels import Channels
from runge.data.rows import Rows, Split, read
from runge.data.seed import Seed
from runge.data.table import Table
from runge.function.outside import per_quantile
from runge.function.spread import alike, spread_over
from runge.records.calibration import Calibration
from runge.records.directories import RunDirectory

__all__ = ["calibrate", "errors_of", "left_out", "rows_of"]

Jet = Callable[[Tensor], Sequence[Tensor]]

_CHUNK = 2**12  # points that are evaluated at a time
_LEAST_LOCAL = 20  # rows that several networks of the same rows have not seen


def rows_of(run: RunDirectory, file: str | None = None) -> tuple[Rows, Split]:
    """Return the rows of a run's table, and how it has divided them.

    Raises:
        ConfigurationError: the file, that of the run if it is None, does not hold the rows of the run.
    """
    configuration, *_ = run.read_configuration()
    given = section("data", configuration.get("data"))
    table = build("data", given if file is None else {**given, "file": file}, Table)
    rows, state = read(table), run.read_state()
    if state is None or state.rows != rows.checksum:
        raise ConfigurationError(f"data.file: {table.file!r} does not hold the rows of the run {run.path}")
    return rows, rows.split(Seed.of_data(configuration["seed"], table.seed, table.folds).generator("data"))


def calibrate(jet: Jet, runs: Sequence[str | Path], local: bool) -> Calibration:
    """Calibrate intervals and `outside` by the rows for validation of runs, which are a fold if there are folds.

    A row is predicted by the mean of the networks for which it was one of them. If for some rows these are several that
    were trained on the same rows, with other seeds, these rows count, and the spread of the networks does.

    Args:
        jet: returns the values, (M, N, P), and the slopes, (M, N, P, D), of the runs' networks at points, (1, N, D).
        runs: the directories of the M runs, all of one table.
        local: whether the function that gets the intervals has a spread.

    Returns:
        A calibration of the channels: the P values, then the P x D slopes.

    Raises:
        ConfigurationError: the runs are not of a table, or the file does not hold their rows.
        ValueError: no row was left out of the training of any network.
    """
    found = [rows_of(RunDirectory(run)) for run in runs]
    rows, splits = found[0][0], [split for _, split in found]
    unseen = np.zeros((len(runs), len(rows.x)), bool)
    for one, split in zip(unseen, splits, strict=True):
        one[np.setdiff1d(split.val, split.train)] = True
    trained = [split.train.tobytes() for split in splits]
    labels, errors, spreads, several = _labels(rows), list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
    for pattern in np.unique(unseen[:, unseen.any(axis=0)], axis=1).T:
        index, members = np.flatnonzero((unseen == pattern[:, None]).all(axis=0)), np.flatnonzero(pattern)
        label = labels[index]
        networks = _predictions(jet, rows.x[index])[members] - torch.from_numpy(np.nan_to_num(label))
        groups = alike([trained[member] for member in members])
        errors.append(np.where(np.isnan(label), np.nan, networks.mean(0).numpy()))
        spreads.append(spread_over(networks, groups).numpy())
        several.append(np.full(len(index), bool(groups)))
    if not errors:
        raise ValueError("intervals need rows that were left out of the training of some network, as data.folds does")
    error, spread, chosen = (np.concatenate(part) for part in (errors, spreads, several))
    if local and chosen.sum() >= _LEAST_LOCAL:
        channels = Channels.of(rows.x, rows.y, rows.dydx)
        factors = per_quantile(spread[chosen], np.append(channels.value, channels.slope))
        return replace(Calibration.of(error[chosen], spread[chosen]), outside=tuple(factors.tolist()))
    return Calibration.of(error, None)


def left_out(jet: Jet, runs: Sequence[str | Path]) -> np.ndarray:
    """Return the mean error of networks at rows that they were trained without, (n, P + P D).

    The order is that of `errors_of`, and the arguments are those of `calibrate`. NaN: the label is not known, or all
    networks were trained on the row.
    """
    found = [rows_of(RunDirectory(run)) for run in runs]
    errors = errors_of(jet, found[0][0], np.arange(len(found[0][0].x))).numpy()
    unseen = np.ones(errors.shape[:2], bool)
    for network, (_, split) in zip(unseen, found, strict=True):
        network[split.train] = False
    total = np.where(unseen[..., None], errors, 0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return total / unseen.sum(axis=0)[:, None]


def errors_of(jet: Jet, rows: Rows, index: np.ndarray) -> Tensor:
    """Return the errors of M networks at some rows, (M, n, P + P D), those of values first; NaN: not known."""
    return _predictions(jet, rows.x[index]) - torch.from_numpy(_labels(rows)[index])


def _predictions(jet: Jet, x: np.ndarray) -> Tensor:
    """Return the values and slopes of M networks at points, (M, n, P + P D)."""
    with torch.no_grad():
        parts = [jet(chunk[None]) for chunk in torch.from_numpy(x).split(_CHUNK)]
    u, du = (torch.cat(part, dim=1).double().cpu() for part in zip(*parts, strict=True))
    return torch.cat([u, du.flatten(2)], dim=2)


def _labels(rows: Rows) -> np.ndarray:
    """Return the labels of all rows, (N, P + P D), values first; NaN: not known."""
    return np.concatenate([rows.y, rows.dydx.reshape(len(rows.y), -1)], axis=1)
