"""One pass through the network for all groups of a batch that is divided among preferences.

Only a layer that has another weight for each group sees groups: it merges a weight for each, or applies all adapters at
once to what it reads, each sample with the f of its preference, as costs less (`layers.lazy_weight`). BatchNorm
normalizes group by group. So it is where the space has low-rank adapters, and the network is known to mix no samples.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from moframework.engine.acceleration.base import Acceleration
from moframework.engine.settings import Training
from moframework.engine.step import Batch, Step
from moframework.layers.lazy_weight import Apply, chosen
from moframework.layers.low_rank import Adapted
from moframework.layers.merge import merged_by_node
from moframework.layers.rematerialized import rematerializing
from moframework.losses import group_sums
from moframework.model.sample_mixing import attention_of, convolves, mixing, returned
from moframework.weights.low_rank import AdapterSpace

__all__ = ["SinglePass"]

# Nanoseconds on a CPU, forward and backward: of a number that a layer returns, for putting the groups of its result
# together; of a module for one pass more, and of an element of the weights for merging and reading it once more. By
# them LeNet (batch 256) takes groups up to M = 4 (1.08 of a step at one preference against 1.17) and one pass for M = 8
# (1.24 against 1.27); ResNet-18 (batch 32) always one pass (M = 2 to 8: 1.11 to 1.24 against 1.26 to 2.80).
_COPY, _MODULE, _ELEMENT = 1.5, 40e3, 7.5


# Merged weights of all groups that take more than this are made again in the backward pass.
_KEPT_BYTES = 16 * 2**20


class SinglePass(Acceleration):
    """From preferences to losses in one pass over a divided batch."""

    does: ClassVar[str] = "a divided batch goes through the network in one pass"
    joins = True

    @classmethod
    def declines(cls, step: Step, training: Training) -> str | None:
        preferences, m = step.method.preferences, len(step.tasks)
        if preferences.batch != "split" or preferences.count(m) == 1:
            return "no batch is divided among preferences"
        if step.per_task:
            return "gradients of single tasks are needed, preference by preference"
        if step.method.objective.separable and len(step.objective_states):
            return "the objective has a state for each preference"
        if training.recompute or training.compile:
            return f"training.{'recompute' if training.recompute else 'compile'} has a way of its own"
        if training.accumulate > 1:
            return "training.accumulate divides what each preference sees"
        if not isinstance(step.model.space, AdapterSpace):
            return "the weight space has no adapters"
        if not step.model.space.by_task:
            return "its adapters have other factors for each preference"
        if step.partition.shards_batch and step.model.norms():
            return "BatchNorm layers normalize by what each of several processes has"
        return mixing(step.model, (adapter.name for adapter in step.model.space.adapted))

    def __init__(self, step: Step, training: Training) -> None:
        assert isinstance(step.model.space, AdapterSpace), "asked before"
        self.step, self.model, self.space = step, step.model, step.model.space
        skeleton, self.norms = self.model.skeleton, list(self.model.norms().values())
        # Layers with weights of their own for each group, and where these go; attention has several.
        inside = {id(part): own for own in attention_of(skeleton) for part in own.modules()}
        self.layers: dict[nn.Module, list[tuple[nn.Module, str, str]]] = {}
        for adapter in self.space.adapted:
            for module, key in self.model.network.owners(adapter.name):
                self.layers.setdefault(inside.get(id(module), module), []).append((module, key, adapter.name))
        self._ways: dict[Any, Apply | None] = {}
        self._convolves = convolves(skeleton)
        leaves = sum(1 for module in skeleton.modules() if next(module.children(), None) is None)
        self._pass = leaves * _MODULE + sum(value.numel() for value in self.space.parameters()) * _ELEMENT
        # Processes must go the same way, though their shares of a batch may differ by a sample.
        self._always = step.place.device.type != "cpu" or step.partition.shared
        step.forwards.append(self)

    def takes(self, batch: Batch) -> bool:
        """Whether one pass over such a batch costs a CPU less than a pass for each group. It depends on shapes alone,
        so that a training that is resumed goes on the same way. Networks known to treat samples one by one read one
        tensor."""
        if not isinstance(batch.x, Tensor):
            return False
        if batch.count == 1 or self._always or not self._convolves:
            return batch.count > 1
        return len(batch.x) * returned(self.model, batch.x[:1]) * _COPY < (batch.count - 1) * self._pass

    def __call__(self, preferences: Tensor, batch: Batch, rows: range) -> Tensor:
        x, targets = batch.x, batch.targets
        sizes = [len(group) for group in x.tensor_split(batch.count)]
        if len(rows) < batch.count:
            start, stop = sum(sizes[: rows.start]), sum(sizes[: rows.stop])
            x, targets = x[start:stop], {key: value[start:stop] for key, value in targets.items()}
            sizes = sizes[rows.start : rows.stop]
        given = self.step.given(self.outputs(preferences, sizes, x), targets)
        if not self.step.partition.shards_batch:
            losses = [loss.per_group(output, target, sizes) for loss, output, target in given]
        else:
            sums = [group_sums(loss.statistics(output, target), sizes) for loss, output, target in given]
            totals = self.step.partition.reduce_statistics(sums)
            losses = [loss.finish(total) for loss, total in zip(self.step.minimized, totals, strict=True)]
        return torch.stack(losses, dim=1)

    def outputs(self, preferences: Tensor, sizes: Sequence[int], x: Tensor) -> dict[str, Tensor]:
        """What the network makes of consecutive groups of samples, each of them with the weights of its preference."""
        theta: dict[str, Any] = self.space.unadapted()
        adapted: dict[str, tuple[Adapted, Tensor]] = {}
        spread: dict[int, Tensor] = {}
        for adapter, base, b, a, rows in self.space.adapters(preferences):
            if id(rows) not in spread:
                columns = torch.split(rows.t(), 1, dim=1)
                spread[id(rows)] = torch.cat([c.expand(-1, n) for c, n in zip(columns, sizes, strict=True)], dim=1)
            adapted[adapter.name] = Adapted(base, b, a, spread[id(rows)], adapter.order), rows
            theta[adapter.name] = None  # no other module reads it
        forwards: dict[nn.Module, Callable[..., Any]] = {}
        for layer, slots in self.layers.items():
            own = [(module._parameters, key, *adapted[name]) for module, key, name in slots]
            attends = isinstance(layer, nn.MultiheadAttention)
            forwards[layer] = partial(_attention if attends else self._forward, layer, own, sizes)
        forwards.update({norm: partial(_normalized, norm, sizes) for norm in self.norms})
        for module, forward in forwards.items():
            vars(module)["forward"] = forward
        try:
            return self.step.outputs(theta, x)
        finally:
            for module in forwards:
                del vars(module)["forward"]

    def _forward(self, layer: nn.Module, slots: list[Any], sizes: Sequence[int], x: Tensor) -> Tensor:
        """What a layer with one adapted weight makes of all groups."""
        ((_, _, adapted, _),) = slots
        kind = layer, x.shape, len(sizes)
        if kind not in self._ways:
            self._ways[kind] = _way(layer, x, adapted, len(sizes) - 1)
        apply = self._ways[kind]
        if apply is not None:
            return apply(x, layer._parameters["bias"], adapted)
        groups = torch.split(x, list(sizes))
        return torch.cat(_by_group(slots, len(sizes), lambda j: type(layer).forward(layer, groups[j])))


def _way(layer: nn.Module, x: Tensor, adapted: Adapted, further: int) -> Apply | None:
    """How a layer applies its adapters without merging them; None where merging costs less."""
    if isinstance(layer, nn.Linear):
        return chosen(functional.linear, (x, None), {}, adapted, further)
    if isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros":
        how = layer.stride, layer.padding, layer.dilation, layer.groups
        return chosen(functional.conv2d, (x, None, None, *how), {}, adapted, further)
    return None


def _attention(
    layer: nn.Module, slots: list[Any], sizes: Sequence[int], *reads: Tensor, **options: Any
) -> tuple[Tensor, Tensor | None]:
    """What attention makes of all groups of its query, key and value, without masks."""
    # What is one tensor stays one: attention of a sequence to itself projects it once.
    groups = {id(read): torch.split(read, list(sizes)) for read in reads}

    def attend(j: int) -> Any:
        return type(layer).forward(layer, *(groups[id(read)][j] for read in reads), **options)

    results = _by_group(slots, len(sizes), attend)
    maps = [attended for _, attended in results if attended is not None]
    return torch.cat([output for output, _ in results]), torch.cat(maps) if maps else None


def _normalized(layer: nn.Module, sizes: Sequence[int], x: Tensor) -> Tensor:
    """Normalization of each group by itself."""
    return torch.cat([type(layer).forward(layer, group) for group in torch.split(x, list(sizes))])


def _by_group(slots: list[Any], count: int, run: Callable[[int], Any]) -> list[Any]:
    """What `run` makes of each group, by its number, with the weights of the group in place."""
    sizes = [len(rows) * adapted.base.numel() * adapted.base.element_size() for _, _, adapted, rows in slots]
    kept = [_merged(slot) if size <= _KEPT_BYTES else () for slot, size in zip(slots, sizes, strict=True)]
    results = []
    for j in range(count):
        again = {str(k): partial(_merged, slot, slice(j, j + 1)) for k, slot in enumerate(slots) if not kept[k]}
        made = {k: make()[0] for k, make in again.items()}
        for k, (registry, key, _, _) in enumerate(slots):
            registry[key] = kept[k][j] if kept[k] else made[str(k)]
        with rematerializing(made, lambda k, again=again: again[k]()[0]) if made else contextlib.nullcontext():  # type: ignore[misc]
            results.append(run(j))
        made.clear()
        for registry, key, _, _ in slots:
            registry[key] = None  # never is the memory of two groups taken
    return results


def _merged(slot: Any, groups: slice = slice(None)) -> tuple[Tensor, ...]:
    """The weights of some groups."""
    _, _, adapted, rows = slot
    return merged_by_node(adapted.base, adapted.b, adapted.a, rows[groups], adapted.order)
