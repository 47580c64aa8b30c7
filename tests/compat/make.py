"""Make the files of an older moframework that the tests beside this hold today's against.

Run it with the Python of an environment in which that moframework is installed, as
`python tests/compat/make.py COMMIT`: as a file and not as a module, since then it is in this folder, not in the
repository around it, that Python looks first.

Each folder of `data` has a spec as a user wrote it, `asked.yaml`. From it come

- `run/`, a run folder whose training was interrupted half-way by SIGINT, as Ctrl-C does it, without what is written
  for people to read;
- `finished/`, what that moframework makes of a copy of it when it resumes it to the end: the model, its front on the
  test split, and `outputs.safetensors`, inputs (b, ...) with the model's outputs at three preferences;
- and for all of them `data/origin.json`: commit, command, versions, platform.
"""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
import signal
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

import moframework
from moframework import ParetoModel, Progress
from moframework.errors import InterruptedRun

DATA = Path(__file__).with_name("data")
KEPT = ("spec.yaml", "data.json", "status.json", "checkpoints")
PACKAGES = ("moframework", "numpy", "safetensors", "scikit-learn", "torch")


class Interrupter(moframework.Observer):
    """Asks for a stop in the middle of a training, and remembers where that was."""

    def __init__(self) -> None:
        self.stopped_at = 0

    def stepped(self, progress: Progress) -> None:
        if progress.step == progress.steps // 2:
            self.stopped_at = progress.step
            signal.raise_signal(signal.SIGINT)


def inputs_for(model: ParetoModel) -> Tensor:
    """Four samples (4, ...) with values in [0, 1), the same on every machine."""
    shape = (4, *model.recipe.input_shape)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def preferences_for(model: ParetoModel) -> list[Tensor]:
    """Three preferences (m,): a vertex, the center, and one between them."""
    m = len(model.tasks)
    vertex, center = torch.eye(m)[0], torch.full((m,), 1 / m)
    return [vertex, center, 0.75 * torch.eye(m)[-1] + 0.25 * center]


def make(folder: Path) -> None:
    """Make `run` and `finished` of one spec."""
    spec, run, finished = folder / "asked.yaml", folder / "run", folder / "finished"
    for old in (run, finished):
        shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        whole, interrupter = Path(temporary) / "run", Interrupter()
        with contextlib.suppress(InterruptedRun):
            moframework.solve(spec, whole, device="cpu", observers=[interrupter])
        status = moframework.Run(whole).status
        if status != "interrupted" or interrupter.stopped_at == 0:
            sys.exit(f"{spec}: the training was not interrupted, its status is {status}")
        run.mkdir()
        for name in KEPT:
            source = whole / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, run / name)
        moframework.solve(spec, whole, device="cpu", resume=True)
        shutil.copytree(whole / "model", finished)
        shutil.copy(whole / "front-test.json", finished)
    save_file(asked(ParetoModel.load(finished).eval()), finished / "outputs.safetensors")


@torch.no_grad()
def asked(model: ParetoModel) -> dict[str, Tensor]:
    """Inputs, and for each of three preferences the preference and the model's outputs."""
    x = inputs_for(model)
    found = {"inputs": x}
    for index, preference in enumerate(preferences_for(model)):
        found[f"{index}.preference"] = preference
        found |= {f"{index}.output.{key}": value.contiguous() for key, value in model(x, preference).items()}
    return found


def origin(commit: str) -> dict[str, object]:
    """What made the files."""
    return {
        "commit": commit,
        "command": f"OMP_NUM_THREADS=1 python tests/compat/make.py {commit}",
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
    }


def main() -> None:
    """Make all."""
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/compat/make.py COMMIT")
    torch.set_num_threads(1)
    for spec in sorted(DATA.glob("*/asked.yaml")):
        make(spec.parent)
        print(spec.parent.name)
    (DATA / "origin.json").write_text(json.dumps(origin(sys.argv[1]), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
