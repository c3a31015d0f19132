r"""The runs of a search that have been trained, and how good their networks are in rows that they have not seen.

Over the rows that its network k has left out, a candidate has the relative root mean square errors `val/nrmse_f` and
`val/nrmse_df` of values and derivatives, and is ranked by

.. math:: E = \Bigl(\overline{E_{f,k}^2} \; \overline{E_{df,k}^2}\Bigr)^{1/4},

the geometric mean of both. If the labels of one kind have noise, the errors in it are about the same for all
candidates, and decide nothing then, unlike in a sum.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from runge.configuration.validation import Floats
from runge.metrics import ERRORS, FIT_SECONDS, TRAIN_LOSS, VAL_LOSS
from runge.records.directories import RunDirectory
from runge.records.reading import read_columns
from runge.sweeps.policies.best.constants import LACKS_ROWS_RATIO, USED_TIME_SHARE

__all__ = ["TrainedRun", "better_run", "error_of", "read_run", "root_mean"]


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A trained run of a candidate, whose network leaves out one fold, or none if it is trained on all rows.

    Attributes:
        directory: the directory of the run.
        number: its number in the search.
        metrics: its final metrics.
        share: the share of the rows that it was to be trained on; None: all.
        used_share: the share of the rows that it was trained on, which grows to `share`; None: all.
        cut: true if it has taken the time or the steps that it had, so that more of them may help.
        before: the best step of the run whose weights it began with, and of the runs before that.
        spent: the seconds of the training of all of these runs, and of those that did not improve it.
        unused: the steps of these runs after the best ones.
        steps: the number of its own steps.
        max_steps: the number of steps for which its schedules were made.
        logged_steps: the steps of its history, (K,).
        logged_errors: the logarithms of the product of both errors after each of them, (K,).
        damping: the last damping in its history; 0: its optimiser has none.
        slowness: the time of a step by the gradient, over what was expected; None: of another method.
        threads: the threads that it had, all if it was trained alone.
        grows: true if it was trained on some of the rows, and more of them have not been tried.
    """

    directory: RunDirectory
    number: int
    metrics: Mapping[str, float | int | None]
    share: float | None
    used_share: float | None
    cut: bool
    before: int
    spent: float
    unused: int
    steps: int
    max_steps: int
    logged_steps: Floats
    logged_errors: Floats
    damping: float = 0.0
    slowness: float | None = None
    threads: int = 1
    grows: bool = False

    @property
    def may_gain(self) -> bool:
        """True if more steps or more rows may reduce its error."""
        return self.cut or self.grows

    @property
    def error(self) -> float:
        """The error E of this network alone."""
        return error_of([self])

    @property
    def best_step(self) -> int:
        """The step with the smallest product of its errors, counted from drawn weights."""
        return self.before + int(self.logged_steps[int(np.argmin(self.logged_errors))])

    @property
    def lacks_rows(self) -> bool:
        """True if the held-out loss is much larger than the training loss: more rows help, not only more steps."""
        training_loss = max(self.metrics[TRAIN_LOSS] or 0.0, 1e-100)  # not 0
        return (self.metrics[VAL_LOSS] or 0.0) / training_loss > LACKS_ROWS_RATIO

    @property
    def loss(self) -> float:
        """The root of its loss on the training rows."""
        return math.sqrt(self.metrics[TRAIN_LOSS] or 0.0)

    @property
    def seconds(self) -> float:
        """The seconds of its training."""
        return self.metrics[FIT_SECONDS] or 0.0

    @property
    def pace(self) -> float:
        """The seconds of one of its steps."""
        return self.seconds / self.steps


def read_run(
    directory: RunDirectory, number: int, share: float | None, start: TrainedRun | None, *, completes: bool
) -> TrainedRun:
    """Read the files of a run that has finished.

    Args:
        directory: the directory of the run.
        number: its number.
        share: the share of the rows that it was to be trained on; None: all.
        start: the run whose weights it began with; None: they were drawn.
        completes: whether it needs no other steps than it had.
    """
    configuration, state, metrics = directory.read_configuration()[0], directory.read_state(), directory.read_metrics()
    training, limit = configuration["trainer"], configuration["trainer"].get("max_seconds")
    seconds = metrics[FIT_SECONDS] or 0.0
    if state is not None and state.step >= training["max_steps"]:
        cut = not completes
    else:
        cut = limit is not None and seconds >= USED_TIME_SHARE * limit
    history = read_columns(directory, directory.history, ("step", *ERRORS, "damping"), 10**9)
    with np.errstate(all="ignore"):
        errors = np.log(np.stack([history[name] for name in ERRORS]))
    return TrainedRun(
        directory,
        number,
        metrics,
        share,
        used_share=configuration["data"].get("split", {}).get("train"),  # a formula has no rows
        cut=cut,
        before=start.best_step if start else 0,
        spent=start.spent + seconds if start else seconds,
        unused=start.unused + start.before + start.steps - start.best_step if start else 0,
        steps=max(1, state.step if state else 1),
        max_steps=training["max_steps"],
        logged_steps=np.asarray(history["step"]),
        logged_errors=np.where(np.isnan(errors).all(axis=0), np.inf, np.nansum(errors, axis=0)),
        damping=history["damping"][-1] if "damping" in history else 0.0,
    )


def better_run(before: TrainedRun | None, after: TrainedRun | None, few_steps: int) -> TrainedRun | None:
    """Return the better one of the runs that a candidate has on a fold; None: there is no run.

    If the further run is not better, more steps do not help, unless these were few, and more rows do not help.

    Args:
        before: its run so far; None: it has none.
        after: its further run; None: this has failed.
        few_steps: the number of steps up to which they were few.
    """
    if before is None or (after is not None and after.error <= before.error):
        return after
    if after is None:
        return replace(before, cut=False, grows=False)
    cut = after.cut and after.steps <= few_steps
    spent, unused = before.spent + after.seconds, before.unused + after.steps
    return replace(before, cut=cut, grows=False, spent=spent, unused=unused)


def error_of(runs: Sequence[TrainedRun]) -> float:
    """Return the error E of a candidate, of one kind if the other is not known; infinite without a run."""
    errors = [error for name in ERRORS if (error := root_mean(runs, name)) is not None]
    return math.prod(errors) ** (1 / len(errors)) if errors else math.inf


def root_mean(runs: Sequence[TrainedRun], name: str) -> float | None:
    """Return the root mean square of a metric over some runs; None: it is not known."""
    metrics = [metric for run in runs if (metric := run.metrics.get(name)) is not None]
    return math.sqrt(np.mean(np.square(metrics))) if metrics else None
