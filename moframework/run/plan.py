"""Everything about a spec that can be known without a step of training: what `check` prints and `solve` relies on."""

from __future__ import annotations

import itertools
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import attrs
import torch
from attrs import frozen
from torch import Tensor

from moframework.backbones.base import Backbone
from moframework.blame import blamed
from moframework.config import Trust, unstructure
from moframework.config.options import OptionError
from moframework.data import Dataset, Split, batches, epoch_size, sample_rows
from moframework.engine.acceleration import choices
from moframework.engine.device import Placement, placement
from moframework.engine.extensions import extend
from moframework.engine.job import Job, optimizer_groups, plan_partition, steps_per_epoch
from moframework.engine.method import Method
from moframework.engine.settings import Training
from moframework.engine.step import Partition, Step
from moframework.errors import DataError, MoframeworkError, SpecError
from moframework.inputs import Entry, InputForm
from moframework.loggers import Logger
from moframework.memory import FitsInMemory, TooMuchMemoryError
from moframework.model import ParetoModel, Recipe, load_initial
from moframework.model.trial import check_passes
from moframework.nonfinite import on_nonfinite
from moframework.optim import describe_groups
from moframework.optim.row import describe_row, parts_of
from moframework.pareto.words import point_in_words
from moframework.preferences.evaluation import evaluation_set
from moframework.problem import Problem, fitted, preparation_of
from moframework.problem.target_notes import target_notes
from moframework.problem.task import Task
from moframework.problem.trying import idle_notes
from moframework.processes.world import World
from moframework.run.classes import ClassCounts, class_lines, class_notes, count_classes
from moframework.run.constraining import conditions_of
from moframework.run.contracts import check_groups, check_weights, method_of, model_of
from moframework.run.held import read_splits
from moframework.run.held_out import check_fixed, held_out_notes, hold_out
from moframework.run.labels import Labels, check_labels, count_labels, label_lines, unit_lines, weight_lines
from moframework.run.memory import has_room
from moframework.run.memory_estimate import estimate_memory
from moframework.run.search_plan import check_search, search_lines
from moframework.run.sets import batch_notes, set_lines
from moframework.seeding import derive_seed
from moframework.solvers.base import Solver
from moframework.spec import Spec

__all__ = ["Plan", "plan"]

_SHOWN = 6  # names of weights in a note
_SHORT_TRAINING = 50  # of a training: told by `check`, where it is not meant as a test
_TASKS = 10  # that are told one by one
_HOST = torch.device("cpu")
_COPIES = 6  # times the parameters that a comparison takes beside them: two networks, their gradients, θ(λ) and a copy
INIT = 0
"""Purpose of the random numbers that initialize a network."""


