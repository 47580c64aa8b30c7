"""Muon over matrices and kernels: torch's, for parameters of any shape that is a matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim._muon import _adjust_lr

__all__ = ["Muon", "orthogonal"]


class Muon(torch.optim.Muon):
    """`torch.optim.Muon`, which takes matrices alone, for kernels of convolutions too: (out, in, …) as (out, in · …).

    Steps are made orthogonal by a Newton–Schulz iteration, so that every direction of a layer's input moves alike
    (Jordan, 2024; Liu et al., arXiv 2502.16982). It is meant for hidden layers: biases, norms, embeddings and last
    layers want another optimizer, and can have it in the same training (`training.parameter_groups`).

    On a CPU the iteration is torch's in float32: in bfloat16, which torch has for all devices, it takes several times
    as long there where the processor has no units for that, and is rounded to 1 % (findings/torch_muon_float64.sh).

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
        if any(parameter.device.type != "cpu" for group in self.param_groups for parameter in group["params"]):
            return super().step(closure)  # type: ignore[no-untyped-call]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, parameter.grad, group)
        return loss

    def _step(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """As torch's own for one matrix, with the iteration in its precision."""
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        average = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        update = gradient.lerp(average, group["momentum"]) if group["nesterov"] else average
        update = orthogonal(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update, alpha=-_adjust_lr(group["lr"], group["adjust_lr_fn"], parameter.shape))


def orthogonal(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """A matrix (n, k) with its singular values brought to about 1, by a quintic Newton–Schulz iteration (Jordan, 2024).

    >>> made = orthogonal(torch.diag(torch.tensor([1.0, 0.2])), (3.4445, -4.775, 2.0315), 5, 1e-7)
    >>> bool((made.diagonal() - 1).abs().max() < 0.3)
    True
    """
    a, b, c = coefficients
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if matrix.shape[0] > matrix.shape[1] else x


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
