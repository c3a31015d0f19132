"""Runs on tables through all that a run goes through: stacks, resumption, sweeps, bad input, the Python interface."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import runge
from runge.configuration.objects import CONFIGURATIONS
from runge.data.rows import read
from runge.data.table import Table
from runge.interface.outcomes import Run
from runge.sweeps.session import explain
from runge.training.member import Member
from runge.training.stack import Stack
from tests.conftest import compose
from tests.refusals import check_refusal
from tests.sweeps.test_bad_input import prepare
from tests.sweeps.test_differential import check_members
from tests.sweeps.test_differential import train as train_stack
from tests.sweeps.test_run import check_resumed, figures

pytestmark = pytest.mark.usefixtures("in_folder", "one_core")

SHORT = (
    *("data=table", "data.file=a.csv", "trainer.max_steps=24", "trainer.log_every=4", "trainer.checkpoint_seconds=0"),
    *("trainer.diagnostics_every=8", "model.width=5", "trainer.progress_bar=false", "pictures=false"),
)
EXACT = (*SHORT, "trainer.precision=64", "trainer.compile=off")
ALONE = ("data.inputs=[t]", "data.outputs=[y]")
OPTIMIZERS = sorted(path.stem for path in (CONFIGURATIONS / "optimizer").glob("*.yaml"))
BALANCES = sorted(path.stem for path in (CONFIGURATIONS / "balance").glob("*.yaml"))


def two_outputs(m=40, seed=0):
    """Return a table of two inputs and outputs, with a fifth of the labels missing."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-5, 10, m), rng.uniform(20, 80, m)
    labels = {"y": a * b**2, "z": np.sin(a / 3) + b / 50}
    labels |= {"dy_da": b**2, "dy_db": 2 * a * b, "dz_da": np.cos(a / 3) / 3, "dz_db": np.full(m, 0.02)}
    missing = {name: np.where(rng.random(m) < 0.2, np.nan, label) for name, label in labels.items()}
    return pd.DataFrame({"a": a, "b": b} | missing)


def one_output(m=40, scale=1.0, offset=0.0):
    t = np.linspace(0, 1, m)
    return pd.DataFrame({"t": t, "y": offset + scale * np.sin(3 * t), "dy_dt": 3 * scale * np.cos(3 * t)})


def member(*overrides):
    return Member(compose(*overrides) | {"logger": {}})


STACKS = {
    "mini-batches, channels by their logarithm": ("data.batch_size=7", "balance=log", "balance.every=8"),
    "by autograd, the user's units": ("model.derivative=autograd", "model.standardize=false"),
    "a scale of the derivatives": ("loss.derivative_scale=std", "schedule=two_stage", "schedule.patience=1"),
}


@pytest.mark.parametrize("options", STACKS.values(), ids=STACKS)
def test_a_member_of_a_stack_equals_the_run_alone(options, tmp_path):
    two_outputs().to_csv("a.csv", index=False)
    different = (("seed=1",), ("seed=2", "loss.lambda_d=0.1"), ("seed=3", "data.seed=1", "loss.lambda_d=0"))
    members = [member(*EXACT, *options, *one) for one in different]
    assert len({one.shared() for one in members}) == 1
    check_members(members, tmp_path)


def test_a_member_without_derivatives_in_its_training_rows(tmp_path):
    """In a stack with one that has them, its lambda_d is 0 as it is alone."""
    table = one_output()
    table.loc[1:, "dy_dt"] = np.nan
    table.to_csv("a.csv", index=False)
    rows = read(Table(file="a.csv"))
    members = [member(*EXACT, f"seed={seed}") for seed in range(8)]
    of = [0 in rows.split(one.data_seed.generator("data")).train for one in members]
    members = [members[of.index(True)], members[of.index(False)]]
    assert [found["lambda_d"] for found in check_members(members, tmp_path)] == [1, 0]


