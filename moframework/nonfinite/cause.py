"""Why a number of a training is not finite, found out after the fact: nothing here runs in a step that goes well.

Losses are read every `training.log_every` steps, all at once, and weights are looked at when they are saved, so that no
step waits for the device. What went wrong by then is looked for where it still can be seen: the batch of a step is a
function of seed, epoch and step, and is read again; the parameters still have the gradient of the last step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NoReturn

import torch
from torch import Tensor

from moframework.data import Dataset, arranged, batches, where
from moframework.engine.hooks import Entry
from moframework.engine.loop import Loop
from moframework.errors import NON_FINITE_ADVICE, NonFiniteLossError
from moframework.inputs.trees import Tree, mapped, named_leaves
from moframework.problem.task import Task

__all__ = ["cause", "raise_for_losses", "weight_fault"]

_Read = tuple[list[int], Tree, dict[str, Tensor]]

_DATA_ADVICE = (
    "The last good checkpoint is kept. Mend the data or leave such rows out; or let training.on_nonfinite: skip leave "
    "out the batches that they come in."
)
# So many parameters are named.
_NAMED = 3


def raise_for_losses(loop: Loop, entries: Sequence[Entry], losses: Tensor) -> NoReturn:
    """Say which loss was not finite first, and why.

    Args:
        entries: k steps, in their order.
        losses: theirs (k, M, m), on the host, at least one of them not finite.

    Raises:
        NonFiniteLossError: always.
    """
    i = int((~torch.isfinite(losses)).nonzero()[0, 0])
    step, _, preferences = entries[i]
    found, advice = _explained(loop, step, losses[i])
    before = ""
    if i and advice != _DATA_ADVICE:
        means = zip(loop.job.problem.tasks, losses[i - 1].mean(dim=0).tolist(), strict=True)
        before = (
            f" In step {entries[i - 1][0]} the losses were " + ", ".join(f"{t.name} {v:.4g}" for t, v in means) + "."
        )
    raise NonFiniteLossError(f"step {step}: {_first(loop, losses[i], preferences)}. {found}{before} {advice}")


def cause(loop: Loop, entry: Entry) -> str:
    """Why numbers of a step are not finite, as far as its losses and its batch tell; sentences."""
    step, losses, preferences = entry
    losses = losses.double().cpu()
    if bool(torch.isfinite(losses).all()):
        return "its losses are finite, but a gradient is not."
    return f"{_first(loop, losses, preferences)}. {_explained(loop, step, losses)[0]}"


def weight_fault(loop: Loop) -> NonFiniteLossError:
    """What to raise where a weight is not finite after the last step, though no loss was: its name, and whether the
    step's gradient or the optimizer is the reason."""
    broken = _broken_parameters(loop)
    words = f"step {loop.done}: a weight is not finite although the losses were"
    if broken:
        words += f": {_listed([name for name, _ in broken])}{_place(loop)}. {_gradient_words(loop, broken)}"
    return NonFiniteLossError(f"{words.rstrip(' .')}. {NON_FINITE_ADVICE}")


def _first(loop: Loop, losses: Tensor, preferences: Tensor) -> str:
    j, t = (int(v) for v in (~torch.isfinite(losses)).nonzero()[0])
    at = ", ".join(f"{v:.4g}" for v in preferences[j].tolist())
    return f"the loss of task '{loop.job.problem.tasks[t].name}' is {float(losses[j, t])} at preference ({at})"


def _explained(loop: Loop, step: int, losses: Tensor) -> tuple[str, str]:
    """Why losses (M, m) are not finite, and what to do."""
    broken = ~torch.isfinite(losses)
    tasks = [task for task, bad in zip(loop.job.problem.tasks, broken.any(dim=0).tolist(), strict=True) if bad]
    read = _batch(loop, step)
    data = None if read is None else _data_fault(read, tasks, loop.job.data)
    if data is not None:
        return f"In the batch of that step {data}.", _DATA_ADVICE
    checked = (
        "Its batch could not be read again"
        if read is None
        else "What the loss was computed from, inputs and target, is finite"
    )
    if not bool(broken.all()):
        words = "other losses of that step are finite"
        if len(tasks) < losses.shape[1]:
            words += ": only " + " and ".join(f"'{task.name}'" for task in tasks) + " went wrong"
    elif step == 1:
        words = "no loss of that step is finite: the network or the losses overflow at the first weights"
    elif weights := _broken_parameters(loop):
        words = (
            "no loss of that step is finite: a weight was not finite first, or so large that the network "
            f"overflowed; after step {loop.done} not finite: {_listed([name for name, _ in weights])}"
        )
    else:
        words = (
            f"no loss of that step is finite, though all weights are after step {loop.done}: the network or the losses "
            "overflow"
        )
    return f"{checked}; {words}.", NON_FINITE_ADVICE


