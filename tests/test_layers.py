"""Imports go down only: every import is read from source and compared with the layers of docs/design.md."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the bottom up. A module may import from its own layer and those below.
LAYERS = (
    ("constants", "errors", "files", "tensorfiles", "specs"),
    ("config",),
    ("objectives", "preferences", "pareto", "plots"),
    ("model", "weights", "backbones"),
    (
        *("problem", "analytic", "augmentations", "parts", "tasks", "losses", "metrics"),
        *("adapting", "data", "columns", "contents", "datafiles", "downloads", "imagefiles", "overlay", "targets"),
    ),
    ("engine",),
    ("solvers",),
    ("spec",),
    ("run",),
    ("benchmark", "testing"),
    ("cli", "catalog", "progress", "scaffold", "tables", "__main__"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

MATHS = ("objectives", "preferences", "pareto")
EFFECTS = {"logging", "yaml", "matplotlib", "moframework.pareto.plots"}

# The zoo does as a third party would: declares, and leaves solving, training and files of runs to others.
ZOO_MAY_IMPORT = {"errors", "files", "config", "backbones", *LAYERS[LEVEL["problem"]]}


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


def layer(module: str) -> str:
    """`moframework.run.logs` → `run`; the package itself → ``."""
    return module.partition(".")[2].partition(".")[0]


MODULES = modules()
IMPORTS = {name: imports(name, path, set(MODULES)) for name, path in MODULES.items()}
OURS = {name: {other for other in found if other.split(".")[0] == "moframework"} for name, found in IMPORTS.items()}


def test_every_module_has_a_layer() -> None:
    assert len(MODULES) > 25
    unknown = {name for name in MODULES if layer(name) not in {*LEVEL, "problems", ""}}
    assert not unknown, f"put these into a layer, here and in docs/design.md: {sorted(unknown)}"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_down_only(name: str) -> None:
    if name == "moframework":  # the public names, loaded on demand, come from everywhere
        return
    own = layer(name)
    for other in OURS[name]:
        target = layer(other)
        assert target, f"{name} imports the package itself; import the module that defines the name"
        if own == "problems":
            assert target == "problems" or target in ZOO_MAY_IMPORT, f"{name} (the zoo) imports {other}"
        else:
            assert target in LEVEL, (
                f"{name} imports {other}, which has no layer (the zoo is reached through its registry)"
            )
            assert LEVEL[target] <= LEVEL[own], f"{name} ({own}) imports {other} ({target}), which is a layer above it"


@pytest.mark.parametrize("name", sorted(name for name in MODULES if layer(name) in MATHS))
def test_maths_has_no_effects(name: str) -> None:
    effects = {
        other for other in IMPORTS[name] for effect in EFFECTS if other == effect or other.startswith(effect + ".")
    }
    assert not effects, f"{name} computes; {sorted(effects)} belong to run or command line"


def test_there_is_no_cycle() -> None:
    visited: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, "cycle of imports: " + " → ".join([*path[path.index(name) :], name])
        if name not in visited:
            for other in sorted(OURS.get(name, set()) - {name}):
                visit(other, (*path, name))
            visited.add(name)

    for name in sorted(set(MODULES) - {"moframework"}):
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
