from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from moframework.benchmark.estimating import plan_benchmark
from moframework.benchmark.loading import load_benchmark
from moframework.cli.planning import print_plan
from tests.benchmark.parts import tiny
from tests.benchmark.test_estimating import finish


def said(folder: Path, **changes: Any) -> str:
    text = io.StringIO()
    console = Console(file=text, width=200, highlight=False, markup=False)
    print_plan(console, plan_benchmark(load_benchmark(tiny(**changes)), folder), Path("out"))
    return text.getvalue()


def test_what_would_run(tmp_path: Path) -> None:
    finish(load_benchmark(tiny()), tmp_path, (0, 0), 0, took=10.0)
    text = said(tmp_path, seeds=[0, 1, 2], executor={"name": "local", "jobs": 2})
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "small adapters 2 10 s 1 finished cell with other seeds" in rows
    assert "small networks 3 ? no estimate: none of this problem and solver is finished here" in rows
    assert "5 cells to run, 1 are done." in rows
    assert (
        "Those 2 that have an estimate take about 20 s one after the other, of which training takes 6 s of processor "
        "time."
    ) in rows
    assert "With 2 at a time: about 10 s." in rows
    assert "3 have no estimate: nothing of their problem and solver is finished in out." in text


def test_of_a_cluster(tmp_path: Path) -> None:
    finish(load_benchmark(tiny()), tmp_path, (0, 0), 0, took=10.0)
    text = said(tmp_path, solvers=tiny()["solvers"][:1], executor={"name": "ray", "address": "auto"})
    assert "How many run at a time only the cluster knows. With 2: 10 s" in text


def test_nothing_to_run(tmp_path: Path) -> None:
    finish(load_benchmark(tiny()), tmp_path, (0, 0), 0, took=10.0)
    text = said(tmp_path, seeds=[0], solvers=tiny()["solvers"][:1])
    assert text == "Nothing to run: all 1 cells are done.\n"
