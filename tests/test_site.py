"""The site: everything that there is has its page, and every page can be read.

The built site is the folder that `MOFRAMEWORK_SITE` names, as .ci/run sets it; without it these tests are skipped:

    python -m sphinx -q -W --keep-going -j 2 -d docs/_build/doctrees docs docs/_build/html
    MOFRAMEWORK_SITE=docs/_build/html python -m pytest -n0 tests/test_site.py
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click
import pytest

import moframework
from moframework.benchmark.loading import benchmark_schema
from moframework.cli.main import main
from moframework.config import entries, kinds
from moframework.reference.commands import commands
from moframework.reference.entry import Entry, Page
from moframework.reference.errors import GROUPS, error_classes, messages
from moframework.reference.importing import BESIDE, home, public
from moframework.reference.pages import pages
from moframework.schemas.results import RESULT_FILES, result_schema
from moframework.spec.spec import spec_schema
from moframework.tuning.loading import study_schema
from tests.notes import HANDED_ON, PARTS, WRITERS, fixed, handed_on, notes

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LARGEST = 15 * 2**20
"""Bytes of the built site."""


@pytest.fixture(scope="module")
def made() -> Mapping[str, Page]:
    return {page.path: page for page in pages(main)}


@pytest.fixture(scope="module")
def known(made: Mapping[str, Page]) -> Mapping[str, Entry]:
    return {f"{page.path} {entry.name}": entry for page in made.values() for entry in page.entries}


# What has a page


@pytest.mark.parametrize("name", [*moframework.__all__, *BESIDE])
def test_a_public_name_has_its_page(known: Mapping[str, Entry], name: str) -> None:
    found, page = public(name), "beside" if name in BESIDE else name
    assert len(known[f"python/{page} {name}"].body) > len(f"from {home(name)} import {name}") + 40
    if isinstance(found, type):
        for key, value in vars(found).items():
            if not key.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                assert known[f"python/{page} {name}.{key}"].body


INNER = {"Column", "Component", "Entry", "Part"}
"""What all parts are, and the leaves of structures whose pages say what they hold."""


def _returned(function: Any) -> set[str]:
    """Classes of ours that a function's annotation says it returns."""
    words = re.findall(r"[A-Z]\w+", str(getattr(function, "__annotations__", {}).get("return")))
    found = {word: getattr(inspect.getmodule(function), word, None) for word in words}
    return {word for word, one in found.items() if isinstance(one, type) and one.__module__.startswith("moframework.")}


@pytest.mark.parametrize("name", [*moframework.__all__, *BESIDE])
def test_what_a_public_name_returns_has_its_page(name: str) -> None:
    found = public(name)
    members = [value for key, value in vars(found).items() if key[:1] != "_"] if isinstance(found, type) else [found]
    functions = [one.fget if isinstance(one, property) else one for one in members]
    assert {word for one in functions for word in _returned(one)} <= {*moframework.__all__, *BESIDE, *INNER}


@pytest.mark.parametrize("kind", kinds())
def test_a_part_has_its_page(known: Mapping[str, Entry], kind: str) -> None:
    for entry in entries(kind):
        body = known[f"parts/{kind} {kind}/{entry.name}"].body
        before, _, after = body.partition("**Options**")
        assert before.strip(), entry.name
        assert "Source: `" in after, entry.name
        found = re.search(r"^In Python: `from ([\w.]+) import (\w+)`$", after, re.MULTILINE)
        assert found is not None, f"{entry.name}: no line says how it is imported"
        assert hasattr(importlib.import_module(found[1]), found[2])


