"""`Facts`: what is known of a model beside itself, and what an export says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from moframework.pareto.front import Front

__all__ = ["Facts"]


@frozen(kw_only=True)
class Facts:
    """What a model card tells beside the model.

    Attributes:
        name: what the model is called, such as that of its run folder.
        provenance: where it is from, plain data by key.
        fronts: its evaluated fronts, by split.
        metrics: losses and metrics at the exported preference, by split and column.
        choice: how that preference was chosen: its `rule`, the `conditions`, the `split` that decided, and which of
            them are `not_so_on_test`; None where it was given.
        notes: what is worth knowing, a sentence each.
    """

    name: str = "model"
    provenance: Mapping[str, Any] = field(factory=dict)
    fronts: Mapping[str, Front] = field(factory=dict)
    metrics: Mapping[str, Mapping[str, float]] = field(factory=dict)
    choice: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
