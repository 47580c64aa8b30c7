"""Who holds the state of the optimizer: every rank all of it, or each its shard of every parameter's.

Sharded, each rank steps its shard of each parameter, as `Training.distributed` asks for, and the shards are gathered
after the step. For Adam that leaves two numbers a parameter (itself and its gradient) on every device and shards the
other two: ZeRO, stage 1 (Rajbhandari et al., SC 2020, arXiv 1910.02054).

A checkpoint holds the full state, as a single process has it, so any number of processes can go on with it, sharded or
not. Why torch's own `ZeroRedundancyOptimizer` and `checkpoint.state_dict` do not serve: docs/design/decisions.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from moframework.engine.settings import Training
from moframework.errors import SpecError
from moframework.optim import Optimizer
from moframework.processes.world import World

__all__ = ["PER_PARAMETER", "OptimizerSharding", "Sharded", "check_sharding", "make_sharding"]

Groups = list[dict[str, Any]]
State = dict[str, Any]

PER_PARAMETER = {"step", "mu_product", "eta", "mu"}
"""What torch's optimizers keep once a parameter; all else they keep for each of its numbers."""


class OptimizerSharding(ABC):
    """Lets an optimizer step this rank's shards of parameters, as plain tensors, by the parameters' averaged gradients.

    Its state is read and set in full, as a single process has it. All ranks must do so, and rank 0 may use it.

    Args:
        groups: the parameter groups of the model.
        shards: what the optimizer steps in place of each parameter, in their order.

    Attributes:
        parameters: the model's, in the order of the groups.
        groups: the parameter groups for the optimizer, of shards.
    """

    def __init__(self, groups: Groups, shards: Sequence[Tensor]) -> None:
        self.parameters: list[Tensor] = [p for group in groups for p in group["params"]]
        self.shards = shards
        rest = iter(shards)
        self.groups = [{**group, "params": [next(rest) for _ in group["params"]]} for group in groups]

    def build(self, options: Optimizer, device: torch.device) -> torch.optim.Optimizer:
        """The optimizer, over `groups`."""
        optimizer = options.build(self.groups, device)
        optimizer.register_step_pre_hook(self.before_step)
        optimizer.register_step_post_hook(self.after_step)
        optimizer.register_state_dict_post_hook(lambda _, state: self.full_state(state))
        optimizer.register_load_state_dict_pre_hook(lambda _, state: self.local_state(state))
        return optimizer

    @abstractmethod
    def part(self, gradient: Tensor, parameter: Tensor) -> Tensor:
        """This rank's part of a gradient; it may be a view."""

    @abstractmethod
    def full_state(self, state: State) -> State:
        """The optimizer's full state from that of this rank's shards."""

    @abstractmethod
    def local_state(self, state: State) -> State:
        """The state of this rank's shards from the full one."""

    def before_step(self, *_: Any) -> None:
        """Give the shards their gradients."""
        for parameter, shard in zip(self.parameters, self.shards, strict=True):
            if parameter.grad is not None:
                shard.grad = self.part(parameter.grad, parameter)

    def after_step(self, *_: Any) -> None:
        """Take them back: views would keep whole gradients alive."""
        for shard in self.shards:
            shard.grad = None


