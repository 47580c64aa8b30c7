"""A model of one's own code, where the code lies elsewhere than it did: handed in, or found beside the run."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from moframework import ParetoModel, Run, solve
from moframework.backbones.base import Backbone
from moframework.backbones.given import GivenBackbone
from moframework.backbones.mlp import MLP
from moframework.errors import RunError

CODE = """
from pathlib import Path
from torch import nn

(Path(__file__).parent / "ran").touch()


class Network(nn.Sequential):
    def __init__(self, input_shape, outputs, width: int = 4):
        super().__init__(nn.Flatten(), nn.Linear(400, width), nn.Linear(width, 20))

    def forward(self, x):
        return super().forward(x).split((10, 10), dim=1)
"""


def network(input_shape: tuple[int, ...], outputs: dict[str, int], width: int = 4) -> nn.Module:
    return Mine(width)


def narrow(input_shape: tuple[int, ...]) -> nn.Module:
    return Mine(4)


class Mine(nn.Sequential):
    """The network of `CODE`, where somebody else has it."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(400, width), nn.Linear(width, 20))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return super().forward(x).split((10, 10), dim=1)  # type: ignore[no-any-return]


def spec(folder: Path, **backbone: object) -> Path:
    written = {
        "problem": {
            **{"name": "digits", "train": 64, "val": 32, "test": 32},
            "backbone": {"python": "./code/mine.py:Network", **backbone},
        },
        "solver": {"name": "palora", "rank": 1},
        "training": {"steps": 2, "batch_size": 32, "device": "cpu"},
        "evaluate": {"points": 3},
    }
    (folder / "code").mkdir()
    (folder / "code" / "mine.py").write_text(CODE)
    (folder / "spec.yaml").write_text(json.dumps(written))
    return folder / "spec.yaml"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec, code and a run; do not change it."""
    folder = tmp_path_factory.mktemp("project")
    solve(spec(folder, width=6, freeze="1"), folder / "runs" / "first")
    return folder


@pytest.fixture
def moved(project: Path, tmp_path: Path) -> Path:
    """The run alone, in a folder where its code is not."""
    return Path(shutil.copytree(project / "runs" / "first", tmp_path / "alone" / "deep" / "run"))


def outputs(model: ParetoModel) -> torch.Tensor:
    x = torch.rand(2, *model.recipe.input_shape, generator=torch.Generator().manual_seed(0))
    return torch.cat(list(model(x, [0.3, 0.7]).values()), dim=1)


def test_files_of_a_run_name_code_relative_to_themselves(project: Path) -> None:
    run = project / "runs" / "first"
    assert "python: ../../code/mine.py:Network" in (run / "spec.yaml").read_text()
    recipe = (run / "model" / "model.json").read_text()
    assert json.loads(recipe)["backbone"]["python"] == "../../../code/mine.py:Network"
    assert str(project) not in recipe


def test_a_project_that_was_moved_loads_its_own_code(project: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(project, tmp_path / "copied"))
    (copied / "code" / "ran").unlink()
    run = copied / "runs" / "first"
    with pytest.raises(RunError, match=f"'{copied}/code/mine.py:Network' is code"):
        ParetoModel.load(run)
    assert not (copied / "code" / "ran").exists()
    expected = outputs(ParetoModel.load(project / "runs" / "first", trust=True))
    assert torch.equal(outputs(ParetoModel.load(run, trust=True)), expected)
    assert (copied / "code" / "ran").exists()
    assert torch.equal(outputs(Run(run, trust=True).model()), expected)


@pytest.mark.parametrize(
    "given",
    [network, Mine(6), lambda: Mine(6), lambda input_shape, width=6: Mine(width)],
    ids=lambda g: type(g).__name__,
)
def test_a_network_is_handed_in(given: GivenBackbone, project: Path, moved: Path) -> None:
    expected = outputs(ParetoModel.load(project / "runs" / "first", trust=True))
    before = {name: value.clone() for name, value in given.state_dict().items()} if isinstance(given, nn.Module) else {}
    model = ParetoModel.load(moved, backbone=given)
    assert torch.equal(outputs(model), expected)
    assert torch.equal(outputs(Run(moved).model(backbone=given)), expected)
    assert not model.network.trainable["1.weight"], "frozen as it was"
    if isinstance(given, nn.Module):
        torch.testing.assert_close(dict(given.state_dict()), before, rtol=0, atol=0)
        assert given[1].weight is not None


def test_nothing_is_imported_for_what_is_handed_in(project: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(project, tmp_path / "copied"))
    (copied / "code" / "ran").unlink()
    modules = set(sys.modules)
    ParetoModel.load(copied / "runs" / "first", backbone=Mine(6))
    assert not (copied / "code" / "ran").exists()
    assert not [name for name in set(sys.modules) - modules if "mine" in name]


def test_another_network_is_refused(moved: Path) -> None:
    with pytest.raises(RunError, match="is not the one that was trained"):
        ParetoModel.load(moved, backbone=Mine(5))
    with pytest.raises(RunError, match="is not the one that was trained"):
        ParetoModel.load(moved, backbone=narrow)
    with pytest.raises(TypeError, match="backbone is a module"):
        ParetoModel.load(moved, backbone=3)  # type: ignore[arg-type]


def with_bias(input_shape: tuple[int, ...], bias: bool = True) -> nn.Module:
    return Mine(6)


def test_a_function_without_an_option_of_the_recipe_is_refused(moved: Path) -> None:
    with pytest.raises(RunError, match=r"model\.json: width: unknown key"):
        ParetoModel.load(moved, backbone=with_bias)


@pytest.mark.parametrize("trust", [False, True])
def test_the_error_tells_the_way_out(trust: bool, moved: Path) -> None:
    with pytest.raises(RunError) as error:
        ParetoModel.load(moved, trust=trust)
    assert ("there is no file" if trust else "is code") in str(error.value)
    assert "ParetoModel.load(folder, backbone=Network)" in str(error.value)


def test_a_backbone_is_handed_in_as_it_is(tmp_path: Path) -> None:
    folder: Callable[[str], Path] = lambda name: tmp_path / name  # noqa: E731
    written = {
        "problem": {"name": "digits", "train": 64, "val": 32, "test": 32, "backbone": {"name": "mlp", "hidden": [8]}},
        "solver": "palora",
        "training": {"steps": 1, "batch_size": 32, "device": "cpu"},
        "evaluate": {"points": 3},
    }
    run = solve(written, folder("run"))
    given: Backbone = MLP(hidden=(8,))
    assert torch.equal(outputs(ParetoModel.load(run.path, backbone=given)), outputs(run.model()))
