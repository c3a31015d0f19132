"""The findings on the claims: effects as numbers, kept in `figures`, from which the pages are written."""

import csv
import io
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from claims import CLAIMS, Claim, ClaimRuns
from effects import Quartiles, arrange, effects, name_context

from runge.process.machine import cores
from runge.records.files import write
from runge.records.metrics import TOTAL_SECONDS

FIGURES = Path(__file__).parent / "figures"


class Finding(NamedTuple):
    """A ratio of errors of an arm in a context: quartiles over the seeds, and whether it is significant.

    The verdict is `helps`, `hurts` or `unclear`; it is empty with fewer than five seeds.
    """

    claim: str
    metric: str
    context: str
    arm: str
    low: float
    median: float
    high: float
    verdict: str

    @property
    def quartiles(self) -> Quartiles:
        """The quartiles over the seeds."""
        return self.low, self.median, self.high


class Judgement(NamedTuple):
    """The findings of an arm, one for each context of its claim."""

    arm: str
    findings: tuple[Finding, ...]

    @property
    def tested(self) -> bool:
        """Whether any context has enough seeds for a test."""
        return any(finding.verdict for finding in self.findings)

    def having(self, verdict: str) -> list[Finding]:
        """Return the findings with this verdict, the strongest one first."""
        chosen = [finding for finding in self.findings if finding.verdict == verdict]
        return sorted(chosen, key=lambda finding: finding.median, reverse=verdict == "hurts")


class Findings(NamedTuple):
    """All findings, with how they were made.

    Attributes:
        effects: of all claims.
        runs: the number of runs of each claim, and of those that did not finish.
        classical: function, method, MSE_f and MSE_df of methods that need no training, and of the best networks.
        machine: where the runs were made.
        minutes: the time of all runs.
    """

    effects: Sequence[Finding]
    runs: Mapping[str, Sequence[int]]
    classical: Sequence[Sequence[str]]
    machine: str
    minutes: float

    @classmethod
    def of(cls, claims: Sequence[ClaimRuns], classical: Sequence[Sequence[str]]) -> Self:
        """Return the findings of some runs."""
        runs = {one.claim.name: (len(one.wanted), _missing(one)) for one in claims}
        seconds = sum(record.figures.get(TOTAL_SECONDS) or 0 for one in claims for record in one.records)
        machine = f"{cores()} cores ({platform.machine()}), torch {torch.__version__}"
        return cls([finding for one in claims for finding in _findings(one)], runs, classical, machine, seconds / 60)

    def claims(self) -> list[Claim]:
        """Return the claims that have runs."""
        return [claim for claim in CLAIMS if claim.name in self.runs]

    def on(self, claim: Claim, metric: str) -> list[Finding]:
        """Return the findings on a claim by a metric."""
        return [one for one in self.effects if (one.claim, one.metric) == (claim.name, metric)]

    def keep(self, folder: Path) -> None:
        """Write the findings to a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / "effects.csv", _csv(Finding._fields, self.effects))
        write(folder / "classical.csv", _csv(("f", "method", "mse_f", "mse_df"), self.classical))
        made = {"machine": self.machine, "minutes": round(self.minutes, 1), "runs": self.runs}
        write(folder / "runs.json", json.dumps(made, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the findings that `keep` has written."""
        effects = [
            Finding(*row[:4], *map(float, row[4:7]), row[7])  # pyright: ignore[reportCallIssue]
            for row in _rows(folder / "effects.csv")
        ]
        made = json.loads((folder / "runs.json").read_text())
        return cls(effects, made["runs"], _rows(folder / "classical.csv"), made["machine"], made["minutes"])


def judge(findings: Sequence[Finding], claim: Claim) -> Judgement:
    """Return the arm with the smallest geometric mean of the median ratios."""

    def mean(judgement: Judgement) -> float:
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log([finding.median for finding in judgement.findings])
        return float(np.nan_to_num(np.mean(logs), nan=np.inf))

    return min(judgements(findings, claim), key=mean)


def judgements(findings: Sequence[Finding], claim: Claim) -> list[Judgement]:
    """Return the findings by arm, of the arms by which the claim is judged."""
    names = claim.judged or dict.fromkeys(finding.arm for finding in findings)
    return [Judgement(name, tuple(one for one in findings if one.arm == name)) for name in names]


def _findings(runs: ClaimRuns) -> list[Finding]:
    claim, observations = runs.claim, arrange(runs)
    return [
        Finding(claim.name, metric, name_context(effect.context), effect.arm, *effect.quartiles, effect.verdict)
        for metric in (claim.metric, *claim.also)
        for effect in effects(observations, claim, metric)
    ]


def _missing(runs: ClaimRuns) -> int:
    return sum(observation.status != "finished" for observation in arrange(runs))


def _csv(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([head, *([float(x) if isinstance(x, float) else x for x in row] for row in rows)])
    return text.getvalue()


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]
