"""The calls that the processes of a sweep receive."""

from collections.abc import Callable
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.singleton import Singleton
from hydra.core.utils import JobRuntime, setup_globals
from hydra.types import HydraContext
from hydra.version import VersionBase

from runge.launch.compose import register_resolvers


def request(function: str, context: HydraContext, argument: Any) -> tuple[str, Any, Callbacks, Any]:
    """Return an argument of `call`: the function's name, Hydra's state for the process, and the function's argument."""
    instances = Singleton.get_state()["instances"]
    return function, {kind: instances[kind] for kind in (JobRuntime, VersionBase)}, context.callbacks, argument


def call(request: tuple[str, Any, Callbacks, Any], report: Callable[[int], object]) -> Any:
    """Call a function of `runge.launch.run`, in a process in which Hydra may not be set up yet."""
    from runge.launch import run

    function, instances, callbacks, argument = request
    # Not in the commanding process, where it would load all plugins again, as different classes.
    if JobRuntime not in (state := Singleton.get_state())["instances"]:
        Singleton.set_state({**state, "instances": {**state["instances"], **instances}})
        setup_globals()
        register_resolvers()
    return run.check_members(argument) if function == "check_members" else run.train_jobs(callbacks, argument, report)
