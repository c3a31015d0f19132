r"""How good the networks of a candidate are, in rows that they have not seen.

Over the rows that its network k has left out, a candidate has the relative root mean square errors `val/nrmse_f` and
`val/nrmse_df` of values and derivatives, and is ranked by

.. math:: E = \Bigl(\overline{E_{f,k}^2} \; \overline{E_{df,k}^2}\Bigr)^{1/4},

the geometric mean of both. If the labels of one kind have noise, the errors in it are about the same for all
candidates, and decide nothing then, unlike in a sum.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from runge.configuration.validation import Floats
from runge.metrics import ERRORS, FIT_SECONDS, TOTAL_SECONDS, TRAIN_LOSS, VAL_LOSS
from runge.records.directories import RunDirectory
from runge.records.reading import read_columns
from runge.sweeps.policies.best.constants import LACKS_ROWS_RATIO, LOSS_IN_PLACE_OF_ZERO, USED_TIME_SHARE

__all__ = ["Fit", "error_of", "root_mean"]


class Fit(NamedTuple):
    """A trained network of a candidate, which leaves out one fold, or none if it is trained on all rows.

    Attributes:
        run: its run.
        number: its number in the search.
        figures: the run's final figures.
        share: the share of the rows that it was to be trained on; None: all.
        cut: true if it has taken the time or the steps that it had, so that more of them may help.
        before: the best step of the run whose weights it began with, and of those before.
        spent: the seconds of the training of all of them, and of those that did not improve it.
        unused: their steps after the best ones.
        threads: the threads that it had, all if it was alone.
        grows: true if it was trained on some of the rows, and more of them have not been tried.
    """

    run: RunDirectory
    number: int
    figures: Mapping[str, float | int | None]
    share: float | None
    cut: bool
    before: int
    spent: float
    unused: int = 0
    threads: int = 1
    grows: bool = False

    @classmethod
    def of(cls, run: RunDirectory, number: int, share: float | None, start: "Fit | None", completes: bool) -> "Fit":
        """Read a run that has finished.

        Args:
            run: the run.
            number: its number.
            share: the share of the rows.
            start: what it began with; None: drawn weights.
            completes: whether it needs no other steps than it had.
        """
        training, state = run.read_configuration()[0]["trainer"], run.read_state()
        figures = run.read_metrics()
        limit = training.get("max_seconds")
        if state is not None and state.step >= training["max_steps"]:
            cut = not completes
        else:
            cut = limit is not None and (figures[FIT_SECONDS] or 0.0) >= USED_TIME_SHARE * limit
        if start is None:
            return cls(run, number, figures, share, cut, 0, figures[FIT_SECONDS] or 0.0)
        before, unused = start.best_step, start.unused + start.before + start.steps - start.best_step
        return cls(run, number, figures, share, cut, before, start.spent + (figures[FIT_SECONDS] or 0.0), unused)

    @property
    def may_gain(self) -> bool:
        """True if more steps or more rows may reduce its error."""
        return self.cut or self.grows

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
    def mean_pace(self) -> float:
        """The seconds of a step of all of these runs."""
        return self.spent / (self.before + self.steps + self.unused)

    @property
    def planned(self) -> int:
        """The number of steps for which its schedules were made, counted from drawn weights."""
        return self.before + self.run.read_configuration()[0]["trainer"]["max_steps"]

    @property
    def used_share(self) -> float | None:
        """The share of the rows that it was trained on, which grows to `share`; None: all."""
        return self.run.read_configuration()[0]["data"]["split"].get("train")

    @property
    def best_step(self) -> int:
        """The step with the smallest product of its errors, counted from drawn weights."""
        steps, products = self.history()
        return self.before + int(steps[int(np.argmin(products))])

    def history(self) -> tuple[Floats, Floats]:
        """Return the steps, (K,), and the logarithms of the product of both errors after each of them."""
        table = read_columns(self.run, self.run.history, ("step", *ERRORS), 10**9)
        with np.errstate(all="ignore"):
            errors = np.log(np.stack([table[name] for name in ERRORS]))
        return np.asarray(table["step"]), np.where(np.isnan(errors).all(axis=0), np.inf, np.nansum(errors, axis=0))

    @property
    def gap(self) -> float:
        """The ratio of its losses on the rows that were held out and on its training rows."""
        return (self.figures[VAL_LOSS] or 0.0) / max(self.figures[TRAIN_LOSS] or 0.0, LOSS_IN_PLACE_OF_ZERO)

    @property
    def lacks_rows(self) -> bool:
        """True if the held-out loss is much larger than the training loss: more rows help, not only more steps."""
        return self.gap > LACKS_ROWS_RATIO

    @property
    def loss(self) -> float:
        """The root of its loss on the training rows."""
        return math.sqrt(self.figures[TRAIN_LOSS] or 0.0)

    @property
    def set_up(self) -> float:
        """The seconds of its run besides its training."""
        return (self.figures[TOTAL_SECONDS] or 0.0) - self.seconds

    @property
    def seconds(self) -> float:
        """The seconds of its training."""
        return self.figures[FIT_SECONDS] or 0.0

    @property
    def pace(self) -> float:
        """The seconds of one of its steps."""
        return self.seconds / self.steps

    def last(self, name: str) -> float:
        """Return the last figure of its history, such as the damping."""
        return float(read_columns(self.run, self.run.history, (name,), 10**9)[name][-1])


def error_of(fits: Sequence[Fit]) -> float:
    """Return the error E of a candidate, of the one kind if the other is not known; infinite without a fit."""
    errors = [error for name in ERRORS if (error := root_mean(fits, name)) is not None]
    return math.prod(errors) ** (1 / len(errors)) if errors else math.inf


def root_mean(fits: Sequence[Fit], name: str) -> float | None:
    """Return the root mean square of a figure over some fits; None: it is not known."""
    figures = [figure for fit in fits if (figure := fit.figures.get(name)) is not None]
    return math.sqrt(np.mean(np.square(figures))) if figures else None
