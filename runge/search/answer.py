"""The answer of a search: its networks as run directories, their intervals, and their errors in rows left out."""

import warnings
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.spatial import KDTree

from runge.configuration.validation import Floats
from runge.data.rows import Rows
from runge.function.calibration import Calibration
from runge.labels.unseen_rows import are_enough
from runge.records.directories import RunDirectory
from runge.search.constants import DISAGREEMENT_FACTOR, LOSS_ROUND_OFF, WORSE_FACTOR
from runge.search.judging import SearchTable
from runge.search.selection import without_selection
from runge.search.standing import Network, Standing

if TYPE_CHECKING:
    from runge.function.residuals import UnseenErrors

__all__ = ["Answer", "agreeing"]


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
    """

    winner: Standing
    refits: Sequence[Network] = ()
    rivals: Sequence[Standing] = ()
    runs: Sequence[int] = ()

    @classmethod
    def of(cls, ranked: Sequence[Standing]) -> "Answer":
        """Return the answer of ranked candidates; the first one's networks of all rows are to be as good as it is."""
        best, *rivals = ranked
        good = _good(best.in_order)
        winner = replace(best, by_fold={fold: x for fold, x in best.by_fold.items() if x in good})
        refits = [x for x in best.refits if x.result.error <= max(winner.error, LOSS_ROUND_OFF)]
        return cls(winner, [x for x in refits if x in _good([*good, x])], rivals)

    @property
    def judging(self) -> Sequence[Network]:
        """The networks that judge the winner, in the order of the folds."""
        return self.winner.in_order

    @property
    def choosing(self) -> AbstractSet[int]:
        """The folds by whose rows the winner, its seed and its steps were chosen."""
        return {fold for fold, network in self.winner.by_fold.items() if not network.move.of_answer}

    def left_out(self, table: SearchTable) -> LeftOut:
        """Return the errors that state how good the answer is, of networks at rows that they have not seen.

        If enough rows chose nothing, these rows state it alone. Otherwise those that chose the winner do so, too, with
        errors that are corrected for it.
        """
        rows, loss = table.rows, max(network.result.loss for network in self.judging)
        whole = [x for x in self.winner.calibrating if x.move.stop_at is not None]  # others only question labels
        networks = [*self.judging, *(x for x in whole if x.result.loss <= WORSE_FACTOR * loss + LOSS_ROUND_OFF)]
        unchosen = [x for x in networks if x.move.fold not in self.choosing]
        residuals = _mean(rows, unchosen)
        if not self.choosing or are_enough(residuals, rows.groups).any():
            return LeftOut(residuals, unchosen, 0)
        results = [[x.by_fold[fold].result for fold in self.choosing] for x in self._compared]
        judged = np.concatenate([x.left_out[x.validated] for x in results[0]])
        every = np.stack([np.concatenate([x.residuals[x.validated] for x in some]) for some in results])
        labels = np.concatenate([rows.y[judged], rows.dydx[judged].reshape(len(judged), -1)], axis=1)
        every[:, np.isnan(labels)] = np.nan
        factors, groups = table.channels.of_residuals, rows.groups[judged]
        residuals[judged] = without_selection(every, factors, groups, len(rows.outputs))
        return LeftOut(residuals, networks, len(judged))

    @property
    def _compared(self) -> list[Standing]:
        """The winner, and the candidates that were compared with it on all rows that chose it."""
        return [self.winner, *(x for x in self.rivals if self.choosing <= x.by_fold.keys())]

    def question(self, rows: Rows) -> Floats:
        """Return the mean errors of all networks of the winner in rows that they have not seen, (n, P + P D)."""
        return _mean(rows, [*self.judging, *self.winner.calibrating], validated=False)

    def calibrate(self, rows: Rows, left_out: LeftOut) -> Calibration:
        """Calibrate intervals by the rows that networks have not seen."""
        if len(self.refits) > 1:  # only several networks of the same rows have a spread
            return _unseen(rows, left_out.networks).calibrate(range(len(left_out.networks)), local=True)
        judged = ~np.isnan(left_out.residuals).all(axis=1)
        return Calibration.of(left_out.residuals[judged], None, rows.groups[judged])


def _good(networks: Sequence[Network]) -> list[Network]:
    """Return networks without those that have ended in a worse minimum than another one, which would spoil the mean."""
    most = WORSE_FACTOR * min((x.result.loss for x in networks), default=0.0) + LOSS_ROUND_OFF
    return [x for x in networks if x.result.loss <= most]


def agreeing(
    table: SearchTable, errors: Sequence[float | None], judging: Sequence[Path], whole: Sequence[Path]
) -> list[bool]:
    """Return which networks of all rows agree between these rows with the networks that were judged.

    A network that fits its rows may be far off between them. If it was trained on all rows, no row is left to test
    that. In the middle between each row and its nearest one, the root mean square of the difference of both, over the
    standard deviation of the output, is about as large as the judged error. So is that of their derivatives.

    Args:
        table: the table.
        errors: the judged errors of the values and of the derivatives; None: it is not known.
        judging: the directories of the networks that were judged.
        whole: those of the networks of all rows.
    """
    if not whole:
        return []
    import torch  # late: the candidates are checked before it is loaded

    from runge.function.loading import load_runs

    x = table.rows.x[table.seen]
    scaled = x / np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    nearest = np.asarray(KDTree(scaled).query(scaled, k=2)[1])[:, 1]
    networks = load_runs([RunDirectory(path) for path in (*judging, *whole)])
    middles = torch.from_numpy((x + x[nearest]) / 2)[None].to(networks.like)
    jets = torch.cat([part.flatten(2) for part in networks.jet(middles)], dim=2).double().cpu().numpy()
    predictions = dict(zip(networks.runs, jets, strict=True))
    judged = np.mean([predictions[str(path)] for path in judging], axis=0)
    most = DISAGREEMENT_FACTOR * np.array(errors, dtype=float) + LOSS_ROUND_OFF
    differences = [table.channels.nrmse(predictions[str(path)] - judged) for path in whole]
    with warnings.catch_warnings():  # an error that is not known is NaN, of which no comparison is true
        warnings.simplefilter("ignore", RuntimeWarning)
        return [not (np.nanmean(difference, axis=1) > most).any() for difference in differences]


def _mean(rows: Rows, networks: Sequence[Network], validated: bool = True) -> Floats:
    return _unseen(rows, networks).mean(range(len(networks)), validated)


def _unseen(rows: Rows, networks: Sequence[Network]) -> "UnseenErrors":
    from runge.function.residuals import UnseenErrors  # late, as torch is

    results = [network.result for network in networks]
    trained = [repr((network.move.fold, network.result.rows)).encode() for network in networks]
    return UnseenErrors.of_errors(rows, trained, [(x.left_out, x.validated, x.residuals) for x in results])
