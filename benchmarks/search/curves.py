"""Learning curves: the errors of a candidate in rows that it has not seen, against steps and seconds.

A `Recording` is a file of its own while they are recorded, and a line of `figures/curves.jsonl.xz` afterwards.
"""

import json
import lzma
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

GATHERED = Path(__file__).parent / "figures" / "curves.jsonl.xz"
"""The recordings in one file, which the page is made of."""

COLUMNS = "seconds", "steps", "value", "derivative", "test_value", "test_derivative", "loss_ratio"
"""The columns of a curve.

`seconds` are those of the processor since the beginning of the training, without the measurements on test rows; `value`
and `derivative` are `nrmse_f` and `nrmse_df` of `runge.sobolev.accuracy` in the rows of the fold that is left out, and
`test_...` in test rows; `loss_ratio` is the loss in the fold over that in the training rows.
"""

TOO_SLOW = "a step takes about"
"""The beginning of the failure of a candidate that cannot take a step in the limit."""


@dataclass(frozen=True)
class Recording:
    """A training of a candidate on a share of the rows of a table.

    Attributes:
        table: the table.
        candidate: the candidate.
        share: the share of the training rows.
        seed: the number of its seed, and of the fold that it leaves out.
        rows: the number of training rows.
        inputs: the number of inputs.
        outputs: the number of outputs.
        limit: the seconds that it had at most.
        work: the seconds of a step that `Member.work` expects.
        set_up: the seconds of the processor before the first step: the points and the network are made.
        warm: whether it can continue with more rows from the weights that it has; fixed neurons cannot.
        converged: whether it has ended before its limit, so that more time would not help.
        points: the curve, a list for each of `COLUMNS`; None: not known, or not finite.
        failure: why it has no curve; empty: it has one.
        processor: the processor.
        commit: the commit.
        slowness: its seconds over those of a quiet machine, which `gather` knows from the folder `speeds`.
    """

    table: str
    candidate: str
    share: float
    seed: int
    rows: int = 0
    inputs: int = 0
    outputs: int = 0
    limit: float = 0.0
    work: float = 0.0
    set_up: float = 0.0
    warm: bool = True
    converged: bool = False
    points: dict[str, list[float | None]] = field(default_factory=dict)
    failure: str = ""
    processor: str = ""
    commit: str = ""
    slowness: float = 1.0

    @property
    def name(self) -> str:
        """The name of its file, without an ending."""
        letters = "".join(letter if letter.isalnum() else "-" for letter in self.candidate)
        return f"{self.table}+{letters}+{round(1 / self.share)}+{self.seed}"

    def is_over(self, limit: float) -> bool:
        """Return whether a training with another limit would be the same."""
        return self.converged or limit <= self.limit or bool(self.failure and not self.failure.startswith(TOO_SLOW))

    def column(self, name: str) -> NDArray[np.float64]:
        """Return a column; NaN: not known."""
        return np.array(self.points.get(name, []), float)

    def as_text(self) -> str:
        """Return it as a line of JSON, with three digits of each number."""
        points = {name: [_rounded(x) for x in column] for name, column in self.points.items()}
        rounded = {name: _rounded(getattr(self, name)) for name in ("work", "set_up", "slowness")}
        return json.dumps(asdict(self) | rounded | {"points": points})


def _rounded(number: float | None) -> float | None:
    return float(f"{number:.3g}") if number is not None and math.isfinite(number) else None