@pytest.mark.parametrize(
    "option", [*(f"optimizer={name}" for name in OPTIMIZERS), *(f"balance={name}" for name in BALANCES)]
)
def test_every_optimiser_and_balance_lowers_the_loss(option, tmp_path):
    """Also where one output is known in one row, and the derivatives of the other by one input are not."""
    table = two_outputs(60).drop(columns=["dy_db"])
    table.loc[table.index != table["z"].first_valid_index(), "z"] = np.nan
    table.to_csv("a.csv", index=False)
    every = ["balance.every=8"] if option.split("=")[1] in ("log", "gradnorm", "relobralo") else []
    fixed_neurons = option in ("optimizer=least_squares", "optimizer=random_features")
    every += ["trainer.log_every=1"] if fixed_neurons else []
    one = member(*EXACT, *every, option, "data.inputs=[a,b]", "data.outputs=[y,z]")
    stack = Stack([one])
    before = float(stack.module.measure("train", stack.data.dataset.train, stack.module.lambda_d)["train/loss"])
    _, _, (found,) = train_stack([one], tmp_path)
    assert found["train/loss"] < before
    assert all(np.isfinite(found[f"val/{name}"]) for name in ("loss", "mse_df/z", "mse_f/y"))
    assert stack.module.channels.isfinite().all()
    assert stack.module.lambda_now.isfinite().all()


RESUMED = {
    "mini-batches": ("data.batch_size=7", "balance=log", "balance.every=8"),
    "Levenberg-Marquardt": ("optimizer=levenberg_marquardt", "trainer.precision=64"),
}


@pytest.mark.parametrize("options", RESUMED.values(), ids=RESUMED)
def test_a_resumed_run_equals_the_uninterrupted_one(options, train, tmp_path):
    two_outputs().to_csv("a.csv", index=False)
    check_resumed(train, tmp_path, (*SHORT, *options), 10)


def test_a_run_is_not_resumed_with_other_rows(train, fail, finish, tmp_path):
    table = two_outputs()
    table.to_csv("a.csv", index=False)
    assert train(*SHORT, "hydra.run.dir=part", interrupt=10)[0] == 1
    state = (tmp_path / "part" / "status.json").read_bytes()
    table.loc[3, "y"] = 1.0
    table.to_csv("a.csv", index=False)
    _, err = fail("resume=part")
    assert "error: data.file: must hold the rows with which the run in " in err
    assert "'a.csv' has changed: restore it, or begin a new run" in err
    assert (tmp_path / "part" / "status.json").read_bytes() == state
    two_outputs().to_csv("moved.csv", index=False)
    _, err = fail("resume=part", "data=table", "data.file=moved.csv", "data.batch_size=3")
    assert err.rstrip().endswith("remove data.batch_size=3")
    finish("resume=part", "data=table", "data.file=moved.csv")
    assert train(*SHORT, "data.file=moved.csv", "hydra.run.dir=whole")[0] == 0
    assert figures(tmp_path / "part") == figures(tmp_path / "whole")


def test_a_sweep_is_not_continued_with_other_rows(train, fail, tmp_path):
    two_outputs().to_csv("a.csv", index=False)
    sweep = ("-m", *SHORT, "seed=0,1", "search.compare=false", "hydra.sweep.dir=sweep")
    assert train(*sweep)[0] == 0
    (tmp_path / "sweep" / "1" / "metrics.json").unlink()
    two_outputs(seed=1).to_csv("a.csv", index=False)
    _, err = fail(*sweep)
    assert "data.file: must hold the rows with which the run in 'sweep/0' began" in err
    assert not (tmp_path / "sweep" / "1" / "metrics.json").exists()


def test_sweeps_over_files_splits_and_activations(finish, tmp_path):
    two_outputs(60).to_csv("a.csv", index=False)
    one_output().to_csv("b.csv", index=False)
    finish("-m", *SHORT[:1], *SHORT[2:], "data.file=a.csv,b.csv", "search.compare=false", "hydra.sweep.dir=files")
    assert "test/mse_f/y" in figures(tmp_path / "files" / "0")
    assert "test/mse_f/y" not in figures(tmp_path / "files" / "1")
    options = ("data.split.train=0.2,0.7", "model.activation=tanh,gelu", "hydra.sweep.dir=sizes")
    finish("-m", *SHORT, *options, "search.compare=false")
    first, last = (tmp_path / "sizes" / name for name in "03")
    np.testing.assert_allclose(*(pd.read_csv(run / "fit.csv")["a"] for run in (first, last)), rtol=1e-6)
    assert "12 train, 9 val, 9 test" in (first / "train.log").read_text()
    assert "42 train, 9 val, 9 test" in (last / "train.log").read_text()


