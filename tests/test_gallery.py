"""The gallery: its specs can be read, its commands are right, and its pictures and times are those that its script
made. That takes minutes, so it is not repeated here: `python docs/gallery/make.py FOLDER`."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path
from types import ModuleType

import click
import pytest

from moframework import load_spec
from moframework.cli.main import main

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "gallery.md").read_text(encoding="utf-8")


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_gallery", DOCS / "gallery" / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKE = script()
SECTIONS: dict[str, str] = MAKE.sections(PAGE)
MADE = json.loads((DOCS / "gallery" / "made.json").read_text(encoding="utf-8"))


def test_there_are_enough_and_they_are_small() -> None:
    pictures = {path.name: path.stat().st_size for path in (DOCS / "gallery").glob("*.png")}
    shown = [re.findall(r"!\[[^\]]{30,}\]\(gallery/([\w-]+\.png)\)", section) for section in SECTIONS.values()]
    assert all(len(names) == 1 for names in shown), "a picture each"
    assert pictures.keys() == {name for names in shown for name in names}
    assert len(pictures) >= 8
    assert sum(pictures.values()) < 2**20


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_is_what_was_run(title: str, tmp_path: Path) -> None:
    section = SECTIONS[title]
    for name, content in MAKE.files(section).items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    made: set[str] = set()
    for command in MAKE.commands(section):
        program, name, *given = shlex.split(command)
        if program == "python":
            assert (tmp_path / name).is_file()
            continue
        assert program == "moframework"
        called = main.commands[name]
        called.make_parser(click.Context(called)).parse_args(list(given))  # raises where an option is not there
        made |= {word for word in given if word.startswith("runs/")} if name == "solve" else set()
        assert {word for word in given if word.startswith("runs/")} <= made, "a run that was solved before"
        if name == "solve":
            assert load_spec(tmp_path / given[0])
    (took,) = re.findall(r"Takes\s+(\d+)\s+processor\s+seconds", section)
    assert int(took) == round(MADE[title]["processor_seconds"]) > 0
