"""The command `python -m runge.evidence`."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import runge.evidence
from runge.configuration import CONFIGURATIONS
from runge.errors import ConfigurationError
from runge.evidence.claims import CLAIMS
from runge.evidence.page import page
from runge.evidence.sweeps import ROOT, TRAIN, Experiment, runs_below, train, train_quickly
from runge.machine import interrupt_on_sigterm
from runge.records.files import printable, write


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `python -m runge.evidence`."""
    parser = argparse.ArgumentParser(prog="python -m runge.evidence", description=runge.evidence.__doc__)
    parser.add_argument("claims", metavar="CLAIM", nargs="*", help="only these are run (default: all)")
    parser.add_argument("--quick", action="store_true", help="few and short runs, to see that it works")
    parser.add_argument("--out", metavar="DIR", help="where the page goes (default: docs)")
    given = parser.parse_args(arguments)
    names = [claim.name for claim in CLAIMS]
    for name in given.claims:
        if name not in names:
            parser.error(f"CLAIM: must be one of {', '.join(names)}; got {name!r}")
    if not TRAIN.is_file() or not CONFIGURATIONS.is_dir():
        parser.error(f"the experiments lie in a checkout of runge, beside train.py and conf; there are none in {ROOT}")
    experiments = [Experiment(claim, given.quick) for claim in CLAIMS]
    out = Path(given.out or (runs_below(quick=True) if given.quick else ROOT / "docs"))
    before = interrupt_on_sigterm()
    try:
        chosen = [one for one in experiments if not given.claims or one.claim.name in given.claims]
        (train_quickly if given.quick else train)(chosen)
        # Claims that were run before stay on the page.
        text, pictures = page([one.sweep() for one in experiments if one in chosen or one.ended()], given.quick)
        (out / "evidence").mkdir(parents=True, exist_ok=True)
        for name, picture in pictures.items():
            write(out / "evidence" / f"{name}.png", picture)
        write(out / "evidence.md", text)
        print(f"page: {os.path.relpath(out / 'evidence.md')}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; the same command goes on")
    except (ConfigurationError, OSError) as error:
        sys.exit(f"error: {printable(str(error))}")
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    main()
