"""Where and in what arithmetic a training runs."""

from __future__ import annotations

import contextlib

import torch
from attrs import frozen
from torch import nn

from moframework.data import arranged
from moframework.engine.settings import Training
from moframework.errors import SpecError
from moframework.inputs.form import InputForm, InputShape
from moframework.inputs.trees import Tree

__all__ = ["Placement", "device_called", "placement"]

_DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@frozen(kw_only=True)
class Placement:
    """Device, autocast type (None for fp32) and memory order of images."""

    device: torch.device
    autocast_dtype: torch.dtype | None
    memory_format: torch.memory_format

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """Context for the forward pass of the network. Weights are materialized outside it, in fp32."""
        if self.autocast_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.autocast_dtype)

    def arranged(self, x: Tree) -> Tree:
        """A batch in this memory order; see `data.loader.arranged`."""
        return arranged(x, self.memory_format)

    def move(self, model: nn.Module) -> None:
        """Move a model to the device, and its tensors of four dimensions (kernels) into this memory order.

        Others stay as they are: a weight space may stack kernels in five dimensions, which have no such order.
        """
        model.to(self.device)
        if self.memory_format is torch.channels_last:
            for tensor in (*model.parameters(), *model.buffers()):
                if tensor.dim() == 4:
                    tensor.data = tensor.data.contiguous(memory_format=self.memory_format)

    def describe(self) -> str:
        """One line for people."""
        precision = next(name for name, dtype in _DTYPES.items() if dtype == self.autocast_dtype)
        order = "channels last" if self.memory_format is torch.channels_last else "contiguous"
        return f"{self.device}, {precision}, {order}"


def placement(
    training: Training, network: nn.Module, inputs: InputForm | InputShape, local_rank: int | None = None
) -> Placement:
    """Resolve `auto` choices for a network and its inputs.

    Args:
        inputs: their form, or the shape of one.
        local_rank: number of this process among those of its machine, each of which takes the CUDA device of its
            number; None where there is one process.

    Raises:
        SpecError: the device is unknown or not present, or the precision is not available on it.
    """
    device = device_called(training.device)
    if local_rank is not None:
        device = _of_process(device, local_rank)
    if training.precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise SpecError(f"training.precision: bf16 is not available on {device}; use fp16 or fp32")
    form = InputForm.of(inputs)
    images = form.has_images and any(isinstance(module, nn.Conv2d) for module in network.modules())
    wanted = images if training.channels_last == "auto" else training.channels_last
    if wanted and not form.has_images:
        raise SpecError(f"training.channels_last: needs images, but inputs are {form}. Use false or auto.")
    order = torch.channels_last if wanted else torch.contiguous_format
    return Placement(device=device, autocast_dtype=_DTYPES[training.precision], memory_format=order)


def device_called(name: str, option: str = "training.device") -> torch.device:
    """The device that an option names. Raises `SpecError`, beginning with the option."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SpecError(f"{option}: '{name}' is not a device; allowed: auto, cpu, cuda, cuda:N, mps") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SpecError(f"{option}: this torch finds no CUDA device; use cpu or auto")
    if device.type == "cuda" and device.index is not None and device.index >= torch.cuda.device_count():
        raise SpecError(f"{option}: {name} does not exist; there are {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise SpecError(f"{option}: this torch finds no MPS device; use cpu or auto")
    if device.type not in ("cpu", "cuda", "mps"):
        raise SpecError(f"{option}: '{name}' is not supported; allowed: auto, cpu, cuda, cuda:N, mps")
    return device


def _of_process(device: torch.device, local_rank: int) -> torch.device:
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise SpecError(f"training.device: several processes cannot share {device}; use cpu, or start one")
    index: int | None = device.index
    if index is not None:
        raise SpecError(f"training.device: each process takes a device of its own; use cuda in place of {device}")
    if local_rank >= torch.cuda.device_count():
        raise SpecError(
            f"training.device: process {local_rank} of this machine has no CUDA device, for there are "
            f"{torch.cuda.device_count()}; start as many processes with torchrun --nproc-per-node, or use cpu"
        )
    return torch.device("cuda", local_rank)
