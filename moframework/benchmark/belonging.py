"""Whether a folder belongs to a benchmark: two of them in one folder would take each other's results for their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moframework.benchmark.spec import Benchmark
from moframework.config import unstructure
from moframework.errors import RunError, shortened
from moframework.spec.marks import Source, plain
from moframework.spec.reading import read_yaml

__all__ = ["SPEC", "refuse_another"]

SPEC = "benchmark.yaml"
_SHOWN = 5


def refuse_another(benchmark: Benchmark, folder: Path) -> None:
    """Raise unless `benchmark` may be written into `folder`.

    Another benchmark is one without a problem, or without a contender, in common. Problems are the same where part and
    options are, but for options that only one of both knows; contenders where the part is, whatever its options. Seeds,
    labels, grid, training and executor play no role. A folder whose spec cannot be read is nobody's.

    Raises:
        RunError: the folder holds another benchmark.
    """
    theirs = _read(folder / SPEC)
    if theirs is None:
        return
    mine = unstructure(benchmark)
    for key, part, same in (("problems", "problem", _agree), ("solvers", "solver", _same_part)):
        own, others = _parts(mine, key, part), _parts(theirs, key, part)
        if others and not any(same(a, b) for a in own for b in others):
            what = {"problems": "problem", "solvers": "contender"}[key]
            raise RunError(
                f"{folder} holds another benchmark, which has no {what} in common with this one: "
                f"there {_listed(others)}, here {_listed(own)}. Nothing was written: its results would be replaced. "
                "Give this one a folder of its own, with another --out (from Python: `out`)."
            )


def _read(path: Path) -> Mapping[str, Any] | None:
    """A spec without what it names, which is not imported; None where there is none, or not as one is written."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    root, _ = read_yaml(text, Source(str(path), path.parent, 1))
    content = None if root is None else plain(root)
    return content if isinstance(content, Mapping) else None


def _parts(content: Mapping[str, Any], key: str, part: str) -> list[Mapping[str, Any]]:
    """The problems or solvers of a spec, whose entries may be written in short."""
    entries = content.get(key)
    found = []
    for entry in entries if isinstance(entries, list) else ():
        inner = entry.get(part, entry) if isinstance(entry, Mapping) else entry
        found.append({"name": inner} if isinstance(inner, str) else inner)
    return [one for one in found if isinstance(one, Mapping)]


def _same_part(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return all(a.get(key) == b.get(key) for key in ("name", "python"))


def _agree(a: Any, b: Any) -> bool:
    """Whether two values are equal, but for options that only one of them has: versions differ in those."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return _same_part(a, b) and all(_agree(a[key], b[key]) for key in a.keys() & b.keys())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_agree(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def _listed(parts: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(str(one.get("name", one.get("python", "a declared one"))) for one in parts))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(shortened(name) for name in names[:_SHOWN]) + more
