"""`ParetoModel`: any module, unmodified."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from moframework import ParetoModel
from moframework.backbones.base import Backbone
from moframework.config import config
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.low_rank import LowRank
from tests.model.networks import LSTM, ODD, model, recipe


def test_training_updates_shared_running_statistics() -> None:
    made = ParetoModel(recipe(**ODD)).train()
    made(torch.randn(8, 4) + 5, torch.tensor([0.5, 0.5]))
    assert bool((made.skeleton.norm.running_mean != 0).any())


def test_parameters_are_those_of_the_space_alone() -> None:
    made = model()
    assert {id(p) for p in made.parameters()} == {id(p) for p in made.space.parameters()}


def test_lenet_overhead_at_rank_1() -> None:
    made = ParetoModel(recipe(LowRank(rank=1), input_shape=(1, 28, 28)))
    count = sum(p.numel() for p in made.parameters())
    # 2 · (conv1 275 + conv2 750 + fc 370 + heads 2·(100 + 60)): the published formula on the published network
    assert count == 27450 + 3430


class TestRecurrent:
    def test_weights_beside_the_parameters_are_right_in_training_too(self) -> None:
        network = nn.LSTM(3, 2)
        made = model(ConvexHull(), backbone=LSTM(), input_shape=(5, 3), outputs={"left": 2}).train()
        x = torch.randn(4, 5, 3)
        outputs = made(x, torch.tensor([0.5, 0.5]))["left"]
        outputs.sum().backward()
        copied = made.at([1, 1])  # while a graph of the last forward pass is alive
        network.load_state_dict({name.removeprefix("cell."): v for name, v in copied.state_dict().items()})
        torch.testing.assert_close(network(x)[0], outputs)
        torch.testing.assert_close(made.double().at([1, 1])(x.double()), outputs.double(), rtol=1e-4, atol=1e-5)


def test_frozen_batch_norm_keeps_the_statistics_it_starts_with() -> None:
    @config
    class Half(Backbone):
        """Two BatchNorm layers, the first frozen."""

        def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
            network = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2), nn.BatchNorm1d(2))
            network[0].requires_grad_(False)
            return network

    initial = {"0.running_mean": torch.tensor([1.0, 2.0, 3.0]), "0.running_var": torch.full((3,), 4.0)}
    made = ParetoModel(recipe(LowRank(rank=1), Half(), input_shape=(3,), outputs={"y": 2}), initial)
    x, preference = torch.randn(8, 3), torch.tensor([0.5, 0.5])
    for one in (made, copy.deepcopy(made).train(), copy.deepcopy(made.eval()).train()):
        seen: list[Tensor] = []
        one.skeleton[1].register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        one.train()(x, preference)
        torch.testing.assert_close(seen[0], (x - initial["0.running_mean"]) / 2)
        assert torch.equal(one.skeleton[0].running_mean, initial["0.running_mean"])
        assert not torch.equal(one.skeleton[2].running_mean, torch.zeros(2))
    found = made.batch_statistics(preference.unsqueeze(0), [x])
    assert set(found[0]) == {"2.running_mean", "2.running_var", "2.num_batches_tracked"}
