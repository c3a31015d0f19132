import torch

from runge.training.history import History


def test_history_survives_a_checkpoint():
    history = History()
    history.keys, history.steps, history.times = ["a", "b"], [10, 20], [0.0, 1.0]
    history.rows = [torch.tensor([[1.0, 2.0], [5.0, 6.0]]), torch.tensor([[3.0, 4.0], [7.0, 8.0]])]
    other = History()
    other.load_state_dict(history.state_dict())
    assert other.member(0) == {"step": [10.0, 20.0], "a": [1.0, 3.0], "b": [2.0, 4.0]}
    assert other.member(1) == {"step": [10.0, 20.0], "a": [5.0, 7.0], "b": [6.0, 8.0]}
    empty = History()
    empty.load_state_dict(History().state_dict())
    assert empty.member(0) == {"step": []}
