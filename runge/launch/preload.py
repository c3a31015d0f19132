"""Everything that a worker needs, imported once by the process from which the workers are forked."""

from runge.machine import collect_rarely

collect_rarely()

import runge.launch.run  # noqa: E402, F401
