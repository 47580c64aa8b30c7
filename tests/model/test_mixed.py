"""A batch with a preference for each sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from moframework import ParetoModel
from moframework.backbones.base import Backbone
from moframework.backbones.mlp import MLP
from moframework.backbones.resnet import ResNet
from moframework.backbones.vit import ViT
from moframework.config import config
from moframework.inputs import InputForm
from moframework.inputs.trees import Tree, mapped, select_samples
from moframework.weights.bilinear import Bilinear
from moframework.weights.chunked_hypernetwork import ChunkedHypernetwork
from moframework.weights.conditioned import Conditioned
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.experts import Experts
from moframework.weights.hyper_lora import HyperLoRA
from moframework.weights.hypernetwork import Hypernetwork
from moframework.weights.loha import LoHa
from moframework.weights.lokr import LoKr
from moframework.weights.low_rank import LowRank
from tests.model.networks import ANCHORS, model


@config
class Convolutions(Backbone):
    """Convolutions of all kinds, with every normalization."""

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(input_shape[0], 4, (3, 2), stride=(2, 1), padding=(1, 0)), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 4, 3, groups=2, bias=False), nn.GroupNorm(2, 4), nn.Tanh(),
            nn.ConvTranspose2d(4, 6, 2), nn.BatchNorm2d(6, affine=False), nn.Conv2d(6, 4, 3, padding="same"),
            nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect"), nn.LayerNorm([3, 2, 3]), nn.Flatten(2),
            nn.Conv1d(3, 2, 3, dilation=2),
        )  # fmt: skip


class Words(nn.Module):
    """A dict of ids and numbers; what a network with code of its own does with samples is not known."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.linear = nn.Linear(4 + 3, 2)

    def forward(self, ids: Tensor, numbers: Tensor) -> Tensor:
        result: Tensor = self.linear(torch.cat([self.embedding(ids).mean(dim=1), numbers], dim=1))
        return result


@config
class WordsNet(Backbone):
    takes_trees = True

    def build(self, input_shape: Any, outputs: Mapping[str, int]) -> nn.Module:
        network = Words()
        network.linear = nn.Linear(4 + input_shape["numbers"][0], 2)
        return network


@config
class Table(Backbone):
    """Tied weights: an embedding and the layer after it."""

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        network = nn.Sequential(nn.Embedding(7, 4, padding_idx=0), nn.LayerNorm(4), nn.Linear(4, 7, bias=False))
        network[2].weight = network[0].weight
        return network


TWO = {"left": 3, "right": 2}
NETWORKS: dict[str, dict[str, Any]] = {
    "mlp": {"backbone": MLP(hidden=(8, 8)), "input_shape": (5,), "outputs": TWO},
    "convolutions": {"backbone": Convolutions(), "input_shape": (2, 6, 5), "outputs": {"left": 2}},
    "resnet": {"backbone": ResNet(stem="small"), "input_shape": (1, 8, 8), "outputs": TWO},
    "vit": {"backbone": ViT(patch=4, width=8, depth=2, heads=2), "input_shape": (1, 8, 8), "outputs": TWO},
    "table": {"backbone": Table(), "input_shape": (3,), "outputs": {"left": 7}},
    "words": {
        "backbone": WordsNet(),
        "input_shape": InputForm.of_batch({"ids": torch.zeros(1, 3).long(), "numbers": torch.zeros(1, 3)}),
        "outputs": {"left": 2},
    },
}
SPACES = {
    "loralib": LowRank(rank=2, alpha=4.0),
    "peft": LowRank(rank=2, conv="peft", alpha=4.0),
    "separable": LowRank(rank=1, conv="separable", alpha=4.0),
    "bilinear": Bilinear(rank=2),
    "diagonal": Bilinear(rank=2, core="diagonal"),
    "hyper lora": HyperLoRA(rank=1, hidden=(4, 3)),
    "loha": LoHa(rank=2, alpha=4.0),
    "lokr": LoKr(rank=2, alpha=4.0),
    "experts": Experts(count=3, hidden=(4,)),
    "hull": ConvexHull(),
    "finite": ANCHORS,
    "hypernetwork": Hypernetwork(hidden=(4, 3)),
    "chunked": ChunkedHypernetwork(hidden=(4, 3)),
    "conditioned": Conditioned(),
}
ONE_PASS = ("loralib", "peft", "separable", "diagonal", "loha", "hull")
ROWS = torch.tensor([[0.3, 0.7], [1, 0], [0.3, 0.7], [0, 1], [0.55, 0.45]], dtype=torch.float64)


