"""One word for one thing: names and docstrings of the code keep to the table of words in docs/design.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "design.md"
HOMES = ("moframework", "problems")

EXCEPTIONS: Mapping[tuple[str, str], str] = {
    ("`ray`", "moframework/objectives/rays.py"): "the line of loss vectors that a paper's preference spans",
    ("`ray`", "moframework/objectives/pareto_mtl.py"): "the same line",
    ("`ray`", "moframework/objectives/pmgda.py"): "the same line",
    ("`ray`", "moframework/objectives/ferero.py"): "the same line",
    ("`ray`", "moframework/pareto/indicators.py"): "the same line",
    ("`ray`", "problems/raycaster.py"): "a ray of light",
    ("`ray`", "moframework/benchmark/on_ray.py"): "the library Ray",
    ("`piece`", "problems/zdt.py"): "the front of ZDT3 is in several pieces",
    ("`joined`", "moframework/benchmark/figure.py"): "points of a plot joined by a line",
}
"""By word, as the table has it, and file or folder: why it may stand there."""

PENDING: Mapping[str, str] = {
    '"stand-in"': "engine/step.py",
    "`joined`": "engine, weights/conditioned.py",
    "`recording`": "engine/acceleration/cuda_graph.py",
}
"""Words of the table that the code does not keep yet, and where."""


@frozen
class Rule:
    """A word that stands for nothing here: as a part of a name, or in docstrings."""

    word: str
    in_names: bool
    instead: str

    def __str__(self) -> str:
        return f"`{self.word}`" if self.in_names else f'"{self.word}"'

    def breaks(self, found: str) -> bool:
        """Whether a name, or a text, has the word."""
        if self.in_names:
            wanted, parts = parts_of(self.word), parts_of(found)
            return any(singular(parts[i : i + len(wanted)]) == wanted for i in range(len(parts)))
        return re.search(rf"\b{re.escape(self.word)}\b", " ".join(found.split()), re.IGNORECASE) is not None


def parts_of(name: str) -> list[str]:
    """`_PerGroupNorm2d` → per, group, norm, 2, d."""
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]|\d+", name)]


def singular(parts: list[str]) -> list[str]:
    return [*parts[:-1], parts[-1].removesuffix("s")] if parts else parts


def read_rules(text: str) -> list[Rule]:
    """The last column of the table below the heading `## Words`."""
    section = text.partition("\n## Words\n")[2].partition("\n## ")[0]
    found = []
    for line in [line for line in section.splitlines() if line.startswith("|")][2:]:
        word, _, others = (cell.strip() for cell in line.strip("|").split("|"))
        found += [Rule(other, True, word) for other in re.findall(r"`([^`]+)`", others)]
        found += [Rule(other, False, word) for other in re.findall(r"\"([^\"]+)\"", others)]
    return found


def names(tree: ast.Module) -> Iterator[str]:
    """What others can see of a module: its classes, functions, arguments, attributes and constants; no local names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        if isinstance(node, ast.Module | ast.ClassDef):
            for inner in node.body:
                targets = inner.targets if isinstance(inner, ast.Assign) else [getattr(inner, "target", None)]
                yield from (target.id for target in targets if isinstance(target, ast.Name))


def docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


RULES = read_rules(PAGE.read_text(encoding="utf-8"))
FILES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_bytes())
    for home in HOMES
    for path in sorted((ROOT / home).rglob("*.py"))
    if path.name != "_moved.py"  # old names are what it is about
}
NAMES = {file: {Path(file).stem, *names(tree)} for file, tree in FILES.items()}
TEXTS = {file: list(docstrings(tree)) for file, tree in FILES.items()}


def broken(rule: Rule) -> list[str]:
    """Where the code has a word that it should not have."""
    allowed = tuple(place for word, place in EXCEPTIONS if word == str(rule))
    found = []
    for file in FILES:
        if not file.startswith(allowed or ("\0",)):
            texts = sorted(NAMES[file]) if rule.in_names else TEXTS[file]
            found += [f"{file}: {text.partition(chr(10))[0]}" for text in texts if rule.breaks(text)]
    return found


def test_the_table_is_read() -> None:
    assert len(RULES) > 20
    assert Rule("tally", True, "accumulator") in RULES
    assert Rule("weight vector", False, "preference") in RULES
    assert len(FILES) > 200


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_code_keeps_to_the_words(rule: Rule) -> None:
    found = broken(rule)
    if str(rule) in PENDING:
        assert found, f"{rule} is gone: take it out of PENDING"
    else:
        places = "\n".join(found)
        assert not found, f"say '{rule.instead}' in place of {rule} (docs/design.md, Words):\n{places}"


def test_every_exception_is_needed() -> None:
    for word, place in EXCEPTIONS:
        rule = next(rule for rule in RULES if str(rule) == word)
        texts = [text for file in FILES if file.startswith(place) for text in (*NAMES[file], *TEXTS[file])]
        assert any(rule.breaks(text) for text in texts), f"no {word} in {place}: take the exception out"
    assert set(PENDING) <= {str(rule) for rule in RULES}


def test_words_are_found_in_names_and_texts() -> None:
    assert parts_of("_HTTPReader2_by_Name") == ["http", "reader", "2", "by", "name"]
    few, vector = Rule("few", True, "subset"), Rule("weight vector", False, "preference")
    assert [few.breaks(name) for name in ("Few", "few_samples", "MAX_FEW", "fewer", "refew")] == [True] * 3 + [
        False
    ] * 2
    assert Rule("weight_vector", True, "preference").breaks("WeightVectors")
    assert vector.breaks("a Weight\n  vector here")
    assert not vector.breaks("weight vectors")
    tree = ast.parse("A = 1\nclass B:\n  c: int = 2\n  def d(self, e):\n    f = 1\n    self.g = f\n    return f")
    assert set(names(tree)) == {"A", "B", "c", "d", "self", "e", "g"}
