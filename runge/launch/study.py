"""Optuna's study of a search: it proposes trials in batches, and keeps their results in a file of SQLite.

Trials are proposed by a study in memory, which takes a tenth of the time of one in a database. Each batch is proposed
with a seed of its own from the results of those before it, and the results are in the runs' own files, so that a search
that was killed at any moment continues with the same trials, also if it was killed before it wrote to the database.
"""

import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from runge.errors import ConfigurationError
from runge.launch.space import Choice, Range

Sampler = Literal["tpe", "random", "qmc", "cmaes"]

_NAME, _DESCRIPTION, _PROPOSED = "search", "description", "proposed"
_TOGETHER = 8
"""The number of consecutive trials of a batch that share the settings that determine the stack."""


@dataclass(frozen=True)
class Result:
    """The outcome of a trial.

    Attributes:
        status: `finished`, `pruned`, `diverged` or `failed`.
        values: the values of the objective, the median over its seeds; empty: unknown.
        step: the last optimiser step.
        runs: the numbers of its runs.
    """

    status: Literal["finished", "pruned", "diverged", "failed"]
    values: tuple[float, ...]
    step: int
    runs: tuple[int, ...]


class Study:
    """A study in the file `study.db` of a sweep's directory.

    Args:
        directory: the sweep's directory.
        space: the settings to choose.
        shared: the keys of those that runs of one stack have in common.
        objective: the metric keys that are minimised.
        sampler: how trials are chosen.
        seed: the seed of the sampler.
        batch: the trials of a batch, unless the study exists already.
        description: what must not change while the search is resumed, by its keys.

    Raises:
        ConfigurationError: Optuna is missing, the sampler does not fit, or the directory holds another search.
    """

    def __init__(
        self,
        directory: Path,
        space: Mapping[str, Range],
        shared: Sequence[str],
        objective: Sequence[str],
        sampler: Sampler,
        seed: int,
        batch: int,
        description: Mapping[str, Any],
    ) -> None:
        self.path = directory / "study.db"
        self.space, self.shared, self.objective, self.sampler, self.seed = space, shared, objective, sampler, seed
        self._optuna = import_optuna()
        self._check_sampler()
        with _quiet(self._optuna):
            self._distributions = {key: one.distribution() for key, one in space.items()}
            self._description: dict[str, Any] = {**description, "batch": batch}
            self._stored, self._ended, attributes = None, self._new(), {_DESCRIPTION: self._description}
            if self.path.exists():
                self._stored = self._load()
                self._ended.add_trials(self._stored.get_trials(deepcopy=False))
                attributes = self._stored.user_attrs
        self.batch = _check_same(directory, attributes.get(_DESCRIPTION, {}), description)
        self._proposed: dict[str, Any] = attributes.get(_PROPOSED, {"first": 0, "trials": []})
        self._unwritten: list[Any] = []

    @property
    def trials(self) -> list[Any]:
        """The trials that have ended, `optuna.trial.FrozenTrial`."""
        return self._ended.get_trials(deepcopy=False)

    def propose(self, most: int) -> tuple[int, list[dict[str, Any]]]:
        """Return the number of the next batch's first trial, and the settings of its trials, at most `most` in all.

        A batch that was proposed and has not ended is proposed again, also if it is larger.
        """
        ended, first = self.trials, self._proposed["first"]
        if len(ended) >= first + len(self._proposed["trials"]):
            first = len(ended)
            if first >= most:
                return first, []
            self._proposed = {"first": first, "trials": self._propose(ended, min(self.batch, most - first))}
        return first, [trial["params"] for trial in self._proposed["trials"]]

    def tell(self, results: Sequence[Result]) -> None:
        """Take the results of the batch that was proposed last."""
        states = self._optuna.trial.TrialState
        trials = []
        for trial, result in zip(self._proposed["trials"], results, strict=True):
            known = bool(result.values) and all(map(math.isfinite, result.values))
            state = states.COMPLETE if result.status == "finished" and known else states.PRUNED
            # Optuna compares trials that have not finished by one figure only.
            partly = known and len(result.values) == 1 and result.status == "pruned"
            with _quiet(self._optuna):
                trials.append(
                    self._optuna.trial.create_trial(
                        state=states.FAIL if result.status == "failed" else state,
                        values=list(result.values) if state == states.COMPLETE else None,
                        params=trial["params"],
                        distributions=self._distributions,
                        system_attrs=trial["attributes"],
                        user_attrs={"status": result.status, "step": result.step, "runs": list(result.runs)},
                        intermediate_values={result.step: result.values[0]} if partly else {},
                    )
                )
        new = trials[len(self.trials) - self._proposed["first"] :]  # a killed search may have written some
        self._ended.add_trials(new)
        self._unwritten += new

    def write(self) -> None:
        """Write the results since the last call, and the batch that was proposed last, to the file."""
        with _quiet(self._optuna):
            if self._stored is None:
                self._create()
                self._stored = self._load()
            self._stored.add_trials(self._unwritten)
            self._stored.set_user_attr(_PROPOSED, self._proposed)
        self._unwritten = []

    def best(self) -> list[Any]:
        """Return the best trial, or with several objectives those of the Pareto front, by their number."""
        complete = [one for one in self.trials if one.state == self._optuna.trial.TrialState.COMPLETE]
        return sorted(self._ended.best_trials, key=lambda trial: trial.number) if complete else []

    def _load(self) -> Any:
        try:
            return self._optuna.load_study(study_name=_NAME, storage=self._url(self.path))
        except KeyError as error:
            raise ConfigurationError(f"{self.path}: must hold a study named {_NAME!r}, and has none") from error

    def _create(self) -> None:
        """Make the file, which gets its name when it is complete."""
        part = self.path.with_name(f".{self.path.name}.part")
        part.unlink(missing_ok=True)
        study = self._new(study_name=_NAME, storage=self._url(part))
        study.set_user_attr(_DESCRIPTION, self._description)
        study._storage.remove_session()
        part.replace(self.path)

    def _new(self, **options: Any) -> Any:
        return self._optuna.create_study(directions=["minimize"] * len(self.objective), **options)

    def _url(self, path: Path) -> Any:
        from sqlalchemy import URL

        url = URL.create("sqlite", database=str(path.absolute()))
        return self._optuna.storages.RDBStorage(url.render_as_string())

    def _check_sampler(self) -> None:
        if self.sampler != "cmaes":
            return
        if choices := [key for key, one in self.space.items() if isinstance(one, Choice)]:
            raise ConfigurationError(
                f"hydra.sweeper.sampler: cmaes needs numbers (interval, range), and {choices[0]} is a choice; use tpe"
            )
        if len(self.space) < 2 or len(self.objective) > 1:
            raise ConfigurationError("hydra.sweeper.sampler: cmaes needs two or more keys and one objective; use tpe")

    def _propose(self, ended: Sequence[Any], count: int) -> list[dict[str, Any]]:
        """Return the settings of `count` trials, rounded, and the sampler's own notes on them."""
        first = len(ended)
        # A quasi-random sequence takes no notice of results; it is drawn from its beginning.
        history, skip = ([], first) if self.sampler == "qmc" else (ended, 0)
        proposed: list[dict[str, Any]] = []
        with _quiet(self._optuna):
            sampler = self._make_sampler(0 if self.sampler == "qmc" else first)
            study = self._new(sampler=sampler)
            study.add_trials(history)
            together: dict[str, Any] = {}
            for i in range(skip + count):
                if i % _TOGETHER == 0:
                    together = {}
                # Several quasi-random sequences, one for each set of keys, would have points in common.
                fixed = self._optuna.samplers.PartialFixedSampler(together, sampler)
                study.sampler = fixed if together and self.sampler != "qmc" else sampler
                trial = study.ask(self._distributions)
                together = together or {key: trial.params[key] for key in self.shared}
                params = {key: self.space[key].rounded(value) for key, value in trial.params.items()}
                proposed.append({"params": params, "attributes": {}})
            for one, trial in zip(proposed, study.get_trials(deepcopy=False)[len(history) :], strict=True):
                one["attributes"] = dict(trial.system_attrs)
        return proposed[skip:]

    def _make_sampler(self, first: int) -> Any:
        samplers = self._optuna.samplers
        seed = int(np.random.SeedSequence([self.seed, first]).generate_state(1)[0])
        match self.sampler:
            case "tpe":
                return samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
            case "random":
                return samplers.RandomSampler(seed=seed)
            case "qmc":
                quiet = {"warn_independent_sampling": False, "warn_asynchronous_seeding": False}
                return samplers.QMCSampler(seed=seed, scramble=True, **quiet)
            case "cmaes":
                return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)


def import_optuna() -> Any:
    """Import Optuna, late, because it takes 0.2 s.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        need = "search needs the package optuna; install it with pip install -e '.[search]'"
        raise ConfigurationError(f"hydra/sweeper: {need}") from error
    return optuna


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Keep Optuna from logging each trial, and from warning that parts of it are experimental.

    Raises:
        ConfigurationError: the file of the study is damaged, or cannot be read or written.
    """
    from sqlalchemy.exc import SQLAlchemyError

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ConfigurationError(f"hydra.sweep.dir: its study.db cannot be used ({reason})") from error
    finally:
        optuna.logging.set_verbosity(verbosity)


def _check_same(directory: Path, begun: Mapping[str, Any], now: Mapping[str, Any]) -> int:
    """Check that the search that was begun in a directory is this one, and return the size of its batches."""
    for key, value in json.loads(json.dumps(now)).items():
        if begun.get(key) != value:
            was, given = (json.dumps(one) for one in (begun.get(key), value))
            raise ConfigurationError(
                f"{key}: must be as when the search in {str(directory)!r} began, {was}; got {given}; give its command "
                "again, or another hydra.sweep.dir"
            )
    return int(begun["batch"])
