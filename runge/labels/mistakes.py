r"""List the usual mistakes with columns of derivatives, each as the columns with the right labels.

With the differences v of the values of an output between near rows, and the terms u_d of its partial derivatives
(`Labels.terms`), right labels have :math:`v \approx \sum_d u_d`. A mistake replaces terms:

- factor: :math:`c\, u_d` instead of u_d, with one c for a group of columns, or one for each column of an output;
- swapped, transposed, shifted: the term of another column, or of other rows, instead of u_d;
- unrelated: slopes that fit the values near each row (`FreeSlopes`) instead of u_d.

All factors c have the least sum of absolute errors, which outliers and steep places change less than a sum of squares:

.. math:: \min_c \sum_k |v_k - c\, u_k| / S_k.

Its solution is the median of v / u with the weights abs(u) / S, because the sum is
:math:`\sum_k (|u_k| / S_k)\, |v_k / u_k - c|`. For several factors of an output it is a linear programme, solved by
iteratively reweighted least squares.

References:
    P. Bloomfield, W. Steiger (1983). Least absolute deviations: theory, applications, and algorithms.
    https://doi.org/10.1007/978-1-4684-8574-5
    P. Holland, R. Welsch (1977). Robust regression using iteratively reweighted least-squares.
    https://doi.org/10.1080/03610927708827533
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from runge.configuration.validation import Floats
from runge.labels.differences import Labels
from runge.labels.pairs import Place, Source

__all__ = ["Mistake", "Part", "of_output", "of_several", "usual_factor"]

Kind = Literal["factor", "swapped", "transposed", "shifted", "unrelated", "useless"]

Part = tuple[tuple[Place, Source], ...]
"""The columns of a mistake that are of one output, and where their right labels are."""

_SHIFTS = 1, -1, 2, -2, 3, -3
_LEAST_FACTOR = 1.35
"""A factor between this and its inverse may come from curvature and noise."""

_MOST_SWAPPED = 50
"""The most columns, or lists of them, any two of which may be swapped: the number of pairs grows with the square."""

_FACTOR_SPREAD = 0.08
"""The tolerance of the logarithm of a usual factor: those of 2, 2 pi, 10, 180 / pi and 100 differ by 0.4 or more."""

_SIGN_TOLERANCE = 0.1
"""The largest distance of the factor of a wrong sign from -1: what curvature changes."""

_REWEIGHTINGS = 20
"""The steps of the reweighting, a bound on the time."""

_MEDIAN_PASSES = 3
"""The passes of the weighted median, whose weights 1 / S follow from the factor of the pass before."""


class Mistake(NamedTuple):
    """Columns that contradict the values, and where the right labels are.

    Attributes:
        kind: `factor`: all are wrong by a factor, the sign included; `swapped`: their places; `transposed`: the order
            of the Jacobian; `shifted`: their rows; `unrelated`: one is worse than slopes that fit the values, without
            a known reason; `useless`: the derivatives of an output explain less of it than near values.
        sources: the columns, and where their right labels are.
        before: the share of the differences of near values that the derivatives leave unexplained.
        after: the same share with the right labels.
        error: of an unrelated column, its error relative to slopes that fit the values.
    """

    kind: Kind
    sources: Mapping[Place, Source]
    before: float = 1.0
    after: float = 1.0
    error: float = math.nan

    @property
    def per_factor(self) -> "list[Mistake]":
        """The mistakes, one for each column if their factors differ."""
        if len({source.factor for source in self.sources.values()}) == 1:
            return [self]
        return [Mistake(self.kind, {place: source}) for place, source in self.sources.items()]

    @property
    def parts(self) -> list[Part]:
        """The columns of each output with their sources: S of an output depends on its part only."""
        return [tuple(item for item in self.sources.items() if item[0][0] == p) for p in {p for p, _ in self.sources}]

    @property
    def is_unit(self) -> bool:
        """Return whether it is a positive factor that is a power of ten, or between degrees and radians."""
        factors = [source.factor for source in self.sources.values()]
        return self.kind == "factor" and all(
            factor > 0 and (usual := usual_factor(factor)) is not None and usual[0] in ("unit", "degrees")
            for factor in factors
        )


def usual_factor(factor: float, deviation: float = 0.0, tolerance: float = _FACTOR_SPREAD) -> tuple[str, float] | None:
    """Return the name and the size of the usual factor that is next to another one or to its inverse; None: too far.

    Args:
        factor: the factor, of any sign.
        deviation: the standard deviation of the input, by which a scaler divides.
        tolerance: the largest difference of the logarithms of their sizes.
    """
    size = max(abs(factor), 1 / abs(factor))
    usual = {
        "degrees": 180 / math.pi,
        "2 pi": 2 * math.pi,
        "2": 2.0,
        "scaler": max(deviation, 1 / deviation) if deviation > 0 else 1.0,
        "unit": 10.0 ** max(round(math.log10(size)), 1),
    }
    name = min(usual, key=lambda name: abs(math.log(size / usual[name])))
    return (name, usual[name]) if abs(math.log(size / usual[name])) < tolerance else None


def of_output(labels: Labels, p: int) -> Iterator[Mistake]:
    """Yield the possible mistakes in the labels of one output, with the factors that explain its differences best."""
    if not (columns := _columns(labels, p)):
        return
    for group in (*([place] for place in (*columns, (p, None))), columns):
        yield from _of_group(labels, group)
    if len(sources := _factors(labels, p)) > 1:
        yield Mistake("factor", sources)
    yield from (Mistake("unrelated", {place: Source(None, math.nan)}) for place in columns)
    yield from (Mistake("swapped", _exchanged([pair])) for pair in _pairs(columns))


def of_several(labels: Labels) -> Iterator[Mistake]:
    """Yield the possible mistakes in several outputs: a factor, a shift, swapped or transposed columns."""
    outputs, inputs = labels.dydx.shape[1:]
    by_output = [columns for p in labels.pairs if (columns := _columns(labels, p))]
    every = [place for columns in by_output for place in columns]
    by_input = [columns for d in range(inputs) if (columns := [place for place in every if place[1] == d])]
    if len(by_output) > 1:
        for group in (*by_input, every):
            yield from _of_group(labels, group)
        yield from (Mistake("swapped", _exchanged([pair])) for columns in by_input for pair in _pairs(columns))
        for first, second in (pair for lists in (by_output, by_input) for pair in _pairs(lists)):
            if len(first) == len(second):
                yield Mistake("swapped", _exchanged(zip(first, second, strict=True)))
    transposed = (sources for sources in _transposed(outputs, inputs) if sources.keys() <= {*every})
    yield from (Mistake("transposed", sources) for sources in transposed)


def _columns(labels: Labels, p: int) -> list[Place]:
    return [(p, d) for d in range(labels.dydx.shape[2]) if d not in labels.free[p].inputs]


def _of_group(labels: Labels, group: Sequence[Place]) -> Iterator[Mistake]:
    """Yield the factor of some columns, and shifts of them."""
    if (factor := _factor(labels, group)) is not None:
        yield Mistake("factor", {place: Source(place, factor) for place in group})
    yield from (Mistake("shifted", {place: Source(place, shift=shift) for place in group}) for shift in _SHIFTS)


def _exchanged(pairs: Iterable[tuple[Place, Place]]) -> dict[Place, Source]:
    """Return the sources of columns that are in each other's place."""
    return {place: Source(right) for pair in pairs for place, right in (pair, pair[::-1])}


