"""What a finished training leaves: final figures and pictures."""

from collections.abc import Mapping, Sequence

import torch

from runge import losses
from runge.data import Dataset
from runge.module import SobolevRegression, gradient_diagnostics
from runge.plotting import curves_figure, fit_figure, png

Metrics = dict[str, float | int | None]


def switched_on_step(module: SobolevRegression) -> int | None:
    """The step from which on a stack of one was trained with lambda_d > 0, or None."""
    step = int(module.switched_on)
    return None if step >= int(module.step) or float(module.lambda_d) == 0 else step


def final_metrics(module: SobolevRegression, data: Dataset) -> Metrics:
    """The final figures of a stack of one, of its present weights and with the full lambda_d.

    Args:
        module: the trained module.
        data: its points.

    Returns:
        The errors on all three sets, the gradients of both terms on the training set, lambda_d at the last step, the
        number of parameters, and the step of the switch.
    """
    figures: dict[str, torch.Tensor] = {}
    for split, points in data._asdict().items():
        figures |= module.errors(split, points, module.lambda_d)
    figures |= gradient_diagnostics(*losses.term_gradients(module.network, data.train, module.scale))
    figures["lambda_d"] = module.lambda_at(int(module.step) - 1, 1)[0]
    values = torch.stack([figure.to(torch.float64) for figure in figures.values()])[:, 0].tolist()
    return {
        **dict(zip(figures, values, strict=True)),
        "parameters": module.network.theta.shape[1],
        "switched_on_step": switched_on_step(module),
    }


def fit_picture(module: SobolevRegression, data: Dataset, title: str) -> bytes:
    """The fit of a stack of one on the test grid, as PNG."""
    points = data.test
    with torch.no_grad():
        u, du = module.network.value_and_derivative(points.x)
    x, f, df, u, du = (tensor[0].double().cpu().numpy() for tensor in (points.x, points.f, points.df, u, du))
    masks = points.masks[0, 1:].bool().cpu().numpy()
    return png(fit_figure(x, f, df, u, du, dict(zip(points.regions, masks, strict=True)), title))


def curves_picture(
    module: SobolevRegression, columns: Mapping[str, Sequence[float]], regions: Sequence[str], title: str
) -> bytes:
    """The course of the training of a stack of one, as PNG."""
    return png(curves_figure(columns, switched_on_step(module), regions, title))
