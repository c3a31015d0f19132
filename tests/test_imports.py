"""Which module may import which: the contracts of pyproject.toml, checked by import-linter; and what is loaded late."""

import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.sweeps.test_run import SHORT, only_run

AFTER = """
import sys
from runge.commands.cli import main

def loaded_after(words, *names):
    sys.argv[1:], status = words, 0
    try:
        main()
    except SystemExit as end:
        status = end.code
    print("loaded", status, *[name for name in names if name in sys.modules])
"""


def run(code, folder=ROOT):
    """Run code in a process of its own; return it, and the words that follow "loaded" in its lines."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done, [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("loaded")]


def test_imports_point_downwards():
    done, _ = run("import sys; sys.argv[1:] = ['--no-cache']; from importlinter.cli import *; lint_imports_command()")
    assert done.returncode == 0, done.stdout + done.stderr


def test_lightning_is_loaded_neither_with_a_function_nor_for_a_sweep_nor_before_a_wrong_value_is_reported(tmp_path):
    """It takes as long as everything else that the process commanding a sweep imports, and half of a command's start.

    One process shows, in this order, what is imported by loading a run, by a command with a mistake (sympy is for
    formulas, scipy.spatial for tables), and by composing a sweep and `from runge import *`.
    """
    code = f"""
import runge, sys
runge.load
print("loaded", *{{"lightning", "hydra", "matplotlib"}} & sys.modules.keys())
{AFTER}
loaded_after(["train", "model.width=0"], "torch", "lightning", "sympy", "scipy.spatial")
import runge.sweeps.launch, runge.sweeps.worker, runge.training.member, runge.records.checkpoints
from runge import *
print("loaded", *{{"lightning", "hydra", "sklearn"}} & sys.modules.keys())
"""
    done, loaded = run(code, tmp_path)
    assert loaded == [[], ["2", "torch"], ["hydra"]], done.stderr
    assert "model.width: should be greater than or equal to 1, got 0" in done.stderr


@pytest.mark.nightly
def test_commands_without_a_network_do_not_load_torch_and_a_run_resumes_after_them(trained, tmp_path):
    """Importing torch takes as long as all of `runge check`.

    Which modules are loaded decides which names of a run's files are refused; few are, before a run resumes.
    """
    run_of_others = shutil.copytree(only_run(trained(*SHORT)[0]), tmp_path / "run")
    (run_of_others / "metrics.json").unlink()
    mistakes = ["trainer.step=1"], ["-m", "model.dept=1,2"], ["optimizer=none"]
    trainings = [["train", *arguments] for arguments in (["--help"], *mistakes)]
    tables = [["check", str(ROOT / "examples" / "wing.csv")], ["predict", "--help"]]
    commands = [[], *trainings, ["compare", "."], *tables, ["train", "resume=run"]]
    late = "'torch', 'lightning'"
    done, loaded = run(f"{AFTER}\nfor words in {commands}:\n    loaded_after(words, {late})", tmp_path)
    assert loaded == [*map(list, "00222000"), ["0", "torch", "lightning"]], done.stderr
    assert (run_of_others / "metrics.json").is_file()
