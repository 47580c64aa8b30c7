"""LORPMAN: orthogonal adapters, the main network frozen late."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from moframework.engine.events import Observer, Progress
from moframework.engine.fit import fit
from moframework.engine.settings import Evaluation, Training
from moframework.solvers.lorpman import LORPMAN
from moframework.weights.low_rank import LowRank, LowRankSpace
from tests.engine.conftest import Conflict, job_for, model_for
from tests.solvers.tiny import solved


def test_parts() -> None:
    method = LORPMAN(rank=2, scale=0.3).method(2)
    assert isinstance(method.weights, LowRank)
    assert method.weights.alpha / method.weights.rank == pytest.approx(0.3)
    assert (method.weights.freeze_after, method.weights.orthogonal) == (0.8, 0.1)


def test_the_main_network_stays_after_four_fifths_while_adapters_move(tmp_path: Path) -> None:
    problem, method = Conflict(), LORPMAN().method(2)
    model = model_for(problem, method)
    space = model.space
    assert isinstance(space, LowRankSpace)
    main: list[Tensor] = []
    adapters: list[Tensor] = []

    class Recorder(Observer):
        def stepped(self, progress: Progress) -> None:
            main.append(torch.cat([p.detach().flatten() for p in space.shared]))
            adapters.append(torch.cat([p.detach().flatten() for p in space.b]))

    training = Training(steps=10, batch_size=16)
    fit(job_for(model, problem, method, tmp_path, training, Evaluation(every=0)), observer=Recorder())
    moved = [not torch.equal(one, other) for one, other in itertools.pairwise(main)]
    assert moved == [True] * 7 + [False] * 2
    assert all(not torch.equal(one, other) for one, other in itertools.pairwise(adapters))


def test_the_penalty_makes_adapters_more_orthogonal(tmp_path: Path) -> None:
    def overlap(weight: float) -> float:
        options = {"name": "lorpman", "orthogonal": weight, "rank": 1}
        space = solved(options, tmp_path / str(weight), steps=12, optimizer={"name": "adam", "lr": 0.01}).model().space
        assert isinstance(space, LowRankSpace)
        space.orthogonal = 1.0
        penalty = space.penalty()
        assert penalty is not None
        return float(penalty.detach())

    assert overlap(1.0) < 0.5 * overlap(0.0)


@pytest.mark.parametrize(
    "changes",
    [{"conv": "peft"}, {"objective": {"name": "multi_forward"}, "freeze_after": None}, {"adapter_init": "nonzero"}],
)
def test_solves_with_parts_exchanged(changes: dict[str, object], tmp_path: Path) -> None:
    solved({"name": "lorpman", **changes}, tmp_path / "run")
