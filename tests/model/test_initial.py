"""Weights to start from: every form of file, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from moframework import ParetoModel
from moframework.errors import DataError
from moframework.model import load_parameters
from tests.model.networks import recipe


class TestLoadParameters:
    @staticmethod
    def network() -> nn.Module:
        return recipe().make()

    @pytest.mark.parametrize("kind", ["safetensors", "pt", "nested", "run"])
    def test_every_form(self, tmp_path: Path, kind: str) -> None:
        network = self.network()
        state = network.state_dict()
        if kind == "safetensors":
            path = tmp_path / "net.safetensors"
            save_file(state, path)
        elif kind == "run":
            path = tmp_path / "run"
            ParetoModel(recipe(), state).save(path / "model")
        else:
            path = tmp_path / "net.pt"
            torch.save(state if kind == "pt" else {"state_dict": state, "epoch": 3}, path)
        for name, value in load_parameters(path, self.network()).items():
            assert torch.equal(value, state[name])

    def test_a_model_starts_at_the_checkpoint(self) -> None:
        network = self.network()
        made = ParetoModel(recipe(), network.state_dict())
        x = torch.randn(2, 1, 20, 20)
        torch.testing.assert_close(made(x, torch.tensor([0.1, 0.9]))["right"], network(x)["right"])

    def test_what_does_not_fit_is_listed(self, tmp_path: Path) -> None:
        state = self.network().state_dict()
        first, second = list(state)[:2]
        wrong = {**state, first: torch.zeros(3), "extra": torch.zeros(1)}
        del wrong[second]
        torch.save(wrong, tmp_path / "net.pt")
        with pytest.raises(
            DataError, match=rf"{first} has shape \(3,\).*{second} is missing.*extra is not in the network"
        ):
            load_parameters(tmp_path / "net.pt", self.network())

    def test_files_that_are_no_state_dicts(self, tmp_path: Path) -> None:
        (tmp_path / "net.pt").write_bytes(b"nothing")
        (tmp_path / "net.safetensors").write_bytes(b"nothing")
        for path, words in (("net.pt", "more than tensors"), ("net.safetensors", "not a safetensors"), ("no", "exist")):
            with pytest.raises(DataError, match=words):
                load_parameters(tmp_path / path, self.network())
