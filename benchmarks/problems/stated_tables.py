"""Tables of known functions by three makers, and new rows of the same kind without mistakes.

Twelve are of our own functions, each with its difficulty. The others are uniform random rows of functions from
libraries, and of models in engineering.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from engineering import EXCHANGER, PENDULUM, heat_exchanger, pendulum, truss
from fresh import FRESH
from functions import FUNCTIONS, Function, outputs
from hard import HARD
from numpy.typing import NDArray
from scipy.stats import qmc
from tables import Array, Rows, label, noisy

N, N_NEW = 100, 4000
NOISE, HOLES, FEW, SPECIMENS, OFFSET, DECADES, WRONG = 0.02, 0.15, 5, 10, 0.3, 5, 3


class Stated(NamedTuple):
    """A table, as a user has it, and what is true of it.

    Attributes:
        frame: the columns of its file.
        exact: the same labels without what is wrong, by the names of the columns of labels.
        new: new rows of the same kind, with all labels and without what is wrong.
        inputs: the names of the inputs.
        outputs: the names of the outputs.
        options: the overrides that a user adds to the commands.
        columns: the columns of derivatives of which all labels are wrong.
        cells: the single labels that are wrong, (column, line of the file).
    """

    frame: pd.DataFrame
    exact: pd.DataFrame
    new: Rows
    inputs: list[str]
    outputs: list[str]
    options: tuple[str, ...] = ()
    columns: frozenset[str] = frozenset()
    cells: frozenset[tuple[str, int]] = frozenset()


def smooth(x: NDArray) -> NDArray:
    """Return a smooth function of three inputs, all of which matter, (m, D) to (m, 1)."""
    return (np.sin(2 * x[:, 0]) * np.exp(0.5 * x[:, 1]) + 0.5 * x[:, 0] * x[:, 2] ** 2 + 0.7 * x[:, 2])[:, None]


def flagged(x: NDArray) -> NDArray:
    """Return a function with a flag as its last input, by which the derivative is 0 at 0 and at 1."""
    flag = x[:, -1]
    return smooth(x) + ((3 * flag**2 - 2 * flag**3) * np.cos(x[:, 0]))[:, None]


def two(x: NDArray) -> NDArray:
    return np.concatenate([smooth(x), x[:, :1] * x[:, 1:2] + np.cos(2 * x[:, 2:3])], axis=1)


def decades(x: NDArray) -> NDArray:
    """Return a function of the logarithm of its first input."""
    return smooth(np.concatenate([np.log10(x[:, :1]) / DECADES, x[:, 1:]], axis=1))


def cube(n: int, inputs: int, random: np.random.Generator) -> Array:
    """Return a Latin hypercube in [-1, 1]^D."""
    return 2 * qmc.LatinHypercube(d=inputs, rng=random).random(n) - 1


def named(rows: Rows, inputs: list[str], outputs: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the inputs, and the labels, as columns; a column without a label is left out."""
    labels = dict(zip(outputs, rows.y.T, strict=True))
    labels |= {f"d{y}_d{x}": rows.dydx[:, p, d] for p, y in enumerate(outputs) for d, x in enumerate(inputs)}
    return pd.DataFrame(dict(zip(inputs, rows.x.T, strict=True))), pd.DataFrame(labels).dropna(axis=1, how="all")


def table(
    rows: Rows,
    new: Rows,
    further: dict[str, Any] | None = None,
    names: tuple[str, ...] = ("y",),
    options: tuple[str, ...] = (),
) -> Stated:
    """Return a table of some rows, in which labels that are NaN are empty, with further columns."""
    inputs = [f"x{d}" for d in range(1, rows.x.shape[1] + 1)]
    x, labels = named(rows, inputs, [*names])
    frame = pd.concat([pd.DataFrame(further or {}), x, labels], axis=1)
    return Stated(frame, labels, new, inputs, [*names], options)


def of(value: Callable[[NDArray], NDArray], inputs: int, random: np.random.Generator, n: int = N) -> tuple[Rows, Rows]:
    """Return rows of a Latin hypercube, and new rows at random points."""
    return label(value, cube(n, inputs, random)), label(value, random.uniform(-1, 1, (N_NEW, inputs)))


def exact(random: np.random.Generator) -> Stated:
    return table(*of(smooth, 3, random))


def noise(random: np.random.Generator) -> Stated:
    rows, new = of(smooth, 3, random)
    return table(noisy(rows, NOISE, NOISE, random), noisy(new, NOISE, NOISE, random))


def holes(random: np.random.Generator) -> Stated:
    rows, new = of(smooth, 3, random)
    y, dydx = (np.where(random.random(part.shape) < HOLES, np.nan, part) for part in rows[1:])
    return table(Rows(rows.x, y, dydx), new)


