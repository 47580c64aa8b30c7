"""Training on a CUDA device: no waiting inside a step, recorded steps, mixed precision, compiled networks, preferences
in one pass. Not run without one."""

from __future__ import annotations

import copy
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from moframework import solve
from moframework.backbones.base import Backbone
from moframework.config import build, config
from moframework.engine.evaluate import Evaluator
from moframework.engine.events import Observer
from moframework.engine.hooks import LossLog
from moframework.engine.loop import Loop
from moframework.engine.step import Step
from moframework.nonfinite.skipping import Skipping
from moframework.preferences.annealed import Annealed
from moframework.run.plan import plan
from moframework.spec import Spec

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SPEC: dict[str, Any] = {
    "problem": {"name": "digits", "train": 512, "val": 64, "test": 64},
    "training": {"device": "cuda", "epochs": 2, "batch_size": 64},
}
SOLVERS: tuple[Any, ...] = (
    {"name": "palora", "preferences": {"name": "annealed", "per_batch": 3, "batch": "split"}},
    {"name": "palora", "balancing": ["gradient"]},
    "pamal",
    "cosmos",
    {"name": "single", "objective": "uncertainty"},
)


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_a_step_never_waits_for_the_device(solver: Any) -> None:
    ready = plan(build(Spec, {**SPEC, "solver": solver}))
    ready.place.move(ready.model)
    step = Step(ready.model.train(), ready.spec.problem.tasks, ready.method, ready.place)
    x, targets = ready.data["train"].inputs[:64].cuda(), ready.data["train"].targets  # type: ignore[attr-defined]
    wanted = {key: value[:64].cuda() for key, value in targets.items()}
    count = ready.method.preferences.count(2)
    preferences = Annealed().draw(0.5, count, 2, torch.Generator().manual_seed(0))
    step.run(ready.place.arranged(x), wanted, preferences)  # what is loaded at first use may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        step.run(ready.place.arranged(x), wanted, preferences)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_ends_near_full_precision(precision: str, tmp_path: Path) -> None:
    fronts = {}
    for each in ("fp32", precision):
        training = {**SPEC["training"], "precision": each}
        run = solve({**SPEC, "solver": "palora", "training": training}, tmp_path / each)
        fronts[each] = run.front("test").losses
    assert abs(fronts[precision] - fronts["fp32"]).max() < 0.1


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("solver", ["palora", SOLVERS[0], SOLVERS[1]], ids=str)
def test_compiled_steps_train(recorded: bool, solver: Any, tmp_path: Path) -> None:
    fronts = {}
    for compiled in (False, True):
        training = {**SPEC["training"], "compile": compiled, "cuda_graph": recorded}
        run = solve({**SPEC, "solver": solver, "training": training}, tmp_path / str(compiled))
        fronts[compiled] = run.front("test").losses
        assert ("recorded as a CUDA graph" in (run.path / "log.txt").read_text()) is recorded
    assert run.summary()["compile_seconds"] > 0
    assert abs(fronts[True] - fronts[False]).max() < 0.02


class Notes(Observer):
    def __init__(self) -> None:
        self.words: list[str] = []

    def noted(self, words: str) -> None:
        self.words.append(words)


def taken(solver: Any, steps: int, recorded: bool | str, **training: Any) -> tuple[Loop, LossLog, list[str]]:
    """A loop after some steps on batches of its own, and what it noted."""
    options = {**SPEC["training"], "cuda_graph": recorded, **training}
    ready = plan(
        build(
            Spec,
            {**SPEC, "problem": {**SPEC["problem"], **BACKBONE}, "solver": solver, "training": options},
            trust=True,
        )
    )
    ready.place.move(ready.model)
    notes = Notes()
    loop = Loop(ready.job(Path(), (1.0, 1.0)), notes)
    loop.hooks = [losses := LossLog(loop)]
    ready.model.train()
    data = ready.data["train"].to("cuda")  # type: ignore[attr-defined]
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = torch.randint(len(data), (64,), generator=generator).cuda()
        x = ready.place.arranged(data.inputs[chosen])
        loop.train_step(x, {key: target[chosen] for key, target in data.targets.items()})
    return loop, losses, notes.words


@pytest.mark.parametrize("recorded", [True, False])
def test_a_step_is_skipped_without_waiting_for_the_device(recorded: bool) -> None:
    solver = {"name": "palora", "balancing": ["loss"]}
    loop, _, notes = taken(solver, 6, recorded, on_nonfinite="skip")
    assert any("recorded as a CUDA graph" in words for words in notes) is recorded
    loop.hooks = [skipping := Skipping(loop)]
    assert not skipping.reads
    data = loop.job.data
    x = loop.job.place.arranged(data.inputs[:64].cuda())  # type: ignore[attr-defined]
    targets = {key: target[:64].cuda() for key, target in data.targets.items()}  # type: ignore[attr-defined]
    before = copy.deepcopy([loop.model.state_dict(), loop.optimizer.state_dict()["state"], loop.step.state])
    torch.cuda.set_sync_debug_mode("error")
    try:
        loop.train_step(x * torch.nan, targets)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    after = [loop.model.state_dict(), loop.optimizer.state_dict()["state"], loop.step.state]
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    loop.train_step(x, targets)  # the last of an epoch, when flags are read
    assert (loop.done, loop.skipped_steps) == (8, 1)
    moved = [not torch.equal(value, before[0][name]) for name, value in loop.model.state_dict().items()]
    assert any(moved)


# With dropout, whose masks must be those of the step, and BatchNorm, whose statistics must move.
BACKBONE: dict[str, Any] = {"backbone": {"python": f"{__name__}:Mixed"}}


