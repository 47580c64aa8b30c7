"""`Front`: what an evaluation found at a set of preferences, with everything that is computed from it."""

from __future__ import annotations

import importlib
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import attrs
import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike, NDArray

from moframework.errors import DamagedFileError, MoframeworkError, shortened
from moframework.io.atomic import write_text
from moframework.io.sealed import read_json, seal_json
from moframework.pareto import distribution, indicators, relative
from moframework.pareto.conditions import Condition, crossings
from moframework.pareto.selection import best_row

__all__ = ["Front", "Hypervolume"]

Array = NDArray[np.float64]

_FORMAT = 2
_RESERVED = ("preference", "loss")


class Hypervolume(TypedDict):
    """A hypervolume with what it takes to compare it: reference point and convention."""

    value: float
    reference: list[float]
    convention: str


def _matrix(values: ArrayLike) -> Array:
    array = np.array(values, dtype=np.float64)
    if array.ndim != 2:
        raise ValueError(
            f"expected a matrix, a row for each point and a column for each task, but got shape {array.shape}"
        )
    array.setflags(write=False)
    return array


def _preferences(values: ArrayLike) -> Array:
    """As `_matrix`; numbers that are exactly float32 become the shortest decimals that name them: 0.1."""
    array = _matrix(values)
    single = array.astype(np.float32)
    if not (single == array).all():
        return array
    return _matrix(single.astype(str).astype(np.float64))


def _columns(values: Mapping[str, ArrayLike]) -> dict[str, Array]:
    columns = {name: np.array(column, dtype=np.float64) for name, column in values.items()}
    for column in columns.values():
        column.setflags(write=False)
    return columns


