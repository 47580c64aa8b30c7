"""What the start of a training decides and what the order of samples does: PaLoRA's setting after one of ten epochs.

    python docs/benchmarks/starts/starts.py train ours 0,1,2 100 starts.jsonl
    python docs/benchmarks/starts/starts.py train released 0,1,2 100 starts.jsonl CLONE
    python docs/benchmarks/starts/starts.py train ours 0 100,101,102 starts.jsonl
    python docs/benchmarks/starts/starts.py features starts.jsonl CLONE
    python docs/benchmarks/starts/starts.py table starts.jsonl results.md

`train` takes starts (seeds of the initial weights) and orders (seeds of all that is drawn afterwards: samples and
preferences). `ours` draws initial weights as a run with that seed does, `released` by the authors' code in a clone of
https://github.com/nik-dim/palora. What the file already has is not trained again. Loss hypervolume, validation.
`features` adds to each row what its start is before any training: the share of the shared features that are not dead,
and their effective rank. `table` then tells what a choice among starts by these would have been worth.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast
from unittest import mock

import numpy as np
import torch
from scipy import stats

from moframework import Front, Observer, Progress, get_problem, load_spec, solve
from moframework.run import plan

SPEC = "paper/multimnist-palora"


class Reached(Exception):
    """The first validation was made."""


class First(Observer):
    """Ends a training at its first validation."""

    def evaluated(self, progress: Progress, front: Front, *, hypervolume: float, is_best: bool) -> None:
        raise Reached(hypervolume)


def train(kind: str, starts: str, orders: str, file: str, clone: str = "") -> None:
    """Train with each start and order."""
    for start in map(int, starts.split(",")):
        for order in map(int, orders.split(",")):
            key = {"kind": kind, "start": start, "order": order}
            if any(all(row[name] == value for name, value in key.items()) for row in _rows(Path(file))):
                continue
            made = {**key, "hypervolume": _trained(kind, start, order, clone)}
            with Path(file).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(made) + "\n")


def _trained(kind: str, start: int, order: int, clone: str) -> float:
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(plan, "_model", _starting(kind, start, clone)):
        spec = load_spec(SPEC, [f"seed={order}", "evaluate.every=1"])
        try:
            solve(spec, out=Path(folder) / "run", observers=[First()])
        except Reached as reached:
            return float(reached.args[0])
    raise SystemExit("no validation")


def _starting(kind: str, start: int, clone: str) -> Callable[..., Any]:
    """What makes the model of a training, with this start whatever the seed of the training."""
    make, released = plan._model, _released(clone, start) if kind == "released" else None

    def started(spec: Any, *others: Any) -> Any:
        made = make(load_spec(SPEC, [f"seed={start}"]), *others)
        if released is not None:
            _fill(made[0], released)
        return made

    return started


@torch.no_grad()
def features(file: str, clone: str = "") -> None:
    """Add to each row the share of live shared features and their effective rank, over 1,000 images to validate on."""
    rows = _rows(Path(file))
    images = get_problem("multimnist").data("val").inputs[:1000]
    known: dict[tuple[str, int], dict[str, float]] = {}
    for row in rows:
        of = row["kind"], row["start"]
        if of not in known:
            with mock.patch.object(plan, "_model", _starting(*of, clone)):
                model = plan.plan(load_spec(SPEC)).model
            found = cast(torch.nn.Module, model.at([0.5, 0.5]).encoder)(images)
            values = torch.linalg.svdvals(found - found.mean(0))
            shares = values / values.sum()
            rank = float(torch.exp(-(shares * shares.clamp_min(1e-12).log()).sum()))
            known[of] = {"live": float((found > 0).any(0).float().mean()), "rank": rank}
        row |= known[of]
    Path(file).write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def _released(clone: str, seed: int) -> dict[str, torch.Tensor]:
    """The initial weights of the released code, drawn in its order: seed, split of the data, network, adapters."""
    palora, base, lenet = _modules(clone)
    torch.manual_seed(seed)
    torch.utils.data.random_split(range(60_000), [50_000, 10_000])  # type: ignore[arg-type]
    names = ["top-left", "bottom-right"]
    network = base.SharedBottom(lenet.MultiLeNetR(in_channels=1), lenet.MultiLeNetO(), names)
    palora.PaLoRA(num_tasks=2, ray_sampler=None, rank=1, num=5).configure_model(network)
    return {name: value.detach() for name, value in network.state_dict().items()}


@cache
def _modules(clone: str) -> list[Any]:
    """What the authors' network and adapters are in, without all else that their packages import."""
    for package in ("src", "src.callbacks", "src.callbacks.methods", "src.models", "src.models.factory", "src.utils"):
        bare = sys.modules[package] = ModuleType(package)
        bare.__path__ = [str(Path(clone, *package.split(".")))]
    names = ("callbacks.methods.palora", "models.base_model", "models.factory.lenet")
    while True:
        try:
            return [importlib.import_module(f"src.{name}") for name in names]
        except ModuleNotFoundError as error:  # loggers and settings, of which nothing is used
            if error.name is None or error.name.startswith("src"):
                raise
            sys.modules[error.name] = mock.MagicMock()


