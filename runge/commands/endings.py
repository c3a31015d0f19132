"""The parts that all verbs of the command share: how they end, and the file that `--out` names."""

import argparse
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runge.configuration.errors import ConfigurationError, RunError, describe
from runge.records.files import printable, write

__all__ = ["STANDARD", "add_out", "check_new", "ending", "write_new"]

STANDARD = "-"
"""The file name that means the standard input or output."""


@contextmanager
def ending(files: str = "") -> Iterator[None]:
    """End the process as every verb does: with 2 after a user's mistake, with 1 after a run that failed.

    Both are reported in one message, an interrupt in one line, with 1. If the reader of the output (`head`) has exited,
    the process ends silently. A traceback is shown if `HYDRA_FULL_ERROR` is 1, and for errors that are not a user's
    mistake. It decorates the `main` of a command, in which a BrokenPipeError of the output must not be caught before.

    Args:
        files: the arguments that name files. Errors in reading and writing them, in values, and of packages that are
            missing are then a user's mistake; without them, only a ConfigurationError is.
    """
    try:
        try:
            yield
        finally:
            print(end="", flush=True)  # now, and not at the end of the process, where the error could not be caught
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit("error: interrupted")
    except (OSError, ValueError, ImportError, RunError) as error:
        if not (files or isinstance(error, ConfigurationError | RunError)):
            raise
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exc()
        system = isinstance(error, OSError) and error.errno is not None
        message = f"{files}: a file cannot be read or written ({describe(error)})" if system else str(error)
        print(f"error: {printable(message, keep='' if files else chr(10))}", file=sys.stderr)
        sys.exit(1 if isinstance(error, RunError) else 2)


def add_out(parser: argparse.ArgumentParser, default: str) -> None:
    """Add `--out`, given its default in words, and `--force`."""
    parser.add_argument("--out", metavar="FILE", help=f"the file to write (default: {default})")
    parser.add_argument("--force", action="store_true", help="overwrite what exists")


def check_new(out: str | os.PathLike[str], force: bool, option: str = "--out") -> None:
    """Raise ConfigurationError if a file exists and may not be overwritten."""
    if os.path.isfile(out) and out != STANDARD and not force:
        rule = f"must be a new file, got {os.fspath(out)!r}, which exists; --force overwrites it"
        raise ConfigurationError(f"{option}: {rule}")


def write_new(out: str, content: bytes) -> None:
    """Write a file completely or not at all, following no link, or write to the standard output."""
    if out == STANDARD:
        print(end="", flush=True)
        sys.stdout.buffer.write(content)
    else:
        write(Path(out), content)
