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
    modules = "runge.launch.sweep, runge.training.member, runge.records.checkpoints"
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
    """Lightning takes more than half of the start of a command."""
    code = "import sys; from runge.launch.cli import main; main()"
    command = [sys.executable, "-X", "importtime", "-c", code, "model.width=0"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "model.width: should be greater than or equal to 1, got 0" in result.stderr
    assert "| torch\n" in result.stderr.replace(" ", "").replace("|", "| ")
    assert "lightning" not in result.stderr
