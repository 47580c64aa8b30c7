"""The network that reads the preference with its input."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from moframework.backbones.lenet import LeNet
from moframework.errors import SpecError
from moframework.layers.shared_concat import SharedConcat
from moframework.weights.conditioned import Conditioned, ConditionedNetwork, ConditionedSpace


class Recorder(nn.Module):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return x * self.scale


def network(shape: tuple[int, ...], m: int = 2) -> tuple[ConditionedNetwork, list[tuple[int, ...]]]:
    asked: list[tuple[int, ...]] = []

    def backbone(given: tuple[int, ...]) -> nn.Module:
        asked.append(given)
        return Recorder()

    made = Conditioned().network(backbone, shape, m)
    assert isinstance(made, ConditionedNetwork)
    made.preference.copy_(torch.tensor([0.25, 0.75]))
    return made, asked


def test_vectors_are_lengthened_by_the_preference() -> None:
    made, asked = network((3,))
    x = torch.randn(4, 3)
    assert torch.equal(made(x), torch.cat([x, torch.tensor([0.25, 0.75]).expand(4, 2)], dim=1))
    assert asked == [(5,)]


def test_images_get_channels_from_two_transposed_convolutions() -> None:
    made, asked = network((3, 20, 14))
    x = torch.randn(4, 3, 20, 14)
    result = made(x)
    assert asked == [(5, 20, 14)]
    assert torch.equal(result[:, :3], x)
    assert made.enlarge is not None
    maps = made.enlarge(torch.tensor([0.25, 0.75]).view(1, 2, 1, 1))
    assert maps.shape == (1, 2, 10, 10)
    torch.testing.assert_close(result[:1, 3:, ::2, 7], maps[:, :, :, 5])
    assert torch.equal(result[0, 3:], result[3, 3:])
    assert sum(p.numel() for p in made.enlarge.parameters()) == 52 * 4


@pytest.mark.parametrize("channels", [1, 3])
def test_images_keep_their_memory_order(channels: int) -> None:
    made, _ = network((channels, 8, 8))
    x = torch.randn(4, channels, 8, 8)
    assert made(x).is_contiguous()
    arranged = x.contiguous(memory_format=torch.channels_last)
    if channels == 1:  # as `Placement.arranged` writes the strides of one channel
        arranged = x.as_strided(x.shape, (64, 1, 8, 1))
    assert made.joined(arranged).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", [(3,), (3, 20, 14)], ids=str)
def test_a_first_layer_need_not_see_the_concatenation(shape: tuple[int, ...]) -> None:
    """In training, and where it is asked for; what it stands for is the same, with the same gradients."""
    made, _ = network(shape)
    assert isinstance(made.network, Recorder)
    x, seen = torch.randn(4, *shape), made.network.seen
    for lazy, training in ((False, True), (True, False), (True, True)):
        made.lazy = lazy
        made.train(training)(x)
        assert isinstance(seen[-1], SharedConcat) is (lazy and training)
    assert isinstance(seen[-1], SharedConcat)
    torch.testing.assert_close(seen[-1].materialize(), seen[0])
    leaves = [p for p in made.parameters() if p is not made.network.scale]
    if leaves:
        found = [torch.autograd.grad(value.sin().sum(), leaves) for value in (seen[-1] * 1, seen[0])]
        torch.testing.assert_close(found[0], found[1])


def test_the_preference_is_what_depends_on_the_preference() -> None:
    def make() -> nn.Module:
        return Conditioned().network(lambda shape: LeNet().build(shape, {"left": 10, "right": 10}), (1, 28, 28), 2)

    made = Conditioned().build(make, 2, None)
    assert isinstance(made, ConditionedSpace)
    one, other = (made.weights(torch.tensor(row)) for row in ([0.2, 0.8], [0.6, 0.4]))
    assert {name for name in one if one[name] is not other[name]} == {"preference"}
    assert torch.equal(other["preference"], torch.tensor([0.6, 0.4]))
    # two more input channels of ten 5×5 kernels, and the transposed convolutions
    assert sum(p.numel() for p in made.parameters()) == 27450 + 2 * 10 * 25 + 52 * 4


@pytest.mark.parametrize(
    ("shape", "backbone", "words"),
    [
        ((), lambda shape: nn.Linear(1, 1), r"vectors \(n,\) or images .* inputs are \(\)"),
        ((3, 8), lambda shape: nn.Linear(8, 1), r"inputs are \(3, 8\)"),
        ((5,), lambda shape: nn.Sequential(nn.Embedding(7, 2)), "does not take its input with the preference joined"),
        ((5,), lambda shape: nn.Linear(5, 2), "does not take its input"),
    ],
)
def test_what_cannot_be_joined_is_refused(
    shape: tuple[int, ...], backbone: Callable[[tuple[int, ...]], nn.Module], words: str
) -> None:
    with pytest.raises(SpecError, match=words):
        Conditioned().build(lambda: Conditioned().network(backbone, shape, 2), 2, None)


def test_a_network_that_ignores_its_input_is_refused() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.x = nn.Parameter(torch.zeros(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.x.expand(len(x), -1)

    with pytest.raises(SpecError, match="does not read its input"):
        Conditioned().build(lambda: Conditioned().network(lambda _: Constant(), (1,), 2), 2, None)
