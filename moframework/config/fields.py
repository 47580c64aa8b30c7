"""The options of a config class: key, type, default and help of each."""

from __future__ import annotations

import functools
import inspect
import typing
from typing import Any

import attrs

from moframework.config.options import Component
from moframework.errors import MoframeworkError

__all__ = ["Option", "is_config", "is_interface", "options_of"]


@attrs.frozen
class Option:
    """One option of a config class."""

    key: str
    """How a spec spells it."""
    name: str
    """The attribute on the object."""
    type: Any
    """Its resolved annotation."""
    field: attrs.Attribute[Any]
    """The attrs field: validator, metadata, default."""

    @property
    def required(self) -> bool:
        """Whether a spec must give it."""
        return self.field.default is attrs.NOTHING

    @property
    def help(self) -> str:
        """The line for the reader of a spec."""
        return str(self.field.metadata.get("help", ""))

    def default(self) -> Any:
        """The value when a spec says nothing; `attrs.NOTHING` for a required option."""
        made: Any = self.field.default
        is_factory = isinstance(made, attrs.Factory)  # type: ignore[arg-type]  # a class, though its stub is a function
        return made.factory() if is_factory else made


def is_config(type_: object) -> bool:
    """Whether `type_` is a class made with `config`."""
    return isinstance(type_, type) and attrs.has(type_)


def is_interface(type_: type[Component]) -> bool:
    """Whether a spec chooses among several parts for `type_`, rather than this one class being meant."""
    return "kind" in type_.__dict__ or inspect.isabstract(type_)


def options_of(cls: Any) -> tuple[Option, ...]:
    """The options of a config class, in the order of declaration.

    Raises:
        MoframeworkError: an annotation cannot be resolved, or an option is called as something a spec reserves.
    """
    return _options_of(cls)


@functools.cache
def _options_of(cls: Any) -> tuple[Option, ...]:
    try:
        hints = typing.get_type_hints(cls)
    except (NameError, TypeError, AttributeError) as error:
        raise MoframeworkError(
            f"the annotations of {cls.__module__}.{cls.__qualname__} cannot be resolved ({error}): "
            "import the types of options at the top of the module, not under TYPE_CHECKING"
        ) from error
    found = tuple(
        Option(field.alias, field.name, hints.get(field.name, field.type), field)
        for field in attrs.fields(cls)
        if field.init
    )
    reserved = {"name", "python"} & {o.key for o in found} if issubclass(cls, Component) else set()
    if reserved:
        raise MoframeworkError(
            f"{cls.__module__}.{cls.__qualname__} has an option called '{reserved.pop()}', "
            "but in a spec that key chooses the part"
        )
    return found
