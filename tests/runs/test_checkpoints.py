import torch

from runge.runs.checkpoints import cut, join


def test_join_is_the_inverse_of_cut():
    state = {
        "theta": torch.arange(6.0).view(3, 2),
        "step": torch.tensor(7),
        "plateau": (torch.tensor([1, 2, 3]), [torch.rand(3, 4, 5)]),
        "names": ["a", "b"],
        "nothing": None,
    }
    parts = [cut(state, member) for member in range(3)]
    assert parts[1]["theta"].tolist() == [[2.0, 3.0]]
    assert parts[1]["step"] == 7
    back = join(parts)
    assert torch.equal(back["theta"], state["theta"])
    assert back["step"] == 7
    assert torch.equal(back["plateau"][0], state["plateau"][0])
    assert torch.equal(back["plateau"][1][0], state["plateau"][1][0])
    assert back["names"] == ["a", "b"]
    assert back["nothing"] is None


def test_a_part_holds_no_more_than_its_member():
    part = cut({"theta": torch.zeros(100, 50)}, 3)
    assert part["theta"].untyped_storage().nbytes() == 50 * 4
