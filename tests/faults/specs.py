"""Specs mutated in text and structure: each is refused in words, or means what it says.

What a mutant says is read by another reader than ours: PyYAML's `BaseLoader`, for which every scalar is text. An
accepted mutant must have every one of those texts in its canonical form, at the same place and as a value that is
written so; and its canonical form, read again, must be equal to it.
"""

from __future__ import annotations

import math
import random
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from moframework.benchmark.loading import load_benchmark
from moframework.config import unstructure
from moframework.errors import SpecError
from moframework.spec import load_spec
from moframework.spec.bundled import bundled_specs
from moframework.spec.extending import SpecReader
from moframework.spec.marks import plain
from moframework.spec.writing import write_yaml
from tests.faults.result import Result

__all__ = ["differs", "run"]

Tree = Any
_EXTREMES: tuple[Any, ...] = (
    0, 1, -1, 2**31, 2**63, -(2**63), 10**18, 10**9, 10**400, 0.0, -0.0, 1e-320, 1e308, -1e308, math.inf, -math.inf,
    math.nan, True, False, None, "", " ", "x" * 10_000, "null", "true", "no", "1", "1e-3", "0x10", ".inf", "~", "=",
    "<<", "a/b", "..", "\t", "é", "\u2028", "\x85", "𝄞", "a: b", "# no", "- a", [], {}, [[]], [{}], {"": 1},
    {"name": None}, {"name": ""}, {"name": {}}, [1] * 100, {str(i): i for i in range(100)}, ["a", "a"],
)  # fmt: skip
_CHARACTERS = ":-{}[],&*!|>'\"%@`#?~=.\t\n \\/_0123456789aAeExXnNtT\x00\x07\x85\u2028é𝄞\ufeff"
_PLACE = re.compile(r"mutant\.yaml:\d+:\d+: ")


