"""Draw the diagrams of the explanations: `python docs/images/diagrams.py`, a second."""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

HERE = Path(__file__).parent
INK, BLUE, ORANGE, GREEN, PALE = "#333333", "#0072B2", "#D55E00", "#009E73", "#F4F4F4"


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of some inches whose axes have the same units."""
    figure = plt.figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def box(axes: Axes, x: float, y: float, text: str, width: float = 1.5, height: float = 0.5, colour: str = INK) -> None:
    """Draw a box with a text, centred at a point."""
    shape = FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height, "round,pad=0,rounding_size=0.08", fc=PALE, ec=colour, lw=1.2
    )
    axes.add_patch(shape)
    axes.text(x, y, text, ha="center", va="center", fontsize=9, color=INK)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], text: str = "", side: float = 0.0) -> None:
    """Draw an arrow between two points, with a text beside its middle."""
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color="#777777", lw=1))
    x, y = np.mean([start, end], axis=0)
    axes.text(x + side, y, text, fontsize=8, color="#555555", ha="left" if side >= 0 else "right", va="center")


def stack() -> Figure:
    """Show the tensors of a layer with their members in front."""
    figure, axes = canvas(7.4, 2.5)
    titles = ("points\n(M, N, D)", "weights\n(M, D, 64)", "neurons\n(M, N, 64)", r"$\lambda_d$, seeds" + "\n(M,)")
    sizes = ((0.5, 1.1), (1.0, 0.5), (1.0, 1.1), (0.28, 0.28))
    for x, title, (width, height), sign in zip((0.9, 2.7, 4.6, 6.5), titles, sizes, ("×", "=", "", ""), strict=True):
        for member in reversed(range(4)):
            left, low = x - width / 2 + 0.1 * member, 1.3 - height / 2 + 0.1 * member
            colour = (BLUE, ORANGE, GREEN, "#CC79A7")[member]
            axes.add_patch(Rectangle((left, low), width, height, fc="white", ec=colour, lw=1.5))
        axes.text(x + 0.15, 0.32, title, ha="center", va="center", fontsize=9, color=INK)
        axes.text(x + 0.98, 1.4, sign, ha="center", va="center", fontsize=15, color=INK)
    axes.text(
        0.05, 2.36, "one product for all members; each colour is a member, a run of its own", fontsize=9, color=INK
    )
    return figure


def path() -> Figure:
    """Show the way from a command to the files of its runs."""
    figure, axes = canvas(7.4, 2.5)
    box(axes, 0.95, 2.0, "command\n-m seed=range(8)", 1.55)
    box(axes, 2.85, 2.0, "8 configurations,\nall checked", 1.55)
    for y, name in ((2.0, "stack of 4"), (1.0, "stack of 4")):
        box(axes, 4.6, y, f"{name}\non one core", 1.25, colour=BLUE)
        box(axes, 6.4, y, "4 directories:\nmetrics, history,\nbest.ckpt", 1.5, 0.75, GREEN)
        arrow(axes, (5.25, y), (5.6, y))
    box(axes, 6.4, 0.25, "comparison.html", 1.5, 0.34, ORANGE)
    arrow(axes, (1.75, 2.0), (2.05, 2.0))
    arrow(axes, (3.65, 2.0), (3.95, 2.0))
    arrow(axes, (3.65, 1.85), (3.95, 1.1))
    arrow(axes, (6.4, 0.6), (6.4, 0.44))
    axes.plot([7.15, 7.28, 7.28, 7.15], [2.0, 2.0, 0.25, 0.25], color="#777777", lw=1)
    axes.text(0.18, 1.45, "Hydra", fontsize=8, color="#555555")
    axes.text(2.1, 1.45, "pydantic", fontsize=8, color="#555555")
    axes.text(4.0, 0.45, "Lightning, blocks of steps", fontsize=8, color="#555555")
    return figure


def resume() -> Figure:
    """Show a run that is killed, and its continuation."""
    figure, axes = canvas(7.4, 1.7)
    for y, (start, end), colour, name in ((1.25, (0.9, 4.3), BLUE, "first"), (0.55, (3.3, 7.1), GREEN, "resumed")):
        axes.plot([start, end], [y, y], color=colour, lw=5, solid_capstyle="butt")
        axes.text(0.1, y, name, fontsize=9, color=INK, va="center")
    for x in (1.5, 2.4, 3.3, 4.2, 5.1, 6.0):
        y = 1.25 if x < 3.5 else 0.55
        axes.plot([x], [y], "o", ms=7, mfc="white", mec=INK)
    axes.plot([4.3], [1.25], "x", ms=10, mew=2.5, color=ORANGE)
    axes.text(4.45, 1.25, "kill -9", fontsize=9, color=ORANGE, va="center")
    arrow(axes, (3.3, 1.13), (3.3, 0.67), "state", 0.08)
    axes.text(1.5, 1.48, "a checkpoint every 30 s", fontsize=8, color="#555555", ha="left")
    axes.text(7.1, 0.2, "the same bits as without the kill", fontsize=8, color="#555555", ha="right")
    return figure


def settings() -> Figure:
    """Show the decisions from the data to the settings."""
    figure, axes = canvas(7.4, 5.0)
    questions = (
        "Is a minute enough,\nand nothing to study?",
        "One smooth input?",
        "A kink?",
        "Noise, or many\nthousand labels?",
    )
    answers = (
        "runge fit FILE",
        "least_squares\n(few points: scarce)",
        "relu, or\nreadout=eliminate",
        "noise: Adam(W),\nexact: soap",
    )
    for i, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        y = 4.5 - 1.05 * i
        box(axes, 2.0, y, question, 2.3, 0.62)
        box(axes, 5.9, y, answer, 2.3, 0.56, GREEN)
        arrow(axes, (3.2, y), (4.7, y))
        axes.text(3.9, y + 0.1, "yes", fontsize=8, color="#555555", ha="center")
        arrow(axes, (2.0, y - 0.34), (2.0, y - 0.71), "no", 0.08)
    box(axes, 2.0, 0.32, "levenberg_marquardt,\nsilu, 1 to 3 layers", 2.3, 0.56, GREEN)
    return figure


if __name__ == "__main__":
    mpl.rcParams |= {"svg.hashsalt": "runge", "font.family": "DejaVu Sans", "svg.fonttype": "path"}
    for draw in (stack, path, resume, settings):
        draw().savefig(HERE / f"{draw.__name__}.svg", metadata={"Date": None}, facecolor="white")
