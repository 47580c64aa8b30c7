"""The world of a single process, and what every world can say of itself."""

from __future__ import annotations

import pytest
import torch

from moframework.processes.world import World


def test_spans_cover_everything_once() -> None:
    world = World()
    world.size = 3
    parts = []
    for world.rank in range(3):
        parts.append(list(world.local_range(8)))
    assert parts == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_nothing_is_done_alone() -> None:
    world = World()
    own, grown = torch.ones(2, 3), torch.nn.Parameter(torch.zeros(2))
    grown.grad = torch.ones(2)
    assert world.all_reduce_sum([own])[0] is own
    assert world.all_gather_rows(own, 2) is own
    assert world.all_reduce_mean([own, None])[0] is own
    assert world.differentiable_all_reduce(own) is own
    assert world.all_gather(own[0]).tolist() == [[1, 1, 1]]
    world.average_gradients([grown])
    world.broadcast([own])
    assert grown.grad.tolist() == [1, 1]
    assert (world.any_rank(True), world.any_rank(False)) == (True, False)
    assert world.from_rank_zero(lambda: 3) == 3
    assert world.root_cause(ValueError()) is None
    world.seed(5)
    with world.shared_rng():
        drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    with pytest.raises(ValueError, match="mine"), world.fail_together():
        raise ValueError("mine")
