"""Points at which values and derivatives of a function are given, with their weights in the loss."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Points:
    """A set of N points in D dimensions for each of M members, with values, derivatives and weights.

    Attributes:
        x: the nodes, (M, N, D).
        f: the values, (M, N).
        df: the gradients, (M, N, D).
        weight_f: the weight of each value in MSE_f, (M, N), which sum to 1 per member; 0 where no value is given.
        weight_df: the weight of each gradient in MSE_df, likewise.
        masks: 1 inside and 0 outside, first of the whole set and then of each region, (M, 1 + R, N).
        regions: the names of the R regions.
    """

    x: Tensor
    f: Tensor
    df: Tensor
    weight_f: Tensor
    weight_df: Tensor
    masks: Tensor
    regions: tuple[str, ...]

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by name; their first dimension is M."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def to(self, device: torch.device | None = None, dtype: torch.dtype | None = None, **_: object) -> "Points":
        """Return the points on a device, in a precision; tensors that already match are not copied."""
        return replace(self, **{name: value.to(device=device, dtype=dtype) for name, value in self.tensors().items()})

    def take(self, members: Tensor) -> "Points":
        """Return the points of some members."""
        return replace(self, **{name: value[members] for name, value in self.tensors().items()})

    def minibatch(self, index: Tensor) -> "Points":
        """Return a mini-batch of the B points per member that `index`, (M, B), selects.

        Their weights are multiplied by N / B, so that the expectation of a weighted sum over mini-batches is the
        weighted sum over all points.
        """
        share = self.x.shape[1] / index.shape[1]
        return replace(
            self,
            x=self.x.take_along_dim(index[..., None], dim=1),
            f=self.f.take_along_dim(index, dim=1),
            df=self.df.take_along_dim(index[..., None], dim=1),
            weight_f=self.weight_f.take_along_dim(index, dim=1) * share,
            weight_df=self.weight_df.take_along_dim(index, dim=1) * share,
            masks=self.masks.take_along_dim(index[:, None], dim=2),
        )

    @staticmethod
    def stack(members: Sequence["Points"]) -> "Points":
        """Return the points of all members as one stack.

        Raises:
            ValueError: the members differ in the number of points or in the names of the regions.
        """
        if len({(points.x.shape[1:], points.regions) for points in members}) > 1:
            raise ValueError("members of one stack must have the same number of points and the same regions")
        joined = {name: torch.cat([points.tensors()[name] for points in members]) for name in members[0].tensors()}
        return replace(members[0], **joined)
