"""The report of a comparison: a self-contained HTML file with its scripts and data inside."""

import base64
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from runge import metrics
from runge.compare.groups import Group
from runge.compare.importance import importance_of
from runge.compare.naming import names_of, typed
from runge.compare.ranking import errors_like
from runge.compare.search import Search
from runge.compare.tables import MOST_GROUPS, in_short, short_names
from runge.errors import ConfigurationError
from runge.runs.directories import RunDirectory
from runge.runs.files import printable
from runge.runs.fits import fit_of
from runge.runs.reading import RunRecord, read_columns

Keys = Sequence[str]


class _Function(NamedTuple):
    """The inputs, outputs and labels of a fit, as in `runge.runs.fits.Fit`, packed; x in 64 bit.

    True `rows`: the points are rows of a table.
    """

    rows: bool
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    x: str
    f: str
    df: str


CURVES = {
    "losses": {metrics.TRAIN_LOSS: "dot", metrics.VAL_LOSS: "solid"},
    "errors": {metrics.key("val", "mse_f"): "solid", metrics.key("val", "mse_df"): "dash"},
    "norms": {metrics.GRAD_NORM_F: "solid", metrics.GRAD_NORM_DF: "dash"},
    "cosine": {metrics.GRAD_COSINE: "solid"},
}
"""The columns of the history that each plot shows, and the dashes of their lines."""

_MOST_ROWS, _MOST_PLACES = 100, 2000
_POINTS, _MOST_ERRORS = 201, 8000  # of a run: points of the fit, and errors of values and partial derivatives at these
MOST_WITH_CURVES = 1000
"""The number of runs, from the first on, whose curves are included: no browser opens a page with 100 000."""


