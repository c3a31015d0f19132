"""Errors of networks at rows of their table that they have not seen: what intervals and `outside` follow from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import build_of_file, section
from runge.data.channels import Channels
from runge.data.rows import Rows, read
from runge.data.seed import Seed
from runge.data.split import Split
from runge.data.table import Table
from runge.function.calibration import Calibration
from runge.function.outside import per_quantile
from runge.function.spread import groups_by_rows, spread_over
from runge.records.directories import RunDirectory

__all__ = ["UnseenErrors", "errors_of", "rows_of"]

Jet = Callable[[Tensor], Sequence[Tensor]]

_EVALUATED_POINTS = 2**12
"""The points that are evaluated at a time."""

_LEAST_LOCAL_ROWS = 20
"""The least rows that several networks of the same rows have not seen, with which intervals are local."""

_SEEN, _UNUSED, _VALIDATED = range(3)  # what a run has used a row for: training, nothing or a test, validation


def rows_of(run: RunDirectory, file: str | None = None) -> tuple[Rows, Split]:
    """Return the rows of a run's table, and how it has divided them.

    Data from Python are in the directory of the run, which may be a copy, or of its sweep. A file that is gone may be
    there, too.

    Raises:
        ConfigurationError: the file, that of the run if it is None, does not hold the rows of the run.
    """
    configuration, *_ = run.read_configuration()
    settings = section("data", configuration.get("data"))
    path = Path(str(settings.get("file")) if file is None else file)
    places = run.path / path.name, path, run.path.parent / path.name
    path = next((place for place in places if place.is_file()), path)
    table = build_of_file("data", {**settings, "file": str(path)}, Table)
    rows, state = read(table), run.read_state()
    if state is None or state.rows != rows.checksum:
        raise ConfigurationError(f"data.file: {table.file!r} does not hold the rows of the run {run.path}")
    return rows, rows.split(Seed.of_data(configuration["seed"], table.seed, table.folds).generator("data"))


class UnseenRows(NamedTuple):
    """Rows that the same networks were trained without.

    Attributes:
        places: the rows, (n,).
        members: these networks, (m,).
        validated: whether the rows were for the validation of each, (m,).
        errors: their errors, (m, n, P + P D), values first; where a label is not known it counts as 0.
    """

    places: np.ndarray
    members: np.ndarray
    validated: np.ndarray
    errors: Tensor


class UnseenErrors(NamedTuple):
    """The errors of M networks at rows of their table that they were trained without.

    Attributes:
        rows: the table.
        trained: something equal for networks that were trained on the same rows, M times.
        groups: the rows, by the networks that have not seen them.
    """

    rows: Rows
    trained: list[bytes]
    groups: list[UnseenRows]

    @classmethod
    def of(cls, jet: Jet, runs: Sequence[str | Path], everywhere: bool) -> "UnseenErrors":
        """Evaluate networks once at their rows for validation, which are a fold if there are folds.

        Args:
            jet: returns the values, (M, N, P), and the slopes, (M, N, P, D), of the networks at points, (1, N, D).
            runs: the directories of the M runs, all of one table.
            everywhere: whether also at all other rows that they were not trained on.

        Raises:
            ConfigurationError: the runs are not of a table, or the file does not hold their rows.
        """
        tables = [rows_of(RunDirectory(run)) for run in runs]
        rows, splits = tables[0][0], [split for _, split in tables]
        labels = torch.from_numpy(np.nan_to_num(rows.labels))
        uses = np.full((len(runs), len(rows.x)), _UNUSED if everywhere else _SEEN, np.int8)
        for use, split in zip(uses, splits, strict=True):
            use[split.val] = _VALIDATED
            use[split.train] = _SEEN
        groups = [
            UnseenRows(places, members, validated, _predictions(jet, rows.x[places])[members] - labels[places])
            for places, members, validated in _patterns(uses)
        ]
        return cls(rows, [split.train.tobytes() for split in splits], groups)

    @classmethod
    def of_errors(
        cls, rows: Rows, trained: Sequence[bytes], unseen: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]
    ) -> "UnseenErrors":
        """Return known errors of M networks.

        Args:
            rows: the table.
            trained: something equal for networks that were trained on the same rows, M times.
            unseen: of each network the rows that it was trained without, (n,), ascending; whether they were for its
                validation, (n,); and its errors there, (n, P + P D), where a label that is not known counts as 0.
        """
        uses = np.full((len(unseen), len(rows.x)), _SEEN, np.int8)
        for use, (places, validated, _) in zip(uses, unseen, strict=True):
            use[places] = np.where(validated, _VALIDATED, _UNUSED)
        groups = list[UnseenRows]()
        for places, members, validated in _patterns(uses):
            errors = [unseen[member][2][np.searchsorted(unseen[member][0], places)] for member in members]
            groups.append(UnseenRows(places, members, validated, torch.from_numpy(np.stack(errors))))
        return cls(rows, list(trained), groups)

    def mean(self, validated: bool) -> np.ndarray:
        """Return the mean error of the networks at each row that they have not seen, (n, P + P D).

        Args:
            validated: whether a row must have been for the validation of a network, and not unused or for the test.

        Returns:
            The errors; NaN: the label is not known, or no network is left.
        """
        labels = self.rows.labels
        total, count = np.zeros(labels.shape), np.zeros(len(labels))
        for group in self.groups:
            errors = group.errors[np.flatnonzero(group.validated | (not validated))]
            total[group.places], count[group.places] = errors.numpy().sum(axis=0), len(errors)
        with np.errstate(invalid="ignore"):
            return np.where(np.isnan(labels), np.nan, total / count[:, None])

    def calibrate(self, local: bool) -> Calibration:
        """Calibrate intervals and `outside` by the rows for validation of the networks.

        A row is predicted by the mean of the networks for which it was one of them. If for some rows these are several
        that were trained on the same rows, with other seeds, these rows count, and the spread of the networks does.

        Args:
            local: whether the function that gets the intervals has a spread.

        Returns:
            A calibration of the channels: the P values, then the P x D slopes.

        Raises:
            ValueError: no row was left out of the training of any network.
        """
        rows, labels = self.rows, self.rows.labels
        errors, spreads = list[np.ndarray](), list[np.ndarray]()
        several, places = list[np.ndarray](), list[np.ndarray]()
        for group in self.groups:
            networks = group.errors[group.validated]
            if not len(networks):
                continue
            seeds = groups_by_rows([self.trained[member] for member in group.members[group.validated]])
            errors.append(np.where(np.isnan(labels[group.places]), np.nan, networks.mean(0).numpy()))
            spreads.append(spread_over(networks, seeds).numpy())
            several.append(np.full(len(group.places), bool(seeds)))
            places.append(group.places)
        if not errors:
            rule = "need rows that were left out of the training of some network, as data.folds does"
            raise ValueError(f"intervals {rule}")
        error, spread, has_spread = (np.concatenate(arrays) for arrays in (errors, spreads, several))
        groups = rows.groups[np.concatenate(places)]
        if local and has_spread.sum() >= _LEAST_LOCAL_ROWS:
            channels = Channels.of(rows.x, rows.y, rows.dydx)
            factors = per_quantile(spread[has_spread], np.append(channels.value, channels.slope))
            found = Calibration.of(error[has_spread], spread[has_spread], groups[has_spread])
            return replace(found, outside=tuple(factors.tolist()))
        return Calibration.of(error, None, groups)


def _patterns(uses: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Find rows that the same networks have not seen, given the use of each row by each, (M, n).

    Yields:
        The rows, these networks, and whether the rows were for the validation of each.
    """
    patterns, kinds = np.unique(uses, axis=1, return_inverse=True)
    for kind, pattern in enumerate(patterns.T):
        members = np.flatnonzero(pattern != _SEEN)
        if len(members):
            yield np.flatnonzero(kinds.ravel() == kind), members, pattern[members] == _VALIDATED


def errors_of(jet: Jet, rows: Rows, index: np.ndarray) -> Tensor:
    """Return the errors of M networks at some rows, (M, n, P + P D), those of values first; NaN: not known."""
    return _predictions(jet, rows.x[index]) - torch.from_numpy(rows.labels[index])


def _predictions(jet: Jet, x: np.ndarray) -> Tensor:
    """Return the values and slopes of M networks at points, (M, n, P + P D)."""
    with torch.no_grad():
        jets = [jet(chunk[None]) for chunk in torch.from_numpy(x).split(_EVALUATED_POINTS)]
    u, du = (torch.cat(tensors, dim=1).double().cpu() for tensors in zip(*jets, strict=True))
    return torch.cat([u, du.flatten(2)], dim=2)
