"""How much code of the engine, the model, the weight spaces and the layers one training step runs through.

Whoever wants to know what a step does must read these files, so their number and length are held down. Counted is what
a step in the middle of a real run enters, from one time it is asked whether to stop to the next: the hooks, the batch,
the preferences, the step, and the optimizer. What is imported or called when a run is planned does not count.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import pytest

import moframework
from moframework import solve
from moframework.run.signals import StopRequest

PACKAGE = Path(moframework.__file__).parent
COUNTED = ("engine", "model", "weights", "layers")


class Finished(Exception):
    """What was to be seen was seen."""


class Tracer:
    """Stands in for what says whether to stop, which is asked after every step; ends the run after step `step`.

    Attributes:
        files: those whose functions that step enters, relative to the package.
        before: what traced before.
    """

    def __init__(self, step: int) -> None:
        self.step, self.asked, self.files = step, 0, set[Path]()
        self.before = sys.gettrace()

    def __call__(self) -> bool:
        self.asked += 1
        if self.asked == self.step - 1:
            sys.settrace(self._enter)
        elif self.asked == self.step:
            sys.settrace(self.before)
            raise Finished
        return False

    def _enter(self, frame: FrameType, event: str, argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE):
            self.files.add(path.relative_to(PACKAGE))


def entered(folder: Path, monkeypatch: pytest.MonkeyPatch, **training: str) -> dict[str, int]:
    """Files of the counted packages that a step of the quickstart enters, with their lines."""
    tracer = Tracer(step=4)  # the first ones find out what later ones know
    monkeypatch.setattr(StopRequest, "__call__", lambda _: tracer())
    try:
        with pytest.raises(Finished):
            solve({"extends": "quickstart", "training": training}, folder, device="cpu")
    finally:
        sys.settrace(tracer.before)
    files = sorted(path for path in tracer.files if path.parts[0] in COUNTED)
    return {path.as_posix(): len((PACKAGE / path).read_text(encoding="utf-8").splitlines()) for path in files}


def listed(files: dict[str, int]) -> str:
    """For the message of a failure."""
    lines = [f"  {count:5,}  {name}" for name, count in files.items()]
    return "\n".join([f"{len(files)} files, {sum(files.values()):,} lines:", *lines])


def test_a_default_step_runs_through_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = entered(tmp_path / "run", monkeypatch)
    assert "engine/step.py" in files, listed(files)
    assert len(files) <= 8, listed(files)
    assert sum(files.values()) <= 1600, listed(files)


def test_the_plain_step_runs_through_fewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = entered(tmp_path / "run", monkeypatch, acceleration="none")
    assert "engine/step.py" in files, listed(files)
    assert not [name for name in files if name.startswith("engine/acceleration/")], listed(files)
    assert len(files) <= 6, listed(files)
