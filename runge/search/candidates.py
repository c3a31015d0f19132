"""The candidates of a search, each the settings of a run; and what the command's overrides make of the listed ones."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

from runge.composing.command import SweepCommand
from runge.configuration.command_line import key_of, overrides_of
from runge.configuration.errors import ConfigurationError
from runge.data.channels import Channels
from runge.data.column_roles import columns_override, listed
from runge.data.table import Table
from runge.search.constants import FEW_SLOPES, SLOPES_FACTOR
from runge.training.member import Member
from runge.training.settings import Settings

__all__ = ["Candidate", "CandidateFactory", "overrides_of_run", "settings_of_run", "without_equal"]

_METHODS = {
    "LevenbergMarquardt": "Levenberg-Marquardt",
    "LeastSquares": "fixed neurons",
    "RandomFeatures": "fixed neurons, learnt scales",
    "AdamW": "Adam",
}
"""The names of methods, by the classes of their optimisers; another one has the name of its class."""

_DECIDED = {
    "objective": "minimises the geometric mean of val/nrmse_f and val/nrmse_df",
    "trainer.stop_at": "finds the step at which each run ends",
}
"""The keys that a search decides, and how."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A method with its settings.

    Attributes:
        listed: the name of the candidate of the configuration that it is, or of which it is a variation, with the
            settings of the command that replace its own.
        settings: the settings of its run; on a table, on all rows except those of fold 0.
        overrides: the overrides of the command that cross-validates it.
        completes: whether a run that has taken all of its steps needs no others.
        changes: the keys in which it differs from the listed one, with their values.
    """

    listed: str
    settings: Settings = field(repr=False)
    overrides: Sequence[str] = ()
    completes: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name. A variation has it from what it is, such as `Levenberg-Marquardt, silu, 5 x 64, seed 3`."""
        return f"{self.kind}, seed {self.changes['seed']}" if "seed" in self.changes else self.kind

    @property
    def kind(self) -> str:
        """The name of the candidate that it is, apart from its seed."""
        settings, model, parts = self.settings, self.settings.model, [self.listed]
        if not self.changes.keys() <= {"seed", "data.log10"}:
            method = settings.configuration["optimizer"]["_target_"].rpartition(".")[2]
            size = f"{model.depth} x {model.width}{' per output' if self.separate else ''}"
            parts = [_METHODS.get(method, method), model.activation, size]
            parts += ["values alone"] * self.is_of_values
        parts += [f"{self.changes.get('data.n_train')} points"] * ("data.n_train" in self.changes)
        return ", ".join([*parts, *[f"log10 of {listed(self.logs)}"] * bool(self.logs)])

    @property
    def share(self) -> float | None:
        """The share of the rows of a table that the command says, `data.split.train`; None: it says none."""
        return self.settings.data.split.get("train") if isinstance(self.settings.data, Table) else None

    @property
    def logs(self) -> Sequence[str]:
        """The inputs of a table of which its networks see the logarithms."""
        return self.settings.data.log10 if isinstance(self.settings.data, Table) else ()

    @property
    def separate(self) -> bool:
        """True if each output has a network of its own, with these settings."""
        return bool(self.changes.get("separate"))

    @property
    def has_fixed_neurons(self) -> bool:
        """True if only the last layer is fitted: each step is a fit of its own, which cannot continue another one."""
        return self.settings.optimizer.last_layer_alone

    @property
    def is_of_values(self) -> bool:
        """True if it uses no derivatives."""
        return not self.settings.loss.lambda_d

    @property
    def by_gradient(self) -> bool:
        """True if its steps follow the gradient, with a rate that falls until the last one."""
        return self.settings.optimizer.by_gradient

    def having(self, changes: Mapping[str, Any]) -> "Candidate":
        """Return the candidate with other values of some keys, under its name.

        Raises:
            ValueError: a value is not allowed.
        """
        settings = self.settings
        for key, value in changes.items():
            section, _, name = key.partition(".")
            settings = replace(settings, **{section: replace(getattr(settings, section), **{name or section: value})})
        typed = [columns_override(key, x) if key == "data.log10" else f"{key}={x}" for key, x in changes.items()]
        overrides = [*(x for x in self.overrides if key_of(x) not in changes), *typed]
        return replace(self, settings=settings, overrides=overrides)

    def varied(self, changes: Mapping[str, Any]) -> "Candidate":
        """Return a variation, whose name says what it is; for the exceptions see `having`."""
        settings = {key: value for key, value in changes.items() if key != "separate"}
        return replace(self.having(settings), changes={**self.changes, **changes})

    def larger(self, fixed: AbstractSet[str], slope: float | None = None) -> "list[Candidate]":
        """Return it with a further layer and with twice the width; or, of a formula, with more points.

        Args:
            fixed: the keys that the command has set.
            slope: the best slope of fixed neurons, from which on wider ones try theirs; None: all slopes again.
        """
        model, data = self.settings.model, self.settings.configuration["data"]
        wider, deeper = {"model.width": 2 * model.width}, {"model.depth": model.depth + 1}
        changes = [wider] if self.has_fixed_neurons else [deeper, wider]
        if "n_train" in data:
            points = {"data.n_train": 2 * data["n_train"]}
            changes = [points | wider if self.has_fixed_neurons else points]
        if slope is not None:
            ends = [slope, slope * SLOPES_FACTOR]
            changes = [x | {"optimizer.slopes": ends, "trainer.max_steps": FEW_SLOPES} for x in changes]
        return [self.varied(change) for change in changes if not change.keys() & fixed]


