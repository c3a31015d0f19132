"""Training ends with the same weights without an override if and only if it is said to have no effect."""

import numpy as np
import pandas as pd
import pytest
import torch

from runge.launch.compose import compose
from runge.launch.run import announce, make_stack
from runge.runs.directories import RunDirectory
from runge.training.member import Member

SHORT = ("trainer.max_steps=20", "trainer.log_every=5", "model.width=4", "model.depth=1", "trainer.progress_bar=false")
FORMULA = ("data.n_train=16", "data.n_val=16", "data.n_test=51")
NONE, LM = "loss.lambda_d=0", "optimizer=levenberg_marquardt"
TWO = ("target=expression", "target.expr=[x, x**2]")
TABLE = ("data=table", "data.file=a.csv")
VALUES = (*TABLE, "data.inputs=[t]", "data.outputs=[y]", "data.derivatives={}")


def trained(folder, *overrides):
    """Return what is logged about a run's overrides, and its weights in the end."""
    folder.mkdir()
    stack = make_stack([Member(compose(*SHORT, *overrides) | {"logger": {}}, overrides)])
    announce(stack, 0)
    stack.fit([RunDirectory(folder)])
    return torch.cat([x.flatten().double() for x in stack.module.network.state_dict().values()])


@pytest.mark.parametrize(
    ("override", "others", "reason"),
    [
        ("balance=scale", (*FORMULA, NONE), "lambda_d is 0"),
        ("balance=gradnorm", (*FORMULA, NONE), "lambda_d is 0"),
        ("balance=ntk", (*FORMULA, NONE), "lambda_d is 0"),
        ("balance=ntk", (*FORMULA, *TWO, NONE), None),
        ("balance=log", (*FORMULA, NONE), None),
        ("balance=log", (*FORMULA, NONE, LM), "lambda_d is 0"),
        ("balance=relobralo", (*FORMULA, NONE, LM), None),
        ("balance=ntk", (*FORMULA, "schedule=constant"), None),
        ("balance=ntk", (*FORMULA, "schedule=constant", "balance.every=20"), "20, and it is first applied after 20"),
        ("balance=scale", FORMULA, None),
        ("balance=scale", TABLE, "it sets lambda_d to 1, which it is without it"),
        ("balance=scale", (*TABLE, "loss.lambda_d=3"), None),
        ("balance=ntk", VALUES, "no training point has a derivative"),
        ("loss.lambda_d=3", VALUES, "no training point has a derivative"),
        ("schedule=two_stage", (*FORMULA, "schedule=constant", NONE), "lambda_d is 0"),
        ("schedule=two_stage", (*FORMULA, "schedule=constant"), None),
        ("loss.derivative_scale=max", (*FORMULA, NONE), "lambda_d is 0"),
        ("loss.derivative_scale=max", FORMULA, None),
        ("data.noise_df=0.1", (*FORMULA, NONE), "lambda_d is 0"),
        ("data.n_derivative=8", (*FORMULA, NONE), "lambda_d is 0"),
        ("data.n_derivative=8", FORMULA, None),
        ("trainer.patience=20", FORMULA, "trainer.max_steps is 20"),
        ("resampling=r3", (*FORMULA, "resampling.every=20"), "20, and no point moves before the end"),
        ("optimizer.clip_norm=0.01", (*FORMULA, "balance=log"), None),
    ],
)
def test_overrides_without_effect(override, others, reason, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    t = np.linspace(0, 1, 40)
    pd.DataFrame({"t": t, "y": 9 * np.sin(3 * t), "dy_dt": 27 * np.cos(3 * t)}).to_csv("a.csv", index=False)
    weights = trained(tmp_path / "with", *others, override)
    said = [one.getMessage() for one in caplog.records if "without effect" in one.getMessage()]
    if reason is None:
        assert not any(override in one for one in said)
    else:
        assert f"{override} (" in said[0]
        assert f"{reason})" in said[0]
    plain = [other for other in others if not other.startswith(f"{override.partition('=')[0]}.")]
    same = torch.allclose(trained(tmp_path / "without", *plain), weights, rtol=1e-3, atol=1e-4)
    assert same == (reason is not None)
