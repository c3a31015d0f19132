"""The one way to write a file and the one way to read it, directories of one run alone, and text safe to show."""

import errno
import json
import logging
import os
import platform
import re
import secrets
import shutil
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from runge.configuration.errors import ConfigurationError, describe

log = logging.getLogger(__name__)

LOCK = ".lock"
"""The file by which a process keeps others out of a directory (`locked`)."""

_DEEPEST = 50
"""The most levels of nested data in a file."""

_PART, _SECONDS_OF_PARTS = ".part", 3600.0
"""The end of the name of a file that is being written, and the age at which nobody writes it any more."""


def write(path: Path, content: str | bytes, sync: bool = True) -> None:
    """Write a file atomically: it gets its name once its content is on the disk, and no link is followed.

    Until then it has a random name, so that several processes publish whole files in turn.

    Args:
        path: the file.
        content: its content.
        sync: whether its name, and those that the directory got before, must be on the disk when this returns.

    Raises:
        OSError: it cannot be written; the error names the file, and an older file of this name is unchanged.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_PART}")
    try:
        with partial.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        if sync:
            _sync(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # the original error is already being raised
            partial.unlink(missing_ok=True)


def remove_parts(directory: Path, name: str = "*", seconds: float = 0.0) -> None:
    """Remove half-written files that processes left when they were killed.

    Args:
        directory: the directory of the files.
        name: the name that they would have had, or a pattern of it.
        seconds: their least age, after which nobody writes them any more.

    Raises:
        OSError: one cannot be removed.
    """
    for path in directory.glob(f".{name}.*{_PART}"):
        if path.is_file() and time.time() - path.lstat().st_mtime >= seconds:
            path.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    """Write the names of a directory to the disk, so that after a power cut no later one is there without them."""
    with suppress(OSError):  # Windows, and some file systems, have no such thing
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_bytes(path: Path, most: int = 2**28, top: Path | None = None) -> bytes:
    """Read a file of a directory that may be from somebody else.

    Args:
        path: the file.
        most: the most bytes that it may have.
        top: the directory out of which no link may lead; None: the file's own.

    Raises:
        ConfigurationError: it is no regular file, such as a pipe or a device; or it is larger, or out of `top`.
        OSError: it cannot be read.
    """
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(top or path.parent)):
        raise ConfigurationError(f"{path} is damaged (it is a link out of its directory)")
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError(f"{path} is damaged (it is no regular file)")
        if status.st_size > most:
            raise ConfigurationError(f"{path} is too large ({status.st_size} bytes; {most} are allowed)")
        return file.read(status.st_size)


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


def read_json(path: Path, most: int = 2**22) -> dict[str, Any]:
    """Read a file with one JSON object, whose integers are of 64 bits.

    Raises:
        ConfigurationError: it is damaged, or no regular file of at most `most` bytes.
        OSError: it cannot be read.
    """
    try:
        text = read_bytes(path, most)
        content = json.loads(text, parse_int=_integer)
        if not isinstance(content, dict):
            raise TypeError(f"it must contain an object, got a {type(content).__name__}")
        check_extent(content, len(text))
    except ConfigurationError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigurationError(f"{path} is damaged ({error})") from error
    return content


def _integer(text: str) -> int:
    if abs(number := int(text)) >= 2**64:
        raise ValueError("an integer has more than 64 bits")
    return number


def check_extent(content: Any, size: int) -> None:
    """Raise ValueError if plain data, and tensors, are nested too deeply or larger than the file that they are from.

    They are larger if parts are shared, or if a tensor has strides of 0.
    """
    level, left = [content], size
    for _ in range(_DEEPEST):
        parts = [part for group in level for part in (*group, *(group.values() if isinstance(group, dict) else ()))]
        sizes = (len(part) // 16 if isinstance(part, str) else getattr(part, "nbytes", 0) for part in parts)
        left -= len(parts) + sum(sizes)  # a word that is repeated is in a pickle once
        if left < 0:
            raise ValueError("its content is larger than the file")
        level = [part for part in parts if isinstance(part, dict | list | tuple)]
        if not level:
            return
    raise ValueError(f"it is nested more than {_DEEPEST} deep")


def read_yaml(path: Path) -> Any:
    """Read a file of plain data.

    An alias is not allowed, because ten lines with some could stand for a billion. Nor are more than 50 levels: PyYAML
    would read a few MB of brackets for hours.

    Raises:
        ConfigurationError: it is damaged.
        OSError: it cannot be read.
    """
    try:
        text = read_bytes(path, 2**22).decode()
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or depth > _DEEPEST:
                raise ValueError(f"it has an alias, or is nested more than {_DEEPEST} deep")
        return yaml.safe_load(text)
    except ConfigurationError:
        raise
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} is damaged ({str(error).splitlines()[0]})") from error


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


def copy_directory(source: Path, target: Path) -> Path:
    """Copy a directory and return the copy, which gets its name once it is complete.

    Raises:
        FileExistsError: the target exists.
        shutil.Error, OSError: a file cannot be read or written; nothing is left.
    """
    if target.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}{_PART}")
    try:
        return shutil.copytree(source, partial).rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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


_SECRET = r"\w*(?:token|password|secret|api_?key|credential)\w*"


def without_secrets(content: Any) -> Any:
    """Return plain data without the user and the password of a URL, and without the values of keys such as `token`.

    Example:
        >>> without_secrets({"uri": "https://me:1234@host/x", "api_key": "abc", "overrides": ["logger.w.token=abc"]})
        {'uri': 'https://***@host/x', 'api_key': '***', 'overrides': ['logger.w.token=***']}
    """
    if isinstance(content, Mapping):
        secret = {key for key, x in content.items() if isinstance(x, str) and re.fullmatch(_SECRET, str(key), re.I)}
        return {key: "***" if key in secret else without_secrets(x) for key, x in content.items()}
    if isinstance(content, list | tuple):
        return [without_secrets(x) for x in content]
    if not isinstance(content, str):
        return content
    return re.sub(rf"(?i)(?<=://)[^/\s@]+(?=@)|({_SECRET}['\"]?\s*[=:]\s*)[^,}}\s]+", r"\1***", content)


def shareable(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without the secrets of its loggers."""
    loggers = {"logger": without_secrets(configuration["logger"])} if "logger" in configuration else {}
    return {**configuration, **loggers}


def public(overrides: Iterable[str]) -> list[str]:
    """Return overrides without the secrets of loggers."""
    return [without_secrets(x) if x.lstrip("+~").startswith("logger") else x for x in overrides]


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
        remove_parts(directory, seconds=_SECONDS_OF_PARTS)
        with suppress(OSError):  # the text is for the message alone
            path.write_text(f"process {os.getpid()} of {platform.node()}")
        yield
