"""Draw what each option of `sampling=` places in two dimensions: `python docs/images/samplers.py`, a second."""

from pathlib import Path

import numpy as np
import torch
import yaml
from matplotlib.figure import Figure

from runge.configuration.objects import CONFIGURATIONS, build
from runge.pictures.style import BLUE, image, styled
from runge.sampling import Sampling
from runge.targets import Expression

POINTS = 64
TARGET = Expression("tanh(8*(x+y))", [[-1, 1], [-1, 1]])
CAPTIONS = {
    "uniform": "an even grid",
    "chebyshev": "denser at the ends",
    "endpoint": "the same, adjustable",
    "mixed": "one third at the ends",
    "random": "independent",
    "latin_hypercube": "one per row and column",
    "sobol": "random, but even",
    "stratified": "a share per region",
    "derivative": "dense where f' is large",
}


@styled
def samplers() -> Figure:
    """Draw a panel for each option, on the steepness |f'| of a step along a diagonal, and one for the step alone."""
    axis = np.linspace(-1, 1, 201)
    grid = torch.tensor(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2))
    slope = TARGET.derivative(grid).norm(dim=-1).reshape(len(axis), -1)
    figure = Figure((8, 3.9))
    panels = figure.subplots(2, 5, sharex=True, sharey=True).flat
    for axes, (name, caption) in zip(panels, [*CAPTIONS.items(), ("|f'|", "dark: large")], strict=True):
        axes.imshow(slope, extent=(-1, 1, -1, 1), origin="lower", cmap="Greys", vmax=2.5 * slope.max())
        if name in CAPTIONS:
            values = yaml.safe_load((CONFIGURATIONS / "sampling" / f"{name}.yaml").read_text())
            x = build("sampling", values, Sampling).nodes(POINTS, TARGET, torch.Generator().manual_seed(0))
            axes.plot(*x.T, "o", color=BLUE, markersize=3.2, clip_on=False)
        axes.set_title(name, fontweight="bold", loc="center", pad=17)
        axes.text(0, 1.1, caption, ha="center", fontsize=8)
        axes.set(xticks=[], yticks=[], aspect="equal")
        axes.grid(False)
        axes.spines[:].set(visible=True, color="#BBBBBB", linewidth=0.6)
    return figure


if __name__ == "__main__":
    (Path(__file__).parent / "samplers.png").write_bytes(image(samplers()))