def settings_of_run(settings: Settings, seconds: float, steps: int) -> Settings:
    """Return the settings of the run that a trial becomes, which has the time and the steps of all of its trainings."""
    trainer = settings.trainer
    most = steps if settings.optimizer.by_gradient else max(steps, trainer.max_steps)
    stop_at = None if (trainer.stop_at or 0) > most else trainer.stop_at  # its time was over before
    trainer = replace(trainer, max_steps=most, stop_at=stop_at, max_seconds=max(seconds, 1e-3))
    return replace(settings, trainer=trainer)


def overrides_of_run(overrides: Sequence[str], settings: Settings) -> list[str]:
    """Return the overrides of such a run, given those of the command that cross-validates its candidate."""
    data, trainer = settings.data, settings.trainer
    values: dict[str, object] = {"seed": settings.seed.seed, "trainer.max_steps": trainer.max_steps}
    values |= {} if trainer.stop_at is None else {"trainer.stop_at": trainer.stop_at}
    values["trainer.max_seconds"] = f"{trainer.max_seconds:.3g}"
    if isinstance(data, Table):
        share = data.split.get("train")
        values |= {} if share is None else {"data.split.train": f"{share:.6g}"}
        of_all = {"data.folds": "null", "data.split.val": 0, "data.seed": data.seed}
        values |= of_all if data.folds is None else {"data.fold": data.fold}
    return [*(x for x in overrides if key_of(x) not in values), *overrides_of(values)]


def without_equal(candidates: Sequence[Candidate], channels: Channels) -> tuple[list[Candidate], list[str]]:
    """Leave out candidates of the values alone that would equal others, unless all are such.

    Args:
        candidates: the candidates.
        channels: the factors of values and derivatives, 0 for those that are constant or not known.

    Returns:
        The others, and why these are left out.
    """
    why = "no derivatives are known, so it would equal the candidate with derivatives"
    if channels.slope.any():
        why = "no two values of an output are known that differ"
    differ = channels.slope.any() and channels.value.any()
    kept = [x for x in candidates if differ or not x.is_of_values] or candidates  # all are such: by the command
    return list(kept), [f"{x.name}: {why}" for x in candidates if x not in kept]


class CandidateFactory:
    """What makes candidates of the listed overrides and those of the command, which win.

    Args:
        command: the command of the search.

    Attributes:
        fixed: the overrides of the command, by their keys.
        of_table: whether they are for tables.

    Raises:
        ConfigurationError: an override has several values, or says what the search decides.
    """

    def __init__(self, command: SweepCommand) -> None:
        self.command, parsed = command, command.parsed
        for override in parsed:
            if override.is_sweep_override():
                what = "must have one value with search=best, for all candidates"
                raise ConfigurationError(f"{override.get_key_element()}: {what}; got {override.input_line}")
        self.fixed = {override.get_key_element().lstrip("+~"): str(override.input_line) for override in parsed}
        for key, what in _DECIDED.items():
            if key in self.fixed:
                rule = f"must not be set with search=best, which {what}"
                raise ConfigurationError(f"{key}: {rule}; got {self.fixed[key]}")
        data = command.data
        if data.get("fold") is not None:
            rule = "must be null with search=best, which leaves out each of them"
            raise ConfigurationError(f"data.fold: {rule}; got {data['fold']}")
        if "data.folds" in self.fixed and data.get("folds") is None:
            raise ConfigurationError("data.folds: must be at least 2 with search=best, got null")
        self.of_table = "file" in data

    def compose(
        self, listed: Mapping[str, Sequence[str]], columns: Sequence[str] = ()
    ) -> tuple[list[Candidate], list[str], Member]:
        """Return the candidates that the command's overrides allow, why the others are left out, and a run.

        Args:
            listed: the overrides of each, by its name.
            columns: overrides of the columns of a table, of all candidates.

        Raises:
            ConfigurationError: there are none.
        """
        candidates, left_out, members = dict[str, Candidate](), list[str](), list[Member]()
        failure, optimizers = None, list[str]()
        defaults = [*["data.split.test=0"] * ("data.split" not in self.fixed), "data.folds=5"] * self.of_table
        for name, settings in listed.items():
            optimizer = next((x for x in settings if x.startswith("optimizer=")), "optimizer=adamw")
            optimizers.append(optimizer.partition("=")[2])
            if self.fixed.get("optimizer", optimizer) != optimizer:
                continue
            overrides = [x for x in (*settings, *defaults) if key_of(x) not in self.fixed]
            overrides += [*columns, *self.fixed.values()]
            keys = set(map(key_of, overrides))
            typed = [*overrides, *["data.fold=0"] * ("data.folds" in keys and "data.fold" not in keys)]
            try:
                member = Member(self.command.settings_of(typed), typed)
            except (ConfigurationError, ValueError) as error:
                failure = failure or error
                left_out.append(f"{name}: {error}")
                continue
            completes = member.settings.optimizer.last_layer_alone or "trainer.max_steps" in self.fixed
            replaced = [self.fixed[key_of(x)] for x in settings if key_of(x) in self.fixed and x not in overrides]
            named = [x for x in replaced if key_of(x).startswith(("model.", "loss."))]  # its name may contradict it
            candidate = Candidate(", ".join([name, *named]), member.settings, overrides, completes)
            candidates.setdefault(member.apart_from_seed(), candidate)
            members.append(member)
        if candidates:
            return list(candidates.values()), left_out, members[0]
        if failure is not None:
            raise failure
        if not optimizers:
            raise ConfigurationError("search.tables, search.formulas: must have a candidate, got none")
        rule = f"must be that of a candidate of search=best, {' or '.join(dict.fromkeys(optimizers))}"
        got = self.fixed["optimizer"].partition("=")[2]
        raise ConfigurationError(f"optimizer: {rule}; got {got}; leave search=best out for one run")
