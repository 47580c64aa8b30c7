"""`training.on_nonfinite: skip`: a step whose losses or gradients are not finite changes nothing, and is counted.

Unchanged are weights, the optimizer's state, averages of weights, the states of objective and balancings, and the
buffers of the network (statistics of BatchNorm). What counts steps goes on: the number of the step, hence batches,
preferences and random numbers, and the learning-rate schedule; an epoch has as many steps as ever.

Whether a step is skipped is known on the device first. The optimizer is told there, without being waited for, where it
can be told (torch's fused Adam and AdamW, by `found_inf`) and all else can be put back there. Otherwise the host reads
one number a step; several processes agree on it, by one message a step.

In fp16 the gradient scaler leaves out steps whose gradients overflow, with `stop` as well, and lowers its scale. With
`skip` these steps are put back and counted too; and a step whose losses are not finite is made one of them, so that the
scaler alone says what the optimizer does.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from moframework.engine.around import Around
from moframework.engine.hooks import Entry
from moframework.engine.loop import Hook, Loop
from moframework.errors import NON_FINITE_ADVICE, NonFiniteLossError
from moframework.inputs.trees import Tree
from moframework.nonfinite.cause import cause

__all__ = ["MOST_IN_A_ROW", "Skipping", "UnlessSkipped", "finite_steps"]

MOST_IN_A_ROW = 100
"""So many steps may be skipped one after the other. A row of its own costs a batch an epoch, and fp16's scale is found
within 40 halvings from any that float32 holds; where a hundred different batches fail, the weights are the reason, and
training would do nothing until its budget is spent."""


class Skipping(Hook):
    """Stands in for `Step.execute` and `Step.review`, and counts what was skipped.

    Attributes:
        reads: whether the host reads after each step whether it is skipped.
        skipped: whether the last step was skipped, where `reads`.

    Raises:
        NonFiniteLossError: more than `MOST_IN_A_ROW` steps in a row were skipped; told when the losses are read.
    """

    every_step = True

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.reads, self.skipped = _must_read(loop), False
        self.in_a_row = 0
        self._buffers = list(loop.model.buffers())
        self._kept = [buffer.clone() for buffer in self._buffers]
        self._flag = torch.zeros((), dtype=torch.bool)
        self._unread: list[tuple[Tensor, Entry]] = []
        self._untold: list[Entry] = []
        step = loop.step
        self._run, self._review = step.execute, step.review
        step.execute, step.review = self._executed, self._reviewed  # type: ignore[method-assign]

    def after_step(self, loop: Loop) -> None:
        self._unread.append((self._flag, (loop.done, loop.losses, loop.preferences)))
        every, at_log = loop.training.checkpoint_every, loop.done % loop.training.log_every == 0
        if at_log or loop.at_epoch_end or loop.ends or (every is not None and loop.done % every == 0):
            self._read()
        if self._untold and (at_log or loop.ends):
            self._tell()

    def state(self) -> dict[str, Any]:
        return {"skipped": {"steps": self.loop.skipped_steps, "in_a_row": self.in_a_row}}

    def load(self, loop: Loop, state: dict[str, Any]) -> None:
        loop.skipped_steps, self.in_a_row = state["skipped"]["steps"], state["skipped"]["in_a_row"]

    def _executed(
        self, x: Tree, targets: dict[str, Tensor], preferences: Tensor, scale: Tensor | None = None
    ) -> Tensor:
        """As `Step.run`; where the step is skipped, leaves no gradient, or one that the optimizer does not use."""
        self._keep()
        losses = self._run(x, targets, preferences, scale)
        self._decide(losses)
        return losses

    @torch.no_grad()
    def _decide(self, losses: Tensor) -> None:
        loop = self.loop
        gradients = [parameter.grad for parameter in loop.parameters if parameter.grad is not None]
        flag = _any_non_finite(losses, gradients)
        if self.reads:
            self.skipped = loop.world.any_rank(bool(flag))
            flag = torch.tensor(self.skipped)
        self._flag = flag
        if loop.scaler.is_enabled():
            torch._foreach_mul_(gradients, torch.where(flag, torch.nan, 1.0).to(losses.device))
        elif not self.reads:
            loop.optimizer.found_inf = flag.float()  # type: ignore[attr-defined]
        elif self.skipped:
            for parameter in loop.parameters:  # optimizers pass over parameters without a gradient
                parameter.grad = None

    @torch.no_grad()
    def _reviewed(self, x: Tree, targets: dict[str, Tensor], preferences: Tensor, losses: Tensor) -> None:
        """As `Step.review`; puts back what a skipped step has changed."""
        if not (self.reads and self.skipped):
            self._review(x, targets, preferences, losses)
        if not self.reads or self.skipped:
            self._put_back()

    @torch.no_grad()
    def _keep(self) -> None:
        """Keep what a step changes besides weights."""
        step = self.loop.step
        if self._buffers:
            torch._foreach_copy_(self._kept, self._buffers)
        self._objective = copy.deepcopy(step.objective_states.state_dict()) if len(step.objective_states) else None
        self._balancing = [(state, {key: value.clone() for key, value in state.items()}) for state in step.state]

    def _put_back(self) -> None:
        """Where the step is skipped, put back what `_keep` kept."""
        step = self.loop.step
        for buffer, kept in zip(self._buffers, self._kept, strict=True):
            buffer.copy_(kept if self.reads else torch.where(self._flag, kept, buffer))
        if self._objective is not None:
            step.objective_states.load_state_dict(self._objective)
        states = []
        for (before, kept_state), after in zip(self._balancing, step.state, strict=True):
            # A recorded step reads and writes these very tensors.
            same = all(after.get(key) is value for key, value in before.items())
            chosen = {
                key: kept if self.reads else torch.where(self._flag, kept, after[key])
                for key, kept in kept_state.items()
            }
            if same:
                for key, value in chosen.items():
                    before[key].copy_(value)
            states.append(before if same else chosen)
        step.state = states

    def _read(self) -> None:
        """Count the skipped ones of the steps since the last reading."""
        flags = torch.stack([flag for flag, _ in self._unread]).tolist() if self._unread else []
        entries = [entry for _, entry in self._unread]
        self._unread.clear()
        for skipped, entry in zip(flags, entries, strict=True):
            self.in_a_row = self.in_a_row + 1 if skipped else 0
            if not skipped:
                continue
            self.loop.skipped_steps += 1
            self._untold.append(entry)
            if self.in_a_row > MOST_IN_A_ROW:
                raise NonFiniteLossError(
                    f"step {entry[0]}: more than {MOST_IN_A_ROW} steps in a row were skipped, so training does not go "
                    f"on. In this step {cause(self.loop, entry)} {NON_FINITE_ADVICE}"
                )

    def _tell(self) -> None:
        first, total = self._untold[0], self.loop.skipped_steps
        counted = "1 step was" if len(self._untold) == 1 else f"{len(self._untold)} steps were"
        self._untold = []
        if self.loop.world.is_rank_zero:
            self.loop.observer.noted(
                f"{counted} skipped, {total} of {self.loop.done} so far. In step {first[0]} {cause(self.loop, first)}"
            )


class UnlessSkipped(Around):
    """Another hook, which does not see steps that were skipped.

    Args:
        hook: called after each other step.
        skipping: reads.
    """

    every_step = True

    def __init__(self, hook: Hook, skipping: Skipping) -> None:
        super().__init__(hook)
        self.skipping = skipping

    def after_step(self, loop: Loop) -> None:
        if not self.skipping.skipped:
            self.hook.after_step(loop)


def finite_steps(losses: Tensor) -> Tensor:
    """Of losses (k, M, m) those of steps where all are finite: the others were skipped, as `Skipping` tells."""
    return losses[torch.isfinite(losses).flatten(1).all(dim=1)]


def _must_read(loop: Loop) -> bool:
    """Whether the host has to know after each step whether it is skipped."""
    optimizer, step = loop.optimizer, loop.step
    told = type(optimizer) in (torch.optim.Adam, torch.optim.AdamW) and all(
        group.get("fused") for group in optimizer.param_groups
    )
    return (
        loop.job.place.device.type == "cpu"  # which is not waited for
        or loop.world.size > 1  # they agree on the host
        or loop.training.averaging is not None
        or len(step.objective_states) > 0  # which may be kept on the host, by other packages
        or not (told or loop.scaler.is_enabled())
        or any(buffer.device.type != loop.job.place.device.type for buffer in loop.model.buffers())
    )


def _any_non_finite(losses: Tensor, gradients: Sequence[Tensor]) -> Tensor:
    """Whether any number is not finite; a boolean on the device."""
    flag = ~torch.isfinite(losses).all()
    local = [gradient.to_local() if hasattr(gradient, "to_local") else gradient for gradient in gradients]
    local = [gradient for gradient in local if gradient.numel()]
    if local:
        # The largest magnitude, unlike a sum of squares, does not overflow.
        largest = torch._foreach_norm(local, float("inf"))
        flag = flag | ~torch.isfinite(torch.stack(largest)).all()
    return flag
