"""The candidates of a race as the command's overrides make them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext
from omegaconf import DictConfig

from runge.errors import ConfigurationError
from runge.launch.compose import Composer, plain
from runge.launch.jobs import current
from runge.launch.policies.best.judge import PART, Entrant, optimizer_of
from runge.training.member import Member

__all__ = ["Candidates"]

_FOLDS = 5
_SET_UP = 0.5  # seconds of a run that no step takes
_MANY, _LEAST = 32, 4  # labels for each weight: of a table, of which a part can be enough, and in the part
_FEW = 6  # inputs for which some hundreds of fixed neurons can be enough


class Candidates:
    """The overrides of the runs of a race: those of the candidates, and those of the command, which win.

    Args:
        context: Hydra's.
        config: the sweep's configuration.
        arguments: the overrides of the command, which all candidates have.

    Attributes:
        given: the overrides of the command, by their keys.
        of_table: whether they are for tables.

    Raises:
        ConfigurationError: an override has several values, or is not allowed with any candidate.
    """

    def __init__(self, context: HydraContext, config: DictConfig, arguments: Sequence[str]) -> None:
        self._compose = Composer(context.config_loader, config)
        parsed = OverridesParser.create(context.config_loader).parse_overrides(list(arguments))
        for one in parsed:
            if one.is_sweep_override():
                what = "must have one value with search=best, for all candidates"
                raise ConfigurationError(f"{one.get_key_element()}: {what}; got {one.input_line}")
        self.given = {one.get_key_element().lstrip("+~"): str(one.input_line) for one in parsed}
        data: Any = config.get("data") or {}
        if data.get("fold") is not None:
            rule = "must be null with search=best, which leaves out each of them"
            raise ConfigurationError(f"data.fold: {rule}; got {data['fold']}")
        if "data.folds" in self.given and data.get("folds") is None:
            raise ConfigurationError("data.folds: must be at least 2 with search=best, got null")
        self.of_table = "file" in data

    def entrants(self, candidates: Mapping[str, Sequence[str]], seconds: float) -> tuple[list[Entrant], list[str]]:
        """Return the candidates that the command's overrides allow, and why the others are left out.

        A run with all rows of a table that may take longer than some seconds has a part of them, if that is enough for
        its weights. Fixed neurons are too few in many inputs: if a run takes longer, they are the last ones.

        Raises:
            ConfigurationError: there are none.
        """
        found, late, left_out, failure, optimizers = {}, {}, list[str](), None, list[str]()
        for name, own in candidates.items():
            optimizer = optimizer_of(own)
            optimizers.append(optimizer.partition("=")[2])
            if self.given.get("optimizer", optimizer) != optimizer:
                continue
            overrides = self._with_given(own)
            if self.of_table:
                kept = {} if {"data.split", "data.split.test"} & self.given.keys() else {"data.split.test": 0}
                kept |= {} if "data.folds" in self.given else {"data.folds": _FOLDS}
                overrides = [*(f"{key}={value}" for key, value in kept.items()), *overrides]
            try:
                member = self.first(overrides)
            except (ConfigurationError, ValueError) as error:
                failure = failure or error
                left_out.append(f"{name}: {error}")
                continue
            one = self._in_time(name, overrides, member, seconds)
            where = late if _too_many_inputs(member) and one.expected > seconds else found
            where.setdefault(member.apart_from_seed(), one)
        if found or late:
            return [*found.values(), *late.values()], left_out
        if failure is not None:
            raise failure
        if not optimizers:
            raise ConfigurationError("hydra.sweeper: must have a candidate, got none")
        rule = f"must be that of a candidate of search=best, {' or '.join(dict.fromkeys(optimizers))}"
        got = self.given["optimizer"].partition("=")[2]
        raise ConfigurationError(f"optimizer: {rule}; got {got}; leave search=best out for one run")

    def _in_time(self, name: str, overrides: Sequence[str], member: Member, seconds: float) -> Entrant:
        """Return a candidate, with a part of the rows if there are many, and a run with all may take longer."""
        whole, rows, (labels, weights) = Entrant(name, overrides, _expected(member)), member.rows, member.system()
        share = (seconds - _SET_UP) / (whole.expected - _SET_UP)
        all_rows = {"data.split", PART} & self.given.keys() or member.optimizer.by_gradient or _too_many_inputs(member)
        if rows is None or all_rows or share >= 1 or share * labels < weights * max(_LEAST, share * _MANY):
            return whole
        part = f"{PART}={share * member.sizes[0] / len(rows.x):.2g}"
        return self.entrant(f"{name}; {part}", [*overrides, part])

    def _with_given(self, own: Sequence[str]) -> list[str]:
        """Return a candidate's overrides and those of the command, which win."""
        return [*(one for one in own if one.partition("=")[0] not in self.given), *self.given.values()]

    def entrant(self, name: str, overrides: Sequence[str]) -> Entrant:
        """Return a further candidate."""
        return Entrant(name, overrides, _expected(self.first(overrides)))

    def first(self, overrides: Sequence[str]) -> Member:
        """Return the first run of a candidate."""
        overrides = [*overrides, *(["data.fold=0"] if self.of_table else [])]
        composed = self._compose(overrides, 0)
        with current(composed):
            return Member(plain(composed)[0], overrides)

    def place(self, overrides: Sequence[str], number: int) -> Path:
        """Return the directory of a run, by its number."""
        sweep = self._compose(overrides, number).hydra.sweep
        return Path(sweep.dir) / str(sweep.subdir)


def _too_many_inputs(member: Member) -> bool:
    """Return whether it has fixed neurons, and more inputs than some hundreds of them can be enough for."""
    return member.optimizer.last_layer_alone and member.dimension > _FEW


def _expected(member: Member) -> float:
    """Return the seconds that a run may take."""
    return _SET_UP + member.training.steps * member.work()
