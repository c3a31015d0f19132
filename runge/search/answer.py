"""The answer of a search: its networks as run directories, their intervals, and their errors in rows left out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.spatial import KDTree

from runge.configuration.validation import Floats
from runge.data.rows import Rows
from runge.function.calibration import Calibration
from runge.records.directories import RunDirectory
from runge.search.constants import DISAGREEMENT_FACTOR, LOSS_ROUND_OFF, WORSE_FACTOR
from runge.search.judging import SearchTable
from runge.search.state import Network, Standing

if TYPE_CHECKING:
    from runge.function.residuals import UnseenErrors

__all__ = ["Answer", "agreeing"]


class Answer(NamedTuple):
    """The networks of the answer, without those that have ended in a worse minimum than others.

    Such a network has a larger loss on its training rows: new weights may have been drawn that are worse than those
    which have judged the winner.

    Attributes:
        winner: the winner with its good networks.
        refits: its good networks of all rows, of which the answer is the mean; none: it is the mean of those that judge
            it.
    """

    winner: Standing
    refits: Sequence[Network] = ()

    @classmethod
    def of(cls, best: Standing) -> "Answer":
        """Return the answer of a winner, whose networks of all rows are to be as good as it is where it is judged."""
        good = _good(best.in_order)
        winner = replace(best, by_fold={fold: x for fold, x in best.by_fold.items() if x in good})
        refits = [x for x in best.refits if x.result.error <= max(winner.error, LOSS_ROUND_OFF)]
        return cls(winner, [x for x in refits if x in _good([*good, x])])

    @property
    def judging(self) -> Sequence[Network]:
        """The networks that judge the winner, in the order of the folds."""
        return self.winner.in_order

    def errors_of(self, rows: Rows) -> tuple[Floats, Floats]:
        """Return mean errors of its networks at rows that they have not seen, (n, P + P D); NaN: not known.

        Returns:
            Those of the networks that judge it in the folds that they leave out, and those of all of its networks that
            leave out a fold in all rows that they have not seen.
        """
        judging = _unseen(rows, self.judging).mean(range(len(self.judging)), validated=True)
        every = [*self.judging, *self.winner.calibrating]
        return judging, _unseen(rows, every).mean(range(len(every)), validated=False)

    def calibrate(self, rows: Rows) -> Calibration:
        """Calibrate intervals by the rows that networks have not seen."""
        calibrating = list[Network]()
        for network in self.judging:
            further = [x for x in self.winner.calibrating if x.move.fold == network.move.fold]
            calibrating += _good([network, *further])
        # Only several networks of the same rows have a spread.
        return _unseen(rows, calibrating).calibrate(range(len(calibrating)), local=len(self.refits) > 1)


def _good(networks: Sequence[Network]) -> list[Network]:
    """Return networks without those that have ended in a worse minimum than another one, which would spoil the mean."""
    most = WORSE_FACTOR * min((x.result.loss for x in networks), default=0.0) + LOSS_ROUND_OFF
    return [x for x in networks if x.result.loss <= most]


def agreeing(table: SearchTable, error: float | None, judging: Sequence[Path], whole: Sequence[Path]) -> list[bool]:
    """Return which networks of all rows agree between these rows with the networks that were judged.

    A network that fits its rows may be far off between them. If it was trained on all rows, no row is left to test
    that. In the middle between each row and its nearest one, the root mean square of the difference of both values,
    over the standard deviation of the output, is about as large as the judged error.

    Args:
        table: the table.
        error: the judged error of the values; None: it is not known.
        judging: the directories of the networks that were judged.
        whole: those of the networks of all rows.
    """
    if not (whole and error is not None and table.channels.value.any()):
        return [True] * len(whole)
    import torch  # late: the candidates are checked before it is loaded

    from runge.function.loading import load_runs

    x, factors = table.rows.x[table.seen], table.channels.of_residuals[: len(table.channels.value)]
    scaled = x / np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    nearest = np.asarray(KDTree(scaled).query(scaled, k=2)[1])[:, 1]
    networks = load_runs([RunDirectory(path) for path in (*judging, *whole)])
    middles = torch.from_numpy((x + x[nearest]) / 2)[None].to(networks.like)
    values = dict(zip(networks.runs, networks.jet(middles)[0].double().cpu().numpy(), strict=True))
    judged = np.mean([values[str(path)] for path in judging], axis=0)
    differences = [(factors * (values[str(path)] - judged))[:, factors > 0] for path in whole]
    most = DISAGREEMENT_FACTOR * error + LOSS_ROUND_OFF
    return [bool(np.sqrt((difference**2).mean()) <= most) for difference in differences]


def _unseen(rows: Rows, networks: Sequence[Network]) -> "UnseenErrors":
    from runge.function.residuals import UnseenErrors  # late, as torch is

    results = [network.result for network in networks]
    trained = [repr((network.move.fold, network.result.rows)).encode() for network in networks]
    return UnseenErrors.of_errors(rows, trained, [(x.left_out, x.validated, x.residuals) for x in results])
