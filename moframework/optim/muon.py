"""Muon over matrices and kernels: torch's, for parameters of any shape that is a matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon"]


class Muon(torch.optim.Muon):
    """`torch.optim.Muon`, which takes matrices alone, for kernels of convolutions too: (out, in, …) as (out, in · …).

    Steps are made orthogonal by a Newton–Schulz iteration, so that every direction of a layer's input moves alike
    (Jordan, 2024; Liu et al., arXiv 2502.16982). It is meant for hidden layers: biases, norms, embeddings and last
    layers want another optimizer, and can have it in the same training (`training.parameter_groups`).

    Args:
        params: parameters or groups, each of two dimensions or more.

    Raises:
        ValueError: a parameter is no matrix.
    """

    def __init__(self, params: Any, **options: Any) -> None:
        groups = [dict(group) if isinstance(group, dict) else {"params": [group]} for group in params]
        self._kernels: list[tuple[Tensor, nn.Parameter]] = []
        for group in groups:
            group["params"] = [self._as_matrix(parameter) for parameter in group["params"]]
        super().__init__(groups, **options)

    def _as_matrix(self, parameter: Tensor) -> Tensor:
        if parameter.dim() < 3:
            return parameter
        # The columns of a matrix have no order for this optimizer, so those that the memory has will do.
        view = nn.Parameter(_matrix(parameter.detach(), parameter), requires_grad=parameter.requires_grad)
        self._kernels.append((parameter, view))
        return view

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """See `torch.optim.Optimizer.step`."""
        for parameter, view in self._kernels:
            view.grad = None if parameter.grad is None else _matrix(parameter.grad, parameter)
        return super().step(closure)  # type: ignore[no-untyped-call]


def _matrix(values: Tensor, parameter: Tensor) -> Tensor:
    """Values in the shape of a parameter as a matrix that shares the memory of the parameter's layout.

    >>> kernel = torch.zeros(2, 3, 5, 5)
    >>> _matrix(kernel, kernel).shape
    torch.Size([2, 75])
    """
    if parameter.is_contiguous():
        return values.reshape(len(values), -1)
    rest = sorted(range(1, parameter.dim()), key=lambda dim: parameter.stride(dim), reverse=True)
    return values.permute(0, *rest).reshape(len(values), -1)
