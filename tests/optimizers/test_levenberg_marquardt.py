"""Steps of Levenberg-Marquardt against SciPy and dense formulas, and in a stack."""

from dataclasses import replace

import pytest
import scipy.optimize
import torch

from runge.optimizers.levenberg_marquardt import limits
from runge.sobolev.points import Points
from tests.sums_of_squares import ELIMINATE, LM, hypercube, linearised, plane, problem, runge, train

BOTH = pytest.mark.parametrize("method", [LM, ELIMINATE])


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def copy(what):
    return what.network.theta.detach().clone()


@pytest.mark.parametrize(("n", "lambda_d"), [(10, 0.1), (60, None)])
def test_minimum_is_that_of_scipy(n, lambda_d):
    """Start near a network that fits the data up to noise, so that the minimum is not at infinity; SciPy continues."""
    what = problem(n=n, width=2, depth=1, lambda_d=lambda_d)
    with torch.no_grad():
        what.network.theta.mul_(3)
        u, du = what.network.value_and_derivative(what.points.x)
        what.points.f.copy_(u + 0.02 * normal(*u.shape, seed=0))
        what.points.df.copy_(du + 0.02 * normal(*du.shape, seed=1))
        what.network.theta.add_(0.1 * normal(1, 7, seed=2))
    train(what, 150)
    loss, end = what.loss_and_gradient()[0].item(), copy(what)[0].numpy()

    def part(theta, which):
        e, weights, _, rows = linearised(what, theta[None])
        return (weights.sqrt()[0, :, None] * (e[0, :, None], rows[0])[which]).squeeze().numpy()

    options = {"jac": lambda theta: part(theta, 1), "method": "lm", "max_nfev": 100_000}
    options |= dict.fromkeys(("ftol", "xtol", "gtol"), 1e-15)
    assert loss == pytest.approx(
        2 * scipy.optimize.least_squares(lambda theta: part(theta, 0), end, **options).cost, 1e-6
    )


