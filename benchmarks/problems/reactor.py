"""Fit the reactor of `pfr.py` by Levenberg-Marquardt, for the page `docs/studies.md`.

    python benchmarks/problems/reactor.py [--work DIR]

Tables and runs are in DIR, by default `outputs/problems`; a sweep that was interrupted is resumed. The validation rows
choose between two activations for each table, by the NRMSE of the values.
"""

import argparse
from pathlib import Path
from statistics import median
from typing import Any

import page
import pfr

from runge import sweep

SETTINGS = (
    *("data=table", "data.split_column=split", "optimizer=levenberg_marquardt", "trainer.max_steps=100"),
    *("model.activation=silu,softplus", "trainer.progress_bar=false"),
)


def fitted(n: int, paths: list[Path], directory: Path) -> dict[str, Any]:
    """Return the medians over the pools and the worst, for n points."""
    runs = sweep(f"data.file={','.join(map(str, paths))}", *SETTINGS, directory=directory).table
    best = runs.loc[runs.groupby("data.file")["val/nrmse_f"].idxmin()]
    row: dict[str, Any] = {"n": n, "seconds": float(best["seconds/fit"].median())}
    for name, key in {"value": "test/nrmse_f", "derivative": "test/nrmse_df"}.items():
        row |= {name: median(best[key]), f"worst_{name}": max(best[key])}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("outputs/problems"))
    work = parser.parse_args().work.resolve()
    paths = pfr.write(work / "pfr")
    rows = [fitted(n, [paths[pool, n] for pool in range(pfr.POOLS)], work / f"pfr_{n}") for n in pfr.SIZES]
    page.keep("pfr", rows, "python benchmarks/problems/reactor.py")


if __name__ == "__main__":
    main()
