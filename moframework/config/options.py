"""Frozen option classes: `config` makes one, `option` declares a field with its default, bounds and help."""

from __future__ import annotations

import inspect
import re
import sys
from abc import ABC
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, dataclass_transform

import attrs

from moframework.config import registry
from moframework.config.reinstall import reinstall_hint
from moframework.errors import MoframeworkError, UnknownNameError

__all__ = ["OF_FILE", "WIDEST", "Component", "OptionError", "check_bounds", "config", "full_name", "option"]

WIDEST = 2**20
"""Bound of options that say how wide a layer is, or the like: five times the vocabularies of large language models.
Whether a network of that size fits into memory is told when it is made."""

T = TypeVar("T")


class OptionError(ValueError):
    """An option's value breaks a rule. `key` is the option at fault, when the rule concerns more than one field."""

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.key = key


class Component(ABC):
    """A part that a spec can choose by name: the base of every plug-in interface.

    An interface (`Schedule`, `Loss`, …) names its registry kind and is abstract; what is registered is a leaf, made
    with `config`, whose fields are its options::

        class Schedule(Component, kind="schedules"): ...

        @config
        class Dirichlet(Schedule):
            concentration: float = option(1.0, gt=0, help="all m parameters of the Dirichlet distribution")

    In a spec it is written `dirichlet`, or `{name: dirichlet, concentration: 2}`.
    """

    kind: ClassVar[str]
    """The registry's name for all parts behind this interface: `schedules`."""

    unnamed: ClassVar[type[Component] | None] = None
    """Class data of an interface: the part meant when a spec's mapping has no `name`."""

    overrides: ClassVar[type | None] = None
    """Class data of an interface: a config class whose keys may stand beside the named part's own options. When any of
    them is given, the part is replaced by `part.customized(overrides)`. Where a part has an option of the same name,
    the key is that option."""

    is_customization: ClassVar[bool] = False
    """True for what `customized` returns: a part with the fields `base` and `overrides`."""

    def __init_subclass__(cls, kind: str | None = None, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if kind is not None:
            cls.kind = kind

    returns: ClassVar[type | None] = None
    """Class data of an interface that plain functions can stand for: what such a function returns. One that is
    annotated so declares itself; see `moframework.config.declaring.part`."""

    @classmethod
    def interface(cls) -> type[Component]:
        """The class that named the registry kind: `Schedule` for `Dirichlet`."""
        return next((base for base in cls.__mro__ if "kind" in base.__dict__), cls)

    @classmethod
    def noun(cls) -> str:
        """What one such part is called in a message: `weight space` for the interface `WeightSpaceConfig`."""
        name = cls.interface().__name__.removesuffix("Config")
        return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).lower()

    @classmethod
    def unavailable(cls) -> str | None:
        """Where the names come from a package that is not installed: a sentence that says so, and what installs it."""
        return None

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """All names a spec may give, sorted. Imports nothing."""
        return tuple(entry.name for entry in registry.entries(cls.kind)) if cls.kind in registry.kinds() else ()

    @classmethod
    def offers(cls, name: str) -> bool:
        """Whether there is a part of this name. Where finding all names is slow, an interface answers without."""
        return name in cls.names()

    @classmethod
    def further(cls) -> str | None:
        """Where some names come from a package that is not installed: what to say of an unknown one, as the end of a
        sentence."""
        return None

    @classmethod
    def lookup(cls, name: str) -> type[Component]:
        """The part called `name`.

        Raises:
            UnknownNameError: nothing has that name; the text proposes the nearest.
            MoframeworkError: it cannot be imported, or is not such a part.
        """
        if cls.kind not in registry.kinds():
            raise UnknownNameError(
                f"no {cls.noun()} called '{name}': none is registered{reinstall_hint(cls.kind, name)}"
            )
        entry = registry.find(cls.kind, name)
        return cls.adopt(entry.load(), f"{entry.target} (package '{entry.package}')")

    @classmethod
    def adopt(cls, found: object, origin: str) -> type[Component]:
        """`found` as a part behind this interface: the class itself after checks, or a class around a plain function
        or, where the interface says how, around another object.

        Args:
            found: what a registry entry or a `python:` reference led to.
            origin: where it comes from, for the message.

        Raises:
            MoframeworkError: it is no such part; the text says what is missing.
        """
        if not isinstance(found, type) or cls.is_function(found):
            key = (cls.interface(), id(found))
            if key not in _ADOPTED:
                if isinstance(found, cls):
                    made = cls.from_object(found)
                elif callable(found):
                    made = cls.from_function(found)
                else:
                    raise MoframeworkError(
                        f"{origin} is neither a class nor a function, so it cannot be a {cls.noun()}"
                    )
                _ADOPTED[key] = (found, made)
            return _ADOPTED[key][1]
        if not issubclass(found, cls):
            raise MoframeworkError(f"{origin} is not a {cls.noun()}: it must derive from {full_name(cls)}")
        if inspect.isabstract(found):
            missing = ", ".join(sorted(found.__abstractmethods__))
            raise MoframeworkError(f"{origin} cannot be used as a {cls.noun()}: it does not define {missing}")
        if "__attrs_attrs__" not in found.__dict__:
            raise MoframeworkError(f"{origin} has no options: decorate the class with @moframework.config.config")
        return found

    @classmethod
    def from_function(cls, function: Callable[..., Any]) -> type[Component]:
        """A class around a plain function, for the interfaces that can be given as one.

        The class is made once for each function. `moframework.config.options_class` turns the keyword parameters of
        the function into options.

        Raises:
            MoframeworkError: always, unless the interface says how.
        """
        raise MoframeworkError(
            f"a {cls.noun()} cannot be given as a function ('{getattr(function, '__name__', function)}'): "
            f"write a class that derives from {full_name(cls.interface())}"
        )

    @classmethod
    def is_function(cls, found: type) -> bool:
        """Whether a class of another kind is to be taken as a function that makes objects of it; False unless the
        interface says so."""
        return False

    @classmethod
    def from_object(cls, found: Component) -> type[Component]:
        """A class without options around a part that is made already, for the interfaces that can be given as one.

        Raises:
            MoframeworkError: always, unless the interface says how.
        """
        raise MoframeworkError(
            f"a {cls.noun()} cannot be given as an object: name its class, {full_name(type(found))}, "
            "and write its options beside it"
        )

    @classmethod
    def arranged(cls, fields: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
        """The fields that `config` makes the options of this class from, inherited ones first: an interface whose parts
        share options may put these in another order, or give them other defaults."""
        return fields

    def customized(self, overrides: Any) -> Component:
        """This part with `overrides` (an object of the interface's `overrides` class) applied over it.

        Raises:
            OptionError: what is overridden does not fit this part; `key` is the option at fault.
        """
        raise OptionError(f"nothing of a {self.noun()} can be overridden: {overrides}")


# By identity; what is adopted is kept, so that its identity is never another's.
_ADOPTED: dict[tuple[type[Component], int], tuple[object, type[Component]]] = {}


def full_name(cls: type) -> str:
    """A class as a message names it: `package.module.Class`, or `file.py: Class` where it came by path."""
    if cls.__module__.startswith(OF_FILE):
        return f"{getattr(sys.modules.get(cls.__module__), '__file__', None) or 'a file'}: {cls.__qualname__}"
    return f"{cls.__module__}.{cls.__qualname__}"


OF_FILE = "moframework_file_"
"""What the names of modules begin with that were read from a file."""


def option(
    default: Any = attrs.NOTHING,
    *,
    help: str,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    factory: Callable[[], Any] | None = None,
    key: str | None = None,
) -> Any:
    """A field of an option class.

    Args:
        default: the value when the spec says nothing; without it (and without `factory`) the option is required.
        help: one line for the reader of a spec; docs and JSON Schema repeat it.
        gt, ge, lt, le: bounds of a number, or of each number in a list; None is not checked.
        factory: called for a default that is an object.
        key: what a spec, and a call, names it, where the class has another use for that name; none: as the field.
    """
    bounds = {k: v for k, v in {"gt": gt, "ge": ge, "lt": lt, "le": le}.items() if v is not None}
    if factory is not None:
        default = attrs.Factory(factory)
    return attrs.field(default=default, metadata={"help": help, "bounds": bounds}, validator=check_bounds, alias=key)


_COMPARE: dict[str, tuple[Callable[[Any, float], bool], str]] = {
    "gt": (lambda v, b: v > b, "greater than"),
    "ge": (lambda v, b: v >= b, "at least"),
    "lt": (lambda v, b: v < b, "less than"),
    "le": (lambda v, b: v <= b, "at most"),
}


def check_bounds(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """The validator of every `option`: numbers, alone or in a list, keep the bounds and are not nan, and whole ones
    have 64 bits.

    Raises:
        OptionError: naming the option, the rule and the number found.
    """
    numbers = value if isinstance(value, tuple | list) else (value,)
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float):
            continue
        if isinstance(number, int) and not -_WHOLE <= number < _WHOLE:
            raise OptionError(
                f"{attribute.alias} must be a whole number of 64 bits, but it is {_written(number)}", attribute.alias
            )
        if number != number:
            raise OptionError(f"{attribute.alias} must be a number, but it is nan", attribute.alias)
        for name, bound in attribute.metadata["bounds"].items():
            holds, _ = _COMPARE[name]
            if not holds(number, bound):
                rules = " and ".join(f"{_COMPARE[k][1]} {_written(b)}" for k, b in attribute.metadata["bounds"].items())
                raise OptionError(f"{attribute.alias} must be {rules}, but it is {_written(number)}", attribute.alias)


_WHOLE = 2**63  # what torch and numpy count with; beyond it they raise errors of their own


def _written(number: float) -> str:
    """A number in a message: short, and whatever its size."""
    try:
        return f"{number:g}"
    except OverflowError:
        return f"a whole number of {int(number).bit_length():,} bits"


# `option` is no field specifier here: type checkers would then take every default given by position for a missing one.
@dataclass_transform(frozen_default=True, kw_only_default=True)
def config(cls: type[T]) -> type[T]:
    """Make `cls` an option class: frozen, keyword-only, equal by value.

    Rules between fields go into `__attrs_post_init__`, raising `OptionError(message, key)`.

    >>> @config
    ... class Example:
    ...     rank: int = option(4, ge=1, help="rank of the adapters")
    >>> Example(rank=2)
    Example(rank=2)
    """
    return attrs.define(cls, frozen=True, kw_only=True, slots=False, field_transformer=_arranged)


def _arranged(cls: type, fields: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
    return cls.arranged(fields) if issubclass(cls, Component) else fields
