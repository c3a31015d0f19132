import os

import pytest
import torch

from runge.configuration.errors import ConfigurationError
from runge.records.checkpoints import join, read_state, serialise, state_path
from runge.records.directories import RunDirectory
from runge.records.files import write


def test_members_are_rows_of_all_tensors():
    weights = {"theta": torch.arange(6.0).view(3, 2), "step": torch.tensor(7)}
    back = join([{"theta": row[None], "step": weights["step"]} for row in weights["theta"]])
    assert all(torch.equal(back[key], x) for key, x in weights.items())


def test_a_state_names_its_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [RunDirectory(os.path.join("sweep", name)) for name in ("0", "a/1")]
    path = state_path(runs)
    assert state_path(runs[:1]) == runs[0].last
    assert path != state_path(runs[::-1])
    path.parent.mkdir(parents=True)
    stack = {"runs": ["0", "a/1"], "digests": ["x", "y"], "threads": 1}
    write(path, serialise({"state_dict": {"step": torch.tensor(3)}, "stack": stack}))
    saved = read_state(path)
    assert saved.runs == ("sweep/0", "sweep/a/1")
    assert (saved.step, saved.threads, saved.digests) == (3, 1, ("x", "y"))
    write(path, serialise({"state_dict": {"step": torch.tensor(3)}, "stack": {"runs": 3}}))
    with pytest.raises(ConfigurationError, match=r"ckpt does not hold a run's state"):
        read_state(path)
