"""The distributions of the initial weights of a network."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Init", "draw_weights"]

Init = Literal["default", "knots", "wide_knots", "fourier"]


def draw_weights(init: Init, shapes: Sequence[tuple[int, int]], generator: torch.Generator) -> Tensor:
    """Draw the weights of one member: W and b of each layer of `shapes` (in, out), flat, (W,), in float64.

    `default` draws W and b from U(-1/sqrt(in), 1/sqrt(in)), as `torch.nn.Linear` does. `knots` spreads the kinks of the
    first layer over the domain: |W| ~ 3 U(0.5, 1.5) in random directions, b = -W k with knots k evenly spaced on
    [-1, 1] (D = 1) or uniform in the box; further hidden layers have W ~ N(0, 1/in) and b ~ N(0, 1/4). `wide_knots` has
    knots in [-1.2, 1.2]^D, for a first layer that is not trained. `fourier` draws W of the first layer from N(0, 1/in)
    and b from U(-pi, pi), for the activation `sin`, and the others as `default` does.
    """
    uniform = partial(torch.rand, generator=generator, dtype=torch.float64)
    normal = partial(torch.randn, generator=generator, dtype=torch.float64)
    pieces: list[Tensor] = []
    knots, edge = "knots" in init, 1.2 if init == "wide_knots" else 1
    for i, (fan_in, fan_out) in enumerate(shapes):
        if knots and i == 0:
            direction = normal(fan_in, fan_out)
            w = direction / direction.norm(dim=0) * 3 * (0.5 + uniform(fan_out))
            even = torch.linspace(-1, 1, fan_out, dtype=torch.float64)[None]
            at = even if fan_in == 1 else 2 * uniform(fan_in, fan_out) - 1
            pieces += [w, -edge * (w * at).sum(0)]
        elif knots and i < len(shapes) - 1:
            pieces += [normal(fan_in, fan_out) / fan_in**0.5, normal(fan_out) / 2]
        elif init == "fourier" and i == 0:
            pieces += [normal(fan_in, fan_out) / fan_in**0.5, math.pi * (2 * uniform(fan_out) - 1)]
        else:
            pieces += [(2 * uniform(*shape) - 1) / fan_in**0.5 for shape in ((fan_in, fan_out), (fan_out,))]
    return torch.cat([piece.flatten() for piece in pieces])
