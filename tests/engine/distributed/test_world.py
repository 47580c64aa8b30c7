"""The world of a single process, and what every world can say of itself."""

from __future__ import annotations

import pytest
import torch

from moframework.engine.distributed.world import Alone


def test_spans_cover_everything_once() -> None:
    world = Alone()
    world.size = 3
    parts = []
    for world.rank in range(3):
        parts.append(list(world.span(8)))
    assert parts == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_nothing_is_done_alone() -> None:
    world = Alone()
    own, grown = torch.ones(2, 3), torch.nn.Parameter(torch.zeros(2))
    grown.grad = torch.ones(2)
    assert world.sums([own])[0] is own
    assert world.rows(own, 2) is own
    assert world.means([own, None])[0] is own
    assert world.pooled(own) is own
    assert world.gathered(own[0]).tolist() == [[1, 1, 1]]
    world.average_gradients([grown])
    world.spread([own])
    assert grown.grad.tolist() == [1, 1]
    assert (world.agreed(True), world.agreed(False)) == (True, False)
    assert world.from_first(lambda: 3) == 3
    assert world.blamed(ValueError()) is None
    world.seed(5)
    with world.alike():
        drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    with pytest.raises(ValueError, match="mine"), world.together():
        raise ValueError("mine")
