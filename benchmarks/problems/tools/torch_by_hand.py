"""PyTorch by hand: what a reader of its tutorials writes, with a second backward pass for the derivative."""

from typing import ClassVar, Self

import numpy as np
import torch
from tables import Array

from tools.units import Units

BATCH = 1024  # rows of a step, in larger tables


class ByHand:
    """Two layers, standardised data, Adam with a cosine schedule, and the sum of both mean square errors."""

    GRID: ClassVar = tuple({"width": width, "rate": rate} for width in (32, 128) for rate in (1e-3, 1e-2))

    def __init__(self, seed: int = 0, width: int = 64, rate: float = 1e-3, steps: int = 5000) -> None:
        self.seed, self.width, self.rate, self.steps = seed, width, rate, steps

    def fit(self, x: Array, y: Array, dydx: Array) -> Self:
        torch.manual_seed(self.seed)
        self.units = Units(x, y, dydx)
        rows = [torch.tensor(part, dtype=torch.float32) for part in self.units.rows(x, y, dydx)]
        self.network = network(x.shape[1], self.width, y.shape[1])
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        for _ in range(self.steps):
            part = torch.randint(len(x), (BATCH,)) if len(x) > BATCH else slice(None)
            points, *labels = (column[part] for column in rows)
            loss = sum(map(mean_square, self.both(points, create_graph=True), labels), start=torch.zeros(()))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        return self

    def both(self, x: torch.Tensor, create_graph: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        u = self.network(x := x.detach().requires_grad_())
        slopes = [torch.autograd.grad(one.sum(), x, create_graph=create_graph, retain_graph=True)[0] for one in u.T]
        return u, torch.stack(slopes, 1)

    def predict(self, x: Array) -> Array:
        return self.units.values(self.network(self._points(x)).detach().numpy().astype(np.float64))

    def predict_derivative(self, x: Array) -> Array:
        return self.units.derivatives(self.both(self._points(x))[1].numpy().astype(np.float64))

    def _points(self, x: Array) -> torch.Tensor:
        return torch.tensor(self.units.points(x), dtype=torch.float32)


def network(inputs: int, width: int, outputs: int) -> torch.nn.Module:
    layers = torch.nn.Linear(inputs, width), torch.nn.Tanh(), torch.nn.Linear(width, width), torch.nn.Tanh()
    return torch.nn.Sequential(*layers, torch.nn.Linear(width, outputs))


def mean_square(u: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Return the mean over the labels that are known."""
    known = ~label.isnan()
    return ((u - label)[known] ** 2).sum() / known.sum().clamp(min=1)
