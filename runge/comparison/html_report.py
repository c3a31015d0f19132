"""The report of a comparison: a self-contained HTML file with its scripts and data inside."""

import os
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from rich.console import Console

from runge import metrics
from runge.comparison.groups import errors_like
from runge.comparison.leaderboard_table import HEADERS, candidate_row, show_leaderboard
from runge.comparison.naming import as_text, command_of, short_names
from runge.comparison.origin import origin_of
from runge.comparison.ranking import Ranking
from runge.comparison.sensitivity_table import rows_by_output
from runge.comparison.tables import MOST_GROUPS, in_short, show
from runge.configuration.errors import ConfigurationError
from runge.records.directories import RunDirectory
from runge.records.files import printable, write
from runge.records.fits import SampledFit, fit_of
from runge.records.leaderboard import packed
from runge.records.reading import RunRecord, read_columns
from runge.records.trials import Trials

PAGE = "comparison.html"

CURVES = {
    "losses": {metrics.TRAIN_LOSS: "dot", metrics.VAL_LOSS: "solid"},
    "norms": {metrics.GRAD_NORM_F: "solid", metrics.GRAD_NORM_DF: "dash"},
    "cosine": {metrics.GRAD_COSINE: "solid"},
}
"""The columns of the history that each plot shows, and the dashes of their lines; the ranking adds `errors`."""

Curves = Mapping[str, Mapping[str, str]]

MOST_WITH_CURVES = 1000
"""The number of runs, from the first on, whose curves are included: no browser opens a page with 100 000."""

# Bounds on the size of the page, which has up to 1000 runs.
_MOST_ROWS, _MOST_PLACES = 100, 2000
"""The most rows of a run's history, and the most places of its moved points."""

_MOST_INPUTS = 12
"""The most inputs that are shown for each output, with the largest indices; the others are folded."""

_POINTS, _MOST_ERRORS = 201, 8000
"""The most points of a run's fit, and the most errors of values and partial derivatives at these points."""


def publish(ranking: Ranking, directory: Path, sweep: Path | None = None) -> None:
    """Show the comparison, write `comparison.csv`, `.png` and `.html`, and print the path of the last.

    The comparison of `search=best` is its leaderboard, with the commands that use the answer in the directory `sweep`,
    by default the same.
    """
    if ranking.race is None:
        show(ranking, Console())
    else:
        show_leaderboard(ranking.race, Console(), sweep or directory)
    write_report(ranking, directory)
    print(f"report: {printable(os.path.relpath(directory / PAGE))}")


def write_report(ranking: Ranking, directory: Path) -> None:
    """Write `comparison.csv`, `.png` and `.html` into a directory, which is made if there is none."""
    # Late: Matplotlib is imported when something is drawn.
    from runge.comparison.picture import comparison_picture
    from runge.pictures.style import png

    directory.mkdir(parents=True, exist_ok=True)
    write(directory / "comparison.csv", ranking.csv())
    write(directory / "comparison.png", png(comparison_picture(ranking)))
    write(directory / PAGE, render(ranking, directory))


def render(ranking: Ranking, directory: Path | None = None) -> str:
    """Return the report as one HTML document, in which texts from the runs are data, never markup.

    Args:
        ranking: the runs.
        directory: the directory to which it is written, from where it links to the runs' files; None: no links.
    """
    records = ranking.records
    # The leaderboard of a search has the errors over folds, and its candidates differ in their number of folds.
    grouped = ranking.race is None and any(len(group.values) > 1 for group in ranking.groups)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("runge.comparison", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["sha256"] = lambda text: b64encode(sha256(text.encode()).digest()).decode()
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}  # NaN is not valid JSON
    return environment.get_template("page.html").render(
        data=_data(ranking, directory),
        folded={name: ranking.groups_by(name) for name in errors_like(ranking.metric)} if ranking.folded else {},
        groups=ranking.groups if grouped else (),
        differences=defaultdict(lambda: None, ranking.differences),
        compared=ranking.compared,
        sentences=ranking.sentences,
        board=ranking.race,
        headers=HEADERS,
        candidates=map(candidate_row, ranking.race.candidates if ranking.race else ()),
        influences=rows_by_output(ranking.race.sensitivity) if ranking.race and ranking.race.sensitivity else {},
        origin=origin_of(ranking),
        reason=ranking.reason,
        commands=trial_commands(ranking.search)[:MOST_GROUPS] if ranking.search else [],
        counts=Counter(record.status for record in records),
        share=sum(map(_share, records)) / len(records),
        most_groups=MOST_GROUPS,
        most_inputs=_MOST_INPUTS,
        most_with_curves=MOST_WITH_CURVES,
        plotly=_embedded(get_plotlyjs()),
        datatables=_embedded(_datatables("dt_bundle.js")),
        style=Markup(_datatables("dt_bundle.css")),
    )


