"""Collect the data of the report's scripts: the runs, with their metrics, curves and fits, and the functions fitted."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from runge.comparison.metric_columns import errors_like, first_columns, report_columns
from runge.comparison.naming import as_text, short_names
from runge.comparison.ranking import Ranking
from runge.comparison.shown import MOST_ERRORS, MOST_PLACES, MOST_POINTS, MOST_STEPS, MOST_WITH_CURVES
from runge.comparison.tables import in_short
from runge.configuration.errors import ConfigurationError
from runge.records import metrics
from runge.records.directories import RunDirectory
from runge.records.files import printable
from runge.records.fits import SampledFit, fit_of
from runge.records.leaderboard import packed
from runge.records.reading import RunRecord, read_columns

_CURVES = {
    "losses": {metrics.TRAIN_LOSS: "dot", metrics.VAL_LOSS: "solid"},
    "norms": {metrics.GRAD_NORM_F: "solid", metrics.GRAD_NORM_DF: "dash"},
    "cosine": {metrics.GRAD_COSINE: "solid"},
}
"""The columns of the history that each plot shows, and the dashes of their lines; the ranking adds `errors`."""

_Curves = Mapping[str, Mapping[str, str]]


def page_data(ranking: Ranking, directory: Path | None) -> dict[str, Any]:
    """Return the data of the page's scripts, as JSON.

    Args:
        ranking: the runs.
        directory: the directory of the page, from where it links to the runs' files; None: no links.
    """
    records, metric, front = ranking.records, ranking.metric, errors_like(ranking.metric)
    errors = (key.replace("test/", "val/") for key in front)
    curves = {**_CURVES, "errors": dict(zip(errors, ("solid", "dash"), strict=True))}
    regions, of_regions = _regions(ranking)
    columns = report_columns(metric, ranking.metrics)
    functions: list[dict[str, Any]] = []
    names = short_names([record.path for record in records])
    runs = [
        {
            "name": names[i],
            **_run(record, ranking),
            "group": ranking.places[i].group,
            "figures": [record.figures.get(name) for name in columns],
            "seconds": record.figures.get(metrics.FIT_SECONDS),
            "switch": record.figures.get(metrics.SWITCHED_ON_STEP),
            "best": record.figures.get(metrics.BEST_STEP),
            "regions": [record.figures.get(f"{of_regions}/{region}") for region in regions],
            "files": {} if directory is None else _files(record, directory),
            **(_curves(record, curves, functions) if i < MOST_WITH_CURVES else {"curves": {}}),
        }
        for i, record in enumerate(records)
    ]
    outputs = {name for function in functions for name in function["outputs"]}
    return {
        "runs": runs,
        "settings": ranking.keys,
        "others": ranking.uncommon,
        "figures": columns,
        "shown": first_columns(metric),
        "meanings": {metrics.key("test", name): what for name, what in (metrics.QUANTITIES | metrics.RELATIVE).items()},
        "regions": regions,
        "groups": [{"name": group.name} for group in ranking.groups],
        "over": "folds" if ranking.folded else "seeds",
        "functions": functions,
        "by": "output" if {*regions} <= outputs else "region",
        "metric": metric,
        "part": of_regions,
        "front": front,
        "curves": curves,
        "cosine": metrics.GRAD_COSINE,
        "race": ranking.board is not None,
        "profiles": [asdict(profile) for profile in ranking.board.profiles] if ranking.board else [],
        "level": ranking.board and ranking.board.level,
    }


def _regions(ranking: Ranking) -> tuple[list[str], str]:
    """Return the regions or outputs with errors of their own, and the error that is shown of each."""
    regions = metrics.regions(ranking.metrics, metrics.TEST_MSE_DF)
    # Outputs have their own units, regions the same.
    relative = [metrics.key("test", "nrmse_df", region) for region in regions]
    all_relative = regions and all(name in ranking.metrics for name in relative)
    without_units = all_relative and errors_like(ranking.metric)[1] != metrics.TEST_MSE_DF
    return regions, metrics.TEST_NRMSE_DF if without_units else metrics.TEST_MSE_DF


def _run(record: RunRecord, ranking: Ranking) -> dict[str, Any]:
    """Return the status and the settings of a run."""
    return {
        "status": record.status,
        "message": "" if record.status == "running" else in_short(record),
        "progress": _progress(record),
        "settings": [_plain(record.settings.get(name)) for name in ranking.keys],
        "others": [as_text(record.settings[key]) if key in record.settings else None for key in ranking.uncommon],
    }


def _progress(record: RunRecord) -> str:
    """Return the steps taken of a run that is not finished."""
    if record.status == "finished" or record.step is None:
        return ""
    return f"step {record.step} of {_steps(record) or '?'}"


def share_of_steps(record: RunRecord) -> float:
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


def _curves(record: RunRecord, curves: _Curves, functions: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the `curves` of a run's history, its moved points in one dimension, and its fit (`_fit`)."""
    run, shown = RunDirectory(record.path), dict[str, Any](curves={})
    names = [name for plot in curves.values() for name in plot]
    try:
        history = read_columns(run, run.history, ("step", *names), MOST_STEPS)
        shown["curves"] = {name: packed(values) for name, values in history.items()}
        places = read_columns(run, run.points, ("step", "x"), MOST_PLACES)
        if "x" in places:
            shown["places"] = {name: packed(values) for name, values in places.items()}
        if columns := read_columns(run, run.fit, None, MOST_POINTS):
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
    most = max(2, MOST_ERRORS // (len(outputs) * (1 + len(inputs))))
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
