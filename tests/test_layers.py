"""The table of layers in docs/design.md and the code say the same: every import is read from source and compared."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "design.md"

MATHEMATICS = ("objectives", "preferences", "pareto")
EFFECTS = {"logging", "yaml", "matplotlib", "moframework.pareto.plots"}
PICTURES = "moframework.pareto.plots"
"""The one module of mathematics that draws."""


@frozen
class Row:
    """A line of the table: what it is about, what lives there, and what that may import."""

    names: tuple[str, ...]
    """Packages or modules, without `moframework.`; what is inside belongs to the row with the longest name."""
    text: str
    imports: frozenset[str]
    """Names of other rows."""

    def __str__(self) -> str:
        def shown(names: Iterable[str]) -> str:
            return ", ".join(f"`{name}`" for name in names) or "—"

        return f"| {shown(self.names)} | {self.text} | {shown(sorted(self.imports))} |"


def read_table(text: str) -> tuple[Row, ...]:
    """The rows of the first table of three columns below the heading `## Layers`, from top to bottom."""
    section = text.partition("\n## Layers\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = []
    for line in lines[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 3:
            raise ValueError(f"a row of the table of layers has three cells, but here is one of {len(cells)}: {line}")
        names, words, imports = cells
        rows.append(Row(tuple(re.findall(r"`([^`]+)`", names)), words, frozenset(re.findall(r"`([^`]+)`", imports))))
    return tuple(rows)


def modules() -> dict[str, Path]:
    """Full name → file, of every module of the package, the zoo and the specs."""
    found = {}
    homes = {"moframework": "moframework", "problems": "moframework.problems", "specs": "moframework.specs"}
    for folder, name in ((ROOT / home, name) for home, name in homes.items()):
        for path in sorted(folder.rglob("*.py")):
            parts = [name, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(module: str, path: Path, known: set[str]) -> set[str]:
    """Everything `module` imports, wherever in the file the import stands; modules of our own by their full name."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names = {f"{base}.{alias.name}" for alias in node.names}
            found.update(names & known)
            if names - known:
                found.add(base)
    return found


def name_of(module: str, table: Iterable[Row]) -> str | None:
    """The longest name of the table that `module` is, or lies inside of; None when there is none."""
    short = module.partition(".")[2]
    names = [name for row in table for name in row.names if short == name or short.startswith(f"{name}.")]
    return max(names, key=len, default=None)


def faults(table: tuple[Row, ...], graph: Mapping[str, set[str]]) -> list[str]:
    """Where table and code differ, each with what to write.

    Args:
        table: from top to bottom.
        graph: the modules that each module imports, all of `moframework` and by full name. The package itself, whose
            public names come from everywhere, is left out.
    """
    level = {name: position for position, row in enumerate(table) for name in row.names}
    members: dict[str, set[str]] = {name: set() for name in level}
    found = []
    for module in graph:
        name = name_of(module, table)
        if name is None:
            found.append(f"{module} has no row: give its package one, in the place that its imports allow")
        else:
            members[name].add(module)
    found += [f"`{name}` has a row, but no code: take it out" for name in level if not members[name]]
    for position, row in enumerate(table):
        used: dict[str, tuple[str, str]] = {}
        for module in sorted(set().union(*(members[name] for name in row.names))):
            for other in sorted(graph[module]):
                target = name_of(other, table)
                if target is not None and target not in row.names:
                    used.setdefault(target, (module, other))
        for target, (module, other) in used.items():
            if level[target] < position:
                found.append(f"{module} imports {other}, which the table has above it: `{target}`")
        if set(used) != row.imports:
            reasons = [f"{one} imports {other}" for name, (one, other) in used.items() if name not in row.imports]
            reasons += [f"nothing there imports `{name}`" for name in sorted(row.imports - set(used))]
            right = Row(row.names, row.text, frozenset(used))
            found.append(f"{'; '.join(reasons)}. The row that is right:\n{right}")
    return found


TABLE = read_table(PAGE.read_text(encoding="utf-8"))
MODULES = modules()
IMPORTS = {name: imports(name, path, set(MODULES)) for name, path in MODULES.items()}
OURS = {
    name: {other for other in found if other.split(".")[0] == "moframework"}
    for name, found in IMPORTS.items()
    if name != "moframework"
}


def test_table_and_code_say_the_same() -> None:
    assert len(MODULES) > 200
    assert len(TABLE) > 20
    found = faults(TABLE, OURS)
    assert not found, "\n\n".join(["docs/design.md, Layers:", *found])


