"""The rule of shapes and types in the docstring of `runge.Function`, for all evaluations of all functions."""

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runge.function.calibration import Calibration
from runge.function.function import Function
from runge.function.outside import Box
from tests.sobolev.test_network import stack

SIZES = st.integers(1, 3)


def function(dimension, outputs):
    box = Box(np.full(dimension, -1.0), np.full(dimension, 1.0))
    errors = np.tile(np.linspace(-1, 1, 19)[:, None], outputs * (1 + dimension))
    names = {"inputs": list("abc"[:dimension]), "outputs": list("uvw"[:outputs])}
    network = stack(dimension=dimension, outputs=outputs)
    return Function(network, **names, calibration=Calibration.of(errors, None), inside=box).requires_grad_(False)


def evaluations(u, x):
    """Return the results at x, and the axes of a derivative that each has; None: no axis of outputs either."""
    (low, high), (slope_low, slope_high) = u.value_and_derivative_interval(x)
    orders = (0, *[1] * 2, 2, *[0] * 4, *[1] * 4, None)
    value, slope, curvature = u.value_derivative_hessian(x)
    spread = u.std(x), u.interval(x)[0], low, high
    slopes = u.derivative_std(x), u.derivative_interval(x)[1], slope_low, slope_high
    assert np.array_equal(value, u(x))
    return zip((value, slope, u.hvp(x, x), curvature, *spread, *slopes, u.outside(x)), orders, strict=True)


@given(SIZES, SIZES, st.lists(st.integers(0, 3), max_size=3), st.sampled_from(["float32", "float64"]), st.booleans())
def test_the_last_axis_is_that_of_the_inputs(dimension, outputs, front, dtype, bare):
    u = function(dimension, outputs)
    bare &= dimension == 1 and len(front) < 2
    x = np.random.default_rng(0).uniform(-1, 1, (*front, *[dimension] * (not bare))).astype(dtype)
    front, bare = (x.shape, True) if dimension == 1 and x.ndim < 2 else (front, bare)  # (1,) is one of m points
    for points in (x, torch.from_numpy(x)):
        for result, order in evaluations(u, points):
            of_output = (outputs,) * (outputs > 1 and order is not None)
            assert result.shape == (*front, *of_output, *[dimension] * (0 if bare else order or 0))
            assert result.dtype == points.dtype
            assert isinstance(result, torch.Tensor) == isinstance(points, torch.Tensor)
    flat = u.jet(torch.from_numpy(x.astype(float)).reshape(1, -1, dimension))
    for result, members in zip(u.value_and_derivative(x), flat, strict=True):
        np.testing.assert_allclose(np.ravel(result), members.mean(0).ravel().to(getattr(torch, dtype)), rtol=1e-6)


@given(SIZES, SIZES, st.lists(st.integers(1, 4), max_size=3))
def test_other_shapes_are_refused(dimension, outputs, shape):
    if shape[-1:] == [dimension] or (dimension == 1 and len(shape) < 2):
        return
    u = function(dimension, outputs)
    for x in (np.zeros(shape), torch.zeros(shape)):
        with pytest.raises(ValueError, match=rf"^x: must have the shape \(\.\.\., {dimension}\), .* got \("):
            u(x)


@given(SIZES, SIZES, st.lists(st.integers(), unique=True, min_size=1, max_size=4))
def test_a_table_gives_a_table_with_its_index(dimension, outputs, index):
    u = function(dimension, outputs)
    frame = pandas.DataFrame(np.random.default_rng(0).uniform(-1, 1, (len(index), 4)), index, list("cbae"))
    tables = [(frame, frame[[*u.inputs]].to_numpy())]
    tables += [(frame["a"], frame["a"].to_numpy())] * (dimension == 1)
    for table, x in tables:
        for (result, _), (array, _) in zip(evaluations(u, table), evaluations(u, x), strict=True):
            assert result.index.equals(frame.index)
            assert result.ndim == np.ndim(array) == 1 or isinstance(result, pandas.DataFrame)
        parts = [pandas.DataFrame(part) for part in u.value_derivative_hessian(table)]
        arrays = [np.reshape(part, (len(x), outputs, -1)) for part in u.value_derivative_hessian(x)]
        for p, y in enumerate(u.outputs):
            np.testing.assert_array_equal(parts[0][y], arrays[0][:, p, 0])
            for d, a in enumerate(u.inputs):
                np.testing.assert_array_equal(parts[1][f"d{y}_d{a}"], arrays[1][:, p, d])
                np.testing.assert_array_equal(parts[2][f"d2{y}_da_d{a}"], arrays[2][:, p, d])
        columns = outputs * np.array([1, dimension, dimension * (dimension + 1) / 2])
        assert [part.shape[1] for part in parts] == columns.tolist()


def test_a_prediction_does_not_use_the_column_of_a_label():
    u, frame = function(2, 1), pandas.DataFrame({"a": [0.1], "b": [0.2], "u": ["pending"]})
    assert u.predict(frame)["u_u"][0] == u([0.1, 0.2])


def test_numbers_give_numbers():
    u = function(1, 1)
    expected = u(np.array([0.5]))
    assert expected.shape == (1,)
    for number in (0.5, np.float64(0.5), np.array(0.5)):
        assert isinstance(u(number), float)
        assert isinstance(u.derivative(number), float)
        assert u(number) == expected[0]
    assert isinstance(u(torch.tensor(0.5)), torch.Tensor)
    assert isinstance(u(1), float)
    assert u(torch.tensor([1])).dtype == torch.float64
    assert np.array_equal(u([0.5]), expected)
    y = np.zeros(5)
    for x in (np.zeros(5), np.zeros((5, 1))):
        assert (u(x) - y).shape == (5,)
    assert function(2, 1)([0.5, 0.5]).shape == ()
    assert function(1, 2)(0.5).shape == (2,)


def test_a_tensor_on_another_device_is_refused():
    with pytest.raises(ValueError, match=r"^x: must be on the function's device, cpu; got meta"):
        function(1, 1)(torch.zeros(3, device="meta"))


@pytest.mark.parametrize(
    ("x", "rule"),
    [
        (pandas.Series([0.1, 0.2], ["b", "a"]), "a row must be a DataFrame, such as df.iloc"),
        (np.array([[0.1 + 1e-20j, 0.2]]), "must be real; the method `derivative` gives exact derivatives"),
        (torch.tensor([[0.1, 0.2]]).to(torch.complex128), "must be real"),
        (pandas.DataFrame({"a": [0.1, pandas.NA], "b": [0.2, 0.3]}, dtype="object"), "must be numbers"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(x, rule):
    with pytest.raises(ValueError, match=f"^x: {rule}"):
        function(2, 1)(x)
