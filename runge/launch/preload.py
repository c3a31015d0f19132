"""What the server of the processes of a sweep imports, once for all of them."""

import gc
import importlib

gc.set_threshold(1_000_000, 10, 10)  # as the command: to search for garbage would take a third of the imports' time
for name in ("runge.launch.run", "runge.training.stack"):
    importlib.import_module(name)
