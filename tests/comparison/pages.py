"""Records of a sweep that is made up, and parts of reports in a browser."""

import base64
import csv
import json
import re

import numpy as np
import pytest

from runge.comparison.html_report import render
from runge.comparison.ranking import rank_directories
from runge.records.reading import RunRecord


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


def table(folder, name="comparison.csv"):
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def data_in(page):
    match = re.search(r'id="data">(.*)</script>', page)
    return json.loads(match[1], parse_constant=pytest.fail)


def page_data(*paths):
    """Return the data of the page of these runs."""
    return data_in(render(rank_directories(paths)))


def numbers(packed, kind="<f4"):
    return np.frombuffer(base64.b64decode(packed), kind)


def drawn(page):
    """Wait until all plots are drawn."""
    page.wait_for_selector("html[data-plots=ready]")


def plot(page, name, what):
    """Return a part of a plot, such as `data[0].x` or `layout.shapes`."""
    return page.evaluate(f"document.getElementById('{name}').{what}")


def axis(page, name, letter="x"):
    return plot(page, name, f"data[0].{letter}")
