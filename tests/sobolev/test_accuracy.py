from dataclasses import replace

import numpy as np
import pytest
import torch

from runge.records import metrics
from runge.sobolev.accuracy import Reference, errors, intervals, partial_errors
from runge.sobolev.points import Points
from runge.sobolev.units import Units
from tests.conftest import generator


def normal(*shapes, draw=None):
    draw = draw or generator()
    return [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes]


def some(outputs="f", n=6, dimension=3, regions=(), partly=True):
    """Return points of two members, some of whose components are not known, and a fit."""
    f, df = (2, n, len(outputs)), (2, n, len(outputs), dimension)
    x, f, u, df, du = normal((2, n, dimension), f, f, df, df)
    weight_f, weight_df = torch.full_like(f, 1 / n), torch.full_like(df, 1 / n)
    if partly:
        weight_f[:, 0], weight_df[:, n - 1] = 0, 0
    masks = torch.ones(2, 3, n, dtype=torch.float64)
    masks[:, 1, 3:] = 0
    masks[:, 2] = 0
    return Points(x, f, df, weight_f, weight_df, masks, regions, tuple(outputs)), u, du


def measure(u, du, points, units=None):
    return errors(u, du, points, Reference.of(points, units))


def test_errors_by_hand():
    points, u, du = some(regions=("low", "empty"))
    actual = measure(u, du, points)
    for k in range(2):
        x, f, df, e, d = (part[k].numpy() for part in (points.x, points.f, points.df, u - points.f, du - points.df))
        expected, (f, df, e, d) = {}, (f[1:], df[:5, 0], e[1:], d[:5, 0])
        for region, (v, s) in {"": (slice(5), slice(5)), "/low": (slice(2), slice(3))}.items():
            sizes = np.linalg.norm(d[s], axis=-1)
            expected |= {f"mse_f{region}": np.mean(e[v] ** 2), f"mse_df{region}": np.mean(sizes**2)}
            expected |= {f"max_f{region}": np.abs(e[v]).max(), f"max_df{region}": sizes.max()}
            expected[f"rel_l2_f{region}"] = np.linalg.norm(e[v]) / np.linalg.norm(f[v])
            expected[f"rel_l2_df{region}"] = np.linalg.norm(d[s]) / np.linalg.norm(df[s])
        mse_f, rmse_df, spread = np.mean(e**2), np.sqrt(np.mean(d**2, axis=0)), x.std(0)
        expected |= {"nrmse_f": mse_f**0.5 / f.std(), "r2_f": 1 - mse_f / f.var()}
        expected["nrmse_df"] = np.linalg.norm(spread * rmse_df) / np.linalg.norm(spread * df.std(0))
        assert {name: actual[name][k].item() for name in expected} == pytest.approx(expected, 1e-12)
        each = partial_errors(du, points, Reference.of(points))[k, 0]
        assert each.tolist() == pytest.approx(rmse_df / df.std(0), 1e-12)
    assert torch.stack([figure for name, figure in actual.items() if "empty" in name]).isnan().all()
    assert metrics.keys("val", ("low", "empty")) == [f"val/{name}" for name in actual]


def test_several_outputs_have_their_names_in_the_place_of_regions():
    points, u, du = some("ab")
    actual = measure(u, du, points)
    assert {"mse_f/a", "max_df/b", "nrmse_df/a", "r2_f/b"} <= actual.keys()
    for p, name in enumerate("ab"):
        *labels, u_p, du_p = (
            part[:, :, p : p + 1] for part in (points.f, points.df, points.weight_f, points.weight_df, u, du)
        )
        expected = measure(u_p, du_p, Points(points.x, *labels, points.masks))
        for quantity in (*metrics.QUANTITIES, *metrics.RELATIVE):
            torch.testing.assert_close(actual[f"{quantity}/{name}"], expected[quantity], rtol=1e-12, atol=0)
    for quantity in ("mse_f", "mse_df", "nrmse_f", "nrmse_df", "r2_f"):
        torch.testing.assert_close(actual[quantity], (actual[f"{quantity}/a"] + actual[f"{quantity}/b"]) / 2)
    assert torch.equal(actual["max_df"], torch.maximum(actual["max_df/a"], actual["max_df/b"]))


def test_a_gradient_of_which_a_part_is_known_counts_for_that_part_and_a_nan_for_its_member():
    points, u, du = some()
    points.weight_df[:, :, :, 1] = 0
    known, u[0, 1] = points.weight_df[1, :, 0] > 0, torch.nan
    actual, error = measure(u, du, points), (du - points.df)[1, :, 0][known]
    assert actual["mse_df"][1].item() == pytest.approx(3 * error.square().mean().item(), 1e-12)
    assert actual["mse_f"][0].isnan()
    assert all(actual[quantity][1].isfinite() for quantity in metrics.QUANTITIES)


