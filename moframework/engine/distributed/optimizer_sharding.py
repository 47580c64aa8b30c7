"""Who holds the state of the optimizer: every process all of it, or each its slice of every parameter.

Sharded, each process steps its slice of each parameter, as `Training.distributed` asks for; the slices are brought
together after the step. For Adam that leaves two numbers a parameter (itself and its gradient) on every device and
spreads the other two: ZeRO, stage 1 (Rajbhandari et al., SC 2020, arXiv 1910.02054).

Why not `ZeroRedundancyOptimizer`: it gives whole parameters to processes, and weight spaces keep most numbers in one
or two large tensors. Where that is not enough, `fully_sharded` has the parameters themselves in shards, for one more
gathering of each for each of the M preferences of a step.

A checkpoint holds the state as a single process has it, so any number of processes can go on with it, sharded or not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from moframework.engine.distributed.world import World
from moframework.engine.settings import Training
from moframework.errors import SpecError
from moframework.model import ParetoModel

__all__ = ["ONCE", "Groups", "OptimizerSharding", "Replicated", "Sharded", "State", "check_sharding", "make_sharding"]

Groups = list[dict[str, Any]]
State = dict[str, Any]

ONCE = {"step", "mu_product", "eta", "mu"}
"""What torch's optimizers keep once a parameter; all else they keep for each of its numbers."""