@frozen(kw_only=True)
class Plan:
    """A spec resolved against its data: ready to train."""

    spec: Spec
    """As it was given, but for losses that took something from the training data: they have it."""
    method: Method
    model: ParetoModel
    place: Placement
    data: Mapping[Split, Dataset]
    preferences: Tensor
    """Evaluation set (n, m)."""
    labels: Mapping[Split, Labels]
    """How many samples have a label of each task."""
    classes: Sequence[ClassCounts]
    """How often each class of a classification occurs."""
    compared: bool
    """Whether a pass of the network was compared with that of a plain one; not where memory may not do."""
    backbone_parameters: int
    partition: Partition
    """This process's part of a step."""
    told: Sequence[str] = ()
    """What the start of the model has to tell."""
    held_out: Dataset | None = None
    """Training samples set aside for the objective; not in `data`."""

    @property
    def reference(self) -> tuple[float, ...] | None:
        """Reference point of the loss hypervolume that spec or problem states, or None."""
        return self.spec.evaluate.reference or self.spec.problem.reference

    @property
    def steps(self) -> int:
        """Optimizer steps of the training."""
        return self.spec.training.budget(self.per_epoch) if self.method.trains else 0

    @property
    def per_epoch(self) -> int:
        """Optimizer steps of an epoch."""
        size, schedule = epoch_size(self.data["train"], self.spec.training.batch_size), self.method.preferences
        return steps_per_epoch(size, self.spec.training, schedule, len(self.spec.problem.tasks))

    def job(self, folder: Path, reference: Sequence[float]) -> Job:
        """What is to be trained.

        Args:
            folder: checkpoints go here.
            reference: reference point of the validation hypervolume.
        """
        return Job(
            model=self.model,
            problem=self.spec.problem,
            method=self.method,
            training=self.spec.training,
            evaluation=self.spec.evaluate,
            data=self.data["train"],
            validation=self.data["val"],
            preferences=self.preferences,
            reference=reference,
            seed=self.spec.seed,
            place=self.place,
            folder=folder,
            on_nonfinite=on_nonfinite(self.spec.training),
            held_out=self.held_out,
        )

    def accelerations(self, verbose: bool = False) -> list[str]:
        """A line on what makes a step faster; `verbose` adds what each does, and why the rest does not apply.

        Raises:
            SpecError: an acceleration that the spec names does not apply.
        """
        step = Step(self.model, self.spec.problem.tasks, self.method, self.place, self.partition)
        found = choices(step, self.spec.training)
        if not verbose:
            names = [choice.name for choice in found if choice.declined is None]
            return _headed("accelerated", [f"by {', '.join(names) or 'nothing'}"])
        taken = [f"{choice.name}: {choice.does}" for choice in found if choice.declined is None]
        others = [f"not {choice.name}: {choice.declined}" for choice in found if choice.declined is not None]
        return _headed("accelerated", [*(taken or ["by nothing"]), *others])

    def describe(self, verbose: bool = False) -> list[str]:
        """Lines for people: problem, solver, sizes, budget, evaluation; `verbose` as of `accelerations`."""
        spec, tasks = self.spec, self.spec.problem.tasks
        m = len(tasks)
        sizes = {split: len(data) for split, data in self.data.items()}  # type: ignore[arg-type]
        own = sum(p.numel() for p in self.model.space.parameters())
        base = self.backbone_parameters
        extra = own - base
        reference = self.reference
        lines = [
            f"problem     {m} tasks: {_tasks(tasks)}",
            "data        " + ", ".join(f"{split} {size:,}" for split, size in sizes.items())
            + "".join(f", {_name(augmentation)}" for augmentation in spec.problem.augmentation),
            *_headed("sets", set_lines(self.data, spec.training.batch_size)),
            *_headed("labels", label_lines(self.labels)),
            *_headed("classes", class_lines(self.classes)),
            *_headed("weights", weight_lines(tasks)),
            *_headed("units", unit_lines(tasks)),
            *_inputs(self.model.recipe.inputs),
            f"backbone    {_name(spec.problem.network)}, {base:,} parameters",
            f"solver      {_name(spec.solver)}, {own:,} parameters ({extra:+,}, {extra / base:+.1%})",
            *self._training(),
            *_headed("constraints", [str(one) for one in conditions_of(spec)]),
            self._evaluation(reference),
        ]  # fmt: skip
        if not self.method.trains:
            return [*lines, *self.notes()]
        return [*lines, *self.rates(), *self.notes(), *self.accelerations(verbose), *self.memory()]

    def _evaluation(self, reference: Sequence[float] | None) -> str:
        """A line on the preferences of the fronts, and on the reference point."""
        search, tasks = self.method.search, self.spec.problem.tasks
        where = f"{len(self.preferences)} preferences" if search is None else "the non-dominated evaluations"
        default = _default_reference(tasks) if search is None else "a tenth beyond the worst initial evaluations"
        below = f"({point_in_words(reference, [task.name for task in tasks])})" if reference else default
        return f"evaluation  {where}; hypervolume below {below}"

    def _training(self) -> list[str]:
        """Lines on a step, and on all of them; or on a search."""
        training, schedule = self.spec.training, self.method.preferences
        if self.method.search is not None:
            return search_lines(self.method.search.budget, self.spec.problem.box_function)
        if not self.method.trains:
            return [f"training    none, {self.place.describe()}"]
        count = schedule.count(len(self.spec.problem.tasks))
        passes = f"{count} forward passes" if schedule.batch == "shared" else "one forward pass in all"
        return [
            f"a step      batch of {training.batch_size}, {count} preferences ({_name(schedule)}), {passes}",
            f"training    {self.steps:,} steps, {_name(training.optimizer)}, {self.place.describe()}",
        ]

    def rates(self) -> list[str]:
        """Lines on groups of parameters with their learning rates, and on schedulers, where the spec names any.

        Raises:
            SpecError: as `optimizer_groups` and `parts_of`.
        """
        training, lines = self.spec.training, list[str]()
        groups = optimizer_groups(self.model.space, training, len(self.spec.problem.tasks))
        if training.parameter_groups:
            lines += describe_groups(groups)
        if training.schedulers:
            lines.append(describe_row(parts_of(training.schedulers, self.steps, self.per_epoch)))
        return _headed("rates", lines)

    def notes(self) -> list[str]:
        """Lines on what is worth knowing: of the data as the problem tells it, of targets that tell little, and of the
        weights that low-rank adapters leave out."""
        told = [*self.remarks(), *(_short_training(self.steps, self.spec.training) if self.method.trains else ())]
        return [*(f"{'note':12}{text}" for text in told), *self._not_adapted()]

    def remarks(self) -> list[str]:
        """What `notes` tells of data, targets and steps, as sentences."""
        told = [
            *self.told,
            *self._of_problem(),
            *held_out_notes(self.held_out),
            *target_notes(self.spec.problem.tasks, self.data["train"]),
            *idle_notes(self.spec.problem.augmentation, self.data["train"], self.spec.problem.maps),
            *class_notes(self.classes),
            *(
                batch_notes(self.data["train"], self.spec.training.batch_size, self.method, self.model)
                if self.method.trains
                else _without_effect(self.spec)
            ),
        ]
        if not self.compared:
            told.append("the network is too large to compare its gradients with those of a plain one first")
        return told

    def _of_problem(self) -> Sequence[str]:
        """What the problem tells. Raises `SpecError` where a problem of one's own fails."""
        with blamed("telling its notes", "problem", only_of_others=True):
            return self.spec.problem.notes

    def _not_adapted(self) -> list[str]:
        names = self.model.left_out()
        if not names:
            return []
        shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        return [
            f"not adapted {shown}: adapters take the weights that Linear, Embedding, convolution and attention layers "
            "have themselves, not those of recurrent layers, under parametrizations or hooks, or without a layer. "
            "These are trained, and the same for every preference; with another weight space (convex_hull) they depend "
            "on it"
        ]

    def memory(self) -> list[str]:
        """Lines on the memory that training will take at its peak, of how much, and what to lower where that is too
        much."""
        try:
            found = estimate_memory(self.job(Path(), self.reference or ())).describe()
        except Exception as error:  # an estimate is no reason to refuse what training itself may well do
            found = [f"could not be estimated ({type(error).__name__}: {error})"]
        return _headed("memory", found)


