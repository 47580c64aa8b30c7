"""A network that no registry knows, as a user's own file would have it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

__all__ = ["small_network"]


class _Network(nn.Module):
    """A convolution with BatchNorm, averaged to 3x3 places, and a linear layer for each output."""

    def __init__(self, planes: int, channels: int, outputs: Mapping[str, int]) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(planes, channels, 5, stride=3, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.AdaptiveAvgPool2d(3), nn.Flatten(),
        )  # fmt: skip
        self.heads = nn.ModuleDict({f"to_{key}": nn.Linear(9 * channels, size) for key, size in outputs.items()})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.encoder(x)
        return {key.removeprefix("to_"): head(features) for key, head in self.heads.items()}


def small_network(input_shape: tuple[int, ...], outputs: Mapping[str, int], *, channels: int = 4) -> nn.Module:
    """Images (b, planes, height, width) to {output: (b, size)}."""
    return _Network(input_shape[0], channels, outputs)
