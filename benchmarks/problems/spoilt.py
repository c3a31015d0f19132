"""Spoil tables in the ways in which labels are wrong, and count how often `runge check` finds it.

    python benchmarks/problems/spoilt.py [--repeats 5]

A repeat has 35 spoilt tables and 20 sound ones, of the functions of `functions.py` and `fresh.py` and of the reactor,
with 80 to 300 rows, and half of them with noise of 5 % of the standard deviation of each column. A column is spoilt
whose part in the differences of its output is at least a twentieth of the largest one; swapped columns differ by a
fifth. A mistake is found if its columns are named, and no other ones. The check was tuned on other functions. Single
wrong labels are those of `outliers.py`.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pfr
from fresh import FRESH
from functions import CUBE, FUNCTIONS, Function, outputs
from results import keep
from scipy.stats import qmc
from tables import Rows, label, noisy

from runge.commands.check import check
from runge.data.table import numbered
from runge.labels.contradictions import ColumnNames, contradictions

KINDS = {"sign": 6, "factor": 6, "degrees": 6, "transposed": 5, "swapped": 6, "shifted": 6}
FACTORS = 0.5, 2.0, 2 * np.pi, 1 / (2 * np.pi), 1000.0, 0.001
NOISE, MATTERS, DIFFERS = 0.05, 0.05, 0.2
ROWS = 80, 300
LARGE = 10_000, 10


def together(*names: str) -> Function:
    """Return functions with the same box as one with several outputs."""
    functions = [(FUNCTIONS | FRESH)[name] for name in names]
    return functions[0]._replace(value=lambda x: np.stack([one.value(x) for one in functions], axis=1))


SINGLE = FUNCTIONS | FRESH
SEVERAL = {
    "tensors": together("tensor_exp", "tensor_tanh", "tensor_cos"),
    "square": together("franke", "ridge"),
    "reactor": Function(pfr.reactor, tuple(pfr.INPUTS.values()), 0),
}
assert SINGLE["tensor_exp"].box == CUBE


class Spoilt(NamedTuple):
    """A table with a mistake, and its columns, (output, input)."""

    rows: Rows
    columns: set[tuple[int, int]]


def table(function: Function, noise: float, random: np.random.Generator) -> Rows:
    """Return a Latin hypercube of 80 to 300 rows with labels."""
    low, high = zip(*function.box, strict=True)
    hypercube = qmc.LatinHypercube(d=len(low), rng=random).random(int(random.integers(ROWS[0], ROWS[1] + 1)))

    return noisy(label(outputs(function), qmc.scale(hypercube, low, high)), noise, noise, random)


def spoil(kind: str, rows: Rows, random: np.random.Generator) -> Spoilt | None:
    """Return a table with a mistake of a kind; None: it cannot be made with this table."""
    x, y, dydx = rows.x, rows.y.copy(), rows.dydx.copy()
    (_, outputs, inputs), size = dydx.shape, np.sqrt((dydx**2).mean(axis=0))
    part = size * x.std(axis=0)
    matters = part >= MATTERS * part.max(axis=1, keepdims=True)
    p, d = map(int, random.choice(np.argwhere(matters)))
    column = p, d
    if kind in ("sign", "factor", "degrees"):
        factors = {"sign": (-1.0,), "factor": FACTORS, "degrees": (np.pi / 180, 180 / np.pi)}
        dydx[:, p, d] *= random.choice(factors[kind])
        return Spoilt(Rows(x, y, dydx), {column})
    if kind == "swapped":
        apart = np.sqrt(((dydx[:, p] - dydx[:, p, [d]]) ** 2).mean(axis=0)) / size[p, d]
        others = np.flatnonzero(matters[p] & (apart > DIFFERS))
        if not len(others):
            return None
        e = int(random.choice(others))
        dydx[:, p, [d, e]] = dydx[:, p, [e, d]]
        return Spoilt(Rows(x, y, dydx), {column, (p, e)})
    if kind == "transposed":
        square = min(outputs, inputs)
        dydx[:, :square, :square] = dydx[:, :square, :square].transpose(0, 2, 1).copy()
        return Spoilt(Rows(x, y, dydx), {(i, j) for i in range(square) for j in range(square) if i != j})
    dydx = np.roll(dydx, random.choice([-3, -2, -1, 1, 2, 3]), axis=0)
    return Spoilt(Rows(x, y, dydx), {(i, j) for i in range(outputs) for j in range(inputs)})


def found(rows: Rows) -> tuple[set[str], ColumnNames]:
    """Return the columns that `runge check` names, and the names of all."""
    names = ColumnNames(numbered("x", rows.x.shape[1]), numbered("y", rows.y.shape[1]))
    return {column for finding in contradictions(*rows, names).findings for column in finding.columns}, names


def is_right(spoilt: Spoilt) -> tuple[bool, bool]:
    """Return whether the mistake is found, and whether another column is named."""
    named, names = found(spoilt.rows)
    wanted = {names.column(place) for place in spoilt.columns}
    return named == wanted, not named <= wanted


def seconds() -> tuple[float, float]:
    """Return the seconds, and those of the processor, of a check of a file of 10,000 rows and 10 inputs."""
    n, inputs = LARGE
    random = np.random.default_rng(0)
    x, slopes = random.uniform(-1, 1, (n, inputs)), random.normal(size=(3, inputs)) / 2
    y, dydx = np.sin(x @ slopes.T).sum(axis=1), np.cos(x @ slopes.T) @ slopes
    columns = {f"x{d}": x[:, d] for d in range(inputs)} | {"y": y} | {f"dy_dx{d}": dydx[:, d] for d in range(inputs)}
    with TemporaryDirectory() as directory:
        path = Path(directory, "large.csv")
        pd.DataFrame(columns).to_csv(path, index=False)
        began, used = time.perf_counter(), time.process_time()
        assert not check(path).findings
        return time.perf_counter() - began, time.process_time() - used


def repeat(seed: int) -> list[dict[str, Any]]:
    """Return a row for each of 35 spoilt tables and 20 sound ones."""
    random, rows = np.random.default_rng(seed), []
    for kind, count in KINDS.items():
        for i in range(count):
            noise, mistake, name = NOISE * (i % 2), None, ""
            while mistake is None:
                several = SEVERAL if kind == "transposed" else SINGLE | SEVERAL
                name = str(random.choice(list(several)))
                mistake = spoil(kind, table(several[name], noise, random), random)
            right, wrong = is_right(mistake)
            rows.append({"kind": kind, "noise": noise, "function": name, "right": right, "wrong": wrong})
    for i, (name, function) in enumerate([*SINGLE.items(), ("reactor", SEVERAL["reactor"])]):
        noise = NOISE * ((i + seed) % 2)
        alarm = bool(found(table(function, noise, random))[0])
        rows.append({"kind": "sound", "noise": noise, "function": name, "right": not alarm, "wrong": alarm})
    return [{"repeat": seed, **row} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    whole, used = seconds()
    print(f"10,000 rows, 10 inputs: {whole:.1f} s, {used:.1f} s of the processor")
    tables = [row for seed in range(arguments.repeats) for row in repeat(seed)]
    rows = []
    for kind in (*KINDS, "sound"):
        for noise in (0.0, NOISE):
            some = [row for row in tables if (row["kind"], row["noise"]) == (kind, noise)]
            counts: dict[str, int] = {name: sum(row[name] for row in some) for name in ("right", "wrong")}
            first = [row["right"] for row in some if row["repeat"] == 0]
            counts |= {"first": sum(first), "of": len(first)}
            rows.append({"kind": kind, "noise": noise, "tables": len(some), **counts})
            print(rows[-1])
    missed = [row for row in tables if not row["right"]]
    print(*missed, sep="\n")
    rows += [{"kind": "missed", "tables": missed}, {"kind": "seconds", "whole": whole, "processor": used}]
    keep("spoilt", rows, "python benchmarks/problems/spoilt.py")


if __name__ == "__main__":
    main()
