"""The parameters that a weight space starts from, and has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from moframework.errors import SpecError

__all__ = ["copied", "listed", "merged_values", "starting_values"]


def starting_values(network: nn.Module, initial: Mapping[str, Tensor] | None) -> dict[str, nn.Parameter]:
    """New parameters with the values of the network's, or those of `initial` where it has them.

    Returns:
        name to parameter, in the order of `network.named_parameters()` (tied parameters once, under their first name);
        a parameter that the network keeps frozen does not require a gradient here either.

    Raises:
        SpecError: nothing is to be trained.
    """
    made: dict[str, nn.Parameter] = {}
    for name, value in network.named_parameters():
        start = value if initial is None or name not in initial else initial[name].to(value)
        made[name] = nn.Parameter(start.detach().clone(), requires_grad=value.requires_grad)
    if not any(value.requires_grad for value in made.values()):
        raise SpecError("the network has no parameter to train: all are frozen, or there are none")
    return made


def merged_values(network: nn.Module, initial: Mapping[str, Tensor] | None) -> dict[str, nn.Parameter]:
    """`starting_values` for a space that computes its weights from others.

    Raises:
        SpecError: the network asks for sparse gradients, which do not pass through such computations; or there is
            nothing to train.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse:
            raise SpecError(
                f"backbone: {name or 'the network'} is an embedding with sparse gradients; a weight space that merges "
                "weights needs dense ones. Build it with sparse=False."
            )
    return starting_values(network, initial)


def listed(parameters: nn.ParameterList) -> Collection[nn.Parameter]:
    """The elements of a list from its registry: the list itself looks up the name of each, which takes as long as a
    small product."""
    return cast(dict[str, nn.Parameter], parameters._parameters).values()


def copied(parameter: nn.Parameter) -> nn.Parameter:
    """A parameter with memory of its own, trained or not as the other is."""
    return nn.Parameter(parameter.detach().clone(memory_format=torch.preserve_format), parameter.requires_grad)
