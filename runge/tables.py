"""Tables for the terminal."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from runge.metrics import QUANTITIES, key


def error_table(metrics: Mapping[str, float | int | None], regions: Sequence[str], split: str = "test") -> Table:
    """The errors of one run, whole and by region.

    Args:
        metrics: final figures by key.
        regions: the regions' names.
        split: `train`, `val` or `test`.

    Returns:
        A row for the whole and one for each region, a column for each quantity.
    """
    table = Table(title=f"{split} errors", title_justify="left", header_style="bold", box=None, pad_edge=False)
    table.add_column("region")
    for quantity in QUANTITIES:
        table.add_column(quantity, justify="right")
    for region in ("", *regions):
        figures = [metrics[key(split, quantity, region)] for quantity in QUANTITIES]
        table.add_row(region or "whole", *("-" if x is None else f"{x:.2e}" for x in figures))
    return table
