"""Many steps of Adam in the compiled kernel, against eager steps of our own and of torch."""

from dataclasses import replace

import pytest
import torch

from runge.optimizers import SGD, Adam, AdamW, Course, adapt, of_members
from runge.sobolev import losses
from runge.sobolev.kernel import Kernel
from tests.sobolev.test_kernel import DOUBLE, SINGLE, any_compiler, problem, suited, threads

STEPS = 12
ADAM = Adam(lr=0.01)
METHODS = {
    "adam": ADAM,
    "clipped": replace(ADAM, clip_norm=0.1),
    "far from the past": replace(ADAM, betas=[0.3, 0.2], lr_schedule="constant"),
    "only the present": replace(ADAM, betas=[0.0, 0.0]),
    "adamw": AdamW(lr=0.01, weight_decay=1.0),
    "clipped adamw": AdamW(lr=0.02, lr_schedule="constant", clip_norm=0.1, betas=[0.8, 0.99], weight_decay=0.5),
    "own rates": of_members([replace(ADAM, lr=rate) for rate in (0.001, 0.02, 0.01)]),
}
__all__ = ["any_compiler", "threads"]
pytestmark = suited


def course(function=losses.loss_and_gradient, *, members=3, batch=None, points=20, dtype=DOUBLE, **sizes):
    """Let lambda_d be 0 at first, then grow, differently for each member; the last one has none."""
    network, everything, *_ = problem(members, points=points, dtype=dtype, **sizes)
    weights = torch.linspace(-0.3, 1, STEPS).clamp_min(0)[:, None] * torch.linspace(1, 0, max(2, members))[:members]
    if batch is not None:
        generator = torch.Generator().manual_seed(1)
        shuffled = [torch.randperm(points, generator=generator)[:batch] for _ in range(STEPS * members)]
        batch = torch.stack(shuffled).view(STEPS, members, batch)
    weights, scale = weights.to(dtype), torch.full((members,), 2.0, dtype=dtype)
    on = (weights > 0).any(1).tolist()
    return Course(network, everything, batch, scale, weights, on, [k / STEPS for k in range(STEPS)], function)


def follow(method, one, optimizer=None, first=0, end=STEPS):
    """Take the steps of a course; return its weights, the optimiser, and the number of calls."""
    optimizer, calls = optimizer or method.build([one.network.theta]), 0
    while first < end:
        first, calls = first + method.steps(optimizer, one, first, end), calls + 1
    return one.network.theta.detach(), optimizer, calls


def compare(method, dtype=DOUBLE, **sizes):
    """Compare the steps in the kernel with eager ones."""
    (theta, optimizer, calls), (expected, eager, many) = (
        follow(method, course(function, dtype=dtype, **sizes))
        for function in (Kernel("tanh", dtype), losses.loss_and_gradient)
    )
    assert (calls, many) == (1, STEPS)
    tolerance = {"rtol": 1e-8, "atol": 1e-10} if dtype == DOUBLE else {"rtol": 2e-3, "atol": 1e-4}
    torch.testing.assert_close(theta, expected, **tolerance)
    torch.testing.assert_close(optimizer.state_dict()["state"], eager.state_dict()["state"], **tolerance)


CASES = [(name, {"batch": batch}) for name in METHODS for batch in (None, 7)]
CASES += [("adam", {"batch": 9, "dimension": 2, "outputs": 3, "depth": 3})]
CASES += [("adam", {"batch": 9, "dimension": 5, "outputs": 2, "depth": 3})]  # u' is in reverse mode
CASES += [("adam", {"batch": 9, "points": 1200, "width": 64}), ("adam", {"batch": 9, "width": 1})]  # several slices


@pytest.mark.parametrize(("name", "sizes"), CASES)
def test_the_steps_are_the_eager_ones(name, sizes):
    for dtype in (DOUBLE, SINGLE) if sizes.keys() == {"batch"} else (DOUBLE,):
        compare(METHODS[name], dtype, **sizes)


