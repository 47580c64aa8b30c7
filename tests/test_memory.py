"""The guard against tensors that do not fit, with limits of kilobytes: nothing large is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import moframework.memory
import moframework.run.plan
from moframework import check
from moframework.memory import FitsInMemory, TooMuchMemoryError, machine_memory

SPEC: dict[str, Any] = {"problem": {"name": "digits", "train": 40, "val": 10, "test": 10}, "solver": "palora"}


def test_memory_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = machine_memory()
    assert whole > 2**28
    (tmp_path / "limit").write_text("123456\n")
    monkeypatch.setattr(moframework.memory, "_LIMITS", (str(tmp_path / "none"), str(tmp_path / "limit")))
    assert machine_memory() == 123456
    (tmp_path / "limit").write_text("max\n")
    assert machine_memory() >= whole


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_tensors_are_counted_together(device: str) -> None:
    with torch.device(device), FitsInMemory("here", limit=1000) as guard:
        torch.nn.Linear(10, 10)  # 440 bytes
        torch.zeros(10, dtype=torch.float64)
        assert guard.made == 520
        with pytest.raises(TooMuchMemoryError, match=r"^here: a tensor of 11 x 11 takes 0\.0 GiB"):
            torch.empty(11, 11)


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
