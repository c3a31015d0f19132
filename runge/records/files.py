"""Files written atomically, directories that no two runs share, and text that is safe to show."""

import json
import logging
import os
import platform
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from runge.configuration.errors import ConfigurationError, describe

log = logging.getLogger(__name__)

LOCK = ".lock"
"""The file by which a process keeps others out of a directory (`locked`)."""


def write(path: Path, content: str | bytes) -> None:
    """Write a file atomically: it gets its name once its content is on the disk.

    Raises:
        OSError: it cannot be written; the error names the file, and an older file of this name is unchanged.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        with partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # the original error is already being raised
            partial.unlink(missing_ok=True)


class WarnOnce:
    """Blocks of code whose exceptions are only warnings, each message once, after the name of a `place`."""

    def __init__(self, place: str = "") -> None:
        self._place, self._messages = place, set[str]()

    @contextmanager
    def __call__(self, kind: type[Exception] = OSError) -> Iterator[None]:
        """Log an exception of a block as a warning."""
        try:
            yield
        except kind as error:
            message = f"{self._place}{describe(error)}"
            if message not in self._messages:
                self._messages.add(message)
                log.warning("%s", message)


def read_json(path: Path) -> dict[str, Any]:
    """Read a file with one JSON object.

    Raises:
        ConfigurationError: it is damaged.
        OSError: it cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise TypeError(f"it must contain an object, got a {type(content).__name__}")
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigurationError(f"{path} is damaged ({error})") from error
    return content


def claim(path: str | os.PathLike[str]) -> str:
    """Make a new directory, and return its path: `path`, or if it exists `path-2`, `path-3`, ..."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    number, name = 1, os.fspath(path)
    while True:
        with suppress(FileExistsError):
            os.mkdir(name)
            return name
        number += 1
        name = f"{os.fspath(path)}-{number}"


def discard(path: Path, names: Collection[str]) -> None:
    """Remove a directory that contains no entries except `names` and a lock, and parents that this leaves empty.

    The working directory and those above it stay.
    """
    if path.is_dir() and (entries := {entry.name for entry in path.iterdir()}) <= {LOCK, *names}:
        for entry in map(path.joinpath, entries):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        with suppress(OSError):  # a parent with other runs in it is not empty
            for directory in [path.absolute(), *path.absolute().parents[:3]]:
                if Path.cwd().is_relative_to(directory):
                    break
                directory.rmdir()


def printable(text: str, keep: str = "") -> str:
    r"""Return a text with control characters and the like escaped, except the ones in `keep`.

    Example:
        >>> printable("red \x1b[31m alert")
        'red \\x1b[31m alert'
    """
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


@contextmanager
def locked(directory: Path, key: str, seconds: float = 0) -> Iterator[None]:
    """Keep other processes out of a directory, which is made if necessary.

    The system releases the lock when the process ends for any reason; the file stays, and means nothing then.

    Args:
        directory: a run's directory, or a sweep's without the directories of its runs.
        key: the key of the configuration to which a message refers.
        seconds: how long to wait for another process.

    Raises:
        ConfigurationError: another process holds the lock.
        OSError: the directory cannot be written to.
    """
    path = directory / LOCK
    try:
        lock = FileLock(path).acquire(timeout=seconds)
    except Timeout:
        owner = printable(path.read_text(errors="replace"))[:100] or "another process"
        message = f"{key}: {str(directory)!r} is in use by {owner}; wait for its end, or stop it first"
        raise ConfigurationError(message) from None
    with lock:
        with suppress(OSError):  # the text is for the message alone
            path.write_text(f"process {os.getpid()} of {platform.node()}")
        yield
