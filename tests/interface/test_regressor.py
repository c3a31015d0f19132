import pickle
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from inspect import signature

import hydra
import numpy as np
import pandas
import pytest
from hydra.core.global_hydra import GlobalHydra
from sklearn.base import clone
from sklearn.ensemble import BaggingRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import runge
from runge.composing.composition import compose
from runge.configuration.errors import RunError
from runge.configuration.objects import CONFIGURATIONS
from runge.function.function import Function
from runge.interface.estimator_inputs import OPTIMIZERS, composed
from runge.interface.regressor import SobolevRegressor
from runge.optimizers import SGD, LevenbergMarquardt
from tests.conftest import interrupted_at
from tests.sweeps.commands import TINY_SEARCH

X = np.linspace(0, 1, 24)[:, None]
Y, DYDX = np.sin(6 * X[:, 0]), 6 * np.cos(6 * X)
ROWS = X, Y, DYDX
BETWEEN = np.linspace(0.02, 0.98, 101)[:, None]
PLANE = np.random.default_rng(0).uniform(-1, 3, (120, 2))
WAVE = np.sin(PLANE @ [1, 2])
SLOPES = np.cos(PLANE @ [1, 2])[:, None] * [1.0, 2.0]
FRAME = pandas.DataFrame(PLANE, columns=["a", "b"], index=range(7, 127))
DRAG = pandas.Series(WAVE, index=FRAME.index, name="drag")
PARTIALS = pandas.DataFrame(SLOPES, columns=["ddrag_da", "ddrag_db"], index=FRAME.index)
SMALL = {"width": 8, "max_steps": 5, "random_state": 0}
PRECISE = {"optimizer": "levenberg_marquardt", "max_steps": 60}
BEST = {"search": "best", "timeout": 1e5, "width": None, "max_steps": None}


def estimator(**changes):
    return SobolevRegressor(**{"width": 16, "max_steps": 400, "random_state": 0} | changes)


def error(model, lengths=1.0, height=1.0):
    """The largest error of the derivative between the points, in the units of the unscaled function."""
    return np.abs(model.predict_derivative(BETWEEN * lengths) * lengths / height - 6 * np.cos(6 * BETWEEN)).max()


