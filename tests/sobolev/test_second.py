"""Labels of second derivatives: the third term of the loss, its gradient and its Jacobian, and a run on a table."""

import json
from dataclasses import replace

import numpy as np
import pandas
import pytest
import torch

from runge.configuration.errors import ConfigurationError
from runge.data.roles import find_roles, read_seconds
from runge.data.table import Table, open_table
from runge.optimizers import LevenbergMarquardt
from runge.optimizers.explicit import ExplicitSpace
from runge.optimizers.linearised import Linearised, errors_and_weights
from runge.sobolev import losses
from runge.sobolev.jacobian import jacobian
from runge.sobolev.jet import pairs
from runge.sobolev.second import second_errors, second_jacobian, with_second
from runge.sobolev.units import Units
from runge.training import member
from tests.test_levenberg_marquardt import plane

DOUBLE = torch.float64
LM = "optimizer=levenberg_marquardt"


def problem(members=2, outputs=2, width=5):
    """Two functions of two variables, with second derivatives of which some are not known."""
    made = plane(members, width=width, outputs=outputs)
    generator = torch.Generator().manual_seed(1)
    d2f = torch.randn(members, made.points.x.shape[1], outputs, 3, generator=generator, dtype=DOUBLE)
    weight = (torch.rand(d2f.shape, generator=generator, dtype=DOUBLE) > 0.2).to(DOUBLE) * 0.07
    return replace(made, points=replace(made.points, d2f=d2f, weight_d2f=weight))


def test_the_gradient_of_the_third_term():
    at = problem()
    at = replace(at, lambda_d=torch.tensor([0.3, 0.0], dtype=DOUBLE))  # of the second member nothing counts but values
    loss, gradient = with_second(losses.loss_and_gradient)(at.network, at.points, at.scale, at.lambda_d)
    u, du, d2u = pairs(at.network, at.points.x)
    third = (at.points.weight_d2f * (d2u - at.points.d2f).square()).sum((1, 2, 3)) * torch.tensor([1, 0])
    whole = losses.weigh(*losses.terms(u, du, at.points, at.scale), at.lambda_d) + third
    (expected,) = torch.autograd.grad(whole.sum(), at.network.theta)
    torch.testing.assert_close(loss, whole.detach(), rtol=1e-13, atol=0)
    torch.testing.assert_close(gradient, expected, rtol=1e-11, atol=1e-13)
    without = with_second(losses.loss_and_gradient)(at.network, at.points, at.scale, None)
    torch.testing.assert_close(without, losses.loss_and_gradient(at.network, at.points, at.scale, None))


