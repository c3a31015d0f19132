"""Every mistake that a user can make in a key: one message, no training, nothing left behind."""

import pytest

MISTAKES = {
    # keys that do not exist
    "model.wdth=32": ("model.wdth", "activation, depth, width"),
    "+wdth=32": ("wdth", "seed"),
    "optimiser=adam": ("optimiser: there is no such key", "did you mean optimizer?"),
    "loss.lamda_d=1": ("loss.lamda_d", "did you mean loss.lambda_d?"),
    "data.file=hx.csv": ("data.file: there is no such key", "only data=table has it: add that, or remove the key"),
    "nonsense=1": ("nonsense", "seed", "model"),
    "+target.colour=red": ("target.colour", "domain"),
    "+optimizer.speed=1": ("optimizer.speed", "lr"),
    "+loss.lambda_f=1": ("loss.lambda_f", "lambda_d"),
    "+sampling.x=1": ("sampling.x", "none"),
    # options that do not exist
    "target=sine": ("target/sine", "expression", "runge"),
    "resampling=worst": ("resampling/worst", "none", "r3", "region", "residual"),
    "optimizer=adagrad": ("optimizer/adagrad", "adam", "lbfgs"),
    "experiment=hw4": ("experiment/hw4", "hw2", "hw3"),
    "target._target_=os.system": ("target._target_", "os.system"),
    "target._target_=runge.sampling.Random": ("target._target_", "Target", "runge.sampling.Random"),
    # what cannot name an option
    "optimizer=64": ("optimizer", "adam, adamw", "64"),
    "logger=[tensorboard,2]": ("logger", "[] for none", "[tensorboard,2]"),
    "experiment=null": ("experiment", "hw2", "[] for none", "null"),
    "optimizer@model=5": ("optimizer", "adam", "5"),
    # what Hydra itself does not accept
    "hydra/launcher=5": ("Config group override", "int"),
    "=3": ("Config group override", "int"),
    "seed": ("'seed' cannot be parsed", "EQUAL"),
    "seed=[1": ("'seed=[1' cannot be parsed",),
    "seed=nope(1)": ("'seed=nope(1)' cannot be parsed", "'nope'"),
    "seed=1,2": ("'seed=1,2'", "--multirun"),
    "+seed=3": ("'seed'", "++seed=3"),
    "~unknown": ("'unknown' does not exist",),
    "++optimizer=sgd": ("++optimizer=sgd",),
    "hydra.x=1": ("hydra.x", "no such key", "launcher"),
    "seed.x=1": ("seed.x", "no such key", "none"),
    "hydra.run.dir=null": ("hydra.run.dir", "not Optional"),
    "hydra.run.dir=${nowhere}": ("hydra.run.dir", "'nowhere' not found"),
    "model.depth=${nowhere}": ("model.depth", "'nowhere' not found"),
    "model.depth=${model.depth}": ("model.depth", "Recursive"),
    "model.depth=???": ("model.depth", "Missing"),
    "target=???": ("'target'", "expression"),
    "--resolve": ("--resolve", "--cfg"),
    "--run --multirun": ("--run", "--multirun"),
    "--config-dir nowhere": ("nowhere", "not found"),
    # what a sweeper may minimise
    "objective=test/mse_df": ("objective", "validation points", "'test/mse_df'"),
    "objective=[val/mse_f,test/mse_f/left]": ("objective", "validation points", "'test/mse_f/left'"),
    "objective=val/r2_f": ("objective", "smaller", "'val/r2_f'"),
    "objective=val/mse": ("objective", "val/nrmse, val/loss, val/mse_f", "left", "'val/mse'"),
    "objective=[]": ("objective", "list", "[]"),
    "objective=[val/loss,val/loss]": ("objective", "different", "val/loss"),
    # values of the wrong kind, and impossible ones
    "resampling=region resampling.least=2": ("resampling.least", "1", "2"),
    "balance=gradnorm balance.smoothing=1": ("balance.smoothing", "less than 1", "1"),
    "seed=-1": ("seed", "greater than or equal to 0", "-1"),
    "seed=abc": ("seed", "integer", "'abc'"),
    "seed=1.5": ("seed", "integer", "1.5"),
    "data.n_train=0": ("data.n_train", "0"),
    "data.n_test=1": ("data.n_test", "at least 2", "1"),
    "data.n_test=true": ("data.n_test", "integer", "True"),
    "data.boundary_points=-1": ("data.boundary_points", "-1"),
    "data.batch_size=129": ("data.batch_size", "1 to the training points, 128", "129"),
    "model.width=0": ("model.width", "greater than or equal to 1", "0"),
    "model.width=true": ("model.width", "integer", "True"),
    "model.depth=null": ("model.depth", "integer", "None"),
    "model.activation=tanhh": ("model.activation", "tanh, relu, gelu", "'tanhh'"),
    "model.activation=3": ("model.activation", "string", "3"),
    "model.init=xavier": ("model.init", "default", "knots", "'xavier'"),
    "model.derivative=numeric": ("model.derivative", "forward", "autograd", "'numeric'"),
    "loss.lambda_d=-1": ("loss.lambda_d", "greater than or equal to 0", "-1"),
    "loss.lambda_d=nan": ("loss.lambda_d", "finite", "nan"),
    "loss.derivative_scale=mean": ("loss.derivative_scale", "none", "max", "std", "'mean'"),
    "loss.sample_weight=value": ("loss.sample_weight", "none", "derivative", "'value'"),
    "trainer.max_steps=0": ("trainer.max_steps", "greater than or equal to 1", "0"),
    "trainer.max_steps=1e3": ("trainer.max_steps", "integer", "1000.0"),
    "trainer.precision=16": ("trainer.precision", "32 or 64", "16"),
    "trainer.accelerator=tpu": ("trainer.accelerator", "auto", "cpu", "gpu", "'tpu'"),
    "trainer.checkpoint_seconds=never": ("trainer.checkpoint_seconds", "'never'"),
    "trainer.progress_bar=maybe": ("trainer.progress_bar", "boolean", "'maybe'"),
    "schedule.at_step=-1": ("schedule.at_step", "-1"),
    "schedule.smoothing=1.0": ("schedule.smoothing", "less than 1", "1.0"),
    "schedule.threshold=-0.1": ("schedule.threshold", "-0.1"),
    "optimizer.lr=0": ("optimizer.lr", "greater than or equal to", "0"),
    "optimizer.lr_schedule=step": ("optimizer.lr_schedule", "constant", "cosine", "'step'"),
    "optimizer.betas=[0.9]": ("optimizer.betas", "at least 2 items", "[0.9]"),
    "optimizer.betas=[0.9,1.0]": ("optimizer.betas.1", "less than 1", "1.0"),
    "target.domain=[1,-1]": ("target.domain", "lower < upper", "[1, -1]"),
    "target.domain=[0,0]": ("target.domain", "lower < upper", "[0, 0]"),
    "target.domain=[0,inf]": ("target.domain", "finite", "inf"),
    "target.domain=3": ("target.domain", "(lower, upper)", "3"),
    "target.domain=[[0,1],[0,1]]": ("target.domain", "one pair", "[[0, 1], [0, 1]]"),
    "model.stages=0": ("model.stages", "0"),
    "model.stages=9 trainer.max_steps=8": ("model.stages", "trainer.max_steps, 8", "9"),
    "optimizer=levenberg_marquardt trainer.precision=32": ("trainer.precision", "64", "got 32"),
    "optimizer=levenberg_marquardt trainer.compile=on": ("trainer.compile", "auto or off", "'on'"),
    "optimizer=levenberg_marquardt model.derivative=autograd": ("model.derivative", "forward", "'autograd'"),
    "optimizer=levenberg_marquardt data.batch_size=16": ("data.batch_size", "null", "16"),
    "optimizer=levenberg_marquardt optimizer.damping=0": ("optimizer.damping", "greater than or equal to", "0"),
    "optimizer=levenberg_marquardt optimizer.decrease=1.0": ("optimizer.decrease", "greater than 1", "1.0"),
    "optimizer=levenberg_marquardt optimizer.readout=exact": ("optimizer.readout", "False or 'eliminate'", "'exact'"),
    "optimizer=levenberg_marquardt optimizer.acceleration=-1": ("optimizer.acceleration", "-1"),
    "optimizer=levenberg_marquardt +optimizer.lr=0.1": ("optimizer.lr", "no such key"),
    "optimizer=adam_levenberg_marquardt": ("optimizer", "levenberg_marquardt", "adam_levenberg_marquardt"),
    "resume=nowhere": ("resume", "the directory of an unfinished run", "'nowhere'"),
    "model=3": ("model", "section", "3"),
    "~seed": ("seed", "missing"),
    "hydra.output_subdir=x": ("hydra.output_subdir", "must not be set"),
    "hydra.job.name=${nowhere}": ("hydra.job.name", "must not be set"),
    "hydra={}": ("hydra", "must not be set", "hydra.run.dir"),
    "~hydra.run.dir": ("hydra.run.dir", "must not be deleted"),
    "~loss.lambda_d": ("loss.lambda_d", "missing"),
    "schedule=null": ("schedule", "constant, two_stage", "null"),
    "sampling=": ("sampling", "chebyshev", "nothing"),
    "target._target_=runge.targets.Target": ("target._target_", "derived from Target"),
    "target.domain=[false,true]": ("target.domain", "[False, True]"),
    "target.domain=[0,1e-320]": ("target.domain", "apart"),
    "target.domain=[0,1e30]": ("target.domain", "within"),
    "data.n_test=1000000000000": ("data.n_test", "less than or equal to"),
    "model.width=1000000": ("model", "memory"),
    "trainer.max_steps=100000000000000000000": ("trainer.max_steps", "less than or equal to"),
    # numbers outside the range in which they have a meaning
    "loss.lambda_d=1e23": ("loss.lambda_d", "1e+12", "1e+23"),
    "optimizer.lr=1e-320": ("optimizer.lr", "1e-12", "1e-320"),
    "optimizer=adamw optimizer.weight_decay=101": ("optimizer.weight_decay", "1 / lr, 100", "101"),
    "optimizer=levenberg_marquardt optimizer.increase=1e300": ("optimizer.increase", "1e+12", "1e+300"),
    "sampling=endpoint sampling.strength=1e-320": ("sampling.strength", "0.2", "1e-320"),
    "resampling=residual resampling.power=1e23": ("resampling.power", "10", "1e+23"),
    "balance=relobralo balance.temperature=1e-320": ("balance.temperature", "1e-12", "1e-320"),
    "model.depth=1_001": ("model.depth", "1000", "1001"),
    "target=expression target.expr=1e23": ("target.expr", "within 1e+15 of 0"),
    # two overrides that do not go together
    "sampling=chebyshev data.n_train=1": ("data.n_train", "at least 2", "1"),
    "sampling=mixed sampling.share=1.5": ("sampling.share", "less than or equal to 1", "1.5"),
    "sampling=derivative sampling.floor=0": ("sampling.floor", "greater than or equal to", "0"),
    "sampling=stratified sampling.quotas={left:0.5}": ("sampling.quotas", "sum to 1", "left, middle, right, peak"),
    "sampling=stratified sampling.quotas={centre:1.0}": ("sampling.quotas", "left, middle, right, peak", "centre"),
    "optimizer=sgd optimizer.momentum=1.0": ("optimizer.momentum", "less than 1", "1.0"),
    "optimizer=lbfgs optimizer.clip_norm=1.0": ("optimizer.clip_norm", "null", "1.0"),
    "optimizer=lbfgs data.batch_size=8": ("data.batch_size", "null", "LBFGS"),
    "sampling=endpoint sampling.strength=50": ("sampling.strength", "5", "50"),
    "target=expression ~target.expr": ("target.expr", "missing"),
    "target=expression target.domain=[[0,1],[0,1],[0,1],[0,1],[0,1],[0,1],[0,1],[0,1]]": (
        *("data.n_train", "at least 256", "Uniform", "8 inputs", "got 128", "sampling=sobol"),
    ),
    "target=expression target.expr=[x,1/x]": ("target.expr", "finite on the domain", "1/x"),
    "target=expression target.expr={x:sin(x)}": ("target.expr", "differ from those of the inputs", "got x"),
    "target=expression target.expr=[]": ("target.expr", "from 1 to 100 formulas", "got 0"),
    "target=expression target.expr='exp(exp(exp(100)))*x'": ("target.expr", "exp(exp(exp(100)))"),
    # expressions
    "target=expression target.expr=''": ("target.expr", "formula", "''"),
    "target=expression target.expr='x+'": ("target.expr", "cannot be parsed", "'x+'"),
    "target=expression target.expr='x+q'": ("target.expr", "'q'", "sin, cos"),
    "target=expression target.expr='1/x'": ("target.expr", "finite on the domain", "1/x"),
    "target=expression target.expr='sqrt(x+1)'": ("target.expr", "derivative", "finite on the domain"),
    "target=expression target.expr='sqrt(-1)*x'": ("target.expr", "real"),
    'target=expression target.expr=\'__import__("os").system("touch owned")\'': ("target.expr", "not allowed"),
    "target=expression target.expr='x.__class__'": ("target.expr", "not allowed"),
    "target=expression target.expr='eval(x)'": ("target.expr", "not allowed", "eval"),
}


