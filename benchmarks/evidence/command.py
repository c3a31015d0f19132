"""Run the experiments behind `docs/evidence.md` again and write its pages: `python benchmarks/evidence`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from claims import CLAIMS
from sweeps import QUICK, QUICK_OVERRIDES, ClaimSweep

from runge.configuration.errors import ConfigurationError, RunError
from runge.process.interruption import interruption
from runge.records.files import printable

ROOT = Path(__file__).parents[2]


@interruption.handled()
def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiments that have not ended, one after the other, and write the pages."""
    parser = argparse.ArgumentParser(prog="python benchmarks/evidence", description=__doc__)
    parser.add_argument("claims", metavar="CLAIM", nargs="*", help="run only these claims (default: all)")
    parser.add_argument("--quick", action="store_true", help="few and short runs, as a smoke test")
    parser.add_argument(
        "--out", metavar="DIR", help="where to write the pages, and in `figures` their findings (default: docs)"
    )
    parser.add_argument("--page", action="store_true", help="only write the pages, from the findings that are kept")
    options = parser.parse_args(arguments)
    names = [claim.name for claim in CLAIMS]
    if unknown := [name for name in options.claims if name not in names]:
        parser.error(f"CLAIM: must be one of {', '.join(names)}; got {', '.join(map(repr, unknown))}")
    runs = ROOT / "outputs" / ("evidence-quick" if options.quick else "evidence")
    out = Path(options.out or (runs if options.quick else ROOT / "docs"))
    figures = out / "figures" if options.quick or options.out else ROOT / "benchmarks" / "evidence" / "figures"
    try:
        ended = [] if options.page else train(options.claims, runs, options.quick)
        from findings import Findings  # late: their libraries would delay the first workers
        from page import compared, pages
        from pages import write_pages

        if options.page:
            findings = Findings.read(figures)
        else:
            claims = [sweep.read() for sweep in ended]
            findings = Findings.of(claims, compared([record for one in claims for record in one.records]))
            findings.keep(figures)
        write_pages(pages(findings, options.quick), out)
        print(f"page: {os.path.relpath(out / 'evidence.md')}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; run the same command again to continue")
    except (ConfigurationError, RunError, OSError) as error:
        sys.exit(f"error: {printable(str(error))}")


def train(names: Sequence[str], runs: Path, quick: bool) -> list[ClaimSweep]:
    """Train what has not ended of the named claims, or of all; return all that have ended."""
    shorter = (QUICK, QUICK_OVERRIDES) if quick else ({}, ())
    ended = []
    for sweep in [ClaimSweep(claim, runs / claim.name, *shorter) for claim in CLAIMS]:
        if sweep.ended():
            ended.append(sweep)  # it stays on the page even if only other claims are named
        elif not names or sweep.claim.name in names:
            print(f"{sweep.claim.name}: {len(sweep.wanted)} runs", flush=True)
            sweep.train()
            ended.append(sweep)
    return ended
