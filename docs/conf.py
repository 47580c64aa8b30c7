"""The site of these pages: `python -m sphinx -W --keep-going -j 2 docs docs/_build/html`, with the extra `docs`.

The pages are read in the repository too, so they are plain Markdown with relative links; how they hang together in the
site stands here alone. What is made from the code is written to docs/reference before the pages are read.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from sphinx.application import Sphinx

from moframework.cli.main import main
from moframework.reference.pages import write

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

html_theme = "furo"
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
    "Start": ("get-started", "concepts", "which-solver", "choosing", "notebooks"),
    "Your own": ("own-problem", "checkpoints", "blackbox", "plugins"),
    "Train": ("training", "objectives", "metrics", "tracking", "reliability"),
    "Use": ("predicting", "exporting", "serving", "reporting"),
    "Reference": ("reference/index", "troubleshooting"),
    "Compare": ("comparing", "benchmarks", "compare", "census"),
    "Project": ("design", "reference/contributing", "security", "changelog"),
}
"""What stands beside every page: headings, and the pages under each."""

BELOW = {
    "benchmarks": ("benchmarks/*/results",),
    "design": ("design/contracts", "design/decisions", "design/performance"),
}
"""Pages that belong below another one."""

CONTRIBUTING = HERE.parent / ".github" / "CONTRIBUTING.md"
"""It lies where GitHub looks for it; the site has a copy."""


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


def write_reference(app: Sphinx) -> None:
    """Write what is made from the code, and a copy of CONTRIBUTING with links that are right in docs/reference."""
    write(HERE / "reference", main)
    text = CONTRIBUTING.read_text(encoding="utf-8")
    text = re.sub(r"\]\(\.\./docs/", "](../", text).replace("](../LICENSE)", "](../../LICENSE)")
    (HERE / "reference" / "contributing.md").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("builder-inited", write_reference)
    app.connect("source-read", add_navigation)
