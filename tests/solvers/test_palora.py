"""PaLoRA's forms of adapters, and its penalty."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from moframework import ParetoModel, solve
from moframework.errors import InterruptedRun, SpecError
from moframework.run.signals import StopRequest
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


@pytest.mark.parametrize("changes", [{"conv": "peft"}, {"orthogonal": 0.1}, {"adapter_init": "pissa"}])
def test_options_of_lora_are_refused_elsewhere(changes: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="is of adapter lora alone, but adapter is loha"):
        PaLoRA(adapter="loha", **changes).method(2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"adapter": "loha"}, {"adapter": "lokr"}, {"orthogonal": 0.1},
        {"adapter_init": "pissa"}, {"adapter_init": "nonzero", "trained_at": [[0.8, 0.2], [0.2, 0.8]]},
    ],
)  # fmt: skip
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


CENTER = torch.tensor([0.5, 0.5])


def weights_at(solver: dict[str, object], preference: Tensor) -> dict[str, Tensor]:
    """θ(λ) as a training begins."""
    return planned({"name": "palora", "rank": 2, **solver}).model.weights(preference)


def test_where_adapters_start_leaves_the_network_where_it_was() -> None:
    expected = weights_at({}, CENTER)
    for init in ("pissa", "nonzero"):
        found = weights_at({"adapter_init": init}, CENTER)
        again = weights_at({"adapter_init": init}, CENTER)
        corner = weights_at({"adapter_init": init}, torch.tensor([1.0, 0.0]))
        for name, value in expected.items():
            assert torch.equal(found[name], again[name])
            torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-5)
        moved = max(float((corner[name] - value).detach().abs().max()) for name, value in expected.items())
        assert (moved > 1e-3) == (init == "nonzero")


def test_how_far_adapters_start_is_told() -> None:
    notes = {
        init: planned({"name": "palora", "rank": 2, "adapter_init": init}).remarks() for init in ("pissa", "nonzero")
    }
    assert re.search(r"adapters start as the principal part of their weights, \d+% of the norm", notes["pissa"][0])
    assert re.search(r"start at random: at the vertices weights are \d+\.\d% of their norm away", notes["nonzero"][0])


def test_adapters_that_start_elsewhere_are_saved_and_exported(tmp_path: Path) -> None:
    run = solved({"name": "palora", "rank": 2, "conv": "peft", "adapter_init": "pissa"}, tmp_path / "run")
    assert "adapter_init" not in (run.path / "model" / "model.json").read_text()  # a model is what it has become
    one, other = run.model().state_dict(), ParetoModel.load(run.path).state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    if importlib.util.find_spec("peft") is not None:
        run.export(tmp_path / "adapters")  # which PEFT itself answers alike, or it raises
        again = {"name": "palora", "rank": 40, "conv": "peft", "initial": str(tmp_path / "adapters")}
        begun = planned(again).model
        for name, value in run.model().weights(CENTER).items():
            torch.testing.assert_close(begun.weights(CENTER)[name], value, atol=1e-5, rtol=1e-4)
        with pytest.raises(
            SpecError, match=r"adapter_init: is pissa, but solver\.initial has an adapter for each task"
        ):
            planned({**again, "adapter_init": "pissa"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"adapter_init_std": 0.2}, "solver.adapter_init_std: is of adapter_init nonzero alone, but that is lora"),
        ({"adapter_init": "pissa", "orthogonal": 0.1}, "keeps the adapters of a layer apart, which with adapter_init"),
        ({"adapter_init": "nonzero", "members": Path("x")}, "solver.adapter_init: is nonzero, but adapters start as"),
    ],
)
def test_starts_that_do_not_go_together(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=re.escape(words)):
        PaLoRA(**changes).method(2)


def test_resuming_does_not_start_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solver = {"name": "palora", "rank": 2, "adapter_init": "nonzero", "adapter_init_std": 0.3}
    whole = solved(solver, tmp_path / "whole").model().state_dict()
    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "__call__", lambda _: True)
        with pytest.raises(InterruptedRun):
            solved(solver, tmp_path / "parts")
    rest = solve(tmp_path / "parts", resume=True).model().state_dict()
    assert all(torch.equal(value, rest[name]) for name, value in whole.items())
