"""Who holds the state of the optimizer: every rank all of it, or each its shard of every parameter's.

Sharded, each rank steps its shard of each parameter, as `Training.distributed` asks for, and the shards are gathered
after the step. For Adam that leaves two numbers a parameter (itself and its gradient) on every device and shards the
other two: ZeRO, stage 1 (Rajbhandari et al., SC 2020, arXiv 1910.02054).

Why not `ZeroRedundancyOptimizer`: it gives whole parameters to ranks, and weight spaces keep most numbers in one or two
large tensors. Where that is not enough, FSDP (`fsdp`, `fsdp_checkpoint`) shards the parameters themselves, for one more
all-gather of each for each of the M preferences of a step.

A checkpoint holds the full state, as a single process has it, so any number of processes can go on with it, sharded or
not. `torch.distributed.checkpoint.state_dict` does not give that here: it names state by the sharded module's
parameters, and knows optimizers over these alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from moframework.engine.distributed.world import World
from moframework.engine.settings import Training
from moframework.errors import SpecError
from moframework.model import ParetoModel

__all__ = ["PER_PARAMETER", "OptimizerSharding", "Replicated", "Sharded", "check_sharding", "make_sharding"]

Groups = list[dict[str, Any]]
State = dict[str, Any]

PER_PARAMETER = {"step", "mu_product", "eta", "mu"}
"""What torch's optimizers keep once a parameter; all else they keep for each of its numbers."""


class OptimizerSharding:
    """What lies between the parameters of a model and the optimizer that steps them.

    Args:
        groups: the parameter groups of the model.
        shards: what the optimizer steps in place of each parameter, in their order; None: the parameters.

    Attributes:
        parameters: the model's, in the order of the groups.
        groups: the parameter groups for the optimizer, of shards.
    """

    def __init__(self, groups: Groups, shards: Sequence[Tensor] | None = None) -> None:
        self.parameters = [cast(nn.Parameter, p) for group in groups for p in group["params"]]
        self.shards = self.parameters if shards is None else shards
        rest = iter(self.shards)
        self.groups = [{**group, "params": [next(rest) for _ in group["params"]]} for group in groups]

    def zero_grad(self) -> None:
        """Forget the gradients. The optimizer's own way takes as long as a small layer."""
        for parameter in self.parameters:
            parameter.grad = None

    def average_gradients(self, world: World) -> None:
        """Average the gradients over ranks."""
        world.average_gradients(self.parameters)

    def clip_gradients(self, norm: float) -> None:
        """Scale the gradients, as averaged, so that their Euclidean norm is at most `norm`."""
        torch.nn.utils.clip_grad_norm_(self.parameters, norm)

    def step(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        """Take a step with the parameters' averaged gradients."""
        scaler.step(optimizer)

    def all_finite(self) -> bool:
        """Whether every number of every parameter is finite, on all ranks."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.parameters)

    def full_model_state(self, model: ParetoModel) -> State:
        """The model's state as a single process has it. All ranks must call it, and rank 0 may use it."""
        return model.state_dict()

    def load_model_state(self, model: ParetoModel, state: Mapping[str, Any]) -> None:
        """Set the model's state to a full one, on all ranks."""
        model.load_state_dict(state)

    def full_optimizer_state(self, optimizer: torch.optim.Optimizer) -> State:
        """The optimizer's state as a single process has it. All ranks must call it, and rank 0 may use it."""
        return optimizer.state_dict()

    def load_optimizer_state(self, optimizer: torch.optim.Optimizer, state: State) -> None:
        """Set the optimizer's state to a full one, on all ranks."""
        optimizer.load_state_dict(state)

    def unshard(self, model: ParetoModel) -> None:
        """Give every rank the full model; training is over."""

    def _step_shards(
        self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, part: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        """Step the shards with their part of each gradient, a function of gradient and parameter. It may be a view, so
        that it must not keep the gradient alive afterwards."""
        for parameter, shard in zip(self.parameters, self.shards, strict=True):
            if parameter.grad is not None:
                shard.grad = part(parameter.grad, parameter)
        scaler.step(optimizer)
        for shard in self.shards:
            shard.grad = None


class Replicated(OptimizerSharding):
    """Every rank holds all of the optimizer's state, and steps the parameters themselves."""


class Sharded(OptimizerSharding):
    """The optimizer steps this rank's shards, which are views of the parameters' own memory.

    A shard is a run of the parameter's numbers as they lie in memory, ⌈size / ranks⌉ long but for the last ones.
    """

    def __init__(self, groups: Groups, world: World) -> None:
        self.world = world
        parameters = [p for group in groups for p in group["params"]]
        super().__init__(groups, [nn.Parameter(self._shard(_flat(p)), p.requires_grad) for p in parameters])

    def step(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        """See `OptimizerSharding.step`."""
        self._step_shards(optimizer, scaler, lambda gradient, like: self._shard(_flat(gradient, like=like)))
        by_type: dict[torch.dtype, list[tuple[Tensor, Tensor]]] = {}
        for parameter, shard in zip(self.parameters, self.shards, strict=True):
            if parameter.grad is not None:
                by_type.setdefault(parameter.dtype, []).append((_flat(parameter), shard.detach()))
        for pairs in by_type.values():
            full = self._all_gather([(shard, len(flat)) for flat, shard in pairs])
            torch._foreach_copy_([flat for flat, _ in pairs], full)

    def full_optimizer_state(self, optimizer: torch.optim.Optimizer) -> State:
        """See `OptimizerSharding.full_optimizer_state`. Gathered tensor by tensor; only rank 0 keeps them."""
        local = optimizer.state_dict()
        full: dict[int, dict[str, Any]] = {index: {} for index in sorted(local["state"])}
        for index, entries in full.items():
            parameter = self.parameters[index]
            for key, value in local["state"][index].items():
                if _is_sharded(key, value):
                    value = self._all_gather([(value, parameter.numel())])[0]
                    value = _shaped(value, parameter).cpu() if self.world.is_rank_zero else None
                entries[key] = value
        return {**local, "state": full}

    def load_optimizer_state(self, optimizer: torch.optim.Optimizer, state: State) -> None:
        """See `OptimizerSharding.load_optimizer_state`."""
        local = {
            index: {
                key: self._shard(_flat(value, like=self.parameters[index])) if _is_sharded(key, value) else value
                for key, value in entries.items()
            }
            for index, entries in state["state"].items()
        }
        optimizer.load_state_dict({**state, "state": local})

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


def make_sharding(groups: Groups, training: Training, world: World) -> OptimizerSharding:
    """How the state of the optimizer for parameter `groups` is sharded, where the parameters are not. Raises as
    `check_sharding`."""
    if world.size == 1 or training.distributed.optimizer == "replicated":
        return Replicated(groups)
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
        (training.averaging is not None, "training.averaging: use none"),
        (training.recompute, "training.recompute: use false (θ(λ) is made again in any case)"),
        (bool(training.compile), "training.compile: use false"),
    ):
        if wanted:
            raise SpecError(f"training.distributed.parameters: sharded does not go with {words}; or use replicated")
