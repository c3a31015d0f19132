"""The pictures of runs and sweeps, drawn from their files."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runge.records.directories import RunDirectory
from runge.records.files import write
from runge.records.fits import fit_of
from runge.records.metrics import BEST_STEP, SWITCHED_ON_STEP, TEST_MSE_F
from runge.records.reading import read, read_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NOISE = {"data.noise_f": "f", "data.noise_df": "f'"}
"""The labels of noise in a title, by its keys."""


def draw(directory: str | os.PathLike[str], metrics: Mapping[str, Any] | None = None) -> dict[str, "Figure"]:
    """Draw a run's pictures from its files: `curves` and, if the run has finished, `fit`, `profiles` and `points`.

    `profiles` is drawn if there are several inputs, `points` if the training points moved. The function between the
    test points is that of `best.ckpt`.

    Args:
        directory: the run's directory.
        metrics: the final figures, if they are not in its files yet.

    Raises:
        ConfigurationError: a file is damaged.
        FileNotFoundError: there is no such run, or it has no rows of the history yet.
    """
    # Late: Matplotlib is imported when something is drawn.
    from runge.pictures.curves import curves_picture, points_picture
    from runge.pictures.fit import fit_picture
    from runge.pictures.profiles import profiles_picture

    run = RunDirectory(directory)
    history = read_columns(run, run.history, None, sys.maxsize)
    fit, points = (read_columns(run, path, None, sys.maxsize) for path in (run.fit, run.points))
    if not history:
        raise FileNotFoundError(f"{run.history} is missing: {run.path} is not a run, or has no rows of it yet")
    record = read(run)
    title, figures = title_of(record.settings), record.figures if metrics is None else metrics
    title += ", on the validation rows" if figures.get(TEST_MSE_F, 0) is None else ""
    pictures, outputs = {}, ()
    switched_on = figures.get(SWITCHED_ON_STEP)
    if fit:
        values = fit_of(fit)
        outputs, several = values.outputs, len(values.inputs) > 1
        from runge.function.loading import load  # late: the curves of a run without a fit need no torch
        from runge.function.slices import formula_of, profiles_of

        target, (x, *labels) = formula_of(run.read_configuration()[0])
        if points:  # they moved, to where their labels are not saved
            moved, labels = np.stack([points[name] for name in values.inputs], axis=1), None
            x = moved[np.equal(points["step"], points["step"][-1])]
        profiles = profiles_of(load(run.path), values.x, target=target) if several or record.of_table else []
        profile = profiles[0] if profiles and not several else None
        pictures["fit"] = fit_picture(values, title, profile, x if len(x) else None, labels)
        if several:
            pictures["profiles"] = profiles_picture(profiles, title, values.inputs, outputs, values.f)
    pictures["curves"] = curves_picture(history, switched_on, figures.get(BEST_STEP), outputs, title)
    if points:
        pictures["points"] = points_picture(points, history, title)
    return pictures


def draw_answer(directory: str | os.PathLike[str]) -> dict[str, "Figure"]:
    """Draw the function of a sweep, as `runge.load` has it, with its intervals if it has some.

    `answer` has curves of one input, maps of two, and `profiles` of more; of two there are `profiles` beside.

    Raises:
        ConfigurationError: a file is damaged, or the runs of the sweep are not one function.
        FileNotFoundError: there are no runs with a checkpoint.
    """
    from runge.function.loading import load  # late, as above
    from runge.function.slices import fit_of_function, plane_of, profiles_of, rows_seen
    from runge.pictures.fit import fit_picture, interval_maps
    from runge.pictures.profiles import profiles_picture

    function = load(directory)
    x, *labels = rows_seen(function)
    data, count = function.configuration.get("data") or {}, function.members
    what, of_table = ", ".join(function.outputs), "file" in data
    networks = f"the mean of {count} networks" if count > 1 else "one network"
    title = f"{Path(data['file']).name if of_table else what}: {networks}".replace("$", r"\$")
    profiles = profiles_of(function, x)
    if len(function.inputs) == 1:
        title += ", with the rows that it was fitted to" if of_table else ""
        profile = profiles[0] if of_table else None
        return {"answer": fit_picture(fit_of_function(function, x, *labels), title, profile)}
    picture = profiles_picture(profiles, title, function.inputs, function.outputs, labels[0])
    if len(function.inputs) > 2:
        return {"answer": picture}
    plane = plane_of(function, x)
    if np.isnan(plane.around).all():
        return {"answer": fit_picture(fit_of_function(function, x, *labels), title), "profiles": picture}
    return {"answer": interval_maps(plane, title, function.inputs, function.outputs, x), "profiles": picture}


def draw_into(directory: str | os.PathLike[str], metrics: Mapping[str, Any] | None = None) -> list[Path]:
    """Draw a run's pictures as `draw`, write them as PNG files into its directory, and return their paths."""
    return write_pictures(Path(directory), draw(directory, metrics))


def write_pictures(directory: Path, pictures: Mapping[str, "Figure"]) -> list[Path]:
    """Write pictures as PNG files into a directory, and return their paths."""
    from runge.pictures.style import image  # late, as above

    paths = [directory / f"{name}.png" for name in pictures]
    for path, figure in zip(paths, pictures.values(), strict=True):
        write(path, image(figure))
    return paths


def title_of(settings: Mapping[str, Any]) -> str:
    """Return the title of a run's pictures, from its flat settings.

    Example:
        >>> title_of({"target": "Runge", "model.activation": "tanh", "model.depth": 2, "model.width": 64, "seed": 0})
        'Runge: tanh 2 × 64, seed 0'
    """
    formulas = {name: text for name, text in settings.items() if name.startswith("target.expr.")}
    what = ", ".join(f"{name.removeprefix('target.expr.')} = {text}" for name, text in formulas.items())
    what = what or settings.get("target.expr") or settings.get("target")
    if any(name.startswith("target.expr") for name in settings) and "[[" in str(settings.get("target.domain")):
        what = re.sub(r"\b[xyz]\b", lambda name: f"x{'xyz'.index(name[0]) + 1}", str(what))  # the names on the axes
    if "data.file" in settings:
        what = Path(settings["data.file"]).name
    elif "sampling" in settings:
        what = f"{what}, {settings['sampling'].lower()} sampling"
        if "resampling.every" in settings:
            what += f", then by {settings['resampling'].lower()}"
        noise = [f"noise {level:g} in {label}" for key, label in _NOISE.items() if (level := settings.get(key))]
        what = ", ".join([what, *noise])
    facts = [f"{settings.get('model.activation')} {settings.get('model.depth')} × {settings.get('model.width')}"]
    if "loss.lambda_d" in settings:
        balance = settings.get("balance", "Fixed")
        facts.append(f"lambda_d = {settings['loss.lambda_d']:g}" if balance == "Fixed" else f"lambda_d by {balance}")
    text = f"{what}: {', '.join(facts)}, seed {settings.get('seed')}"
    return text.replace("$", r"\$")  # otherwise it would be mathtext
