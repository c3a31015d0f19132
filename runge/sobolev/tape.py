"""The tape of a network's forward pass, from which its adjoint and its Jacobian follow."""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Tape(NamedTuple):
    """The intermediate results of a forward pass that its adjoint needs; without tangents the last two are empty."""

    layers: list[tuple[Tensor, Tensor]]  # W and b of each layer
    x: Tensor  # the points in [-1, 1]^D, (M, N, D)
    hidden: list[tuple[Tensor, Tensor, Tensor]]  # z, h = s(z) and s'(z) of each hidden layer, each (M, N, out)
    tangents: list[Tensor]  # z' of each hidden layer along K directions, the D inputs, (M, K, N or 1, out)
    carried: list[Tensor]  # g = s'(z) z' of each hidden layer, (M, K N, out)

    def take(self, members: Tensor) -> "Tape":
        """Return the tape of some members."""

        def pick(part: Any) -> Any:
            return part[members] if isinstance(part, Tensor) else type(part)(map(pick, part))

        return Tape(*map(pick, self))

    def carry(self, dz: Tensor) -> Tensor:
        """Add the tangents z' of the next hidden layer, (M, K, N or 1, in), and return those of the layer after it."""
        i = len(self.tangents)
        s1, weight = self.hidden[i][2], self.layers[i + 1][0]
        g = s1[:, None] * dz
        self.tangents.append(dz)
        self.carried.append(g.flatten(1, 2))
        if torch.compiler.is_exporting():
            return torch.matmul(g, weight[:, None])
        return torch.bmm(self.carried[-1], weight).unflatten(1, g.shape[1:3])