def _fill(model: torch.nn.Module, released: dict[str, torch.Tensor]) -> None:
    """Put the released code's weights in the place of the model's own, layer by layer in the order both have."""
    bases = [name.removesuffix("weight") for name in released if name.endswith("weight")]
    layers = [layer.removesuffix("conv.") for layer in bases]
    own = model.state_dict()
    filled = {}
    for i, (base, layer) in enumerate(zip(bases, layers, strict=True)):
        filled[f"space.shared.{2 * i}"] = released[f"{base}weight"]
        filled[f"space.shared.{2 * i + 1}"] = released[f"{base}bias"]
        filled[f"space.a.{i}"] = torch.cat([released[f"{layer}lora_A.{task}"] for task in range(2)])
        filled[f"space.b.{i}"] = torch.zeros_like(own[f"space.b.{i}"])  # as the released code starts them
    if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in filled.items()}:
        raise SystemExit("the released code's network has other weights than ours")
    model.load_state_dict(filled)


def table(file: str, page: str) -> None:
    """Write what the file holds as a table: over starts with an order in common, and over orders with a start."""
    rows = _rows(Path(file))
    common = max({row["order"] for row in rows}, key=lambda order: sum(row["order"] == order for row in rows))
    same = max({row["start"] for row in rows}, key=lambda start: sum(row["start"] == start for row in rows))
    over = {
        f"starts of {kind}": [row["hypervolume"] for row in rows if (row["kind"], row["order"]) == (kind, common)]
        for kind in ("ours", "released")
    }
    over[f"orders, start {same} of ours"] = [
        row["hypervolume"] for row in rows if (row["kind"], row["start"]) == ("ours", same)
    ]
    lines = [
        "# What starts decide",
        "",
        f"`{SPEC}`, loss hypervolume on validation after the first of ten epochs. Starts differ at order {common}.",
        "",
        "| over | trainings | mean | deviation | lowest | highest |",
        "|---|---|---|---|---|---|",
    ]
    for name, values in over.items():
        spread = f"{np.mean(values):.3f} | {np.std(values, ddof=1):.3f} | {min(values):.3f} | {max(values):.3f}"
        lines.append(f"| {name} | {len(values)} | {spread} |")
    ours, released, orders = over.values()
    lines += [
        "",
        f"Means of ours and released, Welch's test: p = {stats.ttest_ind(ours, released, equal_var=False).pvalue:.2f}; "
        f"distributions, Kolmogorov and Smirnov: p = {stats.ks_2samp(ours, released).pvalue:.2f}. Spread over starts "
        f"against spread over orders, Levene: p = {stats.levene(ours, orders).pvalue:.2f}.",
    ]
    lines += _choices([row for row in rows if row["order"] == common and "live" in row])
    Path(page).write_text("\n".join([*lines, ""]), encoding="utf-8")


def _choices(rows: list[dict[str, Any]]) -> list[str]:
    """What a choice of the start before training would have been worth: the quarter that a measure puts first."""
    if not rows:
        return []
    lines = [
        "",
        f"Of these {len(rows)} starts, those that are best before training, by the features over 1,000 images:",
        "",
        "| chosen by | Spearman with the hypervolume | p | the first quarter | all |",
        "|---|---|---|---|---|",
    ]
    heights = np.array([row["hypervolume"] for row in rows])
    for key, name in {"live": "share of features that are not dead", "rank": "effective rank of the features"}.items():
        measured = np.array([row[key] for row in rows])
        found = stats.spearmanr(measured, heights)
        first = heights[np.argsort(-measured, kind="stable")[: len(rows) // 4]]
        lines.append(
            f"| {name} | {found.statistic:.2f} | {found.pvalue:.4f} | {first.mean():.3f} ± {first.std(ddof=1):.3f} "
            f"| {heights.mean():.3f} ± {heights.std(ddof=1):.3f} |"
        )
    return lines


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


if __name__ == "__main__":
    {"train": train, "features": features, "table": table}[sys.argv[1]](*sys.argv[2:])
