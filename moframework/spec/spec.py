"""The root of a spec: a problem, a solver, and how to train and evaluate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import attrs

from moframework.config import Trust, config, option, unstructure
from moframework.config.options import OptionError
from moframework.config.references import relative_references
from moframework.config.schema import Schema
from moframework.config.structure import KeyPath, structure
from moframework.engine.settings import Evaluation, Training
from moframework.errors import SpecError
from moframework.loggers import Logger
from moframework.loggers.tensorboard import TensorBoard
from moframework.problem import Problem
from moframework.solvers.base import Solver
from moframework.spec.loading import Other, load, schema_of
from moframework.spec.marks import Item, Located, Mark, locate, plain
from moframework.spec.writing import write_yaml

__all__ = ["Spec", "Untrained", "allow_untrained", "load_spec", "spec_schema"]


_NO_TRAINING = "none"
_NAME = 200  # a folder is called by it, with the time; names of files have at most 255 bytes


@config
class Spec:
    """Everything a run is made from.

    >>> spec = load_spec({"problem": "digits", "solver": {"name": "palora", "rank": 2}})
    >>> load_spec({**unstructure(spec), "seed": 1}).seed
    1
    """

    problem: Problem = option(help="what is solved: a named problem, with any part overridden, or one declared here")
    solver: Solver = option(help="how it is solved")
    training: Training = option(
        factory=Training, help="budget, batches, optimizer, precision, device; none where the solver trains nothing"
    )
    evaluate: Evaluation = option(factory=Evaluation, help="how fronts are evaluated")
    constraints: dict[str, str | tuple[str, ...]] | None = option(
        factory=dict,
        help="what losses and metrics have to be on the validation split, as conditions of `pick`: "
        '{left/loss: "<= 0.3"}; several of one column as a list. The model answers only preferences that meet them. '
        "none takes back what `extends` brings",
    )
    seed: int = option(0, ge=0, help="of everything drawn at random; the same seed gives the same result")
    name: str | None = option(None, help="name of the run; none: the name of the spec file")

    log: Logger | tuple[Logger, ...] = option(
        (TensorBoard(),), help="who is told of the training beside the run folder; several, or an empty list for nobody"
    )

    def __attrs_post_init__(self) -> None:
        kinds = [type(logger) for logger in self.loggers]
        if len(set(kinds)) < len(kinds):
            raise OptionError("log names a logger twice", "log")
        if self.name is not None and len(self.name) > _NAME:
            raise OptionError(f"name must have at most {_NAME} characters, but it has {len(self.name):,}", "name")
        if self.constraints is None:
            object.__setattr__(self, "constraints", {})
        if self.evaluate.batchnorm == "auto":
            chosen = "shared" if type(self.solver).trains else "recalibrate"
            object.__setattr__(self, "evaluate", attrs.evolve(cast(Any, self.evaluate), batchnorm=chosen))

    @property
    def loggers(self) -> tuple[Logger, ...]:
        """The loggers under `log`."""
        return self.log if isinstance(self.log, tuple) else (self.log,)

    def to_yaml(self, folder: Path | None = None) -> str:
        """The spec with every option spelled out; loading it gives an equal spec.

        Args:
            folder: of the file that it is for: references to files of one's own are written relative to it.
        """
        plain = unstructure(self)
        return write_yaml(plain if folder is None else relative_references(plain, folder))


_BENCHMARK = Other(
    keys=("problems", "solvers"),
    wanted=("problem", "solver"),
    message="this is a benchmark, not the spec of one run",
    command="moframework benchmark",
    function="load_benchmark",
)
_STUDY = Other(
    keys=("tune",),
    wanted=(),
    message="this spec is to be tuned, and no run is made from it before",
    command="moframework tune",
    function="load_study",
)


def load_spec(source: str | Path | Mapping[str, object], overrides: Sequence[str] = (), *, trust: Trust = True) -> Spec:
    """Load a spec from a file, by the name of a bundled one, or from a mapping.

    A spec is a program as a script is: where it names code, as `python: ./mine.py:Mine`, that is imported.

    Args:
        source: a path such as `my/spec.yaml`, a bundled name such as `quickstart`, or the content as a mapping.
            Relative paths in a file start from its folder, those in a mapping and in bundled specs from the working
            directory.
        overrides: as after `--set`: `solver.rank=4`; a mapping replaces the whole section.
        trust: False where nothing may be imported because the spec names it; such names are faults then, but for what
            this process has imported already. A list of classes and functions stands for what is named as they are.

    Raises:
        SpecError: with every fault found, each with its position; where there are some, with those of data too that is
            soon read (`Problem.early_faults`).

    >>> load_spec({"problem": "digits", "solver": "palora"}, ["solver.rank=2"]).solver.rank
    2
    """
    if isinstance(source, Problem | Solver):
        given, missing = ("problem", "solver") if isinstance(source, Problem) else ("solver", "problem")
        example = '"solver": "palora"' if given == "problem" else '"problem": "digits"'
        raise SpecError(
            f"a {given} alone ({type(source).__name__}) is no spec, for it has no {missing}: give a mapping such as "
            f'{{"{given}": {given}, {example}}}'
        )
    untrained = Untrained()
    spec = load(
        source,
        Spec,
        overrides,
        expand=untrained.expanded,
        further=lambda root, made: [*untrained.faults(root, made), *_faults_of_data(root, made, trust)],
        other=(_BENCHMARK, _STUDY),
        trust=trust,
    )
    if spec.name is None and not isinstance(source, Mapping):
        named: Spec = attrs.evolve(cast(Any, spec), name=Path(source).stem)
        return named
    return spec


@config
class _Solved:
    """The part of a spec that has data."""

    problem: Problem = option(help="what is solved")


def _faults_of_data(root: Item, made: Spec | None, trust: Trust) -> list[Located]:
    """What is wrong with the data of a spec that has other faults, where its problem has none and knows that soon."""
    if made is not None or "problem" not in root.value:
        return []

    def folder(path: KeyPath) -> Path:
        return locate(root, path).source.folder

    alone = {"problem": plain(root.value["problem"])}
    solved, _ = structure(alone, _Solved, base=folder, trust=trust)
    if solved is None:
        return []
    try:
        lines = solved.problem.early_faults()
    except Exception:  # a problem of one's own that fails is told when its data is read, with its place
        return []
    path: KeyPath = ("problem",)
    return [Located(locate(root, path, on_key=True), path, line) for line in lines]


def spec_schema() -> Schema:
    """The JSON Schema (draft-07) of the spec language with every part installed here, for editors."""
    return allow_untrained({"title": "moframework spec", **schema_of(Spec)})


def allow_untrained(schema: Schema) -> Schema:
    """The schema of specs of a run with `training: none`, which `Untrained` reads."""
    for definition in schema["definitions"].values():
        options = definition.get("properties", {})
        if {"problem", "solver", "training"} <= set(options):
            given = options["training"]
            help_ = {"description": given["description"]} if "description" in given else {}
            options["training"] = {"anyOf": [given, {"enum": [None, _NO_TRAINING]}], **help_}
    return schema


class Untrained:
    """`training: none`, which solvers that take no step may be given; it stands for the defaults."""

    def __init__(self) -> None:
        self.given: Mark | None = None

    def expanded(self, root: Item) -> Item:
        """The root with the defaults in the place of none."""
        training = root.value.get("training")
        if training is None or training.value not in (None, _NO_TRAINING):
            return root
        self.given = training.mark
        return attrs.evolve(root, value={**root.value, "training": attrs.evolve(training, value={})})

    def faults(self, root: Item, made: Spec | None) -> list[Located]:
        """A fault where the solver trains, and no override says how long."""
        overridden = bool(root.value["training"].value) if "training" in root.value else False
        if self.given is None or overridden or made is None or not type(made.solver).trains:
            return []
        text = "none, but the solver trains: say how long, or leave `training` out for 10 epochs"
        return [Located(self.given, ("training",), text)]
