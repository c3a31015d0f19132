r"""How good a candidate is, by cross-validation, and how candidates are weighed in the answer.

Each error e of a value, and of a partial derivative, is divided by the size of its channel, so that a constant has an
error of about 1. Over the rows that a network has not seen, candidate i has the mean square errors

.. math:: E_f^2 = \overline{(e_p / \sigma_p)^2} + V_f, \quad
          E_{df}^2 = \overline{\textstyle\sum_d s_d^2 e_{pd}^2 / \sum_d s_d^2 Var f'_{pd}} + V_{df},

as `val/nrmse_f` and `val/nrmse_df`. V is the same of the variance among the networks of the folds, at points around the
rows (`surroundings`): a network that is right between the rows may be wild beside the outermost ones, where there is no
label to tell, but its folds disagree. Candidates are ranked by the geometric mean of E_f and E_df. If the labels of one
kind have noise, the errors in it are about the same for all candidates, and decide nothing then, unlike in a sum.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from runge.data.channels import Channels
from runge.metrics import FIT_SECONDS, TOTAL_SECONDS, TRAIN_LOSS, VAL_LOSS
from runge.objective import ERRORS
from runge.records.directories import RunDirectory
from runge.records.reading import read_columns
from runge.validation import Floats

__all__ = [
    "Fit",
    "best_step",
    "error_of",
    "error_vector",
    "is_cut",
    "root_mean",
    "surroundings",
    "variance",
    "weigh_candidates",
]

Pair = tuple[float, float]

_SURROUNDINGS, _REACH = 2000, 1.5
_MOST_ROWS = 5000  # around which points are: in many dimensions the nearest rows take a time with their square
_PICKS = 50
_TINY = 1e-100
_GAP = 1.5  # the ratio of losses above which rows are lacking; without enough steps it is about 1
_NEARLY = 0.95  # of the time of a run, which begins a little before its first step


class Fit(NamedTuple):
    """A network that was trained without one fold.

    Attributes:
        run: its run.
        share: the share of the rows that it was to be trained on; None: all.
        cut: true if it has taken the time or the steps that it had, so that more of them may help.
        errors: those on the rows of the fold, the vector of `Channels.scaled`; of a formula only the final figures.
        around: its values and derivatives at the points of `surroundings`, likewise.
        figures: the run's final figures.
        channels: 1 + D, of which the first is the value.
        known: whether some value, and some derivative, is known and varies.
    """

    run: RunDirectory
    share: float | None
    cut: bool
    errors: Floats
    around: Floats
    figures: Mapping[str, float | int | None]
    channels: int
    known: tuple[bool, bool]

    def parts(self) -> tuple[Floats, Floats]:
        """Return the errors of the values, and those of the derivatives."""
        values = len(self.errors) // self.channels
        return self.errors[:values], self.errors[values:]

    @classmethod
    def of(cls, run: RunDirectory, channels: Channels, points: Floats) -> "Fit":
        """Evaluate a run that has finished."""
        from runge.loading import load  # late, as torch is
        from runge.predict import predict
        from runge.residuals import rows_of

        function, (rows, split) = load(run.path), rows_of(run)
        own, around = predict(function, rows.x[split.val]), predict(function, points)
        errors = channels.scaled(own["u"] - rows.y[split.val], own["du"] - rows.dydx[split.val])
        about = (
            run.read_metrics(),
            1 + channels.slope.shape[1],
            (bool(channels.value.any()), bool(channels.slope.any())),
        )
        return cls(run, None, False, errors, channels.scaled(around["u"], around["du"]), *about)

    @classmethod
    def of_figures(cls, run: RunDirectory) -> "Fit":
        """Read a run that has finished, and is judged by its figures on its validation points alone."""
        figures = run.read_metrics()
        errors = np.array([figures.get(name) or 0.0 for name in ERRORS], float)
        value, slope = (figures.get(name) is not None for name in ERRORS)
        return cls(run, None, False, errors, np.empty(0), figures, len(ERRORS), (value, slope))

    @property
    def error(self) -> float:
        """The error E of this network alone."""
        return error_of([self])

    @property
    def steps(self) -> int:
        """The number of its steps."""
        state = self.run.read_state()
        return max(1, state.step if state else 1)

    @property
    def gap(self) -> float:
        """The ratio of its losses on the rows that were held out and on its training rows."""
        return (self.figures[VAL_LOSS] or 0.0) / max(self.figures[TRAIN_LOSS] or 0.0, _TINY)

    @property
    def lacks_rows(self) -> bool:
        """True if the former is much larger, so that more rows help, and not only more steps."""
        return self.gap > _GAP

    @property
    def set_up(self) -> float:
        """The seconds of its run besides its training."""
        return (self.figures[TOTAL_SECONDS] or 0.0) - (self.figures[FIT_SECONDS] or 0.0)

    @property
    def pace(self) -> float:
        """The seconds of one of its steps."""
        return (self.figures[FIT_SECONDS] or 0.0) / self.steps

    def last(self, name: str) -> float:
        """Return the last figure of its history, such as the damping."""
        return float(read_columns(self.run, self.run.history, (name,), 10**9)[name][-1])


def is_cut(run: RunDirectory, completes: bool) -> bool:
    """Return whether a run has taken the time or the steps that it had; one that `completes` needs no other steps."""
    training, state = run.read_configuration()[0]["trainer"], run.read_state()
    if state is not None and state.step >= training["max_steps"]:
        return not completes
    limit = training.get("max_seconds")
    return limit is not None and (run.read_metrics()[FIT_SECONDS] or 0.0) >= _NEARLY * limit


def variance(fits: Sequence[Fit]) -> Pair:
    """Return V_f and V_df, the variances among the networks of the folds around the rows; 0 of one network."""
    if len(fits) < 2 or not len(fits[0].around):
        return 0.0, 0.0
    among = np.stack([fit.around for fit in fits]).var(axis=0, ddof=1)
    values = len(among) // fits[0].channels
    return float(among[:values].sum()), float(among[values:].sum())


def parts_of(fits: Sequence[Fit]) -> Pair:
    """Return E_f and E_df of a candidate, whose derivatives have the error 0 if they are not known."""
    squares = np.mean([[part @ part for part in fit.parts()] for fit in fits], axis=0) + variance(fits)
    return math.sqrt(squares[0]), math.sqrt(squares[1])


def error_of(fits: Sequence[Fit]) -> float:
    """Return the error E of a candidate, sqrt(E_f E_df), or the one of them that is known; infinite without a fit."""
    if not fits:
        return math.inf
    parts = [part for part, known in zip(parts_of(fits), fits[0].known, strict=True) if known]
    return math.prod(parts) ** (1 / max(len(parts), 1))


def root_mean(fits: Sequence[Fit], name: str) -> float | None:
    """Return the root mean square of a figure over some fits; None: it is not known."""
    figures = [figure for fit in fits if (figure := fit.figures.get(name)) is not None]
    return math.sqrt(np.mean(np.square(figures))) if figures else None


def error_vector(fits: Sequence[Fit], sizes: Pair = (1.0, 1.0)) -> Floats:
    """Return the errors on all folds over two sizes, as one vector whose square is the mean of theirs."""
    over = [part / size for fit in fits for part, size in zip(fit.parts(), sizes, strict=True)]
    return np.concatenate(over) / math.sqrt(len(fits))


def best_step(fits: Sequence[Fit]) -> int:
    """Return the step with the smallest product of the mean square errors on the folds' validation rows."""
    tables = [read_columns(fit.run, fit.run.history, ("step", *ERRORS), 10**9) for fit in fits]
    rows = min(len(table["step"]) for table in tables)
    with np.errstate(all="ignore"):
        squares = np.mean([[np.square(table[name][:rows]) for name in ERRORS] for table in tables], axis=0)
        total = np.nansum(np.log(squares), axis=0)
    total[np.isnan(squares).all(axis=0) | np.isinf(squares).any(axis=0)] = np.inf
    return int(tables[0]["step"][int(np.argmin(total))])


