"""All that a worker needs, imported once by the process that the workers are forked from."""

from runge.machine import collect_rarely

collect_rarely()

import runge.launch.run  # noqa: E402, F401
