"""The classification networks of torchvision as encoders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import attrs
import torch
import torchvision
from torch import nn
from torchvision.models import WeightsEnum, get_model_builder, get_model_weights
from torchvision.models.vision_transformer import interpolate_embeddings

from moframework.backbones.base import Backbone, Shared, linear_heads
from moframework.backbones.starting import other_channels
from moframework.config import config, option
from moframework.config.options import WIDEST, OptionError
from moframework.errors import DataError, SpecError, nearest

__all__ = ["TorchvisionBackbone", "check_images", "check_pretrained", "made_by_torchvision", "read_channels"]

_CLASSES = 1000


@config
class TorchvisionBackbone(Backbone):
    """Any classification network of torchvision up to its last layer, then hidden layers and a linear one an output.

    `model` is torchvision's name: `mobilenet_v3_small`, `efficientnet_b0`, `convnext_tiny`, `swin_t`, `vit_b_16`, …
    Images may have any number of channels; vision transformers are made for the size of the input, which must be a
    square. For ResNets on small images see `resnet`.

    >>> backbone = TorchvisionBackbone(model="mobilenet_v3_small", hidden=(64,))
    >>> network = backbone.build((1, 32, 32), {"left": 10, "right": 10})
    >>> {key: tuple(output.shape) for key, output in network(torch.zeros(2, 1, 32, 32)).items()}
    {'left': (2, 10), 'right': (2, 10)}
    """

    model: str = option(help="torchvision's name of the network")
    pretrained: str | None = option(None, help="torchvision's weights by name, such as IMAGENET1K_V1 or DEFAULT")
    hidden: tuple[int, ...] = option((), ge=1, le=WIDEST, help="widths of the hidden layers of each output")

    def __attrs_post_init__(self) -> None:
        names = torchvision.models.list_models(module=torchvision.models)
        if self.model not in names:
            guess = nearest(self.model, names)
            hint = f"; did you mean '{guess}'?" if guess else "."
            raise OptionError(
                f"torchvision has no classification network '{self.model}'{hint} It has {', '.join(names)}", "model"
            )
        check_pretrained(self.model, self.pretrained)

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        """A network for images (channels, height, width)."""
        check_images("torchvision", input_shape)
        network = made_by_torchvision(self.model, self.pretrained, input_shape)
        width = _drop_classifier(network)
        return Shared(network, linear_heads(width, self.hidden, outputs))

    def bare(self) -> Backbone:
        """The same without pretrained weights."""
        made: Backbone = attrs.evolve(cast(Any, self), pretrained=None)
        return made


def check_images(name: str, input_shape: tuple[int, ...]) -> None:
    """Raises SpecError, said of the backbone `name`, where inputs are no images."""
    if len(input_shape) != 3:
        raise SpecError(f"backbone {name} needs images (channels, height, width), but inputs are {input_shape}")


def check_pretrained(model: str, name: str | None) -> None:
    """Raises OptionError for the key `pretrained`, where torchvision has no such weights for the model."""
    if name is not None:
        known = list(get_model_weights(model).__members__)
        if name not in known:
            guess = nearest(name, [other.lower() for other in known])
            hint = f"; did you mean '{guess.upper()}'?" if guess else "."
            raise OptionError(
                f"torchvision has no weights '{name}' for {model}{hint} It has {', '.join(known)}; a file of your own "
                "is named with `weights`",
                "pretrained",
            )


def made_by_torchvision(model: str, pretrained: str | None, input_shape: tuple[int, ...]) -> nn.Module:
    """A network of torchvision with its classifier of 1000 classes, reading images of `input_shape`.

    Args:
        model: a valid name.
        pretrained: name of its weights, or None for fresh ones.
        input_shape: (channels, height, width); how another number of channels than 3 is read from weights for 3 is
            told in `load_weights`.

    Raises:
        SpecError: it is made for other sizes.
        DataError: the weights cannot be downloaded.
    """
    channels, *size = input_shape
    options: dict[str, Any] = {"aux_logits": False} if model in ("googlenet", "inception_v3") else {}
    weights = None if pretrained is None else _at_hand(get_model_weights(model)[pretrained])
    if model.startswith("vit_"):
        network = _vision_transformer(model, weights, size)
    else:
        if model == "maxvit_t":
            options["input_size"] = tuple(size)
        elif model in ("googlenet", "inception_v3") and weights is None:
            options["init_weights"] = True  # as by default, without the warning that it takes time
        try:
            network = cast(nn.Module, get_model_builder(model)(weights=weights, progress=False, **options))
        except ValueError as error:
            raise SpecError(f"torchvision's {model} cannot take images of {size[0]}x{size[1]}: {error}") from error
    read_channels(network, channels, pretrained=weights is not None)
    return network


def read_channels(network: nn.Module, channels: int, *, pretrained: bool) -> None:
    """Let the first convolution of a network, changed in place, read so many channels.

    Args:
        network: it reads its input with a convolution.
        channels: of the images.
        pretrained: keep what can be kept of its weights, as `load_weights` tells.
    """
    name, first = next((name, m) for name, m in network.named_modules() if isinstance(m, nn.Conv2d))
    if first.in_channels == channels:
        return
    made = nn.Conv2d(
        channels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    with torch.no_grad():
        # As large as it was drawn, which depends on the network, for an answer of the same size.
        fresh = torch.randn_like(made.weight) * first.weight.std() * (3 / channels) ** 0.5
        made.weight.copy_(other_channels(first.weight, fresh) if pretrained else fresh)
        if first.bias is not None and made.bias is not None:
            made.bias.copy_(first.bias)
    parent, _, key = name.rpartition(".")
    setattr(network.get_submodule(parent), key, made)
    if hasattr(network, "transform_input"):
        setattr(network, "transform_input", False)  # noqa: B010 (an attribute of some); it picks three channels


def _vision_transformer(model: str, weights: WeightsEnum | None, size: list[int]) -> nn.Module:
    """For its size of images; embeddings of positions are interpolated from those of the weights' size."""
    patch = int(model.rpartition("_")[2])
    if size[0] != size[1] or size[0] % patch:
        raise SpecError(
            f"torchvision's {model} needs square images with sides of a multiple of {patch}, but they are "
            f"{size[0]}x{size[1]}"
        )
    network: nn.Module = get_model_builder(model)(image_size=size[0])
    if weights is not None:
        state = interpolate_embeddings(size[0], patch, dict(weights.get_state_dict()))
        network.load_state_dict(state)
    return network


def _at_hand(weights: WeightsEnum) -> WeightsEnum:
    """The weights, downloaded unless torch's cache has them. Raises DataError."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _, _, prefix = path.stem.rpartition("-")
            torch.hub.download_url_to_file(weights.url, str(path), prefix, progress=False)
        # OSError: no network, not found, a full disk; RuntimeError: another checksum
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"backbone.pretrained: the weights {weights} cannot be downloaded ({error}): get {weights.url} where "
                f"there is a network and put it at {path}, or give its path as `weights` in place of `pretrained`"
            ) from error
    return weights


def _drop_classifier(network: nn.Module) -> int:
    """Take out the last layer; returns the width of what it read."""
    name, last = [
        (name, module)
        for name, module in network.named_modules()
        if (isinstance(module, nn.Linear) and module.out_features == _CLASSES)
        or (isinstance(module, nn.Conv2d) and module.out_channels == _CLASSES)
    ][-1]
    parent, _, key = name.rpartition(".")
    setattr(network.get_submodule(parent), key, nn.Identity())
    return last.in_features if isinstance(last, nn.Linear) else last.in_channels