@pytest.mark.parametrize(("precision", "scale", "offset"), [(32, 1e-30, 0), (64, 1, 1e12)])
def test_metrics_are_those_of_the_loaded_function(precision, scale, offset, fit):
    """Recomputed from the rows of the file in its units."""
    table = two_outputs()
    table["y"] = scale * table["y"] + offset
    table[["dy_da", "dy_db"]] *= scale
    table.to_csv("a.csv", index=False)
    run = fit("run", *SHORT, f"trainer.precision={precision}")
    found, u = figures(run), runge.load(run)
    test = read(Table(file="a.csv")).split(member(*SHORT).data_seed.generator("data")).test
    rows = pd.read_csv("a.csv").iloc[test]
    x = rows[["a", "b"]].to_numpy()
    close = {"rel": 1e-4 if precision == 32 else 1e-6 if offset > 1e9 else 1e-9, "abs": 0}
    values, slopes = u(x), u.derivative(x)
    assert values.shape == (len(x), 2)
    nrmse = []
    for p, name in enumerate("yz"):
        error = values[:, p] - rows[name]
        assert np.nanmean(error**2) == pytest.approx(found[f"test/mse_f/{name}"], **close)
        assert np.nanmax(abs(error)) == pytest.approx(found[f"test/max_f/{name}"], **close)
        nrmse.append(np.sqrt(np.nanmean(error**2)) / np.nanstd(rows[name]))
        squares = [(slopes[:, p, d] - rows[f"d{name}_d{x}"]) ** 2 for d, x in enumerate("ab")]
        assert 2 * np.nanmean(squares) == pytest.approx(found[f"test/mse_df/{name}"], **close)
    assert np.mean(nrmse) == pytest.approx(found["test/nrmse_f"], **close)
    written = pd.read_csv(run / "fit.csv")
    np.testing.assert_allclose(written[["u_y", "u_z"]], values, rtol=1e-5)
    np.testing.assert_allclose(written["y"], rows["y"], rtol=1e-5)


# An override: the key, what was given, and what is allowed.
MISTAKES = {
    "data=table": ("data.file", "None", "string"),
    "target=runge": ("target", "Runge", "absent", "data=table"),
    "sampling=chebyshev": ("sampling", "Chebyshev", "absent", "data=table"),
    "resampling=region": ("resampling", "Region", "none", "data=table"),
    "loss.sample_weight=derivative": ("loss.sample_weight", "'derivative'", "none", "data=table"),
    "+data.nonsense=1": ("data.nonsense", "", "file, inputs, outputs"),
    "data.n_train=5": ("data.n_train", "", "file, inputs, outputs", "data=sampled"),
    "experiment=precision": ("data.n_train", "", "data=sampled"),
    "data.batch_size=29": ("data.batch_size", "29", "null", "28"),
    "data.inputs=[]": ("data.inputs", "", "at least 1 item"),
    "data.split.train=0.9": ("data.split", "0.9", "at most 1 in total"),
    "+data.split.trian=0.5": ("data.split.trian", "'trian'", "'train', 'val' or 'test'"),
    "data.split_column=set": ("data.split_column", "'set'", "'a.csv'", "columns"),
    "data.outputs=[u_y,y]": ("data.outputs", "'u_y'", "fit.csv"),
    "data.file=b.csv": ("data.file: 'b.csv': line 2", "1", "2 cells"),
}


@pytest.fixture
def given():
    """Two files, the second of which is no table, and the overrides that name the first."""
    table = one_output()
    table.assign(u_y=table["y"] ** 2).to_csv("a.csv", index=False)
    Path("b.csv").write_text("t,y\n1\n")
    return ["data=table", "data.file=a.csv", "data.inputs=[t]", "data.outputs=[y]"]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused(mistake, given):
    table = [] if mistake == "data=table" else given[: 3 if "outputs" in mistake else 4]
    with pytest.raises(Exception) as error:  # noqa: PT011, which of several classes is no matter to a user
        prepare([*table, mistake])
    check_refusal(str(explain(error.value)), *MISTAKES[mistake])


