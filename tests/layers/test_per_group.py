"""Weights of each piece of a batch: what a layer makes of them is what it makes of each piece with its own weight."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from moframework.layers.per_group import ByPiece, Mixtures, NormalizedByPiece
from torch import Tensor, nn
from torch.nn import functional as F

from moframework.layers import low_rank as activation_space
from moframework.layers import per_group as module
from moframework.weights.low_rank import LowRank, LowRankSpace

IN, OUT, INNER = 5, 4, 3


@pytest.fixture(params=[True, False], ids=["at once", "merged"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whichever way a layer takes."""
    for name in ("linear_pays", "conv2d_pays"):
        monkeypatch.setattr(activation_space, name, lambda *arguments: request.param)
    return bool(request.param)


def parts_of(*sizes: int) -> tuple[list[Tensor], Mixtures]:
    """A matrix and a batch that is made of pieces: base, b, a, and the mixtures."""
    parts = [torch.randn(OUT, IN), torch.randn(OUT, INNER), torch.randn(INNER, IN)]
    return [part.requires_grad_() for part in parts], Mixtures(torch.rand(len(sizes), INNER), sizes)


def piece_by_piece(x: Tensor, parts: list[Tensor], mixtures: Mixtures, bias: Tensor | None) -> Tensor:
    base, b, a = parts
    pieces = zip(torch.split(x, list(mixtures.sizes)), mixtures.rows, strict=True)
    return torch.cat([F.linear(piece, base + (b * row) @ a, bias) for piece, row in pieces])


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("between", [(), (3,), (2, 3), (0,)], ids=str)
def test_a_linear_layer_uses_the_weight_of_each_piece(between: tuple[int, ...], bias: bool) -> None:
    parts, mixtures = parts_of(3, 1, 0, 2)
    x = torch.randn(6, *between, IN, requires_grad=True)
    shift = torch.randn(OUT, requires_grad=True) if bias else None
    inputs = [x, *parts, *([] if shift is None else [shift])]
    found = F.linear(x, ByPiece(*parts, mixtures), shift)
    expected = piece_by_piece(x, parts, mixtures, shift)
    direction = torch.randn_like(expected)
    assert type(found) is Tensor
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, inputs, direction), torch.autograd.grad(expected, inputs, direction)
    )


def test_gradients_are_those_of_finite_differences() -> None:
    parts, mixtures = parts_of(2, 3)
    inputs = [torch.randn(5, IN), *(part.detach() for part in parts), torch.randn(OUT)]
    exact = [value.double().requires_grad_() for value in inputs]
    mixtures = Mixtures(mixtures.rows.double(), mixtures.sizes)

    def run(x: Tensor, base: Tensor, b: Tensor, a: Tensor, bias: Tensor) -> Tensor:
        return F.linear(x, ByPiece(base, b, a, mixtures), bias)

    assert torch.autograd.gradcheck(run, exact)


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 4), (6,)),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3, padding=1), (3, 7)),
    "conv2d": (lambda: nn.Conv2d(6, 4, 3, stride=2, padding=1), (6, 5, 6)),
    "conv2d, no bias": (lambda: nn.Conv2d(3, 4, 3, dilation=2, bias=False), (3, 7, 6)),
    "conv2d by name": (lambda: nn.Conv2d(3, 4, 3, padding="same"), (3, 7, 6)),
    "conv2d in groups": (lambda: nn.Conv2d(4, 4, 3, groups=2), (4, 7, 6)),
    "conv2d, reflected": (lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), (3, 7, 6)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), (2, 3, 4, 3)),
    "transposed 1d": (lambda: nn.ConvTranspose1d(3, 4, 3), (3, 5)),
    "transposed 2d": (lambda: nn.ConvTranspose2d(3, 4, 2, stride=2), (3, 4, 4)),
    "transposed 3d": (lambda: nn.ConvTranspose3d(2, 2, 2), (2, 3, 3, 3)),
    "embedding": (lambda: nn.Embedding(7, 4, padding_idx=0), (3,)),
}