def surroundings(x: Floats) -> Floats:
    """Return points around and between rows, (n', D), for inputs (n, D): where a user may ask, and no label tells.

    Each input is that of another row, so that corners are among the points, as they are not among a few rows. Of these
    points those are taken that are as close to a row as rows are to each other: if inputs are correlated, most are not.
    The others are x_i + t (x_i - x_j) in the box of the rows, where row j is one of the 2 D nearest ones to row i in
    standardised inputs, and t is in [0, 1].
    """
    from scipy.spatial import KDTree

    generator, spread, ends = np.random.default_rng(0), x.std(axis=0), (x.min(axis=0), x.max(axis=0))
    x = x[:: -(-len(x) // _MOST_ROWS)]
    scale, count = np.where(spread > 0, spread, 1), len(x)
    tree, most = KDTree(x / scale), min(1 + 2 * x.shape[1], count)
    mixed = np.stack([column[generator.integers(count, size=_SURROUNDINGS)] for column in x.T], axis=1)
    farthest = _REACH * tree.query(x / scale, min(2, count))[0].max()
    mixed = mixed[tree.query(mixed / scale)[0] <= farthest]
    i = generator.integers(count, size=_SURROUNDINGS - len(mixed))
    near = np.reshape(tree.query(x[i] / scale, most)[1], (len(i), most))
    j = near[np.arange(len(i)), generator.integers(most, size=len(i))]
    beyond = x[i] + generator.random((len(i), 1)) * (x[i] - x[j])
    return np.concatenate([mixed, np.clip(beyond, *ends)]).astype(np.float64)


def weigh_candidates(candidates: Sequence[Sequence[Fit]]) -> Floats:
    """Return the weights of candidates on the same folds, the best first, by errors relative to those of the best."""
    value, slope = (max(size, _TINY) for size in parts_of(candidates[0]))
    spreads = [variance(fits) for fits in candidates]
    relative = [of_value / value**2 + of_slope / slope**2 for of_value, of_slope in spreads]
    return weigh(np.stack([error_vector(fits, (value, slope)) for fits in candidates]), np.array(relative))


def weigh(errors: Floats, variances: Floats) -> Floats:
    """Return weights, (n,), >= 0 with the sum 1, of the mean of n candidates with a small error.

    Candidates are picked fifty times, with repetition: each time the one with which the mean of those picked so far has
    the smallest error. The variances among folds count as independent.

    Args:
        errors: the errors of each candidate, (n, N).
        variances: the variance of each, (n,).

    References:
        R. Caruana et al. (2004). Ensemble selection from libraries of models. https://doi.org/10.1145/1015330.1015432
    """
    products, picks = errors @ errors.T + np.diag(variances), np.zeros(len(errors))
    for _ in range(_PICKS):
        with_each = picks + np.eye(len(picks))
        picks = with_each[np.argmin(np.einsum("ij,jk,ik->i", with_each, products, with_each))]
    return picks / picks.sum()
