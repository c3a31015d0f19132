"""The mistakes that are made with columns of derivatives, each as the columns where the right labels are."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from runge.configuration.validation import Floats
from runge.labels.pairs import Labels, Place, Source

__all__ = ["Mistake", "possible", "usual_factor"]

Kind = Literal["factor", "swapped", "transposed", "shifted", "unrelated", "useless"]

_SHIFTS = 1, -1, 2, -2, 3, -3
_FACTOR = 1.35
"""A factor between this and its inverse may come from curvature and noise."""

_MOST = 50  # columns, or lists of them, any two of which may be swapped
_TOLERANCE = 0.08  # of the logarithm of a factor that is a usual one
_SIGN = 0.1  # how far the factor of a wrong sign is from -1
_STEPS, _MEDIANS = 20, 3  # of the reweighting


class Mistake(NamedTuple):
    """Columns that contradict the values, and where the right labels are.

    Attributes:
        kind: `factor`: all are wrong by a factor, the sign included; `swapped`: their places; `transposed`: the order
            of the Jacobian; `shifted`: their rows; `unrelated`: one is worse than a constant, without a known reason;
            `useless`: those of an output explain less of it than near values.
        sources: the columns, and where their right labels are.
        before: the share of the differences of near values that the derivatives leave unexplained.
        after: the same share with the right labels.
    """

    kind: Kind
    sources: Mapping[Place, Source]
    before: float = 1.0
    after: float = 1.0

    @property
    def parts(self) -> "list[Mistake]":
        """The mistakes, one for each column if their factors differ."""
        if len({source.factor for source in self.sources.values()}) == 1:
            return [self]
        return [Mistake(self.kind, {place: source}) for place, source in self.sources.items()]

    @property
    def is_unit(self) -> bool:
        """Return whether it is a positive factor that is a power of ten, or between degrees and radians."""
        factors = [source.factor for source in self.sources.values()]
        return self.kind == "factor" and all(
            factor > 0 and (usual := usual_factor(factor)) is not None and usual[0] in ("unit", "degrees")
            for factor in factors
        )


def usual_factor(factor: float, deviation: float = 0.0, tolerance: float = _TOLERANCE) -> tuple[str, float] | None:
    """Return the name and the size of the usual factor that is next to another one or to its inverse; None: too far.

    Args:
        factor: the factor, of any sign.
        deviation: the standard deviation of the input, by which a scaler divides.
        tolerance: how far apart the logarithms of their sizes may be.
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


def possible(labels: Labels) -> Iterator[Mistake]:
    """Yield the mistakes that could have been made with some labels."""
    outputs, inputs = range(labels.dydx.shape[1]), range(labels.dydx.shape[2])
    of_output: list[list[Place]] = [[(p, d) for d in inputs] for p in outputs]
    of_input: list[list[Place]] = [[(p, d) for p in outputs] for d in inputs]
    single = [[place] for part in of_output for place in part]
    every = [place for part in of_output for place in part]
    groups = [*single, *(part for part in (*of_output, *of_input, every) if len(part) > 1)]
    if len(outputs) == 1 < len(inputs):
        groups.remove(every)  # those of its output
    for group in groups:
        if (factor := _factor(labels, group)) is not None:
            yield Mistake("factor", {place: Source(place, factor) for place in group})
        for shift in _SHIFTS:
            yield Mistake("shifted", {place: Source(place, shift=shift) for place in group})
    for p in outputs:
        values: Place = p, None
        yield from (Mistake("shifted", {values: Source(values, shift=shift)}) for shift in _SHIFTS)
        if several := _factors(labels, p):
            yield Mistake("factor", several)
        for d in inputs:
            rest, step = labels.error[p] + labels.terms[p][:, d], labels.pairs.step[:, d]
            slope = _slope(rest, step, labels.size[p][labels.pairs.group])
            yield Mistake("unrelated", dict[Place, Source]({(p, d): Source(None, slope)}))
    swaps = [[pair] for part in (*of_output, *of_input) for pair in _two(part)]
    if len(outputs) > 1:
        swaps += [list(zip(*two, strict=True)) for part in (of_output, of_input) for two in _two(part)]
    for pairs in swaps:
        yield Mistake("swapped", {one: Source(other) for pair in pairs for one, other in (pair, pair[::-1])})
    yield from (Mistake("transposed", sources) for sources in _transposed(len(outputs), len(inputs)))


