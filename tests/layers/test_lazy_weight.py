"""Weights that layers apply without merging them: in which calls, and where that costs less."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from moframework.layers import lazy_weight
from moframework.layers.lazy_weight import AdaptedWeight, adapted_weight, chosen, conv2d_pays, linear_pays
from moframework.layers.low_rank import Adapted


def adapted_kernel() -> Adapted:
    return Adapted(torch.randn(4, 6, 3, 3), torch.randn(12, 3), torch.randn(3, 18), torch.rand(3, 1))


Call = tuple[Callable[..., Tensor], tuple[object, ...], dict[str, object]]
# Calls of layers with a kernel (4, 6, 3, 3) in the second place, and whether the adapter can be applied.
CALLS: dict[str, tuple[Callable[[Tensor, Tensor], Call], bool]] = {
    "as nn.Conv2d": (lambda x, w: (F.conv2d, (x, w, None, (1, 1), (1, 1), (1, 1), 1), {}), True),
    "numbers for pairs": (lambda x, w: (F.conv2d, (x, w, None, 2, 1, 1, 1), {}), True),
    "padding by name": (lambda x, w: (F.conv2d, (x, w, None, (1, 1), "same", (1, 1), 1), {}), False),
    "without options": (lambda x, w: (F.conv2d, (x, w), {}), False),
    "options by name": (lambda x, w: (F.conv2d, (x, w), {"stride": 1}), False),
    "in groups": (lambda x, w: (F.conv2d, (x.repeat(1, 2, 1, 1), w, None, 1, 1, 1, 2), {}), False),
    "one image": (lambda x, w: (F.conv2d, (x[0], w, None, 1, 1, 1, 1), {}), False),
    "transposed": (lambda x, w: (F.conv_transpose2d, (x[:, :4], w), {}), False),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_adapter_is_applied_where_a_layer_is_called_as_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_weight, "conv2d_pays", lambda *arguments: True)
    make, known = CALLS[name]
    adapted, x = adapted_kernel(), torch.randn(2, 6, 7, 6)
    weight = adapted_weight(adapted)
    func, args, kwargs = make(x, weight)
    assert (chosen(func, args, kwargs, adapted) is not None) is known
    found = func(*args, **kwargs)
    assert isinstance(weight, AdaptedWeight)
    assert (weight._made is None) is known
    func, args, kwargs = make(x, weight.materialize())
    expected = func(*args, **kwargs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


CHOICES: dict[str, tuple[Callable[[], bool], bool]] = {
    # Measured (milliseconds that merging and applying add, forward and backward; one core of an AMD EPYC).
    "last stage of ResNet-18, r = 4 (8.8, 3.6)": (lambda: conv2d_pays(128, torch.empty(512, 512, 3, 3), 24, 3), True),
    "its first layer, r = 4 (3.6, 2.7)": (lambda: conv2d_pays(128, torch.empty(512, 256, 3, 3), 24, 3), True),
    "its shortcut, r = 4 (0.6, 1.3)": (lambda: conv2d_pays(128, torch.empty(512, 256, 1, 1), 8, 1), False),
    "the stage before, r = 4 (2.9, 7.1)": (lambda: conv2d_pays(512, torch.empty(256, 256, 3, 3), 24, 3), False),
    "the stage before, r = 1 (1.4, 5.8)": (lambda: conv2d_pays(512, torch.empty(256, 256, 3, 3), 6, 3), False),
    "SegNet, 242 places, r = 4 (10.8, 7.5)": (lambda: conv2d_pays(242, torch.empty(512, 512, 3, 3), 24, 3), True),
    "SegNet, 512 places, r = 4 (10.0, 13.7)": (lambda: conv2d_pays(512, torch.empty(512, 512, 3, 3), 24, 3), False),
    "separable, 242 places (7.4, 5.9)": (lambda: conv2d_pays(242, torch.empty(512, 512, 3, 3), 24, 3, True), True),
    "separable, 512 places (6.9, 11.1)": (lambda: conv2d_pays(512, torch.empty(512, 512, 3, 3), 24, 3, True), False),
    "64 rows of 2048 (7.7, 0.4)": (lambda: linear_pays(64, torch.empty(2048, 2048), 8), True),
    "256 rows of 2048 (8.0, 2.1)": (lambda: linear_pays(256, torch.empty(2048, 2048), 8), True),
    "a ViT's 2080 rows (0.6, 2.9)": (lambda: linear_pays(2080, torch.empty(768, 192), 8), False),
}


@pytest.mark.parametrize("name", CHOICES)
def test_the_rule_chooses_what_was_measured_to_cost_less(name: str) -> None:
    choose, expected = CHOICES[name]
    assert choose() is expected
