"""Many steps of Adam in the compiled kernel, against torch's own steps with the kernel's gradients."""

from dataclasses import replace

import pytest
import torch

from runge.optimizers import SGD, Adam, AdamW, Course, adapt, at_once, of_members
from runge.sobolev import kernel, losses
from runge.sobolev.compilation import step_function
from runge.sobolev.kernel import Kernel
from runge.sobolev.likelihood import Likelihood
from tests.conftest import model
from tests.sobolev.test_compilation import COMPILERS, compiler_that, fresh, stack, suited

STEPS = 12
ADAM = Adam(lr=0.01)
METHODS = {
    "adam": ADAM,
    "clipped": replace(ADAM, clip_norm=0.1),
    "far from the past": replace(ADAM, betas=[0.3, 0.2], lr_schedule="constant"),
    "only the present": replace(ADAM, betas=[0.0, 0.0]),
    "adamw": AdamW(lr=0.01, lr_schedule="cosine", clip_norm=None, betas=[0.9, 0.999], weight_decay=1.0),
    "clipped adamw": AdamW(lr=0.02, lr_schedule="constant", clip_norm=0.1, betas=[0.8, 0.99], weight_decay=0.5),
    "own rates": of_members([replace(ADAM, lr=rate) for rate in (0.001, 0.02, 0.01)]),
}
__all__ = ["fresh"]
pytestmark = suited


def course(function, dtype=torch.float64, *, members=3, batch=None, points=20, scale=2.0, weights=None, **sizes):
    """Let lambda_d be 0 at first, then grow, differently for each member; the last one has none."""
    network, everything = stack(members, points=points, dtype=dtype, **sizes)
    if weights is None:
        weights = torch.linspace(-0.3, 1, STEPS).clamp_min(0)[:, None] * torch.linspace(1, 0, max(2, members))[:members]
    if batch is not None:
        generator = torch.Generator().manual_seed(1)
        shuffled = [torch.randperm(points, generator=generator)[:batch] for _ in range(STEPS * members)]
        batch = torch.stack(shuffled).view(STEPS, members, batch)
    weights, scale = weights.to(dtype), torch.full((members,), scale, dtype=dtype)
    on = (weights > 0).any(1).tolist()
    return Course(network, everything, batch, scale, weights, on, [k / STEPS for k in range(STEPS)], function)


def compiled(dtype=torch.float64, activation="tanh"):
    return step_function("on", model(activation=activation), dtype, neurons=1, steps=1, with_derivative=True)


class WithoutAdam(Kernel):
    adam = None


def one_by_one(dtype=torch.float64, activation="tanh"):
    """Return the same loss and gradient, with which torch takes the steps."""
    return WithoutAdam(activation, dtype)


def follow(method, one, optimizer=None, first=0, end=STEPS):
    """Take the steps of a course; return its weights, the optimiser, and the number of calls."""
    optimizer, calls = optimizer or method.build([one.network.theta]), 0
    while first < end:
        first, calls = first + method.steps(optimizer, one, first, end), calls + 1
    return one.network.theta.detach(), optimizer, calls


def close(actual, expected, dtype):
    tolerance = {"rtol": 1e-11, "atol": 1e-13} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 1e-5}
    torch.testing.assert_close(actual, expected, **tolerance)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("batch", [None, 7])
def test_the_steps_are_torchs_own(name, dtype, batch):
    method = METHODS[name]
    theta, optimizer, calls = follow(method, course(compiled(dtype), dtype, batch=batch))
    expected, torchs, many = follow(method, course(one_by_one(dtype), dtype, batch=batch))
    assert (calls, many) == (1, STEPS)
    close(theta, expected, dtype)
    state, its_state = optimizer.state_dict(), torchs.state_dict()
    assert state["param_groups"] == its_state["param_groups"]
    actual, expected = state["state"][0], its_state["state"][0]
    assert [(key, one.dtype, one.shape) for key, one in actual.items()] == [
        (key, one.dtype, one.shape) for key, one in expected.items()
    ]
    close(actual, expected, dtype)


