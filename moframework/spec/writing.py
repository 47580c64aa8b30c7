"""Plain data to YAML that reads back equal, here and in YAML 1.1 readers: `no` and `1e-3` as text are quoted."""

from __future__ import annotations

from typing import Any

import yaml

from moframework.spec.reading import NUMBERS

__all__ = ["write_yaml"]


class _Dumper(yaml.SafeDumper):
    """Block mappings in the order given, lists of scalars on one line, nothing shared through aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    flow = not any(isinstance(item, list | dict) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


def _write_text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    # PyYAML writes these line breaks as they are, and reads them back as spaces, unless they are escaped.
    style = '"' if set(data) & set("\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(list, _write_list)
_Dumper.add_representer(str, _write_text)
for _tag, _pattern in NUMBERS.items():
    _Dumper.add_implicit_resolver(_tag, _pattern, list("-+.0123456789"))


def write_yaml(data: Any) -> str:
    """Dicts, lists and scalars as YAML text.

    >>> write_yaml({"rate": 1e-3, "flag": "no", "sizes": [10, 20]})
    "rate: 0.001\\nflag: 'no'\\nsizes: [10, 20]\\n"
    """
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120
    )
    return text