def test_a_name_stands_once_in_the_table_and_leads_down() -> None:
    names = [name for row in TABLE for name in row.names]
    assert len(set(names)) == len(names)
    for position, row in enumerate(TABLE):
        below = {name for other in TABLE[position + 1 :] for name in other.names}
        assert row.imports <= below, f"the row of `{row.names[0]}` names rows that are not below it"
        assert row.text


def test_the_package_itself_is_imported_by_nothing_inside() -> None:
    inside = [name for name, found in OURS.items() if "moframework" in found]
    assert not inside, "import the module that defines the name, not its public alias"


def test_only_the_zoo_uses_the_zoo() -> None:
    """Problems are found through their registry: no package may know one by its module."""
    outside = {
        f"{name} imports {other}"
        for name, found in OURS.items()
        for other in found
        if other.startswith("moframework.problems") and not name.startswith("moframework.problems")
    }
    assert not outside
    assert "moframework.problems.overlay" in MODULES


@pytest.mark.parametrize(
    "name", sorted(name for name in OURS if name.split(".")[1] in MATHEMATICS and name != PICTURES)
)
def test_mathematics_has_no_effects(name: str) -> None:
    effects = {
        other for other in IMPORTS[name] for effect in EFFECTS if other == effect or other.startswith(effect + ".")
    }
    assert not effects, f"{name} computes; {sorted(effects)} belong to run or command line"


def test_no_modules_import_each_other_in_a_circle() -> None:
    visited: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, "cycle of imports: " + " → ".join([*path[path.index(name) :], name])
        if name not in visited:
            for other in sorted(OURS.get(name, set()) - {name}):
                visit(other, (*path, name))
            visited.add(name)

    for name in sorted(OURS):
        visit(name, ())


def test_the_reader_of_imports_sees_all_kinds(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text(
        "import yaml\nimport os.path as p\nfrom . import near\nfrom .near import thing\n"
        "def f():\n    from moframework.run import logs\n    from moframework.errors import SpecError\n"
    )
    known = {"moframework.a.near", "moframework.run.logs", "moframework.errors"}
    found = imports("moframework.a.m", path, known)
    assert found == {"yaml", "os.path", "moframework.a.near", "moframework.run.logs", "moframework.errors"}


class TestFaults:
    """What the comparison says of a small table and code that fits it, or does not."""

    PAGE = (
        "\n## Layers\n\ntext\n\n| package | what | imports |\n|---|---|---|\n"
        "| `top` | the loop | `top.core`, `low` |\n| `top.core`, `top.more` | a step | `low` |\n"
        "| `low` | basics | — |\n"
        "\n## Words\n| `no` | row | here |\n"
    )
    CODE: Mapping[str, set[str]] = {
        "moframework.top": set(),
        "moframework.top.loop": {"moframework.top.core", "moframework.low.a"},
        "moframework.top.core": {"moframework.top.more"},
        "moframework.top.more": {"moframework.low"},
        "moframework.low": set(),
        "moframework.low.a": {"moframework.low"},
    }

    def told(self, changes: Mapping[str, set[str]]) -> str:
        return "\n".join(faults(read_table(self.PAGE), {**self.CODE, **changes}))

    def test_what_fits(self) -> None:
        table = read_table(self.PAGE)
        assert [row.names for row in table] == [("top",), ("top.core", "top.more"), ("low",)]
        assert str(table[0]) == "| `top` | the loop | `low`, `top.core` |"
        assert str(table[2]) == "| `low` | basics | — |"
        assert faults(table, self.CODE) == []

    def test_a_package_without_a_row(self) -> None:
        assert "moframework.other.a has no row" in self.told({"moframework.other.a": set()})

    def test_a_row_without_code(self) -> None:
        code = {name: found for name, found in self.CODE.items() if "low" not in name}
        assert "`low` has a row, but no code" in "\n".join(faults(read_table(self.PAGE), code))

    def test_an_import_that_is_not_allowed_and_goes_up(self) -> None:
        said = self.told({"moframework.low.a": {"moframework.top.loop"}})
        assert "moframework.low.a imports moframework.top.loop, which the table has above it: `top`" in said
        assert "The row that is right:\n| `low` | basics | `top` |" in said

    def test_an_import_that_no_code_uses(self) -> None:
        said = self.told({"moframework.top.loop": {"moframework.low"}})
        assert "nothing there imports `top.core`. The row that is right:\n| `top` | the loop | `low` |" in said
