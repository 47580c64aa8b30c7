from __future__ import annotations

import types
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moframework.config import Component, config, option, structure, unstructure
from moframework.errors import MoframeworkError
from tests.config.parts import (
    Annealed,
    Customized,
    Declared,
    Digits,
    Fixed,
    Overrides,
    Palora,
    Root,
    Schedule,
    Solver,
    Task,
)

whole_numbers = st.integers(-(2**63), 2**63 - 1)  # those of options have 64 bits
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=6)

# A type, with a strategy for its values.
Typed = tuple[Any, st.SearchStrategy[Any]]
tasks = st.builds(
    Task, loss=st.none() | words, size=st.integers(1, 9), metrics=st.lists(st.sampled_from(["f1"])).map(tuple)
)
schedules: st.SearchStrategy[Any] = st.builds(
    Annealed, temperature=st.floats(0.1, 9), margin=st.floats(0, 0.4)
) | st.builds(Fixed, points=st.lists(st.floats(0, 1), max_size=3).map(tuple))

scalars: list[Typed] = [
    (bool, st.booleans()),
    (int, whole_numbers),
    (float, st.floats(allow_nan=False)),
    (str, words),
    (Path, st.from_regex(r"/?[a-z]{1,5}(/[a-z]{1,3})?", fullmatch=True).map(Path)),
    (Literal["a", "b", 1], st.sampled_from(["a", "b", 1])),
    (Task, tasks),
    (Schedule, schedules),
]


def _nested(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    def around(typed: Typed) -> st.SearchStrategy[Typed]:
        type_, values = typed
        made: list[Typed] = [
            (tuple[type_, ...], st.lists(values, max_size=3).map(tuple)),
            (tuple[type_, int], st.tuples(values, whole_numbers)),
            (list[type_], st.lists(values, max_size=3)),  # type: ignore[valid-type]
            (dict[str, type_], st.dictionaries(words, values, max_size=3)),  # type: ignore[valid-type]
            (type_ | None, st.none() | values),
        ]
        return st.sampled_from(made)

    return inner.flatmap(around)


typed_values = st.recursive(st.sampled_from(scalars), _nested, max_leaves=3)


@st.composite
def generated(draw: st.DrawFn) -> Any:
    """An object of a config class whose options are drawn too."""
    fields = draw(st.lists(typed_values, min_size=1, max_size=4))
    names = [f"option_{i}" for i in range(len(fields))]
    values = {name: draw(values) for name, (_, values) in zip(names, fields, strict=True)}

    def body(space: dict[str, Any]) -> None:
        space["__annotations__"] = {name: type_ for name, (type_, _) in zip(names, fields, strict=True)}
        space.update({name: option(help="drawn") for name in names})

    return config(types.new_class("Drawn", (), {}, body))(**values)


def is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and is_plain(v) for k, v in value.items())
    if isinstance(value, list):
        return all(is_plain(v) for v in value)
    return value is None or type(value) in (bool, int, float, str)


@given(generated())
@settings(max_examples=150, deadline=None)
def test_round_trip(value: Any) -> None:
    written = unstructure(value)
    assert is_plain(written)
    made, faults = structure(written, type(value))
    assert faults == []
    assert made == value
    assert unstructure(made) == written


def test_parts_are_written_with_name_and_every_option() -> None:
    assert unstructure(Palora(rank=2, initial=Path("/a"))) == {
        "name": "palora",
        "rank": 2,
        "alpha": 1.0,
        "conv": "loralib",
        "preferences": {"name": "annealed", "temperature": 3.0, "margin": 0.01},
        "initial": "/a",
        "epochs": None,
        "steps": None,
        "memory": "auto",
    }


def test_unnamed_part_is_written_without_name() -> None:
    value = Declared(tasks={"left": Task()})
    assert "name" not in unstructure(value)
    assert structure(unstructure(Root(problem=value, solver=Palora())), Root)[0].problem == value


def test_customization_is_written_as_one_mapping() -> None:
    value = Customized(base=Digits(train=7), overrides=Overrides(reference=(1.0, 2.0)))
    assert unstructure(value) == {"name": "digits", "train": 7, "root": None, "reference": [1.0, 2.0]}
    root = Root(problem=value, solver=Palora())
    assert structure(unstructure(root), Root) == (root, [])


def test_function_part_round_trip() -> None:
    made, _ = structure({"name": "doubled", "times": 5}, Schedule)
    assert unstructure(made) == {"name": "doubled", "times": 5, "shift": 0.0}
    assert structure(unstructure(made), Schedule) == (made, [])


def test_unregistered_part_is_written_by_module() -> None:
    written = unstructure(Elsewhere())
    assert written == {"python": "tests.config.test_unstructure:Elsewhere"}
    assert structure(written, Solver) == (Elsewhere(), [])


@config
class Elsewhere(Solver):
    pass


def test_what_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="cannot be written in a spec"):
        unstructure(complex(1, 2))

    @config
    class Local(Solver):
        pass

    with pytest.raises(MoframeworkError, match="neither registered nor importable"):
        unstructure(Local())
    assert issubclass(Local, Component)
