"""Problems that are another one but for a few parts: what they have in common, and that which a function returns."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import attrs
import numpy as np
import numpy.typing as npt

from moframework.augmentations import Augmentation, MapKind
from moframework.backbones.base import Backbone
from moframework.blame import blamed
from moframework.config import arguments
from moframework.data import Dataset, Split
from moframework.errors import SpecError
from moframework.inputs.form import InputShape
from moframework.predicting import Preparation, Reader, Unseen
from moframework.problem.base import Problem
from moframework.problem.box_function import BoxFunction
from moframework.problem.task import Task

__all__ = ["FunctionProblem", "WrappedProblem"]


class WrappedProblem(Problem):
    """Another problem in all that a subclass does not override. It says which one in `wrapped`.

    Example::

        @config
        class FewLabels(WrappedProblem):
            "A problem that is trained on its first samples only; it validates and tests on all."

            problem: Problem = option(help="the problem")
            labels: int = option(100, ge=1, help="training samples that are left, at most")

            @property
            def wrapped(self) -> Problem:
                return self.problem

            def data(self, split: Split) -> Dataset:
                data = self.problem.data(split)
                few = range(min(self.labels, len(data)))
                return torch.utils.data.Subset(data, few) if split == "train" else data
    """

    @property
    @abstractmethod
    def wrapped(self) -> Problem:
        """The other problem."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Those of the other problem."""
        return self.wrapped.tasks

    @property
    def network(self) -> Backbone:
        """That of the other problem."""
        return self.wrapped.network

    @property
    def input_shape(self) -> InputShape:
        """That of the other problem."""
        return self.wrapped.input_shape

    def data(self, split: Split) -> Dataset:
        """That of the other problem."""
        return self.wrapped.data(split)

    def of_file(self, path: Path, unseen: Unseen = "refuse") -> Dataset | None:
        """That of the other problem; None where this one has data of its own, which a file may not be like."""
        return self.wrapped.of_file(path, unseen) if type(self).data is WrappedProblem.data else None

    def prepared(self, preparation: Preparation) -> Problem:
        """This one around the other, prepared, where that is an option of this one; else this one as it is."""
        inside = self.wrapped
        own = [each.name for each in attrs.fields(cast(Any, type(self))) if getattr(self, each.name) is inside]
        changed = {name: inside.prepared(preparation) for name in own[:1]}
        return cast(Problem, attrs.evolve(cast(Any, self), **changed)) if changed else self

    def early_faults(self) -> list[str]:
        """Those of the other problem."""
        return self.wrapped.early_faults()

    @property
    def maps(self) -> Mapping[str, MapKind]:
        """Those of the other problem."""
        return self.wrapped.maps

    @property
    def augmentation(self) -> tuple[Augmentation, ...]:
        """Those of the other problem."""
        return self.wrapped.augmentation

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the other problem."""
        return self.wrapped.notes

    @property
    def reader(self) -> Reader | None:
        """That of the other problem."""
        return self.wrapped.reader

    @property
    def class_names(self) -> Mapping[str, tuple[str, ...]]:
        """Those of the other problem."""
        return self.wrapped.class_names

    @property
    def box_function(self) -> BoxFunction | None:
        """That of the other problem."""
        return self.wrapped.box_function

    @property
    def reference(self) -> tuple[float, ...] | None:
        """That of the other problem."""
        return self.wrapped.reference

    @property
    def true_front(self) -> npt.NDArray[np.float64] | None:
        """That of the other problem."""
        return self.wrapped.true_front

    def hypervolume(self, reference: Sequence[float] | None = None) -> float | None:
        """That of the other problem."""
        return self.wrapped.hypervolume(reference)


class FunctionProblem(WrappedProblem):
    """The problem that a plain function returns; it is asked once. What goes wrong in the function is an error of the
    spec, with the line."""

    function: ClassVar[Callable[..., Any]]

    @property
    def wrapped(self) -> Problem:
        """What the function returned."""
        return self._returned

    @functools.cached_property
    def _returned(self) -> Problem:
        function, name = type(self).function, type(self).__name__
        with blamed(f"the function {name}", "problem"):
            found = function(**arguments(self))
        if not isinstance(found, Problem):
            code = getattr(function, "__code__", None)
            place = "" if code is None else f" ({code.co_filename}:{code.co_firstlineno})"
            raise SpecError(
                f"problem: the function {name} must return a problem, but returned a {type(found).__name__}{place}: "
                "make one with moframework.problem_from_parts"
            )
        return found


Problem.of_function = FunctionProblem
