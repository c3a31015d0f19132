import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.collections import PolyCollection

import runge
from runge.commands.draw import main
from runge.configuration.errors import ConfigurationError
from runge.function.function import Function
from runge.function.loading import load
from runge.function.slices import formula_of, profiles_of
from runge.pictures.drawing import draw, draw_answer, title_of
from runge.sobolev.network import Model, StackedMLP
from runge.sweeps.compose import compose
from runge.training.member import Member
from runge.training.stack import Stack

SHORT = ("trainer.max_steps=20", "trainer.log_every=10", "model.width=8", "trainer.progress_bar=false")


def pictures(directory):
    return sorted(path.stem for path in directory.glob("*.png"))


def test_a_single_run_draws_and_a_sweep_when_it_is_asked(tmp_path):
    run = runge.train(*SHORT, directory=tmp_path / "run")
    assert pictures(run.directory) == ["curves", "fit"]
    assert pictures(runge.train(*SHORT, "pictures=false", directory=tmp_path / "none").directory) == []
    runge.sweep(
        *SHORT, "pictures=auto,true", "search.compare=false", "hydra.launcher.processes=1", directory=tmp_path / "sweep"
    )
    auto, always = (tmp_path / "sweep" / name for name in "01")
    assert (pictures(auto), pictures(always)) == ([], ["curves", "fit"])
    main([str(auto)])  # from the same files, the same pictures
    for name in ("curves.png", "fit.png"):
        assert (auto / name).read_bytes() == (always / name).read_bytes()


def test_the_title_has_the_noise_and_the_names_of_the_axes():
    settings = {"target": "Expression", "target.expr": "exp(y)*x", "target.domain": "[[-1, 1], [0, 2]]", "seed": 0}
    settings |= {"sampling": "Uniform", "data.noise_f": 0.0, "data.noise_df": 0.05}
    assert title_of(settings).startswith("exp(x2)*x1, uniform sampling, noise 0.05 in f': ")


def test_the_training_points_of_a_formula_are_those_of_its_run():
    configuration = compose("target=expression", "target.expr='sin(x)'", "data.noise_f=0.1", "data.n_derivative=9")
    target, (x, f, df) = formula_of(configuration)
    train = Stack([Member(configuration)]).data.dataset.train
    np.testing.assert_allclose(x, train.x[0], atol=1e-7)  # which is in 32 bit
    known = train.weight_f[0] > 0
    np.testing.assert_allclose(f[known], train.f[0][known], atol=1e-6)
    assert np.isnan(f[~known]).all()
    assert np.isnan(df).sum() == 128
    assert target.value(torch.zeros(1, 1)).item() == 0


def test_pictures_must_be_a_choice():
    with pytest.raises(ConfigurationError, match="pictures: must be auto, true or false, got 'never'"):
        runge.train(*SHORT, "pictures=never")


def test_profiles_of_a_table_go_through_the_median_and_have_the_slope_of_the_fit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).random((60, 3))
    np.savetxt("t.csv", np.column_stack([x, x.prod(1)]), delimiter=",", header="a,b,c,y", comments="")
    run = runge.train(
        "data=table", "data.file=t.csv", "data.inputs=[a,b,c]", "data.outputs=[y]", *SHORT, directory=tmp_path / "run"
    )
    assert pictures(run.directory) == ["curves", "fit", "profiles"]
    figure, points = run.draw()["profiles"], run.fit[["a", "b", "c"]].to_numpy()
    inside = np.tile(np.median(points, 0), (101, 1))
    inside[:, 1] = np.linspace(points[:, 1].min(), points[:, 1].max(), 101)
    curve = figure.axes[1].lines[0]
    np.testing.assert_allclose(curve.get_xdata(), inside[:, 1])
    np.testing.assert_allclose(curve.get_ydata(), load(run.directory)(torch.from_numpy(inside)))


def test_profiles_along_many_inputs_need_little_memory(monkeypatch):
    domains = torch.tensor([[[-1.0, 1.0]]]).expand(1, 3, 2)
    function = Function(StackedMLP(Model(width=8), domains, [torch.Generator()], torch.float64))
    sizes, jet, x = list[int](), function.jet, np.random.default_rng(0).random((60, 3))
    monkeypatch.setattr(function, "jet", lambda points, *others: sizes.append(points.numel()) or jet(points, *others))
    profiles = profiles_of(function, x)
    assert max(sizes) == 101 * 3
    kept = [part if part.base is None else part.base for profile in profiles for part in (profile.x, profile.du)]
    assert max(part.size for part in kept) == 101


