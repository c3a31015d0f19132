import pytest
import torch

from runge.optimizers import LBFGS, SGD, Adam, AdamW, clip

SHARED = {"lr": 0.01, "lr_schedule": "constant", "clip_norm": None}
ELEMENTWISE = {
    "adam": Adam(**SHARED, betas=[0.9, 0.999]),
    "adamw": AdamW(**SHARED, betas=[0.9, 0.999], weight_decay=0.1),
    "sgd": SGD(**SHARED, momentum=0.9),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_members_are_independent(name):
    """Compare a member alone with one beside members whose gradients are a million times larger, or NaN."""
    alone, beside = torch.nn.Parameter(torch.ones(1, 5)), torch.nn.Parameter(torch.ones(3, 5))
    optimizers = [ELEMENTWISE[name].build([parameter]) for parameter in (alone, beside)]
    for step in range(5):
        gradient = torch.linspace(-1, 1, 5) * (step + 1)
        alone.grad = gradient[None]
        beside.grad = torch.stack([gradient, 1e6 * gradient, gradient * torch.nan])
        for optimizer in optimizers:
            optimizer.step()
    assert torch.equal(alone[0], beside[0])


def test_lbfgs_minimises_a_quadratic():
    x = torch.nn.Parameter(torch.ones(1, 6, dtype=torch.float64))
    optimizer = LBFGS(lr=1.0, lr_schedule="constant", clip_norm=None, history_size=10, max_eval=25).build([x])
    curvature = torch.arange(1.0, 7.0, dtype=torch.float64)

    def closure():
        x.grad = (curvature * x).detach()
        return (0.5 * curvature * x * x).sum()

    for _ in range(30):
        optimizer.step(closure)
    assert x.abs().max() < 1e-8


def test_clip_is_per_member():
    gradient = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    torch.testing.assert_close(clip(gradient, 1.0), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))
