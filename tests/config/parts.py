"""Example parts that the tests of the config and spec layers build: every kind of option, no torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

from moframework.config import Component, OptionError, arguments, config, option, options_class
from moframework.errors import UnknownNameError


class Toy(Component):
    """Interfaces below keep their parts in a dict instead of the registry."""

    parts: ClassVar[dict[str, object]]

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(sorted(cls.parts))

    @classmethod
    def lookup(cls, name: str) -> type[Component]:
        if name not in cls.parts:
            raise UnknownNameError(f"no {name}")
        return cls.adopt(cls.parts[name], f"toy '{name}'")


class Schedule(Toy, kind="toy_schedules"):
    parts: ClassVar[dict[str, object]] = {}

    @abstractmethod
    def draw(self) -> float: ...

    @classmethod
    def from_function(cls, function: Callable[..., Any]) -> type[Component]:
        made: type[Component] = options_class(function, name=function.__name__, bases=(FunctionSchedule,), skip={"x"})
        return made


class FunctionSchedule(Schedule):
    def draw(self) -> float:
        return float(type(self).function(1.0, **arguments(self)))  # type: ignore[attr-defined]


@config
class Annealed(Schedule):
    temperature: float = option(5.0, gt=0, help="how fast")
    margin: float = option(0.01, ge=0, lt=0.5, help="how far from the border")

    def draw(self) -> float:
        return self.temperature


@config
class Fixed(Schedule):
    points: tuple[float, ...] = option(help="where", ge=0, le=1)

    def draw(self) -> float:
        return self.points[0]


def doubled(x: float, *, times: int = 2, shift: float = 0) -> float:
    """A plain function. times: how often it is doubled. Other words."""
    return x * times + shift


Schedule.parts |= {"annealed": Annealed, "fixed": Fixed, "doubled": doubled, "broken": object}


class Solver(Toy, kind="toy_solvers"):
    parts: ClassVar[dict[str, object]] = {}


@config
class Palora(Solver):
    """Low rank."""

    rank: int = option(4, ge=1, help="rank of the adapters")
    alpha: float = option(1.0, gt=0, help="scale")
    conv: Literal["loralib", "peft"] = option("loralib", help="form")
    preferences: Schedule = option(factory=lambda: Annealed(temperature=3.0), help="how preferences are drawn")
    initial: Path | None = option(None, help="where to start")
    epochs: int | None = option(None, ge=1, help="budget")
    steps: int | None = option(None, ge=1, help="budget, instead")
    memory: bool | Literal["auto"] = option("auto", help="layout")

    def __attrs_post_init__(self) -> None:
        if self.epochs is not None and self.steps is not None:
            raise OptionError("give epochs or steps, not both", "steps")


@config
class Grid(Solver):
    points: int = option(5, ge=1, help="how many")


Solver.parts |= {"palora": Palora, "grid": Grid}


class Problem(Toy, kind="toy_problems"):
    parts: ClassVar[dict[str, object]] = {}

    def customized(self, overrides: Any) -> Component:
        if overrides.tasks is not None and "nowhere" in overrides.tasks:
            raise OptionError("nowhere is no task of it", "tasks.nowhere")
        return Customized(base=self, overrides=overrides)


@config
class Task:
    loss: str | None = option(None, help="loss of the task")
    size: int = option(1, ge=1, help="width of its output")
    metrics: tuple[Literal["accuracy", "f1"], ...] = option((), help="what is measured")


@config
class Overrides:
    tasks: dict[str, Task] | None = option(None, help="changed tasks")
    reference: tuple[float, float] | None = option(None, help="reference point")


@config
class Customized(Problem):
    is_customization: ClassVar[bool] = True
    base: Any = option(help="what is changed")
    overrides: Any = option(help="the changes")  # type: ignore[misc]


@config
class Digits(Problem):
    train: int = option(100, ge=1, help="samples")
    root: Path | None = option(None, help="folder of the data")


@config
class Declared(Problem):
    """A problem said in full."""

    tasks: dict[str, Task] = option(help="by name")
    reference: tuple[float, ...] | None = option(None, help="reference point")


Problem.parts |= {"digits": Digits}
Problem.unnamed = Declared
Problem.overrides = Overrides


@config
class Training:
    batch_size: int = option(256, ge=1, help="samples a step")
    schedule: Schedule | None = option(None, help="a schedule")
    drop_last: bool = option(True, help="leave out the rest")
    device: str = option("auto", help="where")
    rates: list[float] = option(factory=list, help="rates", gt=0)


@config
class Root:
    problem: Problem = option(help="what is solved")
    solver: Solver = option(help="how")
    training: Training = option(factory=lambda: Training(batch_size=64), help="budget")
    seed: int = option(0, ge=0, help="of everything random")
    name: str | None = option(None, help="of the run")
    extra: Any = option(None, help="anything")
