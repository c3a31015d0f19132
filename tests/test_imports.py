"""Which module may import which: the contracts of pyproject.toml, checked by import-linter."""

import subprocess
import sys

from tests.conftest import ROOT


def test_imports_point_downwards():
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_loading_a_run_needs_neither_lightning_nor_hydra():
    heavy = ("lightning", "hydra", "matplotlib")
    code = f"import sys, runge; runge.load; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_composing_a_sweep_needs_no_lightning():
    """What commands a sweep would wait for it for as long as for all else together."""
    modules = "runge.launch.sweep, runge.launch.planning, runge.training.member, runge.records.checkpoints"
    code = f"import sys, {modules}; sys.exit('lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
