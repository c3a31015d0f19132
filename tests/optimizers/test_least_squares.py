"""The exact last layer against NumPy, and runs whose hidden layers are not trained."""

import itertools
import json

import numpy as np
import pytest
import torch

from runge.composing.composition import compose
from runge.configuration.objects import flatten
from runge.optimizers import LeastSquares, least_squares
from runge.optimizers.least_squares import solve_last_layer
from runge.training.member import Member
from runge.training.settings import Settings
from tests.refusals import refuses
from tests.sums_of_squares import last_layers, plane, problem


@pytest.mark.parametrize("lambda_d", [0.1, None])
def test_the_last_layer_is_that_of_numpy(lambda_d):
    """Without any feature, with neurons that are constant and without a label of a value, it stays."""
    what = problem(members=3, n=30, width=5, lambda_d=lambda_d)
    what.points.weight_f[:, 3] = 0
    what.points.weight_df[1, 5:9] = 0
    with torch.no_grad():
        for part in what.network.layers()[-1]:
            part.zero_()
    expected = last_layers(what)
    solve_last_layer(what, 1e-15)
    start = what.network.theta.detach()
    np.testing.assert_allclose(start[:, -6:].numpy(), expected, rtol=1e-8, atol=1e-10)
    what.points.weight_f.zero_()
    with torch.no_grad():
        what.network.layers()[0][0].zero_()
    start = what.network.theta.detach().clone()
    solve_last_layer(what, 1e-15)
    assert torch.equal(what.network.theta, start)


def test_a_last_layer_that_cannot_be_better_stays_and_a_diverged_neighbour_does_no_harm():
    what, alone = problem(members=2, n=30, width=5), problem(n=30, width=5)
    with torch.no_grad():
        what.network.theta[1] = torch.nan
    losses_seen = []
    for _ in range(2):
        for one in (what, alone):
            solve_last_layer(one, 1e-15)
        assert torch.equal(what.network.theta[0], alone.network.theta[0])
        losses_seen.append(alone.loss_and_gradient()[0])
    assert losses_seen[1] <= losses_seen[0]


def test_hidden_neurons_that_are_equal_do_no_harm():
    """With fewer different neurons than columns, the solution of least norm gives equal neurons equal weights."""
    what = problem(n=30, width=6, depth=1)
    start = what.network.layers()[-1][0].detach().clone()
    with torch.no_grad():
        for part in what.network.layers()[0]:
            part[..., 3:] = part[..., :3]
    solve_last_layer(what, 1e-15)
    first, second = (what.network.layers()[-1][0].detach() - start)[0, :, 0].split(3)
    torch.testing.assert_close(first, second, rtol=1e-6, atol=1e-9)
    assert first.abs().max() > 0


