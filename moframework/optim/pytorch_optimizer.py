"""Optimizers of the package pytorch-optimizer that one backward pass a step is enough for.

pytorch-optimizer (https://github.com/kozistr/pytorch_optimizer, Apache-2.0) is optional:
`pip install 'moframework[optimizers]'`. Importing it takes a second or two, so that it is imported only where a spec
names an optimizer that torch does not have, or where all names are listed.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from importlib.util import find_spec
from typing import Any

import torch

from moframework.config.by_name import classes_of
from moframework.config.signature import options_class
from moframework.errors import MoframeworkError

__all__ = ["ELEMENTWISE", "PACKAGE", "absent", "package_classes"]

PACKAGE = "pytorch-optimizer"
_MODULE = "pytorch_optimizer"

ELEMENTWISE = frozenset({"Lion"})
"""Classes of the package of which each number of a parameter is known to be treated by itself."""

# What a signature does not tell; `package_classes` finds classes that take a model or another optimizer by themselves.
_NOT_OFFERED = frozenset({
    # They call the loss again, or are told it, in a closure.
    "BSAM", "EmoFact", "EmoLynx", "EmoNavi",
    # They go backward through gradients.
    "AdaHessian", "SophiaH",
    # What they are named for is done only to parameters in groups with marks of their own (use_muon, rank, normalized,
    # sn), or to pairs of factors; to others they are AdamW, do nothing, or fail.
    "APOLLO", "AdaGO", "AdaMuon", "AdamC", "AdamWSN", "Fira", "GaLore", "LoRARite", "MuonClip", "NorMuon",
    # They speak to other processes.
    "DeMo", "DistributedMuon",
    # They take matrices alone, or no kernel of three dimensions.
    "SCION", "SCIONLight", "SpectralSphere",
    # Their state holds objects, which no file is read for (SCION's too).
    "AdaShift", "Conda", "ScalableShampoo",
    # It draws from numpy's generator, which no seed of a training reaches.
    "Kron",
    # It takes the inverse of matrices that rounding leaves without one, which gives NaN.
    "Shampoo",
    # They refuse kernels in channels-last order, which convolutions have in a training.
    "AdamP", "Nero", "SGDP", "SWATS",
    # They fail in a step without gradients, as one that is skipped, or leave NaN.
    "Adai", "AdamS", "DAdaptSGD", "Ranger21",
    # Its averages fail where a parameter has had no gradient so far.
    "SPlus",
})  # fmt: skip


def absent() -> str | None:
    """What to say of names that would be there with the package; None where it is installed."""
    if find_spec(_MODULE) is not None:
        return None
    return f"those of {PACKAGE} are not installed: pip install 'moframework[optimizers]'"


@functools.cache
def package_classes(taken: frozenset[str], base: type) -> dict[str, Any]:
    """Option classes of the optimizers that a spec can name, by class name in lower case; empty without the package.

    Left out are those that need what a spec cannot say, such as a model or another optimizer, that have no learning
    rate by default, and a short list in this module, whose reasons stand beside it.

    Args:
        taken: names that are somebody else's.
        base: of the option classes.
    """
    if absent() is not None:
        return {}
    found = classes_of(importlib.import_module(_MODULE), torch.optim.Optimizer, _NOT_OFFERED, str.lower)
    made: dict[str, Any] = {}
    for name, target in found.items():
        if name in taken or not target.__module__.startswith(f"{_MODULE}."):
            continue
        try:
            options = options_class(target, name=target.__name__, bases=(base,), skip=_not_options(target))
        except MoframeworkError:  # it needs a model, or another optimizer
            continue
        if "lr" in options.parameters and isinstance(options.__attrs_attrs__.lr.default, float):
            options.target = target
            made[name] = options
    return made


def _not_options(target: type) -> set[str]:
    """The parameters, and what takes any keyword: the package's classes do, and most of them read none."""
    taken = inspect.signature(target).parameters.values()
    return {"params", *(parameter.name for parameter in taken if parameter.kind is parameter.VAR_KEYWORD)}
