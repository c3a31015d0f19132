"""The scripts of `examples/` run with a short fit, and the derivatives of their tables are those of their values."""

import runpy

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import runge
from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"
PRINTED = {  # what a script prints, and its program
    "co2": ("flash: the median error", "CoolProp"),
    "water": ("minimum: bonds", "pyscf"),
    "wing": ("least drag: alpha", "openaerostruct"),
    "option": ("minimum variance: standard deviation", "QuantLib"),
}

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("in_folder", "one_core")]


@pytest.fixture
def program(request, monkeypatch):
    """The name of an example whose program is installed."""
    pytest.importorskip(PRINTED[request.param][1], exc_type=ImportError)
    matplotlib.use("agg")
    monkeypatch.syspath_prepend(EXAMPLES)
    return request.param


@pytest.mark.parametrize("program", PRINTED, indirect=True)
def test_a_script_fits_its_table_and_uses_the_fit(program, monkeypatch, capsys, tmp_path):
    fit, adam = runge.fit, ("~search.tables", '+search.tables={adam: ["trainer.max_steps=20"]}', "data.folds=2")
    quick = *adam, "model.width=8", "search.seeds=1", "trainer.progress_bar=false"
    monkeypatch.setattr(runge, "fit", lambda table, timeout: fit(table, *quick, timeout=timeout / 12))
    runpy.run_path(str(EXAMPLES / f"{program}.py"))
    plt.close("all")
    assert PRINTED[program][0] in capsys.readouterr().out
    assert (tmp_path / f"{program}.png").stat().st_size > 1000


@pytest.mark.parametrize("program", PRINTED, indirect=True)
def test_a_table_has_the_values_of_its_program_and_their_derivatives(program):
    names = runpy.run_path(str(EXAMPLES / f"solvers/{program}.py"))
    committed = pd.read_csv(EXAMPLES / f"{program}.csv")
    inputs, few = list(names["INPUTS"]), [0, -1]
    assert len(committed) == names["ROWS"]
    again = names["table"](committed[inputs].to_numpy()[few])
    assert list(again) == list(committed)
    assert_allclose(again, committed.iloc[few], rtol=1e-5, atol=1e-9)
    # The derivatives in the middle of the table are differences of its values.
    x = (names["LOW"] + names["HIGH"]) / 2
    steps = np.diag(np.where(np.array(inputs) == "days", 5, 1e-4 * (names["HIGH"] - names["LOW"])))
    center, above, below = (names["table"](points) for points in (x[None], x + steps, x - steps))
    by = [label.split(" ")[0] for label in inputs]
    outputs = [label for label in center if f"d{label}_d{by[0]}" in center]
    assert outputs
    for output in outputs:
        slopes = center.loc[0, [f"d{output}_d{label}" for label in by]].to_numpy(float)
        differences = (above[output] - below[output]) / (2 * steps.sum(0))
        effects = (names["HIGH"] - names["LOW"]) * np.stack([slopes, differences])
        assert_allclose(*effects, rtol=1e-4, atol=1e-6 * np.abs(effects).max())


@pytest.mark.nightly
def test_the_script_of_the_report_compares_its_experiments(monkeypatch, capsys, tmp_path):
    sweep = runge.sweep
    monkeypatch.setattr(runge, "sweep", lambda *given, **where: sweep(*given, "search.compare=false", **where))
    matplotlib.use("agg")
    runpy.run_path(str(EXAMPLES / "activations.py"))["main"](seeds=1, steps=4)
    plt.close("all")
    assert "in the median" in capsys.readouterr().out
    assert len((tmp_path / "activations.csv").read_text().splitlines()) == 13
    assert all((tmp_path / name).exists() for name in ("activations.png", "activations/comparison.html"))


def test_a_script_has_at_most_sixty_lines():
    """Without blank lines and imports."""
    for path in EXAMPLES.rglob("*.py"):
        lines = [line for line in path.read_text().splitlines() if line.strip()]
        assert len([line for line in lines if not line.startswith(("import ", "from "))]) <= 60
