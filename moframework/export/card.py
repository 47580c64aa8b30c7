"""The model card of an export: what it is, how good, where from, and how it is loaded; as JSON and as Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import frozen
from torch import Tensor

from moframework.export.facts import Facts
from moframework.export.loading import loading_code
from moframework.export.networks import PREFERENCE_INPUT, Inputs
from moframework.export.targets import Form
from moframework.export.verifying import BATCHES, TOLERANCE
from moframework.model import ParetoModel
from moframework.pareto.front import Front

__all__ = ["FORMAT", "Description", "card", "card_text"]

FORMAT = 1

_SAID: Mapping[Form, str] = {
    "safetensors": "weights by name, for the network itself",
    "pt2": "a program of torch.export",
    "onnx": "an ONNX file",
    "peft": "a network, and an adapter of PEFT for each task",
}


@frozen(kw_only=True)
class Description:
    """What was exported.

    Attributes:
        target: the file or folder.
        preference: λ (m,), or None where it is an input.
        mixed: there is a preference for each sample.
        details: what is told of this form alone, such as the version of ONNX's operators.
        difference: the largest that was found when it was compared with the model; see `TOLERANCE`.
        tried: preferences at which that was done, where λ is an input.
        preparation: name of the file with what turns raw data into inputs and outputs into answers.
    """

    form: Form
    target: Path
    preference: Tensor | None
    mixed: bool
    inputs: Inputs
    outputs: Mapping[str, Mapping[str, Any]]
    details: Mapping[str, Any]
    difference: float
    tried: Sequence[Sequence[float]] | None
    preparation: str


def card(model: ParetoModel, what: Description, facts: Facts) -> dict[str, Any]:
    """The card as plain data; numbers that are not finite are None."""
    entries = zip(what.inputs.names, what.inputs.form.entries.values(), strict=True)
    read = {name: _tensor(["batch", *entry.shape], entry.dtype) for name, entry in entries}
    if what.preference is None:
        m = len(model.tasks)
        read[PREFERENCE_INPUT] = {"shape": ["batch", m] if what.mixed else [m], "dtype": "float32"}
    made = {
        "format": FORMAT,
        "name": facts.name,
        "form": what.form,
        "file": what.target.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "tasks": list(model.tasks),
        "preference": None if what.preference is None else what.preference.tolist(),
        "preference_for": None if what.preference is not None else "each sample" if what.mixed else "a batch",
        "chosen": None if facts.choice is None else dict(facts.choice),
        "inputs": read,
        "outputs": dict(what.outputs),
        "preparation": what.preparation,
        **what.details,
        "verified": {
            "largest_difference": what.difference,
            "allowed": TOLERANCE,
            "batch_sizes": list(BATCHES),
            "preferences": what.tried,
        },
        "metrics": dict(facts.metrics),
        "fronts": {split: json.loads(front.to_json()) for split, front in facts.fronts.items()},
        "provenance": dict(facts.provenance),
        "network": repr(model.skeleton),
        "notes": list(facts.notes),
    }
    plain: dict[str, Any] = _finite(made)
    return plain


def _tensor(shape: Sequence[int | str | None], dtype: Any) -> dict[str, Any]:
    return {"shape": list(shape), "dtype": str(dtype).removeprefix("torch.")}


def _finite(value: Any) -> Any:
    """Plain data without what JSON has no words for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value


def card_text(plain: Mapping[str, Any], what: Description, facts: Facts) -> str:
    """The card as Markdown."""
    tasks, preference = plain["tasks"], plain["preference"]
    named = None if preference is None else ", ".join(f"{t} {v:.4g}" for t, v in zip(tasks, preference, strict=True))
    dial = f"λ is the input `{PREFERENCE_INPUT}`, for {plain['preference_for']}; numbers in the order of the tasks"
    if what.form == "peft" or (what.form == "safetensors" and named is None):
        dial = "λ weighs the tasks' parts"
    blocks = [
        f"# {plain['name']}: {what.target.name}",
        f"One trained model of the tasks {', '.join(tasks)}, as {_SAID[what.form]}. "
        + (
            f"Exported at the preference {named}{_chosen(plain['chosen'])}."
            if named
            else f"The trade-off is chosen in use: {dial}."
        ),
        "## Load",
        f"```python\n{loading_code(plain, what)}```",
        *_tables(plain),
        f"`{plain['preparation']}` has what turns raw data into these inputs, and these outputs into answers: columns, "
        "scales, categories, classes.",
        *(["## Notes", "\n".join(f"- {note}" for note in plain["notes"])] if plain["notes"] else []),
        *_metrics(plain, facts.fronts),
        "## Where it is from",
        "\n".join(f"- {key.replace('_', ' ')}: {_said(value)}" for key, value in plain["provenance"].items())
        or "Not told.",
        f"Exported {plain['created']}. Read back and compared with the model on batches of "
        f"{', '.join(map(str, BATCHES))}: the largest difference is {plain['verified']['largest_difference']:.2g}, "
        f"relative to the outputs where they are larger than 1; at most {TOLERANCE:g} is allowed.",
    ]
    return "\n\n".join(blocks) + "\n"


def _chosen(choice: Mapping[str, Any] | None) -> str:
    """How the preference was chosen, to stand behind it."""
    if choice is None:
        return ""
    where = f" where {' and '.join(choice['conditions'])}" if choice["conditions"] else ""
    missed = choice["not_so_on_test"]
    told = f" Not so on the test split: {'; '.join(missed)}" if missed else ""
    return f", chosen on the validation split: {choice['rule']}{where}{'.' if told else ''}{told}"


def _tables(plain: Mapping[str, Any]) -> list[str]:
    lines = ["| tensor | shape | type |", "|---|---|---|"]
    for kind in ("inputs", "outputs"):
        for name, one in plain[kind].items():
            shape = ", ".join("any" if size is None else str(size) for size in one["shape"])
            lines.append(f"| {kind.removesuffix('s')} `{one.get('name', name)}` | ({shape}) | {one['dtype']} |")
    return ["## Inputs and outputs", "\n".join(lines)]


def _metrics(plain: Mapping[str, Any], fronts: Mapping[str, Front]) -> list[str]:
    blocks = []
    if plain["metrics"]:
        splits = list(plain["metrics"])
        columns = list(dict.fromkeys(column for one in plain["metrics"].values() for column in one))
        lines = [f"| at this preference | {' | '.join(splits)} |", f"|---|{'---|' * len(splits)}"]
        for column in columns:
            cells = [_number(plain["metrics"][split].get(column)) for split in splits]
            lines.append(f"| {column} | {' | '.join(cells)} |")
        blocks += ["## Losses and metrics", "\n".join(lines)]
    for split, front in fronts.items():
        columns = [*(f"{task}/loss" for task in front.tasks), *front.metrics]
        heads = [*(f"λ {task}" for task in front.tasks), *columns]
        lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
        for i in range(len(front.preferences)):
            numbers = [*front.preferences[i], *front.losses[i], *(values[i] for values in front.metrics.values())]
            lines.append(f"| {' | '.join(_number(float(number)) for number in numbers)} |")
        blocks += [f"## Front on {split}", "\n".join(lines)]
    return blocks


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_said(part)}" for key, part in value.items())
    return str(value)