@pytest.mark.parametrize("mistake", ["data.file=b.csv", "data.batch_size=29", "target=runge"])
def test_a_mistake_is_reported_in_one_message_and_leaves_nothing(mistake, given, fail, tmp_path):
    seeds = ["seed=1"] if mistake == "data.file=b.csv" else ["-m", "seed=0,1"]
    _, err = fail(*seeds, *given, mistake, "trainer.max_steps=1")
    (message,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert all(fragment in message for fragment in MISTAKES[mistake]), message
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", "b.csv"}


def degenerate(kind):
    """Return a table of which something is missing or constant, and the metrics that have no value."""
    table = one_output()
    values = [f"test/{name}" for name in ("mse_f", "max_f", "rel_l2_f", "nrmse_f", "r2_f")]
    slopes = [f"test/{name}" for name in ("mse_df", "max_df", "rel_l2_df", "nrmse_df")]
    if kind == "an anchor":
        table.loc[1:, "y"] = np.nan
        return table, values
    if kind == "no derivatives":
        return table[["t", "y"]], slopes
    if kind == "a constant derivative":
        table["y"], table["dy_dt"] = 2 * table["t"] + 1, 2.0
        return table, ["test/nrmse_df"]
    table["y"], table["dy_dt"] = 5.0, 0.0
    return table, ["test/nrmse_f", "test/r2_f", "test/nrmse_df", "test/rel_l2_df"]


@pytest.mark.parametrize("kind", ["an anchor", "no derivatives", "a constant derivative", "a constant"])
def test_what_is_not_known_is_null_and_all_files_are_written(kind, finish, tmp_path):
    table, unknown = degenerate(kind)
    table.to_csv("a.csv", index=False)
    out = finish(*SHORT, *ALONE, "pictures=true", "hydra.run.dir=run")
    found = figures(tmp_path / "run")
    assert {name for name, figure in found.items() if figure is None and name.startswith("test/")} == set(unknown)
    assert found["lambda_d"] == (kind != "no derivatives")
    assert " - " in out
    said = "y has the same value in all training points; without spread, no nrmse_f and no r2_f"
    assert out.count(said) == out.count("has the same value") == (kind == "a constant")
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert len(history) == 6
    assert history["val/loss"].notna().all()
    assert history["val/mse_f"].isna().all() == (kind == "an anchor")
    assert found["val/loss"] == pytest.approx(history["val/loss"].min(), rel=1e-4)
    for picture in ("fit.png", "curves.png"):
        assert (tmp_path / "run" / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("method", "most"),
    [
        (("trainer.max_steps=200",), 1e-6),
        (("trainer.max_steps=200", "data.batch_size=8"), 1e-6),
        (("optimizer=levenberg_marquardt",), 1e-12),
        (("optimizer=least_squares", "model.width=30", "trainer.log_every=1"), 1e-12),
    ],
)
def test_the_only_known_value_is_exact(method, most, fit):
    """The derivatives leave the constant of y free, which its only value fixes; z has another one in each row."""
    table = one_output(scale=7.0, offset=1e3)
    table = table.assign(z=np.cos(table["t"]), dz_dt=-np.sin(table["t"]))
    table.loc[table.index != 5, "y"] = np.nan
    table.to_csv("a.csv", index=False)
    u = runge.load(fit("run", *SHORT, *method))
    known = u(table["t"].to_numpy()[5:6])[0, 0]
    assert known == pytest.approx(table["y"][5], rel=0, abs=10 * most)
    assert u(np.array([0.5]))[0, 0] == pytest.approx(1e3 + 7 * np.sin(1.5), abs=2)


def test_a_constant_output_does_not_spoil_the_others(train, finish, tmp_path):
    """Beside a constant the error of another output is that of the output alone, within a factor of 2."""
    table = one_output().assign(c=7e3, dc_dt=0.0)
    table.to_csv("a.csv", index=False)
    steps = ("trainer.max_steps=300", "model.width=16", "data=table", "data.file=a.csv", "data.inputs=[t]")
    steps += ("pictures=false",)
    out = finish(*steps, "data.outputs=[y,c]", "hydra.run.dir=both")
    assert "c has the same value in all training points" in out
    assert train(*steps, "data.outputs=[y]", "hydra.run.dir=alone")[0] == 0
    both, alone = figures(tmp_path / "both"), figures(tmp_path / "alone")
    assert both["test/nrmse_f"] < 2 * alone["test/nrmse_f"] < 0.1
    assert both["test/max_f/c"] < 1
    assert both["test/mse_f/y"] < 4 * alone["test/mse_f"]


def test_the_last_weights_are_kept_if_no_label_of_the_validation_rows_is_in_the_loss(finish, tmp_path):
    table = one_output().assign(set=["train"] * 30 + ["val"] * 5 + ["test"] * 5)
    table.loc[3:, "y"] = np.nan
    table.to_csv("a.csv", index=False)
    out = finish(*SHORT, *ALONE, "data.split_column=set", "loss.lambda_d=0", "hydra.run.dir=run")
    assert out.count("no label of the validation points is in the loss; the last weights are kept, not the best") == 1
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert figures(tmp_path / "run")["train/loss"] == pytest.approx(history["train/loss"].iloc[-1], rel=1e-4)
    assert history["train/loss"].iloc[-1] != pytest.approx(history["train/loss"].iloc[0], rel=1e-3)


def test_what_the_log_says_of_columns(finish):
    table = one_output().rename(columns={"t": "speed [m/s]", "y": "rate [/s]", "dy_dt": "drate [/s]_dspeed [m/s]"})
    table["a/b $x_$ {%"] = np.cos(table["speed [m/s]"])
    table.assign(note="a", dy_dz=1.0, z=0).to_csv("$x_$.csv", index=False)
    names = ("data.file='$x_$.csv'", "data.inputs=['speed [m/s]']", "data.outputs=['rate [/s]','a/b $x_$ {%']")
    out = finish(*SHORT, *names, "hydra.run.dir=run")
    assert out.count("columns not used: note, dy_dz, z\n") == 1
    assert "rate [/s]" in out
    assert runge.load("run").outputs == ("rate [/s]", "a/b $x_$ {%")
    out = finish(*SHORT, *names, "data.derivatives={}", "hydra.run.dir=none")
    assert "data.derivatives={} ignores drate [/s]_dspeed [m/s]; to measure their errors, use loss.lambda_d=0" in out


def test_rows_with_the_same_inputs(train, finish, tmp_path):
    """Their number is in the log; seeds whose sets have different sizes are trained nevertheless."""
    table = one_output(60).assign(t=np.repeat(np.arange(10.0), [5] * 5 + [7] * 5))
    table["set"] = ["train"] * 29 + ["val"] * 17 + ["test"] * 14
    table.to_csv("a.csv", index=False)
    assert train("-m", *SHORT, *ALONE, "seed=range(4)", "search.compare=false", "hydra.sweep.dir=sweep")[0] == 0
    logs = [(tmp_path / "sweep" / str(i) / "train.log").read_text() for i in range(4)]
    said = "50 of 60 rows have the inputs of an earlier row; rows with the same inputs are in the same set\n"
    assert [text.count(said) for text in logs] == [1] * 4
    assert len({text.partition("points: ")[2].splitlines()[0] for text in logs}) > 1
    out = finish(*SHORT, *ALONE, "data.split_column=set", "hydra.run.dir=run")
    assert "3 rows for validation and test have the inputs of a training row" in out


def test_two_values_that_are_nearly_equal(finish, tmp_path):
    """The scale is that of the derivatives, with a warning."""
    t = np.linspace(0, 10, 200)
    table = pd.DataFrame({"t": t, "h": np.nan, "dh_dt": 8 * np.cos(t) / (1 + t)})
    exact = table["dh_dt"].rolling(2).mean().fillna(0).cumsum() * t[1]
    table.loc[[0, 199], "h"] = 0.0, 0.01
    table["dh_dt"] += (0.01 - exact.iloc[-1]) / 10
    exact += (0.01 - exact.iloc[-1]) * t / 10
    table["set"] = np.where(table.index % 10 == 3, "val", np.where(table.index % 10 == 6, "test", "train"))
    table.to_csv("a.csv", index=False)
    options = ("data=table", "data.file=a.csv", "data.split_column=set", "model.width=16", "trainer.max_steps=300")
    out = finish(*options, "pictures=false", "hydra.run.dir=run")
    assert "h is known in 2 training rows only, with a standard deviation of 0.005; its scale is what" in out
    error = runge.load(tmp_path / "run")(t) - exact
    assert np.sqrt((error**2).mean()) < 0.1 * exact.std()


def test_without_test_rows_the_errors_are_those_on_the_validation_rows(finish, tmp_path):
    table = two_outputs()
    table.to_csv("a.csv", index=False)
    out = finish(*SHORT, "data.split.test=0", "hydra.run.dir=run")
    assert "points: 34 train, 6 val, 0 test\n" in out
    assert "validation errors, because there are no test rows" in out
    found = figures(tmp_path / "run")
    assert {found[name] for name in found if name.startswith("test/")} == {None}
    assert f"{found['val/nrmse_f']:.2e}" in out
    fit = pd.read_csv(tmp_path / "run" / "fit.csv")
    assert len(fit) == 6
    assert ((fit["u_y"] - fit["y"]) ** 2).mean() == pytest.approx(found["val/mse_f/y"], rel=1e-4)
    assert ", on the validation rows" in str(Run(tmp_path / "run").figure().get_suptitle())
    assert "val/nrmse_f=" in repr(Run(tmp_path / "run"))
    out = finish("-m", *SHORT, "data.split.test=0", "model.width=4,5", "hydra.sweep.dir=sweep")
    assert "2 runs by val/nrmse_df" in out
    assert pd.read_csv(tmp_path / "sweep" / "comparison.csv")["val/nrmse_df"].is_monotonic_increasing


def test_sizes_far_from_one_are_standardised(finish, tmp_path):
    """And the log of each run of a sweep says so of that run alone."""
    formula = ("target=expression", "target.expr=sin(3*x),sin(3*x)+1000", "trainer.max_steps=2", "model.width=5")
    for name, *options in (("auto",), ("typed", "model.standardize=true")):
        finish("-m", *formula, *options, "search.compare=false", f"hydra.sweep.dir={name}")
    said = "trained in standardised units, because far from size 1: f (mean 1e+03, size 0.7"
    logs = {name: [(tmp_path / name / i / "train.log").read_text() for i in "01"] for name in ("auto", "typed")}
    assert [said in log for log in logs["auto"]] == [False, True]
    assert not any("far from size 1" in log for log in (logs["auto"][0], *logs["typed"]))
    assert figures(tmp_path / "auto" / "1") == pytest.approx(figures(tmp_path / "typed" / "1"), rel=1e-3)


@pytest.mark.parametrize(("kind", "precision", "most"), [("table", 32, 1.02), ("formula", 64, 1.0001)])
def test_errors_do_not_depend_on_units(kind, precision, most, tmp_path):
    """The errors of a f(b x + c) + d are those of f; the benchmark scale.py has a largest ratio of 1.308."""

    def errors(a, b, c, d):
        x = np.linspace(-1, 1, 60)
        table = pd.DataFrame({"x": (x - c) / b, "f": a * np.sin(3 * x) + d, "df_dx": 3 * a * b * np.cos(3 * x)})
        table.to_csv("a.csv", index=False)
        options = ["data=table", "data.file=a.csv"]
        if kind == "formula":
            options = [
                *("target=expression", f"target.expr='{a!r}*sin(3*{b!r}*(x-({-c / b!r})))+({d!r})'"),
                *("model.standardize=true", f"target.domain=[{(-1 - c) / b!r},{(1 - c) / b!r}]", "schedule=constant"),
                *("loss.lambda_d=1", "loss.derivative_scale=std"),
            ]
        one = member(*options, f"trainer.precision={precision}", "trainer.max_steps=100", "model.width=8", "logger=[]")
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        _, _, (found,) = train_stack([one], folder)
        return np.array([found["test/nrmse_f"], found["test/nrmse_df"]])

    alone = errors(1.0, 1.0, 0.0, 0.0)
    for case in ((1e-6, 1.0, 0.0, 0.0), (1e6, 1e3, 0.0, 1e6), (1.0, 1e-3, 100.0, 1e6)):
        ratio = errors(*case) / alone
        assert (ratio < most).all(), case
        assert (ratio > 1 / most).all(), case
