"""The site of these pages: `python -m sphinx -W --keep-going -j 2 docs docs/_build/html`, with the extra `docs`.

The pages are read in the repository too, so they are plain Markdown with relative links; how they hang together in the
site stands here alone. What is made from the code is written to docs/reference before the pages are read.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from moframework.cli.main import main
from moframework.reference.entry import Page
from moframework.reference.pages import pages, write

HERE = Path(__file__).parent

project = "moframework"
author = "The moframework developers"
copyright = "The moframework developers, MIT license"
version = release = metadata.version("moframework")

extensions = ["myst_parser"]
exclude_patterns = ["_build", "notebooks/*"]
myst_heading_anchors = 4  # the anchors that GitHub gives to headings
myst_enable_extensions = ["attrs_block"]
suppress_warnings = ["myst.xref_ambiguous"]

smartquotes = False  # what stands in quotes may be typed

html_theme = "furo"
html_use_index = False  # the reference is the index
html_title = "moframework"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # it fetches the pages, which a browser refuses for file://
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "github-dark"

NAVIGATION = {
    "Start": ("get-started", "concepts", "which-solver", "choosing", "notebooks", "gallery"),
    "Your own": ("own-table", "own-problem", "problems", "checkpoints", "blackbox", "plugins"),
    "Train": ("specs", "recipes", "training", "devices", "tuning", "objectives", "metrics", "tracking"),
    "Use": ("runs", "predicting", "exporting", "serving", "reporting", "reproducing", "reliability"),
    "Reference": ("reference/index", "troubleshooting", "questions"),
    "Compare": ("comparing", "clusters", "benchmarks", "compare", "census"),
    "Project": ("design", "reference/contributing", "security", "changelog"),
}
"""What stands beside every page: headings, and the pages under each."""

BELOW = {
    "notebooks": ("reference/notebooks/*",),
    "benchmarks": (
        "benchmarks/*/results",
        "benchmarks/quick/through-ray",
        "benchmarks/fairness/by-batch",
        "benchmarks/time-to-front/study",
        "benchmarks/time-to-front-census/study",
        "benchmarks/time-to-front-scenes/study",
        "benchmarks/time-to-front/ratio",
    ),
    "design": ("design/contracts", "design/decisions", "design/performance"),
}
"""Pages that belong below another one."""

LINKED_KINDS = {"balancings", "merges", "objectives", "problems", "schedules", "solvers"}
"""Kinds whose parts are linked where a page names them."""

WORDS = {"config", "images"}
"""Names of parts that pages use for something else: a module, a reader."""

REPORT = re.compile(r"\[([^\]]+)\]\(([\w/.-]+\.html)\)")
"""A link to a report, which Sphinx would take for a download and put elsewhere, without its neighbors."""

CONTRIBUTING = HERE.parent / ".github" / "CONTRIBUTING.md"
"""It lies where GitHub looks for it; the site has a copy."""


NAMES: dict[str, tuple[str, str]] = {}
"""What `linked` found in the reference that was made."""


def toctree(pages: tuple[str, ...], caption: str = "") -> str:
    """The directive that puts `pages` into the navigation, without a list of them in the page itself."""
    options = [":hidden:", *([f":caption: {caption}"] if caption else []), *([":glob:"] if "*" in str(pages) else [])]
    return "\n".join(["", "```{toctree}", *options, "", *(f"/{page}" for page in pages), "```", ""])


def add_navigation(app: Sphinx, name: str, source: list[str]) -> None:
    """Put what only the site needs into the text of a page."""
    if name == "index":
        source[0] += "".join(toctree(pages, caption) for caption, pages in NAVIGATION.items())
    elif name in BELOW:
        source[0] += toctree(BELOW[name])
    if not re.search(r"^# ", source[0], re.MULTILINE):  # pages that are a table alone
        source[0] = f"# {name.split('/')[-2].capitalize()}\n\n{source[0]}"
    source[0] = source[0].replace("](../.github/CONTRIBUTING.md)", "](reference/contributing.md)")
    if not name.startswith("reference/"):
        source[0] = re.sub(r"\]\(notebooks/([\w-]+)\.ipynb\)", r"](reference/notebooks/\1.md)", source[0])
    source[0] = REPORT.sub(r'<a href="\2">\1</a>', source[0])


def copy_reports(app: Sphinx, error: Exception | None) -> None:
    """Put reports that are HTML already beside the pages that lead to them, so that what they lead to is found too."""
    for path in () if error else HERE.glob("benchmarks/*/*.html"):
        shutil.copyfile(path, Path(app.outdir) / path.relative_to(HERE))


def write_reference(app: Sphinx) -> None:
    """Write what is made from the code, and a copy of CONTRIBUTING with links that are right in docs/reference."""
    made = list(pages(main))
    write(HERE / "reference", made)
    NAMES.update(linked(made))
    text = CONTRIBUTING.read_text(encoding="utf-8")
    text = re.sub(r"\]\(\.\./docs/", "](../", text).replace("](../LICENSE)", "](../../LICENSE)")
    (HERE / "reference" / "contributing.md").write_text(text, encoding="utf-8")


def write_notebooks(app: Sphinx) -> None:
    """Write each notebook as a page, with what its cells gave; the notebook itself is a link on it."""
    folder = HERE / "reference" / "notebooks"
    folder.mkdir(exist_ok=True)
    for path in sorted((HERE / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n\n".join(part for cell in cells for part in cell_blocks(cell))
        itself = f"[This page is a notebook](../../notebooks/{path.name}), to be downloaded and run."
        text = text.replace("](../", "](../../").replace("\n\n", f"\n\n{itself}\n\n", 1)
        (folder / f"{path.stem}.md").write_text(text + "\n", encoding="utf-8")


def cell_blocks(cell: Mapping[str, Any]) -> Iterator[str]:
    """A cell of a notebook in Markdown: its text or code, and its outputs by the richest form a page can show."""
    source = "".join(cell["source"])
    yield source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```"
    for output in cell.get("outputs", ()):
        data = {kind: "".join(value) for kind, value in output.get("data", {}).items()}
        if "image/png" in data:
            image = data["image/png"].replace("\n", "")
            figure = f'<img alt="figure made by the cell above" src="data:image/png;base64,{image}">'
            yield f"```{{raw}} html\n<p>{figure}</p>\n```"
        elif "text/html" in data:
            yield f"```{{raw}} html\n{data['text/html']}\n```"
        else:
            yield f"```text\n{data.get('text/plain') or ''.join(output['text'])}\n```"


def linked(made: list[Page]) -> dict[str, tuple[str, str]]:
    """What code in the text of a page links to: page and anchor by name. Public names with a capital, keys with a dot,
    commands, and parts of the kinds that pages speak of, where one kind has the name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for page in made:
        for entry in page.entries:
            kind, _, part = entry.name.partition("/")
            named = part if kind in LINKED_KINDS else entry.name
            if named == part or named[0].isupper() or "." in named or named.startswith("moframework "):
                found.setdefault(named, []).append((f"reference/{page.path}", entry.anchor))
    return {name: places[0] for name, places in found.items() if len(places) == 1 and name not in ("", *WORDS)}


def link_names(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """Let code that is the name of something lead to what the reference says of it; headings stay as they are."""
    if name.startswith(("reference/", "changelog", "design/")):
        return
    for code in list(doctree.findall(nodes.literal)):
        place = NAMES.get(code.astext())
        if place is not None and not isinstance(code.parent, nodes.reference | nodes.title):
            uri = f"{app.builder.get_relative_uri(name, place[0])}#{place[1]}"
            code.replace_self(nodes.reference("", "", code.deepcopy(), refuri=uri, internal=True))


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("builder-inited", write_reference)
    app.connect("builder-inited", write_notebooks)
    app.connect("source-read", add_navigation)
    app.connect("doctree-resolved", link_names)
    app.connect("build-finished", copy_reports)
