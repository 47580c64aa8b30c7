"""Networks with problems in the shape of real ones, ready to train: what cases are made of.

Nothing here is newer than commit 93847ec: `versions` measures checkouts as old as that with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen
from torch import Tensor

from moframework.backbones.base import Backbone
from moframework.config import build
from moframework.problem import Problem
from moframework.run.plan import Plan, plan
from moframework.spec import Spec
from tests.speed.synthetic import Classes, Dense, Torques

__all__ = ["NETS", "Net", "batch_of", "planned"]


@frozen(kw_only=True)
class Net:
    """A network with a problem of two tasks in the shape of a real one."""

    backbone: dict[str, Any]
    problem: Callable[..., Problem]
    shape: tuple[int, ...]
    batch: int
    palora: float
    """Limits of a step at one preference."""
    pamal: float
    evaluated: int = 4
    """Batches of an evaluation."""
    convolves: bool = True
    by_hand: bool = True
    """Whether only linear and convolution layers have adapters."""
    training: dict[str, Any] = field(factory=dict)

    def build(self, samples: int | None = None, **options: Any) -> Problem:
        backbone = build(Backbone, self.backbone)  # type: ignore[type-abstract]
        return self.problem(backbone_=backbone, shape=self.shape, samples=samples or self.batch, **options)

    def planned(
        self, solver: str | Mapping[str, Any], training: Mapping[str, Any] | None = None, **options: Any
    ) -> Plan:
        chosen = {"batch_size": self.batch, **self.training, **(training or {})}
        return planned(self.build(**options), solver, chosen)


def _two(kind: Callable[..., Problem]) -> Callable[..., Problem]:
    return lambda **options: kind(**{"m": 2, **options})


NETS = {
    "lenet": Net(
        backbone={"name": "lenet"}, problem=Classes, shape=(1, 28, 28), batch=256, palora=1.10, pamal=1.15
    ),
    "mlp": Net(
        backbone={"name": "mlp", "hidden": [256, 256, 256]}, problem=_two(Torques), shape=(21,), batch=512,
        palora=1.10, pamal=1.15, convolves=False,
    ),
    "resnet18": Net(
        backbone={"name": "resnet", "depth": 18}, problem=Classes, shape=(3, 64, 64), batch=32, palora=1.05,
        pamal=1.10, evaluated=2,
    ),
    "segnet": Net(
        backbone={"name": "segnet"}, problem=_two(Dense), shape=(3, 128, 256), batch=2, palora=1.05, pamal=1.10,
        evaluated=1,
    ),
    "vit": Net(
        backbone={"name": "vit", "patch": 8, "width": 192, "depth": 6, "heads": 3}, problem=Classes,
        shape=(3, 64, 64), batch=32, palora=1.05, pamal=1.10, evaluated=2, convolves=False, by_hand=False,
    ),
}  # fmt: skip


def planned(problem: Problem, solver: str | Mapping[str, Any], training: Mapping[str, Any]) -> Plan:
    """A problem with a solver, ready to train, on the device and in the memory order that the engine chooses."""
    spec: Spec = build(
        Spec,
        {
            "problem": problem,
            "solver": solver,
            "training": {"steps": 10**9, "optimizer": {"name": "adam", "lr": 1e-4}, **training},
        },
    )
    ready = plan(spec)
    place = ready.place
    (place.move if hasattr(place, "move") else place.take)(ready.model)  # as older versions call it
    return ready


def batch_of(ready: Plan) -> tuple[Tensor, dict[str, Tensor]]:
    """The first `batch_size` samples, on the device."""
    size, device = ready.spec.training.batch_size, ready.place.device
    data = ready.data["train"]
    x, targets = data.inputs[:size], data.targets  # type: ignore[attr-defined]
    return x.to(device), {key: value[:size].to(device) for key, value in targets.items()}
