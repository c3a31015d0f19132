import shutil
from functools import cache

import pytest

from runge.commands import compare as compare
from runge.comparison.html_report import render
from runge.comparison.ranking import Ranking
from tests.comparison.pages import drawn
from tests.sweeps.test_run import SHORT

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


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
    """A function that opens a report, and a list of errors and requests.

    Reports are opened one after the other in the same tab, which compiles their scripts once, and without WebGL, which
    only the plot of parallel coordinates needs, and which the processor would emulate.
    """
    if BROWSER is None:
        pytest.skip("no browser is installed")
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    wrong = []

    @cache
    def tab(*options):
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu", *options])
        page = browser.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        # Plotly catches the error of a script that the page's policy blocks.
        page.add_init_script("addEventListener('securitypolicyviolation', x => console.error('blocked', x.blockedURI))")
        page.on("request", lambda one: wrong.append(one.url) if one.url.startswith("http") else None)
        return page

    def opened(report, *, webgl=False):
        page = tab() if webgl else tab("--disable-software-rasterizer")
        page.set_viewport_size({"width": 1300, "height": 900})
        page.emulate_media(color_scheme="light")
        page.mouse.move(0, 0)
        page.goto(report.as_uri())
        drawn(page)
        return page

    with sync_playwright() as playwright:
        yield opened, wrong


@pytest.fixture
def axe():
    """Return axe-core, which finds errors of accessibility."""
    return pytest.importorskip("axe_playwright_python.sync_playwright").Axe()


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
