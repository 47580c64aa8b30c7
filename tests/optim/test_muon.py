"""Muon for kernels, and optimizers for parts of the parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim._muon import _zeropower_via_newtonschulz

from moframework.config.structure import build
from moframework.errors import SpecError
from moframework.optim import Optimizer, ParameterGroup, describe_groups
from moframework.optim.muon import Muon, orthogonal
from moframework.optim.several import SeveralOptimizers
from tests.optim.test_groups import ADAMW, groups, space
from tests.solvers.tiny import planned, solved

CPU = torch.device("cpu")


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_a_kernel_is_stepped_as_the_matrix_that_it_is(order: torch.memory_format) -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(4, 3, 2, 2), torch.randn(3, 4, 3, 2, 2)
    kernel = nn.Parameter(start.clone().contiguous(memory_format=order))
    matrix = nn.Parameter(start.flatten(1).clone())
    own, theirs = Muon([kernel], lr=0.1), torch.optim.Muon([matrix], lr=0.1)
    for gradient in gradients:
        kernel.grad, matrix.grad = gradient.contiguous(memory_format=order), gradient.flatten(1)
        own.step()
        theirs.step()
    # torch iterates in bfloat16, we in float32 on a CPU.
    torch.testing.assert_close(kernel.detach().flatten(1), matrix.detach(), rtol=0, atol=0.005)
    assert not torch.equal(kernel, start)


def test_the_iteration_is_torchs_in_a_precision_of_its_own() -> None:
    torch.manual_seed(0)
    for shape in ((4, 9), (9, 4)):
        matrix = torch.randn(*shape)
        theirs = _zeropower_via_newtonschulz(matrix, (3.4445, -4.775, 2.0315), 5, 1e-7)
        own = orthogonal(matrix, (3.4445, -4.775, 2.0315), 5, 1e-7)
        torch.testing.assert_close(own, theirs.float(), rtol=0, atol=0.05)
        exact = orthogonal(matrix.double(), (3.4445, -4.775, 2.0315), 5, 1e-7)
        torch.testing.assert_close(own.double(), exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("adjust", [None, "match_rms_adamw"])
def test_a_step_is_torchs_with_all_of_its_options(adjust: str | None) -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(6, 3), torch.randn(3, 6, 3)
    made = {}
    for type_ in (Muon, torch.optim.Muon):
        parameter = nn.Parameter(start.clone())
        stepped = type_([parameter], lr=0.1, weight_decay=0.5, momentum=0.7, nesterov=False, adjust_lr_fn=adjust)
        for gradient in gradients:
            parameter.grad = gradient
            stepped.step()
        made[type_] = parameter.detach()
    torch.testing.assert_close(made[Muon], made[torch.optim.Muon], rtol=0, atol=0.02)


MUON = build(Optimizer, {"name": "muon", "lr": 0.02, "weight_decay": 0.0})  # type: ignore[type-abstract]
MATRICES = ParameterGroup(match=("stem.weight", "body.weight"), optimizer=MUON)


def test_a_group_is_stepped_by_its_own_optimizer() -> None:
    made = groups(space("low_rank", rank=1), MATRICES)
    assert {name: group["lr"] for name, group in made.items()} == {
        "shared": 0.1, "shared:stem.weight,body.weight": pytest.approx(0.02), "adapters": 0.2,
    }  # fmt: skip
    assert describe_groups(list(made.values()))[1] == "shared:stem.weight,body.weight: 34 parameters by Muon at 0.02"
    stepped = ADAMW.build(list(made.values()), CPU)
    assert isinstance(stepped, SeveralOptimizers)
    assert [type(part) for part in stepped.parts] == [torch.optim.AdamW, Muon]
    _, matrix = made["shared:stem.weight,body.weight"]["params"]
    before = matrix.detach().clone()
    scheduler = torch.optim.lr_scheduler.StepLR(stepped, 1, 0.5)
    for group in made.values():
        for parameter in group["params"]:
            parameter.grad = torch.randn_like(parameter)
    stepped.step()
    # All singular values of what Muon steps by are about 1.
    singular = torch.linalg.svdvals((before - matrix.detach()) / 0.02)
    assert singular.min() > 0.5
    assert singular.max() < 1.3

    # Rates that a scheduler sets, and a state that is read, are those of the parts.
    scheduler.step()
    assert stepped.parts[1].param_groups[0]["lr"] == pytest.approx(0.01)
    stepped.load_state_dict(stepped.state_dict())
    assert stepped.param_groups[2] is stepped.parts[1].param_groups[0]
    assert {group["name"] for group in stepped.param_groups} == set(made)


MATRICES_OF_DIGITS = {"match": ["encoder.*.weight"], "optimizer": {"name": "muon", "lr": 0.02}}


@pytest.mark.parametrize("solver", ["palora", "single", "multipoint", "cosmos", "stl"])
def test_solvers_that_keep_matrices_are_stepped_by_muon(solver: str, tmp_path: Path) -> None:
    run = solved(solver, tmp_path, parameter_groups=[MATRICES_OF_DIGITS])
    assert "by Muon" in "\n".join(planned(solver, parameter_groups=[MATRICES_OF_DIGITS]).rates())
    assert run.front("val").losses.size


@pytest.mark.parametrize(
    ("solver", "training", "words"),
    [
        # Members of a hull, heads of a hypernetwork, adapters of all tasks lie in one tensor that looks like a matrix.
        (
            "pamal",
            {"parameter_groups": [MATRICES_OF_DIGITS]},
            r"'encoder\.\S*weight' is kept by this solver in a tensor",
        ),
        ("phn", {"parameter_groups": [MATRICES_OF_DIGITS]}, "is kept by this solver in a tensor"),
        (
            "palora",
            {"parameter_groups": [{"match": "*.adapter_a", "optimizer": {"name": "muon"}}]},
            r"adapter_a' is kept by this solver in a tensor",
        ),
        ("single", {"optimizer": {"name": "muon"}}, r"'encoder\.\S*bias' is none"),
    ],
)
def test_what_is_no_matrix_of_the_network_is_refused(solver: str, training: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        planned(solver, **training)
