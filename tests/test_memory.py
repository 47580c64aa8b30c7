"""The guard against tensors that do not fit, with limits of kilobytes: nothing large is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import moframework.run.plan
from moframework import check
from moframework.memory import FitsInMemory, TooMuchMemoryError, machine_memory

SPEC: dict[str, Any] = {"problem": {"name": "digits", "train": 40, "val": 10, "test": 10}, "solver": "palora"}


@pytest.mark.parametrize(
    ("group", "folder", "limit"),
    [("0::/a/b", "sys/fs/cgroup", "memory.{}"), ("4:memory:/a/b", "sys/fs/cgroup/memory", "memory.{}_in_bytes")],
)
def test_memory_of_this_machine(tmp_path: Path, group: str, folder: str, limit: str) -> None:
    whole = machine_memory()
    assert whole > 2**28
    assert machine_memory(tmp_path) >= whole
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"{group}\n")
    outer = tmp_path / folder / "a"
    (outer / "b").mkdir(parents=True)
    most, held = (limit.format(name) for name in (("max", "current") if group[0] == "0" else ("limit", "usage")))
    (outer / most).write_text("123456\n")  # of a group above that of the process
    (outer / held).write_text("1\n")
    assert machine_memory(tmp_path) == 123456
    (outer / most).write_text("max\n")
    assert machine_memory(tmp_path) >= whole


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_tensors_are_counted_together(device: str) -> None:
    with torch.device(device), FitsInMemory("here", limit=1000) as guard:
        torch.nn.Linear(10, 10)  # 440 bytes
        torch.zeros(10, dtype=torch.float64)
        assert guard.made == 520
        with pytest.raises(TooMuchMemoryError, match=r"^here: a tensor of 11 x 11 takes 0\.0 GiB"):
            torch.empty(11, 11)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_drawn_tensors_are_counted_and_as_torch_makes_them(device: str) -> None:
    like = torch.empty(10, 10, device=device)
    with FitsInMemory("here", limit=1000) as guard:
        made = torch.randn_like(like, dtype=torch.float64)
        assert (made.shape, made.dtype, made.device.type, guard.made) == ((10, 10), torch.float64, device, 800)
        assert like.normal_() is like
        with pytest.raises(TooMuchMemoryError):
            torch.rand_like(like)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"problem": SPEC["problem"] | {"backbone": {"name": "mlp", "hidden": [10**6] * 2}}}, "problem.backbone"),
        (
            {"problem": {**SPEC["problem"], "backbone": {"name": "lenet", "channels": [10**6, 10**6]}}},
            "problem.backbone",
        ),
        ({"solver": {"name": "phn", "weights": {"name": "hypernetwork", "hidden": [10**6, 10**6]}}}, "solver"),
    ],
)
def test_networks_are_refused_before_they_are_made(
    changes: dict[str, Any], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object) -> None:
        raise AssertionError("the data was read")

    monkeypatch.setattr(moframework.run.plan, "_data", nothing)
    with pytest.raises(TooMuchMemoryError, match=rf"^{where}: a tensor of .* takes [\d,.]+ GiB.*lower the sizes there"):
        check({**SPEC, **changes})


def test_networks_that_need_numbers_to_be_made_are_made_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise NotImplementedError("no numbers on this device")

    monkeypatch.setattr(FitsInMemory, "_count", fails)
    assert any(line.startswith("backbone    lenet") for line in check(SPEC))
