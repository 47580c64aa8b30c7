"""What the tests of benchmarks share: a tiny benchmark, and an executor that runs cells in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

from moframework.benchmark.cells import Cell
from moframework.benchmark.executor import Executor, Job, Outcome
from moframework.config import config, option
from moframework.errors import InterruptedRun, MoframeworkError
from moframework.io.sealed import write_json
from moframework.io.tensors import save_tensors
from moframework.run.solving import solve
from tests.benchmark.test_measures import front

SMALL: dict[str, Any] = {"name": "digits", "train": 64, "val": 32, "test": 32}


@config
class InProcess(Executor):
    """Cells one after the other, without a process each."""

    jobs: int = option(1, ge=1, help="not used")
    most: int = option(100, ge=0, help="cells after which it is as if a stop had been asked for")

    def run(
        self, jobs: Sequence[Job], *, started: Callable[[Job], None], stop: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        for job in jobs[: self.most]:
            if stop():
                return
            started(job)
            since = time.monotonic()
            code, said = 0, ""
            try:
                solve(job.folder, resume=True)
            except InterruptedRun as error:
                code, said = 130, str(error)
            except MoframeworkError as error:
                code, said = 1, f"Error: {error}"
            yield Outcome(job=job, code=code, seconds=time.monotonic() - since, said=said)


def pretend_done(one: Cell, loss: float = 0.3) -> None:
    """Leave in a cell's folder what a run that is done leaves, as far as it is read."""
    for split in ("val", "test"):
        front([[loss, loss]], split=split).save(one.folder / f"front-{split}.json")
    write_json(one.folder / "environment.json", {"format": 2})
    (one.folder / "model").mkdir(exist_ok=True)
    write_json(one.folder / "model" / "model.json", {"format": 1})
    save_tensors(one.folder / "model" / "model.safetensors", {})
    write_json(one.folder / "status.json", {"format": 2, "status": "done"})


def tiny(**changes: Any) -> dict[str, Any]:
    """A benchmark of two solvers and two seeds that takes a few seconds."""
    return {
        "name": "tiny",
        "problems": [{"problem": SMALL, "label": "small"}],
        "solvers": [
            {"solver": {"name": "palora", "rank": 1}, "label": "adapters"},
            {"solver": {"name": "multipoint", "points": 2}, "label": "networks"},
        ],
        "seeds": [0, 1],
        "training": {"steps": 2, "batch_size": 16},
        "evaluate": {"points": 3, "every": 0},
        "executor": {"python": "tests.benchmark.parts:InProcess"},
        **changes,
    }