@pytest.fixture
def nothing_left(monkeypatch, tmp_path):
    """Let two small candidates race, and say if no temporary files are left."""

    def race(table, *overrides, directory):
        return runge.fit(table, *TINY_SEARCH, "search.seeds=1", "data.folds=2", *overrides, directory=directory)

    monkeypatch.setattr("runge.interface.regressor.fit", race)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "other").touch()
    return lambda: [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.filterwarnings("ignore:an input is beyond its training range:RuntimeWarning")
@pytest.mark.usefixtures("fresh_seeds")  # the checks shuffle by the global generator
@parametrize_with_checks(
    [SobolevRegressor(**SMALL)],
    expected_failed_checks=lambda _: dict.fromkeys(
        ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"),
        "the validation rows are drawn from other rows",
    ),
)
def test_scikit_learns_own_checks(estimator, check):
    if check.func.__name__ == "check_regressors_train":  # which asks for a good fit
        estimator.set_params(width=16, max_steps=200)
    if check.func.__name__.startswith("check_sample_weights"):  # which have four different rows
        estimator.set_params(validation_fraction=0.25)
    check(estimator)


def test_derivatives_improve_the_fit():
    without, full = estimator().fit(X[::3], Y[::3]), estimator().fit(X[::3], Y[::3], dydx=DYDX[::3])
    assert error(full) < 0.5 * error(without)
    assert error(estimator().fit(X, Y, dydx=np.where(X > 0.5, DYDX, np.nan))) < error(estimator().fit(X, Y))
    assert full.score(BETWEEN, np.sin(6 * BETWEEN[:, 0])) > 0.999
    assert full.loss_curve_[-1] < 0.1 * full.loss_curve_[0]
    for same in ((DYDX, DYDX[:, 0]), (None, np.full_like(DYDX, np.nan))):
        one, other = (SobolevRegressor(**SMALL).fit(X, Y, dydx=slopes) for slopes in same)
        assert np.array_equal(one.predict(X), other.predict(X))


def test_the_weights_of_rows():
    """Rows with half of the slope and a weight of 0 do not exist, and with a small weight they hardly matter."""
    x, y = np.tile(X, (2, 1)), np.append(Y, Y / 2)
    dydx, weight = np.append(DYDX, DYDX / 2, axis=0), np.repeat([1.0, 0.0], 24)

    def fitted(*arrays):
        return estimator(**PRECISE, validation_fraction=0).fit(*arrays).predict(X)

    wanted = fitted(*ROWS)
    assert np.array_equal(fitted(x, y, dydx, weight), wanted)
    assert np.array_equal(fitted(*ROWS, np.full(24, 2.0)), wanted)
    nearly, mean = fitted(x, y, dydx, weight + 1e-6), fitted(x, y, dydx)
    assert np.abs(nearly - Y).max() < 0.1 < np.abs(mean - Y).max()
    pandas_weight = pandas.Series(np.ones(120), FRAME.index)
    small = SobolevRegressor(**SMALL)
    fits = [clone(small).fit(FRAME, DRAG, PARTIALS, some).predict(FRAME) for some in (pandas_weight, None)]
    assert np.array_equal(*fits)
    some = np.where(np.arange(24) % 4 == 0, 0.0, 1.0)
    left_out = SobolevRegressor(**SMALL).fit(X, Y, sample_weight=some).function_
    assert len(left_out.inside) == 15  # of 18, without 3 for validation


def test_the_score_of_derivatives():
    model = estimator(**PRECISE).fit(FRAME, DRAG, dydx=PARTIALS)
    assert 0.9 < model.score_derivative(FRAME, PARTIALS) < 1
    errors = PARTIALS.to_numpy() - model.predict_derivative(FRAME)
    spread = FRAME.to_numpy().var(axis=0)
    expected = 1 - np.sum(spread * (errors**2).mean(axis=0)) / np.sum(spread * SLOPES.var(axis=0))
    assert model.score_derivative(FRAME, SLOPES) == pytest.approx(expected, rel=1e-9)
    known = np.where(np.arange(120)[:, None] < 60, SLOPES, np.nan)
    assert model.score_derivative(FRAME, known) < 1
    for unknown in (np.full_like(SLOPES, np.nan), np.ones_like(SLOPES)):
        with pytest.raises(ValueError, match="dydx: must have known derivatives that are not constant"):
            model.score_derivative(FRAME, unknown)
    with pytest.raises(ValueError, match="dydx: its index must be that of X"):
        model.score_derivative(FRAME, PARTIALS[::-1])

    def scorer(model, rows, _):
        return model.score_derivative(rows, PARTIALS.loc[rows.index])

    params = {"dydx": PARTIALS}
    scores = cross_val_score(estimator(**PRECISE), FRAME, DRAG, params=params, scoring=scorer, cv=2)
    assert (scores > 0.5).all()
    search = GridSearchCV(estimator(max_steps=60), {"optimizer": ["adam", "levenberg_marquardt"]}, scoring=scorer, cv=2)
    assert search.fit(FRAME, DRAG, dydx=PARTIALS).best_params_ == {"optimizer": "levenberg_marquardt"}


@pytest.mark.nightly
def test_a_grid_search_in_two_processes():
    grids = [GridSearchCV(SobolevRegressor(**SMALL), {"width": [4, 8]}, cv=2, n_jobs=jobs) for jobs in (2, 1)]
    two, one = (grid.fit(FRAME, DRAG, dydx=PARTIALS).cv_results_["mean_test_score"] for grid in grids)
    np.testing.assert_allclose(two, one, rtol=1e-6)


def test_fits_in_several_threads():
    alone = [SobolevRegressor(**SMALL | {"random_state": seed}).fit(*ROWS).predict(X) for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        together = pool.map(lambda seed: SobolevRegressor(**SMALL | {"random_state": seed}).fit(*ROWS), range(3))
    assert all(np.array_equal(model.predict(X), one) for model, one in zip(together, alone, strict=True))


def test_what_is_given_restricts_a_search(nothing_left, monkeypatch):
    asked = []

    def race(table, *overrides, directory):
        asked.append(overrides)
        raise RunError("enough")

    monkeypatch.setattr("runge.interface.regressor.fit", race)
    given = {"optimizer": "adamw", "lambda_d": 1.0, "timeout": 60}
    for changes in ({}, given):
        with pytest.raises(RunError, match="enough"):
            SobolevRegressor(search="best", random_state=0, **changes).fit(*ROWS)
    assert {*asked[1]} - {*asked[0]} == {"optimizer=adamw", "loss.lambda_d=1.0", "search.timeout=60"}
    assert not {override.partition("=")[0] for override in asked[0]} & {"optimizer", "loss.lambda_d", "search.timeout"}


def test_without_a_random_state_each_fit_has_another_seed(fresh_seeds):
    one, other = (SobolevRegressor(**SMALL | {"random_state": None}).fit(X, Y) for _ in range(2))
    assert not np.array_equal(one.predict(X), other.predict(X))


def test_units_do_not_matter():
    model = estimator(precision=64, max_steps=200).fit(X, Y, dydx=DYDX)
    scaled = estimator(precision=64, max_steps=200).fit(X * 1e-6, 1e7 + 1e6 * Y, dydx=DYDX * 1e12)
    assert error(scaled, 1e-6, 1e6) == pytest.approx(error(model), rel=0.05)
    assert len(model.function_.inside) == 20
    outside = model.outside(np.append(BETWEEN, [[-0.5], [3.0]], axis=0))
    assert outside[:-2].max() < 1
    assert (outside[-2:] > 1.5).all()


@pytest.mark.parametrize(
    ("changes", "data", "words"),
    [
        ({}, (X, Y, DYDX[:5]), r"dydx: must have the shape \(24, 1, 1\) or \(24, 1\) or \(24,\); got \(5, 1\)"),
        ({}, (X, Y, np.where(DYDX > 5, np.inf, DYDX)), "dydx contains infinity"),
        ({}, (X, Y, np.array([["a"]] * 24)), "could not convert"),
        ({}, (X, Y, DYDX * 1e200), r"dydx: must be within 1e\+100 of 0, got .*e\+200; change its unit"),
        ({}, (FRAME, DRAG, PARTIALS.set_axis(range(120))), "dydx: its index must be that of X.*got 0, 1, 2"),
        ({}, (FRAME, DRAG[::-1], PARTIALS), "y: its index must be that of X"),
        ({}, (FRAME, DRAG, PARTIALS.set_axis(["ddrag_dc", "ddrag_db"], axis=1)), "named ddrag_da, ddrag_db, or .*_dc'"),
        ({}, (FRAME, DRAG, PARTIALS.assign(a=1.0)), "each once; got .'ddrag_da', 'ddrag_db', 'a'"),
        ({}, (FRAME, DRAG[:9], PARTIALS), "inconsistent numbers of samples"),
        ({"lambda_d": -1.0}, ROWS, "lambda_d"),
        ({"validation_fraction": 1.0}, ROWS, r"validation_fraction: must be in \[0, 1\)"),
        ({"validation_fraction": "0.1"}, ROWS, r"validation_fraction: must be in \[0, 1\), got '0.1'"),
        ({"validation_fraction": 0.97}, (X, Y), "y: 'y' must be known in two rows in the training rows"),
        ({"validation_fraction": 0.01}, ROWS, "validation_fraction: must leave rows .* 0 val"),
        ({"optimizer": "adm"}, ROWS, "optimizer: must be one of adam, adamw, lbfgs, least_squares, .*got 'adm'"),
        ({"optimizer": LevenbergMarquardt(), "precision": 32}, ROWS, "^precision: must be 64 with Leven"),
        ({"random_state": -1}, ROWS, "Seed must be"),
        ({"width": 0}, ROWS, "^width"),
        ({"batch_size": 25}, ROWS, "^batch_size"),
        ({"check": "no"}, ROWS, "check: must be one of warn, raise, off; got 'no'"),
        ({"search": "bets"}, ROWS, "^search: must be None or 'best', got 'bets'"),
        (BEST | {"timeout": 0}, ROWS, "^timeout: should be greater"),
        (BEST | {"width": 0}, ROWS, "^width: should be greater"),
        (BEST | {"optimizer": "sgd"}, ROWS, "^optimizer: must be that of a candidate .*, adamw; got sgd"),
        (BEST | {"optimizer": LevenbergMarquardt()}, ROWS, "^optimizer: must be a name with search='best', got Lev"),
        (BEST | {"validation_fraction": 0.3}, ROWS, "^validation_fraction: must be None with .*, got 0.3"),
        (BEST, (*ROWS, np.ones(24)), "^sample_weight: must be None with search='best', got "),
        ({}, (*ROWS, np.arange(24) - 1), r"^sample_weight: must .* at least 0 .*; got \(24,\) from -1 to 22"),
        ({}, (*ROWS, np.zeros(24)), "^sample_weight: .* not all zero"),
        ({}, (*ROWS, np.ones(23)), r"^sample_weight: must have the shape \(24,\), .* got \(23,\)"),
        ({}, (FRAME, DRAG, PARTIALS, DRAG[::-1]), "^sample_weight: its index must be that of X"),
        (BEST | {"precision": 16}, ROWS, "^precision: "),
    ],
)
def test_mistakes(changes, data, words, nothing_left):
    with pytest.raises(ValueError, match=words):
        estimator(**changes).fit(*data)
    assert nothing_left()


def test_several_outputs_and_inputs_with_labels_that_are_not_known():
    """Fit a b and a + b, with a constant input; some partial derivatives are not known."""
    a, b = np.random.default_rng(0).uniform(1, 3, (2, 60))
    x, y = np.c_[a, b, np.full(60, 7.0)], np.c_[a * b, a + b]
    slopes = np.stack([np.c_[b, a, 0 * a], np.tile([1.0, 1, 0], (60, 1))], axis=1)
    partly = np.where(np.random.default_rng(1).random(slopes.shape) < 0.3, np.nan, slopes)
    model = estimator(**PRECISE).fit(x, y, dydx=partly)
    assert model.predict(x).shape == (60, 2)
    assert model.predict_derivative(x).shape == (60, 2, 3)
    assert np.abs(model.predict(x) - y).max() < 0.1
    assert np.abs(model.predict_derivative(x) - slopes).max() < 0.3


def test_the_defaults_are_those_of_a_table():
    defaults = {name: parameter.default for name, parameter in signature(SobolevRegressor).parameters.items()}
    assert defaults.pop("check") == "warn"
    assert set(defaults.values()) == {None}  # as the command has it
    table = compose("data=table", "data.file=X")
    explicit = {"optimizer": "adamw", "lambda_d": table["loss"]["lambda_d"], "validation_fraction": 0.15}
    one, other = (SobolevRegressor(**SMALL, **given).fit(*ROWS) for given in ({}, explicit))
    assert np.array_equal(one.predict(X), other.predict(X))
    assert len(one.function_.inside) == 20  # of 24


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_fit_has_the_bits_of_a_run(optimizer, fit):
    x, y, slopes = (part[:60].copy() for part in (PLANE, WAVE, SLOPES))
    steps = {"least_squares": 3, "random_features": 2}.get(optimizer, 10)
    x[5] = x[4]  # in one set
    y[:3], slopes[2:9, 1], slopes[2] = np.nan, np.nan, np.nan  # in the row 2 nothing is known
    model = SobolevRegressor(width=8, optimizer=optimizer, max_steps=steps, random_state=3).fit(x, y, dydx=slopes)
    np.savez("t.npz", x=x, y=y, dydx=slopes)
    overrides = ["data.split.test=0", "seed=3", "model.width=8", f"trainer.max_steps={steps}", f"optimizer={optimizer}"]
    quiet = "trainer.progress_bar=false", "pictures=false"
    run = runge.Run(fit("run", "data=table", "data.file=t.npz", *overrides, *quiet))
    assert np.array_equal(run.function.double()(x), model.predict(x))
    assert run.history["train/loss"].tolist() == model.loss_curve_
    assert x.flags.writeable


@pytest.mark.parametrize(
    ("optimizer", "steps", "patience"), [("least_squares", 24, 2000), (LevenbergMarquardt(), 200, 80)]
)
def test_an_optimizer_has_the_steps_and_the_precision_of_the_command(optimizer, steps, patience):
    composed.cache_clear()
    with hydra.initialize_config_dir(str(CONFIGURATIONS), version_base="1.3"):  # by the calling program
        application = GlobalHydra.instance().hydra
        model = SobolevRegressor(width=8, optimizer=optimizer, random_state=0)
        arrays = PLANE.copy(), WAVE[:, None].copy(), SLOPES[:, None].copy(), np.ones(120)  # which become read-only
        training = model._member(arrays, ("a", "b"), ("y",)).settings.trainer
        assert GlobalHydra.instance().hydra is application
    assert (training.max_steps, training.precision, training.patience) == (steps, 64, patience)


def test_in_a_grid_search_a_bagging_and_behind_a_scaler():
    search = GridSearchCV(estimator(max_steps=60), {"optimizer": ["adam", "levenberg_marquardt"]}, cv=2)
    assert search.fit(FRAME, DRAG, dydx=PARTIALS).best_params_ == {"optimizer": "levenberg_marquardt"}
    pipeline, scale = make_pipeline(StandardScaler(), estimator(**PRECISE)), StandardScaler().fit(X).scale_
    pipeline.fit(X, Y, sobolevregressor__dydx=DYDX * scale)
    slopes = pipeline[-1].predict_derivative(pipeline[:-1].transform(BETWEEN)) / scale
    assert np.abs(slopes - 6 * np.cos(6 * BETWEEN)).max() < 0.5
    assert clone(pipeline[-1]).get_params() == pipeline[-1].get_params()
    seeds = BaggingRegressor(SobolevRegressor(**SMALL), 2, random_state=0).fit(PLANE, WAVE)  # up to 2^31
    assert seeds.predict(PLANE).shape == WAVE.shape


def test_values_that_are_not_known():
    some = np.where(np.arange(120) % 3 == 0, np.nan, WAVE)
    model = estimator(**PRECISE)
    gaps = np.arange(240).reshape(120, 2) % 7 == 0
    model.fit(PLANE, some, dydx=np.where(gaps, np.nan, SLOPES))
    assert model.score(PLANE, WAVE) > 0.999
    known = ~np.isnan(some)
    assert model.score(PLANE, some) == pytest.approx(model.score(PLANE[known], WAVE[known]))
    hidden = np.ma.array(np.where(known, some, 1e6), mask=~known)
    masked = clone(model).fit(PLANE, hidden, dydx=np.ma.array(np.where(gaps, 1e6, SLOPES), mask=gaps))
    assert np.array_equal(masked.predict(PLANE), model.predict(PLANE))
    assert masked.score(PLANE, hidden) == model.score(PLANE, some)
    for call in (model.predict, lambda x: model.fit(x, WAVE)):
        with pytest.raises(ValueError, match="Input X contains NaN"):
            call(np.ma.array(PLANE, mask=PLANE > 0.9))
    two = SobolevRegressor(**SMALL).fit(PLANE, both := np.c_[some, WAVE])
    assert two.score(PLANE, both) < 1
    predicted = two.predict(PLANE)[:, 1]
    assert two.score(PLANE, np.c_[np.full(120, np.nan), WAVE]) == pytest.approx(r2_score(WAVE, predicted))
    with pytest.raises(ValueError, match="y: none of its values is known"):
        two.score(PLANE, np.full((120, 2), np.nan))
    assert np.isfinite(cross_val_score(SobolevRegressor(**SMALL), PLANE, some, cv=2)).all()
    with pytest.raises(ValueError, match="y: 'y2' must be known in two rows"):
        model.fit(PLANE, np.c_[WAVE, np.full(120, np.nan)])


def test_the_columns_of_frames_are_found_by_name():
    model = SobolevRegressor(**SMALL)

    def predicted(dydx):
        return model.fit(FRAME, DRAG, dydx=dydx).predict(FRAME)

    expected, names = predicted(PARTIALS), model.function_
    assert (names.inputs, names.outputs) == (("a", "b"), ("drag",))
    by_input = PARTIALS.set_axis(["a", "b"], axis=1)[["b", "a"]]
    for slopes in (PARTIALS[["ddrag_db", "ddrag_da"]], by_input, SLOPES, pandas.DataFrame(SLOPES, DRAG.index)):
        assert np.array_equal(predicted(slopes), expected)
    assert np.array_equal(predicted(PARTIALS[["ddrag_db"]]), predicted(SLOPES * np.array([np.nan, 1])))
    with_units = FRAME.set_axis(["a [m]", "b (s)"], axis=1), DRAG.rename("drag [N]")
    assert np.array_equal(model.fit(*with_units, dydx=PARTIALS).predict(with_units[0]), expected)
    assert model.function_.outputs == ("drag [N]",)
    both = PARTIALS.assign(**{"ddrag [N]_da [m]": 1.0})
    with pytest.raises(
        ValueError, match=r"^dydx: must name the columns, because 'ddrag \[N\]_da \[m\]' and 'ddrag_da'"
    ):
        model.fit(*with_units, dydx=both)
    two = pandas.DataFrame({"u": WAVE, "v": WAVE}, FRAME.index)
    assert model.fit(FRAME, two).function_.outputs == ("u", "v")
    assert model.fit(FRAME, DRAG.rename("a")).function_.outputs == ("a",)  # which a file could not have


def test_derivatives_by_other_inputs_than_those_behind_a_scaler():
    pipeline, units = make_pipeline(MinMaxScaler(), SobolevRegressor(**SMALL, check="raise")), np.array([50.0, 0.1])
    params = {"sobolevregressor__dydx": SLOPES / units}
    with pytest.raises(ValueError, match=r"dydx: must be the derivatives.*dy_dx1 is .* dy_dx2 is .*a scaler"):
        cross_val_score(pipeline, PLANE * units, WAVE, params=params, error_score="raise")
    with pytest.warns(UserWarning, match=r"dydx: must be the derivatives.*too large by a factor of .*likely a unit"):
        SobolevRegressor(**SMALL).fit(PLANE, WAVE, SLOPES * 1000)
    SobolevRegressor(**SMALL, check="off").fit(PLANE, WAVE, SLOPES * 1000)


@pytest.mark.nightly
def test_the_best_of_a_search(nothing_left):
    model = SobolevRegressor(search="best", timeout=1e5, activation="silu", max_steps=40, random_state=5)
    assert clone(model).get_params() == model.get_params()
    model.loss_curve_ = [1.0]  # of an earlier fit
    model.fit(FRAME[:40], DRAG[:40], dydx=PARTIALS[:40])
    assert not hasattr(model, "loss_curve_")
    board = model.leaderboard_
    assert {"one", "two"} <= set(board["name"])
    assert (board["steps"] <= 40).sum() >= 2
    u = model.function_
    assert (u.inputs, u.outputs, u.runs) == (("a", "b"), ("drag",), ())
    seed = int(board["name"].iloc[0].partition(", seed ")[2] or 5)
    assert (u.configuration["model"]["activation"], u.configuration["seed"]) == ("silu", seed)
    assert model.score(FRAME[:40], DRAG[:40]) > 0
    copy = pickle.loads(pickle.dumps(model))
    assert np.array_equal(copy.predict(FRAME), model.predict(FRAME))
    assert copy.predict_derivative(FRAME).shape == (120, 2)
    np.testing.assert_array_equal(u.inside, np.unique(FRAME[:40], axis=0))
    assert model.outside(FRAME[:40]).max() < 1
    assert nothing_left()


def test_the_standard_deviation_of_several_networks():
    model, other = (SobolevRegressor(**SMALL | {"random_state": seed}).fit(X, Y) for seed in (0, 1))
    with pytest.raises(ValueError, match="return_std: needs several networks"):
        model.predict(X, return_std=True)
    each = model.predict(X), other.predict(X)
    model.function_ = Function([model.function_.networks[0], other.function_.networks[0]])
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == (24,)
    np.testing.assert_allclose(mean, np.mean(each, axis=0), rtol=1e-12)
    np.testing.assert_allclose(std, np.std(each, axis=0, ddof=1), rtol=1e-9)


def test_intervals_of_the_validation_rows():
    model = SobolevRegressor(**SMALL, validation_fraction=0.5).fit(X, Y)
    low, high = model.predict_interval(X, level=0.8).T
    np.testing.assert_allclose((low + high) / 2, model.predict(X), rtol=1e-9)
    assert np.sum((low <= Y) & (high >= Y)) >= 0.8 * 12
    assert np.array_equal(model.predict_interval(X), model.predict_interval(X, 0.9))
    assert model.predict_derivative_interval(X, 0.8).shape == (24, 1, 2)
    with pytest.raises(ValueError, match=r"level, --interval: must be at most 0\.923, because 12 rows calibrate it"):
        model.predict_interval(X, 0.95)
    model.set_params(validation_fraction=0).fit(X, Y)
    with pytest.raises(ValueError, match="intervals need"):
        model.predict_interval(X, 0.8)
    two = SobolevRegressor(**SMALL, validation_fraction=0.5).fit(PLANE, np.c_[WAVE, WAVE], np.stack([SLOPES] * 2, 1))
    assert two.predict_interval(PLANE).shape == (120, 2, 2)
    ends = two.predict_derivative_interval(PLANE)
    np.testing.assert_allclose(ends.mean(axis=-1), two.predict_derivative(PLANE), rtol=1e-9)


def test_a_fit_that_diverges_or_is_interrupted_raises(nothing_left, monkeypatch):
    sgd = SGD(lr=1e12, lr_schedule="constant", clip_norm=None, momentum=0.9)
    with pytest.raises(RunError, match="not finite"):
        estimator(optimizer=sgd, activation="relu").fit(X, Y, dydx=DYDX)
    before = signal.getsignal(signal.SIGINT)
    for changes in ({}, BEST):
        monkeypatch.setattr("runge.optimizers.optimizer.Problem", interrupted_at(20))
        with pytest.raises(KeyboardInterrupt) as interrupt:
            estimator(**changes).fit(X, Y)
        assert str(interrupt.value) == ""
        assert signal.getsignal(signal.SIGINT) is before
    assert nothing_left()
