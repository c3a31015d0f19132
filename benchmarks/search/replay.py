"""Play rules of a search against recorded learning curves, in milliseconds instead of hours.

    python benchmarks/search/replay.py
    python benchmarks/search/replay.py --recordings FOLDER --limits 10,60

A rule says which candidate is trained next, on which share of the rows, and for how long. It sees the errors in rows
left out that the recordings have; the regret of its answer is the error of that in test rows, over the smallest one
that a candidate has with all rows and all of the time on one core. Two approximations: a candidate that continues on
more rows continues from the point of its curve there at which it has the error that it had; and nothing is known beyond
the end of a curve.
"""

import argparse
import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import geometric_mean
from typing import NamedTuple

from curves import GATHERED, Curve, Recording, read
from rules import RULES, Move, Rule, Sizes, Standing, State

CORES = 2
"""The trainings at a time, each on one core."""

LIMITS = 10.0, 60.0, 300.0
"""The limits of time of the page, in seconds."""

LEAST_ERROR = 1e-8
"""The error over the standard deviation below which two answers are equally good: labels seldom have more digits."""

NO_ANSWER = 1.0
"""The error without an answer, that of the mean of the values."""

_LEAST_SECONDS = 1e-3
"""The seconds that a move takes at least, so that a rule that asks for nothing comes to an end."""

_ROUND_OFF = 1e-9
"""The relative round-off of a sum of seconds."""


@dataclass(frozen=True)
class Task:
    """A table whose curves are recorded, and on which rules are played.

    Attributes:
        table: the table.
        curves: the curve of each candidate on each share of the rows.
        sizes: the sizes of the table.
    """

    table: str
    curves: Mapping[tuple[str, float], Curve]
    sizes: Sizes

    @cached_property
    def shares(self) -> Sequence[float]:
        """The recorded shares of the rows, ascending."""
        return sorted({share for _, share in self.curves})

    @cached_property
    def names(self) -> Sequence[str]:
        """The names of the candidates."""
        return list(dict.fromkeys(name for name, _ in self.curves))

    def best(self, limit: float) -> float:
        """Return the smallest test error that a candidate has on all rows after some seconds."""
        curves = (self.curves[name, 1.0] for name in self.names)
        return min((curve.at(limit - curve.set_up)[1] for curve in curves if len(curve.seconds)), default=math.inf)


class Trained(NamedTuple):
    """A candidate so far: what a rule sees, and what it does not see.

    Attributes:
        standing: what a rule sees.
        position: the seconds of its curve on its share of the rows.
        test: the error in test rows of its best network.
    """

    standing: Standing
    position: float = 0.0
    test: float = math.inf


class _Training(NamedTuple):
    """A move that is under way: when it ends, its number, and what its candidate is then."""

    end: float
    number: int
    after: Trained


def train(before: Trained, move: Move, curve: Curve, seconds: float) -> tuple[Trained, float]:
    """Return what a candidate is after a move, and the seconds that this takes.

    It takes at least the first step, and ends with its curve.

    Args:
        before: the candidate before.
        move: the move.
        curve: its curve on the share of the rows.
        seconds: the seconds that it has, with its set-up.
    """
    standing = before.standing
    begin = before.position if move.share == standing.share else curve.reaching(standing.error)
    if len(curve.seconds):
        until = min(max(begin + seconds - curve.set_up, float(curve.seconds[0])), max(curve.end, begin))
        taken = max(until - begin + curve.set_up, _LEAST_SECONDS)
        ended, reached = until >= curve.end, curve.at(until)
    else:
        until, taken, ended, reached = begin, seconds, True, (math.inf,) * 3
    error, test, ratio = min((standing.error, before.test, standing.loss_ratio), reached)
    history = (*standing.history, (standing.seconds + taken, error))
    after = Standing(standing.name, move.share, standing.seconds + taken, error, ratio, ended, history=history)
    return Trained(after, until, test), taken


