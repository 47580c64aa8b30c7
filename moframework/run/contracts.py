"""What the parts of a method promise, held against what they give when a run is planned: the code of a plug-in is told
of its own slips, by name, before the first step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from moframework.blame import blamed
from moframework.engine.method import Method
from moframework.errors import BrokenPartError, shortened
from moframework.model import ParetoModel
from moframework.objectives import Objective
from moframework.preferences import Schedule
from moframework.solvers.base import Solver
from moframework.weights import WeightSpace, WeightSpaceConfig

__all__ = ["check_groups", "check_weights", "method_of", "model_of"]

_SHOWN = 3
"""Names that a message lists."""


def method_of(solver: Solver, m: int) -> Method:
    """The method of a solver for m objectives.

    Raises:
        BrokenPartError: it cannot be assembled, or a part of it is something else.
    """
    name = type(solver).__name__
    with blamed(f"assembling the method of {name}", "solver", BrokenPartError):
        method: Any = solver.method(m)
        weights = method.weights if isinstance(method, Method) else None
    if not isinstance(method, Method):
        raise BrokenPartError(f"solver: method() of {name} returned {_what(method)}, not a moframework.Method")
    if not isinstance(weights, WeightSpaceConfig):
        raise BrokenPartError(
            f"solver: weight_space() of {name} returned {_what(weights)}, not the options of a weight space, which "
            "derive from moframework.WeightSpaceConfig"
        )
    for key, made, kind in (
        ("preferences", method.preferences, Schedule),
        ("objective", method.objective, Objective),
    ):
        if not isinstance(made, kind):
            raise BrokenPartError(
                f"solver.{key}: that of {name} is {_what(made)} ({shortened(repr(made))}), not a {kind.__name__}; "
                f"`default_{key}` of a solver is an object, such as {'Dirichlet' if kind is Schedule else 'Linear'}()"
            )
    drawn = type(method.preferences)
    if "__attrs_attrs__" not in vars(drawn):  # its options would be what `option` returns
        raise BrokenPartError(
            f"solver.preferences: {drawn.__name__} has no options: decorate the class with @moframework.config.config"
        )
    with blamed(f"drawing preferences with {drawn.__name__}", "solver.preferences", BrokenPartError):
        method.check(m)
    return method


def model_of(make: Any, weights: WeightSpaceConfig) -> ParetoModel:
    """The model that `make` makes.

    Raises:
        BrokenPartError: its weight space cannot be built, or is something else.
    """
    name = type(weights).__name__
    with blamed(f"building the weights of {name}", "solver", BrokenPartError):
        model: ParetoModel = make()
    if not isinstance(model.space, WeightSpace):
        raise BrokenPartError(f"solver: build() of {name} returned {_what(model.space)}, not a moframework.WeightSpace")
    return model


def check_weights(model: ParetoModel, shapes: Mapping[str, torch.Size], trains: bool) -> None:
    """θ(λ) must have every parameter of the network, of its shape, and nothing that the network has not.

    Args:
        shapes: of the network's parameters, by name.
        trains: whether they are to be trained through a network.

    Raises:
        BrokenPartError: it has not; the text lists what is missing, unknown or of another shape.
    """
    name = type(model.space).__name__
    with blamed(f"weights() of {name}", "solver", BrokenPartError):
        anchors = model.space.anchors()
        found: Any = model.space.weights(model.checked([1.0] * len(model.tasks)) if anchors is None else anchors[0])
    if not isinstance(found, Mapping):
        raise BrokenPartError(
            f"solver: weights() of {name} returned {_what(found)}, not weights by the names of parameters"
        )
    known = {**shapes} | {key: value.shape for key, value in model.skeleton.named_buffers()}
    missing = [key for key in shapes if key not in found]
    unknown = [key for key in found if key not in known]
    if missing:
        raise BrokenPartError(f"solver: weights() of {name} has nothing for {_listed(missing)} of the network")
    if unknown:
        raise BrokenPartError(f"solver: weights() of {name} has {_listed(unknown)}, which the network has not")
    if trains and not any(value.requires_grad for value in found.values() if isinstance(value, Tensor)):
        raise BrokenPartError(
            f"solver: weights() of {name} depends on no parameter of it that is trained, so nothing learns"
        )
    for key, value in found.items():
        shape = tuple(value.shape) if isinstance(value, Tensor) else None
        if shape != tuple(known[key]):
            told = _what(value) if shape is None else f"the shape {shape}"
            raise BrokenPartError(
                f"solver: weights() of {name} gives '{key}' {told}; the network's is {tuple(known[key])}"
            )


def check_groups(space: WeightSpace, lr: float) -> None:
    """Groups for the optimizer must hold every parameter to train once.

    Raises:
        BrokenPartError: they do not; the text lists what is left out or there twice.
    """
    name = type(space).__name__
    with blamed(f"parameter_groups() of {name}", "solver", BrokenPartError):
        groups: Any = space.parameter_groups(lr)
    if not isinstance(groups, Sequence) or not all(isinstance(one, Mapping) and "params" in one for one in groups):
        raise BrokenPartError(
            f"solver: parameter_groups() of {name} returned {_what(groups)}, not mappings with `params`"
        )
    held = Counter(id(parameter) for group in groups for parameter in group["params"])
    trained = {key: value for key, value in space.named_parameters() if value.requires_grad}
    left = [key for key, value in trained.items() if id(value) not in held]
    twice = [key for key, value in trained.items() if held[id(value)] > 1]
    if left or twice:
        what = f"leave out {_listed(left)}" if left else f"hold {_listed(twice)} more than once"
        raise BrokenPartError(f"solver: parameter_groups() of {name} {what}: every parameter to train is in one group")


def _what(found: object) -> str:
    return "nothing" if found is None else f"something of type {type(found).__name__}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:_SHOWN]) + more