class OptimizerSharding(ABC):
    """What lies between the parameters of a model and the optimizer that steps them.

    Attributes:
        groups: what the optimizer is made for.
    """

    def __init__(self, groups: Groups) -> None:
        self.groups = groups

    @abstractmethod
    def zero_grad(self, optimizer: torch.optim.Optimizer) -> None:
        """Forget the gradients."""

    @abstractmethod
    def step(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        """Take a step with the parameters' gradients, which are the same on all processes."""

    def average(self, world: World, parameters: Sequence[Tensor]) -> None:
        """Make the gradients of all processes' parameters their mean."""
        world.average_gradients(parameters)

    def clip(self, parameters: Sequence[Tensor], norm: float) -> None:
        """Scale the gradients, as averaged, so that their Euclidean norm is at most `norm`."""
        torch.nn.utils.clip_grad_norm_(parameters, norm)

    def finite(self, parameters: Sequence[Tensor]) -> bool:
        """Whether no parameter, of any process, holds a number that is not finite."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in parameters)

    def model_state(self, model: ParetoModel) -> State:
        """The model's state as a single process has it; called by all processes, for the first one to use."""
        return model.state_dict()

    def load_model(self, model: ParetoModel, state: Mapping[str, Any]) -> None:
        """Set the model's state to a whole one."""
        model.load_state_dict(state)

    def finish(self, model: ParetoModel) -> None:  # noqa: B027 (most have nothing to do)
        """Training is over: every process has the whole model from here on."""

    @abstractmethod
    def state(self, optimizer: torch.optim.Optimizer) -> State:
        """The optimizer's whole state, as a single process has it. Only the first process gets one to use."""

    @abstractmethod
    def load(self, optimizer: torch.optim.Optimizer, state: State) -> None:
        """Set the optimizer's state to a whole one."""


class Replicated(OptimizerSharding):
    """The optimizer steps the parameters themselves."""

    def zero_grad(self, optimizer: torch.optim.Optimizer) -> None:
        """See `OptimizerSharding.zero_grad`."""
        for group in optimizer.param_groups:  # the optimizer's own way takes as long as a small layer
            for parameter in group["params"]:
                parameter.grad = None

    def step(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        """See `OptimizerSharding.step`."""
        scaler.step(optimizer)

    def state(self, optimizer: torch.optim.Optimizer) -> State:
        """See `OptimizerSharding.state`."""
        return optimizer.state_dict()

    def load(self, optimizer: torch.optim.Optimizer, state: State) -> None:
        """See `OptimizerSharding.load`."""
        optimizer.load_state_dict(state)


class Sharded(OptimizerSharding):
    """The optimizer steps this process's slices, which are views of the parameters' own memory.

    A slice is a run of the parameter's numbers as they lie in memory, ⌈size / processes⌉ long but for the last ones.
    """

    def __init__(self, groups: Groups, world: World) -> None:
        self.world = world
        self.parameters = [cast(nn.Parameter, p) for group in groups for p in group["params"]]
        self.slices = [nn.Parameter(self._own(_flat(p)), p.requires_grad) for p in self.parameters]
        of = {id(p): own for p, own in zip(self.parameters, self.slices, strict=True)}
        super().__init__([{**group, "params": [of[id(p)] for p in group["params"]]} for group in groups])

    def zero_grad(self, optimizer: torch.optim.Optimizer) -> None:
        """See `OptimizerSharding.zero_grad`."""
        for tensor in (*self.parameters, *self.slices):
            tensor.grad = None

    def step(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        """See `OptimizerSharding.step`."""
        for parameter, own in zip(self.parameters, self.slices, strict=True):
            if parameter.grad is not None:
                own.grad = self._own(_flat(parameter.grad, like=parameter))
        scaler.step(optimizer)
        by_type: dict[torch.dtype, list[tuple[Tensor, Tensor]]] = {}
        for parameter, own in zip(self.parameters, self.slices, strict=True):
            if parameter.grad is not None:
                by_type.setdefault(parameter.dtype, []).append((_flat(parameter), own.detach()))
        for pairs in by_type.values():
            whole = self._gathered([(own, len(flat)) for flat, own in pairs])
            torch._foreach_copy_([flat for flat, _ in pairs], whole)

    def state(self, optimizer: torch.optim.Optimizer) -> State:
        """See `OptimizerSharding.state`. Gathered tensor by tensor; only the first process keeps them."""
        partial = optimizer.state_dict()
        whole: dict[int, dict[str, Any]] = {}
        for index, parameter in enumerate(self.parameters):
            if index not in partial["state"]:
                continue
            whole[index] = {}
            for key, value in partial["state"][index].items():
                if isinstance(value, Tensor) and key not in ONCE:
                    value = self._gathered([(value, parameter.numel())])[0]
                    value = _shaped(value, parameter).cpu() if self.world.is_rank_zero else None
                whole[index][key] = value
        return {"state": whole, "param_groups": partial["param_groups"]}

    def load(self, optimizer: torch.optim.Optimizer, state: State) -> None:
        """See `OptimizerSharding.load`."""
        own = {
            index: {
                key: self._own(_flat(value, like=self.parameters[index]))
                if isinstance(value, Tensor) and key not in ONCE
                else value
                for key, value in entries.items()
            }
            for index, entries in state["state"].items()
        }
        optimizer.load_state_dict({"state": own, "param_groups": state["param_groups"]})

    def _own(self, flat: Tensor) -> Tensor:
        length = self._length(len(flat))
        start = min(self.world.rank * length, len(flat))
        return flat[start : start + length]

    def _length(self, count: int) -> int:
        return -(-count // self.world.size)

    def _gathered(self, parts: list[tuple[Tensor, int]]) -> list[Tensor]:
        """Whole flat tensors, of given counts, from this process's slices of them; in one message."""
        lengths = [self._length(count) for _, count in parts]
        padded = [torch.cat([own, own.new_zeros(n - len(own))]) for (own, _), n in zip(parts, lengths, strict=True)]
        everyone = self.world.all_gather(torch.cat(padded))
        pieces = torch.split(everyone, lengths, dim=1)
        return [piece.reshape(-1)[:count] for piece, (_, count) in zip(pieces, parts, strict=True)]


def make_sharding(groups: Groups, training: Training, world: World) -> OptimizerSharding:
    """How the optimizer for parameter `groups` holds its state. Raises as `check_sharding`."""
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
