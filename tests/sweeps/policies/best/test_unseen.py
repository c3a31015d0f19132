"""Labels of a table that networks trained without their rows do not predict."""

import numpy as np
import pandas as pd
import pytest

import runge
from runge.function.residuals import UnseenErrors
from runge.records.leaderboard import Suspect
from runge.sweeps.policies.best.unseen import describe_suspects, find_suspects

QUICK = ("optimizer=levenberg_marquardt", "model.depth=2", "model.width=8", "trainer.max_steps=40")
QUIET = ("trainer.progress_bar=false", "search.compare=false", "hydra.launcher.processes=1")


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """A table with a blank line, a row without labels, a named derivative and two wrong labels; and its residuals."""
    x = np.random.default_rng(0).uniform(-1, 1, (60, 2))
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.sin(x[:, 0]) + x[:, 1] ** 2, "z": x[:, 0] * x[:, 1]})
    frame["slope"], frame["dy_db"] = np.cos(x[:, 0]), 2 * x[:, 1]
    frame["dz_da"], frame["dz_db"] = x[:, 1], x[:, 0]
    frame.loc[5, ["y", "z", "slope", "dy_db", "dz_da", "dz_db"]] = np.nan
    frame.loc[[11, 12], "dz_da"] = np.nan
    right = frame.copy()
    frame.loc[10, "slope"] += 1
    frame.loc[20, "z"] -= 3
    path = tmp_path_factory.mktemp("table") / "spoilt.csv"
    path.write_text(frame.to_csv(index=False).replace("\n", "\n\n", 1))
    roles = "data.inputs=[a,b]", "data.outputs=[y,z]", "data.derivatives={y:{a:slope,b:dy_db},z:{a:dz_da,b:dz_db}}"
    directory = tmp_path_factory.mktemp("sweep") / "sweep"
    runge.sweep("data=table", f"data.file={path}", *roles, "data.folds=3", *QUICK, *QUIET, directory=directory)
    networks = runge.load(directory)
    errors = UnseenErrors.of(networks.jet, networks.runs, everywhere=True)
    return right, errors.mean(range(networks.members), validated=False), errors.rows


def test_wrong_labels_are_named_with_line_and_column(spoilt):
    right, residuals, rows = spoilt
    suspects = find_suspects(residuals, rows)
    assert {(one.column, one.place): one.label for one in suspects} == {
        ("slope", "line 13"): pytest.approx(right["slope"][10] + 1),
        ("z", "line 23"): pytest.approx(right["z"][20] - 3),
    }
    for one in suspects:
        number = int(one.place.split()[1]) - 3
        assert one.predicted == pytest.approx(right[one.column][number], abs=0.2)
        assert one.residual == pytest.approx(one.predicted - one.label)
        assert one.deviations > 8


def test_the_sentence_names_a_few():
    assert describe_suspects([]) == ""
    suspects = [Suspect(f"line {i}", "lift", 1.25, 0.8, -0.45, 41.4) for i in range(5)]
    assert describe_suspects(suspects[:1]) == (
        "Check this label, which networks trained without its row do not predict: "
        "lift in line 0 is 1.25, predicted 0.8 (41 robust deviations)."
    )
    text = describe_suspects(suspects)
    assert text.startswith("Check these labels, which networks trained without their rows do not predict: lift in ")
    assert text.endswith(
        "lift in line 2 is 1.25, predicted 0.8 (41 robust deviations); 2 more are in leaderboard.json."
    )
