"""The pages hold together: links between them lead somewhere, names are found, files are written and removed."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from moframework.cli.main import main
from moframework.errors import UnknownNameError
from moframework.reference.entry import Page
from moframework.reference.options import option_texts
from moframework.reference.pages import find, pages, write
from moframework.solvers.palora import PaLoRA


@pytest.fixture(scope="module")
def made() -> dict[str, Page]:
    return {page.path: page for page in pages(main)}


def test_links_between_pages_and_anchors_are_right(made: dict[str, Page]) -> None:
    names = {f"{path}.md" for path in made}
    counts = Counter(entry.anchor for page in made.values() for entry in page.entries)
    assert not [anchor for anchor, count in counts.items() if count > 1]
    for page in made.values():
        for target in re.findall(r"\]\((?!\.\./|https?:)([^)]+)\)", re.sub(r"`[^`]*`", "", page.markdown())):
            path, _, anchor = target.partition("#")
            assert not path or str(Path(page.path).parent / path) in names, f"{page.path}: {target}"
            assert not anchor or anchor in counts, f"{page.path}: {target}"
    assert {path for page in made.values() for path in page.below} | {"index"} == set(made)


@pytest.mark.parametrize(
    ("name", "anchors"),
    [
        ("Front.select", ["name-front-select"]),
        ("solvers palora", ["part-solvers-palora"]),
        ("training.optimizer", ["key-spec-training-optimizer"]),
        ("front", ["command-front", "file-front"]),
        ("moframework new problem", ["command-new-problem"]),
        ("moframework.Run", ["name-run"]),
        ("adamw", ["part-optimizers-adamw"]),
        ("OptionError", ["error-optionerror"]),
    ],
)
def test_entries_are_found(name: str, anchors: list[str]) -> None:
    assert [entry.anchor for entry in find(name, main)] == anchors


def test_a_name_of_nothing() -> None:
    with pytest.raises(UnknownNameError, match=r"nothing is called 'Solvre': did you mean 'Solver'\?"):
        find("Solvre", main)


def test_pages_are_written_and_old_ones_removed(
    made: dict[str, Page], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moframework.reference.pages.pages", lambda group: iter([made["index"], made["spec"]]))
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "gone.md").write_text("old")
    assert sorted(write(tmp_path, main)) == [tmp_path / "index.md", tmp_path / "spec.md"]
    assert sorted(tmp_path.rglob("*.md")) == [tmp_path / "index.md", tmp_path / "spec.md"]
    before = (tmp_path / "spec.md").stat().st_mtime_ns
    write(tmp_path, main)
    assert (tmp_path / "spec.md").stat().st_mtime_ns == before, "else Sphinx would read it again"


def test_defaults_are_as_a_spec_has_them() -> None:
    found = {one.key: one for one in option_texts(PaLoRA)}
    assert (found["rank"].default, found["members"].default, found["preferences"].default) == ("4", "none", "annealed")
    assert found["rank"].takes == "a whole number, at least 1 and at most 4096"
    assert found["preferences"].kinds == ("schedules",)
