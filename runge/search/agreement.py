"""What the networks of an answer say where no row is: whether they agree, and by how much they differ."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import KDTree

from runge.configuration.validation import Floats
from runge.function.loading import load_runs
from runge.records.directories import RunDirectory
from runge.search.constants import DISAGREEMENT_FACTOR, LOSS_ROUND_OFF, RECOMBINED_POINTS
from runge.search.judging import SearchTable

__all__ = ["Agreement", "agreement_of", "recombined"]


class Agreement(NamedTuple):
    """How networks that were trained on all rows agree with those that were judged.

    Attributes:
        fits: which of the networks of all rows agree with the judged ones between the rows.
        differences: the root mean square differences of values and derivatives between the answer and the networks
            that are not in it, or its own if all are, at points that combine the inputs of different rows, over the
            standard deviations, (2, P); NaN: there is one network, or no such point.
    """

    fits: Sequence[bool]
    differences: Floats


def agreement_of(
    table: SearchTable, errors: Sequence[float | None], judging: Sequence[Path], whole: Sequence[Path]
) -> Agreement:
    """Compare the networks that were judged with those of all rows.

    A network that fits its rows may be far off between them. If it was trained on all rows, no row is left to test
    that. In the middle between each row and its nearest one, the root mean square of the difference of both, over the
    standard deviation of the output, is about as large as the judged error. So is that of their derivatives.

    Args:
        table: the table.
        errors: the judged errors of the values and of the derivatives; None: it is not known.
        judging: the directories of the networks that were judged.
        whole: those of the networks of all rows.
    """
    paths, x, unknown = [*judging, *whole], table.rows.x[table.seen], np.full((2, len(table.rows.outputs)), np.nan)
    if len(paths) == 1:
        return Agreement([], unknown)
    networks = load_runs([RunDirectory(path) for path in paths])

    def predict(points: Floats) -> Floats:
        at = torch.from_numpy(points)[None].to(networks.like)
        jets = torch.cat([part.flatten(2) for part in networks.jet(at)], dim=2).double().cpu().numpy()
        return jets[[networks.runs.index(str(path)) for path in paths]]

    fits = list[bool]()
    if whole:
        nearest = np.asarray(KDTree(_scaled(x, x)).query(_scaled(x, x), k=2)[1])[:, 1]
        judged, of_all_rows = np.split(predict((x + x[nearest]) / 2), [len(judging)])
        apart = np.stack([table.channels.nrmse(jets - judged.mean(axis=0)) for jets in of_all_rows])
        most = DISAGREEMENT_FACTOR * np.array(errors, dtype=float) + LOSS_ROUND_OFF  # NaN: an error that is not known
        means = np.ma.masked_where(np.isnan(apart), apart).mean(axis=2).filled(0.0)
        fits = (~(means > most).any(axis=1)).tolist()
    if not len(points := recombined(x)):
        return Agreement(fits, unknown)
    jets, is_answer = predict(points), np.array([not any(fits)] * len(judging) + fits)
    others, answer = jets if is_answer.all() else jets[~is_answer], jets[is_answer].mean(axis=0)
    squares = [table.channels.nrmse(other - answer) ** 2 for other in others]
    return Agreement(fits, np.sqrt(np.mean(squares, axis=0)))


def recombined(x: Floats) -> Floats:
    """Return points with inputs of different rows that are no farther from a row than rows are from their nearest ones.

    If the inputs are independent, they are further points of the same distribution, (n, D). Otherwise they are near
    rows. An input that has a few levels, but more than two, as on a grid, is in half of them in the middle between two.
    """
    generator, times = np.random.default_rng(0), -(-RECOMBINED_POINTS // len(x))
    points = np.concatenate([generator.permuted(x, axis=0) for _ in range(times)])[:RECOMBINED_POINTS]
    for column, levels in zip(points.T, map(np.unique, x.T), strict=True):
        if 2 < len(levels) <= len(x) / 2:
            between = np.flatnonzero((column < levels[-1]) & (generator.random(len(column)) < 0.5))
            above = levels[np.searchsorted(levels, column[between]) + 1]
            column[between] = (column[between] + above) / 2
    tree = KDTree(_scaled(x, x))
    farthest = np.asarray(tree.query(_scaled(x, x), k=2)[0])[:, 1].max()
    return points[tree.query(_scaled(points, x))[0] <= farthest]


def _scaled(points: Floats, x: Floats) -> Floats:
    """Return points in units of the standard deviations of the rows' inputs."""
    deviation = x.std(axis=0)
    return points / np.where(deviation > 0, deviation, 1.0)
