"""Two processes: what they tell each other, and trainings and evaluations that they share."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from moframework.config.structure import build
from moframework.data import TensorData
from moframework.engine.checkpoint import read_checkpoint
from moframework.engine.evaluate import Evaluator
from moframework.engine.fit import fit
from moframework.engine.method import Method
from moframework.engine.settings import Distributed, Training
from moframework.errors import DataError, InterruptedRun, MoframeworkError, NonFiniteLossError, RunError
from moframework.objectives.linear import Linear
from moframework.objectives.uncertainty import Uncertainty
from moframework.optim import Optimizer
from moframework.pareto.front import Front
from moframework.processes import process_group as module
from moframework.processes.world import World
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.low_rank import LowRank
from tests.engine.conftest import CPU, Conflict, job_for, method, model_for, same_state
from tests.engine.distributed.processes import in_processes
from tests.engine.test_calibration import Normalized

POINTS = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])


def raised(call: Any, *arguments: Any) -> tuple[str, str]:
    try:
        call(*arguments)
    except MoframeworkError as error:
        return type(error).__name__, str(error)
    return "", ""


LEFT = """
from pathlib import Path
from moframework.processes.process_group import ProcessGroup

with ProcessGroup.from_environment() as group:
    assert not group.any_rank(False)
    import torch.distributed.nn
