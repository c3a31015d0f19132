import os

import pytest
import torch

from runge.configuration.errors import ConfigurationError
from runge.records.checkpoints import join, read_state, serialise, state_path, take
from runge.records.directories import RunDirectory
from runge.records.files import write


def test_members_are_rows_of_all_tensors():
    state = {
        "theta": torch.arange(6.0).view(3, 2),
        "step": torch.tensor(7),
        "plateau": (torch.tensor([1, 2, 3]), [torch.arange(60.0).view(3, 4, 5)]),
        "names": ["a", "b"],
        "nothing": None,
    }
    part = take(state, [2, 0])
    assert part["theta"].tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert part["step"] == 7
    assert part["plateau"][0].tolist() == [3, 1]
    assert torch.equal(part["plateau"][1][0], state["plateau"][1][0][[2, 0]])
    assert (part["names"], part["nothing"]) == (["a", "b"], None)
    assert part["theta"].untyped_storage().nbytes() == 4 * 4  # no more than its members
    weights = {"theta": state["theta"], "step": state["step"]}
    back = join([take(weights, [member]) for member in range(3)])
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
