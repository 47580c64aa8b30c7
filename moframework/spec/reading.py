"""YAML text to items with positions, in a strict reading of YAML 1.2.

`1e-3` is a number; only `true` and `false` are booleans, so `no`, `on` and dates are text; `010` is ten; a key given
twice is a fault.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from moframework.config.words import shown
from moframework.errors import shortened
from moframework.spec.limits import Allowance, TooLargeError
from moframework.spec.marks import Item, Located, Mark, Source

__all__ = ["NUMBERS", "read_yaml"]

_TAG = "tag:yaml.org,2002:"

NUMBERS = {
    _TAG + "int": re.compile(r"[-+]?[0-9][0-9_]*\Z|0o[0-7]+\Z|0x[0-9a-fA-F]+\Z"),
    _TAG + "float": re.compile(
        r"[-+]?(?:[0-9][0-9_]*\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?\Z"
        r"|[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z"
    ),
}
"""What is a number when it stands unquoted, by YAML tag."""


_DIGITS = 400  # the largest float has 309; Python itself takes no more than 4,300
_SURROGATES = re.compile("[\ud800-\udfff]")  # which stand for no character: no file can hold them as UTF-8


class _Loader(yaml.SafeLoader):
    """Composes nodes with PyYAML's parser and our own rules for what a plain scalar is."""

    def __init__(self, text: str, allowance: Allowance) -> None:
        super().__init__(text)
        self.allowance = allowance
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A node and all in it, within the limits; an alias counts when it is laid out."""
        at = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        try:
            self.allowance.take_values(depth=self.depth)
        except TooLargeError as error:
            raise yaml.MarkedYAMLError(problem=str(error), problem_mark=at) from error
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver(_TAG + "null", re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(_TAG + "bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF"))
_Loader.add_implicit_resolver(_TAG + "merge", re.compile(r"<<\Z"), ["<"])
for _tag, _pattern in NUMBERS.items():
    _Loader.add_implicit_resolver(_tag, _pattern, list("-+.0123456789"))


def read_yaml(
    text: str, source: Source, *, column: int = 1, allowance: Allowance | None = None
) -> tuple[Item | None, list[Located]]:
    """Read one YAML document.

    Args:
        text: the document.
        source: what it is called in messages.
        column: position of its first character in its line, for a text that is part of a longer one.
        allowance: how large it may be, less what was read before; None for a document that stands alone.

    Returns:
        the root, and the faults found: keys given twice, unknown tags. The root is None when the text is not YAML at
        all, or too large or deep (then a fault says why), or empty (then there is no fault).
    """
    return _Reader(source, column, Allowance() if allowance is None else allowance).read(text)


class _Reader:
    def __init__(self, source: Source, column: int, allowance: Allowance) -> None:
        self.source = source
        self.column = column
        self.allowance = allowance
        self.faults: list[Located] = []
        self.open: set[int] = set()
        self.laid_out: set[int] = set()

    def read(self, text: str) -> tuple[Item | None, list[Located]]:
        try:
            self.allowance.take_text(len(text))
            node = _Loader(text, self.allowance).get_single_node()
            return (None if node is None else self.item(node, (), None)), self.faults
        except TooLargeError as error:
            return None, [Located(Mark(self.source, 1, self.column), (), str(error))]
        except yaml.MarkedYAMLError as error:
            at = error.problem_mark or error.context_mark
            mark = self.mark(at) if at is not None else Mark(self.source, 1, self.column)
            return None, [Located(mark, (), _explain(error))]
        except yaml.reader.ReaderError as error:
            before = text[: error.position].split("\n")
            mark = Mark(self.source, len(before), len(before[-1]) + 1)
            return None, [
                Located(mark, (), f"the character {chr(error.character)!a} is not allowed in YAML; remove it")
            ]

    def mark(self, mark: yaml.Mark) -> Mark:
        shift = self.column if mark.line == 0 else 1
        return Mark(self.source, mark.line + 1, mark.column + shift)

    def fail(self, node: yaml.Node, path: tuple[str | int, ...], message: str) -> None:
        self.faults.append(Located(self.mark(node.start_mark), path, message))

    def item(self, node: yaml.Node, path: tuple[str | int, ...], key: Mark | None) -> Item:
        mark = self.mark(node.start_mark)
        self.allowance.take_values(0 if id(node) not in self.laid_out else 1, depth=len(self.open))
        self.laid_out.add(id(node))
        if id(node) in self.open:
            self.fail(node, path, "contains itself through an alias")
            return Item(None, mark, key)
        self.open.add(id(node))
        value: Any = None
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            value = self.mapping(node, path)
        elif isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            value = [self.item(child, (*path, i), None) for i, child in enumerate(node.value)]
        elif isinstance(node, yaml.ScalarNode):
            value = self.scalar(node, path)
        else:
            self.fail(node, path, f"the tag {_tag_name(node)} does not fit here; leave it out")
        self.open.discard(id(node))
        return Item(value, mark, key)

    def scalar(self, node: yaml.ScalarNode, path: tuple[str | int, ...]) -> Any:
        text = str(node.value)
        if _SURROGATES.search(text):
            self.fail(node, path, "holds half of a character (\\ud800 to \\udfff), which is no text; remove it")
            return None
        match node.tag.removeprefix(_TAG):
            case "str" | "merge":
                return text
            case "null":
                return None
            case "bool" if text.lower() in ("true", "false"):
                return text.lower() == "true"
            case "int" | "float" as kind if NUMBERS[node.tag].match(text) or NUMBERS[_TAG + "int"].match(text):
                if len(text) > _DIGITS:
                    self.fail(node, path, f"{shown(text)} has too many digits for a number")
                    return None
                return _number(text, kind)
        self.fail(node, path, f"the tag {_tag_name(node)} does not fit {shown(text)}; leave it out")
        return None

    def mapping(self, node: yaml.MappingNode, path: tuple[str | int, ...]) -> dict[Any, Item]:
        found: dict[Any, Item] = {}
        merged: dict[Any, Item] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.fail(key_node, path, "a key must be text, but it is a list or mapping")
                continue
            if key_node.tag == _TAG + "merge":
                for key, child in self.merge(value_node, path).items():
                    merged.setdefault(key, child)
                continue
            key = self.scalar(key_node, path)
            mark = self.mark(key_node.start_mark)
            here = (*path, str(key))
            if key in found:
                first = found[key].at
                self.fail(key_node, here, f"is given twice, on lines {first.line} and {mark.line}; keep one")
                self.item(value_node, here, mark)  # for the faults inside
                continue
            found[key] = self.item(value_node, here, mark)
        return merged | found

    def merge(self, node: yaml.Node, path: tuple[str | int, ...]) -> dict[Any, Item]:
        """What a merge key `<<` brings in: a mapping, or several of which the first wins."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: dict[Any, Item] = {}
        for one in nodes:
            item = self.item(one, path, None)
            if isinstance(item.value, dict):
                found = item.value | found
            else:
                self.fail(one, path, f"`<<` takes a mapping, but it is {shown(item.value)}")
        return found


def _number(text: str, kind: str) -> int | float:
    digits = text.replace("_", "").lower()
    if kind == "int":
        return int(digits, 0) if digits.startswith(("0o", "0x")) else int(digits)
    return float(digits.replace(".inf", "inf").replace(".nan", "nan"))


def _tag_name(node: yaml.Node) -> str:
    return shortened(str(node.tag).replace(_TAG, "!!"))


def _explain(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or str(error)
    if isinstance(error.__cause__, TooLargeError):
        return str(error.__cause__)
    if "'\\t'" in problem:
        return "not valid YAML: a tab stands where YAML takes only spaces; indent with spaces"
    if "mapping values are not allowed" in problem:
        return (
            "not valid YAML: this ':' comes where no key can be; check the indentation, or quote text that holds ': '"
        )
    if "but found another document" in problem:
        return "not valid YAML here: a second document begins ('---'); a spec is one document"
    context = f" ({error.context})" if error.context else ""
    return shortened(f"not valid YAML: {problem}{context}", 200)
