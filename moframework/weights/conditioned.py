"""One network that is given the preference with its input: the weight space of COSMOS.

The weights are the same for every λ. What depends on λ is a buffer of the network: `ConditionedNetwork` joins it to the
input, and θ(λ) names it beside the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import attrs
import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.errors import SpecError, meant
from moframework.inputs.calling import HowToCall, InputWrapper, called
from moframework.inputs.form import Entry, InputForm, InputShape
from moframework.inputs.trees import Tree, replaced_leaf
from moframework.layers.shared_concat import concatenated, shared_concat
from moframework.weights.base import WeightSpace, WeightSpaceConfig
from moframework.weights.starting import listed, starting_values

__all__ = ["Conditioned", "ConditionedNetwork", "ConditionedSpace"]


@config
class Conditioned(WeightSpaceConfig):
    """One network with λ as a further input (COSMOS, Ruchte and Grabocka, ICDM 2021, arXiv 2103.13392).

    Inputs that are vectors are lengthened by λ; images get m more channels, λ enlarged by two transposed convolutions.
    Overhead in parameters: m for each unit of the first layer (for each place of the kernel, where it convolves), and
    52·m² of the transposed convolutions for images. Other inputs, and networks that do not read theirs, are refused.

    Of inputs that are a dict or tuple, one entry is joined with λ: the only one that is a vector or image of
    floating-point numbers, or that which `entry` names. The network must be made for the larger entry: a function that
    makes it is told by its parameter `input_shape`.

    >>> network = Conditioned().network(lambda shape: nn.Linear(shape[0], 1), (3,), m=2)
    >>> {name: tuple(weight.shape) for name, weight in network.named_parameters()}  # it reads 3 + 2 numbers
    {'network.weight': (1, 5), 'network.bias': (1,)}
    """

    entry: str | None = option(
        None, help="the entry of a dict or tuple of inputs that λ joins: its key or position, dots between several"
    )

    def network(self, backbone: Callable[[InputShape], nn.Module], inputs: InputForm | InputShape, m: int) -> nn.Module:
        """The backbone for inputs with λ joined to them, and what joins it."""
        form = InputForm.of(inputs)
        path, before = self._joins(form)
        first, *rest = before.shape
        assert first is not None, "refused"
        wider = form.replaced(path, attrs.evolve(before, shape=(first + m, *rest)))
        network = backbone(wider.shape)
        return ConditionedNetwork(network, wider.resolved(network).call, form, path, m)

    def _joins(self, form: InputForm) -> tuple[str, Entry]:
        """Path and entry of what the preference is joined to. Raises `SpecError`."""
        entries = form.entries
        fitting = {path: entry for path, entry in entries.items() if _joinable(entry)}
        if self.entry is not None and self.entry not in entries:
            near = meant(self.entry, entries)
            raise SpecError(f"solver.entry: inputs have no entry '{self.entry}'; {near}they are {form}")
        if self.entry is not None and self.entry not in fitting:
            raise SpecError(
                "solver.entry: conditioning joins the preference to vectors (n,) or images (channels, height, width) "
                f"of floating-point numbers, but '{self.entry}' is {entries[self.entry]}. Name another entry, or use "
                "another solver."
            )
        if self.entry is not None:
            return self.entry, entries[self.entry]
        if len(fitting) > 1:
            names, first = " or ".join(fitting), next(iter(fitting))
            raise SpecError(f"solver.entry: the preference could join {names}; say which: entry: {first}")
        if not fitting:
            raise SpecError(
                "weights: conditioning joins the preference to vectors (n,) or images (channels, height, width) of "
                f"floating-point numbers, but inputs are {form}. Use another weight space."
            )
        return next(iter(fitting.items()))

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The space of one network made by `make`, which is a `ConditionedNetwork`."""
        network = make()
        if not isinstance(network, ConditionedNetwork):
            raise SpecError("weights: conditioning needs the network that `Conditioned.network` makes")
        _check_reads_input(network)
        return ConditionedSpace(starting_values(network, initial))