@dataclass(frozen=True, eq=False)
class Curve:
    """The best error of a candidate so far, against the seconds of its training on a share of the rows.

    Attributes:
        seconds: the seconds, ascending, (K,).
        error: the smallest error in rows left out until then, (K,).
        test: the error in test rows of the network that has it, (K,).
        loss_ratio: its loss in rows left out over that in training rows, (K,).
        set_up: the seconds before the first step.
        warm: whether it can continue from the weights of another share. If not, an error is only reached at a point,
            because steps are independent fits; otherwise it falls in between.
    """

    seconds: NDArray[np.float64]
    error: NDArray[np.float64]
    test: NDArray[np.float64]
    loss_ratio: NDArray[np.float64]
    set_up: float = 0.0
    warm: bool = True

    @classmethod
    def of(cls, recording: Recording) -> "Curve":
        """Return the curve of a recording, without points if it has failed."""
        error, test = (
            _mean_error(recording.column(f"{of}value"), recording.column(f"{of}derivative")) for of in ("", "test_")
        )
        seconds = recording.column("seconds") / recording.slowness
        order = np.argsort(seconds, kind="stable")
        error = error[order]
        best = order[[int(np.argmin(error[: k + 1])) for k in range(len(error))]]
        columns = seconds[order], np.minimum.accumulate(error), test[best], recording.column("loss_ratio")[best]
        return cls(*columns, recording.set_up / recording.slowness, recording.warm)

    @property
    def end(self) -> float:
        """The seconds after which nothing is recorded."""
        return float(self.seconds[-1])

    def at(self, seconds: float) -> tuple[float, float, float]:
        """Return both errors, and the ratio of losses, after some seconds; infinite before the first point."""
        after = int(np.searchsorted(self.seconds, seconds, side="right"))
        if after == 0:
            return math.inf, math.inf, math.inf
        error, test, ratio = (float(x[after - 1]) for x in (self.error, self.test, self.loss_ratio))
        if self.warm and after < len(self.seconds) and math.isfinite(error):
            place = math.log(seconds / self.seconds[after - 1]) / math.log(
                self.seconds[after] / self.seconds[after - 1]
            )
            error, test = error * (self.error[after] / error) ** place, test * (self.test[after] / test) ** place
        return error, test, ratio

    def reaching(self, error: float) -> float:
        """Return the seconds after which the error is at most this one; the end if it never is."""
        if not self.warm or not len(self.seconds) or self.error[0] <= error:
            return 0.0
        if self.error[-1] > error:
            return self.end
        after = int(np.argmax(self.error <= error))
        if not math.isfinite(self.error[after - 1]):
            return float(self.seconds[after])
        place = _place(error, *self.error[after - 1 : after + 1])
        return float(self.seconds[after - 1] * (self.seconds[after] / self.seconds[after - 1]) ** place)


def _place(number: float, first: float, second: float) -> float:
    """Return where a number is between two others on a logarithmic scale, from 0 to 1."""
    return math.log(number / first) / math.log(second / first)


def _mean_error(value: NDArray[np.float64], derivative: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the geometric mean of two errors, of the known one if the other is not; infinite if none is."""
    errors = np.stack([value, derivative])
    known = np.isfinite(errors)
    logarithms = np.log(np.where(known, np.maximum(errors, 1e-300), 1.0))
    mean = np.exp(logarithms.sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    return np.where(known.any(axis=0), mean, np.inf)


def slowness(busy: Recording, quiet: Recording) -> float:
    """Return the seconds of a recording over those of another one with the same number of steps; 1: not known."""
    steps = [one.column("steps") for one in (busy, quiet)]
    if not all(map(len, steps)):
        return 1.0
    common = min(column[-1] for column in steps)
    taken = [np.interp(common, [0, *x.column("steps")], [0, *x.column("seconds")]) for x in (busy, quiet)]
    return float(taken[0] / taken[1])


def gather(folder: Path, path: Path = GATHERED) -> int:
    """Write all recordings of a folder, and their slowness, into one file; return their number."""
    quiet = {one.name: one for one in read(folder / "speeds")}
    every = (
        replace(one, slowness=slowness(one, quiet[one.name])) if one.name in quiet else one for one in read(folder)
    )
    lines = [one.as_text() for one in every]
    path.parent.mkdir(exist_ok=True)
    with lzma.open(path, "wt", preset=9) as file:
        file.write("\n".join(lines))
    return len(lines)


def read(path: Path = GATHERED) -> Iterator[Recording]:
    """Read the recordings of a file, or of a folder."""
    texts: Iterable[str]
    if path.suffix != ".xz":
        texts = (file.read_text() for file in sorted(path.glob("*.json")))
    else:
        with lzma.open(path, "rt") as file:
            texts = file.read().splitlines()
    return (Recording(**json.loads(text)) for text in texts)


def best_point(points: Mapping[str, Sequence[float | None]]) -> int:
    """Return the place of the smallest product of the errors in rows left out, of those that are known."""
    errors = np.array([points["value"], points["derivative"]], float)
    with np.errstate(all="ignore"):
        logarithms = np.log(errors)
    total = np.where(np.isnan(logarithms).all(axis=0), np.inf, np.nansum(logarithms, axis=0))
    return int(np.argmin(total))
