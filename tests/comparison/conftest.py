import shutil

import pytest

from tests.comparison.pages import browsing
from tests.sweeps.test_run import SHORT


@pytest.fixture
def sweep(trained):
    """The directory and the output of a sweep over activation and seed."""
    options = ("hydra.sweep.dir=sweep", "trainer.progress_bar=false", "hydra.launcher.processes=1")
    folder, out = trained("-m", *SHORT, "model.activation=tanh,relu", "seed=range(5)", *options)
    return folder / "sweep", out


@pytest.fixture
def copy(sweep, tmp_path):
    return shutil.copytree(sweep[0], tmp_path / "sweep")


@pytest.fixture(scope="package")
def opened():
    """A function that opens a report in a browser."""
    with browsing() as opened:
        yield opened