def _data(ranking: Ranking, directory: Path | None) -> dict[str, Any]:
    """Return the data of the page's scripts, as JSON."""
    metric, front = ranking.metric, errors_like(ranking.metric)
    errors = (key.replace("test/", "val/") for key in front)
    curves = {**CURVES, "errors": dict(zip(errors, ("solid", "dash"), strict=True))}
    region_names = metrics.regions(ranking.metrics, metrics.TEST_MSE_DF)
    # Outputs have their own units, regions the same.
    relative = [metrics.key("test", "nrmse_df", region) for region in region_names]
    all_relative = region_names and all(name in ranking.metrics for name in relative)
    without_units = all_relative and front[1] != metrics.TEST_MSE_DF
    derivative_error = metrics.TEST_NRMSE_DF if without_units else metrics.TEST_MSE_DF
    on_test = [name for name in ranking.metrics if name.startswith("test/") and name.count("/") == 1]
    own_metrics = [name for name in on_test if name != "test/loss"]
    quantities = [metrics.key("test", name) for name in metrics.QUANTITIES]
    figures = list(dict.fromkeys((metric, *front, *quantities, *own_metrics)))
    functions: list[dict[str, Any]] = []
    names = short_names([record.path for record in ranking.records])

    def run(i: int, record: RunRecord) -> dict[str, Any]:
        return {
            "name": names[i],
            "status": record.status,
            "message": "" if record.status == "running" else in_short(record),
            "progress": _progress(record),
            "settings": [_plain(record.settings.get(name)) for name in ranking.keys],
            "others": [as_text(record.settings[key]) if key in record.settings else None for key in ranking.uncommon],
            "group": ranking.names[i],
            "figures": [record.figures.get(figure) for figure in figures],
            "seconds": record.figures.get(metrics.FIT_SECONDS),
            "switch": record.figures.get(metrics.SWITCHED_ON_STEP),
            "best": record.figures.get(metrics.BEST_STEP),
            "regions": [record.figures.get(f"{derivative_error}/{region}") for region in region_names],
            "files": {} if directory is None else _files(record, directory),
            **(_curves(record, curves, functions) if i < MOST_WITH_CURVES else {"curves": {}}),
        }

    runs = [run(i, record) for i, record in enumerate(ranking.records)]
    outputs = {name for function in functions for name in function["outputs"]}
    return {
        "runs": runs,
        "settings": ranking.keys,
        "others": ranking.uncommon,
        "figures": figures,
        "shown": list(dict.fromkeys((metric, *front))),
        "meanings": {metrics.key("test", name): what for name, what in (metrics.QUANTITIES | metrics.RELATIVE).items()},
        "regions": region_names,
        "groups": [{"name": group.name} for group in ranking.groups],
        "over": "folds" if ranking.folded else "seeds",
        "functions": functions,
        "by": "output" if {*region_names} <= outputs else "region",
        "metric": metric,
        "part": derivative_error,
        "front": front,
        "curves": curves,
        "cosine": metrics.GRAD_COSINE,
        "race": ranking.race is not None,
        "profiles": [asdict(profile) for profile in ranking.race.profiles] if ranking.race else [],
        "level": ranking.race and ranking.race.level,
    }


def _progress(record: RunRecord) -> str:
    """Return the steps taken of a run that is not finished."""
    if record.status == "finished" or record.step is None:
        return ""
    return f"step {record.step} of {_steps(record) or '?'}"


def _share(record: RunRecord) -> float:
    """Return the share of a run's steps that are taken; 1 for an ended run."""
    most = _steps(record)
    return 1 if record.status != "running" or most is None else min(1, (record.step or 0) / most)


