"""Make faults on purpose, in large numbers, and write down what became of them: `python -m tests.faults`.

The short mode takes about two minutes and is part of the tests; `--long` makes as many as `docs/reliability.md` tells of,
which takes hours, and `--write` writes that page.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from tests.faults import damage, ends, kills, soak, specs, tables
from tests.faults.result import Result

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
HEAD, FOOT = "<!-- made by `python -m tests.faults` -->", "<!-- end -->"

SECTIONS: Mapping[str, Callable[[bool, int, Path], list[Result]]] = {
    "kills": lambda long, seed, folder: [kills.run(210 if long else 2, seed, folder)],
    "damage": lambda long, seed, folder: damage.run((300, 60, 60) if long else (8, 2, 2), seed, folder),
    "resumes": lambda long, seed, folder: [damage.resumes(70 if long else 1, seed, folder)],
    "ends": lambda long, seed, folder: ends.run(folder),
    "specs": lambda long, seed, folder: [specs.run(20_000 if long else 500, seed)],
    "tables": lambda long, seed, folder: [tables.run(2_000 if long else 100, seed)],
    "soak": lambda long, seed, folder: [soak.run(*((100_000, 10_000) if long else (2_000, 200)), folder)],
}
"""Name of a section → its results, from the mode, the seed, and a folder of its own."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}; all by default")
    parser.add_argument("--long", action="store_true", help="as many as docs/reliability.md tells of")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="write the results of these sections into that page")
    given = parser.parse_args()
    unknown = [name for name in given.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    torch.set_num_threads(1)  # its threads would not survive a fork
    os.environ["OMP_NUM_THREADS"] = "1"
    faultless = True
    for name in given.sections or SECTIONS:
        with tempfile.TemporaryDirectory(prefix=f"faults-{name}-") as folder:
            results = SECTIONS[name](given.long, given.seed, Path(folder))
        for result in results:
            print(result, *result.examples, sep="\n  ", flush=True)
            faultless &= result.faultless
        if given.write:
            write(name, results)
    return 0 if faultless else 1


def write(name: str, results: list[Result]) -> None:
    """Replace a section of the page by new results."""
    text = PAGE.read_text(encoding="utf-8")
    head, foot = HEAD.replace("-->", f"{name} -->"), FOOT.replace("-->", f"{name} -->")
    before, after = text.split(head)[0], text.split(foot)[1]
    rows = "\n".join(_row(result) for result in results)
    made = f"{sys.version.split()[0]}, torch {torch.__version__}, {platform.system()} {platform.machine()}"
    columns = (
        "| | made | as it should | raw errors | without a place | silent | seconds |\n|---|---|---|---|---|---|---|"
    )
    table = f"{columns}\n{rows}"
    PAGE.write_text(f"{before}{head}\n{table}\n\nPython {made}.\n{foot}{after}", encoding="utf-8")


def _row(result: Result) -> str:
    good = result.accepted + result.refused
    return (
        f"| {result.what} | {result.mutants:,} | {good:,} | {result.raw} | {result.speechless} | {result.silent} | "
        f"{result.seconds:.0f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
