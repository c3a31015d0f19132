"""Trials of a search: what is to be trained, as settings, and what is left of it, as plain data, also in files."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass
from torch import Tensor

from runge.configuration.errors import ConfigurationError
from runge.configuration.validation import Floats
from runge.data.channels import Channels
from runge.records.checkpoints import read_checkpoint, serialise
from runge.records.files import write
from runge.records.metrics import ERRORS, TRAIN_LOSS, VAL_LOSS
from runge.search.constants import LACKS_ROWS_RATIO
from runge.training.settings import Settings

__all__ = ["Move", "Publication", "Result", "Trial", "read_trials", "write_trial"]

log = logging.getLogger(__name__)

_VARIED = {"model.width", "model.depth", "data.n_train", "data.log10", "optimizer.slopes", "trainer.max_steps"}
_VARIED |= {"separate", "seed"}
"""The keys in which a candidate may differ from a listed one."""

_FOLDER = "trials"
"""The folder of a search's directory in which each trial that has ended has a file."""


class Move(NamedTuple):
    """A trial as the search plans it.

    Attributes:
        candidate: the name of the listed candidate.
        changes: the changes that make the candidate of it.
        fold: the fold that it leaves out, 0 for a formula; None: none.
        seconds: the time that it has.
        share: the share of the rows; None: all that are not left out.
        rung: the number of its comparison; None: it is of none.
        start: the number of the trial whose weights it begins with; None: they are drawn.
        steps: its steps at most; None: those of its candidate, or twice those of `start` if these are more.
        stop_at: the step at which it ends, whatever its validation loss is; None: it has that of the best step.
        seed: what is added to the seed; with another one than 0 it does not judge its candidate.
        of_answer: whether it is one of the last trials, of which the answer is made.
        threads: the threads of its linear algebra.
        at: the seconds of the search when it began.
    """

    candidate: str
    changes: Mapping[str, Any]
    fold: int | None
    seconds: float
    share: float | None = None
    rung: int | None = None
    start: int | None = None
    steps: int | None = None
    stop_at: int | None = None
    seed: int = 0
    of_answer: bool = False
    threads: int = 1
    at: float = 0.0


class Trial(NamedTuple):
    """A trial as a process gets it.

    Attributes:
        settings: the settings of its run.
        move: how it was planned.
        start: the result whose weights it begins with; None: they are drawn.
        slowness: the time of a step by the gradient with one thread over what `Member.work` expects.
        plans_steps: whether a method by the gradient has as many steps as should fit into its time.
        separate: whether each output has a network of its own.
        channels: the standard deviations of the table, over which its errors are; None: over those of its own rows.
        most_share: the share of the rows above which it has all of them.
    """

    settings: Settings
    move: Move
    start: "Result | None" = None
    slowness: float = 1.0
    plans_steps: bool = True
    separate: bool = False
    channels: Channels | None = None
    most_share: float = 0.0