def of_layer(layer: nn.Module, conv: str) -> LowRankSpace:
    space = LowRank(rank=2, alpha=3.0, conv=conv).build(lambda: layer, 3, None)  # type: ignore[arg-type]
    assert isinstance(space, LowRankSpace)
    with torch.no_grad():
        for b in space.b:
            b.normal_()
    return space


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("conv", ["loralib", "peft", "separable"])
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_does_what_it_does_piece_by_piece(
    name: str, conv: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kept:
        monkeypatch.setattr(module, "_KEPT_BYTES", 0)
    make, shape = LAYERS[name]
    layer, sizes = make(), (2, 3, 1)
    space, preferences = of_layer(layer, conv), torch.rand(3, 3)
    x = torch.randint(7, (6, *shape)) if name == "embedding" else torch.randn(6, *shape, requires_grad=True)
    parameters = [*space.parameters(), *([] if name == "embedding" else [x])]
    theta = space.weights_by_piece(preferences, sizes)
    found = called(layer, theta, x)
    pieces = zip(space.weights_of(preferences), torch.split(x, list(sizes)), strict=True)
    expected = torch.cat([called(layer, own, piece) for own, piece in pieces])
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(found, expected, **close)
    torch.testing.assert_close(
        torch.autograd.grad(found.sin().sum(), parameters),
        torch.autograd.grad(expected.sin().sum(), parameters),
        **close,
    )


def called(layer: nn.Module, theta: dict[str, Tensor], *inputs: Tensor) -> Tensor:
    """What a layer makes with other weights in place."""
    other = copy.deepcopy(layer)
    for name, value in theta.items():
        prefix, _, key = name.rpartition(".")
        other.get_submodule(prefix)._parameters[key] = value  # type: ignore[assignment]
    result = other(*inputs)
    found: Tensor = result[0] if isinstance(result, tuple) else result
    return found


@pytest.mark.parametrize("others", [None, 6], ids=["to itself", "other keys"])
def test_attention_of_each_piece(others: int | None) -> None:
    layer, sizes = nn.MultiheadAttention(4, 2, batch_first=True, kdim=others, vdim=others), (2, 1, 3)
    space, preferences = of_layer(layer, "loralib"), torch.rand(3, 3)
    x, y = torch.randn(6, 5, 4), torch.randn(6, 3, others or 4)
    reads = (x, x, x) if others is None else (x, y, y)
    found = called(layer, space.weights_by_piece(preferences, sizes), *reads)
    split = [torch.split(read, list(sizes)) for read in reads]
    expected = torch.cat(
        [
            called(layer, own, split[0][j], *([split[0][j]] * 2 if others is None else [split[1][j], split[2][j]]))
            for j, own in enumerate(space.weights_of(preferences))
        ]
    )
    torch.testing.assert_close(found, expected)
    parameters = list(space.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(found.sin().sum(), parameters), torch.autograd.grad(expected.sin().sum(), parameters)
    )


def test_attention_with_a_mask_of_samples_is_refused() -> None:
    layer = nn.MultiheadAttention(4, 2, batch_first=True)
    theta = of_layer(layer, "loralib").weights_by_piece(torch.rand(2, 3), (1, 2))
    for name, value in theta.items():
        prefix, _, key = name.rpartition(".")
        layer.get_submodule(prefix)._parameters[key] = value  # type: ignore[assignment]
    x = torch.randn(3, 5, 4)
    with pytest.raises(NotImplementedError, match="can only be used by a layer"):
        layer(x, x, x, key_padding_mask=torch.zeros(3, 5, dtype=torch.bool))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("frozen", range(4))
def test_what_is_frozen_gets_no_gradient(frozen: int) -> None:
    parts, mixtures = parts_of(2, 2)
    inputs = [torch.randn(4, IN, requires_grad=True), *parts]
    inputs[frozen].requires_grad_(False)
    F.linear(inputs[0], ByPiece(*parts, mixtures)).sum().backward()
    assert [value.grad is None for value in inputs] == [i == frozen for i in range(4)]


@pytest.mark.usefixtures("way")
def test_an_activation_may_work_in_place() -> None:
    parts, mixtures = parts_of(2, 2)
    x = torch.randn(4, 3, IN)
    for each in (x, x[:, 0]):
        found = F.relu(F.linear(each, ByPiece(*parts, mixtures)), inplace=True)
        expected = piece_by_piece(each, parts, mixtures, None).relu()
        torch.testing.assert_close(torch.autograd.grad(found.sum(), parts), torch.autograd.grad(expected.sum(), parts))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_has_the_precision_it_asks_for(dtype: torch.dtype) -> None:
    parts, mixtures = parts_of(2, 2)
    x, bias = torch.randn(4, 3, IN), torch.randn(OUT)
    with torch.autocast("cpu", dtype):
        found = F.linear(x, ByPiece(*parts, mixtures), bias)
    assert found.dtype == dtype
    expected = piece_by_piece(x, parts, mixtures, bias)
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.1)
    gradients = torch.autograd.grad(found.float().sum(), parts)
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
    torch.testing.assert_close(gradients, torch.autograd.grad(expected.sum(), parts), rtol=0.05, atol=0.2)


