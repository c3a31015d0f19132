"""The examples of the documentation run, and the links of the pages that are read outside of it lead somewhere."""

import importlib
import operator
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hydra.types import RunMode
from numpy.testing import assert_allclose

import runge
from runge.commands import compare as compare
from runge.commands.options import as_overrides
from runge.composing.command import SweepCommand
from runge.composing.composition import Composer
from runge.composing.overrides import check_overrides, quoted
from runge.composing.session import session
from runge.configuration.objects import build
from runge.data.rows import read
from runge.data.table import Table
from runge.function.sensitivity import measure
from runge.search.search import Search
from tests.commands.conftest import ONE
from tests.conftest import ROOT, command

DATA, PAGE = ((ROOT / f"docs/howto/{name}.md").read_text() for name in ("data", "extend"))
WING = ["v [m/s]", "alpha [deg]", "Mach", "Re [1/m]", "twist_tip [deg]", "twist_mid [deg]", "twist_root [deg]"]
SHORT = ("trainer.max_steps=4", "model.width=8", "trainer.progress_bar=false", "pictures=false")

pytestmark = pytest.mark.usefixtures("in_folder")


def blocks(page):
    """The code in Python of a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The shipped table, those that the page on data makes of it, and the files of the page on extensions."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copy(ROOT / "examples/wing.csv", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec("\n".join(block for block in blocks("howto/data.md") if "import runge" not in block), {})
    own = re.search(r"```yaml\n(# @package.*?)```", PAGE, re.DOTALL)[1]
    texts = dict(re.findall(r"```\w+\n# (mine/\S+)\n(.*?)```", PAGE, re.DOTALL)) | {"mine/experiment/own.yaml": own}
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def tables(folder, monkeypatch):
    """Be where these files are."""
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("line", re.findall(r"^PYTHONPATH=mine python train.py (.*)$", PAGE, re.MULTILINE))
def test_extensions_of_ones_own_run(line, one_core, folder, monkeypatch):
    monkeypatch.syspath_prepend(folder / "mine")
    options = shlex.split(line.replace("mine/conf", str(folder / "mine/conf")))
    assert command(*options, *SHORT, *(["search.compare=false"] if "-m" in options else []))[0] == 0


@pytest.mark.filterwarnings("ignore:The number of training batches")  # Lightning's advice, where a logger is on
def test_a_trainer_of_ones_own(tmp_path, monkeypatch, fresh_seeds):
    code = "\n".join(blocks("howto/lightning.md"))
    for long, short in (("epochs=80", "epochs=2"), ("epochs=10", "epochs=2"), ("=2000", "=130"), ("=250", "=130")):
        code = code.replace(long, short)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    for module in (names["plain"], names["module"]):
        assert int(module.step) == 200
        assert {*module.switched_on.tolist()} == {130}
    assert (int(names["mine"].step), names["mine"].trainer.optimizers[0].param_groups[0]["lr"]) == (100, 0.01)
    assert names["u"](0.5).item() == pytest.approx(1 / (1 + 25 * 0.5**2), abs=0.5)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#:]+)\)", re.sub(r"\s+", " ", (ROOT / page).read_text()))
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_walks_name_what_is_there():
    """Each function or class of the two walks is in the module that they name."""
    text = re.sub(r"\s+", " ", (ROOT / "CONTRIBUTING.md").read_text())
    steps = re.findall(r"`([\w.]+)` \(`([\w/]+)\.py`\)", text)
    assert len({path for _, path in steps}) > 25
    for name, path in steps:
        operator.attrgetter(name)(importlib.import_module(path.replace("/", ".")))


def test_the_generated_parts_are_in_step():
    """`python docs/reference.py` would change no page."""
    pages = runpy.run_path(str(ROOT / "docs/reference.py"))["pages"]()
    made = dict(pages)
    assert {"python.md", "internal.md", "configuration.md", "best.md"} <= {path.name for path in made}
    assert not [path.name for path, text in made.items() if path.read_text(encoding="utf-8") != text]


def test_no_line_begins_as_a_comment():
    """A line that begins with % is one in MyST, and is not on the page."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    assert len(pages) > 20
    assert not [page.name for page in pages if re.search(r"^\s*%", page.read_text(encoding="utf-8"), re.MULTILINE)]


