"""Entries are found by name; pages are written and removed. What is on them: tests/test_site.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from moframework.cli.main import main
from moframework.errors import UnknownNameError
from moframework.reference.keys import spec_page
from moframework.reference.options import option_texts
from moframework.reference.pages import find, index, write
from moframework.solvers.palora import PaLoRA


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
        ("Pick.as_plain", ["name-pick-as-plain"]),
        ("option", ["name-option"]),
    ],
)
def test_entries_are_found(name: str, anchors: list[str]) -> None:
    assert [entry.anchor for entry in find(name, main)] == anchors


@pytest.mark.parametrize(
    ("wrong", "hint", "kind"),
    [
        ("solvers/palorra", " did you mean 'solvers/palora'?", "solvers"),
        ("solver/palora", " did you mean 'solvers/palora'?", "solvers"),
        ("solvers xyzzy", "", "solvers"),
        ("losses/palora", " did you mean 'solvers/palora'?", "solvers"),
        ("optimizers/adamm", " did you mean 'optimizers/adam'?", "optimizers"),
    ],
)
def test_a_name_of_nothing_with_a_kind_is_told_the_nearest_of_it_and_how_to_list_all(
    wrong: str, hint: str, kind: str
) -> None:
    with pytest.raises(UnknownNameError) as caught:
        find(wrong, main)
    assert str(caught.value) == f"nothing is called '{wrong}':{hint} all {kind}: `moframework list {kind}`"


def test_a_name_of_nothing() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'troubleshooting'\?"):
        find("troubleshootng", main, ["troubleshooting"])
    with pytest.raises(UnknownNameError, match=r"nothing is called 'ParetoModle': did you mean 'ParetoModel'\?"):
        find("ParetoModle", main)


def test_pages_are_written_and_old_ones_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [index(), spec_page()]
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "gone.md").write_text("old")
    assert sorted(write(tmp_path, made)) == [tmp_path / "index.md", tmp_path / "spec.md"]
    assert sorted(tmp_path.rglob("*.md")) == [tmp_path / "index.md", tmp_path / "spec.md"]
    before = (tmp_path / "spec.md").stat().st_mtime_ns
    write(tmp_path, made)
    assert (tmp_path / "spec.md").stat().st_mtime_ns == before, "else Sphinx would read it again"


def test_defaults_are_as_a_spec_has_them() -> None:
    found = {one.key: one for one in option_texts(PaLoRA)}
    assert (found["rank"].default, found["members"].default, found["preferences"].default) == ("4", "none", "annealed")
    assert found["rank"].takes == "a whole number, at least 1 and at most 4096"
    assert found["preferences"].kinds == ("schedules",)


def test_the_page_of_commands_leaves_their_help_as_it_is() -> None:
    program = """
from click.testing import CliRunner
from moframework.cli.main import main
from moframework.reference.commands import command_page
command_page(main)
print([CliRunner().invoke(main, ["pick", flag]).exit_code for flag in ("-h", "--help")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[0, 0]\n"
