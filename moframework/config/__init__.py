"""How any part declares its options, is found by name, and is built from plain data.

The lowest layer: everything that a spec can configure is a frozen attrs class made with `config` and `option`; the
interfaces among them derive from `Component` and are found through entry points. What must not live here: YAML, files,
torch, or the name of any particular solver or problem.
"""

from moframework.config.options import Component, config, option
from moframework.config.registry import Entry, entries, find, kinds

__all__ = ["Component", "Entry", "config", "entries", "find", "kinds", "option"]