@pytest.mark.parametrize(
    "sizes", [{"dimension": 2, "outputs": 3, "depth": 3}, {"points": 1200, "width": 64}, {"width": 1}]
)
@pytest.mark.parametrize("batch", [None, 9])
def test_the_steps_for_other_sizes(sizes, batch):
    """Use several inputs and outputs, several slices of points, and a network of one neuron."""
    theta, _, _ = follow(ADAM, course(compiled(), batch=batch, **sizes))
    expected, _, _ = follow(ADAM, course(one_by_one(), batch=batch, **sizes))
    torch.testing.assert_close(theta, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["clipped", "adamw"])
@pytest.mark.parametrize("sizes", [{}, {"dimension": 2, "outputs": 3}, {"points": 1200, "width": 64}, {"scale": 0.3}])
@pytest.mark.parametrize("batch", [None, 9])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_steps_of_the_likelihood(name, sizes, batch, dtype):
    """Leave some labels unknown, differently for each member, of one channel all."""

    def start(function):
        one = course(Likelihood(function), dtype, batch=batch, **sizes)
        one.points.weight_f[0, :5] = 0
        one.points.weight_df[1, 3:9, 0] = 0
        one.points.weight_df[1:, :, -1, -1] = 0
        one.points.df[:2, :, 0, -1] = 0
        return one

    theta, _, calls = follow(METHODS[name], start(compiled(dtype)))
    expected, _, many = follow(METHODS[name], start(one_by_one(dtype)))
    assert (calls, many) == (1, STEPS)
    close(theta, expected, dtype)


