import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

import runge
from runge.commands.draw import main
from runge.composing.composition import compose
from runge.function.function import Function
from runge.function.loading import load
from runge.function.slices import formula_of, profiles_of
from runge.pictures.drawing import draw, draw_answer, title_of
from runge.sobolev.network import StackedMLP
from runge.training.member import Member
from runge.training.prepare import prepare
from runge.training.settings import Settings
from tests.conftest import model

pytestmark = pytest.mark.usefixtures("in_folder")

SHORT = ("trainer.max_steps=4", "trainer.log_every=2", "model.width=8", "trainer.progress_bar=false")
SWEEP = (*SHORT, "hydra.launcher.processes=1", "search.compare=false")


def pictures(directory):
    return sorted(path.stem for path in Path(directory).glob("*.png"))


def test_the_pictures_of_runs_are_drawn_when_asked_and_again_from_their_files(refusal):
    """The sweep is of several functions, of which there is no picture."""
    runge.sweep(*SWEEP, "model.width=4,8", "pictures=true", directory="sweep")
    drawn = {path: path.read_bytes() for path in Path("sweep").rglob("*.png")}
    assert {path.stem for path in drawn} == {"curves", "fit"}
    for path in drawn:
        path.unlink()
    Path("sweep/1/history.csv").unlink()  # so that only one run is drawn again
    main(["sweep"])
    again = {path: path.read_bytes() for path in Path("sweep").rglob("*.png")}
    assert again == {path: drawn[path] for path in drawn if path.parent.name == "0"}
    for part in ("fit.csv", "history.csv"):
        for path in Path("sweep").rglob(part):
            path.unlink()
    Path("sweep/answer.json").write_text("{")
    assert "answer.json is damaged" in refusal(main, "sweep")


def test_the_training_points_of_a_formula_are_those_of_its_run():
    configuration = compose("target=expression", "target.expr='sin(x)'", "data.noise_f=0.1", "data.n_derivative=9")
    target, (x, f, df) = formula_of(configuration)
    train = prepare([Member(Settings.of(configuration))]).data.dataset.train
    np.testing.assert_allclose(x, train.x[0], atol=1e-7)  # which is in 32 bit
    known = train.weight_f[0] > 0
    np.testing.assert_allclose(f[known], train.f[0][known], atol=1e-6)
    assert np.isnan(f[~known]).all()
    assert np.isnan(df).sum() == 128
    assert target.value(torch.zeros(1, 1)).item() == 0


@pytest.mark.parametrize(
    ("domain", "shown"),
    [("[-1,1]", ["training points"] * 2), ("[[-1,1],[0,2]]", ["circles: the 9 training points", "blue: the formula"])],
)
def test_the_pictures_of_a_formula_have_its_training_points_and_its_values(domain, shown, fit):
    formula = "target=expression", "target.expr='sin(x)'", f"target.domain={domain}", "data.n_train=9", "data.n_test=64"
    run = fit("run", *SHORT, *formula, "pictures=false")
    texts = [text.get_text() for figure in runge.draw(run).values() for text in figure.findobj(Text)]
    assert [part for text in texts for part in text.split("; ") if part in shown] == shown


def test_profiles_of_a_table_go_through_the_median_and_have_the_slope_of_the_fit():
    x = np.random.default_rng(0).random((60, 3))
    run = runge.train({"x": x, "y": x.prod(1)}, *SHORT)
    assert pictures(run.directory) == ["curves", "fit", "profiles"]
    drawn = runge.draw(run)
    assert drawn.keys() == {"fit", "curves", "profiles"}
    assert all(isinstance(figure, Figure) for figure in drawn.values())
    figure, points = drawn["profiles"], run.test_points[["x1", "x2", "x3"]].to_numpy()
    inside = np.tile(np.median(points, 0), (101, 1))
    inside[:, 1] = np.linspace(points[:, 1].min(), points[:, 1].max(), 101)
    curve = figure.axes[1].lines[0]
    np.testing.assert_allclose(curve.get_xdata(), inside[:, 1])
    np.testing.assert_allclose(curve.get_ydata(), load(run.directory)(torch.from_numpy(inside)))


def test_profiles_along_many_inputs_need_little_memory(monkeypatch):
    domains = torch.tensor([[[-1.0, 1.0]]]).expand(1, 3, 2)
    function = Function(StackedMLP(model(), domains, [torch.Generator()], torch.float64))
    sizes, jet, x = list[int](), function.jet, np.random.default_rng(0).random((60, 3))
    monkeypatch.setattr(function, "jet", lambda points, *others: sizes.append(points.numel()) or jet(points, *others))
    profiles = profiles_of(function, x)
    assert max(sizes) == 101 * 3
    kept = [part if part.base is None else part.base for profile in profiles for part in (profile.x, profile.du)]
    assert max(part.size for part in kept) == 101


