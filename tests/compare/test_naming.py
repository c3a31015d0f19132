import re
from dataclasses import replace

import pytest
from rich.console import Console

from runge.compare.comparison import Comparison
from runge.compare.naming import label, names_of, typed
from runge.runs.reading import RunRecord

ADAM = {"optimizer": "Adam", "trainer.max_steps": 8000, "trainer.precision": 32, "trainer.log_every": 100}
LM = {"optimizer": "LevenbergMarquardt", "trainer.max_steps": 200, "trainer.precision": 64, "trainer.log_every": 5}


def run(seed, overrides, settings, **figures):
    settings = {"schedule": "TwoStage", **settings, "seed": seed}
    return RunRecord(
        f"runs/{seed}", "finished", "", 9, f"{overrides} seed={seed}", settings, {"test/mse_df": 1.0, **figures}
    )


def test_label():
    assert label({"x": None, "y": 1e-3, "z": True}, ["x", "y", "z"]) == "x=null, y=0.001, z=True"
    assert label({"schedule": "TwoStage", "optimizer": "NAdam"}, ["schedule", "optimizer"]) == (
        "schedule=two_stage, optimizer=NAdam"
    )
    assert label({}, []) == "all runs"


@pytest.mark.parametrize(
    ("group", "name", "option"),
    [
        *[("schedule", "TwoStage", "two_stage"), ("target", "Expression", "expression"), ("data", "Table", "table")],
        *[("optimizer", "LBFGS", "lbfgs"), ("balance", "NeuralTangentKernel", "ntk"), ("balance", None, "null")],
        ("target", "Mine", "Mine"),
    ],
)
def test_classes_are_named_by_their_options(group, name, option):
    assert typed(group, name) == option


def test_many_settings_are_named_by_the_overrides():
    first = run(0, "data.n_train=9 target.expr=x + y", ADAM | {"model.width": 64, "target.expr": "x + y"})
    other = "optimizer=levenberg_marquardt data.n_train=9 model.width=8 target.expr=[x, y]"
    second = run(1, other, LM | {"model.width": 8, "target.expr": "[x, y]"})
    keys = [key for key in first.settings if key not in ("seed", "schedule")]
    names = ["target.expr=x + y", "optimizer=levenberg_marquardt, model.width=8, target.expr=[x, y]"]
    assert names_of([first, second], keys) == names
    again = replace(second, overrides="model.width=8", settings=second.settings | {"seed": 7})
    assert (
        names_of([first, second, again], keys)[1:] == [f"{names[1].replace(', model', ', data.n_train=9, model')}"] * 2
    )
    assert names_of([first, second], [*keys, "seed"]) == [f"{name}, seed={i}" for i, name in enumerate(names)]
    assert names_of([run(0, "", ADAM), second], keys)[0] == "defaults"
    # Runs that differ, for example because their versions had other defaults, are never one group.
    older = replace(first, settings=first.settings | {"model.width": 32})
    assert len(set(names_of([first, second, older], keys))) == 3


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("number", [1, 3, 5])
def test_nothing_is_torn_on_a_narrow_terminal(number, width, capsys):
    keys = ["optimizer", "trainer.max_steps", "trainer.diagnostics_every", "trainer.precision", "trainer.log_every"][
        :number
    ]
    both = [
        run(i, f"optimizer={name}", dict.fromkeys(keys, 10**i) | {"optimizer": kind})
        for i, (name, kind) in enumerate((("adam", "Adam"), ("levenberg_marquardt", "LevenbergMarquardt")))
    ]
    Comparison(both).show(Console(width=width))
    table = capsys.readouterr().out.partition("leads")[0]
    assert "2 runs by test/mse_df" in table
    for word in ("levenberg_marquardt", "test/mse_df", "finished", *(["diagnostics_every"] if number == 3 else [])):
        assert re.search(rf"\b{word}\b", table)
