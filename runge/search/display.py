"""What a search shows while it trains: a display in a terminal or a notebook, elsewhere a line a round."""

import logging
import time
from collections.abc import Callable, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from runge.process.machine import can_show_progress
from runge.records.files import printable
from runge.records.metrics import ERRORS
from runge.search.standing import Standing

__all__ = ["Display"]

log = logging.getLogger(__name__)


class Display:
    """The time that is left, what is being trained, and the five best candidates so far.

    Args:
        ranked: returns the candidates that have been trained, the best first.
        seconds: the time that is left.
        shown: false shows nothing in a terminal or a notebook either.

    Attributes:
        live: a context within which it is shown; None: only lines are logged.
    """

    def __init__(self, ranked: Callable[[], Sequence[Standing]], seconds: float, shown: bool) -> None:
        console, self._ranked = Console(stderr=True), ranked
        self._round = ""
        self._began, self._seconds = time.monotonic(), seconds
        live = Live(
            get_renderable=self._render, console=console, transient=True, refresh_per_second=2, redirect_stdout=False
        )
        self.live = live if shown and can_show_progress(console) else None

    def say(self, text: str) -> None:
        """Say what is being trained in this round."""
        self._round = text
        if not self.live:
            log.info("%s", text)

    def _render(self) -> Group:
        left = max(0.0, self._seconds - (time.monotonic() - self._began))
        table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
        table.add_column("the best so far", no_wrap=True)
        for name in ("value", "df/dx"):
            table.add_column(name, justify="right")
        for candidate in self._ranked()[:5]:
            errors = [candidate.metric(name) for name in ERRORS]
            table.add_row(Text(printable(candidate.name)), *("-" if x is None else f"{x:.1e}" for x in errors))
        return Group(Text(f"{left:.0f} s left: {printable(self._round)}"), *([table] if table.rows else []))
