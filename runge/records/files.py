"""Files that appear whole or not at all, directories that no two runs share, and text that is safe to show."""

import json
import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from runge.errors import ConfigurationError


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all: it has its name only when its content is on the disk.

    Raises:
        OSError: it cannot be written; what was there before is there still.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        write_through(part, content)
        part.replace(path)
    finally:
        with suppress(OSError):  # of which the first one tells
            part.unlink(missing_ok=True)


def write_through(path: Path, content: str | bytes) -> None:
    """Write a file and wait until its content is on the disk.

    Raises:
        OSError: it cannot be written; the error names it.
    """
    content = content.encode() if isinstance(content, str) else content
    try:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        ConfigurationError: it is damaged.
        OSError: it cannot be read.
    """
    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict):
            raise TypeError(f"a {type(found).__name__} where an object should be")
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigurationError(f"{path} is damaged ({error})") from error
    return found


def read_yaml(path: Path) -> str:
    """Read a file of YAML that stands for itself: an alias may stand for very much.

    Raises:
        ConfigurationError: it is damaged, or has an alias.
        OSError: it cannot be read.
    """
    try:
        text = path.read_text()
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.CSafeLoader)):
            raise ValueError("it has an alias")
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} cannot be read ({str(error).partition(chr(10))[0]})") from error
    return text


def claim(path: str | os.PathLike[str]) -> str:
    """Make a directory that no other run has: `path`, or else `path-2`, `path-3`, ...

    Returns:
        The directory's path.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    number, name = 1, os.fspath(path)
    while True:
        try:
            os.mkdir(name)
        except FileExistsError:
            number += 1
            name = f"{os.fspath(path)}-{number}"
        else:
            return name


def discard(path: Path, known: Collection[str]) -> None:
    """Remove a directory with no more in it than entries of these names, and those above that it leaves empty."""
    if path.is_dir() and {entry.name for entry in path.iterdir()} <= set(known):
        shutil.rmtree(path)
        with suppress(OSError):  # not empty: other runs live there
            for parent in path.absolute().parents[:3]:
                if Path.cwd().is_relative_to(parent):
                    break
                parent.rmdir()


def printable(text: str, keep: str = "") -> str:
    r"""A text from a file without what a terminal would obey: control characters and the like, escaped.

    Args:
        text: the text.
        keep: characters that stay all the same.

    Example:
        >>> printable("red \x1b[31m alert")
        'red \\x1b[31m alert'
    """
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
