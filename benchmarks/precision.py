"""How exactly f and f' can be fitted, and how soon: Adam, L-BFGS, Levenberg-Marquardt, fixed neurons; on one core.

    python benchmarks/precision.py [evidence] [--seeds 10]
    python benchmarks/precision.py page
    pip install -e '.[bench]' && python benchmarks/precision.py race

`evidence` fits four functions with each optimiser, as `train.py` would, from ten seeds. It keeps the errors on the
test grid, median and worst, and the time of the fit in `benchmarks/precision.csv`, draws the errors on the
validation points over the time as `docs/precision.png`, and writes `docs/precision.md`. Classical methods are
compared with them. `page` writes the page from the figures that are kept.

`race` compares Levenberg-Marquardt with Adam in JAX (jit and scan, float32, 50 000 steps with a cosine, 256 points) on
a 1 -> 64 -> 64 -> 1 network: the time until Levenberg-Marquardt has both MSE_f <= 6.6e-12 and MSE_df <= 9.3e-9, and the
time and the errors of all steps of Adam, after a first run that compiles.
"""

import argparse
import csv
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rich
from evidence.classical import classical
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pages import render, write_pages
from speed.contenders import jax_parts

from runge import machine
from runge.configuration.errors import RunError
from runge.pictures.style import BLUE, GREEN, INK, ORANGE, PINK, png
from runge.records.checkpoints import read_state
from runge.records.directories import RunDirectory
from runge.records.files import write
from runge.sweeps.compose import compose
from runge.training.member import Member
from runge.training.stack import Stack

ROOT = Path(__file__).resolve().parent.parent
TARGETS = {
    "1/(1+25*x**2)": "Runge's function",
    "1/(1+100*x**2)": "a steeper one",
    "exp(-x)*sin(8*x)": "an oscillation",
    "tanh(10*x)": "a step",
}
METHODS = {
    "Adam": ("trainer.precision=64", "schedule=constant"),
    "L-BFGS": ("optimizer=lbfgs", "trainer.precision=64", "trainer.max_steps=3000", "schedule=constant"),
    "Levenberg-Marquardt": ("optimizer=levenberg_marquardt", "schedule=constant"),
    "fixed neurons, 256": ("experiment=readout",),
    "fixed neurons, 512": ("experiment=precision",),
}
COLOURS = dict(zip(METHODS, (ORANGE, GREEN, BLUE, PINK, INK), strict=True))
GOAL = 6.6e-12, 9.3e-9
FIGURES = Path(__file__).with_name("precision.csv")
FIELDS = "f", "by", "mse_f", "worst_mse_f", "mse_df", "worst_mse_df", "max_f", "max_df", "seconds"

Course = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]  # seconds, MSE_f and MSE_df on the validation points


def experiment(*overrides: str) -> Stack:
    return Stack([Member(compose(*overrides, "trainer.progress_bar=false"))])


def fit(*overrides: str) -> tuple[dict[str, Any], Course]:
    """Return the final figures of a run, and its course, with steps that take equally long."""
    made = experiment(*overrides)
    with tempfile.TemporaryDirectory() as folder:
        (outcome,) = made.fit([RunDirectory(folder)])
        saved = read_state(RunDirectory(folder).last).state["callbacks"]["History"]
    if isinstance(outcome, RunError):
        raise outcome
    rows, steps = saved["rows"][0].numpy(), np.array(saved["steps"])
    f, df = (rows[saved["keys"].index(f"val/{key}")] for key in ("mse_f", "mse_df"))
    return outcome, (steps / steps[-1] * outcome["seconds/fit"], f, df)


