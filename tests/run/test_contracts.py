"""A solver of one's own whose parts do not keep what they promise is told when a run is planned, by name and line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
import torch
from torch import Generator, Tensor, nn

from moframework import Schedule, Solver, Spec, WeightSpace, WeightSpaceConfig, check, load_spec
from moframework.config import config, option
from moframework.errors import SpecError
from moframework.run.plan import plan
from moframework.solvers.pamal import PaMaL

SPEC = load_spec(
    {"problem": {"name": "digits", "train": 16, "val": 8, "test": 8}, "solver": "single", "training": {"steps": 1}}
)


class Whole(WeightSpace):
    """One network for all preferences, kept well."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.names = [name for name, _ in network.named_parameters()]
        self.values = nn.ParameterList(value.detach().clone() for value in network.parameters())

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        return {name: 1.0 * value for name, value in zip(self.names, self.values, strict=True)}


@config
class Options(WeightSpaceConfig):
    space: str = option(help="a class of this file")

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        return cast(WeightSpace, globals()[self.space](make()))


@config
class Mine(Solver):
    space: str = option(help="a class of this file")

    def weight_space(self, m: int) -> WeightSpaceConfig:
        return Options(space=self.space)


def solved_by(space: type[WeightSpace]) -> Spec:
    """The spec with a solver that has this weight space."""
    return attrs.evolve(cast(Any, SPEC), solver=Mine(space=space.__name__))


class Broken(Whole):
    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.values = self.nothing


class Fails(Whole):
    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        raise RuntimeError("not today")


class Empty(Whole):
    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        return {}


class Further(Whole):
    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        return {**super().weights(preference), "oops": preference}


class Higher(Whole):
    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        return {name: value.unsqueeze(0) for name, value in super().weights(preference).items()}


class Numbers(Whole):
    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        return cast(Any, dict.fromkeys(self.names, 0.0))


class Nothing(Whole):
    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        return cast(Any, None)


class Detached(Whole):
    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in super().weights(preference).items()}


class NoGroups(Whole):
    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        return cast(Any, None)


class FewGroups(Whole):
    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        return [{"name": "all", "params": list(self.values)[1:], "lr": lr}]


class TwiceInGroups(Whole):
    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        return [{"name": name, "params": list(self.values), "lr": lr} for name in ("one", "two")]


def test_what_keeps_its_promises_is_planned() -> None:
    assert plan(solved_by(Whole)).model.space.__class__ is Whole


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (Broken, r"building the weights of Options fails: AttributeError: .*nothing.* \(.*test_contracts\.py:\d+\)$"),
        (Fails, r"weights\(\) of Fails fails: RuntimeError: not today \(.*test_contracts\.py:\d+\)$"),
        (Empty, r"weights\(\) of Empty has nothing for 'encoder\.conv1\.weight', .* and \d+ more of the network"),
        (Further, r"weights\(\) of Further has 'oops', which the network has not"),
        (Higher, r"gives 'encoder\.conv1\.weight' the shape \(1, 10, 1, 5, 5\); the network's is \(10, 1, 5, 5\)"),
        (Numbers, r"depends on no parameter of it that is trained"),
        (Nothing, r"weights\(\) of Nothing returned nothing, not weights by the names of parameters"),
        (Detached, r"weights\(\) of Detached depends on no parameter of it that is trained, so nothing learns"),
        (NoGroups, r"parameter_groups\(\) of NoGroups returned nothing, not mappings with `params`"),
        (FewGroups, r"parameter_groups\(\) of FewGroups leave out 'values\.0': every parameter to train is in one"),
        (TwiceInGroups, r"hold 'values\.0', .* and \d+ more more than once"),
    ],
)
def test_a_weight_space_that_breaks_its_promise(space: type[WeightSpace], words: str) -> None:
    with pytest.raises(SpecError, match=r"^solver: .*" + words):
        plan(solved_by(space))


@config
class Raises(Solver):
    def weight_space(self, m: int) -> WeightSpaceConfig:
        return {}["nope"]


@config
class Names(Solver):
    def weight_space(self, m: int) -> WeightSpaceConfig:
        return cast(Any, "convex_hull")


@config
class Builds(WeightSpaceConfig):
    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        return cast(Any, make())


@config
class Network(Solver):
    def weight_space(self, m: int) -> WeightSpaceConfig:
        return Builds()


@config
class Flat(Schedule):
    def natural_count(self, m: int) -> int:
        return 1

    def draw(self, progress: float, count: int, m: int, generator: Generator) -> Tensor:
        return torch.full((m,), 1 / m)


@config
class Heavy(Flat):
    def draw(self, progress: float, count: int, m: int, generator: Generator) -> Tensor:
        return torch.ones(count, m)


@config
class Fades(Flat):
    """Off the simplex but at the end."""

    def draw(self, progress: float, count: int, m: int, generator: Generator) -> Tensor:
        return torch.full((count, m), 1 / m) + (1 - progress)


class Bare(Flat):
    pull: float = option(0.5, ge=0, help="nobody made this class one with options")


@config
class Dies(Flat):
    def draw(self, progress: float, count: int, m: int, generator: Generator) -> Tensor:
        raise KeyError("rays")