def plan(spec: Spec, world: World | None = None, trust: Trust = False) -> Plan:
    """Resolve `spec`: load the data, build the model, and send two samples through it.

    Args:
        world: the processes that will solve it together; None: this one alone.
        trust: what may be imported where the run that `solver.initial` names, names code.

    Raises:
        SpecError: parts do not fit together.
        DataError: data is missing or not as the tasks expect.
    """
    with blamed("planning", _of_part, only_of_others=True):
        return _plan(spec, World() if world is None else world, trust)


def _plan(spec: Spec, world: World, trust: Trust) -> Plan:
    problem, m = spec.problem, len(spec.problem.tasks)
    check_search(spec, world)
    _check_objectives(spec, m)
    conditions_of(spec)
    _check_loggers(spec)
    method = method_of(spec.solver, m)
    _check_validations(spec)
    with blamed("making network and data ready", _of_problem):
        _check_sizes(problem, method)
        problem, data, held_out = _data(problem, method, spec.seed)
        labels = count_labels(problem.tasks, data)
    given, spec = spec, attrs.evolve(cast(Any, spec), problem=problem)
    check_labels(labels)
    _check_saving(given)
    recipe = _recipe(problem, problem.network, method, data["train"])
    model, place, base = _model(spec, method, recipe, None if world.size == 1 else world.local_rank, trust)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(spec.seed, INIT, 2))
        told = () if method.start is None else method.start(model, problem, data["train"], trust)
    model.preparation = preparation_of(problem)
    compared = _compared(model, data["train"])
    anchors = model.space.anchors()
    ready = Plan(
        spec=spec,
        method=method,
        model=model,
        place=place,
        data=data,
        labels=labels,
        classes=count_classes(problem.tasks, model.preparation.answers, data),
        compared=compared,
        preferences=_evaluation_set(m, spec.evaluate.points) if anchors is None else anchors,
        backbone_parameters=base,
        partition=_partition(spec, method, world, data["train"]),
        told=told,
        held_out=held_out,
    )
    if method.trains:
        ready.rates()
        _check_objective(ready)
    return ready


