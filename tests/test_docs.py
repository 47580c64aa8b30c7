"""Pages: code in them is executed, page by page and in order; lines, links and names are right.

In a fenced block the first line may name a file, `# some/file.ext`: then the block is that file. Else a `python` block
is a script, and each line of an `sh` block a command. All of a page happens in one empty folder. What `pip install`
installs goes into a folder of its own, without network. Commands begin with their imports done (`tests.warm`).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import frozen

from moframework.engine.acceleration import ACCELERATIONS
from tests.extras import needs_onnx, needs_peft, needs_serve

DOCS = Path(__file__).parents[1] / "docs"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# ([\w./-]+\.\w+)\n")


@frozen
class Block:
    """A fenced block of a page: its language, content, and first line in the page."""

    language: str
    content: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(m[1], m[2], text[: m.start()].count("\n") + 1) for m in _FENCE.finditer(text)]


class Session:
    """One page's folder, and what is run in it.

    Args:
        folder: an empty one.
        python: the words that begin a command `python …`.
    """

    def __init__(self, folder: Path, python: list[str]) -> None:
        self.python = shlex.join(python)
        self.folder = folder / "page"
        self.folder.mkdir()
        site = folder / "site"
        commands = folder / "bin"
        commands.mkdir()
        for name, module in (("moframework", "-m moframework "), ("python", "")):
            script = commands / name
            script.write_text(f'#!/bin/sh\nexec {self.python} {module}"$@"\n')
            script.chmod(0o755)
        self.env = {
            **os.environ,
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(site),
            "OMP_NUM_THREADS": "1",
            "PIP_TARGET": str(site),
            "PIP_NO_DEPS": "1",
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # by pip's way of reading it, 0 is "no isolation"
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def execute(self, block: Block) -> None:
        named = _FILE.match(block.content)
        if named is not None:
            path = self.folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.content, encoding="utf-8")
        elif block.language == "python":
            self.run(block, f"{self.python} -c {shlex.quote(block.content)}")
        elif block.language == "sh":
            for command in block.content.splitlines():
                self.run(block, command)

    def run(self, block: Block, command: str) -> None:
        done = subprocess.run(
            command, shell=True, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False
        )
        said = done.stdout + done.stderr
        what = f"line {block.line}: {command}\n{said}"
        assert done.returncode == 0, what
        assert "Traceback" not in said, what


_MADE = {"benchmarks", "reference", "_build"}


def written() -> list[Path]:
    """The pages that people write: not the results of benchmarks, and not what is made from the code."""
    return sorted(page for page in DOCS.rglob("*.md") if not _MADE & set(page.relative_to(DOCS).parts))


def prose(page: Path) -> list[tuple[int, str]]:
    """Numbered lines of a page that can be wrapped: no tables, no pictures, no fenced blocks."""
    found, fenced = [], False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fenced ^= line.startswith("```")
        if not fenced and not line.startswith(("|", "![", "```")):
            found.append((number, line))
    return found


@pytest.mark.parametrize("page", written(), ids=lambda page: page.stem)
def test_lines_of_a_page_are_at_most_120_columns_wide(page: Path) -> None:
    wide = [number for number, line in prose(page) if len(line) > 120]
    assert not wide, f"{page.name}: wrap lines {wide}"


@pytest.mark.parametrize("page", [DOCS.parent / "README.md", *written()], ids=lambda page: page.stem)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


_MEASURED = re.compile(r"±|(?<![\w.\d\[(,])-?\.\d{3}\b|0\.\d{4}\b")
_SOURCE = re.compile(
    r"\]\((\.\./|docs/)*(benchmarks|design/performance|census)[^)]*\)"  # a report
    r"|`(moframework (benchmark|tune)|python -m tests\.\w+)|which no report keeps"  # a command; or it is said
)


def sections(page: Path) -> list[str]:
    """Below each heading of the first two levels, without what stands in fenced blocks."""
    return re.split(r"(?m)^(?=##? )", _FENCE.sub("", page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", [DOCS.parent / "README.md", *written()], ids=lambda page: page.stem)
def test_what_was_measured_leads_to_its_report(page: Path) -> None:
    if page.stem in ("benchmarks", "changelog"):  # the report itself, and what was so at the time
        return
    measured = [section for section in sections(page) if _MEASURED.search(section)]
    assert [section.split("\n")[0] for section in measured if not _SOURCE.search(section)] == []
    assert measured or page.stem not in ("README", "which-solver", "checkpoints", "compare", "training")


def is_there(name: str) -> bool:
    """Whether `a.b.C.d`, a name in moframework whose first part is a package or module of it, exists."""
    parts = f"moframework.{name}".split(".")
    for length in range(len(parts), 1, -1):
        module = ".".join(parts[:length])
        try:
            found: object = importlib.import_module(module) if importlib.util.find_spec(module) is not None else None
        except ModuleNotFoundError:
            continue
        if found is not None:
            for part in parts[length:]:
                if not hasattr(found, part):
                    return False
                found = getattr(found, part)
            return True
    return False


@pytest.mark.parametrize(
    "page", [DOCS / "design.md", *sorted((DOCS / "design").glob("*.md"))], ids=lambda page: page.stem
)
def test_design_names_what_there_is(page: Path) -> None:
    package = DOCS.parent / "moframework"
    homes = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    text = page.read_text(encoding="utf-8").partition("\n## Words\n")[0]
    names = [n for n in re.findall(r"`(?:moframework\.)?([\w]+(?:\.\w+)*)`", text) if n.split(".")[0] in homes]
    paths = re.findall(r"`(\w+(?:/\w+)+(?:\.\w+)?)`", text)
    assert names or paths
    assert [name for name in names if not is_there(name)] == []
    assert [path for path in paths if not any((home / path).exists() for home in (package, DOCS.parent))] == []


def test_every_acceleration_has_its_paragraph() -> None:
    text = (DOCS / "design" / "performance.md").read_text(encoding="utf-8")
    section = text.partition("\n## Accelerations\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^- \*\*`(\w+)`", section, re.MULTILINE)) == set(ACCELERATIONS)


def test_names_that_are_not_there_are_found() -> None:
    assert is_there("weights.WeightSpace.weights_of")
    assert not is_there("weights.WeightSpace.weights_off")
    assert not is_there("weights.joind")


def smaller(page: Path) -> list[Block]:
    """The blocks of a page, with what `SMALL` says of it."""
    found = blocks(page)
    for shown, instead in SMALL.get(page.stem, {}).items():
        assert any(shown in block.content for block in found), f"{page.name} no longer has {shown!r}"
        found = [Block(block.language, block.content.replace(shown, instead), block.line) for block in found]
    return found


PAGES = sorted(page for page in written() if any(b.language in ("python", "sh") for b in blocks(page)))
SMALL = {"own-problem": {"epochs: 6\n  batch_size: 64\n  optimizer": "epochs: 1\n  batch_size: 64\n  optimizer"}}
"""What is executed in the place of what a page shows, so that networks of some size train for seconds."""
NEEDS = {"exporting": [needs_onnx, needs_peft], "serving": [needs_serve]}
"""Marks of pages whose code needs extras."""


def test_pages_with_code_are_found() -> None:
    assert DOCS / "plugins.md" in PAGES


@pytest.mark.timeout(1200)  # about a minute on a free core; one that is shared takes many times that
@pytest.mark.parametrize("page", [pytest.param(page, id=page.stem, marks=NEEDS.get(page.stem, [])) for page in PAGES])
def test_code_of_a_page(page: Path, tmp_path: Path, warm: list[str]) -> None:
    session = Session(tmp_path, warm)
    for block in smaller(page):
        session.execute(block)


def test_a_page_that_does_not_work_is_found(tmp_path: Path) -> None:
    session = Session(tmp_path, [sys.executable])
    session.execute(Block("python", "# a/b.py\nx = 1\n", 1))
    assert (session.folder / "a" / "b.py").is_file()
    with pytest.raises(AssertionError, match=r"line 3: .*raise ValueError"):
        session.execute(Block("python", "raise ValueError\n", 3))
    with pytest.raises(AssertionError, match="line 5: false"):
        session.execute(Block("sh", "true\nfalse\n", 5))


def test_a_solver_is_one_short_file_and_a_row() -> None:
    """The page's solver writes neither `balancing` nor `initial`, and its spec gives both."""
    files = {m[1]: b.content for b in blocks(DOCS / "plugins.md") if (m := _FILE.match(b.content))}
    solver, spec = files["hull/annealed_hull.py"], files["annealed_hull.yaml"]
    assert "(Solver)" in solver
    assert len(solver.splitlines()) <= 25
    assert not re.search("balancing|initial", solver)
    assert "annealed_hull.py" not in files, "what is used is what was installed"
    row = '[project.entry-points."moframework.solvers"]\nannealed_hull = "annealed_hull:AnnealedHull"\n'
    assert row in files["hull/pyproject.toml"]
    assert re.search(r"^  name: annealed_hull$", spec, re.MULTILINE), "by the name that the row gives it"
    assert re.search(r"^  balancing: \[\{name: loss\}\]$", spec, re.MULTILINE)
    assert re.search(r"^  initial: \S+\.pt$", spec, re.MULTILINE)
