"""The page of the census, from what is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.census.comparing import SPACES

__all__ = ["FOLDER", "LIBRARIES", "PAGE", "page", "read"]

LIBRARIES = ("timm", "torchvision", "transformers")
DOCS = Path(__file__).parents[2] / "docs"
FOLDER, PAGE = DOCS / "census", DOCS / "census.md"

INTRODUCTION = """\
# Census of networks

Networks of three libraries, as `python -m tests.census --write` compares them: a training step of the weight spaces of
`palora`, `pamal` and `phn` (low-rank adapters, convex hull, hypernetwork) against plain torch. The reference is the
plain network with merged weights θ(λ), whose gradients are sent through θ(λ) by the chain rule; in training mode
(BatchNorm normalizes by the batch, dropout draws the same numbers), at one preference, on two samples. Precision is
double, but for transformers' `levit`, `mixtral` and `xglm`, which do not run in it by themselves.

A number is the largest relative difference among the gradients of the weight space, all buffers after the step (running
statistics), the same with the library's own activation checkpoints, the network that `at(λ)` gives, and the model that
was saved and loaded (in single precision). It must be below 1e-6; `check` refuses what cannot be trained. *Parts* are
the parts of the network in activation checkpoints, where the library has any: in both of torch's forms, but for
networks that give their blocks named arguments, which torch's reentrant form does not take, and for DenseNets, which
know one form.

Networks are small: the smallest of a family, one made smaller by the library's own options, and of torchvision's
AlexNet and VGG one whose classifier was narrowed; the hypernetwork has two networks' worth of weights. Families of timm
that are not in the table were not tried, since their smallest network is large or could not be made small.
"""


def read(library: str) -> dict[str, Any]:
    """What is known of a library, by family."""
    path = FOLDER / f"{library}.json"
    if not path.is_file():
        return {}
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return known


def page() -> str:
    """The page as it should be."""
    found = {library: read(library) for library in LIBRARIES}
    parts = [INTRODUCTION]
    for library, known in found.items():
        equal = sum(all(row[name]["equal"] and not row[name]["refused"] for name in SPACES) for row in known.values())
        refused = sum(any(row[name]["refused"] for name in SPACES) for row in known.values())
        more = f", {refused} refused at least in part" if refused else ""
        parts.append(f"## {library}\n\n{len(known)} families: {equal} trained alike{more}.\n")
        lines = [f"| family | network | parameters | parts | {' | '.join(SPACES)} |", "|---|---|--:|--:|" + "---|" * 3]
        lines += [_row(family, row) for family, row in sorted(known.items())]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _row(family: str, row: dict[str, Any]) -> str:
    results = [row[name] for name in SPACES]
    size = max(result["parameters"] for result in results)
    counts = {result["parts"] for result in results if result["parts"] is not None}
    cells = [_cell(result) for result in results]
    if len(set(cells)) == 1 and results[0]["refused"]:
        cells = [cells[0], "as before", "as before"]
    parts = f"{max(counts)}" if counts else "—"
    return f"| {family} | {row['network']} | {size:,} | {parts} | {' | '.join(cells)} |"


def _cell(result: dict[str, Any]) -> str:
    if result["refused"]:
        return "refused: " + " ".join(str(result["refused"]).split()).replace("|", "/")
    return f"{result['error']:.0e}" if result["equal"] else f"**{result['error']:.0e}** ({result['where']})"
