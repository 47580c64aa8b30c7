"""LoHa and LoKr adapters against their equations and PEFT's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from moframework.weights import WeightSpaceConfig
from moframework.weights.loha import LoHa
from moframework.weights.lokr import LoKr
from moframework.weights.low_rank import AdapterSpace

FORMS: dict[str, tuple[WeightSpaceConfig, str, dict[str, str]]] = {
    "loha": (
        LoHa(rank=2, alpha=3.0),
        "LoHaConfig",
        {"b": "hada_w1_a", "a": "hada_w1_b", "d": "hada_w2_a", "c": "hada_w2_b"},
    ),
    "lokr": (LoKr(rank=2, alpha=3.0), "LoKrConfig", {"c": "lokr_w1", "b": "lokr_w2_a", "a": "lokr_w2_b"}),
}


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(15, 24, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 15))


def randomized(options: WeightSpaceConfig, net: nn.Module, m: int = 3) -> AdapterSpace:
    torch.manual_seed(0)
    made = options.build(lambda: net, m, None)
    assert isinstance(made, AdapterSpace)
    for values in made.factors.values():
        for value in values:
            nn.init.normal_(value)
    return made


def of_task(made: AdapterSpace, key: str, k: int, t: int) -> Tensor:
    """One task's factor of the weight at place k; C of LoKr (o₁, i₁) is a column."""
    value = made.factors[f"adapter_{key}"][k].detach()
    return value[:, t] if made.by_task is False and key == "c" else value[t]


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_those_of_peft(form: str) -> None:
    peft = pytest.importorskip("peft")
    options, config, names = FORMS[form]
    made, t = randomized(options, network()).double(), 1
    wrapped = peft.get_peft_model(network(), getattr(peft, config)(r=2, alpha=3.0, target_modules=["0", "3"])).double()
    layers: list[Any] = [wrapped.base_model.model[i] for i in (0, 3)]
    with torch.no_grad():
        for k, layer in enumerate(layers):
            for key, name in names.items():
                place = getattr(layer, name)["default"]
                place.copy_(of_task(made, key, k, t).reshape(place.shape))
    start = dict(zip(made._names, made.shared, strict=True))
    theta = made.weights(torch.eye(3)[t])
    for layer, name in zip(layers, ("0.weight", "3.weight"), strict=True):
        delta = layer.get_delta_weight("default").detach()
        torch.testing.assert_close((theta[name] - start[name]).detach(), delta, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_the_mixture_of_the_tasks_adapters(form: str) -> None:
    made = randomized(FORMS[form][0], network()).double()
    preference = torch.tensor([0.2, 0.5, 0.3])
    start = dict(zip(made._names, made.shared, strict=True))
    theta = made.weights(preference)
    for k, name in enumerate(("0.weight", "3.weight")):
        expected = start[name].detach().clone()
        for t, share in enumerate(preference.double()):
            factors = {key: of_task(made, key, k, t) for key in FORMS[form][2]}
            low = factors["b"] @ factors["a"]
            if form == "loha":
                delta = low * (factors["d"] @ factors["c"])
            else:
                small = factors["c"].view((4, 3) if k == 0 else (3, 4))
                # Of a kernel, products are over its first two axes.
                delta = torch.einsum("ij,abk->iajbk", small, low.view(6, 5, 9)) if k == 0 else torch.kron(small, low)
            expected += 1.5 * share * delta.reshape(expected.shape)
        torch.testing.assert_close(theta[name], expected)


def test_a_hand_worked_kronecker_product() -> None:
    made = LoKr(rank=1, alpha=2.0).build(lambda: nn.Linear(4, 2, bias=False), 1, None)
    assert isinstance(made, AdapterSpace)
    with torch.no_grad():
        made.shared[0].zero_()
        made.factors["adapter_c"][0].copy_(torch.tensor([[1.0], [10.0]]))  # (1, 2)
        made.factors["adapter_b"][0].copy_(torch.tensor([[[1.0], [2.0]]]))
        made.factors["adapter_a"][0].copy_(torch.tensor([[[1.0, 3.0]]]))
    expected = torch.tensor([[2.0, 6.0, 20.0, 60.0], [4.0, 12.0, 40.0, 120.0]])
    assert torch.equal(made.weights(torch.ones(1))["weight"], expected)


@pytest.mark.parametrize("form", FORMS)
def test_starts_at_the_network(form: str) -> None:
    net = network()
    made = FORMS[form][0].build(lambda: net, 2, None)
    for name, value in made.weights(torch.tensor([0.3, 0.7])).items():
        assert torch.equal(value, net.get_parameter(name)), name
