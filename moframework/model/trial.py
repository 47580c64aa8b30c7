"""Whether a network computes the same with weights that are put in place for a pass as with weights of its own.

A network of a `ParetoModel` has its weights only while it runs (and while one of torch's checkpoints runs a part of it
again). One that runs parts of itself in the backward pass by other means finds none there: layers fail, normalizations
silently do without. One that changes its weights while it runs finds them unchanged the next time. Both are told before
training, from two samples.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from moframework.backbones.base import named_outputs
from moframework.errors import SpecError
from moframework.inputs import Tree, called
from moframework.model.pareto_model import ParetoModel

__all__ = ["check_passes"]

T = TypeVar("T")

_CLOSE = 1e-3
"""Gradients that differ by more than this, relative to the largest of their tensor, are others: the same operations on
the same numbers differ by rounding at most."""


def check_passes(model: ParetoModel, x: Tree) -> None:
    """Compare a training pass of the network, there and back, with that of a plain network with the same weights.

    Networks that do not agree with themselves, since they draw random numbers in ways of their own, cannot be compared,
    and those that fail with plain weights too are not told here. Weights, buffers, modes and random numbers stay as
    they are.

    Args:
        model: on any device.
        x: a batch for its network, on the same one; of two samples or more.

    Raises:
        SpecError: it computes something else, fails in the backward pass, or depends on changes of its weights.
    """
    preference = model.checked([1.0] * len(model.tasks))
    with torch.no_grad(), _restored(model.skeleton):
        model.train()
        weights = {name: value.detach().clone() for name, value in model.weights(preference).items()}
        trained = [name for name, on in model.network.trainable.items() if on]
        for name in trained:
            weights[name].requires_grad_()

        def plain() -> list[Tensor]:
            network = model.at(preference)
            own = dict(network.named_parameters())
            run = partial(_outputs, model, network, x)
            return _gradients(run, [own[name] for name in trained])

        try:
            wanted = plain()
        except Exception:  # whatever is wrong with it is nothing of ours
            return
        with _restored(model.skeleton):
            found = _placed(model, weights, x, trained)
        with _restored(model.skeleton):
            changed = _changed(model, weights, x)
        if changed is not None:
            with _restored(model.skeleton):
                _check_repeats(model, changed, preference, x)
        differs = _other(found, wanted)
        if differs is not None and _other(plain(), wanted) is None:
            raise SpecError(
                f"backbone: the gradient of {trained[differs]} is another than in a network with weights of its own: "
                "in the backward pass the network runs parts of itself in a way that cannot be followed. Switch that "
                "off (activation checkpoints other than torch's, reversible layers), or use another network"
            )


def _placed(model: ParetoModel, weights: Mapping[str, Tensor], x: Tree, trained: Sequence[str]) -> list[Tensor]:
    """Gradients of the weights of a pass. Raises `SpecError` where there are none."""
    try:
        return _gradients(lambda: model.call(weights, x), [weights[name] for name in trained])
    except Exception as error:
        raise SpecError(
            f"backbone: the network cannot be trained with weights that are put in place for a pass, as every weight "
            f"space does ({type(error).__name__}: {error}). Where it runs parts of itself in the backward pass "
            "(activation checkpoints other than torch's, reversible layers), switch that off, or use another network"
        ) from error


def _changed(model: ParetoModel, weights: Mapping[str, Tensor], x: Tree) -> str | None:
    """The name of a weight that a pass changes in place, in training or in use."""
    versions = {name: value._version for name, value in weights.items() if name in model.network.trainable}
    for mode in (True, False):
        with suppress(Exception):  # what fails is told elsewhere
            model.train(mode).network.call(weights, x)
    return next((name for name, version in versions.items() if weights[name]._version != version), None)


def _check_repeats(model: ParetoModel, changed: str, preference: Tensor, x: Tree) -> None:
    """Raise `SpecError` where a network that changes its weights in place does not give the same each time it is given
    them anew as it does with weights of its own. Limiting a weight before it is used is right."""
    space = copy.deepcopy(model.space)
    for mode in (True, False):
        network = model.train(mode).at(preference)
        run = partial(_outputs, model, network, x)
        own = [_seeded(run), _seeded(run)]
        try:
            with torch.set_grad_enabled(mode):
                ours = [_seeded(lambda: model.call(space.weights(preference), x)) for _ in range(2)]
        except Exception as error:
            raise SpecError(
                f"backbone: the network changes its weights in place while it runs ({changed}), which this weight "
                f"space does not allow ({error}). Switch that off in its options, or use another space or network"
            ) from error
        first, second = (_alike(mine, plain) for mine, plain in zip(ours, own, strict=True))
        if first and not second:
            raise SpecError(
                f"backbone: the network changes its weights in place while it runs ({changed}), and computes something "
                "else the next time. Here it is given weights anew each time. Switch that off in its options, or use "
                "another network"
            )


def _outputs(model: ParetoModel, network: nn.Module, x: Tree) -> dict[str, Tensor]:
    return named_outputs(called(network, x, model.network.how), model.network.outputs)


def _alike(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> bool:
    return _other(list(found.values()), list(wanted.values())) is None


def _seeded(run: Callable[[], T]) -> T:
    """`run()`, always with the same random numbers."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  # networks that draw with numpy use this one
    torch.manual_seed(0)
    return run()


def _gradients(run: Callable[[], Mapping[str, Tensor]], of: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of a sum of all outputs, always with the same random numbers; zeros where nothing is reached."""
    for tensor in of:
        tensor.grad = None
    with torch.enable_grad():
        outputs = [value.flatten() for value in _seeded(run).values() if value.requires_grad]
        # Not all alike, so that what is normalized has a gradient too.
        terms = [(value * torch.linspace(0.5, 1.5, len(value), device=value.device)).sum() for value in outputs]
        if terms:
            torch.stack(terms).sum().backward()  # type: ignore[no-untyped-call]
    return [torch.zeros_like(tensor) if tensor.grad is None else tensor.grad for tensor in of]


def _other(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> int | None:
    """The place of a gradient that differs, and is no rounding error beside the others."""
    largest = max((float(value.abs().max()) for value in wanted if value.numel()), default=0.0)
    for place, (mine, value) in enumerate(zip(found, wanted, strict=True)):
        if value.numel():
            size = max(float(value.abs().max()), 1e-4 * largest)
            if not float((mine - value).abs().max()) <= _CLOSE * size:
                return place
    return None


@contextmanager
def _restored(network: nn.Module) -> Iterator[None]:
    """After this, modes, buffers and random numbers are as before."""
    modes = [(module, module.training) for module in network.modules()]
    registries = [module._buffers for module in network.modules() if module._buffers]
    found = [(registry, key, value) for registry in registries for key, value in registry.items()]
    buffers = [(registry, key, value, value.clone()) for registry, key, value in found if value is not None]
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        for registry, key, value, before in buffers:
            registry[key] = value
            value.copy_(before)
        for module, training in modes:
            module.training = training
