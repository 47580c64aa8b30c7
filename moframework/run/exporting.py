"""A run's model as files that are used without moframework, with what the run knows of it: fronts, metrics, where it is
from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from moframework.config import unstructure
from moframework.data import SPLITS, Split, batches
from moframework.errors import DataError, RunError
from moframework.export import Exported, Facts, export_model
from moframework.export.exporting import check_export
from moframework.inputs import Tree
from moframework.io.lock import FolderLock, is_held, owner
from moframework.io.sealed import checksum, read_json
from moframework.model import ParetoModel
from moframework.pareto.front import Front
from moframework.run.evaluating import Trained
from moframework.run.picking import Pick
from moframework.spec import Spec

__all__ = ["Exporting"]

_SAME = 1e-6  # preferences that a front has, but for rounding
_SAMPLES = 8


@frozen(kw_only=True)
class Exporting:
    """A finished run, as far as an export asks.

    Attributes:
        folder: of the run.
        files: names of the spec, and of what tells the data and the environment, there; and of the model's weights.
        model: on the host.
        trained: the same with what it takes to evaluate it, made when it is needed.
    """

    folder: Path
    files: Mapping[str, str]
    spec: Spec
    model: ParetoModel
    fronts: Mapping[Split, Front]
    trained: Callable[[], Trained]

    def export(self, to: Path, preference: Any, *, mixed: bool, overwrite: bool) -> Exported:
        """Write the model, at a preference or a `Pick`; see `export_model` for the other arguments and errors."""
        check_export(to, preference, mixed=mixed, overwrite=overwrite)
        chosen = preference if isinstance(preference, Pick) else None
        point = None if preference is None else self._point(preference if chosen is None else chosen.preference)
        with self._held(to):
            notes: list[str] = []
            trained, samples = self._data(notes)
            statistics = self._statistics(point, trained, notes)
            facts = Facts(
                name=self.folder.resolve().name,
                provenance=self._provenance(),
                fronts={str(split): front for split, front in self.fronts.items()},
                metrics={} if point is None else self._metrics(point, trained),
                choice=None if chosen is None else _choice(chosen),
                notes=tuple(notes),
            )
            return export_model(
                self.model, to, point, mixed=mixed, statistics=statistics, facts=facts, samples=samples,
                overwrite=overwrite,
            )  # fmt: skip

    def _point(self, preference: Any) -> Tensor:
        point = self.model.checked(preference)
        anchors = self.model.space.anchors()
        if anchors is None:
            return point
        nearest = (anchors.double() - point.double()).norm(dim=1).argmin()
        close = torch.allclose(anchors[nearest].double(), point.double(), atol=1e-4)
        return anchors[nearest] if close else point  # which `export_model` refuses

    @contextlib.contextmanager
    def _held(self, to: Path) -> Iterator[None]:
        """Nobody solves the run meanwhile; where files go into its folder, it is locked."""
        folder = self.folder.resolve()
        if folder == to.resolve() or folder in to.resolve().parents:
            with FolderLock(self.folder, "exported"):
                yield
            return
        if is_held(self.folder):
            found = owner(self.folder) or {}
            raise RunError(
                f"{self.folder} is in use by process {found.get('pid', '?')} on {found.get('host', '?')}, which may "
                "replace the model. Wait until it ends"
            )
        yield

    def _data(self, notes: list[str]) -> tuple[Trained | None, Tree | None]:
        """What it takes to evaluate the model, and some inputs; None where the data is not there."""
        try:
            trained = self.trained()
            first, _ = next(batches(trained.data("val"), _SAMPLES, order=None, device="cpu"))
        except DataError as error:
            first_line = str(error).partition("\n")[0]
            notes.append(f"The data of the run is not there, so nothing was evaluated anew: {first_line}")
            return None, None
        return trained, first

    def _statistics(self, point: Tensor | None, trained: Trained | None, notes: list[str]) -> dict[str, Tensor]:
        """The buffers with which the run was evaluated at a preference, where they are its own there."""
        if self.spec.evaluate.batchnorm == "shared" or not self.model.norms():
            return {}
        if point is None:
            notes.append(
                "The run was evaluated with statistics of BatchNorm layers taken anew for each preference "
                "(evaluate.batchnorm: recalibrate). With the dial, they are those that all preferences share, as in "
                "model(x, λ): fronts here are not what this export reaches. `moframework evaluate RUN --batchnorm "
                "shared` tells that; an export at one preference has its own statistics."
            )
            return {}
        if trained is None:
            raise RunError(
                f"{self.folder} was evaluated with statistics of BatchNorm layers taken anew for each preference "
                f"(evaluate.batchnorm: recalibrate), which needs the training data: {notes[-1]}"
            )
        names = dict(self.model.skeleton.named_buffers())
        notes.append("Statistics of BatchNorm layers were taken anew at this preference, from training samples.")
        return {name: value for name, value in trained.weights(point).items() if name in names}

    def _metrics(self, point: Tensor, trained: Trained | None) -> dict[str, dict[str, float]]:
        """Losses and metrics at a preference: as stored, else evaluated."""
        found: dict[str, dict[str, float]] = {}
        for split in ("val", "test"):
            stored = self.fronts.get(split)
            if stored is not None:
                apart = abs(stored.preferences - point.double().numpy()).max(axis=1)
                row = int(apart.argmin())
                if apart[row] <= _SAME:
                    found[split] = _columns(stored, row)
                    continue
            if trained is not None:
                found[split] = _columns(trained.front(point[None], split), 0)
        return found

    def _provenance(self) -> dict[str, Any]:
        spec, environment = unstructure(self.spec), self._told("environment")
        data = self._told("data")
        return {
            "run": self.folder.resolve().name,
            "problem": _named(spec.get("problem")),
            "solver": _named(spec.get("solver")),
            "seed": spec.get("seed"),
            "trained": environment.get("time"),
            "spec_sha256": checksum(self.folder / self.files["spec"]),
            "weights_sha256": checksum(self.folder / self.files["weights"]),
            "data": {
                split: {key: data[split].get(key) for key in ("samples", "contents")}
                for split in SPLITS
                if split in data
            },
            "versions": {name: environment.get("packages", {}).get(name) for name in ("moframework", "torch", "numpy")},
        }

    def _told(self, which: str) -> dict[str, Any]:
        path = self.folder / self.files[which]
        return read_json(path, advice="Bring it back from a copy.") if path.is_file() else {}


def _choice(chosen: Pick) -> dict[str, Any]:
    """How a point was chosen, as the card tells it."""
    return {
        "rule": chosen.rule,
        "conditions": list(chosen.conditions),
        "split": "val",
        "not_so_on_test": list(chosen.test_misses),
    }


def _columns(front: Front, row: int) -> dict[str, float]:
    losses = {f"{task}/loss": float(value) for task, value in zip(front.tasks, front.losses[row], strict=True)}
    return losses | {name: float(values[row]) for name, values in front.metrics.items()}


def _named(part: Any) -> Any:
    """The name of a part of a spec, whatever its options."""
    name = part.get("name", part) if isinstance(part, Mapping) else part
    return name if isinstance(name, str) else dict(islice(name.items(), 1)) if isinstance(name, Mapping) else str(name)