print([(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()])
"""


def fail_in(world: World, rank: int) -> None:
    with world.fail_together():
        if world.rank == rank:
            raise DataError("no such file")


def words(world: World) -> dict[str, Any]:
    """Everything a process says or asks, and what it gets."""
    own = torch.full((2 - world.rank, 2), world.rank + 1.0, requires_grad=True)
    rows = world.all_gather_rows(own, 3)
    (rows * torch.tensor([[1.0], [2.0], [3.0]])).sum().backward()
    parts = [nn.Parameter(torch.zeros(3)) for _ in range(4)]
    parts[0].grad = torch.full((3,), 2.0 * world.rank)
    if world.rank == 1:
        parts[1].grad = torch.ones(3)
    parts[2].grad = torch.arange(3.0) + world.rank
    module._BUCKET_BYTES = 16  # more than one bucket
    world.average_gradients(parts)
    module._BUCKET_BYTES = 32 * 2**20
    given = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).t() * (world.rank + 1)
    world.broadcast([given], source=1)
    world.seed(7)
    alone = torch.rand(2)
    with world.shared_rng():
        alike = torch.rand(2)
    alone_again = torch.rand(2)
    with world.shared_rng():
        alike_again = torch.rand(2)
    return {
        "rank": (world.rank, world.size, world.is_rank_zero, world.backend),
        "rows": (rows.detach(), own.grad),
        "gradients": [p.grad for p in parts],
        "broadcast": given,
        "any_rank": (world.any_rank(world.rank == 1), world.any_rank(False)),
        "made": world.from_rank_zero(lambda: Path(f"of-{world.rank}")),
        "refused": raised(world.from_rank_zero, lambda: 1 / 0 if not world.is_rank_zero else no_folder()),
        "first fails": raised(fail_in, world, 0),
        "second fails": raised(fail_in, world, 1),
        "drawn": (alone, alike, alone_again, alike_again),
    }


def no_folder() -> None:
    raise RunError("not a run")


def front(world: World, size: int) -> Front:
    problem = Conflict(size=size)
    model = model_for(problem, method())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.linspace(-0.3, 0.3, parameter.numel()).view(parameter.shape))
    evaluator = Evaluator(problem=problem, place=CPU, batch_size=4, world=world)
    return evaluator.front(model, problem.data("test"), POINTS, "test")


class StopAt:
    """Asks for a stop after some steps, in one process."""

    def __init__(self, step: int) -> None:
        self.left = step

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


def trained(  # noqa: PLR0913  what the tests below vary, each by its name
    world: World,
    folder: Path,
    preferences: str = "shared",
    problem: Conflict | None = None,
    parts: Method | None = None,
    batchnorm: str = "local",
    optimizer: str = "adam",
    holding: str = "replicated",
    parameters: str = "replicated",
    on_nonfinite: str = "stop",
    **options: Any,
) -> dict[str, Tensor]:
    problem = Conflict(size=29) if problem is None else problem
    parts = method(objective=Uncertainty()) if parts is None else parts
    model = model_for(problem, parts)
    training = Training(
        epochs=2,
        batch_size=8,
        drop_last=False,
        clip_gradient_norm=1.0,
        on_nonfinite=on_nonfinite,
        optimizer=build(Optimizer, {"name": optimizer, "lr": 1e-2}),
        distributed=Distributed(preferences=preferences, batchnorm=batchnorm, optimizer=holding, parameters=parameters),
    )
    asked = {name: options.pop(name) for name in ("observer", "resume", "stop") if name in options}
    job = job_for(model, problem, parts, folder, training, **{"preferences": POINTS, "seed": 3, **options})
    fit(job, world=world, **asked)
    return dict(model.state_dict())


def mixed() -> Method:
    """Parameters of many sizes, one of a single number, some frozen midway, and those of an objective."""
    return method(objective=Uncertainty(), weights=LowRank(rank=1, freeze_after=0.6))


def spoiled() -> TensorData:
    """One target is infinite: one process sees it."""
    data = Conflict(size=29).data("train")
    targets = {key: value.clone() for key, value in data.targets.items()}
    targets["cosine"][5] = torch.inf
    return TensorData(data.inputs, targets)


SKIPPED: dict[str, dict[str, Any]] = {
    "skipped shared": {},
    "skipped spread": {"preferences": "spread"},
    "skipped sharded": {"parts": mixed(), "holding": "sharded"},
}


def trainings(world: World, folder: Path) -> dict[str, Any]:
    hull = method(weights=ConvexHull(), objective=Linear())
    found: dict[str, Any] = {"words": words(world)}
    for preferences in ("shared", "spread"):
        found[preferences] = trained(world, folder / preferences, preferences)
    for optimizer in ("adam", "adagrad", "nadam"):
        found[f"sharded {optimizer}"] = trained(
            world, folder / f"sharded {optimizer}", parts=mixed(), optimizer=optimizer, holding="sharded"
        )
    found["sharded stopped"] = raised(
        lambda: trained(world, folder / "sharded stopped", parts=mixed(), holding="sharded", stop=StopAt(3))
    )
    found["sharded resumed"] = trained(world, folder / "begun alone", resume=True, parts=mixed(), holding="sharded")
    for kind in ("local", "synchronized"):
        # Adam would blow up the gradients of biases before BatchNorm, which are rounding.
        found[kind] = trained(
            world, folder / kind, problem=Normalized(size=29), parts=hull, batchnorm=kind, optimizer="sgd"
        )
    found["stopped"] = raised(
        lambda: trained(world, folder / "stopped", stop=StopAt(3) if world.rank == 1 else lambda: False)
    )
    found["spoiled"] = raised(lambda: trained(world, folder / "spoiled", data=spoiled()))
    for name, options in SKIPPED.items():
        found[name] = trained(world, folder / name, data=spoiled(), on_nonfinite="skip", **options)
    found["fronts"] = {size: front(world, size).to_json() for size in (13, 2, 1)}
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("group")


@pytest.fixture(scope="module")
def both(folder: Path) -> list[dict[str, Any]]:
    with pytest.raises(InterruptedRun):
        trained(World(), folder / "begun alone", parts=mixed(), stop=StopAt(3))
    found: list[dict[str, Any]] = in_processes(trainings, folder, folder)
    return found


def close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}")


def test_what_processes_tell_each_other(both: list[dict[str, Any]]) -> None:
    first, second = (found["words"] for found in both)
    assert first["rank"] == (0, 2, True, "gloo")
    assert second["rank"] == (1, 2, False, "gloo")
    for found in (first, second):
        assert found["rows"][0].tolist() == [[1, 1], [1, 1], [2, 2]]
        means = [None if g is None else g.tolist() for g in found["gradients"]]
        assert means == [[1, 1, 1], [0.5, 0.5, 0.5], [0.5, 1.5, 2.5], None]
        assert found["broadcast"].tolist() == [[2, 6], [4, 8]]
        assert found["any_rank"] == (True, False)
        assert found["made"] == Path("of-0")
    assert first["rows"][1].tolist() == [[2, 2], [4, 4]], "twice its own: gradients are averaged"
    assert second["rows"][1].tolist() == [[6, 6]]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are read from /proc")
def test_no_thread_of_a_group_outlives_it() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    alone = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ended = subprocess.run(
        [sys.executable, "-c", LEFT], env={**os.environ, **alone}, capture_output=True, text=True, check=True
    )
    assert "gloo" not in ended.stdout


def test_processes_fail_together_and_one_tells(both: list[dict[str, Any]]) -> None:
    first, second = (found["words"] for found in both)
    assert first["refused"] == ("RunError", "not a run")
    assert second["refused"] == ("PeerError", "process 0 of 2 failed: RunError: not a run")
    assert first["first fails"] == ("DataError", "no such file")
    assert second["first fails"] == ("PeerError", "process 0 of 2 failed: DataError: no such file")
    assert first["second fails"] == ("RunError", "process 1 of 2 failed: DataError: no such file")
    assert second["second fails"] == ("PeerError", "process 1 of 2 failed: DataError: no such file")


def test_random_numbers_are_alike_where_they_must_be(both: list[dict[str, Any]]) -> None:
    (own, alike, own_again, alike_again), others = (found["words"]["drawn"] for found in both)
    torch.manual_seed(7)
    assert torch.equal(torch.cat([alike, alike_again]), torch.rand(4)), "as a single process draws them"
    assert torch.equal(alike, others[1])
    assert torch.equal(alike_again, others[3])
    drawn = torch.cat([own, own_again, others[0], others[2], alike, alike_again])
    assert len(drawn.unique()) == 12


@pytest.mark.parametrize("preferences", ["shared", "spread"])
def test_a_training_is_that_of_one_process(
    preferences: str, both: list[dict[str, Any]], folder: Path, tmp_path: Path
) -> None:
    expected = trained(World(), tmp_path)
    first, second = (found[preferences] for found in both)
    close(first, expected)
    assert same_state(first, second), "replicas never drift apart"
    checkpoint, alone = read_checkpoint(folder / preferences / "last.pt"), read_checkpoint(tmp_path / "last.pt")
    close(checkpoint["objective"], alone["objective"])
    assert checkpoint["best"]["hypervolume"] == pytest.approx(alone["best"]["hypervolume"], rel=1e-4)
    written, expected_files = ({path.name for path in place.glob("*.pt")} for place in (folder / preferences, tmp_path))
    assert written == expected_files
    assert {"best.pt", "last.pt"} <= written


def test_a_stop_in_one_process_stops_all_and_any_number_resumes(
    both: list[dict[str, Any]], folder: Path, tmp_path: Path
) -> None:
    for found in both:
        assert found["stopped"][0] == "InterruptedRun"
        assert "step 3 of 8" in found["stopped"][1]
    expected = trained(World(), tmp_path)
    close(trained(World(), folder / "stopped", resume=True), expected)


@pytest.mark.parametrize("optimizer", ["adam", "adagrad", "nadam"])
def test_a_sharded_optimizer_takes_the_same_steps(
    optimizer: str, both: list[dict[str, Any]], folder: Path, tmp_path: Path
) -> None:
    expected = trained(World(), tmp_path, parts=mixed(), optimizer=optimizer)
    for found in both:
        close(found[f"sharded {optimizer}"], expected)
    whole, alone = (
        read_checkpoint(place / "last.pt")["optimizer"] for place in (folder / f"sharded {optimizer}", tmp_path)
    )
    assert whole["param_groups"] == alone["param_groups"]
    assert whole["state"].keys() == alone["state"].keys()
    for index, entries in alone["state"].items():
        close(whole["state"][index], entries)


def test_a_sharded_training_is_resumed_by_one_process_and_the_other_way(
    both: list[dict[str, Any]], folder: Path, tmp_path: Path
) -> None:
    expected = trained(World(), tmp_path, parts=mixed())
    assert both[1]["sharded stopped"][0] == "InterruptedRun"
    close(trained(World(), folder / "sharded stopped", resume=True, parts=mixed()), expected)
    for found in both:
        close(found["sharded resumed"], expected)


def test_a_loss_that_is_not_finite_stops_all(both: list[dict[str, Any]]) -> None:
    with pytest.raises(NonFiniteLossError) as alone:
        trained(World(), Path("nowhere"), data=spoiled())
    for found in both:
        assert found["spoiled"] == ("NonFiniteLossError", str(alone.value))


@pytest.mark.parametrize("name", SKIPPED)
def test_all_skip_the_steps_that_one_would(name: str, both: list[dict[str, Any]], folder: Path, tmp_path: Path) -> None:
    alone = {key: value for key, value in SKIPPED[name].items() if key == "parts"}
    expected = trained(World(), tmp_path, data=spoiled(), on_nonfinite="skip", **alone)
    for found in both:
        close(found[name], expected)
    states = [read_checkpoint(place / "last.pt")["skipped"] for place in (tmp_path, folder / name)]
    assert states[0] == states[1]
    assert states[0]["steps"] == 2  # the row comes up once an epoch


def test_statistics_of_the_whole_batch_make_batch_norm_exact(both: list[dict[str, Any]], tmp_path: Path) -> None:
    hull = method(weights=ConvexHull(), objective=Linear())
    expected = trained(World(), tmp_path, problem=Normalized(size=29), parts=hull, optimizer="sgd")
    for found in both:
        close(found["synchronized"], expected)


def test_local_statistics_differ_a_little_and_their_mean_is_kept(both: list[dict[str, Any]], folder: Path) -> None:
    first, second = (found["local"] for found in both)
    assert same_state(first, second)
    assert same_state(first, read_checkpoint(folder / "local" / "last.pt")["model"])
    mean, exact = (found["skeleton.1.running_mean"] for found in (first, both[0]["synchronized"]))
    assert 0 < float((mean - exact).norm() / exact.norm()) < 0.5


@pytest.mark.parametrize("size", [13, 2, 1])
def test_a_front_is_that_of_one_process(size: int, both: list[dict[str, Any]]) -> None:
    expected = front(World(), size)
    for found in both:
        other = Front.from_json(found["fronts"][size])
        np.testing.assert_allclose(other.losses, expected.losses, rtol=1e-6)
        for name, values in expected.metrics.items():
            np.testing.assert_allclose(other.metrics[name], values, rtol=1e-6)
