"""Any command either trains or is refused in one message, without a traceback, and leaves no half-made run.

Commands are drawn from all groups and keys of `conf/`, which are found by reading it. `pytest
tests/launch/test_commands.py --commands 5000` draws as many; `--hypothesis-seed 7` draws others.
"""

import itertools
import json
import os

import pytest
import yaml
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tests.conftest import ROOT


def settings_of(section, prefix=""):
    """Return the sections and keys of a part of the configuration, with their values as the command line has them."""
    found = {}
    for name, value in section.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            found |= {key: "{}", **settings_of(value, f"{key}.")}
        else:
            found[key] = f"'{value}'" if isinstance(value, str) and "$" in value else json.dumps(value).strip('"')
    return found


def read(path):
    content = yaml.safe_load(path.read_text())
    content.pop("defaults", None)
    return content


def options():
    """Return the options of each group, each with its keys, sections and values."""
    found = {}
    for path in sorted((ROOT / "conf").glob("*/*.yaml")):
        content, group = read(path), path.parent.name
        is_global = path.read_text().startswith("# @package _global_")
        found.setdefault(group, {})[path.stem] = settings_of(content if is_global else {group: content})
    return found


GROUPS = options()
KEYS = settings_of(read(ROOT / "conf" / "config.yaml"))
ODD = [
    *("null", "-1", "0", "1", "2", "7", "100", "1_00", "1e3", "0.5", "-0.0", "1e-30", "1e23", "1e30", "1e300", "1e400"),
    *("1e-320", ".nan", "nan", "inf", "-inf", "true", "off", "", "''", "abc", "[]", "{}", "[1,2]", "{a:1}", "[{}]"),
    *("99999999999999999999", "${seed}", "${nowhere}", "${oc.env:NOWHERE}", "???", "'1'", "[[0,1],[0,1]]", "[0,1]"),
    *("[[-1,1],[0,2]]", "[1,0]", "ü", "'ü'", "'$(touch owned)'", "[0.9,0.99]", "sin", "a,b", "[1", "{", "${", "'"),
    *("1,2", "range(3)", "glob(*)", "=", "@x", "../config", "a/b", "os.system", "runge.targets.Runge"),
]
LARGE = "1000000"  # not for sizes, which may then be allowed and take long
SIZES = ("data.", "model.", "trainer.max_steps", "optimizer.history_size")
EXPRESSIONS = [
    *("x", "1/(1+25*x**2)", "exp(-x)*sin(8*x)", "x*y", "abs(x)", "1/x", "x**x", "sqrt(x)", "x**0.5", "3", "tan(2*x)"),
    *("log(2+x)", "x1+x2", "e**x", "pi*x", "x**-1", "((x))", "sin(x", "x;x", "lambda:x", "erf(x)", "x**99", "acos(x)"),
]
USUAL = {
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
    "hydra.run.dir": ["run", "."],
}
SMALL = {"data.n_train": "8", "data.n_val": "4", "data.n_test": "9", "trainer.max_steps": "3", "model.width": "4"}
SMALL |= {"trainer.progress_bar": "false", "trainer.compile": "off"}


@st.composite
def commands(draw):
    """Draw a command, most of it valid: some options of groups, and a few keys, sometimes with an odd value."""

    def now_and_then(times):
        return draw(st.integers(1, times)) == times

    chosen, keys = {}, dict(KEYS)
    for group in draw(st.sets(st.sampled_from(sorted(GROUPS)))):
        chosen[group] = draw(st.sampled_from(ODD if now_and_then(30) else sorted(GROUPS[group])))
        keys |= GROUPS[group].get(chosen[group], {})
    sweep, values = now_and_then(12), {}
    for key in draw(st.lists(st.sampled_from(sorted(keys)), max_size=6, unique=True)):
        odd = [*ODD, *([] if key.startswith(SIZES) else [LARGE])]
        value = st.sampled_from(odd if now_and_then(6) else USUAL.get(key, [keys[key]]))
        values[key] = ",".join(draw(st.lists(value, min_size=1, max_size=2))) if sweep else draw(value)
    overrides = [f"{key}={value}" for key, value in (chosen | SMALL | values).items()]
    for _ in range(draw(st.integers(0, 20)) // 20):
        prefix, other = (
            draw(st.sampled_from(["+", "++", "~", ""])),
            draw(st.sampled_from(sorted({*KEYS, "nonsense", ""}))),
        )
        overrides.append(f"{prefix}{other}{draw(st.sampled_from(['', '=1', '.extra=1', '@model=1', '@x=null']))}")
    return [*(["-m", "hydra.launcher.processes=1", "hydra.sweeper.compare=false"] if sweep else []), *overrides]


@pytest.mark.parametrize("part", range(4))  # so that several processes share the work
def test_trains_or_says_why_not(part, train, tmp_path, pytestconfig):
    numbers = itertools.count()

    @seed(f"{pytestconfig.getoption('--hypothesis-seed')} {part}")
    @settings(max_examples=-(-pytestconfig.getoption("commands") // 4), deadline=None, database=None)
    @given(commands())
    def check(overrides):
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        os.chdir(folder)
        status, out, err = train(*overrides)
        assert "Traceback" not in out + err
        assert "Warning" not in out + err
        states = [json.loads(path.read_text())["status"] for path in folder.rglob("status.json")]
        if status == 0:
            assert states
            assert set(states) == {"finished"}
            for path in folder.rglob("status.json"):
                assert {"metrics.json", "history.csv", "fit.csv", "fit.png", "curves.png"} <= set(
                    os.listdir(path.parent)
                )
                assert (path.parent / "checkpoints" / "best.ckpt").exists()
        else:
            assert err.count("error: ") == 1
            assert "diverged" in states or not list(folder.rglob("*"))
            assert set(states) <= {"finished", "diverged"}
        assert not (folder / "owned").exists()

    check()
