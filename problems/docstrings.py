"""`docstrings`: what the documentation of Python's standard library is about, told from its words. No download."""

from __future__ import annotations

import ast
import functools
import re
import sysconfig
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.utils.data

from moframework.backbones.base import Backbone
from moframework.backbones.text_transformer import TextTransformer
from moframework.config import config, option
from moframework.data import Collated, Dataset, Split, check_split, random_split
from moframework.data.pad import Pad
from moframework.errors import DataError
from moframework.losses import CrossEntropy
from moframework.metrics import Accuracy
from moframework.problem import Problem
from moframework.problem.task import Task

__all__ = ["Docstrings"]

AREAS = (
    "asyncio", "email", "http", "importlib", "logging", "mailbox", "multiprocessing", "tarfile", "turtle", "unittest",
    "urllib", "xml",
)  # fmt: skip
KINDS = ("class", "function", "method")
SPLITS = ("train", "val", "test")


@config
class Docstrings(Problem):
    """Tell from a docstring of Python's standard library what it documents: which area, and which kind of thing.

    **Source.** The docstrings of classes, functions and methods of twelve packages and modules of the standard library
    of the Python that runs this (`asyncio`, `email`, `http`, …), some 2,000 texts; their tests are left out.
    **License.** Python Software Foundation License. **How to obtain.** It comes with Python: files are read, none is
    imported, and nothing is downloaded. Another version of Python has other texts, and so do results: a run keeps a
    checksum of what it was trained on. Where Python came without the sources of its library, there is none.

    **Construction.** Words are runs of letters, in lower case; a text has its first `words` of them, three at
    least. Ids are a hash of the word (CRC-32), 1 and above; 0 is padding. What documents two things alike is there
    once. Texts are divided 70/10/20 into train, val and test, fixed by `seed`; batches are padded to their longest.

    **Tasks.** `area`: cross-entropy over 12 classes; `kind`: over 3 (class, function, method); accuracy. What tells the
    area, names, is of little use for the kind, which shows in grammar: both compete for one small encoder.
    **Reference point** (2.5, 1.1): what guessing costs, ln 12 and ln 3.

    With texts of half the length::

        problem: {name: docstrings, words: 32}
        solver: palora
    """

    words: int = option(64, ge=3, le=4096, help="words of a text, at most")
    vocabulary: int = option(
        4096, ge=16, le=1_000_000, help="number of token ids that words are hashed to, with padding"
    )
    seed: int = option(0, ge=0, lt=2**32, help="of the partition into train, val and test")

    @property
    def tasks(self) -> tuple[Task, ...]:
        """`area` and `kind`."""
        return tuple(
            Task(name=name, loss=CrossEntropy(), metrics=(Accuracy(),), size=size)
            for name, size in (("area", len(AREAS)), ("kind", len(KINDS)))
        )

    @property
    def network(self) -> Backbone:
        """A transformer of two layers."""
        return TextTransformer(vocabulary=self.vocabulary, length=self.words)

    @property
    def input_shape(self) -> dict[str, tuple[None]]:
        """Token ids and their mask, both of any length."""
        return {"input_ids": (None,), "attention_mask": (None,)}

    @property
    def reference(self) -> tuple[float, ...]:
        """(2.5, 1.1)."""
        return (2.5, 1.1)

    def data(self, split: Split) -> Dataset:
        """Texts that are loaded one by one and padded in batches: inputs input_ids (b, n), int64, and attention_mask
        (b, n), bool; targets `area` and `kind` (b,), int64.

        Raises:
            DataError: this Python has no sources of its standard library.
        """
        chosen = SPLITS.index(check_split(split))
        texts = _texts(self.words, self.vocabulary)
        membership = random_split(len(texts), (0.7, 0.1, 0.2), self.seed)
        own = [text for text, number in zip(texts, membership.tolist(), strict=True) if number == chosen]
        return Collated(_Texts(own), Pad(entries="input_ids", mask="attention_mask"))


_Text = tuple[tuple[int, ...], int, int]
"""Token ids, area, kind."""


class _Texts(torch.utils.data.Dataset[Any]):
    def __init__(self, texts: Sequence[_Text]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> Any:
        ids, area, kind = self.texts[index]
        return {"input_ids": torch.tensor(ids)}, {"area": torch.tensor(area), "kind": torch.tensor(kind)}


@functools.cache
def _texts(words: int, vocabulary: int) -> tuple[_Text, ...]:
    """All texts, in an order that depends on nothing but what they are."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found: set[_Text] = set()
    for number, area in enumerate(AREAS):
        package = root / area
        files = sorted(package.rglob("*.py")) if package.is_dir() else [root / f"{area}.py"]
        for path in files:
            if "test" in path.parts or "tests" in path.parts or not path.is_file():
                continue
            for kind, text in _documented(ast.parse(path.read_bytes()), in_class=False):
                tokens = re.findall("[a-z]+", text.lower())[:words]
                if len(tokens) >= 3:
                    ids = tuple(zlib.crc32(token.encode()) % (vocabulary - 1) + 1 for token in tokens)
                    found.add((ids, number, KINDS.index(kind)))
    if len({area for _, area, _ in found}) < len(AREAS):
        raise DataError(
            f"problem docstrings: {root} lacks the sources of a part of Python's standard library; install them (some "
            "systems have them in a package of their own), or use another Python"
        )
    return tuple(sorted(found))


def _documented(tree: ast.AST, *, in_class: bool) -> Iterator[tuple[str, str]]:
    """Kind and docstring of all that has one."""
    for node in ast.iter_child_nodes(tree):
        is_class = isinstance(node, ast.ClassDef)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield "class" if is_class else "method" if in_class else "function", text
        yield from _documented(node, in_class=is_class)
