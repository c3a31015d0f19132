"""The search of `search=best`: its loop, which asks the rule what is next, and what it leaves in its directory."""

import logging
import math
import shutil
import time
from collections import deque
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from itertools import compress
from pathlib import Path

import numpy as np

from runge.composing.command import SweepCommand
from runge.composing.composition import options_of
from runge.configuration.errors import ConfigurationError, RunError, describe
from runge.configuration.objects import build
from runge.configuration.validation import Count, Positive, checked
from runge.function.ensemble import write_answer
from runge.labels.wrong_columns import describe_wrong_columns, without_wrong_columns
from runge.process.interruption import interruption
from runge.records.directories import MULTIRUN, discard_sweep, refuse_links
from runge.records.files import discard, locked, write
from runge.records.metrics import ERRORS
from runge.search.agreement import agreement_of
from runge.search.answer import Answer
from runge.search.candidates import Candidate, CandidateFactory, overrides_of_run, settings_of_run, without_equal
from runge.search.conditions import Conditions
from runge.search.constants import PATIENCE_FACTOR, PATIENCE_SECONDS, TRIED_ROWS, TRIED_SHARE
from runge.search.display import Display
from runge.search.judging import SearchTable
from runge.search.moves import next_moves
from runge.search.refits import beginning
from runge.search.results import Move, Publication, Result, read_trials, write_trial
from runge.search.standing import Network
from runge.search.state import State, merge
from runge.search.verdict import leaderboard
from runge.search.workers import TIME_OVER, Workers
from runge.sweeps.journal import Journal
from runge.sweeps.launch import interrupted
from runge.sweeps.loop import compare
from runge.sweeps.processes import start_loading
from runge.training.member import Member

__all__ = ["Search", "SearchSettings", "search"]

log = logging.getLogger(__name__)


@checked
class SearchSettings:
    """The section `search` of `search=best`.

    Attributes:
        timeout: the time limit in seconds.
        tables: the candidates for tables: a name, and the overrides of a run; the fast ones first.
        formulas: the same for formulas.
        seeds: the largest number of networks in the answer, which differ in their seed.
        compare: false: do not compare the runs at the end, and write no report.
    """

    timeout: Positive
    tables: Mapping[str, list[str]]
    formulas: Mapping[str, list[str]]
    seeds: Count
    compare: bool


def search(command: SweepCommand) -> None:
    """Search the best fit, and write it with its leaderboard and its report.

    Raises:
        ConfigurationError: an override is not allowed, or the directory holds another search.
        RunError: no candidate could be trained.
        SystemExit: it was interrupted.
    """
    directory = command.directory  # which resolving makes, once
    if (command.processes or 1) > 1:
        start_loading()
    try:
        made = Search(command)
    except BaseException:
        discard(directory, ())
        raise
    refuse_links(directory, "hydra.sweep.dir", is_sweep=True)
    with locked(directory, "hydra.sweep.dir"):
        try:
            made.run()
        finally:
            with suppress(OSError):  # the error that is raised matters more
                discard_sweep(directory)


def _error_of_values(candidate: Candidate, member: Member, seconds: float) -> float:
    """Return the error of values in rows left out of a short trial of a candidate; infinite: it has failed."""
    share = TRIED_ROWS / len(member.rows.x) if member.rows and len(member.rows.x) > 2 * TRIED_ROWS else None
    state = State(Conditions(seconds, cores=1, seeds=1), {candidate.name: candidate})
    with Workers(1, member.rows) as here:
        here.submit(0, state.trial(Move(candidate.listed, {}, 0, seconds, share)), math.inf)
        result = here.wait()[0]
    error = result.metric(ERRORS[0]) if isinstance(result, Result) else None
    return math.inf if error is None else error