def play(rule: Rule, task: Task, limit: float, cores: int = CORES) -> Trained:
    """Play a rule, and return its answer: the candidate with the smallest error in rows left out.

    Args:
        rule: the rule. It is asked whenever a core is free and all of the moves that it has named have begun.
        task: the table.
        limit: the seconds.
        cores: the number of trainings at a time.

    Raises:
        ValueError: a move is not allowed.
    """
    candidates = {name: Trained(Standing(name)) for name in task.names}
    running, queue = list[_Training](), list[Move]()
    now, rounds, number = 0.0, 0, 0
    while True:
        while len(running) < cores and now < limit:
            busy = {training.after.standing.name for training in running}
            if not queue:
                seen = [replace(x.standing, busy=name in busy) for name, x in candidates.items()]
                queue = list(rule(State(limit, now, cores, seen, task.shares, rounds, task.sizes)))
                rounds += bool(queue)
            if not queue:
                break
            move, number = queue.pop(0), number + 1
            if move.name in busy:
                raise ValueError(f"{move.name!r} must not be trained twice at a time")
            if (curve := task.curves.get((move.name, move.share))) is None:
                raise ValueError(f"a move must have a candidate and a share that are recorded, got {move}")
            after, taken = train(candidates[move.name], move, curve, min(move.seconds, limit - now))
            heapq.heappush(running, _Training(now + taken, number, after))
        if not running:
            return min(candidates.values(), key=lambda x: x.standing.error)
        training = heapq.heappop(running)
        now = training.end
        if now <= limit * (1 + _ROUND_OFF):  # a step may take longer
            candidates[training.after.standing.name] = training.after


def regret(rule: Rule, task: Task, limit: float) -> float:
    """Return the test error of a rule's answer over the smallest one, both at least `LEAST_ERROR`."""
    errors = play(rule, task, limit).test, task.best(limit)
    answer, best = (min(max(error, LEAST_ERROR), NO_ANSWER) for error in errors)
    return answer / best


def tasks_of(recordings: Iterable[Recording]) -> list[Task]:
    """Return the tables of which all candidates are recorded on all rows, one for each seed."""
    groups = defaultdict[tuple[str, int], list[Recording]](list)
    names = dict[str, None]()
    for recording in recordings:
        names[recording.candidate] = None
        groups[recording.table, recording.seed].append(recording)
    tasks = list[Task]()
    for (table, _), some in groups.items():
        by_share = defaultdict[float, dict[str, Recording]](dict)
        for recording in some:
            by_share[recording.share][recording.candidate] = recording
        complete = {share: of for share, of in by_share.items() if len(of) == len(names)}
        complete = {share: of for share, of in complete.items() if any(not one.failure for one in of.values())}
        if 1.0 in complete:
            curves = {(name, share): Curve.of(of[name]) for share, of in complete.items() for name in names}
            largest = max(complete[1.0].values(), key=lambda one: one.rows)
            tasks.append(Task(table, curves, Sizes(largest.rows, largest.inputs, largest.outputs)))
    return tasks


class Regrets(NamedTuple):
    """The regrets of a rule with a limit of time on some tables: the geometric mean, the largest one and its table."""

    mean: float
    most: float
    worst: str


def regrets(rule: Rule, tasks: Sequence[Task], limit: float) -> Regrets:
    """Play a rule on tables."""
    each = [(regret(rule, task, limit), task.table) for task in tasks]
    return Regrets(geometric_mean(one for one, _ in each), *max(each))


def table_of(tasks: Sequence[Task], limits: Sequence[float], rules: Mapping[str, Rule] = RULES) -> list[list[str]]:
    """Return a row for each rule: its name, and the mean and the largest regret for each limit."""
    rows = list[list[str]]()
    for name, rule in rules.items():
        found = [regrets(rule, tasks, limit) for limit in limits]
        rows.append([name, *(f"{one.mean:.2f}, {one.most:.3g} ({one.worst})" for one in found)])
    return rows


def main() -> None:
    from suite import CHECK  # late, because it imports what makes the tables

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, default=GATHERED, help="a file or a folder of recordings")
    parser.add_argument("--limits", default=",".join(f"{limit:g}" for limit in LIMITS))
    parser.add_argument("--rules", nargs="+", default=list(RULES), choices=RULES, metavar="NAME")
    options = parser.parse_args()
    limits = [float(limit) for limit in options.limits.split(",")]
    tasks, rules = tasks_of(read(options.recordings)), {name: RULES[name] for name in options.rules}
    sets: dict[str, Callable[[Task], bool]] = {
        "choose": lambda task: task.table not in CHECK,
        "check": lambda task: task.table in CHECK,
    }
    for name, belongs in sets.items():
        some = [task for task in tasks if belongs(task)]
        print(f"{name}: {len(some)} tables and seeds; mean and largest regret for {options.limits} s")
        for row in table_of(some, limits, rules) if some else ():
            print(
                "  ", f"{row[0]:24}", *(f"{cell:>8}" if i % 2 == 0 else f"{cell:32}" for i, cell in enumerate(row[1:]))
            )


if __name__ == "__main__":
    main()
