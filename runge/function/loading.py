"""Load the trained function of a run, or the mean over the runs of a sweep."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from runge.configuration.command_line import command, setting
from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import build, foreign
from runge.data.column_roles import mistake_in
from runge.data.seed import Seed
from runge.function.calibration import Calibration
from runge.function.ensemble import members, read_answer
from runge.function.function import Function
from runge.function.outside import Box, thinned
from runge.records.checkpoints import join, read_checkpoint
from runge.records.directories import RunDirectory
from runge.records.reading import find
from runge.sobolev.activations import module_at
from runge.sobolev.any_network import AnyNetwork, OwnNetwork, adapt_network
from runge.sobolev.network import Model, StackedMLP
from runge.sobolev.units import Units

__all__ = ["load", "load_finished", "load_runs"]


def load(directory: str | os.PathLike[str]) -> Function:
    """Load the trained function of a run or of a sweep: the weights with the lowest validation loss.

    Of a sweep it is the mean of the runs in its `answer.json`; without that, the mean over its finished runs,
    which may differ only in seed and fold.

    Args:
        directory: the directory of a run or of a sweep, such as `outputs/DATE/TIME`.

    Returns:
        The function on the CPU, in the units of the data and in float64; its parameters require no gradients.

    Raises:
        FileNotFoundError: the directory has no checkpoint, and no runs with one.
        ConfigurationError: a checkpoint or the answer is damaged, or a checkpoint names an activation whose module is
            not imported; or runs without an answer differ in more than seed and fold, or in the rows of their tables.
    """
    return load_runs(*_runs(directory))


def load_finished(directory: str, key: str) -> Function:
    """Load as `load` does, if the run has finished.

    Raises:
        ConfigurationError: there is no such function; the message begins with the key.
    """
    run, rule = RunDirectory(directory), f"{key}: must be the directory of a finished run, got {directory!r}"
    if not run.metrics.exists() and (state := run.read_state()) is not None:
        after = "" if state.status == "diverged" else f"; continue it with {command()} {setting('resume', directory)}"
        raise ConfigurationError(f"{rule} ({state.status} at step {state.step}, without {run.metrics.name}){after}")
    try:
        return load_runs(*_runs(directory))
    except ConfigurationError as error:
        raise ConfigurationError(f"{key}: {error}") from error
    except FileNotFoundError as error:
        raise ConfigurationError(f"{rule} ({error})") from error


def _runs(directory: str | os.PathLike[str]) -> tuple[Sequence[RunDirectory], Calibration | None]:
    """Return the runs that a directory stands for, for `load_runs`: the run itself, or the members of an answer."""
    run = RunDirectory(directory)
    if run.best.is_file():
        return [run], None
    if answer := read_answer(directory):
        return answer
    if run.path.is_dir() and any(member.path != run.path for member in find(directory)):
        return members(directory), None
    raise FileNotFoundError(f"{run.best} is missing: {run.path} is not a run, or its run saved no checkpoint")


def load_runs(runs: Sequence[RunDirectory], calibration: Calibration | None = None) -> Function:
    """Load the trained functions of some runs as the members of one; those of one architecture share a stack.

    Args:
        runs: the runs, which have finished.
        calibration: what intervals follow from; None: the rows that these runs have not seen.

    Raises:
        ConfigurationError: a checkpoint is damaged or of another run, or the runs have other inputs or outputs.
    """
    for run in runs:
        run.read(run.best)  # with the checksum in its state
    checkpoints, stacks = [read_checkpoint(run.best) for run in runs], dict[str, list[int]]()
    columns = _columns(runs[0], checkpoints[0])
    for i, (run, checkpoint) in enumerate(zip(runs, checkpoints, strict=True)):
        if _columns(run, checkpoint) != columns:
            raise ConfigurationError(f"{run.path} must have the inputs and the outputs of {runs[0].path}")
        stacks.setdefault(_architecture(run, checkpoint), []).append(i)
    order = [i for stack in stacks.values() for i in stack]
    networks = [_network([runs[i] for i in stack], [checkpoints[i] for i in stack]) for stack in stacks.values()]
    channels = networks[0].outputs * (1 + networks[0].dimension)
    if calibration is not None and len(calibration.floors) != channels:
        raise ConfigurationError(f"answer.json is damaged (its intervals must have {channels} channels)")
    inside = _inside(runs, checkpoints, networks[0].dimension)
    with _explained(runs[order[0]]):
        return Function(
            networks,
            checkpoints[order[0]]["configuration"],
            **columns,
            runs=[str(runs[i].path) for i in order],
            inside=inside,
            rows=[_training_rows(checkpoints[i]["configuration"]) for i in order],
            calibration=calibration,
        )


def _training_rows(configuration: Mapping[str, Any]) -> str:
    """Return what is equal of runs of one table that were trained on the same rows."""
    data: Mapping[str, Any] = configuration.get("data") or {}
    folds, by_column = data.get("folds"), data.get("split_column")
    split = data.get("split") or {}
    drawn = folds is not None or (by_column is None and any(split.get(name, 1) for name in ("val", "test")))
    seed = Seed.of_data(configuration.get("seed", 0), data.get("seed"), folds).seed if drawn else None
    return repr((folds, data.get("fold"), by_column, data.get("group"), split, seed))


def _inside(
    runs: Sequence[RunDirectory], checkpoints: Sequence[Mapping[str, Any]], dimension: int
) -> np.ndarray | Box | None:
    """Return the training inputs of all runs, rows or a box; None: a run has not saved them."""
    shapes, inputs = {"rows": (-1, dimension), "box": (dimension, 2)}, dict[str, list[np.ndarray]]()
    for run, checkpoint in zip(runs, checkpoints, strict=True):
        with _explained(run):
            for name, tensor in checkpoint.get("inside", {}).items():
                inputs.setdefault(name, []).append(points := tensor.double().numpy().reshape(shapes[name]))
                if not np.isfinite(points).all():
                    raise ValueError(f"its {name} must be finite")
    if len(inputs.get("rows", ())) == len(runs):
        return thinned(np.concatenate(inputs["rows"]))
    if len(inputs.get("box", ())) == len(runs):
        ends = np.stack(inputs["box"])
        return Box(ends[..., 0].min(0), ends[..., 1].max(0))
    return None


def _columns(run: RunDirectory, checkpoint: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names of the inputs and outputs, by the rule for those of a table: exported code and CSV have them."""
    with _explained(run):
        columns = {key: checkpoint["columns"][key] for key in ("inputs", "outputs")}
        if not all(isinstance(names, list) for names in columns.values()):
            raise TypeError("its columns must be lists")
        if mistake := mistake_in([*columns["inputs"], *columns["outputs"]]):
            raise ValueError(mistake)
        return columns


