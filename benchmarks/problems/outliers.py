"""Put one wrong label into tables, and count how often the networks of a cross-validation name it, or `runge fit`.

    python benchmarks/problems/outliers.py [--fit SECONDS]

The functions are most of `fresh.py` and others of https://www.sfu.ca/~ssurjano/, with one label that is 1.5 times too
large or off by three standard deviations of its column. The first kind is made with labels that are at least as large
as the root mean square of their column. Half of the tables have 15 % of their labels left out. A derivative is chosen
whose part in the differences of its output is at least a twentieth of the largest one. It is right if this label is
named, and no other one. Sound tables are of the same functions, half of them with noise of 5 %, and of functions with a
kink or a front; there it is right if nothing is named. The networks have the shape of those in `intervals.py`, and take
fewer steps (60). The rule of `runge.labels.outliers` was chosen on other functions, those of `functions.py` and `TUNED`
among them.

With `--fit` the whole command `runge fit` has these seconds for each table without noise, and the labels are those that
its answer names.
"""

import argparse
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import functions
import numpy as np
from fresh import FRESH
from functions import CUBE, Function
from numpy.typing import NDArray
from results import keep
from tables import Array, Rows, noisy

import runge
from runge.comparison.leaderboard import read_leaderboard
from runge.configuration.objects import build
from runge.data.rows import Rows as TableRows
from runge.data.table import Table, numbered
from runge.function.function import Function as Networks
from runge.function.residuals import errors_of
from runge.labels.outliers import outliers
from runge.sweeps.compose import compose
from runge.training.member import Member
from runge.training.stack import Stack

FOLDS, HOLES, NOISE, MATTERS = 5, 0.15, 0.05, 0.05
SETTINGS = (
    *("data=table", "data.file=X", f"data.folds={FOLDS}", "data.split.test=0", "loss.lambda_d=1"),
    *("optimizer=levenberg_marquardt", "trainer.max_steps=60", "model.activation=silu", "model.depth=2"),
    *("model.width=16", "trainer.progress_bar=false", "~logger"),
)
FACTOR, DEVIATIONS = "1.5 times too large", "off by 3 standard deviations"


def positive(x: NDArray) -> NDArray:
    """Return the positive part of x, of which a complex step can take the derivative."""
    return (x + np.sqrt(x**2)) / 2


def himmelblau(x: NDArray) -> NDArray:
    return (x[:, 0] ** 2 + x[:, 1] - 11) ** 2 + (x[:, 0] + x[:, 1] ** 2 - 7) ** 2


def beale(x: NDArray) -> NDArray:
    first, second = x.T
    terms = [(c - first + first * second**k) ** 2 for k, c in ((1, 1.5), (2, 2.25), (3, 2.625))]
    return np.sum(terms, axis=0)


def dette_pepelyshev(x: NDArray) -> NDArray:
    """Return a function that is curved in three inputs."""
    first, second, third = x.T
    bend = first - 2 + 8 * second - 8 * second**2
    return 4 * bend**2 + (3 - 4 * second) ** 2 + 16 * np.sqrt(third + 1) * (2 * third - 1) ** 2


TUNED = "franke", "ishigami", "six_hump_camel"
SMOOTH = {name: function for name, function in FRESH.items() if name not in TUNED} | {
    "himmelblau": Function(himmelblau, ((-4, 4),) * 2, 100),
    "beale": Function(beale, ((-2, 2),) * 2, 100),
    "dette_pepelyshev": Function(dette_pepelyshev, ((0, 1),) * 3, 150),
}
SHARP = {
    "hinge": Function(lambda x: positive(x[:, 0] - 0.4) + x[:, 1] ** 2, CUBE[:2], 100),
    "valley": Function(lambda x: np.sqrt((x[:, 0] - x[:, 1]) ** 2) + 0.3 * x[:, 0], CUBE[:2], 100),
    "option": Function(lambda x: positive(np.exp(x[:, 0]) - 1.2) * np.exp(-x[:, 1]), CUBE[:2], 100),
    "shock": Function(lambda x: np.tanh(25 * (x[:, 0] - 0.3 * x[:, 1])), CUBE[:2], 100),
    "flame": Function(lambda x: 1 / (1 + np.exp(-30 * (x[:, :2].sum(axis=1) - 0.5))) + x[:, 2], CUBE, 150),
}


class Case(NamedTuple):
    """A table: what is wrong in it, its function, the standard deviation of its noise, and the share of its holes."""

    kind: str
    function: str
    noise: float
    holes: float


