"""The sensitivity of the outputs of a table to its inputs, as the leaderboard has it and the report shows it."""

import math

from pydantic import FiniteFloat
from pydantic.dataclasses import dataclass

__all__ = ["Influence", "Sensitivity"]

_EXACT = 1e-4
"""The relative error below which a figure is shown without it: three digits have none of it."""

_LITTLE = "<0.001"


@dataclass(frozen=True)
class Influence:
    """The influence of an input on an output; None: not known.

    The figures of the fit are means over the box of the inputs, the figures of the labels means over the rows.

    Attributes:
        output: the name of the output.
        input: the name of the input.
        total: the total Sobol' index of the fit.
        bound: the bound on it from the derivatives of the fit.
        nu: the mean square of the partial derivative of the fit.
        mean: the mean of the partial derivative of the fit.
        rising: the share of the box in which the fit rises with the input.
        labels_bound: the bound from the labels.
        labels_bound_error: its standard error.
        labels_nu: the mean square of the partial derivative in the labels.
        labels_mean: the mean of the partial derivative in the labels.
        labels_mean_error: its standard error.
    """

    output: str
    input: str
    total: FiniteFloat | None
    bound: FiniteFloat | None
    nu: FiniteFloat | None
    mean: FiniteFloat | None
    rising: FiniteFloat | None
    labels_bound: FiniteFloat | None
    labels_bound_error: FiniteFloat | None
    labels_nu: FiniteFloat | None
    labels_mean: FiniteFloat | None
    labels_mean_error: FiniteFloat | None

    @property
    def cells(self) -> list[str]:
        """The texts of a row in the report, after the name of the input: shares, and the derivative."""
        labels, around = _share(self.labels_bound), _share(self.labels_bound_error)
        labels += f" ± {around}" if around[0].isdigit() else ""
        mean, error = self.labels_mean, self.labels_mean_error
        if mean is None:
            mean, error = self.mean, None
        return [_share(self.total), _share(self.bound), labels, _text(mean, error), self._direction]

    @property
    def widths(self) -> list[float]:
        """The total index, its bound and the bound of the labels as parts of a bar, in per cent."""
        return [100 * min(share or 0, 1) for share in (self.total, self.bound, self.labels_bound)]

    @property
    def _direction(self) -> str:
        if self.rising is None or _share(self.total) == _LITTLE:
            return "-"
        if 0.005 < self.rising < 0.995:
            return f"rises in {100 * self.rising:.0f} %"
        return "rises" if self.rising > 0.5 else "falls"


@dataclass(frozen=True)
class Sensitivity:
    """The sensitivity of the outputs of a table to its inputs.

    Attributes:
        influences: the influence of each input on each output.
        points: the number of points of the figures of the fit.
        cautions: sentences on rows for which the figures mean little.
    """

    influences: list[Influence]
    points: int
    cautions: list[str]

    @property
    def by_output(self) -> dict[str, list[Influence]]:
        """The influences on each output, the largest total index first."""
        outputs: dict[str, list[Influence]] = {influence.output: [] for influence in self.influences}
        for influence in sorted(self.influences, key=lambda influence: -(influence.total or 0)):
            outputs[influence.output].append(influence)
        return outputs


def _share(share: float | None) -> str:
    if share is None:
        return "-"
    return _LITTLE if share < 0.0005 else f"{share:.3f}" if share < 10 else f"{share:.3g}"


def _text(figure: float | None, error: float | None = None) -> str:
    """Return a figure with three digits, or with its error, and digits down to that."""
    if not figure or error is None or error < _EXACT * abs(figure):
        return "-" if figure is None else f"{figure:.3g}"
    digits = max(math.floor(math.log10(abs(figure))) - math.floor(math.log10(error)), 0) + 1
    return f"{figure:.{digits}g} ± {error:.1g}"
