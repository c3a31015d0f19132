"""The directory of what is made once for a user: compiled steps, and the template of MLflow's files."""

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path | None:
    """Return `RUNGE_CACHE_DIR`, or else `runge` in the user's cache directory.

    Returns:
        The directory; or None unless this user, and no other, can write to it: its files are executed.
    """
    if not hasattr(os, "geteuid"):  # a system without owners of this kind
        return None
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(os.environ.get("RUNGE_CACHE_DIR") or Path(caches) / "runge").absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        return None
    ours = status.st_uid == os.geteuid() and not status.st_mode & 0o022
    return folder if ours and os.access(folder, os.W_OK) else None
