"""One operating point: the preference is checked, θ(λ) merged into a plain network, its statistics taken anew."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.utils._pytree import tree_leaves

from moframework.errors import PreferenceError, meant, shortened
from moframework.inputs.trees import Tree, mapped
from moframework.model.buffers import changed_buffers
from moframework.model.functional import FunctionalNetwork

__all__ = [
    "PreferenceLike",
    "another_count",
    "as_preference",
    "as_preferences",
    "batch_statistics",
    "merged_network",
    "no_preference",
    "numbers_of",
    "on_simplex",
    "one_each",
    "unknown_task",
    "without_graphs",
]

PreferenceLike = ArrayLike | Tensor | Mapping[str, float]
"""What a caller may write for λ: m numbers in the order of the tasks, or a number for each task by its name."""

_ROUNDING = 1e-6
"""A sum that is this close to 1 is 1: float32 numbers that were divided by their sum are hardly closer."""


def on_simplex(preference: PreferenceLike, tasks: Sequence[str]) -> Tensor:
    """A preference as a float32 tensor (m,) on the host, scaled to sum to 1.

    Args:
        preference: m non-negative numbers, in the order of the tasks or by their names.
        tasks: names of the m objectives.

    Raises:
        PreferenceError: wrong count, a negative or non-finite number, all zero, no numbers, or names that the tasks
            have not.

    Example::

        on_simplex([1, 3], ("left", "right"))                   # tensor([0.2500, 0.7500])
        on_simplex({"right": 3, "left": 1}, ("left", "right"))  # the same
    """
    given = _numbers(preference, tasks)
    if given.shape != (len(tasks),):
        raise PreferenceError(f"{_wanted(tasks)}; got {_told(given)}")
    with np.errstate(over="ignore"):
        value = torch.from_numpy(given.astype(np.float32))
    if not bool(torch.isfinite(value.sum())):
        what = "the numbers of a preference are finite, also in 32 bits, and so is their sum"
        raise PreferenceError(f"{what}; got {_told(given)}")
    if bool((value < 0).any()) or float(value.sum()) <= 0:
        raise PreferenceError(f"a preference is non-negative and not all zero; got {_told(given)}")
    return value / value.sum()


def _numbers(preference: PreferenceLike, tasks: Sequence[str]) -> NDArray[np.float64]:
    """What a preference holds. Raises `PreferenceError` where it is no numbers, or of other tasks."""
    if isinstance(preference, Tensor):
        return preference.detach().cpu().double().numpy()
    given: Any = preference
    if isinstance(given, Mapping):
        unknown = next((name for name in given if name not in tasks), None)
        if unknown is not None:
            raise PreferenceError(unknown_task(str(unknown), tasks))
        missing = [name for name in tasks if name not in given]
        if missing:
            raise PreferenceError(f"a preference has a number for each task, but none for {', '.join(missing)}")
        given = [given[name] for name in tasks]
    try:
        if given is None or isinstance(given, str | bytes) or _has_text(given):
            raise TypeError
        return np.array(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise PreferenceError(no_preference(preference, tasks)) from None


def no_preference(given: object, tasks: Sequence[str]) -> str:
    """What is said of something that holds no numbers, or not as many as there are tasks.

    >>> no_preference("abc", ("left", "right"))
    "a preference has 2 numbers, one for each of left, right, such as [0.5, 0.5]; got 'abc'"
    """
    example = ", ".join(f"{1 / len(tasks):.3g}" for _ in tasks)
    return f"{_wanted(tasks)}, such as [{example}]; got {shortened(repr(given), 100)}"


def unknown_task(name: str, tasks: Sequence[str]) -> str:
    """What is said of a number for a task that there is not.

    >>> unknown_task("lefd", ("left", "right"))
    "no task 'lefd': did you mean 'left'? the tasks are left, right"
    """
    return f"no task '{shortened(name)}': {meant(name, tasks)}the tasks are {', '.join(tasks)}"


def another_count(preferences: int, samples: int) -> str:
    """What is said where preferences are not as many as samples."""
    return f"preferences are one for each sample, or one for all: got {preferences} for a batch of {samples}"


def _has_text(given: Any) -> bool:
    """Whether there are texts among the numbers, which NumPy would read as numbers where it can."""
    return isinstance(given, list | tuple) and any(isinstance(one, str | bytes) for one in given)


def _told(given: NDArray[np.float64]) -> str:
    """Numbers as they were written, without what 32 bits make of them."""
    return shortened(str(np.array([float(f"{one:.6g}") for one in given.flat]).reshape(given.shape).tolist()), 200)


def as_preference(preference: PreferenceLike, tasks: Sequence[str]) -> Tensor:
    """A preference as a tensor (m,) on the simplex, for use where it is: with its device and its gradient.

    A tensor of floating-point numbers on the simplex is returned as it is; whatever else can be read is checked and
    scaled as by `on_simplex`. Of a tensor whose numbers cannot be read (while something is compiled, exported, traced,
    vectorized by `torch.func.vmap`, or captured as a CUDA graph) only the shape is checked. Numbers on a CUDA device
    are waited for.

    Raises:
        PreferenceError: as by `on_simplex`.
    """
    if not isinstance(preference, Tensor):
        if not torch.compiler.is_compiling():
            return on_simplex(preference, tasks)
        preference = torch.as_tensor(preference, dtype=torch.float32)
    if not torch.compiler.is_compiling() and torch._C._is_tracing():  # where a shape is no number either
        return preference
    if preference.shape != (len(tasks),):
        raise PreferenceError(f"{_wanted(tasks)}; got a tensor of shape {tuple(preference.shape)}")
    numbers = numbers_of(preference)
    if numbers is None:
        return preference
    if min(numbers) >= 0 and abs(sum(numbers) - 1) <= _ROUNDING and preference.is_floating_point():
        return preference
    on_simplex(preference, tasks)
    preference = preference if preference.is_floating_point() else preference.float()
    return preference / preference.sum()


def one_each(preference: PreferenceLike) -> bool:
    """Whether this is a preference for each sample of a batch, (b, m), and not one for all.

    >>> one_each([0.3, 0.7]), one_each([[0.3, 0.7], [1, 0]]), one_each(torch.rand(8, 2))
    (False, True, True)
    """
    if isinstance(preference, list | tuple):
        first = preference[0] if preference else None
        return isinstance(first, list | tuple) or getattr(first, "ndim", 0) == 1
    return getattr(preference, "ndim", 0) == 2


def as_preferences(preferences: PreferenceLike, tasks: Sequence[str], samples: int) -> tuple[Tensor, Tensor | None]:
    """A preference for each sample as a tensor (b, m), each row checked and scaled as `as_preference` does one.

    Args:
        preferences: (b, m), or a sequence of b preferences, tensors with a gradient among them.
        tasks: names of the m objectives.
        samples: b.

    Returns:
        the tensor, and what it holds on the host, before it is scaled; None where that cannot be read.

    Raises:
        PreferenceError: another number of preferences than of samples; or as by `on_simplex`, with the row.
    """
    if len(preferences) != samples:  # type: ignore[arg-type]
        raise PreferenceError(another_count(len(preferences), samples))  # type: ignore[arg-type]
    if not isinstance(preferences, Tensor):
        given = list(cast("Sequence[Any]", preferences))
        for row, one in enumerate(given):
            if np.shape(one) != (len(tasks),):
                raise PreferenceError(f"preference {row}: {_wanted(tasks)}; got {one}")
        if not all(isinstance(one, Tensor) for one in given):
            given = [_named(row, one, tasks) for row, one in enumerate(given)]
        preferences = torch.stack(given) if given else torch.empty(0, len(tasks))
    if preferences.shape[1] != len(tasks):
        raise PreferenceError(f"{_wanted(tasks)}; got a tensor of shape {tuple(preferences.shape)}")
    rows = preferences if preferences.is_floating_point() else preferences.float()
    host = _on_host(rows)
    if host is None or len(host) == 0:
        return rows, host
    sums = host.sum(dim=1)
    low, high = torch.aminmax(sums)
    if host.amin().item() >= 0 and low.item() >= 1 - _ROUNDING and high.item() <= 1 + _ROUNDING:
        return rows, host
    for row, each in enumerate(host.tolist()):
        _named(row, each, tasks)
    sums = rows.sum(dim=1, keepdim=True)
    return torch.where((sums - 1).abs() <= _ROUNDING, rows, rows / sums), host


def _named(row: int, numbers: Any, tasks: Sequence[str]) -> Tensor:
    """`on_simplex`, whose errors say of which row they speak."""
    try:
        return on_simplex(numbers, tasks)
    except PreferenceError as error:
        raise PreferenceError(f"preference {row}: {error}") from error


def numbers_of(values: Tensor) -> Any:
    """What a tensor holds, as numbers of Python, or None where that cannot be read: see `as_preference`."""
    if _hides(values):
        return None
    try:
        return values.tolist()
    except RuntimeError:  # vectorized, or without any numbers
        return None


def _on_host(values: Tensor) -> Tensor | None:
    """What a tensor holds, on the host, or None where that cannot be read: see `as_preference`."""
    if _hides(values):
        return None
    host = values.detach().cpu() if values.requires_grad or not values.is_cpu else values
    if torch._C._are_functorch_transforms_active():
        try:
            host.tolist()
        except RuntimeError:
            return None
    return host


def _hides(values: Tensor) -> bool:
    """Whether it is known before they are read that numbers cannot be."""
    if torch.compiler.is_compiling() or torch._C._is_tracing():
        return True
    if type(values) not in (Tensor, nn.Parameter):  # fake and functional tensors, and those that lie in shards
        return True
    return values.is_cuda and torch.cuda.is_current_stream_capturing()


def _wanted(tasks: Sequence[str]) -> str:
    return f"a preference has {len(tasks)} numbers, one for each of {', '.join(tasks)}"


def batch_statistics(
    network: nn.Module,
    train: Callable[[], object],
    starts: Sequence[Mapping[str, Tensor]],
    passes: Sequence[Callable[[Mapping[str, Tensor], Tree], Any]],
    batches: Iterable[Tree],
) -> list[dict[str, Tensor]]:
    """The buffers that a forward pass in training changes, taken anew for each of several operating points.

    Which ones do is seen from a forward pass. Running statistics of normalization layers become the mean of those of
    all batches; what else there is, such as the vectors of `spectral_norm`, goes on from where it is, as in training.

    Args:
        network: acts as in use, but for the modules that have these buffers. Modes of modules are left changed.
        train: puts it into training.
        starts: for each operating point all buffers, by name, as they are.
        passes: for each operating point its forward pass; it takes buffers, which it changes, and inputs (b, …).
        batches: of training inputs; each is read once, all operating points see it.

    Returns:
        For each operating point its buffers, by name; empty where a forward pass changes none.

    Raises:
        ValueError: there is no batch.
    """
    found: list[dict[str, Tensor]] | None = None if starts[0] else [{} for _ in passes]
    for number, batch in enumerate(batches if found is None else ()):
        device = next(iter(starts[0].values())).device
        x = mapped(partial(torch.Tensor.to, device=device, non_blocking=True), batch)
        if found is None:
            train()
            names = changed_buffers(starts[0], partial(_called, passes[0], x))
            found = [_fresh(network, names, start) for start in starts]
        if not found[0]:
            break
        with _taking_statistics(network, found[0], 1 / (number + 1)):
            for run, statistics in zip(passes, found, strict=True):
                run(statistics, x)
    if found is None:
        raise ValueError("taking the statistics of layers anew needs at least one batch of training inputs")
    return found


def _called(run: Callable[[Mapping[str, Tensor], Tensor], Any], x: Tensor, buffers: Mapping[str, Tensor]) -> None:
    run(buffers, x)


def _fresh(network: nn.Module, names: Iterable[str], start: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Buffers as they are before the first batch: those of normalization layers have seen nothing."""
    made: dict[str, Tensor] = {}
    for name in names:
        key, value = name.rpartition(".")[2], start[name].clone()
        if isinstance(_owner(network, name), _NormBase):
            value.fill_(1) if key == "running_var" else value.zero_()
        made[name] = value
    return made


