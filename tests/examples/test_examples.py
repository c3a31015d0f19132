"""The scripts of `examples/` run in a small size, and the derivatives of their tables are those of their values."""

import runpy

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose

import runge
from tests.conftest import ROOT

PRINTED = {  # what a script prints, and its program
    "co2": ("flash of 1000 states", "CoolProp"),
    "water": ("minimum: bonds", "pyscf"),
    "crm": ("best twist", "openaerostruct"),
    "option": ("delta on 100 paths", "QuantLib"),
}

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("in_folder", "one_core")]


def example(name):
    """The names of a script, if its program is installed."""
    if name in PRINTED:
        pytest.importorskip(PRINTED[name][1], exc_type=ImportError)
    matplotlib.use("agg")
    return runpy.run_path(str(ROOT / f"examples/{name}.py"))


@pytest.mark.parametrize("name", PRINTED)
def test_a_script_makes_its_table_fits_it_and_uses_the_fit(name, monkeypatch, capsys, tmp_path):
    fit, adam = runge.fit, ("~search.tables", '+search.tables={adam: ["trainer.max_steps=20"]}', "data.folds=2")
    quick = *adam, "model.width=8", "search.seeds=1", "trainer.progress_bar=false"
    monkeypatch.setattr(runge, "fit", lambda table, *overrides: fit(table, *overrides, *quick))
    names = example(name)
    names["main"](rows=20, seconds=5)
    plt.close("all")
    assert PRINTED[name][0] in capsys.readouterr().out
    assert (tmp_path / f"{name}.png").stat().st_size > 1000
    assert len((tmp_path / f"{name}.csv").read_text().splitlines()) == 21
    # The derivatives in the middle of the table are differences of its values.
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


@pytest.mark.nightly
def test_the_script_of_the_report_compares_its_experiments(monkeypatch, capsys, tmp_path):
    sweep = runge.sweep
    monkeypatch.setattr(runge, "sweep", lambda *given, **where: sweep(*given, "search.compare=false", **where))
    example("activations")["main"](seeds=1, steps=4)
    plt.close("all")
    assert "in the median" in capsys.readouterr().out
    assert len((tmp_path / "activations.csv").read_text().splitlines()) == 13
    assert all((tmp_path / name).exists() for name in ("activations.png", "activations/comparison.html"))


def test_a_script_has_at_most_sixty_lines():
    """Without blank lines and imports."""
    for path in (ROOT / "examples").glob("*.py"):
        lines = [line for line in path.read_text().splitlines() if line.strip()]
        assert len([line for line in lines if not line.startswith(("import ", "from "))]) <= 60
