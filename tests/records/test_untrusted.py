"""Files and formulas from other people: none runs code, misleads a terminal, or ends in a traceback."""

import csv
import json
import os
import pickle
import random
import shutil
import zipfile

import pytest
import torch

import runge
from runge.compare import __main__ as compare
from runge.configuration import build, unimported
from runge.errors import ConfigurationError
from runge.launch.compose import compose
from runge.records.directories import RunDirectory, State
from runge.records.files import printable
from runge.targets import Expression
from runge.training.member import Member
from runge.training.stack import Stack
from tests.launch.test_run import SHORT, figures

TRICKS = [
    "__import__('os').system('touch owned')",
    "().__class__.__bases__[0].__subclasses__()",
    "x.__class__.__mro__[1].__subclasses__()",
    "eval('1')",
    "exec('import os')",
    "open('owned','w')",
    "compile('1','','eval')",
    "globals()",
    "getattr(x,'__class__')",
    "(lambda: 1)()",
    "[c for c in ().__class__.__base__.__subclasses__()]",
    "{**{}}",
    "f'{x.__class__}'",
    "x if __import__('os') else x",
    "(y:=__import__('os'))",
    "sin.__globals__",
    "sin(x).func.__globals__['__builtins__']",
    "sin(*[x])",
    "sin(x, evaluate=__import__('os'))",
    "x[__import__('os')]",
    "x and __import__('os').system('touch owned')",
    "x or eval('1')",
    "not x",
    "x == x",
    "x @ x",
    "x % 2",
    "x << 2",
    "'touch owned'",
    "b'x'",
    "...",
    "1j*x",
    "True",
    "await x",
    "yield x",
    "import os",
    "x; import os",
    "x\nimport os",
    "breakpoint()",
    "print(x)",
    "S('__import__(\"os\")')",
    "sympify('1')",
    "Symbol('x')",
    "lambdify(x, x)",
    "x.subs(x, 1)",
    "os.system('touch owned')",
    "\\x5f\\x5fimport__('os')",
    "\U0001d5be\U0001d5cf\U0001d5ba\U0001d5c5('1')",
    "9**9**9**9**9",
    "exp(exp(exp(exp(9))))",
    "x*exp(exp(9**5))",
    "asin(2)*x",
    "(1/0)**2",
    "2**(1/0)",
    "log(0)**2",
    "(" * 300 + "x" + ")" * 300,
    "x+" * 499 + "x",
    "-" * 900 + "x",
    "sin(" * 160 + "x" + ")" * 160,
    "1e999*x",
    "x**1e999",
    "x\0",
    "#",
    "\ud800",
]


def outcome(call):
    """Return the result, or the error message."""
    try:
        return call(), ""
    except ConfigurationError as error:
        return None, str(error)


@pytest.mark.parametrize("trick", TRICKS, ids=range(len(TRICKS)))
def test_formula_runs_no_code(trick, tmp_path, monkeypatch):
    """It is rejected, or it is a function of x."""
    monkeypatch.chdir(tmp_path)
    section = {"_target_": "runge.targets.Expression", "expr": trick, "domain": [-1.0, 1.0]}
    target, message = outcome(lambda: build("target", section, Expression))
    if target is None:
        assert message.startswith("target.expr: ")
    else:
        assert target.value(torch.zeros(3, 1, dtype=torch.float64)).shape == (3,)
    assert not list(tmp_path.iterdir())


class Evil:
    """An object whose pickle touches a file when loaded."""

    def __reduce__(self):
        return os.system, ("touch owned",)


def as_zip(path, content):
    """Replace the pickle in a checkpoint."""
    original = zipfile.ZipFile(path)
    with zipfile.ZipFile(path.with_suffix(".new"), "w") as archive:
        for name in original.namelist():
            archive.writestr(name, content if name.endswith("data.pkl") else original.read(name))
    path.with_suffix(".new").replace(path)


