"""The claims on the remedies and how each is judged; `conf/experiment/claims/<name>.yaml` describes its runs."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from runge.records.metrics import PARAMETERS, TEST_MSE_DF, TEST_MSE_F, key
from runge.records.reading import RunRecord

SEED = "seed"
LEFT, MIDDLE, RIGHT = (key("test", "mse_df", region) for region in ("left", "middle", "right"))
WORST = f"{TEST_MSE_DF} in the worst region"
"""The largest of LEFT, MIDDLE and RIGHT, whose regions cover the domain."""

Context = tuple[tuple[str, str], ...]
"""The swept keys that define a context, each with its value as typed."""


class Claim(NamedTuple):
    """A claim: its arms are compared with a baseline in each context, seed by seed.

    Attributes:
        name: the name of its experiment.
        title: the heading of its section.
        statement: the claim in words.
        arms: the swept keys that define the arms; the other swept keys, except the seed, define the contexts.
        baseline: the arm to compare with, its values joined by ", ".
        judged: the arms by which the claim is judged; empty: all except the baseline.
        metric: the figure to compare; smaller is better.
        also: further figures to show.
        along: a swept key with numeric values, which are columns of the tables.
        matched: a figure that replaces `along`: the arms are compared at equal values of it, by interpolation.
    """

    name: str
    title: str
    statement: str
    arms: tuple[str, ...]
    baseline: str
    judged: tuple[str, ...] = ()
    metric: str = TEST_MSE_DF
    also: tuple[str, ...] = (TEST_MSE_F,)
    along: str = ""
    matched: str = ""

    def overrides(self, arm: str) -> str:
        """Return an arm as it is typed on the command line.

        Example:
            >>> Claim("", "", "", ("sampling", "data.n_train"), "").overrides("random, 48")
            'sampling=random data.n_train=48'
        """
        return " ".join(f"{key}={value}" for key, value in zip(self.arms, arm.split(", "), strict=True))

    def context(self, run: Mapping[str, str]) -> Context:
        """Return the context of a run, given its swept keys and their values; `along` comes last, if it is a part."""
        others = {*self.arms, SEED, *((self.along,) if self.matched else ())}
        return tuple(sorted((x for x in run.items() if x[0] not in others), key=lambda x: x[0] == self.along))


class ClaimRuns(NamedTuple):
    """A claim, the swept keys and values (as typed) of each run that there should be, and the runs as read."""

    claim: Claim
    wanted: Sequence[Mapping[str, str]]
    records: Sequence[RunRecord]


def typed(record: RunRecord) -> dict[str, str]:
    """Return a run's overrides with their values as typed."""
    return dict(part.split("=", 1) for part in (record.overrides or "").split() if "=" in part)


CLAIMS = (
    Claim(
        "derivative_scale",
        "Scale of the derivative",
        "The two errors differ in size, so that one can dominate the other: dividing f' by its largest value or its "
        "standard deviation lowers the error of f'. (A scale c is equivalent to the weight lambda_d / c^2.)",
        ("loss.derivative_scale",),
        "none",
    ),
    Claim(
        "lambda_d",
        "Weight of the derivative",
        "A well-chosen weight lambda_d above 0 lowers the error of f' compared with fitting f alone.",
        ("loss.lambda_d",),
        "0",
    ),
    Claim(
        "two_stage",
        "Values first, derivatives later",
        "Fitting f alone first, until it is stable or for a quarter of the steps, and then adding f', at once or as a "
        "ramp, lowers the error of f' compared with fitting both from the first step.",
        ("schedule",),
        "constant",
    ),
    Claim(
        "sampling",
        "Sampling of the points",
        "Points that are denser near the ends (chebyshev, endpoint, mixed), have quotas (stratified) or follow |f'| "
        "(derivative) lower the error of f' compared with evenly spaced points.",
        ("sampling",),
        "uniform",
        ("chebyshev", "endpoint", "mixed", "stratified", "derivative"),
        also=(TEST_MSE_F, LEFT, RIGHT),
    ),
    Claim(
        "placement",
        "Position or weight of the points",
        "Points that are not evenly spaced help by their position, not by the weight that crowded points have in the "
        "mean: they also help if each point is weighted by its share of the domain (density).",
        ("sampling", "loss.sample_weight"),
        "uniform, none",
        ("chebyshev, density", "endpoint, density", "derivative, density"),
    ),
    Claim(
        "resampling",
        "Points that move to large errors",
        "Monitoring each region and moving the points to where the errors are large lowers the error of f' in the "
        "worst region compared with fixed points.",
        ("resampling",),
        "none",
        metric=WORST,
        also=(TEST_MSE_F, TEST_MSE_DF),
    ),
    Claim(
        "boundary_points",
        "Extra points near the ends",
        "Extra samples near the ends that carry f' lower its error: 48 points and 16 near the ends are compared with "
        "64 evenly spaced points.",
        ("data.n_train", "data.boundary_points"),
        "64, 0",
        ("48, 16",),
        also=(TEST_MSE_F, LEFT, RIGHT),
    ),
    Claim(
        "sample_weight",
        "Weights of samples",
        "A higher weight for samples with a large |f'| lowers the error of f'.",
        ("loss.sample_weight",),
        "none",
    ),
    Claim(
        "activation",
        "Activation",
        "An activation other than tanh lowers the error of f'.",
        ("model.activation",),
        "tanh",
    ),
    Claim(
        "size",
        "Depth and number of parameters",
        "With equally many parameters, another depth than two hidden layers lowers the error of f'.",
        ("model.depth",),
        "2",
        along="model.width",
        matched=PARAMETERS,
    ),
    Claim(
        "points",
        "Derivatives at equal numbers of points",
        "With equally many points, fitting f and f' gives a lower error of f' than fitting f alone.",
        ("loss.lambda_d",),
        "0",
        along="data.n_train",
    ),
    Claim(
        "noise",
        "Noise in the derivatives",
        "With normal noise in f' alone, of up to twice its standard deviation, fitting f and f' still gives a lower "
        "error of f' than fitting f alone.",
        ("loss.lambda_d",),
        "0",
        along="data.noise_df",
    ),
    Claim(
        "balance",
        "Rules that balance the two errors",
        "A rule that sets lambda_d from the two terms lowers the error of f' compared with a fixed lambda_d of 0.1.",
        ("balance",),
        "fixed",
    ),
    Claim(
        "hw",
        "Homework: hw2 against hw3",
        "Values and derivatives against values alone (the experiments hw3 and hw2): with f' in the loss, the same "
        "network on the same samples has a lower error of f'.",
        ("loss.lambda_d",),
        "0",
    ),
)
"""All claims, in the order of the page."""
