"""A stack's members at the end: their fits, final figures and tables, in the user's units."""

from collections.abc import Sequence

import torch
from torch import Tensor

from runge.function.outside import thinned
from runge.records.fits import column_names, slope_names
from runge.records.metrics import BEST_STEP, LAMBDA_D, PARAMETERS, SWITCHED_ON_STEP, TEST_ENDS, key
from runge.resampling.resample import Resample
from runge.sobolev.accuracy import Reference, intervals, partial_errors
from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points
from runge.training.base import SobolevModule
from runge.training.datamodule import PointsDataModule
from runge.training.member import Member, Metrics

_LEAST_POINTS_EXACT = 300
"""Test points of a table from which on the errors on them need no intervals."""

_LEAST_GROUPS = 10
"""The fewest groups of test points whose errors have intervals: with fewer ones, resampling gives too narrow ones."""

_MOST_ROWS = 201
"""Rows of `fit.csv` with one input."""

_MOST_ROWS_OF_MAPS, _MOST_NUMBERS = 2048, 50_000
"""Rows of `fit.csv` with several inputs, which need more in a picture, and its numbers."""


Evaluation = tuple[Points, Tensor, Tensor]
"""A member's test points, and its fit there, (N, P) and (N, P, D), in the user's units."""


def evaluate_members(network: StackedMLP, data: PointsDataModule) -> list[Evaluation]:
    """Return the fit of each member on its test points."""
    test, units = data.dataset.test, network.units
    u, du = network.predict(test.x)
    if units is not None:
        (u, du), test = units.restore(u, du, test.x), units.restore_points(test)
    tests = [test.take(torch.tensor([i], device=u.device)) for i in range(len(u))]
    return list(zip(tests, u, du, strict=True))


def final_metrics(module: SobolevModule, data: PointsDataModule) -> list[Metrics]:
    """Return the final figures of each member, of the present weights and with the full lambda_d.

    They are the errors on all three sets, with several partial derivatives also the nrmse of each on the test points;
    the gradients of both terms on the training set; lambda_d at the last step, the step from which on it was positive,
    the steps of the best weights, and the number of parameters.
    """
    figures: dict[str, Tensor] = {}
    for split, points in data.dataset._asdict().items():
        figures |= module.measure(split, points, module.lambda_d)
    slopes = slope_names(data.inputs, data.dataset.test.outputs)
    if len(slopes) > 1:
        test, network = data.dataset.test, module.network
        with torch.no_grad():
            _, du = module.predict(network, test.x)
        partials = partial_errors(du, test, Reference.of(test, network.units)).flatten(1).unbind(1)
        figures |= {key("test", "nrmse_df", name): error for name, error in zip(slopes, partials, strict=True)}
    figures |= module.measure_gradients(data.dataset.train)
    figures[LAMBDA_D] = module.factor * module.lambda_now
    rows = torch.stack([figure.to(torch.float64) for figure in figures.values()], dim=1).tolist()
    parameters, metrics = module.network.theta.shape[1], list[Metrics]()
    for i, (row, switched) in enumerate(zip(rows, module.switched_on.tolist(), strict=True)):
        on = switched if switched < module.last_step(i) and float(module.lambda_d[i]) else None
        of_run = {PARAMETERS: parameters, SWITCHED_ON_STEP: on, BEST_STEP: int(module.best_step[i])}
        metrics.append(dict(zip(figures, row, strict=True)) | of_run)
    return metrics


def training_region(member: Member) -> dict[str, Tensor]:
    """Return where a member's training points may be: the `box` of a formula, (D, 2), or `rows` of a table, (n, D)."""
    if member.rows is None:
        return {"box": member.formula[0].domain.double()}
    train = member.rows.split(member.data_seed.generator("data")).train
    return {"rows": torch.from_numpy(thinned(member.rows.x[train]))}


def point_counts(member: Member, data: PointsDataModule) -> dict[str, int]:
    """Return the number of points in each set; for the test 0 if the validation rows take the place of its points."""
    counts = {split: points.x.shape[1] for split, points in data.dataset._asdict().items()}
    return counts if member.has_test else counts | {"test": 0}


def intervals_on_test(points: Points, u: Tensor, du: Tensor, groups: Tensor) -> Metrics:
    """Return the ends of the intervals of the errors on a table's test points, by key, given the group of each, (N,).

    There are none of many points, or of few groups.
    """
    places = [torch.nonzero(groups == group)[:, 0] for group in groups.unique()]
    if points.x.shape[1] >= _LEAST_POINTS_EXACT or len(places) < _LEAST_GROUPS:
        return {}
    low, high = intervals(u[None].double(), du[None].double(), points, places)
    named = [(TEST_ENDS[0], low), (TEST_ENDS[1], high)]
    return {key(split, name): float(end) for split, ends in named for name, end in ends.items()}


def fit_columns(points: Points, u: Tensor, du: Tensor, inputs: Sequence[str]) -> dict[str, list[float]]:
    """Return the columns of a member's `fit.csv` at evenly chosen test points; NaN where a label is not known."""
    n, names = points.x.shape[1], column_names(inputs, points.outputs)
    most = _MOST_ROWS
    if len(inputs) > 1:
        most = max(most, min(_MOST_ROWS_OF_MAPS, _MOST_NUMBERS // len(names)))
    rows = torch.linspace(0, n - 1, min(n, most), dtype=torch.float64).round().long()
    f, df = points.f.where(points.weight_f > 0, torch.nan), points.df.where(points.weight_df > 0, torch.nan)
    columns = (points.x[0], f[0], df[0], u, du)
    values = torch.cat([column.double().cpu()[rows].flatten(1) for column in columns], dim=1)
    return dict(zip(names, values.mT.tolist(), strict=True))


def points_columns(resample: Resample, member: int, inputs: Sequence[str]) -> dict[str, list[float]]:
    """Return where a member's training points have been, as columns: `step` and the inputs."""
    places = [nodes[member].double() for nodes in resample.nodes]
    steps: list[float] = [step for step, points in zip(resample.steps, places, strict=True) for _ in points]
    x = torch.cat(places)
    return {"step": steps} | dict(zip(inputs, x.mT.tolist(), strict=True))