def _architecture(run: RunDirectory, checkpoint: Mapping[str, Any]) -> str:
    """Return what is equal of members that can share a stack; nothing that a checkpoint names is imported before."""
    with _explained(run):
        values = checkpoint["configuration"]["model"]
        if named := foreign(values):
            how = f"for safety; import {named[0].rpartition('.')[0]} before"
            raise ConfigurationError(f"{run.best} refers to {named[0]}, which is not imported automatically, {how}")
        model = [values.get(key) for key in ("activation", "depth", "width")]
        if "_target_" in values or module_at(values["activation"]):  # a torch module is no stack
            return str(run.path)
        return repr((model, [(name, x.shape[1:], x.dtype) for name, x in checkpoint["state_dict"].items()]))


def _network(runs: Sequence[RunDirectory], checkpoints: Sequence[Mapping[str, Any]]) -> StackedMLP:
    """Return the networks of runs of one architecture as a stack."""
    first, prefix = checkpoints[0], "network."
    model = first["configuration"]["model"]
    with _explained(runs[0]):
        weights = join(checkpoint["state_dict"] for checkpoint in checkpoints)
        state = {name.removeprefix(prefix): x for name, x in weights.items() if name.startswith(prefix)}
        # Autograd cannot be exported.
        settings = build("model", model | {"derivative": "forward"}, Model, adapt_network)
        domains, dtype = torch.tensor([-1.0, 1.0]).expand(*state["scale"].shape[::2], 2), state["scale"].dtype
        units = Units(*units) if (units := [state[name] for name in state if name.startswith("units.")]) else None
        outputs = len(first["columns"]["outputs"])
        if isinstance(settings, OwnNetwork):
            network = AnyNetwork(settings.make(torch.Generator()), domains, dtype, outputs, units)
        else:
            network = StackedMLP(settings, domains, [torch.Generator()] * len(domains), dtype, outputs, units)
        network.load_state_dict(state)
        if module_at(settings.activation):
            network = AnyNetwork.of_layers(network)
        if (count := len(first["columns"]["inputs"])) != network.dimension:
            raise ValueError(f"it has {network.dimension} inputs, and the names of {count}")
    return network.double().requires_grad_(False).eval()  # results have all digits of float64 points


@contextmanager
def _explained(run: RunDirectory) -> Iterator[None]:
    """Name the checkpoint that does not hold what it should."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"{run.best} does not hold the weights of a run ({error})") from error
