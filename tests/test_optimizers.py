"""The contract of all optimisers, and those of torch."""

import copy
import io
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import CONFIGURATIONS, build
from runge.optimizers import LevenbergMarquardt, Optimizer, Problem, adapt, clip, of_members
from runge.optimizers.of_torch import ELEMENTWISE, _keep_precision
from runge.sobolev.network import Model, StackedMLP
from tests.conftest import compose
from tests.sums_of_squares import linearised, plane

METHODS = {
    path.stem: build("optimizer", compose(f"optimizer={path.stem}")["optimizer"], Optimizer, adapt)
    for path in sorted((CONFIGURATIONS / "optimizer").glob("*.yaml"))
}
METHODS["eliminate"] = replace(METHODS["levenberg_marquardt"], readout="eliminate")
OF_TORCH = {kind.__name__: adapt(kind)(lr=0.01) for kind in sorted(ELEMENTWISE, key=lambda kind: kind.__name__)}
FIRST_STEPS = {  # the change of the weights, given them, the gradient g and the method
    "adam": lambda theta, g, of: -of.lr * g / (g.abs() + 1e-8),
    "adamw": lambda theta, g, of: -of.lr * (g / (g.abs() + 1e-8) + of.weight_decay * theta),
    "sgd": lambda theta, g, of: -of.lr * (1 + of.momentum) * clip(g, of.clip_norm),
    "lbfgs": lambda theta, g, of: -g,  # times what the line search chooses
    "levenberg_marquardt": lambda theta, g, of: -g / 2 / of.damping,  # with a damping that is large
    "soap": lambda theta, g, of: 0 * g,  # it is for the averages
}
OF_LAST_LAYER = ("levenberg_marquardt", "least_squares")
STEPS_OF_A_QUADRATIC = {"adam": (800, 1e-5), "adamw": (800, 1e-5), "lbfgs": (20, 1e-8), "sgd": (400, 1e-7)}


def take_steps(method, what, first=0, last=6, optimizer=None):
    """Take some steps of a run of 6; return the optimiser."""
    optimizer = optimizer or method.build(method.weights(what.network))
    for step in range(first, last):
        method.step(optimizer, what, step / 6)
    return optimizer


def test_each_option_has_a_known_first_step_and_minimum():
    """Those with a ridge, which their own tests compare with NumPy's, have neither."""
    with_ridge = {"eliminate", "random_features"}
    assert METHODS.keys() == {*FIRST_STEPS, *OF_LAST_LAYER, *with_ridge}
    assert METHODS.keys() == {*STEPS_OF_A_QUADRATIC, *OF_LAST_LAYER, *with_ridge, "soap"}


@pytest.mark.parametrize("name", FIRST_STEPS)
def test_the_first_step_is_that_of_the_gradient(name):
    what, method = plane(members=1), METHODS[name]
    if isinstance(method, LevenbergMarquardt):
        method = replace(method, damping=1e6)
    start, (_, gradient) = what.network.theta.detach().clone(), what.loss_and_gradient()
    take_steps(method, what, last=1)
    change, expected = what.network.theta.detach() - start, FIRST_STEPS[name](start, gradient, method)
    if name == "lbfgs":
        expected *= change.norm() / expected.norm()
    torch.testing.assert_close(change, expected, rtol=1e-5, atol=1e-12)


class Quadratic:
    """The weights x of a layer of 5 inputs and a bias, whose loss is factor sum_i i x_i^2 / 2."""

    def __init__(self, factor=1.0):
        self.theta = torch.nn.Parameter(torch.ones(1, 6, dtype=torch.float64))
        self.curvature = factor * torch.arange(1.0, 7.0, dtype=torch.float64)

    def layers(self, flat=None):
        flat = self.theta if flat is None else flat
        return [(flat[:, :5, None], flat[:, None, 5:])]

    def loss_and_gradient(self, *_):
        return (0.5 * self.curvature * self.theta**2).sum(1), (self.curvature * self.theta).detach()

    def problem(self):
        return Problem(self, None, None, None, self.loss_and_gradient)


