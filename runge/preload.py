"""All that a run needs, loaded in one go: by a run itself, or once for all workers by what they are forked from."""

import gc

# Nothing of what is loaded becomes garbage, and looking for it takes a fifth of the time.
gc.disable()
from runge import job  # noqa: E402

gc.freeze()
gc.enable()

__all__ = ["job"]
