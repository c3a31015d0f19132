import checks
import numpy as np
import pytest
import tools
from tables import label


class Exact:
    """The function of the checks itself, whatever the rows are; a row of NaN is refused."""

    derivative = 1.0

    def __init__(self, seed):
        self.outputs = 1

    def fit(self, x, y, dydx):
        if np.isnan(dydx).any():
            raise ValueError("dydx must be finite")
        np.linalg.cholesky(np.isfinite(y[:1, :1]) - 1e-9)
        self.outputs = y.shape[1]
        return self

    def predict(self, x):
        return checks.waves(x)[:, : self.outputs]

    def predict_derivative(self, x):
        return self.derivative * label(self.predict, x).dydx


class Wrong(Exact):
    derivative = 1.01


class Silent(Exact):
    derivative = np.nan


class Values(Exact):
    def predict_derivative(self, x):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("kind", "check", "word"),
    [
        (Exact, "derivative of two outputs", "holds"),
        (Exact, "row twice", "holds"),
        (Exact, "one row", "holds"),
        (Exact, "units of y", "silent"),
        (Exact, "NaN derivatives", "refuses"),
        (Exact, "infinite value", "fails"),
        (Wrong, "derivative", "fails"),
        (Wrong, "one row", "holds"),
        (Silent, "derivative", "silent"),
        (Values, "derivative", "has none"),
        (Values, "row twice", "holds"),
    ],
)
def test_word_of_a_check(monkeypatch, kind, check, word):
    monkeypatch.setattr(tools, "adapter", lambda name: kind)
    found = checks.measure("a tool", check)
    assert found["word"] == word, found
