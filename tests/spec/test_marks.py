from __future__ import annotations

from pathlib import Path

from moframework.spec.marks import Located, Mark, Source, from_plain, locate, plain
from moframework.spec.reading import read_yaml

SOURCE = Source("f.yaml", Path("/x"), 1)


def test_locate() -> None:
    root, _ = read_yaml("a:\n  b: 1\n  c: [10, {d: 2}]\n1: x\n", SOURCE)
    assert root is not None

    def at(*path: str | int, on_key: bool = False) -> str:
        return str(locate(root, path, on_key=on_key))

    assert at() == "f.yaml:1:1"
    assert at("a") == "f.yaml:2:3"
    assert at("a", on_key=True) == "f.yaml:1:1"
    assert at("a", "b") == "f.yaml:2:6"
    assert at("a", "c", 0) == "f.yaml:3:7"
    assert at("a", "c", 1, "d") == "f.yaml:3:15"
    assert at("a", "c", 1, "d", on_key=True) == "f.yaml:3:12"
    assert at("1") == "f.yaml:4:4"
    # what is missing is where its section is; what a text is short for is at the text
    assert at("a", "missing") == "f.yaml:1:1"
    assert at("a", "c", 7) == "f.yaml:3:3"
    assert at("a", "b", "name") == "f.yaml:2:6"
    assert at("missing") == "f.yaml:1:1"


def test_plain_and_back() -> None:
    value = {"a": [1, {"b": None}], "c": "x"}
    assert plain(from_plain(value, Mark(SOURCE, 1, 1))) == value


def test_lines() -> None:
    assert str(Located(Mark(SOURCE, 3, 7), ("a", 0), "is wrong")) == "f.yaml:3:7: a.0: is wrong"
    assert str(Located(Mark(SOURCE, 3, 7), (), "is wrong")) == "f.yaml:3:7: is wrong"
    assert str(Located(Mark(Source("", Path(), 1), 1, 1), ("a",), "is wrong")) == "a: is wrong"
