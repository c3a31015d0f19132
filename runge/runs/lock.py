"""The lock of a directory: one process at a time writes to a run, and one commands a sweep."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from runge.errors import ConfigurationError
from runge.runs.files import LOCK, printable


@contextmanager
def locked(directory: Path, key: str, seconds: float = 0) -> Iterator[None]:
    """Keep other processes out of a directory, which is made if necessary.

    The system releases the lock when the process ends for any reason; the file stays, and means nothing then.

    Args:
        directory: a run's directory, or a sweep's, which does not include those of its runs.
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
