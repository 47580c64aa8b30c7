"""With what each sample of a batch combines several weights, in the shapes in which layers multiply with it."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Coefficients"]


class Coefficients:
    """Coefficients c (b, n) of the samples of one batch after the other: layers that are kept have one of these in
    common. What one layer makes of them others use too.

    Attributes:
        values: c of the batch at hand.
        exact: whether the sum of a sample's entries is taken as it is, not as 1, which it is to rounding of float32;
            and each entry gets a gradient of its own.
    """

    values: Tensor
    exact: bool

    def __init__(self, values: Tensor) -> None:
        self.update(values)

    def update(self, values: Tensor) -> None:
        """From now on c (b, n) are these."""
        self.values = values
        self.exact = values.requires_grad or values.dtype == torch.float64
        self._columns: dict[tuple[int, int], Tensor] = {}
        self._repeated: dict[tuple[int, bool, int], Tensor] = {}

    def column(self, k: int, dims: int) -> Tensor:
        """The column k (b,), for tensors (b, ...) of so many dimensions."""
        found = self._columns.get((k, dims))
        if found is None:
            found = self.values.narrow(1, k, 1)
            found = self._columns[k, dims] = found if dims == 2 else found.view(-1, *(1 for _ in range(dims - 1)))
        return found

    def repeated(self, times: int, dims: int, channels: bool = False) -> Tensor:
        """Each entry so many times, (b, n·times), for tensors (b, ..., n·times) of so many dimensions.

        Args:
            channels: for tensors (b, n·times, ...).
        """
        key = times, channels, dims
        found = self._repeated.get(key)
        if found is None:
            b, n = self.values.shape
            flat = self.values.unsqueeze(2).expand(b, n, times).reshape(b, n * times)
            ones = (1 for _ in range(dims - 2))
            shape = (b, n * times, *ones) if channels else (b, *ones, n * times)
            found = self._repeated[key] = flat if dims == 2 else flat.view(shape)
        return found