def _steps(record: RunRecord) -> int | None:
    """Return the number of a run's steps, if its configuration has one."""
    limits = [record.settings.get(f"trainer.{name}") for name in ("max_steps", "stop_at")]
    return min((steps for steps in limits if isinstance(steps, int) and steps > 0), default=None)


def _files(record: RunRecord, directory: Path) -> dict[str, str]:
    """Return the addresses of the existing files of a run relative to `directory`, by their titles."""
    run = RunDirectory(record.path)
    files = {"directory": run.path, "configuration": run.configuration, "fit": run.fit_picture}
    files |= {"curves": run.curves_picture, "profiles": run.profiles_picture, "points": run.points_picture}
    files["log"] = run.log
    addresses = {title: (path, quote(os.path.relpath(path, directory))) for title, path in files.items()}
    return {title: address + "/" * path.is_dir() for title, (path, address) in addresses.items() if path.exists()}


def _plain(value: Any) -> Any:
    """Return a setting as JSON has it: numbers that are not finite as text."""
    finite = not isinstance(value, float) or np.isfinite(value)
    return value if finite else as_text(value)


def _curves(record: RunRecord, curves: Curves, functions: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the `curves` of a run's history, its moved points in one dimension, and its fit (`_fit`)."""
    run, shown = RunDirectory(record.path), dict[str, Any](curves={})
    names = [name for plot in curves.values() for name in plot]
    try:
        history = read_columns(run, run.history, ("step", *names), _MOST_ROWS)
        shown["curves"] = {name: packed(values) for name, values in history.items()}
        places = read_columns(run, run.points, ("step", "x"), _MOST_PLACES)
        if "x" in places:
            shown["places"] = {name: packed(values) for name, values in places.items()}
        if columns := read_columns(run, run.fit, None, _POINTS):
            fit = fit_of({printable(name): values for name, values in columns.items()})
            shown |= _fit(fit, functions, record.of_table)
    except (ConfigurationError, OSError) as error:
        if record.status != "running":  # one that is being trained writes its files now
            shown["message"] = printable(str(error))
    return shown


@np.errstate(over="ignore", invalid="ignore")
def _fit(fit: SampledFit, functions: list[dict[str, Any]], of_table: bool) -> dict[str, Any]:
    """Return the errors of a fit, and also the fit if labels are missing, because errors do not determine it then.

    The function is added to `functions`, unless an earlier run has the same.
    """
    inputs, outputs = fit.inputs, fit.outputs
    most = max(2, _MOST_ERRORS // (len(outputs) * (1 + len(inputs))))
    rows = np.linspace(0, len(fit.x) - 1, min(len(fit.x), most)).round().astype(int)
    if len(inputs) == 1:
        rows = rows[np.argsort(fit.x[rows, 0], kind="stable")]
    x = fit.x[rows]
    f, u = fit.f[rows], fit.u[rows]
    df, du = fit.df[rows], fit.du[rows]
    function = {"rows": of_table, "inputs": inputs, "outputs": outputs}
    function |= {"x": packed(x, "<f8"), "f": packed(f), "df": packed(df)}
    if function not in functions:
        functions.append(function)
    missing = np.isnan(f).any() or np.isnan(df).any()
    return {"function": functions.index(function), "error_f": packed(u - f), "error_df": packed(du - df)} | (
        {"u": packed(u), "du": packed(du)} if missing else {}
    )


def trial_commands(trials: Trials) -> list[str]:
    """Return the command of each best trial, which trains its settings once for each fold."""
    return [command_of(overrides, sweep=trials.folds > 0) for overrides in trials.overrides]


def _embedded(script: str) -> Markup:
    """Return a script for an HTML element, without sequences that end the element; its strings keep their values."""
    return Markup(script.replace("</script", r"<\/script").replace("<!--", r"<\!--"))


def _datatables(name: str) -> str:
    # `import itables` imports pandas, with which comparing ten runs takes 24 % more CPU time (1.14 instead of 0.92 s).
    return Path(str(distribution("itables").locate_file(f"itables/html/{name}"))).read_text(encoding="utf-8")
