"""Runs on two data sets, one for each task: every solver, the losses of each set alone, resumed, and what people are
told. In two processes: tests/engine/distributed/test_inputs.py."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from moframework import Problem, check, load_spec, problem_from_parts, solve
from moframework.config import build
from moframework.data import TensorData, batches
from moframework.engine.evaluate import Evaluator
from moframework.engine.fit import fit
from moframework.engine.loop import Loop
from moframework.errors import DataError, InterruptedRun, NonFiniteLossError
from moframework.io.sealed import read_json
from moframework.pareto.front import Front
from moframework.processes.world import World
from moframework.run.plan import plan
from moframework.solvers.base import Solver
from moframework.testing import Subset, without_options

SIZES = {"sum": 60, "sign": 45}
DIVIDED = {"name": "palora", "preferences": {"name": "annealed", "per_batch": 3, "batch": "split"}}

FINELY = {"name": "palora", "preferences": {"name": "annealed", "per_batch": 12, "batch": "split"}}


class Net(nn.Module):
    def __init__(self, input_shape: tuple[int, ...], norm: bool = False) -> None:
        super().__init__()
        self.body, self.norm = nn.Linear(input_shape[0], 12), nn.BatchNorm1d(12) if norm else nn.Identity()
        self.sum, self.sign = nn.Linear(12, 1), nn.Linear(12, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.norm(self.body(x)).relu()
        return self.sum(hidden), self.sign(hidden)


class Normed(Net):
    def __init__(self, input_shape: tuple[int, ...]) -> None:
        super().__init__(input_shape, norm=True)


class Items(torch.utils.data.Dataset[Any]):
    """Samples of a `TensorData`, made when asked for."""

    def __init__(self, data: TensorData) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        return self.data[index]


def made(name: str, split: str, broken: bool = False) -> TensorData:
    generator = torch.Generator().manual_seed(len(name) * 10 + len(split))
    x = torch.randn(SIZES[name], 2, generator=generator)
    if broken:
        x[7] = torch.inf
    target = x.sum(dim=1) if name == "sum" else (x[:, 0] > x[:, 1]).long()
    return TensorData(x, {"y": target})


def two(
    by: str = "ratio", ratio: str = "equal", loaded: bool = False, broken: bool = False, norm: bool = False
) -> Problem:
    def of(name: str) -> Any:
        def split(which: str) -> Any:
            data = made(name, which, broken and which == "train" and name == "sign")
            return Items(data) if loaded else data

        return split

    tasks: Any = {
        "sum": {"loss": "mse", "metrics": ["mae"]},
        "sign": {"loss": "cross_entropy", "metrics": ["accuracy"], "size": 2},
    }
    return problem_from_parts(
        tasks,
        Normed if norm else Net,
        {name: of(name) for name in SIZES},
        reference=(2, 2),
        batches={"by": by, "ratio": ratio},
    )


def spec(solver: Any = "palora", training: Any = None, **options: Any) -> dict[str, Any]:
    return {
        "problem": {"python": "tests.run.test_sets:two", **options},
        "solver": solver,
        "training": {"steps": 9, "batch_size": 12, "device": "cpu", **(training or {})},
        "evaluate": {"points": 3, "every": 0},
    }


def trains(name: str) -> bool:
    """Whether a solver trains on samples by itself: not with networks that others trained, nor by a search."""
    solver = Solver.lookup(name)
    assert issubclass(solver, Solver)
    return not solver.needs_members and not solver.searches


def trained(folder: Path, given: dict[str, Any], **options: Any) -> tuple[Front, dict[str, Tensor]]:
    """The test front of a training, and the state that it ends with."""
    ready = plan(load_spec(given))
    fit(ready.job(folder, (2.0, 2.0)), **options)
    settings = ready.spec
    evaluator = Evaluator.of_spec(settings.problem, ready.place, settings.training, settings.evaluate, World())
    front = evaluator.front(ready.model, ready.data["test"], ready.preferences, "test")
    return front, {key: value.clone() for key, value in ready.model.state_dict().items()}


@pytest.mark.parametrize("name", [name for name in without_options(Solver) if trains(name)])
def test_every_solver_trains_on_two_sets(name: str, tmp_path: Path) -> None:
    front, _ = trained(tmp_path, spec(name, {"steps": 3}))
    assert set(front.metrics) == {"sum/mae", "sign/accuracy"}
    assert np.isfinite(np.stack([*front.losses.T, *front.metrics.values()])).all()


@pytest.mark.parametrize("solver", ["palora", {"name": "single", "objective": "nash_mtl"}, "phn_hvi"])
def test_batches_of_one_set_go_too(solver: Any, tmp_path: Path) -> None:
    front, _ = trained(tmp_path, spec(solver, {"steps": 4}, by="turn"))
    assert np.isfinite(front.losses).all()


@pytest.mark.parametrize("solver", ["palora", DIVIDED], ids=["shared", "split"])
def test_losses_are_those_of_each_set_alone(solver: Any, tmp_path: Path) -> None:
    """Of the step: a preference's loss of a task is that of the samples that it sees of its set. Of the front: that
    of the whole test set of the task."""
    ready = plan(load_spec(spec(solver)))
    loop, m = Loop(ready.job(tmp_path, (2.0, 2.0))), 2
    ready.model.eval()  # so that samples do not know of each other
    x, targets = next(loop.batches())
    assert int((~targets["sum:sum"].isnan()).sum()) == 6
    count = ready.method.preferences.count(m)
    preferences = torch.rand(count, m, generator=torch.Generator().manual_seed(0))
    losses = loop.step.run(x, targets, preferences)
    groups = torch.arange(12).tensor_split(count) if solver is DIVIDED else [torch.arange(12)] * count
    for j, rows in enumerate(groups):
        known = rows[~targets["sum:sum"][rows].isnan()], rows[targets["sign:sign"][rows] >= 0]
        assert [len(own) for own in known] == [len(rows) // 2] * 2, "every group has its share of both sets"
        for t, (own, key, loss) in enumerate(zip(known, ("sum", "sign"), LOSSES, strict=True)):
            output = ready.model(x[own], preferences[j])[key].detach()  # type: ignore[index]
            torch.testing.assert_close(losses[j, t], loss(output, targets[f"{key}:{key}"][own]))


LOSSES = (lambda output, target: (output[:, 0] - target).square().mean(), nn.functional.cross_entropy)


def test_each_task_is_evaluated_on_its_own_set(tmp_path: Path) -> None:
    run = solve(spec(), tmp_path / "run")
    front, model = run.front("test"), run.model(trust=True).eval()
    for j, preference in enumerate(front.preferences):
        for t, (key, loss) in enumerate(zip(SIZES, LOSSES, strict=True)):
            data = made(key, "test")
            with torch.no_grad():
                output = model(data.inputs, torch.tensor(preference).float())[key]  # type: ignore[index]
            assert front.losses[j, t] == pytest.approx(float(loss(output, data.targets["y"])), rel=1e-5)
    labels = read_json(run.path / "data.json", advice="")["train"]["labels"]
    assert labels == {"counted_in": 105, "by_task": SIZES}


def test_sets_in_memory_and_loaded_ones_are_the_same(tmp_path: Path) -> None:
    (one, _), (other, _) = (trained(tmp_path / str(loaded), spec(loaded=loaded)) for loaded in (False, True))
    np.testing.assert_array_equal(one.losses, other.losses)


@pytest.mark.parametrize("by", ["ratio", "turn"])
def test_resumed_is_as_uninterrupted(by: str, tmp_path: Path) -> None:
    given = spec(DIVIDED, {"steps": 25}, by=by)
    _, whole = trained(tmp_path / "whole", given)
    asked = itertools.count(1)
    with pytest.raises(InterruptedRun):
        trained(tmp_path / "parts", given, stop=lambda: next(asked) >= 13)  # in the second epoch
    _, resumed = trained(tmp_path / "parts", given, resume=True)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_check_tells_sets_batches_and_epochs() -> None:
    lines = check(load_spec(spec(DIVIDED)))
    at = lines.index("sets        sum: train 60, val 60, test 60")
    assert lines[at + 1 : at + 6] == [
        "            sign: train 45, val 45, test 45",
        "            a batch of 12 has of each set: sum 6, sign 6",
        "            an epoch of 120 samples sees sum 1 times, sign 1.33 times",
        "labels      sum: train 60, val 60, test 60",
        "            sign: train 45, val 45, test 45",
    ]
    notes = [line for line in lines if line.startswith("note")]
    assert [" steps are few to learn anything" in line for line in notes] == [True]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (spec({"name": "single", "objective": "nash_mtl"}, by="turn"), "the objective nash_mtl has no others to weigh"),
        (spec(by="turn", norm=True), "BatchNorm layers are trained on the statistics of one set"),
        (spec(FINELY), "a preference sees 1 samples of a step, and in some steps none of set 'sum'"),
    ],
)
def test_what_does_not_go_well_together_gets_a_note(given: Any, words: str) -> None:
    assert any(words in line for line in plan(load_spec(given)).notes())


def test_a_batch_without_room_for_a_set_is_refused() -> None:
    with pytest.raises(DataError, match=r"set 'sign' has a share of 0.429 of a batch of 2, less than one .* to 3"):
        check(load_spec(spec(training={"batch_size": 2}, ratio="sizes")))


def test_a_message_names_the_set(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match=r"input of row 67 of the training split \(set 'sign', row 7\) is inf"):
        solve(spec(training={"epochs": 1, "steps": None, "log_every": 1}, broken=True), tmp_path / "run")


def test_a_subset_has_samples_of_all_sets() -> None:
    problem = build(Problem, {"python": "tests.run.test_sets:two"}, trust=True)  # type: ignore[type-abstract]
    data = Subset(problem=problem, samples=8).data("train")
    assert int(data.targets["sum:sum"].isnan().sum()) in (3, 4)
    x, _ = next(batches(data, 8, order=None, device="cpu"))
    assert len(x) == 8  # type: ignore[arg-type]