def test_what_is_known_without_a_weight() -> None:
    parts, mixtures = parts_of(2)
    weight = ByPiece(*parts, mixtures)
    assert (weight.shape, weight.dim(), weight.size(1), len(weight)) == ((OUT, IN), 2, IN, OUT)
    assert (weight.dtype, weight.device.type) == (torch.float32, "cpu")


OTHERS: dict[str, Callable[[Tensor], object]] = {
    "add": lambda weight: weight + 1,
    "compared": lambda weight: weight == weight,
    "added": lambda weight: torch.zeros(OUT, IN) + weight,
    "norm": lambda weight: weight.norm(),
    "mm": lambda weight: torch.mm(torch.randn(2, OUT), weight),
    "transposed": lambda weight: weight.t(),
    "bilinear": lambda weight: F.bilinear(torch.randn(2, 3), torch.randn(2, IN), weight),
    "the input of a layer": lambda weight: F.linear(weight, torch.randn(2, IN)),
    "the input and the weight": lambda weight: F.linear(weight, weight),
    "the weight and the bias": lambda weight: F.linear(torch.randn(2, IN), weight, weight),
    "by name": lambda weight: F.linear(torch.randn(2, IN), weight=weight),
    "one sample": lambda weight: F.linear(torch.randn(IN), weight),
    "copied": lambda weight: torch.zeros(OUT, IN).copy_(weight),
    "in a list": lambda weight: torch.cat([weight, weight]),
    "read": lambda weight: weight.tolist(),
    "detached": lambda weight: weight.detach(),
    "below torch's functions": lambda weight: torch.ops.aten.mul.Tensor(weight, 2),
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_use_is_refused(name: str) -> None:
    parts, mixtures = parts_of(2)
    with pytest.raises(NotImplementedError, match="can only be used by a layer"):
        OTHERS[name](ByPiece(*parts, mixtures))


@pytest.mark.parametrize("shape", [(3, IN), (2, 4, IN)], ids=str)
def test_an_input_of_other_samples_is_refused(shape: tuple[int, ...]) -> None:
    parts, mixtures = parts_of(2, 2)
    with pytest.raises(ValueError, match="a weight of 4 samples is applied to an input"):
        F.linear(torch.randn(shape), ByPiece(*parts, mixtures))


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(3), nn.BatchNorm2d(3), nn.BatchNorm2d(3, track_running_stats=False)])
def test_a_norm_normalizes_each_piece_by_itself(norm: nn.Module) -> None:
    other, sizes = copy.deepcopy(norm), (3, 2)
    x = torch.randn(5, 3, *([4, 2] if isinstance(norm, nn.BatchNorm2d) else [4]), requires_grad=True)
    expected = torch.cat([other(piece) for piece in torch.split(x, list(sizes))])
    wanted = torch.autograd.grad(expected.sin().sum(), [x, other.weight, other.bias])
    weight = norm.weight
    assert isinstance(weight, nn.Parameter)
    norm._parameters["weight"] = NormalizedByPiece(weight, sizes)  # type: ignore[assignment]
    found = norm(x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found.sin().sum(), [x, weight, norm.bias]), wanted)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(norm, name), getattr(other, name))
    assert torch.equal(norm.weight + 0, weight)
    with pytest.raises(ValueError, match="a weight of 5 samples is applied to an input"):
        norm(x[:4])


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("sizes", [(4, 4), (3, 2), (1, 0), (5,)], ids=str)
def test_a_low_rank_space_gives_each_piece_its_preference(sizes: tuple[int, ...]) -> None:
    network = nn.Sequential(nn.Linear(IN, 6), nn.Tanh(), nn.Linear(6, OUT, bias=False))
    space = of_layer(network, "loralib")
    preferences = torch.rand(len(sizes), 3)
    x = torch.randn(sum(sizes), IN)
    theta = space.weights_by_piece(preferences, sizes)
    assert [name for name, value in theta.items() if isinstance(value, ByPiece)] == ["0.weight", "2.weight"]
    thetas = space.weights_of(preferences)
    assert list(theta) == list(thetas[0])
    found = called(network, theta, x)
    pieces = zip(torch.split(x, list(sizes)), thetas, strict=True)
    expected = torch.cat([called(network, each, piece) for piece, each in pieces])
    torch.testing.assert_close(found, expected)
    parameters = list(space.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(found.sin().sum(), parameters), torch.autograd.grad(expected.sin().sum(), parameters)
    )
