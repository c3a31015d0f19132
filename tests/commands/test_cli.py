"""Any command trains, prints its help, or is refused in one message, without a traceback or a half-made run.

Commands are drawn from all groups and keys of `conf/`, which are found by reading it.
`pytest tests/commands/test_cli.py --commands 5000` draws as many; `--hypothesis-seed 7` draws others.
"""

import itertools
import json
import os
import re
import subprocess
import sys
from functools import cache, partial
from itertools import product
from pathlib import Path
from random import Random

import pytest
import yaml
from hypothesis import given, seed, settings
from hypothesis import strategies as st

import runge
from runge.commands.cli import main
from runge.commands.options import as_overrides
from runge.configuration import command_line
from runge.training.member import Member
from runge.training.settings import Settings
from tests.commands.conftest import ONE, SHORT, SWEEP
from tests.compositions import draw_keys
from tests.conftest import ROOT, compose
from tests.refusals import check_refusal


def settings_of(section, prefix=""):
    """Return the sections and keys of a part of the configuration, with their values as typed."""
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


@cache
def usual_values(*options):
    """Return functions that draw a value of a key that is likely to be allowed, by its type."""
    return draw_keys(Member(Settings.of(compose(*options))))


TABLE = Path(__file__).with_name("table.csv")
GROUPS = {}
for path in sorted((ROOT / "conf").glob("*/*.yaml")):
    content = read(path) if path.read_text().startswith("# @package _global_") else {path.parent.name: read(path)}
    GROUPS.setdefault(path.parent.name, {})[path.stem] = settings_of(content)
KEYS = {key: value for key, value in settings_of(read(ROOT / "conf/config.yaml")).items() if "hydra.help" not in key}
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
UNTYPED = {
    "target.expr": EXPRESSIONS,
    "target.domain": ["[-1,1]", "[0,3]", "[[-1,1],[0,2]]", "[0.5,0.6]"],
    "trainer.compile": ["off", "auto"],  # without "on", which may compile for seconds
    "hydra.run.dir": ["run", "."],
    "data.file": [str(TABLE), "nowhere.csv", "a.txt"],
    "data.inputs": ["null", "[a]", "[a,b]", "[nothing]"],
    "data.outputs": ["null", "[y]", "[a]"],
    "data.derivatives": ["null", "{}", "{y:{a:dy_da}}", "{y:{a:b}}"],
    "data.split": ["{train:0.5,val:0.2,test:0.3}", "{train:1}", "{train:0.9,val:0.2,test:0.1}"],
    "data.split_column": ["null", "a", "nothing"],
    "data.group": ["null", "b", "nothing"],
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
    sweep, values, chance = now_and_then(12), {}, draw(st.randoms())
    small = SMALL
    if chosen.get("data") == "table":
        small = {key: value for key, value in SMALL.items() if not key.startswith("data.")} | {"data.file": str(TABLE)}
    files = [f"data.file={TABLE}"] if chosen.get("data") == "table" else []
    usual_keys = usual_values() | {
        key: drawn
        for group in sorted(chosen.keys() - {"experiment", "logger", "search"})
        if chosen[group] in GROUPS[group]
        for key, drawn in usual_values(f"{group}={chosen[group]}", *(files if group == "data" else [])).items()
    }
    usual_keys |= {key: partial(Random.choice, seq=texts) for key, texts in UNTYPED.items()}
    for key in draw(st.lists(st.sampled_from(sorted(keys)), max_size=6, unique=True)):
        odd = [*ODD, *([] if key.startswith(SIZES) else [LARGE])]
        usual = usual_keys.get(key, lambda _, key=key: keys[key])
        count = draw(st.integers(1, 2)) if sweep else 1
        drawn = [draw(st.sampled_from(odd)) if now_and_then(6) else usual(chance) for _ in range(count)]
        values[key] = ",".join(drawn)
    overrides = [f"{key}={value}" for key, value in (chosen | small | values).items()]
    for _ in range(draw(st.integers(0, 20)) // 20):
        parts = ["+", "++", "~", ""], sorted({*KEYS, "nonsense", ""}), ["", "=1", ".extra=1", "@model=1", "@x=null"]
        overrides.append("".join(draw(st.sampled_from(part)) for part in parts))
    return [*(["-m", "hydra.launcher.processes=1", "search.compare=false"] if sweep else []), *overrides]


def test_trains_or_says_why_not(train, tmp_path, monkeypatch, pytestconfig):
    numbers = itertools.count()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")  # one store for all
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))

    @seed(pytestconfig.getoption("--hypothesis-seed") or 0)
    @settings(max_examples=pytestconfig.getoption("commands"), deadline=None, database=None)
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
            assert set(states) == {"finished"}
            for path in folder.rglob("status.json"):
                whole = ("metrics.json", "history.csv", "fit.csv", "checkpoints/best.ckpt")
                assert all((path.parent / name).exists() for name in whole)
        else:
            assert err.count("error: ") == 1
            assert "diverged" in states or not list(folder.rglob("*"))
            assert set(states) <= {"finished", "diverged"}
        assert not (folder / "owned").exists()

    check()


