"""What remains of a training as plain data: each member's final figures, its fit, and its training points."""

from collections.abc import Sequence

import torch
from torch import Tensor

from runge.data import Dataset
from runge.metrics import LAMBDA_D, PARAMETERS, STAGES, SWITCHED_ON_STEP
from runge.sobolev.points import Points
from runge.training.module import SobolevRegression, gradient_diagnostics

Metrics = dict[str, float | int | None]

_MOST_ROWS = 201
"""Rows of `fit.csv`."""


def switched_on_step(module: SobolevRegression, member: int) -> int | None:
    """Return the step from which on a member was trained with lambda_d > 0, or None."""
    step = int(module.switched_on[member])
    return None if step >= int(module.step) or float(module.lambda_d[member]) == 0 else step


def final_metrics(module: SobolevRegression, data: Dataset) -> list[Metrics]:
    """Return the final figures of each member, of the present weights and with the full lambda_d.

    Args:
        module: the trained module.
        data: its points.

    Returns:
        The errors on all three sets, the gradients of both terms on the training set, lambda_d at the last step, the
        number of parameters and of residual stages that help, and the step of the switch.
    """
    figures: dict[str, Tensor] = {}
    for split, points in data._asdict().items():
        figures |= module.errors(split, points, module.lambda_d)
    figures |= gradient_diagnostics(*module.term_gradients(data.train))
    figures[LAMBDA_D] = module.lambda_at(int(module.step) - 1, 1)[0]
    values = torch.stack([figure.to(torch.float64) for figure in figures.values()], dim=1).tolist()
    parameters = module.network.parameters_in_use()
    return [
        {
            **dict(zip(figures, row, strict=True)),
            PARAMETERS: int(parameters[member]),
            STAGES: int((module.network.amplitude[member] != 0).sum()),
            SWITCHED_ON_STEP: switched_on_step(module, member),
        }
        for member, row in enumerate(values)
    ]


def fit_table(points: Points, u: Tensor, du: Tensor, member: int) -> dict[str, list[float]]:
    """Return the columns of a member's `fit.csv`: x, f, f', u, u' at evenly chosen test points, both ends included.

    Args:
        points: the test points.
        u: the fit's values there, (M, N).
        du: the fit's gradients there, (M, N, D).
        member: which one.
    """
    n, dimension = points.x.shape[1:]
    rows = torch.linspace(0, n - 1, min(n, _MOST_ROWS), dtype=torch.float64).round().long()
    parts = (points.x, points.f[..., None], points.df, u[..., None], du)
    values = torch.cat([part[member].double().cpu()[rows] for part in parts], dim=1)
    slopes = [["df"], ["du"]] if dimension == 1 else [[f"{y}_d{x}" for x in _inputs(dimension)] for y in ("df", "du")]
    names = [*_inputs(dimension), "f", *slopes[0], "u", *slopes[1]]
    return dict(zip(names, values.mT.tolist(), strict=True))


def points_table(places: Sequence[tuple[int, Tensor]]) -> dict[str, list[float]]:
    """Return where a member's training points have been, as columns: `step` and x, or x1 to xD."""
    x = torch.cat([points.double() for _, points in places])
    steps: list[float] = [step for step, points in places for _ in range(len(points))]
    return {"step": steps} | dict(zip(_inputs(x.shape[1]), x.mT.tolist(), strict=True))


def _inputs(dimension: int) -> list[str]:
    return ["x"] if dimension == 1 else [f"x{d + 1}" for d in range(dimension)]