def made_for(space: str, network: str) -> tuple[ParetoModel, Tree]:
    """A model in use, whose statistics are no zeros and ones, and five samples."""
    torch.manual_seed(0)
    weights = Conditioned(entry="numbers") if (space, network) == ("conditioned", "words") else SPACES[space]
    made = model(weights, **NETWORKS[network])
    for value in made.running_statistics():
        value.copy_(torch.rand_like(value) + 0.5)
    shape = NETWORKS[network]["input_shape"]
    if network == "words":
        return made, {"ids": torch.randint(7, (5, 3)), "numbers": torch.randn(5, 3)}
    return made, torch.randint(7, (5, *shape)) if network == "table" else torch.randn(5, *shape)


def one_by_one(made: ParetoModel, x: Tree, rows: Any) -> dict[str, Tensor]:
    parts = [made(select_samples(x, slice(i, i + 1)), row) for i, row in enumerate(rows)]
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def check(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=tolerance, atol=tolerance)


PAIRS = [
    (space, network)
    for space in SPACES
    for network in NETWORKS
    if (network != "resnet" or space in ("loralib", "hull")) and (space, network) != ("conditioned", "table")
]


@pytest.mark.parametrize(("space", "network"), PAIRS)
def test_each_sample_is_computed_with_its_own_weights(space: str, network: str) -> None:
    made, x = made_for(space, network)
    one_pass = space == "conditioned" or (space in ONE_PASS and network != "words")
    assert made.how_mixed().startswith("one pass: " if one_pass else "one pass for each preference: ")
    with torch.no_grad():
        expected = one_by_one(made, x, ROWS.float())
        check(made(x, ROWS.float()), expected, 1e-5)
        if network == "resnet":
            return
        made.double()
        x = mapped(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf, x)
        check(made(x, ROWS), one_by_one(made, x, ROWS), 1e-10)
    assert all(not torch.equal(value[0], value[1]) for value in expected.values())


@pytest.mark.parametrize("space", ["loralib", "hull", "hypernetwork", "conditioned", "finite"])
def test_gradients_are_those_of_passes_one_by_one(space: str) -> None:
    made, x = made_for(space, "convolutions")
    made.double()
    found = []
    for run in (lambda x, rows: made(x, rows), lambda x, rows: one_by_one(made, x, rows)):
        own, rows = x.double().requires_grad_(), ROWS.clone().requires_grad_()
        made.zero_grad()
        (run(own, rows)["left"] ** 2).sum().backward()
        found.append([own.grad, rows.grad, *(parameter.grad for parameter in made.parameters())])
    assert found[0][0] is not None
    assert (found[0][1] is None) == (space == "finite")
    for one, other in zip(*found, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "form",
    [
        lambda rows: rows.tolist(),
        lambda rows: rows.numpy(),
        lambda rows: list(rows),
        lambda rows: [tuple(row) for row in rows.tolist()],
        lambda rows: 3 * rows,
        lambda rows: (100 * rows).round().int(),
    ],
)
def test_preferences_are_taken_and_scaled_as_one_is(form: Callable[[Tensor], Any]) -> None:
    made, x = made_for("loralib", "mlp")
    rows = form(ROWS.float())
    check(made(x, rows), one_by_one(made, x, rows), 1e-5)
    check(made(x, rows), made(x, ROWS.float()), 1e-5)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[0.5, 0.5]] * 4, "got 4 for a batch of 5"),
        (torch.full((6, 2), 0.5), "got 6 for a batch of 5"),
        (torch.full((5, 3), 0.5), r"has 2 numbers, one for each of left, right; got a tensor of shape \(5, 3\)"),
        ([[0.5, 0.5]] * 4 + [[1.0]], r"preference 4: a preference has 2 numbers, .*; got \[1.0\]"),
        ([[0.5, 0.5]] * 3 + [[-1.0, 2.0]] * 2, "preference 3: a preference is non-negative"),
        (
            torch.tensor([[0.5, 0.5]] * 2 + [[float("nan"), 1.0]] * 3),
            "preference 2: the numbers of a preference are finite",
        ),
        (np.zeros((5, 2)), "preference 0: a preference is non-negative and not all zero"),
    ],
)
def test_wrong_preferences_are_refused_with_their_row(rows: Any, words: str) -> None:
    made, x = made_for("loralib", "mlp")
    with pytest.raises(ValueError, match=words):
        made(x, rows)


