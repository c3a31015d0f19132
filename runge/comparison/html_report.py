"""The report of a comparison: a self-contained HTML file with its scripts and data inside."""

import os
from base64 import b64encode
from collections import Counter, defaultdict
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from rich.console import Console

from runge.comparison.leaderboard_table import HEADERS, candidate_row, show_leaderboard
from runge.comparison.metric_columns import errors_like
from runge.comparison.origin import command_of, origin_of
from runge.comparison.page_data import page_data, share_of_steps
from runge.comparison.ranking import VERDICTS, Ranking
from runge.comparison.sensitivity_table import rows_by_output
from runge.comparison.shown import MOST_GROUPS, MOST_INPUTS, MOST_WITH_CURVES
from runge.comparison.tables import show
from runge.records.files import printable, write
from runge.records.trials import Trials

PAGE = "comparison.html"

REPORT = ("comparison.csv", "comparison.png", PAGE)
"""The files that each report has; where they are, a new report may replace them."""


def publish(ranking: Ranking, directory: Path, sweep: Path | None = None, kind: str = "png") -> None:
    """Show the comparison, write its files, and print the path of `comparison.html`.

    The comparison of `search=best` is its leaderboard, with the commands that use the answer in the directory `sweep`,
    by default the same.
    """
    if ranking.board is None:
        show(ranking, Console())
    else:
        show_leaderboard(ranking.board, Console(), sweep or directory)
    write_report(ranking, directory, kind)
    print(f"report: {printable(os.path.relpath(directory / PAGE))}")


def write_report(ranking: Ranking, directory: Path, kind: str = "png") -> None:
    """Write `comparison.csv`, `.png` and `.html`, and `verdicts.csv`, into a directory, which is made if there is none.

    The picture is also written as a file of another kind, such as `pdf`.
    """
    # Late: Matplotlib is imported when something is drawn.
    from runge.comparison.picture import comparison_picture
    from runge.pictures.style import image

    directory.mkdir(parents=True, exist_ok=True)
    write(directory / "comparison.csv", ranking.csv())
    write(directory / VERDICTS, ranking.verdicts_csv())
    picture = comparison_picture(ranking)
    for ending in dict.fromkeys(("png", kind)):
        write(directory / f"comparison.{ending}", image(picture, ending))
    write(directory / PAGE, render(ranking, directory))


def render(ranking: Ranking, directory: Path | None = None) -> str:
    """Return the report as one HTML document, in which texts from the runs are data, never markup.

    Args:
        ranking: the runs.
        directory: the directory to which it is written, from where it links to the runs' files; None: no links.
    """
    records, board = ranking.records, ranking.board
    # The leaderboard of a search has the errors over folds, and its candidates differ in their number of folds.
    grouped = board is None and any(len(group.values) > 1 for group in ranking.groups)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("runge.comparison", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["sha256"] = lambda text: b64encode(sha256(text.encode()).digest()).decode()
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}  # NaN is not valid JSON
    return environment.get_template("page.html").render(
        data=page_data(ranking, directory),
        folded={name: ranking.groups_by(name) for name in errors_like(ranking.metric)} if ranking.folded else {},
        groups=ranking.groups if grouped else (),
        effects=ranking.effects if grouped else (),
        differences=defaultdict(lambda: None, ranking.differences),
        compared=ranking.compared,
        sentences=ranking.sentences,
        board=board,
        headers=HEADERS,
        candidates=map(candidate_row, board.candidates if board else ()),
        influences=rows_by_output(board.sensitivity) if board and board.sensitivity else {},
        origin=origin_of(records, ranking.common),
        reason=ranking.reason,
        commands=trial_commands(ranking.trials)[:MOST_GROUPS] if ranking.trials else [],
        counts=Counter(record.status for record in records),
        share=sum(map(share_of_steps, records)) / len(records),
        most_groups=MOST_GROUPS,
        most_inputs=MOST_INPUTS,
        most_with_curves=MOST_WITH_CURVES,
        plotly=_embedded(get_plotlyjs()),
        datatables=_embedded(_datatables("dt_bundle.js")),
        style=Markup(_datatables("dt_bundle.css")),
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
