"""Faults that a look at two samples does not show: each ends a training, at its first step, its last batch, or when the
model is saved, loaded or used."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from moframework import problem_from_parts
from moframework.config import config
from moframework.losses import Loss
from moframework.metrics import Metric
from moframework.metrics.base import mean_of
from moframework.objectives.balancing import LossBalancing
from moframework.objectives.base import Scalarization
from moframework.preferences import Schedule
from moframework.spec import Spec, load_spec

X = torch.linspace(0, 1, 40).unsqueeze(1)
TASKS = {"up": {"loss": "mse"}, "down": {"loss": "mse"}}


def data(split: str) -> tuple[Tensor, dict[str, Tensor]]:
    return X, {"up": X[:, 0], "down": 1 - X[:, 0]}


class Net(nn.Module):
    """Right, and what the others derive from."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(1, 4), nn.Linear(4, 2)

    def middle(self, x: Tensor) -> Tensor:
        return x.relu()

    def forward(self, x: Tensor) -> Any:
        return self.last(self.middle(self.first(x))).split(1, dim=1)


class FailsInTraining(Net):
    def middle(self, x: Tensor) -> Tensor:
        return x[:, :3] if self.training else x


class OtherOutputsInTraining(Net):
    def forward(self, x: Tensor) -> Any:
        return {"logits": x, "auxiliary": x} if self.training else super().forward(x)


class ChangesWhatIsNeeded(Net):
    def middle(self, x: Tensor) -> Tensor:
        x = x.exp()
        x += 1  # what exp needs to go backward
        return x


class Detached(Net):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x.detach())[0].detach(), super().forward(x)[1].detach()


class Numpy(Net):
    def middle(self, x: Tensor) -> Tensor:
        return torch.from_numpy(x.numpy()) if self.training else x


class MeanByNumpy(Net):
    def middle(self, x: Tensor) -> Tensor:
        return x + float(x.detach().numpy().mean())  # numpy has no bfloat16


class Normed(Net):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def middle(self, x: Tensor) -> Tensor:
        return self.norm(x).relu()


class Squeezing(Net):
    def middle(self, x: Tensor) -> Tensor:
        x = x.squeeze()
        return functional.avg_pool1d(x.unsqueeze(1), 1).squeeze(1) if x.dim() == 2 else x[:, None, None]


class ExtraState(Net):
    def get_extra_state(self) -> Any:
        return {"calls": 3}

    def set_extra_state(self, state: Any) -> None:
        pass


class SparseBuffer(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.eye(4).to_sparse())

    def middle(self, x: Tensor) -> Tensor:
        return torch.sparse.mm(self.mask, x.T).T  # type: ignore[no-any-return, arg-type]


class RandomProjection(Net):
    def __init__(self) -> None:
        super().__init__()
        self.projection = torch.rand(4, 4)  # no buffer

    def middle(self, x: Tensor) -> Tensor:
        return x @ self.projection


