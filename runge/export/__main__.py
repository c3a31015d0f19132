"""The command `python -m runge.export RUN_DIR --to FORMAT`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import runge.export
from runge.errors import ConfigurationError, describe
from runge.export.formats import FORMATS, export
from runge.function import Function, load
from runge.records.directories import RunDirectory
from runge.records.files import printable


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command `python -m runge.export`."""
    parser = argparse.ArgumentParser(prog="python -m runge.export", description=runge.export.__doc__)
    parser.add_argument("run", metavar="RUN_DIR", help="the directory of a finished run")
    parser.add_argument("--to", required=True, choices=FORMATS, help="the format")
    parser.add_argument("--out", metavar="FILE", help="the file to write (default: `function` in the run's directory)")
    args = parser.parse_args(arguments)
    out = args.out or Path(args.run) / "function"
    try:
        print(f"{args.to}: {export(_finished(args.run), args.to, out)}")
    except OSError as error:
        parser.error(printable(f"--out: the file cannot be written ({describe(error)}); --out FILE names another"))
    except (ValueError, ImportError) as error:
        parser.error(printable(f"{error}"))


def _finished(path: str) -> Function:
    """Load the function of a run that has finished."""
    run = RunDirectory(path)
    state = None if run.metrics.exists() else run.read_state()
    if state is not None:
        after = "" if state.status == "diverged" else f"; continue it with python train.py resume={path}"
        status = f"{state.status} at step {state.step}, without {run.metrics.name}"
        raise ConfigurationError(f"RUN_DIR: must be a finished run, got {path!r} ({status}){after}")
    try:
        return load(path)
    except FileNotFoundError as error:
        raise ConfigurationError(f"RUN_DIR: must be the directory of a finished run, got {path!r} ({error})") from error


if __name__ == "__main__":
    main()
