"""Docstrings as Markdown. They are plain text: backticks are code, and everything else means itself."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator

import yaml

__all__ = ["escaped", "markdown", "summary"]

_CODE = re.compile(r"(`+)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_SPECIAL = re.compile(r"\*\*|([\\*_<>\[\]#|$~])")  # two stars stay what they are: words that stand out
_SECTION = re.compile(r"([A-Z][A-Za-z ]*):")
_ITEM = re.compile(r"(\*{0,2}[\w.`/*]+(?:(?:, | and )\*{0,2}[\w.`/*]+)*(?: \([^)]*\))?):\s+(.*)", re.DOTALL)


def markdown(text: str | None) -> str:
    r"""A docstring of any object as Markdown: paragraphs, lists, sections such as `Args:`, and code.

    Blocks that are indented, after `::` or without, and examples with `>>>` become code; the items of a section become
    a list.

    >>> print(markdown("Weights λ_t.\n\nArgs:\n    rank: of `B A`,\n        at least 1."))
    Weights λ\_t.
    <BLANKLINE>
    **Args**
    <BLANKLINE>
    - `rank`: of `B A`, at least 1.
    """
    return "\n\n".join(_blocks(_paragraphs(inspect.cleandoc(text or ""))))


def summary(text: str | None) -> str:
    """The first paragraph of a docstring as one line of Markdown."""
    return escaped(" ".join(inspect.cleandoc(text or "").split("\n\n")[0].split()))


def escaped(text: str) -> str:
    r"""Text in which nothing but code in backticks and `**` means anything to Markdown.

    >>> print(escaped("λ_t of `L_t` [0, 1]"))
    λ\_t of `L_t` \[0, 1\]
    """
    found, at = [], 0
    for code in _CODE.finditer(text):
        found += [_told(text[at : code.start()]), " ".join(re.sub(r"\.\n\s*", ".", code[0]).split())]
        at = code.end()
    return "".join([*found, _told(text[at:])])


def _told(text: str) -> str:
    return _SPECIAL.sub(lambda found: rf"\{found[1]}" if found[1] else found[0], text)


def _paragraphs(text: str) -> list[str]:
    """Parts between blank lines; indented ones that follow each other are one, with the blank lines between them."""
    found: list[str] = []
    for part in re.split(r"\n[ \t]*\n", text):
        together = found and part.startswith("    ") and _continues(found[-1])
        if together:
            found[-1] += f"\n\n{part}"
        elif part.strip() not in ("", "::"):
            found.append(part)
    return found


def _continues(before: str) -> bool:
    """Whether an indented part belongs to the one before: to a section, or to code."""
    return before.startswith("    ") or (_SECTION.match(before.split("\n")[0]) is not None and "\n    " in before)


def _blocks(parts: list[str]) -> Iterator[str]:
    for part in parts:
        first, _, rest = part.partition("\n")
        section = _SECTION.fullmatch(first.strip())
        if part.lstrip().startswith(">>>"):
            yield _fence(textwrap.dedent(part), "pycon")
        elif part.startswith("    "):
            yield _fence(textwrap.dedent(part), _language(part))
        elif section is not None and rest.startswith("    "):
            yield f"**{section[1]}**"
            yield from _section(textwrap.dedent(rest))
        else:
            yield _paragraph(part)


def _section(text: str) -> Iterator[str]:
    """The items of a section as a list, or its text as it is."""
    items = re.split(r"\n(?=\S)", text)
    if all(_ITEM.match(item) for item in items):
        yield "\n".join(_item(item) for item in items)
    else:
        yield from _blocks(_paragraphs(text))


def _item(text: str) -> str:
    found = _ITEM.match(text)
    assert found is not None, "the caller has looked"
    names = found[1] if "`" in found[1] else re.sub(r"[\w.*/]+(?![^(]*\))(?<!\band)", r"`\g<0>`", found[1], count=0)
    return f"- {names}: {escaped(' '.join(found[2].split()))}"


def _paragraph(text: str) -> str:
    text = text.removesuffix("::") + ":" if text.endswith("::") else text
    lines = re.split(r"\n(?=\s*[-•] )", text)  # a list may follow its first line without a blank one
    made = [escaped(" ".join(line.split())) for line in lines]
    return "\n".join([made[0], *([""] if len(made) > 1 and not made[0].startswith("- ") else []), *made[1:]])


def _fence(code: str, language: str) -> str:
    return f"```{language}\n{code.strip(chr(10))}\n```"


def _language(code: str) -> str:
    code = textwrap.dedent(code)
    try:
        body = ast.parse(code).body
    except SyntaxError:
        if re.match(r"\s*\[[\w.\"-]+\]\s*\n", code):
            return "toml"
        return "yaml" if _is_yaml(code) else "text"
    # YAML on one line reads as annotations without values.
    if all(isinstance(one, ast.AnnAssign) and one.value is None for one in body):
        return "yaml" if _is_yaml(code) else "text"
    return "python"


def _is_yaml(code: str) -> bool:
    """Whether it is a mapping whose keys are names, as a spec and its sections are."""
    try:
        found = yaml.safe_load(code)
    except yaml.YAMLError:
        return False
    return isinstance(found, dict) and all(isinstance(key, str) and re.fullmatch(r"[\w.-]+", key) for key in found)
