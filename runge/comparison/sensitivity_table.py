"""Make the rows of the report that show the sensitivity of the outputs of a table to its inputs."""

import math
from typing import NamedTuple

from runge.records.leaderboard import Influence, Sensitivity

_NEGLIGIBLE_ERROR = 1e-4
"""The relative error below which a number is shown without it: three digits have none of it."""

_BELOW_DIGITS = "<0.001"
"""The text of a share that three decimals round to 0."""


class InfluenceRow(NamedTuple):
    """A row of the report.

    Attributes:
        input: the name of the input.
        cells: the texts after it: three shares in the box; of the rows a share, the derivative and its direction.
        bars: the total index and its bound, in per cent.
        mark: the bound from the labels, in per cent; None: not known.
    """

    input: str
    cells: list[str]
    bars: list[float]
    mark: float | None


def rows_by_output(sensitivity: Sensitivity) -> dict[str, list[InfluenceRow]]:
    """Return the rows of each output, the largest total index first."""
    outputs: dict[str, list[InfluenceRow]] = {influence.output: [] for influence in sensitivity.influences}
    for influence in sorted(sensitivity.influences, key=lambda influence: -(influence.total or 0)):
        outputs[influence.output].append(_row(influence))
    return outputs


def _row(influence: Influence) -> InfluenceRow:
    labels, around = _share(influence.labels_bound), _share(influence.labels_bound_error)
    labels += f" ± {around}" if around[0].isdigit() else ""
    if influence.labels_mean is None:
        mean = _text(influence.rows_mean)
    else:
        mean = _text(influence.labels_mean, influence.labels_mean_error)
    of_box, of_rows = [_share(influence.total), _share(influence.bound), labels], _share(influence.rows_index)
    cells = [*of_box, of_rows, mean, _direction(influence)]
    mark = None if influence.labels_bound is None else _per_cent(influence.labels_bound)
    return InfluenceRow(influence.input, cells, [_per_cent(influence.total), _per_cent(influence.bound)], mark)


def _direction(influence: Influence) -> str:
    """Return whether an output rises or falls with an input at the rows; `-`: it hardly depends on it there."""
    if influence.rows_rising is None or _share(influence.rows_index) == _BELOW_DIGITS:
        return "-"
    if 0.005 < influence.rows_rising < 0.995:
        return f"rises in {100 * influence.rows_rising:.0f} %"
    return "rises" if influence.rows_rising > 0.5 else "falls"


def _per_cent(share: float | None) -> float:
    return 100 * min(share or 0, 1)


def _share(share: float | None) -> str:
    if share is None:
        return "-"
    return _BELOW_DIGITS if share < 0.0005 else f"{share:.3f}" if share < 10 else f"{share:.3g}"


def _text(number: float | None, error: float | None = None) -> str:
    """Return a number with three digits, or with its error, and digits down to that."""
    if not number or error is None or error < _NEGLIGIBLE_ERROR * abs(number):
        return "-" if number is None else f"{number:.3g}"
    digits = max(math.floor(math.log10(abs(number))) - math.floor(math.log10(error)), 0) + 1
    return f"{number:.{digits}g} ± {error:.1g}"
