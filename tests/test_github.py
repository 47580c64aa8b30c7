"""What GitHub reads: the workflow names what exists, forms are valid, and CONTRIBUTING says what is so."""

from __future__ import annotations

import importlib
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import moframework

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
CONTRIBUTING = (GITHUB / "CONTRIBUTING.md").read_text(encoding="utf-8")

_SCRIPT = re.compile(r"(?:[A-Z]+=\w+ )?(\.ci/\w+)(?: [\w,]+)*")
_INSTALL = re.compile(r"python -m pip install -e '\.\[(\w+(?:,\w+)*)\]'")
_TESTS = re.compile(r"python -m pytest(?: -n auto)?")


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def jobs() -> dict[str, dict[str, Any]]:
    return {name: job for path in WORKFLOWS for name, job in load(path)["jobs"].items()}


def commands(job: dict[str, Any]) -> list[str]:
    return [line for step in job["steps"] for line in step.get("run", "").splitlines()]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_one(path: Path) -> None:
    workflow = load(path)
    # `on` is a truth value in YAML 1.1, which PyYAML reads
    assert {"name", "jobs", True} <= set(workflow)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        assert all(("uses" in step) != ("run" in step) for step in job["steps"])
        assert all(re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in job["steps"] if "uses" in step)


@pytest.mark.parametrize("name", jobs())
def test_a_job_runs_what_anybody_can_run(name: str) -> None:
    found = commands(jobs()[name])
    assert found
    for command in found:
        script, install = _SCRIPT.fullmatch(command), _INSTALL.fullmatch(command)
        assert script or install or _TESTS.fullmatch(command), f"put it into a script of .ci: {command}"
        if script:
            assert os.access(ROOT / script[1], os.X_OK), script[1]
        if install:
            assert set(install[1].split(",")) <= set(PROJECT["optional-dependencies"])


def test_jobs_cover_versions_extras_and_the_whole() -> None:
    found = {name: commands(job) for name, job in jobs().items()}
    every = [command for lines in found.values() for command in lines]
    with_extras = {f".ci/lowest {versions} torchjd,timm" for versions in ("lowest", "newest")}
    assert {"PYTHON=python .ci/check", ".ci/lowest", *with_extras} <= set(every)
    assert every.count(".ci/run") == 1
    assert found["without-extras"] == ["python -m pip install -e '.[test]'", "python -m pytest -n auto"]
    versions = jobs()["tests"]["strategy"]["matrix"]["python"]
    assert f">={versions[0]}" == PROJECT["requires-python"]
    assert versions == sorted(set(versions), key=lambda version: int(version.removeprefix("3.")))
    assert len(versions) >= 3


def test_the_extra_for_tests_has_no_optional_part() -> None:
    extras = PROJECT["optional-dependencies"]
    names = {re.split(r"[\[<>=;]", one)[0] for one in extras["test"]}
    optional = {re.split(r"[\[<>=;]", one)[0] for key in ("torchjd", "cagrad", "timm") for one in extras[key]}
    assert "pytest" in names
    assert not names & {*optional, "pandas"}
    assert "moframework[test]" in extras["dev"]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_is_one(path: Path) -> None:
    form = load(path)
    assert set(form) == {"name", "description", "labels", "body"}
    names = [part["id"] for part in form["body"] if part["type"] != "markdown"]
    assert len(names) == len(set(names)) > 2
    for part in form["body"]:
        assert part["type"] in {"markdown", "textarea", "input", "dropdown", "checkboxes"}
        assert part["attributes"]["label"]
        assert ("options" in part["attributes"]) == (part["type"] == "dropdown")
        assert set(part) <= {"type", "id", "attributes", "validations"}
    assert any(part.get("validations", {}).get("required") for part in form["body"])


def test_forms_ask_for_what_is_needed() -> None:
    found = {path.stem: {part["id"] for part in load(path)["body"]} for path in FORMS}
    assert set(found) == {"bug", "method", "problem"}
    assert {"spec", "versions", "command"} <= found["bug"]
    assert load(GITHUB / "ISSUE_TEMPLATE" / "config.yml") == {"blank_issues_enabled": True}


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "PULL_REQUEST_TEMPLATE.md"])
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (GITHUB / name).read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (GITHUB / link).exists(), link


def test_contributing_names_what_exists() -> None:
    words = re.findall(r"`([^`\n]+)`", CONTRIBUTING)
    folders = [word for word in words if re.fullmatch(r"(?:moframework|problems|specs|tests|docs)/(?:\w+/)*", word)]
    assert len(folders) > 10
    for folder in folders:
        assert (ROOT / folder).is_dir(), folder
    for script in (word.split()[0] for word in words if word.startswith(".ci/")):
        assert os.access(ROOT / script, os.X_OK), script
    for file in ("tests/test_layers.py", "docs/design.md", ".github/workflows/check.yml"):
        assert file in CONTRIBUTING
        assert (ROOT / file).is_file()


def rows() -> list[list[str]]:
    table = CONTRIBUTING.split("| to add a … |", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_the_table_of_parts_is_right(row: list[str]) -> None:
    _, file, bases, group, test = row
    assert group.strip("`") in PROJECT["entry-points"]
    folder = re.search(r"`((?:\w+/)+)", file)
    assert folder is not None
    assert (ROOT / folder[1]).is_dir()
    package = "moframework.problems" if folder[1] == "problems/" else folder[1].strip("/").replace("/", ".")
    modules = [importlib.import_module(package), moframework, importlib.import_module("moframework.problem.analytic")]
    for name in re.findall(r"`(\w+)`", bases):
        assert any(hasattr(module, name) for module in modules), name
    tested = re.search(r"`(tests/\w+/)", test)
    assert tested is not None
    assert (ROOT / tested[1]).is_dir()


def test_the_table_of_parts_has_the_four_that_are_asked_for_most() -> None:
    assert {"solver", "problem", "loss", "metric"} <= {row[0] for row in rows()}
