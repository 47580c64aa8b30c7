"""A note where running statistics that all preferences share do not fit the single ones."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from moframework import load_spec, solve
from moframework.data import batches
from moframework.engine.evaluate import Evaluator
from moframework.model import ParetoModel
from moframework.processes.world import World
from moframework.run.batchnorm_gap import batchnorm_gap
from moframework.run.plan import Plan, plan


class Normed(nn.Module):
    """A small network with BatchNorm for digits."""

    def __init__(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), 16), nn.BatchNorm1d(16), nn.ReLU())
        nn.init.constant_(self.body[1].bias, 3.0)  # far from where running means begin
        self.heads = nn.ModuleDict({key: nn.Linear(16, width) for key, width in outputs.items()})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.body(x)
        return {key: head(features) for key, head in self.heads.items()}


BACKBONE = {"python": f"{__file__}:Normed"}
SPEC = {
    "problem": {"name": "digits", "train": 256, "val": 64, "test": 64, "backbone": BACKBONE},
    "solver": {"name": "palora", "rank": 1},
    "training": {"steps": 1, "batch_size": 64, "device": "cpu"},
    "evaluate": {"points": 3},
}


def note_of(ready: Plan, model: ParetoModel) -> str | None:
    spec = ready.spec
    evaluator = Evaluator.of_spec(spec.problem, ready.place, spec.training, spec.evaluate, World())
    return batchnorm_gap(model, evaluator, ready.data["train"], ready.data["val"], ready.preferences)


def test_statistics_that_fit_none_are_told_with_both_losses() -> None:
    ready = plan(load_spec(SPEC))
    with torch.no_grad():
        for norm in ready.model.norms().values():
            norm.running_mean.fill_(-3.0)
    told = note_of(ready, ready.model) or ""
    found = re.search(r"at λ = \((.*)\) the validation loss of '(\w+)' is (\S+) with .* and (\S+) with", told)
    assert found is not None, told
    assert float(found[3]) > 1.05 * float(found[4])
    assert "evaluate.batchnorm: recalibrate" in told


def test_statistics_that_fit_are_not() -> None:
    ready = plan(load_spec(SPEC))
    x, _ = next(batches(ready.data["train"], 256, order=None, device="cpu"))
    fresh = ready.model.batch_statistics(ready.preferences[1:2], [x])[0]
    with torch.no_grad():
        for name, buffer in ready.model.skeleton.named_buffers():
            buffer.copy_(fresh.get(name, buffer))
    assert note_of(ready, ready.model) is None


def test_a_run_carries_the_note(tmp_path: Path) -> None:
    """After one step the running statistics are still near those of the start."""
    text = "Running statistics of BatchNorm do not fit every preference"
    assert text in (solve(load_spec(SPEC), tmp_path / "run").path / "report.txt").read_text()
    spec = load_spec({**SPEC, "evaluate": {"points": 3, "batchnorm": "recalibrate"}})
    assert text not in (solve(spec, tmp_path / "again").path / "report.txt").read_text()
