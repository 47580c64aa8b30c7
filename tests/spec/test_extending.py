from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import attrs
import pytest

from moframework.spec import load_spec
from moframework.spec.extending import SpecReader
from moframework.spec.marks import locate, plain


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(text)


def read(name: str) -> Any:
    reader = SpecReader()
    root = reader.file(Path(name))
    assert reader.faults == []
    assert root is not None
    return plain(root)


def faults(name: str) -> list[str]:
    reader = SpecReader()
    reader.file(Path(name))
    assert reader.broken
    return [str(fault) for fault in reader.faults]


def test_deep_merge() -> None:
    write(
        "base.yaml",
        "solver: {name: palora, rank: 4, preferences: {name: annealed, margin: 0.1}}\nseed: 1\nrates: [1, 2]\n",
    )
    write("top.yaml", "extends: base.yaml\nsolver: {rank: 2, preferences: {temperature: 3}}\nrates: [3]\n")
    assert read("top.yaml") == {
        "solver": {"name": "palora", "rank": 2, "preferences": {"name": "annealed", "margin": 0.1, "temperature": 3}},
        "seed": 1,
        "rates": [3],
    }


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        ("{name: palora, rank: 4}", "{name: grid, points: 3}", {"name": "grid", "points": 3}),
        ("{name: palora, rank: 4}", "{name: palora, alpha: 2}", {"name": "palora", "rank": 4, "alpha": 2}),
        ("{name: palora, rank: 4}", "grid", "grid"),
        ("{epochs: 3}", "none", "none"),  # of training: no part, but a text all the same
        ("{name: palora, rank: 4}", "palora", {"name": "palora", "rank": 4}),
        ("palora", "{rank: 4}", {"name": "palora", "rank": 4}),
        ("palora", "{name: grid, points: 3}", {"name": "grid", "points": 3}),
        ("palora", "grid", "grid"),
        ("{rank: 4}", "{name: grid}", {"name": "grid"}),
        ("{name: palora}", "null", None),
        ("{python: ./a.py:A, x: 1}", "{python: ./a.py:A, y: 1}", {"python": "./a.py:A", "x": 1, "y": 1}),
        ("{python: ./a.py:A, x: 1}", "{name: {python: ./a.py:A}}", {"name": {"python": "./a.py:A"}}),
        ("{name: palora}", "{python: ./a.py:A, y: 1}", {"python": "./a.py:A", "y": 1}),
    ],
)
def test_parts(base: str, over: str, merged: object) -> None:
    write("base.yaml", f"solver: {base}\n")
    write("top.yaml", f"extends: base.yaml\nsolver: {over}\n")
    assert read("top.yaml") == {"solver": merged}


def test_the_same_file_name_in_another_folder_is_another_class() -> None:
    write("sub/base.yaml", "solver: {python: ./a.py:A, x: 1}\n")
    write("top.yaml", "extends: sub/base.yaml\nsolver: {python: ./a.py:A, y: 1}\n")
    assert read("top.yaml") == {"solver": {"python": "./a.py:A", "y": 1}}


def test_name_of_the_spec_does_not_replace_it() -> None:
    write("base.yaml", "name: base\nseed: 1\n")
    write("top.yaml", "extends: base.yaml\nname: top\n")
    assert read("top.yaml") == {"name": "top", "seed": 1}


def test_chain_list_and_diamond() -> None:
    write("sub/root.yaml", "a: 1\nb: 1\nc: 1\nd: 1\n")
    write("sub/left.yaml", "extends: root.yaml\nb: 2\nc: 2\n")
    write("right.yaml", "extends: sub/root.yaml\nc: 3\n")
    write("top.yaml", "extends: [sub/left.yaml, right.yaml]\nd: 4\n")
    assert read("top.yaml") == {"a": 1, "b": 1, "c": 3, "d": 4}


def test_files_that_a_bundled_spec_names_are_those_of_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_spec("soup").solver.base == tmp_path / "runs" / "base"  # type: ignore[attr-defined]


def test_bundled_name() -> None:
    write("top.yaml", "extends: quickstart\nseed: 4\n")
    made = read("top.yaml")
    assert made["seed"] == 4
    assert "problem" in made


def test_positions_point_into_the_file_a_value_comes_from() -> None:
    write("sub/base.yaml", "# comment\nsolver:\n  name: palora\n  rank: 4\n")
    write("top.yaml", "extends: ./sub/base.yaml\nsolver:\n  alpha: 2\n")
    root = SpecReader().file(Path("top.yaml"))
    assert root is not None
    assert str(locate(root, ("solver", "rank"))) == "sub/base.yaml:4:9"
    assert str(locate(root, ("solver", "alpha"), on_key=True)) == "top.yaml:3:3"
    assert locate(root, ("solver", "rank")).source.folder == Path.cwd() / "sub"


def test_cycles_name_the_chain() -> None:
    write("start.yaml", "extends: a.yaml\n")
    write("a.yaml", "extends: b.yaml\n")
    write("b.yaml", "seed: 1\nextends: a.yaml\n")
    assert faults("start.yaml") == [
        "b.yaml:2:10: extends: goes round in a circle: a.yaml → b.yaml → a.yaml; one of them must not extend"
    ]
    write("self.yaml", "extends: [self.yaml]\n")
    assert faults("self.yaml") == [
        "self.yaml:1:11: extends: goes round in a circle: self.yaml → self.yaml; one of them must not extend"
    ]


def test_what_cannot_be_extended() -> None:
    write("bad.yaml", "a: [1\n")
    write("list.yaml", "- a\n")
    write("top.yaml", "extends: [nothing, 3, bad.yaml, list.yaml, top.yml]\n")
    found = faults("top.yaml")
    assert found[0].startswith("top.yaml:1:11: extends: 'nothing' is neither a file nor a bundled spec; ")
    assert found[1].startswith(
        "top.yaml:1:20: extends: must be a path, the name of a bundled spec, or a list of those, but it"
    )
    assert found[2].startswith("bad.yaml:2:1: not valid YAML")
    assert found[3] == "list.yaml:1:1: a spec must be a mapping of options, but it is a list"
    assert "bundled spec; did you mean 'top.yaml'?" in found[4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "f.yaml:1:1: the spec is empty; it needs at least a problem and a solver"),
        (b"# nothing\n", "f.yaml:1:1: the spec is empty"),
        (b"\n- a\n- b\n", "f.yaml:2:1: a spec must be a mapping of options, but it is a list"),
        (b"hello\n", "f.yaml:1:1: a spec must be a mapping of options, but it is 'hello'"),
        (b"seed: 1\nname: \xe9\n", "f.yaml:2:7: is not UTF-8 text (byte 0xe9); save the file as UTF-8"),
    ],
)
def test_files_that_are_no_specs(content: bytes, message: str) -> None:
    Path("f.yaml").write_bytes(content)
    (found,) = faults("f.yaml")
    assert found.startswith(message)


def test_byte_order_mark() -> None:
    Path("f.yaml").write_bytes(b"\xef\xbb\xbfseed: 1\n")
    assert read("f.yaml") == {"seed": 1}


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert faults("none.yaml") == ["none.yaml:1:1: cannot be read: No such file or directory"]


def test_constraints_of_a_base_are_taken_back(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("problem: digits\nsolver: palora\nconstraints: {left/loss: '<= 3'}\n")
    (tmp_path / "free.yaml").write_text("extends: base.yaml\nconstraints: null\n")
    free = load_spec(tmp_path / "free.yaml")
    assert free.constraints == {}
    assert free == attrs.evolve(cast(Any, load_spec(tmp_path / "base.yaml")), constraints={}, name=free.name)