def test_the_page_on_python_runs():
    """All of its code but that of a search with arrays, and that on files of the reader's own."""
    page = blocks("howto/python.md")
    code = re.sub(r'max_steps=\d+"', 'max_steps=4", "pictures=false"', "".join(page[:9]))
    code = code.replace('"trainer.max_steps": 200', '"trainer.max_steps": 4, "hydra.launcher.processes": 1')
    small = '"seed=range(2)", "model.width=8", "hydra.launcher.processes=1", "search.compare=false"'
    brief = *ONE, "data.folds=2", "trainer.max_steps=20", "model.width=8", "search.compare=false"
    code = code.replace('inputs=["a"], timeout=20', f'*{brief}, inputs=["a"], timeout=20')
    exec(re.sub(r'"seed=range\(\d\)"', small, code), names := {})
    assert Path("fit.pdf").exists()
    x = np.random.default_rng(0).random((40, 2))
    a, b = x.T
    names |= {"df": names["pd"].DataFrame({"a": a, "b": b, "drag": a * b, "ddrag_da": b, "ddrag_db": a})}
    names |= {"X": x, "y": a * b, "dydx": x[:, ::-1]}
    code = (page[9] + page[11]).replace("random_state=0", "max_steps=4, random_state=0").replace("n_jobs=4", "cv=2")
    exec(code, names)
    assert names["grid"].best_params_["width"] in (16, 64)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the controller is compiled")
def test_the_page_on_optimisation(tmp_path, monkeypatch):
    """All recipes find the same optimum, which the true reactor confirms, and the compiled controller is CasADi's."""
    for package in ("casadi", "openmdao"):
        pytest.importorskip(package, reason=f"needs the package {package}")
    page, names = (ROOT / "docs/howto/optimise.md").read_text(), {}
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path, str(ROOT / "benchmarks/problems")])
    *recipes, controlled = blocks("howto/optimise.md")
    exec("".join(recipes), names)
    best = names["best"], names["optimum"], names["task"].get_val("x")
    assert_allclose(names["u"](np.array(best))[:, names["Y"]], names["u"](best[1])[names["Y"]], rtol=1e-4)
    y = names["reactor"](np.array(best))
    assert_allclose(y[:, names["HOT"]], 490, atol=0.5)
    assert (y[:, names["Y"]] > 0.796).all()
    compile_it = re.search("^    (gcc .*)$", page, re.MULTILINE)[1].replace("-O2", "-O0")  # which takes less time
    subprocess.run(shlex.split(compile_it), check=True)
    exec(controlled, names)
    assert names["T"] == pytest.approx(505, abs=0.1)
    task = {"x0": 0, "p": [500, 490, *names["feed"]], "lbx": -4, "ubx": 4, "lbg": 470, "ubg": 510}
    moves = [names[one](**task)["x"].full() for one in ("controller", "compiled")]
    assert_allclose(*moves, rtol=0, atol=1e-9)
    assert moves[0][0] == -4


def test_the_python_of_the_readme_runs(capsys):
    """It reads the shipped tables, as in a clone."""
    shutil.copytree(ROOT / "examples", "examples", ignore=shutil.ignore_patterns("*.py", "own"))
    (code,) = blocks("../README.md")
    brief = *ONE, "data.folds=2", "trainer.max_steps=20", "model.width=8", "search.compare=false"
    assert "timeout=20" in code
    exec(code.replace("timeout=20", f"*{brief}, timeout=20"), {})
    printed = capsys.readouterr().out
    assert "dCD_dtwist_root" in printed
    assert "u_CL_high" in printed


def test_the_page_on_columns_of_derivatives_prints_what_it_shows(capsys):
    page, names = (ROOT / "docs/howto/derivatives.md").read_text(), {}
    parts = re.findall(r"```python\n(.*?)```\n\n((?:    [^\n]*\n|\n(?=    ))+)", page, re.DOTALL)
    assert len(parts) == len(blocks("howto/derivatives.md")) == 3
    for code, shown in parts:
        exec(code, names)
        assert capsys.readouterr().out.split() == shown.split()