def reduce_to(what):
    class Reduced:
        def __reduce__(self):
            return what

    return pickle.dumps(Reduced(), protocol=2)


PICKLES = {
    "plain": lambda path: path.write_bytes(pickle.dumps(Evil())),
    "plain, of protocol 0": lambda path: path.write_bytes(pickle.dumps(Evil(), protocol=0)),
    "torch": lambda path: torch.save({"state_dict": Evil(), "configuration": {}}, path),
    "torch, of the old format": lambda path: torch.save(Evil(), path, _use_new_zipfile_serialization=False),
    "os.system": lambda path: as_zip(path, pickle.dumps(Evil(), protocol=2)),
    "eval": lambda path: as_zip(path, reduce_to((eval, ("__import__('os').system('touch owned')",)))),
    "exec": lambda path: as_zip(path, reduce_to((exec, ("open('owned', 'w')",)))),
    "open": lambda path: as_zip(path, reduce_to((open, ("owned", "w")))),
    "torch.load": lambda path: as_zip(path, reduce_to((torch.load, ("evil.pt",)))),
    "another object": lambda path: torch.save([1, 2], path),
    "empty sections": lambda path: torch.save({"state_dict": {}, "configuration": {}, "stack": {}}, path),
    "a section that is a number": lambda path: torch.save(
        {"state_dict": {"step": 1}, "configuration": {"model": 3}, "stack": 3}, path
    ),
    "another network": lambda path: torch.save(
        {"state_dict": {"network.amplitude": torch.ones(1, 1)}, "configuration": {"model": {"depth": 9}}}, path
    ),
    "a text": lambda path: path.write_text("a text"),
    "an empty file": lambda path: path.write_bytes(b""),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run; take a copy."""
    plain = compose(*SHORT, "trainer.progress_bar=false")
    path = tmp_path_factory.mktemp("untrusted") / "run"
    path.mkdir()
    RunDirectory(path).begin(plain, SHORT)
    Stack([Member(plain, SHORT)]).fit([RunDirectory(path)], report=lambda _: None)
    assert RunDirectory(path).read_state() == State(**json.loads((path / "status.json").read_text()))
    return path


@pytest.fixture
def copy(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return RunDirectory(shutil.copytree(finished, tmp_path / "run"))


@pytest.mark.parametrize("name", PICKLES)
def test_fake_checkpoint(name, copy, train, tmp_path):
    PICKLES[name](copy.best)
    with pytest.raises(ConfigurationError if copy.best.is_file() else FileNotFoundError, match=r"best\.ckpt"):
        runge.load(copy.path)
    copy.metrics.unlink()
    PICKLES[name](copy.last)
    status, out, err = train("resume=run")
    assert status == 1
    assert err.count("error: ") == 1
    assert "last.ckpt" in err
    assert "Traceback" not in out + err
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("trial", range(12))
def test_bit_flips(trial, copy, train, tmp_path, capfd):
    """Flip a bit of a file: it is reported, or makes no difference."""
    chance = random.Random(trial)
    path = chance.choice([copy.best, copy.last, copy.metrics, copy.history, copy.fit])
    content = bytearray(path.read_bytes())
    place = chance.randrange(len(content))
    content[place] ^= 1 << chance.randrange(8)
    expected = runge.load(copy.path).state_dict()
    before = figures(copy.path)
    if chance.random() < 0.25:
        content = content[: chance.randrange(len(content))]
    path.write_bytes(content)
    if path == copy.best:
        u, message = outcome(lambda: runge.load(copy.path))
        assert (
            "best.ckpt" in message if u is None else all(torch.equal(x, expected[k]) for k, x in u.state_dict().items())
        )
    elif path == copy.last:
        copy.metrics.unlink()
        status, out, err = train("resume=run")
        assert "Traceback" not in out + err
        assert (status == 0 and figures(copy.path) == before) or "last.ckpt" in err
    elif path == copy.metrics:
        compare.main([str(copy.path), "--out", "out"])
        assert "metrics.json is damaged" in " ".join(capfd.readouterr().out.split())
    else:
        with pytest.raises(ConfigurationError, match=rf"{path.name} is damaged"):
            runge.history(copy.path) if path == copy.history else copy.verify(path)
        compare.main([str(copy.path), "--out", "out"])
        assert f"{path.name} is damaged" in (tmp_path / "out" / "comparison.html").read_text()


def rewrite(copy, **sections):
    """Change sections of the configuration in the run's files."""
    checkpoint = torch.load(copy.best, weights_only=True)
    checkpoint["configuration"] |= sections
    torch.save(checkpoint, copy.best)
    copy.configuration.write_text(json.dumps(json.loads(copy.configuration.read_text()) | sections))


STRANGERS = {
    "a module on the path": {"target": {"_target_": "evil.Evil"}},
    "a part of an optimiser": {
        "optimizer": {
            "_target_": "runge.optimizers.TorchOptimizer",
            "kind": {"_target_": "subprocess.Popen", "args": ["touch", "owned"]},
        }
    },
    "a key that is not a parameter": {
        "target": {
            "_target_": "runge.targets.Runge",
            "domain": [-1.0, 1.0],
            "evil": {"_target_": "subprocess.Popen", "args": ["touch", "owned"]},
        }
    },
    "a parameter that takes no object": {
        "target": {
            "_target_": "runge.targets.Runge",
            "domain": {"_target_": "subprocess.Popen", "args": ["touch", "owned"]},
        }
    },
    "a function": {"target": {"_target_": "os.system", "command": "touch owned"}},
    "a class through a module of ours": {"target": {"_target_": "runge.machine.ctypes.CDLL", "name": "evil.so"}},
    "an expression": {
        "target": {"_target_": "runge.targets.Expression", "expr": TRICKS[0], "domain": [-1.0, 1.0]},
    },
}


@pytest.mark.parametrize("name", STRANGERS)
def test_configuration_of_a_file_imports_nothing(name, copy, train, tmp_path, monkeypatch, capfd):
    (tmp_path / "evil.py").write_text("open('owned', 'w')\nclass Evil: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    rewrite(copy, **STRANGERS[name])
    compare.main([str(copy.path), "--out", "out"])
    copy.metrics.unlink()
    status, out, err = train("resume=run")
    assert status == 1
    assert err.count("error: ") == 1
    assert "Traceback" not in out + err
    assert not (tmp_path / "owned").exists()


def test_unimported_are_those_of_modules_that_are_not_loaded():
    assert unimported({"target": {"_target_": "my_target.Mine", "domain": [-1.0, 1.0]}}) == ["my_target.Mine"]
    assert unimported([{"_target_": "runge.targets.Expression"}]) == []
    assert unimported({"model": {"activation": "my_part.WAVE", "depth": 2}}) == ["my_part.WAVE"]
    assert unimported({"model": {"activation": "tanh"}}) == []


def test_an_activation_in_a_file_is_not_imported(copy, train, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("open('owned', 'w')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    model = copy.read_configuration()[0]["model"]
    rewrite(copy, model={**model, "activation": "evil.EVIL"})
    with pytest.raises(ConfigurationError, match=r"evil\.EVIL, which is not imported .* import evil before"):
        runge.load(copy.path)
    copy.metrics.unlink()
    status, _, err = train("resume=run")
    assert status == 1
    assert "evil.EVIL" in err
    assert not (tmp_path / "owned").exists()


def test_hostile_fit(copy, tmp_path):
    """Draw huge numbers as they are, and nothing if the table is not a fit."""
    copy.status.write_text(json.dumps(json.loads(copy.status.read_text()) | {"checksums": {}}))
    for text, drawn in (
        ("x,f,df,u,du\n0,1e300,-1e300,1e999,nan\n" * 2, False),  # the second header is not a row of numbers
        ("x,f,df,u,du\n0,1e300,-1e300,1e999,nan\n", True),
        ("x1,x2,f,df_dx1,df_dx2,u,du_dx1,du_dx2\n0,0,0,1e999,0,0,0,nan\n", True),
        ("x1,x2,f,u,du_dx1\n0,0,0,0,0\n", False),
        ("x,f,df,u\n0,0,0,0\n", False),
        ("x,f,df,u,du\n0,0\n", False),
        ("x,f,df,u,du\n" + "0,0,0,0,0\n" * 100_000, True),
    ):
        copy.fit.write_text(text)
        compare.main([str(copy.path), "--out", "out"])
        page = (tmp_path / "out" / "comparison.html").read_text()
        assert ('"error_f"' in page.partition('id="data">')[2].partition("</script>")[0]) == drawn
        assert len(page) < 7_000_000


@pytest.mark.parametrize("content", ["{", "[1]", "3", '{"seed": "${oc.env:HOME}"}', '{"trainer": 3, "data": []}', ""])
@pytest.mark.parametrize("begun", [True, False])
def test_configuration_that_is_none(begun, content, copy, train, capfd):
    copy.metrics.unlink()
    if not begun:
        shutil.rmtree(copy.last.parent)
    copy.configuration.write_text(content)
    status, out, err = train("resume=run")
    assert status == 1
    assert err.count("error: ") == 1
    assert "Traceback" not in out + err
    compare.main([str(copy.path), "--out", "out"])
    assert "Traceback" not in "".join(capfd.readouterr())


NAMES = ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b31m", "a\rb", "\u202eevil", "=1+1", "@SUM(A1)", "+1", "-1+1"]
NAMES += ['=cmd|"/C calc"!A0', "<script>alert(1)</script>", "</script><script>alert(1)</script>", "[bold]x[/bold]"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_data(name, copy, tmp_path, capfd):
    """Check the terminal, the CSV file and the page."""
    copy.configuration.write_text(json.dumps({"overrides": [name], "seed": 0}))
    state = json.loads(copy.status.read_text())
    copy.metrics.unlink()
    copy.status.write_text(json.dumps({**state, "status": "failed", "message": name}))
    shutil.copytree(copy.path, tmp_path / "run2")
    (tmp_path / "run2" / "run.json").write_text(json.dumps({name: name}))
    compare.main([str(tmp_path), "--out", "out"])
    out = capfd.readouterr().out
    assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e"} & set(out)
    with (tmp_path / "out" / "comparison.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    cells = [cell for row in rows for cell in row]
    assert printable(name) in {cell.removeprefix("'") for cell in cells}
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "-")) and not is_number(cell)]
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "<script>alert" not in page


def test_files_that_would_stop_a_comparison(finished, tmp_path, capfd):
    """Compare a huge number, a setting named like a figure, a deep nest, and odd directory names."""
    runs = [RunDirectory(shutil.copytree(finished, tmp_path / name)) for name in ("a", "b", "c", "\u00b2", "9")]
    metrics = json.loads(runs[0].metrics.read_text()) | {"test/mse_f": 10**400}
    runs[0].metrics.write_text(json.dumps(metrics))
    state = json.loads(runs[0].status.read_text())
    runs[0].status.write_text(json.dumps({**state, "checksums": {}}))
    odd = json.loads(runs[1].configuration.read_text()) | {"test/mse_df": "abc", "status": "odd"}
    runs[1].configuration.write_text(json.dumps(odd))
    runs[2].configuration.write_text('{"a": ' * 10**5 + "1" + "}" * 10**5)
    compare.main([str(tmp_path), "--out", str(tmp_path / "out")])
    assert "unreadable" in capfd.readouterr().out
    with (tmp_path / "out" / "comparison.csv").open(newline="") as file:
        statuses = {row["run"].rpartition("/")[2]: row["status"] for row in csv.DictReader(file)}
    assert statuses == {"a": "unreadable", "b": "finished", "c": "unreadable", "\u00b2": "finished", "9": "finished"}


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