@dataclass(frozen=True, eq=False, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
class Result:
    """The network of a trial that has ended, its curve, and its errors in rows that it has not seen.

    Attributes:
        history: the figures of `history.csv` at the end of each block, and `seconds`, (K,); of a trial that began with
            the weights of another one, those of that one come first.
        best: the place of its best weights in the history.
        weights: these weights.
        unfinished: the weights theta from which a trial continues, (M, W), in place of those with an exactly solved
            last layer; empty: they are the same.
        method: the state of the method with which it continues, (M,) each.
        rows: the number of its training points.
        share: the share of the rows on which it has ended; None: all that are not left out.
        left_out: rows of the table that it was not trained on, (n,), ascending.
        validated: whether they were for its validation, (n,), and not unused or for the test.
        residuals: the errors there, (n, P + P D), values first; a label that is not known counts as 0.
        seconds: the seconds of its own training, on its last rows.
        total: the same with the set-up.
        steps: the number of the steps in these seconds.
        end: what has ended it: its number of steps, its time, or that nothing changed, or that it overfits its rows.
        slowness: the time of a step with one thread over what `Member.work` expects.
        processor: the share of its time in which its main thread has had a processor, which others may use as well.
        switched_on: the first step with a positive lambda_d; None: there is none.
        failure: why there is no network; empty: there is one.
    """

    history: Mapping[str, np.ndarray] = field(default_factory=dict)
    best: int = 0
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    unfinished: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    method: Mapping[str, np.ndarray] = field(default_factory=dict)
    rows: int = 0
    share: float | None = None
    left_out: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    validated: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    residuals: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    seconds: float = 0.0
    total: float = 0.0
    steps: int = 0
    end: Literal["steps", "time", "rest"] = "rest"
    slowness: float = 1.0
    processor: float = 1.0
    switched_on: int | None = None
    failure: str = ""

    def metric(self, name: str) -> float | None:
        """Return a figure of the best weights; None: it is not known."""
        column = self.history.get(name)
        return None if column is None or not math.isfinite(column[self.best]) else float(column[self.best])

    @cached_property
    def errors(self) -> Floats:
        """The error after each block, (K,): the geometric mean of those of values and derivatives, or the known one."""
        both = np.stack([self.history[name] for name in ERRORS])
        with np.errstate(divide="ignore"):
            mean = np.nansum(np.log(both), axis=0) / np.maximum((~np.isnan(both)).sum(axis=0), 1)
        return np.where(np.isnan(both).all(axis=0), np.inf, np.exp(mean))

    @property
    def error(self) -> float:
        """The error of the best weights."""
        return float(self.errors[self.best])

    @property
    def best_step(self) -> int:
        """The step of the best weights, counted from drawn ones."""
        return int(self.history["step"][self.best])

    @property
    def loss(self) -> float:
        """The root of its loss on the training points."""
        return math.sqrt(self.metric(TRAIN_LOSS) or 0.0)

    @property
    def loss_left_out(self) -> float:
        """The root of its loss on the rows that were held out."""
        return math.sqrt(self.metric(VAL_LOSS) or 0.0)

    @property
    def lacks_rows(self) -> bool:
        """True if the held-out loss is much larger than the training loss: more rows help, not only more steps."""
        return self.loss_left_out**2 > LACKS_ROWS_RATIO * max(self.loss**2, 1e-100)


class Publication(NamedTuple):
    """A network of the answer, which becomes a run.

    Attributes:
        settings: the settings of the run.
        result: its network.
        directory: the directory of the run.
        overrides: its overrides.
        options: the option of each group of its configuration.
        separate: whether its network has a block of neurons for each output, a network of a trial.
    """

    settings: Settings
    result: Result
    directory: str
    overrides: Sequence[str]
    options: Mapping[str, str]
    separate: bool = False


def write_trial(search: Path, number: int, move: Move, result: Result, ended: float) -> None:
    """Write the file of a trial into the directory of a search.

    Args:
        search: the directory.
        number: the number of the trial.
        move: how it was planned.
        result: its result.
        ended: the seconds of the search when it ended.
    """
    values = {one.name: getattr(result, one.name) for one in fields(result) if one.name != "weights"}
    content = _converted(values, np.ndarray, torch.from_numpy)
    plain = {"move": move._asdict() | {"changes": dict(move.changes)}, "ended": ended, "result": content}
    (search / _FOLDER).mkdir(exist_ok=True)
    checkpoint = {"state_dict": dict(result.weights), "configuration": plain}
    write(search / _FOLDER / f"{number}.pt", serialise(checkpoint))


def read_trials(search: Path) -> dict[int, tuple[Move, Result, float]]:
    """Return the trials of a search that have ended, by their numbers, and the seconds when they did.

    A damaged file is ignored, with a warning: its trial can be trained again.
    """
    found = dict[int, tuple[Move, Result, float]]()
    files = [path for path in search.glob(f"{_FOLDER}/*.pt") if path.stem.isdecimal()]
    for path in sorted(files, key=lambda path: int(path.stem)):
        try:
            found[int(path.stem)] = _read(path)
        except ConfigurationError as error:
            log.warning("%s: ignored", error)
    return found


def _read(path: Path) -> tuple[Move, Result, float]:
    content: Any = read_checkpoint(path)
    try:
        plain = content["configuration"]
        arrays = {name: _converted(value, Tensor, Tensor.numpy) for name, value in plain["result"].items()}
        result = Result(**arrays | {"weights": content["state_dict"]})
        if unknown := plain["move"]["changes"].keys() - _VARIED:
            raise ValueError(f"its candidate differs in {min(unknown)}")
        if not result.failure and not 0 <= result.best < len(result.errors) == len(result.history["step"]):
            raise ValueError("its best weights have no place in the history")
        return TypeAdapter(Move).validate_python(plain["move"]), result, float(plain["ended"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{path} does not hold a trial ({type(error).__name__})") from error


def _converted(value: Any, kind: type, convert: Callable[[Any], Any]) -> Any:
    """Return a value, or a mapping of values, with the objects of a class converted."""
    if isinstance(value, Mapping):
        return {name: _converted(entry, kind, convert) for name, entry in value.items()}
    return convert(value) if isinstance(value, kind) else value
