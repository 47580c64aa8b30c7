"""`python -m tests.census`: compare, keep, and write the page."""

from __future__ import annotations

import gc
import json
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import attrs
import click
import torch

from tests.census.cases import cases
from tests.census.comparing import SPACES, Case, Result, compare
from tests.census.page import FOLDER, LIBRARIES, PAGE, page, read

SECONDS = 240


@click.command()
@click.argument("libraries", nargs=-1, type=click.Choice(LIBRARIES))
@click.option("--only", multiple=True, help="families to compare; all unless named")
@click.option("--again", is_flag=True, help="also those that are known")
@click.option("--write", is_flag=True, help=f"write {PAGE.name} from what is known")
def main(libraries: Sequence[str], only: Sequence[str], again: bool, write: bool) -> None:
    """Compare the networks of LIBRARIES (all unless named) with plain torch, and keep what is found after each."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    failed = False
    for library in libraries or LIBRARIES:
        known = read(library)
        for case in cases(library):
            if (only and case.family not in only) or (case.family in known and not (again or only)):
                continue
            started = time.perf_counter()
            row: dict[str, Any] = {
                "network": case.network,
                "shape": list(case.shape),
                **{name: taken(case, name) for name in SPACES},
            }
            known[case.family] = row
            FOLDER.mkdir(exist_ok=True)
            text = json.dumps(dict(sorted(known.items())), indent=1, ensure_ascii=False)
            (FOLDER / f"{library}.json").write_text(text + "\n", encoding="utf-8")
            shown = "; ".join(told(row[name]) for name in SPACES)
            failed = failed or any(not row[name]["equal"] for name in SPACES)
            print(f"{library} {case.family} ({time.perf_counter() - started:.0f} s): {shown}", flush=True)
            gc.collect()
    if write:
        PAGE.write_text(page(), encoding="utf-8")
    sys.exit(1 if failed else 0)


def taken(case: Case, space: str) -> dict[str, Any]:
    """A comparison as plain data; what goes wrong is told."""
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(SECONDS)
    try:
        found = compare(case, space)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        found = Result(error=float("inf"), where=f"{type(error).__name__} at {place}: {str(error)[:300]}")
    finally:
        signal.alarm(0)
    return {**attrs.asdict(found), "equal": found.equal}


def told(found: dict[str, Any]) -> str:
    if found["refused"]:
        return f"refused: {found['refused']}"
    return f"{found['error']:.0e}" + ("" if found["equal"] else f" ({found['where']})")


def _late(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"took more than {SECONDS} s")


if __name__ == "__main__":
    main()