def evidence(seeds: int) -> None:
    rows = list[list[str]]()
    figure = Figure(figsize=(11, 6.8), layout="constrained")
    for axes, (expression, what) in zip(figure.subplots(2, 2).flat, TARGETS.items(), strict=True):
        target = ("target=expression", f"target.expr='{expression}'")
        for name, overrides in METHODS.items():
            outcomes, courses = zip(*(fit(*overrides, *target, f"seed={seed}") for seed in range(seeds)), strict=True)
            columns = {key: [one[f"test/{key}"] for one in outcomes] for key in ("mse_f", "mse_df", "max_f", "max_df")}
            middle = {key: statistics.median(values) for key, values in columns.items()}
            cells = [middle["mse_f"], max(columns["mse_f"]), middle["mse_df"], max(columns["mse_df"])]
            numbers = [f"{cell:.1e}" for cell in [*cells, middle["max_f"], middle["max_df"]]]
            seconds = statistics.median(one["seconds/fit"] for one in outcomes)
            rows.append([expression, name, *numbers, f"{seconds:.1f}"])
            print(*rows[-1])
            draw(axes, courses, name)
        for name, (f, df) in classical(experiment(*target).members[0].formula[0], 320).items():
            rows.append([expression, f"{name}, 320 points", f"{f:.1e}", "", f"{df:.1e}", "", "", "", ""])
            print(*rows[-1])
        axes.set(
            xscale="log", yscale="log", title=f"{what}: {expression}", xlabel="seconds", ylabel="mean squared error"
        )
        axes.grid(color="#E4E4E4")
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    write(ROOT / "docs" / "precision.png", png(figure))
    with FIGURES.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([FIELDS, *rows])
    write_page()


def write_page() -> None:
    """Write the page from the figures that are kept."""
    with FIGURES.open(newline="") as file:
        rows = [{**row, "f": f"`{row['f']}`"} for row in csv.DictReader(file)]
    text = render(Path(__file__).with_name("precision.md.jinja"), rows=rows)
    write_pages({"precision.md": text}, {})


def draw(axes: Any, courses: tuple[Course, ...], name: str) -> None:
    """Draw each seed's errors, MSE_f solid and MSE_df dashed, and one line for the legend."""
    for seconds, f, df in courses:
        axes.plot(seconds, np.minimum.accumulate(f), color=COLOURS[name], linewidth=0.8, alpha=0.6)
        axes.plot(seconds, np.minimum.accumulate(df), color=COLOURS[name], linewidth=0.8, alpha=0.6, linestyle="--")
    axes.plot([], [], color=COLOURS[name], label=f"{name} (MSE_f; dashed: MSE_df)" if name == "Adam" else name)


def race(seeds: int) -> None:
    ours: list[float] = []
    for seed in range(seeds):
        changes = ("optimizer=levenberg_marquardt", "schedule=constant", "trainer.log_every=1", f"seed={seed}")
        _, (seconds, f, df) = fit(*changes, "trainer.max_steps=100", "trainer.diagnostics_every=1000")
        ours.append(float(seconds[np.argmax((f <= GOAL[0]) & (df <= GOAL[1]))]))
        assert f[-1] <= GOAL[0]
        assert df[-1] <= GOAL[1]
    theirs, f, df = jax_adam()
    rich.print(f"Levenberg-Marquardt: {statistics.median(ours):.3f} s, worst {max(ours):.3f} s, of {seeds} seeds")
    rich.print(f"Adam in JAX, 50 000 steps: {theirs:.2f} s, to mse_f {f:.1e} and mse_df {df:.1e}")
    rich.print(f"{theirs / statistics.median(ours):.0f} times sooner")


def jax_adam() -> tuple[float, float, float]:
    jax, initial, network, step = jax_parts((1, 64, 64, 1), 5e-3, cosine=50_000)
    jnp = jax.numpy

    def exact(x: Any) -> tuple[Any, Any]:
        f = 1 / (1 + 25 * x**2)
        return f, -50 * x * f**2

    def errors(weights: Any, x: Any) -> tuple[Any, Any]:
        (f, df), (u, du) = exact(x), jax.jvp(partial(network, weights), (x,), (jnp.ones_like(x),))
        return jnp.mean((u - f) ** 2), jnp.mean((du - df) ** 2)

    def loss(weights: Any, _: None) -> Any:
        f, df = errors(weights, jnp.linspace(-1, 1, 256)[:, None])
        return f + 0.1 * df

    run = jax.jit(lambda state: jax.lax.scan(partial(step, loss), state, length=50_000)[0])
    start = initial(jax.random.key(0))
    jax.block_until_ready(run(start))  # compiles
    began = time.perf_counter()
    fitted, _ = jax.block_until_ready(run(start))
    seconds = time.perf_counter() - began
    f, df = errors(fitted, jnp.linspace(-1, 1, 2001)[:, None])
    return seconds, float(f), float(df)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("evidence", "page", "race"), default="evidence")
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})
    machine.limit_threads(1)
    if arguments.what == "page":
        write_page()
    else:
        (evidence if arguments.what == "evidence" else race)(arguments.seeds)


if __name__ == "__main__":
    main()
