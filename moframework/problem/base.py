"""Problems: what is to be solved, with everything a solver may need to know of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence, Sized
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast, final

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from moframework.augmentations import Augmentation, MapKind
from moframework.backbones.base import Backbone, named_outputs
from moframework.config import Component, build, options_class
from moframework.data import Batch, Dataset, Split, TensorData, batches, collate_of, input_form, sample_rows
from moframework.errors import SpecError, meant
from moframework.inputs import Entry, InputForm, Tree, called, named_leaves
from moframework.inputs.form import InputShape
from moframework.predicting import Preparation, Reader, Unseen
from moframework.problem.box_function import BoxFunction
from moframework.problem.output_kind import probability_faults
from moframework.problem.task import Task
from moframework.problem.trying import about_sizes, training_batches, tried

__all__ = ["Problem", "get_problem"]


class Problem(Component, kind="problems"):
    """Tasks, a network and data, with the facts that results are judged by.

    A problem is a config class that fills in `tasks`, `network`, `input_shape` and `data`. In a spec it is named, with
    any part exchanged (`{name: digits, backbone: mlp}`), or declared without a name: see `problem.declared`. One that
    changes a part of another problem derives from `problem.wrapping.WrappedProblem`.

    >>> from moframework.backbones.mlp import MLP
    >>> from moframework.config import config
    >>> from moframework.losses import MSE
    >>> @config
    ... class Lines(Problem):
    ...     "Two linear functions of one number, by one network with an output for each."
    ...     tasks = (Task(name="up", loss=MSE()), Task(name="down", loss=MSE()))
    ...     network = MLP(hidden=())
    ...     input_shape = (1,)
    ...     def data(self, split):
    ...         x = torch.linspace(0, 1, 10).unsqueeze(1)
    ...         return TensorData(x, {"up": x[:, 0], "down": -x[:, 0]})
    >>> Lines().outputs, len(Lines().data("train"))
    ({'up': 1, 'down': 1}, 10)
    """

    of_function: ClassVar[type[Problem]]
    """Class data: the base of what `from_function` makes; `problem.wrapping` states it."""

    @property
    @abstractmethod
    def tasks(self) -> tuple[Task, ...]:
        """The m objectives, in the order of a preference's entries."""

    @property
    @abstractmethod
    def network(self) -> Backbone:
        """The backbone used unless a spec names another."""

    @property
    @abstractmethod
    def input_shape(self) -> InputShape:
        """Shape of one input, without the batch dimension; of inputs that are a dict or tuple of tensors a dict or
        tuple of shapes, with None for sizes that vary. May raise `DataError` where the data states it."""

    @abstractmethod
    def data(self, split: Split) -> Dataset:
        """The samples of a split: the same ones, in the same order, at each call; splits share no sample.

        Raises:
            DataError: the data is missing; the text says what to get, from where, and into which folder.
        """

    def of_file(self, path: Path, unseen: Unseen = "refuse") -> Dataset | None:
        """All samples of another file that is laid out as this problem's own data; None where there is no such thing,
        or where samples would depend on what else is in the file.

        Args:
            path: the file, or folder.
            unseen: whether a category that training never saw is an error, or an unknown cell, as in validation.

        Raises:
            DataError: it cannot be read, or not as in training; the text names file, column and row.
        """
        return None

    def prepared(self, preparation: Preparation) -> Problem:
        """This problem with what it takes from its training data as it was saved with a model, so that `of_file` reads
        a file as that model knows data, and needs the training data no more. Itself, which is the default, where it
        takes nothing from there."""
        return self

    def early_faults(self) -> list[str]:
        """What is wrong with the data, a line each, where it is at hand and soon read, such as a small table; else
        nothing, which is the default. Asked where other faults of a spec are told, so that all are told together; what
        is not told here is told when the data is read."""
        return []

    @property
    def maps(self) -> Mapping[str, MapKind]:
        """What those targets show that have a value for each pixel of an image, by target key; augmentations ask."""
        return {}

    @property
    def augmentation(self) -> tuple[Augmentation, ...]:
        """Random changes of training batches, in this order, unless a spec names others; none by default."""
        return ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing of the data, a sentence each: `moframework check` and the log of a run tell it. None by
        default. May raise `DataError` as `data` does."""
        return ()

    @property
    def reader(self) -> Reader | None:
        """What makes inputs of raw data, such as further rows of a table, when the model is used: it is saved with it.
        None, which is the default: inputs are given as they are here. May raise `DataError` as `data` does."""
        return None

    @property
    def class_names(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the classes of targets, in the order of their numbers, by target key; none by default. May raise
        `DataError` as `data` does."""
        return {}

    @property
    def box_function(self) -> BoxFunction | None:
        """This problem as a function of variables in a box, which a search may evaluate; None, which is the default,
        where it is none, or its variables have no bounds."""
        return None

    @property
    def reference(self) -> tuple[float, ...] | None:
        """Reference point of the loss hypervolume, a number a task; None when there is no customary one."""
        return None

    @property
    def true_front(self) -> npt.NDArray[np.float64] | None:
        """Losses (k, m) along the true Pareto front; None when it is not known."""
        return None

    def hypervolume(self, reference: Sequence[float] | None = None) -> float | None:
        """The exact hypervolume of the whole true front, which no finite set of points reaches; None when not known.

        Args:
            reference: m numbers; None for the problem's own reference point.

        Raises:
            ValueError: it is not known for this reference point.
        """
        return None

    @classmethod
    def from_function(cls, function: Callable[..., Any]) -> type[Component]:
        """A problem around a function that returns one, such as `moframework.problem_from_parts` makes. Its parameters
        become options.

        Raises:
            MoframeworkError: a parameter cannot be an option.
        """
        name = getattr(function, "__name__", type(function).__name__)
        made: type[Component] = options_class(function, name=name, bases=(cls.of_function,))
        return made

    @classmethod
    def from_object(cls, found: Component) -> type[Component]:
        """A problem without options around one that is made already."""

        def given() -> Component:
            return found

        return cls.from_function(given)

    @final
    @property
    def outputs(self) -> dict[str, int]:
        """Width of each output that the tasks read, by key; tasks may share one.

        Raises:
            SpecError: two tasks have one name, or want one output in different widths.
        """
        widths: dict[str, tuple[int, str]] = {}
        names: set[str] = set()
        for task in self.tasks:
            if task.name in names:
                raise SpecError(f"two tasks are called '{task.name}'")
            names.add(task.name)
            size, first = widths.setdefault(task.output_key, (task.size, task.name))
            if size != task.size:
                raise SpecError(
                    f"tasks '{first}' and '{task.name}' share the output '{task.output_key}', "
                    f"but one has size {size} and the other {task.size}"
                )
        return {key: size for key, (size, _) in widths.items()}

    @final
    def backbone(self) -> nn.Module:
        """A freshly initialized network for this problem: inputs to {output key: tensor}."""
        return self.network.built(self.input_shape, self.outputs)

    @final
    def input_form(self, data: Dataset | None = None) -> InputForm:
        """What inputs look like, and how the network is given them.

        Args:
            data: the training data, where it is at hand; None asks the problem.

        Raises:
            SpecError: the data has inputs of another structure than `input_shape` says.
            DataError: the data is missing, or samples make no batch.
        """
        shape, data = self.input_shape, self.data("train") if data is None else data
        try:
            form = input_form(data, shape)
        except ValueError as error:
            raise SpecError(str(error)) from error
        return attrs.evolve(form, call=self.network.how_to_call)

    @final
    def customized(self, overrides: Any) -> Problem:
        """This problem with parts exchanged (see `ProblemOverrides`), as `Component.customized`."""
        changed: Problem = overrides.applied(self)
        return changed

    @final
    def check(self, data: Dataset | None = None) -> None:
        """Try tasks, network and data together on two samples, so that a mismatch is told before training. A function
        without gradients is not evaluated: that may take long.

        Args:
            data: the training data, where it is at hand; None asks the problem.

        Raises:
            SpecError: something does not fit; all that was found, a line each.
            DataError: the data is missing.
        """
        outputs, reference, tasks = self.outputs, self.reference, self.tasks
        if reference is not None and len(reference) != len(tasks):
            raise SpecError(f"the reference point has {len(reference)} numbers for {len(tasks)} tasks")
        data = self.data("train") if data is None else data
        if len(cast(Sized, data)) == 0:
            raise SpecError("the training data has no samples")
        few = sample_rows(data, 2)
        x, targets = next(batches(data, len(few), order=few, device="cpu"))
        form = self.input_form(data)
        _check_sizes(form, x, only_dimensions=collate_of(data) is not None)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            network = self.backbone().eval()
            form = form.resolved(network)
            last, *others = training_batches(self.augmentation, x, targets, self.maps)
            tried_out = partial(self._check_batch, network, form, tuple(outputs), data)
            tried_out(last, f"the network cannot take {_described(form)}")
            for batch in others:
                try:
                    tried_out(batch, "it fails")
                except SpecError as error:
                    raise SpecError(about_sizes(self.augmentation, last, batch, error)) from error

    def _check_batch(
        self, network: nn.Module, form: InputForm, keys: tuple[str, ...], data: Dataset, batch: Batch, failure: str
    ) -> None:
        """Raise `SpecError` where network and tasks do not go with a batch."""
        x, targets = batch
        result = tried(lambda: called(network, x, form.call), failure, _about_types(form, data))
        made = named_outputs(result, keys)
        probabilities = probability_faults(
            self.tasks, network, made, lambda: named_outputs(called(network, x, form.call), keys)
        )
        faults = []
        function = self.box_function
        for task in self.tasks if function is None or function.differentiable else ():
            fault = _target_fault(task, made[task.output_key], data, targets) or probabilities.get(task.name)
            if fault is not None:
                faults.append(f"task '{task.name}': {fault}")
        if faults:
            raise SpecError("\n".join(faults))


