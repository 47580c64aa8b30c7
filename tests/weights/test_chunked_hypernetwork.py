"""The chunked hypernetwork against its equation, and its cost on ResNet-18."""

from __future__ import annotations

import math

import torch
import torchvision
from torch import nn

from moframework.weights.chunked_hypernetwork import ChunkedHypernetwork, ChunkedHypernetworkSpace


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(6, 4))  # 57 + 28 parameters


def test_is_a_network_plus_pieces_from_a_shared_head() -> None:
    made = ChunkedHypernetwork(hidden=(7,), chunk=20, embedding=3).build(small, 2, None)
    assert isinstance(made, ChunkedHypernetworkSpace)
    assert made.embeddings.shape == (5, 3)  # ⌈85 / 20⌉ pieces
    preference = torch.tensor([0.3, 0.7])
    pieces = [made.features(torch.cat([preference, e])) @ made.head for e in made.embeddings]
    flat = torch.cat(pieces)
    weights = made.weights(preference)
    torch.testing.assert_close(weights["0.weight"], made.base[0] + flat[:54].view(3, 2, 3, 3) / math.sqrt(3 * 18))
    torch.testing.assert_close(weights["2.bias"], made.base[3] + flat[81:85] / math.sqrt(3 * 4))


def test_a_network_smaller_than_a_piece_is_one_piece() -> None:
    made = ChunkedHypernetwork().build(small, 2, None)
    assert isinstance(made, ChunkedHypernetworkSpace)
    assert made.head.shape == (100, 85)


def test_resnet18_costs_a_few_percent() -> None:
    network = torchvision.models.resnet18()
    base = sum(p.numel() for p in network.parameters())
    made = ChunkedHypernetwork().build(lambda: network, 2, None)
    added = sum(p.numel() for p in made.parameters()) - base
    assert base == 11_689_512
    assert added == 11_416 * 32 + 100 * 1024 + (34 * 100 + 100) + 2 * 10_100 == 491_412
