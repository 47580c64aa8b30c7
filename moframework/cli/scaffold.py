"""Files to start from: a problem of one's own that works as it is, its spec, and its test."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from moframework.errors import SpecError
from moframework.io.atomic import write_text

__all__ = ["write_problem"]

_MODULE = '''"""`NAME`: one line that says what is learned."""

import torch
from torch import Tensor, nn

from moframework import Problem, problem_from_parts

# The tasks, each with what a spec can say of one: `moframework list losses` and `moframework list metrics` name more.
TASKS = {
    "sine": {"loss": "mse", "metrics": ["mae"]},
    "cosine": {"loss": "mse", "metrics": ["mae"]},
}


class Network(nn.Module):
    """Any module. Its output goes to the tasks: a tensor for one, a tuple in their order, or a dict by their names."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.heads = nn.ModuleDict({name: nn.Linear(width, 1) for name in TASKS})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.shared(x)
        return {name: head(features) for name, head in self.heads.items()}


def data(split: str, samples: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Inputs and targets of a split: tensors as here, a torch Dataset of (input, targets), or a DataLoader.

    Keep it the same at each call, and let no sample be in two splits.
    """
    generator = torch.Generator().manual_seed({"train": 0, "val": 1, "test": 2}[split])
    x = 6 * torch.rand(samples, 1, generator=generator)
    return x, {"sine": x[:, 0].sin(), "cosine": x[:, 0].cos()}


def NAME(samples: int = 512) -> Problem:
    """The problem. Parameters are options of the spec.

    samples: in each split
    """
    return problem_from_parts(
        tasks=TASKS,
        network=Network,
        data=lambda split: data(split, samples),
        reference=(1, 1),  # worst losses worth having, for the hypervolume
    )
'''

_SPEC = """\
# One line that says which question this answers.
problem:
  python: ./NAME.py:NAME
  samples: 512

solver:
  name: palora
  rank: 2

training:
  epochs: 20
  batch_size: 64
  optimizer: {name: adam, lr: 1e-2}

evaluate:
  every: 5
"""

_TEST = '''"""What `NAME` claims, and that a solver solves it."""

from pathlib import Path

from moframework.config import build
from moframework.problem import Problem
from moframework.testing import check_pair, check_problem, pairs

PROBLEM = {"python": f"{Path(__file__).with_name('NAME.py')}:NAME", "samples": 64}


def test_tasks_network_and_data_fit():
    check_problem(build(Problem, PROBLEM, trust=True))  # it is the file beside this one


def test_a_solver_solves_it(tmp_path):
    (pair,) = pairs(["palora"], [PROBLEM])
    assert check_pair(pair, tmp_path).state == "solved"
'''


def write_problem(name: str, folder: Path) -> tuple[Path, Path, Path]:
    """Write `NAME.py`, `NAME.yaml` and `test_NAME.py` into `folder`, which is made if need be.

    Args:
        name: of the problem; a name for Python, such as `my_problem`.
        folder: where they go.

    Returns:
        the three files.

    Raises:
        SpecError: the name cannot be used, or a file is there already; then nothing is written.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or keyword.iskeyword(name):
        guess = re.sub(r"\W+", "_", name.strip(), flags=re.ASCII).strip("_").lower()
        hint = f"; for example '{guess}'" if re.fullmatch(r"[a-z_]\w*", guess) and not keyword.iskeyword(guess) else ""
        raise SpecError(f"'{name}' cannot be the name of a Python function: use letters, digits and _{hint}")
    if name in ("data", "Network", "TASKS", "torch", "nn", "Tensor", "Problem", "problem_from_parts"):
        raise SpecError(f"'{name}' is used for something else in the file that would be written; choose another name")
    files = (folder / f"{name}.py", folder / f"{name}.yaml", folder / f"test_{name}.py")
    there = [str(file) for file in files if file.exists()]
    if there:
        raise SpecError(f"{', '.join(there)} exists already, and nothing is overwritten: choose another name or --out")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in zip(files, (_MODULE, _SPEC, _TEST), strict=True):
        write_text(file, text.replace("NAME", name))
    return files
