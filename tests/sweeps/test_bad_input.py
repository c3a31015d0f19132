"""Every mistake that a user can make in a key: one message, no training, nothing left behind."""

import re
from pathlib import Path

import pytest

from runge.composing.composition import combinations
from runge.composing.jobs import make_jobs
from runge.composing.overrides import check_overrides, explain, quoted
from runge.sweeps.journal import Journal
from runge.sweeps.launch import check_jobs
from runge.sweeps.loop import policy_of
from runge.training.member import Member
from runge.training.prepare import prepare
from runge.training.settings import Settings
from tests.conftest import compose, composer
from tests.refusals import check_refusal, refuses
from tests.sweeps.policies.made_up import read_command

OWN = "tests.sweeps.test_own_parts"
TABLE = "data=table data.file=a.csv data.inputs=[t] data.outputs=[y]"

# One or more overrides: the key, what was given, and what is allowed.
MISTAKES = {
    # keys that do not exist
    "+wdth=32": ("wdth", "", "seed"),
    "optimiser=adam": ("optimiser", "", "optimizer?"),
    "lr=0.01": ("lr", "", "optimizer.lr?"),
    "+epochs=10": ("epochs", "", "trainer.max_steps?"),
    "trainer.gradient_clip_val=1.0": ("trainer.gradient_clip_val", "", "did you mean optimizer.clip_norm?"),
    "trainer.max_epochs=10": ("trainer.max_epochs", "", "did you mean trainer.max_steps?"),
    "trainer.accumulate_grad_batches=2": ("trainer.accumulate_grad_batches", "", "did you mean data.batch_size?"),
    "trainer.limit_train_batches=0.5": ("trainer.limit_train_batches", "", "did you mean data.n_train?"),
    "+trainer.val_check_interval=10": ("trainer.val_check_interval", "", "did you mean trainer.log_every?"),
    "+trainer.max_time=60": ("trainer.max_time", "", "did you mean trainer.max_seconds?"),
    "ckpt_path=last.ckpt": ("ckpt_path", "", "did you mean resume?"),
    "lr_scheduler=cosine": ("lr_scheduler", "", "did you mean optimizer.lr_schedule?"),
    "scheduler=cosine": ("scheduler", "", "did you mean optimizer.lr_schedule?"),
    "optimizer.scheduler=cosine": ("optimizer.scheduler", "", "did you mean optimizer.lr_schedule?"),
    # parts of one's own, for which there are no options
    "callbacks=early_stopping": ("callbacks", "no options", "+callbacks.NAME._target_=CLASS", "trainer.patience"),
    "callbacks.early.patience=3": ("callbacks", "no options", "+callbacks.NAME._target_=CLASS"),
    "metrics=worst": ("metrics", "no options", "+metrics.NAME._target_=FUNCTION"),
    "penalty=huber": ("penalty", "no options", "+penalty._target_=FUNCTION"),
    "tag=baseline": ("tag", "the top level has", "callbacks, metrics, penalty", "did you mean tags?"),
    "model.activation=ReLU": ("model.activation", "'ReLU'", "relu?"),
    "model.activation=swish": ("model.activation", "'swish'", "silu?"),
    "loss.lamda_d=1": ("loss.lamda_d", "", "loss.lambda_d?"),
    "optimizer=levenberg_marquardt optimizer.precision=64": ("optimizer.precision", "", "damping, decrease"),
    "data.outputs=[F[kN],y]": ("data.outputs", "", "data=table"),
    "data.file=hx.csv": ("data.file", "", "data=table"),
    # options that do not exist
    "schedule=twostage": ("schedule/twostage", "", "two_stage?"),
    "experiment=hw4": ("experiment/hw4", "", "hw2", "hw3"),
    "target._target_=runge.sampling.Random": ("target._target_", "runge.sampling.Random", "Target"),
    "target._target_=runge.targets.Target": ("target._target_", "runge.targets.Target", "derived from Target"),
    # what cannot name an option
    "experiment=null": ("experiment", "null", "hw2", "[] for none"),
    "optimizer@model=5": ("optimizer", "5", "adam, adamw"),
    "schedule=null": ("schedule", "null", "constant", "two_stage"),
    "sampling=": ("sampling", "nothing", "chebyshev"),
    # what Hydra itself does not accept
    "model.depth=${model.depth}": ("model.depth", "", "Recursive"),
    "hydra/launcher=5": ("Hydra does not accept the command line: Config group override", "int"),
    "=3": ("Hydra does not accept the command line: Config group override", "int"),
    "hydra.x=1": ("hydra.x", "unknown key", "launcher"),
    "hydra.output_subdir=x": ("hydra.output_subdir", "must not be set"),
    "hydra.job.name=${nowhere}": ("hydra.job.name", "must not be set"),
    "hydra={}": ("hydra", "must not be set", "hydra.run.dir"),
    # what a sweeper may minimise
    "objective=test/mse_df": ("objective", "'test/mse_df'", "validation points", "val/nrmse"),
    "objective=val/mse": ("objective", "'val/mse'", "val/nrmse, val/loss, val/mse_f", "left"),
    "objective=[val/loss,val/loss]": ("objective", "['val/loss', 'val/loss']", "different"),
    # values of the wrong kind, and impossible ones
    "resampling=region resampling.least=2": ("resampling.least", "2", "1"),
    "balance=gradnorm balance.smoothing=1": ("balance.smoothing", "got 1", "less than 1"),
    "seed=-1": ("seed", "-1", "0"),
    "data.batch_size=129": ("data.batch_size", "129", "null", "128"),
    "model.activation=tanhh": ("model.activation", "'tanhh'", "tanh, relu, gelu"),
    "loss.lambda_d=-1": ("loss.lambda_d", "-1", "0"),
    "trainer.progress_bar=maybe": ("trainer.progress_bar", "'maybe'", "boolean"),
    "optimizer.lr=0": ("optimizer.lr", "0", "1e-12"),
    "target.domain=[1,-1]": ("target.domain", "[1, -1]", "lower < upper"),
    "target.domain=[[0,1],[0,1]]": ("target.domain", "[[0, 1], [0, 1]]", "one pair"),
    "target.domain=[0,1e-320]": ("target.domain", "1e-320", "1e-12 apart"),
    "target.domain=[0,1e30]": ("target.domain", "1e+30", "1e+12"),
    "optimizer=levenberg_marquardt trainer.precision=32": ("trainer.precision", "32", "64"),
    "optimizer=levenberg_marquardt trainer.compile=on": ("trainer.compile", "'on'", "auto", "off"),
    "optimizer=levenberg_marquardt model.derivative=autograd": ("model.derivative", "'autograd'", "forward"),
    "optimizer=levenberg_marquardt data.batch_size=16": ("data.batch_size", "16", "null"),
    "optimizer=levenberg_marquardt optimizer.readout=exact": ("optimizer.readout", "'exact'", "False", "'eliminate'"),
    "model=3": ("model", "3", "section"),
    "tags=baseline": ("tags", "'baseline'", "list"),
    "tags=['']": ("tags.0", "''", "at least 1 character"),
    "tags=[2]": ("tags.0", "2", "string"),
    "note=[a]": ("note", "['a']", "string"),
    "~seed": ("seed", "", "missing"),
    # numbers outside the range in which they have a meaning
    "loss.lambda_d=1e23": ("loss.lambda_d", "1e+23", "1e+12"),
    "optimizer=adamw optimizer.weight_decay=101": ("optimizer.weight_decay", "101", "1 / lr, 100"),
    "model.depth=1_001": ("model.depth", "1001", "1000"),
    "target=expression target.expr=1e23": ("target.expr", "'1e23'", "1e+15"),
    # two overrides that do not go together
    "resampling=residual data.n_train=1": ("data.n_train", "1", "2"),
    "sampling=stratified sampling.quotas={left:0.5}": ("sampling.quotas", "0.5", "1", "left, middle, right, peak"),
    "sampling=stratified sampling.quotas={centre:1.0}": ("sampling.quotas", "centre", "left, middle, right, peak"),
    "optimizer=lbfgs optimizer.clip_norm=1.0": ("optimizer.clip_norm", "1.0", "null"),
    "optimizer=lbfgs data.batch_size=8": ("data.batch_size", "8", "null", "LBFGS"),
    "sampling=endpoint sampling.strength=50": ("sampling.strength", "50", "5"),
    "target=expression target.domain=[[0,1],[0,1],[0,1],[0,1],[0,1],[0,1],[0,1],[0,1]]": (
        *("data.n_train", "128", "256", "Uniform", "8 inputs", "sampling=sobol"),
    ),
    "target=expression target.expr={f:sin(x),u_f:x**2}": ("target", "'u_f'", "fit.csv"),
    "target=expression target.expr='exp(exp(exp(100)))*x'": ("target.expr", "exp(exp(exp(100)))"),
    # expressions
    "target=expression target.expr=''": ("target.expr", "''", "formula"),
    "target=expression target.expr='sqrt(x+1)'": ("target.expr", "sqrt(x+1)", "derivative", "finite on the domain"),
    "target=expression target.expr='sqrt(-1)*x'": ("target.expr", "sqrt(-1)*x", "real"),
    f"target=expression target.expr='{'*'.join(f'sin({i}*x)' for i in range(80))}'": ("target.expr", "work", "300000"),
    # folds
    "data.folds=5": ("data.fold", "data.folds=5", "data.fold=0 trains one run", "-m a sweep"),
    "data.folds=5 data.fold=5": ("data.fold", "", "null or from 0 to 4 with data.folds=5"),
    "data.folds=20 data.fold=9 data.n_train=9": ("data.fold", "", "from 0 to 8", "there are 9 folds"),
    "data.folds=5 data.fold=1 resampling=region": ("resampling", "", "none with data.folds"),
    "target=expression target.expr=x*y target.domain=[[-1,1],[-1,1]] data.n_train=8 data.folds=5 data.fold=0": (
        *("data.folds", "5", "at most 4", "grid"),
    ),
    # parts of a user's own
    f"+metrics.nrmse_df._target_={OWN}.scalar": (
        "metrics.nrmse_df",
        "",
        "must be a name of letters, digits and _, other",
    ),
    f"+metrics.x._target_={OWN}.scalar": ("metrics.x", "()", "(M,), one figure per member, here (1,)"),
    f"+metrics.x._target_={OWN}.shared_error": ("metrics.x", "", "must not depend on the other members of a stack"),
    f"+metrics.x._target_={OWN}.broken": ("metrics.x", "nothing", "cannot be computed"),
    "+callbacks.x._target_=runge.sampling.Random": ("callbacks.x._target_", "", "derived from Callback"),
    "+callbacks.x._target_=lightning.pytorch.callbacks.ModelCheckpoint": ("callbacks.x", "checkpoints"),
    f"+penalty._target_={OWN}.total": ("penalty", "", "for each residual, of the same shape"),
    "+penalty._target_=os.getcwd": ("penalty", "", "differentiable by autograd"),
    f"+penalty._target_={OWN}.huber optimizer=levenberg_marquardt trainer.precision=64": (
        *("penalty", "", "must be absent with LevenbergMarquardt, which needs squares"),
    ),
    f"+penalty._target_={OWN}.huber trainer.compile=on": ("trainer.compile", "with a penalty"),
    # tables
    "data=table": ("data.file", "None", "string"),
    f"{TABLE} target=runge": ("target", "Runge", "absent", "data=table"),
    f"{TABLE} sampling=chebyshev": ("sampling", "Chebyshev", "absent", "data=table"),
    f"{TABLE} resampling=region": ("resampling", "Region", "none", "data=table"),
    f"{TABLE} loss.sample_weight=derivative": ("loss.sample_weight", "'derivative'", "none", "data=table"),
    f"{TABLE} +data.nonsense=1": ("data.nonsense", "", "file, inputs, outputs"),
    f"{TABLE} data.n_train=5": ("data.n_train", "", "file, inputs, outputs", "data=sampled"),
    f"{TABLE} experiment=precision": ("data.n_train", "", "data=sampled"),
    f"{TABLE} data.batch_size=29": ("data.batch_size", "29", "null", "28"),
    f"{TABLE} data.inputs=[]": ("data.inputs", "", "at least 1 item"),
    f"{TABLE} data.split.train=0.9": ("data.split", "0.9", "at most 1 in total"),
    f"{TABLE} +data.split.trian=0.5": ("data.split.trian", "'trian'", "'train', 'val' or 'test'"),
    f"{TABLE} data.log10=[u]": ("data.log10", "'u'", "inputs, t"),
    f"{TABLE} data.log10=[t]": ("data.log10", "'t'", "above 0", "got 0"),
    f"{TABLE} data.log10=t": ("data.log10", "'t'", "list"),
    "data.log10=[x]": ("data.log10", "", "data=table"),
    "data=table data.file=a.csv data.inputs=[u_y] data.outputs=[y] data.log10=[u_y] model.standardize=false": (
        *("model.standardize", "False", "true with data.log10"),
    ),
    f"{TABLE} data.split_column=set": ("data.split_column", "'set'", "'a.csv'", "columns"),
    f"{TABLE} data.outputs=[u_y,y]": ("data.outputs", "'u_y'", "fit.csv"),
    f"{TABLE} data.file=b.csv": ("data.file: 'b.csv': line 2", "1", "2 cells"),
}
WHOLE = {
    # what Hydra or the command line does not accept, and directories
    "seed": ("'seed' cannot be parsed", "EQUAL"),
    "seed=1,2": ("'seed=1,2'", "--multirun"),
    "+seed=3": ("'seed'", "++seed=3"),
    "hydra.run.dir=${nowhere}": ("hydra.run.dir", "'nowhere' not found"),
    "~hydra.run.dir": ("hydra.run.dir", "must not be deleted"),
    "--resolve": ("--resolve", "--cfg"),
    "--run --multirun": ("--run", "--multirun"),
    "--config-dir=nowhere": ("nowhere", "not found"),
    "resume=nowhere": ("resume", "unfinished run", "'nowhere'"),
    "-m hydra.sweep.dir=null": ("hydra.sweep.dir",),
    "-m hydra/launcher=basic optimizer=adam,64": ("optimizer: ", "adam"),
    "-m hydra.launcher.processes=many": ("hydra.launcher.processes: ", "integer"),
    "-m hydra.launcher.members=-1": ("hydra.launcher.members: ", "1", "got -1"),
    "-m model.width=16,0 hydra.launcher.processes=1": ("model.width: ", "1", "got 0"),
    "hydra.run.dir=/dev/null/run": ("hydra.run.dir", "/dev/null/run"),
    # one mistake for each of the places where one is found: the overrides, Hydra, a section, a member, and its stack
    "optimizer=64": ("optimizer", "adam, adamw", "64"),
    "model.wdth=32": ("model.wdth", "activation, depth, width"),
    "model.width=0": ("model.width", "1", "0"),
    "data.n_train=1 sampling=chebyshev": ("data.n_train", "2", "1"),
    "model.width=1000000": ("model", "memory"),
    'target=expression target.expr=\'__import__("os").system("touch owned")\'': ("target.expr", "not allowed"),
}


