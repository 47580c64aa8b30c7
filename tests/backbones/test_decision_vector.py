from __future__ import annotations

from typing import Any

import pytest
import torch

from moframework.backbones.decision_vector import DecisionVector
from moframework.config.options import OptionError
from moframework.errors import SpecError


def test_a_bare_parameter_for_any_input() -> None:
    network = DecisionVector().build((1,), {"x": 4})
    assert {name: tuple(p.shape) for name, p in network.named_parameters()} == {"x": (4,)}
    for inputs in (torch.ones(3, 1), torch.zeros(3)):
        found = network(inputs)["x"]
        assert found.shape == (3, 4)
        assert torch.equal(found, network.x.expand(3, 4))
    assert not list(network.state_dict().keys() - {"x"})


def test_the_box_holds_every_parameter() -> None:
    network = DecisionVector(lower=(0.0, -5.0, 1.0), upper=(1.0, 5.0, 2.0)).build((1,), {"x": 3})
    with torch.no_grad():
        network.x.copy_(torch.tensor([-200.0, 0.0, 200.0]))
    assert network(torch.ones(1, 1))["x"].tolist() == [[0.0, 0.0, 2.0]]
    assert set(network.state_dict()) == {"x"}, "the box is an option, not a weight"


def test_one_bound_for_all_and_a_start_inside() -> None:
    torch.manual_seed(0)
    x = DecisionVector(lower=(-1.0,), upper=(3.0,)).build((), {"x": 20000})(torch.ones(1))["x"].detach()
    assert float(x.median()) == pytest.approx(1, abs=0.03)
    inner = -1 + 4 * torch.sigmoid(torch.tensor([-1.0, 1.0]))
    assert float(((x > inner[0]) & (x < inner[1])).float().mean()) == pytest.approx(0.683, abs=0.02)
    free = DecisionVector().build((), {"x": 20000})(torch.ones(1))["x"].detach()
    assert (abs(float(free.mean())), float(free.std())) == pytest.approx((0, 1), abs=0.03)


def test_linear_reads_its_input() -> None:
    network = DecisionVector(form="linear", lower=(0.0,), upper=(1.0,)).build((3,), {"x": 4})
    assert {name: tuple(p.shape) for name, p in network.named_parameters()} == {"layer.weight": (4, 3)}
    inputs = torch.randn(5, 3)
    assert torch.allclose(network(inputs)["x"], torch.sigmoid(inputs @ network.layer.weight.T))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lower": (0.0,)}, "give lower and upper, or neither"),
        ({"lower": (0.0,) * 3, "upper": (1.0,) * 2}, "3 and 2 numbers"),
        ({"lower": (0.0, 2.0), "upper": (1.0,)}, "upper must be above"),
        ({"lower": (0.0,), "upper": (float("inf"),)}, "finite"),
        ({"lower": (), "upper": ()}, "0 and 0 numbers"),
    ],
)
def test_a_wrong_box_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        DecisionVector(**options)


@pytest.mark.parametrize(
    ("options", "shape", "outputs", "message"),
    [
        ({}, (3,), {"x": 2}, "reads no input.*form: linear"),
        ({}, (1,), {"x": 2, "y": 1}, "one output, but the tasks read x, y"),
        ({"lower": (0.0,) * 3, "upper": (1.0,) * 3}, (1,), {"x": 2}, "3 bounds for 2 variables"),
    ],
)
def test_what_does_not_fit_is_refused(options: Any, shape: Any, outputs: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        DecisionVector(**options).build(shape, outputs)


def test_spread_brings_the_start_to_the_middle() -> None:
    torch.manual_seed(0)
    wide = DecisionVector(lower=(-4.0,), upper=(4.0,)).build((), {"x": 50})
    torch.manual_seed(0)
    near = DecisionVector(lower=(-4.0,), upper=(4.0,), spread=0.1).build((), {"x": 50})
    torch.testing.assert_close(near.x, 0.1 * wide.x)
    assert float(near(torch.ones(1))["x"].detach().abs().max()) < 1
