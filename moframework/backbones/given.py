"""A network that is handed in where a saved model is loaded, in the place of the one that its recipe names."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, cast

from torch import nn

from moframework.backbones.base import Backbone, BackboneOverrides
from moframework.config import build
from moframework.config.fields import options_of
from moframework.errors import MoframeworkError

__all__ = ["GivenBackbone", "given_backbone"]

GivenBackbone = Backbone | nn.Module | Callable[..., nn.Module] | None
"""A module of the structure that was trained (its weights do not matter, it is copied); a class of modules or function
that makes one; or a backbone."""


def given_backbone(given: GivenBackbone, written: object) -> Backbone:
    """The backbone that stands for what a recipe names; nothing is imported.

    Args:
        given: a function or class is called with the options that the recipe has, as far as it has parameters for
            options at all; `input_shape` and `outputs` it gets where it asks for them.
        written: what the recipe says of the network, as plain data: options, and which parameters are frozen.

    Raises:
        TypeError: it is none of these.
        SpecError: the function does not take an option of the recipe, or what it says is no plain data of a network.
        MoframeworkError: a parameter of the function cannot be an option.
    """
    if isinstance(given, Backbone):
        return given
    if not callable(given):
        raise TypeError(f"backbone is a module, or what makes one, but it is {given!r}")
    if not isinstance(written, Mapping):
        raise MoframeworkError("backbone: the recipe says nothing of the network")
    module = cast(Any, given)
    make = (lambda: copy.deepcopy(module)) if isinstance(given, nn.Module) else given
    cls = cast(Any, Backbone.adopt(make, "backbone, which is handed in,"))
    over = {option.key for option in options_of(BackboneOverrides)}
    options = {key: value for key, value in written.items() if key not in {"name", "python", *over}}
    made = cast(Backbone, build(cls, options if options_of(cls) else {}))
    overrides = {key: value for key, value in written.items() if key in over}
    return made.customized(build(BackboneOverrides, overrides)) if overrides else made
