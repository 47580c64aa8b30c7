"""How any part declares its options, is found by name, and is built from plain data.

The lowest layer: everything that a spec can configure is a frozen attrs class made with `config` and `option`; the
interfaces among them derive from `Component` and are found through entry points. `structure` makes such objects from
plain data and reports every fault, `unstructure` goes back, `json_schema` describes the data. What must not live here:
YAML, positions in files, torch, or the name of any particular solver or problem.
"""

from moframework.config.declaring import part
from moframework.config.options import Component, OptionError, config, option
from moframework.config.registry import Entry, entries, find, kinds
from moframework.config.schema import json_schema
from moframework.config.signature import arguments, options_class
from moframework.config.structure import Fault, build, structure, unstructure
from moframework.config.trust import Trust

__all__ = [
    "Component",
    "Entry",
    "Fault",
    "OptionError",
    "Trust",
    "arguments",
    "build",
    "config",
    "entries",
    "find",
    "json_schema",
    "kinds",
    "option",
    "options_class",
    "part",
    "structure",
    "unstructure",
]
