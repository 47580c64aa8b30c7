"""A problem from plain parts: tasks, anything that makes a network, and data in any form."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from attrs import frozen
from torch import nn

from moframework.backbones.base import Backbone, BackboneOverrides
from moframework.config import build
from moframework.config.options import OptionError
from moframework.data import SPLITS, Collate, Collated, Dataset, Split, check_split, input_form
from moframework.data.adapters import adapted
from moframework.data.composition import SetBatches
from moframework.errors import SpecError
from moframework.inputs.calling import CALLS, HowToCall
from moframework.inputs.form import InputShape
from moframework.problem.base import Problem
from moframework.problem.sets import check_sets, data_of_sets, on_own_sets
from moframework.problem.task import Task, TaskOptions

__all__ = ["problem_from_parts"]

Tasks = Sequence[Task] | Mapping[str, Task | TaskOptions | Mapping[str, Any]]
Data = Mapping[str, Any] | Callable[[Split], Any]
CollateOf = Collate | Callable[..., Any] | None


def problem_from_parts(
    tasks: Tasks,
    network: Backbone | Callable[..., nn.Module],
    data: Data,
    *,
    reference: Sequence[float] | None = None,
    collate: CollateOf = None,
    call: HowToCall = "auto",
    batches: SetBatches | Mapping[str, Any] | None = None,
) -> Problem:
    """A problem from what a torch user has already.

    In a file, it is what a spec names: `problem: {python: ./mine.py:problem}`, where `problem` is the object or a
    function that returns it; the function's parameters are options of the spec.

    Args:
        tasks: a `Task` each, or what a spec says of each, by name: `{"price": {"loss": "mse", "metrics": ["mae"]}}`.
        network: a function or class that makes the network (not the network itself: solvers make several, each freshly
            initialized). It may take `input_shape` and `outputs`; what it makes returns a tensor, a tuple in the order
            of the tasks, or a dict. It must stand at the top level of its file, so that saved models find it again.
        data: for each of `train`, `val` and `test` a torch data set, a pair of tensors or a `DataLoader`, see
            `moframework.data.adapters.adapted`; or a function from the split's name to it. Inputs may be tensors, or
            dicts, tuples and dataclasses of tensors. Where tasks have data sets of their own, this for each set by
            name, `{"price": {"train": …, …}, "rent": …}`; see `moframework.problem.declared.Declared`.
        reference: reference point of the loss hypervolume, a number a task.
        collate: makes a batch of items, where stacking them will not do: a function from the list of items to
            (inputs, target), as DataLoader has it, or a part such as `moframework.data.pad.Pad`; see `adapted`.
        call: how the network is given inputs that are a dict or tuple; see `moframework.inputs.calling.HowToCall`.
        batches: how batches are composed of several sets, whose items have their targets by key: a `SetBatches`.

    Raises:
        SpecError: a part is not of these forms; all that is wrong with the tasks.

    >>> import torch
    >>> x = torch.arange(6.0).unsqueeze(1)
    >>> data = {split: (x, {"even": x[:, 0] % 2, "half": x[:, 0] / 2}) for split in ("train", "val", "test")}
    >>> tasks = {"even": {"loss": "binary_cross_entropy"}, "half": {"loss": "mse"}}
    >>> problem_from_parts(tasks, lambda: nn.Linear(1, 2), data).outputs
    {'even': 1, 'half': 1}
    """
    sets, given_tasks = _sets_of(data), _tasks(tasks)
    return _Parts(
        given_tasks=given_tasks if sets is None else on_own_sets(given_tasks, sets),
        given_network=_backbone(network, call),
        given_data=data,
        given_collate=collate,
        given_reference=None if reference is None else tuple(float(value) for value in reference),
        given_batches=_batches(data, sets, batches),
    )


def _batches(
    data: Data, sets: Mapping[str, Data] | None, batches: SetBatches | Mapping[str, Any] | None
) -> SetBatches | None:
    """How batches are composed of several sets; None of one. Raises `SpecError` where either does not fit."""
    for name, given in (sets or {"": data}).items():
        missing = [] if callable(given) else [split for split in SPLITS if split not in given]
        if missing:
            of_set = f" of set '{name}'" if name else ""
            raise SpecError(f"data{of_set} must have train, val and test, but lacks {', '.join(missing)}")
    if sets is None:
        if batches is not None:
            raise SpecError("batches is about several data sets, but data is one")
        return None
    made = build(SetBatches, batches, trust=True) if isinstance(batches, Mapping) else batches or SetBatches()
    try:
        check_sets(sets, made)
    except OptionError as error:
        raise SpecError(error.message) from error
    return made


def _sets_of(data: Data) -> Mapping[str, Data] | None:
    """Data of several sets, by name; None where it is that of one."""
    if callable(data) or any(split in data for split in SPLITS) or not data:
        return None
    return data if all(callable(given) or isinstance(given, Mapping) for given in data.values()) else None


@frozen(kw_only=True, eq=False)
class _Parts(Problem):
    """The parts, as a problem."""

    given_tasks: tuple[Task, ...]
    given_network: Backbone
    given_data: Data
    given_collate: CollateOf
    given_reference: tuple[float, ...] | None
    given_batches: SetBatches | None
    """Where the data is several sets."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """As given."""
        return self.given_tasks

    @property
    def network(self) -> Backbone:
        """As given."""
        return self.given_network

    @property
    def input_shape(self) -> InputShape:
        """Shape of the first input to train on; see `data.input_form`."""
        return self._input_shape

    @functools.cached_property
    def _input_shape(self) -> InputShape:
        return input_form(self.data("train")).shape

    @property
    def reference(self) -> tuple[float, ...] | None:
        """As given."""
        return self.given_reference

    def data(self, split: Split) -> Dataset:
        """As given, with targets by name."""
        check_split(split)
        if self.given_batches is None:
            return adapted(_of_split(self.given_data, split), self._keys(""), self.given_collate)
        given: Any = self.given_data
        sets = {name: adapted(_of_split(one, split), self._keys(name)) for name, one in given.items()}
        if self.given_collate is None:
            return data_of_sets(sets, self.given_tasks, self.given_batches)
        plain = {name: one.plain if isinstance(one, Collated) else one for name, one in sets.items()}
        whole = data_of_sets(plain, self.given_tasks, self.given_batches, one_size=False)
        return adapted(whole, self._keys(""), self.given_collate)

    def _keys(self, name: str) -> list[str]:
        """Of the targets that tasks read, in their order; of one set where tasks have its name, without this name."""
        keys = list(dict.fromkeys(task.target_key for task in self.given_tasks))
        own = [key.removeprefix(f"{name}:") for key in keys if name and key.startswith(f"{name}:")]
        return own or [key for key in keys if not name or ":" not in key]


def _of_split(data: Any, split: Split) -> Any:
    return data(split) if callable(data) else data[split]


def _tasks(tasks: Tasks) -> tuple[Task, ...]:
    if not tasks:
        raise SpecError("tasks must name at least one task")
    if not isinstance(tasks, Mapping):
        return tuple(tasks)
    made = []
    for name, given in tasks.items():
        options = build(TaskOptions, given, trust=True) if isinstance(given, Mapping) else given
        made.append(options if isinstance(options, Task) else options.task(name))
    return tuple(made)


def _backbone(network: object, call: HowToCall) -> Backbone:
    """A backbone, or what a function or class makes of one. Raises `SpecError` for anything else."""
    if call not in CALLS:
        raise SpecError(f"call must be one of {', '.join(CALLS)}, but it is '{call}'")
    if isinstance(network, Backbone):
        return network if call == "auto" else network.customized(BackboneOverrides(call=call))
    if not callable(network) or isinstance(network, nn.Module):
        made_already = " already made" if isinstance(network, nn.Module) else ""
        raise SpecError(
            f"the network must be a function or class that makes it, but it is a {type(network).__name__}"
            f"{made_already}: solvers make several networks, each freshly initialized"
        )
    name = getattr(network, "__name__", type(network).__name__)
    made = cast(Any, Backbone.adopt(network, f"the network {name}"))
    return cast(Backbone, build(made, {} if call == "auto" else {"call": call}))
