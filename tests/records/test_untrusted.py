"""Files and formulas from other people: none runs code, misleads a terminal, or ends in a traceback."""

import json
import os
import pickle
import shutil
import sys
import zipfile
from contextlib import contextmanager, suppress
from types import ModuleType

import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import open_dict

import runge.targets
from runge.commands import compare as compare
from runge.comparison.html_report import render
from runge.comparison.ranking import rank_directories
from runge.composing.overrides import check_overrides
from runge.composing.task import begin_run
from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import build
from runge.pictures.drawing import draw
from runge.records.directories import RunDirectory, refuse_links, resumable
from runge.records.files import printable
from runge.sweeps.slurm import LauncherSettings, make_executor
from runge.targets import Expression
from runge.training.member import Member, check_rows
from runge.training.prepare import prepare
from runge.training.settings import Settings
from tests.comparison.pages import data_in, merge, table
from tests.conftest import composer, fit_stack
from tests.sweeps.test_run import SHORT, figures, only_run

TRICKS = [
    "__import__('os').system('touch owned')",
    "().__class__.__bases__[0].__subclasses__()",
    "open('owned','w')",
    "(lambda: 1)()",
    "[c for c in ().__class__.__base__.__subclasses__()]",
    "(y:=__import__('os'))",
    "sin(x).func.__globals__['__builtins__']",
    "sin(*[x])",
    "sin(x, evaluate=__import__('os'))",
    "x and __import__('os').system('touch owned')",
    "x if __import__('os') else x",
    "'touch owned'",
    "...",
    "x; import os",
    "x\nimport os",
    "sympify('1')",
    "\\x5f\\x5fimport__('os')",
    "\U0001d5be\U0001d5cf\U0001d5ba\U0001d5c5('1')",
    "9**9**9**9**9",
    "x*exp(exp(9**5))",
    "asin(2)*x",
    "x+" * 499 + "x",
    "-" * 900 + "x",
    "sin(" * 160 + "x" + ")" * 160,
    "x**1e999",
    "x\0",
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
    assert message.startswith("target.expr: ") or target.value(torch.zeros(3, 1).double()).shape == (3,)
    assert not list(tmp_path.iterdir())


class Evil:
    """An object whose pickle touches a file when loaded."""

    def __reduce__(self):
        return os.system, ("touch owned",)


def in_zip(path):
    """Replace the pickle in a checkpoint."""
    original = zipfile.ZipFile(path)
    with zipfile.ZipFile(path.with_suffix(".new"), "w") as archive:
        for name in original.namelist():
            evil = name.endswith("data.pkl")
            archive.writestr(name, pickle.dumps(Evil(), protocol=2) if evil else original.read(name))
    path.with_suffix(".new").replace(path)


def deflated(path):
    """Compress the members of a checkpoint, as a small file that stands for much memory has them."""
    original = zipfile.ZipFile(path)
    with zipfile.ZipFile(path.with_suffix(".new"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name in original.namelist():
            archive.writestr(name, original.read(name))
    path.with_suffix(".new").replace(path)


def saved(path, **content):
    """Replace parts of a checkpoint."""
    torch.save(torch.load(path, weights_only=True) | content, path)


def shared(depth):
    """Return lists that have 2**depth parts, and take few bytes."""
    part = ["x"]
    for _ in range(depth):
        part = [part, part]
    return part


SPARSE = torch.sparse_coo_tensor([[0]], [1.0], (10**11,), check_invariants=True)
FAKES = {
    "compressed members": deflated,
    "a tensor of stride 0": lambda path: saved(path, state_dict={"network.theta": torch.ones(1).expand(10**11)}),
    "shared tensors": lambda path: saved(path, state_dict=dict.fromkeys(map(str, range(100)), torch.ones(10**5))),
    "shared lists": lambda path: saved(path, configuration={"model": {"activation": shared(60)}}, stack=shared(60)),
    "a sparse tensor": lambda path: saved(path, state_dict={"x": SPARSE}),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a pickle": lambda path: path.write_bytes(pickle.dumps(Evil())),
    "torch's old format": lambda path: torch.save(Evil(), path, _use_new_zipfile_serialization=False),
    "a pickle in torch's format": in_zip,
    "another object": lambda path: torch.save([1, 2], path),
    "sections that are numbers": lambda path: torch.save(
        {"state_dict": {"step": 1}, "configuration": {"model": 3}, "stack": 3}, path
    ),
    "another network": lambda path: torch.save(
        {"state_dict": {"network.theta": torch.ones(1, 1)}, "configuration": {"model": {"depth": 9}}}, path
    ),
    "an empty file": lambda path: path.write_bytes(b""),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
}


@contextmanager
def damaged(path, how):
    """Change a bit of a file, or cut its end off, within the block."""
    content = path.read_bytes()
    place = len(content) * 2 // 3
    end = bytes([content[place] ^ 4]) + content[place + 1 :] if how == "flipped bit" else b""
    path.write_bytes(content[:place] + end)
    yield
    path.write_bytes(content)


@pytest.fixture
def copy(trained, tmp_path, monkeypatch):
    folder, _ = trained(*SHORT)
    monkeypatch.chdir(tmp_path)
    return RunDirectory(shutil.copytree(only_run(folder), tmp_path / "run"))


def resume(copy):
    """Resume the run as `resume=run` does, except that nothing is composed or printed."""
    job = composer()(["resume=run"], 0)
    with open_dict(job):
        job.hydra.mode = RunMode.RUN
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HydraConfig.instance(), "cfg", job)
        member = Member(Settings.of(begin_run(job, copy, sweep=False)))
        check_rows(member, copy, copy.read_state())
        fit_stack(prepare([member]), [copy], alone=True)


def check_refused(copy, reason):
    """Check that the run cannot be resumed, in one message, and that nothing in its files was run."""
    copy.metrics.unlink(missing_ok=True)
    with pytest.raises(ConfigurationError, match=reason) as error:
        resume(copy)
    assert "\n" not in str(error.value)
    assert not os.path.exists("owned")


@pytest.mark.parametrize("name", FAKES)
def test_fake_checkpoint(name, copy):
    FAKES[name](copy.best)
    refused = ConfigurationError if copy.best.is_file() else FileNotFoundError
    with pytest.raises(refused, match=r"best\.ckpt"):
        runge.load(copy.path)
    FAKES[name](copy.last)
    check_refused(copy, r"(last|best)\.ckpt")


@pytest.mark.parametrize(
    "name", ["train.log", ".lock", "checkpoints", "checkpoints/last.ckpt", "tensorboard/x/events.1"]
)
def test_nothing_is_written_through_a_link_or_a_pipe(name, copy, tmp_path):
    copy.metrics.unlink()
    (tmp_path / "outside").mkdir()
    for plant in (os.mkfifo, lambda path: path.symlink_to(tmp_path / "outside")):
        entry = copy.path / name
        entry.parent.mkdir(exist_ok=True)
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink(missing_ok=True)
        plant(entry)
        for mistake in (
            lambda: resumable(copy.path),
            lambda: check_overrides([f"hydra.run.dir={copy.path}"]),
            lambda: refuse_links(tmp_path, "hydra.sweep.dir", is_sweep=True),
        ):
            with pytest.raises(ConfigurationError, match=r"(resume|hydra\.\w+\.dir): .* is a link, a pipe"):
                mistake()
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize("how", ["flipped bit", "missing end"])
def test_damaged_files_are_reported_or_make_no_difference(how, copy):
    weights, before = runge.load(copy.path).state_dict(), figures(copy.path)
    for path in (copy.metrics, copy.fit, copy.history):
        with damaged(path, how):
            assert f"{path.name} is damaged" in render(rank_directories([copy.path]))
    with damaged(copy.history, how), pytest.raises(ConfigurationError, match=r"history\.csv is damaged"):
        runge.history(copy.path)
    with damaged(copy.best, how):
        u, message = outcome(lambda: runge.load(copy.path))
        assert "best.ckpt" in message or all(torch.equal(x, weights[key]) for key, x in u.state_dict().items())
    copy.metrics.unlink()
    with damaged(copy.last, how):
        _, message = outcome(lambda: resume(copy))
        assert "last.ckpt" in message or figures(copy.path) == before


POPEN = {"_target_": "subprocess.Popen", "args": ["touch", "owned"]}
STRANGERS = {
    "a module on the path": {"target": {"_target_": "evil.Evil"}},
    "an activation": {"model": {"activation": "evil.EVIL"}},
    "a part of an optimiser": {"optimizer": {"_target_": "runge.optimizers.TorchOptimizer", "kind": POPEN}},
    "an unknown key": {"target": {"_target_": "runge.targets.Runge", "domain": [-1.0, 1.0], "evil": POPEN}},
    "a parameter that takes no object": {"target": {"_target_": "runge.targets.Runge", "domain": POPEN}},
    "a function": {"target": {"_target_": "os.system", "command": "touch owned"}},
    "a class through a module of ours": {
        "target": {"_target_": "runge.process.machine.ctypes.CDLL", "name": "evil.so"}
    },
    "a module without a dot": {"target": {"_target_": "evil"}},
    "a part of a loaded package": {"model": {"activation": "evils.evil"}},
    "a loaded class": {"target": {"_target_": "tests.records.test_untrusted.Loaded"}},
    "a list of arguments": {"target": {"_target_": "os.system", "_args_": ["touch owned"], "_partial_": True}},
    "a target far inside": {"callbacks": {"a": {"_target_": "runge.targets.Runge", "b": [{"c": POPEN}]}}},
}
SAVE = {"_target_": "torch.save", "f": "owned"}
SECTIONS = ("target", "sampling", "data", "model", "loss", "schedule", "balance", "optimizer", "resampling", "trainer")
SECTIONS += ("penalty", "metrics", "callbacks", "seed", "objective")
STRANGERS |= {
    f"a function in {key}": {key: {"own": SAVE} if key in ("metrics", "callbacks") else SAVE} for key in SECTIONS
}


class Loaded(runge.targets.Target):
    """A class of a loaded module, which is a target."""

    def __init__(self):
        open("owned", "w").close()


def strange(configuration, name):
    """Return a configuration with the sections of a stranger."""
    parts = STRANGERS[name]
    inside = ("model", "trainer", "data")
    return configuration | {key: configuration[key] | parts[key] if key in inside else parts[key] for key in parts}


@pytest.fixture
def _evil(tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("open('owned', 'w')\nclass Evil: pass\n")
    monkeypatch.setitem(sys.modules, "evils", ModuleType("evils"))
    monkeypatch.setattr(sys.modules["evils"], "__path__", [str(tmp_path)], raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("_evil")
@pytest.mark.parametrize("name", STRANGERS)
def test_configuration_of_a_file_imports_nothing(name, copy):
    checkpoint, configuration = torch.load(copy.best, weights_only=True), json.loads(copy.configuration.read_text())
    torch.save(checkpoint | {"configuration": strange(checkpoint["configuration"], name)}, copy.best)
    copy.configuration.write_text(json.dumps(strange(configuration, name)))
    copy.status.write_text(json.dumps(json.loads(copy.status.read_text()) | {"checksums": {}}))
    reason = r"which files may not import or call|^(target|optimizer)\."
    if "activation" in STRANGERS[name].get("model", {}):
        reason = r"evils?\.(evil|EVIL)"
        with pytest.raises(ConfigurationError, match=rf"{reason}, which is not imported .* import evils? before"):
            runge.load(copy.path)
    with suppress(ConfigurationError):  # of a checkpoint that cannot be loaded
        draw(copy.path)
    assert not os.path.exists("owned")
    check_refused(copy, reason)


NO_CONFIGURATIONS = ["{", "[1]", '{"seed": "${oc.env:HOME}"}', '{"trainer": 3, "data": []}', "", '{"options": 3}']
NO_CONFIGURATIONS += ['{"overrides": 3}', '{"a": ' * 10**5 + "1" + "}" * 10**5]


@pytest.mark.parametrize("content", NO_CONFIGURATIONS, ids=range(len(NO_CONFIGURATIONS)))
def test_configuration_that_is_none(content, copy):
    copy.configuration.write_text(content)
    check_refused(copy, r"run\.json is damaged|must be a section")
    shutil.rmtree(copy.last.parent)
    check_refused(copy, r"run\.json is damaged|must be a section")


FITS = {
    "huge": "x,f,df,u,du\n0,1e300,-1e300,1e999,nan\n",
    "long": "x,f,df,u,du\n" + "0,0,0,0,0\n" * 100_000,
    "no numbers": "x,f,df,u,du\n0,0,0,0,0\nx,f,df,u,du\n",  # the second header is not a row of numbers
    "other columns": "x1,x2,f,u,du_dx1\n0,0,0,0,0\n",
    "a short row": "x,f,df,u,du\n0,0\n",
}


@pytest.mark.usefixtures("_evil")
def test_hostile_files_stop_no_comparison(copy, tmp_path, capfd):
    """Fits of huge numbers are drawn as they are, and nothing of a table that is no fit; nothing is imported."""

    def another(name, **configuration):
        run = RunDirectory(shutil.copytree(copy.path, tmp_path / "runs" / name))
        merge(run.status, checksums={}, made_with={})
        seed = len([*run.path.parent.iterdir()])  # equal runs count once
        merge(run.configuration, **configuration | {"seed": seed})
        return run

    for name, text in FITS.items():
        another(name).fit.write_text(text)
    for name in STRANGERS:
        another(name, **strange(copy.read_configuration()[0], name))
    for number, content in enumerate(NO_CONFIGURATIONS):
        another(f"none {number}").configuration.write_text(content)
    merge(another("a huge figure").metrics, **{"test/mse_f": 10**400})
    another("\u00b2", **{"test/mse_df": "abc", "status": "odd"})
    another("9")
    compare.main([str(tmp_path / "runs"), "--out", "out"])
    assert "unreadable" in capfd.readouterr().out
    statuses = {row["run"].rpartition("/")[2]: row["status"] for row in table(tmp_path / "out")}
    unreadable = {"a huge figure", *(f"none {number}" for number in (0, 1, 4, 5, 6, 7))}
    assert {name for name, status in statuses.items() if status != "finished"} == unreadable
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert len(page) < 7_000_000
    undrawn = {run["name"] for run in data_in(page)["runs"] if "error_f" not in run}
    assert undrawn == {"no numbers", "other columns", "a short row"}
    assert not os.path.exists("owned")


@pytest.mark.parametrize("plant", ["a link", "a folder of a group"])
def test_pickles_of_slurm_are_in_a_folder_of_ones_own(plant, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    for program in ("sbatch", "srun"):
        (tmp_path / program).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = {"processes": None, "members": None, "cluster": "slurm", "partition": None, "timeout_min": 1}
    settings |= {"cpus_per_task": 1, "gpus_per_node": None, "mem_gb": None, "additional_parameters": {}}
    settings, folder = build("hydra.launcher", settings, LauncherSettings), tmp_path / ".submitit"
    make_executor(settings, folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    make_executor(settings, folder)  # of a sweep that is resumed
    folder.rmdir()
    folder.symlink_to(tmp_path) if plant == "a link" else folder.mkdir()
    if plant != "a link":
        folder.chmod(0o770)
    with pytest.raises(ConfigurationError, match=r"hydra\.sweep\.dir: '.*submitit' must be a folder of yours"):
        make_executor(settings, folder)


def test_a_sweep_that_slurm_has_trained_resumes(tmp_path):
    """In its folder submitit leaves links to its scripts; the folder itself may be none."""
    (tmp_path / ".submitit").mkdir()
    (tmp_path / ".submitit" / "submission_file_1.sh").symlink_to("1/script.sh")
    refuse_links(tmp_path, "hydra.sweep.dir", is_sweep=True)
    (tmp_path / "0").symlink_to(tmp_path / ".submitit")
    with pytest.raises(ConfigurationError, match="is a link"):
        refuse_links(tmp_path, "hydra.sweep.dir", is_sweep=True)


def test_secrets_of_loggers_are_not_in_checkpoints(finish, tmp_path):
    finish(*SHORT, "logger=csv", "+logger.csv.prefix='https://me:1234@host'", "hydra.run.dir=run")
    run = RunDirectory(tmp_path / "run")
    files = [run.best, run.last, run.configuration, *run.hydra.iterdir()]
    assert [file.name for file in files if b"me:1234" in file.read_bytes()] == []


NAMES = ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b31m", "a\rb", "\u202eevil", "=1+1", "@SUM(A1)", "+1", "-1+1"]
NAMES += ['=cmd|"/C calc"!A0', "<script>alert(1)</script>", "</script><script>alert(1)</script>", "[bold]x[/bold]"]


def test_names_are_data(copy, tmp_path, capfd):
    """Check the terminal, the CSV file and the page."""
    copy.metrics.unlink()
    for number, name in enumerate(NAMES):
        run = RunDirectory(shutil.copytree(copy.path, tmp_path / "runs" / str(number)))
        run.configuration.write_text(json.dumps({"overrides": [name], "seed": 0, name: name}))
        merge(run.status, status="failed", message=name)
    compare.main([str(tmp_path / "runs"), "--out", "out"])
    assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e"} & set(capfd.readouterr().out)
    cells = {cell for row in table(tmp_path / "out") for part in row.items() for cell in part}
    assert {printable(name) for name in NAMES} <= {cell.removeprefix("'") for cell in cells}
    formulas = {cell for cell in cells if cell.startswith(("=", "+", "@", "-"))}
    assert all(cell.removeprefix("-").replace(".", "").isdigit() for cell in formulas), formulas
    assert "<script>alert" not in (tmp_path / "out" / "comparison.html").read_text()
