"""Where a training runs: choices resolved, impossible ones refused, images in the right memory order."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from moframework.engine.device import placement
from moframework.engine.settings import Training
from moframework.errors import SpecError
from moframework.run.memory import keep_freed_memory

IMAGES, TABLE = nn.Sequential(nn.Conv2d(1, 4, 3)), nn.Sequential(nn.Linear(3, 2))


def test_auto_is_channels_last_for_convolutions_on_images_only() -> None:
    assert placement(Training(device="cpu"), IMAGES, (3, 8, 8)).memory_format is torch.channels_last
    assert placement(Training(device="cpu"), TABLE, (5,)).memory_format is torch.contiguous_format
    assert placement(Training(device="cpu"), TABLE, (3, 8, 8)).memory_format is torch.contiguous_format
    assert (
        placement(Training(device="cpu", channels_last=False), IMAGES, (3, 8, 8)).memory_format
        is torch.contiguous_format
    )


def test_each_process_has_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert placement(Training(device="cpu"), TABLE, (5,), local_rank=3).device == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("auto", "cuda"):
        assert placement(Training(device=name), TABLE, (5,), local_rank=1).device == torch.device("cuda:1")
    assert placement(Training(device="cuda"), TABLE, (5,)).device == torch.device("cuda")
    with pytest.raises(SpecError, match="process 2 of this machine has no CUDA device, for there are 2"):
        placement(Training(device="cuda"), TABLE, (5,), local_rank=2)
    with pytest.raises(SpecError, match="a device of its own; use cuda in place of cuda:1"):
        placement(Training(device="cuda:1"), TABLE, (5,), local_rank=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_batches_are_arranged_so_that_convolutions_follow(channels: int) -> None:
    x = torch.randn(2, channels, 8, 8)
    arranged = placement(Training(device="cpu"), IMAGES, (3, 8, 8)).arranged(x)
    assert torch.equal(arranged, x)
    assert arranged.stride() == (64 * channels, 1, 8 * channels, channels)
    assert nn.Conv2d(channels, 4, 3)(arranged).is_contiguous(memory_format=torch.channels_last)


def test_kernels_follow_and_other_weights_stay() -> None:
    """A weight space may stack kernels in five dimensions, which torch cannot lay out so."""
    model = nn.Module()
    model.kernel, model.stack = (nn.Parameter(torch.randn(*shape)) for shape in ((4, 3, 2, 2), (2, 4, 3, 2, 2)))
    before = model.kernel.detach().clone()
    placement(Training(device="cpu"), IMAGES, (3, 8, 8)).move(model)
    assert model.kernel.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(model.kernel, before)
    assert model.stack.is_contiguous()


def test_other_batches_stay_as_they_are() -> None:
    x = torch.randn(2, 3)
    assert placement(Training(device="cpu"), TABLE, (5,)).arranged(x) is x


@pytest.mark.parametrize(
    ("options", "shape", "words"),
    [
        ({"device": "gpu"}, (5,), "'gpu' is not a device; allowed: auto"),
        ({"device": "meta"}, (5,), "'meta' is not supported"),
        ({"device": "cpu", "channels_last": True}, (5,), r"needs images, but inputs are \(5,\)"),
    ],
)
def test_impossible_choices_are_refused(options: dict[str, Any], shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        placement(Training(**options), TABLE, shape)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(SpecError, match="finds no CUDA device; use cpu or auto"):
        placement(Training(device="cuda"), TABLE, (5,))


def test_precision_reaches_the_forward_pass() -> None:
    place = placement(Training(device="cpu", precision="bf16"), TABLE, (5,))
    with place.autocast():
        assert TABLE(torch.zeros(1, 3)).dtype is torch.bfloat16
    assert place.describe() == "cpu, bf16, contiguous"


FAULTS = """
import ctypes, resource, torch
from moframework.run.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [torch.ones(2**20) for _ in range(6)]  # 4 MiB each, a thousand pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

library = ctypes.CDLL(None)
assert library.mallopt(-3, 128 * 1024) and library.mallopt(-1, 128 * 1024)  # glibc's own thresholds, held fixed
returned = faults()
assert keep_freed_memory()
faults()  # the first rounds still ask the system
print(returned, faults())
"""


@pytest.mark.skipif(not keep_freed_memory(), reason="needs glibc")
def test_freed_memory_is_used_again() -> None:
    """In a process of its own, whose heap no other test has shaped."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    returned, kept = (int(number) for number in done.stdout.split())
    assert returned > 100_000
    assert kept < returned / 10
