"""The contract of all optimisers, and those of torch."""

import copy
import io
import math
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from runge.configuration.objects import CONFIGURATIONS, build
from runge.optimizers import LevenbergMarquardt, Optimizer, Problem, adapt, clip, of_members
from runge.optimizers.of_torch import ELEMENTWISE, _keep_precision
from tests.conftest import compose
from tests.refusals import refuses
from tests.sums_of_squares import linearised, plane

OPTIONS = [*sorted(path.stem for path in (CONFIGURATIONS / "optimizer").glob("*.yaml")), "eliminate"]
OF_TORCH = sorted(kind.__name__ for kind in ELEMENTWISE)
ALONE = {"lbfgs", "soap"}  # in no stack
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


@cache
def method_of(name):
    """Return the optimiser of an option, or an elementwise one of torch by the name of its class."""
    if name in OF_TORCH:
        return adapt(getattr(torch.optim, name))(lr=0.01)
    if name == "eliminate":
        return replace(method_of("levenberg_marquardt"), readout="eliminate")
    return build("optimizer", compose(f"optimizer={name}")["optimizer"], Optimizer, adapt)


def take_steps(method, what, first=0, last=6, optimizer=None):
    """Take some steps of a run of 6; return the optimiser."""
    optimizer = optimizer or method.build(method.weights(what.network))
    for step in range(first, last):
        method.step(optimizer, what, step / 6)
    return optimizer


def test_each_option_has_a_known_first_step_and_minimum_and_it_is_known_which_are_trained_alone():
    """Optimisers with a ridge have neither; their own tests compare them with NumPy."""
    with_ridge = {"eliminate", "random_features"}
    assert {*OPTIONS} == {*FIRST_STEPS, *OF_LAST_LAYER, *with_ridge}
    assert {*OPTIONS} == {*STEPS_OF_A_QUADRATIC, *OF_LAST_LAYER, *with_ridge, "soap"}
    assert {name for name in (*OPTIONS, *OF_TORCH) if not method_of(name).keeps_apart} == ALONE


