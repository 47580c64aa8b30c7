"""Training samples that are set aside for an objective: which, what is told, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils.data

from moframework import TensorData, load_spec, solve
from moframework.data.collate import collate_of
from moframework.errors import SpecError
from moframework.objectives.auto_lambda import AutoLambda
from moframework.run.held_out import hold_out
from moframework.run.plan import plan
from tests.engine.conftest import Conflict, method

SPEC: dict[str, Any] = {
    "problem": {"name": "digits", "train": 64, "val": 32, "test": 32},
    "solver": {"name": "single", "objective": {"name": "auto_lambda", "held_out": 0.25}},
    "training": {"steps": 3, "batch_size": 32},
}


@pytest.mark.parametrize("solver", ["palora", "pamal", "cosmos"])
def test_solvers_that_draw_preferences_are_refused(solver: str) -> None:
    with pytest.raises(SpecError, match="draws others at each step; use it with single"):
        plan(load_spec({**SPEC, "solver": {**SPEC["solver"], "name": solver}}))


def splits(data: Any) -> Any:
    return {"train": data, "val": Conflict().data("val"), "test": Conflict().data("test")}


def test_samples_are_divided_at_random_by_the_seed_alone() -> None:
    data, parts = Conflict().data("train"), method(objective=AutoLambda(held_out=0.25))
    rest, aside = hold_out(parts, splits(data), 0)
    assert isinstance(aside, TensorData)
    assert (len(aside), len(rest["train"])) == (16, 48)
    both = torch.cat([aside.inputs, rest["train"].inputs]).flatten()
    assert torch.equal(both.sort().values, data.inputs.flatten().sort().values), "each is on one side"
    again, other = (hold_out(parts, splits(data), seed)[1] for seed in (0, 1))
    assert torch.equal(again.inputs, aside.inputs)
    assert not torch.equal(other.inputs, aside.inputs)
    given = splits(data)
    assert hold_out(method(), given, 0) == (given, None)


def test_data_that_loads_its_samples_keeps_its_collate_function() -> None:
    class Loaded(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> Any:
            return torch.tensor([float(index)]), {}

        def collate(self, items: Any) -> Any:
            return items

    data = Loaded()
    rest, aside = hold_out(method(objective=AutoLambda(held_out=0.5)), splits(data), 0)
    assert sorted(float(x) for part in (rest["train"], aside) for x, _ in part) == list(range(8))
    assert collate_of(aside) == collate_of(data)


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_nothing_on_one_side_is_refused(share: float) -> None:
    with pytest.raises(SpecError, match="at least one must be held out"):
        hold_out(method(objective=AutoLambda(held_out=share)), splits(Conflict().data("train")), 0)


def test_an_order_of_its_own_is_refused() -> None:
    class Twice:
        def size(self, batch_size: int) -> int:
            return 128

        def order(self, batch_size: int, generator: torch.Generator) -> torch.Tensor:
            return torch.arange(64).repeat(2)

    data = Conflict().data("train")
    data.epochs = Twice()
    with pytest.raises(SpecError, match="has an order of its own"):
        hold_out(method(objective=AutoLambda(held_out=0.5)), splits(data), 0)
    assert hold_out(method(objective=AutoLambda()), splits(data), 0)[1] is None


def test_the_plan_tells_it_and_the_run_resumes(tmp_path: Path) -> None:
    ready = plan(load_spec(SPEC))
    assert any("16 training samples are held out" in line for line in ready.describe())
    assert len(ready.data["train"]) == 48
    assert ready.job(tmp_path, (1.0, 1.0)).held_out is ready.held_out
    run = solve(SPEC, tmp_path / "run")
    assert run.front("test").losses.shape == (1, 2)
