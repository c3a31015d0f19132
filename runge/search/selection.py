"""The errors of a winner in the rows that chose it, corrected for this choice."""

import numpy as np

from runge.configuration.validation import Floats
from runge.labels.unseen_rows import Integers
from runge.search.constants import RESAMPLES

__all__ = ["without_selection"]


def without_selection(residuals: Floats, factors: Floats, groups: Integers, outputs: int) -> Floats:
    r"""Return residuals as they are in rows that did not choose the candidate, (n, P + P D).

    The groups of the rows are resampled. Each resample chooses the candidate with the smallest error in it, and says
    nothing of the rows in it. In the others, the residual of row i is a root mean square over the resamples b without
    this row,

    .. math:: r_i^2 = \operatorname{mean}_{b \not\ni i} r_{i, c(b)}^2,

    where c(b) is the chosen candidate. It has the sign of the residual of the winner. The residuals of a single
    candidate stay as they are. The choice among the steps and the continuations of one candidate is not corrected.

    Args:
        residuals: the residuals of each candidate, that of the winner first, (C, n, P + P D), values first; NaN: the
            label is not known.
        factors: the factors that make them comparable, (P + P D,).
        groups: the group of each row, (n,).
        outputs: the number P of outputs.

    References:
        I. Tsamardinos, E. Greasidou, G. Borboudakis (2018). Bootstrapping the out-of-sample predictions for efficient
        and accurate cross-validation. https://doi.org/10.1007/s10994-018-5714-4
    """
    numbers = np.unique(groups, return_inverse=True)[1].ravel()
    count = int(numbers.max()) + 1
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES)[:, numbers]
    squares = np.nan_to_num(residuals) ** 2
    kinds = np.stack([(squares * factors**2)[..., part].sum(-1) for part in (np.s_[:outputs], np.s_[outputs:])], -1)
    kinds = kinds[..., kinds.any((0, 1))]
    # The error by which candidates are ranked is the geometric mean of those of values and derivatives.
    with np.errstate(divide="ignore"):
        chosen = np.log(drawn @ kinds).sum(-1).argmin(0)
    without = (drawn == 0).astype(float)
    shares = np.stack([without.T @ (chosen == c) for c in range(len(residuals))]) / np.maximum(without.sum(0), 1)
    return np.copysign(np.sqrt(np.einsum("cn,cnk->nk", shares, squares)), residuals[0]) + 0 * residuals[0]