def _data_fault(read: _Read, tasks: Sequence[Task], data: Dataset) -> str | None:
    """The first row of a batch with an input, or a target of these tasks, that is not finite, in words, with where it
    comes from, as far as the data tells; or None. A target of nan is none: it is unknown."""
    rows, x, found = read
    columns = [
        (f"input '{path}'" if path else "input", leaf, ~torch.isfinite(leaf)) for path, leaf in named_leaves(x).items()
    ]
    for task in tasks:
        if (target := found.get(task.target_key)) is not None:
            columns.append((f"target '{task.target_key}'", target, ~torch.isfinite(target) & task.loss.known(target)))
    for name, values, broken in columns:
        places = broken.reshape(len(values), -1).any(dim=1).nonzero().flatten().tolist()
        if not places:
            continue
        place = min(places, key=lambda i: rows[i])
        at = broken[place].nonzero()[0].tolist()
        value = float(values[(place, *at)])
        column = "" if not at else f", in column {at[0]}" if len(at) == 1 else f", at {at}"
        more = "" if len(places) == 1 else f"; {len(places)} of its {len(values)} rows are affected"
        row = f"row {rows[place]} of the training split{_origin(data, rows[place])}"
        return f"the {name} of {row} is {value}{column} (counted from 0){more}"
    return None


def _origin(data: Dataset, row: int) -> str:
    with contextlib.suppress(Exception):  # as in `_batch`: a data set's own method may fail
        found = where(data, row)
        return "" if found is None else f" ({found})"
    return ""


def _batch(loop: Loop, step: int) -> _Read | None:
    """The rows of a step's whole batch, its inputs and its targets before augmentation, on the host, read again; None
    where that fails."""
    epoch, position = divmod(step - 1, loop.per_epoch)
    size, order = loop.training.batch_size, loop.order(epoch)
    rows = order[position * size : (position + 1) * size].tolist()
    # What was found must be told, whatever happens on the search for its reason.
    with contextlib.suppress(Exception):
        seed = (loop.job.seed, epoch, *loop.partition.item_seed)
        x, targets = next(batches(loop.job.data, size, order=order, device="cpu", skip=position, seed=seed))
        return rows, mapped(Tensor.cpu, x), {key: value.cpu() for key, value in targets.items()}
    return None


def _broken_parameters(loop: Loop) -> list[tuple[str, Tensor]]:
    """Parameters that are not finite, each with its group and its name. None are told where they lie in shards, of
    which each process sees its own."""
    known = {id(p): name for name, p in loop.model.space.named_parameters()}
    known |= {id(p): name for name, p in loop.step.objective_states.named_parameters()}
    return [
        (f"{group} '{known.get(id(parameter), '?')}'", parameter)
        for group, parameter in _grouped(loop)
        if not hasattr(parameter, "to_local") and not bool(torch.isfinite(parameter).all())
    ]


def _grouped(loop: Loop) -> Iterator[tuple[str, Tensor]]:
    rest = iter(loop.parameters)
    for number, group in enumerate(loop.optimizer.param_groups):
        for _ in group["params"]:
            yield str(group.get("name", number)), next(rest)


def _listed(names: Sequence[str]) -> str:
    found = ", ".join(names[:_NAMED])
    return found if len(names) <= _NAMED else f"{found} and {len(names) - _NAMED} more"


def _theta(loop: Loop) -> tuple[dict[str, Tensor], list[str]]:
    """θ(λ) at a preference of the last step, without the graph that leads to it, and which of it is not finite."""
    theta = loop.model.weights(loop.preferences[0].to(loop.job.place.device))
    leaves = {name: value.detach().requires_grad_(value.requires_grad) for name, value in theta.items()}
    return leaves, [name for name, value in leaves.items() if not bool(torch.isfinite(value).all())]


def _place(loop: Loop) -> str:
    """Where that is in the network: a weight space may keep all weights in one parameter."""
    with contextlib.suppress(Exception):  # as in `_batch`
        broken = _theta(loop)[1]
        return f", in the network {_listed([repr(name) for name in broken])}" if broken else ""
    return ""


def _gradient_words(loop: Loop, broken: Sequence[tuple[str, Tensor]]) -> str:
    """Whether the last step's gradient is the reason, and if so of which task where only one reaches the weights."""
    gradients = [parameter.grad for _, parameter in broken if parameter.grad is not None]
    if not gradients:
        return ""
    if all(bool(torch.isfinite(gradient).all()) for gradient in gradients):
        return "Its gradient in that step is finite: the optimizer's step was too large."
    tasks = _tasks_reaching(loop)
    of = f" of task '{tasks[0]}', the only one that reaches this weight," if len(tasks) == 1 else ""
    return f"Its gradient{of} was not finite in that step."


def _tasks_reaching(loop: Loop) -> list[str]:
    """The tasks whose loss depends on what is not finite, found with the last batch; empty where that is not known."""
    read = _batch(loop, loop.done) if loop.world.size == 1 else None
    if read is None:
        return []
    place, names = loop.job.place, [task.name for task in loop.job.problem.tasks]
    x = arranged(mapped(lambda leaf: leaf.to(place.device), read[1]), place.memory_format)
    targets = {key: value.to(place.device) for key, value in read[2].items()}
    with contextlib.suppress(Exception):  # as in `_batch`
        theta, broken = _theta(loop)
        leaves = [theta[name] for name in broken if theta[name].requires_grad]
        given = loop.step.given(loop.step.outputs(theta, x), targets)
        # Each by itself: through a stack every loss reaches, with zeros, what the others do.
        losses = [loss(output, target) for loss, output, target in given]
        reached = [torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True) for loss in losses]
        return [name for name, own in zip(names, reached, strict=True) if any(g is not None for g in own)]
    return []