def definitions() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of the schemas with their keys; those of specs that extend others are the same."""
    for schema in (spec_schema(), benchmark_schema(), study_schema()):
        for name, definition in schema["definitions"].items():
            # What a place of one kind holds without its name has the keys of the part.
            if not name.startswith("extending.") and not name.endswith(".unnamed") and "properties" in definition:
                yield name, definition["properties"]


def test_every_key_has_a_place_and_a_help(made: Mapping[str, Page], known: Mapping[str, Entry]) -> None:
    """Read from the JSON Schemas, which are made another way."""
    on_pages = {
        entry.name.rpartition(".")[2] for path in ("spec", "benchmark", "study") for entry in made[path].entries
    }
    bodies = " ".join(entry.body for page in made.values() for entry in page.entries if page.path.startswith("parts/"))
    of_parts = set(re.findall(r"^- `[\w.\[\]]+\.(\w+)` \(", bodies, re.MULTILINE))
    missing = []
    for name, properties in definitions():
        kind, _, part = name.partition(".")
        entry = known.get(f"parts/{kind} {kind}/{part}")
        for key in properties.keys() - {"name", "python", "extends"}:  # told of all kinds, and of the spec as a whole
            everywhere = made[f"parts/{kind}"].introduction if f"parts/{kind}" in made else ""
            body = entry.body if entry is not None else everywhere if part else ""
            there = f"- `{key}` (" in body + everywhere or (entry is None and key in on_pages | of_parts)
            missing += [] if there else [f"{name}: {key}"]
    assert not missing
    assert not [f"{entry.name}" for entry in made["spec"].entries if entry.body.startswith(".")], (
        "an option without help"
    )


def test_keys_that_are_no_options_are_told(made: Mapping[str, Page]) -> None:
    assert all(f"`{key}:" in made["spec"].introduction for key in ("extends", "python"))


def test_a_command_and_its_options_have_their_page(known: Mapping[str, Entry]) -> None:
    for name, command in commands(main, "moframework"):
        if command.hidden:
            continue
        entry = known[f"commands {name}"]
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                for spelled in parameter.opts:
                    line = next(line for line in entry.body.splitlines() if re.match(rf"- `[^`]*{spelled}\b", line))
                    assert line.partition("`: ")[2], f"{name} {spelled}"


def test_an_error_has_its_place(known: Mapping[str, Entry]) -> None:
    for cls in error_classes():
        assert known[f"errors {cls.__name__}"].body
    tree = ast.parse((ROOT / "moframework" / "errors.py").read_text(encoding="utf-8"))
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert classes <= {cls.__name__ for cls in error_classes()}


def test_a_text_of_an_error_has_an_address_and_a_group(known: Mapping[str, Entry]) -> None:
    groups = [known[f"errors errors/{title}"].body for title in GROUPS]
    lines = [line for body in groups for line in body.splitlines() if line.startswith("  ")]
    names = {cls.__name__ for cls in error_classes()}
    assert len(lines) == sum(len(texts) for name, texts in messages().items() if name in names) > 500
    assert all(re.search(r" \(`moframework[\w.]*`\) \[#\]\(#text-[\w-]+\)$", line) for line in lines)
    assert max(body.count("\n  ") for body in groups) <= 80, "a long list is not looked through: divide it"
    (group,) = [title for title in GROUPS if "no … called '…':" in known[f"errors errors/{title}"].body]
    assert f"[{group}](#" in known["errors UnknownNameError"].body


@pytest.mark.parametrize("name", RESULT_FILES)
def test_a_file_of_results_has_its_keys(known: Mapping[str, Entry], name: str) -> None:
    body = known[f"files files/{name}"].body
    for key, schema in result_schema(name)["properties"].items():
        assert f"- `{key}`: " in body or "description" not in schema, key


def test_links_between_pages_and_anchors_are_right(made: Mapping[str, Page]) -> None:
    names = {f"{path}.md" for path in made}
    targets = re.compile(r"^(?:- )?\(([\w-]+)\)=$", re.MULTILINE)
    counts = Counter(anchor for page in made.values() for anchor in targets.findall(page.markdown()))
    assert counts.keys() >= {entry.anchor for page in made.values() for entry in page.entries}
    assert not [anchor for anchor, count in counts.items() if count > 1]
    for page in made.values():
        for target in re.findall(r"\]\((?!\.\./|https?:)([^)]+)\)", re.sub(r"`[^`]*`", "", page.markdown())):
            path, _, anchor = target.partition("#")
            assert not path or str(Path(page.path).parent / path) in names, f"{page.path}: {target}"
            assert not anchor or anchor in counts, f"{page.path}: {target}"
    assert {path for page in made.values() for path in page.below} | {"index"} == set(made)


# Notes


def quotes() -> str:
    """What troubleshooting quotes, below headings; its lines joined and without escapes."""
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    assert "> " not in text.partition("\n## ")[0], "a quote without an anchor"
    return " ".join(line[2:] for line in text.splitlines() if line.startswith("> "))


def test_every_note_is_quoted_below_an_anchor() -> None:
    text = quotes()
    missing = [f"{file}: {note}" for note, file in notes().items() if " ".join(fixed(note).split()) not in text]
    assert not missing, "quote these in docs/troubleshooting.md, and say what to do:\n" + "\n".join(missing)


def test_notes_are_looked_for_where_they_are_made() -> None:
    assert handed_on() == set(HANDED_ON), "say in tests/notes.py which function has the texts"
    every = notes()
    for file, names in WRITERS.items():
        functions = {n.name for n in ast.walk(ast.parse((ROOT / file).read_bytes())) if isinstance(n, ast.FunctionDef)}
        assert set(names) <= functions, file
    assert len(every) > 70
    assert any(note.startswith("The front is flat") for note in every)
    assert PARTS.keys().isdisjoint(every)


# The built site


@pytest.fixture(scope="module")
def site() -> Path:
    given = os.environ.get("MOFRAMEWORK_SITE")
    if not given:
        pytest.skip("no built site: MOFRAMEWORK_SITE names none")
    return Path(given).resolve()


class Links(HTMLParser):
    """Targets, anchors and pictures of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.unnamed: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors.add(given.get("id") or "")
        if tag in ("a", "link") and given.get("href"):
            self.targets.append(given["href"] or "")
        if tag in ("img", "script") and given.get("src"):
            self.targets.append(given["src"] or "")
        if tag == "img" and len((given.get("alt") or "").split()) < 2:
            self.unnamed.append(given.get("src") or "")


