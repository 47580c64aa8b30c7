"""Problems in a spec: declared part by part, or a named one with parts exchanged; round trips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from moframework.augmentations.flip import Flip
from moframework.augmentations.scale_crop import ScaleCrop
from moframework.backbones.base import Backbone
from moframework.backbones.mlp import MLP
from moframework.config import OptionError, build, structure, unstructure
from moframework.data import NPZ
from moframework.errors import SpecError
from moframework.losses import MSE, BinaryCrossEntropy, CrossEntropy
from moframework.metrics import F1, MAE, Accuracy
from moframework.problem import Customized, Declared, Problem, ProblemOverrides, get_problem
from moframework.problem.task import Task, TaskOptions
from tests.problem.parts import Pictures, Shared


def changed(**overrides: Any) -> Problem:
    made, faults = structure(overrides, ProblemOverrides)
    assert not faults
    return Shared().customized(made)


def test_a_backbone_is_exchanged() -> None:
    problem = changed(backbone={"name": "mlp", "hidden": [5, 6]})
    assert problem.network == MLP(hidden=(5, 6))
    assert problem.tasks == Shared().tasks
    assert problem.reference == (1.0, 1.0)
    assert problem.true_front is not None
    assert problem.input_shape == (3,)
    assert torch.equal(problem.data("test").inputs, Shared().data("test").inputs)


def test_tasks_are_changed_and_added() -> None:
    problem = changed(
        tasks={"income": {"metrics": ["f1"]}, "more": {"loss": "mse", "target": "sex", "output": "income"}}
    )
    income, parity, more = problem.tasks
    assert income == Task(name="income", loss=BinaryCrossEntropy(), metrics=(F1(),))
    assert parity == Shared().tasks[1]
    assert more == Task(name="more", loss=MSE(), target="sex", output="income")
    assert problem.outputs == {"income": 1}
    problem.check()


def test_facts_go_with_the_losses_they_are_about() -> None:
    assert changed(tasks={"income": {"metrics": ["f1"]}}).reference == (1.0, 1.0)
    assert changed(tasks={"income": {"loss": "mse"}}).reference is None
    assert changed(tasks={"income": {"loss": "mse"}}).true_front is None
    assert changed(tasks={"income": {"loss": "mse"}}, reference=[2, 3]).reference == (2.0, 3.0)


@pytest.mark.parametrize(
    ("overrides", "key", "words"),
    [
        (
            {"tasks": {"incom": {"size": 2}}},
            "tasks.incom",
            r"no task 'incom'; did you mean 'income'\? tasks: income, parity",
        ),
        ({"tasks": {"a/b": {"loss": "mse"}}}, "tasks.a/b", "without dots"),
        ({"tasks": {"income": {"metrics": ["f1", "f1"]}}}, "tasks.income.metrics", "'f1' twice"),
        ({"reference": [1.0]}, "reference", "each of the 2 tasks, but has 1"),
        ({"tasks": {"more": {"loss": "mse"}}, "reference": [1.0, 1.0]}, "reference", "each of the 3 tasks"),
    ],
)
def test_changes_that_do_not_fit(overrides: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(OptionError, match=words) as error:
        changed(**overrides)
    assert error.value.key == key


def test_outputs_of_different_widths_are_refused() -> None:
    problem = changed(tasks={"parity": {"size": 2}})
    with pytest.raises(
        SpecError, match="'income' and 'parity' share the output 'income', but one has size 1 and the other 2"
    ):
        _ = problem.outputs


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3)).astype(np.float32)
    kind = rng.integers(0, 4, size=50)
    np.savez(tmp_path / "houses.npz", inputs=x, price=x.sum(axis=1), sold=x[:, 0] > 0, kind=kind)
    return tmp_path / "houses.npz"


def spec(houses: Path, **changes: Any) -> dict[str, Any]:
    return {
        "data": {"name": "npz", "path": str(houses)},
        "backbone": {"name": "mlp", "hidden": [8]},
        "tasks": {
            "price": {"loss": "mse", "metrics": ["mae"]},
            "sale": {"loss": "binary_cross_entropy", "metrics": ["accuracy"], "target": "sold"},
            "kind": {"loss": "cross_entropy", "size": 4, "output": "class"},
            "smooth": {"loss": {"name": "cross_entropy", "label_smoothing": 0.5}, "output": "class", "target": "kind"},
        },
        **changes,
    }


def declared(houses: Path, **changes: Any) -> Problem:
    return build(Problem, spec(houses, **changes))  # type: ignore[type-abstract]


def test_a_problem_declared_in_a_spec(houses: Path) -> None:
    problem = declared(houses, reference=[1, 1, 2, 2])
    assert isinstance(problem, Declared)
    assert problem.network == MLP(hidden=(8,))
    assert problem.input_shape == (3,)
    assert problem.outputs == {"price": 1, "sale": 1, "class": 4}
    assert problem.tasks == (
        Task(name="price", loss=MSE(), metrics=(MAE(),)),
        Task(name="sale", loss=BinaryCrossEntropy(), metrics=(Accuracy(),), target="sold"),
        Task(name="kind", loss=CrossEntropy(), size=4, output="class"),
        Task(name="smooth", loss=CrossEntropy(label_smoothing=0.5), size=4, output="class", target="kind"),
    )
    assert problem.reference == (1.0, 1.0, 2.0, 2.0)
    assert problem.true_front is None
    assert set(problem.data("train").targets) == {"price", "sold", "kind"}
    problem.check()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tasks": {}}, "tasks: must name at least one task"),
        ({"tasks": {"price": {"metrics": ["mae"]}}}, "tasks.price.loss: task 'price' needs a loss"),
        ({"reference": [1.0]}, "reference: must have a number for each of the 4 tasks, but has 1"),
        ({"tasks": {"price": {"loss": "mze"}}}, "mse"),
    ],
)
def test_declarations_that_do_not_fit(houses: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as error:
        declared(houses, **changes)
    assert words in str(error.value)


@pytest.mark.parametrize("part", ["data", "backbone", "tasks"])
def test_a_declaration_has_all_parts(houses: Path, part: str) -> None:
    given = spec(houses)
    del given[part]
    with pytest.raises(SpecError, match=f"{part}: is missing"):
        build(Problem, given)  # type: ignore[type-abstract]


def test_problems_survive_the_way_to_plain_data_and_back(houses: Path) -> None:
    problems = (
        declared(houses, reference=[1, 1, 2, 2]),
        get_problem("digits", seed=3),
        get_problem("digits", backbone="mlp", reference=[2, 2], tasks={"left": {"metrics": ["f1"]}}),
    )
    for problem in problems:
        assert build(Problem, unstructure(problem)) == problem  # type: ignore[type-abstract]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"tasks": {"prize": {"loss": "mse"}}},
            ["task 'prize': the data has no target 'prize'; did you mean 'price'? it has price, sold, kind"],
        ),
        (
            {"tasks": {"kind": {"loss": "cross_entropy", "size": 3}, "sold": {"loss": "cross_entropy"}}},
            [
                "task 'kind': targets run from 0 to 3, but size 3",
                "task 'sold': cross_entropy needs an output of at least 2",
            ],
        ),
        (
            {"tasks": {"price": {"loss": "mse", "size": 2}}},
            ["task 'price': the loss cannot be computed: mse needs", "(2, 2) and (2,)"],
        ),
    ],
)
def test_mismatches_are_told_before_training(houses: Path, changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SpecError) as error:
        declared(houses, **changes).check()
    assert all(word in str(error.value) for word in words)


def test_a_network_that_does_not_fit_the_inputs(houses: Path) -> None:
    with pytest.raises(SpecError, match="lenet needs images"):
        declared(houses, backbone="lenet").check()

    with pytest.raises(SpecError, match=r"the network cannot take inputs of shape \(3,\)"):
        Customized(base=Shared(), overrides=ProblemOverrides(backbone=_backbone(nn.Linear(5, 1)))).check()
    with pytest.raises(SpecError, match="but the network returned 2 outputs"):
        Customized(base=Shared(), overrides=ProblemOverrides(backbone=_backbone(_Twice()))).check()
    Customized(base=Shared(), overrides=ProblemOverrides(backbone=_backbone(nn.Linear(3, 1)))).check()


class _Twice(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def _backbone(module: nn.Module) -> Backbone:
    made: Any = Backbone.from_function(lambda: module)
    return made()  # type: ignore[no-any-return]


def test_parts_of_a_declaration_are_objects_or_data(houses: Path) -> None:
    tasks = {"price": TaskOptions(loss=MSE())}
    made, faults = structure({"data": NPZ(path=houses), "backbone": MLP(), "tasks": tasks}, Problem)
    assert not faults
    assert made.tasks == (Task(name="price", loss=MSE()),)


def test_augmentation_is_the_problems_unless_a_spec_names_others(tmp_path: Path) -> None:
    assert Shared().augmentation == ()
    assert Shared().maps == {}
    problem = Pictures()
    problem.check()
    own = problem.customized(ProblemOverrides(backbone=problem.network))
    assert own.augmentation == (Flip(),)
    assert own.maps == problem.maps
    made, faults = structure({"augmentation": ["flip", {"name": "scale_crop", "scales": [1, 2]}]}, ProblemOverrides)
    assert not faults
    other = problem.customized(made)
    assert other.augmentation == (Flip(), ScaleCrop(scales=(1.0, 2.0)))
    other.check()
    assert problem.customized(ProblemOverrides(augmentation=())).augmentation == ()


def test_a_declared_problem_says_what_its_maps_show(tmp_path: Path) -> None:
    data = Pictures().data("train")
    np.savez(tmp_path / "maps.npz", inputs=data.inputs, **data.targets)
    written = {
        "data": {"name": "npz", "path": str(tmp_path / "maps.npz")},
        "backbone": {"name": "segnet", "width": 2, "stages": 1},
        "tasks": {"class": {"loss": "cross_entropy", "size": 3}, "distance": {"loss": "mse"}},
        "augmentation": ["flip"],
        "maps": {"class": "classes", "distance": "depth"},
    }
    problem = build(Problem, written)  # type: ignore[type-abstract]
    assert problem.augmentation == (Flip(),)
    problem.check()
    assert build(Problem, unstructure(problem)) == problem  # type: ignore[type-abstract]
    with pytest.raises(SpecError, match=r"maps.class: must be 'classes', .* did you mean 'classes'"):
        build(Problem, {**written, "maps": {"class": "class"}})  # type: ignore[type-abstract]
    forgotten = build(Problem, {**written, "maps": {"class": "classes"}})  # type: ignore[type-abstract]
    with pytest.raises(SpecError, match=r"'distance' .* put it among the problem's `maps`"):
        forgotten.check()
