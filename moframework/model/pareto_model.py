"""`ParetoModel`: any network whose weights are a function of a preference."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from html import escape
from itertools import chain
from pathlib import Path
from typing import Any, cast

import attrs
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from moframework.backbones.given import GivenBackbone
from moframework.config import Trust
from moframework.errors import RunError
from moframework.inputs import InputForm, Tree
from moframework.inputs.calling import how_outside
from moframework.inputs.trees import mapped
from moframework.model.buffers import modes_kept
from moframework.model.functional import FunctionalNetwork, Runner
from moframework.model.io import front_beside, read_model, stored_preparation, write_model
from moframework.model.kept import KeptWeights
from moframework.model.mixed import mixed_outputs
from moframework.model.one_pass import OnePass
from moframework.model.operating_point import (
    PreferenceLike,
    as_preference,
    batch_statistics,
    merged_network,
    on_simplex,
    one_each,
    without_graphs,
)
from moframework.model.predict import predictions
from moframework.model.recipe import Recipe
from moframework.pareto.html import front_html
from moframework.predicting import Predictions, Preparation, Reading, Unseen
from moframework.weights import WeightSpace
from moframework.weights.conditioned import ConditionedSpace
from moframework.weights.finite import FiniteSpace
from moframework.weights.low_rank import AdapterSpace
from moframework.weights.remapped import unmapped
from moframework.weights.restricted import Restricted, RestrictedSpace, unrestricted

__all__ = ["ParetoModel"]


class ParetoModel(nn.Module):
    """A backbone, unmodified, with weights θ(λ) from a weight space.

    Parameters that the backbone keeps frozen (`requires_grad` is False) are the same for every λ and not trained. A
    BatchNorm layer all of whose parameters are frozen is frozen as a whole: it uses the running statistics it starts
    with, in training too, and does not change them.

    Args:
        recipe: backbone, shapes and weight space.
        initial: state dict to start from in place of fresh weights (parameters and buffers), or None.

    Attributes:
        preparation: how raw data becomes inputs and outputs become answers, which `predict` uses and `save` keeps; a
            text that says why it is not known; or None.
        folder: that it was loaded from, or None.

    That of a run is read by `ParetoModel.load("runs/quickstart/model")`.

    >>> from moframework.backbones.mlp import MLP
    >>> from moframework.weights.low_rank import LowRank
    >>> tasks, outputs = ("left", "right"), {"left": 10, "right": 10}
    >>> recipe = Recipe(tasks=tasks, backbone=MLP(), input_shape=(4,), outputs=outputs, weights=LowRank(rank=2))
    >>> model, x = ParetoModel(recipe), torch.ones(5, 4)
    >>> {key: tuple(output.shape) for key, output in model(x, [0.3, 0.7]).items()}
    {'left': (5, 10), 'right': (5, 10)}
    >>> network = model.at([0.3, 0.7])  # a plain nn.Module, ready to ship
    >>> torch.allclose(network(x)["left"], model(x, [0.3, 0.7])["left"], atol=1e-5)
    True
    """

    def __init__(self, recipe: Recipe, initial: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.kept = KeptWeights()
        self._one_pass: OnePass | None = None
        self.space: WeightSpace = recipe.weights.build(recipe.make, len(recipe.tasks), initial)
        self.skeleton = recipe.make()
        self._frozen_norms = [module for module in self.skeleton.modules() if _is_frozen(module)]
        inputs = recipe.inputs.resolved(self.skeleton)
        self.recipe = attrs.evolve(recipe, input_shape=inputs)
        self.preparation: Preparation | str | None = None
        self.folder: Path | None = None
        self.network = FunctionalNetwork(self.skeleton, tuple(recipe.outputs), how_outside(self.skeleton, inputs.call))
        for norm in self._frozen_norms:
            norm.eval()
        if initial is not None:
            with torch.no_grad():
                for name, buffer in self.skeleton.named_buffers():
                    if name in initial:
                        buffer.copy_(initial[name])

    def __repr__(self) -> str:
        count = sum(parameter.numel() for parameter in self.parameters())
        return f"ParetoModel({', '.join(self.tasks)}; {type(self.space).__name__}, {count:,} parameters)"

    def _repr_html_(self) -> str:
        """What a notebook shows: this model in a line, and the test front of the run that it was loaded from."""
        front = None if self.folder is None else front_beside(self.folder)
        shown = "" if front is None else front_html(front)
        return f"<div>{escape(repr(self))}{shown}</div>"

    def __deepcopy__(self, memo: dict[int, Any]) -> ParetoModel:
        """A copy, without the graph of a forward pass that modules still hold."""
        made = type(self).__new__(type(self))
        memo.update({id(self): made, **without_graphs(self.skeleton)})
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made

    def train(self, mode: bool = True) -> ParetoModel:
        """As `nn.Module.train`; frozen BatchNorm layers stay as they are when the model is used."""
        self._drop_kept()
        super().train(mode)
        for norm in self._frozen_norms:
            norm.eval()
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ParetoModel:
        """As `nn.Module._apply`, by which tensors go elsewhere."""
        self._drop_kept()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _drop_kept(self) -> None:
        self.kept.drop()
        if self._one_pass is not None:
            self._one_pass.kept.drop()

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

    def left_out(self) -> list[str]:
        """Weights, by name, that are trained but get no low-rank adapter, so that they are the same for every λ: those
        of recurrent layers, under a parametrization or a hook, parameters without a layer. Vectors do not count; empty
        where the weight space has no adapters."""
        space = unmapped(self.space)
        if not isinstance(space, AdapterSpace):
            return []
        adapted, theta = {adapter.name for adapter in space.adapted}, space.unadapted()
        wide = {name for name, value in theta.items() if sum(size > 1 for size in value.shape) > 1}
        return [name for name, trained in self.network.trainable.items() if trained and name in wide - adapted]

    def running_statistics(self) -> list[Tensor]:
        """Running means and variances of normalization layers: those that all λ share, and those of each network of a
        finite set."""
        layers = [(name, m) for name, m in self.skeleton.named_modules() if isinstance(m, _NormBase)]
        names = [f"{name}.{key}" if name else key for name, _ in layers for key in ("running_mean", "running_var")]
        anchors = self.space.anchors()
        sets = [self._buffers_at(anchor) for anchor in anchors] if anchors is not None else []
        found = [own[name] for own in (dict(self.skeleton.named_buffers()), *sets) for name in names if name in own]
        return list({id(value): value for value in found}.values())

    def forward(self, x: Tree, preference: PreferenceLike) -> dict[str, Tensor]:
        """Outputs of the network with weights θ(λ), by output key.

        Args:
            x: a batch of inputs (b, …): a tensor, or a dict, tuple or dataclass of tensors, as `recipe.inputs` says;
                how the network gets it stands there too.
            preference: λ, m non-negative numbers, on any device; scaled to sum to 1 where they do not. A tensor keeps
                its gradient, and is used as it is where it lies on the simplex. Numbers on a CUDA device are waited
                for. Where numbers cannot be read (under torch.compile, torch.export, torch.func.vmap, or while a CUDA
                graph is captured), only their count is checked, and they must lie on the simplex. Or (b, m), one for
                each sample, which then is computed with its own θ(λ); samples with the same λ may go through the
                network together. This is for a model in use: after `eval()`.

        Raises:
            PreferenceError: wrong count, a negative or non-finite number, all zero, or no numbers; a `ValueError` too.
            ValueError: x is not of the form of the model's inputs. With a preference for each sample: not as many as
                samples, a model in training, or numbers that cannot be read though samples must be grouped by them: see
                `how_mixed`.
        """
        form = self.recipe.inputs
        fault = None if form.is_tensor and isinstance(x, Tensor) else form.fault(x)
        if fault is not None:
            raise ValueError(fault)
        if one_each(preference):
            return mixed_outputs(self, x, preference, self.one_pass())
        if self.training or not self.materializes:
            return self.call(self.weights(as_preference(preference, self.tasks)), x)
        return self.call(self.kept.weights(self.space, preference, self.tasks), x)

    def how_mixed(self) -> str:
        """How a batch with a preference for each sample is computed, and where that is one pass for each preference,
        why.

        Example::

            model.how_mixed()    # "one pass: each layer has weights of its own for each sample"
        """
        if isinstance(unmapped(self.space), ConditionedSpace):
            return "one pass: the preference is an input of the network"
        found = self.one_pass()
        if isinstance(found, str):
            return f"one pass for each preference: {found}"
        return "one pass: each layer has weights of its own for each sample"

    def one_pass(self) -> OnePass | str:
        """What goes through the network once with a preference for each sample, or why nothing does."""
        if self._one_pass is None or not self._one_pass.fits(self):
            found = OnePass.when(self)
            if isinstance(found, str):
                return found
            self._one_pass = found
        return self._one_pass

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """θ(λ), by name of parameter (and of buffer, where one depends on λ), without the aliases of tied parameters;
        differentiable in the space's parameters."""
        return self.space.weights(preference)

    def call(self, weights: Mapping[str, Tensor], x: Tree) -> dict[str, Tensor]:
        """Outputs of the network with the given weights (as `weights` returns them, further buffers allowed), by output
        key."""
        return self.network.call(weights, x)

    def replace_space(self, space: WeightSpace, runner: Runner | None) -> None:
        """Use another weight space from now on.

        Args:
            space: the space.
            runner: None where `space.weights` gives θ(λ). Otherwise it gives the preference alone, under `PREFERENCE`,
                and `runner(network, preference, x)` returns what `network(x)` does; its skeleton has no parameters in
                place.
        """
        self.space, self.network.runner = space, runner
        self._drop_kept()

    def restrict(self, vertices: Tensor) -> None:
        """Let the simplex of preferences stand for a part of itself from now on: λ for Σ_t λ_t v_t.

        Args:
            vertices: v_t as rows (m, m), on the simplex.

        Raises:
            SpecError: the weight space is a finite set.

        Example::

            model.restrict(torch.tensor([[1.0, 0.0], [0.4, 0.6]]))
            model.at([0, 1])    # what was `model.at([0.4, 0.6])`
        """
        weights, vertices = self.recipe.weights, vertices.to(next(self.parameters()).device)
        if isinstance(self.space, RestrictedSpace) and isinstance(weights, Restricted):
            weights, vertices = weights.space, vertices @ self.space.rows
        space = RestrictedSpace(unrestricted(self.space), vertices)
        rows = tuple(tuple(row) for row in space.rows.tolist())
        self.recipe = attrs.evolve(self.recipe, weights=Restricted(space=weights, vertices=rows))
        self.replace_space(space, self.network.runner)

    @property
    def materializes(self) -> bool:
        """Whether `weights` gives all weights of the network, which can then be used in whatever way."""
        return self.network.runner is None

    def at(
        self,
        preference: PreferenceLike,
        *,
        calibrate: Iterable[Tree] | None = None,
    ) -> nn.Module:
        """The network at one operating point: a copy of the network that was given, of whatever class it is, with
        merged weights as its parameters. λ is gone, and with it adapters and hypernetworks (where the preference is an
        input of the network, what joins the two stays, with λ fixed). It is called as it always was: with a tensor, or
        as `recipe.inputs.call` says, `network(**x)`, `network(*x)` or `network(x)`.

        Args:
            preference: λ, m non-negative numbers, or `{"left": 0.3, "right": 0.7}` by the names of the tasks; scaled
                to sum to 1.
            calibrate: batches of training inputs, alone or first in a tuple, such as a DataLoader yields, from which
                the statistics of BatchNorm layers, and whatever buffers else a forward pass changes, are taken anew for
                this λ; None for those that all λ share, or that a network of a finite set has.

        Raises:
            PreferenceError: wrong count, a negative or non-finite number, all zero, or no numbers; a `ValueError` too.
            ValueError: `calibrate` has no batch.
        """
        checked = self.checked(preference)
        with torch.no_grad():
            theta = self.weights(checked)
        if calibrate is not None:
            theta.update(self.batch_statistics(checked.unsqueeze(0), calibrate)[0])
        return merged_network(self.network, theta)

    def predict(
        self,
        raw: Any,
        preference: PreferenceLike,
        *,
        unseen: Unseen = "refuse",
        keep: Sequence[str] = (),
        batch_size: int = 256,
    ) -> Predictions:
        """What the network at one preference says of raw data: classes by their names, with probabilities, and numbers
        in the targets' own units.

        Args:
            raw: what the problem was declared with: a table (.csv, .parquet, a data frame, a mapping from columns to
                cells, a list of mappings), or images (a folder, files, images of Pillow). Or inputs that are prepared
                already: tensors or arrays (n, ...), a .npy file, or a .npz file with `inputs`.
            preference: λ, as of `at`.
            unseen: what becomes of a category that training never saw: `refuse` is an error, `missing` takes it for an
                unknown cell, as in training.
            keep: columns of a table, or arrays of a .npz file, that are passed through, such as an id.
            batch_size: samples that go through the network at once.

        Raises:
            PreferenceError: the preference is none; a `ValueError` too.
            RunError: it is not known how raw data becomes inputs.
            DataError: raw data cannot be read, or not as in training; the text names column and place.

        Example::

            answers = model.predict("new.csv", [0.3, 0.7], keep=["id"])
            answers["price"], answers.to_frame(), answers.save("answers.csv")
        """
        notes: list[str] = []
        reading = Reading(count=batch_size, unseen=unseen, keep=tuple(keep), note=notes.append)
        parts = list(self.predict_parts(raw, preference, reading))
        return Predictions.of_parts(parts, tuple(notes))

    def predict_parts(
        self, raw: Any, preference: PreferenceLike, reading: Reading | None = None
    ) -> Iterator[Predictions]:
        """As `predict`, some samples at a time, so that data of any length takes little memory.

        Args:
            reading: how raw data is read, and what is told of it; None: as `predict` does.
        """
        if not isinstance(self.preparation, Preparation):
            raise RunError(
                self.preparation
                or "it is not known how raw data becomes inputs of this model: set `model.preparation`, which "
                "moframework.problem.preparation_of(problem) makes"
            )
        reading = Reading(count=256) if reading is None else reading
        with torch.no_grad():
            theta = self.weights(self.checked(preference))
        forward = partial(self._used_with, theta)
        return predictions(self.preparation, raw, self.recipe.inputs, reading, forward)

    @torch.no_grad()
    def _used_with(self, theta: Mapping[str, Tensor], x: Tree) -> dict[str, Tensor]:
        """Outputs of a batch on any device, of a network that is used rather than trained, whatever mode it is in."""
        device = next(chain(self.parameters(), self.buffers())).device
        with modes_kept(self):
            self.eval()
            return self.call(theta, mapped(lambda leaf: leaf.to(device), x))

    @torch.no_grad()
    def batch_statistics(
        self,
        preferences: Tensor,
        batches: Iterable[Tree],
        forward: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> list[dict[str, Tensor]]:
        """The buffers that a forward pass in training changes, such as running statistics of BatchNorm layers, for each
        preference, in place of those that all λ share.

        During training the statistics are averages over the preferences drawn; those of one θ(λ) differ the more, the
        farther apart the weights are. They are taken with equal weight from each batch, as in stochastic weight
        averaging (Izmailov et al., UAI 2018, arXiv 1803.05407); all other layers act as when the network is used.
        Other buffers, such as the vectors of `spectral_norm`, go on from what they are, one forward pass a batch.

        Args:
            preferences: (n, m); every batch is read once, all preferences see it.
            batches: of training inputs, alone or first in a tuple; of more than one sample each.
            forward: context for the forward passes of the network; weights are made outside it.

        Returns:
            n mappings from buffer names to values, to be given to `call` along with the weights; empty where a forward
            pass changes no buffer.

        Raises:
            ValueError: there is no batch.
        """
        passes = [partial(self._pass_with, preference, forward) for preference in preferences]
        starts = [self._buffers_at(preference) for preference in preferences]
        inputs = (_inputs_of(batch, self.recipe.inputs) for batch in batches)
        with modes_kept(self):
            return batch_statistics(self.skeleton, self.train, starts, passes, inputs)

    def _buffers_at(self, preference: Tensor) -> dict[str, Tensor]:
        """All buffers of the network, by name."""
        own = self.weights(preference)
        return {name: own.get(name, value) for name, value in self.skeleton.named_buffers()}

    def _pass_with(
        self,
        preference: Tensor,
        forward: Callable[[], AbstractContextManager[None]],
        statistics: Mapping[str, Tensor],
        x: Tree,
    ) -> None:
        """A forward pass at a preference, with buffers of its own, which it changes."""
        theta = {**self.weights(preference), **statistics}
        with forward():
            self.call(theta, x)

    def checked(self, preference: PreferenceLike) -> Tensor:
        """`preference` as a float32 tensor (m,) on the simplex. Raises as `at`."""
        return on_simplex(preference, self.tasks)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As `nn.Module.load_state_dict`. Where torch's versions of modules are missing, as in files of tensors alone,
        they are those that this model would write: some modules else look for what versions long ago wrote. Files of
        earlier versions have one set of buffers for all networks of a finite set."""
        state: Any = OrderedDict(state_dict)
        if isinstance(self.space, FiniteSpace):
            for own, name in self.space.stored_buffers().items():
                if f"space.{own}" not in state and f"skeleton.{name}" in state:
                    state[f"space.{own}"] = state[f"skeleton.{name}"]
        versions = getattr(state_dict, "_metadata", None)
        state._metadata = cast(Any, self.state_dict())._metadata if versions is None else versions
        return super().load_state_dict(state, strict, assign)

    def save(self, folder: Path | str) -> None:
        """Write `model.safetensors`, `model.json` and, where it is known, `preparation.json` into `folder`, made if
        missing."""
        known = self.preparation if isinstance(self.preparation, Preparation) else None
        write_model(folder, self.recipe, self.state_dict(), known)

    @classmethod
    def load(
        cls,
        folder: Path | str,
        device: torch.device | str = "cpu",
        *,
        trust: Trust = False,
        backbone: GivenBackbone = None,
    ) -> ParetoModel:
        """Read a model that `save` wrote; `folder` may also be a run folder.

        Args:
            folder: of the model.
            device: where it goes.
            trust: a model made of code of its author's, such as a network `python: ./mine.py:Network`, is not loaded
                unless True says that this code may be run, or a list has the classes and functions that are named:
                `trust=[Network]` runs nothing. A process that has imported them for a spec by the same reference, as
                the one that solved the run has, needs neither.
            backbone: the network, where its code lies elsewhere than the recipe says: a class or function that makes
                it, or a module of the same structure, which is copied. Nothing is imported for it.

        Raises:
            RunError: there is no model; it was written by a newer version; it names code that is not trusted, and
                nothing was executed; or the network that is handed in is another than the one that was trained.
        """
        recipe, state = read_model(folder, trust, backbone)
        with torch.random.fork_rng(devices=[]):
            model = cls(recipe)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            if backbone is None:
                raise
            raise RunError(
                f"{folder}: the network that is handed in is not the one that was trained: {error}"
            ) from error
        model.preparation = stored_preparation(folder, trust)
        model.folder = Path(folder)
        return model.to(device).eval()


def _inputs_of(batch: Any, form: InputForm) -> Tree:
    """The inputs of a batch, which are the batch itself or come first in it."""
    if isinstance(batch, Tensor) or form.matches(batch):
        return batch
    return batch[0]


def _is_frozen(module: nn.Module) -> bool:
    """A BatchNorm layer with parameters, of which none is trained, and statistics to use."""
    own = list(module.parameters(recurse=False))
    return (
        isinstance(module, _BatchNorm)
        and module.running_mean is not None
        and len(own) > 0
        and not any(parameter.requires_grad for parameter in own)
    )
