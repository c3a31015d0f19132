"""One check of a tool, printed as JSON: a word, a figure, and a text.

    python benchmarks/problems/checks.py TOOL CHECK --core 1

The words: a tool *holds* what the check asks for; it *fails*, by the figure or with an exception that does not say what
is wrong; it *refuses* with an exception that does; it is *silent* where its answer is NaN or no better than the mean of
the labels, and nothing is said; it *has none* of the derivatives that are checked. A check compares two fits of a small
smooth function, one as it is and one that is changed. The figure is the ratio of their errors, of the value or of the
derivative, whichever is the larger; errors below 1e-3 count as 1e-3.
"""

import argparse
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from cell import answer
from choice import derivative
from fresh import FRESH
from numpy.linalg import LinAlgError
from tables import Array, Rows, errors, label

N, N_TEST, N_MANY, PART = 50, 500, 100_000, 10
RATIO, IDLE, SLOPE, ONE = 3.0, 10.0, 1e-3, 0.1
"""The most that holds: a ratio of errors, also with a further input, a derivative's relative error, and the only row's.

Round-off alone changes the errors of some trainings by a factor of two.
"""
FLOOR = 1e-3
QUICK = {"runge search=best": ("search.timeout=20",)}
"""Arguments of a tool in the checks; in the table this search has 120 s."""
SECONDS, OF_MANY = 300, 200  # of the processor, for a check and for that of many rows
STEPS = 1e-2, 1e-3, 1e-4, 1e-5, 1e-6


class Finding(NamedTuple):
    """A finding of a check: a word of the five above, a figure, and a text."""

    word: str
    figure: float = float("nan")
    text: str = ""


def waves(x: Array) -> Array:
    """Return two outputs of two inputs, (m, 2) to (m, 2); the second is a thousand times larger."""
    return np.stack([np.sin(2 * x[:, 0]) + x[:, 0] * x[:, 1] ** 2, 1e3 * np.cos(x[:, 0] + 2 * x[:, 1])], axis=1)


def sample(n: int, seed: int, outputs: int = 1) -> Rows:
    """Return rows of `waves` at random points of [-1, 1]^2."""
    return label(lambda x: waves(x)[:, :outputs], np.random.default_rng(seed).uniform(-1, 1, (n, 2)))


def evaluated(kind: Any, rows: Rows, test: Rows) -> dict[str, float]:
    """Return the errors of a tool that is fitted to rows; of derivatives, if they are its own."""
    model = kind(0).fit(*rows)
    return errors(model.predict(test.x), derivative(model, test.x) if has_slopes(kind) else None, test)


def compared(kind: Any, change: Callable[[Rows], Rows], also_test: bool = False, most: float = RATIO) -> Finding:
    """Fit a tool to rows and to changed ones, and compare the errors; `also_test` changes the rows of the test too."""
    rows, test = sample(N, 0), sample(N_TEST, 1)
    after = evaluated(kind, change(rows), change(test) if also_test else test)
    before = evaluated(kind, rows, test)
    text = ", ".join(f"{name} {before[name]:.1e} becomes {after[name]:.1e}" for name in after)
    ratio = max(max(after[name], FLOOR) / max(before[name], FLOOR) for name in after if not np.isnan(before[name]))
    known = [after[name] for name in after if not np.isnan(before[name])]
    if not np.isfinite(known).all() or max(known) >= 1:
        return Finding("silent", ratio, text)
    return Finding("holds" if ratio <= most else "fails", ratio, text)


def has_slopes(kind: Any) -> bool:
    """Return whether the derivatives of a tool are its own, not differences that its adapter takes."""
    return not getattr(kind, "DIFFERENCES", False)


def slopes(kind: Any, outputs: int) -> Finding:
    """Compare a tool's derivative with the central difference of its value, at the best of five steps.

    The points are others than those of the rows, and those.
    """
    if not has_slopes(kind):
        return Finding("has none")
    rows = sample(N, 0, outputs)
    model = kind(0).fit(*rows)
    figures = {}
    for where, x in {"between the rows": sample(N_TEST, 1).x, "at the rows": rows.x}.items():
        if (du := derivative(model, x)) is None:
            return Finding("has none")
        tried = []
        for h in STEPS:
            sides = [[model.predict(x + sign * h * unit) for sign in (1, -1)] for unit in np.eye(2)]
            difference = np.stack([(up - down) / (2 * h) for up, down in sides], axis=-1)
            wrong, size = (np.linalg.norm(part, axis=(0, 2)) for part in (du - difference, difference))
            tried.append(float(np.max(wrong / size)))
        figures[where] = float(np.min(tried))
    figure, text = max(figures.values()), ", ".join(f"{one:.1e} {where}" for where, one in figures.items())
    finite = np.isfinite(list(figures.values())).all()
    return Finding("holds" if figure <= SLOPE else "fails" if finite else "silent", figure, text)


def rescaled(of_x: tuple[float, float], of_y: tuple[float, float]) -> Callable[[Rows], Rows]:
    """Return the change of rows to other units, each by a factor and an offset."""
    return lambda rows: Rows(rows.x * of_x[0] + of_x[1], rows.y * of_y[0] + of_y[1], rows.dydx * of_y[0] / of_x[0])