def _of_problem(error: BaseException) -> str:
    """Which part of a problem was being made when an error was raised."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    made = any(isinstance(frame.f_locals.get("self"), Backbone) for frame in frames)
    return "problem.backbone" if made else "problem"


_PARTS: Sequence[tuple[type, str]] = (
    (Backbone, "problem.backbone"),
    (Problem, "problem"),
    (Solver, "solver"),
    (Logger, "log"),
)
"""Keys of parts by their class."""


def _of_part(error: BaseException) -> str:
    """Which part of a spec was at work when an error was raised: the innermost one."""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        own = frame.f_locals.get("self")
        for kind, key in _PARTS:
            if isinstance(own, kind):
                return key
    return "problem"


def _partition(spec: Spec, method: Method, world: World, data: Dataset) -> Partition:
    """This process's part of a step."""
    if world.size == 1:
        return Partition()
    size = epoch_size(data, spec.training.batch_size)
    return plan_partition(world, size, spec.training, method.preferences, len(spec.problem.tasks))


def _check_objective(ready: Plan) -> None:
    """Raise `SpecError` where gradients are to be combined at features that the network does not have, or as
    `check_fixed`."""
    check_fixed(ready.method, ready.model.space.anchors())
    place = attrs.evolve(ready.place, device=_HOST, autocast_dtype=None)
    step = Step(ready.model, ready.spec.problem.tasks, ready.method, place, ready.partition)
    found = extend(step, ready.spec.training)
    if found is not None and ready.compared:  # else memory may not do
        few = sample_rows(ready.data["train"], 2)
        x, targets = next(batches(ready.data["train"], 2, order=few, device=_HOST))
        found.prepare(ready.preferences[0], place.arranged(x), targets)


def _compared(model: ParetoModel, data: Dataset) -> bool:
    """Compare a pass of a network with that of a plain one, on two samples; False where memory may not do.

    Raises:
        SpecError: see `check_passes`.
    """
    compared = _room_for_copies(model)
    if compared:
        few = torch.arange(min(2, len(data)))  # type: ignore[arg-type]
        check_passes(model, next(batches(data, 2, order=few, device="cpu"))[0])
    return compared


def _room_for_copies(model: ParetoModel) -> bool:
    return has_room(_COPIES * sum(value.numel() * value.element_size() for value in model.parameters()), _HOST)


def _without_effect(spec: Spec) -> list[str]:
    """What to tell of a spec that says how long to train with a solver that does not."""
    given = [f"training.{key}" for key in ("epochs", "steps") if getattr(spec.training, key) is not None]
    return [f"{_name(spec.solver)} trains nothing: {given[0]} has no effect"] if given else []


def _short_training(steps: int, training: Training) -> list[str]:
    """What to tell of a training that is too short to learn from, as that of a small table often is."""
    if steps >= _SHORT_TRAINING:
        return []
    return [
        f"{steps} steps are few to learn anything, and fronts of such trainings are often flat: more training.epochs, "
        f"or a smaller training.batch_size than {training.batch_size}, make more of them"
    ]


def _check_objectives(spec: Spec, m: int) -> None:
    """Raise `SpecError` where solver or evaluation do not fit a problem of m tasks."""
    solver, name = type(spec.solver), _name(spec.solver)
    if m < solver.min_objectives:
        raise SpecError(f"solver: {name} needs at least {solver.min_objectives} objectives; the problem has {m}")
    if solver.max_objectives is not None and m > solver.max_objectives:
        raise SpecError(f"solver: {name} handles at most {solver.max_objectives} objectives; the problem has {m}")
    if spec.evaluate.reference is not None and len(spec.evaluate.reference) != m:
        raise SpecError(f"evaluate.reference: has {len(spec.evaluate.reference)} numbers; the problem has {m} tasks")


def _check_loggers(spec: Spec) -> None:
    """Raise `SpecError` where a logger cannot be used here."""
    for logger in spec.loggers:
        try:
            logger.check()
        except OptionError as error:
            raise SpecError(f"log: {error}") from error


def _check_validations(spec: Spec) -> None:
    """Raise `SpecError` where the learning rate waits for validations that never come."""
    if spec.evaluate.every == 0 and any(schedule.watches_validation for schedule in spec.training.schedulers):
        raise SpecError(
            "training.scheduler: reduce_on_plateau watches the validation hypervolume, but evaluate.every is 0: there "
            "is no validation before the end; set evaluate.every to 1 or more"
        )


def _data(problem: Problem, method: Method, seed: int) -> tuple[Problem, Mapping[Split, Dataset], Dataset | None]:
    """The problem with losses fitted to its data, all splits of this, checked, and what is held out for the method.
    Raises `DataError`; `SpecError` as `hold_out`."""
    data = read_splits(problem)
    for split, samples in data.items():
        if len(samples) == 0:  # type: ignore[arg-type]
            raise DataError(f"problem: the {split} split is empty")
    problem = fitted(problem, data["train"])
    problem.check(data["train"])
    return problem, *hold_out(method, data, seed)