def _names(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


def _directions(values: Mapping[str, bool]) -> dict[str, bool]:
    return {name: bool(value) for name, value in values.items()}


def _numbers(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}


def _point(values: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(float(value) for value in values)


def _same(a: object, b: object) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(_same(a[name], b[name]) for name in a)
    return a is b or (isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.array_equal(a, b, equal_nan=True))


_BY_VALUE = attrs.cmp_using(eq=_same)


@frozen(kw_only=True)
class Front:
    """Losses and metrics of one model (or a finite set) at n preferences, on one split of the data.

    A column of a front is named `TASK/WHAT`: `left/preference`, `left/loss`, or a metric such as `left/accuracy`.
    Arrays are copied and cannot be written to.

    Attributes:
        tasks: names of the m tasks; no `/` in them.
        preferences: (n, m), in the order of evaluation. Numbers that came from float32 are kept as the shortest
            decimals that name them.
        losses: (n, m), finite, minimized.
        metrics: `TASK/METRIC` → (n,); may hold nan where a metric is not defined.
        higher_is_better: `TASK/METRIC` → its direction; every metric has one.
        split: the data evaluated on: `val`, `test`, …
        reference: reference point of the loss hypervolume, m numbers, or None when there is none.
        metric_reference: `TASK/METRIC` → worst value, for the metrics that have one: the reference of their
            hypervolume.
        true_front: (k, m) losses of the best possible front, where it is known.

    Raises:
        ValueError: shapes do not fit, a loss is not finite (its row, preference and task are named), a metric is of no
            task or has no direction.

    Example:
        >>> front = Front(
        ...     tasks=("left", "right"),
        ...     preferences=[[0, 1], [0.5, 0.5], [1, 0]],
        ...     losses=[[0.9, 0.2], [0.4, 0.4], [0.2, 0.9]],
        ...     split="test",
        ...     reference=(1, 1),
        ... )
        >>> round(front.hypervolume(), 2)
        0.4
        >>> front.preferences[front.select(where="right/loss < 0.5", minimize="left/loss")].tolist()
        [0.5, 0.5]
    """

    tasks: tuple[str, ...] = attrs.field(converter=_names)
    preferences: Array = attrs.field(converter=_preferences, eq=_BY_VALUE)
    losses: Array = attrs.field(converter=_matrix, eq=_BY_VALUE)
    metrics: dict[str, Array] = attrs.field(converter=_columns, factory=dict, eq=_BY_VALUE)
    higher_is_better: dict[str, bool] = attrs.field(converter=_directions, factory=dict)
    split: str
    reference: tuple[float, ...] | None = attrs.field(converter=_point, default=None)
    metric_reference: dict[str, float] = attrs.field(converter=_numbers, factory=dict)
    true_front: Array | None = attrs.field(converter=attrs.converters.optional(_matrix), default=None, eq=_BY_VALUE)

    def __attrs_post_init__(self) -> None:
        n, m = len(self.preferences), len(self.tasks)
        for task in self.tasks:
            if "/" in task or self.tasks.count(task) > 1:
                raise ValueError(f"tasks need different names without '/', but they are {list(self.tasks)}")
        for name, array in (("preferences", self.preferences), ("losses", self.losses)):
            if array.shape != (n, m) or n == 0:
                raise ValueError(f"{name} have shape {array.shape}; {n} preferences of {m} tasks need {(max(n, 1), m)}")
        for row, column in np.argwhere(~np.isfinite(self.losses)):
            raise ValueError(
                f"the loss of task '{self.tasks[column]}' is {self.losses[row, column]} "
                f"in row {row} (preference {self.preferences[row].tolist()}) of the {self.split} front"
            )
        if not np.isfinite(self.preferences).all():
            raise ValueError("preferences must be finite")
        for name, values in self.metrics.items():
            self._check_metric(name, values)
        if self.reference is not None and len(self.reference) != m:
            raise ValueError(f"the reference has {len(self.reference)} numbers for {m} tasks")
        if self.true_front is not None and self.true_front.shape[1] != m:
            raise ValueError(f"the true front has {self.true_front.shape[1]} columns for {m} tasks")

    def __repr__(self) -> str:
        n = len(self.losses)
        parts = [self.split, f"{n:,} point{'s' if n > 1 else ''}", f"{int(self.nondominated().sum()):,} non-dominated"]
        if self.reference is not None and len(self.tasks) <= 4:  # of more tasks it may take a second
            parts.append(f"hypervolume {self.hypervolume():.4g}")
        return f"Front({self.listed_tasks()}; {', '.join(parts)})"

    def listed_tasks(self, most: int = 6) -> str:
        """Names of the tasks in a line for people, long ones cut, and how many more there are."""
        shown = ", ".join(shortened(task, 24) for task in self.tasks[:most])
        return shown if len(self.tasks) <= most else f"{shown} and {len(self.tasks) - most} more"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return str(importlib.import_module("moframework.pareto.html").front_html(self))

    def plot(self, *, previous: Sequence[Front] = (), title: str | None = None) -> Any:
        """A picture of this front: see `pareto.plots.front_figure`.

        Args:
            previous: earlier fronts of the same tasks, oldest first, drawn behind.
            title: stands before the split and the hypervolumes.

        Returns:
            a `matplotlib.figure.Figure`, which a notebook shows and `savefig` writes; pyplot knows nothing of it. Its
            panels are in `axes`.

        Raises:
            ValueError: an earlier front has other tasks.

        Example::

            run.front("test").plot(previous=[earlier.front("test")]).savefig("front.pdf")
        """
        # By name: the mathematics of fronts is loaded without pictures.
        figure = importlib.import_module("moframework.pareto.plots").front_figure(self, previous=previous, title=title)
        figure._repr_png_ = partial(_png, figure)  # notebooks draw figures by themselves only where pyplot was imported
        return figure

    def _check_metric(self, name: str, values: Array) -> None:
        """Raise `ValueError` unless the metric is of a task, has a value a preference, and a direction."""
        task, _, metric = name.partition("/")
        if task not in self.tasks or not metric or metric in _RESERVED:
            raise ValueError(
                f"metrics are named TASK/METRIC with a task of {list(self.tasks)}, "
                f"and not {' or '.join(_RESERVED)}; found '{name}'"
            )
        n = len(self.preferences)
        if values.shape != (n,):
            raise ValueError(f"metric '{name}' has shape {values.shape}; {n} preferences need {(n,)}")
        if name not in self.higher_is_better:
            raise ValueError(f"higher_is_better does not say the direction of metric '{name}'")

    def nondominated(self) -> NDArray[np.bool_]:
        """(n,), True where no other point of this front is at least as good in all losses and better in one."""
        return indicators.nondominated(self.losses)

    def hypervolume(self, reference: Sequence[float] | None = None) -> float:
        """Volume of losses below `reference`, or below the front's own reference point. See `indicators.hypervolume`.

        Raises:
            ValueError: neither is given, or not one number a task.
        """
        corner = self.reference if reference is None else reference
        if corner is None:
            raise ValueError("this front has no reference point of its own: give one, a number a task")
        return indicators.hypervolume(self.losses, corner)

    def hypervolumes(self) -> dict[str, Hypervolume]:
        """All hypervolumes that have a reference point: `losses`, and each metric that every task has, under its name.

        A metric with nan values is left out.
        """
        found: dict[str, Hypervolume] = {}
        if self.reference is not None:
            found["losses"] = self._hypervolume(
                self.losses, self.reference, "losses minimized, volume below the reference point"
            )
        for metric in self.shared_metrics():
            names = [f"{task}/{metric}" for task in self.tasks]
            values = np.stack([self.metrics[name] for name in names], axis=1)
            if any(name not in self.metric_reference for name in names) or np.isnan(values).any():
                continue
            upwards = [self.higher_is_better[name] for name in names]
            signs = np.where(upwards, -1.0, 1.0)
            reference = [self.metric_reference[name] for name in names]
            if all(upwards):
                convention = f"{metric} maximized, volume above the reference point"
            elif not any(upwards):
                convention = f"{metric} minimized, volume below the reference point"
            else:
                directions = ", ".join(
                    f"{task} {'maximized' if up else 'minimized'}" for task, up in zip(self.tasks, upwards, strict=True)
                )
                convention = f"{metric}: {directions}; volume between the points and the reference point"
            found[metric] = self._hypervolume(values, reference, convention, signs)
        return found

    def _hypervolume(
        self, points: Array, reference: Sequence[float], convention: str, signs: Array | float = 1.0
    ) -> Hypervolume:
        if not indicators.hypervolume_is_exact(*points.shape):
            convention += ", estimated by sampling"
        value = indicators.hypervolume(points * signs, np.asarray(reference) * signs)
        return {"value": value, "reference": list(reference), "convention": convention}

    def shared_metrics(self) -> tuple[str, ...]:
        """Names of the metrics that every task has, in the order of the first task."""
        first = [name.partition("/")[2] for name in self.metrics if name.startswith(f"{self.tasks[0]}/")]
        return tuple(metric for metric in first if all(f"{task}/{metric}" in self.metrics for task in self.tasks))

    def controllability(self) -> Array:
        """(m,): see `indicators.controllability`; −1 is ideal, nan where weight or loss never changes."""
        return indicators.controllability(self.preferences, self.losses)

    def nonuniformity(self) -> float:
        """See `indicators.nonuniformity`; 0 is ideal, nan where it is not defined."""
        return indicators.nonuniformity(self.preferences, self.losses)

    def angles(self, direction: indicators.Direction = "inverse") -> Array:
        """(n,) degrees between each point and the ray of its preference, see `indicators.angles`; 0 is ideal for
        methods that look for points on rays."""
        return indicators.angles(self.preferences, self.losses, direction)

    def cross_angle(self, direction: indicators.Direction = "preference") -> float:
        """The mean of `angles` in degrees, by default to the rays λ, as LibMOON has it; nan where one is undefined."""
        return distribution.cross_angle(self.preferences, self.losses, direction)

    def spacing(self) -> float:
        """See `distribution.spacing`; 0 is even, nan for a single point."""
        return distribution.spacing(self.losses)

    def sparsity(self) -> float:
        """See `distribution.sparsity`; small is dense, nan for a single point."""
        return distribution.sparsity(self.losses)

    def span(self) -> float:
        """The narrowest of the tasks' ranges along the front, see `distribution.span`."""
        return distribution.span(self.losses)

    def spread(self) -> float:
        """The diagonal of the box around the front, see `distribution.spread`."""
        return distribution.spread(self.losses)

    def gap(self) -> float:
        """The largest hole in the front, see `distribution.gap`; nan for a single point."""
        return distribution.gap(self.losses)

    def r2(self, ideal: Sequence[float] | None = None) -> float:
        """See `indicators.r2`; small is good.

        Args:
            ideal: the point that distances are from, m numbers; None: the best of each task on the true front.

        Raises:
            ValueError: neither is known, or a loss is below the ideal.
        """
        if ideal is not None:
            return indicators.r2(self.losses, ideal)
        if self.true_front is None:
            raise ValueError("the true front is not known: give an ideal point, a number a task")
        return indicators.r2(self.losses, self.true_front.min(axis=0))

    def normalized(self, ideal: Sequence[float], nadir: Sequence[float]) -> Front:
        """This front with its losses, its reference point and its true front in units of a range, see
        `distribution.normalized`; metrics stay. So tasks of different scales weigh the same:
        `front.normalized(ideal, nadir).spread()`.

        Raises:
            ValueError: not one finite number a task, or a nadir below the ideal.

        >>> front = Front(tasks=("a", "b"), preferences=[[1, 0], [0, 1]], losses=[[0, 9], [4, 1]], split="val")
        >>> front.normalized((0, 1), (4, 9)).losses.tolist()
        [[0.0, 1.0], [1.0, 0.0]]
        """

        def scaled(values: ArrayLike) -> Array:
            return distribution.normalized(values, ideal, nadir)

        return attrs.evolve(
            self,
            losses=scaled(self.losses),
            reference=None if self.reference is None else tuple(scaled([self.reference])[0].tolist()),
            true_front=None if self.true_front is None else scaled(self.true_front),
        )

    def igd(self) -> float | None:
        """Mean distance from the true front, see `indicators.igd`; None when the true front is not known."""
        return None if self.true_front is None else indicators.igd(self.losses, self.true_front)

    def igd_plus(self) -> float | None:
        """As `igd`, counting only what is worse than the true front; None when it is not known."""
        return None if self.true_front is None else indicators.igd_plus(self.losses, self.true_front)

    def delta_m(self, single: Front) -> Array:
        """(n,): the mean relative change of each point against single-task learning, in percent; below 0 is better.

        The mean is over all metrics of all tasks, and the loss of a task that has none. See `relative.delta_m`.

        Args:
            single: the front of single-task networks on the same problem and split. For each task its point at that
                task's vertex counts, where the whole weight is on it.

        Raises:
            ValueError: tasks, metrics or splits differ, or a vertex is missing.
        """
        if (single.tasks, single.split) != (self.tasks, self.split):
            raise ValueError(
                f"the fronts do not go together: one has the tasks {', '.join(self.tasks)} on {self.split}, "
                f"the other {', '.join(single.tasks)} on {single.split}"
            )
        if single.higher_is_better != self.higher_is_better:
            raise ValueError(
                f"the fronts do not go together: one has the metrics {', '.join(self.metrics) or 'none'}, "
                f"the other {', '.join(single.metrics) or 'none'}"
            )
        names: list[str] = []
        mine, ideal = self.columns(), single.of_vertices().columns()
        for task in self.tasks:
            names += [name for name in self.metrics if name.startswith(f"{task}/")] or [f"{task}/loss"]
        upwards = [self.higher_is_better.get(name, False) for name in names]
        values = np.stack([mine[name] for name in names], axis=1)
        return relative.delta_m(values, [ideal[name][0] for name in names], upwards)

    def of_vertices(self) -> Front:
        """The one point that the ends of this front make together: of each task its loss and metrics where the whole
        weight is on it. For single-task networks it is the ideal that one network for all tasks is measured against.

        Raises:
            ValueError: a vertex is missing.
        """
        rows = {}
        for t, task in enumerate(self.tasks):
            vertices = np.flatnonzero(self.preferences[:, t] == 1)
            if not len(vertices):
                raise ValueError(f"the front has no point with the whole weight on '{task}'")
            rows[task] = vertices[0]
        m = len(self.tasks)
        return attrs.evolve(
            self,
            preferences=np.full((1, m), 1 / m),
            losses=[[self.losses[rows[task], t] for t, task in enumerate(self.tasks)]],
            metrics={name: [values[rows[name.partition("/")[0]]]] for name, values in self.metrics.items()},
        )

    def extended(self, other: Front) -> Front:
        """This front with the points of another one after its own; the rest stays. Raises ValueError where they do not
        have the same tasks and metrics."""
        if (other.tasks, list(other.metrics)) != (self.tasks, list(self.metrics)):
            raise ValueError("only fronts of the same tasks and metrics go together")
        return attrs.evolve(
            self,
            preferences=np.concatenate([self.preferences, other.preferences]),
            losses=np.concatenate([self.losses, other.losses]),
            metrics={name: np.concatenate([values, other.metrics[name]]) for name, values in self.metrics.items()},
        )

    def columns(self) -> dict[str, Array]:
        """All columns by name: `TASK/preference` of every task, `TASK/loss` of every task, then the metrics."""
        return {
            **{f"{task}/preference": self.preferences[:, t] for t, task in enumerate(self.tasks)},
            **{f"{task}/loss": self.losses[:, t] for t, task in enumerate(self.tasks)},
            **self.metrics,
        }

    def select(
        self, *, where: str | Sequence[str] = (), maximize: str | None = None, minimize: str | None = None
    ) -> int:
        """The row of the best operating point among those that meet conditions.

        Args:
            where: conditions `COLUMN < NUMBER` (or `<=`, `>`, `>=`), one text or several, all of which must hold:
                `"left/accuracy >= 0.95"`.
            maximize, minimize: the column that decides; exactly one of the two. The first of equal rows wins; rows
                whose value is nan are never chosen.

        Returns:
            the index of a row, for `preferences[row]`, `losses[row]`, …

        Raises:
            ValueError: a condition cannot be read, no such column, not exactly one of maximize and minimize, or no row
                meets all conditions (the best value of each column asked for is told).
        """
        return best_row(self.columns(), where=where, maximize=maximize, minimize=minimize)

    def preference(self, where: str) -> Array:
        """Solve a condition for λ, by straight lines between neighbors on a front of two tasks. The model is not asked:
        `Run.pick` does that, for any number of tasks.

        Args:
            where: `"left/loss = 0.3"`.

        Returns:
            λ (2,) at which the column has this value; where it has it several times, the one with the smallest sum of
            losses.

        Raises:
            ValueError: not two tasks, not a condition with `=`, no such column, or a value that the front does not
                reach; its range is told.

        >>> front = Front(tasks=("a", "b"), preferences=[[0, 1], [1, 0]], losses=[[0.8, 0.1], [0.4, 0.5]], split="val")
        >>> front.preference("a/loss = 0.5").round(3).tolist()
        [0.75, 0.25]
        """
        condition = Condition.read(where, list(self.columns()))
        if len(self.tasks) != 2 or condition.sign != "=":
            raise ValueError(
                f"a front of two tasks is solved for one condition with =, but there are {len(self.tasks)} tasks and "
                f"'{condition}'; `Run.pick` takes any condition"
            )
        order = np.argsort(self.preferences[:, 0], kind="stable")
        values = self.columns()[condition.column][order]
        x, sums = self.preferences[order, 0], self.losses[order].sum(axis=1)
        found = crossings(x, values, condition.bound)
        if not len(found):
            raise ValueError(
                f"{condition.column} is nowhere {condition.bound:g} on this front: it goes from "
                f"{np.nanmin(values):g} to {np.nanmax(values):g}"
            )
        first = found[int(np.argmin(np.interp(found, x, sums)))]
        return np.array([first, 1 - first])

    def to_json(self) -> str:
        """This front as JSON text, one line a key, with all that is computed from it.

        `format` is the number of this format. What was given: `tasks`, `split`, `preferences` and `losses` (n rows of
        m), `metrics`, `higher_is_better`, `reference`, `metric_reference`, `true_front`. What follows from it:
        `nondominated` (n booleans), `hypervolume` (see `hypervolumes`), `controllability` (m numbers),
        `nonuniformity`, and where a true front is known `igd` and `igd_plus`. A number that is nan is null.
        """
        data: dict[str, Any] = {
            "format": _FORMAT,
            "tasks": list(self.tasks),
            "split": self.split,
            "preferences": self.preferences.tolist(),
            "losses": self.losses.tolist(),
            "metrics": {name: _nullable(values) for name, values in self.metrics.items()},
            "higher_is_better": self.higher_is_better,
            "reference": None if self.reference is None else list(self.reference),
            "metric_reference": self.metric_reference,
            "true_front": None if self.true_front is None else self.true_front.tolist(),
            "nondominated": self.nondominated().tolist(),
            "hypervolume": self.hypervolumes(),
            "controllability": _nullable(self.controllability()),
            "nonuniformity": _nullable(np.array([self.nonuniformity()]))[0],
        }
        if self.true_front is not None:
            data |= {"igd": self.igd(), "igd_plus": self.igd_plus()}
        lines = [
            f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}"
            for key, value in data.items()
        ]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> Front:
        """The front that `to_json` wrote. What follows from the rest is not read but computed again.

        Raises:
            ValueError: not JSON, a key is missing, or the content is not a front.
        """
        data = json.loads(text)
        if isinstance(data, dict) and isinstance(data.get("format"), int) and data["format"] > _FORMAT:
            raise ValueError(f"it has format {data['format']}; this version reads up to {_FORMAT}. Update moframework")
        names = [field.name for field in attrs.fields(cls)]
        missing = [name for name in names if not isinstance(data, dict) or name not in data]
        if missing:
            raise ValueError(f"this is not a front: it lacks {', '.join(missing)}")
        given = {name: data[name] for name in names}
        given["metrics"] = {
            name: [math.nan if value is None else value for value in values] for name, values in data["metrics"].items()
        }
        return cls(**given)

    def save(self, path: str | Path) -> None:
        """Write `to_json` to `path` with a checksum as its last key, whole or not at all; its folder must exist."""
        write_text(Path(path), seal_json(self.to_json()))

    @classmethod
    def load(cls, path: str | Path) -> Front:
        """Read what `save` wrote.

        Raises:
            DamagedFileError (a `RunError` and a `ValueError`): there is no such file, or it is damaged or no front.
            NewerFormatError (a `RunError`): a newer version wrote it.
        """
        path = Path(path)
        advice = f"Where it belongs to a run, this writes it anew: moframework solve {path.parent} --resume"
        data = read_json(path, advice=advice, newest=_FORMAT)
        try:
            return cls.from_json(json.dumps(data))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise DamagedFileError(f"{path}: {error}. {advice}") from error

    def to_frame(self) -> Any:
        """A pandas data frame: a row for each preference, the columns of `columns`, and `nondominated`.

        Raises:
            MoframeworkError: pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise MoframeworkError("a data frame needs pandas, which is not installed: pip install pandas") from error
        return pandas.DataFrame({**self.columns(), "nondominated": self.nondominated()})


def _png(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=72)
    return file.getvalue()


def _nullable(values: Array) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]
