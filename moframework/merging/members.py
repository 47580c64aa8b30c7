"""Members: networks that were trained on one task each from a common start, read from disk and compared.

Files are safetensors, and run folders of moframework, whose models are such files too; nothing in them is executed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from attrs import field, frozen
from torch import Tensor, nn

from moframework.config import Trust
from moframework.errors import DataError, RunError, SpecError, nearest
from moframework.io.tensors import load_state
from moframework.merging.kernels import agreement
from moframework.model import ParetoModel, load_parameters
from moframework.model.adapters import CONFIG, read_adapter, with_adapter
from moframework.model.initial import check_fits, with_tied

__all__ = ["FAR", "Members", "MembersPath", "check_common_start", "mean_state", "read_members"]

MembersPath = Path | dict[str, Path]
"""One run folder that has a network for each task, or a folder or file for each task."""

FAR = 0.3
"""Cosine of the weights of two networks below which they do not come from one start. LeNets on digits that were
fine-tuned for 3 to 30 epochs have .99 to .6 with it; those initialized independently at most .03 with each other."""

State = Mapping[str, Tensor]


@frozen(eq=False)
class Members:
    """State dicts of m networks, in the order of the tasks, with that of the network they started from.

    Attributes:
        base: None where it is not known.
        notes: what is worth knowing of them, a sentence each.
    """

    states: Sequence[State]
    base: State | None
    notes: list[str] = field(factory=list)

    def start(self) -> dict[str, Tensor]:
        """The base, or the mean of the members; whole numbers, such as counts, are those of the first member."""
        if self.base is not None:
            return dict(self.base)
        return mean_state(self.states)


def mean_state(states: Sequence[State]) -> dict[str, Tensor]:
    """The mean of state dicts with the same names and shapes; what is no floating-point number is the first one's."""
    return {
        name: torch.stack([state[name].float() for state in states]).mean(dim=0).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in states[0].items()
    }


def read_members(
    paths: MembersPath, base: Path | None, tasks: Sequence[str], network: nn.Module, trust: Trust = False
) -> Members:
    """Read the members of all tasks and the base, and compare names and shapes before anything else is done.

    Args:
        paths: a run folder that has a network for each task (such as one of solver `stl`), or for each task a run
            folder, whose network at the vertex of that task is taken (at the center where it has no such task), a
            .safetensors file with a state dict, or the folder of a LoRA adapter of PEFT, which is merged into the base.
        base: a run folder (at its center), or a .safetensors file; None: not known.
        network: that all of them must fit.
        trust: what may be imported where a run names code.

    Raises:
        SpecError: a task has no member, or a name is no task.
        DataError: something cannot be read, or does not fit; the text lists names and shapes of all of them.
        RunError: a run has not finished, or names code that is not trusted.
    """
    if isinstance(paths, Path):
        paths = dict.fromkeys(tasks, paths)
    _check_tasks(paths, tasks)
    start = None if base is None else _base(base, network, trust)
    found, faults = [], []
    for task in tasks:
        try:
            found.append(_member(paths[task], task, start, network, trust))
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError("\n".join(faults))
    return Members(found, start)


def check_common_start(members: Members, tasks: Sequence[str], network: nn.Module, far: str) -> None:
    """Hold the members against the base, or against each other where there is none: networks that do not come from one
    start lie in different basins, and what is between them is no network.

    It is measured by the cosine of all their weights with two or more dimensions (of all, where there are none), which
    fine-tuning hardly turns. The loss at the middle, which says it for certain, is told after evaluation.

    Args:
        far: `refuse` or `warn`, where a cosine is below `FAR`.

    Raises:
        SpecError: far members, to be refused.
    """
    trained = dict(network.named_parameters())
    names = [name for name, value in trained.items() if value.dim() > 1] or list(trained)
    flat = [torch.cat([state[name].flatten().float() for name in names]) for state in members.states]
    if members.base is not None:
        base = torch.cat([members.base[name].flatten().float() for name in names])
        pairs = [(f"member '{task}' and the base", agreement(one, base)) for task, one in zip(tasks, flat, strict=True)]
    else:
        pairs = [
            (f"members '{tasks[i]}' and '{tasks[j]}'", agreement(flat[i], flat[j]))
            for j in range(len(flat))
            for i in range(j)
        ]
    what, least = min(pairs, key=lambda pair: pair[1], default=("", 1.0))
    if least >= FAR:
        members.notes.append(f"the weights of members agree with their start (smallest cosine {least:.3f})")
        return
    text = (
        f"the weights of {what} have a cosine of {least:.3f}, so they do not come from one start: such networks cannot "
        "be merged, for what lies between them has lost both tasks"
    )
    if far == "refuse":
        raise SpecError(
            f"solver.members: {text}. Train each from the same network (solver: {{name: stl, initial: …}}), name the "
            "right base, or set solver.far: warn to see for yourself"
        )
    members.notes.append(text)


def _check_tasks(paths: Mapping[str, Path], tasks: Sequence[str]) -> None:
    faults = []
    for name in paths:
        if name not in tasks:
            guess = nearest(name, tasks)
            faults.append(f"solver.members: '{name}' is no task" + (f"; did you mean '{guess}'?" if guess else ""))
    missing = [task for task in tasks if task not in paths]
    if missing:
        faults.append(f"solver.members: no member for {', '.join(missing)}; the tasks are: {', '.join(tasks)}")
    if faults:
        raise SpecError("\n".join(faults))


def _base(path: Path, network: nn.Module, trust: Trust) -> dict[str, Tensor]:
    try:
        return load_parameters(path, network, trust)
    except (DataError, RunError) as error:
        raise type(error)(str(error).replace("initial: ", "solver.base: ", 1)) from error


def _member(path: Path, task: str, base: State | None, network: nn.Module, trust: Trust) -> dict[str, Tensor]:
    where = f"solver.members.{task}"
    if (path / CONFIG).is_file():
        if base is None:
            raise DataError(f"{where}: {path} is an adapter, which needs the network it belongs to: name solver.base")
        try:
            found: State = with_adapter(base, read_adapter(path), path)
        except DataError as error:
            raise DataError(str(error).replace("initial: ", f"{where}: ", 1)) from error
    elif path.is_dir():
        found = _of_run(path, task, where, trust)
    elif path.suffix != ".safetensors" and path.exists():
        raise DataError(f"{where}: {path} is no .safetensors file, run folder or adapter folder, which members are")
    else:
        try:
            found = load_state(path)
        except ValueError as error:
            raise DataError(f"{where}: {error}") from error
    found = with_tied(found, network)
    check_fits(found, network, f"{where}: {path}")
    return dict(found)


def _of_run(path: Path, task: str, where: str, trust: Trust) -> State:
    """The network of a run at the vertex of a task, or at the center where it has none."""
    try:
        model = ParetoModel.load(path, trust=trust)
    except RunError as error:
        raise RunError(f"{where}: {error}") from error
    own = [float(task == name) for name in model.tasks]
    return model.at(own if any(own) else [1.0] * len(own)).state_dict()
