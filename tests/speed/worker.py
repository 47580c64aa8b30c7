"""`python -m tests.speed.worker NEW OLD`: measures cases with two moframeworks in one process, in turn.

In one process, because two differ by more than what is to be seen: which pages of memory each happens to get made the
same code on the same machine slower by up to a tenth, for as long as the processes lived. In one, both sides use what
the other one freed. So the modules of each are in `sys.modules` only while it is its turn.

NEW and OLD are folders that hold a moframework as if installed. Commands come from standard input, one JSON object a
line, and each is answered with one on standard output:

- `{"case": NAME, "rounds": R, "seconds": S, "clock": "processor"}` measures: `{"new": [...], "old": [...]}`, for each
  round the seconds of one repetition;
- `{"case": NAME, "peak": "new", "count": N}` repeats a case, with one side alone: `{"bytes": that this process has
  grown by at its peak}` since it started.

What goes wrong is answered with `{"error": text}`. The first line of all says which files were found.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

__all__ = ["Version", "Worker"]

# Times that both sides build a case anew within a measurement: where its weights happen to lie makes some hundredths.
# Even, so that each side is as often the first.
_BUILDS = 6


class Version:
    """A moframework that can be in this process beside others.

    Args:
        path: a folder that holds it as if installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.modules: dict[str, Any] = {}

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """While inside, `import moframework` finds this one, in this process and in those that it starts."""
        path = os.environ.get("PYTHONPATH")
        sys.modules.update(self.modules)
        sys.path.insert(0, self.path)
        os.environ["PYTHONPATH"] = self.path
        try:
            yield
        finally:
            if path is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = path
            sys.path.remove(self.path)
            # The harness is each one's own as well: it holds objects of the moframework that it imported.
            own = [name for name in sys.modules if name.partition(".")[0] in ("moframework", "tests")]
            self.modules = {name: sys.modules.pop(name) for name in own}

    def build(self, case: str) -> Callable[[int], None]:
        """What repeats a case, after its first steps."""
        with self.active():
            cases = importlib.import_module("tests.speed.version_cases").version_cases()
            repeat: Callable[[int], None] = next(each for each in cases if each.name == case).make()
            # Kernels are chosen, steps recorded and shapes decided on at the first calls.
            repeat(6 if torch.cuda.is_available() else 2)
        return repeat


class Worker:
    """Answers commands.

    Args:
        versions: by side.
    """

    def __init__(self, versions: dict[str, Version]) -> None:
        self.versions = versions
        with versions["new"].active():
            _memory().keep_freed_memory()
        self.begin = _resident()

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what one command says."""
        case = command["case"]
        if "peak" in command:
            return {"bytes": self._peak(case, command["peak"], command["count"])}
        now = processor_seconds if command["clock"] == "processor" else time.perf_counter
        taken: dict[str, list[float]] = {side: [] for side in self.versions}
        for build in range(min(_BUILDS, command["rounds"])):
            sides = list(self.versions) if build % 2 == 0 else list(self.versions)[::-1]
            repeats = {side: self.versions[side].build(case) for side in sides}
            least = min(self._burst(side, repeats[side], 1, time.perf_counter) for side in sides)
            count = max(1, round(command["seconds"] / max(least, 1e-7)))
            gc.collect()
            gc.freeze()  # what is collected from now on is the case's own
            for index in range(build, command["rounds"], _BUILDS):
                first, second = sides if (index - build) // _BUILDS % 2 == 0 else sides[::-1]
                spent = dict.fromkeys(sides, 0.0)
                for side in (first, second, second, first):
                    spent[side] += self._burst(side, repeats[side], count, now)
                for side in sides:
                    taken[side].append(spent[side] / (2 * count))
            del repeats
            gc.unfreeze()
            gc.collect()
        return dict(taken)

    def _burst(self, side: str, repeat: Callable[[int], None], count: int, now: Callable[[], float]) -> float:
        with self.versions[side].active():
            begin = now()
            repeat(count)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            return now() - begin

    def _peak(self, case: str, side: str, count: int) -> int:
        version = self.versions[side]
        repeat = version.build(case)
        with version.active():
            repeat(count)
            peaks = _memory().peak_memory(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        return int(peaks["device"] if "device" in peaks else peaks.get("host", 0) - self.begin)


def _memory() -> Any:
    """`run.memory` of the version that is active; earlier ones have it in the engine."""
    try:
        return importlib.import_module("moframework.run.memory")
    except ModuleNotFoundError:
        return importlib.import_module("moframework.engine.memory")


def processor_seconds() -> float:
    """Of this process, and of those that it started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _resident() -> int:
    """Bytes that this process has in memory, once what every training needs is loaded."""
    # What a first step loads (kernels, threads) is no one's training memory.
    torch.nn.functional.conv2d(torch.rand(1, 3, 8, 8, requires_grad=True), torch.rand(4, 3, 3, 3)).sum().backward()
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def main() -> None:
    """Answer until the input ends."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    # Nothing else may be said where answers are.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    versions = {side: Version(Path(path)) for side, path in zip(("new", "old"), sys.argv[1:], strict=True)}
    found = {}
    for side, version in versions.items():
        with version.active():
            found[side] = importlib.import_module("moframework").__file__
    answers.write(json.dumps(found) + "\n")
    worker = Worker(versions)
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
