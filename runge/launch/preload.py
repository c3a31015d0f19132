"""Everything that a worker needs, imported once by the process from which the workers are forked."""

import signal

from runge.machine import collect_rarely, skip_last_collection

# The process starts with the signals blocked (`runge.launch.pool`). One that ends the sweep while this process loads
# ends it at once and silently; from then on its workers depend on it, and it ends with the last of them.
_ENDING = (signal.SIGINT, signal.SIGTERM)
for number in _ENDING:
    signal.signal(number, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)

collect_rarely()

import runge.launch.run  # noqa: E402
import runge.training.stack  # noqa: E402, F401

signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
skip_last_collection()
