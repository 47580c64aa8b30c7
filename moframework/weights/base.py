"""The contract of a weight space, and of the options that build one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from moframework.config import Component
from moframework.inputs.form import InputForm, InputShape

__all__ = ["WeightSpace", "WeightSpaceConfig"]


class WeightSpace(nn.Module, ABC):
    """A map from preferences to weights, λ ∈ Δ^{m-1} ↦ θ(λ). It owns all trainable parameters of a model.

    Shapes: `m` objectives; θ(λ) has the names and shapes of the network's `named_parameters()` (tied parameters appear
    once, under their first name). It may name buffers of the network too: these are then what depends on λ.

    >>> import torch
    >>> class Segment(WeightSpace):
    ...     "Between two networks of one weight each."
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.ends = nn.Parameter(torch.tensor([1.0, 3.0]))
    ...     def weights(self, preference):
    ...         return {"weight": preference @ self.ends}
    >>> Segment().weights(torch.tensor([0.25, 0.75]))["weight"].item()
    2.5
    """

    group: ClassVar[str] = "network"
    """What its parameters are called, where they are one group."""
    makes_losses: ClassVar[bool] = False
    """Whether training asks for `own_losses`."""

    @abstractmethod
    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """θ(λ): the complete parameter dict of the network for one preference (m,), on any device, differentiable in
        the parameters.

        Must be cheap next to one forward pass of the network.
        """

    def weights_of(self, preferences: Tensor) -> list[dict[str, Tensor]]:
        """θ of several preferences (r, m) at once, in their order: by default one after the other. A space overrides it
        where fewer, larger operations do the same."""
        return [self.weights(preference) for preference in preferences]

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Groups for a torch optimizer with base learning rate `lr`; each names itself in `name` and covers `params`
        with its own `lr`. Together the groups hold every parameter to train exactly once. By default there is one, with
        everything at `lr`."""
        return [{"name": self.group, "params": [p for p in self.parameters() if p.requires_grad], "lr": lr}]

    def named_storage(self) -> list[tuple[tuple[str, ...], Tensor]]:
        """The parameters to train, each with the names of what it holds, by which `training.parameter_groups` finds it:
        those of the network's parameters that lie in it. By default each has its own name."""
        return [((name,), parameter) for name, parameter in self.named_parameters() if parameter.requires_grad]

    def separate(self, key: Callable[[str], Hashable]) -> None:
        """Keep parameters of the network for which `key` differs in tensors of their own, so that they can be trained
        differently. Asked before training; nothing by default."""

    def anchors(self) -> Tensor | None:
        """The preferences (n, m) a finite space can realize, or None when every λ on the simplex has its own
        weights."""
        return None

    def penalty(self) -> Tensor | None:
        """A scalar to add to the training objective once a step, or None. Its coefficient is the space's own."""
        return None

    def own_losses(self, preferences: Tensor) -> Tensor | None:
        """Losses (r, m) of the weights themselves for preferences (r, m), such as distances to other networks. Training
        takes them in the place of the tasks' losses, and passes nothing through the network. Asked where the class says
        `makes_losses`; None: it is the tasks' losses that are minimized."""
        return None

    def embedded(self, preferences: Tensor) -> Tensor | None:
        """What weights are computed from, (r, e) for preferences (r, m), by which an objective can compare them; None
        (the default) where there is no such thing."""
        return None

    def progressed(self, progress: float) -> None:
        """Called before each step with the share of the training that is done after it, in (0, 1]; nothing by default.

        What it sets must be a function of `progress` alone, so that a resumed training goes on as an uninterrupted one,
        and be `requires_grad` of parameters or numbers in tensors: steps may be replayed from a recording, in which
        numbers of Python stay what they were.
        """


class WeightSpaceConfig(Component, kind="weights"):
    """Options of a weight space; `build` makes the space for a given network.

    >>> import torch
    >>> from moframework.weights.convex_hull import ConvexHull
    >>> space = ConvexHull(lr_factor=1.0).build(lambda: nn.Linear(3, 2), m=2, initial=None)
    >>> sorted(space.weights(torch.tensor([0.5, 0.5])))
    ['bias', 'weight']
    """

    @abstractmethod
    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """Make the space for m objectives.

        Args:
            make: builds one freshly initialized network (see `network`) each time it is called, drawing from torch's
                random generator.
            m: number of objectives, at least 1.
            initial: parameters to start from in place of the fresh ones, by name, or None.

        Raises:
            SpecError: the network offers nothing that this space could adapt, or an option does not fit m.
        """

    def network(self, backbone: Callable[[InputShape], nn.Module], inputs: InputForm | InputShape, m: int) -> nn.Module:
        """The network whose weights the space gives: the backbone itself, unless a space needs more.

        Args:
            backbone: builds a freshly initialized backbone for inputs of the given shape.
            inputs: form of the problem's inputs, or the shape alone of floating-point inputs.
            m: number of objectives.

        Raises:
            SpecError: the space cannot work with such inputs.
        """
        return backbone(InputForm.of(inputs).shape)
