from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from moframework.spec.marks import Source, plain
from moframework.spec.reading import read_yaml

SOURCE = Source("f.yaml", Path("/x"), 1)


def read(text: str) -> Any:
    root, faults = read_yaml(text, SOURCE)
    assert faults == []
    assert root is not None
    return plain(root)


def faults(text: str) -> list[str]:
    return [str(fault) for fault in read_yaml(text, SOURCE)[1]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("-1.5e+2", -150.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1_000.5", 1000.5),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("3", 3),
        ("+3", 3),
        ("010", 10),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("!!str 4", "4"),
        ("!!float 4", 4.0),
        ("!!int 4", 4),
    ],
)
def test_scalars(text: str, value: object) -> None:
    made = read(text)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    "text",
    ["yes", "no", "on", "off", "Yes", "y", "2024-01-01", "1:30", "1e", "e3", "1.2.3", "0b1", "0o9", "=", "none", "-"],
)
def test_text_stays_text(text: str) -> None:
    assert read(f'{{a: "{text}", b: 1}}')["a"] == text
    if text != "-":
        assert read(f"a: {text}")["a"] == text


def test_nan() -> None:
    assert math.isnan(read(".nan"))


def test_anchors_and_merge_keys() -> None:
    assert read("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\nc: {<<: [{q: 5}, *x]}\nd: *x") == {
        "a": {"p": 1, "q": 2},
        "b": {"p": 1, "q": 3},
        "c": {"q": 5, "p": 1},
        "d": {"p": 1, "q": 2},
    }
    assert faults("a: {<<: 3}") == ["f.yaml:1:9: a: `<<` takes a mapping, but it is 3"]


def test_duplicate_keys_name_both_lines() -> None:
    assert faults("a:\n  b: 1\n  c: 2\n  b: {d: 1, d: 2}\na: 3\n") == [
        "f.yaml:4:3: a.b: is given twice, on lines 2 and 4; keep one",
        "f.yaml:4:13: a.b.d: is given twice, on lines 4 and 4; keep one",
        "f.yaml:5:1: a: is given twice, on lines 1 and 5; keep one",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n\tb: 1\n", "f.yaml:2:1: not valid YAML: a tab stands where YAML takes only spaces; indent with spaces"),
        ("a: b: c\n", "f.yaml:1:5: not valid YAML: this ':' comes where no key can be; check the indentation"),
        ("a: [1, 2\nb: 3\n", "f.yaml:2:2: not valid YAML"),
        ("a: 1\n  b: 2\n", "f.yaml:2:4: not valid YAML"),
        ("a: 'x\n", "f.yaml:2:1: not valid YAML: found unexpected end of stream"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: not valid YAML here: a second document begins"),
        ("a: *x\n", "f.yaml:1:4: not valid YAML: found undefined alias 'x'"),
        ("a: 1\nb: \x07\n", "f.yaml:2:4: the character '\\x07' is not allowed"),
        ("a: !foo 3\n", "f.yaml:1:4: a: the tag !foo does not fit '3'; leave it out"),
        ("a: !!python/object:os.system {}\n", "f.yaml:1:4: a: the tag !!python/object:os.system does not fit here"),
        ("a: !!int x\n", "f.yaml:1:4: a: the tag !!int does not fit 'x'"),
        ("a: !!bool yes\n", "f.yaml:1:4: a: the tag !!bool does not fit 'yes'"),
        ("a: !!set {b}\n", "f.yaml:1:4: a: the tag !!set does not fit here"),
        ("[1]: 2\n", "f.yaml:1:1: a key must be text, but it is a list or mapping"),
        ("a: &x [*x]\n", "f.yaml:1:4: a.0: contains itself through an alias"),
        ("a: " + "9" * 5000, "f.yaml:1:4: a: '9"),
        ("[" * 3000, "f.yaml:1:52: is nested too deeply: a spec has at most 50 levels"),
    ],
)
def test_faults(text: str, message: str) -> None:
    (found,) = faults(text)
    assert found.startswith(message)


def test_empty() -> None:
    for text in ("", "\n\n", "# only a comment\n"):
        assert read_yaml(text, SOURCE) == (None, [])


def test_column_of_a_text_within_a_longer_one() -> None:
    root, _ = read_yaml("{a: 1,\n b: 2}", SOURCE, column=10)
    assert root is not None
    assert root.mark.column == 10
    assert root.value["a"].mark.column == 14
    assert root.value["b"].mark.column == 5
