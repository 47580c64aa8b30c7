"""Files of tensors: every form that is read, and nothing in them that is executed."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from moframework.io.tensors import load_plain, load_state

STATE = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(2)}


class Marker:
    """An object that would leave a trace if it were unpickled."""

    ran = False

    def __reduce__(self) -> Any:
        return setattr, (Marker, "ran", True)


@pytest.mark.parametrize("wrapped", [STATE, {"state_dict": STATE, "epoch": 3}, {"model": STATE}])
def test_state_dicts_in_torch_files(tmp_path: Path, wrapped: dict[str, Any]) -> None:
    torch.save(wrapped, tmp_path / "a.pt")
    found = load_state(tmp_path / "a.pt")
    assert found.keys() == STATE.keys()
    assert all(torch.equal(value, STATE[name]) for name, value in found.items())


def test_state_dicts_in_safetensors(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "a.safetensors")
    assert torch.equal(load_state(tmp_path / "a.safetensors")["weight"], STATE["weight"])
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        load_state(tmp_path / "a.safetensors")


def test_plain_values_come_back(tmp_path: Path) -> None:
    torch.save({"step": 3, "losses": [0.5, torch.tensor(2.0)], "name": "a"}, tmp_path / "a.pt")
    found = load_plain(tmp_path / "a.pt")
    assert (found["step"], found["losses"][0], found["name"]) == (3, 0.5, "a")


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_files_that_would_run_code_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.pt"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Marker(), protocol=2))
    else:
        torch.save({"weight": Marker()}, path)
    with pytest.raises(ValueError, match="damaged or holds more than tensors"):
        load_state(path)
    assert not Marker.ran


def test_files_that_are_missing_or_something_else(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        load_state(tmp_path / "a.pt")
    torch.save({"weight": 1.0}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="holds no state dict, a mapping from names to tensors"):
        load_state(tmp_path / "a.pt")
