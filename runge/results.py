"""What a finished training leaves: final figures and pictures, member by member."""

from collections.abc import Mapping, Sequence

import torch

from runge.data import Dataset
from runge.module import SobolevRegression, gradient_diagnostics
from runge.plotting import curves_figure, fit_figure, png
from runge.points import Points

Metrics = dict[str, float | int | None]


def switched_on_step(module: SobolevRegression, member: int) -> int | None:
    """The step from which on a member was trained with lambda_d > 0, or None."""
    step = int(module.switched_on[member])
    return None if step >= int(module.step) or float(module.lambda_d[member]) == 0 else step


def final_metrics(module: SobolevRegression, data: Dataset) -> list[Metrics]:
    """The final figures of each member, of the present weights and with the full lambda_d.

    Args:
        module: the trained module.
        data: its points.

    Returns:
        The errors on all three sets, the gradients of both terms on the training set, lambda_d at the last step, the
        number of parameters and of residual stages that help, and the step of the switch.
    """
    figures: dict[str, torch.Tensor] = {}
    for split, points in data._asdict().items():
        figures |= module.errors(split, points, module.lambda_d)
    figures |= gradient_diagnostics(*module.term_gradients(data.train))
    figures["lambda_d"] = module.lambda_at(int(module.step) - 1, 1)[0]
    values = torch.stack([figure.to(torch.float64) for figure in figures.values()], dim=1).tolist()
    parameters = module.network.parameters_in_use()
    return [
        {
            **dict(zip(figures, row, strict=True)),
            "parameters": int(parameters[member]),
            "stages": int((module.network.amplitude[member] != 0).sum()),
            "switched_on_step": switched_on_step(module, member),
        }
        for member, row in enumerate(values)
    ]


def fit_picture(points: Points, u: torch.Tensor, du: torch.Tensor, member: int, title: str) -> bytes:
    """A member's fit as PNG: its values and gradients at these points, (M, N) and (M, N, D)."""
    tensors = (tensor[member].double().cpu().numpy() for tensor in (points.x, points.f, points.df, u, du))
    x, f, df, fitted, slope = tensors
    masks = points.masks[member, 1:].bool().cpu().numpy()
    return png(fit_figure(x, f, df, fitted, slope, dict(zip(points.regions, masks, strict=True)), title))


def curves_picture(
    module: SobolevRegression, columns: Mapping[str, Sequence[float]], regions: Sequence[str], member: int, title: str
) -> bytes:
    """The course of a member's training, as PNG."""
    return png(curves_figure(columns, switched_on_step(module, member), regions, title))
