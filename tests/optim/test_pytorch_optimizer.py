"""Optimizers of the package pytorch-optimizer by name: which are offered, their options, and what steps they take."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from moframework.config.schema import json_schema
from moframework.config.structure import build, unstructure
from moframework.engine.distributed.optimizer_sharding import check_sharding
from moframework.engine.loop import Loop
from moframework.engine.settings import Evaluation, Training
from moframework.errors import SpecError, UnknownNameError
from moframework.optim import Optimizer
from moframework.optim import pytorch_optimizer as module
from moframework.optim.optimizers import _package_classes
from moframework.optim.pytorch_optimizer import ELEMENTWISE, PACKAGE, package_classes
from moframework.reference.catalog import parts
from tests.engine.conftest import Conflict, job_for, method, model_for
from tests.extras import needs_pytorch_optimizer

CPU = torch.device("cpu")
LION = {"name": "lion", "lr": 0.01, "betas": [0.9, 0.8], "weight_decay": 0.1}
SOAP = {"name": "soap", "lr": 0.01, "betas": [0.9, 0.8], "weight_decay": 0.1, "precondition_frequency": 2}


def built(options: dict[str, Any], parameter: nn.Parameter) -> torch.optim.Optimizer:
    made = build(Optimizer, options)
    return made.build([{"name": "all", "params": [parameter], "lr": made.lr}], CPU)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@needs_pytorch_optimizer
def test_names_are_class_names_in_lower_case_and_those_of_torch_win() -> None:
    import pytorch_optimizer

    package = {name: Optimizer.lookup(name).package for name in Optimizer.names()}  # type: ignore[attr-defined]
    ours = [name for name, brought in package.items() if brought == PACKAGE]
    assert {"lion", "soap", "schedulefreeadamw", "schedulefreesgd", "adan", "prodigy"} <= set(ours)
    assert set(ours) <= {name.lower() for name in vars(pytorch_optimizer)}
    assert len(ours) > 70
    assert {package[name] for name in ("adam", "radam", "adafactor", "muon", "asgd", "adamax")} == {"torch"}


@needs_pytorch_optimizer
@pytest.mark.parametrize(
    "name",
    ["lookahead", "sam", "trac", "schedulefreewrapper", "lomo", "adammini", "alig", "adahessian", "sophiah", "lbfgs",
     "sparseadam", "adashift", "kron", "galore", "magma", "baseoptimizer"],
)  # fmt: skip
def test_what_a_step_after_backward_is_not_enough_for_is_not_offered(name: str) -> None:
    assert not Optimizer.offers(name)
    with pytest.raises(UnknownNameError, match=f"no optimizer called '{name}'"):
        Optimizer.lookup(name)


@needs_pytorch_optimizer
def test_every_name_that_is_left_out_is_one_of_the_package() -> None:
    import pytorch_optimizer

    assert not [name for name in module._NOT_OFFERED if not hasattr(pytorch_optimizer, name)]
    assert not [name for name in ELEMENTWISE if name.lower() not in Optimizer.names()]


@needs_pytorch_optimizer
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"weight_decya": 0.1}, "weight_decya: unknown key; did you mean 'weight_decay'"),
        ({"kwargs": {}}, "kwargs: unknown key"),
        ({"params": []}, "params: unknown key"),
        ({"lr": "fast"}, "lr: must be a number"),
        ({"betas": [0.9, 0.99, 0.999]}, "betas: must be a list of 2 values"),
        ({"weight_decouple": 1}, "weight_decouple: must be true or false"),
    ],
)
def test_options_are_checked_against_the_signature(options: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        build(Optimizer, {"name": "lion", **options})


@needs_pytorch_optimizer
@pytest.mark.parametrize("options", [LION, SOAP, {"name": "ademamix", "betas": [0.9, 0.99, 0.999]}])
def test_round_trip(options: dict[str, Any]) -> None:
    made = build(Optimizer, options)
    assert unstructure(made) == {**unstructure(made), **options}
    assert build(Optimizer, unstructure(made)) == made


@needs_pytorch_optimizer
def test_lion_steps_by_the_sign_of_an_average() -> None:
    """Algorithm 2 of arXiv 2302.06675, twice."""
    start, gradients = normal(4, 3), [normal(4, 3, seed=1), normal(4, 3, seed=2)]
    parameter, average, expected = nn.Parameter(start.clone()), torch.zeros_like(start), start
    optimizer = built(LION, parameter)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
        update = (0.9 * average + 0.1 * gradient).sign()
        expected = expected - 0.01 * (update + 0.1 * expected)
        average = 0.8 * average + 0.2 * gradient
    torch.testing.assert_close(parameter.detach(), expected, rtol=0, atol=1e-12)


@needs_pytorch_optimizer
def test_soap_is_adam_in_the_basis_of_the_first_gradient() -> None:
    """Algorithm 3 of arXiv 2409.11321: the first step finds the basis, and moves nothing."""
    start, first, second = normal(4, 3), normal(4, 3, seed=1), normal(4, 3, seed=2)
    parameter = nn.Parameter(start.clone())
    optimizer = built({**SOAP, "precondition_frequency": 10}, parameter)
    for gradient, moved in ((first, False), (second, True)):
        parameter.grad = gradient.clone()
        optimizer.step()
        assert torch.equal(parameter.detach(), start) is not moved
    left, right = (torch.linalg.eigh(matrix)[1] for matrix in (first @ first.T, first.T @ first))
    turned = left.T @ second @ right
    # Both averages have seen one gradient and are corrected for it, so that what is left of it is its sign.
    step = left @ (turned / (turned.abs() + 1e-8 / 0.2**0.5)) @ right.T
    torch.testing.assert_close(parameter.detach(), (start - 0.01 * step) * (1 - 0.01 * 0.1), rtol=0, atol=1e-6)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """The gradients of every step of a training, by name of parameter, just before they are used."""
    found: list[dict[str, Tensor]] = []
    update = Loop._update

    def record(loop: Loop) -> None:
        named = loop.model.named_parameters()
        found.append({name: p.grad.clone() for name, p in named if p.grad is not None})
        update(loop)

    monkeypatch.setattr(Loop, "_update", record)
    return found


@needs_pytorch_optimizer
@pytest.mark.parametrize("options", [LION, SOAP])
def test_a_training_steps_as_the_class_itself(
    options: dict[str, Any], tmp_path: Path, recorded: list[dict[str, Tensor]]
) -> None:
    import pytorch_optimizer

    from moframework.engine.fit import fit

    problem, how = Conflict(), method()
    trained, by_hand = model_for(problem, how), model_for(problem, how)
    training = Training(steps=5, batch_size=16, optimizer=build(Optimizer, options))
    fit(job_for(trained, problem, how, tmp_path, training, Evaluation(every=0)))
    given = {key: value for key, value in options.items() if key != "name"}
    groups = by_hand.space.parameter_groups(given["lr"])
    optimizer = getattr(pytorch_optimizer, {"lion": "Lion", "soap": "SOAP"}[options["name"]])(groups, **given)
    for gradients in recorded:
        for name, parameter in by_hand.named_parameters():
            parameter.grad = gradients[name].clone() if name in gradients else None
        optimizer.step()
    assert len(recorded) == 5
    for name, value in by_hand.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], value, rtol=0, atol=1e-6)


@needs_pytorch_optimizer
def test_of_parts_only_what_is_known_to_be_elementwise_may_be_sharded() -> None:
    def check(name: str) -> None:
        check_sharding(build(Training, {"optimizer": name, "distributed": {"optimizer": "sharded"}}))

    check("lion")
    for name in ("soap", "schedulefreeadamw", "lamb"):
        assert not build(Optimizer, name).of_matrices
        with pytest.raises(SpecError, match="cannot be sharded"):
            check(name)


@needs_pytorch_optimizer
def test_lion_steps_parts_as_the_whole() -> None:
    gradients = [normal(4, 6, seed=1), normal(4, 6, seed=2)]
    whole, halves = nn.Parameter(normal(4, 6)), [nn.Parameter(part.clone()) for part in normal(4, 6).chunk(2)]
    optimizers = [built(LION, parameter) for parameter in (whole, *halves)]
    for gradient in gradients:
        for parameter, part in zip((whole, *halves), (gradient, *gradient.chunk(2)), strict=True):
            parameter.grad = part.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert torch.equal(whole, torch.cat(halves))


@needs_pytorch_optimizer
def test_they_are_listed_with_their_package_and_stand_in_the_schema() -> None:
    found = {part.name: part for part in parts("optimizers")}
    assert found["lion"].package == PACKAGE
    assert found["lion"].summary
    assert found["adamw"].package == "torch"
    assert '{"const": "lion"}' in json.dumps(json_schema(Optimizer))


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where the package is not installed."""
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    for cached in (package_classes, _package_classes):
        cached.cache_clear()
    yield
    for cached in (package_classes, _package_classes):
        cached.cache_clear()


@pytest.mark.usefixtures("without")
def test_without_the_package_the_error_says_what_installs_it() -> None:
    with pytest.raises(SpecError, match=r"optimizer\.name: no optimizer called 'lion'; .*adam.*; those of "
                       r"pytorch-optimizer are not installed: pip install 'moframework\[optimizers\]'"):  # fmt: skip
        build(Training, {"optimizer": {"name": "lion", "lr": 1e-4}})
    with pytest.raises(UnknownNameError, match=r"moframework\[optimizers\]"):
        Optimizer.lookup("lion")
    assert "adamw" in Optimizer.names()
    assert "lion" not in Optimizer.names()
    assert {part.package for part in parts("optimizers")} == {"torch"}


@pytest.mark.parametrize(
    "work",
    [
        "import moframework.cli.main",
        "from moframework.config.structure import build, unstructure; from moframework.engine.settings import Training;"
        "unstructure(build(Training, {'optimizer': {'name': 'adamw', 'lr': 1e-3}})); unstructure(Training())",
    ],
)
def test_it_is_not_imported_where_torch_has_the_name(work: str) -> None:
    script = f"import sys; {work}\nprint('pytorch_optimizer' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