@pytest.mark.parametrize("name", FIRST_STEPS)
def test_the_first_step_is_that_of_the_gradient(name):
    what, method = plane(members=1), method_of(name)
    if isinstance(method, LevenbergMarquardt):
        method = replace(method, damping=1e6)
    start, (_, gradient) = what.network.theta.detach().clone(), what.loss_and_gradient()
    take_steps(method, what, last=1)
    change, expected = what.network.theta.detach() - start, FIRST_STEPS[name](start, gradient, method)
    if name == "lbfgs":
        expected *= change.norm() / expected.norm()
    torch.testing.assert_close(change, expected, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize(("name", "factor"), [*((name, 1.0) for name in STEPS_OF_A_QUADRATIC), ("lbfgs", 1e-14)])
def test_a_quadratic_is_minimised_in_a_known_number_of_steps(name, factor):
    """Minimise factor sum_i i x_i^2 / 2, also one that is so small that torch's L-BFGS would not use its curvature.

    The weights x are those of a layer of 5 inputs and a bias.
    """
    (steps, error), method = STEPS_OF_A_QUADRATIC[name], method_of(name)
    theta = torch.nn.Parameter(torch.ones(1, 6, dtype=torch.float64))
    curvature = factor * torch.arange(1.0, 7.0, dtype=torch.float64)

    def layers(flat=theta):
        return [(flat[:, :5, None], flat[:, None, 5:])]

    def loss_and_gradient(*_):
        return (0.5 * curvature * theta**2).sum(1), (curvature * theta).detach()

    what = Problem(SimpleNamespace(theta=theta, layers=layers), None, None, None, loss_and_gradient)
    optimizer = method.build([theta])
    for step in range(steps):
        method.step(optimizer, what, step / steps)
    assert theta.abs().max() < error


@pytest.mark.parametrize("lambda_d", [0.3, None])
@pytest.mark.parametrize("name", OF_LAST_LAYER)
def test_one_step_and_the_end_of_a_run_leave_the_best_last_layer(name, lambda_d):
    """In which the loss is quadratic; with the minimum by NumPy. Where it is eliminated, it is the best already."""
    what = plane(members=1, n=40, lambda_d=lambda_d)
    take_steps(method_of(name), what, last=1)
    method_of(name).finish(what)
    theta = what.network.theta.detach().clone()
    method_of("eliminate").finish(what)
    assert torch.equal(what.network.theta, theta)
    errors, weights, _, rows = linearised(what)
    roots, count = weights[0].sqrt().numpy(), int(np.prod(what.network.shapes[-1])) + what.network.outputs
    columns, residuals = roots[:, None] * rows[0].numpy()[:, -count:], roots * errors[0].numpy()
    excess = residuals - (residuals - columns @ np.linalg.lstsq(columns, residuals)[0])
    assert np.linalg.norm(excess) < 1e-10 * np.linalg.norm(residuals)


@pytest.mark.parametrize("name", [*OPTIONS, *OF_TORCH])
def test_a_course_that_is_continued_from_its_state_ends_with_the_same_bits(name):
    method, whole, begun = method_of(name), plane(members=1), plane(members=1)
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
@pytest.mark.parametrize("name", [name for name in (*OPTIONS, *OF_TORCH) if name not in ALONE])
def test_a_member_in_a_stack_equals_the_one_alone(name, lambda_d):
    """Beside one with a loss a million times larger, and one that has diverged."""
    method = method_of(name)
    together, alone = (plane(members=members, lambda_d=lambda_d) for members in (3, 1))
    together.points.f[1] *= 1e3
    with torch.no_grad():
        together.network.theta[2] = torch.nan
    for what in (together, alone):
        take_steps(method, what)
    torch.testing.assert_close(together.network.theta[0], alone.network.theta[0], rtol=1e-6, atol=1e-8)
    assert together.network.theta[2].isnan().any()
    assert together.network.theta[:2].isfinite().all()


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_members_have_learning_rates_of_their_own(name):
    """A member of a stack takes the steps that it takes alone, bit for bit, for a quadratic loss."""

    def steps(methods):
        theta = torch.nn.Parameter(torch.linspace(-1, 1, 5, dtype=torch.float64).repeat(len(methods), 1))
        method = of_members(methods)
        optimizer, what = method.build([theta]), SimpleNamespace(network=SimpleNamespace(theta=theta))
        what.loss_and_gradient = lambda: (torch.zeros(len(theta)), theta.detach() * torch.arange(1.0, 6.0))
        for step in range(20):
            method.step(optimizer, what, step / 20)
        return theta.detach(), method.figures(optimizer, theta, 0.5)["lr"]

    methods = [replace(method_of(name), lr=lr, lr_schedule="cosine") for lr in (0.001, 0.03, 0.01)]
    for theta, rate, method in zip(*steps(methods), methods, strict=True):
        (alone,), (expected,) = steps([method])
        assert torch.equal(theta, alone)
        assert rate == expected
    assert of_members(methods[:1] * 3) is methods[0]


def test_clip_is_per_member():
    gradient = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    torch.testing.assert_close(clip(gradient, 1.0), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))