@config
class Mixed(Backbone):
    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        trunk = nn.Sequential(
            nn.Conv2d(input_shape[0], 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
            nn.Dropout(0.5),
        )  # fmt: skip
        return WithHeads(trunk, 128, outputs)


class WithHeads(nn.Module):
    def __init__(self, trunk: nn.Module, width: int, outputs: Mapping[str, int]) -> None:
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in outputs.items()})

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.trunk(x)
        return {name: head(features) for name, head in self.heads.items()}


@pytest.mark.parametrize(
    ("solver", "training"),
    [
        ("palora", {}),
        ("palora", {"precision": "bf16"}),
        ("palora", {"precision": "fp16", "clip_gradient_norm": 1.0}),
        (SOLVERS[0], {}),
        (SOLVERS[1], {}),
        ({"name": "palora", "balancing": ["loss", "gradient"]}, {}),
        ({"name": "pamal", "objective": "multi_forward", "preferences": {"name": "dirichlet", "per_batch": 3}}, {}),
        ("lorpman", {}),
        ("phn", {}),
        ("cosmos", {}),
        ({"name": "multipoint", "points": 3}, {}),
        ({"name": "single", "objective": "nash_mtl"}, {}),
        ("single", {"scheduler": {"name": "cosine_annealing"}}),
    ],
    ids=str,
)
def test_recorded_steps_are_the_same_steps(solver: Any, training: dict[str, Any]) -> None:
    plain, plain_losses, _ = taken(solver, 12, False, **training)
    recorded, recorded_losses, words = taken(solver, 12, True, **training)
    assert words
    assert set(words) == {"steps are recorded as a CUDA graph and replayed"}
    for (name, one), other in zip(plain.model.state_dict().items(), recorded.model.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=2e-3, atol=2e-4, msg=name)
    losses = [torch.stack([entry[1] for entry in log.entries]) for log in (plain_losses, recorded_losses)]
    torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-3)


def test_steps_with_a_part_on_the_host_are_not_recorded() -> None:
    _, losses, words = taken({"name": "palora", "objective": "epo"}, 6, "auto")
    assert len(words) == 1
    assert "the host computes a part" in words[0]
    assert len(losses.entries) == 6


def test_data_that_is_loaded_goes_with_recorded_steps(tmp_path: Path) -> None:
    training = {**SPEC["training"], "resident": False, "cuda_graph": True, "drop_last": False, "batch_size": 60}
    run = solve({**SPEC, "solver": "palora", "training": training}, tmp_path / "run")
    assert "recorded as a CUDA graph" in (run.path / "log.txt").read_text()


@pytest.mark.parametrize("solver", ["palora", "pamal", "cosmos"])
def test_fronts_in_one_pass_are_those_in_turn(solver: str) -> None:
    ready = plan(build(Spec, {**SPEC, "solver": solver}))
    ready.place.move(ready.model)
    points = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    found = {}
    for vectorized in (False, None, True)[: 2 if solver == "cosmos" else 3]:  # it concatenates in a memory order
        evaluator = Evaluator(problem=ready.spec.problem, place=ready.place, batch_size=20, accelerated=vectorized)
        found[vectorized] = evaluator.front(ready.model, ready.data["test"], points, "test")
        np.testing.assert_allclose(found[vectorized].losses, found[False].losses, rtol=1e-4)


def in_a_group_of_one(code: str) -> str:
    """What a program prints that joins a group over NCCL as its only process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    alone = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, env={**os.environ, **alone}, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_group_over_nccl() -> None:
    code = (
        "import torch\n"
        "from moframework.processes.process_group import ProcessGroup\n"
        "with ProcessGroup.from_environment() as group:\n"
        "    p = torch.nn.Parameter(torch.ones(3, device='cuda'))\n"
        "    p.grad = torch.full_like(p, 2.0)\n"
        "    group.average_gradients([p])\n"
        "    group.broadcast([p.data])\n"
        "    (total,) = group.all_reduce_sum([p])\n"
        "    total.sum().backward()\n"
        "    assert not group.any_rank(False) and group.backend\n"
        "    print(p.grad.tolist(), group.from_rank_zero(lambda: 7))\n"
    )
    assert in_a_group_of_one(code) == "[3.0, 3.0, 3.0] 7\n"


def test_sharded_parameters_over_nccl() -> None:
    code = (
        "import torch\n"
        "from moframework.processes.process_group import ProcessGroup\n"
        "from moframework.engine.distributed.fsdp import shard_parameters\n"
        "from moframework.weights.low_rank import LowRank\n"
        "from tests.weights.test_spaces import model\n"
        "from tests.weights.zoo import ZOO\n"
        "at = torch.tensor([0.3, 0.7])\n"
        "with ProcessGroup.from_environment():\n"
        "    for network in ('conv2d', 'transformer'):\n"
        "        x, found = ZOO[network].inputs().cuda(), []\n"
        "        for shards in (False, True):\n"
        "            torch.manual_seed(0)\n"
        "            made = model(network, LowRank()).cuda()\n"
        "            space = shard_parameters(made, torch.device('cuda')) if shards else None\n"
        "            made(x, at)['y'].square().mean().backward()\n"
        "            if space is None:\n"
        "                found.append({n: p.grad.cpu() for n, p in made.space.named_parameters()})\n"
        "            else:\n"
        "                found.append(space.unshard_values({n: p.grad for n, p in space.root.named_parameters()}))\n"
        "        torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-5)\n"
        "print('alike')\n"
    )
    assert in_a_group_of_one(code) == "alike\n"
