import shutil

import pytest

from runge.commands import compare as compare
from runge.comparison.html_report import render
from runge.comparison.ranking import Ranking
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
def _browser():
    with browsing() as browser:
        yield browser


@pytest.fixture
def opened(_browser, tmp_path):
    """A function that opens in a browser the report of a ranking, or of the runs in a directory, without an error."""
    to_open, wrong = _browser
    wrong.clear()

    def opened(runs, **options):
        if isinstance(runs, Ranking):
            (report := tmp_path / "report.html").write_text(render(runs))
        else:
            compare.main([str(runs)])
            report = runs / "comparison.html"
        return to_open(report, **options)

    yield opened
    assert wrong == []
