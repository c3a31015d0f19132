"""Random compositions, trained in a stack and alone, and their figures recomputed from the saved weights.

`pytest tests/sweeps/test_differential.py --compositions 500` tries 500 of them, each drawn by a seed of its own. A
failure prints the overrides of its runs; `--compositions 500 -k '[17]'` repeats the one with seed 17.
"""

import csv
import math

import pytest
import torch

from runge.configuration.errors import RunError
from runge.training.prepare import prepare
from tests.compositions import SMALL, accepted, draw_stack
from tests.conftest import fit_stack
from tests.reference import expected
from tests.sweeps.test_sweep import new_run

TOLERANCES = {32: 1e-4, 64: 1e-9}
ROUND_OFF = 1e-16
HARD = {
    "the last layer has weights of 1e8 that cancel": (
        *("optimizer=levenberg_marquardt", "trainer.max_steps=1", "balance=relobralo", "data.n_test=8"),
        *("model.activation=sigmoid", "model.depth=4"),
    ),
    "kinks are at test points": (
        *("target=steep", "data.n_test=8", "model.width=8", "model.init=knots"),
        *("model.activation=relu", "model.derivative=autograd"),
    ),
    "errors are at round-off": (
        *("optimizer=levenberg_marquardt", "trainer.max_steps=30", "model.width=12", "data.n_train=8"),
        *("model.activation=sigmoid", "schedule=constant"),
    ),
    "points move in three dimensions, and labels have noise": (
        *("target=expression", "target.expr='x*y+sin(z)'", "target.domain=[[0,1],[-1,1],[0,2]]", "sampling=sobol"),
        *("resampling=residual", "resampling.every=2", "data.noise_f=0.1", "data.noise_df=0.3"),
    ),
    "derivatives with one value": (
        *("target=expression", "target.expr='x*y+sin(z)'", "target.domain=[[0,1],[-1,1],[0,2]]", "sampling=sobol"),
        *("resampling=region", "resampling.every=2", "data.n_train=1", "data.n_derivative=9"),
    ),
}


def pytest_generate_tests(metafunc):
    if "number" in metafunc.fixturenames:
        metafunc.parametrize("number", range(metafunc.config.getoption("compositions")))


def train(members, folder, change=0):
    """Train a stack; return it with the members' directories and figures, all rows of their histories among them.

    With a `change`, each initial weight is changed at random by up to 4 units in its last place.
    """
    stack, chance = prepare(members), torch.Generator().manual_seed(change)
    if change:
        theta = stack.module.network.theta.data
        theta *= 1 + 4 * torch.finfo(theta.dtype).eps * (2 * torch.rand(theta.shape, generator=chance).to(theta) - 1)
    directories = [new_run(folder / f"{len(members)}-{i}-{change}") for i in range(len(members))]
    outcomes = fit_stack(stack, directories)
    figures = []
    for directory, outcome in zip(directories, outcomes, strict=True):
        figures.append({"error": str(outcome)} if isinstance(outcome, RunError) else dict(outcome))
        for row in csv.DictReader(directory.history.read_text().splitlines()):
            figures[-1] |= {f"{name} at {row['step']}": float(x or "nan") for name, x in row.items()}
    return stack, directories, [{key: x for key, x in some.items() if "seconds" not in key} for some in figures]


def gap(a, b):
    """Return |a - b|, and infinity if only one of them is a number."""
    numbers = [isinstance(x, float | int) and math.isfinite(x) for x in (a, b)]
    return abs(a - b) if all(numbers) else math.inf if any(numbers) else 0


def check_stack(member, together, folder):
    """Compare a member's figures with those of the run alone.

    A figure that differs by more than the tolerance must also change when the initial weights change by round-off.
    """
    _, _, (alone,) = train([member], folder)
    tolerance = TOLERANCES[member.settings.trainer.precision]
    assert alone.keys() <= together.keys()
    known = {key: x for key, x in alone.items() if key != "error"}  # one that has diverged does so in the stack too
    differ = {k: gap(x, together[k]) for k, x in known.items() if gap(x, together[k]) > tolerance * abs(x or 0)}
    if differ:
        print("beyond the tolerance:", {key: (alone[key], together[key]) for key in differ})
        others = [train([member], folder, change)[2][0] for change in range(1, 9)]  # large terms that cancel are coarse
        noise = {key: max(gap(alone[key], other.get(key)) for other in others) for key in differ}
        for key in noise:  # a fit that is exact to the last bit stays so
            noise[key] = max(noise[key], ROUND_OFF ** (2 if "loss" in key or "mse" in key else 1))
        assert {key: x for key, x in differ.items() if x > 100 * noise[key]} == {}


def check_members(members, folder):
    """Compare the members of a stack with the runs alone; return their figures."""
    _, directories, together = train(members, folder)
    for one, found, directory in zip(members, together, directories, strict=True):
        check_stack(one, found, directory.path)
    return together


def check(runs, folder):
    for run in runs:
        print("python train.py", *run)
    members = [accepted(run) for run in runs]
    stack, directories, figures = train(members, folder)
    for i, (member, directory) in enumerate(zip(members, directories, strict=True)):
        if len(members) > 1:
            check_stack(accepted(runs[i]), figures[i], directory.path)
        if "error" not in figures[i]:
            for split, points in stack.data.dataset._asdict().items():
                scale, target = float(stack.module.scale[i]), member.settings.configuration["target"]
                noise = split != "test" and bool(member.settings.data.noise_f or member.settings.data.noise_df)
                points = points.take(torch.tensor([i]))
                bounds = expected(directory, points, member.settings.loss.lambda_d, scale, target, noise)
                for name, (least, most) in bounds.items():
                    assert least <= figures[i][f"{split}/{name}"] <= most, f"{split}/{name}"


def test_composition(number, tmp_path, draws):
    check(draw_stack(draws(number)), tmp_path)


@pytest.mark.parametrize("run", HARD.values(), ids=HARD)
def test_hard_composition(run, tmp_path, pytestconfig):
    seeds = range(3 if pytestconfig.getoption("nightly") else 2)
    check([[*SMALL, *run, f"seed={seed}"] for seed in seeds], tmp_path)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_strategies(activation, tmp_path):
    shared = [*SMALL, f"model.activation={activation}", "trainer.max_steps=40", "trainer.log_every=10"]
    runs = []
    for i, strategy in enumerate(("uniform", "random", "chebyshev", "mixed", "derivative")):
        schedule = ["schedule=constant"] if i % 2 else ["schedule.latest_step=null", "schedule.patience=1"]
        runs.append([*shared, *schedule, f"seed={i}", f"sampling={strategy}", f"loss.lambda_d={0.01 * i}"])
    check(runs, tmp_path)


@pytest.mark.parametrize(("sampling", "folds"), [("random", (0, 1)), ("uniform", (2, 2))], ids=["of 7", "of 6 points"])
def test_folds(sampling, folds, tmp_path):
    run = *SMALL, "data.n_train=20", f"sampling={sampling}", "loss.sample_weight=derivative", "data.folds=3"
    check([[*run, f"data.fold={fold}", f"seed={seed}"] for seed, fold in enumerate(folds)], tmp_path)