def prepare_run(overrides):
    """Check overrides, and compose a run and its stack, as a command does before it trains."""
    check_overrides(overrides)
    prepare([Member(Settings.of(compose(*overrides)), overrides)])


@pytest.mark.parametrize("mistake", WHOLE)
def test_mistake_is_reported_in_one_message_and_leaves_nothing(mistake, train, tmp_path):
    status, out, err = train(*re.split(r" (?=[\w./]+=|--)", mistake))
    assert status == 2
    assert err.count("error: ") == 1
    assert "search path:" not in err
    assert "Traceback" not in out + err
    assert all(fragment in err for fragment in WHOLE[mistake]), err
    assert not list(tmp_path.iterdir())


# The overrides of a sweep: the key, what was given, and what is allowed.
OF_SWEEPS = {
    "sampling=random,halton": ("sampling/halton",),
    "model.wdth=1,2": ("model.wdth",),
    "sampling=glob([u*,r*]) data.n_train=16,1": ("data.n_train",),
    "seed=${nowhere}": ("seed", "'nowhere'", "not found"),
    "schedule=two_stage_step schedule.at_step=1,7": ("schedule", "", "trainer.max_steps=1"),
    "search.batch=0": ("search.batch", "0", "1"),
    "hydra.sweeper.params=3": ("hydra.sweeper.params", "3", "mapping"),
    "seed=0,1 search.batch=1,2": ("search.batch", "1,2", "one value"),
    "seed=0,1 search=none,best": ("search", "none,best", "one value"),
    "search=null": ("search", "null", "best, none, optuna"),
    "search.compare=flase": ("search.compare", "'flase'", "boolean"),
    "seed=0,1 hydra.sweep.subdir=s": ("hydra.sweep.subdir", "'sweep/s'", "differ from run to run"),
    "data.batch_size=8,300": ("data.batch_size", "got 300 (in the run data.batch_size=300", "128"),
}
OF_COMBINATIONS = {
    "seed=range(0,3,0)": ("", "range() arg 3 must not be zero"),
    "seed=interval(0,1)": ("seed", "", "values", "search=optuna"),
    "seed=0,1,0": ("seed", "0, 1, 0", "different values"),
    "optimizer=glob(nowhere)": ("", "", "at least one run"),
}


