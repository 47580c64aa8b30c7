"""Evaluation of a run's saved model: at any preferences, on any data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import attrs
import numpy as np
import torch
from attrs import field, frozen
from numpy.typing import ArrayLike
from torch import Tensor

from moframework.data import Dataset, Split
from moframework.engine.device import Placement, placement
from moframework.engine.evaluate import Evaluator, calibration_data
from moframework.errors import DataError, PreferenceError, RequestError, RunError
from moframework.model import ParetoModel
from moframework.model.operating_point import PreferenceLike, on_simplex
from moframework.pareto.front import Front
from moframework.predicting import Unseen
from moframework.preferences.evaluation import evaluation_set
from moframework.problem import Problem, fitted
from moframework.processes.world import World
from moframework.run.splits import compare_splits, describe_splits
from moframework.spec import Spec

__all__ = ["Batchnorm", "Began", "Trained", "new_data", "preferences_for"]

Batchnorm = Literal["shared", "recalibrate"]
_CHANGED = "Bring the former data back; or evaluate other samples as such, by --data FILE (in Python `data`)."
_AGAIN = 1e-4  # of a loss: more than rounding changes, less than other samples do
_SAME = 1e-4  # numbers that people type for 1/3


@frozen
class Began:
    """What a run says of the data that it was trained and evaluated with.

    Attributes:
        file: `data.json`, with a hash of each split.
        front: the stored front of a split.
    """

    file: Path
    front: Callable[[Split], Front]


@frozen(kw_only=True)
class Trained:
    """A trained model with the problem that it solves, and how a front of it is evaluated: as at the end of its run.

    Attributes:
        problem: its losses have what they take from the training data.
        model: on the device.
        evaluator: with the reference point of the run.
        takes_from_training: whether its losses have something from the training data.
        began: what the run says of its data; None compares nothing.
    """

    problem: Problem
    model: ParetoModel
    place: Placement
    evaluator: Evaluator
    takes_from_training: bool = False
    began: Began | None = None
    samples: dict[Split, Dataset] = field(factory=dict, init=False)

    @classmethod
    def of(
        cls,
        spec: Spec,
        model: ParetoModel,
        reference: Sequence[float] | None,
        batchnorm: Batchnorm | None = None,
        began: Began | None = None,
    ) -> Trained:
        """What `spec` says, with a model that it gave.

        Args:
            reference: reference point of the loss hypervolume; None for the problem's own.
            batchnorm: in place of `evaluate.batchnorm`. `recalibrate` reads training data, as losses do that take
                something from it.
            began: as the attribute.
        """
        problem = fitted(spec.problem)
        place = placement(spec.training, model.skeleton, model.recipe.inputs)
        place.move(model)
        options = spec.evaluate
        if batchnorm is not None:
            options = attrs.evolve(cast(Any, options), batchnorm=batchnorm)
        calibration = None
        if options.batchnorm == "recalibrate":
            calibration = calibration_data(options, problem.data("train"))
        evaluator = attrs.evolve(
            Evaluator.of_spec(problem, place, spec.training, options, World()),
            reference=reference,
            calibration=calibration,
        )
        return cls(
            problem=problem,
            model=model,
            place=place,
            evaluator=evaluator,
            began=began,
            takes_from_training=problem is not spec.problem,
        )

    @property
    def anchors(self) -> Tensor | None:
        """The preferences (n, m) that a finite solver has networks for; None where every λ has weights of its own."""
        return self.model.space.anchors()

    def data(self, split: Split) -> Dataset:
        """The samples of a split of the problem, read once.

        Raises:
            DataError: they are not those that the run was trained and evaluated with.
        """
        if split not in self.samples:
            self.samples[split] = self.problem.data(split)
            self._compare(split)
        return self.samples[split]

    def _compare(self, split: Split) -> None:
        """Raise `DataError` where samples, or what is taken from those to train with, are not the run's. Their hashes
        decide; where these differ, as they may by rounding on another machine, whether a stored point comes out
        again."""
        if self.began is None:
            return
        used: dict[Split, Dataset] = {split: self.samples[split]}
        if self.evaluator.calibration is not None or self.takes_from_training:
            used["train"] = self.problem.data("train")
        try:
            compare_splits(self.began.file, describe_splits(used), _CHANGED)
        except (DataError, RunError):  # other hashes, or a file that cannot be read
            if not self._comes_out_again(split, self.began.front(split)):
                del self.samples[split]
                raise

    def _comes_out_again(self, split: Split, stored: Front) -> bool:
        """Whether the first point of the run's front has its losses again on the samples of a split."""
        try:
            again = self.front_on(self.samples[split], torch.tensor(stored.preferences[:1]), split, metrics=False)
        except Exception:  # samples of another form, which networks and losses refuse as they like
            return False
        return np.allclose(again.losses, stored.losses[:1], rtol=_AGAIN, atol=0, equal_nan=True)

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """θ(λ) with the statistics of BatchNorm layers that an evaluation uses."""
        return dict(self.evaluator.weights_at(self.model, preference[None])[0])

    def front(self, preferences: Tensor, split: Split, *, metrics: bool = True) -> Front:
        """The front (n, m) at `preferences` on a split; see `Evaluator.front`."""
        return self.front_on(self.data(split), preferences, split, metrics=metrics)

    def front_on(self, data: Dataset, preferences: Tensor, split: str, *, metrics: bool = True) -> Front:
        """The same on any samples; `split` is what the front calls them."""
        evaluator = attrs.evolve(self.evaluator, metrics=metrics)
        return evaluator.front(self.model, data, preferences.float(), split)