def render(
    records: Sequence[RunRecord],
    keys: Keys,
    groups: Sequence[Group],
    group_keys: Keys,
    metric: str,
    sentences: Sequence[str],
    others: Keys = (),
    search: Search | None = None,
    address: Callable[[str, Path], str] | None = None,
    libraries: bool = True,
    live: bool = False,
) -> str:
    """Return the report as one HTML document, in which texts from the runs are data, never markup.

    Args:
        records: the runs, ranked by `metric`.
        keys: the settings in which they differ.
        groups: their groups, which are defined by `group_keys`.
        group_keys: settings.
        metric: a figure.
        sentences: what is said above the tables.
        others: further settings that not all runs have in common.
        search: the search to which they belong, if they do.
        address: `address(path, file)` is the relative address of a file of the run at `path`; None: no links.
        live: the page asks for its new state, as it is served by `runge.compare.watch`.
        libraries: include the scripts; without them the page is only the new state of a page that is open.
    """
    functions: dict[_Function, int] = {}
    known = dict.fromkeys(name for record in records for name in record.figures)
    front, whole = errors_like(metric), metrics.TEST_MSE_DF
    parts = metrics.regions(known, whole)
    if parts and all(metrics.key("test", "nrmse_df", part) in known for part in parts) and front[1] != whole:
        whole = metrics.TEST_NRMSE_DF  # outputs have units, regions of a function have the same
    own = [name for name in known if name.startswith("test/") and name.count("/") == 1 and name != "test/loss"]
    figures = list(dict.fromkeys((metric, *front, *(metrics.key("test", name) for name in metrics.QUANTITIES), *own)))
    names = short_names([record.path for record in records])

    def links(record: RunRecord) -> dict[str, str]:
        return {} if address is None else {title: address(record.path, file) for title, file in _files(record).items()}

    runs = [
        {
            "name": name,
            "status": record.status,
            "message": "" if record.status == "running" else in_short(record),
            "progress": _progress(record),
            "settings": [_plain(setting, record.settings.get(setting)) for setting in keys],
            "others": [typed(key, record.settings[key]) if key in record.settings else None for key in others],
            "group": group,
            "figures": [record.figures.get(figure) for figure in figures],
            "seconds": record.figures.get(metrics.FIT_SECONDS),
            "switch": record.figures.get(metrics.SWITCHED_ON_STEP),
            "regions": [record.figures.get(f"{whole}/{part}") for part in parts],
            "files": links(record),
            **(_curves(record, functions) if i < MOST_WITH_CURVES else {"curves": {}}),
        }
        for i, (name, group, record) in enumerate(zip(names, names_of(records, group_keys), records, strict=True))
    ]
    finished = [record for record in records if record.status == "finished"]
    importance = importance_of(finished, keys, metric) if libraries else None
    data = {
        "runs": runs,
        "settings": list(keys),
        "others": list(others),
        "figures": figures,
        "shown": list(dict.fromkeys((metric, *front, "test/max_f", "test/max_df"))),
        "regions": parts,
        "groups": [{"name": group.name} for group in groups],
        "functions": [function._asdict() for function in functions],
        "by": "output" if {*parts} <= {name for function in functions for name in function.outputs} else "region",
        "metric": metric,
        "part": whole,
        "front": front,
        "curves": CURVES,
        "cosine": metrics.GRAD_COSINE,
        "search": search and {**asdict(search), "command": None},
        "importance": importance and importance._asdict(),
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("runge.compare", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}  # NaN is not valid JSON
    scripts = {
        "plotly": _embedded(get_plotlyjs()),
        "datatables": _embedded(_datatables("dt_bundle.js")),
        "style": Markup(_datatables("dt_bundle.css")),
    }
    return environment.get_template("page.html").render(
        data=data,
        groups=groups if any(len(group.values) > 1 for group in groups) else (),
        sentences=sentences,
        commands=search.command[:MOST_GROUPS] if search else [],
        running=_running(records),
        importance=importance and importance.describe(metric),
        most_groups=MOST_GROUPS,
        most_with_curves=MOST_WITH_CURVES,
        without_fit=sum(not RunDirectory(record.path).fit.exists() for record in finished[:MOST_WITH_CURVES]),
        libraries=scripts if libraries else None,
        live=live,
    )


def _progress(record: RunRecord) -> str:
    """Return the steps taken of a run that is not finished."""
    if record.status == "finished" or record.step is None:
        return ""
    return f"step {record.step} of {record.settings.get('trainer.max_steps', '?')}"


def _running(records: Sequence[RunRecord]) -> dict[str, Any] | None:
    """Return the share of the steps taken and a sentence, if some runs are being trained."""
    counts = Counter(record.status for record in records)
    if not counts["running"]:
        return None
    taken = total = 0.0
    for record in records:
        steps, done = record.settings.get("trainer.max_steps"), record.status != "running"
        most = steps if type(steps) is int and steps > 0 else max(1, record.step or 1)
        taken, total = taken + (most if done else min(record.step or 0, most)), total + most
    others = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    return {"share": f"{taken / total:.3f}", "text": others}


def _files(record: RunRecord) -> dict[str, Path]:
    """Return those files of a run that exist, by their titles."""
    run = RunDirectory(record.path)
    files = {
        "directory": run.path,
        "configuration": run.hydra / "config.yaml",
        "fit": run.fit_picture,
        "curves": run.curves_picture,
        "profiles": run.profiles_picture,
        "points": run.points_picture,
        "log": run.log,
    }
    return {title: path for title, path in files.items() if path.exists()}


def _plain(key: str, value: Any) -> Any:
    return (
        typed(key, value) if isinstance(value, str) or (isinstance(value, float) and not np.isfinite(value)) else value
    )


@np.errstate(over="ignore", invalid="ignore")
def _curves(record: RunRecord, functions: dict[_Function, int]) -> dict[str, Any]:
    """Return a run's history, its moved points in one dimension, and the errors of its fit.

    The function is added to `functions`, unless an earlier run has the same. The fit is also there if labels are
    missing, because it does not follow from the errors then.
    """
    run, shown = RunDirectory(record.path), dict[str, Any](curves={})
    names = [name for plot in CURVES.values() for name in plot]
    try:
        history = read_columns(run, run.history, ("step", *names), _MOST_ROWS)
        shown["curves"] = {name: _packed(values) for name, values in history.items()}
        places = read_columns(run, run.points, ("step", "x"), _MOST_PLACES)
        if "x" in places:
            shown["places"] = {name: _packed(values) for name, values in places.items()}
        columns = read_columns(run, run.fit, None, _POINTS)
        if not columns:
            return shown
        inputs, outputs, *parts = fit_of({printable(name): values for name, values in columns.items()})
    except (ConfigurationError, OSError) as error:
        if record.status == "running":  # it writes its files now
            return shown
        return shown | {"message": printable(str(error))}
    most = max(2, _MOST_ERRORS // (len(outputs) * (1 + len(inputs))))
    x, f, df, u, du = (part[np.linspace(0, len(part) - 1, min(len(part), most)).round().astype(int)] for part in parts)
    order = np.argsort(x[:, 0], kind="stable") if len(inputs) == 1 else slice(None)  # those of a table have none
    x, f, df, u, du = (part[order] for part in (x, f, df, u, du))
    function = _Function(record.of_table, inputs, outputs, _packed(x, "<f8"), _packed(f), _packed(df))
    shown["function"] = functions.setdefault(function, len(functions))
    if np.isnan(f).any() or np.isnan(df).any():
        shown |= {"u": _packed(u), "du": _packed(du)}
    return shown | {"error_f": _packed(u - f), "error_df": _packed(du - df)}


def _packed(values: Any, kind: str = "<f4") -> str:
    """Return numbers as base64 of little-endian floats, by default of 32 bit: a third of their size as text."""
    return base64.b64encode(np.asarray(values, dtype=kind).tobytes()).decode()


def _embedded(script: str) -> Markup:
    """Return a script for an HTML element, without sequences that end the element; its strings keep their values."""
    return Markup(script.replace("</script", r"<\/script").replace("<!--", r"<\!--"))


def _datatables(name: str) -> str:
    # `import itables` imports pandas, which takes longer than everything else here.
    return distribution("itables").locate_file(f"itables/html/{name}").read_text()
