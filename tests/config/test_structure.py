from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import pytest

from moframework.config import Fault, OptionError, build, config, option, structure
from moframework.errors import SpecError
from tests.config.parts import (
    Annealed,
    Customized,
    Declared,
    Digits,
    Fixed,
    Grid,
    Overrides,
    Palora,
    Problem,
    Root,
    Schedule,
    Solver,
    Task,
    Training,
)


def faults(value: object, type_: Any) -> dict[str, str]:
    """Path and message of every fault; nothing may be made when there is one."""
    made, found = structure(value, type_)
    assert made is None
    assert found
    return {".".join(map(str, fault.path)): fault.message for fault in found}


@pytest.mark.parametrize(
    ("value", "type_", "made"),
    [
        (True, bool, True),
        (4, int, 4),
        (4, float, 4.0),
        (1e-3, float, 1e-3),
        ("no", str, "no"),
        ("a/b", Path, Path("a/b")),
        (None, type(None), None),
        (None, int | None, None),
        ("auto", bool | Literal["auto"], "auto"),
        (3, float | int, 3),
        (3.0, int | float, 3.0),
        ([1, 2], tuple[int, ...], (1, 2)),
        ((1, 2), tuple[int, ...], (1, 2)),
        ([1, "a"], tuple[int, str], (1, "a")),
        ([], tuple[()], ()),
        ([1, 2], list[float], [1.0, 2.0]),
        ({"a": 1}, dict[str, int], {"a": 1}),
        ({"a": [1, {}]}, Any, {"a": [1, {}]}),
        ({"size": 3}, Task, Task(size=3)),
        ("annealed", Schedule, Annealed()),
        ({"name": "fixed", "points": [0, 1]}, Schedule, Fixed(points=(0.0, 1.0))),
        (Annealed(margin=0.1), Schedule, Annealed(margin=0.1)),
        ({"rank": 2}, Palora, Palora(rank=2)),
        ({"name": "palora", "rank": 2}, Palora, Palora(rank=2)),
        ("palora", Palora, Palora()),
    ],
)
def test_accepted(value: object, type_: Any, made: object) -> None:
    result, found = structure(value, type_)
    assert found == []
    assert result == made
    assert type(result) is type(made)


@pytest.mark.parametrize(
    ("value", "type_", "words"),
    [
        ("4", int, "must be a whole number, but it is '4'; did you mean 4 (without quotes)?"),
        (True, int, "must be a whole number, but it is true"),
        (3.7, int, "must be a whole number, but it is 3.7"),
        (3.0, int, "must be a whole number, but it is 3.0; did you mean 3?"),
        (True, float, "must be a number, but it is true"),
        ("1e-3", float, "must be a number, but it is '1e-3'; did you mean 1e-3 (without quotes)?"),
        (10**400, float, "too large"),
        ("no", bool, "must be true or false, but it is 'no'; did you mean false?"),
        (1, bool, "must be true or false, but it is 1"),
        (4, str, "must be text, but it is 4"),
        (None, str, "must be text, but it is null"),
        (7, Path, "must be a path, but it is 7"),
        ("none", int | None, "must be a whole number or null, but it is 'none'; did you mean null?"),
        ("atuo", bool | Literal["auto"], "must be true, false or 'auto', but it is 'atuo'; did you mean 'auto'?"),
        ("splti", Literal["shared", "split"], "'shared' or 'split', but it is 'splti'; did you mean 'split'?"),
        (1, Literal[True], "must be true, but it is 1"),
        (3, tuple[int, ...], "must be a list of whole numbers, but it is 3"),
        ("ab", list[str], "must be a list of texts, but it is 'ab'"),
        ([1], tuple[int, int], "must be a list of 2 values (a whole number, a whole number), but it has 1"),
        ([], dict[str, int], "must be a mapping of names to whole numbers, but it is an empty list"),
        (3, Task, "must be a mapping of options (loss, size, metrics), but it is 3"),
        (3, Schedule, "must be the name of a schedule, or a mapping with its options, but it is 3"),
        ("aneled", Schedule, "no schedule called 'aneled'; did you mean 'annealed'? allowed: annealed, br"),
        ("broken", Schedule, "toy 'broken' is not a schedule: it must derive from tests.config.parts.Schedule"),
        ("grid", Palora, "'grid' cannot be used here: it must be Palora"),
    ],
)
def test_refused(value: object, type_: Any, words: str) -> None:
    message = faults(value, type_)[""]
    assert words in message