def test_the_likelihood_of_channels_without_errors_or_with_few_labels():
    """Let a member be 0, as f is, and the mini-batches of another have fewer known labels than channels."""

    def start(function):
        one = course(Likelihood(function), batch=2, members=2, dimension=3, weights=torch.ones(STEPS, 2))
        with torch.no_grad():
            one.network.theta[0] = 0
        one.points.f[0] = 0
        one.points.weight_f[1, ::2] = 0
        one.points.weight_df[1, :, :, 1:] = 0
        one.points.weight_df[1, 1:] = 0
        return one

    theta, _, _ = follow(ADAM, start(compiled()))
    close(theta, follow(ADAM, start(one_by_one()))[0], torch.float64)
    assert theta.isfinite().all()


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_steps_by_any_compiler(compiler, dtype, fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setenv("RUNGE_CACHE_DIR", str(tmp_path))
    for name in ("clipped", "adamw"):
        theta, _, _ = follow(METHODS[name], course(compiled(dtype), dtype, width=19))
        close(theta, follow(METHODS[name], course(one_by_one(dtype), dtype, width=19))[0], dtype)


@pytest.mark.parametrize("name", ["clipped", "adamw"])
@pytest.mark.parametrize("points", [20, 1200])
@pytest.mark.parametrize("loss", [lambda function: function, Likelihood], ids=["sum", "likelihood"])
def test_a_member_has_the_same_bits_in_any_stack_with_any_threads_and_in_any_calls(name, points, loss, monkeypatch):
    threads, sizes, function = torch.get_num_threads(), {"points": points, "width": 64}, loss(compiled(torch.float32))
    together = course(function, torch.float32, batch=None, **sizes)
    theta, optimizer, _ = follow(METHODS[name], together)
    try:
        for count in (2, 3):
            torch.set_num_threads(count)
            assert torch.equal(follow(METHODS[name], course(function, torch.float32, **sizes))[0], theta)
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr(kernel, "_SECONDS", 0)
    again, _, calls = follow(METHODS[name], course(function, torch.float32, **sizes))
    assert calls == STEPS
    assert torch.equal(again, theta)
    start = course(function, torch.float32, **sizes)
    for i in range(3):
        index = torch.tensor([i])
        network, some, weights = start.network.take(index), start.points.take(index), start.lambda_d[:, index]
        on = (weights > 0).any(1).tolist()
        alone = replace(
            start, network=network, points=some, scale=start.scale[index], lambda_d=weights, with_derivative=on
        )
        (own,), its, _ = follow(METHODS[name], alone)
        assert torch.equal(own, theta[i])
        for key in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(its.state_dict()["state"][0][key][0], optimizer.state_dict()["state"][0][key][i])


def test_a_member_with_a_rate_of_its_own_has_the_bits_of_the_run_alone():
    rates = (0.001, 0.02, 0.01)
    theta, _, _ = follow(METHODS["own rates"], course(compiled(), weights=torch.ones(STEPS, 3)))
    start = course(compiled(), weights=torch.ones(STEPS, 3))
    for i, rate in enumerate(rates):
        index = torch.tensor([i])
        network, some = start.network.take(index), start.points.take(index)
        alone = replace(
            start, network=network, points=some, scale=start.scale[index], lambda_d=start.lambda_d[:, index]
        )
        assert torch.equal(follow(replace(ADAM, lr=rate), alone)[0][0], theta[i])


def test_a_member_that_diverges_does_not_affect_its_neighbours():
    expected, _, _ = follow(METHODS["clipped"], course(compiled()))
    broken = course(compiled())
    with torch.no_grad():
        broken.network.theta[1, 0] = torch.nan
    theta, _, _ = follow(METHODS["clipped"], broken)
    assert torch.equal(theta[::2], expected[::2])
    assert not theta[1].isfinite().any()


@pytest.mark.parametrize("first", ["compiled", "one by one"])
def test_torch_and_the_kernel_continue_each_others_steps(first):
    """Save the optimiser in the middle of a course, as a checkpoint does, and take the rest in the other way."""
    expected, _, _ = follow(METHODS["adamw"], course(one_by_one()))
    functions = [compiled(), one_by_one()] if first == "compiled" else [one_by_one(), compiled()]
    start = course(functions[0])
    _, optimizer, _ = follow(METHODS["adamw"], start, end=5)
    resumed = METHODS["adamw"].build([start.network.theta])
    resumed.load_state_dict(optimizer.state_dict())
    theta, _, _ = follow(METHODS["adamw"], replace(start, function=functions[1]), resumed, first=5)
    torch.testing.assert_close(theta, expected, rtol=1e-11, atol=1e-13)


def test_autograd_learns_that_the_weights_have_changed():
    one = course(compiled())
    before = one.network.theta._version
    follow(ADAM, one)
    assert one.network.theta._version > before


@pytest.mark.parametrize(
    "method",
    [
        SGD(lr=0.01, lr_schedule="cosine", clip_norm=None, momentum=0.9),
        adapt(torch.optim.Adam)(lr=0.01),
        adapt(torch.optim.Adam)(lr=0.01, fused=True, amsgrad=True),
        adapt(torch.optim.Adam)(lr=0.01, fused=True, weight_decay=0.1),
        adapt(torch.optim.NAdam)(lr=0.01),
        of_members([SGD(lr=lr, lr_schedule="cosine", clip_norm=None, momentum=0.9) for lr in (0.1, 0.2, 0.3)]),
    ],
)
def test_other_optimisers_take_their_own_steps(method):
    theta, optimizer, calls = follow(method, course(compiled()))
    assert calls == STEPS
    assert not at_once.can_take(optimizer, course(compiled()))
    torch.testing.assert_close(theta, follow(method, course(one_by_one()))[0], rtol=0, atol=0)


def test_without_a_compiler_that_works_torch_takes_the_steps(fresh, monkeypatch, tmp_path, caplog):
    expected, _, _ = follow(ADAM, course(losses.loss_and_gradient))
    monkeypatch.setenv("RUNGE_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("CXX", compiler_that(tmp_path, "echo 'error: out of order' >&2; exit 1"))
    auto = step_function("auto", model(), torch.float64, neurons=2**21, steps=10**6, with_derivative=True)
    theta, _, calls = follow(ADAM, course(auto))
    assert (calls, "out of order" in caplog.text) == (STEPS, True)
    assert torch.equal(theta, expected)


def test_the_precision_is_that_of_the_network():
    with pytest.raises(ValueError, match=r"must be in torch\.float32, that of its compiled step; got torch\.float64"):
        follow(ADAM, course(compiled(torch.float32)))


def test_an_optimiser_with_several_groups_takes_its_own_steps():
    """Its class is not one that the kernel knows."""

    class Grouped(torch.optim.SGD):
        def __init__(self, parameters, lr):
            super().__init__([{"params": [one]} for one in parameters], lr)

    optimizer = Grouped([torch.nn.Parameter(torch.zeros(1, 3)) for _ in range(2)], 0.1)
    assert not at_once.can_take(optimizer, course(compiled()))