class Unknown(torch.optim.Optimizer):
    """A user's own class."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})


class Sign(Unknown):
    elementwise = True


@pytest.mark.parametrize(
    ("path", "apart"),
    [
        *(("torch.optim.RMSprop", True), ("tests.optimizers.test_optimizers.Sign", True)),
        *(("torch.optim.Adafactor", False), ("torch.optim.SparseAdam", False)),
        ("tests.optimizers.test_optimizers.Unknown", False),
    ],
)
def test_only_what_is_known_to_be_elementwise_is_trained_in_stacks(path, apart):
    assert build("optimizer", {"_target_": path, "lr": 0.01}, Optimizer, adapt).keeps_apart == apart


def test_a_class_that_is_not_elementwise_gets_the_layers():
    """Its steps are those that it takes with separate parameters."""
    what, method, shapes = plane(members=1, width=3), adapt(torch.optim.Adafactor)(lr=0.1), [(2, 3), (3,), (3, 3), (3,)]
    network, shapes = what.network, [*shapes, (3, 2), (2,)]

    def separate(flat):
        parts = flat[0].detach().split([math.prod(shape) for shape in shapes])
        return [part.reshape(shape).clone() for part, shape in zip(parts, shapes, strict=True)]

    weights = [torch.nn.Parameter(part) for part in separate(network.theta)]
    optimizer, reference = method.build(method.weights(network)), torch.optim.Adafactor(weights, lr=0.1)
    for step in range(3):
        for weight, part in zip(weights, separate(what.loss_and_gradient()[1]), strict=True):
            weight.grad = part
        reference.step()
        method.step(optimizer, what, step / 3)
    assert torch.equal(network.theta[0], torch.cat([weight.flatten() for weight in weights]))


def rmsprop(**values):
    return build("optimizer", {"_target_": "torch.optim.RMSprop"} | values, Optimizer, adapt)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beta": 1}, ("optimizer.beta: unknown key", "", "alpha", "lr_schedule, clip_norm")),
        ({"alpha": -1.0}, ("optimizer._target_: RMSprop does not accept its parameters", "alpha value: -1.0")),
        ({"lr": 0.0}, ("optimizer.lr", "got 0.0", "1e-12")),
        ({"lr_schedule": "linear"}, ("optimizer.lr_schedule", "linear", "'cosine'")),
        ({"_target_": "torch.optim.LBFGS"}, ("optimizer._target_", "LBFGS", "use runge.optimizers.LBFGS")),
        ({"_target_": "torch.optim.lr_scheduler.StepLR"}, ("optimizer._target_", "StepLR", "derived from Optimizer")),
    ],
)
def test_the_parameters_of_torch_s_own_are_checked(values, message):
    with refuses(*message):
        rmsprop(**values)


def test_a_learning_rate_of_torch_s_own_follows_its_schedule():
    method, theta = rmsprop(lr_schedule="cosine", alpha=0.9), torch.nn.Parameter(torch.zeros(2, 3))
    assert (method.parameters, method.keeps_apart) == ({"alpha": 0.9}, True)
    rates = [method.figures(method.build([theta]), theta, progress)["lr"][0] for progress in (0.0, 0.5)]
    assert rates == pytest.approx([0.01, 0.005])


def nothing(network):
    """Forget to return the optimiser."""


def with_schedule(network):
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 2)]


@pytest.mark.parametrize(
    ("function", "schedule", "got"),
    [(nothing, "constant", "NoneType"), (nothing, "cosine", "NoneType"), (with_schedule, "cosine", "tuple")],
)
def test_a_function_must_return_an_optimizer(function, schedule, got):
    """Torch would end with an error of its own, after the training has begun."""
    network = torch.nn.PReLU()
    with refuses(f"optimizer._target_: {function.__name__} must return an optimizer of torch", got):
        adapt(function)(lr_schedule=schedule).configure(network, 5)
    assert len(adapt(with_schedule)(lr_schedule="constant").configure(network, 5)) == 2


def test_a_state_that_is_restored_forgets_the_one_before():
    optimizer = torch.optim.NAdam([torch.ones(3, dtype=torch.float64, requires_grad=True)])
    _keep_precision(optimizer)
    empty = copy.deepcopy(optimizer.state_dict())
    optimizer.param_groups[0]["params"][0].square().sum().backward()
    optimizer.step()
    for state in (optimizer.state_dict(), empty):
        optimizer.load_state_dict(copy.deepcopy(state))
    assert not optimizer.state
