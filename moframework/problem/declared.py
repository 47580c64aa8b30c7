"""Problems in a spec: declared there part by part, or a named one with parts exchanged."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from moframework.augmentations import Augmentation, MapKind
from moframework.backbones.base import Backbone
from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.data import Collate, Collated, Dataset, DataSource, Split, input_form
from moframework.data.composition import SetBatches
from moframework.errors import DataError, meant
from moframework.inputs.form import InputShape
from moframework.predicting import Reader, Unseen
from moframework.problem.base import Problem
from moframework.problem.sets import check_sets, data_of_sets, maps_as_read, on_own_sets, set_notes
from moframework.problem.task import Task, TaskOptions
from moframework.problem.wrapping import WrappedProblem

__all__ = ["Customized", "Declared", "ProblemOverrides"]


@config
class ProblemOverrides:
    """What a spec may exchange in a named problem."""

    backbone: Backbone | None = option(None, help="the network, in place of the problem's own")
    tasks: dict[str, TaskOptions] | None = option(None, help="changes to tasks by name; a new name adds a task")
    augmentation: tuple[Augmentation, ...] | None = option(
        None, help="random changes of training batches, in place of the problem's own; an empty list for none"
    )
    collate: Collate | None = option(
        None, help="what makes a batch of single samples, where they differ in size: pad, or a function of your own"
    )
    reference: tuple[float, ...] | None = option(None, help="reference point of the loss hypervolume, a number a task")

    def applied(self, problem: Problem) -> Customized:
        """`problem` with everything that is stated here in place of its own.

        Raises:
            OptionError: something does not fit the problem.
        """
        return Customized(base=problem, overrides=self)


@config
class Customized(WrappedProblem):
    """A named problem with parts exchanged."""

    is_customization: ClassVar[bool] = True

    base: Problem = option(help="the named problem")
    # On the interface this name is class data: the class of what is found here.
    overrides: ProblemOverrides = option(help="what is exchanged")  # type: ignore[assignment,misc]

    def __attrs_post_init__(self) -> None:
        # Tasks may need the data, which is not asked for where nothing is said of them.
        own = {task.name: task for task in self.base.tasks} if self.overrides.tasks else {}
        for name, options in (self.overrides.tasks or {}).items():
            if name not in own and options.loss is None:
                raise OptionError(
                    f"there is no task '{name}'; {meant(name, own)}tasks: {', '.join(own)}; a new task needs a loss",
                    f"tasks.{name}",
                )
            _named(name, lambda name=name, options=options: _task(name, options, own))  # type: ignore[misc]
        if self.overrides.reference is not None:
            _check_reference(self.reference, self.tasks)

    @property
    def wrapped(self) -> Problem:
        """The named problem."""
        return self.base

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The base's tasks with what is stated of them, then new ones."""
        changes = self.overrides.tasks or {}
        own = {task.name: task for task in self.base.tasks}
        changed = [_task(name, changes.get(name, TaskOptions()), own) for name in own]
        return (*changed, *_declared({name: given for name, given in changes.items() if name not in own}, changed))

    @property
    def network(self) -> Backbone:
        """The exchanged backbone, or the base's."""
        return self.overrides.backbone or self.base.network

    @property
    def input_shape(self) -> InputShape:
        """The base's, unless batches are made anew."""
        return self.base.input_shape if self.overrides.collate is None else self._collated_shape

    @property
    def reader(self) -> Reader | None:
        """The base's, unless batches are made anew."""
        return self.base.reader if self.overrides.collate is None else None

    @functools.cached_property
    def _collated_shape(self) -> InputShape:
        return input_form(self.data("train")).shape

    def data(self, split: Split) -> Dataset:
        """The base's, whose batches the exchanged collate function makes."""
        return _collated(self.base.data(split), self.overrides.collate)

    def of_file(self, path: Path, unseen: Unseen = "refuse") -> Dataset | None:
        """As `data`."""
        found = self.base.of_file(path, unseen)
        return None if found is None else _collated(found, self.overrides.collate)

    @property
    def augmentation(self) -> tuple[Augmentation, ...]:
        """The exchanged ones, or the base's."""
        return self.base.augmentation if self.overrides.augmentation is None else self.overrides.augmentation

    @property
    def reference(self) -> tuple[float, ...] | None:
        """The exchanged reference point, or the base's where that still fits the tasks."""
        if self.overrides.reference is not None:
            return self.overrides.reference
        inherited = self.base.reference
        losses_changed = any(given.loss is not None for given in (self.overrides.tasks or {}).values())
        return None if losses_changed else inherited

    @property
    def true_front(self) -> npt.NDArray[np.float64] | None:
        """The base's, unless tasks were changed."""
        return None if self.overrides.tasks else self.base.true_front

    def hypervolume(self, reference: Sequence[float] | None = None) -> float | None:
        """The base's, unless tasks were changed."""
        return None if self.overrides.tasks else self.base.hypervolume(reference or self.reference)