class NotPersistent(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("projection", torch.rand(4, 4), persistent=False)

    def middle(self, x: Tensor) -> Tensor:
        return x @ self.projection  # type: ignore[operator]


class Locked(Net):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class CountsCalls(Net):
    """Its first answers are others than the later ones."""

    calls = 0

    def middle(self, x: Tensor) -> Tensor:
        if not self.training:
            self.calls += 1
        return x if self.calls < 2 else -x


def no_gradient(output: Tensor, target: Tensor) -> Tensor:
    return (output.squeeze(1).detach() - target).square()


class _Broken(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise ArithmeticError("no way back")


def no_way_back(output: Tensor, target: Tensor) -> Tensor:
    found: Tensor = _Broken.apply(output.squeeze(1))  # type: ignore[no-untyped-call]
    return (found - target).square()


def of_the_wrong_shape(losses: Tensor, preferences: Tensor) -> Tensor:
    return torch.stack([losses, losses])


def mismatched(losses: Tensor, preference: Tensor) -> Tensor:
    return losses @ preference[:1]


def read_by_numpy(losses: Tensor, preference: Tensor) -> Tensor:
    return torch.as_tensor(losses.numpy().max())


@config
class NoState(LossBalancing):
    """Its state lacks what it reads."""

    def scales(self, losses: Tensor, gradient_norms: Tensor | None, state: dict[str, Tensor]) -> Tensor:
        return losses / state["missing"]


@config
class Gap(Schedule):
    """Draws nothing in a part of the training at which no plan looks."""

    def natural_count(self, m: int) -> int:
        return 2

    def draw(self, progress: float, count: int, m: int, generator: torch.Generator) -> Tensor:
        if 1e-4 < progress < 0.25:
            raise ValueError("draws nothing before the second quarter")
        return torch.full((count, m), 1 / m)


@config
class FailingMetric(Metric):
    """Fails when its number is asked for."""

    higher_is_better = False

    @property
    def label(self) -> str:
        return "failing"

    def make(self, size: int) -> Any:
        def fails() -> Any:
            raise ArithmeticError("no such metric")

        made = mean_of(lambda output, target: (output.squeeze(1), target == target))
        made.compute = fails  # type: ignore[method-assign]
        return made


def other_test_data(split: str) -> tuple[Tensor, dict[str, Tensor]]:
    x, targets = data(split)
    return (x, {"up": targets["up"]}) if split == "test" else (x, targets)


def wider_validation_data(split: str) -> tuple[Tensor, dict[str, Tensor]]:
    x, targets = data(split)
    return (x.repeat(1, 2), targets) if split == "val" else (x, targets)


class ShortData(torch.utils.data.Dataset[Any]):
    """Says that it has one more item than it has."""

    def __len__(self) -> int:
        return 41

    def __getitem__(self, index: int) -> Any:
        return X[index], {"up": X[index, 0], "down": 1 - X[index, 0]}


def short_data(split: str) -> Any:
    return ShortData()


def planted(
    network: Any = Net,
    *,
    given: Any = data,
    losses: Any = "mse",
    metrics: Any = (),
    solver: dict[str, Any] | None = None,
    **training: Any,
) -> Spec:
    """A spec with one fault."""
    tasks = {name: {"loss": losses, "metrics": list(metrics)} for name in ("up", "down")}
    method: dict[str, Any] = {"name": "pamal", "preferences": {"name": "dirichlet", "per_batch": 2, "batch": "split"}}
    return load_spec(
        {
            "problem": problem_from_parts(tasks, network, given),
            "solver": {**method, **({} if solver is None else solver)},
            "training": {"epochs": 20, "batch_size": 16, **training},
            "evaluate": {"points": 3},
        }
    )


SHARED = {"preferences": {"name": "dirichlet", "per_batch": 2, "batch": "shared"}}

FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    # the first step
    "network fails in training": ({"network": FailsInTraining}, "problem.backbone.*the first training step"),
    "other outputs in training": ({"network": OtherOutputsInTraining}, "outputs"),
    "changed in place": ({"network": ChangesWhatIsNeeded}, "modified by an inplace operation"),
    "detached network": ({"network": Detached}, "does not require grad|no gradient"),
    "numpy in the network": ({"network": Numpy}, "problem.backbone.*numpy"),
    "no bf16": ({"network": MeanByNumpy, "precision": "bf16"}, "problem.backbone.*BFloat16"),
    "loss without gradient": ({"losses": Loss.from_function(no_gradient)()}, "does not require grad|no gradient"),
    "loss without way back": ({"losses": Loss.from_function(no_way_back)()}, "no way back"),
    "objective of another shape": (
        {"solver": {"objective": Scalarization.from_function(of_the_wrong_shape)()}},
        "solver.objective|shape",
    ),
    "objective fails": ({"solver": {"objective": Scalarization.from_function(mismatched)()}}, "solver.objective"),
    "objective on numpy": (
        {"solver": {"objective": Scalarization.from_function(read_by_numpy)()}},
        "solver.objective.*numpy",
    ),
    "balancing without state": ({"solver": {"balancing": [NoState()]}}, "solver.balancing.0.*KeyError: 'missing'"),
    "schedule draws late": ({"solver": {"preferences": Gap()}}, "solver.preferences.*second quarter"),
    # the last batch
    "last batch of one": (
        {"network": Normed, "solver": SHARED, "batch_size": 39, "drop_last": False},
        "40 training samples in batches of 39 leave 1.*raise training.batch_size or set training.drop_last: true",
    ),
    "last batch divided": (
        {"network": Normed, "batch_size": 38, "drop_last": False},
        "leave 2 for the last one, divided among 2 pref.*lower solver.preferences.per_batch",
    ),
    "pieces of one": ({"network": Normed, "batch_size": 2}, "a batch has 2 samples, divided among 2 preferences"),
    "batch of one": ({"network": Normed, "solver": SHARED, "batch_size": 1}, "a batch has 1 samples"),
    "squeezed batch": (
        {"network": Squeezing, "solver": SHARED, "batch_size": 39, "drop_last": False},
        "training.drop_last",
    ),
    # optimizer and scheduler
    "two implementations": ({"optimizer": {"name": "adam", "fused": True, "foreach": True}}, "training.optimizer"),
    "nesterov alone": ({"optimizer": {"name": "sgd", "lr": 0.1, "nesterov": True}}, "training.optimizer"),
    "momentum of nothing": (
        {"optimizer": {"name": "rprop"}, "scheduler": {"name": "one_cycle", "max_lr": 0.1}},
        "training.scheduler",
    ),
    "cycle too short": (
        {"scheduler": {"name": "one_cycle", "max_lr": 0.1, "total_steps": 5}},
        "training.scheduler.*Tried to step",
    ),
    "a step of no epochs": ({"scheduler": {"name": "step", "step_size": 0}}, "^training.scheduler: .*ZeroDivision"),
    "second in a row": (
        {"scheduler": [{"name": "constant", "length": 1}, {"name": "linear", "start_factor": 2.0}]},
        "^training.scheduler: .*multiplicative factor",
    ),
    "uphill": ({"scheduler": {"name": "exponential", "gamma": -1.0}}, "training.scheduler.*learning rate becomes -"),
    # evaluation
    "metric fails": ({"metrics": [FailingMetric()]}, "evaluating.*no such metric"),
    "test data lack a target": ({"given": other_test_data}, "split 'test'.*down"),
    "validation data of another shape": ({"given": wider_validation_data}, "split 'val'"),
    "too long": ({"given": short_data}, "index 40 is out of bounds"),
    # saving, loading, using
    "extra state": ({"network": ExtraState}, "checkpoint|saving|extra"),
    "sparse buffer": ({"network": SparseBuffer}, "sparse|Sparse|memory format"),
    "tensor that is no buffer": ({"network": RandomProjection}, "the saved and loaded model answers otherwise"),
    "buffer that is not saved": ({"network": NotPersistent}, "the saved and loaded model answers otherwise"),
    "lock": ({"network": Locked}, "cannot pickle"),
    "counts its calls": ({"network": CountsCalls}, "answers otherwise"),
}
