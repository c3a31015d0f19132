"""The parts that all verbs of the command share: how they end, and the file that `--out` names."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runge.configuration.errors import describe
from runge.records.files import printable

__all__ = ["add_out", "check_new", "ending_quietly", "refusing"]


@contextmanager
def ending_quietly() -> Iterator[None]:
    """End the process with one line if it is interrupted, and silently if the reader of its output (`head`) has exited.

    It decorates the `main` of a command, in which a BrokenPipeError of the output must not be caught before.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # now, and not at the end of the process, where the error could not be caught
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit("error: interrupted")


@contextmanager
def refusing(parser: argparse.ArgumentParser, key: str = "--out") -> Iterator[None]:
    """End the process with the usage and one message if an argument is not allowed, or a file cannot be written.

    Args:
        parser: the parser of the command.
        key: the arguments that name the files.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except (ValueError, ImportError) as error:
        parser.error(printable(str(error)))
    except OSError as error:
        system = f"{key}: a file cannot be read or written ({describe(error)})"
        parser.error(printable(str(error) if error.errno is None else system))


def add_out(parser: argparse.ArgumentParser, default: str, overwritten: str) -> None:
    """Add `--out` and `--force`, given the default in words, and the file that only `--force` overwrites."""
    parser.add_argument("--out", metavar="FILE", help=f"the file to write (default: {default})")
    parser.add_argument("--force", action="store_true", help=f"overwrite {overwritten}")


def check_new(out: Path, force: bool) -> None:
    """Raise ValueError if a file exists and may not be overwritten."""
    if out.is_file() and not force:
        raise ValueError(f"--out: must be a new file, got {str(out)!r}, which exists; --force overwrites it")