def without(*names: str) -> Callable[[Rows], Rows]:
    """Return the change of one label of ten to NaN, in y or dydx."""

    def change(rows: Rows) -> Rows:
        random = np.random.default_rng(2).random
        labels = ((name, getattr(rows, name)) for name in names)
        return rows._replace(**{name: np.where(random(part.shape) < 1 / PART, np.nan, part) for name, part in labels})

    return change


def twice(rows: Rows) -> Rows:
    return Rows(*(np.concatenate([part, part[:1]]) for part in rows))


def further_input(values: Callable[[int], Array]) -> Callable[[Rows], Rows]:
    """Return the change that adds an input without influence."""
    return lambda rows: Rows(
        np.column_stack([rows.x, values(len(rows.x))]), rows.y, np.pad(rows.dydx, ((0, 0), (0, 0), (0, 1)))
    )


def idle(n: int) -> Array:
    return np.random.default_rng(n).uniform(-1, 1, n)


def infinite(rows: Rows) -> Rows:
    y = rows.y.copy()
    y[0] = np.inf
    return rows._replace(y=y)


def one_row(kind: Any) -> Finding:
    """Fit one row; the errors are those at this row, relative to its labels, which a process may take for noise."""
    rows = sample(1, 0)
    model = kind(0).fit(*rows)
    slopes = derivative(model, rows.x) if has_slopes(kind) else None
    found = {"value": (model.predict(rows.x), rows.y), "derivative": (slopes, rows.dydx)}
    wrong = {
        name: float(np.linalg.norm(u - labels) / np.linalg.norm(labels))
        for name, (u, labels) in found.items()
        if u is not None
    }
    figure, text = max(wrong.values()), ", ".join(f"{name} {error:.1e}" for name, error in wrong.items())
    if not np.isfinite(list(wrong.values())).all() or wrong["value"] >= 1:
        return Finding("silent", figure, text)
    return Finding("holds" if figure <= ONE else "fails", figure, text)


def many_rows(kind: Any) -> Finding:
    """Fit 100 000 rows of five inputs; the figure is the seconds."""
    friedman = FRESH["friedman"].value
    random = np.random.default_rng(0).random
    rows, test = (label(lambda x: friedman(x)[:, None], random((n, 5))) for n in (N_MANY, N_TEST))
    started = time.perf_counter()
    wrong = evaluated(kind, rows, test)
    seconds = time.perf_counter() - started
    text = ", ".join(f"{name} {error:.1e}" for name, error in wrong.items())
    return Finding("holds" if wrong["value"] < 1 else "silent", seconds, text)


CHECKS: dict[str, Callable[[Any], Finding]] = {
    "derivative": lambda kind: slopes(kind, 1),
    "derivative of two outputs": lambda kind: slopes(kind, 2),
    "units of x": lambda kind: compared(kind, rescaled((1e3, 5e3), (1, 0)), also_test=True),
    "units of y": lambda kind: compared(kind, rescaled((1, 0), (1e-6, 1e-5)), also_test=True),
    "NaN derivatives": lambda kind: compared(kind, without("dydx")),
    "NaN values": lambda kind: compared(kind, without("y")),
    "infinite value": lambda kind: compared(kind, infinite),
    "row twice": lambda kind: compared(kind, twice),
    "one row": one_row,
    "idle input": lambda kind: compared(kind, further_input(idle), also_test=True, most=IDLE),
    "constant input": lambda kind: compared(kind, further_input(lambda n: np.full(n, 5.0)), also_test=True),
    "100 000 rows": many_rows,
}
"""The checks, by name: functions of an adapter's class."""


def measure(tool: str, check: str) -> dict[str, Any]:
    """Return what a check finds of a tool."""
    from tools import adapter

    kind = adapter(tool)
    if tool in QUICK:
        kind.ARGUMENTS = QUICK[tool]
    try:
        found = CHECKS[check](kind)
    except ModuleNotFoundError:
        raise
    except Exception as raised:  # whatever a tool raises is its result
        said = " ".join(f"{type(raised).__name__}: {raised}".split())
        found = Finding("refuses" if says_what(raised) else "fails", text=said[:200])
    return found._asdict()


def seconds_of(check: str) -> int:
    """Return the seconds of the processor that a check may take."""
    return OF_MANY if check == "100 000 rows" else SECONDS


def says_what(raised: Exception) -> bool:
    """Return whether an exception was made to say what is wrong, rather than met in compiled code or linear algebra."""
    line = traceback.extract_tb(raised.__traceback__)[-1].line or ""
    made = line.startswith("raise") and not isinstance(raised, LinAlgError)
    return made or isinstance(raised, MemoryError) or "memory" in str(raised)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool")
    parser.add_argument("check", choices=list(CHECKS))
    parser.add_argument("--core", type=int, help="the only core that may be used")
    arguments = parser.parse_args()
    answer(lambda: measure(arguments.tool, arguments.check), arguments.core, seconds_of(arguments.check))


if __name__ == "__main__":
    main()
