"""The report of runs that are being trained: a page that is written again, and loads itself again, until they end."""

import time
from collections.abc import Callable
from pathlib import Path

from runge.compare.ranking import Ranking
from runge.compare.report import render
from runge.runs.files import write

SECONDS = 5.0
"""The time between two states of the page."""

_SHARE = 0.1  # of a core at most, so that the training has the rest


def watch(compare: Callable[[], Ranking], page: Path) -> None:
    """Write the report to `page` every few seconds while runs are trained; the last state no longer reloads itself.

    It ends at Ctrl-C, or after two states in which no run is being trained: between two stacks there may be one.

    Raises:
        ValueError: there are no runs yet, or they do not have the metric.
    """
    ranking, idle = compare(), 0
    try:
        while idle < 2:
            began = time.monotonic()
            write(page, render(ranking, page.parent, live=SECONDS))
            idle = 0 if ranking.running else idle + 1
            time.sleep(max(SECONDS, (time.monotonic() - began) / _SHARE))
            ranking = compare()
    except KeyboardInterrupt:
        pass
    write(page, render(ranking, page.parent))
