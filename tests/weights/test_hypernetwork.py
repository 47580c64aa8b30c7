"""The hypernetwork against its equation and its count of parameters."""

from __future__ import annotations

import torch
from torch import nn

from moframework.backbones.lenet import LeNet
from moframework.weights.hypernetwork import Hypernetwork, HypernetworkSpace


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(6, 4))


def test_is_one_linear_head_a_tensor_on_features_of_the_preference() -> None:
    made = Hypernetwork(hidden=(7, 5)).build(small, 2, None)
    assert isinstance(made, HypernetworkSpace)
    preference = torch.tensor([0.3, 0.7])
    layers = [layer for layer in made.features if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(2, 7), (7, 5), (5, 5)]
    features = layers[2](layers[1](layers[0](preference).relu()).relu())
    sets = made.heads.kernels[0].view(6, 3, 2, 3, 3)  # bias, then a weight for each of five features
    expected = sets[0] + torch.einsum("k,koihw->oihw", features, sets[1:])
    torch.testing.assert_close(made.weights(preference)["0.weight"], expected)


def test_biases_of_heads_are_a_fresh_network_and_the_rest_is_small() -> None:
    torch.manual_seed(3)
    made = Hypernetwork().build(lambda: LeNet().build((1, 28, 28), {"y": 10}), 2, None)
    torch.manual_seed(3)
    fresh = dict(LeNet().build((1, 28, 28), {"y": 10}).named_parameters())
    weights = made.weights(torch.tensor([0.5, 0.5]))
    for name, value in fresh.items():
        difference = float((weights[name] - value).detach().std())
        assert 0 < difference < 0.5 * float(value.detach().std()), name


def test_count_of_parameters_on_lenet() -> None:
    made = Hypernetwork().build(lambda: LeNet().build((1, 28, 28), {"left": 10, "right": 10}), 2, None)
    # 101 sets of 27,450, and the layers 2 → 100 → 100 → 100
    assert sum(p.numel() for p in made.parameters()) == 101 * 27450 + 300 + 2 * 10100