def preferences_for(
    model: ParetoModel, stored: ArrayLike, points: int | None, preferences: Sequence[PreferenceLike] | None
) -> Tensor:
    """The preferences (n, m) to evaluate a model at.

    Args:
        stored: (n, m), those of the run, where neither of the others is given.
        points: an even set of so many: see `preferences.evaluation_set`.
        preferences: rows of m non-negative numbers, scaled to sum to 1.

    Raises:
        PreferenceError: a preference is none.
        RequestError: both are given, or the model is a finite set that has no network there.
    """
    if points is not None and preferences is not None:
        raise RequestError("give points or preferences, not both")
    anchors = model.space.anchors()
    try:
        if points is not None:
            wanted = evaluation_set(len(model.tasks), points)
        elif preferences is not None:
            given: Any = [preferences] if isinstance(preferences, Mapping | str) else preferences
            rows = [on_simplex(row, model.tasks) for row in given]
            if not rows:
                raise RequestError("there is no preference to evaluate at")
            wanted = torch.stack(rows)
        else:
            return torch.tensor(np.asarray(stored), dtype=torch.float32) if anchors is None else anchors
    except PreferenceError:
        raise
    except ValueError as error:
        raise RequestError(str(error)) from error
    return wanted if anchors is None else _of_anchors(anchors, wanted)


def new_data(problem: Problem, path: Path, unseen: Unseen = "refuse") -> Dataset:
    """All samples of a file that can stand in the place of the problem's own; see `Problem.of_file`. Raises `RunError`
    where none can."""
    found = problem.of_file(path, unseen)
    if found is None:
        raise RequestError(
            f"{path} cannot stand in the place of this problem's data: that is possible where the data is a table "
            "(`csv`), a folder of images with a table (`images`), or an .npz file. In Python `run.evaluate(data=…)` "
            "takes any data set with the inputs and targets of the problem"
        )
    return found


def _of_anchors(anchors: Tensor, wanted: Tensor) -> Tensor:
    """The anchors that are meant. Raises `RequestError` where one is not among them: nothing lies between networks."""
    nearest = torch.cdist(wanted.double(), anchors.double()).min(dim=1)
    for row in (nearest.values > _SAME).nonzero().flatten().tolist()[:1]:
        raise RequestError(
            f"this run's solver has a network for each of {len(anchors)} preferences and nothing between them; "
            f"({_shown(wanted[row])}) is none of these. They are: {'; '.join(map(_shown, anchors))}"
        )
    return anchors[nearest.indices]


def _shown(preference: Tensor) -> str:
    return ", ".join(f"{value:.4g}" for value in preference.tolist())
