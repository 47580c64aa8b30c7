"""`ParetoModel`: any network whose weights are a function of a preference."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from moframework.backbones.base import named_outputs
from moframework.errors import SpecError
from moframework.model.io import read_model, write_model
from moframework.model.operating_point import batch_statistics, merged_network, on_simplex
from moframework.model.recipe import Recipe
from moframework.weights import WeightSpace

__all__ = ["PREFERENCE", "ParetoModel", "Runner"]

PREFERENCE = "λ"
"""What stands for θ(λ) holds the preference under this key, where a weight space runs the network itself."""

Runner = Callable[[nn.Module, Tensor, Tensor], Any]


class ParetoModel(nn.Module):
    """A backbone, unmodified, with weights θ(λ) from a weight space.

    Parameters that the backbone keeps frozen (`requires_grad` is False) are the same for every λ and not trained. A
    BatchNorm layer all of whose parameters are frozen is frozen as a whole: it uses the running statistics it starts
    with, in training too, and does not change them.

    Args:
        recipe: backbone, shapes and weight space.
        initial: state dict to start from in place of fresh weights (parameters and buffers), or None.

    Example::

        model = ParetoModel.load("runs/quickstart/model")
        outputs = model(x, torch.tensor([0.3, 0.7]))    # {"left": (b, 10), "right": (b, 10)}
        network = model.at([0.3, 0.7])                  # a plain nn.Module, ready to ship
    """

    def __init__(self, recipe: Recipe, initial: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.recipe = recipe
        self.space: WeightSpace = recipe.weights.build(recipe.make, len(recipe.tasks), initial)
        # The skeleton keeps structure and buffers; its parameters are taken out, so that nothing is stored twice.
        self.skeleton = recipe.make()
        names: dict[int, str] = {}
        self._aliases: dict[str, str] = {}
        self._trainable: dict[str, bool] = {}
        for name, parameter in self.skeleton.named_parameters(remove_duplicate=False):
            first = names.setdefault(id(parameter), name)
            if first != name:
                self._aliases[name] = first
            else:
                self._trainable[name] = parameter.requires_grad
        self._frozen_norms = [module for module in self.skeleton.modules() if _is_frozen(module)]
        self._compiled: Callable[[dict[str, Tensor], Tensor], Any] | None = None
        self._runner: Runner | None = None
        # Where a parameter of θ(λ) goes: the registry of its module, and its place there.
        self._slots: list[tuple[dict[str, Any], str, str]] = []
        for prefix, module in self.skeleton.named_modules():
            for key in module._parameters:
                name = f"{prefix}.{key}" if prefix else key
                if module._parameters[key] is not None:
                    self._slots.append((cast(dict[str, Any], module._parameters), key, self._aliases.get(name, name)))
                module._parameters[key] = None
        for norm in self._frozen_norms:
            norm.eval()
        self._recurrent = [(name, m) for name, m in self.skeleton.named_modules() if isinstance(m, nn.RNNBase)]
        self._forget_recurrent()
        if initial is not None:
            with torch.no_grad():
                for name, buffer in self.skeleton.named_buffers():
                    if name in initial:
                        buffer.copy_(initial[name])

    def __repr__(self) -> str:
        count = sum(parameter.numel() for parameter in self.parameters())
        return f"ParetoModel({', '.join(self.tasks)}; {type(self.space).__name__}, {count:,} parameters)"

    def train(self, mode: bool = True) -> ParetoModel:
        """As `nn.Module.train`; frozen BatchNorm layers stay as they are when the model is used."""
        super().train(mode)
        for norm in self._frozen_norms:
            norm.eval()
        return self

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the objectives, in the order of the preference's entries."""
        return self.recipe.tasks

    def norms(self) -> dict[str, _BatchNorm]:
        """The BatchNorm layers of the network that normalize by the batch in training, by name."""
        return {
            name: module
            for name, module in self.skeleton.named_modules()
            if isinstance(module, _BatchNorm) and not any(module is norm for norm in self._frozen_norms)
        }

    def forward(self, x: Tensor, preference: Tensor) -> dict[str, Tensor]:
        """Outputs of the network with weights θ(λ), by output key.

        Args:
            x: a batch for the backbone, (b, …).
            preference: λ (m,), on the simplex, on any device.
        """
        return self.call(self.weights(preference), x)

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """θ(λ), by name of parameter (and of buffer, where one depends on λ), without the aliases of tied parameters;
        differentiable in the space's parameters."""
        return self.space.weights(preference)

    def owners(self, name: str) -> list[tuple[nn.Module, str]]:
        """The modules of the network that have the parameter `name` of θ(λ), several where it is tied, each with what
        it calls it."""
        return [
            (module, key)
            for prefix, module in self.skeleton.named_modules()
            for key in module._parameters
            for full in [f"{prefix}.{key}" if prefix else key]
            if self._aliases.get(full, full) == name
        ]

    def call(self, weights: Mapping[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """Outputs of the network with the given weights (as `weights` returns them, further buffers allowed), by output
        key."""
        if self._runner is not None:
            buffers = {name: value for name, value in weights.items() if name != PREFERENCE}
            with self._with_buffers(buffers):
                result = self._runner(self.skeleton, weights[PREFERENCE], x)
            return named_outputs(result, tuple(self.recipe.outputs))
        if torch.compiler.is_compiling():  # a larger function is compiled
            return named_outputs(self._functional(dict(weights), x), tuple(self.recipe.outputs))
        if self._compiled is not None and self.training:
            with warnings.catch_warnings():
                # Tracing looks at `.grad` of everything it is given, and warns of weights that are computed.
                warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")
                return named_outputs(self._compiled(dict(weights), x), tuple(self.recipe.outputs))
        for prefix, module in self._recurrent:
            names = [f"{prefix}.{name}" if prefix else name for name in module._flat_weights_names]
            module._flat_weights = [weights[self._aliases.get(name, name)] for name in names]
        result = self._filled(weights, x)
        self._forget_recurrent()
        return named_outputs(result, tuple(self.recipe.outputs))

    def compile_network(self, mode: str | None = None) -> None:
        """From now on let `torch.compile` run the network in training; θ(λ) is made outside of it.

        Compiled at the first call, and again for each new shape of batch.

        Args:
            mode: of `torch.compile`; None for its default.

        Raises:
            SpecError: the network has recurrent layers, whose weights a compiled network does not take as inputs.
        """
        self.check_compiles()
        self._compiled = torch.compile(self._functional, mode=mode)

    def check_compiles(self) -> None:
        """Raise `SpecError` where `compile_network` would."""
        if self._recurrent:
            raise SpecError("training.compile: networks with recurrent layers cannot be compiled; use false")

    @property
    def compiles(self) -> bool:
        """Whether `torch.compile` runs the network in training."""
        return self._compiled is not None

    @contextmanager
    def uncompiled(self) -> Iterator[None]:
        """While inside, the network runs as if it were not compiled."""
        compiled, self._compiled = self._compiled, None
        try:
            yield
        finally:
            self._compiled = compiled

    def _functional(self, weights: dict[str, Tensor], x: Tensor) -> Any:
        theta = {**weights, **{alias: weights[first] for alias, first in self._aliases.items()}}
        return functional_call(self.skeleton, theta, (x,), tie_weights=False)

    def _filled(self, weights: Mapping[str, Tensor], x: Tensor) -> Any:
        """What the skeleton makes of x with `weights` in place, as `torch.func.functional_call` has it, without what
        that spends on looking up and checking each name anew: a fifth of a millisecond a call for LeNet."""
        with self._with_buffers(weights) if len(weights) > len(self._trainable) else nullcontext():
            try:
                for registry, key, name in self._slots:
                    registry[key] = weights[name]
                return self.skeleton(x)
            finally:
                for registry, key, _ in self._slots:
                    registry[key] = None

    @contextmanager
    def _with_buffers(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """The skeleton with those of `weights` in place that stand for buffers."""
        buffers = [(name, *self._buffer(name)) for name in weights if name not in self._trainable]
        before = [registry[key] for _, registry, key in buffers]
        try:
            for name, registry, key in buffers:
                registry[key] = weights[name]
            yield
        finally:
            for (_, registry, key), value in zip(buffers, before, strict=True):
                registry[key] = value

    def run_by(self, space: WeightSpace, runner: Runner | None) -> None:
        """Use another weight space. Where `runner` is given, the space's `weights` are the preference alone, under
        `PREFERENCE`, and the runner makes the network's outputs of the skeleton, whose parameters are not in place, the
        preference, and a batch."""
        self.space, self._runner = space, runner

    @property
    def runs_whole(self) -> bool:
        """Whether `weights` gives all weights of the network, to be used in whatever way."""
        return self._runner is None

    def _buffer(self, name: str) -> tuple[dict[str, Any], str]:
        """The registry that holds a buffer of the skeleton, and its place there."""
        prefix, _, key = name.rpartition(".")
        registry = self.skeleton.get_submodule(prefix)._buffers
        if key not in registry:
            raise KeyError(f"the network has no parameter or buffer '{name}'")
        return registry, key

    def _forget_recurrent(self) -> None:
        """Recurrent layers keep a list of their weights beside the parameters; `functional_call` knows only these."""
        for _, module in self._recurrent:
            count = len(module._flat_weights_names)
            module._flat_weights, module._flat_weight_refs = [None] * count, [None] * count

    def at(
        self,
        preference: ArrayLike | Tensor,
        *,
        calibrate: Iterable[Tensor | Sequence[Tensor]] | None = None,
    ) -> nn.Module:
        """The network at one operating point: a plain module with merged weights and nothing of ours inside (where the
        preference is an input of the network, only what joins the two).

        Args:
            preference: λ, m non-negative numbers; scaled to sum to 1.
            calibrate: batches of training inputs, alone or first in a tuple, such as a DataLoader yields, from which
                the statistics of BatchNorm layers are taken anew for this λ; None for those that all λ share.

        Raises:
            ValueError: wrong count, a negative or non-finite number, or all zero; or `calibrate` has no batch.
        """
        checked = self.checked(preference)
        with torch.no_grad():
            theta = self.weights(checked)
        if calibrate is not None:
            theta.update(self.batch_statistics(checked.unsqueeze(0), calibrate)[0])
        return merged_network(self.skeleton, theta, self._trainable, self._aliases)

    @torch.no_grad()
    def batch_statistics(
        self,
        preferences: Tensor,
        batches: Iterable[Tensor | Sequence[Tensor]],
        forward: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> list[dict[str, Tensor]]:
        """Running statistics of the BatchNorm layers for each preference, in place of those that all λ share.

        During training the statistics are averages over the preferences drawn; those of one θ(λ) differ the more, the
        farther apart the weights are. They are taken with equal weight from each batch, as in stochastic weight
        averaging (Izmailov et al., UAI 2018, arXiv 1803.05407); all other layers act as when the network is used.

        Args:
            preferences: (n, m); every batch is read once, all preferences see it.
            batches: of training inputs, alone or first in a tuple; of more than one sample each.
            forward: context for the forward passes of the network; weights are made outside it.

        Returns:
            n mappings from buffer names to values, to be given to `call` along with the weights; empty without
            BatchNorm layers that keep statistics.

        Raises:
            ValueError: there is no batch.
        """
        passes = [partial(self._pass_with, preference, forward) for preference in preferences]
        return batch_statistics(self.skeleton, self.norms(), passes, batches)

    def _pass_with(
        self,
        preference: Tensor,
        forward: Callable[[], AbstractContextManager[None]],
        statistics: dict[str, Tensor],
        x: Tensor,
    ) -> None:
        """A forward pass at a preference, with buffers of its own, which it changes."""
        theta = {**self.weights(preference), **statistics}
        with forward():
            self.call(theta, x)

    def checked(self, preference: ArrayLike | Tensor) -> Tensor:
        """`preference` as a float32 tensor (m,) on the simplex. Raises ValueError as `at` does."""
        return on_simplex(preference, self.tasks)

    def save(self, folder: Path | str) -> None:
        """Write `model.safetensors` and `model.json` into `folder`, made if missing."""
        write_model(folder, self.recipe, self.state_dict())

    @classmethod
    def load(cls, folder: Path | str, device: torch.device | str = "cpu") -> ParetoModel:
        """Read a model that `save` wrote; `folder` may also be a run folder.

        Raises:
            RunError: there is no model, or it was written by a newer version.
        """
        recipe, state = read_model(folder)
        with torch.random.fork_rng(devices=[]):
            model = cls(recipe)
        model.load_state_dict(state)
        return model.to(device).eval()


def _is_frozen(module: nn.Module) -> bool:
    """A BatchNorm layer with parameters, of which none is trained, and statistics to use."""
    own = list(module.parameters(recurse=False))
    return (
        isinstance(module, _BatchNorm)
        and module.running_mean is not None
        and len(own) > 0
        and not any(parameter.requires_grad for parameter in own)
    )
