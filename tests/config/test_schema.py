from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft7Validator

from moframework.config import json_schema, structure, unstructure
from tests.config.parts import Declared, Digits, Grid, Palora, Root, Solver, Task, Training

GOOD: list[dict[str, Any]] = [
    {"problem": "digits", "solver": "palora"},
    {
        "problem": {"name": "digits", "tasks": {"left": {"size": 3}}},
        "solver": {"name": "palora", "rank": 2, "epochs": 3},
    },
    {"problem": {"tasks": {"left": {"metrics": ["f1"]}}}, "solver": {"name": "grid"}, "seed": 3, "name": "x"},
    {"problem": "digits", "solver": {"name": "palora", "preferences": {"margin": 0.2}, "memory": True}},
    {"problem": "digits", "solver": {"name": "palora", "preferences": {"name": "fixed", "points": [0, 1]}}},
    {"problem": "digits", "solver": {"python": "./x.py:Y", "whatever": 3}},
    {"problem": "digits", "solver": {"name": {"python": "./x.py:Y"}, "whatever": 3}},
    {"problem": "digits", "solver": "grid", "training": {"rates": [1, 0.5], "schedule": None}, "extra": [{"a": 1}]},
]

BAD: list[dict[str, Any]] = [
    {},
    {"problem": "digits"},
    {"problem": "digits", "solver": "paloar"},
    {"problem": "digits", "solver": {"rank": 3}},
    {"problem": "digits", "solver": {"name": "palora", "rnak": 3}},
    {"problem": "digits", "solver": {"name": "palora", "rank": 0}},
    {"problem": "digits", "solver": {"name": "palora", "rank": 3.5}},
    {"problem": "digits", "solver": {"name": "palora", "rank": "3"}},
    {"problem": "digits", "solver": {"name": "palora", "conv": "left"}},
    {"problem": "digits", "solver": {"name": "palora", "memory": "yes"}},
    {"problem": "digits", "solver": {"name": "palora", "preferences": "fixed"}},
    {"problem": "digits", "solver": {"name": "palora", "preferences": {"margn": 0.2}}},
    {"problem": "digits", "solver": {"name": "palora", "preferences": {"name": "annealed", "margin": 0.5}}},
    {"problem": {"tasks": {"left": {"wide": 3}}}, "solver": "grid"},
    {"problem": {"reference": [1]}, "solver": "grid"},
    {"problem": {"name": "digits", "reference": [1]}, "solver": "grid"},
    {"problem": "digits", "solver": "grid", "training": {"rates": [1, 0]}},
    {"problem": "digits", "solver": "grid", "training": {"drop_last": "yes"}},
    {"problem": "digits", "solver": "grid", "trining": {}},
    {"problem": "digits", "solver": 3},
]


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    schema = json_schema(Root)
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


@pytest.mark.parametrize("value", GOOD)
def test_good_specs_pass(validator: Draft7Validator, value: dict[str, Any]) -> None:
    assert [e.message for e in validator.iter_errors(value)] == []
    if "./x.py:Y" not in str(value):
        assert structure(value, Root)[1] == []


@pytest.mark.parametrize("value", BAD)
def test_bad_specs_do_not(validator: Draft7Validator, value: dict[str, Any]) -> None:
    assert not validator.is_valid(value)
    assert structure(value, Root)[1]


def test_what_unstructure_writes_passes(validator: Draft7Validator) -> None:
    for root in (
        Root(problem=Digits(), solver=Palora(rank=3)),
        Root(problem=Declared(tasks={"a": Task()}), solver=Grid(), training=Training(rates=[1.0])),
    ):
        assert [e.message for e in validator.iter_errors(unstructure(root))] == []


def test_help_bounds_and_defaults_are_shown() -> None:
    schema = json_schema(Root)
    rank = schema["definitions"]["toy_solvers.palora"]["properties"]["rank"]
    assert rank == {"type": "integer", "minimum": 1, "description": "rank of the adapters", "default": 4}
    assert schema["definitions"]["toy_solvers.palora"]["description"] == "Low rank."
    assert schema["definitions"]["Root"]["properties"]["training"]["default"]["batch_size"] == 64


def test_partial_requires_nothing() -> None:
    validator = Draft7Validator(json_schema(Root, partial=True))
    assert validator.is_valid({})
    assert validator.is_valid({"solver": {"rank": 3}})
    assert validator.is_valid({"problem": {"reference": [1]}})
    assert not validator.is_valid({"sed": 3})
    assert not validator.is_valid({"solver": {"name": "palora", "rnak": 3}})


def test_a_broken_part_is_allowed_with_any_options() -> None:
    validator = Draft7Validator(json_schema(Training))
    assert validator.is_valid({"schedule": {"name": "broken", "anything": 1}})


def test_leaf_and_interface_as_root() -> None:
    assert Draft7Validator(json_schema(Palora)).is_valid({"rank": 3})
    assert not Draft7Validator(json_schema(Palora)).is_valid({"rnak": 3})
    assert Draft7Validator(json_schema(Solver)).is_valid("grid")


def test_equal_names_are_kept_apart() -> None:
    from moframework.config import config, option
    from tests.config import parts

    @config
    class Task:
        other: int = option(1, help="not the same")

    Task.__annotations__["other"] = int

    def body(space: dict[str, Any]) -> None:
        space["__annotations__"] = {"a": Task, "b": parts.Task}
        space |= {"a": option(factory=Task, help="a"), "b": option(factory=parts.Task, help="b")}

    import types

    validator = Draft7Validator(json_schema(config(types.new_class("Both", (), {}, body))))
    assert validator.is_valid({"a": {"other": 2}, "b": {"size": 2}})
    assert not validator.is_valid({"a": {"size": 2}})
