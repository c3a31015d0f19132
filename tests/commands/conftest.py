"""A finished run, and a sweep over seeds, of which each test has a copy in the present directory."""

import shutil
from pathlib import Path

import pytest

SHORT = ("model.width=8", "trainer.max_steps=4", "trainer.progress_bar=false", "pictures=false")
SWEEP = (*SHORT, "search.compare=false", "hydra.launcher.processes=1")
ONE = ("~search.tables", '+search.tables={one: ["optimizer.lr=0.01"]}')  # candidate, which takes little time


@pytest.fixture
def run(trained, in_folder):
    """A run of a formula of one input, whose derivative was that of autograd."""
    folder, _ = trained(*SHORT, "model.derivative=autograd", "hydra.run.dir=run")
    return Path(shutil.copytree(folder / "run", "run"))


@pytest.fixture
def sweep(trained, in_folder):
    """A sweep of the same formula over three seeds."""
    folder, _ = trained("-m", "seed=0,1,2", *SWEEP, "hydra.sweep.dir=sweep")
    return Path(shutil.copytree(folder / "sweep", "sweep"))
