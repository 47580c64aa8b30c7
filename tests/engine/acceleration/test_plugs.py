"""Every acceleration of the list against the plain path: losses, gradients and buffers, on networks of every kind."""

from __future__ import annotations

import functools
from typing import Any, ClassVar, get_args

import pytest
import torch
from attrs import evolve
from torch import Tensor, nn

from moframework.config import build, config
from moframework.engine import acceleration
from moframework.engine.acceleration import ACCELERATIONS, accelerate, adapter_layers, concerns_speed, single_pass
from moframework.engine.settings import AccelerationName, Training
from moframework.engine.step import Step
from moframework.errors import SpecError
from moframework.layers import lazy_weight, merge
from moframework.losses import MeanLoss
from moframework.objectives import Scalarization
from moframework.objectives.balancing import GradientBalancing, LossBalancing
from moframework.objectives.linear import Linear
from moframework.objectives.uncertainty import Uncertainty
from moframework.preferences.annealed import Annealed
from moframework.problem.task import Task
from moframework.weights.finite import Finite
from tests.engine.conftest import CPU, method
from tests.notes import notes
from tests.weights.test_spaces import SPACES, model, suits
from tests.weights.zoo import OPAQUE, ZOO

PREFERENCES = torch.tensor([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]], dtype=torch.float64)
ASKED_BY_KEY: dict[str, dict[str, Any]] = {"compile": {"compile": True}, "activation_checkpoint": {"recompute": True}}


@config
class Square(MeanLoss):
    """How far outputs are from zero."""

    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, None]:
        return output.flatten(1).square().mean(dim=1), None


@config
class Distance(MeanLoss):
    """How far outputs are from one, nearly straight."""

    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, None]:
        return ((output.flatten(1) - 1).square() + 1).sqrt().mean(dim=1), None


@config
class Coupled(Scalarization):
    """Joins the preferences."""

    separable: ClassVar[bool] = False

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        return (losses * preferences).sum(dim=1).logsumexp(dim=0)


TASKS = (Task(name="a", loss=Square(), output="y"), Task(name="b", loss=Distance(), output="y"))
FORMS: dict[str, dict[str, Any]] = {
    "each by itself": {"objective": Linear(), "batch": "shared"},
    "divided": {"objective": Linear(), "batch": "split"},
    "divided, joined": {"objective": Coupled(), "batch": "split", "balancing": (LossBalancing(window=1),)},
    "joined": {"objective": Coupled(), "batch": "shared"},
    "a state each": {"objective": Uncertainty(), "batch": "split"},
    "gradients of tasks": {"objective": Linear(), "batch": "split", "balancing": (GradientBalancing(),)},
}