@contextmanager
def _taking_statistics(network: nn.Module, names: Iterable[str], share: float) -> Iterator[None]:
    """While inside, the modules that have these buffers change them as in training, the rest of `network` acts as in
    use; running statistics move by `share` of the way to those of the batch."""
    owners = [_owner(network, name) for name in names]
    momenta = {layer: layer.momentum for layer in owners if isinstance(layer, _NormBase)}
    network.eval()
    for module in owners:
        module.training = True
    for layer in momenta:
        layer.momentum = share
    try:
        yield
    finally:
        for layer, momentum in momenta.items():
            layer.momentum = momentum


def _owner(network: nn.Module, name: str) -> nn.Module:
    """The module that has a buffer."""
    return network.get_submodule(name.rpartition(".")[0])


@torch.no_grad()
def merged_network(network: FunctionalNetwork, theta: Mapping[str, Tensor]) -> nn.Module:
    """A copy of a network with θ(λ) as its own parameters, and nothing left of a forward pass.

    Args:
        network: it is not changed.
        theta: values of all parameters, and of those buffers that depend on λ.
    """
    parameters = {
        name: nn.Parameter(theta[name].detach().clone(), requires_grad=trained)
        for name, trained in network.trainable.items()
    }
    left = without_graphs(network.skeleton)
    network.fill(parameters)
    try:
        made = copy.deepcopy(network.skeleton, {**left, **{id(value): value for value in parameters.values()}})
    finally:
        network.clear()
    for name, value in network.buffers(theta).items():
        made.get_buffer(name).copy_(value)
    for module in made.modules():
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, _COMPUTING):
                _computed(hook, module)
        if isinstance(module, nn.RNNBase):
            module._init_flat_weights()
    return made