def prepare_sweep(overrides):
    """Compose the runs of a sweep and make their stacks, as a command does before it trains."""
    command = read_command(*overrides, "hydra.sweep.dir=sweep", "trainer.max_steps=1")
    batch = next(policy_of(command).propose(Journal(Path(), {}, False, 0.0)))
    check_jobs(make_jobs(command, batch.jobs, 0))


def combine(overrides):
    """Combine the values of a sweep."""
    combinations(overrides, composer()._loader)


ALL = {prepare_run: MISTAKES, prepare_sweep: OF_SWEEPS, combine: OF_COMBINATIONS}


@pytest.mark.parametrize(("make", "mistake"), [(make, mistake) for make, table in ALL.items() for mistake in table])
def test_mistake_is_refused_before_anything_is_trained(make, mistake, in_folder):
    """Beside two files, the second of which is no table."""
    Path("a.csv").write_text("t,y,dy_dt,u_y\n" + "".join(f"{i},{i * i},{2 * i},{i + 1}\n" for i in range(40)))
    Path("b.csv").write_text("t,y\n1\n")
    with pytest.raises(Exception) as error:  # noqa: PT011, which of several classes is no matter to a user
        make(quoted(mistake.split()))
    check_refusal(str(explain(error.value)), *ALL[make][mistake])
    assert sorted(path.name for path in Path().iterdir()) == ["a.csv", "b.csv"]


def test_a_gpu_is_used_only_if_it_is_asked_for_and_there(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    accelerators = ("auto", "cpu", "gpu")
    assert [Member(Settings.of(compose(f"trainer.accelerator={x}"))).on_gpu() for x in accelerators] == [
        False,
        False,
        True,
    ]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with refuses("trainer.accelerator", "'gpu'", "auto or cpu"):
        Member(Settings.of(compose("trainer.accelerator=gpu")))


def test_full_traceback_on_request(train, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    status, _, err = train("model.width=0")
    assert (status, err.count("\nerror: model.width: ")) == (2, 1)
    assert "Traceback" in err


def test_a_sweep_over_options_and_a_mapping_with_a_class():
    with refuses("schedule", "got constant,{_target_: mine.S}", "either options, constant, two_stage,"):
        check_overrides(["schedule=constant,{_target_: mine.S}"])
    check_overrides(["+schedule={_target_: mine.S},{_target_: mine.T}"])
    check_overrides(["optimizer=adam,{lr: 0.1}"])
