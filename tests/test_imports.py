"""Which module may import which: the contracts of pyproject.toml, checked by import-linter."""

import subprocess
import sys

from tests.conftest import ROOT


def test_imports_point_downwards():
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", lint, "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_loading_a_run_needs_neither_lightning_nor_hydra():
    heavy = ("lightning", "hydra", "matplotlib")
    code = f"import sys, runge; runge.load; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_composing_a_sweep_needs_no_lightning():
    """Importing Lightning takes as long as everything else that the process commanding a sweep imports."""
    modules = "runge.launch.sweep, runge.launch.planning, runge.training.member, runge.records.checkpoints"
    code = f"import sys, {modules}; sys.exit('lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
