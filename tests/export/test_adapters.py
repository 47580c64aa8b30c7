"""Adapters that PEFT loads: the model at any preference, by scales or by a weighted adapter."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from moframework import ParetoModel
from moframework.backbones.base import Backbone, Heads
from moframework.config import config
from moframework.errors import RunError
from moframework.export import export_model
from moframework.weights.low_rank import LowRank
from tests.export.networks import inputs, made
from tests.extras import needs_peft
from tests.model.networks import OddNet, model

LAMBDA = torch.tensor([0.85, 0.15])

pytestmark = [needs_peft, pytest.mark.filterwarnings("ignore")]


def loaded(folder: Path, one: ParetoModel) -> Any:
    from peft import PeftModel

    network = one.recipe.make().eval()
    network.load_state_dict(load_file(folder / "base.safetensors"))
    adapted = PeftModel.from_pretrained(network, folder / "left", adapter_name="left")
    adapted.load_adapter(folder / "right", adapter_name="right")
    return adapted


def check(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("space", ["low_rank", "separable", "peft"])
def test_convolutions_of_every_form(space: str, tmp_path: Path) -> None:
    one = made(space, "conv")
    result = export_model(one, tmp_path / "adapters")
    assert result.difference <= 1e-5
    adapted, x = loaded(tmp_path / "adapters", one), inputs("conv", 5)
    adapted.base_model.set_adapter(["left", "right"], inference_mode=True)
    for preference in (LAMBDA, LAMBDA.flip(0)):
        for module in adapted.modules():
            if hasattr(module, "set_scale"):
                module.set_scale("left", float(preference[0]))
                module.set_scale("right", float(preference[1]))
        check(adapted(x), one(x, preference))
    names = {path.name for path in (tmp_path / "adapters").iterdir()}
    assert names == {"base.safetensors", "left", "right", "README.md", "card.json", "preparation.json"}


def test_a_weighted_adapter_does_the_same(tmp_path: Path) -> None:
    one = made("low_rank", "mlp")
    export_model(one, tmp_path / "adapters")
    adapted, x = loaded(tmp_path / "adapters", one), inputs("mlp", 5)
    adapted.add_weighted_adapter(["left", "right"], LAMBDA.tolist(), "mixed", combination_type="cat")
    adapted.set_adapter("mixed")
    check(adapted(x), one(x, LAMBDA))
    told = json.loads((tmp_path / "adapters" / "left" / "adapter_config.json").read_text())
    assert (told["peft_type"], told["r"], told["lora_alpha"]) == ("LORA", 2, 1)


def test_embeddings(tmp_path: Path) -> None:
    one, x = made("low_rank", "text"), inputs("text", 4, 6)
    export_model(one, tmp_path / "adapters")
    adapted = loaded(tmp_path / "adapters", one)
    adapted.base_model.set_adapter(["left", "right"], inference_mode=True)
    for module in adapted.modules():
        if hasattr(module, "set_scale"):
            module.set_scale("left", 0.85)
            module.set_scale("right", 0.15)
    check(adapted(**x), one(x, LAMBDA))


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.up = nn.ConvTranspose1d(3, 3, 2)
        self.heads = Heads({"left": nn.Linear(4, 3), "right": nn.Linear(4, 1)})

    def forward(self, x: Tensor) -> Any:
        return self.heads(self.up(self.attention(x, x, x)[0]).mean(dim=1)[:, :4])


@config
class AttendsNet(Backbone):
    def build(self, input_shape: tuple[int, ...], outputs: Any) -> nn.Module:
        return Attends()


def test_what_peft_has_no_form_for_is_told_at_once(tmp_path: Path) -> None:
    one = model(LowRank(rank=1), AttendsNet(), input_shape=(3, 4), outputs={"left": 3, "right": 1})
    with pytest.raises(RunError, match=r"in_proj_weight \(a weight of Multihead.*up\.weight \(a weight of ConvT.*pt2"):
        export_model(one, tmp_path / "adapters")
    with pytest.raises(RunError, match=r"only low-rank adapters.*ConvexHullSpace"):
        export_model(made("convex_hull", "mlp"), tmp_path / "adapters")
    tied = model(backbone=OddNet(), input_shape=(4,), outputs={"left": 4, "right": 4})
    with pytest.raises(RunError, match="tied to another layer"):
        export_model(tied, tmp_path / "adapters")
    named = model(LowRank(rank=1), tasks=("left", "a.b"), outputs={"left": 10, "right": 10})
    with pytest.raises(RunError, match=r"which the task 'a\.b' is not"):
        export_model(named, tmp_path / "adapters")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_where_an_export_has_made_it(tmp_path: Path) -> None:
    one, folder = made("low_rank", "mlp"), tmp_path / "adapters"
    folder.mkdir()
    (folder / "mine.txt").write_text("dear")
    with pytest.raises(RunError, match="is not empty"):
        export_model(one, folder)
    with pytest.raises(RunError, match="no folder that an export has made"):
        export_model(one, folder, overwrite=True)
    (folder / "mine.txt").unlink()
    export_model(one, folder)  # an empty one
    before = (folder / "README.md").stat().st_ino
    export_model(one, folder, overwrite=True)
    assert (folder / "README.md").stat().st_ino != before
    assert [path.name for path in tmp_path.iterdir()] == ["adapters"]


def test_the_code_of_the_card_runs_without_moframework(tmp_path: Path) -> None:
    one, x = made("low_rank", "mlp"), inputs("mlp", 3)
    export_model(one, tmp_path / "adapters")
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "adapters" / "README.md").read_text(), flags=re.DOTALL)
    lines = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "moframework":
            raise ImportError("moframework must not be needed")
sys.meta_path.insert(0, Blocked())
import torch
from torch import nn
class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(5, 6), nn.ReLU())
        self.heads = nn.ModuleDict({{"to_left": nn.Linear(6, 3), "to_right": nn.Linear(6, 1)}})
    def forward(self, x):
        features = self.encoder(x)
        return {{"left": self.heads["to_left"](features), "right": self.heads["to_right"](features)}}
{code}
print(model(torch.tensor({x.tolist()}))["left"].tolist())
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", lines], cwd=tmp_path / "adapters", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = torch.tensor(json.loads(done.stdout.splitlines()[-1]))
    torch.testing.assert_close(found, one(x, [1, 1])["left"], rtol=1e-5, atol=1e-5)
