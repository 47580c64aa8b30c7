"""A batch with a preference for each sample, against a plain batch on the merged network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from moframework.model.mixed import grouped, groups_of
from tests.speed.contenders import Step
from tests.speed.nets import NETS, Net, batch_of
from tests.speed.solvers import palora

__all__ = ["MIXED", "mixed"]

_SAMPLES = 64
MIXED = {"lenet": 2.2, "mlp": 2.0, "resnet18": 2.2, "vit": 1.6}
"""By the network what a batch with 64 preferences may cost at most, in plain batches."""
_FACTORS = 1.6
"""The same of convolutions whose adapter's factors are convolutions."""
_HULL = 2.2
_SAME = 1.05


def mixed(name: str) -> Iterator[tuple[str, Step, float | None]]:
    """Names, what is called, and limits; first the plain batch.

    Args:
        name: of a network in `MIXED`.
    """
    net = NETS[name]
    solvers: dict[str, tuple[Mapping[str, Any], float]] = {"palora, r = 4": (palora(1, rank=4), MIXED[name])}
    if net.convolves:
        for conv in ("separable", "peft"):
            solvers[f"palora, r = 4, {conv}"] = palora(1, rank=4, conv=conv), _FACTORS
    solvers["pamal"] = {"name": "pamal", "preferences": {"name": "dirichlet", "per_batch": 1}}, _HULL
    for number, (solver, (options, limit)) in enumerate(solvers.items()):
        yield from _of(net, solver, options, limit, first=number == 0)


def _of(
    net: Net, solver: str, options: Mapping[str, Any], limit: float, first: bool
) -> Iterator[tuple[str, Step, float | None]]:
    torch.manual_seed(0)
    ready = net.planned(options, {"batch_size": _SAMPLES}, samples=_SAMPLES)
    model, x = ready.model.eval(), ready.place.arranged(batch_of(ready)[0])
    with torch.no_grad():
        for parameter in model.parameters():  # adapters start at zero
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
    share = torch.linspace(0, 1, _SAMPLES, device=x.device)
    rows, one = torch.stack([1 - share, share], dim=1), torch.tensor([0.25, 0.75])

    def called(network: nn.Module, *given: Any) -> Step:
        def run() -> object:
            with torch.no_grad():
                return network(x, *given)

        return run

    def by_group() -> object:
        with torch.no_grad():
            return grouped(model, x, rows, groups_of(rows))

    def merged() -> object:
        with torch.no_grad():
            model.kept.drop()
            return model(x, one)

    if first:
        yield "plain batch, merged network", called(model.at(one)), None
        yield "one preference, the same again", called(model, one), _SAME
        yield "one preference, merged anew", merged, None
        yield f"{_SAMPLES} preferences, one by one", by_group, None
    yield f"{_SAMPLES} preferences, {solver}", called(model, rows), limit
