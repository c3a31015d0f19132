"""Points at which values and derivatives of a function are given, with their weights in the loss."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Points:
    """A set of N points in D dimensions for each of M members, with the values and derivatives of P outputs."""

    x: Tensor  # the nodes, (M, N, D)
    f: Tensor  # the values, (M, N, P); 0 where one is not known
    df: Tensor  # the Jacobians, (M, N, P, D), likewise
    weight_f: Tensor  # the weight of each value in MSE_f, (M, N, P); 0 where it is not known
    weight_df: Tensor  # the weight of each partial derivative in MSE_df, (M, N, P, D), likewise
    masks: Tensor  # 1 inside and 0 outside, first of the whole set and then of each region, (M, 1 + R, N)
    regions: tuple[str, ...] = ()  # their names
    outputs: tuple[str, ...] = ("f",)  # the names of the P outputs
    d2f: Tensor | None = None  # the second derivatives of each pair d <= e, (M, N, P, D (D + 1) / 2); None: not known
    weight_d2f: Tensor | None = None  # the weight of each in MSE_ddf, which holds lambda_dd; 0 where it is not known

    @property
    def groups(self) -> tuple[str, ...]:
        """The names under which errors are reported beside those of the whole: regions, or several outputs."""
        return self.outputs if len(self.outputs) > 1 else self.regions

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
        rows, pairs = index[..., None], index[..., None, None]
        tensors = {
            "x": self.x.take_along_dim(rows, dim=1),
            "f": self.f.take_along_dim(rows, dim=1),
            "df": self.df.take_along_dim(pairs, dim=1),
            "weight_f": self.weight_f.take_along_dim(rows, dim=1) * share,
            "weight_df": self.weight_df.take_along_dim(pairs, dim=1) * share,
            "masks": self.masks.take_along_dim(index[:, None], dim=2),
        }
        if self.d2f is not None and self.weight_d2f is not None:
            tensors["d2f"] = self.d2f.take_along_dim(pairs, dim=1)
            tensors["weight_d2f"] = self.weight_d2f.take_along_dim(pairs, dim=1) * share
        return replace(self, **tensors)

    def split(self, size: int) -> "list[Points]":
        """Return the points in parts of at most `size`, so that a weighted sum is the sum over the parts."""
        if self.x.shape[1] <= size:
            return [self]
        pieces = {name: value.split(size, dim=2 if name == "masks" else 1) for name, value in self.tensors().items()}
        return [replace(self, **dict(zip(pieces, chunk, strict=True))) for chunk in zip(*pieces.values(), strict=True)]

    def reweighted(self, channels: Tensor) -> "Points":
        """Return the points with the weights of each channel multiplied by `channels`, (M, P, 1 + D), f first."""
        weight_f, weight_df = self.weight_f * channels[:, None, :, 0], self.weight_df * channels[:, None, :, 1:]
        return replace(self, weight_f=weight_f, weight_df=weight_df)

    @staticmethod
    def stack(members: Sequence["Points"]) -> "Points":
        """Return the points of all members as one stack.

        Raises:
            ValueError: the members differ in the number of points or in the names of the regions or outputs.
        """
        if len({(points.x.shape[1:], points.regions, points.outputs) for points in members}) > 1:
            raise ValueError("members of one stack must have the same number of points, regions and outputs")
        joined = {name: torch.cat([points.tensors()[name] for points in members]) for name in members[0].tensors()}
        return replace(members[0], **joined)
