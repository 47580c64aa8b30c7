"""A spec file, bundled name or mapping to a frozen object of any config class, or every fault with its position."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar, cast

from attrs import frozen

from moframework.config.fields import Option, options_of, unknown_key
from moframework.config.schema import Schema, json_schema
from moframework.config.structure import Fault, KeyPath, structure
from moframework.config.trust import Trust
from moframework.errors import SpecError
from moframework.io.missing_part import missing_part_told, run_of_spec
from moframework.spec.bundled import find_spec
from moframework.spec.extending import SpecReader
from moframework.spec.marks import Item, Located, locate, plain
from moframework.spec.overriding import override

__all__ = ["Other", "load", "schema_of"]

T = TypeVar("T")


@frozen
class Other:
    """Another kind of spec that is easily given in place of the one wanted."""

    keys: tuple[str, ...]
    """Of its root, or below it with dots; one of them, and none of `wanted`, tells it."""
    wanted: tuple[str, ...]
    message: str
    """What it is."""
    command: str
    """The command that takes it, without its argument."""
    function: str
    """The same in Python."""


def load(
    source: str | Path | Mapping[str, object],
    type_: type[T],
    overrides: Sequence[str] = (),
    *,
    expand: Callable[[Item], Item] = lambda root: root,
    further: Callable[[Item, T | None], list[Located]] = lambda root, made: [],
    other: Sequence[Other] = (),
    trust: Trust = False,
) -> T:
    """Load a spec into an object of `type_`.

    Args:
        source: a path, the name of a bundled spec, or the content as a mapping.
        type_: the config class of the root.
        overrides: `key.path=YAML` each, applied in order.
        expand: writes short spellings out; called before the overrides, which then find every section, and after them.
            It must leave what is already written out, or is not of the expected shape, as it is.
        further: finds faults that the types of options cannot show, in the expanded tree; it is also given the object,
            or None when that has faults. What is wrong at the same place with the same words is told once.
        other: what the file may be in place of a spec for `type_`; then that alone is told, the first that it is.
        trust: what may be imported where the spec names code by `python:`.

    Raises:
        SpecError: with every fault found, a line each, `file:line:column: key.path: what is wrong; what is allowed`,
            sorted by position; faults in a spec that is extended stand at their place in that file.
    """
    _check_given(source, overrides)
    reader = SpecReader()
    root = reader.mapping(source) if isinstance(source, Mapping) else reader.file(find_spec(source))
    faults: list[Fault] = []
    made: object = None
    if root is not None:
        for one in other:
            _refuse(root, one, source)
        root = expand(root)
        for text in overrides:
            root = override(root, text, reader)
        root = expand(root)
        if not reader.broken:
            made, faults = _structured(root, type_, trust)
            found = [Located(locate(root, f.path, on_key=f.on_key), f.path, f.message) for f in faults]
            told = {(fault.mark, fault.message) for fault in found}
            more = further(root, cast(T | None, made))
            reader.faults += found + [fault for fault in more if (fault.mark, fault.message) not in told]
    if reader.faults:
        unique = dict.fromkeys(_line(fault) for fault in sorted(reader.faults, key=lambda fault: fault.order))
        raise SpecError("\n".join(unique))
    return cast(T, made)


def _line(fault: Located) -> str:
    """A fault as it is told; of what is missing in the spec of a run, which package to install."""
    source = fault.mark.source
    run = run_of_spec(source.folder / Path(source.name).name) if source.name else None
    return str(fault) if run is None else missing_part_told(str(fault), run)


def schema_of(type_: type) -> Schema:
    """The JSON Schema (draft-07) of spec files for `type_`: its options, and `extends`.

    In a file that extends another nothing is required, since the other may have it.
    """
    whole, partial = json_schema(type_), json_schema(type_, partial=True)
    partial = json.loads(json.dumps(partial).replace('"#/definitions/', '"#/definitions/extending.'))
    definitions = whole["definitions"] | {f"extending.{name}": one for name, one in partial["definitions"].items()}
    text = {"type": "string"}
    extends = {
        "anyOf": [text, {"type": "array", "items": text}],
        "description": "spec to start from: a path relative to this file or a bundled name; of several, later ones win",
    }
    for root in (whole["$ref"], partial["$ref"]):
        definitions[root.removeprefix("#/definitions/")]["properties"]["extends"] = extends
    return {
        "$schema": whole["$schema"],
        "type": "object",
        "if": {"required": ["extends"]},
        "then": {"$ref": partial["$ref"]},
        "else": {"$ref": whole["$ref"]},
        "definitions": definitions,
    }


def _refuse(root: Item, other: Other, source: str | Path | Mapping[str, object]) -> None:
    found = next((path for key in other.keys if _has(root, path := tuple(key.split(".")))), None)
    if found is not None and not any(key in root.value for key in other.wanted):
        step = f"{other.function} takes it" if isinstance(source, Mapping) else f"run: {other.command} {source}"
        raise SpecError(str(Located(locate(root, found, on_key=True), found, f"{other.message}; {step}")))


def _has(item: Item, path: Sequence[str]) -> bool:
    """Whether something stands at a path of keys."""
    if not path:
        return True
    return isinstance(item.value, dict) and path[0] in item.value and _has(item.value[path[0]], path[1:])


def _check_given(source: object, overrides: object) -> None:
    """Raise `SpecError` for what is no spec, or no list of overrides."""
    if not isinstance(source, str | Path | Mapping):
        raise SpecError(f"a spec is a path, the name of a bundled one, or a mapping; {type(source).__name__} is none")
    if isinstance(overrides, str | Mapping):
        raise SpecError("overrides are a list of texts, each KEY=VALUE: ['training.epochs=5', 'solver.rank=4']")


def _structured(root: Item, type_: type, trust: Trust) -> tuple[object, list[Fault]]:
    def folder(path: KeyPath) -> Path:
        return locate(root, path).source.folder

    made, faults = structure(plain(root), type_, base=folder, trust=trust)
    return made, [_at_root(fault, options_of(type_)) for fault in faults]


def _at_root(fault: Fault, options: Sequence[Option]) -> Fault:
    """An unknown key of the root may also have been meant as `extends`, which `structure` knows nothing of."""
    if fault.on_key and len(fault.path) == 1:
        return Fault(fault.path, unknown_key(options, str(fault.path[0]), more=["extends"]), on_key=True)
    return fault
