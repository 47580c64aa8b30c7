"""The notes that the software prints, read from its source: texts with `…` for what is put in.

A note is what is given to a sink: `noted`, `note`, `notes.append`, `warnings.warn`. Where that is no text but a call or
a name, `HANDED_ON` says so, and `WRITERS` names the functions whose texts are notes.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from moframework.reference.errors import template

ROOT = Path(__file__).parents[1]
_SINK = re.compile(r"(^|\.)_?noted?$|(^|\.)notes\.append$|^warnings\.warn$")
_MAY = re.compile(r"noted?\(|notes\.append|warnings\.warn")
_FEWEST = 3
"""Words from which a text is a note, rather than a part of one."""

WRITERS: Mapping[str, tuple[str, ...]] = {
    "moframework/benchmark/statistics/analysis.py": ("analyze", "_solvers", "_of_problems", "_of_seeds"),
    "moframework/benchmark/statistics/course.py": ("course",),
    "moframework/benchmark/statistics/surfaces.py": ("attainment",),
    "moframework/engine/acceleration/__init__.py": ("summary",),
    "moframework/merging/map.py": ("_quality",),
    "moframework/merging/members.py": ("check_common_start",),
    "moframework/merging/pareto.py": ("__call__",),
    "moframework/merging/react.py": ("__call__",),
    "moframework/merging/space.py": ("take",),
    "moframework/merging/start.py": ("_told_of_heads",),
    "moframework/problem/group_fairness.py": ("group_notes",),
    "moframework/problem/id_columns.py": ("id_notes",),
    "moframework/problem/sets.py": ("set_notes",),
    "moframework/problem/tabular.py": ("label_notes",),
    "moframework/problem/trying.py": ("idle_notes",),
    "moframework/problem/target_notes.py": ("target_notes", "_note"),
    "moframework/run/batchnorm_gap.py": ("batchnorm_gap",),
    "moframework/run/classes.py": ("class_notes",),
    "moframework/run/constraining.py": ("_words",),
    "moframework/run/flat_start.py": ("_sentence",),
    "moframework/run/memory_estimate.py": ("describe",),
    "moframework/run/picking.py": ("_reversed_dials",),
    "moframework/run/plan.py": ("remarks", "_short_training", "_not_adapted", "_without_effect"),
    "moframework/run/report.py": ("oddities", "_flat", "barriers", "_validation", "_time"),
    "moframework/run/saved_statistics.py": ("saved_statistics_note",),
    "moframework/run/sets.py": ("batch_notes", "_turn_notes"),
    "problems/csv.py": ("_column_notes",),
    "problems/images.py": ("notes",),
    "problems/table_file.py": ("separator_notes",),
}
"""By file: functions whose texts are notes."""


PARTS = {
    "member '…' and the base": "of members that are far apart",
    "sample … (counted from 0)": "of a target that is far from all others",
    " that have it": "of a target that is the same in all samples",
    " of contender '…'; it has: …": "of an error",
    "`evaluate.checkpoint: best`": "of a validation hypervolume of 0",
    "Bring it back from a copy.": "of an error",
    "its seeds are not ours": "of who is left out of tests",
}
"""Texts of writers that stand in others, or in errors: what they are parts of."""

HANDED_ON = {
    "moframework/cli/exporting.py: note": "notes of an export, as the card has them",
    "moframework/cli/picking.py: pick_told(found)": "of a pick: numbers, and of saved_statistics_note",
    "moframework/engine/fit.py: summary(loop.choices)": "engine/acceleration",
    "moframework/merging/members.py: text": "check_common_start",
    "moframework/problem/target_notes.py: values": "an argument of its own `_note`",
    "moframework/run/constraining.py: _words(conditions, model.tasks, found)": "the same file",
    "moframework/run/flat_start.py: _sentence(largest, words)": "the same file",
    "moframework/run/predicting.py: told": "saved_statistics_note",
    "moframework/run/report.py: text": "notes that a checkpoint carried",
    "moframework/run/solving.py: gap": "batchnorm_gap",
    "moframework/run/solving.py: text": "what a plan tells: run/plan.py, merging",
    "moframework/serve/run_service.py: pick_told(found)": "of a pick, as on the command line",
    "moframework/serve/run_service.py: told": "saved_statistics_note",
}
"""What is given to sinks and is no text: which writer has the texts."""


def notes() -> dict[str, str]:
    """Every note, with the file that has it."""
    found: dict[str, str] = {}
    for file, tree in _files():
        found |= dict.fromkeys([*_given(tree), *_written(tree, WRITERS.get(file, ()))], file)
    return {text: file for text, file in found.items() if text not in PARTS}


def handed_on() -> set[str]:
    """What is given to sinks that is no text: `file: expression`."""
    given = ((file, argument) for file, tree in _files() for argument in _arguments(tree))
    return {f"{file}: {ast.unparse(argument)}" for file, argument in given if not _texts(argument)}


@functools.cache
def _files() -> tuple[tuple[str, ast.Module], ...]:
    """The files that have sinks or writers, as syntax; one tells authors of plug-ins of import paths."""
    found = []
    for home in ("moframework", "problems"):
        for path in sorted((ROOT / home).rglob("*.py")):
            file, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
            if file != "moframework/_moved.py" and (file in WRITERS or _MAY.search(text)):
                found.append((file, ast.parse(text)))
    return tuple(found)


def fixed(note: str) -> str:
    """The longest part of a note that is the same in all of them, by which a page is searched."""
    return max((part.strip(" .,:;()'\"") for part in note.split("…")), key=len)


def _arguments(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and _SINK.search(_dotted(node.func)):
            yield node.args[0]


def _dotted(node: ast.expr) -> str:
    """`a.b.c` of a call; of what is no name, its last part."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _given(tree: ast.AST) -> Iterator[str]:
    for argument in _arguments(tree):
        yield from _texts(argument)


def _written(tree: ast.AST, names: tuple[str, ...]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            body = node.body[1:] if ast.get_docstring(node) else node.body
            for statement in body:
                yield from _texts(statement)


def _texts(node: ast.AST) -> list[str]:
    """The texts in a piece of code, errors left out; a text within a text is a part of it."""
    if isinstance(node, ast.Raise | ast.Assert):
        return []
    if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
        text = template(node) if not isinstance(node, ast.Constant) or isinstance(node.value, str) else ""
        if len(re.findall(r"[^\W\d_]{2,}", text)) >= _FEWEST:
            return [text]
        if not isinstance(node, ast.BinOp):
            return []
    return [text for child in ast.iter_child_nodes(node) for text in _texts(child)]