_COMPUTING = (WeightNorm, SpectralNorm, BasePruningMethod)
"""Hooks that compute a module's weight from its parameters, as torch had them before parametrizations."""


def _computed(hook: Any, module: nn.Module) -> None:
    """Let a hook compute the weight as it does when the network is used, so that it can be read before that."""
    training = module.training
    module.training = False  # the vectors of spectral_norm stay
    try:
        hook(module, ())
    finally:
        module.training = training


def without_graphs(network: nn.Module) -> dict[int, Tensor]:
    """What stands, in a copy, for the tensors that a forward pass has left in attributes, such as a weight that a hook
    computes: they are part of a graph, which torch does not copy. By `id`, as `copy.deepcopy` takes it."""
    return {id(tensor): _apart(tensor) for tensor in _attributes(network) if not tensor.is_leaf}


def _attributes(network: nn.Module) -> list[Tensor]:
    """The tensors in attributes of modules, and in lists and dictionaries there, that are no parameters or buffers."""
    standard = {"_parameters", "_buffers", "_modules"}
    kept = [value for m in network.modules() for key, value in vars(m).items() if key not in standard]
    return [leaf for leaf in tree_leaves(kept) if isinstance(leaf, Tensor)]


def _apart(tensor: Tensor) -> Tensor:
    """The numbers of a tensor, without its graph; those of a transform of `torch.func` that is over are lost."""
    try:
        return tensor.detach().clone()
    except RuntimeError:
        return torch.empty(0)