def _model(
    spec: Spec, method: Method, recipe: Recipe, local_rank: int | None, trust: Trust
) -> tuple[ParetoModel, Placement, int]:
    """The model as training starts with it, where it will be trained, and the number of its backbone's parameters."""
    problem = spec.problem
    with torch.random.fork_rng(devices=[]):
        # A network is held no longer than needed: several may not fit where one does.
        base = sum(parameter.numel() for parameter in problem.backbone().parameters())
        torch.manual_seed(derive_seed(spec.seed, INIT, 0))
        network = recipe.make()
        shapes = {name: value.shape for name, value in network.named_parameters()}
        initial = None if method.initial is None else load_initial(method.initial, network, trust)
        place = placement(spec.training, network, recipe.inputs, local_rank)
        del network
        torch.manual_seed(derive_seed(spec.seed, INIT, 1))
        make = partial(ParetoModel, recipe) if initial is None else partial(initial.model, recipe)
        model = model_of(make, method.weights)
        if _room_for_copies(model):
            check_weights(model, shapes, method.trains and not model.space.makes_losses)
        if method.trains:
            check_groups(model.space, spec.training.optimizer.lr)
        return model, place, base


def _recipe(problem: Problem, network: Backbone, method: Method, data: Dataset | None = None) -> Recipe:
    """What the model is made of; without the data with inputs of floating-point numbers, of the sizes they have."""
    return Recipe(
        tasks=tuple(task.name for task in problem.tasks),
        backbone=network,
        input_shape=problem.input_shape if data is None else problem.input_form(data),
        outputs=problem.outputs,
        weights=method.weights,
    )


def _check_sizes(problem: Problem, method: Method) -> None:
    """Raise `TooMuchMemoryError` where network or model cannot fit, before a number of them is made."""
    recipe = _recipe(problem, problem.network.bare(), method)
    made: dict[str, Callable[[], object]] = {"problem.backbone": recipe.make, "solver": lambda: ParetoModel(recipe)}
    for where, make in made.items():
        try:
            with (
                warnings.catch_warnings(action="ignore"),
                torch.random.fork_rng(devices=[]),
                torch.device("meta"),
                FitsInMemory(where),
            ):
                make()
        except TooMuchMemoryError:
            raise
        except Exception:
            return  # it cannot be made without numbers, or not at all: the same call with numbers tells


def _check_saving(spec: Spec) -> None:
    """Raise `SpecError` where a saved model could not find its network again."""
    try:
        unstructure(spec.problem.network)
    except MoframeworkError as error:
        raise SpecError(
            f"the network could not be saved with the model: {error}. Let the function or class that makes it stand at "
            "the top level of its file"
        ) from error


def _headed(head: str, texts: Sequence[str]) -> list[str]:
    """Lines under one head."""
    return [f"{head:12}{text}" for head, text in zip([head, *[""] * len(texts)], texts, strict=False)]


def _tasks(tasks: Sequence[Task]) -> str:
    """Tasks with their losses and metrics; of many, those that follow each other with the same ones together."""
    told = [(task.name, ", ".join([_name(task.loss), *(one.label for one in task.metrics)])) for task in tasks]
    if len(told) <= _TASKS:
        return ", ".join(f"{name} ({parts})" for name, parts in told)
    runs = [(parts, [name for name, _ in alike]) for parts, alike in itertools.groupby(told, key=lambda one: one[1])]
    return ", ".join(f"{' to '.join(dict.fromkeys((names[0], names[-1])))} ({parts})" for parts, names in runs)


def _default_reference(tasks: Sequence[Task]) -> str:
    """What the reference point is where none is stated."""
    bounded = [f"{task.loss.worst:g} for {task.name}" for task in tasks if task.loss.worst is not None]
    return ", but ".join(["the untrained network's losses", *([", ".join(bounded)] if bounded else [])])


def _inputs(form: InputForm) -> list[str]:
    """A line on what the network reads, where that is not one tensor of floating-point numbers."""
    plain = isinstance(form.tree, Entry) and form.tree.dtype.is_floating_point
    return [] if plain else [f"inputs      {form.describe()}"]


def _evaluation_set(m: int, points: int | None) -> Tensor:
    try:
        return evaluation_set(m, points)
    except ValueError as error:
        raise SpecError(f"evaluate.points: {error}") from error


def _name(part: object) -> str:
    plain = unstructure(part)
    name = plain["name"] if isinstance(plain, dict) and "name" in plain else type(part).__name__
    return name if isinstance(name, str) else type(part).__name__