@pytest.mark.usefixtures("any_compiler")
def test_the_steps_by_any_compiler():
    compare(METHODS["clipped adamw"], width=19)


@pytest.mark.parametrize("name", ["clipped", "own rates"])
@pytest.mark.parametrize("points", [20, 1200])
def test_a_member_has_the_same_bits_in_any_stack_with_any_threads_and_in_any_calls(name, points, threads):
    method, function = METHODS[name], Kernel("tanh", SINGLE)

    def start():
        return course(function, dtype=SINGLE, points=points, width=64)

    theta, optimizer, _ = follow(method, start())
    for count in (2, 3):
        threads(count)
        assert torch.equal(follow(method, start())[0], theta)
    threads(1)
    again, its = start(), None
    for step in range(STEPS):
        _, its, _ = follow(method, again, its, step, step + 1)
    assert torch.equal(again.network.theta, theta)
    whole = start()
    for i, index in enumerate(torch.arange(3)[:, None]):
        parts = {"network": whole.network.take(index), "points": whole.points.take(index), "scale": whole.scale[index]}
        weights = whole.lambda_d[:, index]
        on = (weights > 0).any(1).tolist()
        alone = replace(method, lr=(method.rates or (method.lr,) * 3)[i], rates=())
        (own,), its, _ = follow(alone, replace(whole, **parts, lambda_d=weights, with_derivative=on))
        assert torch.equal(own, theta[i])
        for key in ("mean", "square"):
            assert torch.equal(its.state_dict()["state"][0][key][0], optimizer.state_dict()["state"][0][key][i])


def test_a_call_ends_after_a_short_time():
    method, one = METHODS["adam"], course(Kernel("tanh", SINGLE), points=40_000, width=64, dtype=SINGLE)
    assert follow(method, one, end=2)[2] == 2


def test_a_member_that_diverges_does_not_affect_its_neighbours():
    expected, _, _ = follow(METHODS["clipped"], course(Kernel("tanh", DOUBLE)))
    broken = course(Kernel("tanh", DOUBLE))
    before = broken.network.theta._version
    with torch.no_grad():
        broken.network.theta[1, 0] = torch.nan
    theta, _, _ = follow(METHODS["clipped"], broken)
    assert torch.equal(theta[::2], expected[::2])
    assert not theta[1].isfinite().any()
    assert broken.network.theta._version > before + 1  # autograd learns that the kernel has changed the weights


@pytest.mark.parametrize("compiled_first", [True, False])
def test_eager_and_compiled_steps_continue_each_other(compiled_first):
    """Save the optimiser in the middle of a course, as a checkpoint does, and take the rest in the other way."""
    method, functions = METHODS["adamw"], [losses.loss_and_gradient, Kernel("tanh", DOUBLE)]
    start = course(functions[compiled_first])
    _, optimizer, _ = follow(method, start, end=5)
    resumed = method.build([start.network.theta])
    resumed.load_state_dict(optimizer.state_dict())
    theta, _, _ = follow(method, replace(start, function=functions[not compiled_first]), resumed, first=5)
    torch.testing.assert_close(theta, follow(method, course())[0], rtol=1e-9, atol=1e-11)


COSINE = {"lr": 0.01, "lr_schedule": "cosine"}
NESTEROV = {**COSINE, "clip_norm": 1.0, "momentum": 0.9, "nesterov": True}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ADAM, adapt(torch.optim.Adam)(**COSINE)),
        (METHODS["adamw"], adapt(torch.optim.AdamW)(**COSINE, weight_decay=1.0)),
        (SGD(lr=0.01, clip_norm=1.0, momentum=0.9), adapt(torch.optim.SGD)(**NESTEROV)),
    ],
    ids=["adam", "adamw", "sgd"],
)
def test_the_formulas_are_those_of_torch(ours, theirs):
    (theta, _, _), (expected, _, calls) = (follow(method, course()) for method in (ours, theirs))
    assert calls == STEPS
    torch.testing.assert_close(theta, expected, rtol=1e-11, atol=1e-13)