@pytest.mark.parametrize(("name", "factor"), [*((name, 1.0) for name in STEPS_OF_A_QUADRATIC), ("lbfgs", 1e-14)])
def test_a_quadratic_is_minimised_in_a_known_number_of_steps(name, factor):
    """Also one that is so small that torch's L-BFGS would not use its curvature."""
    (steps, error), quadratic = STEPS_OF_A_QUADRATIC[name], Quadratic(factor)
    optimizer = METHODS[name].build([quadratic.theta])
    for step in range(steps):
        METHODS[name].step(optimizer, quadratic.problem(), step / steps)
    assert quadratic.theta.abs().max() < error


@pytest.mark.parametrize("name", OF_LAST_LAYER)
def test_one_step_and_the_end_of_a_run_leave_the_best_last_layer(name):
    """In which the loss is quadratic; with the minimum by NumPy."""
    what = plane(members=1, n=40)
    take_steps(METHODS[name], what, last=1)
    METHODS[name].finish(what)
    errors, weights, _, rows = linearised(what)
    roots, count = weights[0].sqrt().numpy(), int(np.prod(what.network.shapes[-1])) + what.network.outputs
    columns, residuals = roots[:, None] * rows[0].numpy()[:, -count:], roots * errors[0].numpy()
    excess = residuals - (residuals - columns @ np.linalg.lstsq(columns, residuals)[0])
    assert np.linalg.norm(excess) < 1e-10 * np.linalg.norm(residuals)


@pytest.mark.parametrize("name", [*METHODS, *OF_TORCH])
def test_a_course_that_is_continued_from_its_state_ends_with_the_same_bits(name):
    method, whole, begun = (METHODS | OF_TORCH)[name], plane(members=1), plane(members=1)
    take_steps(method, whole)
    state, resumed = io.BytesIO(), plane(members=1)
    torch.save(take_steps(method, begun, last=3).state_dict(), state)
    with torch.no_grad():
        resumed.network.theta.copy_(begun.network.theta)
    state.seek(0)
    optimizer = method.build(method.weights(resumed.network))
    optimizer.load_state_dict(torch.load(state, weights_only=True))
    take_steps(method, resumed, first=3, optimizer=optimizer)
    assert torch.equal(resumed.network.theta, whole.network.theta)


@pytest.mark.parametrize("lambda_d", [0.3, None])
@pytest.mark.parametrize("name", [name for name, method in (METHODS | OF_TORCH).items() if method.keeps_apart])
def test_a_member_in_a_stack_equals_the_one_alone(name, lambda_d):
    """Beside one with a loss a million times larger, and one that has diverged."""
    method = (METHODS | OF_TORCH)[name]
    together, alone = (plane(members=members, lambda_d=lambda_d) for members in (3, 1))
    together.points.f[1] *= 1e3
    with torch.no_grad():
        together.network.theta[2] = torch.nan
    for what in (together, alone):
        take_steps(method, what)
    torch.testing.assert_close(together.network.theta[0], alone.network.theta[0], rtol=1e-6, atol=1e-8)
    assert together.network.theta[2].isnan().any()
    assert together.network.theta[:2].isfinite().all()


def problem(theta, gradient):
    """A problem with the loss 0 and this gradient, a function of the weights."""

    def loss_and_gradient():
        return torch.zeros(len(theta)), gradient(theta.detach())

    return SimpleNamespace(network=SimpleNamespace(theta=theta), loss_and_gradient=loss_and_gradient)


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
    methods = [replace(METHODS[name], lr=lr, lr_schedule="cosine") for lr in (0.001, 0.03, 0.01)]
    theta, rates = steps(methods)
    for i, method in enumerate(methods):
        alone, (rate,) = steps([method])
        assert torch.equal(theta[i], alone[0])
        assert rates[i] == rate
    assert of_members(methods[:1] * 3) is methods[0]


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


def test_a_state_that_is_restored_forgets_the_one_before():
    parameter = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = torch.optim.NAdam([parameter])
    _keep_precision(optimizer)
    empty = copy.deepcopy(optimizer.state_dict())
    parameter.square().sum().backward()
    optimizer.step()
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    optimizer.load_state_dict(empty)
    assert not optimizer.state