class Search:
    """A search of a command.

    Attributes:
        state: what is known so far.
        promotions: which candidates were trained further, and why, a line for each move.

    Raises:
        ConfigurationError: a setting or an override is not allowed.
    """

    def __init__(self, command: SweepCommand) -> None:
        self._command, self._directory = command, command.directory
        self._settings = build("search", command.search_settings, SearchSettings)
        if (cluster := command.config.hydra.launcher.get("cluster")) != "local":
            got = cluster or command.config.hydra.launcher._target_
            rule = "must be local with search=best, which trains in processes of its own"
            raise ConfigurationError(f"hydra.launcher.cluster: {rule}; got {got}")
        factory = CandidateFactory(command)
        listed = self._settings.tables if factory.of_table else self._settings.formulas
        candidates, self._left_out, member = made = factory.compose(listed)
        self._wrong = describe_wrong_columns(member.rows) if member.rows else ""
        columns = without_wrong_columns(member.rows) if member.rows and "data.derivatives" not in factory.fixed else []
        if columns:
            candidates, self._left_out, member = factory.compose(listed, columns)
            seconds, remedy = TRIED_SHARE * self._settings.timeout, "These derivatives are left out"
            if _error_of_values(made[0][0], made[2], seconds) < _error_of_values(candidates[0], member, seconds):
                candidates, self._left_out, member = made
                remedy = "Are they wrong? A fit with these derivatives is better in rows left out, so they are kept"
            self._wrong += f" {remedy}; data.derivatives={{...}} chooses others."
        table, sizes, self._member = None, {}, member
        if member.rows is not None:
            table = SearchTable.of(member)
            is_fixed = "data.folds" in factory.fixed
            folds = table.rows.folds if is_fixed else table.count_folds()
            logs = [] if "data.log10" in factory.fixed or not member.standardize else table.logarithmic
            changes = ({} if is_fixed else {"data.folds": folds}) | ({"data.log10": logs} if logs else {})
            candidates, without_effect = without_equal([x.having(changes) for x in candidates], table.channels)
            self._left_out += without_effect
            inputs, outputs = len(table.rows.inputs), len(table.rows.outputs)
            sizes = {
                "folds": folds,
                "judges": table.count_judges(folds),
                "rows": len(table.seen),
                "all_rows": len(table.rows.x),
                "inputs": inputs,
                "outputs": outputs,
                "may_separate": outputs > 1 and not np.isnan(table.rows.y).any(),
                "labels": outputs * (1 + inputs if table.channels.slope.any() else 1),
            }
        cores = 1 if member.on_gpu() else command.processes or 1
        seeds, timeout = self._settings.seeds, self._settings.timeout
        conditions = Conditions(timeout, cores, seeds, fixed=factory.fixed.keys(), **sizes)
        self.state = State(conditions, {x.listed: x for x in candidates}, table=table)
        self._overrides = list(factory.fixed.values())
        self._earlier, self._began = 0.0, command.began
        self.promotions = list[str]()

    @property
    def seconds(self) -> float:
        """The seconds of the search so far."""
        return self._earlier + time.monotonic() - self._began

    def run(self) -> None:
        """Train until nothing is left to do or the time is over, and write what the search leaves; see `search`."""
        self._resume()
        if self._wrong:
            log.warning("%s", self._wrong)
        write(self._directory / MULTIRUN, self._command.yaml)
        seconds, shown = self.state.conditions.timeout - self.seconds, self._member.settings.trainer.progress_bar
        self._display = Display(lambda: self.state.ranked, seconds, shown)
        stopped = None
        with Workers(self.state.conditions.cores, self._member.rows) as workers:
            try:
                with self._display.live or nullcontext():
                    self._train(workers)
            except (KeyboardInterrupt, SystemExit) as error:
                stopped = error
                interruption.settle()
                workers.end_calls()
            table = self.state.table_of_answer
            answer = self._write_answer(workers, table) if self.state.ranked else None
        if answer is not None:
            board = leaderboard(self.state, table, answer, self._directory, self._left_out, self._wrong)
            replace(board, promotions=self.promotions).write(self._directory)
        if stopped:
            best = f"the best answer so far, {answer.winner.name}, is" if answer else "no candidate has ended"
            raise interrupted(f"{best} in {self._directory}", self._directory) from stopped
        if answer is None:
            failures = "; ".join(f"{name}: {x.failure}" for name, x in self.state.standings.items() if x.failure)
            raise RunError(f"search: no candidate could be trained ({failures})")
        if self._settings.compare:
            compare(self._directory, {}, self._command.quiet)

    def _resume(self) -> None:
        """Continue with the trials that have ended."""
        description = {  # what must not change while it is resumed
            "overrides": self._overrides,
            "data.file": f"rows {self._member.checksum[:12]}",
            "search.timeout": self.state.conditions.timeout,
            "search.seeds": self.state.conditions.seeds,
            "hydra.launcher.processes": self.state.conditions.cores,
            "candidates": {name: list(x.overrides) for name, x in self.state.listed.items()},
        }
        Journal(self._directory, description, True, self._began).write()
        for number, (move, result, ended) in read_trials(self._directory).items():
            if move.candidate in self.state.listed and (move.start is None or move.start in self.state.results):
                with suppress(ValueError):  # a change that is not allowed, in the file of a stranger
                    self.state.candidate_of(move)
                    self.state = merge(self.state, {number: move}, {number: result}, ended)
                    self._earlier = max(self._earlier, ended)

    def _train(self, workers: Workers) -> None:
        """Train what the rule says, until it says nothing, or training ends."""
        queue, conditions = deque[Move](), self.state.conditions
        while True:
            interruption.check()
            self.state = replace(self.state, now=self.seconds)
            while self.state.free > 0 and self.state.left() > 0:
                if not queue:
                    moves, why = next_moves(self.state)
                    if not moves:
                        break
                    queue.extend(moves)
                    self._say(why)
                if queue[0].threads > self.state.free:
                    break
                self._begin(workers, queue.popleft())
            if not workers.busy:
                break
            self._collect(workers)
        late = self.state.left() <= 0 or any(TIME_OVER in x.failure for x in self.state.standings.values())
        if not self.state.ranked and late:
            fastest = next(iter(self.state.listed.values()))
            what = "search.timeout: no candidate has ended within %g s; %s has some more seconds"
            log.warning(what, conditions.timeout, fastest.name)
            self._begin(workers, Move(fastest.listed, {}, 0, 0.0), patient=True)
            while workers.busy:
                interruption.check()
                self._collect(workers)

    def _begin(self, workers: Workers, move: Move, patient: bool = False) -> None:
        """Begin a trial. A step may take longer than its time, but not all that is left."""
        number = max(self.state.moves, default=-1) + 1
        self.state = replace(self.state, now=self.seconds)
        move = beginning(self.state, move)
        most = PATIENCE_FACTOR * move.seconds + PATIENCE_SECONDS
        left = self.state.conditions.timeout - self.seconds
        workers.submit(number, self.state.trial(move), math.inf if patient else time.monotonic() + min(most, left))
        self.state = merge(self.state, {number: move}, {}, self.seconds)

    def _collect(self, workers: Workers) -> None:
        """Write down the trials that have ended."""
        for number, value in workers.wait().items():
            result = value if isinstance(value, Result) else Result(failure=describe(value))
            self.state = merge(self.state, {}, {number: result}, self.seconds)
            write_trial(self._directory, number, self.state.moves[number], result, self.seconds)

    def _write_answer(self, workers: Workers, table: SearchTable | None) -> Answer:
        """Write the runs of the winner's networks, and the answer; return what the leaderboard says of it."""
        answer = Answer.of(self.state.ranked)
        paths = self._publish(workers, [*answer.judging, *answer.refits])
        of_judging, of_refits, calibration = paths[: len(answer.judging)], paths[len(answer.judging) :], None
        if table is not None:
            errors = [answer.winner.metric(name) for name in ERRORS]
            fits, differences = agreement_of(table, errors, of_judging, of_refits)
            for path, is_kept in zip(of_refits, fits, strict=True):
                if not is_kept:
                    shutil.rmtree(path, ignore_errors=True)
            of_refits, refits = [*compress(of_refits, fits)], [*compress(answer.refits, fits)]
            runs = [int(path.name) for path in of_refits]
            answer = answer._replace(refits=refits, runs=runs, differences=differences)
            calibration = answer.calibrate(table.rows, answer.left_out(table))
        write_answer(self._directory, [path.name for path in of_refits or of_judging], calibration)
        return answer

    def _publish(self, workers: Workers, networks: list[Network]) -> list[Path]:
        """Write run directories, whose names are the places of the networks."""
        paths = [self._directory / str(place) for place in range(len(networks))]
        for place, (network, path) in enumerate(zip(networks, paths, strict=True)):
            candidate = self.state.candidate_of(network.move)
            options = options_of(self._command.compose(candidate.overrides, place).hydra)
            settings, result = self.state.trial(network.move).settings, network.result
            seconds, steps = (float(result.history[name][-1]) for name in ("seconds", "step"))
            settings = settings_of_run(settings, max(network.move.seconds, seconds), int(steps))
            overrides = overrides_of_run(candidate.overrides, settings)
            publication = Publication(settings, result, str(path), overrides, options, candidate.separate)
            workers.submit(place, publication, math.inf)
        while workers.busy:
            for place, value in workers.wait().items():
                if isinstance(value, Exception):
                    raise RunError(f"{paths[place]}: the run of the answer cannot be written: {value}")
        return paths

    def _say(self, line: str) -> None:
        """Show what is trained next, and keep it for the leaderboard."""
        line = f"{self.seconds:.0f} s: {line}"
        self.promotions.append(line)
        self._display.say(line)