def _two(part: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    """Return any two of a list, or of a long one those next to each other: the time of all grows with its square."""
    return combinations(part, 2) if len(part) <= _MOST else pairwise(part)


def _transposed(outputs: int, inputs: int) -> Iterator[Mapping[Place, Source]]:
    """Yield the sources of a Jacobian (P, D) whose square part is transposed, or two of its elements, or all (D, P)."""
    mirrored = [((p, d), (d, p)) for p, d in combinations(range(min(outputs, inputs)), 2)]
    for pairs in [mirrored, *([pair] for pair in mirrored)] if mirrored else []:
        yield {one: Source(other) for pair in pairs for one, other in (pair, pair[::-1])}
    if outputs != inputs:
        moved = {(p, d): divmod(d * outputs + p, inputs) for p in range(outputs) for d in range(inputs)}
        yield {place: Source(other) for place, other in moved.items() if place != other}


def _factor(labels: Labels, group: Sequence[Place]) -> float | None:
    """Return what some columns have to be multiplied by; None: by about 1, or it cannot be known."""
    part, pairs = {p: [d for q, d in group if q == p and d is not None] for p, _ in group}, labels.pairs
    terms = [labels.terms[p][:, columns].sum(1) for p, columns in part.items()]
    rest = [labels.error[p] + term for p, term in zip(part, terms, strict=True)]
    v, u, factor = np.concatenate(rest), np.concatenate(terms), 1.0
    for _ in range(_MEDIANS):
        sizes = [labels.size_of(p, one - factor * term) for p, one, term in zip(part, rest, terms, strict=True)]
        factor = _rounded(_slope(v, u, np.concatenate([one[pairs.group] for one in sizes])))
    return factor if _is_wrong(factor) else None


def _factors(labels: Labels, p: int) -> dict[Place, Source]:
    """Return the columns of an output with factors of their own, from the least sum of absolute errors; {}: below two.

    The sum is found by reweighting.
    """
    terms, size = labels.terms[p], labels.size[p][labels.pairs.group]
    scale = np.abs(terms).max(0) + np.finfo(float).tiny
    columns, weight, found = terms / scale, 1 / size, np.zeros(terms.shape[1])
    for _ in range(_STEPS):
        weighted = columns * (weight / weight.mean())[:, None]
        found = np.linalg.lstsq(weighted.T @ columns, weighted.T @ labels.difference[p], rcond=1e-10)[0]
        error = np.abs(labels.difference[p] - columns @ found) / size
        weight = 1 / np.maximum(error, 0.1 * np.median(error) + 1e-12) / size
    factors = [_rounded(factor) for factor in found / scale]
    wrong = [d for d, factor in enumerate(factors) if _is_wrong(factor)]
    return {(p, d): Source((p, d), factors[d]) for d in wrong} if len(wrong) > 1 else {}


def _slope(v: Floats, u: Floats, size: Floats) -> float:
    """Return the slope c with the least sum of abs(v - c u) / size: the weighted median of v / u."""
    used = np.isfinite(v / np.where(u == 0, np.nan, u))
    if not used.any():
        return 0.0
    ratio, weight = v[used] / u[used], np.abs(u[used]) / size[used]
    order = np.argsort(ratio)
    above = np.cumsum(weight[order])
    return float(ratio[order][np.searchsorted(above, above[-1] / 2)])


def _rounded(factor: float) -> float:
    """Return -1 for a factor of about -1, which curvature would change a little, and others as they are."""
    return -1.0 if abs(factor + 1) < _SIGN else float(factor)


def _is_wrong(factor: float) -> bool:
    return factor < 0 or factor > _FACTOR or 0 < factor < 1 / _FACTOR
