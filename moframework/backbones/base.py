"""The contract of a backbone, and what several of them need."""

from __future__ import annotations

import dataclasses
import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, final

import attrs
from torch import Tensor, nn

from moframework.backbones.lazy import materialized
from moframework.backbones.starting import freeze, load_weights
from moframework.config import Component, arguments, config, option, options_class
from moframework.config.options import OptionError
from moframework.errors import DataError, MoframeworkError, SpecError
from moframework.inputs.calling import HowToCall
from moframework.inputs.form import InputForm, InputShape
from moframework.io.tensors import load_state

__all__ = ["Backbone", "BackboneOverrides", "Heads", "Prepared", "Shared", "linear_heads", "named_outputs"]


class Backbone(Component, kind="backbones"):
    """A network given by its options; inputs and outputs come from the problem.

    It can also be a plain function that returns an `nn.Module`. Parameters called `input_shape` and `outputs` receive
    what `build` is given; both may be left out, and all further ones become options::

        def linear(input_shape, outputs, bias: bool = True):
            return nn.Linear(input_shape[0], sum(outputs.values()), bias=bias)

    In a spec `weights` and `freeze` may stand beside the options of any backbone: see `BackboneOverrides`.

    >>> from moframework.config import config, option
    >>> @config
    ... class OneLayer(Backbone):
    ...     "A linear layer for all outputs, and one for each."
    ...     width: int = option(8, help="of the shared features")
    ...     def build(self, input_shape, outputs):
    ...         heads = Heads({key: nn.Linear(self.width, size) for key, size in outputs.items()})
    ...         return Shared(nn.Linear(input_shape[0], self.width), heads)
    >>> network = OneLayer().build((3,), {"left": 2, "right": 2})
    >>> sum(p.numel() for p in network.parameters())  # 3 · 8 + 8 and 2 · (8 · 2 + 2)
    68
    """

    returns = nn.Module
    takes_trees: ClassVar[bool] = False
    """Class data: whether `build` may be given a dict or tuple of shapes, for inputs that are more than one tensor."""

    @abstractmethod
    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        """A freshly initialized network.

        Args:
            input_shape: shape of one input, without the batch dimension.
            outputs: width of each output wanted, by key.

        Returns:
            a module whose forward maps inputs (b, *input_shape) to {key: (b, size, ...)}; a tuple in the order of
            `outputs`, or a tensor where there is one output, will do. Outputs are raw: logits, no softmax.

        Raises:
            SpecError: the network cannot take such inputs.
            DataError: weights it should start from cannot be had; the text says what to get.
        """

    @final
    def built(self, input_shape: InputShape, outputs: Mapping[str, int]) -> nn.Module:
        """As `build`, for inputs of any form: a dict or tuple of shapes too, and None for sizes that vary.

        Raises:
            SpecError: as `build`; or the network reads one tensor, or one of a fixed size, and inputs are otherwise.
            DataError: as `build`.
        """
        form = InputForm.of(input_shape)
        if not form.is_tensor and not self.takes_trees:
            raise SpecError(
                f"the backbone {type(self).__name__} reads one tensor, but inputs are several: {form}. Give a network "
                "of your own that reads them, backbone: {python: ./mine.py:Network}"
            )
        try:
            network = self.build(form.shape, outputs)
        except TypeError as error:
            if self.takes_trees or None not in form.shape:
                raise
            raise SpecError(
                f"the backbone {type(self).__name__} needs inputs of one size, but they are {form}: let a collate "
                "function pad them to a fixed length (collate: {name: pad, length: …})"
            ) from error
        return materialized(network, attrs.evolve(form, call=self.how_to_call))

    @property
    def how_to_call(self) -> HowToCall:
        """How its networks are given inputs that are more than one tensor; see `inputs.calling.HowToCall`."""
        return "auto"

    def bare(self) -> Backbone:
        """The same network without weights from elsewhere: what a saved model, which brings its own, is made anew from.

        Itself, unless it reads weights.
        """
        return self

    @final
    def customized(self, overrides: Any) -> Prepared:
        """This backbone with other weights to start from, or frozen parameters, as `Component.customized`."""
        return Prepared(base=self, overrides=overrides)

    @classmethod
    def is_function(cls, found: type) -> bool:
        """A class of modules makes a network as a function does."""
        return issubclass(found, nn.Module)

    @classmethod
    def from_function(cls, function: Callable[..., Any]) -> type[Component]:
        """A backbone around a function that returns a module, or around a class of modules.

        Raises:
            MoframeworkError: one of its parameters cannot be an option.
        """
        name = getattr(function, "__name__", type(function).__name__)
        skip = {"input_shape", "outputs"}
        made: type[Component] = options_class(function, name=name, bases=(_FunctionBackbone,), skip=skip)
        return made


class _FunctionBackbone(Backbone):
    """The network that a plain function returns."""

    function: ClassVar[Callable[..., Any]]
    takes_trees: ClassVar[bool] = True

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        """Call the function with what it asks for."""
        function = type(self).function
        asked = inspect.signature(function).parameters
        given = {k: v for k, v in (("input_shape", input_shape), ("outputs", dict(outputs))) if k in asked}
        module = function(**given, **arguments(self))
        if not isinstance(module, nn.Module):
            raise MoframeworkError(
                f"the backbone function {type(self).__name__} must return an nn.Module, "
                f"but returned a {type(module).__name__}"
            )
        return module