@torch.no_grad()
def test_the_jacobian_of_second_derivatives():
    at = problem()
    rows, theta, step = second_jacobian(at.network, at.points.x), at.network.theta, 1e-5
    assert rows.shape == (2, 2 * 3 * at.points.x.shape[1], theta.shape[1])
    for k in range(0, theta.shape[1], 7):
        ends = []
        for sign in (1, -1):
            theta[:, k] += sign * step
            ends.append(second_errors(at.network, at.points)[0])
            theta[:, k] -= sign * step
        torch.testing.assert_close(rows[:, :, k], (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-8)


@torch.no_grad()
@pytest.mark.parametrize(("outputs", "width"), [(1, 12), (2, 5)])
def test_the_system_of_a_step_in_either_space(outputs, width, monkeypatch):
    at = problem(outputs=outputs, width=width)
    errors, weights, tape = errors_and_weights(at)
    u, du, _ = pairs(at.network, at.points.x)
    parts = losses.least_squares(u, du, at.points, at.scale, at.lambda_d), second_errors(at.network, at.points)
    for found, expected in zip((errors, weights), zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(found, torch.cat(expected, dim=1), rtol=1e-12, atol=1e-14)
    rows = torch.cat([jacobian(at.network, tape), second_jacobian(at.network, at.points.x)], dim=1)
    assert (rows.shape[1] < rows.shape[2]) == (width == 12)
    system = rows.mT @ (weights[..., None] * rows) + 1e-3 * torch.eye(rows.shape[2], dtype=DOUBLE)
    expected = torch.linalg.solve(system, (rows.mT @ (weights * errors)[..., None])[..., 0])
    space = ExplicitSpace.of(Linearised.of(at, tape), weights)
    space.damp(torch.full_like(at.scale, 1e-3))
    torch.testing.assert_close(space.solve(errors), expected, rtol=1e-6, atol=1e-8)
    for module in ("linearised", "explicit"):
        monkeypatch.setattr(f"runge.optimizers.{module}._NUMBERS_AT_ONCE", 500)
    monkeypatch.setattr("runge.optimizers.linearised._LEAST", 10)
    blocks = errors_and_weights(at)
    assert blocks[2] is None
    torch.testing.assert_close(blocks[:2], (errors, weights), rtol=1e-12, atol=1e-14)
    space = ExplicitSpace.of(Linearised.of(at, None), weights)
    assert (space.rows is None) == (width == 5)
    space.damp(torch.full_like(at.scale, 1e-3))
    torch.testing.assert_close(space.solve(errors), expected, rtol=1e-6, atol=1e-8)
    before, optimizer = (weights * errors.square()).sum(1), LevenbergMarquardt()
    optimizer.step(optimizer.build([at.network.theta]), at, 0)
    assert ((weights * errors_and_weights(at)[0].square()).sum(1) < before).all()


def test_units_restore_what_they_standardise():
    points = problem().points
    units = Units(*(torch.rand(2, size, dtype=DOUBLE) + 0.5 for size in (2, 2, 2, 2)))
    standardised = units.standardise(points)
    factors = torch.stack([units.x_std[:, i] * units.x_std[:, j] for i, j in ((0, 0), (0, 1), (1, 1))], dim=1)
    expected = points.d2f * factors[:, None, None] / units.y_std[:, None, :, None]
    torch.testing.assert_close(standardised.d2f, expected)
    torch.testing.assert_close(units.restore_points(standardised).d2f, points.d2f)


@pytest.fixture
def table(tmp_path):
    a, b = np.random.default_rng(0).uniform(-1, 1, (2, 24))
    wave, slope = np.sin(2 * a + b), np.cos(2 * a + b)
    frame = pandas.DataFrame({"a": a, "b": b, "y": wave, "dy_da": 2 * slope, "dy_db": slope})
    frame["d2y_da_da"], frame["d2y_db_da"] = -4 * wave, -2 * wave  # any order of the inputs, and one is not known
    frame.loc[3, "d2y_da_da"] = np.nan
    frame.to_csv(tmp_path / "table.csv", index=False)
    short = ("model.width=8", "trainer.progress_bar=false", "pictures=false", "search.compare=false")
    return ("data=table", "data.file=table.csv", "data.split.test=0", *short)


def test_second_derivatives_of_a_table_lower_the_error(finish, table, tmp_path):
    steps = (*table, "trainer.log_every=10")
    long, short = (*steps, LM, "trainer.max_steps=30"), (*steps, "data.batch_size=8", "trainer.max_steps=20")
    finish("-m", *long, "loss.lambda_dd=0,0.1,1", "hydra.sweep.dir=sweep", "hydra.launcher.processes=1")
    finish(*long, "loss.lambda_dd=1", "hydra.run.dir=alone")
    finish(*short, "loss.lambda_dd=1", "hydra.run.dir=adam")
    paths = [tmp_path / name / "metrics.json" for name in ("sweep/0", "sweep/1", "sweep/2", "alone")]
    without, little, much, alone = (json.loads(path.read_text())["val/nrmse_df"] for path in paths)
    assert little != much
    assert max(much, alone) < 0.7 * without


def test_a_jacobian_that_is_too_large_is_refused(fail, table, monkeypatch):
    monkeypatch.setattr(member, "_MOST", 1000)
    assert "loss.lambda_dd: must be 0 with " in fail(*table, LM, "loss.lambda_dd=1")[1]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("loss.lambda_dd=1",), "loss.lambda_dd: must be 0 without a table that has columns of second derivatives"),
        (("{table}", "loss.lambda_dd=1", "optimizer=least_squares"), "optimizer: must be one by the gradient, or lev"),
        (("{table}", "loss.lambda_dd=-1"), "loss.lambda_dd: "),
    ],
)
def test_mistakes(overrides, message, fail, table):
    given = [word for override in overrides for word in (table if override == "{table}" else [override])]
    assert message in fail(*given)[1]


def test_a_second_derivative_is_given_once(fail, table, tmp_path):
    frame = pandas.read_csv(tmp_path / "table.csv").assign(d2y_da_db=1.0)
    frame.to_csv(tmp_path / "table.csv", index=False)
    _, err = fail(*table)
    assert "data.derivatives: 'table.csv': 'd2y_da_db' must be given once" in err


def test_second_derivatives_of_other_outputs_and_columns_of_another_role(table, tmp_path):
    frame = pandas.read_csv(tmp_path / "table.csv").assign(z=0.0, dz_da=0.0, d2z_da_db=0.0, d2y_dc_da=0.0)
    frame.to_csv(tmp_path / "table.csv", index=False)
    file = open_table(tmp_path / "table.csv")
    with pytest.raises(ConfigurationError, match="because 'd2y_dc_da' looks like one of"):
        find_roles(file, Table(inputs=["a", "b"], outputs=["y"], file=""))
    frame.drop(columns="d2y_dc_da").to_csv(tmp_path / "table.csv", index=False)
    file = open_table(tmp_path / "table.csv")
    roles = find_roles(file, Table(inputs=["a", "b"], outputs=["y"], file=""))
    assert roles.seconds == {("y", "a", "a"): "d2y_da_da", ("y", "a", "b"): "d2y_db_da"}
    assert roles.unused == ("z", "dz_da", "d2z_da_db")
    assert read_seconds(file, roles).shape == (24, 1, 3)
    np.testing.assert_array_equal(read_seconds(file, roles)[:, 0, :2], frame[["d2y_da_da", "d2y_db_da"]])
    roles = find_roles(file, Table(inputs=["a", "b"], outputs=["y", "d2y_da_da"], file=""))
    assert roles.seconds == {("y", "a", "b"): "d2y_db_da"}
    of_second = {"dy_da": {"a": "d2y_da_da", "b": "d2y_db_da"}}
    roles = find_roles(file, Table(inputs=["a", "b"], outputs=["dy_da"], derivatives=of_second, file=""))
    assert not roles.seconds