def test_unsupported_type_is_a_bug_of_the_class() -> None:
    with pytest.raises(TypeError, match="cannot be written in a spec"):
        structure(1, complex)


def test_all_faults_of_all_sections_at_once() -> None:
    found = faults(
        {
            "problem": {"name": "digits", "train": 0, "tasks": {"left": {"size": "big"}}},
            "solver": {
                "name": "palora",
                "rnak": 2,
                "alpha": -1,
                "conv": "left",
                "preferences": {"name": "annealed", "margin": 0.7},
            },
            "training": {"batch_size": "4", "rates": [1, 0, -2], "schedule": "fixd", "drop_last": "yes"},
            "sed": 3,
        },
        Root,
    )
    assert found == {
        "sed": "unknown key; did you mean 'seed'? allowed: problem, solver, training, seed, name, extra",
        "problem.train": "must be at least 1, but it is 0",
        "problem.tasks.left.size": "must be a whole number, but it is 'big'",
        "solver.rnak": "unknown key; did you mean 'rank'? "
        "allowed: rank, alpha, conv, preferences, initial, epochs, steps, memory",
        "solver.alpha": "must be greater than 0, but it is -1",
        "solver.conv": "must be 'loralib' or 'peft', but it is 'left'; did you mean 'peft'?",
        "solver.preferences.margin": "must be at least 0 and less than 0.5, but it is 0.7",
        "training.batch_size": "must be a whole number, but it is '4'; did you mean 4 (without quotes)?",
        "training.rates.1": "must be greater than 0, but it is 0",
        "training.rates.2": "must be greater than 0, but it is -2",
        "training.schedule": "no schedule called 'fixd'; did you mean 'fixed'? "
        "allowed: annealed, broken, doubled, fixed",
        "training.drop_last": "must be true or false, but it is 'yes'; did you mean true?",
    }


def test_missing_options_say_what_they_must_be() -> None:
    found = faults({"solver": {"name": "palora", "preferences": "fixed"}}, Root)
    assert found["problem"] == (
        "is missing; it must be the name of a problem, or a mapping with its options (what is solved)"
    )
    assert found["solver.preferences.points"] == "is missing; it must be a list of numbers (where)"


def test_a_misspelt_required_key_is_told_once() -> None:
    found = faults({"problm": "digits", "solver": "palora"}, Root)
    assert list(found) == ["problm"]
    assert found["problm"].startswith("unknown key; did you mean 'problem'?")


def test_rules_between_options_point_at_one_of_them() -> None:
    assert faults({"name": "palora", "epochs": 1, "steps": 1}, Solver) == {"steps": "give epochs or steps, not both"}


def test_a_rule_is_told_beside_an_unknown_key() -> None:
    assert set(faults({"name": "palora", "epochs": 1, "steps": 1, "foo": 1}, Solver)) == {"foo", "steps"}


def test_nan_is_refused() -> None:
    assert "must be a number, but it is nan" in faults({"alpha": math.nan}, Palora)["alpha"]


def test_keys_of_mappings_are_text() -> None:
    assert "must be text, but it is 1; quote it" in faults({1: 2}, dict[str, int])["1"]
    assert "unknown key" in faults({1: 2}, Task)["1"]


def test_which_part_is_missing() -> None:
    assert faults({"rank": 3}, Solver) == {"name": "is missing: which solver? allowed: grid, palora"}


@pytest.mark.parametrize("name", [3, None, ["palora"]])
def test_a_name_is_text(name: object) -> None:
    assert "must be the name of a solver" in faults({"name": name}, Solver)["name"]


def test_a_mapping_without_name_adjusts_the_default_part() -> None:
    made = build(Palora, {"preferences": {"margin": 0.2}})
    assert made.preferences == Annealed(temperature=3.0, margin=0.2)
    # by name it starts from the part's own defaults
    assert build(Palora, {"preferences": {"name": "annealed"}}).preferences == Annealed(temperature=5.0)


