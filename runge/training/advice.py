"""Warnings about data that are likely to spoil a fit, before the training."""

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from runge.training.datamodule import PointsDataModule

__all__ = ["advice"]

_LEAST, _MOST = 0.01, 100.0
"""The sizes that a network with its initial weights fits well; and how many sizes a quantity may be away from 0."""


def advice(data: "PointsDataModule", member: int, lambda_d: float) -> list[str]:
    """Return what is likely to spoil a member's fit: a message for each.

    Inputs and outputs should be of about size 1 unless they are standardised, and a label of the validation points
    should be in the loss, because the best weights are chosen by it.

    Args:
        data: the points of the stack.
        member: the member's index.
        lambda_d: its full lambda_d.
    """
    index, messages = torch.tensor([member]), []
    if data.units is None and (far := _far_from_one(data, member)):
        messages.append(f"far from size 1: {', '.join(far)}; train in standardised units with model.standardize=true")
    val = data.dataset.val.take(index)
    if not (val.weight_f.any() or (lambda_d and val.weight_df.any())):
        messages.append("no label of the validation points is in the loss; the last weights are kept, not the best")
    return messages


def _far_from_one(data: "PointsDataModule", member: int) -> list[str]:
    """Return the inputs, by half the length of their box, and outputs, by their standard deviation, far from size 1."""
    train, box = data.dataset.train, data.box[member]
    sizes = {name: (float(end.mean()), float(end.diff()) / 2) for name, end in zip(data.inputs, box, strict=True)}
    for p, name in enumerate(train.outputs):
        f = train.f[member, train.weight_f[member, :, p] > 0, p].double()
        sizes[name] = float(f.mean()), float(f.std(correction=0))
    return [
        f"{name} (mean {mean:.3g}, size {size:.3g})"
        for name, (mean, size) in sizes.items()
        if (size and not _LEAST <= size <= _MOST) or abs(mean) > _MOST * (size or 1)
    ]
