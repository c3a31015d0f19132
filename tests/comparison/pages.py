"""Records of a sweep that is made up, and reports in a browser."""

import base64
import json
import re
import shutil
from contextlib import contextmanager
from functools import cache

import numpy as np
import pytest

from runge.comparison.html_report import render
from runge.comparison.ranking import Ranking, collect
from runge.records.reading import RunRecord

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def made_up(errors, seeds=5):
    """Return the records of a sweep whose errors follow from its settings."""
    return [
        RunRecord(
            f"runs/{i}/{seed}",
            "finished",
            settings=dict(zip(("model.activation", "optimizer.lr", "model.width"), settings, strict=True))
            | {"seed": seed},
            figures={"test/mse_df": error * (1 + seed / 10), "test/mse_f": error},
        )
        for i, (settings, error) in enumerate(errors.items())
        for seed in range(seeds)
    ]


def merge(path, **changes):
    """Change keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def data_in(page):
    match = re.search(r'id="data">(.*)</script>', page)
    return json.loads(match[1], parse_constant=pytest.fail)


def page_data(*paths):
    """Return the data of the page of these runs."""
    return data_in(render(Ranking(collect(paths))))


def numbers(packed, kind="<f4"):
    return np.frombuffer(base64.b64decode(packed), kind)


@contextmanager
def browsing():
    """Start a browser; the context is a function that opens a report, and a list of errors and requests.

    Reports are opened one after the other in the same tab, which compiles their scripts once, and without WebGL, which
    only the plot of parallel coordinates needs, and which the processor would emulate.
    """
    if BROWSER is None:
        pytest.skip("no browser is installed")
    from playwright.sync_api import sync_playwright

    wrong = []
    with sync_playwright() as playwright:

        @cache
        def tab(*options):
            browser = playwright.chromium.launch(
                executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu", *options]
            )
            page = browser.new_page()
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
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

        yield opened, wrong


def drawn(page):
    """Wait until all plots are drawn."""
    page.wait_for_selector("html[data-plots=ready]")


def plot(page, name, what):
    """Return a part of a plot, such as `data[0].x` or `layout.shapes`."""
    return page.evaluate(f"document.getElementById('{name}').{what}")


def axis(page, name, letter="x"):
    return plot(page, name, f"data[0].{letter}")
