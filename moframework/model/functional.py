"""A network as a function of its weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from moframework.backbones.base import named_outputs
from moframework.errors import SpecError
from moframework.inputs import HowToCall, Tree, arguments_of, called
from moframework.model.beside import Beside
from moframework.model.buffers import buffers_of
from moframework.model.inner_checkpoints import PASS, follow_checkpoints, without_checkpoints

__all__ = ["PREFERENCE", "FunctionalNetwork", "Runner"]

PREFERENCE = "λ"
"""What stands for θ(λ) holds the preference under this key, where a weight space runs the network itself."""

Runner = Callable[[Callable[[Tree], Any], Tensor, Tree], Any]


class FunctionalNetwork:
    """Runs a network with weights that are given at each call.

    The network's own parameters are taken out, so that nothing is stored twice: what is left is a skeleton with
    structure and buffers.

    Args:
        skeleton: the network; changed in place.
        outputs: keys of its outputs.
        how: how it is given its inputs, resolved; see `inputs.calling.HowToCall`.

    Attributes:
        trainable: whether each parameter is trained, by name; tied ones once, under their first name.
        aliases: further names of tied parameters, and the first one of each.
        slots: where a parameter of θ(λ) goes: the registry of its module, its place there, and its name.
        beside: what holds weights in other places: recurrent layers, and lists that a network keeps.
        runner: runs the skeleton in the place of `call`, where a weight space gives the preference alone.
    """

    def __init__(self, skeleton: nn.Module, outputs: Sequence[str], how: HowToCall = "one") -> None:
        self.skeleton, self.outputs, self.how = skeleton, tuple(outputs), how
        names: dict[int, str] = {}
        self.aliases: dict[str, str] = {}
        self.trainable: dict[str, bool] = {}
        for name, parameter in skeleton.named_parameters(remove_duplicate=False):
            first = names.setdefault(id(parameter), name)
            if first != name:
                self.aliases[name] = first
            else:
                self.trainable[name] = parameter.requires_grad
        self.beside = Beside(skeleton, names, self.aliases)
        self.slots: list[tuple[dict[str, Any], str, str]] = []
        for prefix, module in skeleton.named_modules():
            for key in module._parameters:
                name = f"{prefix}.{key}" if prefix else key
                if module._parameters[key] is not None:
                    self.slots.append((cast(dict[str, Any], module._parameters), key, self.aliases.get(name, name)))
                module._parameters[key] = None
        self.beside.clear()
        self.runner: Runner | None = None
        self._compiled: Callable[[dict[str, Tensor], Tree], Any] | None = None
        follow_checkpoints()

    def call(self, weights: Mapping[str, Tensor], x: Tree) -> dict[str, Tensor]:
        """Outputs of the network with the given weights (as `ParetoModel.weights` returns them, further buffers
        allowed), by output key."""
        if self.runner is not None:
            buffers = {name: value for name, value in weights.items() if name != PREFERENCE}
            with buffers_of(self.skeleton, buffers), without_checkpoints():
                result = self.runner(partial(called, self.skeleton, how=self.how), weights[PREFERENCE], x)
        elif torch.compiler.is_dynamo_compiling():  # a larger function is compiled
            result = self._functional(dict(weights), x)
        elif self._compiled is not None and self.skeleton.training:
            with warnings.catch_warnings(), without_checkpoints():
                # Tracing looks at `.grad` of everything it is given, and warns of weights that are computed.
                warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")
                result = self._compiled(dict(weights), x)
        else:
            result = self._filled(weights, x)
        return named_outputs(result, self.outputs)

    def compile(self, mode: str | None = None) -> None:
        """From now on let `torch.compile` run the network in training; θ(λ) is made outside of it.

        Compiled at the first call, and again for each new shape of batch.

        Args:
            mode: of `torch.compile`; None for its default.

        Raises:
            SpecError: the network has weights beside its parameters, which a compiled one does not take as inputs.
        """
        self.check_compiles()
        self._compiled = torch.compile(self._functional, mode=mode)

    def check_compiles(self) -> None:
        """Raise `SpecError` where `compile` would."""
        if self.beside.where:
            raise SpecError(f"training.compile: networks with {self.beside.where[0]} cannot be compiled; use false")

    @contextmanager
    def uncompiled(self) -> Iterator[None]:
        """While inside, the network runs as if it were not compiled."""
        compiled, self._compiled = self._compiled, None
        try:
            yield
        finally:
            self._compiled = compiled

    def owners(self, name: str) -> list[tuple[nn.Module, str]]:
        """The modules that have the parameter `name` of θ(λ), several where it is tied, each with what it calls it."""
        return [
            (module, key)
            for prefix, module in self.skeleton.named_modules()
            for key in module._parameters
            for full in [f"{prefix}.{key}" if prefix else key]
            if self.aliases.get(full, full) == name
        ]

    def _functional(self, weights: dict[str, Tensor], x: Tree) -> Any:
        theta = {**weights, **{alias: weights[first] for alias, first in self.aliases.items()}}
        return functional_call(self.skeleton, theta, *arguments_of(x, self.how), tie_weights=False)

    def _filled(self, weights: Mapping[str, Tensor], x: Tree) -> Any:
        """What the skeleton makes of x with `weights` in place, as `torch.func.functional_call` has it, without what
        that spends on looking up and checking each name anew: a fifth of a millisecond a call for LeNet."""
        if len(weights) != len(self.trainable):
            with buffers_of(self.skeleton, self.buffers(weights)):
                return self._run(weights, x)
        return self._run(weights, x)

    def _run(self, weights: Mapping[str, Tensor], x: Tree) -> Any:
        token = PASS.set((self, weights, {}))
        try:
            self.fill(weights)
            return self.skeleton(x) if self.how == "one" else called(self.skeleton, x, self.how)
        finally:
            PASS.reset(token)
            self.clear()

    def buffers(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Those of `weights` that stand for buffers."""
        return {name: value for name, value in weights.items() if name not in self.trainable}

    def fill(self, weights: Mapping[str, Tensor]) -> None:
        """Put `weights` into the skeleton, until `clear`."""
        for registry, key, name in self.slots:
            registry[key] = weights[name]
        if self.beside.where:
            self.beside.fill(weights)

    def clear(self) -> None:
        """Take them out."""
        for registry, key, _ in self.slots:
            registry[key] = None
        if self.beside.where:
            self.beside.clear()
