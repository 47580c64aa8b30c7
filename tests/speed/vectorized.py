"""Would several trainings of one shape, such as the seeds of a benchmark, be faster as one vectorized training?

python -m tests.speed.vectorized             # about two minutes

A step of K plain networks in torch alone, so nothing of the framework is in the way: one after the other, and as one
step over stacked weights (`torch.func.vmap`), each with batches of its own. Both end at the same weights to rounding,
which is looked at before anything is timed. Processor time, in turn.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.speed.timing import alternate

MEMBERS = (2, 4, 8)
RATE = 1e-3


class Two(nn.Module):
    """A trunk with two heads."""

    def __init__(self, trunk: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.trunk, self.left, self.right = trunk, nn.Linear(features, classes), nn.Linear(features, classes)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        found = self.trunk(inputs)
        return self.left(found), self.right(found)


def lenet() -> Two:
    """LeNet on digits of 28 × 28."""
    convolutions = [nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU()]
    return Two(nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(320, 50), nn.ReLU()), 50, 10)


def mlp() -> Two:
    """A network for the 88 columns of Adult."""
    return Two(nn.Sequential(nn.Linear(88, 60), nn.ReLU(), nn.Linear(60, 25), nn.ReLU()), 25, 2)


CASES: dict[str, tuple[Callable[[], Two], tuple[int, ...], int]] = {
    "LeNet, batch 128": (lenet, (128, 1, 28, 28), 10),
    "LeNet, batch 32": (lenet, (32, 1, 28, 28), 10),
    "MLP of a table, batch 256": (mlp, (256, 88), 2),
    "MLP of a table, batch 32": (mlp, (32, 88), 2),
}


def _loss(outputs: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
    return sum((nn.functional.cross_entropy(one, targets) for one in outputs), torch.zeros(()))


def separate(networks: list[Two], data: list[tuple[Tensor, Tensor]]) -> Callable[[], None]:
    """A step of each, one after the other."""
    optimizers = [torch.optim.Adam(network.parameters(), lr=RATE, fused=True) for network in networks]

    def step() -> None:
        for network, optimizer, (inputs, targets) in zip(networks, optimizers, data, strict=True):
            optimizer.zero_grad()
            torch.autograd.backward(_loss(network(inputs), targets))
            optimizer.step()

    return step


def together(networks: list[Two], data: list[tuple[Tensor, Tensor]]) -> tuple[Callable[[], None], dict[str, Tensor]]:
    """The same as one step over stacked weights, and these."""
    names = [name for name, _ in networks[0].named_parameters()]
    stacked = {n: torch.stack([x.get_parameter(n).detach() for x in networks]).requires_grad_() for n in names}
    optimizer = torch.optim.Adam(stacked.values(), lr=RATE, fused=True)
    inputs, targets = (torch.stack(part) for part in zip(*data, strict=True))

    def loss(weights: dict[str, Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        return _loss(torch.func.functional_call(networks[0], weights, (inputs,)), targets)

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(torch.func.vmap(loss)(stacked, inputs, targets).sum())
        optimizer.step()

    return step, stacked


def made(case: str, members: int) -> tuple[list[Two], list[tuple[Tensor, Tensor]]]:
    """Networks and batches, the same at every call."""
    torch.manual_seed(0)
    build, shape, classes = CASES[case]
    networks = [build() for _ in range(members)]
    return networks, [(torch.randn(shape), torch.randint(classes, (shape[0],))) for _ in networks]


def main() -> None:
    """Print a table of ratios."""
    torch.set_num_threads(1)
    print("| network | trainings | one vectorized over all one by one | ms one by one |\n|---|---|---|---|")
    for case, members in itertools.product(CASES, MEMBERS):
        networks, data = made(case, members)
        one_by_one, (at_once, stacked) = separate(networks, data), together(*made(case, members))
        for _ in range(5):
            one_by_one()
            at_once()
        for name, weights in stacked.items():
            torch.testing.assert_close(
                weights, torch.stack([x.get_parameter(name) for x in networks]), atol=1e-4, rtol=0
            )
        found = alternate(
            {"one by one": one_by_one, "at once": at_once}, rounds=9, least_seconds=0.3, clock="processor"
        )
        ratio, seconds = found["at once"].ratio, found["one by one"].seconds
        print(f"| {case} | {members} | {ratio:.2f} | {seconds * 1e3:.2f} |", flush=True)


if __name__ == "__main__":
    main()