@pytest.mark.parametrize(
    ("solver", "words"),
    [
        (Raises(), r"^solver: assembling the method of Raises fails: KeyError: 'nope' \(.*test_contracts\.py:\d+\)$"),
        (Names(), r"^solver: weight_space\(\) of Names returned something of type str, not the options of a weight"),
        (Network(), r"^solver: build\(\) of Builds returned something of type Shared, not a moframework\.WeightSpace"),
        (
            PaMaL(preferences=Flat()),
            r"draw\(\) of Flat gives at progress 1 the shape \(2,\), not 1 preferences of 2 tasks, each",
        ),
        (
            PaMaL(preferences=Heavy()),
            r"draw\(\) of Heavy gives at progress 1 \[1\.0, 1\.0\], … in the shape \(1, 2\), not 1 pref",
        ),
        (PaMaL(preferences=Bare()), r"^solver\.preferences: Bare has no options: decorate the class with @moframework"),
        (PaMaL(preferences=Fades()), r"draw\(\) of Fades gives at progress 0\.0001 \[1\.499"),
        (PaMaL(preferences=Dies()), r"^solver\.preferences: drawing preferences with Dies fails: KeyError: 'rays' \("),
    ],
)
def test_a_solver_that_breaks_its_promise(solver: Solver, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        plan(attrs.evolve(cast(Any, SPEC), solver=solver))


MINE = """
import torch
from torch import nn
from moframework import problem_from_parts


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        IN_NETWORK
        self.left, self.right = nn.Linear(4, 1), nn.Linear(4, 1)

    def forward(self, x):
        return self.left(x), self.right(x)


class Rows(torch.utils.data.Dataset):
    def __init__(self, split):
        IN_DATA

    def __len__(self):
        return 8

    def __getitem__(self, index):
        IN_ROW
        return torch.ones(4), {"left": torch.ones(1), "right": torch.zeros(1)}


def mine():
    tasks = {name: {"loss": "mse", "size": 1} for name in ("left", "right")}
    return problem_from_parts(tasks=tasks, network=Network, data=Rows, reference=(2.0, 2.0))
"""


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("IN_NETWORK", r"^problem\.backbone: making network and data ready fails: ValueError: no \(.*mine\.py:10\)$"),
        ("IN_DATA", r"^problem: making network and data ready fails: ValueError: no \(.*mine\.py:19\)$"),
        ("IN_ROW", r"^problem: making network and data ready fails: ValueError: no \(.*mine\.py:25\)$"),
        ("NOWHERE", None),
    ],
)
def test_a_problem_of_ones_own_that_fails_is_told_with_the_line(place: str, words: str | None, tmp_path: Path) -> None:
    text = MINE.replace(place, 'raise ValueError("no")')
    for other in ("IN_NETWORK", "IN_DATA", "IN_ROW"):
        text = text.replace(other, "pass")
    (tmp_path / "mine.py").write_text(text)
    (tmp_path / "s.yaml").write_text(
        "problem: {python: ./mine.py:mine}\nsolver: palora\ntraining: {steps: 2, batch_size: 4}\n"
    )
    if words is None:
        assert check(tmp_path / "s.yaml", trust=True)
        return
    with pytest.raises(SpecError, match=words):
        check(tmp_path / "s.yaml", trust=True)


OWN = """
import torch
from moframework.backbones.mlp import MLP
from moframework.config import config, option
from moframework.data import TensorData
from moframework.losses import MSE
from moframework.problem import Problem
from moframework.problem.task import Task

@config
class Mine(Problem):
    "A problem of one's own."

    where: str = option(help="what fails")

    def __attrs_post_init__(self):
        self.fail("init")

    def fail(self, where):
        if self.where == where:
            raise KeyError(where)  # line 21

    @property
    def tasks(self):
        self.fail("tasks")
        return (Task(name="a", loss=MSE()), Task(name="b", loss=MSE()))

    @property
    def network(self):
        return MLP(hidden=(4,))

    @property
    def input_shape(self):
        return (3,)

    @property
    def notes(self):
        self.fail("notes")
        return ()

    @property
    def reader(self):
        self.fail("reader")

    def data(self, split):
        return TensorData(torch.rand(8, 3), {"a": torch.rand(8), "b": torch.rand(8)})
"""


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("init", r"s\.yaml:1:10: problem: making it fails: KeyError: 'init'"),
        ("tasks", r"^problem: planning fails: KeyError: 'tasks'"),
        ("notes", r"^problem: telling its notes fails: KeyError: 'notes'"),
        ("reader", r"^problem: planning fails: KeyError: 'reader'"),
    ],
)
def test_a_problem_class_that_fails_is_told_with_the_line(where: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "s.yaml").write_text(
        f"problem: {{python: ./mine.py:Mine, where: {where}}}\nsolver: palora\ntraining: {{steps: 2}}\nlog: []\n"
    )
    with pytest.raises(SpecError, match=words + r" \(.*mine\.py:21\)$"):
        check(tmp_path / "s.yaml", trust=True)


AUTHORS = """from moframework import Solver
from moframework.config import config, option
from moframework.weights.low_rank import LowRank


class Base(Solver):
    def weight_space(self, m):
        return LowRank(rank=1)


@config
class Drawn(Base):
    default_preferences = "dirichlet"


@config
class Below(Base):
    rank: int = option(0, ge=1, help="a rank")


@config
class Untyped(Base):
    rank = option(1, ge=1, help="a rank")
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "Drawn",
            r"solver.preferences: that of Drawn is something of type str \('dirichlet'\), not a Schedule; .*Dirichl",
        ),
        (
            "Below",
            r"solver: the default of the option 'rank' of \S*mine.py: Below breaks its own rule: rank must be at",
        ),
        ("Untyped", r"solver.python: \S*mine.py: Untyped has an option 'rank' without a type"),
    ],
)
def test_slips_of_the_author_of_a_solver_are_told_as_such(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "mine.py").write_text(AUTHORS)
    with pytest.raises(SpecError, match=words) as caught:
        check(
            load_spec(
                {"problem": "digits", "solver": {"python": f"{tmp_path / 'mine.py'}:{name}"}, "training": {"steps": 1}}
            )
        )
    assert "moframework_file_" not in str(caught.value)
