"""BatchNorm by statistics of the whole batch, against torch's own layers; two processes are in `test_process_group`."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from moframework.engine.distributed.sync_batchnorm import BufferSync, synchronized
from moframework.model import ParetoModel
from moframework.processes.world import World
from tests.model.networks import NORM, recipe

LAYERS = {
    "vectors": (nn.BatchNorm1d(3), (5, 3)),
    "sequences": (nn.BatchNorm1d(3, momentum=0.3), (4, 3, 6)),
    "images": (nn.BatchNorm2d(3, eps=1e-3), (2, 3, 4, 5)),
    "plain": (nn.BatchNorm2d(3, affine=False, track_running_stats=False), (2, 3, 4, 5)),
    "mean": (nn.BatchNorm3d(3, momentum=None), (2, 3, 2, 2, 2)),
}


@pytest.mark.parametrize("name", list(LAYERS))
def test_as_torch(name: str) -> None:
    layer, shape = LAYERS[name]
    layer.double()
    network = nn.Sequential(layer)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    batches = [torch.randn(shape, dtype=torch.float64) * 2 + 1 for _ in range(3)]
    expected = [network(x) for x in batches]
    after = {key: value.clone() for key, value in network.state_dict().items()}
    network.load_state_dict(before)
    with synchronized(network, World()):
        found = [network(x) for x in batches]
        network.eval()
        evaluated = network(batches[0])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(dict(network.state_dict()), after)
    torch.testing.assert_close(evaluated, network(batches[0]))
    assert type(network[0]) is type(layer)
    assert "forward" not in vars(layer), "the layer is its own again"


def test_gradients_as_torch() -> None:
    layer = nn.BatchNorm1d(3).double()
    x = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 3, dtype=torch.float64)
    expected = torch.autograd.grad((layer(x) * weight).square().sum(), (x, layer.weight, layer.bias))
    with synchronized(layer, World()):
        found = torch.autograd.grad((layer(x) * weight).square().sum(), (x, layer.weight, layer.bias))
    torch.testing.assert_close(found, expected)


def test_half_precision_comes_out_as_it_went_in() -> None:
    layer = nn.BatchNorm1d(3)
    x = torch.randn(6, 3).bfloat16()
    with synchronized(layer, World()):
        assert layer(x).dtype is torch.bfloat16


def test_alone_buffers_stay() -> None:
    made = ParetoModel(recipe(**NORM)).train()
    sync = BufferSync(made, World())
    made(torch.randn(4, 4), [0.5, 0.5])
    before = {name: value.clone() for name, value in made.named_buffers()}
    sync()
    torch.testing.assert_close(dict(made.named_buffers()), before, rtol=0, atol=0)
