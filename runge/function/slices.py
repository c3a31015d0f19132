"""Evaluate sections of a function: values and derivatives along each input, or over a plane of two, with intervals."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import build_of_file
from runge.data.sampled import Data, sample
from runge.data.seed import Seed
from runge.function.outside import OUTSIDE
from runge.function.residuals import rows_of
from runge.records.directories import RunDirectory
from runge.records.fits import LEVEL, Array, SampledFit, Section, fit_of
from runge.records.reading import read_columns
from runge.sampling import Sampling
from runge.targets import Target

if TYPE_CHECKING:
    from runge.function.function import Function

__all__ = ["fit_of_function", "formula_of", "plane_of", "profiles_of", "rows_seen", "section_of"]

_LINE_POINTS, _SIDE_POINTS = 101, 61
"""The points of a line, and of each side of a plane: both end in the ends of the inputs."""

_MOST_SAMPLED = 10**6
"""The most points of a formula that a picture samples again."""

_MOST_DRAWN_ROWS = 2000
"""The most rows that are drawn: more would cover each other."""


def section_of(function: "Function", x: Array, along: Sequence[int] | None = None) -> Section:
    """Evaluate a function at points x, (N, D), along which some inputs vary, by default all, with its intervals."""
    u, du = _evaluated(function, x)
    around, around_du = np.full(u.shape, np.nan), np.full(du.shape, np.nan)
    outside = np.zeros(len(x), bool)
    with suppress(ValueError, OSError):  # it has no intervals, or the table of its rows is gone
        outside = function.outside(x) > OUTSIDE
        (low, high), (slope_low, slope_high) = function.value_and_derivative_interval(x, LEVEL)
        around, around_du = (high - low).reshape(u.shape) / 2, (slope_high - slope_low).reshape(du.shape) / 2
    inputs = [*range(x.shape[1])] if along is None else [*along]
    return Section(x[:, inputs], u, du[..., inputs], around, around_du[..., inputs], outside)


def profiles_of(
    function: "Function",
    x: Array,
    inputs: Sequence[int] | None = None,
    points: int = _LINE_POINTS,
    target: Target | None = None,
) -> list[Section]:
    """Return a section along some inputs, by default all, between the ends of rows x, (m, D), through their median.

    With a target it has the values of this, too.
    """
    profiles, middle = list[Section](), np.median(x, axis=0)
    for d in range(x.shape[1]) if inputs is None else inputs:
        line = np.tile(middle, (points, 1))
        line[:, d] = np.linspace(x[:, d].min(), x[:, d].max(), points)
        f = None if target is None else target.value(torch.from_numpy(line)).numpy().reshape(points, -1)
        profiles.append(section_of(function, line, [d])._replace(f=f))
    return profiles


def plane_of(function: "Function", x: Array) -> Section:
    """Return a section of a function of two inputs, on a grid over the box of rows x, (m, 2)."""
    axes = np.linspace(x.min(0), x.max(0), _SIDE_POINTS)
    return section_of(function, np.stack(np.meshgrid(*axes.T), axis=-1).reshape(-1, 2))


def formula_of(configuration: Mapping[str, Any]) -> tuple[Target | None, tuple[Array, Array, Array]]:
    """Return the formula of a run, and the x, f and df of its training points, (K, D), (K, P) and (K, P, D).

    The points are the first ones, which a resampling moves; NaN: they do not carry this label. Of a table, or of a
    class that a file may not name, or if another version wrote the keys, or of too many points, there are neither.
    """
    nothing = np.empty((0, 0)), np.empty((0, 0)), np.empty((0, 0, 0))
    if not (configuration.get("target") and configuration.get("sampling")):
        return None, nothing
    try:
        target = build_of_file("target", configuration["target"], Target)
        sampling = build_of_file("sampling", configuration["sampling"], Sampling)
        data = build_of_file("data", configuration.get("data"), Data)
        if data.n_train + data.n_val + data.n_test + data.boundary_points + (data.n_derivative or 0) > _MOST_SAMPLED:
            raise ValueError("too many points for a picture")
        seed = Seed.of_data(configuration["seed"], data.seed, data.folds)
        train = sample(target, sampling, seed.generator("data"), data).train
    except ValueError:
        return None, nothing
    f, df = train.f.where(train.weight_f > 0, torch.nan), train.df.where(train.weight_df > 0, torch.nan)
    return target, (train.x[0].numpy(), f[0].numpy(), df[0].numpy())


def rows_seen(function: "Function") -> tuple[Array, Array, Array]:
    """Return the inputs, (m, D), values and derivatives of the rows that a function was fitted to, at most about 2000.

    Of a formula, or if the table is gone, they are the test points of the first run.

    Raises:
        ConfigurationError: a file is damaged.
    """
    run = RunDirectory(function.runs[0])
    try:
        rows, split = rows_of(run)
    except (ConfigurationError, OSError):
        fit = fit_of(read_columns(run, run.fit, None, sys.maxsize))
        return fit.x, fit.f, fit.df
    seen = np.union1d(split.train, split.val)
    seen = seen[:: -(-len(seen) // _MOST_DRAWN_ROWS)]
    return rows.x[seen], rows.y[seen], rows.dydx[seen]


def fit_of_function(function: "Function", x: Array, f: Array, df: Array) -> SampledFit:
    """Return the values of a function with the labels at x, (m, D)."""
    return SampledFit(function.inputs, function.outputs, x, f, df, *_evaluated(function, x))


def _evaluated(function: "Function", x: Array) -> list[Array]:
    """Return the values, (N, P), and the derivatives, (N, P, D), of a function at x, (N, D)."""
    shapes = (len(x), len(function.outputs)), (len(x), len(function.outputs), x.shape[1])
    pair = function.value_and_derivative(x)
    return [derivative.reshape(shape) for derivative, shape in zip(pair, shapes, strict=True)]
