"""The page as text: whole, without a network, and with nothing in it that the names of a run could end."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

from moframework.report.page import page, write_page
from tests.report.hostile import HOSTILE, hostile_run
from tests.report.runs import shown_runs

__all__ = ["shown_runs"]

Runs = Mapping[str, Path]


class Elements(HTMLParser):
    """Elements of a page, and the text in each kind."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.found[-1] if self.found else ("", {})
        key = "data" if attributes.get("type") == "application/json" else tag
        self.texts[key] = self.texts.get(key, "") + data


def test_a_page_is_whole_and_loads_nothing(shown_runs: Runs, tmp_path: Path) -> None:
    write_page([shown_runs["palora"], shown_runs["single"]], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    elements = Elements(text)
    assert [attributes.get("href") for tag, attributes in elements.found if tag == "link"] == ["data:,"]
    assert not any("src" in attributes for _, attributes in elements.found)
    assert not re.search(
        r"url\(|@import|fetch\(|XMLHttpRequest|innerHTML|insertAdjacentHTML|document\.write|eval\(", text
    )
    assert len(text) < 200_000
    data = json.loads(elements.texts["data"])
    assert [run["name"] for run in data["runs"]] == ["palora", "single"]
    assert page([shown_runs["palora"]], title="A <title>").count("A &lt;title&gt;") == 2


def test_hostile_names_end_nothing(shown_runs: Runs, tmp_path: Path) -> None:
    run = hostile_run(shown_runs["palora"], tmp_path)
    plain, hostile = Elements(page([shown_runs["palora"]])), Elements(page([run]))
    assert [tag for tag, _ in hostile.found] == [tag for tag, _ in plain.found], "no element more, and none less"
    data = json.loads(hostile.texts["data"])
    assert data["tasks"] == list(HOSTILE)
    assert "</script>" in data["runs"][0]["path"]
