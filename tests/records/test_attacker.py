"""Directories to which a stranger has done anything: commands neither run nor write what the stranger wants.

`pytest tests/records/test_attacker.py --attacks 2000` tries as many, `--hypothesis-seed 7` draws others. Each command
is a fork of the process of the test, with a limit of its memory, so that it can break nothing in the tests.
"""

import importlib
import json
import os
import re
import resource
import runpy
import shutil
import signal
import stat
import subprocess
import sys
import traceback
import warnings
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import runge
from runge.commands.cli import main
from runge.configuration.errors import ConfigurationError, RunError
from runge.interface.outcomes import Answer
from runge.interface.trained import Run
from runge.records.files import printable
from tests import randomness
from tests.commands.conftest import SWEEP
from tests.comparison.pages import table
from tests.records.attacks import MODULES, Attack, apply, apply_all, attacks
from tests.search.test_search import RACE, share_table
from tests.sweeps.test_run import SHORT, only_run
from tests.sweeps.test_search import WHOLE

PATIENCE = 300
"""The seconds after which a command hangs, on any machine, as one that waits for a pipe would."""

MEMORY = 3 << 29
"""How many bytes of memory a command may take in addition to those of the process from which it is forked."""

BEST = "checkpoints/best.ckpt"


class Trained(NamedTuple):
    """A directory to attack, and the arguments that train it if it can be trained again."""

    path: Path
    arguments: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def mails(trained, shared, tmp_path_factory):
    """Return the directories to attack: a run of a formula and of a table, a sweep, and searches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("table"))
        race = (*RACE, share_table(shared), "data.folds=5")
    swept = ("-m", "seed=0,1,2", *SWEEP, "hydra.sweep.dir=sweep")
    found = {
        "run": Trained(only_run(trained(*SHORT)[0])),
        "sweep": Trained(trained(*swept)[0] / "sweep", swept),
        "best": Trained(trained(*race)[0] / "race", race),
        "search": Trained(trained(*WHOLE)[0] / "search", WHOLE),
    }
    for name in ("pictures.drawing", "training.train", "exports", "function.next_rows", "function.predictions"):
        importlib.import_module(f"runge.{name}")  # once, and not in each command
    importlib.import_module("pandas")
    answer = tmp_path_factory.mktemp("answer") / "answer"
    named = json.loads((found["best"].path / "answer.json").read_text())["runs"]
    others = sorted({path.name for path in found["best"].path.glob("[0-9]*")} - {*named, "0", "1"})
    shutil.copytree(found["best"].path, answer, ignore=shutil.ignore_patterns(*others))
    return found | {"run of a table": Trained(found["best"].path / "0"), "answer": Trained(answer)}


def readers(mail):
    """Read a directory in Python in all ways, and print the messages of what is refused."""
    calls = {
        "load": lambda: runge.load(mail)(np.zeros(1)),
        "history": lambda: runge.history(mail),
        "runs": lambda: runge.runs(mail),
        "status": lambda: Run(mail).status,
        "settings": lambda: Run(mail).settings,
        "metrics": lambda: Run(mail).metrics,
        "fit": lambda: Run(mail).test_points,
        "run": lambda: repr(Run(mail)),
        "comparison": lambda: repr(runge.compare(mail)),
        "answer": lambda: repr(Answer(mail)),
    }
    for name, call in calls.items():
        try:
            call()
        except (ConfigurationError, RunError, OSError, ValueError) as error:
            print(printable(f"{name}: {error}"))


VERBS = {
    "compare .": ("compare", "."),
    "compare mail": ("compare", "mail", "--out", "out"),
    "compare --csv": ("compare", "mail", "--csv", "-"),
    "draw .": ("draw", "."),
    "draw mail": ("draw", "mail"),
    "predict .": ("predict", ".", "rows.csv"),
    "predict mail": ("predict", "mail", "rows.csv", "--out", "out/predicted.csv", "--interval", "0.9", "--force"),
    "suggest .": ("suggest", "."),
    "suggest mail": ("suggest", "mail", "--out", "out/suggested.csv"),
    "export .": ("export", ".", "--to", "c"),
    "export to NumPy": ("export", "mail", "--to", "numpy", "--out", "out/function.py"),
    "check": ("check", "mail/table.csv"),
    "read": (),
    "resume": ("train", "resume=mail"),
    "resume .": ("train", "resume=."),
    "train again": ("train",),
}
ATTACKED = {
    "run": {*VERBS} - {"check", "train again", "suggest ."},
    "run of a table": {*VERBS} - {"train again", "suggest ."},
    "sweep": {*VERBS} - {"check", "resume", "resume .", "suggest ."},
    "answer": {*VERBS} - {"resume", "resume .", "train again"},
    "best": {"compare .", "read", "train again"},
    "search": {*VERBS} - {"check", "resume", "resume .", "suggest mail", "suggest ."},
}


class Ended(NamedTuple):
    """How a command has ended."""

    status: int
    out: str
    err: str


class Scene:
    """A folder with a copy of a directory, and with what an attack on it must not reach."""

    def __init__(self, folder, trained):
        self.base, self.trained = folder, trained
        self.mail, self.out, self.outside, self.home = (folder / x for x in ("mail", "out", "outside", "home"))
        shutil.copytree(trained.path, self.mail)
        (self.outside / "folder").mkdir(parents=True)
        (self.outside / "bashrc").write_text("# as it was\n")
        (self.outside / "folder" / "file").write_text("as it was\n")
        self.out.mkdir()
        self.home.mkdir()
        for place in (folder, self.mail):
            (place / "rows.csv").write_text("x,a,b\n0,0,0\n0.5,0.5,0.5\n9,9,9\n")
        (self.mail / "table.csv").write_text("x,y,dy_dx\n" + "".join(f"{i},{i * i},{2 * i}\n" for i in range(12)))

    def around(self):
        """Return the content of everything except the directory and what the command may write."""
        found = {}
        for root, folders, files in os.walk(self.base):
            if Path(root) == self.base:
                folders[:] = sorted({*folders} - {"mail", "out", "printed"})
                assert not {*os.listdir(root)} - {"mail", "out", "printed", "outside", "home", "rows.csv"}
            for name in (*folders, *files):
                path = Path(root, name)
                mode = path.lstat().st_mode
                content = path.read_bytes() if stat.S_ISREG(mode) else os.readlink(path) if path.is_symlink() else None
                found[str(path.relative_to(self.base))] = mode, content
        return found

    @contextmanager
    def unchanged(self, what):
        """Check that nothing around the directory changes in the block."""
        before = self.around()
        yield
        after = self.around()
        changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
        assert not changed, f"{what}: changed {changed}"

    def run(self, verb):
        """Run a command in a process of its own; return how it has ended."""
        printed = self.base / "printed"
        printed.mkdir(exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of threads: those of pytest hold no lock that a command needs
            process = os.fork()
        if process == 0:
            self._become(verb, printed)
        _, waited = os.waitpid(process, 0)
        out, err = ((printed / name).read_text(errors="surrogateescape") for name in ("out", "err"))
        return Ended(os.waitstatus_to_exitcode(waited), out, err)

    def _become(self, verb, printed):
        status = 1
        try:
            os.setsid()
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(PATIENCE)
            for number, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(printed / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
            warnings.resetwarnings()
            warnings.simplefilter("ignore")
            np.random.default_rng, torch.seed = randomness._DEFAULT_RNG, randomness._TORCH_SEED
            os.environ |= {"HOME": str(self.home), "COLUMNS": "100"}
            os.chdir(self.mail if verb.endswith(" .") else self.base)
            sys.path[:] = [path for path in sys.path if path]
            GlobalHydra.instance().clear()
            status = self._do(verb)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _do(self, verb):
        if verb == "read":
            readers(self.mail)
            return 0
        if verb.startswith("run "):
            runpy.run_path(str(self.out / verb.removeprefix("run ")))
            return 0
        arguments = VERBS[verb]
        if verb == "train again":
            typed = (x for x in self.trained.arguments if not x.startswith("hydra.sweep.dir"))
            arguments = ("train", *typed, "hydra.sweep.dir=mail")
        if arguments[0] == "train":
            for folder in ("", "0", "1"):  # which have not finished then
                with suppress(OSError):
                    (self.mail / folder / "metrics.json").unlink()
        sys.argv = ["runge", *arguments]
        main()
        return 0


MESSAGE = re.compile(r"^(runge[\w ]*: )?error: ", re.MULTILINE)


def judge(verb, status, out, err):
    """Check the exit status of a command and its words."""
    assert status != -signal.SIGALRM, f"{verb}: still running after {PATIENCE} s\n{err}"
    assert status in (0, 1, 2), f"{verb}: exit status {status}\n{err}"
    assert "Traceback" not in out + err, f"{verb}: a traceback\n{err}"
    assert not re.search("alloc|memory", out + err), f"{verb}: a small file needs much memory\n{out}{err}"
    shown = printable(out + err, keep="\n\t")
    assert shown == out + err, f"{verb}: control characters\n{shown}"
    if status == 1 and verb == "check":
        return
    if status:
        messages = MESSAGE.findall(err) or (verb.startswith("draw") and "not drawn: " in err)
        assert messages, f"{verb}: no message\n{out}{err}"
        assert messages is True or len(messages) == 1, f"{verb}: several messages\n{err}"


def check_rows(scene, folder, attacked):
    """Check that the runs of a comparison that were not attacked are in it, as before."""
    rows = {Path(row["run"]).name: row for row in table(folder)}
    for path in sorted(scene.trained.path.iterdir()):
        if (path / "metrics.json").exists() and path.name not in attacked:
            figures = json.loads((path / "metrics.json").read_text())
            tested = {name for name in figures if name.startswith("test/")}
            assert rows[path.name]["status"] == "finished"
            cells = {name: rows[path.name][name] for name in tested}
            assert cells == {name: "" if figures[name] is None else str(figures[name]) for name in tested}


def check_program(scene):
    """Check that what an export has written is a program of its own lines only, with no name from the directory."""
    if (module := scene.out / "function.py").exists():
        with scene.unchanged("the exported module"):
            ended = scene.run(f"run {module.name}")
        assert ended.status == 0, ended.err
    else:
        read = subprocess.run(["cc", "-E", "-P", scene.mail / "function.c"], capture_output=True, text=True)
        assert read.returncode == 0, read.stderr
        assert "owned" not in re.sub(r'"(\\.|[^"\\])*"', "", read.stdout), read.stdout


def check_attacked(folder, trained, verb, done):
    """Attack a directory, run a command on it, and check that nothing else has changed and how it has ended."""
    scene = Scene(folder, trained)
    apply_all(scene.mail, scene.outside, done)
    with scene.unchanged(verb):
        ended = scene.run(verb)
    judge(verb, *ended)
    if verb.startswith("export") and ended.status == 0:
        check_program(scene)
    attacked = {attack.path.partition("/")[0] for attack in done} | {
        attack.detail.partition("/")[0] for attack in done if attack.kind == "swap"
    }
    if verb == "compare mail" and all(name.isdigit() and (trained.path / name).is_dir() for name in attacked):
        assert ended.status == 0, ended.err
        check_rows(scene, scene.out, attacked)


@st.composite
def attacked(draw, mails):
    """Draw a directory, what is done to it, and the command that is run on it."""
    name = draw(st.sampled_from(sorted(mails)))
    path = mails[name].path
    files = sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())
    files = [name for name in files if not name[0].isdigit() or name[:2] in ("0/", "1/")]  # other runs are like these
    events = [name for name in files if "tensorboard" in name]
    files = [name for name in files if name not in events[1:]]
    verb = draw(st.sampled_from(sorted(ATTACKED[name])))
    return name, verb, draw(attacks([*files, "table.csv"], verb))


def test_attacks(mails, tmp_path, pytestconfig):
    numbers = count()

    @seed(pytestconfig.getoption("--hypothesis-seed") or 0)
    @settings(
        max_examples=pytestconfig.getoption("attacks"),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(attacked(mails))
    def check(drawn):
        name, verb, done = drawn
        folder = tmp_path / str(next(numbers))
        try:
            check_attacked(folder, mails[name], verb, done)
        finally:
            shutil.rmtree(folder)

    check()


KNOWN = {
    "a link in place of a half-written table": ("sweep", "compare .", "link", ".comparison.csv.part", "OUTSIDE/bashrc"),
    "a link in place of half-written metrics": ("run", "resume", "link", ".metrics.json.part", "OUTSIDE/bashrc"),
    "a link to no file yet": ("run", "export .", "link", ".function.c.part", "OUTSIDE/owned"),
    "a pipe in place of a half-written table": ("sweep", "compare .", "pipe", ".comparison.csv.part"),
    "a link in place of a log": ("run", "resume", "link", "train.log", "OUTSIDE/bashrc"),
    "a link in place of checkpoints": ("run", "resume", "link", "checkpoints", "OUTSIDE/folder"),
    "a link in place of curves": ("run", "resume", "link", "tensorboard", "OUTSIDE/folder"),
    "a function that writes": ("run", "resume", "target", "run.json", ("penalty", "a file of torch")),
    "a name that leaves a comment of C": ("run", "export .", "columns", BEST, "a comment's end in C"),
    "a bomb of aliases": ("sweep", "compare mail", "yaml", "multirun.yaml", "a bomb"),
    "a step that is no float": ("sweep", "compare mail", "key", "1/status.json", ("step", "huge")),
    "a pipe in place of a configuration": ("sweep", "compare mail", "pipe", "1/run.json"),
    "a pipe in place of metrics": ("sweep", "compare mail", "pipe", "1/metrics.json"),
    "an endless configuration": ("sweep", "compare mail", "link", "1/run.json", "/dev/zero"),
    "an endless history": ("sweep", "compare mail", "link", "1/history.csv", "/dev/zero"),
    "a compressed checkpoint": ("run", "read", "archive", BEST, "deflated zeros"),
    "weights of stride 0": ("run", "read", "weights", BEST, "stride 0 of its own"),
    "weights of many members": ("run", "read", "weights", BEST, "stride 0 of members"),
}
"""The directories, the commands and the attacks of what once succeeded."""

BY_DAY = {
    "a link in place of a half-written table",
    "a link in place of checkpoints",
    "a function that writes",
    "a name that leaves a comment of C",
    "a bomb of aliases",
    "a pipe in place of a configuration",
    "an endless configuration",
    "weights of stride 0",
}
"""One attack of each kind; the others are for the night."""


def by_day(names, chosen):
    return [pytest.param(name, marks=() if name in chosen else pytest.mark.nightly) for name in names]


@pytest.mark.parametrize("name", by_day(KNOWN, BY_DAY))
def test_known_attack(name, mails, tmp_path):
    mail, verb, *attack = KNOWN[name]
    check_attacked(tmp_path, mails[mail], verb, [Attack(*attack)])


def test_a_class_without_a_module_is_not_imported(mails, tmp_path):
    """The module is in the directory, in which the command runs."""
    done = Attack("target", "run.json", ("target", "a module")), Attack("module", "evil.py", "evil.py")
    check_attacked(tmp_path, mails["run"], "draw .", done)


STANDING_IN_IT = {
    "compare": ["compare", "."],
    "draw": ["draw", "."],
    "predict": ["predict", ".", "rows.csv"],
    "export": ["export", ".", "--to", "numpy", "--out", "../out/function"],
    "check": ["check", "table.csv"],
    "train": ["train", "trainer.max_steps=2", "model.width=4", "hydra.run.dir=../out/trained"],
    "resume": ["train", "resume=."],
    "train -m": ["train", "-m", "trainer.max_steps=2", "model.width=4,5", "hydra.sweep.dir=../out/swept"],
    "fit": ["fit", "table.csv", "search.timeout=1", "hydra.sweep.dir=../out/fitted"],
    "a program of one's own": ["../out/program.py"],
}
PROGRAM = 'import runge\nrunge.sweep("trainer.max_steps=2", "model.width=4,5", "hydra.sweep.dir=../out/swept")\n'


@pytest.mark.parametrize("verb", by_day(STANDING_IN_IT, {"compare"}))
def test_modules_in_the_directory_do_not_run(verb, mails, tmp_path):
    """They are modules that verbs import late, plugins of Hydra, and settings of Matplotlib."""
    scene = Scene(tmp_path, mails["run"])
    if verb == "resume":
        (scene.mail / "metrics.json").unlink()
    for name in MODULES:
        apply(scene.mail, scene.outside, Attack("module", name, name))
    environment = {"HOME": str(scene.home), "MPLCONFIGDIR": str(scene.out), "XDG_CACHE_HOME": str(scene.out)}
    (scene.out / "program.py").write_text(PROGRAM)
    command = sys.executable if verb.startswith("a program") else str(Path(sys.executable).with_name("runge"))
    words = [command, *STANDING_IN_IT[verb]]
    with scene.unchanged(verb):
        ended = subprocess.run(
            words,
            cwd=scene.mail,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
    judge(verb, ended.returncode, ended.stdout, ended.stderr)
    assert ended.returncode == 0, ended.stderr
