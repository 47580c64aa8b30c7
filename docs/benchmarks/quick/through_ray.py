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

from moframework.benchmark.on_ray import _connected

MOFRAMEWORK = [sys.executable, "-m", "moframework", "benchmark"]
COSTS = ("seconds", "processor_seconds", "memory")


class Driver:
    """A benchmark as a process, and what it says."""

    def __init__(self, spec: str, out: Path, log: Path, options: list[str]) -> None:
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen([*MOFRAMEWORK, spec, "--out", str(out), *options], stdout=file, stderr=file)

    def lines(self, kind: str) -> list[str]:
        """The names of the cells of lines of this kind."""
        found = re.findall(rf"^(?:\[\S+\] )?{kind} +(.*?, seed \d+)", self.log.read_text(), flags=re.MULTILINE)
        return [str(name) for name in found]

    def until_done(self, cells: int) -> None:
        while len(self.lines("done")) < cells:
            if self.process.poll() is not None:
                sys.exit(f"it has ended too early, see {self.log}")
            time.sleep(0.1)


def kill_one_worker(out: Path) -> str:
    """Kill the worker of a cell whose training has begun; the cell's folder."""
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
                    return owner.parent.name.partition("-seed")[2]
        time.sleep(0.05)


def through_ray(spec: str, folder: Path, changed: list[str]) -> dict[str, object]:
    """The benchmark through Ray, with both kills; what was seen."""
    out = folder / "ray"
    with _connected(None):  # this process holds the cluster, which outlives its drivers
        address = ray.get_runtime_context().gcs_address
        options = [*changed, "--set", f"executor={{name: ray, address: '{address}', cpus: 1, jobs: 2}}"]
        first = Driver(spec, out, folder / "driver-1.log", options)
        first.until_done(2)
        worker = kill_one_worker(out)
        first.until_done(7)
        first.process.kill()
        first.process.wait()
        done = set(first.lines("done"))
        left = sum(1 for _ in ray.util.list_named_actors(all_namespaces=True))
        second = Driver(spec, out, folder / "driver-2.log", options)
        code = second.process.wait()
    lost = [path for path in out.glob("cells/*/*/*.log") if "try 1 of 3 was lost" in path.read_text()]
    return {
        "exit code": code, "done before the driver was killed": len(done),
        "workers that went on without it": left,
        "cells that it had done and that were begun again": len(done & set(second.lines("started"))),
        "cells that the second driver ran or took up": len(second.lines("done")),
        "cells whose worker was killed": f"{len(lost)} (the one of seed{worker})",
    }  # fmt: skip


def differences(folder: Path) -> dict[str, object]:
    """How the two tables differ, cell by cell."""
    found = [json.loads((folder / name / "results.json").read_text())["cells"] for name in ("local", "ray")]
    fronts = numbers = 0
    for ours, theirs in zip(*found, strict=True):
        for key in {*ours["measures"], *theirs["measures"]} - set(COSTS):
            numbers += ours["measures"].get(key) != theirs["measures"].get(key)
        for split in ("val", "test"):
            texts = [
                json.loads((folder / name / one["folder"] / f"front-{split}.json").read_text())
                for name, one in (("local", ours), ("ray", theirs))
            ]
            fronts += texts[0] != texts[1]
    states = [sum(one["state"] == "done" for one in cells) for cells in found]
    return {
        "cells done, local and Ray": f"{states[0]} and {states[1]} of {len(found[0])}",
        "fronts that differ in any bit": fronts,
        "numbers of the tables that differ, times and memory aside": numbers,
    }


def main() -> None:
    """Run both, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", action="append", default=[], help="as of `moframework benchmark`")
    parser.add_argument("--to", type=Path, help="the page that is written")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    changed = [word for value in given.set for word in ("--set", value)]
    local = Driver(given.spec, given.folder / "local", given.folder / "local.log", changed)
    if local.process.wait() != 0:
        sys.exit(f"the local benchmark failed, see {given.folder / 'local.log'}")
    seen = through_ray(given.spec, given.folder, changed) | differences(given.folder)
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