@pytest.fixture(autouse=True)
def every_plug_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever costs less: sizes decide nothing here."""
    for module in (adapter_layers, merge):
        monkeypatch.setattr(module, "LARGE", 0)
    for name in ("linear_pays", "conv2d_pays"):
        monkeypatch.setattr(lazy_weight, name, lambda *arguments: True)
    monkeypatch.setattr(single_pass.SinglePass, "takes", lambda self, batch: True)
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))


def taken(network: str, space: str, form: dict[str, Any], training: Training) -> dict[str, Any] | None:
    """What two steps do; None where the acceleration that is asked for declines."""
    options = dict(form)
    preferences = Annealed(per_batch=3, batch=options.pop("batch"))
    weights = SPACES[space]
    if isinstance(weights, Finite):
        weights = evolve(weights, anchors=tuple(tuple(row) for row in PREFERENCES.tolist()))
    torch.manual_seed(0)
    made = model(network, weights).double().train()
    with torch.no_grad():
        for parameter in made.parameters():  # adapters away from zero, so that preferences differ
            parameter.add_(torch.linspace(-0.3, 0.3, parameter.numel(), dtype=parameter.dtype).view(parameter.shape))
    step = Step(made, TASKS, method(weights=weights, preferences=preferences, **options), CPU)
    step.objective_states.double()
    if training.compile:
        torch.compiler.reset()
    try:
        accelerate(step, training)
    except SpecError:
        return None
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(7, (7, *ZOO[network].shape), generator=generator)
    if not ZOO[network].tokens:
        x = torch.randn(7, *ZOO[network].shape, generator=generator, dtype=torch.float64)
    targets = {task.target_key: torch.zeros(7) for task in TASKS}
    losses = [step.execute(x, targets, PREFERENCES) for _ in range(2)]
    return {
        "losses": losses,
        "gradients": {name: p.grad for name, p in made.named_parameters() if p.grad is not None},
        "of the objective": [p.grad for p in step.objective_states.parameters()],
        "buffers": dict(made.skeleton.named_buffers()),
    }


def cells() -> list[Any]:
    """All networks and spaces; all forms of a step where most plugs apply, else those that some plug is about."""
    found = []
    for network in ZOO:
        for space in SPACES:
            if not suits(network, space):
                continue
            forms = list(FORMS) if space in ("low rank", "low rank separable") else ["divided", "joined"]
            if network in OPAQUE:
                forms = ["each by itself", "divided"] if space in ("low rank", "conditioned") else ["divided"]
            found += [pytest.param(network, space, form, id=f"{network} · {space} · {form}") for form in forms]
    return found


@pytest.mark.parametrize(("network", "space", "form"), cells())
def test_every_plug_does_what_the_plain_path_does(network: str, space: str, form: str) -> None:
    plain = taken(network, space, FORMS[form], Training(acceleration="none"))
    assert plain is not None
    assert any(bool(gradient.any()) for gradient in plain["gradients"].values())
    found = {"all": taken(network, space, FORMS[form], Training())}
    for name in ACCELERATIONS:
        if name == "compile" and (network, form) not in (("linear", "divided"), ("conv2d", "joined")):
            continue  # takes long
        training = Training(acceleration=(name,), **ASKED_BY_KEY.get(name, {}))
        found[name] = taken(network, space, FORMS[form], training)
    for name, result in found.items():
        if result is not None:
            torch.testing.assert_close(
                result, plain, rtol=1e-6, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
            )


def test_every_plug_of_the_list_was_held_against_the_plain_path() -> None:
    """Recording needs a CUDA device: tests/engine/test_cuda.py."""
    forms = {"activation_checkpoint": "joined", "single_pass": "divided"}
    for name in ACCELERATIONS:
        space = "conditioned" if name == "shared_concat" else "low rank"
        training = Training(acceleration=(name,), **ASKED_BY_KEY.get(name, {}))
        result = taken("linear", space, FORMS[forms.get(name, "each by itself")], training)
        assert (result is None) is (name == "cuda_graph"), name


def test_the_list_is_what_a_spec_can_name() -> None:
    assert get_args(AccelerationName) == tuple(ACCELERATIONS)
    assert all(plug.does and plug.__doc__ for plug in ACCELERATIONS.values())


def test_a_plug_that_computes_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above fails for a plug that is wrong."""

    class Wrong(adapter_layers.AdapterLayers):
        def __call__(self, preferences: Tensor) -> list[dict[str, Tensor]]:
            return super().__call__(preferences.flip(0))

    monkeypatch.setitem(ACCELERATIONS, "adapter_layers", Wrong)
    with pytest.raises(AssertionError, match="adapter_layers"):
        test_every_plug_does_what_the_plain_path_does("linear", "low rank", "divided")


@pytest.mark.parametrize("name", [name for name in OPAQUE if name.startswith(("quantized", "hand"))])
def test_layers_with_functions_of_their_own_learn_at_any_width(name: str) -> None:
    """Where a weight was handed to such a function, its adapters stayed zero above 131,072 elements."""
    result = taken(name, "low rank", FORMS["each by itself"], Training(acceleration=("adapter_layers",)))
    assert result is not None
    adapters = [gradient for name, gradient in result["gradients"].items() if name.startswith("space.b.")]
    assert len(adapters) == 2
    assert all(bool(gradient.any()) for gradient in adapters)


def test_decisions_are_told_with_reasons() -> None:
    parts = method(preferences=Annealed(per_batch=3, batch="split"))
    step = Step(model("linear", SPACES["low rank"]), TASKS, parts, CPU)
    found = {choice.name: choice.declined for choice in acceleration.choices(step, build(Training, {}))}
    assert tuple(found) == tuple(ACCELERATIONS)
    assert found["single_pass"] is None
    assert found["cuda_graph"] == "the device is cpu"
    assert found["compile"] == "training.compile is false"


def test_what_accelerations_note_concerns_speed_and_nothing_else_does() -> None:
    ours = {note: file.startswith("moframework/engine/acceleration/") for note, file in notes().items()}
    assert sum(ours.values()) > 2
    assert {note: concerns_speed(note) for note in ours} == ours
