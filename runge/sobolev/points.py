"""Points: where a function is given, what is known there, and how much each point counts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Points:
    """N points in D dimensions for each of M members, with values, derivatives and weights.

    Attributes:
        x: the nodes, (M, N, D).
        f: the values, (M, N).
        df: the gradients, (M, N, D).
        weight_f: what each value counts in MSE_f, (M, N), a member's summing to 1; 0 where no value is given.
        weight_df: the same for the gradients in MSE_df.
        masks: 1 inside and 0 outside, for the whole set first and then for each region, (M, 1 + R, N).
        regions: the R regions' names.
    """

    x: Tensor
    f: Tensor
    df: Tensor
    weight_f: Tensor
    weight_df: Tensor
    masks: Tensor
    regions: tuple[str, ...]

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name, members in front."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def to(self, device: torch.device | None = None, dtype: torch.dtype | None = None, **_: object) -> "Points":
        """The same points on another device, in another precision; nothing is copied where nothing changes."""
        return replace(self, **{name: value.to(device=device, dtype=dtype) for name, value in self.tensors().items()})

    def take(self, members: Tensor) -> "Points":
        """Return the points of some members."""
        return replace(self, **{name: value[members] for name, value in self.tensors().items()})

    def minibatch(self, index: Tensor) -> "Points":
        """A mini-batch.

        Args:
            index: which points, (M, B).

        Returns:
            B points for each member. Their weights are multiplied by N / B, so that the expectation of a weighted sum
            over mini-batches is the weighted sum over all points.
        """
        share = self.x.shape[1] / index.shape[1]
        return Points(
            x=self.x.take_along_dim(index[..., None], dim=1),
            f=self.f.take_along_dim(index, dim=1),
            df=self.df.take_along_dim(index[..., None], dim=1),
            weight_f=self.weight_f.take_along_dim(index, dim=1) * share,
            weight_df=self.weight_df.take_along_dim(index, dim=1) * share,
            masks=self.masks.take_along_dim(index[:, None], dim=2),
            regions=self.regions,
        )

    @staticmethod
    def stack(members: Sequence["Points"]) -> "Points":
        """Put members side by side.

        Raises:
            ValueError: they differ in the number of points or in the regions' names.
        """
        if len({(points.x.shape[1:], points.regions) for points in members}) > 1:
            raise ValueError("members of one stack must have equally many points and the same regions")
        joined = {name: torch.cat([points.tensors()[name] for points in members]) for name in members[0].tensors()}
        return Points(**joined, regions=members[0].regions)