class ConditionedNetwork(InputWrapper):
    """A network that reads its input with the preference joined to it; λ is the buffer `preference` (m,).

    Attributes:
        inputs: form of the inputs, without the preference.
        entry: path of the tensor that the preference joins.
        lazy: whether, in training, the first layer need not see the concatenation: see `layers.shared_concat`.
    """

    preference: Tensor

    def __init__(self, network: nn.Module, call: HowToCall, inputs: InputForm, entry: str, m: int) -> None:
        super().__init__(network, call)
        self.inputs, self.entry = inputs, entry
        self.lazy = False
        self.register_buffer("preference", torch.full((m,), 1 / m))
        # Kernels and strides of the released code: λ (m, 1, 1) to (m, 10, 10).
        self.enlarge = (
            nn.Sequential(
                nn.ConvTranspose2d(m, m, 4, bias=False),
                nn.ReLU(),
                nn.ConvTranspose2d(m, m, 6, stride=2, padding=1, bias=False),
                nn.ReLU(),
            )
            if len(inputs.entries[entry].shape) == 3
            else None
        )

    def forward(self, x: Tree) -> Any:
        """What the network returns for inputs x, given as one argument whatever they are."""
        # What is compiled or exported is plain.
        lazy = self.lazy and self.training and not torch.compiler.is_compiling()
        join = self._joined_lazily if lazy else self.joined
        return called(self.network, replaced_leaf(x, self.entry, join), self.call)

    def _joined_lazily(self, x: Tensor) -> Tensor:
        return shared_concat(x, self._shared(x, self._enlarged()))

    def joined(self, x: Tensor) -> Tensor:
        """x with λ: vectors (b, n + m), or images (b, channels + m, height, width)."""
        return concatenated(x, self.shared(x))

    def shared(self, x: Tensor) -> Tensor:
        """What is joined to every sample of x, (1, m) or (1, m, height, width); (b, …) for a preference for each."""
        rows = self.preference.view(-1, self.preference.shape[-1], 1, 1)
        return self._shared(x, None if self.enlarge is None else self.enlarge(rows))

    def _shared(self, x: Tensor, maps: Tensor | None) -> Tensor:
        if maps is None:
            return self.preference.to(x.dtype).view(-1, self.preference.shape[-1])
        return nn.functional.interpolate(maps, size=x.shape[-2:])

    def _enlarged(self) -> Tensor | None:
        """What `enlarge` makes of λ, by the products that its convolutions are: choosing a kernel for so small ones
        takes a CPU three times as long as computing them."""
        if self.enlarge is None:
            return None
        m, (first, _, second, _) = len(self.preference), cast("tuple[nn.ConvTranspose2d, ...]", tuple(self.enlarge))
        small = (self.preference @ first.weight.reshape(m, -1)).relu().view(m, -1)
        columns = second.weight.reshape(m, -1).t() @ small
        places = 4 + 2 * (4 - 1)
        maps = nn.functional.fold(columns.unsqueeze(0), (places, places), kernel_size=6, padding=1, stride=2)
        return maps.relu()


class ConditionedSpace(WeightSpace):
    """θ(λ) = (θ, λ): one set of parameters, and the preference in the place of the network's buffer; in use also
    one for each sample (b, m)."""

    def __init__(self, start: dict[str, nn.Parameter]) -> None:
        super().__init__()
        self._names = list(start)
        self.network = nn.ParameterList(start.values())

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        theta: dict[str, Tensor] = dict(zip(self._names, listed(self.network), strict=True))
        like = theta[self._names[0]]
        theta["preference"] = preference.to(like.device, like.dtype, non_blocking=True)
        return theta

    def named_storage(self) -> list[tuple[tuple[str, ...], Tensor]]:
        """See `WeightSpace.named_storage`; names are those inside the network that joins the preference."""
        named = zip(self._names, self.network, strict=True)
        return [((name.removeprefix("network."),), p) for name, p in named if p.requires_grad]


def _joinable(entry: Entry) -> bool:
    return len(entry.shape) in (1, 3) and entry.shape[0] is not None and entry.dtype.is_floating_point


@torch.enable_grad()
def _check_reads_input(network: ConditionedNetwork) -> None:
    """Refuse networks that cannot take, or never look at, what the preference is joined to."""
    try:
        example = network.inputs.example(2)
    except ValueError as error:
        raise SpecError(f"weights: conditioning: {error}, or another weight space.") from error
    joined: list[Tensor] = []

    def watched(own: Tensor) -> Tensor:
        joined.append(network.joined(own).detach().requires_grad_())
        return joined[0]

    inputs = replaced_leaf(example, network.entry, watched)
    modes = {module: module.training for module in network.modules()}
    try:
        result = called(network.eval().network, inputs, network.call)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise SpecError(
            f"weights: the network does not take its input with the preference joined to it ({error}). "
            "Use another weight space."
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode
    outputs = result.values() if isinstance(result, Mapping) else [result] if isinstance(result, Tensor) else result
    touched = [output for output in outputs if output.requires_grad]
    if touched:
        torch.autograd.backward([output.sum() for output in touched])  # reentrant checkpoints know no `grad`
        network.zero_grad()
    if not joined or joined[0].grad is None:
        raise SpecError(
            "weights: the network does not read its input, so a preference joined to it has no effect. "
            "Use another weight space."
        )
