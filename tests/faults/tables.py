"""Tables mutated in bytes, rows, cells and encodings: each is refused with file and place, or is what it says.

What a mutant says is read anew here, with Python's `csv` module and plain arithmetic: the rows, their numbers and
categories, and from them the inputs and targets that the problem `csv` documents.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import random
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from moframework.problems.csv import CSV

from moframework.data import SPLITS
from moframework.errors import MoframeworkError
from tests.faults.result import Result

__all__ = ["expected_tensors", "run"]

TARGETS: dict[str, Any] = {"price": "regression", "sold": "binary", "kind": "classes"}
MISSING = ("", "?", "NA", "N/A", "nan", "NaN", "null")
_HEADER = ("id", "area", "rooms", "heating", "city", "note", "price", "sold", "kind", "part")
_CELLS = (
    "", "?", "NA", "nan", "null", "inf", "-inf", "1e400", "-1e39", "1e38", "9" * 400, "1e-320", "0", "-0", "1_000",
    "1,5", "１２", "٣", "0x10", "1e", "--1", "+1", ".5", "5.", "true", "yes", "Bern", "train", "VAL", " 7 ", '"', '""',
    '"x', 'x"y',
    "a;b", "a\tb", "a\nb", "\x00", "é", "\u2028", "\ufeff", "x" * 140_000, "1" * 130_000, "\r",
)  # fmt: skip
_BYTES = (
    b'"',
    b"'",
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b"\x00",
    b"\xff",
    b"\xc3",
    b"\xef\xbb\xbf",
    b"-",
    b"e",
    b"9" * 50,
    b" ",
)
_PLACE = re.compile(
    r"line \d|row \d|rows|column '|no column|columns|is empty|target '|cannot be (read|unpacked)|split|every input"
)


def run(count: int, seed: int) -> Result:
    """Mutate tables `count` times.

    Args:
        count: of mutants.
        seed: the same one makes the same mutants.
    """
    result, began = Result("mutated tables"), time.perf_counter()
    generator = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            delimiter = generator.choice(",,,;\t|")
            content = _mutant(generator, delimiter)
            path = Path(folder) / f"mutant-{number}.csv{generator.choice(('', '', '', '.gz'))}"
            path.write_bytes(_packed(content, generator) if path.suffix == ".gz" else content)
            since = time.perf_counter()
            _try(path, content, delimiter, result, f"seed {seed}, number {number}")
            took = time.perf_counter() - since
            if took > result.slowest:
                result.slowest, result.slowest_mutant = took, f"seed {seed}, number {number}"
            path.unlink()
    result.seconds = time.perf_counter() - began
    return result


def _try(path: Path, content: bytes, delimiter: str, result: Result, which: str) -> None:
    """Read one mutant and count what became of it."""
    result.mutants += 1
    problem = CSV(
        path=path, targets=TARGETS, ignore=("id",), split="part", delimiter=delimiter, max_categories=10_000,
        missing_targets="drop",
    )  # fmt: skip
    try:
        made = {split: problem.data(split) for split in SPLITS}
    except MoframeworkError as error:
        if path.name in str(error) and _PLACE.search(str(error)):
            result.refused += 1
        else:
            result.offend("speechless", f"{which}: {error!s:.300}\n{content[:300]!r}")
        return
    except Exception as error:
        result.offend("raw", f"{which}: {type(error).__name__}: {error!s:.300}\n{content[:300]!r}")
        return
    try:
        inputs, targets = expected_tensors(content.decode("utf-8-sig"), delimiter)
    except Exception as error:
        result.offend("silent", f"{which}: no table for another reader: {error!r:.300}\n{content[:300]!r}")
        return
    for split, data in made.items():
        same = _close(data.inputs.numpy(), inputs[split])
        for name in TARGETS:
            same = same and _close(data.targets[name].numpy(), targets[split][name])
        if not same:
            found = f"{data.inputs.shape}, {np.shape(inputs[split])}"
            result.offend("silent", f"{which}: {split} is another, {found}\n{content[:300]!r}")
            return
    result.accepted += 1


def _close(made: np.ndarray, wanted: Sequence[Any]) -> bool:
    other = np.asarray(wanted, dtype=np.float64)
    return made.shape == other.shape and np.allclose(made, other, rtol=1e-4, atol=1e-5)


Rows = list[dict[str, str]]
Tensors = dict[str, Any]


def expected_tensors(text: str, delimiter: str) -> tuple[Tensors, Tensors]:
    """Inputs and targets of each split, as the docstring of the problem says, from the text of a table."""
    lines = [
        line for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True) if line
    ]
    header = [name.strip() for name in lines[0]]
    rows: Rows = [dict(zip(header, (cell.strip() for cell in line), strict=True)) for line in lines[1:]]
    names = [name for name in header if name not in (*TARGETS, "id", "part")]
    rows = [row for row in rows if all(row[name] not in MISSING for name in TARGETS)]
    numeric = [name for name in names if _is_numeric([row[name] for row in rows])]
    splits = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
    parts = {split: [row for row in rows if splits[row["part"].lower()] == split] for split in SPLITS}
    inputs: Tensors = {split: [[] for _ in part] for split, part in parts.items()}
    _add_numbers(inputs, parts, numeric)
    for name in names:
        if name not in numeric:
            known = _in_order({row[name] for row in parts["train"]} - set(MISSING))
            for split, part in parts.items():
                for made, row in zip(inputs[split], part, strict=True):
                    made += [float(row[name] == value) for value in known]
    return inputs, {split: _expected_targets(part, parts["train"], rows) for split, part in parts.items()}


def _add_numbers(inputs: Tensors, parts: dict[str, Rows], numeric: list[str]) -> None:
    """Standardized numbers, then a mark for each column that has missing ones in training."""
    marked = [name for name in numeric if any(row[name] in MISSING for row in parts["train"])]
    known = {name: [float(row[name]) for row in parts["train"] if row[name] not in MISSING] for name in numeric}
    moments = {name: _moments(values) for name, values in known.items()}
    for split, part in parts.items():
        for made, row in zip(inputs[split], part, strict=True):
            for name in numeric:
                mean, scale = moments[name]
                made.append(0.0 if row[name] in MISSING else (float(row[name]) - mean) / scale)
            made += [float(row[name] in MISSING) for name in marked]


def _expected_targets(part: Rows, train: Rows, rows: Rows) -> Tensors:
    mean, scale = _moments([float(row["price"]) for row in train])
    return {"price": [(float(row["price"]) - mean) / scale for row in part]} | {
        name: [_in_order({row[name] for row in rows}).index(row[name]) for row in part] for name in ("sold", "kind")
    }


def _moments(values: list[float]) -> tuple[float, float]:
    """Mean, and standard deviation where the values vary."""
    if not values:
        return 0.0, 1.0
    mean = math.fsum(values) / len(values)
    scale = statistics.pstdev(values)
    return mean, scale if scale > 1e-12 * max(abs(mean), 1.0) else 1.0


def _is_numeric(cells: list[str]) -> bool:
    known = [cell for cell in cells if cell not in MISSING]
    number = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
    return bool(known) and all(len(cell) <= 400 and number.fullmatch(cell) for cell in known)


def _in_order(values: set[str]) -> list[str]:
    numbers = _is_numeric([*values]) and not values & set(MISSING) and all(math.isfinite(float(v)) for v in values)
    return sorted(sorted(values), key=float) if numbers else sorted(values)


def _table(generator: random.Random) -> list[list[str]]:
    """A table as people have them: numbers, names with blanks, notes with commas and quotes, gaps."""
    rows = [list(_HEADER)]
    for number in range(generator.choice((12, 40, 90))):
        area = generator.gauss(100, 40)
        rows.append([
            f"h{number}",
            generator.choice((f"{area:.1f}", f"{area:.0f}", f"{area:.2e}", "", "NA")),
            str(generator.randint(1, 7)),
            generator.choice(("gas", "oil", "heat pump", "?", "gas")),
            generator.choice(("Bern", "Zürich", "La Chaux-de-Fonds", "St. Gallen")),
            generator.choice(("", "near the lake", 'so-called "loft"', "old, but cheap", "two\nlines")),
            f"{3 * area + generator.gauss(0, 20):.2f}",
            generator.choice(("yes", "no")),
            generator.choice(("flat", "house", "studio")),
            ("train", "train", "val", "test")[number % 4],
        ])  # fmt: skip
    return rows


def _written(rows: list[list[str]], delimiter: str, generator: random.Random) -> bytes:
    buffer = io.StringIO()
    quoting = generator.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC))
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=generator.choice(("\n", "\r\n")), quoting=quoting)
    writer.writerows(rows)
    return buffer.getvalue().encode(
        generator.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16")), "replace"
    )


def _packed(content: bytes, generator: random.Random) -> bytes:
    packed = gzip.compress(content)
    return packed if generator.random() < 0.7 else _change_bytes(packed, generator)


def _mutant(generator: random.Random, delimiter: str) -> bytes:
    """A table with up to three changes, of its cells and rows or its bytes."""
    rows = _table(generator)
    in_cells = generator.choice((0, 1, 1, 1, 2))
    for _ in range(in_cells):
        _change_rows(rows, generator)
    content = _written(rows, delimiter, generator)
    for _ in range(generator.choice((0, 1)) if in_cells else 1):
        content = _change_bytes(content, generator)
    return content


def _change_rows(rows: list[list[str]], generator: random.Random) -> None:
    at = generator.randrange(len(rows))
    row = rows[at]
    cell = generator.randrange(len(row)) if row else 0
    match generator.randrange(10):
        case 0 | 1 | 2 | 3 if row:
            row[cell] = generator.choice(_CELLS)
        case 4 if row:
            del row[cell]
        case 5:
            row.insert(cell, generator.choice(_CELLS))
        case 6:
            rows.insert(at, list(generator.choice(rows)))
        case 7:
            del rows[at:]
        case 8 if row:
            for other in rows[1:]:
                if len(other) == len(row):
                    other[cell] = generator.choice((row[cell], generator.choice(_CELLS[:24])))
        case _:
            rows[at] = generator.choice(([], [""], ["a"], row[::-1]))
    if not rows:
        rows.append([])


def _change_bytes(content: bytes, generator: random.Random) -> bytes:
    at, end = generator.randrange(len(content) + 1), generator.randrange(len(content) + 1)
    match generator.randrange(6):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + content[at + generator.randrange(20) :]
        case 2:
            return content[:at] + generator.choice(_BYTES) + content[at:]
        case 3 if at < len(content):
            return content[:at] + bytes([content[at] ^ 1 << generator.randrange(8)]) + content[at + 1 :]
        case 4:
            return content[:at] + content[min(at, end) : max(at, end)][:500] + content[at:]
        case _:
            return content.replace(
                *generator.choice(((b",", b";"), (b"\n", b"\r"), (b'"', b"'"), (b"\r\n", b"\n"), (b".", b",")))
            )