def test_links_anchors_and_pictures_of_the_built_site(site: Path) -> None:
    found = {path: Links(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    assert len(found) > 100
    broken, outside = [], set()
    for path, links in found.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme == "data":
                continue
            if parts.scheme in ("http", "https"):
                outside.add(target)
                continue
            other = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = found[other].anchors if other in found else set()
            if not other.exists() or (parts.fragment and other in found and unquote(parts.fragment) not in anchors):
                broken.append(f"{path.relative_to(site)}: {target}")
    assert not broken
    assert not [f"{path.name}: {src}" for path, links in found.items() for src in links.unnamed], "alternative texts"
    assert not [one for one in outside if re.search(r"\.(js|css|woff2?)$", one)], "the site needs no network"


def test_the_built_site_is_small(site: Path) -> None:
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < LARGEST


BROWSER = """
() => {
  const luminance = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
      .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(color) && color !== "transparent") return color;
    }
    return "rgb(255, 255, 255)";
  };
  let contrast = 99;
  const seen = new Set();  // what has the same tag and classes looks the same
  const texts = ["p", "li", "td", "code", "a", "pre span"].map((one) => `article ${one}`).join(", ");
  for (const element of document.querySelectorAll(texts)) {
    const kind = [element, element.parentElement, element.parentElement.parentElement]
      .map((one) => one.tagName + "." + one.className).join(" ");
    if (seen.has(kind) || !element.textContent.trim()) continue;
    seen.add(kind);
    const [a, b] = [getComputedStyle(element).color, background(element)].map(luminance);
    contrast = Math.min(contrast, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return { width: document.documentElement.scrollWidth, contrast };
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = next((path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(path).exists()), None)
    if chromium is None:
        pytest.skip("no chromium on this machine")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.mark.timeout(1200)  # half a minute on a free core; one that is shared takes many times that
def test_pages_on_a_telephone_in_the_dark(site: Path, browser: Any) -> None:
    """No page is wider than 360 px, none logs an error, text is readable: WCAG asks for a contrast of 4.5."""
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.route("http*://**", lambda route: (said.append(f"asks for {route.request.url}"), route.abort()))
    wide, faint, measured = [], [], 0
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri(), wait_until="load")
        found = page.evaluate(BROWSER)
        wide += [f"{path.relative_to(site)}: {found['width']}"] if found["width"] > 360 else []
        faint += [f"{path.relative_to(site)}: {found['contrast']:.1f}"] if found["contrast"] < 4.5 else []
        measured += found["contrast"] < 99
    context.close()
    assert (wide, faint, said) == ([], [], [])
    assert measured > 100


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("palora", "reference/parts/solvers.html"),
        ("reversed", "troubleshooting.html"),
        ("select", "reference/python/Front.html"),
    ],
)
def test_search_finds_without_a_network(site: Path, browser: Any, words: str, page: str) -> None:
    opened = browser.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    opened.goto(f"{(site / 'search.html').as_uri()}?q={words}")
    opened.wait_for_selector("#search-results li a")
    opened.wait_for_function(
        "!document.querySelector('#search-progress, .search-summary')?.textContent.includes('Searching')"
    )
    found = opened.eval_on_selector_all(
        "#search-results li a", "all => all.map(one => one.href.split('?')[0].split('#')[0])"
    )
    opened.close()
    assert (site / page).as_uri() in found
    assert said == []