def test_the_commands_of_the_page_on_difficult_tables_name_what_its_tables_have():
    (code,) = blocks("howto/difficult.md")
    exec(code, {})
    lines = re.findall(r"^    runge fit (.*)$", (ROOT / "docs/howto/difficult.md").read_text(), re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        (_, *overrides), _ = as_overrides("fit", shlex.split(line))
        assert runge.check(line.split()[0], *(one for one in overrides if re.match(r"data\.(inputs|outputs)", one))).ok
        assert "--group" not in line or "data.group='specimen'" in overrides


def test_the_example_of_the_page_on_sobolev_training(capsys):
    """The errors of the polynomials are those of the table."""
    page = (ROOT / "docs/explanation/sobolev.md").read_text()
    exec(blocks("explanation/sobolev.md")[0], {})
    printed = re.findall(r"([\d.]+)%", capsys.readouterr().out)
    shown = re.findall(r"(\S+) %", " ".join(re.findall(r"^\| values .*$", page, re.MULTILINE)))
    assert len(printed) == 4
    assert printed == shown


def test_step_3_of_the_tutorial_compares_its_two_runs(train, capfd):
    """A first run is not in the comparison; the names are those of the page."""
    text = (ROOT / "docs/tutorial.md").read_text()
    step = text[text.index("## 3.") : text.index("## 4.")]
    (*trainings, comparison) = re.findall(r"^    (?:python train.py|runge compare) (.*)$", step, re.MULTILINE)
    for options in ("seed=0", *trainings):
        status, out, err = train(*options.split(), "trainer.max_steps=4", "model.width=8", "pictures=false")
        assert status == 0, out + err
    compare.main(comparison.split())
    shown = capfd.readouterr().out
    header, *rows = (
        re.split(" {2,}", line.strip()) for line in re.findall("^    (?:run|hw[23]) .*$", step, re.MULTILINE)
    )
    assert "2 runs by test/mse_df" in shown
    assert re.search(" +".join(header), shown)
    for row in rows:
        assert re.search(" +".join(row[:3]), shown)
    assert "report: outputs/comparison.html" in shown


def test_the_labels_of_the_page_on_sensitivity():
    """The table that it makes has the bounds, with the errors, that it gives."""
    page, names = (ROOT / "docs/howto/sensitivity.md").read_text(), {}
    exec(blocks("howto/sensitivity.md")[0], names)
    x, y, dydx = (names["df"].filter(regex=name).to_numpy() for name in ("^x", "^y$", "^dy_"))
    own = measure(y, dydx[:, None], np.array([x.min(0), x.max(0)]).T)
    shown = re.findall(r"^\| x.* (\S+) ± (\S+) \|$", page, re.MULTILINE)
    assert_allclose(np.array(shown, float), np.stack([own.bound[0], own.bound_error[0]], 1), atol=0.005)


@pytest.mark.parametrize("line", re.findall(r"^    python train.py (.*)$", DATA, re.MULTILINE))
def test_the_tables_of_the_page_on_data(line, tables, configuration):
    options = [re.sub(r"(=[\d.]+),.*", r"\1", option) for option in shlex.split(line)]  # the first run of a sweep
    options = [option for option in options if option != "-m" and not option.startswith(("seed=", "model."))]
    options += ["data.fold=0"] * ("data.folds=5" in options)
    rows = read(build("data", configuration(*options)["data"], Table))
    assert len(rows.split(0).train) > 10
    assert list(rows.inputs) == WING


FITS = re.findall(r"^    runge fit (.*)$", (ROOT / "docs/howto/best.md").read_text() + PAGE, re.MULTILINE)
PLAIN = [line for line in FITS if re.fullmatch(r"wing\.csv( --timeout \d+| (data|model|loss|seed)[.=]\S+)*", line)]
TOGETHER = "wing.csv" + "".join(line.removeprefix("wing.csv") for line in PLAIN)  # because each takes a second


@pytest.mark.parametrize("line", [TOGETHER, *(line for line in FITS if line not in PLAIN)])
def test_the_commands_of_the_page_on_the_best_fit(line, tables):
    _, *arguments = quoted(as_overrides("fit", shlex.split(line))[0])
    check_overrides(arguments)
    with session(is_sweep=True) as hydra:
        composed = hydra.compose_config("config", arguments, RunMode.MULTIRUN, with_log_configuration=False)
        compose, typed = Composer(hydra.config_loader, composed), list(composed.hydra.overrides.task)
        command = SweepCommand(SimpleNamespace(config_loader=hydra.config_loader), composed, typed, 0.0, compose, 1)
        search = Search(command)
    names, known = list(search.state.listed), search.state.table
    assert not known or list(known.rows.inputs) == WING
    for word, own in {"tables.mine": "mine", "=own": "gelu, 2 x 32", "wide:": "wide"}.items():
        assert word not in line or own in names
    assert len(names) == 2 if "~search.tables" in line else len(names) > 3
