"""Networks that checkpoint their own activations train as they do without, in both of torch's forms."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from moframework import ParetoModel
from moframework.backbones.base import Backbone
from moframework.config import config, option
from moframework.engine.acceleration import accelerate
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.model import Recipe, inner_checkpoints
from moframework.model.functional import FunctionalNetwork
from moframework.objectives.balancing import GradientBalancing
from moframework.objectives.linear import Linear
from moframework.preferences.annealed import Annealed
from moframework.problem.task import Task
from moframework.weights import WeightSpaceConfig
from moframework.weights.conditioned import Conditioned
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.finite import Finite
from moframework.weights.hypernetwork import Hypernetwork
from moframework.weights.low_rank import LowRank
from tests.engine.acceleration.test_plugs import Coupled, Distance, Square
from tests.engine.conftest import CPU, method

Form = str  # "none", "reentrant", "other"
PREFERENCES = torch.tensor([[0.25, 0.75], [0.875, 0.125]], dtype=torch.float64)


class Part(nn.Module):
    """A part of a network in a checkpoint of its own."""

    def __init__(self, *modules: nn.Module, runs: int = 1) -> None:
        super().__init__()
        self.inner, self.form, self.runs = nn.Sequential(*modules), "none", runs

    def forward(self, x: Tensor) -> Any:
        for _ in range(self.runs):
            x = self.run(x)
        return x

    def run(self, x: Tensor) -> Any:
        if self.form == "none":
            return self.inner(x)
        return checkpoint(self.inner, x, use_reentrant=self.form == "reentrant")


class Segments(Part):
    """Its modules in two segments, with the last module outside."""

    def run(self, x: Tensor) -> Any:
        if self.form == "none":
            return self.inner(x)
        reentrant = self.form == "reentrant"
        return checkpoint_sequential(self.inner, 2, x, use_reentrant=reentrant)  # type: ignore[no-untyped-call]


class Functions(Part):
    """Reads its weights itself, in a function that closes over its input."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.scale = nn.Parameter(torch.randn(6, 6)), nn.Parameter(torch.randn(6))

    def run(self, x: Tensor) -> Any:
        def inner(y: Tensor) -> Tensor:
            return nn.functional.layer_norm(torch.tanh(y @ self.weight), (6,), self.scale) + x.mean()

        return inner(x) if self.form == "none" else checkpoint(inner, x, use_reentrant=self.form == "reentrant")


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRU(6, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.cell(x.unsqueeze(1))[0]
        return result.squeeze(1)


class Counter(nn.Module):
    """What it gives depends on how often it ran: a buffer that is changed in place, and one that is replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(6))

    count: Tensor
    seen: Tensor

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        self.seen = 0.5 * self.seen + x.detach().mean(dim=0)
        return x * (1 + 0.1 * self.count) + torch.tanh(x) * self.seen


def spectral() -> nn.Module:
    return nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6))


def around(part: Callable[[], nn.Module], width: int = 6) -> Callable[[int], nn.Module]:
    """Networks with a linear layer before a part and one after it."""
    return lambda n: nn.Sequential(nn.Linear(n, width), part(), nn.Linear(width, 2))


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "norms alone": around(lambda: Part(nn.LayerNorm(6))),
    "batch norm": around(lambda: Part(nn.BatchNorm1d(6), nn.ReLU())),
    "layers": around(lambda: Part(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6))),
    "first of all": lambda n: nn.Sequential(Part(nn.Linear(n, 6), nn.LayerNorm(6)), nn.Linear(6, 2)),
    "nested": around(lambda: Part(nn.Linear(6, 6), Part(nn.LayerNorm(6), nn.Tanh()))),
    "used twice": around(lambda: Part(nn.BatchNorm1d(6), nn.Linear(6, 6), runs=2)),
    "segments": lambda _: Segments(*(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Tanh()) for _ in range(5))),
    "functions": around(Functions),
    "dropout": around(lambda: Part(nn.Dropout(0.4), nn.LayerNorm(6), nn.Linear(6, 6))),
    "recurrent": around(lambda: Part(Recurrent(), nn.LayerNorm(6))),
    "spectral norm": around(lambda: Part(spectral(), nn.LayerNorm(6))),
    "changing buffers": around(lambda: Part(nn.Linear(6, 6), Counter(), nn.LayerNorm(6))),
    "large": around(lambda: Part(nn.Linear(600, 600), nn.LayerNorm(600)), 600),
}
SPACES: dict[str, WeightSpaceConfig] = {
    "low rank": LowRank(rank=2),
    "convex hull": ConvexHull(),
    "hypernetwork": Hypernetwork(hidden=(4, 4)),
    "conditioned": Conditioned(),
    "finite": Finite(anchors=((0.25, 0.75), (0.875, 0.125))),
}
TASKS = (Task(name="a", loss=Square(), output="y"), Task(name="b", loss=Distance(), output="y"))


@config
class Network(Backbone):
    name: str = option(help="in `NETWORKS`")
    form: str = option(help="of its checkpoints")

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return in_form(NETWORKS[self.name](input_shape[0]), self.form)


def in_form(network: nn.Module, form: Form) -> nn.Module:
    for module in network.modules():
        if isinstance(module, Part):
            module.form = form
    return network


def made(network: str, space: str, form: Form) -> ParetoModel:
    torch.manual_seed(0)
    recipe = Recipe(
        tasks=("a", "b"),
        backbone=Network(name=network, form=form),
        input_shape=(4,),
        outputs={"y": 2},
        weights=SPACES[space],
    )
    model = ParetoModel(recipe).double().train()
    with torch.no_grad():
        for parameter in model.parameters():  # adapters away from zero
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def inputs() -> Tensor:
    return torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def gradients(model: ParetoModel) -> dict[str, Tensor | None]:
    return {name: parameter.grad for name, parameter in model.space.named_parameters()}


def reference(model: ParetoModel) -> tuple[dict[str, Tensor | None], dict[str, Tensor]]:
    """Gradients of the space, and buffers, after a step: from plain networks with merged weights and no checkpoints,
    whose gradients are sent through θ(λ)."""
    buffers = {name: value.clone() for name, value in model.skeleton.named_buffers()}
    shared = model.space.anchors() is None  # else each network has its own
    torch.manual_seed(2)
    for preference in PREFERENCES:
        network = in_form(model.at(preference).train(), "none")
        if shared:
            network.load_state_dict(buffers, strict=False)
        output = network(inputs())
        losses = [task.loss(output, torch.zeros(5)) for task in TASKS]
        sum(share * loss for share, loss in zip(preference, losses, strict=True)).div(len(PREFERENCES)).backward()
        theta = model.weights(preference)
        reached = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        torch.autograd.backward([theta[name] for name in reached], list(reached.values()))
        if shared:
            buffers = {name: value.clone() for name, value in network.named_buffers()}
    return gradients(model), buffers


def step_of(model: ParetoModel, training: Training, **parts: Any) -> Step:
    parts = {"objective": Linear(), "preferences": Annealed(per_batch=2, batch="shared"), **parts}
    step = Step(model, TASKS, method(weights=model.recipe.weights, **parts), CPU)
    accelerate(step, training)
    return step


def stepped(
    model: ParetoModel, training: Training | None = None, **parts: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same after a step of ours."""
    step = step_of(model, Training() if training is None else training, **parts)
    torch.manual_seed(2)
    step.execute(inputs(), {task.target_key: torch.zeros(5) for task in TASKS}, PREFERENCES)
    return gradients(model), dict(model.skeleton.named_buffers())


@pytest.mark.parametrize("form", ["none", "reentrant", "other"])
@pytest.mark.parametrize("space", [space for space in SPACES if space != "conditioned"])
@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_are_those_of_plain_networks(network: str, space: str, form: Form) -> None:
    wanted = reference(made(network, space, "none"))
    assert any(value is not None and bool(value.any()) for value in wanted[0].values())
    for acceleration in ("none", "auto"):
        found = stepped(made(network, space, form), Training(acceleration=acceleration))
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", ["reentrant", "other"])
@pytest.mark.parametrize(
    "way",
    [
        {"objective": Coupled()},
        {"objective": Coupled(), "preferences": Annealed(per_batch=2, batch="split")},
        {"preferences": Annealed(per_batch=2, batch="split")},
        {"balancing": (GradientBalancing(),)},
        {"objective": Coupled(), "training": Training(recompute=True)},
        {"training": Training(compile=True)},
        {"objective": Coupled(), "training": Training(compile=True, recompute=True)},
    ],
    ids=["joined", "divided", "divided, apart", "gradients of tasks", "recomputed", "compiled", "both"],
)
@pytest.mark.parametrize("network", ["norms alone", "batch norm", "nested", "first of all"])
def test_every_way_of_a_step_knows_them(
    network: str, way: dict[str, Any], form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = dict(way)
    training = options.pop("training", Training())
    if training.compile:
        compiled = torch.compile
        monkeypatch.setattr(torch, "compile", lambda function, **_: compiled(function, backend="aot_eager"))
        torch.compiler.reset()
    wanted = stepped(made(network, "low rank", "none"), **options)
    found = stepped(made(network, "low rank", form), training, **options)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", ["reentrant", "other"])
def test_conditioned_networks(form: Form) -> None:
    """The first layer is in a checkpoint, and reads what λ is joined to."""
    found = {}
    for each in ("none", form):
        model = made("first of all", "conditioned", each)
        found[each] = stepped(model)
    torch.testing.assert_close(found[form], found["none"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", ["reentrant", "other"])
def test_activations_are_not_kept(form: Form) -> None:
    """What a checkpoint is for: of its part nothing but the input is held."""
    held: dict[str, int] = {}
    for each in ("none", form):
        model, sizes = made("layers", "convex hull", each), list[int]()

        def note(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            model(torch.randn(500, 4, dtype=torch.float64), PREFERENCES[0])
        held[each] = sum(size for size in sizes if size >= 500 * 6)
    assert held[form] <= held["none"] - 500 * 6


@pytest.mark.parametrize("form", ["reentrant", "other"])
def test_evaluation_in_one_vectorized_pass(form: Form) -> None:
    model = made("layers", "low rank", form).eval()
    thetas = [model.weights(preference) for preference in PREFERENCES]
    x = inputs()
    stacked = {name: torch.stack([theta[name] for theta in thetas]) for name in thetas[0]}
    with torch.no_grad():
        found = torch.func.vmap(lambda theta: model.call(theta, x))(stacked)["y"]
        wanted = torch.stack([model(x, preference)["y"] for preference in PREFERENCES])
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("form", ["reentrant", "other"])
def test_gradients_can_be_asked_for_twice(form: Form) -> None:
    """A graph that is kept runs a part again each time, always with the weights of its own pass."""
    model, plain = made("batch norm", "low rank", form), made("batch norm", "low rank", "none")
    for each in (model, plain):
        losses = [each(inputs(), preference)["y"].square().mean() for preference in PREFERENCES]
        for _ in range(2):
            for loss in losses:
                loss.backward(retain_graph=True)
    torch.testing.assert_close(gradients(model), gradients(plain), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(dict(model.named_buffers()), dict(plain.named_buffers()))


@pytest.mark.parametrize("form", ["reentrant", "other"])
def test_two_networks_in_two_threads(form: Form) -> None:
    """What runs in one thread knows nothing of the other: the second network is in the middle of its pass while the
    first goes backward."""
    first, second = made("norms alone", "low rank", form), made("norms alone", "convex hull", form)
    entered, gone, found = threading.Event(), threading.Event(), []

    def wait(module: nn.Module, args: Any) -> None:
        entered.set()
        assert gone.wait(30)

    hook = second.skeleton[2].register_forward_pre_hook(wait)  # type: ignore[index]
    thread = threading.Thread(target=lambda: found.append(second(inputs(), PREFERENCES[1])["y"]))
    loss = first(inputs(), PREFERENCES[0])["y"].square().mean()
    thread.start()
    assert entered.wait(30)
    loss.backward()
    gone.set()
    thread.join()
    hook.remove()
    found[0].square().mean().backward()
    for model, space, preference in ((first, "low rank", 0), (second, "convex hull", 1)):
        plain = made("norms alone", space, "none")
        plain(inputs(), PREFERENCES[preference])["y"].square().mean().backward()
        torch.testing.assert_close(gradients(model), gradients(plain), rtol=1e-9, atol=1e-12)


def test_networks_of_others_are_left_alone() -> None:
    """The reentrant form stays reentrant outside: torch says so itself."""
    made("norms alone", "low rank", "none")
    network = in_form(NETWORKS["layers"](4).double(), "reentrant")
    loss = network(inputs()).square().mean()
    with pytest.raises(RuntimeError, match=r"incompatible with \.grad"):
        torch.autograd.grad(loss, list(network.parameters()))
    network(inputs()).square().mean().backward()
    assert all(bool(parameter.grad.any()) for parameter in network.parameters() if parameter.grad is not None)


def test_an_operating_point_checkpoints_as_the_network_does() -> None:
    model = made("layers", "low rank", "other")
    network, plain = (in_form(model.at([0.25, 0.75]).train(), form) for form in ("other", "none"))
    for each in (network, plain):
        each(inputs()).square().mean().backward()
    for mine, other in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_a_torch_that_makes_checkpoints_in_another_way_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in inner_checkpoints._GENERATORS:
        monkeypatch.delattr(torch.utils.checkpoint, name, raising=False)
    inner_checkpoints.follow_checkpoints.cache_clear()
    try:
        with pytest.warns(UserWarning, match=r"not followed with torch .*: switch them off in the network"):
            FunctionalNetwork(nn.Linear(2, 2), ("y",))
    finally:
        inner_checkpoints.follow_checkpoints.cache_clear()
        monkeypatch.undo()
        follow = torch.utils.checkpoint
        before = [getattr(follow, name, None) for name in inner_checkpoints._GENERATORS]
        inner_checkpoints.follow_checkpoints()
        assert before == [getattr(follow, name, None) for name in inner_checkpoints._GENERATORS], "wrapped once"