Problem.returns = Problem


def _check_sizes(form: InputForm, x: Tree, *, only_dimensions: bool) -> None:
    """Raise `SpecError` where a batch is not of the form that the problem states."""
    fault = form.fault(x)
    leaves = named_leaves(x)
    for path, entry in form.entries.items() if fault is None and not only_dimensions else ():
        found = tuple(leaves[path].shape[1:])
        if any(size not in (None, own) for size, own in zip(entry.shape, found, strict=True)):
            name = f"input '{path}'" if path else "inputs"
            raise SpecError(f"{name} should be {entry.shape}, but the data has {found}")
    if fault is not None and form.is_tensor and isinstance(x, Tensor):
        raise SpecError(f"inputs should be {form.shape}, but the data has {tuple(x.shape[1:])}")
    if fault is not None:
        raise SpecError(fault)


def _described(form: InputForm) -> str:
    """Inputs, and how they are given to the network, for a message."""
    if isinstance(form.tree, Entry):
        dtype = form.tree.dtype
        return f"inputs of shape {form.shape}" + ("" if dtype == torch.float32 else f" and type {dtype}")
    return (
        f"the inputs {form.describe()}; backbone.call (in code `problem_from_parts(call=…)`) may say one, keywords or "
        "positions"
    )


def _target_fault(task: Task, output: Tensor, data: Dataset, targets: dict[str, Tensor]) -> str | None:
    if task.target_key not in targets:
        near = meant(task.target_key, targets)
        return f"the data has no target '{task.target_key}'; {near}it has {', '.join(targets)}"
    target = targets[task.target_key]
    known = data.targets[task.target_key] if isinstance(data, TensorData) else target
    fault = task.loss.fault(known.cpu(), task.size)
    if fault is not None:
        return fault
    try:
        tried(lambda: task.loss(output, target), "the loss cannot be computed")
        for metric in task.metrics:
            meter = task.meter(metric)
            tried(lambda meter=meter: meter.update(output, target), f"the metric {metric.label} cannot be computed")  # type: ignore[misc]
    except SpecError as error:
        return str(error)
    return None