def _pairs(items: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    """Return any two of a list, or only neighbours if it is long: the number of pairs grows with the square."""
    return combinations(items, 2) if len(items) <= _MOST_SWAPPED else pairwise(items)


def _transposed(outputs: int, inputs: int) -> Iterator[Mapping[Place, Source]]:
    """Yield the sources of a Jacobian (P, D) whose square part is transposed, or two of its elements, or all (D, P)."""
    mirrored = [((p, d), (d, p)) for p, d in combinations(range(min(outputs, inputs)), 2)]
    for pairs in [mirrored, *([pair] for pair in mirrored)] if mirrored else []:
        yield _exchanged(pairs)
    if outputs != inputs:
        moved = {(p, d): divmod(d * outputs + p, inputs) for p in range(outputs) for d in range(inputs)}
        yield {place: Source(right) for place, right in moved.items() if place != right}


def _factor(labels: Labels, group: Sequence[Place]) -> float | None:
    """Return the factor that corrects some columns; None: it is about 1, or cannot be known."""
    inputs = {p: [d for q, d in group if q == p and d is not None] for p, _ in group}
    terms = [labels.terms[p][:, columns].sum(1) for p, columns in inputs.items()]
    unexplained = [labels.error[p] + term for p, term in zip(inputs, terms, strict=True)]
    v, u = np.concatenate(unexplained), np.concatenate(terms)
    factor = 1.0
    for _ in range(_MEDIAN_PASSES):
        errors = [difference - factor * term for difference, term in zip(unexplained, terms, strict=True)]
        sizes = [labels.size_of(p, error)[labels.pairs[p].group] for p, error in zip(inputs, errors, strict=True)]
        if (factor := _wrong(_slope(v, u, np.concatenate(sizes)))) is None:
            return None
    return factor


def _factors(labels: Labels, p: int) -> dict[Place, Source]:
    """Return the wrong columns of an output with a factor for each.

    They have the least sum of absolute errors, by iteratively reweighted least squares.
    """
    terms, size = labels.terms[p], labels.size[p][labels.pairs[p].group]
    scale = np.abs(terms).max(0) + np.finfo(float).tiny
    columns, weight = terms / scale, 1 / size
    coefficients = np.zeros(terms.shape[1])
    for _ in range(_REWEIGHTINGS):
        weighted = columns * (weight / weight.mean())[:, None]
        coefficients = np.linalg.lstsq(weighted.T @ columns, weighted.T @ labels.difference[p], rcond=1e-10)[0]
        error = np.abs(labels.difference[p] - columns @ coefficients) / size
        weight = 1 / np.maximum(error, 0.1 * np.median(error) + 1e-12) / size
    factors = map(_wrong, (coefficients / scale).tolist())
    return {(p, d): Source((p, d), factor) for d, factor in enumerate(factors) if factor is not None}


def _slope(v: Floats, u: Floats, size: Floats) -> float:
    """Return the slope c with the least sum of abs(v - c u) / size: the weighted median of v / u."""
    used = np.isfinite(v / np.where(u == 0, np.nan, u))
    weights = np.abs(u[used]) / size[used]
    if not weights.any():
        return 0.0
    return float(np.quantile(v[used] / u[used], 0.5, weights=weights, method="inverted_cdf"))


def _wrong(factor: float) -> float | None:
    """Return a factor, or -1 for about -1, which curvature changes a little; None: it is about 1, or not known (0)."""
    if factor < 0 or factor > _LEAST_FACTOR or 0 < factor < 1 / _LEAST_FACTOR:
        return -1.0 if abs(factor + 1) < _SIGN_TOLERANCE else factor
    return None
