"""Groups of parameters by pattern, with learning rates, weight decays and optimizers of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import Size, Tensor

from moframework.config import config, option
from moframework.errors import SpecError, meant
from moframework.optim.optimizers import Optimizer

__all__ = ["Groups", "Named", "ParameterGroup", "check_matrices", "describe_groups", "group_number", "split_groups"]

Groups = list[dict[str, Any]]
"""Parameter groups for a torch optimizer; each has a `name`."""

Named = Sequence[tuple[Sequence[str], Tensor]]
"""Tensors that are trained, each with the names of the network's parameters that lie in it."""

_WHERE = "training.parameter_groups"
_SHOWN = 4  # names in a message


@config
class ParameterGroup:
    """Parameters, by the names that the network gives them, with a rate, weight decay or optimizer of their own.

    ::

        training:
          parameter_groups:
            - {match: "*.bias", weight_decay: 0}
            - {match: ["encoder.*", "embedding.*"], lr_factor: 0.1}
            - {match: ["conv*.weight", "linear.weight"], optimizer: {name: muon, lr: 0.02}}

    `*` stands for any characters, dots too. A parameter belongs to the first group that matches. The factors of a
    low-rank adapter are called as the weight that they change, followed by `.adapter_a` and `.adapter_b`; parameters of
    a hypernetwork begin with `hypernetwork.`, and those of its heads, that give a parameter of the network, are called
    as that one.
    """

    match: str | tuple[str, ...] = option(help="a pattern of names, or several: encoder.*, *.bias")
    lr_factor: float = option(1.0, gt=0, help="learning rate over the one that these parameters have otherwise")
    weight_decay: float | None = option(None, ge=0, help="weight decay of these parameters; none: the optimizer's")
    optimizer: Optimizer | None = option(
        None, help="what steps these parameters; its lr stands for training.optimizer.lr, factors of groups included"
    )

    @property
    def patterns(self) -> tuple[str, ...]:
        """All patterns."""
        return (self.match,) if isinstance(self.match, str) else self.match

    def matches(self, name: str) -> bool:
        """Whether a parameter of this name belongs to the group."""
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)


def split_groups(groups: Groups, named: Named, wanted: Sequence[ParameterGroup], optimizer: Optimizer) -> Groups:
    """The groups of a weight space, each divided by what is `wanted` of some parameters.

    Args:
        groups: each with `name`, `params` and `lr`.
        named: see `Named`; what is not among them belongs to no pattern.
        wanted: the first one that matches a parameter counts.
        optimizer: of what names none of its own.

    Returns:
        what is left of each group, then its parts, called `GROUP:PATTERN`; all parameters once, no group empty.

    Raises:
        SpecError: a pattern matches nothing, or a part of what lies in one tensor; the optimizer has no weight decay.
    """
    if not wanted:
        return groups
    _check_optimizer(wanted, optimizer)
    _check_patterns(named, wanted)
    at = {id(tensor): _group_of(names, wanted) for names, tensor in named}
    made: Groups = []
    for group in groups:
        parts: dict[int | None, list[Tensor]] = {None: []}
        for parameter in group["params"]:
            parts.setdefault(at.get(id(parameter)), []).append(parameter)
        for number in sorted(parts, key=lambda number: -1 if number is None else number):
            if parts[number]:
                made.append({**group, **_changes(group, number, wanted, optimizer), "params": parts[number]})
    return made


