"""Whether a network returns probabilities where losses and metrics take logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from moframework.problem.task import Task

__all__ = ["probability_faults"]

_TRIES = 16
"""Random changes of the weights under which outputs that stay in [0, 1] do so by their form: that two logits of a
network all fall there by chance happens in half of the tries at most (ending in a ReLU, they may both be 0)."""
_SUM = 1e-3  # how far sums of probabilities may be from 1, in 16 bits too


def probability_faults(
    tasks: Sequence[Task],
    network: nn.Module,
    outputs: Mapping[str, Tensor],
    again: Callable[[], Mapping[str, Tensor]],
) -> dict[str, str]:
    """What to tell of tasks whose network returns probabilities in the place of logits: those that sum to 1, or stay
    in [0, 1] whatever the weights are, as after a softmax or a sigmoid.

    Args:
        tasks: of the problem.
        network: its floating-point parameters are changed for a moment, where that is needed to tell.
        outputs: of the network for some inputs, (b, ...) by key.
        again: its outputs for these inputs, with the weights that it then has.

    Returns:
        a sentence for each such task, by its name. Outputs whose losses and metrics do not mind are not looked at, nor
        is a network without parameters, unless its outputs are of several classes that sum to 1.
    """
    minding = {task.name: found for task in tasks if (found := _minds(task)) is not None}
    keys = {task.output_key for task in tasks if task.name in minding}
    suspects = {key: kind for key in keys if (kind := _kind(outputs[key]))}
    if suspects:
        suspects = _confirmed(suspects, network, again)
    return {
        task.name: f"the network returns probabilities ({suspects[task.output_key]}), but {minding[task.name]} takes "
        "logits: leave out the softmax or sigmoid at its end"
        for task in tasks
        if task.name in minding and suspects.get(task.output_key)
    }


def _minds(task: Task) -> str | None:
    """The part of a task that takes logits; None where all do with whatever a network returns."""
    if task.loss.expects_logits:
        return f"the loss {type(task.loss).__name__}"
    found = [metric for metric in task.metrics if metric.expects_logits and task.size == 1]
    return f"the metric {found[0].label}" if found else None


def _kind(output: Tensor) -> str:
    """What outputs may be probabilities by; empty where they are none."""
    if not output.is_floating_point() or not output.numel() or not bool(((output >= 0) & (output <= 1)).all()):
        return ""
    if output.dim() > 1 and output.shape[1] > 1 and bool(((output.sum(dim=1) - 1).abs() < _SUM).all()):
        return "they sum to 1 over the classes"
    return "they stay between 0 and 1 whatever its weights are"


@torch.no_grad()
def _confirmed(
    suspects: Mapping[str, str], network: nn.Module, again: Callable[[], Mapping[str, Tensor]]
) -> dict[str, str]:
    """The suspects that are of their kind with other weights too."""
    weights = [parameter for parameter in network.parameters() if parameter.is_floating_point()]
    if not weights:
        return {key: kind for key, kind in suspects.items() if "sum" in kind}
    kept = [weight.clone() for weight in weights]
    left = dict(suspects)
    try:
        for _ in range(_TRIES):
            for weight, before in zip(weights, kept, strict=True):
                weight.copy_(before + torch.randn_like(before))
            made = again()
            left = {key: kind for key, kind in left.items() if _kind(made[key]) == kind}
            if not left:
                break
    except Exception:  # of anybody's code, which other weights than its own may not suit: nothing can be told
        left = {}
    finally:
        for weight, before in zip(weights, kept, strict=True):
            weight.copy_(before)
    return left
