"""What is installed: the list of packages, the entry points, and a wheel outside any checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from moframework.config import Component, entries

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
POINTS = [
    (group.removeprefix("moframework."), name, target)
    for group, points in PYPROJECT["project"]["entry-points"].items()
    for name, target in points.items()
]


def packages_below(folder: Path, name: str) -> set[str]:
    """Every folder with Python files, as the package it must be."""
    folders = {path.parent for path in folder.rglob("*.py")}
    return {".".join([name, *found.relative_to(folder).parts]) for found in folders}


def test_package_list_matches_the_folders() -> None:
    found = packages_below(ROOT / "moframework", "moframework")
    found |= packages_below(ROOT / "problems", "moframework.problems")
    found |= packages_below(ROOT / "specs", "moframework.specs")
    assert len(found) > 10
    assert sorted(PYPROJECT["tool"]["setuptools"]["packages"]) == sorted(found)


@pytest.mark.parametrize("folder", ["moframework", "problems", "specs"])
def test_every_folder_with_code_is_a_package(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        assert (path.parent / "__init__.py").is_file(), f"{path.parent} has no __init__.py"


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")} - {ROOT / "tests"}
    assert folders
    missing = sorted(str(path) for path in folders if not (path / "__init__.py").is_file())
    assert not missing, "tests of the same name in two folders clash without __init__.py"


@pytest.mark.parametrize(("kind", "name", "target"), POINTS, ids=[f"{kind}/{name}" for kind, name, _ in POINTS])
def test_entry_point_loads(kind: str, name: str, target: str) -> None:
    loaded = EntryPoint(name, target, f"moframework.{kind}").load()
    assert callable(loaded)
    if isinstance(loaded, type):
        assert issubclass(loaded, Component)
        assert loaded.kind == kind
        assert loaded.__doc__, "its first line is what `moframework list` says"


def test_installed_entry_points_are_those_of_pyproject() -> None:
    kinds = {kind for kind, _, _ in POINTS}
    installed = {(e.kind, e.name, e.target) for kind in kinds for e in entries(kind) if e.package == "moframework"}
    assert installed == set(POINTS), "the installed package is out of date: pip install -e ."


def test_command_is_installed() -> None:
    assert PYPROJECT["project"]["scripts"] == {"moframework": "moframework.cli.main:main"}
    assert callable(EntryPoint("moframework", "moframework.cli.main:main", "console_scripts").load())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources, so that neither `build/` nor deleted modules get in."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("moframework", "problems", "specs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_has_everything_and_nothing_beside(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (top_level,) = (archive.read(name).decode() for name in names if name.endswith("top_level.txt"))
    version = PYPROJECT["project"]["version"]
    assert {name.split("/")[0] for name in names} == {"moframework", f"moframework-{version}.dist-info"}
    assert top_level.split() == ["moframework"], "no generic `problems` or `specs` in site-packages"
    expected = {"moframework/py.typed"}
    for folder, inside in (("moframework", ""), ("problems", "problems/"), ("specs", "specs/")):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".yaml", ".csv"}:
                expected.add(f"moframework/{inside}{path.relative_to(ROOT / folder).as_posix()}")
    expected |= {f"moframework/schemas/{path.name}" for path in (ROOT / "moframework" / "schemas").glob("*.json")}
    static = ROOT / "moframework" / "report" / "static"
    expected |= {f"moframework/report/static/{path.name}" for path in static.iterdir()}
    expected |= {f"moframework/serve/page.{suffix}" for suffix in ("html", "css", "js")}
    assert {name for name in names if name.startswith("moframework/")} == expected


def test_wheel_has_the_license(wheel: Path) -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License")
    assert "The moframework developers" in text
    with zipfile.ZipFile(wheel) as archive:
        info = f"moframework-{PYPROJECT['project']['version']}.dist-info"
        assert archive.read(f"{info}/licenses/LICENSE").decode() == text
        metadata = archive.read(f"{info}/METADATA").decode()
    assert "License-Expression: MIT\n" in metadata
    assert "License-File: LICENSE\n" in metadata


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked, to be put first on the import path."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_installed(installed: Path, cwd: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_zoo_and_specs_come_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    script = (
        "import moframework.problems.digits as zoo; from moframework.spec import bundled_specs\n"
        "print(zoo.__file__); print(*bundled_specs().values(), sep='\\n')"
    )
    zoo, *specs = run_installed(installed, tmp_path, "-c", script).split("\n")[:-1]
    assert Path(zoo).is_relative_to(installed)
    assert len(specs) == len(list((ROOT / "specs").rglob("*.yaml"))) > 0
    assert all(Path(spec).is_relative_to(installed) for spec in specs)


def test_bundled_spec_is_listed_and_solved_outside_a_checkout(installed: Path, tmp_path: Path) -> None:
    assert "quickstart" in run_installed(installed, tmp_path, "-m", "moframework", "specs")
    small = "problem={name: digits, train: 256, val: 64, test: 64}"
    short = ["--set", small, "--set", "training.epochs=null", "--set", "training.steps=2"]
    command = ["-m", "moframework", "solve", "quickstart", "--out", "run", *short, "--quiet"]
    assert run_installed(installed, tmp_path, *command).strip() == "run"
    assert (tmp_path / "run" / "front-test.json").is_file()
