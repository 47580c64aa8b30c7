"""Specs: YAML text to frozen objects, with a position for everything that is wrong.

`reading` parses, `extending` merges what a spec extends, `overriding` applies `--set`, `loading` makes the object or
reports all faults, `spec` holds the root class. What must not live here: what an option means (that is its own class's
business), and the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moframework.spec.bundled import bundled_specs, find_spec, specs_folder

if TYPE_CHECKING:
    from moframework.spec.spec import Spec, load_spec, spec_schema

__all__ = ["Spec", "bundled_specs", "find_spec", "load_spec", "spec_schema", "specs_folder"]


def __getattr__(name: str) -> Any:
    """Import the root class when it is asked for: it brings torch along, which listing bundled specs does not need."""
    if name in ("Spec", "load_spec", "spec_schema"):
        from moframework.spec import spec

        return getattr(spec, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
