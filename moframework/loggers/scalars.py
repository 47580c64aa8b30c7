"""Numbers of a training by name, alike for every logger."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from moframework.engine.events import Reading
from moframework.pareto.front import Front

__all__ = ["flat", "of_front", "of_reading", "of_results"]


def of_reading(reading: Reading) -> dict[str, float]:
    """`loss/TASK` (training), `learning_rate/GROUP`, and `speed/milliseconds_per_step`."""
    return {
        **{f"loss/{task}": loss for task, loss in reading.losses.items()},
        **{f"learning_rate/{group}": rate for group, rate in reading.learning_rates.items()},
        "speed/milliseconds_per_step": 1000 * reading.seconds_per_step,
    }


def of_front(front: Front, hypervolume: float) -> dict[str, float]:
    """What a validation front comes to.

    `validation/hypervolume` (of the losses) and `validation/hypervolume_METRIC`, `validation/nondominated_share`;
    `best_loss/TASK` and `best_metric/TASK/METRIC` (best value on the front; a metric that is nan at every preference is
    nan); `controllability/TASK` (rank correlation between preference and loss; −1 is ideal), where it is defined.

    Args:
        hypervolume: of the losses, by which checkpoints are selected.
    """
    ranks = zip(front.tasks, front.controllability().tolist(), strict=True)
    return {
        "validation/hypervolume": hypervolume,
        **{
            f"validation/hypervolume_{name}": indicator["value"]
            for name, indicator in front.hypervolumes().items()
            if name != "losses"
        },
        "validation/nondominated_share": float(front.nondominated().mean()),
        **_best(front),
        **{f"controllability/{task}": rank for task, rank in ranks if not math.isnan(rank)},
    }


def of_results(fronts: Mapping[str, Front]) -> dict[str, float]:
    """The final numbers: of each split `SPLIT/hypervolume` (of the losses), `SPLIT/hypervolume_METRIC`,
    `SPLIT/best_loss/TASK` and `SPLIT/best_metric/TASK/METRIC`."""
    found = {}
    for split, front in fronts.items():
        for name, indicator in front.hypervolumes().items():
            found[f"{split}/hypervolume" + ("" if name == "losses" else f"_{name}")] = indicator["value"]
        found.update({f"{split}/{name}": value for name, value in _best(front).items()})
    return found


def _best(front: Front) -> dict[str, float]:
    best = {f"best_loss/{task}": float(loss) for task, loss in zip(front.tasks, front.losses.min(axis=0), strict=True)}
    for name, values in front.metrics.items():
        known = [value for value in values.tolist() if not math.isnan(value)]
        choose = max if front.higher_is_better[name] else min
        best[f"best_metric/{name}"] = choose(known) if known else math.nan
    return best


def flat(spec: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """A spec in one level, by dotted keys; lists without mappings and null as their JSON.

    >>> flat({"solver": {"name": "palora", "rank": 4}, "log": [{"name": "mlflow"}], "size": [2, 3]})
    {'solver.name': 'palora', 'solver.rank': 4, 'log.0.name': 'mlflow', 'size': '[2, 3]'}
    """
    return dict(_flat(spec, ""))


def _flat(value: Any, key: str) -> Iterator[tuple[str, bool | int | float | str]]:
    if isinstance(value, list) and any(isinstance(part, Mapping | list) for part in value):
        value = dict(enumerate(value))
    if isinstance(value, Mapping) and value:
        for name, part in value.items():
            yield from _flat(part, f"{key}.{name}" if key else str(name))
    else:
        yield key, value if isinstance(value, bool | int | float | str) else json.dumps(value)
