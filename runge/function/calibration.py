r"""Intervals for a mean of networks, calibrated by errors at rows that networks have not seen.

The interval of a value, or of a partial derivative, is

.. math:: \bar u(x) \pm q \sqrt{s(x)^2 + \tau^2},

where s is the spread of networks that were trained on the same rows and differ in their seeds: where they disagree, the
mean is likely to be wrong. For each row i, networks that have not seen it give the score

.. math:: |y_i - \bar u(x_i)| / \sqrt{s(x_i)^2 + \tau^2},

and q is the k-th smallest of the n scores, k = ceil(level (G + 1) n / G), of rows in G groups. If each row is a group,
at least the share `level` of n + 1 scores does not exceed it, where the last one is infinite. No share of new labels is
guaranteed: the networks of the mean are others than those of the scores, which may also have chosen the model. The
floor tau is the part of the error that the networks share, such as noise of the labels. It is the most likely one if
the errors over the root have a Laplace distribution.

References:
    B. Lakshminarayanan et al. (2017). Simple and scalable predictive uncertainty estimation using deep ensembles.
    https://arxiv.org/abs/1612.01474
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runge.configuration.validation import Floats
from runge.data.fit_errors import rank

__all__ = ["Calibration"]


_MOST_SCORES = 1000
"""The most scores of a channel in the file: the ends of an interval are then exact to a thousandth of its level."""

_RELATIVE_FLOORS = np.geomspace(0.01, 1000, 21)
"""The floors tau that are compared, over the median spread: their steps are factors of 10^0.25."""

_LEAST_FLOOR = 0.1
"""The least floor, over the median error: two networks may agree by chance."""


@dataclass(frozen=True)
class Calibration:
    """The floors and scores from which intervals of C channels, values and partial derivatives, follow.

    Attributes:
        floors: tau of each channel, (C,), in its units.
        scores: the scores of each channel in ascending order, C arrays, (n,); of more than 1000 rows 1000 quantiles.
        counts: the number n of scores of each channel, before.
        groups: the number G of groups of their rows, of each channel; empty: each row is one.
        local: whether the spread is counted; otherwise s = 0, and intervals have the same width everywhere.
        outside: the factor of the spread of each channel in `runge.function.outside`, (C,); empty: it is not known.
    """

    floors: tuple[float, ...]
    scores: tuple[tuple[float, ...], ...]
    counts: tuple[int, ...]
    local: bool
    outside: tuple[float, ...] = ()
    groups: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.outside) not in (0, len(self.floors)) or not np.isfinite(self.outside).all():
            raise ValueError(f"outside: must have a number for each of {len(self.floors)} channels, or none")
        if len(self.groups) not in (0, len(self.floors)):
            raise ValueError(f"groups: must have a number for each of {len(self.floors)} channels, or none")

    @classmethod
    def of(cls, errors: Floats, spread: Floats | None, groups: NDArray[np.integer] | None = None) -> "Calibration":
        """Calibrate intervals.

        Args:
            errors: the errors at rows that the networks have not seen, (n, C); NaN: the label is not known.
            spread: the spread s of these networks, likewise; None: there is none.
            groups: the group of each row, (n,); None: each row is one.

        Example:
            >>> Calibration.of(np.linspace(-1, 1, 19)[:, None], None).factors(0.9)
            array([1.])
        """
        floors = list[float]()
        scores = list[tuple[float, ...]]()
        counts, sizes = list[int](), list[int]()
        for c, column in enumerate(np.abs(errors).T):
            is_known = ~np.isnan(column)
            error, s = column[is_known], np.zeros(is_known.sum()) if spread is None else spread[is_known, c]
            tau = 1.0 if spread is None else _floor(error, s)
            ordered = np.sort(error / np.sqrt(s**2 + tau**2))
            if (n := len(ordered)) > _MOST_SCORES:  # the larger neighbour of each quantile
                ordered = ordered[np.ceil(np.arange(1, _MOST_SCORES + 1) * n / _MOST_SCORES).astype(int) - 1]
            floors.append(tau)
            scores.append(tuple(ordered.tolist()))
            counts.append(n)
            sizes.append(n if groups is None else len(np.unique(groups[is_known])))
        return cls(tuple(floors), tuple(scores), tuple(counts), spread is not None, groups=tuple(sizes))

    def factors(self, level: float) -> Floats:
        """Return q of each channel, (C,); NaN: it has too few labels.

        Raises:
            ValueError: the level is not between 0 and 1, or there are too few rows for it in all channels.
        """
        if not 0 < level < 1:
            raise ValueError(f"level, --interval: must be between 0 and 1, got {level:g}")
        sizes = [min(n, len(scores)) for n, scores in zip(self.groups or self.counts, self.scores, strict=True)]
        places = [rank(len(scores), n, level) for n, scores in zip(sizes, self.scores, strict=True)]
        if all(place > len(scores) for place, scores in zip(places, self.scores, strict=True)):
            n = max(sizes)
            what = "rows" if n == max(map(len, self.scores)) else "groups of rows"
            rule = f"must be at most {math.floor(1000 * n / (n + 1)) / 1000:g}, because {n} {what} calibrate it"
            raise ValueError(f"level, --interval: {rule}; got {level:g}")
        pairs = zip(places, self.scores, strict=True)
        return np.array([scores[place - 1] if place <= len(scores) else math.nan for place, scores in pairs])


def _floor(error: Floats, s: Floats) -> float:
    """Return the most likely floor for errors, (n,), with spreads s, (n,)."""
    least = _LEAST_FLOOR * float(np.median(error)) if len(error) else 0.0
    if not (scale := float(np.median(s)) if len(s) else 0.0):
        return max(least, float(np.finfo(float).tiny) ** 0.5)
    floors = np.maximum(scale * _RELATIVE_FLOORS, least)
    roots = np.sqrt(s**2 + floors[:, None] ** 2)
    with np.errstate(divide="ignore"):
        cost = np.log((error / roots).mean(axis=1)) + np.log(roots).mean(axis=1)
    return float(floors[np.argmin(cost)])
