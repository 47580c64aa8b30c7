"""PaLoRA's forms of adapters, and its penalty."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from moframework.errors import SpecError
from moframework.solvers.palora import PaLoRA
from moframework.weights.loha import LoHa
from moframework.weights.lokr import LoKr
from moframework.weights.low_rank import LowRank
from tests.solvers.tiny import planned, solved


def test_defaults_are_as_published() -> None:
    assert PaLoRA().method(2).weights == LowRank(rank=4, alpha=1.0, conv="loralib")


def test_what_an_adapter_is_can_be_exchanged() -> None:
    options = {"rank": 2, "alpha": 3.0, "adapter_lr_factor": 1.5}
    made = [PaLoRA(adapter=name, **options).method(2).weights for name in ("loha", "lokr")]  # type: ignore[arg-type]
    assert made == [LoHa(rank=2, alpha=3.0, lr_factor=1.5), LoKr(rank=2, alpha=3.0, lr_factor=1.5)]
    assert PaLoRA(orthogonal=0.5).method(2).weights == LowRank(orthogonal=0.5)


@pytest.mark.parametrize("changes", [{"conv": "peft"}, {"orthogonal": 0.1}])
def test_options_of_lora_are_refused_elsewhere(changes: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="is of adapter lora alone, but adapter is loha"):
        PaLoRA(adapter="loha", **changes).method(2)  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{"adapter": "loha"}, {"adapter": "lokr"}, {"orthogonal": 0.1}])
def test_solves_with_parts_exchanged(changes: dict[str, object], tmp_path: Path) -> None:
    solved({"name": "palora", "rank": 2, **changes}, tmp_path / "run")


@pytest.mark.parametrize("solver", [{"name": "palora", "rank": 2}, {"name": "pamal"}, {"name": "pamal", "frozen": [1]}])
def test_members_may_stand_for_other_preferences(solver: dict[str, object], tmp_path: Path) -> None:
    rows = [[0.7, 0.3], [0.3, 0.7]]
    run = solved({**solver, "trained_at": rows}, tmp_path / "run")
    front = run.evaluate(points=5)
    assert front.losses.shape == (5, 2)
    one, x = run.model().eval(), run.spec.problem.data("test")[:4][0]
    for preference in (*rows, [1.0, 0.0]):
        for key, value in one(x, preference).items():
            torch.testing.assert_close(one.at(preference).eval()(x)[key], value)
    mixed = one(x, torch.tensor([rows[0], rows[1], [1.0, 0.0], [0.5, 0.5]]))
    torch.testing.assert_close(mixed["left"][2], one(x, [1.0, 0.0])["left"][2])
    with pytest.raises(SpecError, match=r"solver.trained_at: .* depend on each other"):
        planned({**solver, "trained_at": [[1, 0], [1, 0]]})
    plain = planned(solver).model.space
    assert type(plain) is type(run.model().space.space)
