"""The linear systems of a step, factorised and iterative, against NumPy."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from runge.optimizers.levenberg_marquardt import limits
from runge.optimizers.levenberg_marquardt.deflated import IterativeSpace
from runge.optimizers.levenberg_marquardt.linearised import Linearised, errors_and_weights
from runge.optimizers.levenberg_marquardt.systems import ErrorSpace, WeightSpace
from runge.optimizers.levenberg_marquardt.trial import system_of
from runge.sobolev import losses
from tests.sums_of_squares import LM, hypercube, linearised, plane, problem


def close_to_numpy(steps, errors, weights, rows, damping):
    for step, e, w, j, mu in zip(steps, errors.numpy(), weights.numpy(), rows.numpy(), damping, strict=True):
        expected = np.linalg.solve(j.T @ (w[:, None] * j) + mu * np.eye(j.shape[1]), j.T @ (w * e))
        assert np.abs(step.numpy() - expected).max() < 1e-7 * np.abs(expected).max()


@pytest.mark.parametrize("lambda_d", [0.1, None])
@pytest.mark.parametrize("space", [ErrorSpace, WeightSpace])
@torch.no_grad()
def test_the_step_of_a_factorised_system_is_that_of_numpy(space, lambda_d):
    """With the tape of all points, or passes again; in many weights, those of the first member from 32 bits."""
    few = space is ErrorSpace
    what, damping = plane(**({"n": 60} if few else {"n": 360, "width": 12}), lambda_d=lambda_d), [0.5, 0.01]
    errors, weights, tape, rows = linearised(what)
    for kept in (tape, None):
        at = Linearised.of(what, kept)
        system = space.of(at, weights) if few else space.of(at, weights, torch.tensor([1.0, 0.0]))
        system.damp(torch.tensor(damping, dtype=torch.float64))
        close_to_numpy(system.solve(errors), errors, weights, rows, damping)


@pytest.mark.parametrize(
    ("n", "limit", "space"),
    [(9, 54, ErrorSpace), (10, 57, WeightSpace), (9, 53, IterativeSpace), (10, 56, IterativeSpace)],
)
@torch.no_grad()
def test_a_system_is_factorised_in_the_smaller_space_or_iterative(n, limit, space, monkeypatch):
    """The network has 57 weights and six errors at each of n points; `limit` is the largest factorised system."""
    monkeypatch.setattr(limits, "LARGEST_FACTORISED", limit)
    what = plane(n=n)
    _, weights, tape, _ = linearised(what)
    state = {"columns": torch.full_like(what.scale, 24), "single": torch.zeros_like(what.scale)}
    assert type(system_of(Linearised.of(what, tape), weights, state)) is space


@torch.no_grad()
def test_many_errors_and_their_adjoint_are_computed_in_blocks():
    what = problem(n=2200, width=400, depth=1)
    u, du, whole = what.network.propagate(what.points.x, with_derivative=True)
    expected = losses.least_squares(u, du, what.points, what.scale, what.lambda_d)
    errors, weights, tape = errors_and_weights(what)
    assert tape is None
    torch.testing.assert_close((errors, weights), expected, rtol=1e-13, atol=1e-15)
    pulled, of_whole = (Linearised.of(what, kept).transposed(errors) for kept in (None, whole))
    torch.testing.assert_close(pulled, of_whole, rtol=1e-12, atol=1e-12)


def iterative(what, columns=limits.FIRST_COLUMNS):
    """Return the iterative system, and e, W and J."""
    errors, weights, tape, rows = linearised(what)
    size = torch.full_like(what.scale, columns)
    return IterativeSpace.of(Linearised.of(what, tape), weights, size), errors, weights, rows


@pytest.mark.parametrize("lambda_d", [0.1, None])
@pytest.mark.parametrize("columns", [1.0, 24.0])  # without a coarse space, and with one
@torch.no_grad()
def test_the_iterative_step_is_that_of_numpy(lambda_d, columns, monkeypatch):
    """Few iterations reduce the model of the loss nearly as much; with many of them the steps are equal."""
    what, second = plane(n=40, width=8, lambda_d=lambda_d), torch.tensor([1])
    system, errors, weights, rows = iterative(what, columns)

    def lowered(steps, mu):
        left = (weights * (errors - (rows @ steps[..., None])[..., 0]).square()).sum(1) + mu * steps.square().sum(1)
        return 1 - left / (weights * errors.square()).sum(1)

    for damping in ([0.5, 0.01], [1e-4, 1e3]):
        mu = torch.tensor(damping, dtype=torch.float64)
        system.damp(mu)
        few = system.solve(errors)
        with monkeypatch.context() as patch:
            patch.setattr(limits, "MOST_ITERATIONS", 1000)
            patch.setattr(limits, "LEAST_GAIN", 1e-22)
            steps, chosen = system.solve(errors), system.take(second)
            close_to_numpy(steps, errors, weights, rows, damping)
            chosen.damp(mu[1:])
            assert torch.equal(chosen.solve(errors[1:])[0], steps[1])
        assert (lowered(few, mu) > 0.98 * lowered(steps, mu)).all()


DAMPED = replace(LM, damping=0.01)


def many(members=1):
    """Return a problem with too many errors and weights for a factorisation, and its optimiser, with few columns."""
    what = plane(members, n=510, width=54)
    optimizer = DAMPED.build([what.network.theta])
    DAMPED.put_to_rest(optimizer, what.network.theta, torch.zeros(members, dtype=torch.bool))
    optimizer.state[what.network.theta]["columns"].fill_(24)
    return what, optimizer


def test_columns_grow_where_iterations_do_not_suffice(monkeypatch):
    """Let one member need them, while the other is at rest; and continue from the state, to the same bits."""
    monkeypatch.setattr(limits, "LEAST_GAIN", 0)
    final = []
    for restored in (False, True):
        what, optimizer = many(2)
        LM.put_to_rest(optimizer, what.network.theta, torch.tensor([True, False]))
        for columns in (24 * 1.1, 24 * 1.1**2):
            DAMPED.step(optimizer, what, 0.0)
            state = optimizer.state_dict()
            assert state["state"][0]["columns"].tolist() == pytest.approx([24, columns])
            if restored:
                optimizer = LM.build([what.network.theta])
                optimizer.load_state_dict(state)
        final.append(what.network.theta)
    assert torch.equal(*final)


def test_members_train_as_they_do_alone_with_iterations():
    """Compare bit for bit; the first member has diverged, the second fits already."""
    (together, optimizer), (alone, own) = many(3), many()
    with torch.no_grad():
        alone.network.theta.copy_(together.network.theta[2:])
        together.network.theta[0] = torch.nan
        u, du = together.network.value_and_derivative(together.points.x)
        together.points.f[1], together.points.df[1] = u[1], du[1]
    start, before = together.network.theta[1].clone(), alone.loss_and_gradient()[0]
    for _ in range(2):
        DAMPED.step(own, alone, 0.0)
        DAMPED.step(optimizer, together, 0.0)
    assert torch.equal(together.network.theta[2], alone.network.theta[0])
    assert torch.equal(together.network.theta[1], start)
    assert alone.loss_and_gradient()[0] < 0.5 * before
    together.points.weight_f.zero_()
    together.points.weight_df.zero_()
    DAMPED.step(optimizer, together, 0.0)  # without any weight: no error


def test_products_are_in_32_bits_while_the_damping_is_above_their_round_off():
    """Compare the last weights with those of products in 64 bits, and of a member alone."""
    final = []
    for single, members in ((1, 2), (1, 1), (0, 1)):
        what = hypercube(members, n=300, width=12)
        optimizer = LM.build([what.network.theta])
        for _ in range(4):
            LM.step(optimizer, what, 0.0)
            assert optimizer.state[what.network.theta]["single"].all()
            optimizer.state[what.network.theta]["single"].mul_(single)
        final.append(what.network.theta.detach()[0].clone())
    assert (final[0] - final[1]).abs().max() < 1e-10
    assert 1e-8 < (final[1] - final[2]).abs().max() < 1e-4
    what = hypercube(n=300, width=12)
    _, weights, tape, _ = linearised(what)
    system = WeightSpace.of(Linearised.of(what, tape), weights, torch.zeros_like(what.scale))
    state = {"damping": torch.tensor([1e-5, 1e-9], dtype=torch.float64), "single": torch.zeros(2)}
    system.keep(state)
    assert state["single"].tolist() == [1, 0]
