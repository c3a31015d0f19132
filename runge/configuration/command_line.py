"""How the keys of a configuration are typed in a shell."""

import os
import re
import shlex
import sys
from collections.abc import Mapping

__all__ = ["command", "escaped", "in_shell", "key_of", "override_of", "overrides_of", "setting"]


def command(verb: str = "train") -> str:
    """Return the command of a verb as it is to be typed: like the present one, `python train.py` only where it trains.

    It is `runge VERB`, or `python -m runge VERB`, or for `train` also `python train.py`, with its path.
    """
    script = sys.argv[0]
    folder, file = os.path.split(script)
    if verb == "train" and file == "train.py":
        return shlex.join(["python", script])
    as_module = file == "__main__.py" and os.path.basename(folder) == "runge"
    return f"python -m runge {verb}" if as_module else f"runge {verb}"


def override_of(key: str, text: str) -> str:
    """Return the override that sets a key to a text, such as a path."""
    if re.fullmatch(r"[A-Za-z./][\w./-]*\.[A-Za-z]\w*", text, re.ASCII):  # a usual path
        return f"{key}={text}"
    # In Hydra's grammar a backslash is one of the text, except before a quote.
    quoted = re.sub(r"(\\*)('|$)", lambda end: 2 * end[1] + end[2].replace("'", "\\'"), text)
    return f"{key}='{quoted}'"


def escaped(name: str) -> str:
    """Return a name as a key of a mapping in Hydra's grammar, which has no quotes there, but backslashes."""
    return re.sub(r"([^\w/+.%*@?|-])", r"\\\1", name)


def overrides_of(values: Mapping[str, object]) -> list[str]:
    """Return the overrides that set keys to values: numbers, words as they are typed, and paths.

    Example:
        >>> overrides_of({"model.width": 8, "data.split.val": 0.1})
        ['model.width=8', 'data.split.val=0.1']
    """
    return [
        override_of(key, str(value)) if isinstance(value, os.PathLike) else f"{key}={value}"
        for key, value in values.items()
    ]


def key_of(override: str) -> str:
    """Return the key that an override sets, adds or deletes.

    Example:
        >>> key_of("model.width=8"), key_of("+logger.csv.flush=10"), key_of("~logger")
        ('model.width', 'logger.csv.flush', 'logger')
    """
    return override.lstrip("+~").partition("=")[0]


def setting(key: str, path: str | os.PathLike[str]) -> str:
    r"""Return the override that sets a key to a path, as it is typed in a shell.

    Example:
        >>> setting("resume", "outputs/0"), setting("resume", "my outputs/0")
        ('resume=outputs/0', '"resume=\'my outputs/0\'"')
    """
    text = os.fspath(path)
    return f"{key}={text}" if re.fullmatch(r"[\w./-]+", text, re.ASCII) else in_shell(override_of(key, text))


def in_shell(override: str) -> str:
    """Return an override for a shell, in which the quotes of Hydra's grammar stay readable."""
    return f'"{override}"' if "'" in override and not set(override) & set('"$`\\!') else shlex.quote(override)