SCRIPTS = {
    "/usr/bin/runge": ("runge", "runge train"),
    "/usr/lib/python3/site-packages/runge/__main__.py": ("python -m runge", "python -m runge train"),
    "train.py": ("runge", "python train.py"),
}
VERBS = ["fit", "train", "sweep", "check", "predict", "suggest", "export", "draw", "compare"]
only = partial(pytest.mark.parametrize, "script", indirect=True)


@pytest.fixture(params=SCRIPTS)
def script(request, monkeypatch):
    """Let the command be called by this name; return the command before a verb, and the one that trains."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "argv", [request.param])
    return SCRIPTS[request.param]


@pytest.fixture
def printed(script, in_folder, capsys):
    """Return the output and the exit status of a command in an empty folder."""

    def run(*arguments):
        default = {"default": "train"} if sys.argv[0] == "train.py" else {}
        sys.argv[1:] = arguments
        status = 0
        try:
            main(**default)
        except SystemExit as end:
            status = end.code or 0
        return "".join(capsys.readouterr()), status

    return run


@pytest.mark.parametrize(
    ("script", "verb"),
    [
        *zip(
            [*SCRIPTS] * 2,
            ["check", "compare", "draw", "suggest", f"predict {TABLE}", "export --to numpy"],
            strict=True,
        )
    ],
    indirect=["script"],
)
def test_verbs(verb, script, printed):
    verb, *arguments = verb.split()
    text, status = printed(verb, "--help")
    assert (text.startswith(f"usage: {script[0]} {verb} [-h] "), status) == (True, 0)
    text, status = printed(verb, "nowhere", *arguments)
    assert (text.startswith("error: "), "nowhere" in text, text.count("\n"), status) == (True, True, 1, 2)


def test_fit_explains_itself_and_messages_advise_the_command_that_was_typed(script, printed):
    program, trains = script
    for arguments in (("--help",), ("a.csv", "-h")):
        text, status = printed("fit", *arguments)
        assert text.startswith(f"usage: {program} fit FILE")
        assert f"short for {trains} -m search=best data=table data.file=FILE. " in " ".join(text.split())
        assert f"\nexample:\n\n  $ {program} fit examples/wing.csv --out DIR\n" in text
        assert status == 0
    for arguments in ((), ("seed=1", "a.csv")):
        text, status = printed("fit", *arguments)
        check_refusal(text, "FILE", " ".join(arguments) or "nothing", "target=NAME")
        assert status == 2
    text, status = printed("fit", "a.csv", *ONE)
    check_refusal(text[text.index("error: ") :], "data.file", "'a.csv'")
    assert status == 2
    text, status = printed("train", "search=best")
    assert status == 2
    assert f"search: needs -m: {trains} -m search=best" in text


@only(["/usr/bin/runge"])
def test_commands_end_quietly_if_what_reads_their_output_has_ended(script, run, monkeypatch, capfd):
    # An error is raised where a line is printed, or, if it is kept in a buffer, where the command ends.
    Path("x.csv").write_text("x\n0.5\n")
    whole = ["compare", "run", "--csv", "-"], ["draw", "run"], ["export", "run", "--to", "numpy", "--force"]
    whole += ["check", str(TABLE)], ["predict", "run", "x.csv", "--force"]
    helps = [[verb, "-h"] for verb in ("suggest", "predict", "fit", "train")]
    either = [["--version"], [], ["train", "model.width=2", "trainer.max_steps=1", "pictures=false"]]
    for arguments, buffering in [*product([*whole, *helps, *either], [1]), *product([helps[0], *either], [-1])]:
        read, written = os.pipe()
        os.close(read)
        with open(written, "w", buffering=buffering) as output, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", output)
            sys.argv[1:] = arguments
            with pytest.raises(SystemExit) as end:
                main()
        assert (end.value.code, capfd.readouterr().err) == (1, ""), arguments


@only(["/usr/bin/runge"])
@pytest.mark.parametrize(
    ("typed", "overrides"),
    [
        (
            "fit t.csv --timeout 20 --out D --group b seed=1",
            "-m data.group='b' hydra.sweep.dir='D' search.timeout=20.0 search=best data=table data.file=t.csv seed=1",
        ),
        (
            "fit --out=D target=runge --timeout 1e-3",
            "-m search.timeout=0.001 hydra.sweep.dir='D' search=best target=runge",
        ),
        ("fit target=runge --config-dir c", "-m search=best target=runge --config-dir c"),
        ("sweep seed=0,1 --out D model.width=3", "-m hydra.sweep.dir='D' seed=0,1 model.width=3"),
        ("train seed=0,1 -m --out D", "hydra.sweep.dir='D' seed=0,1 -m"),
        ("train --cfg job --out D ~logger", "--cfg job hydra.run.dir='D' ~logger"),
        ("train --cfg job --out D", "--cfg job hydra.run.dir='D'"),
        ("train --out D hydra.run.dir='D'", "hydra.run.dir='D' hydra.run.dir='D'"),
        ("train -m seed=1 hydra.sweep.dir=D --out D", "-m hydra.sweep.dir='D' seed=1 hydra.sweep.dir=D"),
    ],
)
def test_the_options_of_a_verb_are_overrides(typed, overrides, script, in_folder):
    verb, *arguments = typed.split()
    assert " ".join(as_overrides(verb, arguments)[0]) == overrides


@only(["/usr/bin/runge"])
@pytest.mark.parametrize(
    ("typed", "key", "given", "rule"),
    [
        (
            "fit t.csv --timeut 9",
            "--timeut",
            "",
            "no such option, and a setting is given as KEY=VALUE; did you mean --timeout",
        ),
        ("train --seed 3 --cfg=job", "--seed", "", "there is no such option, and a setting is given as KEY=VALUE"),
        ("fit t.csv --timeout 0", "--timeout", "0", "greater than or equal to"),
        ("fit t.csv --timeout 9 search.timeout=8", "--timeout", "9", "not be given together with search.timeout=8"),
        ("fit t.csv --group b +data.group=a", "--group", "b", "not be given together with +data.group=a"),
        ("fit t.csv --group c", "--group", "'c'", "must be among its columns, a, b"),
        ("fit t.csv --out .", "--out", "'.'", "must be a new or an empty directory, or the directory of the sweep"),
        ("train --out mine", "--out", "'mine', which holds metrics.json", "resume=DIR"),
        ("sweep --out D hydra.sweep.dir=E", "--out", "D", "not be given together with hydra.sweep.dir=E"),
        ("train --out t.csv/D", "--out", "t.csv", "must be a directory that can be written to"),
    ],
)
def test_an_option_that_is_not_allowed_is_named_as_it_was_typed(typed, key, given, rule, script, printed):
    Path("t.csv").write_text(TABLE.read_text())
    Path("mine").mkdir()
    Path("mine/metrics.json").write_text("mine")
    text, status = printed(*typed.split())
    check_refusal(text[text.index("error: ") :], key, given, rule)
    assert status == 2
    assert sorted(str(path) for path in Path().rglob("*")) == ["mine", "mine/metrics.json", "t.csv"]


def test_a_sweep_trains_into_its_directory_and_resumes_there(train, tmp_path):
    for words in (["--out", "D"], ["hydra.sweep.dir=D"], ["--out", "D"]):
        status, out, err = train("sweep", "seed=0,1", *SWEEP, *words)
        assert status == 0, out + err
    assert {path.name for path in tmp_path.iterdir()} == {"D"}
    assert len(list(tmp_path.rglob("metrics.json"))) == 2
    status, _, err = train("train", *SHORT, "--out", "D")
    check_refusal(err, "--out", "'D'", "new or an empty directory")
    assert status == 2


def test_words_that_do_not_train(printed):
    rule = f"error: the first word must be one of {', '.join(VERBS)}; got 'predit'"
    assert printed("predit", "run", "new.csv") == (f"{rule}; did you mean predict?\n", 2)
    assert printed("--version") == (f"runge {runge.__version__}\n", 0)


@only([*SCRIPTS][:2])
@pytest.mark.parametrize(
    ("arguments", "question"),
    [
        (["seed=1", "target.expr=sin(x)"], "; did you mean: {} train seed=1 'target.expr=sin(x)'"),
        (["-m", "seed=1,2"], "; did you mean: {} train -m seed=1,2"),
        ([str(TABLE), "search.timeout=9"], f"; did you mean: {{}} fit {TABLE} search.timeout=9"),
        (["nowhere.csv"], ""),
        (["--help", "fit"], "; did you mean: {} train --help fit"),
    ],
)
def test_a_command_without_a_verb_trains_nothing(arguments, question, script, printed):
    text, status = printed(*arguments)
    assert status == 2
    assert text.endswith(f"got {arguments[0]!r}{question.format(script[0])}\n")


@only([*SCRIPTS][:2])
def test_the_command_alone_lists_the_verbs(script, printed):
    for arguments in ([], ["--help"], ["-h"]):
        text, status = printed(*arguments)
        assert status == 0
        assert text.startswith(f"usage: {script[0]} VERB ...\n\n{runge.__doc__}\n\n  fit      find ")
        assert re.findall(r"^  ([a-z]+) ", text, re.MULTILINE) == VERBS
        assert f"\n\n{script[0]} VERB --help shows the options of a verb, {script[0]} --version the version.\n" in text
        assert f"\n\nexample:\n\n  $ {script[0]} check examples/wing.csv\n" in text


@only(["/usr/bin/runge"])
def test_the_example_in_the_help_of_check_is_what_it_prints(script, printed, monkeypatch):
    monkeypatch.chdir(ROOT)
    text, _ = printed("check", "--help")
    command, shown = re.search(r"\$ runge (check .*)\n((?:.*\n)*)  \.\.\.", text).groups()
    assert " ".join(shown.split()) in " ".join(printed(*command.split())[0].split())


def test_train_py_trains_without_arguments_and_with_the_verb(train, monkeypatch):
    status, _, err = train("train", "model.width=0")
    assert (status, "model.width: should be greater than or equal to 1, got 0" in err) == (2, True)
    monkeypatch.setattr("runge.commands.cli.train_composed", lambda configuration, *_: configuration.model.width)
    assert train()[0] == 0
    assert len(list(Path("outputs").rglob("train.log"))) == 1


def test_python_m_runge(tmp_path):
    words = [sys.executable, "-m", "runge", "trainer.max_steps=1"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith("; did you mean: python -m runge train trainer.max_steps=1\n")
    assert not list(tmp_path.iterdir())


@only(["train.py"])
def test_the_help_of_train_has_all_groups_and_keys_and_the_flags_of_hydra_stay(script, printed):
    text, status = printed("train", "--help")
    assert (text, status) == (printed("sweep", "--help")[0], 0)
    assert text.startswith(f"{runge.__doc__}\n\n  runge train [KEY=VALUE ...] [--out DIR]  ")
    assert "is powered by Hydra" not in text
    assert all(f"\n{group}: " in text for group in GROUPS if group != "claims")
    assert all(f"{key.rpartition('.')[2]}:" in text for key in KEYS if not key.startswith("hydra"))
    assert "--hydra-help" in text
    for flags in (["--hydra-help"], ["--cfg", "job"], ["--info", "defaults"]):
        text, status = printed("train", *flags)
        assert status == 0
        assert not text.startswith(str(runge.__doc__))


def test_the_name_of_the_command(monkeypatch):
    for script, trains, fits in [
        ("../my code/train.py", "python '../my code/train.py'", "runge fit"),
        ("/lib/runge/__main__.py", "python -m runge train", "python -m runge fit"),
        *[(other, "runge train", "runge fit") for other in ("C:/bin/runge", "/lib/pytest/__main__.py", "")],
    ]:
        monkeypatch.setattr(sys, "argv", [script])
        assert (command_line.command(), command_line.command("fit")) == (trains, fits)
