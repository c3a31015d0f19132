"""The exact last layer against NumPy, and runs whose hidden layers are not trained."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from runge.optimizers import LeastSquares
from runge.optimizers.least_squares import solve_last_layer
from runge.sobolev import losses
from tests.test_levenberg_marquardt import plane, problem


def dense(what, member):
    """Return the last layer's W and b of least loss, by NumPy on a problem of one output."""
    with torch.no_grad():
        _, _, tape = what.network.propagate(what.points.x, with_derivative=what.lambda_d is not None)
    h, points = tape.hidden[-1][1][member].numpy(), what.points
    columns = [np.c_[h, np.ones(len(h))]]
    labels, weights = [points.f[member, :, 0].numpy()], [points.weight_f[member, :, 0].numpy()]
    if what.lambda_d is not None:
        g = tape.carried[-1][member].numpy()
        columns.append(np.c_[g, np.zeros(len(g))])
        labels.append(points.df[member, :, 0, 0].numpy())
        weights.append(what.lambda_d[member].item() * points.weight_df[member, :, 0, 0].numpy())
    root = np.sqrt(np.concatenate(weights))
    return np.linalg.lstsq(root[:, None] * np.concatenate(columns), root * np.concatenate(labels))[0]


@pytest.mark.parametrize("lambda_d", [0.1, None])
def test_the_last_layer_is_that_of_numpy(lambda_d):
    what = problem(members=3, n=30, width=5, lambda_d=lambda_d)
    what.points.weight_f[:, 3] = 0
    what.points.weight_df[1, 5:9] = 0
    with torch.no_grad():
        what.network.layers()[-1][0].zero_()
        what.network.layers()[-1][1].zero_()
    expected = [dense(what, member) for member in range(3)]
    solve_last_layer(what, 1e-15)
    for theta, solution in zip(what.network.theta.detach(), expected, strict=True):
        np.testing.assert_allclose(theta[-6:].numpy(), solution, rtol=1e-8, atol=1e-10)


def test_a_last_layer_that_cannot_be_better_stays():
    what = problem(members=2, n=30, width=5)
    solve_last_layer(what, 1e-15)
    solved = what.network.theta.detach().clone()
    solve_last_layer(what, 1e-15)
    loss = what.loss_and_gradient()[0]
    with torch.no_grad():
        what.network.theta.copy_(solved)
    assert (loss <= what.loss_and_gradient()[0]).all()


def test_hidden_neurons_that_are_equal_do_no_harm():
    """With fewer different neurons than columns, the solution of least norm gives equal neurons equal weights."""
    what = problem(members=1, n=30, width=6, depth=1)
    with torch.no_grad():
        for part in what.network.layers()[0]:
            part[..., 3:] = part[..., :3]
    solve_last_layer(what, 1e-15)
    weight = what.network.layers()[-1][0].detach()[0, :, 0]
    start = problem(members=1, n=30, width=6, depth=1).network.layers()[-1][0].detach()[0, :, 0]
    change = weight - start
    torch.testing.assert_close(change[:3], change[3:], rtol=1e-6, atol=1e-9)
    assert change.abs().max() > 0


def test_steps_change_the_slope_and_not_the_kinks():
    what, method = problem(members=2, width=8), LeastSquares(slopes=[2.0, 32.0])
    optimizer = method.build([what.network.theta])
    weight, bias = (part.detach().clone() for part in what.network.layers()[0])
    for progress, slope in ((0.0, 2.0), (0.5, 8.0), (0.75, 16.0)):
        method.step(optimizer, what, progress)
        now, shift = what.network.layers()[0]
        torch.testing.assert_close(now.norm(dim=1).mean(1), torch.full((2,), slope, dtype=torch.float64))
        torch.testing.assert_close(shift / now, bias / weight)


def test_each_input_has_a_slope_of_its_own():
    """Exponents are the point of a Z-order curve; biases grow as the length of the vector of slopes."""
    what, method = plane(n=20, width=8, outputs=1), LeastSquares(slopes=[2.0, 32.0], per_input=True)
    optimizer = method.build([what.network.theta])
    weight, bias = (part.detach().clone() for part in what.network.layers()[0])
    for progress, slopes in ((0.0, [2.0, 2.0]), (0.5, [8.0, 2.0]), (0.25, [2.0, 8.0]), (0.875, [16.0, 8.0])):
        method.step(optimizer, what, progress)
        now, shift = (part.detach() for part in what.network.layers()[0])
        expected = torch.tensor(slopes, dtype=torch.float64)
        torch.testing.assert_close(now.abs().mean(2), expected.expand(2, 2))
        length = weight.abs().mean(2).norm(dim=1)
        torch.testing.assert_close(shift, bias * (expected.norm() / length)[:, None, None])
        torch.testing.assert_close(now / now[:, :, :1], weight / weight[:, :, :1])


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_the_steps_fill_the_box_of_slopes(inputs):
    """2^(kD) steps are the points of a grid of 2^k slopes for each input; one input is swept in order."""
    method, per = LeastSquares(slopes=[1.0, 16.0], per_input=True), 4
    count = per**inputs
    found = [tuple(method.slopes_at(k / count, inputs)) for k in range(count)]
    assert set(found) == set(itertools.product([1.0, 2.0, 4.0, 8.0], repeat=inputs))
    if inputs == 1:
        share = 0.37
        assert method.slopes_at(share, 1) == pytest.approx([16.0**share], rel=1e-14)


