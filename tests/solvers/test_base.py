"""What solvers share: options written once, with defaults of each solver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moframework.config import Component, build, config, option, unstructure
from moframework.config.fields import options_of
from moframework.errors import MoframeworkError, SpecError
from moframework.objectives.linear import Linear
from moframework.objectives.tchebycheff import Tchebycheff
from moframework.preferences import Schedule
from moframework.preferences.annealed import Annealed
from moframework.preferences.dirichlet import Dirichlet
from moframework.preferences.grid import Grid
from moframework.run.solving import solve
from moframework.solvers.base import Method, Solver
from moframework.solvers.palora import PaLoRA
from moframework.spec.writing import write_yaml
from moframework.weights import WeightSpaceConfig
from moframework.weights.convex_hull import ConvexHull
from tests.solvers.tiny import planned, solved, spec

SHARED = ["preferences", "objective", "balancing", "initial"]


@config
class Short(Solver):
    """As short as a solver can be, with an option and a default of its own."""

    default_preferences = Annealed()
    factor: float = option(1.0, gt=0, help="learning rate of the members over that of the training")

    def weight_space(self, m: int) -> WeightSpaceConfig:
        return ConvexHull(lr_factor=self.factor)


@config
class Whole(Solver):
    """Assembles its method itself, as solvers had to before options were shared."""

    preferences: Schedule = option(factory=Annealed, help="how preferences are drawn")
    factor: float = option(1.0, gt=0, help="learning rate of the members over that of the training")

    def method(self, m: int) -> Method:
        return Method(weights=ConvexHull(lr_factor=self.factor), preferences=self.preferences, objective=Linear())


def keys(cls: type[Component]) -> list[str]:
    return [o.key for o in options_of(cls)]


def by_python(cls: type[Solver], **options: Any) -> dict[str, Any]:
    return {"python": f"{__name__}:{cls.__name__}", **options}


@pytest.mark.parametrize("name", Solver.names())
def test_own_options_come_first_then_shared_ones_in_one_order(name: str) -> None:
    cls = Solver.lookup(name)
    assert issubclass(cls, Solver)
    shared = [key for key in SHARED if key in cls.shared_options]
    assert keys(cls)[len(keys(cls)) - len(shared) :] == shared
    assert set(keys(cls)[: len(keys(cls)) - len(shared)]).isdisjoint(SHARED)
    assert all(o.help for o in options_of(cls))


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("stl", ["preferences", "objective", "balancing"]),
        ("single", ["preferences"]),
        ("multipoint", ["preferences"]),
        ("cosmos", ["initial"]),
    ],
)
def test_what_a_solver_fixes_is_refused_by_name(name: str, refused: list[str]) -> None:
    for key in SHARED:
        value = {"preferences": "dirichlet", "objective": "linear", "balancing": ["loss"], "initial": "x.pt"}[key]
        if key not in refused:
            build(Solver, {"name": name, key: value})  # type: ignore[type-abstract]
            continue
        with pytest.raises(SpecError, match=rf"{key}: unknown key; .*allowed: .*(initial|balancing)"):
            build(Solver, {"name": name, key: value})  # type: ignore[type-abstract]


def test_a_short_solver_has_all_shared_options_with_its_defaults() -> None:
    assert keys(Short) == ["factor", *SHARED]
    written = unstructure(build(Solver, by_python(Short), trust=True))  # type: ignore[type-abstract]
    assert list(written) == ["python", "factor", *SHARED]
    assert written["preferences"]["name"] == "annealed"
    method = Short(objective=Tchebycheff(), initial=Path("x.pt")).method(2)
    assert method == Method(
        weights=ConvexHull(lr_factor=1.0), preferences=Annealed(), objective=Tchebycheff(), initial=Path("x.pt")
    )


def test_a_short_solver_is_balanced_and_starts_from_a_file(tmp_path: Path) -> None:
    ready = planned(by_python(Short))
    network = ready.spec.problem.backbone()
    start = {name: torch.full_like(value, 0.01) for name, value in network.state_dict().items()}
    torch.save(start, tmp_path / "start.pt")
    options = {"balancing": [{"name": "loss"}], "initial": str(tmp_path / "start.pt")}
    ready = planned(by_python(Short, **options))
    assert [type(part).__name__ for part in ready.method.balancing] == ["LossBalancing"]
    assert all(torch.equal(p, torch.full_like(p, 0.01)) for p in ready.model.space.parameters())
    run, plain = (
        solved(by_python(Short, **given), tmp_path / name)
        for name, given in {"run": options, "plain": {"initial": options["initial"]}}.items()
    )
    assert not np.array_equal(run.front("test").losses, plain.front("test").losses)


def test_defaults_and_helps_are_inherited_and_changed() -> None:
    @config
    class Child(Short):
        default_objective = Tchebycheff()

    @config
    class Grandchild(Child):
        initial: Path | None = option(None, help="where to begin")

    @config
    class Other(Grandchild):
        default_preferences = Grid()

    found = {cls: {o.key: o for o in options_of(cls)} for cls in (Short, Child, Grandchild, Other)}
    defaults = {cls: (o["preferences"].default(), o["objective"].default()) for cls, o in found.items()}
    assert defaults == {
        Short: (Annealed(), Linear()),
        Child: (Annealed(), Tchebycheff()),
        Grandchild: (Annealed(), Tchebycheff()),
        Other: (Grid(), Tchebycheff()),
    }
    assert Other().method(2).preferences == Grid()
    assert [o["initial"].help == "where to begin" for o in found.values()] == [False, False, True, True]
    assert all(list(o) == ["factor", *SHARED] for o in found.values())
    assert Solver.default_preferences == Dirichlet(concentration=1.0, per_batch=4), "that of the base stays"


def test_a_solver_that_assembles_its_method_has_the_options_that_it_reads(tmp_path: Path) -> None:
    assert keys(Whole) == ["factor", "preferences"]
    assert len(solved(by_python(Whole), tmp_path / "run").front("test").losses) == 3
    with pytest.raises(SpecError, match=r"solver\.balancing: unknown key; allowed: factor, preferences"):
        planned(by_python(Whole, balancing=["loss"]))
    with pytest.raises(MoframeworkError, match="Whole assembles its method itself"):
        Whole().weight_space(2)


def test_a_solver_that_changes_the_method_of_another_keeps_its_options() -> None:
    @config
    class Balanced(PaLoRA):
        def method(self, m: int) -> Method:
            method = super().method(m)
            assert method.balancing == self.balancing
            return method

    assert keys(Balanced) == keys(PaLoRA)
    assert Balanced(rank=2).method(2) == PaLoRA(rank=2).method(2)


def test_a_solver_without_a_weight_space_is_told() -> None:
    @config
    class Empty(Solver):
        """Nothing."""

    with pytest.raises(MoframeworkError, match="cannot be used as a solver: it does not define weight_space"):
        Solver.adopt(Empty, "here")


def test_an_expanded_spec_of_before_resumes(tmp_path: Path) -> None:
    """The order of its keys, and keys that had no default then, make no difference."""
    run = solved("palora", tmp_path / "run")
    mapping = unstructure(run.spec)
    mapping["solver"] = dict(sorted(mapping["solver"].items(), reverse=True))
    assert list(mapping["solver"]) != list(unstructure(run.spec.solver))
    (run.path / "spec.yaml").write_text(write_yaml(mapping))
    assert solve(spec("palora"), out=run.path, resume=True).status == "done"
