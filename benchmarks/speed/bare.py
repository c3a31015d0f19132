"""The default run as a script that uses torch alone: a loop, and one picture at its end.

python benchmarks/speed/bare.py FILE
"""

import os
import sys

import torch
from matplotlib.figure import Figure
from torch import nn

STEPS = 8000


def f(x: torch.Tensor) -> torch.Tensor:
    return 1 / (1 + 25 * x**2)


def df(x: torch.Tensor) -> torch.Tensor:
    return -50 * x * f(x) ** 2


def main() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    x = torch.linspace(-1, 1, 128)[:, None].requires_grad_()
    values, slopes = f(x).detach(), df(x).detach()
    print(f"before the first step {sum(os.times()[:4])}")
    for step in range(STEPS):
        optimizer.zero_grad()
        u = network(x)
        (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        lambda_d = 0.1 if step >= STEPS // 4 else 0.0
        loss = (u - values).square().mean() + lambda_d * (du - slopes).square().mean()
        loss.backward()
        optimizer.step()
        schedule.step()
    grid = torch.linspace(-1, 1, 2001)[:, None].requires_grad_()
    u = network(grid)
    (du,) = torch.autograd.grad(u.sum(), grid)
    with torch.no_grad():
        print(f"mse_f {(u - f(grid)).square().mean():.1e}  mse_df {(du - df(grid)).square().mean():.1e}")
        figure = Figure()
        axes = figure.subplots()
        axes.plot(grid, f(grid))
        axes.plot(grid, u)
        figure.savefig(sys.argv[1])


if __name__ == "__main__":
    main()
