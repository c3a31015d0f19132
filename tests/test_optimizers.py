import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import build
from runge.optimizers import LBFGS, SGD, Adam, AdamW, Optimizer, Problem, adapt, clip, of_members
from runge.optimizers.of_torch import ELEMENTWISE as OF_TORCH
from runge.sobolev.network import Model, StackedMLP

SHARED = {"lr": 0.01, "lr_schedule": "constant", "clip_norm": None}
ELEMENTWISE = {
    "adam": Adam(**SHARED, betas=[0.9, 0.999]),
    "adamw": AdamW(**SHARED, betas=[0.9, 0.999], weight_decay=0.1),
    "sgd": SGD(**SHARED, momentum=0.9),
    **{kind.__name__: adapt(kind)(lr=0.01) for kind in sorted(OF_TORCH, key=lambda kind: kind.__name__)},
}


def problem(theta, gradient):
    """A problem with the loss 0 and this gradient, a function of the weights."""

    def loss_and_gradient():
        return torch.zeros(len(theta)), gradient(theta.detach())

    return SimpleNamespace(network=SimpleNamespace(theta=theta), loss_and_gradient=loss_and_gradient)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_members_are_independent(name):
    """Compare a member alone with one beside members whose gradients are a million times larger, or NaN."""
    method, gradients = ELEMENTWISE[name], torch.tensor([1, 1e6, torch.nan])[:, None] * torch.linspace(-1, 1, 5)
    final = []
    for members in (1, 3):
        theta = torch.nn.Parameter(torch.ones(members, 5))
        optimizer = method.build([theta])
        for step in range(5):
            method.step(optimizer, problem(theta, lambda _, step=step: (step + 1) * gradients[: len(_)]), step / 5)
        final.append(theta[0])
    assert torch.equal(*final)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_members_have_learning_rates_of_their_own(name):
    """A member of a stack takes the steps that it takes alone, bit for bit, for a quadratic loss."""

    def steps(methods):
        theta = torch.nn.Parameter(torch.linspace(-1, 1, 5, dtype=torch.float64).repeat(len(methods), 1))
        method = of_members(methods)
        optimizer = method.build([theta])
        for step in range(20):
            method.step(optimizer, problem(theta, lambda theta: theta * curvature), step / 20)
        return theta.detach(), method.figures(optimizer, theta, 0.5)["lr"]

    curvature = torch.arange(1.0, 6.0, dtype=torch.float64)
    methods = [replace(ELEMENTWISE[name], lr=lr, lr_schedule="cosine") for lr in (0.001, 0.03, 0.01)]
    theta, rates = steps(methods)
    for i, method in enumerate(methods):
        alone, (rate,) = steps([method])
        assert torch.equal(theta[i], alone[0])
        assert rates[i] == rate
    assert of_members(methods[:1] * 3) is methods[0]


LBFGS_64 = LBFGS(lr=1.0, lr_schedule="constant", clip_norm=None, history_size=10, max_eval=25)


def quadratic(x, factor):
    """The problem factor sum_i i x_i^2 / 2."""
    curvature = factor * torch.arange(1.0, 1 + x.shape[1], dtype=torch.float64)

    def loss_and_gradient(*_):
        return (0.5 * curvature * x * x).sum(1), (curvature * x).detach()

    return Problem(SimpleNamespace(theta=x), None, None, None, loss_and_gradient)


@pytest.mark.parametrize("factor", [1.0, 1e-14])
def test_lbfgs_minimises_a_quadratic(factor):
    """Also one that is so small that torch would not use its curvature."""
    x = torch.nn.Parameter(torch.ones(1, 6, dtype=torch.float64))
    optimizer, problem = LBFGS_64.build([x]), quadratic(x, factor)
    for _ in range(20):
        LBFGS_64.step(optimizer, problem, 0.0)
    assert x.abs().max() < 1e-8


def test_clip_is_per_member():
    gradient = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    torch.testing.assert_close(clip(gradient, 1.0), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))


class Sign(torch.optim.Optimizer):
    """A user's own class."""

    elementwise = True

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})


class Unknown(Sign):
    elementwise = False


def test_only_what_is_known_to_be_elementwise_is_trained_in_stacks():
    def independent(path):
        return build("optimizer", {"_target_": path, "lr": 0.01}, Optimizer, adapt).keeps_apart

    assert independent("torch.optim.RMSprop")
    assert independent("tests.test_optimizers.Sign")
    others = ("torch.optim.Adafactor", "torch.optim.Muon", "torch.optim.SparseAdam", "tests.test_optimizers.Unknown")
    assert not any(map(independent, others))


def test_a_class_that_is_not_elementwise_gets_the_layers():
    """Its steps are those that it takes with separate parameters."""
    domain = torch.tensor([[[-1.0, 1.0], [0.0, 2.0]]])
    network = StackedMLP(Model(depth=2, width=3), domain, [torch.Generator().manual_seed(0)], torch.float64)
    shapes = [(2, 3), (3,), (3, 3), (3,), (3, 1), (1,)]
    separate = [torch.nn.Parameter(part.reshape(shape).clone()) for part, shape in parts(network.theta, shapes)]
    method = adapt(torch.optim.Adafactor)(lr=0.1)
    optimizer, reference = method.build(method.weights(network)), torch.optim.Adafactor(separate, lr=0.1)
    for step in range(3):
        gradient = torch.linspace(-1, 2 + step, network.theta.shape[1], dtype=torch.float64)[None]
        what = SimpleNamespace(network=network, loss_and_gradient=lambda g=gradient: (torch.zeros(1), g))
        method.step(optimizer, what, step / 3)
        for weight, (part, shape) in zip(separate, parts(gradient, shapes), strict=True):
            weight.grad = part.reshape(shape)
        reference.step()
    assert torch.equal(network.theta[0], torch.cat([weight.flatten() for weight in separate]))


def parts(flat, shapes):
    """Cut (1, W) into pieces, each with its shape."""
    return zip(flat[0].detach().split([math.prod(shape) for shape in shapes]), shapes, strict=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beta": 1}, r"optimizer\.beta: unknown key; optimizer has .*alpha.*lr_schedule, clip_norm"),
        ({"alpha": -1.0}, r"optimizer\._target_: RMSprop does not accept its parameters \(Invalid alpha value: -1.0\)"),
        ({"lr": 0.0}, r"optimizer\.lr: .*1e-12, got 0.0"),
        ({"lr_schedule": "linear"}, r"optimizer\.lr_schedule: .*'cosine'"),
        ({"_target_": "torch.optim.LBFGS"}, r"optimizer\._target_: .* use runge\.optimizers\.LBFGS"),
        ({"_target_": "torch.optim.lr_scheduler.StepLR"}, r"derived from Optimizer"),
    ],
)
def test_the_parameters_of_torch_s_own_are_checked(values, message):
    with pytest.raises(ConfigurationError, match=message):
        build("optimizer", {"_target_": "torch.optim.RMSprop"} | values, Optimizer, adapt)


def test_a_learning_rate_of_torch_s_own_follows_its_schedule():
    settings = {"_target_": "torch.optim.RMSprop", "lr_schedule": "cosine", "alpha": 0.9}
    method = build("optimizer", settings, Optimizer, adapt)
    assert (method.parameters, method.keeps_apart) == ({"alpha": 0.9}, True)
    parameter = torch.nn.Parameter(torch.zeros(2, 3))
    rates = [method.figures(method.build([parameter]), parameter, progress)["lr"][0] for progress in (0.0, 0.5)]
    assert rates == pytest.approx([0.01, 0.005])
