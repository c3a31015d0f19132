"""The report of a comparison: a self-contained HTML file with its scripts and data inside."""

import base64
from collections.abc import Sequence
from importlib.metadata import distribution
from importlib.resources import files
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from runge import metrics
from runge.compare.groups import Group, label, text
from runge.compare.tables import short_names
from runge.errors import ConfigurationError
from runge.records.directories import RunDirectory
from runge.records.files import printable
from runge.records.reading import RunRecord, read_columns

Keys = Sequence[str]
CURVES = {
    "losses": {metrics.TRAIN_LOSS: "dot", metrics.VAL_LOSS: "solid"},
    "norms": {metrics.GRAD_NORM_F: "solid", metrics.GRAD_NORM_DF: "dash"},
    "cosine": {metrics.GRAD_COSINE: "solid"},
}
"""The columns of the history that each plot shows, and the dashes of their lines."""

_MOST_ROWS, _POINTS, _MOST_PLACES = 100, 201, 2000
MOST_WITH_CURVES = 1000
"""The number of runs, from the first on, whose curves are included: no browser opens a page with 100 000."""


def render(
    records: Sequence[RunRecord], keys: Keys, groups: Sequence[Group], group_keys: Keys, metric: str, lead: str
) -> str:
    """Return the report as one HTML document, in which texts from the runs are data, never markup.

    The runs differ in the settings `keys`; their groups are defined by `group_keys`; all are ranked by `metric`.
    """
    functions: dict[tuple[str, ...], int] = {}
    known = dict.fromkeys(name for record in records for name in record.figures)
    own = [name for name in known if name.startswith("test/") and name.count("/") == 1 and name != "test/loss"]
    figures = list(dict.fromkeys((metric, *(metrics.key("test", name) for name in metrics.QUANTITIES), *own)))
    parts = metrics.regions(known, metrics.TEST_MSE_DF)
    names = short_names([record.path for record in records])
    runs = [
        {
            "name": name,
            "status": record.status,
            "message": record.message,
            "settings": [_plain(record.settings.get(setting)) for setting in keys],
            "group": label(record.settings, group_keys),
            "figures": [record.figures.get(figure) for figure in figures],
            "seconds": record.figures.get(metrics.FIT_SECONDS),
            "switch": record.figures.get(metrics.SWITCHED_ON_STEP),
            "regions": [record.figures.get(metrics.key("test", "mse_df", part)) for part in parts],
            **(_curves(record, functions) if i < MOST_WITH_CURVES else {"curves": {}}),
        }
        for i, (name, record) in enumerate(zip(names, records, strict=True))
    ]
    finished = [RunDirectory(record.path) for record in records[:MOST_WITH_CURVES] if record.status == "finished"]
    data = {
        "runs": runs,
        "settings": list(keys),
        "figures": figures,
        "regions": parts,
        "groups": [group._asdict() for group in groups],
        "functions": [dict(zip(("x", "f", "df"), function, strict=True)) for function in functions],
        "metric": metric,
        "front": (metrics.TEST_MSE_F, metrics.TEST_MSE_DF),
        "curves": CURVES,
    }
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}  # NaN is not valid JSON
    return environment.from_string(files("runge.compare").joinpath("report.html").read_text()).render(
        data=data,
        groups=groups,
        lead=lead,
        most_with_curves=MOST_WITH_CURVES,
        without_fit=sum(not run.fit.exists() for run in finished),
        plotly=_embedded(get_plotlyjs()),
        datatables=_embedded(_datatables("dt_bundle.js")),
        style=Markup(_datatables("dt_bundle.css")),
    )


def _plain(value: Any) -> Any:
    return text(value) if isinstance(value, float) and not np.isfinite(value) else value


@np.errstate(over="ignore", invalid="ignore")
def _curves(record: RunRecord, functions: dict[tuple[str, ...], int]) -> dict[str, Any]:
    """Return a run's history, its moved points and, in one dimension, the errors of its fit.

    The function is added to `functions`, unless an earlier run has the same.
    """
    run, shown = RunDirectory(record.path), dict[str, Any](curves={})
    names = [name for plot in CURVES.values() for name in plot]
    try:
        history = read_columns(run, run.history, ("step", *names), _MOST_ROWS)
        shown["curves"] = {name: _packed(values) for name, values in history.items()}
        places = read_columns(run, run.points, ("step", "x"), _MOST_PLACES)
        if "x" in places:
            shown["places"] = {name: _packed(values) for name, values in places.items()}
        fit = read_columns(run, run.fit, ("x", "f", "df", "u", "du"), _POINTS)
    except (ConfigurationError, OSError) as error:
        return shown | {"message": printable(str(error))}
    if len(fit) < 5:
        return shown
    x, f, df, u, du = map(np.array, fit.values())
    number = functions.setdefault((_packed(x), _packed(f), _packed(df)), len(functions))
    return shown | {"function": number, "error_f": _packed(u - f), "error_df": _packed(du - df)}


def _packed(values: Any) -> str:
    """Return numbers as base64 of little-endian 32-bit floats: a third of their size as text."""
    return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode()


def _embedded(script: str) -> Markup:
    """Return a script for an HTML element, without sequences that end the element; its strings keep their values."""
    return Markup(script.replace("</script", r"<\/script").replace("<!--", r"<\!--"))


def _datatables(name: str) -> str:
    # `import itables` imports pandas, which takes longer than everything else here.
    return distribution("itables").locate_file(f"itables/html/{name}").read_text()
