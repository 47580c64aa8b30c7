"""One multi-task network by any weighting."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from moframework.errors import SpecError
from moframework.preferences.single import Single
from moframework.solvers.single import SinglePoint
from moframework.weights.finite import Finite
from tests.solvers.tiny import planned, solved


def test_all_tasks_alike_unless_told_otherwise() -> None:
    method = SinglePoint().method(3)
    assert method.weights == Finite(anchors=((1 / 3,) * 3,))
    generator = torch.Generator()
    torch.testing.assert_close(method.preferences.draw(1.0, 1, 3, generator), torch.full((1, 3), 1 / 3))
    method = SinglePoint(preference=(1, 3)).method(2)
    assert method.weights == Finite(anchors=((0.25, 0.75),))
    assert method.preferences == Single(preference=(1, 3))
    assert SinglePoint().method(1).weights == Finite(anchors=((1.0,),))


@pytest.mark.parametrize("objective", ["linear", "uncertainty", "nash_mtl", "famo", "rlw"])
def test_its_front_is_a_point(objective: str, tmp_path: Path) -> None:
    run = solved({"name": "single", "objective": objective, "preference": [1, 2]}, tmp_path / "run")
    front = run.front("test")
    assert front.losses.shape == (1, 2)
    torch.testing.assert_close(torch.tensor(front.preferences), torch.tensor([[1 / 3, 2 / 3]]).double())
    summary = run.summary()
    assert summary["parameters"] == summary["backbone_parameters"]


@pytest.mark.parametrize(
    ("preference", "words"),
    [([1, 2, 3], "3 numbers; the problem has 2 tasks"), ([0, 0], "not all zero"), ([-1, 2], "at least 0")],
)
def test_wrong_preferences_are_refused(preference: list[float], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        planned({"name": "single", "preference": preference})
