"""COSMOS: the preference is read with the input."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from moframework.errors import SpecError
from moframework.objectives.cosine_penalty import CosinePenalty
from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.cosmos import COSMOS
from tests.solvers.tiny import planned, solved


def test_defaults_are_the_papers() -> None:
    method = COSMOS().method(2)
    assert method.preferences == Dirichlet(concentration=1.2, per_batch=1)
    assert method.objective == CosinePenalty(coefficient=2.0)


def test_solves_images(tmp_path: Path) -> None:
    model = solved("cosmos", tmp_path / "run").model()
    x = torch.rand(2, 1, 20, 20)
    torch.testing.assert_close(model.at([1, 3])(x)["left"], model(x, torch.tensor([0.25, 0.75]))["left"])


def test_solves_vectors_with_gradients_of_each_task(tmp_path: Path) -> None:
    solved({"name": "cosmos", "balancing": ["gradient"]}, tmp_path / "run", {"name": "quadratics", "form": "linear"})


def test_overhead_counts_from_the_plain_network() -> None:
    ready = planned("cosmos")
    own = sum(p.numel() for p in ready.model.space.parameters())
    # two more input channels for ten 5×5 kernels, and the transposed convolutions
    assert own - ready.backbone_parameters == 2 * 10 * 25 + 52 * 4


def test_a_bare_decision_vector_is_refused_with_the_reason() -> None:
    with pytest.raises(SpecError, match="reads no input"):
        planned("cosmos", {"name": "quadratics", "form": "vector"})
