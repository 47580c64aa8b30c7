"""What is measured of two versions: cases that any checkout from commit 93847ec on can run.

They use what both sides have. Where that is not enough, one small function per side knows how: `_loop_step` and
`_loop_step_before_jobs`, `_evaluation` and `_evaluation_before_evaluators`. A change that moves these parts again adds
the next ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.speed.solvers import palora

__all__ = ["Repeat", "VersionCase", "version_cases"]

Repeat = Callable[[int], None]
"""Does something so many times."""

# What a ratio new/old may be at most, on large and on small networks.
_LARGE, _SMALL = 1.03, 1.05
_NETS = {"lenet": _SMALL, "mlp": _SMALL, "resnet18": _LARGE}


@frozen(kw_only=True)
class VersionCase:
    """Something to be measured in both versions; `make` imports moframework, and builds what is then repeated."""

    name: str
    make: Callable[[], Repeat]
    limit: float
    """Largest ratio new/old."""
    trains: bool = True
    """Whether it takes training steps in this process, so that its peak memory tells something."""


def version_cases() -> Iterator[VersionCase]:
    """Every case, in the order of the table. Imports nothing of moframework."""
    for net, limit in _NETS.items():
        for name, solver in _solvers(net).items():
            yield VersionCase(name=f"step/{net}/{name}", make=_stepping(net, solver), limit=limit)
        yield VersionCase(name=f"evaluate/{net}", make=_evaluating(net, 11), limit=limit, trains=False)
    for name, spec in _RUNS.items():
        yield VersionCase(name=f"run/{name}", make=_running(spec), limit=_SMALL)
    for name, command in _STARTS.items():
        yield VersionCase(name=f"start/{name}", make=_starting(command), limit=_SMALL, trains=False)


def _solvers(net: str) -> dict[str, Any]:
    """What takes a step, as a spec has it."""
    # The full hypernetwork of a ResNet-18 would have a billion parameters.
    hypernetwork = "chunked_hypernetwork" if net == "resnet18" else "hypernetwork"
    one = {"name": "dirichlet", "per_batch": 1}
    return {
        "palora": "palora",
        "palora, 1": palora(1),
        **{f"palora, {count} shared": palora(count) for count in (2, 4)},
        **{f"palora, {count} split": palora(count, "split") for count in (2, 4, 8)},
        "palora, gradient balancing": palora(1, balancing=["gradient"]),
        "pamal": "pamal",
        "pamal, 1": {"name": "pamal", "preferences": one},
        "cosmos": "cosmos",
        "lorpman": "lorpman",
        "phn": {"name": "phn", "weights": hypernetwork},
        "single": "single",
        "single, nash_mtl": {"name": "single", "objective": "nash_mtl"},
        "single, mgda": {"name": "single", "objective": "mgda"},
    }


def _stepping(net: str, solver: Any) -> Callable[[], Repeat]:
    """Steps on one batch: what a training spends beside its data."""

    def make() -> Repeat:
        from tests.speed.nets import NETS

        ready = NETS[net].planned(solver)
        try:
            step = _loop_step(ready)
        except ImportError:
            step = _loop_step_before_jobs(ready)
        return _repeated(step)

    return make


def _loop_step(ready: Any) -> Callable[[], object]:
    """A step with the hooks that follow each, of which none but the reading of losses is ever due."""
    from moframework.engine.loop import Loop
    from moframework.engine.milestones import make_hooks
    from tests.speed.nets import batch_of

    loop = Loop(ready.job(Path(tempfile.gettempdir()), ()))
    loop.per_epoch = 10**9
    loop.hooks = make_hooks(loop, lambda: False)
    ready.model.train()
    x, targets = batch_of(ready)
    return lambda: loop.train_step(ready.place.arranged(x), targets)


def _loop_step_before_jobs(ready: Any) -> Callable[[], object]:
    """The same of commit 93847ec, whose loop is part of `fit`."""
    from moframework.engine.world import Alone  # type: ignore[import-not-found]

    from moframework.engine.events import Observer  # type: ignore[attr-defined,unused-ignore]
    from moframework.engine.fit import Loop, divide  # type: ignore[attr-defined]
    from tests.speed.nets import batch_of

    spec, folder = ready.spec, Path(tempfile.gettempdir())
    training = spec.training
    division = divide(Alone(), training.batch_size, training, ready.method.preferences, len(spec.problem.tasks))
    loop = Loop(
        ready.model, spec.problem, ready.method, training, ready.place, 10**9, folder, Observer(), division
    )  # fmt: skip
    ready.model.train()
    x, targets = batch_of(ready)

    def step() -> None:
        loop.take(x, targets, 0)
        if loop.done % training.log_every == 0:
            loop.read()

    return step


def _evaluating(net: str, count: int) -> Callable[[], Repeat]:
    """A front of `count` preferences, with losses and metrics."""

    def make() -> Repeat:
        from moframework.preferences.evaluation import evaluation_set
        from tests.speed.nets import NETS

        size = NETS[net]
        ready = size.planned(palora(1), samples=size.batch * size.evaluated)
        preferences = evaluation_set(len(ready.spec.problem.tasks), count)
        try:
            front = _evaluation(ready, preferences, size.batch)
        except ImportError:
            front = _evaluation_before_evaluators(ready, preferences, size.batch)
        return _repeated(front)

    return make


def _evaluation(ready: Any, preferences: Any, batch_size: int) -> Callable[[], object]:
    from moframework.engine.evaluate import Evaluator

    evaluator = Evaluator(problem=ready.spec.problem, place=ready.place, batch_size=batch_size)
    return lambda: evaluator.front(ready.model, ready.data["train"], preferences, "train")


def _evaluation_before_evaluators(ready: Any, preferences: Any, batch_size: int) -> Callable[[], object]:
    """The same of commit 93847ec, where it is one function."""
    from moframework.engine.evaluate import evaluate  # type: ignore[attr-defined]

    return lambda: evaluate(
        ready.model, ready.spec.problem, ready.data["train"], preferences, split="train", batch_size=batch_size,
        place=ready.place,
    )  # fmt: skip


# Trainings from their specs on, with all that they do between steps but validate and save.
_ENDLESS = {"training": {"epochs": 10**5, "checkpoint_every": 10**9}, "evaluate": {"every": 0}}
_RUNS: dict[str, dict[str, Any]] = {
    "quickstart": {"extends": "quickstart", **_ENDLESS},
    "mlp, pamal": {
        "problem": {"name": "digits", "backbone": {"name": "mlp", "hidden": [256, 256]}}, "solver": "pamal", **_ENDLESS
    },
}  # fmt: skip


def _running(spec: Mapping[str, Any]) -> Callable[[], Repeat]:
    """Steps of a run, from its batches to its logs."""

    def make() -> Repeat:
        import moframework

        class Training(moframework.Observer):
            """A run in a thread of its own that takes so many steps and waits."""

            def __init__(self) -> None:
                self.left, self.wanted, self.reached = 1, threading.Semaphore(0), threading.Semaphore(0)
                self.error: BaseException | None = None
                threading.Thread(target=self.run, daemon=True).start()
                self.wait()

            def run(self) -> None:
                try:
                    with tempfile.TemporaryDirectory() as folder:
                        moframework.solve(spec, Path(folder) / "run", observers=[self])
                except BaseException as error:
                    self.error = error
                    self.reached.release()

            def stepped(self, progress: object) -> None:
                self.left -= 1
                if self.left == 0:
                    self.reached.release()
                    self.wanted.acquire()

            def wait(self) -> None:
                self.reached.acquire()
                if self.error is not None:
                    raise self.error

            def steps(self, count: int) -> None:
                self.left = count
                self.wanted.release()
                self.wait()

        return Training().steps

    return make


_FIRST_STEP = """
import os, sys, tempfile, moframework

class Leave(moframework.Observer):
    def stepped(self, progress):
        os._exit(0)

with tempfile.TemporaryDirectory() as folder:
    moframework.solve("quickstart", folder + "/run", observers=[Leave()])
"""
# Arguments of Python.
_STARTS = {
    "import": ("-c", "import moframework"),
    "import solve": ("-c", "from moframework import solve"),
    "moframework --help": ("-m", "moframework", "--help"),
    "moframework check quickstart": ("-m", "moframework", "check", "quickstart"),
    "first step of quickstart": ("-c", _FIRST_STEP),
}


def _starting(arguments: tuple[str, ...]) -> Callable[[], Repeat]:
    """A Python of its own, with the modules of this one."""

    def call() -> None:
        # What the first step leaves behind, when it leaves without a word, goes with the folder.
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(
                [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder,
                env={**os.environ, "TMPDIR": folder},
            )  # fmt: skip

    return lambda: _repeated(call)


def _repeated(call: Callable[[], object]) -> Repeat:
    def repeat(count: int) -> None:
        for _ in range(count):
            call()

    return repeat