@config
class BackboneOverrides:
    """What a spec may say of any backbone."""

    weights: Path | None = option(
        None,
        help="state dict to start from, of the whole network or of its encoder: .safetensors, or a torch file, read "
        "without executing anything; heads that do not fit start fresh",
    )
    freeze: str | tuple[str, ...] | None = option(
        None, help="what is not trained: names of modules or parameters, such as encoder or [encoder.conv1]"
    )
    call: HowToCall | None = option(
        None,
        help="how inputs that are a dict or tuple are given to the network: one (whole), keywords, positions; auto, as "
        "without it, goes by what its forward takes",
    )


@config
class Prepared(Backbone):
    """A backbone whose networks start from given weights, or are frozen in part."""

    is_customization: ClassVar[bool] = True
    takes_trees: ClassVar[bool] = True  # as far as the base does

    base: Backbone = option(help="the backbone")
    # On the interface this name is class data: the class of what is found here.
    overrides: BackboneOverrides = option(help="what is said of it")  # type: ignore[assignment,misc]

    def __attrs_post_init__(self) -> None:
        if self.overrides.weights is not None and self.base.bare() != self.base:
            raise OptionError("the backbone is given weights already: give `weights` or `pretrained`", "weights")

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        """The base's network, prepared."""
        network = self.base.built(input_shape, outputs)
        path, names = self.overrides.weights, self.overrides.freeze
        if path is not None:
            try:
                state = load_state(path)
            except ValueError as error:
                raise DataError(
                    f"backbone.weights: {error}. Give a .safetensors file, or what torch.save(model.state_dict(), …) "
                    "wrote."
                ) from error
            load_weights(network, state, str(path))
        if names is not None:
            freeze(network, (names,) if isinstance(names, str) else names)
        return network

    @property
    def how_to_call(self) -> HowToCall:
        """As stated, else that of the base."""
        return self.overrides.call or self.base.how_to_call

    def bare(self) -> Backbone:
        """The base without weights, frozen as before; how it is called stands in the recipe of a model."""
        base, names = self.base.bare(), self.overrides.freeze
        return base if names is None else Prepared(base=base, overrides=BackboneOverrides(freeze=names))


Backbone.overrides = BackboneOverrides


def named_outputs(result: object, keys: Sequence[str]) -> dict[str, Tensor]:
    """What a network returned, by output key.

    Args:
        result: a mapping or an object with fields (a dataclass, a named tuple, what transformers return) that has the
            keys, a tuple or list in their order, or a tensor when there is one key.
        keys: of the outputs that the tasks read.

    Raises:
        SpecError: it is none of these.

    >>> named_outputs((1, 2), ["left", "right"])
    {'left': 1, 'right': 2}
    """
    if isinstance(result, Tensor):
        if len(keys) == 1:
            return {keys[0]: result}
        got = "one tensor"
    else:
        fields = _fields(result)
        if fields is not None and all(key in fields for key in keys):
            return {key: fields[key] for key in keys}
        if isinstance(result, tuple | list) and len(result) == len(keys):
            return dict(zip(keys, result, strict=True))
        got = f"a {type(result).__name__}"
        if fields is not None:
            got = f"the outputs {', '.join(map(str, fields))}"
        elif isinstance(result, tuple | list):
            got = f"{len(result)} outputs in {got}"
    raise SpecError(
        f"the tasks read the outputs {', '.join(keys)}, but the network returned {got}: "
        "return a dict or a dataclass with these keys, a tuple in this order, or a tensor when there is one output"
    )


def _fields(result: object) -> Mapping[Any, Any] | None:
    """What a result has by name; None where it has no names."""
    if isinstance(result, dict | Mapping):  # to see that something is a dict takes less
        return result
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    if isinstance(result, tuple) and hasattr(result, "_asdict"):
        named: dict[str, Any] = result._asdict()
        return named
    return None


class Heads(nn.Module):
    """A module for each output, all reading the same features.

    Args:
        heads: by output key; any text without a dot.
    """

    def __init__(self, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.keys = tuple(heads)
        for key, head in heads.items():
            self.add_module("to_" + key, head)  # a bare key may be an attribute of modules, such as "type" or "train"

    def forward(self, *features: Any) -> dict[str, Tensor]:
        """{key: output} of features (b, ...), or of all that the heads read."""
        return {key: getattr(self, "to_" + key)(*features) for key in self.keys}


class Shared(nn.Module):
    """Shared layers, then one head an output.

    Args:
        encoder: inputs to features.
        heads: features to outputs.
    """

    def __init__(self, encoder: nn.Module, heads: Heads) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = heads

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """{key: output} of inputs (b, ...)."""
        outputs: dict[str, Tensor] = self.heads(self.encoder(x))
        return outputs


def linear_heads(width: int, hidden: Sequence[int], outputs: Mapping[str, int]) -> Heads:
    """For each output hidden linear layers with ReLU, and a linear one.

    Args:
        width: of the features (b, width).
        hidden: widths of the hidden layers of each output.
        outputs: widths of the outputs, by key.
    """
    return Heads({key: _multi_layer(width, hidden, size) for key, size in outputs.items()})


def _multi_layer(before: int, hidden: Sequence[int], size: int) -> nn.Module:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(before, width), nn.ReLU()]
        before = width
    last = nn.Linear(before, size)
    return nn.Sequential(*layers, last) if layers else last
