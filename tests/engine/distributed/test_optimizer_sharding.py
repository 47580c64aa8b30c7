"""Slices of parameters: where they lie and what is refused; two processes are in `test_process_group`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from moframework.config.structure import build
from moframework.engine.distributed.optimizer_sharding import Sharded, check_sharding, make_sharding
from moframework.engine.settings import Distributed, Training
from moframework.errors import SpecError
from moframework.optim import Optimizer
from moframework.processes.world import World
from tests.extras import needs_pytorch_optimizer

CPU = torch.device("cpu")


class Part(World):
    """One of three processes, which only asks for its own slices."""

    def __init__(self, rank: int) -> None:
        self.rank, self.size = rank, 3


def parameters() -> list[nn.Parameter]:
    kernel = torch.randn(4, 2, 3, 3).contiguous(memory_format=torch.channels_last)
    return [
        nn.Parameter(kernel),
        nn.Parameter(torch.randn(5)),
        nn.Parameter(torch.randn(())),
        nn.Parameter(torch.randn(1, 7).t()),
    ]


def loss(given: list[nn.Parameter]) -> Tensor:
    return sum((p * torch.arange(p.numel()).view(p.shape)).sin().sum() for p in given)  # type: ignore[return-value]


def test_slices_cover_the_memory_of_every_parameter() -> None:
    given = parameters()
    parts = [Sharded([{"params": given}], Part(rank)).shards for rank in range(3)]
    for k, parameter in enumerate(given):
        sizes = [len(part[k]) for part in parts]
        assert sum(sizes) == parameter.numel()
        assert max(sizes) == -(-parameter.numel() // 3)
        for part in parts:
            part[k].data.fill_(2.5)
        assert bool((parameter == 2.5).all())


@pytest.mark.parametrize("name", ["adam", pytest.param("lion", marks=needs_pytorch_optimizer)])
def test_steps_and_state_as_without_slices(name: str) -> None:
    torch.manual_seed(0)
    plain = parameters()
    given = [nn.Parameter(p.detach().clone(memory_format=torch.preserve_format)) for p in plain]
    options = build(Optimizer, {"name": name, "lr": 0.1, "weight_decay": 0.01})
    states = []
    for params, sharding in ((plain, None), (given, Sharded([{"params": given}], World()))):

        def made(params: list[nn.Parameter] = params, sharding: Sharded | None = sharding) -> torch.optim.Optimizer:
            return sharding.build(options, CPU) if sharding else options.build([{"params": params}], CPU)

        optimizer = made()
        for _ in range(3):
            for parameter in params:
                parameter.grad = None
            loss(params).backward()
            optimizer.step()
        fresh = made()
        fresh.load_state_dict(optimizer.state_dict())
        loss(params).backward()
        fresh.step()
        states.append(fresh.state_dict()["state"])
    for one, other in zip(given, plain, strict=True):
        assert one.stride() == other.stride()
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(states[1], states[0])


def test_a_parameter_without_gradient_stays() -> None:
    given = parameters()
    sharded = Sharded([{"params": given}], World())
    optimizer = sharded.build(build(Optimizer, {"name": "adam", "lr": 0.1}), CPU)
    before = given[1].detach().clone()
    loss([given[0]]).backward()
    optimizer.step()
    assert torch.equal(given[1], before)
    assert all(shard.grad is None for shard in sharded.shards), "views would keep whole gradients alive"
    assert list(optimizer.state_dict()["state"]) == [0]


def test_what_cannot_be_sharded_is_refused() -> None:
    wanted = Distributed(optimizer="sharded")
    adafactor = build(Optimizer, {"name": "adafactor", "lr": 0.1})
    with pytest.raises(SpecError, match="cannot be sharded; use replicated, or adam"):
        check_sharding(Training(distributed=wanted, optimizer=adafactor))
    with pytest.raises(SpecError, match=r"training.distributed.optimizer: with precision fp16 .* use bf16"):
        check_sharding(Training(distributed=wanted, precision="fp16"))
    check_sharding(Training(optimizer=adafactor, precision="fp16"))


def test_a_single_process_has_nothing_to_shard() -> None:
    training = Training(distributed=Distributed(optimizer="sharded"))
    assert make_sharding([{"params": parameters()}], training, World()) is None
    assert isinstance(make_sharding([{"params": parameters()}], training, Part(0)), Sharded)
