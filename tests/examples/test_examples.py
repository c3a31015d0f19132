"""The scripts of `examples/` run in a small size, and the derivatives of their tables are those of their values."""

import runpy

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose

import runge
from tests.conftest import ROOT

PACKAGES = {"co2": "CoolProp", "water": "pyscf", "crm": "openaerostruct", "option": "QuantLib"}
PRINTED = {
    "co2": "flash of 1000 states",
    "water": "minimum: bonds",
    "crm": "best twist",
    "option": "delta on 100 paths",
}

pytestmark = pytest.mark.filterwarnings("ignore")  # of the other programs


@pytest.fixture
def example(one_core, monkeypatch, tmp_path):
    """The names of a script, in an empty folder, if its program is installed."""
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")

    def names(name):
        if name in PACKAGES:
            pytest.importorskip(PACKAGES[name], exc_type=ImportError)
        return runpy.run_path(str(ROOT / f"examples/{name}.py"))

    yield names
    plt.close("all")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_script_makes_its_table_fits_it_and_uses_the_fit(name, example, monkeypatch, capsys, tmp_path):
    fit, adam = runge.fit, ("~search.tables", '+search.tables={adam: ["trainer.max_steps=20"]}', "data.folds=2")
    quick = *adam, "model.width=8", "search.seeds=1", "trainer.progress_bar=false"
    monkeypatch.setattr(runge, "fit", lambda table, *overrides: fit(table, *overrides, *quick))
    example(name)["main"](rows=20, seconds=5)
    assert PRINTED[name] in capsys.readouterr().out
    assert (tmp_path / f"{name}.png").stat().st_size > 1000
    assert len((tmp_path / f"{name}.csv").read_text().splitlines()) == 21


@pytest.mark.parametrize("name", PACKAGES)
def test_the_derivatives_of_a_table_are_those_of_its_values(name, example):
    names = example(name)
    x, inputs = (names["LOW"] + names["HIGH"]) / 2, list(names["INPUTS"])
    steps = np.diag(np.where(np.array(inputs) == "days", 5, 1e-4 * (names["HIGH"] - names["LOW"])))
    center, above, below = (names["table"](points) for points in (x[None], x + steps, x - steps))
    outputs = [label for label in center if f"d{label}_d{inputs[0]}" in center]
    assert outputs
    for output in outputs:
        slopes = center.loc[0, [f"d{output}_d{label}" for label in inputs]].to_numpy(float)
        differences = (above[output] - below[output]) / (2 * steps.sum(0))
        effects = (names["HIGH"] - names["LOW"]) * np.stack([slopes, differences])
        assert_allclose(*effects, rtol=1e-4, atol=1e-6 * np.abs(effects).max())


def test_the_script_of_the_report_compares_its_experiments(example, capsys, tmp_path):
    example("activations")["main"](seeds=1, steps=4)
    assert "in the median" in capsys.readouterr().out
    assert (tmp_path / "activations.png").exists()
    assert len((tmp_path / "activations.csv").read_text().splitlines()) == 13
    assert (tmp_path / "activations/comparison.html").exists()


def test_a_script_has_at_most_sixty_lines():
    """Without blank lines and imports."""
    for path in (ROOT / "examples").glob("*.py"):
        lines = [line for line in path.read_text().splitlines() if line.strip()]
        assert len([line for line in lines if not line.startswith(("import ", "from "))]) <= 60