def idle(random: np.random.Generator) -> Stated:
    return table(*of(smooth, 4, random))


def flag(random: np.random.Generator) -> Stated:
    x, new = cube(N, 4, random), random.uniform(-1, 1, (N_NEW, 4))
    rows, new = (label(flagged, np.c_[part[:, :3], part[:, 3] > 0]) for part in (x, new))
    return table(rows, new)


def few_labels(random: np.random.Generator) -> Stated:
    rows, new = of(two, 3, random)
    y, dydx = rows.y.copy(), rows.dydx.copy()
    y[random.permutation(N)[FEW:], 1] = dydx[:, 1] = np.nan
    options = (
        "data.inputs=[x1,x2,x3]",
        "data.outputs=[y1,y2]",
    )  # y2 has no derivatives that name it
    return table(Rows(rows.x, y, dydx), new, names=("y1", "y2"), options=options)


def groups(random: np.random.Generator) -> Stated:
    """Return rows of specimens, which have an offset and an input in common; the new rows are of other specimens."""

    def rows(specimens: int) -> tuple[Rows, NDArray]:
        specimen = np.repeat(np.arange(specimens), N // SPECIMENS)
        x = random.uniform(-1, 1, (len(specimen), 3))
        x[:, 2] = random.uniform(-1, 1, specimens)[specimen]
        plain = label(smooth, x)
        return plain._replace(y=plain.y + OFFSET * random.standard_normal(specimens)[specimen, None]), specimen

    (known, specimen), (new, _) = rows(SPECIMENS), rows(N_NEW * SPECIMENS // N)
    options = "data.inputs=[x1,x2,x3]", "data.outputs=[y]", "data.group=specimen"
    return table(known, new, {"specimen": [f"S{i}" for i in specimen]}, options=options)


def ten_decades(random: np.random.Generator) -> Stated:
    x, new = cube(N, 3, random), random.uniform(-1, 1, (N_NEW, 3))
    rows, new = (label(decades, np.c_[10 ** (DECADES * part[:, 0]), part[:, 1:]]) for part in (x, new))
    return table(rows, new)


def eight_rows(random: np.random.Generator) -> Stated:
    return table(*of(smooth, 3, random, 8))


def many_rows(random: np.random.Generator) -> Stated:
    return table(*of(smooth, 3, random, 2000))


def wrong_label(random: np.random.Generator) -> Stated:
    """Return a table with one value that is off by three standard deviations."""
    rows, new = of(smooth, 3, random)
    right, row = table(rows, new), int(random.integers(N))
    frame = right.frame.copy()
    frame.loc[row, "y"] += random.choice([-WRONG, WRONG]) * frame["y"].std()
    return right._replace(frame=frame, cells=frozenset({("y", row + 2)}))  # line 1 has the names


def garbage(random: np.random.Generator) -> Stated:
    """Return a table in which the derivative with respect to one input is random, and as large as the true one."""
    right = table(*of(smooth, 3, random))
    frame, column = right.frame.copy(), f"dy_d{random.choice(right.inputs)}"
    frame[column] = np.sqrt((frame[column] ** 2).mean()) * random.standard_normal(N)
    return right._replace(frame=frame, columns=frozenset({column}))


def uniform(function: Function, random: np.random.Generator) -> Stated:
    """Return a table of uniform random rows, of which more are at the ends and in the corners than of a hypercube."""
    low, high = np.transpose(function.box)
    rows, new = (label(outputs(function), random.uniform(low, high, (n, len(low)))) for n in (function.n, N_NEW))
    return table(rows, new, names=tuple(f"y{p}" for p in range(1, rows.y.shape[1] + 1)))


FOREIGN = {
    "library: branin": FUNCTIONS["branin"],
    "library: cantilever beam": FUNCTIONS["cantilever_beam"],
    "library: franke": FRESH["franke"],
    "library: otl circuit": FRESH["otl_circuit"],
    "model: borehole": HARD["borehole"],
    "model: damped pendulum": Function(pendulum, PENDULUM, 150),
    "model: heat exchanger": Function(heat_exchanger, EXCHANGER, 120),
    "model: ten-bar truss": Function(truss, ((20.0, 120.0),) * 10, 150),
}
"""Functions of other makers, by the names of their tables."""

TABLES: dict[str, Callable[[np.random.Generator], Stated]] = {
    "exact": exact,
    "noise of 2 %": noise,
    "holes": holes,
    "idle input": idle,
    "flag": flag,
    "few labels": few_labels,
    "groups": groups,
    "ten decades": ten_decades,
    "8 rows": eight_rows,
    "2000 rows": many_rows,
    "wrong label": wrong_label,
    "garbage column": garbage,
    **{name: partial(uniform, function) for name, function in FOREIGN.items()},
}