def test_errors_are_in_the_units_of_the_user():
    points, u, du = some("ab")
    location, scale = torch.tensor([[3.0, -1.0]] * 2).double(), torch.tensor([[10.0, 0.01], [7.0, 2.0]]).double()
    units = Units(torch.ones(2, 3), torch.tensor([[0.5, 2.0, 8.0]] * 2), location, scale)
    raw = units.restore_points(points)
    expected = measure(*units.restore(u, du, points.x), raw)
    for name, figure in measure(u, du, points, units).items():
        torch.testing.assert_close(figure, expected[name], rtol=1e-11, atol=0)
    for name, part in units.standardise(raw).tensors().items():
        torch.testing.assert_close(part, points.tensors()[name] * (part != 0 if name in ("f", "df") else 1))


def test_what_is_constant_or_round_off_has_no_relative_error_and_decides_nothing():
    points, u, du = some()
    expected, before = partial_errors(du, points, Reference.of(points))[..., [0, 2]], measure(u, du, points)["nrmse_df"]
    points.f.fill_(0.1)
    points.df[..., 1] *= 1e-9
    du[..., 1] *= 1e-9
    actual = measure(u, du, points)
    assert actual["nrmse_f"].isnan().all()
    assert (actual["nrmse_df"] != before).all()
    for size in (1e-7, 0):  # of it, below the limit of round-off
        points.df[..., 1] *= size
        du[..., 1] *= size
        each = partial_errors(du, points, Reference.of(points))
        assert each[..., 1].isnan().all()
        assert torch.equal(each[..., [0, 2]], expected)
        torch.testing.assert_close(measure(u, du, points)["nrmse_df"], actual["nrmse_df"], rtol=1e-12, atol=0)


def test_relative_errors_do_not_depend_on_the_units_of_the_inputs():
    points, u, du = some()
    expected, parts = measure(u, du, points), partial_errors(du, points, Reference.of(points))
    units = torch.tensor([1.0, 1e11, 1e-3]).to(du)
    scaled = replace(points, x=points.x * units, df=points.df / units)
    actual = measure(u, du / units, scaled)
    for name in ("nrmse_f", "nrmse_df", "r2_f"):
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-9, atol=0)
    torch.testing.assert_close(partial_errors(du / units, scaled, Reference.of(scaled)), parts, rtol=1e-9, atol=0)


@pytest.mark.parametrize(("dtype", "offset"), [(torch.float64, 1e8), (torch.float32, 1e3)])
def test_a_large_mean_is_no_round_off(dtype, offset):
    points, u, du = some()
    expected = measure(u, du, points)["nrmse_f"]
    shifted = replace(points, f=points.f + offset).to(dtype=dtype)
    found = measure((u + offset).to(dtype), du.to(dtype), shifted)["nrmse_f"].to(expected)
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=0)


def test_intervals_by_resampling_hold_the_error_and_narrow_with_more_points():
    draw, widths = generator(), []
    for n in (50, 1250):
        f, e = normal((1, n, 1), (1, n, 1), draw=draw)
        ones, df = torch.ones_like(f), f[..., None]
        points, u, du = Points(f, f, df, ones, ones[..., None], ones.mT), f + 0.1 * e, df + 0.1 * e[..., None]
        each = list(torch.arange(n)[:, None])
        (low, high), own = intervals(u, du, points, each), measure(u, du, points)
        assert all(low[name] < own[name][0] < high[name] for name in ("mse_f", "nrmse_f", "nrmse_df", "r2_f"))
        assert not any(name.startswith("max") for name in low)
        widths.append(float(high["mse_f"] - low["mse_f"]))
    assert widths[0] == pytest.approx(5 * widths[1], rel=0.4)
    assert widths[1] == pytest.approx(0.01 * 2 * 1.96 * (2 / 1250) ** 0.5, rel=0.1)  # of a normal variance


def test_intervals_of_groups_are_those_of_as_many_points():
    """Of 40 groups, each of 25 points with equal errors."""
    draw, same = generator(), torch.arange(40).repeat_interleave(25)
    f, e = normal((1, 40, 1), (1, 40, 1), draw=draw)
    widths = []
    for index in (torch.arange(40), same):
        at, ones = f[:, index], torch.ones(1, len(index), 1, dtype=f.dtype)
        points = Points(at, at, at[..., None], ones, ones[..., None], ones.mT)
        groups = [torch.nonzero(index == group)[:, 0] for group in range(40)]
        u = at + 0.1 * e[:, index]
        low, high = intervals(u, u[..., None], points, groups)
        widths.append(float(high["mse_f"] - low["mse_f"]))
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


def test_errors_of_parts_are_relative_to_the_variances_of_the_whole():
    """With parts of the same size, the squares of their errors have the mean of those of the whole."""
    points, u, du = some(dimension=1, partly=False)
    (one, other), squares = points.split(3), []
    for part, beside, a, b in zip((one, other), (other, one), u.split(3, 1), du.split(3, 1), strict=True):
        found = errors(a, b, part, Reference.of(part, beside=[beside]))
        squares.append({name: figure.square() for name, figure in found.items()})
    for name, whole in measure(u, du, points).items():
        if name.startswith("nrmse"):
            torch.testing.assert_close((squares[0][name] + squares[1][name]) / 2, whole**2, rtol=1e-12, atol=0)
    one.weight_df.zero_()  # a part without derivatives has no error of them
    found = errors(u[:, :3], du[:, :3], one, Reference.of(one, beside=[other]))
    assert found["nrmse_df"].isnan().all()
    assert found["nrmse_f"].isfinite().all()
