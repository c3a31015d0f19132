"""Learning curves: the errors of a candidate in rows that it has not seen, against steps and seconds.

A `Recording` is a file of its own while they are recorded, and a line of `figures/curves.jsonl.xz` afterwards.
"""

import json
import lzma
import math
from collections.abc import Iterable, Iterator
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
