"""Run the experiments behind `docs/evidence.md` again and write the page: `python benchmarks/evidence`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from claims import CLAIMS
from sweeps import QUICK, QUICK_OVERRIDES, ClaimSweep

from runge.configuration.errors import ConfigurationError, RunError
from runge.interruption import interruption
from runge.records.files import printable, write

ROOT = Path(__file__).parents[2]


@interruption.handled()
def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiments that have not ended, one after the other, and write the page."""
    parser = argparse.ArgumentParser(prog="python benchmarks/evidence", description=__doc__)
    parser.add_argument("claims", metavar="CLAIM", nargs="*", help="run only these claims (default: all)")
    parser.add_argument("--quick", action="store_true", help="few and short runs, as a smoke test")
    parser.add_argument("--out", metavar="DIR", help="where to write the page (default: docs)")
    options = parser.parse_args(arguments)
    names = [claim.name for claim in CLAIMS]
    if unknown := [name for name in options.claims if name not in names]:
        parser.error(f"CLAIM: must be one of {', '.join(names)}; got {', '.join(map(repr, unknown))}")
    runs = ROOT / "outputs" / ("evidence-quick" if options.quick else "evidence")
    out = Path(options.out or (runs if options.quick else ROOT / "docs"))
    shorter = (QUICK, QUICK_OVERRIDES) if options.quick else ({}, ())
    sweeps = [ClaimSweep(claim, runs / claim.name, *shorter) for claim in CLAIMS]
    try:
        ended = []
        for sweep in sweeps:
            if sweep.ended():
                ended.append(sweep)  # it stays on the page even if only other claims are named
            elif not options.claims or sweep.claim.name in options.claims:
                print(f"{sweep.claim.name}: {len(sweep.wanted)} runs", flush=True)
                sweep.train()
                ended.append(sweep)
        from heatmap import draw  # late: their libraries would delay the first workers
        from page import page

        text, pictures = page([sweep.read() for sweep in ended], options.quick)
        if not options.quick:
            pictures["heatmap"] = draw(text)
        (out / "evidence").mkdir(parents=True, exist_ok=True)
        for name, picture in pictures.items():
            write(out / "evidence" / f"{name}.png", picture)
        write(out / "evidence.md", text)
        print(f"page: {os.path.relpath(out / 'evidence.md')}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; run the same command again to continue")
    except (ConfigurationError, RunError, OSError) as error:
        sys.exit(f"error: {printable(str(error))}")
