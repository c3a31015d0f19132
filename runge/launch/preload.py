"""Everything that a worker needs, imported once by the process from which the workers are forked."""

import signal

from runge.machine import collect_rarely, end_with_parent, skip_last_collection

# The process starts with the signals blocked (`runge.launch.processes`). One that ends the sweep while this process
# loads ends it at once and silently, as does the sweep's own end, after a mistake in the command line; from then on its
# workers depend on it, and it ends with the last of them.
_ENDING = (signal.SIGINT, signal.SIGTERM)
for number in _ENDING:
    signal.signal(number, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
end_with_parent(signal.SIGTERM)

collect_rarely()

import runge.launch.run  # noqa: E402
import runge.training.stack  # noqa: E402, F401

end_with_parent(None)
signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
skip_last_collection()
