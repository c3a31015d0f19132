"""Which module may import which: the contracts of pyproject.toml, checked by import-linter."""

import subprocess
import sys

from tests.conftest import ROOT


def test_imports_point_downwards():
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", lint, "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_parts_of_the_package_need_neither_lightning_nor_hydra():
    """Importing Lightning takes as long as everything else that the process commanding a sweep imports.

    One process shows, in this order, what loading a run imports, and composing a sweep or `from runge import *`.
    """
    modules = "runge.sweeps.launch, runge.training.member, runge.records.checkpoints"
    code = f"""
import sys, runge
runge.load
print(sorted({{"lightning", "hydra", "matplotlib"}} & sys.modules.keys()))
import {modules}
from runge import *
print(sorted({{"lightning", "hydra", "sklearn"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[]", "['hydra']"], done.stderr


def test_a_wrong_value_is_reported_before_lightning_is_loaded(tmp_path):
    """Lightning takes half of the start of a command; sympy is for formulas, and scipy.spatial for tables."""
    code = "import sys; from runge.commands.cli import main; main()"
    command = [sys.executable, "-X", "importtime", "-c", code, "train", "model.width=0"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "model.width: should be greater than or equal to 1, got 0" in result.stderr
    loaded = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if line.startswith("import time")}
    assert loaded & {"torch", "lightning", "sympy", "scipy.spatial"} == {"torch"}


def test_commands_without_a_network_do_not_load_torch(tmp_path):
    """Importing torch takes as long as all of `runge check`."""
    table = str(ROOT / "examples" / "wing.csv")
    mistakes = ["trainer.step=1"], ["-m", "model.dept=1,2"], ["optimizer=none"]
    trainings = [["train", *arguments] for arguments in (["--help"], *mistakes)]
    commands = [[], *trainings, ["compare", "."], ["check", table], ["predict", "--help"]]
    code = f"""
import sys
from runge.commands.cli import main
for sys.argv[1:] in {commands}:
    try:
        main()
    except SystemExit as end:
        print("status", end.code)
print("status", *sorted({{"torch", "lightning", "multiprocessing.forkserver"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    found = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("status")]
    assert found == [["0"], ["1"], ["1"], ["1"], ["2"], ["0"], ["0"], []], done.stderr
