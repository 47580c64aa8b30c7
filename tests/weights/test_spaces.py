"""What every weight space promises, on networks of every kind of layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from moframework import ParetoModel
from moframework.backbones.base import Backbone
from moframework.config import config, option
from moframework.engine.distributed.fsdp import ShardableSpace
from moframework.errors import SpecError
from moframework.model import Recipe
from moframework.weights import WeightSpaceConfig
from moframework.weights.bilinear import Bilinear
from moframework.weights.chunked_hypernetwork import ChunkedHypernetwork
from moframework.weights.conditioned import Conditioned
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.experts import Experts
from moframework.weights.finite import Finite
from moframework.weights.hyper_lora import HyperLoRA
from moframework.weights.hypernetwork import Hypernetwork
from moframework.weights.loha import LoHa
from moframework.weights.lokr import LoKr
from moframework.weights.low_rank import LowRank
from moframework.weights.mixed import Mixed
from moframework.weights.restricted import Restricted
from tests.weights.zoo import OPAQUE, ZOO

LAMBDA = torch.tensor([0.3, 0.7])
ANCHORS = torch.tensor([[1.0, 0.0], [0.3, 0.7]])

SPACES: dict[str, WeightSpaceConfig] = {
    "low rank": LowRank(rank=2),
    "low rank peft": LowRank(rank=2, conv="peft", orthogonal=1.0),
    "low rank separable": LowRank(rank=2, conv="separable", orthogonal=1.0),
    "bilinear": Bilinear(rank=2, free_rank=1),
    "bilinear diagonal": Bilinear(rank=1, core="diagonal", conv="peft"),
    "hyper lora": HyperLoRA(rank=2, hidden=(8,)),
    "hyper lora in pieces": HyperLoRA(rank=1, hidden=(8,), chunk=16, embedding=3, conv="separable"),
    "loha": LoHa(rank=2, alpha=20.0),
    "lokr": LoKr(rank=2, alpha=20.0),
    "experts": Experts(count=3, hidden=(16,)),
    "convex hull": ConvexHull(),
    "convex hull in part": ConvexHull(only="*weight"),
    "hypernetwork": Hypernetwork(hidden=(16, 16)),
    "chunked hypernetwork": ChunkedHypernetwork(hidden=(8,), chunk=16, embedding=3),
    "conditioned": Conditioned(),
    "mixed hull": Mixed(space=ConvexHull(), trained_at=((0.8, 0.2), (0.4, 0.6))),
    "mixed adapters": Mixed(space=LowRank(rank=2, orthogonal=1.0), trained_at=((0.8, 0.2), (0.4, 0.6))),
    "restricted": Restricted(space=LowRank(rank=2), vertices=((1.0, 0.0), (0.25, 0.75))),
    "finite": Finite(anchors=((1.0, 0.0), (0.3, 0.7))),
}

# Vectors and images; the others of the zoo cannot be joined with a preference.
CONDITIONABLE = {
    *("linear", "checkpointed", "conv2d", "conv2d one channel", "grouped", "transposed 2d", "odd", "frozen in part"),
    *OPAQUE,
}

# What these do differently shows on few networks: storage and memory order are those of others in the list.
KIN = {
    *("bilinear", "bilinear diagonal", "hyper lora", "hyper lora in pieces"),
    *("loha", "lokr", "experts", "convex hull in part", "restricted"),
}
OF_KIN = {*("quantized", "linear", "conv2d", "grouped", "transposed 2d", "tied", "attention", "odd", "frozen in part")}


def suits(network: str, space: str) -> bool:
    """Whether a space is tried on a network."""
    return (space != "conditioned" or network in CONDITIONABLE) and (space not in KIN or network in OF_KIN)


PAIRS = [
    pytest.param(network, space, id=f"{network} · {space}")
    for network in ZOO
    for space in SPACES
    if suits(network, space)
]


@config
class FromZoo(Backbone):
    """A network of the zoo; conditioned inputs are wider in their first dimension."""

    member: str = option(help="its name")

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return ZOO[self.member].make(input_shape[0] if len(input_shape) != 2 else ZOO[self.member].shape[0])


@config
class Wide(FromZoo):
    """As `FromZoo`, for inputs whose features come last."""

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return ZOO[self.member].make(input_shape[-1])


def model(network: str, space: WeightSpaceConfig, m: int = 2) -> ParetoModel:
    backbone = (Wide if network in ("attention", "instance norm") else FromZoo)(member=network)
    recipe = Recipe(
        tasks=tuple(f"task{t}" for t in range(m)),
        backbone=backbone,
        input_shape=ZOO[network].shape,
        outputs={"y": 1},
        weights=space,
    )
    made = ParetoModel(recipe)
    with torch.no_grad():  # away from the start, where all preferences may give the same network
        for parameter in made.space.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


@pytest.mark.parametrize(("network", "space"), PAIRS)
class TestEverySpace:
    def test_names_and_shapes_are_those_of_the_network(self, network: str, space: str) -> None:
        made = model(network, SPACES[space])
        plain = made.recipe.make()
        expected = {name: value.shape for name, value in plain.named_parameters()}
        buffers = dict(plain.named_buffers())
        weights = made.weights(LAMBDA)
        assert {name: value.shape for name, value in weights.items() if name in expected} == expected
        assert all(weights[name].shape == buffers[name].shape for name in weights.keys() - expected.keys())
        frozen = {name for name, value in plain.named_parameters() if not value.requires_grad}
        assert {name for name in expected if not weights[name].requires_grad} == frozen

    def test_the_network_at_a_preference_gives_what_forward_gives(self, network: str, space: str) -> None:
        made = model(network, SPACES[space])
        x = ZOO[network].inputs()
        with torch.no_grad():
            outputs = [made(x, anchor)["y"] for anchor in ANCHORS]
            torch.testing.assert_close(made.at(LAMBDA)(x), outputs[1])
        assert not torch.allclose(outputs[0], outputs[1])
        assert set(made.at(LAMBDA).state_dict()) == set(made.recipe.make().state_dict())

    def test_weights_of_several_preferences_are_those_of_each(self, network: str, space: str) -> None:
        made = model(network, SPACES[space])
        at = torch.stack([*ANCHORS, LAMBDA])
        if all(p.dim() != 5 for p in made.recipe.make().parameters()):
            made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        alone = [made.weights(row) for row in at]
        together = made.space.weights_of(at)
        torch.testing.assert_close(together, alone)
        assert [{n: v.stride() for n, v in one.items()} for one in together] == [
            {n: v.stride() for n, v in one.items()} for one in alone
        ]
        found = []
        for thetas in (alone, together):
            made.zero_grad()
            sum(v.sin().sum() for theta in thetas for v in theta.values() if v.requires_grad).backward()  # type: ignore[union-attr]
            found.append([None if p.grad is None else p.grad.clone() for p in made.parameters()])
        torch.testing.assert_close(*found)

    def test_gradients_reach_every_parameter(self, network: str, space: str) -> None:
        made = model(network, SPACES[space])
        x = ZOO[network].inputs()
        for anchor in ANCHORS:
            made(x, anchor)["y"].sin().sum().backward()
        penalty = made.space.penalty()
        if penalty is not None:
            penalty.backward()
        trained = {name: p for name, p in made.named_parameters() if p.requires_grad}
        assert trained
        assert [name for name, p in trained.items() if p.grad is None or not bool(p.grad.isfinite().all())] == []
        assert all(bool((p.grad != 0).any()) for name, p in trained.items() if not _may_have_none(network, p))
        assert all(p.grad is None for p in made.parameters() if not p.requires_grad)

    def test_groups_hold_every_trained_parameter_once(self, network: str, space: str) -> None:
        made = model(network, SPACES[space])
        groups = made.space.parameter_groups(0.1)
        held = [id(p) for group in groups for p in group["params"]]
        assert sorted(held) == sorted(id(p) for p in made.parameters() if p.requires_grad)
        assert all(group["name"] and group["lr"] > 0 for group in groups)

    def test_saved_and_loaded_is_the_same(self, network: str, space: str, tmp_path: Path) -> None:
        made = model(network, SPACES[space])
        made.save(tmp_path)
        again = ParetoModel.load(tmp_path)
        x = ZOO[network].inputs()
        hidden = dict(made.named_buffers()).keys() - made.state_dict().keys()
        for name in hidden:  # what a module does not save is not saved here either
            again.get_buffer(name).copy_(made.get_buffer(name))
        for anchor in ANCHORS:
            assert torch.equal(again(x, anchor)["y"], made(x, anchor)["y"])
        assert again.recipe == made.recipe

    def test_kernels_come_in_the_memory_order_of_the_parameters(self, network: str, space: str) -> None:
        made = model(network, SPACES[space])
        if any(p.dim() == 5 for p in made.recipe.make().parameters()):
            return  # torch has no such order for them
        before = made.weights(LAMBDA)
        assert all(value.is_contiguous() for value in before.values())
        made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        after = made.weights(LAMBDA)
        for name, value in after.items():
            assert torch.allclose(value, before[name], rtol=1e-5, atol=1e-6)
            assert value.dim() != 4 or value.is_contiguous(memory_format=torch.channels_last), name
        sum(value.square().sum() for value in after.values() if value.requires_grad).backward()  # type: ignore[union-attr]
        torch.optim.Adam(made.parameters()).step()


def _may_have_none(network: str, parameter: Tensor) -> bool:
    """Few numbers, or a network where normalization takes away what they add."""
    return parameter.numel() < 16 or network in ("instance norm", "attention", "attention of others")


@pytest.mark.parametrize("network", ["odd", "frozen in part"])
@pytest.mark.parametrize("space", sorted(SPACES))
def test_frozen_parameters_are_one_for_all_preferences(network: str, space: str) -> None:
    made = model(network, SPACES[space])
    first, second = (made.weights(anchor) for anchor in ANCHORS)
    frozen = [name for name, trained in made.network.trainable.items() if not trained]
    assert frozen
    assert all(first[name] is second[name] for name in frozen)
    assert sum(p.numel() for p in made.parameters() if not p.requires_grad) == sum(first[n].numel() for n in frozen)


@pytest.mark.parametrize("space", sorted(SPACES))
def test_nothing_to_train_is_refused(space: str) -> None:
    def make() -> nn.Module:
        frozen = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).requires_grad_(False)
        return SPACES[space].network(lambda shape: frozen, (1,), 2)

    with pytest.raises(SpecError, match="no parameter to train"):
        SPACES[space].build(make, 2, None)


@pytest.mark.parametrize("network", sorted(set(ZOO) - CONDITIONABLE))
def test_inputs_that_cannot_be_joined_with_a_preference_are_refused(network: str) -> None:
    with pytest.raises(SpecError, match="Use another weight space"):
        model(network, Conditioned())


@pytest.mark.parametrize("space", ["low rank", "convex hull", "hypernetwork", "chunked hypernetwork"])
def test_sparse_gradients_are_refused(space: str) -> None:
    with pytest.raises(SpecError, match=r"0 is an embedding with sparse gradients.*sparse=False"):
        SPACES[space].build(lambda: nn.Sequential(nn.Embedding(3, 2, sparse=True)), 2, None)


@pytest.mark.parametrize("space", sorted(SPACES))
@pytest.mark.parametrize("m", [1, 3])
def test_any_number_of_objectives(space: str, m: int) -> None:
    rows = tuple(tuple(row) for row in torch.eye(m).tolist())
    options = Finite(anchors=rows) if space == "finite" else SPACES[space]
    if isinstance(options, Mixed):
        options = Mixed(space=options.space, trained_at=rows)
    if isinstance(options, Restricted):
        options = Restricted(space=options.space, vertices=rows)
    made = model("conv2d", options, m)
    x = ZOO["conv2d"].inputs()
    for preference in torch.eye(m):
        torch.testing.assert_close(made.at(preference)(x), made(x, preference)["y"])


@pytest.mark.parametrize("space", ["low rank", "convex hull", "hypernetwork", "chunked hypernetwork", "finite"])
def test_starts_from_given_weights(space: str) -> None:
    initial = {"0.weight": torch.full((2, 3), 0.25), "0.bias": torch.ones(2)}
    made = SPACES[space].build(lambda: nn.Sequential(nn.Linear(3, 2)), 2, initial)
    weights = made.weights(LAMBDA)
    if "hypernetwork" in space:  # a little different for every preference
        assert bool(((weights["0.weight"] - 0.25).abs() < 1).all())
    else:
        assert torch.equal(weights["0.weight"], initial["0.weight"])


@pytest.mark.parametrize("space", sorted(SPACES))
def test_doubles_stay_doubles(space: str) -> None:
    made = model("conv2d", SPACES[space]).double()
    x = ZOO["conv2d"].inputs().double()
    assert made(x, LAMBDA)["y"].dtype == torch.float64


@pytest.mark.parametrize(("network", "space"), PAIRS)
def test_layers_together_are_the_space(network: str, space: str) -> None:
    made = model(network, SPACES[space])
    expected = {name: value.detach().clone() for name, value in made.weights(LAMBDA).items()}
    names = list(expected)
    groups = [group for group in (names[::3], names[1::3], names[2::3]) if group]
    layers = made.space.split_by_layer(groups) if isinstance(made.space, ShardableSpace) else None
    if layers is None:
        assert space not in ("low rank", "convex hull")
        return

    def together() -> dict[str, Tensor]:
        return {name: value.detach() for layer in layers for name, value in layer.weights(LAMBDA).items()}

    torch.testing.assert_close(together(), expected)
    with torch.no_grad():
        for parameter in (p for layer in layers for p in layer.parameters()):
            parameter.mul_(1.5).add_(0.25)
    changed = together()
    torch.testing.assert_close(dict(made.weights(LAMBDA)), expected, msg="layers have parameters of their own")
    made.space.load_layers(layers)
    torch.testing.assert_close({name: value.detach() for name, value in made.weights(LAMBDA).items()}, changed)
    rates = {group["name"]: group["lr"] for layer in layers for group in layer.parameter_groups(0.1)}
    assert rates == {group["name"]: group["lr"] for group in made.space.parameter_groups(0.1)}


def test_spaces_with_a_penalty_or_that_freeze_are_not_split() -> None:
    for options in (LowRank(orthogonal=0.1), LowRank(freeze_after=0.5)):
        space = model("linear", options).space
        assert isinstance(space, ShardableSpace)
        assert space.split_by_layer([["0.weight"], ["0.bias", "2.weight", "2.bias"]]) is None
