"""Parts of a researcher's own: a network, an activation, a term, an optimiser, a sampler, a metric and a callback."""

import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from runge.extend import Positive, Sampling, checked


class Swish(nn.Module):
    def __init__(self):
        super().__init__()
        self.beta = nn.Parameter(torch.ones(()))

    def forward(self, z):
        return z * torch.sigmoid(self.beta * z)


class Waves(nn.Module):
    def __init__(self, width, frequency):
        super().__init__()
        self.frequency, self.first = frequency, nn.Linear(1, width)
        self.rest = nn.Sequential(nn.Linear(width, width), Swish(), nn.Linear(width, 1))

    def forward(self, x):  # (N, D) -> (N, P)
        return self.rest(torch.sin(self.frequency * self.first(x)))


def size(module, points):
    return sum(weight.square().sum() for weight in module.network.parameters())


def groups(network, lr):
    biases = [weight for name, weight in network.named_parameters() if "bias" in name]
    others = [weight for name, weight in network.named_parameters() if "bias" not in name]
    return torch.optim.AdamW([{"params": others, "weight_decay": 1e-4}, {"params": biases, "weight_decay": 0.0}], lr=lr)


@checked
class Focus(Sampling):
    width: Positive

    def nodes(self, n, target, generator):  # -> (n, D)
        x = self.width * torch.randn(n - 2, 1, generator=generator, dtype=torch.float64)
        return torch.cat([target.domain.mT, x.clamp(*target.domain[0].tolist())])


def largest(u, du, points):  # -> (M,)
    return (u - points.f).abs().amax((1, 2))


class GradientNorm(Callback):
    def on_after_backward(self, trainer, pl_module):
        gradients = [weight.grad.flatten() for weight in pl_module.network.parameters()]
        pl_module.log("gradient_norm", torch.cat(gradients).norm())
