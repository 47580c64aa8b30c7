"""A benchmark through Ray with two workers, one killed in mid-cell and the driver killed too, against the local one.

`python docs/benchmarks/quick/through_ray.py benchmarks/quick FOLDER --to docs/benchmarks/quick/through-ray.md`

What is measured: whether every cell has the same fronts to the last bit and the same numbers but for times and memory,
and which cells were begun again. The local benchmark in FOLDER/local is run where it is not done.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import ray

from moframework.benchmark.attempt import is_done
from moframework.benchmark.on_ray import _connected

MOFRAMEWORK = [sys.executable, "-m", "moframework", "benchmark"]
COSTS = ("seconds", "processor_seconds", "memory")


class Driver:
    """A benchmark as a process, and what it says."""

    def __init__(self, spec: str, out: Path, log: Path, options: list[str]) -> None:
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen([*MOFRAMEWORK, spec, "--out", str(out), *options], stdout=file, stderr=file)

    def until_done(self, cells: int) -> None:
        while len(lines(self.log, "done")) < cells:
            if self.process.poll() is not None:
                sys.exit(f"it has ended too early, see {self.log}")
            time.sleep(0.1)


def lines(log: Path, kind: str) -> list[str]:
    """The names of the cells of a driver's lines of this kind."""
    told = re.findall(rf"^(?:\[\S+\] )?{kind} +(.*?, seed \d+)", log.read_text(), flags=re.MULTILINE)
    return [str(name) for name in told]


def kill_one_worker(out: Path) -> None:
    """Kill the worker of a cell whose training has begun."""
    while True:
        for owner in out.glob("cells/*/*/.try-*/.owner.json"):
            if (owner.parent / "status.json").is_file():
                try:
                    cell = int(json.loads(owner.read_text())["pid"])
                    worker = int(Path(f"/proc/{cell}/stat").read_text().rpartition(")")[2].split()[1])
                except (OSError, ValueError):
                    continue
                if worker > 1:
                    os.kill(worker, signal.SIGKILL)
                    return
        time.sleep(0.05)


def through_ray(spec: str, folder: Path, changed: list[str]) -> None:
    """The benchmark through Ray, with both kills."""
    out = folder / "ray"
    with _connected(None):  # this process holds the cluster, which outlives its drivers
        address = ray.get_runtime_context().gcs_address
        options = [*changed, "--set", f"executor={{name: ray, address: '{address}', cpus: 1, jobs: 2}}"]
        first = Driver(spec, out, folder / "driver-1.log", options)
        first.until_done(3)
        kill_one_worker(out)
        first.until_done(10)
        first.process.kill()
        first.process.wait()
        Driver(spec, out, folder / "driver-2.log", options).process.wait()


def found(folder: Path) -> dict[str, object]:
    """What the logs of both drivers say, and how the cells differ from the local ones."""
    first, second = (folder / f"driver-{number}.log" for number in (1, 2))
    done = lines(first, "done")
    logs = [path for path in (folder / "ray").glob("cells/*/*/*.log") if "was lost" in path.read_text()]
    cells = [path.parent.relative_to(folder / "local") for path in folder.glob("local/cells/*/*/seed-*/model")]
    both = [cell for cell in cells if is_done(folder / "local" / cell) and is_done(folder / "ray" / cell)]
    lost = [path.with_suffix("").relative_to(folder / "ray") for path in logs]
    pairs = [(cell, f"front-{split}.json") for cell in both for split in ("val", "test")]
    unlike = [one for one in pairs if len({(folder / w / one[0] / one[1]).read_bytes() for w in ("local", "ray")}) > 1]
    return {
        "cells done locally": len(cells),
        "cells done before the driver was killed": len(done),
        "of these, begun again by the second driver": len(set(done) & set(lines(second, "started"))),
        "cells that the second driver ran, or took up from the first": len(lines(second, "done")),
        "cells whose worker was killed": ", ".join(str(path) for path in lost),
        "of these, done after all": sum(path in both for path in lost),
        "cells done both ways": len(both),
        "fronts of these (test and validation) that differ in any byte": f"{len(unlike)} of {len(pairs)}",
        "numbers of the tables that differ, times and memory aside": differing(folder),
    }


def differing(folder: Path) -> int | str:
    """Of the measures of all cells."""
    files = [folder / name / "results.json" for name in ("local", "ray")]
    if not all(path.is_file() for path in files):
        return "not known yet: the benchmark through Ray has not ended"
    ours, theirs = ([one["measures"] for one in json.loads(path.read_text())["cells"]] for path in files)
    return sum(
        one.get(key) != other.get(key)
        for one, other in zip(ours, theirs, strict=True) for key in {*one, *other} - set(COSTS)
    )  # fmt: skip


def main() -> None:
    """Run both, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", action="append", default=[], help="as of `moframework benchmark`")
    parser.add_argument("--report-only", action="store_true", help="run nothing: write the page of what is there")
    parser.add_argument("--to", type=Path, help="the page that is written")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    changed = [word for value in given.set for word in ("--set", value)]
    if not given.report_only:
        if Driver(given.spec, given.folder / "local", given.folder / "local.log", changed).process.wait() != 0:
            sys.exit(f"the local benchmark failed, see {given.folder / 'local.log'}")
        through_ray(given.spec, given.folder, changed)
    seen = found(given.folder)
    what = " ".join([given.spec, *changed])
    text = (
        f"<!-- Made by {Path(__file__).name}. -->\n# {what} through Ray, against the local one\n\n"
        f"Ray {ray.__version__}, a cluster of this machine with two workers; one worker and the driver are killed by "
        "SIGKILL.\n\n| | |\n| --- | --- |\n" + "".join(f"| {key} | {value} |\n" for key, value in seen.items())
    )
    sys.stdout.write(text)
    if given.to is not None:
        given.to.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
