"""Frozen option classes: `config` makes one, `option` declares a field with its default, bounds and help."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, dataclass_transform

import attrs

__all__ = ["Component", "OptionError", "config", "option"]

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

    def __init_subclass__(cls, kind: str | None = None, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if kind is not None:
            cls.kind = kind


def option(
    default: Any = attrs.NOTHING,
    *,
    help: str,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    factory: Callable[[], Any] | None = None,
) -> Any:
    """A field of an option class.

    Args:
        default: the value when the spec says nothing; without it (and without `factory`) the option is required.
        help: one line for the reader of a spec; docs and JSON Schema repeat it.
        gt, ge, lt, le: bounds of a number, or of each number in a list; None is not checked.
        factory: called for a default that is an object.
    """
    bounds = {k: v for k, v in {"gt": gt, "ge": ge, "lt": lt, "le": le}.items() if v is not None}
    if factory is not None:
        default = attrs.Factory(factory)
    return attrs.field(default=default, metadata={"help": help, "bounds": bounds}, validator=_check_bounds)


_COMPARE: dict[str, tuple[Callable[[Any, float], bool], str]] = {
    "gt": (lambda v, b: v > b, "greater than"),
    "ge": (lambda v, b: v >= b, "at least"),
    "lt": (lambda v, b: v < b, "less than"),
    "le": (lambda v, b: v <= b, "at most"),
}


def _check_bounds(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    numbers = value if isinstance(value, tuple | list) else (value,)
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float):
            continue
        if number != number:
            raise OptionError(f"{attribute.name} must be a number, but it is nan", attribute.name)
        for name, bound in attribute.metadata["bounds"].items():
            holds, words = _COMPARE[name]
            if not holds(number, bound):
                rules = " and ".join(f"{_COMPARE[k][1]} {b:g}" for k, b in attribute.metadata["bounds"].items())
                raise OptionError(f"{attribute.name} must be {rules}, but it is {number:g}", attribute.name)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
def config(cls: type[T]) -> type[T]:
    """Make `cls` an option class: frozen, keyword-only, equal by value. Rules between fields go into `__attrs_post_init__`,
    raising `OptionError(message, key)`.

    >>> @config
    ... class Example:
    ...     rank: int = option(4, ge=1, help="rank of the adapters")
    >>> Example(rank=2)
    Example(rank=2)
    """
    return attrs.define(cls, frozen=True, kw_only=True, slots=False)
