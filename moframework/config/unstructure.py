"""Objects back to plain data: what `structure` reads, `unstructure` writes, every option spelled out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from moframework.config.fields import options_of
from moframework.config.options import Component
from moframework.config.references import reference_to

__all__ = ["unstructure"]


def unstructure(value: object) -> Any:
    """Plain data (dict, list, str, bool, int, float, None) that `structure` turns back into an equal object.

    A part becomes `{"name": …}` (or `{"python": …}`) with all its options; a customized part becomes its base's mapping
    merged with the overrides that are given. Tuples become lists, paths become text.

    Raises:
        TypeError: something in `value` cannot be written in a spec.
        MoframeworkError: a part has neither a registered nor an importable name.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: unstructure(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [unstructure(item) for item in value]
    if isinstance(value, Component) and value.is_customization:
        return _customization(value)
    if attrs.has(type(value)):
        written: dict[str, Any] = dict(reference_to(type(value))) if isinstance(value, Component) else {}
        return written | {o.key: unstructure(getattr(value, o.name)) for o in options_of(type(value))}
    raise TypeError(f"{value!r} cannot be written in a spec")


def _customization(value: Component) -> dict[str, Any]:
    customized: Any = value  # by contract it has the fields `base` and `overrides`
    written: dict[str, Any] = unstructure(customized.base)
    for option in options_of(type(customized.overrides)):
        override = getattr(customized.overrides, option.name)
        if override is not None:
            written[option.key] = unstructure(override)
    return written