@config
class Declared(Problem):
    """A problem written out in the spec: data, backbone, and tasks.

    ::

        problem:
          data: {name: npz, path: houses.npz}
          backbone: {name: mlp, hidden: [64]}
          tasks:
            price: {loss: mse, metrics: [mae]}
            sold: {loss: binary_cross_entropy, metrics: [accuracy]}
          reference: [1, 1]

    Where tasks have data sets of their own, `data` names them; `batches` says how batches are composed of these::

        problem:
          data:
            price: {name: npz, path: houses.npz}
            rent: {name: npz, path: flats.npz}
          batches: {by: ratio, ratio: {price: 2, rent: 1}}

    A task that has the name of a set reads the target of this set (that of its name or of `target`, or the only one).
    Any other task reads its target in every set that has it, or in one alone, with `target: 'set:key'`. Each is trained
    and judged on the samples that have its target.
    """

    _data: DataSource | dict[str, DataSource] = option(
        help="where inputs and targets come from: one source, or several, by the names of the tasks they are for"
    )
    _batches: SetBatches | None = option(None, help="how batches are composed where `data` is several sources")
    _backbone: Backbone = option(help="the network")
    _tasks: dict[str, TaskOptions] = option(help="the objectives by name; each needs a loss")
    _augmentation: tuple[Augmentation, ...] = option((), help="random changes of training batches")
    _maps: dict[str, MapKind] = option(
        factory=dict, help="what those targets show that have a value for each pixel; augmentations need to know"
    )
    _collate: Collate | None = option(
        None, help="what makes a batch of single samples, where they differ in size: pad, or a function of your own"
    )
    _reference: tuple[float, ...] | None = option(None, help="reference point of the loss hypervolume, a number a task")

    def __attrs_post_init__(self) -> None:
        if not self._tasks:
            raise OptionError("tasks must name at least one task", "tasks")
        for name, options in self._tasks.items():
            _named(name, lambda name=name, options=options: options.task(name))  # type: ignore[misc]
        if not isinstance(self._data, Mapping) and self._batches is not None:
            raise OptionError("batches is about several sources, but data is one", "batches")
        if isinstance(self._data, Mapping):
            check_sets(self._data, self._batches or SetBatches())
            maps_as_read(self._maps, self.tasks, self._data)
        _check_reference(self._reference, self.tasks)

    @property
    def _sources(self) -> Mapping[str, DataSource]:
        """The sources, by name; a single one has none."""
        return self._data if isinstance(self._data, Mapping) else {"": self._data}

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, in the order they are written."""
        return on_own_sets(_declared(self._tasks, []), self._sources)

    @property
    def network(self) -> Backbone:
        """The declared backbone."""
        return self._backbone

    @property
    def input_shape(self) -> InputShape:
        """As the data says, of several sources the first; told from some batches where a collate function makes
        them."""
        return next(iter(self._sources.values())).input_shape if self._collate is None else self._collated_shape

    @functools.cached_property
    def _collated_shape(self) -> InputShape:
        return input_form(self.data("train")).shape

    @property
    def maps(self) -> Mapping[str, MapKind]:
        """As declared; of a target that is read from one set by its key there."""
        return self._maps_as_read if isinstance(self._data, Mapping) else self._maps

    @functools.cached_property
    def _maps_as_read(self) -> Mapping[str, MapKind]:
        return maps_as_read(self._maps, self.tasks, self._sources)

    @property
    def augmentation(self) -> tuple[Augmentation, ...]:
        """As declared."""
        return self._augmentation

    @property
    def reference(self) -> tuple[float, ...] | None:
        """The declared reference point."""
        return self._reference

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the sources, and what is worth knowing of targets that are in several."""
        own = [f"{name}: {note}" if name else note for name, source in self._sources.items() for note in source.notes]
        return (*own, *(set_notes(self.tasks, self._sets("train")) if isinstance(self._data, Mapping) else ()))

    def data(self, split: Split) -> Dataset:
        """A split of the declared data; of several sources one after the other."""
        if not isinstance(self._data, Mapping):
            return _collated(self._data.split(split), self._collate)
        sets = self._sets(split)
        if self._collate is not None:
            sets = {name: data.plain if isinstance(data, Collated) else data for name, data in sets.items()}
        return _collated(data_of_sets(sets, self.tasks, self._batches, one_size=self._collate is None), self._collate)

    def of_file(self, path: Path, unseen: Unseen = "refuse") -> Dataset | None:
        """All samples of a file in the place of a single source's."""
        found = None if isinstance(self._data, Mapping) else self._data.of_file(path)
        return None if found is None else _collated(found, self._collate)

    def _sets(self, split: Split) -> dict[str, Dataset]:
        made = {}
        for name, source in self._sources.items():
            try:
                made[name] = source.split(split)
            except DataError as error:
                raise DataError(f"problem.data.{name}: {error}") from error
        return made


def _collated(data: Dataset, collate: Collate | None) -> Dataset:
    if collate is None:
        return data
    return Collated(data.plain if isinstance(data, Collated) else data, collate)


def _task(name: str, options: TaskOptions, known: dict[str, Task]) -> Task:
    return options.applied(known[name]) if name in known else options.task(name)


def _declared(given: dict[str, TaskOptions], known: list[Task]) -> tuple[Task, ...]:
    """Tasks as stated; one without a size takes that of another task on its output."""
    sizes = {task.output_key: task.size for task in known}
    for name, options in given.items():
        if options.size is not None:
            sizes.setdefault(options.output or name, options.size)
    return tuple(options.task(name, sizes.get(options.output or name, 1)) for name, options in given.items())


def _named(name: str, make: Callable[[], Task]) -> None:
    """Make a task for its errors alone, which are told under its name."""
    try:
        make()
    except OptionError as error:
        key = f"tasks.{name}" if error.key in (None, "name") else f"tasks.{name}.{error.key}"
        raise OptionError(error.message, key) from None


def _check_reference(reference: tuple[float, ...] | None, tasks: tuple[Task, ...]) -> None:
    if reference is not None and len(reference) != len(tasks):
        raise OptionError(
            f"reference must have a number for each of the {len(tasks)} tasks, but has {len(reference)}", "reference"
        )


Problem.unnamed = Declared
Problem.overrides = ProblemOverrides
