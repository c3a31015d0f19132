"""The linear systems of a step, factorised and iterative, against NumPy."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from runge.optimizers.linearised import Linearised, errors_and_weights
from runge.optimizers.systems import COLUMNS, ErrorSpace, IterativeSpace, WeightSpace, space_of
from tests.sums_of_squares import LM, hypercube, linearised, plane, train


def close_to_numpy(steps, errors, weights, rows, damping):
    for step, e, w, j, mu in zip(steps, errors.numpy(), weights.numpy(), rows.numpy(), damping, strict=True):
        expected = np.linalg.solve(j.T @ (w[:, None] * j) + mu * np.eye(j.shape[1]), j.T @ (w * e))
        assert np.abs(step.numpy() - expected).max() < 1e-7 * np.abs(expected).max()


@pytest.mark.parametrize("numbers", [1, 1500, 2**22])
@pytest.mark.parametrize("lambda_d", [0.1, None])
@torch.no_grad()
def test_the_step_of_a_factorised_system_is_that_of_numpy(lambda_d, numbers, monkeypatch):
    limits = {"linearised._NUMBERS_AT_ONCE": numbers, "linearised._LEAST": 30, "systems._NUMBERS_AT_ONCE": numbers}
    for name, value in (limits | {"systems._BLOCK": 7, "systems._SINGLE_FROM": 0}).items():
        monkeypatch.setattr(f"runge.optimizers.{name}", value)
    what, damping = plane(n=60, lambda_d=lambda_d), [0.5, 0.01]
    *expected, _, rows = linearised(what)
    errors, weights, tape = errors_and_weights(what)
    assert (tape is None) == (numbers < 2**22)  # in several blocks
    torch.testing.assert_close([errors, weights], expected, rtol=1e-13, atol=1e-15)
    at = Linearised.of(what, tape)
    for system in (ErrorSpace.of(at, weights), WeightSpace.of(at, weights, torch.tensor([1.0, 0.0]))):
        system.damp(torch.tensor(damping, dtype=torch.float64))
        close_to_numpy(system.solve(errors), errors, weights, rows, damping)
    assert (space_of(3000, 10_000), space_of(10_000, 3000)) == (ErrorSpace, WeightSpace)  # the smaller one, or
    assert space_of(6144, 4804) is IterativeSpace


def iterative(what, columns=COLUMNS):
    """Return the iterative system, and e, W and J."""
    errors, weights, tape, rows = linearised(what)
    size = torch.full_like(what.scale, columns)
    return IterativeSpace.of(Linearised.of(what, tape), weights, size), errors, weights, rows


@pytest.fixture
def limits(monkeypatch):
    """Make all systems iterative; return what sets the limits of their columns and iterations."""

    def change(**values):
        for name, value in values.items():
            monkeypatch.setattr(f"runge.optimizers.systems.{name}", value)
            monkeypatch.setattr(f"runge.optimizers.levenberg_marquardt.{name}", value, raising=False)

    monkeypatch.setattr("runge.optimizers.systems._FACTORISED", 0)
    return change


@pytest.mark.parametrize("lambda_d", [0.1, None])
@pytest.mark.parametrize("columns", [1.0, 24.0])  # without a coarse space, and with one
@torch.no_grad()
def test_the_iterative_step_is_that_of_numpy(lambda_d, columns, limits):
    limits(_ITERATIONS=1000, _SHARE=1e-22)
    what, second = plane(n=40, width=8, lambda_d=lambda_d), torch.tensor([1])
    system, *parts = iterative(what, columns)
    for damping in ([0.5, 0.01], [1e-4, 1e3]):
        mu = torch.tensor(damping, dtype=torch.float64)
        system.damp(mu)
        steps, chosen = system.solve(parts[0]), system.take(second)
        close_to_numpy(steps, *parts, damping)
        chosen.damp(mu[1:])
        assert torch.equal(chosen.solve(parts[0][1:])[0], steps[1])


@torch.no_grad()
def test_each_iteration_reduces_the_model(limits):
    """Compare with the reduction of the exact step, from none to the whole."""
    damping, values = 1e-7, []
    system, errors, weights, rows = iterative(plane(members=1, n=40, width=8), 24.0)
    system.damp(torch.full((1,), damping, dtype=torch.float64))
    k, b = weights[0, :, None].sqrt() * rows[0], (weights.sqrt() * errors)[0]

    def reduced(step):
        return ((b - k @ step).square().sum() + damping * step.square().sum()) / b.square().sum()

    for count in range(12):
        limits(_SHARE=0.0, _ITERATIONS=count)
        values.append(reduced(system.solve(errors)[0]).item())
    assert values[0] < 1
    assert (np.diff(values) < 0).all()
    exact = torch.linalg.solve(k.mT @ k + damping * torch.eye(k.shape[1], dtype=torch.float64), k.mT @ b)
    assert reduced(exact).item() < values[-1]


def test_columns_grow_where_iterations_do_not_suffice(limits):
    """Let one member need them, while the other is at rest; and continue from the state, to the same bits."""
    limits(COLUMNS=20.0, _MOST=40.0, _ITERATIONS=2, _GROWTH=3.0)
    method, final = replace(LM, damping=1e-4), []
    for restored in (False, True):
        what = plane(n=40, width=8)
        optimizer = method.build([what.network.theta])
        method.rest(optimizer, what.network.theta, torch.tensor([True, False]))
        for _ in range(6):
            method.step(optimizer, what, 0.0)
            state = optimizer.state_dict()
            assert state["state"][0]["columns"].tolist() == [20, 40]
            if restored:
                optimizer = method.build([what.network.theta])
                optimizer.load_state_dict(state)
        final.append(what.network.theta)
    assert torch.equal(*final)


def test_members_train_as_they_do_alone_with_iterations(limits):
    """Compare bit for bit; the first member has diverged, the second fits already."""
    limits(COLUMNS=24.0, _ITERATIONS=4)  # so that columns grow
    together, alone = plane(members=3, n=40, width=8), plane(members=1, n=40, width=8)
    with torch.no_grad():
        alone.network.theta.copy_(together.network.theta[2:])
        together.network.theta[0] = torch.nan
        u, du = together.network.value_and_derivative(together.points.x)
        together.points.f[1], together.points.df[1] = u[1], du[1]
    start, before = together.network.theta[1].clone(), alone.loss_and_gradient()[0]
    train(alone, 25)
    train(together, 25)
    assert torch.equal(together.network.theta[2], alone.network.theta[0])
    assert torch.equal(together.network.theta[1], start)
    assert alone.loss_and_gradient()[0] < 1e-5 * before
    together.points.weight_f.zero_()
    together.points.weight_df.zero_()
    train(together, 2)  # without any weight: no error


def test_products_are_in_32_bits_while_the_damping_is_above_their_round_off(monkeypatch):
    """Compare the last weights with those of products in 64 bits, and of a member alone."""
    monkeypatch.setattr("runge.optimizers.systems._SINGLE_FROM", 0)
    final = []
    for single, members in ((1, 2), (1, 1), (0, 1)):
        what = hypercube(members)
        optimizer = LM.build([what.network.theta])
        for _ in range(4):
            LM.step(optimizer, what, 0.0)
            assert optimizer.state[what.network.theta]["single"].all()
            optimizer.state[what.network.theta]["single"].mul_(single)
        final.append(what.network.theta.detach()[0].clone())
    assert (final[0] - final[1]).abs().max() < 1e-10
    assert 1e-8 < (final[1] - final[2]).abs().max() < 1e-4
    what = hypercube()
    _, weights, tape, _ = linearised(what)
    system = WeightSpace.of(Linearised.of(what, tape), weights, torch.zeros_like(what.scale))
    assert system.allows_single(torch.tensor([1e-5, 1e-9], dtype=torch.float64)).tolist() == [1, 0]
