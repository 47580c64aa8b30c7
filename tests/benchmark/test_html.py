from __future__ import annotations

import re
from pathlib import Path

import attrs

from moframework.benchmark.html import problem_page, to_html
from moframework.benchmark.results import Results


def test_a_page_that_loads_nothing(finished: tuple[Results, Path]) -> None:
    _, folder = finished
    text = (folder / "results.html").read_text()
    assert text.count("<table>") >= 1
    assert "hypervolume, losses</th>" in text
    assert len(re.findall(r'<img src="data:image/png;base64,', text)) == len(re.findall("<img ", text)) == 2
    assert "script" not in re.findall(r"<(\w+)", text)
    assert '<a href="fronts-small.html">small</a>' in text


def test_what_names_hold_is_text(tmp_path: Path) -> None:
    text = to_html("<b>", "<!-- note -->\n# <script>alert(1)</script>\n\n| a |\n| --- |\n| <i>b</i> |\n", tmp_path, {})
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "<title>&lt;b&gt; ·" in text
    assert "&lt;i&gt;b" in text


def test_a_page_to_look_around_in(finished: tuple[Results, Path]) -> None:
    results, folder = finished
    text = (folder / "fronts-small.html").read_text()
    assert re.findall(r'"name":"(adapters|networks), seed [01]"', text) == ["adapters", "networks"]
    empty = attrs.evolve(results.groups[0], rows=())
    assert problem_page(empty) is None
