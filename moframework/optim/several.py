"""Several optimizers as one: groups of parameters that are stepped in different ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

__all__ = ["SeveralOptimizers"]


class SeveralOptimizers(torch.optim.Optimizer):
    """Optimizers over disjoint parameters, stepped together; schedulers and scalers see the groups of all.

    Args:
        parts: at least one.

    >>> one, other = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    >>> both = SeveralOptimizers([torch.optim.SGD([one], lr=0.1), torch.optim.Adam([other])])
    >>> [group["lr"] for group in both.param_groups]
    [0.1, 0.001]
    """

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.parts = list(parts)
        super().__init__([{"params": group["params"]} for part in parts for group in part.param_groups], {})
        self._share_groups()

    def _share_groups(self) -> None:
        """The groups are those of the parts themselves, so that a rate that is set here is theirs."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Step all parts. A closure is not taken, for each part would call it."""
        assert closure is None, "losses are computed once"
        for part in self.parts:
            part.step()

    def eval(self) -> None:
        """Give the parameters the averages that some parts keep by themselves."""
        for part in self.parts:
            if hasattr(part, "eval"):
                part.eval()

    def train(self) -> None:
        """Go on with training after `eval`."""
        for part in self.parts:
            if hasattr(part, "train"):
                part.train()

    def state_dict(self) -> dict[str, Any]:
        """The states of the parts, in order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()
