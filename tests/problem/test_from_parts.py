"""Problems from plain parts, in Python and in a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from moframework import ParetoModel, load_spec, problem_from_parts, solve
from moframework.backbones.mlp import MLP
from moframework.errors import MoframeworkError, SpecError
from moframework.losses import MSE
from moframework.problem.task import Task

X = torch.linspace(0, 1, 8).unsqueeze(1)
DATA = {split: (X, {"up": X[:, 0], "down": 1 - X[:, 0]}) for split in ("train", "val", "test")}
TASKS = {"up": {"loss": "mse", "metrics": ["mae"]}, "down": {"loss": "mse"}}


class Net(nn.Module):
    """Its outputs are a tuple."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.first, self.up, self.down = nn.Linear(1, width), nn.Linear(width, 1), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.first(x).relu()
        return self.up(features), self.down(features)


def test_parts() -> None:
    problem = problem_from_parts(TASKS, Net, DATA, reference=[1, 1])
    assert [task.name for task in problem.tasks] == ["up", "down"]
    assert problem.input_shape == (1,)
    assert problem.reference == (1.0, 1.0)
    assert isinstance(problem.backbone(), Net)
    problem.check()
    lazily = problem_from_parts([Task(name="up", loss=MSE())], MLP(hidden=()), lambda split: (X, X[:, 0]))
    assert lazily.data("val")[3][1]["up"] == X[3, 0]
    assert lazily.reference is None
    lazily.check()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": Net()}, "is a Net already made: solvers make several"),
        ({"network": 3}, "must be a function or class that makes it, but it is a int"),
        ({"data": {"train": DATA["train"]}}, "lacks val, test"),
        ({"tasks": {}}, "at least one task"),
        ({"tasks": {"up": {"loss": "msee"}}}, "loss: no loss called 'msee'.*did you mean 'mse'"),
    ],
)
def test_parts_that_do_not_fit(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        problem_from_parts(**{"tasks": TASKS, "network": Net, "data": DATA, **changes})


class Looks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.table(x).sum(dim=1)


@pytest.mark.parametrize(
    ("network", "x", "words"),
    [
        (Net, X.double(), "convert torch.float64 in the data"),
        (Net, X > 0.5, "convert torch.bool in the data"),
        (Looks, (X * 8).byte().expand(8, 3), "give others, such as token ids, as torch.int64"),
    ],
)
def test_types_that_layers_do_not_take_are_told(network: type[nn.Module], x: Tensor, words: str) -> None:
    data = {split: (x, {"up": X[:, 0], "down": 1 - X[:, 0]}) for split in DATA}
    with pytest.raises(SpecError, match=f"the network cannot take inputs .*{words}"):
        problem_from_parts(TASKS, network, data).check()


def test_a_network_with_required_parameters_is_told() -> None:
    def wide(width: int) -> nn.Module:
        return nn.Linear(1, width)

    with pytest.raises(SpecError, match="width: is missing"):
        problem_from_parts(TASKS, wide, DATA)


FILE = '''
import torch
from torch import nn
from moframework import problem_from_parts

X = torch.linspace(0, 1, 16).unsqueeze(1)
TASKS = {"up": {"loss": "mse", "metrics": ["mae"]}, "down": {"loss": "mse"}}


class Net(nn.Module):
    def __init__(self, width: int = 3):
        super().__init__()
        self.first, self.last = nn.Linear(1, width), nn.Linear(width, 2)

    def forward(self, x):
        return self.last(self.first(x).relu()).split(1, dim=1)


def data(split):
    return X, {"up": X[:, 0], "down": 1 - X[:, 0]}


def problem(scale: float = 1.0):
    """Scaled. scale: of both targets"""
    return problem_from_parts(TASKS, Net, lambda split: (X, {k: scale * v for k, v in data(split)[1].items()}))


ready = problem_from_parts(TASKS, Net, data, reference=(1, 1))
unnamed = problem_from_parts(TASKS, lambda: Net(), data)
nothing = lambda: 3
'''


def spec(folder: Path, problem: dict[str, Any]) -> dict[str, Any]:
    (folder / "mine.py").write_text(FILE)
    return {
        "problem": {"python": str(folder / "mine.py") + ":" + problem.pop("python"), **problem},
        "solver": {"name": "palora", "rank": 1, "preferences": {"name": "annealed", "per_batch": 2}},
        "training": {"steps": 3, "batch_size": 8},
        "evaluate": {"points": 3},
    }


@pytest.mark.parametrize("problem", [{"python": "ready"}, {"python": "problem"}, {"python": "problem", "scale": 2.0}])
def test_a_spec_names_the_object_or_a_function(problem: dict[str, Any], tmp_path: Path) -> None:
    run = solve(spec(tmp_path, dict(problem)), tmp_path / "run")
    assert np.isfinite(run.front("test").losses).all()
    assert load_spec(tmp_path / "run" / "spec.yaml") == run.spec
    again = solve(tmp_path / "run" / "spec.yaml", tmp_path / "again")
    assert again.front("test") == run.front("test")
    model = ParetoModel.load(tmp_path / "run" / "model")
    assert set(model(X, torch.tensor([0.5, 0.5]))) == {"up", "down"}


def test_parts_of_it_can_be_exchanged(tmp_path: Path) -> None:
    changed = load_spec(spec(tmp_path, {"python": "ready", "backbone": {"name": "mlp", "hidden": [2]}})).problem
    assert changed.network == MLP(hidden=(2,))
    assert changed.reference == (1.0, 1.0)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ({"python": "problem", "scal": 2.0}, "problem.scal: unknown key; .*did you mean 'scale'"),
        ({"python": "ready", "scale": 2.0}, "problem.scale: unknown key"),
        ({"python": "TASKS"}, "neither a class nor a function, so it cannot be a problem"),
        ({"python": "Net"}, "is not a problem: it must derive from"),
        ({"python": "unnamed"}, "the network could not be saved with the model: .* top level of its file"),
        ({"python": "nothing"}, "must return a problem, but returned a int"),
    ],
)
def test_what_is_wrong_is_told_before_training(problem: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(MoframeworkError, match=words):
        solve(spec(tmp_path, dict(problem)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_class_of_modules_is_a_backbone_in_a_spec(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    net = {"python": f"{tmp_path / 'mine.py'}:Net", "width": 5}
    changed = load_spec(spec(tmp_path, {"python": "ready", "backbone": net})).problem
    assert changed.backbone().first.out_features == 5  # type: ignore[union-attr]
    changed.check()