@pytest.mark.parametrize("damping", [1e-9, 10.0])
def test_damping_grows_by_tries_that_fail_and_by_a_gain_ratio(damping):
    """Compare with the dense formula at the start, with the damping of the try that succeeded."""
    method = replace(LM, damping=damping, acceleration=1e9)
    what = problem(n=15, f=torch.tanh, df=lambda x: 1 - torch.tanh(x) ** 2)
    theta, start = what.network.theta, copy(what)
    after = train(what, 1, method).state[theta]["damping"].item()
    moved, (e,), (w,), _, (rows,) = theta.detach() - start, *linearised(what, start)

    def step(mu):
        normal = rows.T @ (w[:, None] * rows) + mu * torch.eye(len(start[0]), dtype=torch.float64)
        v = -torch.linalg.solve(normal, rows.T @ (w * e))
        sides = [linearised(what, start + sign * 0.1 * v)[0][0] for sign in (1, -1)]
        return v, -torch.linalg.solve(normal, rows.T @ (w * (sides[0] - 2 * e + sides[1]) / 0.1**2))

    def loss(errors):
        return (w * errors.square()).sum()

    mu, (v, a) = next(
        (mu, (v, a))
        for mu, (v, a) in ((mu, step(mu)) for mu in (damping * 2 ** (fails * (fails + 1) // 2) for fails in range(17)))
        if (moved[0] - v - a / 2).norm() < 1e-4 * moved.norm()
    )
    assert (mu > 60 * damping) == (damping < 1)
    gained = (loss(e) - loss(linearised(what, start + v + a / 2)[0][0])) / (loss(e) - loss(e + rows @ v))
    factor = (1 - (2 * gained - 1) ** 3).clamp(1 / 3, 2)
    assert after == pytest.approx(mu * factor.item(), rel=1e-2)


@BOTH
def test_points_without_a_weight_do_not_count(method):
    what, other = plane(), plane()
    f, df = (what.points.f.masked_fill(what.points.weight_f == 0, 1e6), what.points.df)
    spoiled = replace(other, points=replace(other.points, f=f, df=df.masked_fill(what.points.weight_df == 0, -1e6)))
    before = what.loss_and_gradient()[0]
    for one in (what, spoiled):
        train(one, 5, method)
    assert torch.allclose(what.network.theta, spoiled.network.theta, rtol=1e-6, atol=1e-9)
    assert (what.loss_and_gradient()[0] < 0.5 * before).all()


@pytest.mark.parametrize(("make", "method", "loss"), [(problem, LM, 1e-6), (runge, ELIMINATE, 1e-5)])
def test_fifteen_steps_fit_a_smooth_function(make, method, loss):
    what = make(members=3)
    train(what, 15, method)
    assert what.loss_and_gradient()[0][2] < loss


def test_rest():
    """Fit a constant, which one bias does exactly: no step helps then, until the loss changes."""
    what = problem(n=8, width=1, depth=1, lambda_d=None, f=torch.ones_like)
    optimizer, theta = train(what, 200), copy(what)
    assert LM.at_rest(optimizer, what.network.theta)
    LM.step(optimizer, what, 0.0)
    assert torch.equal(what.network.theta, theta)
    assert optimizer.state[what.network.theta]["damping"] == LM.damping  # not the largest that was tried
    LM.reset(optimizer)
    assert not LM.at_rest(optimizer, what.network.theta)


@pytest.mark.parametrize("damping", [limits.SMALLEST_DAMPING, 1e-9])
def test_no_damping_is_too_small_to_continue(damping):
    """Ask for steep slopes, for which the damping must grow from a rest's by ten powers of ten and more."""
    what = problem(n=6, width=3, depth=1, f=lambda x: 1e6 * torch.sin(x), df=lambda x: 1e6 * torch.cos(x))
    optimizer = LM.build([what.network.theta])
    LM._state(optimizer, what.network.theta)["damping"].fill_(damping)
    before = what.loss_and_gradient()[0]
    LM.step(optimizer, what, 0.0)
    assert not LM.at_rest(optimizer, what.network.theta)
    assert what.loss_and_gradient()[0] < before


@BOTH
def test_a_member_at_rest_keeps_its_weights(method):
    what = runge(members=2)
    optimizer = train(what, 3, method)
    theta = copy(what)
    method.put_to_rest(optimizer, what.network.theta, torch.tensor([True, False]))
    method.step(optimizer, what, 0.0)
    assert (what.network.theta == theta).all(1).tolist() == [True, False]


def test_a_kink_a_nan_and_a_singular_system_are_no_crash():
    kink, nowhere = problem(n=40, activation="relu", f=torch.abs, df=torch.sign), problem(f=lambda x: x * torch.nan)
    before, theta = kink.loss_and_gradient()[0], copy(nowhere)
    train(kink, 30)
    train(nowhere, 3)
    assert kink.loss_and_gradient()[0] < before
    assert torch.equal(nowhere.network.theta, theta)
    once = problem(n=6).points.tensors().items()  # take each point twice: J J^T has half its rank
    double = {name: torch.cat([t, t], dim=2 if name == "masks" else 1) for name, t in once}
    train(twice := replace(problem(n=6), points=Points(**double)), 40)
    assert twice.network.theta.isfinite().all()
    assert twice.loss_and_gradient()[0] < 1e-12


def sizes(optimizer, what):
    return optimizer.state[what.network.theta]["points"].tolist()


def test_the_points_of_a_step_grow_to_all():
    """Fit a function of five variables, and noise, with which a subset is fitted better than fresh points."""
    what, first = hypercube(n=500), 43  # with six errors each, as many as 256
    what.points.f[1] += normal(500, 1, seed=1)
    optimizer, seen = LM.build([what.network.theta]), []
    for _ in range(6):
        LM.step(optimizer, what, 0.0)
        seen.append(sizes(optimizer, what))
    of_exact, of_noise = zip(*seen, strict=True)
    assert of_exact[0] < 500
    assert set(of_exact) <= {first, 2 * first, 4 * first, 500}
    assert list(of_noise) == sorted(of_noise)
    assert of_noise[-1] == 500
    late = hypercube(n=500)
    LM.step(optimizer := LM.build([late.network.theta]), late, 0.5)
    assert sizes(optimizer, late) == [500, 500]  # in the second half of a run
    optimizer = train(late, 1)
    state = optimizer.state[late.network.theta]
    state["damping"].fill_(1e22)  # no step changes the weights: the members are at rest on a subset
    state["points"].fill_(first)
    LM.step(optimizer, late, 0.0)
    assert sizes(optimizer, late) == [86, 86]
    assert not LM.members_at_rest(optimizer, late.network.theta).any()
    few, many = hypercube(n=160), hypercube(n=500)  # members with few points or a missing label use all
    many.points.weight_f[0, 7] = 0
    assert sizes(train(few, 1), few) == [160, 160]
    of_missing, of_whole = sizes(train(many, 1), many)
    assert of_missing == 500 > of_whole


@torch.no_grad()
def test_steps_on_a_subset_that_are_undone_leave_the_damping():
    """Give the fresh points the network's own values as labels, which every step makes worse."""
    what = hypercube(members=1, n=500)
    fresh = torch.randperm(500, generator=torch.Generator().manual_seed(0))[43:86]
    what.points.f[:, fresh], what.points.df[:, fresh] = what.network.value_and_derivative(what.points.x[:, fresh])
    before, optimizer = copy(what), train(what, 1)
    assert torch.equal(what.network.theta, before)
    assert optimizer.state[what.network.theta]["damping"] == LM.damping


def test_members_on_subsets_train_as_they_do_alone_and_can_be_restored():
    together, whole, alone = (hypercube(members=members, n=300) for members in (3, 3, 1))
    for what in (together, whole):
        what.points.f[1] += normal(300, 1, seed=1)
    with torch.no_grad():
        alone.network.theta.copy_(together.network.theta[2:])
    optimizer, seen = LM.build([together.network.theta]), []
    for _ in range(4):
        LM.step(optimizer, together, 0.0)
        seen.append(sizes(optimizer, together))
        state, optimizer = optimizer.state_dict(), LM.build([together.network.theta])
        optimizer.load_state_dict(state)
    train(alone, 4)
    train(whole, 4)
    assert any(len(set(size)) > 1 for size in seen)
    assert torch.allclose(together.network.theta[2], alone.network.theta[0], rtol=1e-6, atol=1e-8)
    assert torch.equal(whole.network.theta, together.network.theta)


@pytest.mark.parametrize(("damping", "carried"), [(1e-20, 1e-20), (1e9, LM.damping)])
def test_another_run_goes_on_with_the_damping_at_most_the_initial_one_and_all_points(damping, carried):
    what = hypercube(n=500)  # of which a first step would use 43 points
    theta = what.network.theta
    first, other = LM.build([theta]), LM.build([theta])
    first.state[theta] = {"damping": torch.full_like(theta[:, 0], damping)}
    other.state[theta] = LM.carried(first, theta)
    assert other.state[theta]["damping"].tolist() == pytest.approx([carried] * len(theta))
    LM.step(other, what, 0.0)
    assert sizes(other, what) == [torch.inf] * len(theta)