def test_a_section_adjusts_the_default_section() -> None:
    root = build(Root, {"problem": "digits", "solver": "grid", "training": {"drop_last": False}})
    assert root.training == Training(batch_size=64, drop_last=False)


def test_an_option_without_default_part_needs_a_name() -> None:
    assert "which schedule?" in faults({"schedule": {"margin": 0.1}}, Training)["schedule.name"]


def test_unnamed_part() -> None:
    made = build(Problem, {"tasks": {"left": {}, "right": {"size": 10}}, "reference": [1, 1]})
    assert made == Declared(tasks={"left": Task(), "right": Task(size=10)}, reference=(1.0, 1.0))
    assert "missing" in faults({"reference": [1]}, Problem)["tasks"]


def test_customized_part() -> None:
    made = build(Problem, {"name": "digits", "train": 7, "tasks": {"left": {"size": 2}}})
    assert made == Customized(base=Digits(train=7), overrides=Overrides(tasks={"left": Task(size=2)}))
    assert faults({"name": "digits", "tasks": {"nowhere": {}}}, Problem) == {
        "tasks.nowhere": "nowhere is no task of it"
    }
    found = faults({"name": "digits", "train": 0, "reference": [1], "takss": 1}, Problem)
    assert set(found) == {"train", "reference", "takss"}
    assert found["takss"] == "unknown key; did you mean 'tasks'? allowed: train, root, tasks, reference"


def test_relative_paths_start_from_base(tmp_path: Path) -> None:
    value = {"problem": {"name": "digits", "root": "data"}, "solver": {"name": "palora", "initial": "/a/b"}}
    made = build(Root, value, base=tmp_path)
    assert made.problem == Digits(root=tmp_path / "data")
    assert made.solver == Palora(initial=Path("/a/b"))
    seen: list[tuple[str | int, ...]] = []

    def folder(path: tuple[str | int, ...]) -> Path:
        seen.append(path)
        return tmp_path

    structure(value, Root, base=folder)
    assert ("problem", "root") in seen


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert build(Digits, {"root": "~/data"}, base=Path("/x")).root == Path("/home/someone/data")


def test_build_lists_everything() -> None:
    with pytest.raises(SpecError, match=r"^rank: must be at least 1.*\nalpha: must be greater than 0") as error:
        build(Palora, {"rank": 0, "alpha": 0})
    assert len(str(error.value).splitlines()) == 2


def test_fault_reads_as_a_line() -> None:
    assert str(Fault(("a", 0), "is wrong")) == "a.0: is wrong"
    assert str(Fault((), "is wrong")) == "is wrong"


@config
class Picky:
    a: int = option(1, help="a")
    b: int = option(1, help="b")

    def __attrs_post_init__(self) -> None:
        if self.a == 2:
            raise ValueError("two is no good")
        if self.b == 2:
            raise OptionError("b is no good")


def test_rules_without_a_key_point_at_the_section() -> None:
    assert faults({"a": 2}, Picky) == {"": "two is no good"}
    assert faults({"b": 2}, Picky) == {"": "b is no good"}


def test_function_as_part() -> None:
    made = build(Schedule, {"name": "doubled", "times": 3})
    assert made.draw() == 3.0
    assert made == build(Schedule, {"name": "doubled", "times": 3})
    assert "must be a whole number" in faults({"name": "doubled", "times": 1.5}, Schedule)["times"]


def test_part_with_an_option_called_name() -> None:
    @config
    class Bad(Solver):
        name: str = option("x", help="clashes with what chooses the part")

    Solver.parts["bad"] = Bad
    try:
        assert "option called 'name'" in faults("bad", Solver)[""]
    finally:
        del Solver.parts["bad"]


def test_a_path_has_no_dots_but_where_a_link_needs_them(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "deep")
    folder = tmp_path / "one" / ".." / "one"
    assert str(build(Digits, {"root": "../wines.csv"}, base=folder).root) == str(tmp_path / "wines.csv")
    assert str(build(Digits, {"root": "link/../x"}, base=tmp_path).root) == str(tmp_path / "link" / ".." / "x")


def test_grid_is_untouched_by_other_tests() -> None:
    assert build(Solver, "grid") == Grid()
