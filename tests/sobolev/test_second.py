"""Labels of second derivatives: the third term of the loss, its gradient and its Jacobian, and a run on a table."""

from dataclasses import replace

import numpy as np
import pandas
import pytest
import torch

from runge.data.column_roles import find_roles, read_seconds
from runge.data.table import Table, open_table
from runge.optimizers import LevenbergMarquardt
from runge.optimizers.levenberg_marquardt import limits
from runge.optimizers.levenberg_marquardt.explicit import ExplicitSpace
from runge.optimizers.levenberg_marquardt.linearised import Linearised, errors_and_weights
from runge.sobolev import losses
from runge.sobolev.jacobian import jacobian
from runge.sobolev.jet import pairs
from runge.sobolev.second import second_errors, second_jacobian, with_second
from runge.sobolev.units import Units
from runge.training.member import Member
from runge.training.prepare import prepare
from runge.training.settings import Settings
from runge.training.train import train
from tests.conftest import compose, generator
from tests.refusals import refuses
from tests.sums_of_squares import plane

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
    whole = [torch.cat(part, dim=1) for part in zip(*parts, strict=True)]
    torch.testing.assert_close([errors, weights], whole, rtol=1e-12, atol=1e-14)
    rows = torch.cat([jacobian(at.network, tape), second_jacobian(at.network, at.points.x)], dim=1)
    assert (rows.shape[1] < rows.shape[2]) == (width == 12)
    system = rows.mT @ (weights[..., None] * rows) + 1e-3 * torch.eye(rows.shape[2], dtype=DOUBLE)
    expected = torch.linalg.solve(system, (rows.mT @ (weights * errors)[..., None])[..., 0])
    for in_blocks in (False, True):
        if in_blocks:
            for numbers in ("PASS_NUMBERS", "EXPLICIT_NUMBERS"):
                monkeypatch.setattr(limits, numbers, 500)
            monkeypatch.setattr(limits, "PASS_LEAST_ERRORS", 10)
            *blocks, tape = errors_and_weights(at)
            assert tape is None
            torch.testing.assert_close(blocks, [errors, weights], rtol=1e-12, atol=1e-14)
        space = ExplicitSpace.of(Linearised.of(at, tape), weights)
        assert (space.rows is None) == (in_blocks and width == 5)
        space.damp(torch.full_like(at.scale, 1e-3))
        torch.testing.assert_close(space.solve(errors), expected, rtol=1e-6, atol=1e-8)
    before, optimizer = (weights * errors.square()).sum(1), LevenbergMarquardt()
    optimizer.step(optimizer.build([at.network.theta]), at, 0)
    assert ((weights * errors_and_weights(at)[0].square()).sum(1) < before).all()


def test_units_restore_what_they_standardise():
    points = problem().points
    points = replace(points, d2f=points.d2f.where(points.weight_d2f > 0, 0))
    units = Units(*torch.rand(4, 2, 2, dtype=DOUBLE, generator=generator()) + 0.5)
    standardised = units.standardise(points)
    factors = torch.stack([units.x_std[:, i] * units.x_std[:, j] for i, j in ((0, 0), (0, 1), (1, 1))], dim=1)
    expected = points.d2f * factors[:, None, None] / units.y_std[:, None, :, None]
    torch.testing.assert_close(standardised.d2f, expected)
    torch.testing.assert_close(units.restore_points(standardised).d2f, points.d2f)


@pytest.fixture
def table(in_folder):
    a, b = np.random.default_rng(0).uniform(-1, 1, (2, 24))
    wave, slope = np.sin(2 * a + b), np.cos(2 * a + b)
    frame = pandas.DataFrame({"a": a, "b": b, "y": wave, "dy_da": 2 * slope, "dy_db": slope})
    frame["d2y_da_da"], frame["d2y_db_da"] = -4 * wave, -2 * wave  # any order of the inputs, and one is not known
    frame.loc[3, "d2y_da_da"] = np.nan
    frame.to_csv("table.csv", index=False)
    return frame


def member_of(*overrides):
    """Return the member of a run on the table."""
    given = "data=table", "data.file=table.csv", "data.split.test=0", "model.width=8", *overrides
    return Member(Settings.of(compose("trainer.progress_bar=false", *given)), given)


@pytest.mark.usefixtures("table")
def test_second_derivatives_of_a_table_lower_the_error():
    def errors(weights, *overrides):
        stack = prepare(
            [member_of(f"loss.lambda_dd={weight}", "trainer.log_every=10", *overrides) for weight in weights]
        )
        train(stack)
        return [stack.history.member(i)["val/nrmse_df"][-1] for i in range(len(weights))]

    (without,), (little, much) = (errors(weights, LM, "trainer.max_steps=30") for weights in ([0], [0.1, 1]))
    assert little != much < 0.7 * without
    assert np.isfinite(errors([1], "data.batch_size=8", "trainer.max_steps=10"))


@pytest.mark.usefixtures("table")
def test_mistakes():
    with refuses("loss.lambda_dd: must be 0 without a table that has columns of second derivatives", "a formula"):
        Member(Settings.of(compose("loss.lambda_dd=1")))
    with refuses("optimizer: must be one by the gradient, or lev", "LeastSquares"):
        member_of("loss.lambda_dd=1", "optimizer=least_squares")
    with refuses("loss.lambda_dd: must be 0 without loss.lambda_d and a column of first derivatives", "1"):
        member_of("loss.lambda_dd=1", "loss.lambda_d=0")
    with refuses("loss.lambda_dd", "-1"):
        member_of("loss.lambda_dd=-1")
    with refuses("loss.lambda_dd: must be 0 with ", "errors"):
        member_of(LM, "loss.lambda_dd=1", "model.width=1000")


def test_columns_of_second_derivatives(table):
    """Each is given once; those of other outputs, or of another role, are none."""
    table.assign(d2y_da_db=1.0).to_csv("table.csv", index=False)
    with refuses("data.derivatives: 'table.csv': 'd2y_da_db' must be given once"):
        member_of()
    frame = table.assign(z=0.0, dz_da=0.0, d2z_da_db=0.0)
    frame.assign(d2y_dc_da=0.0).to_csv("table.csv", index=False)
    options = {"inputs": ["a", "b"], "outputs": ["y"], "file": ""}
    with refuses("", "because 'd2y_dc_da' looks like one of"):
        find_roles(open_table("table.csv"), Table(**options))
    frame.to_csv("table.csv", index=False)
    file = open_table("table.csv")
    roles = find_roles(file, Table(**options))
    assert roles.seconds == {("y", "a", "a"): "d2y_da_da", ("y", "a", "b"): "d2y_db_da"}
    assert roles.unused == ("z", "dz_da", "d2z_da_db")
    assert read_seconds(file, roles).shape == (24, 1, 3)
    read = read_seconds(file, roles)[:, 0, :2]
    np.testing.assert_allclose(read, frame[["d2y_da_da", "d2y_db_da"]], rtol=1e-15)  # as pandas reads decimals
    roles = find_roles(file, Table(**options | {"outputs": ["y", "d2y_da_da"]}))
    assert roles.seconds == {("y", "a", "b"): "d2y_db_da"}
    of_second = {"dy_da": {"a": "d2y_da_da", "b": "d2y_db_da"}}
    assert not find_roles(file, Table(**options | {"outputs": ["dy_da"], "derivatives": of_second})).seconds
