"""Every mistake that a user can make in a key: one message, no training, nothing left behind."""

import pytest

MISTAKES = {
    # keys that do not exist
    "model.wdth=32": ("model.wdth", "activation, depth, width"),
    "+wdth=32": ("wdth", "seed"),
    "optimiser=adam": ("optimiser: unknown key", "did you mean optimizer?"),
    "lr=0.01": ("lr: unknown key", "did you mean optimizer.lr?"),
    "+epochs=10": ("epochs: unknown key", "did you mean trainer.max_steps?"),
    "schedule=twostage": ("schedule/twostage", "did you mean two_stage?"),
    "model.activation=ReLU": ("model.activation", "(did you mean relu?), got 'ReLU'"),
    "model.activation=swish": ("model.activation", "(did you mean silu?), got 'swish'"),
    "loss.lamda_d=1": ("loss.lamda_d", "did you mean loss.lambda_d?"),
    "optimizer=levenberg_marquardt optimizer.precision=64": ("optimizer.precision: unknown key", "damping, decrease"),
    "data.file=hx.csv": ("data.file: unknown key", "only data=table has it: add that, or remove the key"),
    # options that do not exist
    "experiment=hw4": ("experiment/hw4", "hw2", "hw3"),
    "target._target_=runge.sampling.Random": ("target._target_", "Target", "runge.sampling.Random"),
    # what cannot name an option
    "optimizer=64": ("optimizer", "adam, adamw", "64"),
    "experiment=null": ("experiment", "hw2", "[] for none", "null"),
    "optimizer@model=5": ("optimizer", "adam", "5"),
    # what Hydra itself does not accept
    "hydra/launcher=5": ("Config group override", "int"),
    "=3": ("Config group override", "int"),
    "seed": ("'seed' cannot be parsed", "EQUAL"),
    "seed=1,2": ("'seed=1,2'", "--multirun"),
    "+seed=3": ("'seed'", "++seed=3"),
    "hydra.x=1": ("hydra.x", "unknown key", "launcher"),
    "hydra.run.dir=${nowhere}": ("hydra.run.dir", "'nowhere' not found"),
    "model.depth=${model.depth}": ("model.depth", "Recursive"),
    "--resolve": ("--resolve", "--cfg"),
    "--run --multirun": ("--run", "--multirun"),
    "--config-dir nowhere": ("nowhere", "not found"),
    # what a sweeper may minimise
    "objective=test/mse_df": ("objective", "validation points", "'test/mse_df'"),
    "objective=val/mse": ("objective", "val/nrmse, val/loss, val/mse_f", "left", "'val/mse'"),
    "objective=[val/loss,val/loss]": ("objective", "different", "val/loss"),
    # values of the wrong kind, and impossible ones
    "resampling=region resampling.least=2": ("resampling.least", "1", "2"),
    "balance=gradnorm balance.smoothing=1": ("balance.smoothing", "less than 1", "1"),
    "seed=-1": ("seed", "greater than or equal to 0", "-1"),
    "data.batch_size=129": ("data.batch_size", "1 to the training points, 128", "129"),
    "model.width=0": ("model.width", "greater than or equal to 1", "0"),
    "model.activation=tanhh": ("model.activation", "tanh, relu, gelu", "'tanhh'"),
    "loss.lambda_d=-1": ("loss.lambda_d", "greater than or equal to 0", "-1"),
    "trainer.progress_bar=maybe": ("trainer.progress_bar", "boolean", "'maybe'"),
    "optimizer.lr=0": ("optimizer.lr", "greater than or equal to", "0"),
    "target.domain=[1,-1]": ("target.domain", "lower < upper", "[1, -1]"),
    "target.domain=[[0,1],[0,1]]": ("target.domain", "one pair", "[[0, 1], [0, 1]]"),
    "optimizer=levenberg_marquardt trainer.precision=32": ("trainer.precision", "64", "got 32"),
    "optimizer=levenberg_marquardt trainer.compile=on": ("trainer.compile", "auto or off", "'on'"),
    "optimizer=levenberg_marquardt model.derivative=autograd": ("model.derivative", "forward", "'autograd'"),
    "optimizer=levenberg_marquardt data.batch_size=16": ("data.batch_size", "null", "16"),
    "optimizer=levenberg_marquardt optimizer.readout=exact": ("optimizer.readout", "False or 'eliminate'", "'exact'"),
    "resume=nowhere": ("resume", "the directory of an unfinished run", "'nowhere'"),
    "model=3": ("model", "section", "3"),
    "~seed": ("seed", "missing"),
    "hydra.output_subdir=x": ("hydra.output_subdir", "must not be set"),
    "hydra.job.name=${nowhere}": ("hydra.job.name", "must not be set"),
    "hydra={}": ("hydra", "must not be set", "hydra.run.dir"),
    "~hydra.run.dir": ("hydra.run.dir", "must not be deleted"),
    "schedule=null": ("schedule", "constant, two_stage", "null"),
    "sampling=": ("sampling", "chebyshev", "nothing"),
    "target._target_=runge.targets.Target": ("target._target_", "derived from Target"),
    "target.domain=[0,1e-320]": ("target.domain", "apart"),
    "target.domain=[0,1e30]": ("target.domain", "within"),
    "model.width=1000000": ("model", "memory"),
    # numbers outside the range in which they have a meaning
    "loss.lambda_d=1e23": ("loss.lambda_d", "1e+12", "1e+23"),
    "optimizer=adamw optimizer.weight_decay=101": ("optimizer.weight_decay", "1 / lr, 100", "101"),
    "model.depth=1_001": ("model.depth", "1000", "1001"),
    "target=expression target.expr=1e23": ("target.expr", "within 1e+15 of 0"),
    # two overrides that do not go together
    "sampling=chebyshev data.n_train=1": ("data.n_train", "at least 2", "1"),
    "resampling=residual data.n_train=1": ("data.n_train", "at least 2"),
    "sampling=stratified sampling.quotas={left:0.5}": ("sampling.quotas", "sum to 1", "left, middle, right, peak"),
    "sampling=stratified sampling.quotas={centre:1.0}": ("sampling.quotas", "left, middle, right, peak", "centre"),
    "optimizer=lbfgs optimizer.clip_norm=1.0": ("optimizer.clip_norm", "null", "1.0"),
    "optimizer=lbfgs data.batch_size=8": ("data.batch_size", "null", "LBFGS"),
    "sampling=endpoint sampling.strength=50": ("sampling.strength", "5", "50"),
    "target=expression target.domain=[[0,1],[0,1],[0,1],[0,1],[0,1],[0,1],[0,1],[0,1]]": (
        *("data.n_train", "at least 256", "Uniform", "8 inputs", "got 128", "sampling=sobol"),
    ),
    "target=expression target.expr={f:sin(x),u_f:x**2}": ("target: the run's fit.csv would have two columns 'u_f'",),
    "target=expression target.expr={x:sin(x)}": ("target.expr", "differ from those of the inputs", "got x"),
    "target=expression target.expr='exp(exp(exp(100)))*x'": ("target.expr", "exp(exp(exp(100)))"),
    # expressions
    "target=expression target.expr=''": ("target.expr", "formula", "''"),
    "target=expression target.expr='x+q'": ("target.expr", "'q'", "sin, cos"),
    "target=expression target.expr='1/x'": ("target.expr", "which is 0 somewhere on the domain", "1/x"),
    "target=expression target.expr='sqrt(x+1)'": ("target.expr", "derivative", "finite on the domain"),
    "target=expression target.expr='sqrt(-1)*x'": ("target.expr", "real"),
    'target=expression target.expr=\'__import__("os").system("touch owned")\'': ("target.expr", "not allowed"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_reported_in_one_message_and_leaves_nothing(mistake, train, tmp_path):
    status, out, err = train(*mistake.split(" ", 1))  # one or two overrides
    assert status != 0
    assert err.count("error: ") == 1
    assert "search path:" not in err
    assert "Traceback" not in out + err
    assert all(fragment in err for fragment in MISTAKES[mistake]), err
    assert not list(tmp_path.iterdir())


def test_output_folder_that_cannot_be_written(train, tmp_path):
    (tmp_path / "file").touch()
    status, _, err = train("hydra.run.dir=file/run")
    assert status != 0
    assert err.startswith("error: hydra.run.dir")
    assert "file/run" in err


@pytest.mark.parametrize(
    ("overrides", "fragment"),
    [
        (("model.width=16,0,32",), "model.width: should be greater than or equal to 1, got 0"),
        (("sampling=random,halton",), "sampling/halton"),
        (("model.wdth=1,2",), "model.wdth"),
        (("optimizer=adam,lbfgs", "data.batch_size=null,16"), "data.batch_size"),
        (("sampling=glob([u*,r*])", "data.n_train=16,1"), "data.n_train"),
        (("optimizer=adam,64",), "optimizer: must be one of adam"),
        (("seed=${nowhere}",), "seed: Interpolation key 'nowhere' not found"),
        (("seed=range(0,3,0)",), "range() arg 3 must not be zero"),
        (("seed=interval(0,1)",), "seed: must have values"),
        (("schedule=two_stage_step", "schedule.at_step=1,7"), "must be below trainer.max_steps=1, or"),
        (("seed=0,1,0",), "seed: must have different values in a sweep, got 0, 1, 0"),
        (("optimizer=glob(nowhere)",), "at least one run"),
        (("search.batch=0",), "search.batch: should be greater than or equal to 1"),
        (("hydra.sweeper.params=3",), "hydra.sweeper.params: must be a mapping"),
        (("seed=0,1", "search.batch=1,2"), "search.batch: must have one value"),
        (("seed=0,1", "search=none,best"), "search: must have one value"),
        (("search=null",), "search: must be one of best, none, optuna; got null"),
        (("search.compare=flase",), "search.compare: should be a valid boolean, got 'flase'"),
        (("hydra.sweep.dir=null",), "hydra.sweep.dir"),
        (("hydra/launcher=basic", "optimizer=adam,64"), "optimizer: must be one of adam"),
        (("hydra.launcher.processes=many",), "hydra.launcher.processes: should be a valid integer"),
        (("hydra.launcher.members=-1",), "hydra.launcher.members: should be greater than or equal to 1"),
        (("seed=0,1", "hydra.sweep.subdir=s"), "hydra.sweep.subdir: must differ from run to run"),
        (("data.batch_size=8,300",), "from 1 to the training points, 128; got 300 (in the run data.batch_size=300"),
    ],
)
def test_mistake_in_a_sweep_is_reported_before_training(overrides, fragment, train, one_core, tmp_path):
    status, out, err = train("-m", *overrides, "trainer.max_steps=1")
    assert status != 0
    assert "error: " in err
    assert fragment in err
    assert "Traceback" not in out + err
    assert not list(tmp_path.iterdir())


def test_full_traceback_on_request(train, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ValueError, match=r"model\.width"):
        train("model.width=0")
