"""Any composition either trains or is refused in one message, without a traceback."""

import itertools
import json
import os

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from runge.configuration import CONFIGURATIONS
from tests.compositions import GROUPS

OPTIONS = {**GROUPS, "experiment": sorted(path.stem for path in (CONFIGURATIONS / "experiment").glob("*.yaml"))}
ODD = [
    *("null", "-1", "0", "1", "2", "7", "1000", "1e3", "0.5", "-0.0", "1e-30", "1e30", "1e400", ".nan", "inf", "-inf"),
    *("true", "off", "''", "abc", "[]", "{}", "[1,2]", "{a:1}", "99999999999999999999", "${seed}", "${nowhere}", "???"),
    *("'1'", "[[0,1],[0,1]]", "[[-1,1],[0,2]]", "[0,1]", "[1,0]", "ü", "'$(touch owned)'", "[0.9,0.99]", "sin"),
]
EXPRESSIONS = [
    *("x", "1/(1+25*x**2)", "exp(-x)*sin(8*x)", "x*y", "abs(x)", "1/x", "x**x", "sqrt(x)", "x**0.5", "3", "tan(2*x)"),
    *("log(2+x)", "x1+x2", "e**x", "pi*x", "x**-1", "((x))", "sin(x", "x;x", "lambda:x", "erf(x)", "x**99", "acos(x)"),
]
KEYS = {
    "seed": ["0", "1", "5"],
    "data.seed": ["null", "3"],
    "data.n_train": ["2", "8", "9", "16"],
    "data.n_val": ["2", "9"],
    "data.n_test": ["2", "11"],
    "data.n_derivative": ["null", "4"],
    "data.boundary_points": ["0", "1", "3"],
    "data.batch_size": ["null", "1", "3", "8"],
    "model.activation": ["tanh", "relu", "gelu", "sigmoid", "silu", "softplus", "sin"],
    "model.depth": ["1", "2", "3"],
    "model.width": ["1", "2", "5"],
    "model.init": ["default", "knots"],
    "model.stages": ["1", "2", "3"],
    "model.derivative": ["forward", "autograd"],
    "loss.lambda_d": ["0", "0.1", "10", "1e10"],
    "loss.derivative_scale": ["none", "max", "std"],
    "loss.sample_weight": ["none", "derivative"],
    "trainer.max_steps": ["1", "2", "3", "5"],
    "trainer.precision": ["32", "64"],
    "trainer.log_every": ["1", "2", "100"],
    "trainer.diagnostics_every": ["1", "2"],
    "trainer.checkpoint_seconds": ["0", "30"],
    "trainer.accelerator": ["cpu", "gpu", "auto"],
    "trainer.compile": ["off", "auto"],
    "target.domain": ["[-1,1]", "[0,3]", "[[-1,1],[0,2]]", "[0.5,0.6]"],
    "target.expr": EXPRESSIONS,
    "sampling.strength": ["1", "2.5"],
    "sampling.share": ["0", "0.5", "1"],
    "sampling.floor": ["0.1"],
    "sampling.quotas": ["null", "{left:0.5,right:0.5}", "{boundary:1}"],
    "schedule.at_step": ["null", "0", "2"],
    "schedule.latest_step": ["null", "1"],
    "schedule.ramp_steps": ["0", "2"],
    "schedule.patience": ["1"],
    "optimizer.lr": ["0.01", "1e5"],
    "optimizer.lr_schedule": ["constant", "cosine"],
    "optimizer.clip_norm": ["null", "1"],
    "optimizer.damping": ["1.0", "1e-8"],
    "optimizer.acceleration": ["0", "0.75"],
    "optimizer.readout": ["true", "false"],
    "optimizer.switch_at": ["1", "2"],
    "optimizer.history_size": ["1", "50"],
    "+nonsense": ["1"],
    "+model.extra": ["1"],
    "~loss.lambda_d": [],
    "~target.domain": [],
    "hydra.run.dir": ["run", "."],
}
SMALL = {"data.n_train": "8", "data.n_val": "4", "data.n_test": "9", "trainer.max_steps": "3", "model.width": "4"}


@st.composite
def compositions(draw):
    """Draw overrides, most of them valid: a few keys, sometimes with an odd value."""
    groups = draw(st.sets(st.sampled_from(sorted(OPTIONS))))
    chosen = {group: draw(st.sampled_from(OPTIONS[group])) for group in groups}
    keys = draw(st.lists(st.sampled_from(sorted(KEYS)), max_size=6, unique=True))
    values = {}
    for key in keys:
        odd = draw(st.integers(0, 9)) == 0
        values[key] = draw(st.sampled_from(ODD if odd or not KEYS[key] else KEYS[key]))
    values = {**SMALL, "trainer.progress_bar": "false", "trainer.compile": "off", **values}
    plain = [key if key.startswith("~") else f"{key}={value}" for key, value in values.items()]
    return [f"{group}={option}" for group, option in chosen.items()] + plain


@pytest.mark.parametrize("part", range(4))  # so that several processes share the work
def test_trains_or_says_why_not(part, train, tmp_path):
    numbers = itertools.count()

    @seed(part)
    @settings(max_examples=75, deadline=None, database=None)
    @given(compositions())
    def compose(overrides):
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        os.chdir(folder)
        status, out, err = train(*overrides)
        assert "Traceback" not in out + err
        assert "Warning" not in out + err
        statuses = [json.loads(path.read_text())["status"] for path in folder.rglob("status.json")]
        if status == 0:
            assert statuses == ["finished"]
        else:
            assert err.count("error: ") == 1
            assert statuses in ([], ["diverged"])
            assert statuses or not list(folder.rglob("*"))
        assert not (folder / "owned").exists()

    compose()
