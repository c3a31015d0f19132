"""Runs on tables through all that a run goes through: stacks, resumption, sweeps, bad input, the Python interface."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import runge
from runge.comparison.ranking import rank_directories
from runge.comparison.tables import error_table
from runge.configuration.objects import CONFIGURATIONS
from runge.data.rows import read
from runge.data.table import Table
from runge.interface.trained import Run
from runge.records.directories import RunDirectory
from runge.training.announcement import announce
from runge.training.member import Member, value_if_ended
from runge.training.prepare import prepare
from runge.training.settings import Settings
from tests.conftest import compose
from tests.refusals import check_refusal, refuses
from tests.sweeps.test_differential import check_members
from tests.sweeps.test_differential import train as train_stack
from tests.sweeps.test_run import at_step, check_resumed_alone, figures, fit_alone

pytestmark = pytest.mark.usefixtures("in_folder", "one_core")

SHORT = (
    *("data=table", "data.file=a.csv", "trainer.max_steps=24", "trainer.log_every=4", "trainer.checkpoint_seconds=0"),
    *("trainer.diagnostics_every=8", "model.width=5", "trainer.progress_bar=false", "pictures=false"),
)
LONGER = (*SHORT, "trainer.max_steps=300", "trainer.log_every=100", "model.width=16")
EXACT = (*SHORT, "trainer.precision=64", "trainer.compile=off")
ALONE = ("data.inputs=[t]", "data.outputs=[y]")
OPTIMIZERS, BALANCES = (
    sorted(path.stem for path in (CONFIGURATIONS / group).glob("*.yaml")) for group in ("optimizer", "balance")
)
WITH_A_BALANCE = ("sgd", "adam", "adamw", "levenberg_marquardt", "soap")


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
    return Member(Settings.of(compose(*overrides) | {"logger": {}}), overrides)


@pytest.fixture
def said(caplog):
    """Return the lines of the log before a run is trained."""

    def announced(*overrides):
        caplog.clear()
        with caplog.at_level("INFO"):
            announce(prepare([member(*overrides)]), 0)
        return caplog.text

    return announced


@pytest.fixture
def run(fit, said, capfd):
    """Train a run; return its directory, what the log said of it, and the table of its errors."""

    def trained(*overrides):
        log, path = said(*overrides), fit("run", *overrides)
        rows = member(*overrides).rows
        Console().print(error_table(figures(path), (), rows.outputs, len(rows.inputs)))
        return path, log, capfd.readouterr().out

    return trained


STACKS = {
    "mini-batches, channels by their logarithm": ("data.batch_size=7", "balance=log", "balance.every=8"),
    "by autograd, the user's units": ("model.derivative=autograd", "model.standardize=false"),
    "logarithms": ("data.log10=[b]",),
    "a scale of the derivatives": ("loss.derivative_scale=std", "schedule=two_stage", "schedule.patience=1"),
}


@pytest.mark.parametrize("options", STACKS.values(), ids=STACKS)
def test_a_member_of_a_stack_equals_the_run_alone(options, tmp_path):
    two_outputs().to_csv("a.csv", index=False)
    different = (("seed=2", "loss.lambda_d=0.1"), ("seed=3", "data.seed=1", "loss.lambda_d=0"))
    members = [member(*EXACT, *options, *one) for one in different]
    assert len({one.shared() for one in members}) == 1
    check_members(members, tmp_path)


def test_a_member_without_derivatives_in_its_training_rows(tmp_path):
    """In a stack with one that has them, its lambda_d is 0 as it is alone."""
    one_output().assign(dy_dt=[3.0] + [np.nan] * 39).to_csv("a.csv", index=False)
    rows = read(Table(file="a.csv"))
    members = [member(*EXACT, f"seed={seed}") for seed in range(8)]
    of = [0 in rows.split(one.data_seed.generator("data")).train for one in members]
    members = [members[of.index(True)], members[of.index(False)]]
    assert [found["lambda_d"] for found in check_members(members, tmp_path)] == [1, 0]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimiser_and_balance_lowers_the_loss(optimizer, tmp_path):
    """Also where one output is known in one row, and the derivatives of the other by one input are not."""
    table = two_outputs(60).drop(columns=["dy_db"])
    table.loc[table.index != table["z"].first_valid_index(), "z"] = np.nan
    table.to_csv("a.csv", index=False)
    balance = dict(zip(WITH_A_BALANCE, BALANCES, strict=True)).get(optimizer, "fixed")
    every = ["balance.every=8"] if balance in ("log", "gradnorm", "relobralo") else []
    fixed_neurons = optimizer in ("least_squares", "random_features")
    every += ["trainer.log_every=1", "trainer.max_steps=2"] if fixed_neurons else ["trainer.log_every=8"]
    chosen = (f"optimizer={optimizer}", f"balance={balance}")
    one = member(*EXACT, *chosen, *every, "data.inputs=[a,b]", "data.outputs=[y,z]")
    stack = prepare([one])
    before = float(stack.module.measure("train", stack.data.dataset.train, stack.module.lambda_d)["train/loss"])
    stack, _, (found,) = train_stack([one], tmp_path)
    assert found["train/loss"] < before
    assert all(np.isfinite(found[f"val/{name}"]) for name in ("loss", "mse_df/z", "mse_f/y"))
    assert all(x.isfinite().all() for x in (stack.module.channels, stack.module.lambda_now))


def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path):
    two_outputs().to_csv("a.csv", index=False)
    options = "trainer.max_steps=12", "optimizer=levenberg_marquardt", "data.log10=[b]"
    check_resumed_alone(tmp_path, (*EXACT, *options), at_step(10))


def test_a_run_is_not_resumed_with_other_rows(fail, finish, fit, tmp_path):
    table, part = two_outputs(), tmp_path / "part"
    table.to_csv("a.csv", index=False)
    options = (*SHORT, "data.batch_size=7", "balance=log", "balance.every=8")
    fit_alone(part, *options, interrupt=at_step(10))
    state = (part / "status.json").read_bytes()
    table.loc[3, "y"] = 1.0
    table.to_csv("a.csv", index=False)
    _, err = fail("resume=part")
    check_refusal(err[err.index("error: ") :], "data.file", "'a.csv'", "the rows with which the run in ", "has changed")
    with refuses("data.file", "'a.csv'", "part"):  # as in a sweep that is continued
        value_if_ended(member(*options), RunDirectory(part))
    assert (part / "status.json").read_bytes() == state
    two_outputs().to_csv("moved.csv", index=False)
    _, err = fail("resume=part", "data=table", "data.file=moved.csv", "data.batch_size=3")
    assert err.rstrip().endswith("remove data.batch_size=3")
    finish("resume=part", "data=table", "data.file=moved.csv")
    assert figures(part) == figures(fit("whole", *options, "data.file=moved.csv"))


def test_the_test_rows_do_not_depend_on_the_size_of_the_training_set():
    """Runs whose sets differ in size, or whose files differ, do not share a stack."""
    two_outputs(60).to_csv("a.csv", index=False)
    one_output().to_csv("b.csv", index=False)
    options = ("data.split.train=0.2", "data.split.train=0.7", "data.file=b.csv")
    small, large, other = (member(*SHORT, option) for option in options)
    assert len({one.shared() for one in (small, large, other)}) == 3
    data = [prepare([one]).data for one in (small, large)]
    assert [[points.x.shape[1] for points in one.dataset] for one in data] == [[12, 9, 9], [42, 9, 9]]
    np.testing.assert_allclose(*(one.units.restore_inputs(one.dataset.test.x) for one in data), rtol=1e-6)


@pytest.mark.parametrize(
    ("precision", "scale", "offset", "logs"), [(32, 1e-30, 0, ()), (64, 1, 1e12, ()), (64, 1, 0, ["data.log10=[b]"])]
)
def test_metrics_are_those_of_the_loaded_function(precision, scale, offset, logs, fit):
    """Recomputed from the rows of the file in its units."""
    table = two_outputs()
    table["y"] = scale * table["y"] + offset
    table[["dy_da", "dy_db"]] *= scale
    table.to_csv("a.csv", index=False)
    run = fit("run", *SHORT, f"trainer.precision={precision}", *logs)
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
    for name, part in ((f"d{y}_d{x}", slopes[:, p, d]) for p, y in enumerate("yz") for d, x in enumerate("ab")):
        if (spread := np.nanstd(rows[name])) > 1e-12 * abs(rows[name]).max():
            error = np.sqrt(np.nanmean((part - rows[name]) ** 2)) / spread
            assert error == pytest.approx(found[f"test/nrmse_df/{name}"], **close)
    written = pd.read_csv(run / "fit.csv")[["u_y", "u_z", "y"]]
    np.testing.assert_allclose(written, np.column_stack([values, rows["y"]]), rtol=1e-5)


VALUES = {f"test/{name}_f" for name in ("mse", "max", "rel_l2", "nrmse", "r2")}
SLOPES = {f"test/{name}_df" for name in ("mse", "max", "rel_l2", "nrmse")}
NO_SPREAD = {"test/nrmse_f", "test/nrmse_df"}
UNKNOWN = {
    "an anchor": (lambda table: table.assign(y=[1.0] + [np.nan] * 39), VALUES),
    "no derivatives": (lambda table: table[["t", "y"]], SLOPES),
    "a constant derivative": (lambda table: table.assign(y=2 * table["t"] + 1, dy_dt=2.0), {"test/nrmse_df"}),
    "a constant": (lambda table: table.assign(y=5.0, dy_dt=0.0), {*NO_SPREAD, "test/r2_f", "test/rel_l2_df"}),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_what_is_not_known_is_null_and_all_files_are_written(kind, run):
    change, unknown = UNKNOWN[kind]
    change(one_output()).to_csv("a.csv", index=False)
    path, log, errors = run(*SHORT, *ALONE, "pictures=true", "trainer.max_steps=12")
    found, history = figures(path), pd.read_csv(path / "history.csv")
    assert {name for name, figure in found.items() if figure is None and name.startswith("test/")} == unknown
    assert found["lambda_d"] == (kind != "no derivatives")
    assert " - " in errors
    said = "y has the same value in all training points; without spread, no nrmse_f and no r2_f"
    assert log.count(said) == log.count("has the same value") == (kind == "a constant")
    assert history["val/loss"].notna().sum() == 3
    assert history["val/mse_f"].isna().all() == (kind == "an anchor")
    assert found["val/loss"] == pytest.approx(history["val/loss"].min(), rel=1e-4)
    assert all((path / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in ("fit", "curves"))


ALONE_IN_A_ROW = {
    "all rows": (("trainer.max_steps=200",), 1e-6),
    "mini-batches": (("trainer.max_steps=200", "data.batch_size=8"), 1e-6),
    "Levenberg-Marquardt": (("optimizer=levenberg_marquardt",), 1e-12),
    "least squares": (("optimizer=least_squares", "model.width=30", "trainer.log_every=1"), 1e-12),
}


@pytest.mark.parametrize(("method", "most"), ALONE_IN_A_ROW.values(), ids=ALONE_IN_A_ROW)
def test_the_only_known_value_is_exact(method, most, fit):
    """The derivatives leave the constant of y free, which its only value fixes; z has another one in each row."""
    table = one_output(scale=7.0, offset=1e3)
    table = table.assign(z=np.cos(table["t"]), dz_dt=-np.sin(table["t"]))
    table.loc[table.index != 5, "y"] = np.nan
    table.to_csv("a.csv", index=False)
    u = runge.load(fit("run", *SHORT, "trainer.log_every=100", *method))
    assert u(table["t"].to_numpy()[5:6])[0, 0] == pytest.approx(table["y"][5], rel=0, abs=10 * most)
    assert u(np.array([0.5]))[0, 0] == pytest.approx(1e3 + 7 * np.sin(1.5), abs=2)


def test_a_constant_output_does_not_spoil_the_others(fit, said):
    """Beside a constant the error of another output is that of the output alone, within a factor of 2."""
    one_output().assign(c=7e3, dc_dt=0.0).to_csv("a.csv", index=False)
    options = (*LONGER, "data.inputs=[t]")
    assert "c has the same value in all training points" in said(*options, "data.outputs=[y,c]")
    both, alone = (figures(fit(of, *options, f"data.outputs=[{of}]")) for of in ("y,c", "y"))
    assert both["test/nrmse_f"] < 2 * alone["test/nrmse_f"] < 0.1
    assert both["test/max_f/c"] < 1
    assert both["test/mse_f/y"] < 4 * alone["test/mse_f"]


def test_the_last_weights_are_kept_if_no_label_of_the_validation_rows_is_in_the_loss(run):
    table = one_output().assign(set=["train"] * 30 + ["val"] * 5 + ["test"] * 5)
    table.assign(y=table["y"].where(table.index < 3)).to_csv("a.csv", index=False)
    path, log, _ = run(*SHORT, *ALONE, "data.split_column=set", "loss.lambda_d=0")
    assert log.count("no label of the validation points is in the loss; the last weights are kept, not the best") == 1
    first, *_, last = pd.read_csv(path / "history.csv")["train/loss"]
    assert figures(path)["train/loss"] == pytest.approx(last, rel=1e-4)
    assert last != pytest.approx(first, rel=1e-3)


def test_what_the_log_says_of_columns(run, said):
    """The names of the columns are printed as they are, though Rich has a markup of its own."""
    table = one_output().rename(columns={"t": "speed [m/s]", "y": "rate [/s]", "dy_dt": "drate [/s]_dspeed [m/s]"})
    table["a/b $x_$ {%"] = np.cos(table["speed [m/s]"])
    table.assign(note="a", dy_dz=1.0, z=0).to_csv("$x_$.csv", index=False)
    names = ("data.file='$x_$.csv'", "data.inputs=['speed [m/s]']", "data.outputs=['rate [/s]','a/b $x_$ {%']")
    path, log, errors = run(*SHORT, *names)
    assert log.count("columns not used: note, dy_dz, z\n") == 1
    assert "rate [/s]" in errors
    assert runge.load(path).outputs == ("rate [/s]", "a/b $x_$ {%")
    log = said(*SHORT, *names, "data.derivatives={}")
    assert "data.derivatives={} ignores drate [/s]_dspeed [m/s]; to measure their errors, use loss.lambda_d=0" in log


def test_rows_with_the_same_inputs(said):
    """Their number is in the log; runs whose sets have different sizes are not in one stack."""
    table = one_output(60).assign(t=np.repeat(np.arange(10.0), [5] * 5 + [7] * 5))
    table["set"] = ["train"] * 29 + ["val"] * 17 + ["test"] * 14
    table.to_csv("a.csv", index=False)
    logs = [said(*SHORT, *ALONE, f"seed={seed}") for seed in range(4)]
    same = "50 of 60 rows have the inputs of an earlier row; rows with the same inputs are in the same set\n"
    assert [log.count(same) for log in logs] == [1] * 4
    sizes = [log.partition("points: ")[2].splitlines()[0] for log in logs]
    shared = [member(*SHORT, *ALONE, f"seed={seed}").shared() for seed in range(4)]
    assert len({*sizes}) == len({*shared}) == len({*zip(sizes, shared, strict=True)}) > 1
    log = said(*SHORT, *ALONE, "data.split_column=set")
    assert "3 rows for validation and test have the inputs of a training row" in log


def test_two_values_that_are_nearly_equal(run):
    """The scale is that of the derivatives."""
    t = np.linspace(0, 10, 200)
    table = pd.DataFrame({"t": t, "h": np.nan, "dh_dt": 8 * np.cos(t) / (1 + t)})
    exact = table["dh_dt"].rolling(2).mean().fillna(0).cumsum() * t[1]
    table.loc[[0, 199], "h"] = 0.0, 0.01
    table["dh_dt"] += (0.01 - exact.iloc[-1]) / 10
    exact += (0.01 - exact.iloc[-1]) * t / 10
    table["set"] = np.where(table.index % 10 == 3, "val", np.where(table.index % 10 == 6, "test", "train"))
    table.to_csv("a.csv", index=False)
    path, *_ = run(*LONGER, "data.split_column=set")
    error = runge.load(path)(t) - exact
    assert np.sqrt((error**2).mean()) < 0.1 * exact.std()


def test_without_test_rows_the_errors_are_those_on_the_validation_rows(run, fit, tmp_path):
    two_outputs().to_csv("a.csv", index=False)
    path, log, errors = run(*SHORT, "data.split.test=0")
    assert "points: 34 train, 6 val, 0 test\n" in log
    assert "validation errors, because there are no test rows" in errors
    found = figures(path)
    assert {found[name] for name in found if name.startswith("test/")} == {None}
    assert f"{found['val/nrmse_f']:.2e}" in errors
    rows = pd.read_csv(path / "fit.csv")
    assert len(rows) == 6
    assert ((rows["u_y"] - rows["y"]) ** 2).mean() == pytest.approx(found["val/mse_f/y"], rel=1e-4)
    assert ", on the validation rows" in str(Run(path).figure().get_suptitle())
    assert "val/nrmse_f=" in repr(Run(path))
    fit("other", *SHORT, "data.split.test=0", "model.width=4")
    ranking = rank_directories([tmp_path])
    assert ranking.metric == "val/nrmse_df"
    first, second = (record.figures["val/nrmse_df"] for record in ranking.records)
    assert first < second


def test_sizes_far_from_one_are_standardised(said, fit):
    """And the log says so only of a run whose sizes they are, and which asks for nothing itself."""
    formula = ("target=expression", "trainer.max_steps=2", "model.width=5", "pictures=false")
    far, typed = (*formula, "target.expr='sin(3*x)+1000'"), "model.standardize=true"
    message = "trained in standardised units, because far from size 1: f (mean 1e+03, size 0.7"
    assert message in said(*far)
    assert not any("far from size 1" in said(*run) for run in ((*formula, "target.expr='sin(3*x)'"), (*far, typed)))
    assert figures(fit("auto", *far)) == pytest.approx(figures(fit("typed", *far, typed)), rel=1e-3)


@pytest.mark.parametrize(("kind", "precision", "most"), [("table", 32, 1.02), ("formula", 64, 1.0001)])
def test_errors_do_not_depend_on_units(kind, precision, most):
    """The errors of a f(b x + c) + d are those of f; the benchmark scale.py has a largest ratio of 1.308."""
    folders = map(Path, "0123")

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
        options += [f"trainer.precision={precision}", "trainer.max_steps=100", "trainer.log_every=50", "model.width=8"]
        (folder := next(folders)).mkdir()
        _, _, (found,) = train_stack([member(*options)], folder)
        return np.array([found["test/nrmse_f"], found["test/nrmse_df"]])

    alone = errors(1.0, 1.0, 0.0, 0.0)
    for case in ((1e-6, 1.0, 0.0, 0.0), (1e6, 1e3, 0.0, 1e6), (1.0, 1e-3, 100.0, 1e6)):
        ratio = errors(*case) / alone
        assert ((ratio < most) & (ratio > 1 / most)).all(), case
