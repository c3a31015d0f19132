"""Compute the differences of values between near rows that the derivatives of a table leave unexplained."""

from collections.abc import Iterable, Mapping

import numpy as np

from runge.configuration.validation import Floats
from runge.labels.free_slopes import FreeSlopes
from runge.labels.pairs import ROUND_OFF, SMALLEST, Pairs, Place, Source, column_of, corrected

__all__ = ["Labels"]

_ERROR_OF_FREE_SLOPES = 0.02
"""The error of differences, relative to their mean, that slopes in the place of unknown derivatives always have.

If rows are on a curve, such slopes explain all differences, and the rest says nothing about the other columns.
"""


class Labels:
    """The labels of a table, and the differences between pairs of rows that they leave unexplained.

    Args:
        pairs: the pairs of each output that is compared.
        y: the values, (n, P); NaN: not known.
        dydx: the partial derivatives, (n, P, D); likewise.
        before: labels that take the place of labels that are known in no row of a pair.

    Attributes:
        free: the slopes of each output with respect to inputs without any derivatives.
        raw: the differences of the values of each output, and the terms of its derivatives, (k, 1 + D).
        difference: the difference of the values, (k,), which free slopes do not explain; so are the next three.
        terms: the part of the difference that each partial derivative explains, (k, D).
        error: the unexplained part, (k,).
        size: the S of the error, (G,).
        total: the S of the differences of the values, (G,).
    """

    def __init__(self, pairs: Mapping[int, Pairs], y: Floats, dydx: Floats, before: "Labels | None" = None) -> None:
        self.pairs, self.y, self.dydx = pairs, y, dydx
        self.free = dict[int, FreeSlopes]()
        self.raw, self.difference, self.terms, self.total = (dict[int, Floats]() for _ in range(4))
        for p, of_output in pairs.items():
            unknown = np.flatnonzero(np.isnan(dydx[:, p]).all(0)).tolist()
            kept = before.free[p] if before else None
            self.free[p] = kept if kept and kept.inputs == unknown else FreeSlopes(of_output, unknown)
            terms = [of_output.term(dydx[:, p, d], d) for d in range(dydx.shape[2])]
            raw = np.stack([y[of_output.b, p] - y[of_output.a, p], *terms], axis=1)
            raw[:, [1 + d for d in unknown]] = 0
            self.raw[p] = raw if before is None else np.where(np.isnan(raw), before.raw[p], raw)
            rest = np.stack([self.free[p].rest(column) for column in self.raw[p].T], axis=1)
            self.difference[p], self.terms[p] = rest[:, 0], rest[:, 1:]
            self.total[p] = of_output.mean(self.raw[p][:, 0])
            self.total[p] += ROUND_OFF * np.abs(self.raw[p][:, 0]).mean() + SMALLEST
        self.error = {p: self.difference[p] - self.terms[p].sum(1) for p in pairs}
        self.size = {p: self.size_of(p, error) for p, error in self.error.items()}

    def size_of(self, p: int, error: Floats) -> Floats:
        """Return S of an error of an output, (G,), with a floor at round-off, or at the error of free slopes."""
        floor = _ERROR_OF_FREE_SLOPES if self.free[p].inputs else ROUND_OFF
        return self.pairs[p].mean(error) + floor * self.total[p] + SMALLEST

    def excess(self, p: int) -> Floats:
        """Return S of the part of an error, (G,), that exceeds the largest error of the trapezoidal rule.

        If the slope along a pair is monotone, the rule's error is at most half the difference of the slopes at both
        ends times the distance. Slopes that are known at one end count as the others.
        """
        pairs = self.pairs[p]
        change = (self.dydx[pairs.b, p] - self.dydx[pairs.a, p]) * pairs.step
        known = (~np.isnan(change)).mean(1)
        change = np.abs(np.nansum(change, axis=1)) / np.maximum(known, ROUND_OFF)
        return self.size_of(p, np.maximum(np.abs(self.error[p]) - change / 2, 0))

    def corrected(self, sources: Mapping[Place, Source]) -> "Labels":
        """Return the labels with corrected columns; only their outputs are compared again."""
        outputs = {p: self.pairs[p] for p, _ in sources if p in self.pairs}
        new = Labels(outputs, *corrected(self.y, self.dydx, sources), self)
        for name, of_output in vars(self).items():
            if isinstance(of_output, dict):
                setattr(new, name, of_output | getattr(new, name))
        return new

    def errors(self, sources: Mapping[Place, Source]) -> dict[int, Floats]:
        """Return the errors, (k,), of each output with corrected columns."""
        changed = {p: self.error[p].copy() for p, _ in sources}
        for (p, d), source in sources.items():
            pairs, column = self.pairs[p], column_of(self.y, self.dydx, source)
            if d is not None and source.place is None:
                changed[p] = FreeSlopes(pairs, [d]).rest(changed[p] + self.terms[p][:, d])
                continue
            old = self.raw[p][:, 0 if d is None else 1 + d]
            change = column[pairs.b] - column[pairs.a] - old if d is None else old - pairs.term(column, d)
            changed[p] += self.free[p].rest(np.where(np.isnan(change), 0, change))
        return changed

    def gain(self, errors: Mapping[int, Floats]) -> float:
        """Return the decrease of log S with other errors: the mean over groups, summed over outputs."""
        return float(sum(np.log(self.size[p] / self.size_of(p, error)).mean() for p, error in errors.items()))

    def significance(self, errors: Mapping[int, Floats]) -> float:
        """Return the log-likelihood that other errors gain over its standard error, with rows as clusters.

        Errors of a group have a Laplace distribution with the mean size S, as in the test of Vuong (1989,
        https://doi.org/10.2307/1912557).
        """
        gain, of_row = 0.0, np.zeros(len(self.y))
        for p, error in errors.items():
            pairs = self.pairs[p]
            old, new = (size[pairs.group] for size in (self.size[p], self.size_of(p, error)))
            of_pair = np.log(old / new) + np.abs(self.error[p]) / old - np.abs(error) / new
            gain += of_pair.sum()
            centred = of_pair - of_pair.mean()
            of_row += np.bincount(np.r_[pairs.a, pairs.b], np.r_[centred, centred], len(of_row))
        return float(gain / (np.linalg.norm(of_row) + SMALLEST))

    def unexplained(self, outputs: Iterable[int]) -> float:
        """Return S over the mean difference of the values of some outputs, in the geometric mean."""
        return float(np.exp(np.mean([np.log(self.size[p] / self.total[p]).mean() for p in outputs])))

    def unexplained_excess(self, outputs: Iterable[int]) -> float:
        """Return the same share of the part of the error that curvature cannot cause."""
        return float(np.exp(np.mean([np.log(self.excess(p) / self.total[p]).mean() for p in outputs])))