@pytest.mark.parametrize("dimension", [1, 2])
def test_a_sweep_that_is_one_function_is_drawn_with_its_intervals(dimension):
    x = np.random.default_rng(0).random((60, dimension))
    np.savez("t.npz", x=x, y=x.prod(1))
    runge.sweep(*SWEEP, "data=table", "data.file=t.npz", "data.folds=3", directory="sweep")
    assert not list(Path("sweep").rglob("*.png"))  # as the runs of a sweep are not drawn
    function, drawn = load("sweep"), runge.draw("sweep")
    assert [*drawn] == ["answer", "profiles"][:dimension]
    low, high = function.interval(x[:1, 0] if dimension == 1 else x[:1])
    half = (high - low).item() / 2  # the same everywhere
    if dimension == 1:
        for fold in "12":
            Path(f"sweep/{fold}/history.csv").unlink()  # so that only one run is drawn
        main(["sweep"])
        assert pictures("sweep") == ["answer"]
        value, derivative, error = drawn["answer"].axes
        bands = [[one.get_label() for one in axes.collections] for axes in (value, derivative)]
        assert [labels[-1:] for labels in bands] == [["90 % interval"], []]  # no derivatives in the table
        np.testing.assert_allclose(error.lines[1].get_ydata(), half)
    else:
        titles = drawn["answer"].axes[1].get_title(loc="left"), drawn["profiles"].axes[0].get_title(loc="left")
        assert all(title.endswith(f"90 % interval: ± {half:.2g}") for title in titles)
    Path("t.npz").unlink()  # without the table there are no intervals
    assert "90 % interval" not in {one.get_label() for one in draw_answer("sweep")["answer"].findobj(PolyCollection)}


def test_a_run_that_has_not_finished_has_curves(fit, refusal, capsys):
    Path("runs").mkdir()
    run = runge.Run(fit("runs/run", *SHORT, "pictures=false"))
    assert pictures(run.directory) == []
    for name in ("metrics.json", "fit.csv"):
        (run.directory / name).unlink()
    assert draw(run.directory).keys() == {"curves"}
    assert run._repr_png_() is None
    with pytest.raises(FileNotFoundError, match=r"fit.csv is missing: the run has not finished"):
        run.figure()
    shutil.copytree("runs/run", "runs/begun")
    Path("runs/begun/history.csv").unlink()
    main(["runs"])
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("not drawn: ")) == ("runs/run/curves.png\n", 1)
    assert "runs/begun/history.csv is missing" in printed.err
    assert "not drawn: runs/begun/history.csv is missing" in refusal(main, "runs/begun")
    shutil.rmtree("runs")
    Path("runs").mkdir()
    assert "DIR: must contain a run, got none" in refusal(main, "runs")
    with pytest.raises(FileNotFoundError):
        runge.draw("nowhere")


UNIFORM, LAMBDA = {"sampling": "Uniform"}, {"loss.lambda_d": 0.1}
NOISE = {"data.noise_f": 0.0, "data.noise_df": 0.05, **UNIFORM}
PLANE = {"target": "Expression", "target.domain": "[[-1, 1], [0, 2]]"}
BY_REGION = {"resampling": "Region", "resampling.every": 1}
TITLES = {
    "Runge, uniform sampling: {}, lambda_d = 0.1": {"target": "Runge", **UNIFORM, **LAMBDA},
    "a = x, b = -x: {}, lambda_d by Log": {"target.expr.a": "x", "target.expr.b": "-x", "balance": "Log", **LAMBDA},
    r"\$.csv: {}": {"data.file": "/there/$.csv", **UNIFORM},
    "x, random sampling, then by region: {}": {"target.expr": "x", "sampling": "Random", **BY_REGION},
    "exp(x2)*x1, uniform sampling, noise 0.05 in f': {}": {"target.expr": "exp(y)*x", **PLANE, **NOISE},
}


@pytest.mark.parametrize("shown", TITLES)
def test_the_title_of_a_run(shown):
    network = {"model.activation": "tanh", "model.depth": 2, "model.width": 64, "seed": 3}
    assert title_of(TITLES[shown] | network) == f"{shown.format('tanh 2 × 64')}, seed 3"