def _about_types(form: InputForm, data: Dataset) -> str:
    """What to do where the types of inputs may be the reason why a network does not take them; else nothing."""
    made = {path: entry for path, entry in form.entries.items() if entry.dtype == torch.float32}
    given = {path: getattr(leaf, "dtype", None) for path, leaf in named_leaves(data[0][0]).items()}
    if any(given.get(path) == torch.uint8 and len(entry.shape) != 3 for path, entry in made.items()):
        return (
            ". Inputs of 8-bit unsigned integers are taken for images and become fractions; give others, such as token "
            "ids, as torch.int64"
        )
    unusual = sorted({str(e.dtype) for e in form.entries.values() if e.dtype not in (torch.float32, torch.int64)})
    advice = f". Layers compute with torch.float32 and look up torch.int64: convert {', '.join(unusual)} in the data"
    return advice if unusual else ""


def get_problem(name: str, **options: Any) -> Problem:
    """A problem by its registered name.

    Args:
        name: as a spec has it; `moframework list problems` lists them.
        options: as a spec has them, plain data or objects; `backbone`, `tasks` and `reference` exchange parts.

    Raises:
        SpecError: the name or an option is wrong; all that is wrong, a line each.

    Example::

        problem = get_problem("digits", train=1000, backbone="mlp")
        network, train = problem.backbone(), problem.data("train")

    >>> problem = get_problem("quadratics", objectives=3)
    >>> [task.name for task in problem.tasks], problem.reference
    (['f1', 'f2', 'f3'], (1.1, 1.1, 1.1))
    """
    # What a caller writes in Python may name code as well as be it.
    return build(Problem, {"name": name, **options}, trust=True)  # type: ignore[type-abstract]
