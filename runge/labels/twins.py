"""Find rows with the same inputs and different labels."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from runge.configuration.validation import Floats
from runge.labels.pairs import Place

__all__ = ["LEAST_PAIRS", "Twin", "check_twins"]

_USUAL = 8.0
"""The largest usual difference in robust deviations."""

_USUAL_MEDIANS = _USUAL * 1.4826
"""The same in medians of absolute differences.

The median absolute deviation of a normal distribution is its standard deviation over 1.4826 (Hampel 1974,
https://doi.org/10.1080/01621459.1974.10482962).
"""

_LEAST_DIFFERENCE = 0.03
"""The share of a standard deviation below which two labels do not differ."""

LEAST_PAIRS = 5
"""The least number of differences whose median is used."""

_LEAST_SPREAD = 0.1
"""The median difference, in standard deviations, above which all count: the error of a bad fit is as large."""


class Twin(NamedTuple):
    """Two rows with the same inputs, and a column in which their labels differ.

    Attributes:
        place: the column.
        rows: the earlier row, the first one in which the label is known, and the later one.
        labels: the labels there.
        deviation: the standard deviation of the column.
    """

    place: Place
    rows: tuple[int, int]
    labels: tuple[float, float]
    deviation: float


def check_twins(x: Floats, y: Floats, dydx: Floats, noise: Mapping[int, float] = MappingProxyType({})) -> list[Twin]:
    """Find two rows with the same inputs and different labels.

    Two labels of a column are different if they differ by 0.03 standard deviations of its labels, and by 8 robust
    deviations of what may be noise. These are the errors of the differences to near rows with other inputs, or where
    they are unknown all such differences of the column. If there are fewer than five, the limit is a standard deviation
    of the labels. If the median of five or more is above 0.1 standard deviations, all count.

    Args:
        x: the inputs, (n, D).
        y: the values, (n, P); NaN: not known.
        dydx: the partial derivatives, (n, P, D); likewise.
        noise: the robust deviations of the errors of differences to near rows, of the outputs of which they are known.
    """
    twins, group = list[Twin](), np.unique(x, axis=0, return_inverse=True)[1].ravel()
    for p, d in np.ndindex(y.shape[1], 1 + x.shape[1]):
        column = dydx[:, p, d - 1] if d else y[:, p]
        rows = np.flatnonzero(~np.isnan(column))
        _, first, number = np.unique(group[rows], return_index=True, return_inverse=True)
        earlier = rows[first[number]]
        pairs = [(int(a), int(b)) for a, b in zip(earlier, rows, strict=True) if a != b]
        if not pairs:
            continue
        difference, deviation = np.abs([column[a] - column[b] for a, b in pairs]), float(column[rows].std())
        median = np.median(difference) if len(pairs) >= LEAST_PAIRS else deviation / _USUAL_MEDIANS
        usual = _USUAL * noise[p] if d == 0 and p in noise else _USUAL_MEDIANS * median
        if median > _LEAST_SPREAD * deviation:
            usual = 0.0
        differs = difference > max(usual, _LEAST_DIFFERENCE * deviation)
        twins += [
            Twin((p, d - 1 if d else None), pair, (float(column[pair[0]]), float(column[pair[1]])), deviation)
            for pair, is_different in zip(pairs, differs, strict=True)
            if is_different
        ]
    return twins