class Sharded(OptimizerSharding):
    """The optimizer steps this rank's shards, which are views of the parameters' own memory.

    A shard is a run of the parameter's numbers as they lie in memory, ⌈size / ranks⌉ long but for the last ones.
    """

    def __init__(self, groups: Groups, world: World) -> None:
        self.world = world
        parameters = [p for group in groups for p in group["params"]]
        super().__init__(groups, [nn.Parameter(self._shard(_flat(p)), p.requires_grad) for p in parameters])

    def part(self, gradient: Tensor, parameter: Tensor) -> Tensor:
        return self._shard(_flat(gradient, like=parameter))

    def after_step(self, *_: Any) -> None:
        """Gather the shards that were stepped, too."""
        super().after_step()
        by_type: dict[torch.dtype, list[tuple[Tensor, Tensor]]] = {}
        for parameter, shard in zip(self.parameters, self.shards, strict=True):
            if parameter.grad is not None:
                by_type.setdefault(parameter.dtype, []).append((_flat(parameter), shard.detach()))
        for pairs in by_type.values():
            full = self._all_gather([(shard, len(flat)) for flat, shard in pairs])
            torch._foreach_copy_([flat for flat, _ in pairs], full)

    def full_state(self, state: State) -> State:
        """See `OptimizerSharding.full_state`. Gathered tensor by tensor; only rank 0 keeps them."""
        full: dict[int, dict[str, Any]] = {index: {} for index in sorted(state["state"])}
        for index, entries in full.items():
            parameter = self.parameters[index]
            for key, value in state["state"][index].items():
                if _is_sharded(key, value):
                    value = self._all_gather([(value, parameter.numel())])[0]
                    value = _shaped(value, parameter).cpu() if self.world.is_rank_zero else None
                entries[key] = value
        return {**state, "state": full}

    def local_state(self, state: State) -> State:
        local = {
            index: {
                key: self.part(v, self.parameters[index]) if _is_sharded(key, v) else v for key, v in entries.items()
            }
            for index, entries in state["state"].items()
        }
        return {**state, "state": local}

    def _shard(self, flat: Tensor) -> Tensor:
        length = self._length(len(flat))
        start = min(self.world.rank * length, len(flat))
        return flat[start : start + length]

    def _length(self, count: int) -> int:
        return -(-count // self.world.size)

    def _all_gather(self, shards: list[tuple[Tensor, int]]) -> list[Tensor]:
        """Full flat tensors, of given counts, from this rank's shards of them; in one message."""
        lengths = [self._length(count) for _, count in shards]
        padded = [torch.cat([own, own.new_zeros(n - len(own))]) for (own, _), n in zip(shards, lengths, strict=True)]
        columns = torch.split(self.world.all_gather(torch.cat(padded)), lengths, dim=1)
        return [column.reshape(-1)[:count] for column, (_, count) in zip(columns, shards, strict=True)]


def make_sharding(groups: Groups, training: Training, world: World) -> OptimizerSharding | None:
    """How the state of the optimizer for parameter `groups` is sharded, where the parameters are not; None where it is
    not either. Raises as `check_sharding`."""
    if world.size == 1 or training.distributed.optimizer == "replicated":
        return None
    check_sharding(training)
    return Sharded(groups, world)


def check_sharding(training: Training) -> None:
    """Refuse a sharded optimizer that does not go together with other options.

    Raises:
        SpecError: which option, and what to use.
    """
    if training.distributed.parameters == "sharded":
        _check_parameters(training)
    elif training.distributed.optimizer == "replicated":
        return
    if any(group.optimizer is not None for group in training.parameter_groups):
        raise SpecError(
            "training.distributed.optimizer: parameter groups with an optimizer of their own cannot be sharded; use "
            "replicated, or one optimizer"
        )
    if not training.optimizer.elementwise:
        raise SpecError(
            "training.distributed.optimizer: this training.optimizer does not treat each number by itself, so it "
            "cannot be sharded; use replicated, or adam"
        )
    if training.precision == "fp16":
        raise SpecError(
            "training.distributed.optimizer: with precision fp16 each process would find other steps to be skipped; "
            "use bf16, or replicated"
        )


def _is_sharded(key: str, value: Any) -> bool:
    return isinstance(value, Tensor) and key not in PER_PARAMETER


def _flat(tensor: Tensor, like: Tensor | None = None) -> Tensor:
    """The numbers of a dense tensor in the order they have in the memory of `like` (of itself); a view where its own
    order is that one."""
    tensor = tensor.detach()
    if like is not None and tensor.stride() != like.stride():
        tensor = torch.empty_like(like, device=tensor.device, dtype=tensor.dtype).copy_(tensor)
    return tensor.as_strided((tensor.numel(),), (1,), tensor.storage_offset())


def _shaped(flat: Tensor, like: Tensor) -> Tensor:
    """Numbers in the memory order of `like`, in its shape."""
    return flat.as_strided(like.shape, like.stride(), flat.storage_offset())


def _check_parameters(training: Training) -> None:
    for wanted, words in (
        (training.distributed.preferences == "spread", "preferences spread over processes: use shared"),
        (bool(training.parameter_groups), "training.parameter_groups: leave it out"),
        (training.averaging is not None, "training.averaging: use none"),
        (training.recompute, "training.recompute: use false (θ(λ) is made again in any case)"),
        (training.accumulate > 1, "training.accumulate: use 1"),
        (bool(training.compile), "training.compile: use false"),
    ):
        if wanted:
            raise SpecError(f"training.distributed.parameters: sharded does not go with {words}; or use replicated")
