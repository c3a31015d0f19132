import torch

from runge.training.datamodule import Block, Minibatches, Repeated
from tests.sobolev.test_losses import some_points


def test_minibatches_go_through_all_points_once_an_epoch():
    batches = Minibatches(seeds=(1, 2), points=10, size=4)
    index = batches.index(0, 5)  # 20 draws: two epochs
    assert index.shape == (5, 2, 4)
    for member in range(2):
        order = index[:, member].flatten().tolist()
        assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
        assert order[:10] != order[10:]
    assert not torch.equal(index[:, 0], index[:, 1])


def test_minibatches_of_a_block_depend_on_the_step_alone():
    minibatches, points = Minibatches(seeds=(1, 2), points=10, size=4), some_points(n=10)
    assert torch.equal(minibatches.index(0, 12)[7:], minibatches.index(7, 5))
    assert torch.equal(Block(points, minibatches).batches(3, 4), minibatches.index(3, 4))
    assert Block(points, None).batches(3, 4) is None


def test_repeated_asks_for_each_batch_when_it_is_due():
    letters = iter("abc")
    loader = Repeated(lambda: next(letters), 2)
    first = iter(loader)
    assert next(first) == "a"
    assert next(letters) == "b"
    assert list(first) == ["c"]
    assert len(loader) == 2