def check_matrices(
    groups: Groups, named: Named, optimizer: Optimizer, shapes: Callable[[], Mapping[str, Size]]
) -> None:
    """Refuse to let Muon step what is no matrix or kernel of a network.

    A tensor that holds several networks, or factors of the adapters of all tasks, looks like a matrix too; its steps
    would be made orthogonal across what has nothing to do with each other.

    Args:
        groups, optimizer: as `split_groups` gives and takes them.
        named: see `Named`.
        shapes: gives those of the network's parameters; asked where there is something to check.

    Raises:
        SpecError: which parameter, and what to do.
    """
    stepped = [p for group in groups if group.get("optimizer", optimizer).of_matrices for p in group["params"]]
    if not stepped:
        return
    names, known = {id(tensor): names for names, tensor in named}, shapes()
    for parameter in stepped:
        held = names.get(id(parameter), ())
        if len(held) == 1 and known.get(held[0]) == parameter.shape and parameter.dim() > 1:
            continue
        small = len(held) == 1 and known.get(held[0]) == parameter.shape
        why = "is none" if small else "is kept by this solver in a tensor that is none of the network's own"
        raise SpecError(
            f"{_WHERE}: the optimizer muon steps matrices and kernels of the network, and "
            f"'{held[0] if held else 'a parameter'}' {why}: let training.optimizer be another one, such as adam, and "
            'name what muon steps: {match: "*.linear.weight", optimizer: {name: muon, lr: 0.02}}; solvers that train '
            "one network, or one with adapters, can"
        )


def group_number(name: str, wanted: Sequence[ParameterGroup]) -> int | None:
    """The first group that a parameter of this name belongs to; None where it belongs to none."""
    return next((number for number, group in enumerate(wanted) if group.matches(name)), None)


def describe_groups(groups: Groups) -> list[str]:
    """A line for each group: how many numbers, at which rate, with which weight decay where it has one of its own."""
    lines = []
    for group in groups:
        count = sum(parameter.numel() for parameter in group["params"])
        decay = f", weight decay {group['weight_decay']:g}" if "weight_decay" in group else ""
        own = f" by {group['optimizer'].target.__name__}" if "optimizer" in group else ""
        lines.append(f"{group['name']}: {count:,} parameters{own} at {group['lr']:g}{decay}")
    return lines


def _changes(
    group: dict[str, Any], number: int | None, wanted: Sequence[ParameterGroup], optimizer: Optimizer
) -> dict[str, Any]:
    """What a part of a group has in place of the group's own."""
    if number is None:
        return {}
    own = wanted[number]
    rate = group["lr"] * own.lr_factor
    changes: dict[str, Any] = {"name": f"{group['name']}:{','.join(own.patterns)}", "lr": rate}
    if own.optimizer is not None:
        changes |= {"optimizer": own.optimizer, "lr": rate * own.optimizer.lr / optimizer.lr}
    return changes if own.weight_decay is None else {**changes, "weight_decay": own.weight_decay}


def _group_of(names: Sequence[str], wanted: Sequence[ParameterGroup]) -> int | None:
    """Which group a tensor belongs to."""
    found = [group_number(name, wanted) for name in names]
    if len(set(found)) <= 1:
        return found[0] if found else None
    other = next(i for i in range(len(found)) if found[i] != found[0])
    first, second = names[0], names[other]
    number = next(number for number in found if number is not None)
    raise SpecError(
        f"{_WHERE}.{number}.match: this weight space keeps '{first}' and '{second}' in one tensor ({_listed(names)}), "
        "so that they have one learning rate and one weight decay; match all of these, or none"
    )


def _check_patterns(named: Named, wanted: Sequence[ParameterGroup]) -> None:
    """Raise `SpecError` where a pattern matches no name."""
    known = [name for names, _ in named for name in names]
    for number, group in enumerate(wanted):
        for pattern in group.patterns:
            if not any(fnmatchcase(name, pattern) for name in known):
                raise SpecError(
                    f"{_WHERE}.{number}.match: '{pattern}' matches no trained parameter; "
                    f"{meant(pattern.replace('*', ''), known)}they are {_listed(known)}"
                )


def _check_optimizer(wanted: Sequence[ParameterGroup], optimizer: Optimizer) -> None:
    for number, group in enumerate(wanted):
        steps = group.optimizer or optimizer
        if group.weight_decay is not None and not hasattr(steps, "weight_decay"):
            raise SpecError(
                f"{_WHERE}.{number}.weight_decay: the optimizer {type(steps).__name__} has none; leave it out, or "
                "use another optimizer"
            )


def _listed(names: Sequence[str]) -> str:
    known = list(dict.fromkeys(names))
    shown = ", ".join(known[:_SHOWN])
    return shown if len(known) <= _SHOWN else f"{shown} and {len(known) - _SHOWN:,} more"
