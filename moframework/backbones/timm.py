"""The networks of timm as encoders; timm (https://github.com/huggingface/pytorch-image-models, Apache-2.0) is optional:
`pip install 'moframework[timm]'`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, cast

import attrs
from torch import nn

from moframework.backbones.base import Backbone, Shared, linear_heads
from moframework.backbones.torchvision import check_images
from moframework.config import config, option
from moframework.config.options import WIDEST, OptionError
from moframework.errors import DataError, SpecError, nearest

__all__ = ["TimmBackbone"]


@config
class TimmBackbone(Backbone):
    """Any network of timm up to its pooled features, then hidden layers and a linear one an output.

    `model` is timm's name, with a tag where weights are wanted that are not its default: `resnet50`,
    `vit_tiny_patch16_224.augreg_in21k`. Images may have any number of channels; networks made for one size of images
    are made for that of the input. Needs the extra: `pip install 'moframework[timm]'`.

    >>> import torch
    >>> network = TimmBackbone(model="lcnet_035").build((1, 32, 32), {"left": 10, "right": 10})
    >>> {key: tuple(output.shape) for key, output in network(torch.zeros(2, 1, 32, 32)).items()}
    {'left': (2, 10), 'right': (2, 10)}
    """

    model: str = option(help="timm's name of the network")
    pretrained: bool = option(False, help="whether to start from timm's weights, downloaded unless its cache has them")
    hidden: tuple[int, ...] = option((), ge=1, le=WIDEST, help="widths of the hidden layers of each output")
    checkpointing: bool = option(
        False, help="whether timm checkpoints the activations of its blocks: less memory, more time"
    )

    def __attrs_post_init__(self) -> None:
        if find_spec("timm") is None:
            raise OptionError("this backbone needs timm, which is not installed: pip install 'moframework[timm]'")
        import timm

        name = self.model.partition(".")[0]
        if not timm.is_model(name):
            guess = nearest(name, timm.list_models())
            hint = f"; did you mean '{guess}'?" if guess else "."
            raise OptionError(f"timm has no network '{name}'{hint} All: python -m timm.models", "model")

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        """A network for images (channels, height, width)."""
        import timm

        check_images("timm", input_shape)
        channels, *size = input_shape
        known = timm.get_pretrained_cfg(self.model, allow_unregistered=True)
        options: dict[str, Any] = {"img_size": tuple(size)} if known is not None and known.fixed_input_size else {}
        try:
            network = timm.create_model(
                self.model, pretrained=self.pretrained, num_classes=0, in_chans=channels, **options
            )
        except OSError as error:
            raise DataError(
                f"backbone.pretrained: timm's weights of {self.model} cannot be downloaded ({error}). Get the file "
                f"where there is a network ({_source(known)}) and give its path as `weights`, without `pretrained`."
            ) from error
        except (RuntimeError, TypeError, ValueError, AssertionError) as error:
            raise SpecError(
                f"timm cannot make {self.model} for images of {channels} channels, {size[0]}x{size[1]}: {error}"
            ) from error
        if self.checkpointing:
            try:
                cast(Any, network).set_grad_checkpointing(True)
            except (AssertionError, AttributeError, NotImplementedError) as error:
                raise SpecError(
                    f"backbone.checkpointing: {self.model} has no activation checkpoints; use false"
                ) from error
        # Some have a layer between their features and their classifier.
        width = getattr(network, "head_hidden_size", None) or network.num_features
        return Shared(network, linear_heads(cast(int, width), self.hidden, outputs))

    def bare(self) -> Backbone:
        """The same without pretrained weights."""
        made: Backbone = attrs.evolve(cast(Any, self), pretrained=False)
        return made


def _source(known: Any) -> str:
    """Where timm has the weights."""
    places = [known.hf_hub_id and f"{known.hf_hub_id} on the Hugging Face hub", known.url] if known is not None else []
    return " or ".join(place for place in places if place) or "see timm's documentation"
