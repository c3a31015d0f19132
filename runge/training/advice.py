"""Warnings about data that are likely to spoil a fit, before the training."""

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from runge.training.datamodule import PointsDataModule

__all__ = ["advice"]


def advice(data: "PointsDataModule", member: int, lambda_d: float) -> list[str]:
    """Return what is likely to spoil a member's fit: a message for each.

    An output should vary, because nrmse and r2 are relative to its spread, and a label of the validation points should
    be in the loss, because the best weights are chosen by it.

    Args:
        data: the points of the stack.
        member: the member's index.
        lambda_d: its full lambda_d.
    """
    index, messages = torch.tensor([member]), []
    for name, f in _known(data, member).items():
        if len(f) > 1 and f.min() == f.max():
            messages.append(f"{name} has the same value in all training points; without spread, no nrmse_f and no r2_f")
    val = data.dataset.val.take(index)
    if not (val.weight_f.any() or (lambda_d and val.weight_df.any())):
        messages.append("no label of the validation points is in the loss; the last weights are kept, not the best")
    return messages


def _known(data: "PointsDataModule", member: int) -> dict[str, torch.Tensor]:
    """Return the known values of each output at a member's training points, (n,)."""
    train = data.dataset.train
    known = train.weight_f[member] > 0
    return {name: train.f[member, known[:, p], p].double() for p, name in enumerate(train.outputs)}