def run(count: int, seed: int) -> Result:
    """Mutate the bundled specs `count` times.

    Args:
        count: of mutants.
        seed: the same one makes the same mutants.
    """
    result, began = Result("mutated specs"), time.perf_counter()
    generator = random.Random(seed)
    bases = _bases()
    values = [value for tree in bases for value in _values(tree)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.yaml"
        for number in range(count):
            tree = generator.choice(bases)
            text = _mutant(tree, values, generator)
            path.write_bytes(text.encode("utf-8", "surrogatepass"))
            since = time.perf_counter()
            _try(path, text, "problems" in tree, result, f"seed {seed}, number {number}")
            took = time.perf_counter() - since
            if took > result.slowest:
                result.slowest, result.slowest_mutant = took, f"seed {seed}, number {number}"
    result.seconds = time.perf_counter() - began
    return result


def _bases() -> list[Tree]:
    """Every bundled spec with all that it extends, as written and in its canonical form."""
    found = []
    for path in bundled_specs().values():
        root = SpecReader().file(path)
        assert root is not None, path
        tree = plain(root)
        if "tune" in tree:  # read by `load_study`, whose tests try each of its keys
            continue
        loaded = load_benchmark(path) if "problems" in tree else load_spec(path)
        found += [tree, unstructure(loaded)]
    return found


def _values(tree: Tree) -> list[Tree]:
    inside = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return [tree, *(value for child in inside for value in _values(child))]


def _try(path: Path, text: str, benchmark: bool, result: Result, which: str) -> None:
    """Read one mutant and count what became of it."""
    result.mutants += 1
    load: Callable[[Any], Any] = load_benchmark if benchmark else load_spec
    try:
        made = load(path)
        canonical = made.to_yaml()
        again = load(yaml_tree(canonical))
    except SpecError as error:
        if _PLACE.match(str(error).removeprefix(f"{path.parent}/")):
            result.refused += 1
        else:
            result.offend("speechless", f"{which}: {error!s:.300}\n{text:.600}")
    except Exception as error:
        result.offend("raw", f"{which}: {type(error).__name__}: {error!s:.300}\n{text:.600}")
    else:
        said = yaml.load(text.removeprefix("\ufeff"), Loader=yaml.BaseLoader)
        found = differs(said, unstructure(made), path.parent)
        if found is None and again != made:
            found = "its canonical form is another spec"
        if found is None:
            result.accepted += 1
        else:
            result.offend("silent", f"{which}: {found}\n{text:.2000}")


def yaml_tree(text: str) -> dict[str, Any]:
    """A canonical form as the tree that it was read from."""
    reader = SpecReader()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.yaml"
        path.write_text(text, encoding="utf-8")
        root = reader.file(path)
    if root is None or reader.faults:
        raise AssertionError(f"a canonical form cannot be read: {reader.faults}")
    tree: dict[str, Any] = plain(root)
    return tree


def differs(said: Tree, meant: Tree, folder: Path, where: str = "") -> str | None:
    """Where something that a mutant says is not in its canonical form, or None.

    Args:
        said: as `BaseLoader` reads it: every scalar is text.
        meant: plain data with all options.
        folder: of the mutant; relative paths in it start there.
        where: the place, for the text returned.
    """
    if isinstance(said, dict):
        return _mapping_differs(said, meant, folder, where)
    if isinstance(said, list):
        if not isinstance(meant, list) or len(meant) != len(said):
            return f"{where} is a list of {len(said)}, but means {meant!r:.80}"
        pairs = enumerate(zip(said, meant, strict=True))
        return next((d for i, (a, b) in pairs if (d := differs(a, b, folder, f"{where}.{i}")) is not None), None)
    if (where, said) == (".training", "none"):  # of a solver that trains nothing; its settings are not used
        return None
    if isinstance(meant, dict):  # the name of a part, with all its options
        inner = next((meant[key] for key in ("problem", "solver") if key in meant), None)
        return None if meant.get("name") == said else _part_differs(inner, said, folder, where, meant)
    return None if _same(said, meant, folder) else f"{where} is {said!r:.80}, but means {meant!r:.80}"


def _part_differs(inner: Tree, said: Tree, folder: Path, where: str, meant: Tree) -> str | None:
    """As `differs` of an entry of a benchmark, whose part may stand for the whole."""
    return differs(said, inner, folder, where) if inner is not None else f"{where} is {said!r:.80}, not {meant!r:.80}"


def _mapping_differs(said: dict[str, Tree], meant: Tree, folder: Path, where: str) -> str | None:
    if not isinstance(meant, dict):
        return f"{where} is a mapping, but means {meant!r:.80}"
    if "name" in said and "name" not in meant:
        inner = next((meant[key] for key in ("problem", "solver") if key in meant), None)
        return _part_differs(inner, said, folder, where, meant)
    for key, value in said.items():
        if not where and (key == "extends" or (key == "name" and value in ("", "~", "null", "Null", "NULL"))):
            continue  # `name: null` is the name of the file
        if key not in meant and value in ("", "~", "null", "Null", "NULL"):
            continue  # nothing is said of a part's option, which stays as it is
        if key not in meant:
            return f"{where}.{key} is not in the canonical form"
        found = differs(value, meant[key], folder, f"{where}.{key}")
        if found is not None:
            return found
    return None


def _same(text: str, value: Tree, folder: Path) -> bool:
    """Whether a scalar that is written so can be that value, by the rules that the docs state."""
    if value is None:
        return text in ("", "~", "null", "Null", "NULL")
    if isinstance(value, bool):
        return text in (("true", "True", "TRUE") if value else ("false", "False", "FALSE"))
    if isinstance(value, int | float):
        digits = text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan")
        try:
            if re.fullmatch(r"[-+]?\d+", digits):
                return int(digits) == value if isinstance(value, int) else float(digits) == value
            return (int(digits, 0) if digits.startswith(("0x", "0o")) else float(digits)) == value
        except ValueError:
            return False
    return bool(text == value or str(folder / text) == value or str(folder / Path(text).expanduser()) == value)


def _mutant(tree: Tree, values: list[Tree], generator: random.Random) -> str:
    """A spec with one to three changes, of its structure or its text."""
    text = write_yaml(tree)
    for _ in range(generator.choice((1, 1, 1, 1, 1, 2, 3))):
        if generator.random() < 0.6:
            changed = _change(tree, values, generator)
            try:
                text = write_yaml(changed)
                tree = changed
            except yaml.YAMLError:  # numbers as keys and the like, which the writer refuses
                continue
        else:
            return _change_text(text, values, generator)
    return text


def _change(tree: Tree, values: list[Tree], generator: random.Random) -> Tree:
    """A copy with one value or key changed somewhere."""
    if not isinstance(tree, dict | list) or not tree:
        return _change_scalar(tree, values, generator)
    if generator.random() < 0.7:
        key = generator.choice(list(tree)) if isinstance(tree, dict) else generator.randrange(len(tree))
        copy = dict(tree) if isinstance(tree, dict) else list(tree)
        copy[key] = _change(tree[key], values, generator)
        return copy
    return _change_mapping(tree, values, generator) if isinstance(tree, dict) else _change_list(tree, values, generator)


def _change_scalar(value: Tree, values: list[Tree], generator: random.Random) -> Tree:
    """Another value of the same type, of any type, or an extreme one."""
    kind = generator.randrange(3)
    if kind == 0 and isinstance(value, bool):
        return not value
    if kind == 0 and isinstance(value, int) and abs(value) < 2**64:
        return generator.choice((value + 1, value - 1, value * 2, float(value)))
    if kind == 0 and isinstance(value, float) and math.isfinite(value):
        return generator.choice((value / 2, value * 1.1, round(value), value * 1e-30))
    alike = [other for other in values if type(other) is type(value)]
    return generator.choice(_EXTREMES if kind == 1 else values if kind == 2 or not alike else alike)


def _change_mapping(tree: dict[str, Tree], values: list[Tree], generator: random.Random) -> Tree:
    copy, key = dict(tree), generator.choice(list(tree))
    match generator.randrange(6):
        case 0:
            del copy[key]
        case 1:
            copy[_change_word(key, generator)] = copy.pop(key)
        case 2:
            copy[generator.choice(("nonsense", "name", "extends_", "tasks", "rank", "seed", ""))] = copy[key]
        case 3:
            copy[key] = [copy[key]]
        case 4:
            copy[key] = generator.choice(values)
        case _:
            other = generator.choice(list(tree))
            copy[key], copy[other] = copy[other], copy[key]
    return copy


def _change_list(tree: list[Tree], values: list[Tree], generator: random.Random) -> Tree:
    at = generator.randrange(len(tree))
    match generator.randrange(4):
        case 0:
            return tree[:at] + tree[at + 1 :]
        case 1:
            return [*tree, tree[at]]
        case 2:
            return [*tree[:at], generator.choice(values), *tree[at:]]
        case _:
            return tree[at]


def _change_word(word: str, generator: random.Random) -> str:
    at = generator.randrange(len(word) + 1)
    match generator.randrange(3):
        case 0:
            return word[:at] + word[at + 1 :]
        case 1:
            return word[:at] + generator.choice(_CHARACTERS) + word[at:]
        case _:
            return word[:at] + word[at : at + 2][::-1] + word[at + 2 :]


def _change_text(text: str, values: list[Tree], generator: random.Random) -> str:
    at, end = sorted(generator.randrange(len(text) + 1) for _ in range(2))
    lines = text.splitlines(keepends=True)
    line, other = generator.randrange(len(lines)), generator.randrange(len(lines))
    match generator.randrange(9):
        case 8:
            between = generator.choice(("# said\n", "\n", "---\n", "...\n", "%YAML 1.1\n"))
            return "".join([*lines[:line], between, *lines[line:]])
        case 0:
            return text[:at]
        case 1:
            return text[:at] + text[min(end, at + 30) :]
        case 2:
            return text[:at] + generator.choice(_CHARACTERS) + text[at:]
        case 3:
            return text[:at] + generator.choice(_CHARACTERS) + text[at + 1 :]
        case 4:
            return "".join([*lines[:line], lines[other], *lines[line:]])
        case 5:
            lines[line], lines[other] = lines[other], lines[line]
            return "".join(lines)
        case 6:
            lines[line] = generator.choice((" ", "  ", "\t", "- ", "? ", "&a ", "<<: ")) + lines[line]
            return "".join(lines)
        case _:
            return text[:at] + write_yaml(generator.choice(values)).strip() + text[at:]