def arguments(mistake: str) -> list[str]:
    """Split a mistake into its one or two overrides, at the first blank."""
    first, blank, second = mistake.partition(" ")
    return [first, second] if blank else [first]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_reported_in_one_message_and_leaves_nothing(mistake, train, tmp_path):
    status, out, err = train(*arguments(mistake))
    assert status != 0
    # Hydra names the overrides of a job that failed on a line of its own.
    *header, message = err.strip().splitlines() if not err.startswith("error: ") else [err]
    assert all(line.startswith("Error executing job with overrides") for line in header)
    assert message.startswith("error: ")
    assert "search path:" not in message
    assert "Traceback" not in out + err
    for fragment in MISTAKES[mistake]:
        assert fragment in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("sizes", "key"),
    [(("data.n_train=1",), "data.n_train"), (("data.n_train=1", "data.n_derivative=1"), "data.n_derivative")],
)
def test_too_few_points_to_be_moved(sizes, key, train, tmp_path):
    status, out, err = train("sampling=sobol", "resampling=r3", *sizes)
    assert status == 1
    assert f"error: {key}: must be at least 2" in err
    assert "Traceback" not in out + err
    assert not list(tmp_path.iterdir())


def test_output_folder_that_cannot_be_written(train, tmp_path):
    (tmp_path / "file").touch()
    status, _, err = train("hydra.run.dir=file/run")
    assert status != 0
    assert err.startswith("error: hydra.run.dir")
    assert "file/run" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("overrides", "fragment"),
    [
        (("model.width=16,0,32",), "model.width: should be greater than or equal to 1, got 0"),
        (("loss.lambda_d=0,1", "model.activation=tanh,tanhh"), "model.activation"),
        (("sampling=random,halton",), "sampling/halton"),
        (("model.wdth=1,2",), "model.wdth"),
        (("seed=range(0,3)", "data.n_train=1"), "data.n_train"),
        (("optimizer=adam,lbfgs", "data.batch_size=null,16"), "data.batch_size"),
        (("sampling=glob([u*,r*])", "data.n_train=16,1"), "data.n_train"),
        (("seed=range(0,100)", "model.width=4,0"), "model.width"),
        (("optimizer=adam,64",), "optimizer: must be one of adam"),
        (("optimizer=null,adam",), "optimizer: must be one of adam"),
        (("optimizer=range(2)",), "Config group override"),
        (("seed=${nowhere}",), "seed: Interpolation key 'nowhere' not found"),
        (("seed=range(0,3,0)",), "range() arg 3 must not be zero"),
        (("seed=interval(0,1)",), "seed: must have values"),
        (("optimizer=glob(nowhere)",), "at least one run"),
        (("+seed=1",), "++seed=1"),
        (("hydra.sweeper.max_batch_size=0",), "hydra.sweeper.max_batch_size: should be greater than or equal to 1"),
        (("hydra.sweeper.params=3",), "hydra.sweeper.params"),
        (("hydra.sweeper.compare=flase",), "hydra.sweeper.compare: should be a valid boolean, got 'flase'"),
        (("hydra=3",), "hydra: must not be set"),
        (("hydra.sweep.dir=null",), "hydra.sweep.dir"),
        (("hydra/launcher=basic", "optimizer=adam,64"), "optimizer: must be one of adam"),
    ],
)
def test_mistake_in_a_sweep_is_reported_before_training(overrides, fragment, train, tmp_path):
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
