"""Measure how the errors of `runge fit`, as it ships, fall with the number of rows, and draw them.

    python benchmarks/problems/rows.py [NAME ...] [--seed 0] [--seconds 60]

Each table has three sizes, each four times as large as the one before. The errors are kept in `figures/rows.json`, from
which `studies.py` writes a part of a page, and drawn as `docs/images/rows.png`. All of it takes half an hour on two
cores.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

from engineering import EXCHANGER, heat_exchanger
from functions import Function, problem
from hard import HARD
from large_tables import RIDGES
from matplotlib.figure import Figure
from results import by, keep, read
from tables import errors
from tools.runge_fit import Fit

from runge.pictures.style import COLOURS, image, styled

sys.path.append(str(Path(__file__).parents[1] / "search"))
from suite import JOINTS, START, orbit, torques

COMMAND = "python benchmarks/problems/rows.py"
PICTURE = Path(__file__).parents[2] / "docs" / "images" / "rows.png"
GROWTH, SIZES = 4, 3
"""The rows of a size over those of the size before, and the number of sizes."""

TABLES = {
    "borehole": HARD["borehole"]._replace(n=40),
    "piston": HARD["piston"]._replace(n=60),
    "wing weight": HARD["wing_10"]._replace(n=60),
    "heat exchanger": Function(heat_exchanger, EXCHANGER, 60),
    "orbit": Function(orbit, tuple((s - 0.05, s + 0.05) for s in START.tolist()), 100),
    "robot arm": Function(torques, JOINTS, 125),
    "30 inputs": RIDGES._replace(box=((-1, 1),) * 30, n=500),
}
"""The functions, with the rows of the smallest size."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(TABLES), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in arguments.names:
        for size in range(SIZES):
            function = TABLES[name]._replace(n=TABLES[name].n * GROWTH**size)
            seen, test = problem(function, arguments.seed)
            model, began = Fit(arguments.seed, f"search.timeout={arguments.seconds:g}"), time.perf_counter()
            model.fit(*seen)
            figures = errors(model.predict(test.x), model.predict_derivative(test.x), test)
            shape = {"inputs": seen.x.shape[1], "outputs": seen.y.shape[1], "rows": len(seen.x)}
            row = {"problem": name, "seed": arguments.seed, **shape, **figures, "seconds": time.perf_counter() - began}
            keep("rows", [row], COMMAND, ("problem", "seed", "rows"))
            print(row, flush=True)
    PICTURE.write_bytes(image(drawn()))


@styled
def drawn() -> Figure:
    """Draw the errors of values and of derivatives against the number of rows."""
    figure = Figure((8, 3.4))
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, key in zip(panels, ("value", "derivative"), strict=True):
        for (name, rows), colour in zip(by("problem", read("rows")["rows"]).items(), COLOURS, strict=False):
            curve = sorted((row["rows"], row[key]) for row in rows)
            axes.loglog(*zip(*curve, strict=True), "o-", color=colour, label=name, markersize=3.5)
        axes.set(title=f"{key}s", xlabel="rows")
    panels[0].set_ylabel("error over the standard deviation")
    panels[1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    main()