def test_a_function_of_unequal_inputs_is_fitted_more_closely(train, tmp_path):
    expression = "target.expr=sin(6*x1)+x2"
    common = "target=expression", expression, "target.domain=[[-1,1],[-1,1]]", "optimizer=least_squares"
    size = "model.depth=1", "model.width=150", "model.init=wide_knots", "data.n_train=60", "data.n_val=20"
    rest = "optimizer.slopes=[0.1,10]", "trainer.max_steps=16", "loss.lambda_d=1", "sampling=latin_hypercube"
    errors = []
    for name, value in (("one", "false"), ("each", "true")):
        status, out, err = train(*common, *size, *rest, f"optimizer.per_input={value}", f"hydra.run.dir={name}")
        assert status == 0, out + err
        errors.append(json.loads((tmp_path / name / "metrics.json").read_text())["test/mse_df"])
    assert errors[1] < 1e-2 * errors[0]


@pytest.mark.parametrize("per_input", [False, True])
def test_a_step_does_not_depend_on_those_before(per_input):
    method, found = LeastSquares(slopes=[2.0, 32.0], per_input=per_input), []
    for before in ([], [0.0, 0.25]):
        what = plane(members=1, n=20, width=8, outputs=1)
        optimizer = method.build([what.network.theta])
        for progress in (*before, 0.5):
            method.step(optimizer, what, progress)
        found.append(losses.terms(*what.network.value_and_derivative(what.points.x), what.points, what.scale))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


def test_a_member_that_diverged_leaves_its_neighbour_alone():
    what, alone = problem(members=2), problem(members=1)
    with torch.no_grad():
        what.network.theta[1] = torch.nan
    solve_last_layer(what, 1e-15)
    solve_last_layer(alone, 1e-15)
    assert torch.equal(what.network.theta[0], alone.network.theta[0])


def test_several_outputs_are_solved_apart():
    one = problem(members=1, n=20, width=5)
    two = problem(members=1, n=20, width=5, outputs=2)
    with torch.no_grad():
        for (a, b), (c, d) in zip(one.network.layers()[:-1], two.network.layers()[:-1], strict=True):
            c.copy_(a)
            d.copy_(b)
        for what in (one, two):
            for part in what.network.layers()[-1]:
                part.zero_()
    points = two.points
    doubled = replace(points, f=torch.cat([one.points.f, 2 * one.points.f], 2), df=torch.cat([one.points.df] * 2, 2))
    doubled.df[:, :, 1] *= 2
    solve_last_layer(one, 1e-15)
    solve_last_layer(replace(two, points=doubled), 1e-15)
    weight, bias = (part.detach()[0] for part in two.network.layers()[-1])
    expected, shift = (part.detach()[0] for part in one.network.layers()[-1])
    torch.testing.assert_close(weight, torch.cat([expected, 2 * expected], 1), rtol=1e-7, atol=1e-10)
    torch.testing.assert_close(bias, torch.cat([shift, 2 * shift], 1), rtol=1e-7, atol=1e-10)


SMALL = ("experiment=readout", "model.width=40", "data.n_train=64", "data.n_val=32", "data.n_test=101")


def test_a_run_alone_and_in_a_stack(train, tmp_path):
    """Equal up to round-off, because products of a stack are added in another order."""
    status, out, err = train("-m", *SMALL, "seed=range(3)", "hydra.launcher.processes=1", "hydra.sweep.dir=sweep")
    assert status == 0, out + err
    assert train(*SMALL, "seed=1", "hydra.run.dir=alone")[0] == 0
    together, alone = (json.loads((tmp_path / where / "metrics.json").read_text()) for where in ("sweep/1", "alone"))
    for key in (key for key in alone if key.startswith(("train/", "val/", "test/"))):
        assert together[key] == pytest.approx(alone[key], rel=1e-6), key
    assert alone["test/mse_f"] < 1e-8
    header, *rows = (tmp_path / "alone" / "history.csv").read_text().splitlines()
    slopes = [float(row.split(",")[header.split(",").index("slope")]) for row in rows]
    assert slopes == pytest.approx([3 * 16 ** (k / 6) for k in range(6)])


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("optimizer.slopes=[1]", "optimizer.slopes"),
        ("optimizer.slopes=[0,1]", "optimizer.slopes"),
        ("optimizer.slopes=3", "optimizer.slopes"),
        ("optimizer.per_input=2", "optimizer.per_input"),
        ("trainer.precision=32", "trainer.precision"),
        ("data.batch_size=16", "data.batch_size"),
    ],
)
def test_mistakes_are_named(override, key, train):
    status, out, err = train(*SMALL, override)
    assert status == 1
    assert key in err
    assert "Traceback" not in out + err
