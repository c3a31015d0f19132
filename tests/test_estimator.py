import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import runge
from runge.errors import RunError
from runge.estimator import SobolevRegressor
from runge.optimizers import SGD, Adam, LevenbergMarquardt

X = np.linspace(0, 1, 24)[:, None]
Y, DYDX = np.sin(6 * X[:, 0]), 6 * np.cos(6 * X)
BETWEEN = np.linspace(0.02, 0.98, 101)[:, None]


def estimator(**changes):
    return SobolevRegressor(**{"width": 16, "max_steps": 400, "random_state": 0} | changes)


def error(model, lengths=1.0, height=1.0):
    """The largest error of the derivative between the points, in the units of the unscaled function."""
    return np.abs(model.predict_derivative(BETWEEN * lengths) * lengths / height - 6 * np.cos(6 * BETWEEN)).max()


@parametrize_with_checks([SobolevRegressor(width=16, max_steps=200)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_derivatives_improve_the_fit():
    without, full = estimator().fit(X[::3], Y[::3]), estimator().fit(X[::3], Y[::3], dydx=DYDX[::3])
    assert error(full) < 0.5 * error(without)
    assert full.score(BETWEEN, np.sin(6 * BETWEEN[:, 0])) > 0.999
    assert full.loss_curve_[-1] < 0.1 * full.loss_curve_[0]
    assert error(estimator().fit(X[::3], Y[::3], dydx=DYDX[::3, 0])) == error(full)


@pytest.mark.parametrize(("lengths", "height", "offset"), [(1e6, 1.0, 0.0), (1e-6, 1e6, 1e7), (1.0, 1e-6, 3.0)])
def test_units_do_not_matter(lengths, height, offset):
    plain = error(estimator(precision=64).fit(X, Y, dydx=DYDX))
    scaled = estimator(precision=64).fit(X * lengths, offset + height * Y, dydx=DYDX * height / lengths)
    assert error(scaled, lengths, height) == pytest.approx(plain, rel=0.05)


def test_several_inputs_one_of_them_constant():
    random = np.random.default_rng(0)
    x = np.c_[random.uniform(-2, 3, (60, 2)), np.full(60, 7.0)]
    y, slopes = x[:, 0] * np.sin(x[:, 1]), np.c_[np.sin(x[:, 1]), x[:, 0] * np.cos(x[:, 1]), np.zeros(60)]
    model = estimator(max_steps=800).fit(x, y, dydx=slopes)
    assert model.score(x, y) > 0.99
    assert model.predict_derivative(x).shape == (60, 3)
    assert np.abs(model.predict_derivative(x) - slopes).mean() < 0.1


def test_rows_without_a_derivative_have_no_weight():
    wrong = np.where(np.arange(24)[:, None] % 2 == 0, DYDX, np.nan)
    model = estimator().fit(X, Y, dydx=wrong)
    assert np.isfinite(model.predict(X)).all()
    assert error(model) < error(estimator().fit(X, Y))
    none = estimator().fit(X, Y, dydx=np.full_like(DYDX, np.nan))
    assert np.array_equal(none.predict(X), estimator().fit(X, Y).predict(X))


@pytest.mark.parametrize(
    ("changes", "dydx", "words"),
    [
        ({}, DYDX[:5], r"dydx: must have the shape \(24, 1, 1\) or \(24, 1\) or \(24,\); got \(5, 1\)"),
        ({}, np.where(DYDX > 5, np.inf, DYDX), "dydx contains infinity"),
        ({}, np.array([["a"]] * 24), "could not convert"),
        ({"lambda_d": -1.0}, DYDX, "lambda_d"),
        ({"lambda_d": np.nan}, DYDX, "lambda_d"),
        ({"validation_fraction": 1.0}, DYDX, "validation_fraction must be in"),
        ({"validation_fraction": 0.97}, DYDX, "validation_fraction: must leave two rows"),
        ({"precision": 16}, DYDX, "precision"),
        ({"activation": "what"}, DYDX, "activation"),
        ({"width": 0}, DYDX, "width"),
        ({"batch_size": 25}, DYDX, "batch_size"),
        ({"max_steps": 0}, DYDX, "max_steps"),
    ],
)
def test_mistakes(changes, dydx, words):
    with pytest.raises(ValueError, match=words):
        estimator(**changes).fit(X, Y, dydx=dydx)


def test_several_outputs_and_inputs_with_labels_that_are_not_known():
    """Fit a b and a + b; some values and partial derivatives are not known."""
    a, b = np.random.default_rng(0).uniform(1, 3, (2, 60))
    x, y = np.c_[a, b], np.c_[a * b, a + b]
    slopes = np.stack([np.c_[b, a], np.ones((60, 2))], axis=1)
    model = estimator(max_steps=2000)
    partly = np.where(np.random.default_rng(1).random(slopes.shape) < 0.3, np.nan, slopes)
    model.fit(x, y, dydx=partly)
    assert model.predict(x).shape == (60, 2)
    assert model.predict_derivative(x).shape == (60, 2, 2)
    assert np.abs(model.predict(x) - y).max() < 0.1
    assert np.abs(model.predict_derivative(x) - slopes).max() < 0.3


def test_a_fit_that_diverges_raises():
    with pytest.raises(RunError, match="not finite"):
        estimator(optimizer=SGD(lr=1e12, lr_schedule="constant", clip_norm=None, momentum=0.9), activation="relu").fit(
            X, Y, dydx=DYDX
        )


def test_the_same_seed_gives_the_same_bits_and_another_one_others():
    first, again = (estimator().fit(X, Y, dydx=DYDX).predict(X) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, estimator(random_state=1).fit(X, Y, dydx=DYDX).predict(X))


def test_optimisers_mini_batches_and_validation_rows():
    exact = estimator(optimizer=LevenbergMarquardt(), precision=64, max_steps=60).fit(X, Y, dydx=DYDX)
    assert error(exact) < 1e-3
    assert error(estimator(batch_size=8, optimizer=Adam(lr=0.02)).fit(X, Y, dydx=DYDX)) < 1
    assert error(estimator(validation_fraction=0.25).fit(X, Y, dydx=DYDX)) < 1


def test_in_a_grid_search_and_behind_a_scaler():
    search = GridSearchCV(estimator(max_steps=100), {"lambda_d": [0.0, 1.0], "activation": ["tanh", "relu"]}, cv=2)
    search.fit(X, Y, dydx=DYDX)
    assert search.best_estimator_.predict(X).shape == (24,)
    pipeline = make_pipeline(StandardScaler(), estimator())
    scale = StandardScaler().fit(X).scale_
    pipeline.fit(X, Y, sobolevregressor__dydx=DYDX * scale)
    slopes = pipeline[-1].predict_derivative(pipeline[:-1].transform(BETWEEN)) / scale
    assert np.abs(slopes - 6 * np.cos(6 * BETWEEN)).max() < 0.5
    assert clone(pipeline[-1]).get_params() == pipeline[-1].get_params()


def test_the_package_has_the_estimator():
    assert runge.SobolevRegressor is SobolevRegressor
