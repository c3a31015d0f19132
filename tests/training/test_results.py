import numpy as np
import pytest
import torch

from runge.runs.directories import RunDirectory
from runge.sobolev.points import Points
from runge.sobolev.stages import ResidualStages
from runge.sobolev.units import Units
from runge.targets import Runge
from runge.training.datamodule import PointsDataModule, SobolevDataModule
from runge.training.member import Member
from runge.training.report import draw, evaluate, fit_table, profiles
from tests.conftest import model
from tests.runs.test_pictures import columns as history
from tests.runs.test_pictures import texts


def table(n, inputs, outputs=("f",)):
    """Return the columns of a fit, which all differ, and its arrays."""
    shapes = [(n, len(inputs)), *[(n, len(outputs)), (n, len(outputs), len(inputs))] * 2]
    generator = torch.Generator().manual_seed(0)
    x, f, df, u, du = (torch.rand(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    points = Points(x[None], f[None], df[None], f[None], df[None], torch.ones(1, 1, n), outputs=outputs)
    return fit_table(points, u, du, inputs), [part.flatten(1).numpy() for part in (x, f, df, u, du)]


@pytest.mark.parametrize(("n", "rows"), [(2, 2), (201, 201), (202, 201), (1000, 201), (2001, 201)])
def test_rows_are_spread_evenly_and_keep_both_ends(n, rows):
    columns, (x, f, df, u, du) = table(n, ["x"])
    at = np.flatnonzero(np.isin(x[:, 0], columns["x"]))
    assert len(at) == len(columns["x"]) == rows
    assert (at[0], at[-1]) == (0, n - 1)
    assert np.ptp(np.diff(at)) <= 1
    expected = {"x": x, "f": f, "df": df, "u": u, "du": du}
    assert columns == {name: values[at, 0].tolist() for name, values in expected.items()}


def test_columns_in_more_dimensions():
    columns, parts = table(5, ["x1", "x2"])
    names = ["x1", "x2", "f", "df_dx1", "df_dx2", "u", "du_dx1", "du_dx2"]
    assert list(columns.items()) == list(zip(names, np.column_stack(parts).T.tolist(), strict=True))


def test_columns_of_several_outputs():
    columns, parts = table(5, ["t"], ("a", "b"))
    names = ["t", "a", "b", "da_dt", "db_dt", "u_a", "u_b", "du_a_dt", "du_b_dt"]
    assert list(columns.items()) == list(zip(names, np.column_stack(parts).T.tolist(), strict=True))


def test_what_is_not_known_is_nan():
    x, f, df = torch.zeros(1, 3, 1), torch.ones(1, 3, 1), torch.ones(1, 3, 1, 1)
    points = Points(x, f, df, f * torch.tensor([[[0.0], [1.0], [1.0]]]), df, torch.ones(1, 1, 3))
    assert np.isnan(fit_table(points, f[0], df[0], ["x"])["f"]).tolist() == [True, False, False]


@pytest.mark.parametrize("standardised", [False, True])
def test_profiles_go_through_the_median_and_are_in_the_users_units(standardised):
    generator = torch.Generator().manual_seed(0)
    shapes = {"x_mean": (2, 3), "x_std": (2, 3), "y_mean": (2, 2), "y_std": (2, 2)}
    parts = [1 + torch.rand(shape, generator=generator, dtype=torch.float64) for shape in shapes.values()]
    units = Units(*parts) if standardised else None
    domains = torch.tensor([-1.0, 1.0]).expand(2, 3, 2)
    network = ResidualStages(model(width=4), domains, [generator] * 2, torch.float64, outputs=2, units=units)
    nodes = torch.rand(2, 9, 3, generator=generator, dtype=torch.float64)
    x_mean, x_std, y_mean, y_std = (part[:, None] for part in parts) if standardised else (0, 1, 0, 1)
    x = x_mean + x_std * nodes
    for m, along in enumerate(profiles(network, nodes)):
        for d, (t, u, du) in enumerate(along):
            assert (t[0], t[-1]) == pytest.approx((float(x[m, :, d].min()), float(x[m, :, d].max())))
            assert np.diff(t) == pytest.approx(np.full(100, np.ptp(t) / 100))
            inside = torch.zeros(2, 101, 3, dtype=torch.float64)
            inside[m] = x[m].median(0).values
            inside[m, :, d] = torch.from_numpy(t)
            expected = (y_mean + y_std * network((inside - x_mean) / x_std))[m].detach().numpy()
            assert u == pytest.approx(expected, abs=1e-12)
            # The slope of a quartic through five neighbours is exact to the fourth power of their distance.
            slope = (u[:-4] - 8 * u[1:-3] + 8 * u[3:-1] - u[4:]) / (12 * (t[1] - t[0]))
            assert du[2:-2] == pytest.approx(slope, abs=1e-6)


def test_the_test_points_of_a_table_in_one_input_are_dots_and_those_of_a_function_a_line(tmp_path):
    function = SobolevDataModule(Runge(), seed=[0, 1], n_train=8)
    rows = PointsDataModule(function.dataset, seeds=[0, 1])
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    network = ResidualStages(model(width=4), function.box, generators, torch.float32, outputs=1)
    directory = RunDirectory(tmp_path)
    known = history(5) | {f"val/mse_df/{name}": [0.1] * 5 for name in function.dataset.test.groups}
    for data, label in ((function, "— $f(x)$"), (rows, "• $f(x)$")):
        for fit in evaluate(network, data):
            pictures = draw(directory, "", fit, data.inputs, known, None, None, 4)
            assert pictures.keys() == {directory.fit_picture, directory.curves_picture}
            assert label in texts(pictures[directory.fit_picture])


@pytest.mark.parametrize(
    ("expr", "shown"), [("x**3", "x**3"), ("[x,x**2]", "x, x**2"), ("{a: x, b: x**2}", "a = x, b = x**2")]
)
def test_the_title_of_the_pictures_shows_the_formulas(configuration, expr, shown):
    member = Member(configuration("target=expression", f"target.expr={expr}"))
    assert member.title() == f"{shown}, uniform sampling: tanh 2 × 64, lambda_d = 0.1, seed 0"
