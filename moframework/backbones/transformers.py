"""The networks of transformers; transformers (https://github.com/huggingface/transformers, Apache-2.0) is optional:
`pip install 'moframework[transformers]'`. Nothing is ever downloaded."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

import attrs
import torch
from torch import Tensor, nn

from moframework.backbones.base import Backbone, Heads, linear_heads
from moframework.config import config, option
from moframework.config.options import WIDEST, OptionError
from moframework.errors import DataError, SpecError, nearest
from moframework.inputs.form import InputShape

__all__ = ["Pooled", "TransformersBackbone", "WholeModel"]

Pooling = Literal["auto", "pooler", "first", "last", "mean"]


@config
class TransformersBackbone(Backbone):
    """Any network of transformers: an encoder whose features are pooled, then hidden layers and a linear one an output;
    or, with `architecture`, a whole model whose outputs are named.

    It is a local folder as `save_pretrained` writes it (`model`), or a configuration (`config`, with its `model_type`).
    The parts of networks with encoder and decoder that encode are taken. A tensor of whole numbers is tokens, one of
    fractions what the network reads otherwise (images, sound); a mapping is given by name (`input_ids`,
    `attention_mask`, …), a tuple in the order of the network's arguments. Needs the extra:
    `pip install 'moframework[transformers]'`.

    Example::

        backbone: {name: transformers, config: {model_type: bert, hidden_size: 64, num_hidden_layers: 2,
                   num_attention_heads: 2, intermediate_size: 128, vocab_size: 5000}, pooling: mean}
    """

    takes_trees = True

    model: Path | None = option(
        None, help="a local folder with config.json, and model.safetensors where `pretrained` is true; never downloaded"
    )
    config: dict[str, Any] | None = option(
        None, help="the configuration: `model_type` and what differs from its defaults; with `model` what differs there"
    )
    pretrained: bool = option(False, help="whether to start from the weights (safetensors) in the folder `model`")
    architecture: str | None = option(
        None, help="a whole model by the name of its class, such as BertForQuestionAnswering; none: encoder with heads"
    )
    output_names: dict[str, str] = option(
        factory=dict, help="of a whole model: its own name of an output, where a task calls it otherwise"
    )
    pooling: Pooling = option(
        "auto",
        help="features of a sample: the network's own pooler, its first or last token, the mean over tokens that are "
        "no padding (or over places of an image); auto: the pooler where the network has one, else the mean",
    )
    hidden: tuple[int, ...] = option((), ge=1, le=WIDEST, help="widths of the hidden layers of each output")
    checkpointing: bool = option(
        False, help="whether transformers checkpoints the activations of its layers: less memory, more time"
    )

    def __attrs_post_init__(self) -> None:
        if find_spec("transformers") is None:
            raise OptionError(
                "this backbone needs transformers, which is not installed: pip install 'moframework[transformers]'"
            )
        if self.model is None and (self.config is None or "model_type" not in self.config):
            raise OptionError("give `model`, a local folder, or `config` with a `model_type`, such as bert")
        if self.model is not None and not (self.model / "config.json").is_file():
            raise OptionError(
                f"{self.model} is no folder with a config.json. Nothing is downloaded: a network of the Hugging Face "
                "hub must be fetched before (`hf download NAME --local-dir FOLDER`), and its folder named here",
                "model",
            )
        if self.pretrained and self.model is None:
            raise OptionError("there are no weights to start from without `model`", "pretrained")
        if self.architecture is not None and (self.hidden or self.pooling != "auto"):
            raise OptionError("a whole model has outputs of its own: leave out `hidden` and `pooling`", "architecture")
        if self.architecture is None and self.output_names:
            raise OptionError("outputs are named so only with `architecture`", "output_names")
        _check_known(self._written(), self.architecture)

    def build(self, input_shape: InputShape, outputs: Mapping[str, int]) -> nn.Module:
        """A network for inputs of that shape (tokens, or images with channels first), or of several, by the names that
        transformers gives them."""
        with _offline():
            try:
                network = self._network()
            except (ValueError, TypeError, KeyError, AttributeError, ImportError, RuntimeError, OSError) as error:
                if isinstance(error, DataError | SpecError):
                    raise
                raise SpecError(f"backbone: transformers cannot make this network: {error}") from error
        if self.checkpointing:
            _checkpoint(network)
        network.train()
        if self.architecture is not None:
            return WholeModel(network, {key: self.output_names.get(key, key) for key in outputs})
        pooled = Pooled(network, self.pooling)
        pooled.heads = linear_heads(pooled.width(input_shape), self.hidden, outputs)
        return pooled

    def bare(self) -> Backbone:
        """The same from its configuration alone: neither folder nor weights are needed."""
        if self.model is None:
            return self
        made: Backbone = attrs.evolve(cast(Any, self), model=None, pretrained=False, config=self._written())
        return made

    def _written(self) -> dict[str, Any]:
        """The configuration as plain data."""
        written: dict[str, Any] = {}
        if self.model is not None:
            try:
                written = json.loads((self.model / "config.json").read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise OptionError(f"{self.model / 'config.json'} cannot be read: {error}", "model") from error
            # What says where it was made, or names code that comes with it.
            written = {
                k: v for k, v in written.items() if k not in ("auto_map", "_name_or_path", "dtype", "torch_dtype")
            }
        return {**written, **(self.config or {})}

    def _network(self) -> Any:
        import transformers

        written = self._written()
        made = transformers.AutoConfig.for_model(written.pop("model_type"), **written)
        if hasattr(made, "use_cache"):
            made.use_cache = False  # only for generation, and nothing that a checkpoint may run again
        maker = transformers.AutoModel if self.architecture is None else getattr(transformers, self.architecture)
        on_meta = torch.get_default_device().type == "meta"  # counted, not made
        if self.pretrained and not on_meta:
            network = self._loaded(maker, made)
        elif self.architecture is None:
            network = maker.from_config(made, dtype=torch.float32)
        else:
            network = cast(Any, maker)(made).float()
        if self.architecture is None and getattr(made, "is_encoder_decoder", False):
            network = network.get_encoder()
        return network

    def _loaded(self, maker: Any, made: Any) -> Any:
        """The network with the weights of the folder, all of them, as single-precision numbers."""
        assert self.model is not None, "asked before"
        try:
            network, report = maker.from_pretrained(
                self.model,
                config=made,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except OSError as error:
            raise DataError(
                f"backbone.pretrained: {self.model} holds no weights that can be read ({error}). Give a folder with "
                "model.safetensors, as save_pretrained writes it"
            ) from error
        unread = "pooler." if self.pooling in ("first", "last", "mean") else None
        missing = sorted(name for name in report["missing_keys"] if unread is None or not name.startswith(unread))
        if missing:
            shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            raise DataError(
                f"backbone.pretrained: the weights in {self.model} lack {shown}, which would start at random. Choose "
                "another `pooling` (mean, first, last) where only the pooler is missing, else another folder"
            )
        return network


class Pooled(nn.Module):
    """An encoder of transformers, pooled features of a sample, and heads.

    Args:
        encoder: the network.
        pooling: see `TransformersBackbone`.
    """

    heads: Heads

    def __init__(self, encoder: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        self.encoder, self.pooling = encoder, pooling

    def forward(self, x: Any) -> dict[str, Tensor]:
        """{key: output (b, size)} of tokens (b, t), images (b, c, h, w), or what is given by name."""
        outputs: dict[str, Tensor] = self.heads(self.features(x))
        return outputs

    def features(self, x: Any) -> Tensor:
        """Features (b, width)."""
        given, positional = _arguments(self.encoder, x)
        result = self.encoder(*positional, **given)
        own = getattr(result, "pooler_output", None)
        if self.pooling in ("auto", "pooler") and isinstance(own, Tensor):
            return own.flatten(1)
        if self.pooling == "pooler":
            raise SpecError("backbone.pooling: the network has no pooler of its own; use mean, first or last")
        return pooled(_states(result), given.get("attention_mask"), self.pooling)

    @torch.no_grad()
    def width(self, input_shape: InputShape) -> int:
        """How many features it has, from a pass over zeros."""
        name = getattr(self.encoder, "main_input_name", "input_ids")
        several = isinstance(input_shape, Mapping)
        shapes = input_shape if isinstance(input_shape, Mapping) else {name: input_shape}
        if not several and any(isinstance(part, tuple | list | Mapping) for part in input_shape):
            raise SpecError("backbone transformers reads several inputs by name: give a dict, such as {input_ids: …}")
        x = {key: _zeros(shape, floating=not key.endswith(("ids", "mask"))) for key, shape in shapes.items()}
        mode = self.encoder.training
        self.encoder.eval()
        try:
            return self.features(x if several else x[name]).shape[-1]
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            read = ", ".join(f"`{key}` {tuple(shape)}" for key, shape in shapes.items())
            raise SpecError(f"backbone transformers cannot read inputs {read}: {error}") from error
        finally:
            self.encoder.train(mode)


def _zeros(shape: Sequence[int | None], floating: bool) -> Tensor:
    """Two samples; sizes that vary are 4."""
    sizes = [4 if size is None else size for size in shape]
    return torch.zeros(2, *sizes, dtype=torch.float32 if floating else torch.long)


class WholeModel(nn.Module):
    """A model of transformers with its own outputs.

    Args:
        network: the model.
        names: which of its outputs each key is.
    """

    def __init__(self, network: nn.Module, names: Mapping[str, str]) -> None:
        super().__init__()
        self.network, self.names = network, dict(names)

    def forward(self, x: Any) -> dict[str, Tensor]:
        """{key: output} of tokens, images, or what is given by name."""
        given, positional = _arguments(self.network, x)
        result = self.network(*positional, **given)
        missing = [name for name in self.names.values() if name not in result]
        if missing:
            raise SpecError(
                f"backbone: {type(self.network).__name__} gives no {', '.join(missing)}; it gives {', '.join(result)}. "
                "Say under `output_names` which of them a task's output is"
            )
        return {key: result[name] for key, name in self.names.items()}


def pooled(states: Tensor, mask: Tensor | None, pooling: Pooling) -> Tensor:
    """One vector a sample.

    Args:
        states: of tokens (b, t, w), or of an image (b, w, h, w').
        mask: (b, t), nonzero where a token is no padding; None: nowhere is padding.
        pooling: first, last (that is no padding), or anything else for the mean.

    Returns:
        (b, w). A sample of nothing but padding has zeros for its mean.

    >>> states, mask = torch.tensor([[[1.0], [3.0], [8.0]]]), torch.tensor([[1, 1, 0]])
    >>> [pooled(states, mask, how).item() for how in ("mean", "first", "last")]
    [2.0, 1.0, 3.0]
    """
    if states.dim() == 2:
        return states
    if states.dim() != 3:
        return states.flatten(2).mean(dim=2)
    if mask is not None and mask.shape != states.shape[:2]:
        mask = None  # of what was read, which has another length than the states
    if pooling == "first":
        return states[:, 0]
    if pooling == "last":
        if mask is None:
            return states[:, -1]
        places = torch.arange(states.shape[1], device=states.device)
        last = ((mask != 0) * places).argmax(dim=1)
        return states[torch.arange(len(states), device=states.device), last]
    if mask is None:
        return states.mean(dim=1)
    weights = (mask != 0).to(states.dtype).unsqueeze(-1)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def _states(result: Any) -> Tensor:
    """The last hidden states: by their name, or what comes first."""
    found = getattr(result, "last_hidden_state", None)
    if found is None:
        found = result if isinstance(result, Tensor) else next(iter(result.values()), None)
    if not isinstance(found, Tensor):
        raise SpecError(f"backbone: the network returns no hidden states, but a {type(result).__name__}")
    return found


def _arguments(network: nn.Module, x: Any) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """What the network is called with: by name, and by position."""
    if isinstance(x, Mapping):
        return {str(key): _tokens(str(key), value) for key, value in x.items()}, ()
    if isinstance(x, tuple | list):
        return {}, tuple(x)
    name = getattr(network, "main_input_name", "input_ids")
    return {name: _tokens(name, x)}, ()


def _tokens(name: str, value: Any) -> Any:
    """Tokens of any integer type as those that embeddings take."""
    if not name.endswith("_ids") or not isinstance(value, Tensor):
        return value
    if value.is_floating_point():
        raise SpecError(
            f"backbone transformers reads tokens, whole numbers, but `{name}` has numbers of type {value.dtype}"
        )
    return value.long()


def _checkpoint(network: Any) -> None:
    """Switch on the activation checkpoints of a network. Raises `SpecError` where it has none."""
    enable = getattr(network, "activation_checkpointing_enable", None) or network.gradient_checkpointing_enable
    try:
        enable()
    except ValueError as error:
        raise SpecError(f"backbone.checkpointing: {error}; use false") from error


def _check_known(written: Mapping[str, Any], architecture: str | None) -> None:
    """Raise `OptionError` where transformers has no such networks."""
    import transformers
    from transformers.models.auto import configuration_auto

    known = list(cast(Any, configuration_auto).CONFIG_MAPPING_NAMES)
    kind = written.get("model_type")
    if kind not in known:
        guess = nearest(str(kind), known)
        hint = f"; did you mean '{guess}'?" if guess else ""
        raise OptionError(
            f"transformers {transformers.__version__} has no networks with model_type '{kind}'{hint}",
            "model" if "model_type" not in written else "config",
        )
    if architecture is None:
        return
    found = getattr(transformers, architecture, None)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        names = [name for name in dir(transformers) if "For" in name or name.endswith("Model")]
        guess = nearest(architecture, names)
        hint = f"; did you mean '{guess}'?" if guess else ""
        raise OptionError(f"transformers has no model class '{architecture}'{hint}", "architecture")


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """While inside, the hub is not asked for anything: some configurations name other networks, or kernels, there."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
