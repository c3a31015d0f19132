"""The importance of settings: how much worse their errors are predicted without them."""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from runge.compare.naming import label, text
from runge.records.ensemble import SEEDS
from runge.records.reading import RunRecord

FEWEST_RUNS, FEWEST_SETTINGS = 30, 3
"""With fewer runs nothing can be said, and of fewer settings, besides the seeds, the heat map shows all."""

_FOLDS, _TREES, _SHUFFLES, _LITTLE = 5, 50, 5, 0.3


class Importance(NamedTuple):
    """The permutation importance of settings.

    `means` are the means over folds of R^2 - R^2(shuffled), on settings that the forest has not seen, of the
    `settings`, the most important first. `deviations` are their standard deviations, `score` is the mean R^2.
    """

    settings: list[str]
    means: list[float]
    deviations: list[float]
    score: float
    runs: int

    @property
    def reliable(self) -> bool:
        """True if the settings explain the errors: otherwise their order means nothing."""
        return self.score >= _LITTLE

    def describe(self, metric: str) -> str:
        """Say what the figures are, and how far they can be trusted."""
        how = f"(R² = {self.score:.2f} on settings that it has not seen; {self.runs} runs, {_FOLDS} folds)"
        if not self.reliable:
            return (
                f"The importance of the settings is not shown: a random forest cannot predict log10 of {metric} from "
                f"them {how}."
            )
        chance = " The seed stands for chance: the start of a network, and the points or the split of the rows."
        return (
            f"A random forest predicts log10 of {metric} from the settings {how}; a run that diverged counts as the "
            "worst. The bars are what it loses if a setting is shuffled, the thin lines the standard deviation over "
            "the folds. They say how much a setting matters in these ranges, not which value is best."
            f"{chance if {*SEEDS} & {*self.settings} else ''}"
        )


def importance_of(records: Sequence[RunRecord], keys: Sequence[str], metric: str) -> Importance | None:
    """Return the permutation importance of settings for log10 of a metric, or None if there is too little to say.

    It is measured by cross-validation: a forest of extremely randomised trees is fitted to four fifths of the runs, and
    on the others a setting's values are shuffled.

    Of the `records` those count that finished with a positive `metric`, and that diverged, as the worst. `keys` are the
    settings in which they differ.

    References:
        L. Breiman (2001). Random forests. https://doi.org/10.1023/A:1010933404324
    """
    finished = [one for one in records if one.status == "finished" and (one.figures.get(metric) or 0) > 0]
    diverged = [one for one in records if one.status == "diverged" and one.settings]
    rated, errors = finished + diverged, [float(one.figures[metric] or 0) for one in finished]
    errors += [max(errors, default=1)] * len(diverged)
    columns = {key: _numbers([record.settings.get(key) for record in rated]) for key in keys}
    columns = {key: column for key, column in columns.items() if len(np.unique(column)) > 1}
    varied = [key for key in columns if key not in SEEDS]
    groups = [label(record.settings, varied) for record in rated]  # runs that differ in their seed are in one fold
    if len(rated) < FEWEST_RUNS or len(set(groups)) < _FOLDS or len(varied) < FEWEST_SETTINGS:
        return None
    # Imported late: it takes a second, and few comparisons need it.
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import GroupKFold

    x, y = np.stack(list(columns.values()), axis=1), np.log10(errors)
    losses, scores = [], []
    for train, test in GroupKFold(_FOLDS, shuffle=True, random_state=0).split(x, groups=groups):
        forest = ExtraTreesRegressor(_TREES, random_state=0).fit(x[train], y[train])
        scores.append(forest.score(x[test], y[test]))
        lost = permutation_importance(forest, x[test], y[test], n_repeats=_SHUFFLES, random_state=0)
        losses.append(lost["importances_mean"])
    means, deviations = np.mean(losses, axis=0), np.std(losses, axis=0)
    order = np.argsort(-means, kind="stable")
    names = [list(columns)[i] for i in order]
    return Importance(names, means[order].tolist(), deviations[order].tolist(), float(np.mean(scores)), len(rated))


def _numbers(values: Sequence[Any]) -> np.ndarray:
    """Return numbers as they are, and anything else as its place among the sorted texts: trees need only an order."""
    if all(type(value) in (bool, int, float) and abs(value) <= sys.float_info.max for value in values):
        return np.array(values, dtype=float)
    return np.unique([text(value) for value in values], return_inverse=True)[1].astype(float)