def test_a_model_in_training_is_refused() -> None:
    made, x = made_for("hypernetwork", "convolutions")
    made.skeleton[1].train()
    with pytest.raises(ValueError, match=r"call model\.eval"):
        made(x, ROWS.float())


def test_an_empty_batch_gives_empty_outputs() -> None:
    made, x = made_for("loralib", "mlp")
    assert made(x[:0], torch.empty(0, 2))["left"].shape == (0, 3)


def test_finite_sets_are_grouped_by_the_network_that_answers() -> None:
    made, x = made_for("finite", "mlp")
    rows = torch.tensor([[1, 0], [0.95, 0.05], [0.4, 0.6], [0, 1], [0.3, 0.7]])
    counts: list[int] = []
    made.skeleton.register_forward_pre_hook(lambda _, given: counts.append(len(given[0])))
    found = made(x, rows)
    assert counts == [2, 2, 1]
    check(found, one_by_one(made, x, rows), 1e-6)


def test_outputs_without_an_entry_for_each_sample_are_refused() -> None:
    made, x = made_for("hypernetwork", "mlp")
    made.skeleton.register_forward_hook(lambda _, given, result: {key: value.sum() for key, value in result.items()})
    with pytest.raises(ValueError, match="output 'left' of 2 samples has the shape"):
        made(x, ROWS.float())


def test_a_module_with_something_hung_on_it_sees_its_weights() -> None:
    made, x = made_for("loralib", "mlp")
    rows = ROWS.float()
    expected = made(x, rows)
    handle = made.skeleton.encoder[1].register_forward_hook(lambda module, given, result: 2 * result)
    assert made.how_mixed().startswith("one pass for each preference: ")
    doubled = made(x, rows)
    assert not torch.allclose(doubled["left"], expected["left"])
    check(doubled, one_by_one(made, x, rows), 1e-6)
    handle.remove()
    check(made(x, rows), expected, 1e-6)


def test_many_tasks_are_grouped_where_that_takes_fewer_passes() -> None:
    tasks = tuple("abcd")
    made = model(ConvexHull(), tasks=tasks, **{**NETWORKS["mlp"], "outputs": dict.fromkeys(tasks, 1)})
    calls: list[int] = []
    made.skeleton.encoder[1].register_forward_pre_hook(lambda _, given: calls.append(len(given[0])))
    x, rows = torch.randn(6, 5), torch.eye(4)[[0, 0, 1, 1, 1, 0]]
    check(made(x, rows), one_by_one(made, x, rows), 1e-6)
    assert calls[:2] == [3, 3]


def test_what_cannot_be_read_goes_in_one_pass_or_is_refused() -> None:
    rows = ROWS.float()
    made, x = made_for("loralib", "vit")
    exported = torch.export.export(made, (x, rows)).module()
    check(exported(x, rows.flip(0)), made(x, rows.flip(0)), 1e-5)
    sets = torch.stack([rows, rows.flip(0)])
    made, x = made_for("loralib", "mlp")
    found = torch.func.vmap(lambda own: made(x, own)["left"])(sets)
    torch.testing.assert_close(found[1], made(x, rows.flip(0))["left"], rtol=1e-5, atol=1e-5)
    other, _ = made_for("hypernetwork", "mlp")
    with pytest.raises(ValueError, match="cannot be compiled, exported"):
        torch.func.vmap(lambda own: other(x, own)["left"])(sets)
