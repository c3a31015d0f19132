"""The evidence of learnt scales against the density of a normal distribution, and the ridge regression by NumPy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import check_grad
from scipy.stats import multivariate_normal

from runge.optimizers import RandomFeatures
from runge.optimizers.conjugate import improve_last_layer
from runge.optimizers.least_squares import sketch_last_layer, solve_last_layer
from runge.optimizers.random_features import evidence
from tests.conftest import generator
from tests.sums_of_squares import last_layers, made, plane


@pytest.mark.parametrize("of", ["features", "noise"])
def test_the_evidence_is_the_density_of_a_normal_distribution_and_has_its_gradient(of):
    """With the s^2 of highest density, which the evidence has in place of it; constants are equal."""
    random = np.random.default_rng(0)
    features, labels, noise = random.standard_normal((7, 4)), random.standard_normal((7, 2)), random.uniform(0.1, 1, 7)
    covariance, expected = features @ features.T + np.diag(noise), 0.0
    for y in labels.T:
        variance = y @ np.linalg.solve(covariance, y) / 7
        expected -= multivariate_normal(np.zeros(7), variance * covariance).logpdf(y)
    constant = 2 * 7 / 2 * (1 + np.log(2 * np.pi))
    assert evidence(features, noise, labels).value == pytest.approx(expected - constant, rel=1e-12)

    def at(x):
        changed = (x.reshape(7, 4), noise) if of == "features" else (features, np.exp(x))
        return evidence(*changed, labels)

    start = features.ravel() if of == "features" else np.log(noise)
    assert check_grad(lambda x: at(x).value, lambda x: getattr(at(x), of).ravel(), start) < 1e-5


def test_a_ridge_is_that_of_numpy():
    what, ridge = plane(members=1, width=6, n=5, outputs=1), 0.03
    with torch.no_grad():
        for part in what.network.layers()[-1]:
            part.zero_()
    expected = last_layers(what, ridge)
    solve_last_layer(what, 1e-15, torch.tensor([ridge], dtype=torch.float64))
    np.testing.assert_allclose(what.network.theta.detach()[:, -7:].numpy(), expected, rtol=1e-9, atol=1e-12)


def wave(members=1, n=30, width=60, constants=0):
    """Return sin(3 a), with a second input that it does not depend on, and outputs that are zero."""
    x = 2 * torch.rand(n, 2, generator=generator(), dtype=torch.float64) - 1
    df = torch.zeros(n, 1, 2, dtype=torch.float64)
    df[:, 0, 0] = 3 * torch.cos(3 * x[:, 0])
    f, df = (torch.cat([part, *[0 * part] * constants], dim=1) for part in (torch.sin(3 * x[:, :1]), df))
    weights = torch.full_like(df, 1 / n)
    parts = x, f, df, weights[..., 0], weights
    copies = (part.expand(members, *part.shape).clone() for part in parts)
    return made(*copies, 1.0, width=width, depth=1, activation="sin", init="fourier")


def learnt(what, steps=2):
    method = RandomFeatures()
    optimizer = method.build([what.network.theta])
    for step in range(steps):
        method.step(optimizer, what, step / steps)
    return method.figures(optimizer, what.network.theta, 1.0)


def check_fit(what):
    with torch.no_grad():
        u, du = what.network.value_and_derivative(what.points.x)
    assert (u - what.points.f).abs().max() < 1e-5
    assert (du - what.points.df).abs().max() < 1e-4


def test_an_input_that_does_not_matter_has_a_large_scale():
    scales = learnt(what := wave())
    assert 0.1 < scales["scale_1"].item() < 3
    assert scales["scale_2"].item() > 50 * scales["scale_1"].item()
    weight = what.network.layers()[0][0]
    deviations = [weight[0, d].std().item() * scales[f"scale_{1 + d}"].item() for d in range(2)]
    assert deviations == pytest.approx([1, 1], abs=0.3)  # those of the frequencies of the kernel
    check_fit(what)


def test_a_constant_output_does_not_change_the_scales():
    alone, beside = (learnt(what) for what in (wave(), wave(constants=1)))
    for name in ("scale_1", "scale_2"):
        assert beside[name].item() == pytest.approx(alone[name].item(), rel=1e-6)


@torch.no_grad()
def test_rows_far_from_all_others_count_in_a_sketch():
    """Spread 30 of 600 rows: from a random sample, 6 iterations end at 1.7 times the lowest objective."""
    what, ridge = wave(n=600, width=30), torch.tensor([1e-10], dtype=torch.float64)
    what.points.x[:, 30:] *= 0.01
    a = 3 * what.points.x[..., :1]
    what.points.f.copy_(torch.sin(a))
    what.points.df[..., 0].copy_(3 * torch.cos(a))
    for tensor in what.network.layers()[-1]:
        tensor.zero_()
    improve_last_layer(what, ridge, sketch_last_layer(what, 1e-15, ridge, 124), 6)
    improved = objective(what, ridge)
    solve_last_layer(what, 1e-15, ridge)
    assert improved < 1.01 * objective(what, ridge)


def objective(what, ridge):
    return what.loss_and_gradient()[0] + ridge * what.network.layers()[-1][0].square().sum((1, 2))


@pytest.mark.parametrize("lambda_d", [0.3, None])
def test_conjugate_gradients_from_a_sample_end_at_the_solution_for_all_points(lambda_d, monkeypatch):
    """After as many iterations as weights, in several blocks, and where some labels are missing."""
    monkeypatch.setattr("runge.optimizers.conjugate._BLOCK_FEATURES", 300)
    what, ridge = plane(n=60, width=6, lambda_d=lambda_d), torch.tensor([1e-3, 0.1], dtype=torch.float64)
    sample = replace(what, points=what.points.minibatch(torch.arange(0, 60, 2).expand(2, -1)))
    factorisations = solve_last_layer(sample, 1e-15, ridge)
    start = what.network.theta.detach().clone()
    improve_last_layer(what, ridge, factorisations, 8)
    improved = what.network.theta.detach().clone()
    solve_last_layer(what, 1e-15, ridge)
    exact = what.network.theta.detach().clone()
    assert (start - exact).abs().amax(1).min() > 1e-3
    torch.testing.assert_close(improved, exact, rtol=1e-8, atol=1e-9)
    with torch.no_grad():
        what.network.theta.copy_(start)[1] = torch.nan
    improve_last_layer(what, ridge, factorisations, 8)
    assert torch.equal(what.network.theta[0], improved[0])


def test_many_rows_are_fitted_from_a_sample_and_the_first_step_takes_no_more(monkeypatch):
    """Of 450 rows with 3 residuals each, take 437 at the first step; the second member has diverged."""
    taken = []

    def improved(problem, *arguments):
        taken.append(problem.points.x.shape[1])
        improve_last_layer(problem, *arguments)

    monkeypatch.setattr("runge.optimizers.random_features.improve_last_layer", improved)
    what = wave(members=2, n=450, width=40)
    with torch.no_grad():
        what.network.theta[1] = torch.nan
    learnt(what)
    assert taken == [437, 450]
    check_fit(what.take(torch.tensor([0])))
