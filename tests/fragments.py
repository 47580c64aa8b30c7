"""Examples in docstrings that are YAML: whole specs, or sections of one, which are read as the file of a spec is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import yaml

from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.spec import Benchmark
from moframework.config.fields import options_of
from moframework.problem.declared import Declared, ProblemOverrides
from moframework.reference.docstrings import markdown
from moframework.spec import Spec, load_spec
from moframework.testing.matrix import Pair
from moframework.testing.members import with_members

__all__ = ["fragments", "names_part", "read", "with_files"]

_MISSING = {Spec: {"problem": "digits", "solver": "palora"}, Benchmark: {"problems": ["digits"], "solvers": ["palora"]}}
_BEAM = "def beam(x, *, load: float = 10.0):\n    return [x[0] * x[1], load / x[0]]\n"


def fragments(text: str | None) -> list[str]:
    """The blocks of a docstring that the reference shows as YAML."""
    return re.findall(r"^```yaml\n(.*?)^```", markdown(text), re.MULTILINE | re.DOTALL)


def read(fragment: str, folder: Path) -> Spec | Benchmark:
    """The spec that a fragment is, or is a part of: sections of a spec or a benchmark, or parts of a problem. What is
    missing is taken from the smallest spec there is.

    Raises:
        SpecError: it cannot be read, for example because of an unknown key.
        ValueError: its keys belong together nowhere.
    """
    keys = set(yaml.safe_load(fragment))
    for kind, missing in _MISSING.items():
        if keys <= _keys(kind):
            rest = {key: value for key, value in missing.items() if key not in keys}
            return _load(kind, fragment + (yaml.safe_dump(rest) if rest else ""), folder)
    if not keys <= _keys(Declared) | _keys(ProblemOverrides):
        raise ValueError(f"no spec, benchmark or problem has all of these keys: {', '.join(sorted(keys))}")
    if "data" in keys:
        sets = yaml.safe_load(fragment)["data"]
        rest = {"backbone": "mlp", "tasks": {name: {"loss": "mse"} for name in sets}}
    else:
        rest = {"name": "digits"}
    problem = fragment + yaml.safe_dump({key: value for key, value in rest.items() if key not in keys})
    indented = "".join(f"  {line}\n" for line in problem.splitlines())
    return _load(Spec, f"problem:\n{indented}solver: palora\n", folder)


def with_files(folder: Path) -> Path:
    """The folder, with the files that fragments name: members of the problem `digits` and what they start from, and a
    function."""
    made = with_members(Pair(problem={"name": "digits"}, solver={"name": "soup"}), folder)
    for task, file in made.solver["members"].items():
        Path(file).rename(folder / f"{task}.safetensors")
    (folder / "beam.py").write_text(_BEAM)
    return folder


def names_part(found: object, part: type) -> bool:
    """Whether something that was read is such a part, or holds one."""
    return any(type(one) is part for one in _all_in(found))


def _all_in(found: Any) -> Iterator[object]:
    yield found
    if attrs.has(type(found)):
        for field in attrs.fields(type(found)):
            yield from _all_in(getattr(found, field.name))
    elif isinstance(found, dict):
        for value in found.values():
            yield from _all_in(value)
    elif isinstance(found, tuple | list):
        for value in found:
            yield from _all_in(value)


def _keys(kind: type) -> set[str]:
    return {option.key for option in options_of(kind)}


def _load(kind: type, text: str, folder: Path) -> Spec | Benchmark:
    file = folder / "spec.yaml"
    file.write_text(text, encoding="utf-8")
    return load_spec(file) if kind is Spec else load_benchmark(file)