@pytest.mark.parametrize(("lambda_d", "missing"), [(0.1, False), (None, False), (None, True)])
def test_several_outputs_are_solved_apart_and_those_with_equal_weights_share_a_decomposition(
    lambda_d, missing, monkeypatch
):
    one, two = (problem(n=20, width=5, outputs=outputs, lambda_d=lambda_d) for outputs in (1, 2))
    with torch.no_grad():
        for what in (one, two):
            what.network.theta[:, 40:] = 0
        two.network.theta[:, :40] = one.network.theta[:, :40]
    two.points.f[:, :, 0] *= 2
    two.points.df[:, :, 0] *= 2
    two.points.weight_f[:, :4, 0] *= 0 if missing else 1
    counted, made = [], least_squares.Factorisation
    monkeypatch.setattr(least_squares, "Factorisation", lambda *arguments: counted.append(None) or made(*arguments))
    solve_last_layer(two, 1e-15)
    assert len(counted) == 1 + missing
    solve_last_layer(one, 1e-15)
    for alone, both in zip(one.network.layers()[-1], two.network.layers()[-1], strict=True):
        torch.testing.assert_close(both[..., 1:], alone, rtol=1e-7, atol=1e-10)
        assert missing or torch.allclose(both[..., :1], 2 * alone, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("per_input", [False, True])
def test_steps_change_the_slopes_and_not_the_kinks_nor_depend_on_those_before(per_input):
    """The exponents of inputs are the points of a grid; biases grow as the length of the vector of slopes."""
    what, method = plane(n=20, width=8, outputs=1), LeastSquares(slopes=[2.0, 32.0], per_input=per_input)
    optimizer, losses = method.build([what.network.theta]), {}
    weight, bias = (part.detach().clone() for part in what.network.layers()[0])
    grid = [2.0, 2.0], [8.0, 2.0], [2.0, 8.0], [8.0, 8.0], [4.0, 2.0]
    for progress, slopes in enumerate(grid) if per_input else ((0.0, [2.0]), (0.5, [8.0]), (0.75, [16.0])):
        method.step(optimizer, what, progress)
        losses[progress] = what.loss_and_gradient()[0]
        now, shift = (part.detach() for part in what.network.layers()[0])
        size, before = (w.abs().mean(2) if per_input else w.norm(dim=1).mean(1)[:, None] for w in (now, weight))
        expected = torch.tensor(slopes, dtype=torch.float64)
        torch.testing.assert_close(size, expected.expand(2, -1))
        torch.testing.assert_close(shift, bias * (expected.norm() / before.norm(dim=1))[:, None, None])
        torch.testing.assert_close(now / now[:, :, :1], weight / weight[:, :, :1])
    if not per_input:
        alone = plane(n=20, width=8, outputs=1)
        method.step(method.build([alone.network.theta]), alone, 0.5)
        torch.testing.assert_close(alone.loss_and_gradient()[0], losses[0.5], rtol=1e-6, atol=0)


@pytest.mark.parametrize("inputs", [1, 2, 3])
@pytest.mark.parametrize("levels", [2, 4])
def test_the_first_steps_are_a_grid_of_slopes(inputs, levels):
    points = [tuple(least_squares.grid_point(k, inputs)) for k in range(levels**inputs)]
    assert set(points) == set(itertools.product([i / levels for i in range(levels)], repeat=inputs))


def errors_of(fit, name, *overrides):
    return json.loads((fit(name, "optimizer=least_squares", "pictures=false", *overrides) / "metrics.json").read_text())


def test_a_function_of_unequal_inputs_is_fitted_more_closely(fit):
    common = "target=expression", "target.expr='sin(6*x1)+x2'", "target.domain=[[-1,1],[-1,1]]", "loss.lambda_d=1"
    size = "model.depth=1", "model.width=150", "model.init=wide_knots", "data.n_train=60", "data.n_val=20"
    rest = "optimizer.slopes=[0.1,10]", "trainer.max_steps=16", "sampling=latin_hypercube"
    one, each = (errors_of(fit, how, *common, *size, *rest, f"optimizer.per_input={how}") for how in ("false", "true"))
    assert each["test/mse_df"] < 1e-2 * one["test/mse_df"]


@pytest.mark.nightly
def test_the_option_alone_fits_to_round_off(fit):
    metrics = errors_of(fit, "run", "target=expression", "target.expr='1/(1+64*(x-0.2)**2)'")
    assert metrics["test/mse_f"] < 1e-29
    assert metrics["test/mse_df"] < 1e-27


CHOICES = {
    "": {"data.n_train": 640, "model.width": 512, "model.depth": 1, "sampling": "Chebyshev"},
    "data.n_train=30 model.width=7 sampling=uniform": {"data.n_train": 30, "model.width": 7, "sampling": "Uniform"},
    "data=table data.file=a.csv": {"model.width": 800, "model.depth": 1, "optimizer.slopes": "[0.05, 5]"},
    "data=table data.file=a.csv model.width=7 optimizer.slopes=[1,2]": {"model.width": 7, "optimizer.slopes": "[1, 2]"},
    "experiment=readout": {"data.n_train": 320, "model.width": 256, "optimizer.slopes": "[3, 48]"},
}


@pytest.mark.parametrize(("others", "expected"), CHOICES.items())
def test_the_option_chooses_what_is_not_given(others, expected):
    assert expected.items() <= flatten(compose("optimizer=least_squares", *others.split())).items()


def test_twice_the_outputs_are_twice_the_work():
    method = LeastSquares(slopes=[1, 2])
    assert method.products(2 * 30, 2 * 101, 100) == 2 * method.products(30, 101, 100) == 4 * 30 * 30 * 100


MISTAKES = "slopes=[1]", "slopes=[0,1]", "slopes=3", "per_input=2"


@pytest.mark.parametrize(
    "key", [*(f"optimizer.{key}" for key in MISTAKES), "trainer.precision=32", "data.batch_size=16"]
)
def test_mistakes_are_named(key):
    with refuses(key.partition("=")[0]):
        Member(Settings.of(compose("experiment=readout", key)))
