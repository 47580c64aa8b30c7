"""Solvers that each break one claim."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from moframework.config import config, option
from moframework.errors import SpecError
from moframework.objectives.linear import Linear
from moframework.preferences import Schedule
from moframework.solvers.base import Method, Solver
from moframework.weights import WeightSpace, WeightSpaceConfig

Fault = Literal["none", "noisy", "unsaved", "groupless", "twice", "frozen", "infinite"]


class Sum(WeightSpace):
    """θ(λ) = Σ λ_t θ_t, with a fault if asked for."""

    def __init__(self, networks: list[nn.Module], fault: Fault) -> None:
        super().__init__()
        self.fault = fault
        self.names = [name for name, _ in networks[0].named_parameters()]
        self.members = nn.ModuleList(
            nn.ParameterList(nn.Parameter(p.detach().clone()) for p in network.parameters()) for network in networks
        )
        self.hidden = torch.rand(()) if fault == "unsaved" else torch.zeros(())

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        rows = zip(*(member.parameters() for member in self.members), strict=True)
        shift = torch.rand(()) if self.fault == "noisy" else self.hidden
        shift = torch.tensor(float("nan")) if self.fault == "infinite" else shift
        return {
            name: sum(w * p for w, p in zip(preference.unbind(), row, strict=True)) + shift  # type: ignore[misc]
            for name, row in zip(self.names, rows, strict=True)
        }

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        params = list(self.parameters())
        if self.fault == "groupless":
            params = params[1:]
        if self.fault == "frozen":
            lr = 0.0
        groups = [{"name": "members", "params": params, "lr": lr}]
        return groups * 2 if self.fault == "twice" else groups


@config
class SumConfig(WeightSpaceConfig):
    fault: str = option("none", help="what is wrong")

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        return Sum([make() for _ in range(m)], self.fault)  # type: ignore[arg-type]


@config
class Counting(Schedule):
    """Not pure: each call moves on."""

    calls: ClassVar[list[int]] = []

    def natural_count(self, m: int) -> int:
        return 2

    def draw(self, progress: float, count: int, m: int, generator: Generator) -> Tensor:
        self.calls.append(1)
        return torch.softmax(torch.arange(count * m).reshape(count, m) * (len(self.calls) % 7 - 3.0), dim=1)


@config
class Even(Schedule):
    def natural_count(self, m: int) -> int:
        return 2

    def draw(self, progress: float, count: int, m: int, generator: Generator) -> Tensor:
        return torch.full((count, m), 1 / m)


@config
class Faulty(Solver):
    fault: str = option("none", help="what is wrong")
    counting: bool = option(False, help="with the schedule that is not pure")

    def method(self, m: int) -> Method:
        if self.fault == "silent":
            raise SpecError("no")
        return Method(
            weights=SumConfig(fault=self.fault), preferences=Counting() if self.counting else Even(), objective=Linear()
        )


@config
class Boastful(Solver):
    """Says it is finite, but is not."""

    continuous: ClassVar[bool] = False

    def method(self, m: int) -> Method:
        return Method(weights=SumConfig(), preferences=Even(), objective=Linear())


@config
class Demanding(Solver):
    size: int = option(help="no default")

    def method(self, m: int) -> Method:
        raise SpecError(f"solver.size: {self.size} networks cannot cover {m} tasks; use at least {m}")
