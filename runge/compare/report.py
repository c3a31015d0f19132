"""The report of a comparison: one HTML file that needs nothing else, with its scripts and its data inside."""

import base64
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import itables
import jinja2
import numpy as np
import torch
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from runge.compare.groups import Group, Row, label, text
from runge.compare.tables import short_names
from runge.configuration import build, strangers
from runge.errors import ConfigurationError
from runge.function import Function, load
from runge.metrics import QUANTITIES, key
from runge.records.directories import RunDirectory
from runge.records.files import printable
from runge.records.reading import read_curves, read_points
from runge.targets import Target

CURVES = (
    *("train/loss", "val/loss", "val/mse_f", "val/mse_df"),
    *("grad_norm/f", "grad_norm/df", "grad_cosine"),
)
_MOST_ROWS, _POINTS, _MOST_PLACES = 100, 201, 2000
MOST_WITH_CURVES = 1000
"""Runs of which the curves are kept, the first ones: a report of 100 000 could not be opened."""


def render(
    rows: Sequence[Row], keys: Sequence[str], groups: Sequence[Group], group_keys: Sequence[str], metric: str, lead: str
) -> str:
    """The report as one HTML document.

    Args:
        rows: the runs, in the order in which they are shown.
        keys: the settings in which they differ.
        groups: the groups, the best first.
        group_keys: what tells groups apart.
        metric: what is ranked by.
        lead: how the best group stands to the next.

    Returns:
        The document. Names of runs and values of settings are data in it, never markup.
    """
    functions: dict[str, dict[str, str]] = {}
    figures = list(dict.fromkeys((metric, *(key("test", quantity) for quantity in QUANTITIES))))
    regional = [name for name in dict.fromkeys(name for row in rows for name in row) if name.startswith("test/mse_df/")]
    names = short_names([str(row["run"]) for row in rows])
    runs = [
        {
            "name": name,
            "status": row["status"],
            "message": row.get("message") or "",
            "settings": [_plain(row.get(setting)) for setting in keys],
            "group": label(row, group_keys),
            "figures": [row.get(figure) for figure in figures],
            "seconds": row.get("seconds/fit"),
            "switch": row.get("switched_on_step"),
            "regions": [row.get(name) for name in regional],
            **(_curves(row, functions) if i < MOST_WITH_CURVES else {"curves": {}}),
        }
        for i, (name, row) in enumerate(zip(names, rows, strict=True))
    ]
    data = {
        "runs": runs,
        "settings": list(keys),
        "figures": figures,
        "regions": [name.rpartition("/")[2] for name in regional],
        "groups": [{"name": found.name, "values": found.values} for found in groups],
        "functions": functions,
        "metric": metric,
    }
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}  # no JSON, and the page could not read it
    template = environment.from_string(files("runge.compare").joinpath("report.html").read_text())
    return template.render(
        data=data,
        groups=groups,
        lead=lead,
        most_with_curves=MOST_WITH_CURVES,
        metric=metric,
        plotly=_embedded(get_plotlyjs()),
        datatables=_embedded(_datatables("dt_bundle.js")),
        style=Markup(_datatables("dt_bundle.css")),
    )


def _plain(value: Any) -> Any:
    return text(value) if isinstance(value, float) and not np.isfinite(value) else value


def _curves(row: Row, functions: dict[str, dict[str, str]]) -> dict[str, Any]:
    """A run's history and, in one dimension, the errors of its function; its target is added to the `functions`."""
    run = RunDirectory(str(row["run"]))
    found: dict[str, Any] = {"curves": {}}
    try:
        found["curves"] = {k: _packed(v) for k, v in read_curves(run, CURVES, _MOST_ROWS).items()}
        if places := read_points(run, _MOST_PLACES):
            found["places"] = {k: _packed(v) for k, v in places.items()}
        return found | (_errors(load(run.path), functions) if row["status"] == "finished" else {})
    except Exception as error:  # whatever somebody else's files make of it: the other runs are shown all the same
        return found | {"message": printable(str(error))}


def _errors(u: Function, functions: dict[str, dict[str, str]]) -> dict[str, str]:
    configured = u.configuration.get("target")
    if named := strangers(configured):
        raise ConfigurationError(
            f"its curves are not drawn: no module is imported for a file's sake; name that of {', '.join(named)} with "
            "--import"
        )
    target = build("target", configured, Target)
    if target.dimension > 1:
        return {}
    name = json.dumps(configured, sort_keys=True)
    lower, upper = target.domain[0].tolist()
    x = torch.linspace(lower, upper, _POINTS, dtype=torch.float64)
    f, df = target.value(x[:, None]), target.derivative(x[:, None])[:, 0]
    functions.setdefault(name, {"x": _packed(x), "f": _packed(f), "df": _packed(df)})
    with torch.no_grad():
        return {"function": name, "error_f": _packed(u(x) - f), "error_df": _packed(u.derivative(x) - df)}


def _packed(values: Sequence[float] | torch.Tensor) -> str:
    """Numbers as base64 of little-endian 32-bit floats: a third of their size as text."""
    return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode()


def _embedded(script: str) -> Markup:
    """A script as the content of an element, which nothing in it may end; within its strings the two mean the same."""
    return Markup(script.replace("</script", r"<\/script").replace("<!--", r"<\!--"))


def _datatables(name: str) -> str:
    return (Path(itables.__file__).parent / "html" / name).read_text()
