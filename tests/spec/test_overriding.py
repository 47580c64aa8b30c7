from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moframework.spec.extending import SpecReader
from moframework.spec.marks import Item, Source, locate, plain
from moframework.spec.overriding import override
from moframework.spec.reading import read_yaml

SPEC = """
solver: {name: palora, rank: 4}
short: palora
tasks: [{size: 1}, {size: 2}]
nothing: null
1: one
seed: 3
"""


def applied(*texts: str) -> tuple[Item, SpecReader]:
    reader = SpecReader()
    root, _ = read_yaml(SPEC, Source("f.yaml", Path("/x"), 0))
    assert root is not None
    for text in texts:
        root = override(root, text, reader)
    return root, reader


@pytest.mark.parametrize(
    ("texts", "key", "value"),
    [
        (["seed=4"], "seed", 4),
        (["seed=4", "seed=5"], "seed", 5),
        (["seed="], "seed", None),
        (["seed=a=b"], "seed", "a=b"),
        (["solver.rank=2"], "solver", {"name": "palora", "rank": 2}),
        (["solver={name: palora, alpha: 1e-3}"], "solver", {"name": "palora", "alpha": 1e-3}),
        (["solver=grid"], "solver", "grid"),
        (["short.rank=2"], "short", {"name": "palora", "rank": 2}),
        (["nothing.a.b=1"], "nothing", {"a": {"b": 1}}),
        (["new.section.key=[1, 2]"], "new", {"section": {"key": [1, 2]}}),
        (["tasks.1.size=7"], "tasks", [{"size": 1}, {"size": 7}]),
        (["tasks.0=x"], "tasks", ["x", {"size": 2}]),
        (["1=two"], 1, "two"),
        (["solver={name: grid}", "solver.points=3"], "solver", {"name": "grid", "points": 3}),
    ],
)
def test_values(texts: list[str], key: Any, value: object) -> None:
    root, reader = applied(*texts)
    assert reader.faults == []
    assert plain(root)[key] == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed", "--set seed:1:1: an override is KEY=VALUE, with dots between keys: solver.rank=4"),
        ("=3", "--set =3:1:1: an override is KEY=VALUE"),
        ("a..b=3", "--set a..b=3:1:1: an override is KEY=VALUE"),
        ("seed.x=3", "--set seed.x=3:1:6: seed.x: seed has no keys: it is 3 (f.yaml:7:7)"),
        (
            "tasks.2.size=3",
            "--set tasks.2.size=3:1:7: tasks.2: no such place in the list at f.yaml:4:8; allowed: 0 to 1",
        ),
        ("tasks.left=3", "--set tasks.left=3:1:7: tasks.left: no such place in the list"),
        ("seed=[1", "--set seed=[1:1:8: not valid YAML"),
        ("solver={a: 1, a: 2}", "--set solver={a: 1, a: 2}:1:15: a: is given twice, on lines 1 and 1; keep one"),
        ("extends=quickstart", "--set extends=quickstart:1:1: extends: cannot be overridden; write it into a spec"),
    ],
)
def test_faults(text: str, message: str) -> None:
    root, reader = applied(text)
    (found,) = reader.faults
    assert str(found).startswith(message)
    if not text.startswith("solver"):
        assert plain(root) == plain(applied()[0])


def test_positions() -> None:
    root, _ = applied("solver.rank=0", "new.section={key: 1}")
    assert str(locate(root, ("solver", "rank"))) == "--set solver.rank=0:1:13"
    assert str(locate(root, ("solver", "rank"), on_key=True)) == "--set solver.rank=0:1:8"
    assert str(locate(root, ("solver", "name"))) == "f.yaml:2:16"
    assert str(locate(root, ("new",), on_key=True)) == "--set new.section={key: 1}:1:1"
    assert str(locate(root, ("new", "section", "key"))) == "--set new.section={key: 1}:1:19"
    assert locate(root, ("new", "section", "key")).source.folder == Path.cwd()
