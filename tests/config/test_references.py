from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from moframework.config import build, structure, unstructure
from tests.config.parts import Solver

GOOD = """
from __future__ import annotations
from moframework.config import config, option
from tests.config.parts import Solver

class Plain(Solver):
    pass

class Other:
    pass

@config
class Mine(Solver):
    width: int = option(3, ge=1, help="how wide")

value = 3

def scheme(x): return x
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(GOOD)
    return path


@pytest.mark.parametrize("value", [{"python": "./mine.py:Mine"}, {"name": {"python": "mine.py:Mine"}}])
def test_class_in_a_file(file: Path, value: dict[str, object]) -> None:
    made, faults = structure({**value, "width": 5}, Solver, base=file.parent, trust=True)
    assert faults == []
    assert made.width == 5
    written = unstructure(made)
    assert written == {"python": f"{file}:Mine", "width": 5}
    assert build(Solver, written) == made


def test_class_in_a_module() -> None:
    made = build(Solver, {"python": "tests.config.parts:Grid", "points": 2}, trust=True)
    assert unstructure(made) == {"name": "grid", "points": 2}


def test_options_of_a_class_in_a_file_are_checked(file: Path) -> None:
    _, faults = structure({"python": "mine.py:Mine", "width": 0, "wdth": 1}, Solver, base=file.parent, trust=True)
    assert [str(f) for f in faults] == [
        "wdth: unknown key; did you mean 'width'? allowed: width",
        "width: must be at least 1, but it is 0",
    ]


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("./none.py:Mine", "there is no file"),
        ("./mina.py:Mine", "did you mean 'mine.py'?"),
        ("./mine.py:Mien", "has no 'Mien'; did you mean 'Mine'?"),
        ("./mine.py:Other", "is not a solver: it must derive from tests.config.parts.Solver"),
        ("./mine.py:Plain", "decorate the class with @moframework.config.config"),
        ("./mine.py:scheme", "a solver cannot be given as a function ('scheme'): write a class that derives from"),
        ("./mine.py:value", "neither a class nor a function"),
        ("./mine.py", "write ./file.py:Class or package.module:Class"),
        (":Mine", "write ./file.py:Class or package.module:Class"),
        ("no_such_package.module:Mine", "there is no module 'no_such_package.module'"),
        ("tests.config.nothing:Mine", "there is no module 'tests.config.nothing'"),
    ],
)
def test_what_cannot_be_loaded(file: Path, reference: str, words: str) -> None:
    made, (fault,) = structure({"python": reference}, Solver, base=file.parent, trust=True)
    assert made is None
    assert fault.path == ("python",)
    assert words in fault.message


def test_a_reference_is_text() -> None:
    _, (fault,) = structure({"python": 3}, Solver)
    assert fault.message == "must be ./file.py:Class or package.module:Class, but it is 3"
    _, (fault,) = structure({"name": {"pythn": "x"}}, Solver)
    assert "must be a name, or {python: ./file.py:Class}" in fault.message


def test_name_and_python_exclude_each_other() -> None:
    _, (fault,) = structure({"name": "grid", "python": "a:B"}, Solver)
    assert fault.message == "give `name` or `python`, not both"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = 1\n\ny = x + z\n", "(line 3) cannot be imported: NameError: name 'z' is not defined"),
        ("def f(:\n", "(line 1) cannot be imported: SyntaxError"),
        ("import no_such_thing\n", "(line 1) cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_file_that_fails_tells_its_line(tmp_path: Path, code: str, words: str) -> None:
    (tmp_path / "bad.py").write_text(code)
    _, (fault,) = structure({"python": "bad.py:X"}, Solver, base=tmp_path, trust=True)
    assert words in fault.message


def test_a_file_is_run_again_only_when_it_changed(file: Path) -> None:
    def load() -> type:
        return type(structure({"python": "mine.py:Mine"}, Solver, base=file.parent, trust=True)[0])

    first = load()
    assert load() is first
    file.write_text(GOOD.replace("3, ge=1", "4, ge=1"))
    os.utime(file, ns=(1, 1))
    assert load() is not first
    assert load()().width == 4


def test_another_part_of_a_file_is_written_by_its_path(file: Path) -> None:
    """One that no spec has named: a solver's weight space, say, which a model is saved with."""
    file.write_text(file.read_text() + "\n\n@config\nclass Beside(Mine):\n    pass\n")
    mine, _ = structure({"python": "mine.py:Mine"}, Solver, base=file.parent, trust=True)
    beside = sys.modules[type(mine).__module__].Beside
    written = unstructure(beside())
    assert written["python"] == f"{file.resolve()}:Beside"
    again, faults = structure(written, Solver)
    assert not faults
    assert type(again) is beside
