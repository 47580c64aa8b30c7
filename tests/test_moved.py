"""Import paths of earlier versions: each leads to its module and says where that is now; nothing of ours uses one."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
import types
import warnings
from pathlib import Path

import pytest

from moframework._moved import MOVED, install, renamed
from moframework.config.references import Reference

ROOT = Path(__file__).parents[1]

BEFORE = (ROOT / "tests" / "modules_before_the_move.txt").read_text().split()
"""Every module before the tree was put in order, one a line."""


def is_there(module: str) -> bool:
    """Whether a module of ours exists as a file, which no old path does."""
    parts = module.split(".")
    if parts[:2] == ["moframework", "problems"] or parts[:2] == ["moframework", "specs"]:
        parts = parts[1:]
    path = ROOT.joinpath(*parts)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def imported(statement: str) -> list[warnings.WarningMessage]:
    """The deprecation warnings of a statement in a file `importer.py`."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        exec(compile(statement, "importer.py", "exec"), {})
    return [one for one in found if one.category is DeprecationWarning]


def forget(old: str) -> None:
    """As if the old path had not been imported yet."""
    sys.modules.pop(old, None)
    parent, _, child = old.rpartition(".")
    vars(importlib.import_module(parent)).pop(child, None)


def test_every_earlier_module_is_still_there_or_has_a_row() -> None:
    assert len(BEFORE) == 218
    lost = [module for module in BEFORE if not is_there(module) and module not in MOVED]
    assert not lost, f"say in moframework/_moved.py where these went: {lost}"


def test_rows_lead_from_what_was_to_what_is() -> None:
    assert list(MOVED) == sorted(MOVED)
    assert set(MOVED) <= set(BEFORE)
    assert not [old for old in MOVED if is_there(old)]
    assert not [new for new in MOVED.values() if not is_there(new)]


@pytest.mark.parametrize("old", MOVED)
def test_an_old_path_is_the_same_module(old: str) -> None:
    new = MOVED[old]
    forget(old)
    found = imported(f"import {old}")
    assert [one.filename for one in found] == ["importer.py"], "the warning points at the importer, once"
    assert f"{old} is now {new};" in str(found[0].message)
    module = importlib.import_module(new)
    assert sys.modules[old] is module
    assert module.__name__ == new
    assert module.__spec__ is not None
    assert module.__spec__.name == new, "else the module could not be reloaded, nor its resources be found"
    assert imported(f"import {old}") == []


def test_names_come_from_an_old_path_too() -> None:
    forget("moframework.tasks")
    (warning,) = imported(
        "from moframework.tasks import Task\nfrom moframework import Task as same\nassert Task is same"
    )
    assert (warning.filename, warning.lineno) == ("importer.py", 1)
    forget("moframework.engine.tally")
    (warning,) = imported(
        "from moframework.engine import tally\nassert tally.__name__ == 'moframework.engine.accumulator'"
    )
    assert (warning.filename, warning.lineno) == ("importer.py", 1)


def test_a_module_that_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"moframework\.takss"):
        importlib.import_module("moframework.takss")


def test_looking_for_a_module_does_not_warn() -> None:
    forget("moframework.tasks")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert importlib.util.find_spec("moframework.tasks") is not None


def test_installing_again_changes_nothing() -> None:
    before = list(sys.meta_path)
    install()
    assert sys.meta_path == before


def test_importing_the_package_stays_cheap() -> None:
    script = "import sys, moframework; print(*(m for m in ('torch', 'numpy', 'attrs', 'yaml') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_name_that_changed_is_found_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("some_module")
    module.New = object()  # type: ignore[attr-defined]
    module.__getattr__ = renamed("some_module", {"Old": "New"})  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "some_module", module)
    (warning,) = imported("from some_module import Old\nfrom some_module import Old, New\nassert Old is New")
    assert "some_module.Old is now New" in str(warning.message)
    assert (warning.filename, warning.lineno) == ("importer.py", 1)
    with pytest.raises(ImportError, match="cannot import name 'Other'"):
        exec("from some_module import Other")


DOCUMENTED = (
    *("moframework.analytic:AnalyticProblem", "moframework.problem:Declared", "moframework.losses:MSE"),
    *("moframework.config:config", "moframework.config:option", "moframework.objectives.linear:Linear"),
    *(f"moframework.objectives.base:{name}" for name in ("Scalarization", "Weighting", "Aggregation")),
    *("moframework.backbones.mlp:MLP", "moframework.parts:problem_from_parts", "moframework.tasks:Task"),
    *("moframework.testing:Few", "moframework.testing.few:Few", "moframework.adapting:adapted"),
    *(
        f"moframework.testing:{name}"
        for name in ("check_pair", "check_problem", "check_run", "check_schedule", "pairs")
    ),
    *("moframework.model:ParetoModel", "moframework.data:TensorData", "moframework.data:NPZ"),
)
"""What pages and docstrings for plug-in writers named before the tree was put in order."""


@pytest.mark.parametrize("name", DOCUMENTED)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_pages_named_is_found_where_they_said(name: str) -> None:
    assert callable(Reference.read(name, None).load())


def test_nothing_of_ours_uses_an_old_path() -> None:
    old = re.compile(r"(?<![\w.])(" + "|".join(re.escape(name) for name in MOVED) + r")(?!\w)")
    imports = re.compile(
        "|".join(
            rf"from {re.escape(parent)} import [^\n]*\b{child}\b"
            for parent, _, child in (name.rpartition(".") for name in MOVED)
        )
    )
    left_out = {ROOT / "moframework" / "_moved.py", Path(__file__), ROOT / "docs" / "changelog.md"}
    # These run the code of earlier commits too:
    left_out |= {ROOT / "tests" / "speed" / name for name in ("version_cases.py", "worker.py")}
    folders = ("moframework", "problems", "specs", "tests", "docs", ".ci", ".github")
    paths = [ROOT / "README.md", ROOT / "pyproject.toml"]
    paths += [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    used = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in paths
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".sh", ""} and path not in left_out
        for found in (*old.finditer(path.read_text("utf-8")), *imports.finditer(path.read_text("utf-8")))
    ]
    assert len(paths) > 300
    assert not used, "\n".join(used)
