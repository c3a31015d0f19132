"""How sure the choice of a candidate is, and its errors in the rows that chose it, corrected for the choice."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from runge.configuration.validation import Floats
from runge.labels.unseen_rows import Integers
from runge.search.constants import RESAMPLES
from runge.search.judging import SearchTable
from runge.search.standing import Standing

__all__ = ["chances", "without_selection"]


def chances(standings: Sequence[Standing], folds: AbstractSet[int], table: SearchTable) -> Floats:
    """Return the share of the resamples of the rows that choose each candidate, (C,); see `without_selection`."""
    return np.bincount(_resampled(standings, folds, table)[2], minlength=len(standings)) / RESAMPLES


def without_selection(
    standings: Sequence[Standing], folds: AbstractSet[int], table: SearchTable
) -> tuple[Integers, Floats]:
    r"""Return the rows of some folds, (n,), and residuals there as in rows that chose nothing, (n, P + P D).

    The groups of the rows are resampled. Each resample chooses the candidate with the smallest error in it, and says
    nothing of the rows in it. In the others, the residual of row i is a root mean square over the resamples b without
    this row,

    .. math:: r_i^2 = \operatorname{mean}_{b \not\ni i} r_{i, c(b)}^2,

    where c(b) is the chosen candidate. It has the sign of the residual of the winner. The residuals of a single
    candidate stay as they are. The choice among the steps and the continuations of one candidate is not corrected.

    Args:
        standings: the candidates, the winner first.
        folds: the folds that judge them.
        table: the table.

    References:
        I. Tsamardinos, E. Greasidou, G. Borboudakis (2018). Bootstrapping the out-of-sample predictions for efficient
        and accurate cross-validation. https://doi.org/10.1007/s10994-018-5714-4
    """
    judged, residuals, chosen, drawn = _resampled(standings, folds, table)
    without, squares = (drawn == 0).astype(float), np.nan_to_num(residuals) ** 2
    shares = np.stack([without.T @ (chosen == c) for c in range(len(residuals))]) / np.maximum(without.sum(0), 1)
    means = np.sqrt(np.einsum("cn,cnk->nk", shares, squares))
    means = np.where(without.any(0)[:, None], means, np.sqrt(squares[0]))  # a single group is in all resamples
    return judged, np.copysign(means, residuals[0]) + 0 * residuals[0]


def _resampled(
    standings: Sequence[Standing], folds: AbstractSet[int], table: SearchTable
) -> tuple[Integers, Floats, Integers, Integers]:
    """Resample the rows of some folds.

    Returns:
        the rows, (n,); the errors there of candidates, (C, n, P + P D), NaN where a label is not known; the candidate
        that each resample chooses, (B,); and how often each row is in it, (B, n).
    """
    results = [[x.by_fold[fold].result for fold in sorted(folds)] for x in standings]
    judged = np.concatenate([x.left_out[x.validated] for x in results[0]])
    residuals = np.stack([np.concatenate([x.residuals[x.validated] for x in of_folds]) for of_folds in results])
    residuals[:, np.isnan(table.rows.labels[judged])] = np.nan
    numbers = np.unique(table.rows.groups[judged], return_inverse=True)[1].ravel()
    count = int(numbers.max()) + 1
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES)[:, numbers]
    squares = np.nan_to_num(residuals) ** 2 * table.channels.of_residuals**2
    kinds = np.stack([part.sum(-1) for part in np.split(squares, [len(table.rows.outputs)], axis=-1)], -1)
    kinds = kinds[..., kinds.any((0, 1))]
    # The error by which candidates are ranked is the geometric mean of those of values and derivatives.
    with np.errstate(divide="ignore"):
        return judged, residuals, np.log(drawn @ kinds).sum(-1).argmin(0), drawn