def cases() -> Iterator[Case]:
    """Yield the tables, 20 with a wrong label, 10 with a wrong label and noise, and 20 sound ones."""
    for i, name in enumerate(SMOOTH):
        yield Case(FACTOR, name, 0, HOLES * (i % 2))
        yield Case(DEVIATIONS, name, 0, HOLES * (1 - i % 2))
        yield Case(DEVIATIONS, name, NOISE, HOLES * (i % 2))
        yield Case("none", name, NOISE * (i % 2), HOLES * (i // 2 % 2))
    for name in SHARP:
        for holes in (0, HOLES):
            yield Case("none", name, 0, holes)


def spoilt(rows: Rows, kind: str, random: np.random.Generator) -> tuple[Rows, tuple[int, int]]:
    """Return a table with a wrong label, and its row and its column, as `errors_of` counts them."""
    y, dydx = rows.y.copy(), rows.dydx.copy()
    part = np.sqrt(np.nanmean(dydx[:, 0] ** 2, axis=0)) * rows.x.std(axis=0)
    column = 0
    if random.random() < 0.5:
        column = 1 + int(random.choice(np.flatnonzero(part >= MATTERS * part.max())))
    labels = y[:, 0] if column == 0 else dydx[:, 0, column - 1]
    if kind == FACTOR:
        row = int(random.choice(np.flatnonzero(np.abs(labels) >= np.sqrt(np.nanmean(labels**2)))))
        labels[row] *= 1.5
    else:
        row = int(random.choice(np.flatnonzero(~np.isnan(labels))))
        labels[row] += random.choice([-3, 3]) * np.nanstd(labels)
    return Rows(rows.x, y, dydx), (row, column)


def residuals(rows: Rows, seed: int) -> Array:
    """Return the errors of networks at rows that they were trained without, as `errors_of` does."""
    names = tuple(numbered("x", rows.x.shape[1])), tuple(numbered("y", rows.y.shape[1]))
    members = list[Member]()
    for fold in range(FOLDS):
        configuration = compose(*SETTINGS, f"data.fold={fold}", f"seed={seed}")
        table = build("data", configuration["data"], Table)
        copies = rows.x.copy(), rows.y.copy(), rows.dydx.copy()  # which become read-only
        members.append(Member(configuration, rows=TableRows.of(copies, *names, table)))
    stack = Stack(members)
    stack.fit_in_memory()
    networks = Networks(stack.module.best.requires_grad_(False).cpu().double().eval(), inputs=names[0])
    errors = np.full((len(rows.x), 1 + rows.x.shape[1]), np.nan)
    for fold, member in enumerate(members):
        assert member.rows is not None
        left_out = member.rows.split(member.data_seed.generator("data")).val
        errors[left_out] = errors_of(networks.jet, member.rows, left_out)[fold]
    return errors


def named(rows: Rows, seed: int) -> set[tuple[int, int]]:
    """Return the row and the column of the labels that networks of a cross-validation name."""
    return {(outlier.row, outlier.column) for outlier in outliers(residuals(rows, seed), *rows)}


def named_by_fit(rows: Rows, seconds: float) -> set[tuple[int, int]]:
    """Return the row and the column of the labels that `runge fit` names."""
    with TemporaryDirectory() as directory:
        data = {"x": rows.x, "y": rows.y, "dydx": rows.dydx}
        quiet = "trainer.progress_bar=false", "search.compare=false"
        answer = runge.fit(data, f"search.timeout={seconds:g}", *quiet, directory=directory)
        columns = ["y", *(f"dy_d{name}" for name in answer.function.inputs)]
        suspects = read_leaderboard([Path(directory)])
        assert suspects
        return {(int(one.place.split()[-1]) - 1, columns.index(one.column)) for one in suspects.suspects}


def measure(case: Case, seed: int, seconds: float | None) -> dict[str, Any]:
    """Return whether what is wrong in a table is named, and how many other labels are."""
    random = np.random.default_rng([seed, *map(ord, "".join(map(str, case)))])
    rows = functions.problem((SMOOTH | SHARP)[case.function], seed)[0]
    rows = noisy(rows, case.noise, case.noise, random)
    y, dydx = (np.where(random.random(part.shape) < case.holes, np.nan, part) for part in rows[1:])
    empty = np.isnan(np.c_[y, dydx[:, 0]]).all(axis=1)
    rows, wrong = Rows(rows.x, np.where(empty[:, None], rows.y, y), dydx), None
    if case.kind != "none":
        rows, wrong = spoilt(rows, case.kind, random)
    found = named(rows, seed) if seconds is None else named_by_fit(rows, seconds)
    return case._asdict() | {"right": found == ({wrong} - {None}), "others": len(found - {wrong})}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", type=float, metavar="SECONDS")
    seconds = parser.parse_args().fit
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    rows = list[dict[str, Any]]()
    for case in cases():
        if seconds is None or not case.noise:
            rows.append(measure(case, 0, seconds))
            print(rows[-1], flush=True)
    command = "python benchmarks/problems/outliers.py"
    if seconds is None:
        keep("outliers", rows, command)
    else:
        keep("outliers_fit", rows, f"{command} --fit {seconds:g}")


if __name__ == "__main__":
    main()
