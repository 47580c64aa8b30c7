from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from moframework.config import structure, unstructure
from moframework.spec.marks import Source, plain
from moframework.spec.reading import read_yaml
from moframework.spec.writing import write_yaml
from tests.config.test_unstructure import generated


def read(text: str) -> Any:
    root, faults = read_yaml(text, Source("f.yaml", Path("/x"), 1))
    assert faults == []
    assert root is not None
    return plain(root)


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    [
        "1e-3",
        "no",
        "yes",
        "~",
        "null",
        "<<",
        "010",
        "0o7",
        "1_0",
        "1:30",
        "2024-01-01",
        ".5",
        "",
        " a",
        "a: b",
        "#",
        "- x",
        "=",
    ]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
data = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


@given(data)
@settings(max_examples=200, deadline=None)
def test_what_is_written_reads_back_equal(value: Any) -> None:
    text = write_yaml(value)
    again = read(text)
    assert again == value
    assert write_yaml(again) == text


@given(generated())
@settings(max_examples=60, deadline=None)
def test_objects_survive_the_way_through_yaml(value: Any) -> None:
    assert structure(read(write_yaml(unstructure(value))), type(value)) == (value, [])


@pytest.mark.parametrize("value", ["1e-3", "no", "on", "0o7", "2024-01-01", "1:30"])
def test_text_is_text_for_every_reader(value: str) -> None:
    assert yaml.safe_load(write_yaml({"a": value})) == {"a": value}


def test_layout() -> None:
    value = {"b": {"sizes": [10, 20], "parts": [{"name": "x"}, "y"]}, "a": 1e-8, "empty": []}
    assert write_yaml(value) == ("b:\n  sizes: [10, 20]\n  parts:\n  - name: x\n  - y\na: 1.0e-08\nempty: []\n")
    shared = [1]
    assert write_yaml({"a": shared, "b": shared}) == "a: [1]\nb: [1]\n"
