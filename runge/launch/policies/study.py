"""Optuna's study of a search: it proposes batches of trials, and keeps those that have ended in a journal.

A batch follows from the seed and the trials of the batches before it, so that a search that was killed at any moment
continues with the same trials. It is asked of a study in memory: Optuna's journal writes each setting of each trial
through to the disk (260 trials: 13.6 s instead of 2.5 s, on a loaded machine).
"""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from runge.errors import ConfigurationError
from runge.launch.policies.space import Space, rounded

Sampler = Literal["tpe", "random"]

_DESCRIPTION = "description"


class Result(NamedTuple):
    """The outcome of a trial: the values of its objective (empty: unknown), and the numbers of its runs."""

    status: Literal["finished", "diverged", "failed"]
    values: tuple[float, ...]
    runs: list[int]


class Study:
    """A study in the file `study.log` of a sweep's directory, which no other process uses.

    Args:
        directory: the sweep's directory.
        space: the settings to choose.
        description: what must not change while the search is resumed, by its keys.
        batch: the trials of a batch, unless the study exists already.

    Raises:
        ConfigurationError: Optuna is missing, the file is damaged, or the directory holds another search.
    """

    def __init__(self, directory: Path, space: Space, description: Mapping[str, Any], batch: int) -> None:
        self._optuna, self.space = import_optuna(), space
        self.objective = description["objective"]
        self.sampler, self.seed = description["hydra.sweeper.sampler"], description["hydra.sweeper.seed"]
        file = directory / "study.log"
        file.with_name(f"{file.name}.lock").unlink(missing_ok=True)  # of a search that was killed
        with _quiet(self._optuna):
            journal = self._optuna.storages.journal
            try:
                storage = self._optuna.storages.JournalStorage(journal.JournalFileBackend(str(file)))
                self._study = self._new(storage=storage, study_name="search", load_if_exists=True)
            except Exception as error:  # Optuna does not check what it reads
                raise ConfigurationError(f"hydra.sweep.dir: {file} cannot be used ({error})") from error
            if _DESCRIPTION not in self._study.user_attrs:
                self._study.set_user_attr(_DESCRIPTION, {**description, "batch": batch})
            begun = self._study.user_attrs[_DESCRIPTION]
        for key, now in json.loads(json.dumps(description)).items():
            if (was := begun.get(key)) != now:
                raise ConfigurationError(
                    f"{key}: must be as when the search in {str(directory)!r} began, {json.dumps(was)}; got "
                    f"{json.dumps(now)}; give its command again, or another hydra.sweep.dir"
                )
        self.batch = int(begun["batch"])

    @property
    def trials(self) -> list[Any]:
        """The trials that have ended, `optuna.trial.FrozenTrial`."""
        return self._study.get_trials(deepcopy=False)

    def propose(self, most: int) -> tuple[int, list[dict[str, Any]]]:
        """Return the number of the next batch's first trial, and the settings of its trials, at most `most` in all.

        A batch of which some trials have not ended is proposed again.
        """
        ended = self.trials
        first = len(ended) // self.batch * self.batch
        count = min(self.batch, most - first) if len(ended) < most else 0
        proposed = []
        with _quiet(self._optuna):
            samplers, seed = self._optuna.samplers, int(np.random.SeedSequence([self.seed, first]).generate_state(1)[0])
            if self.sampler == "random":
                sampler = samplers.RandomSampler(seed=seed)
            else:
                sampler = samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
            study = self._new(sampler=sampler)
            study.add_trials(ended[:first])
            for _ in range(count):
                params = study.ask(dict(self.space)).params
                proposed.append({key: rounded(self.space[key], value) for key, value in params.items()})
        return first, proposed

    def tell(self, proposed: Sequence[Mapping[str, Any]], results: Sequence[Result]) -> None:
        """Add the trials of a batch, except those that a killed search has added."""
        kinds, ended = self._optuna.trial.TrialState, len(self.trials) % self.batch
        # Optuna's samplers take a pruned trial for worse than all others, and ignore one that failed.
        states = {"finished": kinds.COMPLETE, "diverged": kinds.PRUNED, "failed": kinds.FAIL}
        for params, result in list(zip(proposed, results, strict=True))[ended:]:
            with _quiet(self._optuna):
                self._study.add_trial(
                    self._optuna.trial.create_trial(
                        state=states[result.status],
                        values=list(result.values) or None,
                        params=dict(params),
                        distributions=dict(self.space),
                        user_attrs={"status": result.status, "runs": result.runs},
                    )
                )

    def best(self) -> list[Any]:
        """Return the best trial, or with several objectives those of the Pareto front, by their number."""
        return sorted(self._study.best_trials, key=lambda trial: trial.number)

    def _new(self, **options: Any) -> Any:
        return self._optuna.create_study(directions=["minimize"] * len(self.objective), **options)


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
    """Keep Optuna from logging each trial, and from warning that parts of it are experimental."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
