"""What is claimed of the remedies, and how each claim is judged; its runs are `conf/experiment/claims/<name>.yaml`."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from runge.compare.groups import Row
from runge.metrics import key

SEED = "seed"

WORST = "test/mse_df in the worst region"
"""The largest of MSE_df over the ends and the middle, which together are the whole domain."""

MSE_F, MSE_DF = key("test", "mse_f"), key("test", "mse_df")
LEFT, RIGHT = key("test", "mse_df", "left"), key("test", "mse_df", "right")


class Claim(NamedTuple):
    """A claim, whose arms are compared with a baseline: context by context, seed by seed.

    Attributes:
        name: that of its experiment.
        statement: what is claimed.
        arms: the swept keys that tell the arms apart; all others but the seed tell the contexts.
        baseline: the arm that the others are compared with, its values joined by a comma and a blank.
        judged: the arms of which the claim is true or not; empty: all but the baseline.
        metric: what they are compared by; smaller is better.
        also: what is shown beside it.
        along: a swept key with numbers, over which the metric is drawn; empty: it is drawn as effects.
        matched: a figure of the run that stands for `along`: arms are compared where it is equal, by interpolation.
    """

    name: str
    statement: str
    arms: tuple[str, ...]
    baseline: str
    judged: tuple[str, ...] = ()
    metric: str = MSE_DF
    also: tuple[str, ...] = (MSE_F,)
    along: str = ""
    matched: str = ""

    def overrides(self, arm: str) -> str:
        """An arm as it is typed.

        Example:
            >>> Claim("", "", ("sampling", "data.n_train"), "").overrides("random, 48")
            'sampling=random data.n_train=48'
        """
        return " ".join(f"{key}={value}" for key, value in zip(self.arms, arm.split(", "), strict=True))


class ClaimRuns(NamedTuple):
    """The runs of a claim.

    Attributes:
        claim: the claim.
        wanted: for each run that there should be, the swept keys and their values as typed.
        rows: the runs as read from their directories (`runge.records.reading.read`).
    """

    claim: Claim
    wanted: Sequence[Mapping[str, str]]
    rows: Sequence[Row]


CLAIMS = (
    Claim(
        "derivative_scale",
        "The two errors differ in size, so one can drown the other: dividing f' by its largest value or its standard "
        "deviation lowers the error of f'. (With a scale c that is the same as a weight of lambda_d / c^2.)",
        ("loss.derivative_scale",),
        "none",
    ),
    Claim(
        "lambda_d",
        "A weight lambda_d above 0 lowers the error of f' against a fit of f alone, if it is chosen well.",
        ("loss.lambda_d",),
        "0",
        along="loss.lambda_d",
    ),
    Claim(
        "two_stage",
        "Fitting f alone first, until it is stable or for a quarter of the steps, and f' only then, at once or as a "
        "ramp, lowers the error of f' against fitting both from the first step.",
        ("schedule",),
        "constant",
    ),
    Claim(
        "sampling",
        "Points that are denser near the ends (chebyshev, endpoint, mixed), have quotas (stratified) or follow |f'| "
        "(derivative) lower the error of f' against evenly spaced ones.",
        ("sampling",),
        "uniform",
        ("chebyshev", "endpoint", "mixed", "stratified", "derivative"),
        also=(MSE_F, LEFT, RIGHT),
    ),
    Claim(
        "placement",
        "Points that lie elsewhere than evenly help by their place itself, not by the weight that crowded points have "
        "in the mean: they help also where each is weighted by its share of the domain (density).",
        ("sampling", "loss.sample_weight"),
        "uniform, none",
        ("chebyshev, density", "endpoint, density", "derivative, density"),
    ),
    Claim(
        "resampling",
        "Watching each region and moving the points to where the errors are large lowers the error of f' in the worst "
        "region against points that stay.",
        ("resampling",),
        "none",
        metric=WORST,
        also=(MSE_F, MSE_DF),
    ),
    Claim(
        "boundary_points",
        "Extra samples near the ends that carry f' lower its error: 48 points and 16 near the ends against 64 spread "
        "evenly, which are as many.",
        ("data.n_train", "data.boundary_points"),
        "64, 0",
        ("48, 16",),
        also=(MSE_F, LEFT, RIGHT),
    ),
    Claim(
        "sample_weight",
        "A higher weight for samples with a large |f'| lowers the error of f'.",
        ("loss.sample_weight",),
        "none",
    ),
    Claim("activation", "Another activation than tanh lowers the error of f'.", ("model.activation",), "tanh"),
    Claim(
        "size",
        "With as many parameters another depth than two hidden layers lowers the error of f'. (That larger networks "
        "fit better, universal approximation, is told by the slopes below.)",
        ("model.depth",),
        "2",
        along="model.width",
        matched="parameters",
    ),
    Claim(
        "points",
        "f' saves points: from as many of them, f and f' are fitted with a lower error of f' than from f alone.",
        ("loss.lambda_d",),
        "0",
        along="data.n_train",
    ),
    Claim(
        "balance",
        "A rule that sets lambda_d from the two terms lowers the error of f' against a fixed lambda_d of 0.1.",
        ("balance",),
        "fixed",
    ),
    Claim(
        "hw",
        "HW3 against HW2: with f' in the loss, the same network on the same samples has a lower error of f'.",
        ("loss.lambda_d",),
        "0",
    ),
)
"""All claims, in the order of the page."""
