"""A small network of two tasks, and members of it on disk."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from moframework.io.tensors import save_tensors

__all__ = ["TASKS", "Normed", "TwoHeads", "disturbed", "write"]

TASKS = ("left", "right")


class TwoHeads(nn.Module):
    """A shared layer with BatchNorm, and a head a task, one of which has a BatchNorm layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6)
        self.a = nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3))
        self.b = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.norm(self.shared(x)).relu()
        return {"left": self.a(features), "right": self.b(features)}


class Normed(nn.Module):
    """Digits through one layer with BatchNorm."""

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        size = int(torch.tensor(input_shape).prod())
        self.shared = nn.Sequential(nn.Flatten(), nn.Linear(size, 16), nn.BatchNorm1d(16), nn.ReLU())
        self.left, self.right = nn.Linear(16, 10), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.shared(x)
        return {"left": self.left(features), "right": self.right(features)}


def disturbed(state: dict[str, Tensor], seed: int, size: float = 0.1) -> dict[str, Tensor]:
    """The state dict with noise on all but counts."""
    drawn = torch.Generator().manual_seed(seed)
    return {
        name: value + size * torch.randn(value.shape, generator=drawn).abs() if value.is_floating_point() else value
        for name, value in state.items()
    }


def write(folder: Path, name: str, state: dict[str, Tensor]) -> Path:
    """A .safetensors file of it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / f"{name}.safetensors", {key: value.contiguous() for key, value in state.items()})
    return folder / f"{name}.safetensors"