@pytest.mark.parametrize("dimension", [1, 2])
def test_a_sweep_that_is_one_function_is_drawn_with_its_intervals(dimension, tmp_path):
    x = np.random.default_rng(0).random((60, dimension))
    np.savez("t.npz", x=x, y=x.prod(1))
    table, sweep = ("data=table", "data.file=t.npz", "data.folds=3"), tmp_path / "sweep"
    runge.sweep(*SHORT, *table, "hydra.launcher.processes=1", directory=sweep)
    main([str(sweep)])
    assert pictures(sweep) == ["answer", "comparison", "profiles"][: 1 + dimension]
    function, drawn = load(sweep), draw_answer(sweep)
    low, high = function.interval(x[:1, 0] if dimension == 1 else x[:1])
    half = (high - low).item() / 2  # the same everywhere
    if dimension == 1:
        value, derivative, error = drawn["answer"].axes
        bands = [[one.get_label() for one in axes.collections] for axes in (value, derivative)]
        assert [labels[-1:] for labels in bands] == [["90 % interval"], []]  # no derivatives in the table
        np.testing.assert_allclose(error.lines[1].get_ydata(), half)
    else:
        titles = drawn["answer"].axes[1].get_title(loc="left"), drawn["profiles"].axes[0].get_title(loc="left")
        assert all(title.endswith(f"90 % interval: ± {half:.2g}") for title in titles)
    Path("t.npz").unlink()  # without the table there are no intervals
    assert "90 % interval" not in {one.get_label() for one in draw_answer(sweep)["answer"].findobj(PolyCollection)}


def test_a_sweep_of_several_functions_has_no_picture_of_one(tmp_path, refusal):
    runge.sweep(*SHORT, "model.width=4,8", "hydra.launcher.processes=1", directory=tmp_path)
    main([str(tmp_path)])
    assert pictures(tmp_path) == ["comparison"]
    (tmp_path / "answer.json").write_text("{")
    assert "answer.json is damaged" in refusal(main, str(tmp_path))


def test_a_run_that_has_not_finished_has_curves(tmp_path, refusal, capsys):
    run = runge.train(*SHORT, "pictures=false", directory=tmp_path / "run")
    for name in ("metrics.json", "fit.csv"):
        (run.directory / name).unlink()
    assert draw(run.directory).keys() == {"curves"}
    assert run._repr_png_() is None
    with pytest.raises(FileNotFoundError, match=r"fit.csv is missing: the run has not finished"):
        run.figure()
    begun = tmp_path / "begun"
    shutil.copytree(run.directory, begun)
    (begun / "history.csv").unlink()
    main([str(tmp_path)])
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("not drawn: ")) == (f"{run.directory / 'curves.png'}\n", 1)
    assert f"{begun / 'history.csv'} is missing" in printed.err
    assert f"not drawn: {begun / 'history.csv'} is missing" in refusal(main, str(begun))
    shutil.rmtree(run.directory)
    shutil.rmtree(begun)
    assert "DIR: must contain a run, got none" in refusal(main, str(tmp_path))


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        (
            {"target": "Runge", "sampling": "Uniform", "loss.lambda_d": 0.1},
            "Runge, uniform sampling: {}, lambda_d = 0.1",
        ),
        (
            {"target.expr.a": "x", "target.expr.b": "-x", "balance": "Log", "loss.lambda_d": 1},
            "a = x, b = -x: {}, lambda_d by Log",
        ),
        ({"data.file": "/there/$.csv", "sampling": "Uniform"}, r"\$.csv: {}"),
        ({"target.expr": "x", "sampling": "Random", "resampling": "Region"}, "x, random sampling, then by region: {}"),
    ],
)
def test_the_title_of_a_run(settings, shown):
    model = {"model.activation": "tanh", "model.depth": 2, "model.width": 64, "seed": 3}
    assert title_of(settings | model) == f"{shown.format('tanh 2 × 64')}, seed 3"
