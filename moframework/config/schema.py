"""JSON Schema (draft-07) of a config class, so that editors complete and check specs. The same walk as `structure`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import attrs

from moframework.config.fields import Option, is_interface, options_of
from moframework.config.options import Component
from moframework.config.unstructure import unstructure
from moframework.config.words import union_members
from moframework.errors import MoframeworkError

__all__ = ["Schema", "json_schema"]

Schema = dict[str, Any]

_SCALARS: dict[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    Path: {"type": "string"},
    type(None): {"type": "null"},
    Any: {},
}
_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
_PYTHON: Schema = {
    "type": "string",
    "pattern": "^.+:.+$",
    "description": "a class of your own: ./file.py:Class, or package.module:Class",
}


def json_schema(type_: type, *, partial: bool = False) -> Schema:
    """The schema of everything `structure(value, type_)` accepts, as far as JSON Schema can tell.

    A registered part is a definition, chosen by `if name is …`. A part that cannot be imported here is allowed with any
    options.

    Args:
        type_: a config class or a `Component` interface.
        partial: whether what is required may be missing, as in a spec that extends another.

    Returns:
        a draft-07 schema with `definitions`.
    """
    work = _Schemas(partial)
    root = work.of(type_)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **root,
        "definitions": dict(sorted(work.definitions.items())),
    }


class _Schemas:
    """One walk over types; each class met becomes a definition once."""

    def __init__(self, partial: bool) -> None:
        self.partial = partial
        self.definitions: dict[str, Schema] = {}
        self.names: dict[tuple[type, bool], str] = {}

    def of(self, type_: Any, bounds: Schema | None = None) -> Schema:
        """The schema of one type; `bounds` hold for the numbers in it."""
        if type_ in (int, float):
            return _SCALARS[type_] | (bounds or {})
        if type_ in _SCALARS:
            return dict(_SCALARS[type_])
        members = union_members(type_)
        if members is not None:
            return {"anyOf": [self.of(member, bounds) for member in members]}
        origin, arguments = get_origin(type_), get_args(type_)
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin is list or (origin is tuple and len(arguments) == 2 and arguments[1] is ...):
            return {"type": "array", "items": self.of(arguments[0], bounds)}
        if origin is tuple:
            items = [self.of(argument, bounds) for argument in arguments]
            fixed: Schema = {"type": "array", "minItems": len(items), "maxItems": len(items)}
            return fixed | ({"items": items} if items else {})
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(arguments[1], bounds)}
        if isinstance(type_, type) and issubclass(type_, Component):
            return self.interface(type_) if is_interface(type_) else self.leaf(type_)
        if isinstance(type_, type) and attrs.has(type_):
            return self.define(type_, type_.__name__, lambda: self.section(type_, {}))
        raise TypeError(f"an option of type {type_} cannot be written in a spec")

    def define(self, cls: type, name: str, make: Callable[[], Schema], *, named: bool = True) -> Schema:
        """A reference to the definition of `cls`, made on first sight; it may refer to itself."""
        key = (cls, named)
        if key not in self.names:
            while name in self.definitions:
                name = f"{cls.__module__}.{name}"
            self.names[key] = name
            self.definitions[name] = {}
            self.definitions[name] = make()
        return {"$ref": f"#/definitions/{self.names[key]}"}

    def section(self, cls: type, extra: Schema, required: tuple[str, ...] = ()) -> Schema:
        """An object with the options of `cls` and nothing else but `extra`."""
        options = options_of(cls)
        properties = extra | {option.key: self.option(option) for option in options}
        found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        if cls.__doc__:
            found["description"] = cls.__doc__.split("\n\n")[0].strip()
        needed = [*required, *(o.key for o in options if o.required and not self.partial)]
        return found | ({"required": needed} if needed else {})

    def option(self, option: Option) -> Schema:
        """The schema of one option, with its help, bounds and default."""
        bounds = {_BOUNDS[rule]: limit for rule, limit in option.field.metadata.get("bounds", {}).items()}
        default = option.default()
        found = self.of(option.type, bounds)
        if isinstance(default, Component) and self.adjusts(option.type, default):
            named = {"anyOf": [{"not": {"type": "object"}}, {"required": ["name"]}, {"required": ["python"]}]}
            found = {"if": named, "then": found, "else": self.part(type(default), None)}
        if "$ref" in found:  # draft-07 ignores what stands beside a reference
            found = {"allOf": [found]}
        if option.help:
            found["description"] = option.help
        if default is not attrs.NOTHING:
            with contextlib.suppress(TypeError, MoframeworkError):  # a default that no spec could write is not shown
                found["default"] = unstructure(default)
        return found

    def adjusts(self, type_: Any, default: Component) -> bool:
        """Whether a mapping without a name adjusts `default` here."""
        members = [m for m in union_members(type_) or (type_,) if isinstance(m, type) and issubclass(m, Component)]
        return any(isinstance(default, m) and is_interface(m) and m.unnamed is None for m in members)

    def interface(self, interface: type[Component]) -> Schema:
        """A part to be chosen: its name, or a mapping that says which part it is about."""
        name = interface.kind if "kind" in interface.__dict__ else f"{interface.kind}.{interface.__name__}"
        return self.define(interface, name, lambda: self.choice(interface))

    def choice(self, interface: type[Component]) -> Schema:
        loaded: dict[str, type[Component] | None] = {}
        for name in interface.names():
            try:
                cls = interface.lookup(name)
                options_of(cls)
            except MoframeworkError:  # a broken plug-in harms only itself
                loaded[name] = None
                continue
            if issubclass(cls, interface):
                loaded[name] = cls
        bare = [n for n, cls in loaded.items() if cls is None or not any(o.required for o in options_of(cls))]
        rules: list[Schema] = [{"if": {"type": "string"}, "then": {"enum": bare}}]
        for name, part in loaded.items():
            if part is not None:
                chosen = {"type": "object", "required": ["name"], "properties": {"name": {"const": name}}}
                rules.append({"if": chosen, "then": self.part(part, name)})
        neither = {"type": "object", "not": {"anyOf": [{"required": ["name"]}, {"required": ["python"]}]}}
        if interface.unnamed is not None:
            rules.append({"if": neither, "then": self.part(interface.unnamed, None)})
        elif not self.partial:
            rules.append({"if": neither, "then": {"required": ["name"]}})
        by_python = {
            "type": "object",
            "properties": {"python": _PYTHON},
            "required": ["python"],
            "additionalProperties": False,
        }
        return {
            "type": ["string", "object"],
            "description": f"a {interface.noun()}: its name, or a mapping with `name` and its options",
            "properties": {"name": {"anyOf": [{"enum": list(loaded)}, by_python]}, "python": _PYTHON},
            "allOf": rules,
        }

    def part(self, cls: type[Component], name: str | None) -> Schema:
        """The options of one part, with the key `name` or without."""
        interface = cls.interface()

        def make() -> Schema:
            extra: Schema = {} if name is None else {"name": {"const": name}}
            if name is not None and interface.overrides is not None:
                extra |= {option.key: self.option(option) for option in options_of(interface.overrides)}
            if name is not None:
                return self.section(cls, extra)
            partial, self.partial = self.partial, self.partial or cls is not interface.unnamed
            found = self.section(cls, extra)
            self.partial = partial
            return found

        label = f"{interface.kind}.{name}" if name is not None else f"{interface.kind}.{cls.__name__}.unnamed"
        return self.define(cls, label, make, named=name is not None)

    def leaf(self, cls: type[Component]) -> Schema:
        """One class that an option names itself: its options, with its name or without, or nothing but its name."""
        label = f"{cls.interface().kind}.{cls.__name__}"
        options = self.define(cls, label, lambda: self.section(cls, {"name": {"type": "string"}, "python": _PYTHON}))
        return {"anyOf": [options, {"type": "string"}]}
