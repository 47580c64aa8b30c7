"""Plain data to option objects: strict, and every fault found is reported, not only the first."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

import attrs

from moframework.blame import line_of
from moframework.config import registry
from moframework.config.fields import Option, is_config, is_interface, options_of, unknown_key
from moframework.config.options import Component, OptionError, check_bounds, full_name
from moframework.config.references import Reference, remember
from moframework.config.reinstall import reinstall_hint
from moframework.config.trust import Trust, part_of_reference
from moframework.config.unstructure import unstructure
from moframework.config.words import allowed, article, expected, shown, suggestion, union_members
from moframework.errors import MoframeworkError, SpecError, shortened
from moframework.io.paths import path_fault

__all__ = ["Fault", "build", "structure", "unstructure", "where"]

T = TypeVar("T")
KeyPath = tuple[str | int, ...]
Base = Path | Callable[[KeyPath], Path] | None


@attrs.frozen
class Fault:
    """One thing wrong with a value."""

    path: KeyPath
    """Keys and list positions that lead to it; `()` is the value itself. The last key may be one that is missing."""
    message: str
    """What is wrong; what is allowed; the nearest valid name."""
    on_key: bool = False
    """Whether the key is at fault rather than its value."""

    def __str__(self) -> str:
        return f"{where(self.path)}: {self.message}" if self.path else self.message


def where(path: KeyPath) -> str:
    """A path as messages show it, dots between its keys."""
    return ".".join(shortened(str(key)) for key in path)


class _Failed:
    """What stands for a value that could not be made; the reason is among the faults."""


_FAILED = _Failed()
_TOLD = 50  # unknown keys of one mapping: the nearest name of each takes time, and nobody reads them all


def structure(value: object, type_: Any, *, base: Base = None, trust: Trust = False) -> tuple[Any, list[Fault]]:
    """Make an object of `type_` from plain data.

    Understood types: bool, int, float (also written as a whole number), str, Path, None, `Literal`, unions,
    `tuple[X, ...]`, `tuple[X, Y]`, `list[X]`, `dict[str, X]`, config classes, `Component` interfaces and leaves, and
    `Any` (left as it is). Nothing is coerced: "4", True and 3.7 are not whole numbers. Objects already made are taken
    as they are.

    Where an option takes a part or a mapping of names to parts, a mapping whose values are parts is the latter.

    A part is its name or a mapping with `name` and options; `python: ./file.py:Class` in place of `name` takes a class
    that is not registered. A mapping without `name` is the interface's unnamed part where there is one; elsewhere it
    adjusts the default part of the option.

    Args:
        value: dicts, lists and scalars.
        type_: what to make.
        base: folder that relative paths start from, or a function from a key path to that folder; None leaves them
            relative.
        trust: what may be imported where `value` names code by `python:`; see `moframework.config.trust.Trust`.

    Returns:
        the object and no faults, or None and all faults.
    """
    work = _Structure(base, trust)
    made = work.make(value, type_, (), None)
    return (None if work.faults else made), work.faults


def build(type_: type[T], value: object, base: Path | None = None, *, trust: Trust = False) -> T:
    """Make an object of `type_` from plain data. Arguments as of `structure`.

    Raises:
        SpecError: listing every fault, a line each.

    >>> from moframework.config import config, option
    >>> @config
    ... class Example:
    ...     rank: int = option(4, ge=1, help="rank of the adapters")
    >>> build(Example, {"rank": 2})
    Example(rank=2)
    """
    made, faults = structure(value, type_, base=base, trust=trust)
    if faults:
        raise SpecError("\n".join(str(fault) for fault in faults))
    return cast(T, made)


class _Structure:
    """One walk over a value: the folder of relative paths, what is trusted, and the faults found so far."""

    def __init__(self, base: Base, trust: Trust) -> None:
        self.base = base
        self.trust = trust
        self.faults: list[Fault] = []

    def fail(self, path: KeyPath, message: str, *, on_key: bool = False) -> _Failed:
        self.faults.append(Fault(path, message, on_key))
        return _FAILED

    def folder(self, path: KeyPath) -> Path | None:
        return self.base(path) if callable(self.base) else self.base

    def make(self, value: object, type_: Any, path: KeyPath, default: object) -> Any:
        """The object, or `_FAILED` with the faults recorded. `default` is what a mapping without a name adjusts."""
        if type_ is Any:
            return value
        if union_members(type_) is not None:
            return self.union(value, type_, path, default)
        origin = get_origin(type_)
        if origin is tuple or origin is list:
            return self.sequence(value, type_, path)
        if origin is dict:
            return self.mapping(value, type_, path)
        if isinstance(type_, type) and issubclass(type_, Component):
            return self.component(value, type_, path, default)
        if is_config(type_):
            return self.section(value, type_, path, default)
        return self.scalar(value, type_, path)

    def scalar(self, value: object, type_: Any, path: KeyPath) -> Any:
        if get_origin(type_) is Literal:
            choices = get_args(type_)
            for choice in choices:
                if type(choice) is type(value) and choice == value:
                    return choice
            return self.mismatch(value, type_, path)
        if type_ is Path and isinstance(value, str | Path):
            fault = path_fault(value)
            if fault is not None:
                return self.fail(path, f"must be a path, but {shown(str(value))} is none: {fault}")
            found, folder = Path(value).expanduser(), self.folder(path)
            return found if folder is None else _tidy(folder / found)
        if type_ is float and type(value) is int:
            try:
                return float(value)
            except OverflowError:
                return self.fail(path, f"must be a number, but {shown(value)} is too large for one")
        if type_ in (bool, int, float, str, type(None)):
            return value if type(value) is type_ else self.mismatch(value, type_, path)
        if type_ is Path:
            return self.mismatch(value, type_, path)
        raise TypeError(f"an option of type {type_} cannot be written in a spec")

    def mismatch(self, value: object, type_: Any, path: KeyPath) -> _Failed:
        return self.fail(path, f"must be {expected(type_)}, but it is {shown(value)}{suggestion(value, type_)}")

    def union(self, value: object, type_: Any, path: KeyPath, default: object) -> Any:
        members = _apart(value, union_members(type_) or ())
        # A whole number is an int before it is a float, whichever comes first in the union.
        exact = [member for member in members if member is type(value)]
        fitting: list[list[Fault]] = []
        for member in [*exact, *(m for m in members if m not in exact)]:
            before, self.faults = self.faults, []
            made = self.make(value, member, path, default)
            found, self.faults = self.faults, before
            if not found:
                return made
            if _has_shape(value, member):
                fitting.append(found)
        if len(fitting) == 1:
            self.faults.extend(fitting[0])
            return _FAILED
        return self.mismatch(value, type_, path)

    def sequence(self, value: object, type_: Any, path: KeyPath) -> Any:
        if not isinstance(value, list | tuple):
            return self.mismatch(value, type_, path)
        origin, arguments = get_origin(type_), get_args(type_)
        if origin is list or (len(arguments) == 2 and arguments[1] is ...):
            types: tuple[Any, ...] = (arguments[0],) * len(value)
        elif arguments == ((),) or len(arguments) == len(value):
            types = arguments
        else:
            return self.fail(path, f"must be {expected(type_)}, but it has {len(value)}")
        made = [self.make(item, t, (*path, i), None) for i, (item, t) in enumerate(zip(value, types, strict=True))]
        if any(item is _FAILED for item in made):
            return _FAILED
        return made if origin is list else tuple(made)

    def mapping(self, value: object, type_: Any, path: KeyPath) -> Any:
        if not isinstance(value, Mapping):
            return self.mismatch(value, type_, path)
        made = {}
        for key, item in value.items():
            if not isinstance(key, str):
                self.fail((*path, str(key)), f"a key here must be text, but it is {shown(key)}; quote it", on_key=True)
            made[key] = self.make(item, get_args(type_)[1], (*path, str(key)), None)
        return _FAILED if any(item is _FAILED for item in made.values()) else made

    def section(self, value: object, cls: type, path: KeyPath, default: object) -> Any:
        """A config class that is no part: a mapping of its options; `default`, if any, has those not given."""
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            return self.fail(path, f"must be a mapping of options ({_keys(cls)}), but it is {shown(value)}")
        given = self.keys(value, path, options_of(cls))
        return self.options(given, cls, path, default if type(default) is cls else None)

    def component(self, value: object, interface: type[Component], path: KeyPath, default: object) -> Any:
        if isinstance(value, interface):
            return value
        if isinstance(value, str):
            cls = self.named(value, interface, path)
            return _FAILED if cls is None else self.options({}, cls, path, None)
        if not isinstance(value, Mapping):
            return self.mismatch(value, interface, path)
        cls, default = self.chosen(value, interface, path, default)
        if cls is None:
            return _FAILED
        rest = {key: item for key, item in value.items() if key not in ("name", "python")}
        own = [o.key for o in options_of(cls)]
        over = [o.key for o in options_of(interface.overrides)] if interface.overrides is not None else []
        over = [key for key in over if key not in own] if cls is not cls.unnamed else []
        before = len(self.faults)
        shared = options_of(interface.overrides) if over else ()
        rest = self.keys(rest, path, [*options_of(cls), *(o for o in shared if o.key in over)])
        part = self.options({k: v for k, v in rest.items() if k in own}, cls, path, default)
        changes = {k: v for k, v in rest.items() if k in over}
        if not changes or interface.overrides is None:
            return part
        overrides = self.options(changes, interface.overrides, path, None)
        if part is _FAILED or overrides is _FAILED or len(self.faults) > before:
            return _FAILED
        if all(getattr(overrides, o.name) == o.default() for o in options_of(interface.overrides)):
            return part  # `tasks: null` changes nothing
        return self.attempt(lambda: part.customized(overrides), path)

    def chosen(
        self, value: Mapping[Any, Any], interface: type[Component], path: KeyPath, default: object
    ) -> tuple[type[Component] | None, object]:
        """The class a mapping is about, and the object it adjusts."""
        if "name" in value and "python" in value:
            self.fail((*path, "python"), "give `name` or `python`, not both", on_key=True)
            return None, None
        if "python" in value:
            return self.referenced(value["python"], interface, (*path, "python")), None
        if "name" in value:
            name = value["name"]
            if isinstance(name, Mapping):
                if set(name) != {"python"}:
                    self.fail(
                        (*path, "name"), f"must be a name, or {{python: ./file.py:Class}}; {_names(interface, None)}"
                    )
                    return None, None
                return self.referenced(name["python"], interface, (*path, "name", "python")), None
            if not isinstance(name, str):
                wanted = article(interface.noun())
                text = f"must be the name of {wanted}, but it is {shown(name)}; {_names(interface, None)}"
                self.fail((*path, "name"), text)
                return None, None
            return self.named(name, interface, (*path, "name")), None
        if not is_interface(interface):
            return interface, default if type(default) is interface else None
        if interface.unnamed is not None:
            return interface.unnamed, default if type(default) is interface.unnamed else None
        if isinstance(default, interface) and not default.is_customization:
            return type(default), default
        self.fail((*path, "name"), f"is missing: which {interface.noun()}? {_names(interface, None)}")
        return None, None

    def named(self, name: str, interface: type[Component], path: KeyPath) -> type[Component] | None:
        if not interface.offers(name):
            self.fail(path, interface.unavailable() or _unknown(interface, name))
            return None
        try:
            cls = interface.interface().lookup(name)
            options_of(cls)
        except MoframeworkError as error:
            self.fail(path, str(error))
            return None
        if not issubclass(cls, interface):  # `interface` is narrower than the kind, or one class of it
            self.fail(path, f"'{name}' cannot be used here: it must be {interface.__name__}")
            return None
        remember(cls, {"name": name})
        return cls

    def referenced(self, reference: object, interface: type[Component], path: KeyPath) -> type[Component] | None:
        if not isinstance(reference, str):
            self.fail(path, f"must be ./file.py:Class or package.module:Class, but it is {shown(reference)}")
            return None
        try:
            named = Reference.read(reference, self.folder(path))
            cls = part_of_reference(named, interface, self.trust, ".".join(str(key) for key in path))
            options_of(cls)
        except MoframeworkError as error:
            self.fail(path, str(error))
            return None
        return cls

    def keys(self, value: Mapping[Any, Any], path: KeyPath, options: Sequence[Option]) -> dict[str, Any]:
        """The known keys of `value`; the others become faults."""
        known = [option.key for option in options]
        unknown = [key for key in value if key not in known]
        for key in unknown[:_TOLD]:
            self.fail((*path, str(key)), unknown_key(options, str(key), path), on_key=True)
        if len(unknown) > _TOLD:
            self.fail(path, f"has {len(unknown) - _TOLD:,} more unknown keys")
        return {key: item for key, item in value.items() if key in known}

    def options(self, given: Mapping[str, Any], cls: type, path: KeyPath, default: object) -> Any:
        """An object of `cls`: each option made and its rule tried alone, so that all faults show; then the whole."""
        made: dict[str, Any] = {}
        for option in options_of(cls):
            preset = option.default() if default is None else getattr(default, option.name)
            if option.key in given:
                made[option.key] = self.checked(given[option.key], option, (*path, option.key), preset)
            elif default is not None:
                made[option.key] = preset
            elif option.required and not self.misspelt(option.key, path):
                help_ = f" ({option.help})" if option.help else ""
                made[option.key] = self.fail(
                    (*path, option.key), f"is missing; it must be {expected(option.type)}{help_}"
                )
            elif option.required:
                made[option.key] = _FAILED
        if any(item is _FAILED for item in made.values()):
            return _FAILED
        broken = None if default is not None else _broken_default(cls, given)
        return self.attempt(lambda: cls(**made), path) if broken is None else self.fail(path, broken)

    def misspelt(self, key: str, path: KeyPath) -> bool:
        """Whether a fault already proposes `key` for an unknown one beside it: one slip is told once."""
        hint = f"; did you mean '{key}'? "
        return any(f.on_key and f.path[:-1] == path and hint in f.message for f in self.faults)

    def checked(self, value: object, option: Option, path: KeyPath, preset: object) -> Any:
        before = len(self.faults)
        made = self.make(value, option.type, path, preset)
        validator = option.field.validator
        if made is _FAILED or validator is None:
            return made
        each = made if validator is check_bounds and isinstance(made, tuple | list) else None
        for at, item in [(path, made)] if each is None else [((*path, i), item) for i, item in enumerate(each)]:
            try:
                validator(cast(Any, None), option.field, item)
            except (ValueError, TypeError) as error:
                self.fail(at, str(error).removeprefix(f"{option.name} "))
            except AttributeError:
                pass  # a validator that looks at the whole object runs when that is made
        return made if len(self.faults) == before else _FAILED

    def attempt(self, make: Callable[[], Any], path: KeyPath) -> Any:
        """What `make` returns; a rule it finds broken becomes a fault at the option it names."""
        try:
            return make()
        except OptionError as error:
            if error.key is None:
                return self.fail(path, error.message)
            keys = [int(key) if key.isdecimal() else key for key in error.key.split(".")]
            return self.fail((*path, *keys), error.message.removeprefix(f"{error.key} "))
        except (ValueError, TypeError) as error:
            return self.fail(path, str(error))
        except MoframeworkError as error:  # of what it was made from: its place is here
            return self.fail(path, str(error).removeprefix(f"{'.'.join(str(key) for key in path)}: "))
        except Exception as error:
            line = line_of(error)
            if not line:
                raise
            return self.fail(path, f"making it fails: {type(error).__name__}: {error}{line}")


def _apart(value: object, members: tuple[Any, ...]) -> tuple[Any, ...]:
    """The members of a union, without the one that a mapping is not meant for: a part, or names with a part each. One
    with `name` or `python` is a part, and so is one of which no value looks like a part."""
    parts = [m for m in members if isinstance(m, type) and issubclass(m, Component)]
    named = [m for m in members if get_origin(m) is dict and get_args(m)[1] in parts]
    if not named or not isinstance(value, Mapping):
        return members
    names = parts[0].names()
    several = not {"name", "python"} & value.keys() and (
        not value
        or any(isinstance(v, Mapping | Component) or (isinstance(v, str) and v in names) for v in value.values())
    )
    return tuple(m for m in members if m not in (parts if several else named))


def _has_shape(value: object, type_: Any) -> bool:
    """Whether `value` looks like an attempt at `type_`, so that its faults in detail help."""
    origin = get_origin(type_)
    if origin in (tuple, list):
        return isinstance(value, list | tuple)
    if origin is dict or (is_config(type_) and not issubclass(type_, Component)):
        return isinstance(value, Mapping)
    if isinstance(type_, type) and issubclass(type_, Component):
        return isinstance(value, str | Mapping)
    return False


def _broken_default(cls: type, given: Collection[str]) -> str | None:
    """What to say of a default of a class that breaks its own bound, where the spec does not give that option: the
    author of the class is at fault, and not who wrote the spec."""
    for option in options_of(cls):
        if option.key in given or option.required or option.field.validator is not check_bounds:
            continue
        try:
            check_bounds(None, option.field, option.default())
        except OptionError as error:
            return f"the default of the option '{option.key}' of {full_name(cls)} breaks its own rule: {error.message}"
    return None


def _tidy(path: Path) -> Path:
    """The path without `..`, where it leads to the same file then: behind a link to a folder it may not."""
    short = Path(os.path.normpath(path)) if ".." in path.parts else path
    return short if short is path or short.resolve() == path.resolve() else path


def _keys(cls: type) -> str:
    return ", ".join(option.key for option in options_of(cls))


def _unknown(interface: type[Component], name: str) -> str:
    """What to say of a name that no part has: the nearest one, all names, and when installing again would help."""
    names, more = _names(interface, name), interface.further()
    # Parts of other kinds (torch's optimizers) cannot be added by anyone's package.
    known = "did you mean" in names or interface.kind not in registry.kinds()
    return (
        f"no {interface.noun()} called '{shortened(name)}'; {names}{reinstall_hint(interface.kind, name, guess=known)}"
        f"{f'; {more}' if more else ''}"
    )


def _names(interface: type[Component], found: str | None) -> str:
    return allowed(interface.names(), found)
