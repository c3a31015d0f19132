"""The answer of a search: its networks as run directories, their intervals, and their errors in rows left out."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import geometric_mean
from typing import NamedTuple

import numpy as np

from runge.configuration.validation import Floats
from runge.data.rows import Rows
from runge.function.calibration import Calibration
from runge.function.residuals import UnseenErrors
from runge.labels.unseen_rows import are_enough
from runge.search.constants import LOSS_ROUND_OFF, SMALL_LOSS_SHARE, WORSE_FACTOR
from runge.search.judging import SearchTable
from runge.search.selection import without_selection
from runge.search.standing import Network, Standing

__all__ = ["Answer"]


class LeftOut(NamedTuple):
    """The errors of networks of the winner in rows that they have not seen.

    Attributes:
        residuals: the errors, (n, P + P D), values first; NaN: not known.
        networks: the networks that leave out these rows.
        choosing: the number of these rows that also chose the winner.
    """

    residuals: Floats
    networks: Sequence[Network]
    choosing: int


class Answer(NamedTuple):
    """The networks of the answer, without those that have ended in a worse minimum than others.

    Such a network has a larger loss on its training rows: new weights may have been drawn that are worse than those
    which have judged the winner.

    Attributes:
        winner: the winner with its good networks.
        refits: its good networks of all rows, of which the answer is the mean; none: it is the mean of those that judge
            it.
        rivals: the other candidates.
        runs: the numbers of the runs of `refits`, once they are written.
        differences: those of `runge.search.agreement.Agreement`; None: of a formula.
    """

    winner: Standing
    refits: Sequence[Network] = ()
    rivals: Sequence[Standing] = ()
    runs: Sequence[int] = ()
    differences: Floats | None = None

    @classmethod
    def of(cls, ranked: Sequence[Standing]) -> "Answer":
        """Return the answer of ranked candidates; the first one's networks of all rows are to be as good as it is."""
        best, *rivals = ranked
        least = min(x.result.loss for x in best.in_order)
        by_fold = {fold: x for fold, x in best.by_fold.items() if x.result.loss <= _most_loss(least, best)}
        winner = replace(best, by_fold=by_fold)
        if not best.has_all_rows:  # on more rows than they have, a loss is as in the rows that are held out
            least = max(least, min(x.result.loss_left_out for x in best.in_order))
        refits = [x for x in best.refits if x.result.error <= max(winner.error, LOSS_ROUND_OFF)]
        refits = [x for x in refits if x.result.loss <= _most_loss(least, best)]
        most = WORSE_FACTOR * min((x.result.loss for x in refits), default=0.0) + LOSS_ROUND_OFF
        return cls(winner, [x for x in refits if x.result.loss <= most], rivals)

    @property
    def judging(self) -> Sequence[Network]:
        """The networks that judge the winner, in the order of the folds."""
        return self.winner.in_order

    def left_out(self, table: SearchTable) -> LeftOut:
        """Return the errors that state how good the answer is, of networks at rows that they have not seen.

        If enough rows chose nothing, these rows state it alone. Otherwise those that chose the winner do so, too, with
        errors that are corrected for it.
        """
        rows, loss = table.rows, max(network.result.loss for network in self.judging)
        whole = [x for x in self.winner.calibrating if x.move.stop_at is not None]  # others only question labels
        networks = [*self.judging, *(x for x in whole if x.result.loss <= _most_loss(loss, self.winner))]
        choosing = {fold for fold, network in self.winner.by_fold.items() if not network.move.of_answer}
        unchosen = [x for x in networks if x.move.fold not in choosing]
        residuals = _unseen(rows, unchosen).mean(validated=True)
        if not choosing or are_enough(residuals, rows.groups).any():
            return LeftOut(residuals, unchosen, 0)
        compared = [self.winner, *(x for x in self.rivals if choosing <= x.by_fold.keys())]
        judged, corrected = without_selection(compared, choosing, table)
        residuals[judged] = corrected
        return LeftOut(residuals, networks, len(judged))

    def question(self, rows: Rows) -> Floats:
        """Return the mean errors of all networks of the winner in rows that they have not seen, (n, P + P D)."""
        return _unseen(rows, [*self.judging, *self.winner.calibrating]).mean(validated=False)

    def calibrate(self, rows: Rows, left_out: LeftOut) -> Calibration:
        """Calibrate intervals by the rows that networks have not seen."""
        if len(self.refits) > 1:  # only several networks of the same rows have a spread
            return _unseen(rows, left_out.networks).calibrate(local=True)
        judged = ~np.isnan(left_out.residuals).all(axis=1)
        return Calibration.of(left_out.residuals[judged], None, rows.groups[judged])


def _most_loss(loss: float, winner: Standing) -> float:
    """Return the loss on training rows up to which a network has not ended in a worse minimum than one with a loss.

    Losses far below the error in rows left out do not differ: such networks go through their rows, and are as good
    between them.
    """
    errors = [max(result.error, LOSS_ROUND_OFF) for result in winner.results if math.isfinite(result.error)]
    small = SMALL_LOSS_SHARE * geometric_mean(errors) if errors else 0.0
    return max(WORSE_FACTOR * loss, small) + LOSS_ROUND_OFF


def _unseen(rows: Rows, networks: Sequence[Network]) -> UnseenErrors:
    results = [network.result for network in networks]
    trained = [repr((network.move.fold, network.result.rows)).encode() for network in networks]
    return UnseenErrors.of_errors(rows, trained, [(x.left_out, x.validated, x.residuals) for x in results])
