"""Merged weights of the last preference: used again, and dropped whenever parameters change."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from moframework import ParetoModel
from moframework.model.sample_weights import Factored
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.finite import FiniteSpace
from moframework.weights.low_rank import LowRank
from tests.model.networks import ANCHORS, NORM, model
from tests.model.test_mixed import NETWORKS

PREFERENCE = [0.3, 0.7]
X = torch.linspace(-1, 1, 20).view(4, 5)


def counted(made: ParetoModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list with an entry for each time that weights are made."""
    calls: list[int] = []
    weights = type(made.space).weights

    def count(space: Any, preference: Tensor) -> dict[str, Tensor]:
        calls.append(1)
        found: dict[str, Tensor] = weights(space, preference)
        return found

    monkeypatch.setattr(type(made.space), "weights", count)
    return calls


def test_the_same_preference_is_merged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = model(**NETWORKS["mlp"])
    calls = counted(made, monkeypatch)
    with torch.no_grad():
        results = [
            made(X, PREFERENCE)["left"],
            made(X, torch.tensor([0.3, 0.7]))["left"],
            made(X, [[3, 7]] * 4)["left"],
        ]
        assert len(calls) == 1
        assert all(torch.equal(result, results[0]) for result in results)
        made(X, [1, 0])
        assert torch.equal(made(X, PREFERENCE)["left"], results[0])
        assert len(calls) == 3
    sum(value.sum() for value in made(X, PREFERENCE).values()).backward()  # with gradients nothing is kept
    assert all(parameter.grad is not None for parameter in made.parameters())


def _step(made: ParetoModel) -> None:
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1)
    made.call(made.weights(torch.tensor(PREFERENCE)), X)["left"].sum().backward()
    optimizer.step()


def _shifted(made: ParetoModel) -> dict[str, Tensor]:
    return {name: value + 0.1 for name, value in made.state_dict().items()}


def _data(made: ParetoModel) -> None:
    for parameter in made.parameters():
        parameter.data = parameter.data + 0.1


def _twice(made: ParetoModel) -> None:
    _data(made)  # the memory of the first values is free again
    _data(made)


def _first(made: ParetoModel) -> nn.Parameter:
    return next(made.space.parameters())


def _replaced(made: ParetoModel) -> None:
    made.space.a[0] = nn.Parameter(made.space.a[0] + 1)  # type: ignore[index,operator,union-attr]


def _view(made: ParetoModel) -> None:
    _first(made).detach()[0] += 1


def _vector(made: ParetoModel) -> None:
    flat = nn.utils.parameters_to_vector(made.parameters())
    nn.utils.vector_to_parameters(flat + 0.1, made.parameters())


def _scale(made: ParetoModel) -> None:
    made.space.scale = 3.0  # type: ignore[assignment]


CHANGES: dict[str, Callable[[ParetoModel], object]] = {
    "a step of training": _step,
    "in place": lambda made: nn.init.normal_(_first(made)),
    "a view in place": _view,
    "load_state_dict": lambda made: made.load_state_dict(_shifted(made)),
    "load_state_dict, assigned": lambda made: made.load_state_dict(_shifted(made), assign=True),
    "other memory": _data,
    "other memory, twice": _twice,
    "another parameter": _replaced,
    "a vector": _vector,
    "an attribute of the space": _scale,
    "another dtype": lambda made: made.bfloat16().float(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_parameters_drops_what_is_kept(change: str) -> None:
    made = model(**NETWORKS["mlp"])
    with torch.no_grad():
        before = made(X, PREFERENCE)["left"]
        if change != "a step of training":
            CHANGES[change](made)
    if change == "a step of training":
        CHANGES[change](made)
    with torch.no_grad():
        after = made(X, PREFERENCE)["left"]
        assert not torch.equal(after, before)
        torch.testing.assert_close(after, made.call(made.weights(torch.tensor(PREFERENCE)), X)["left"])


ROWS = torch.tensor([[0.3, 0.7], [1, 0], [0.55, 0.45]])


def convolutions() -> tuple[ParetoModel, Tensor]:
    """A network whose adapters are multiplied out for a batch with a preference for each sample, and three samples."""
    torch.manual_seed(0)
    return model(LowRank(rank=2, alpha=4.0), **NETWORKS["convolutions"]), torch.randn(3, 2, 6, 5)


def test_products_of_adapters_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, x = convolutions()
    calls: list[int] = []
    product = Factored._product
    monkeypatch.setattr(Factored, "_product", lambda own, b, a: calls.append(1) or product(own, b, a))  # type: ignore[func-returns-value]
    with torch.no_grad():
        first = made(x, ROWS)["left"]
        count = len(calls)
        assert count > 0
        assert torch.equal(made(x, ROWS)["left"], first)
        other = made(x, ROWS.flip(0))["left"]
        assert len(calls) == count
        torch.testing.assert_close(other[:1], made(x[:1], ROWS[2])["left"], rtol=1e-5, atol=1e-5)
    made(x, ROWS)["left"].sum().backward()  # with gradients they are made of the parameters
    assert len(calls) == 2 * count
    assert all(parameter.grad is not None for parameter in (*made.space.a, *made.space.b))  # type: ignore[misc]


@pytest.mark.parametrize("change", [change for change in CHANGES if change != "a step of training"])
def test_what_changes_parameters_drops_the_products(change: str) -> None:
    made, x = convolutions()
    with torch.no_grad():
        before = made(x, ROWS)["left"]
        CHANGES[change](made)
        after = made(x, ROWS)["left"]
        assert not torch.equal(after, before)
        each = torch.cat([made(x[i : i + 1], ROWS[i])["left"] for i in range(3)])
        torch.testing.assert_close(after, each, rtol=1e-4, atol=1e-4)


def test_other_circumstances_are_not_mixed_up() -> None:
    made = model(ConvexHull(), **NETWORKS["mlp"])
    with torch.inference_mode():
        expected = made(X, PREFERENCE)["left"]
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert made(X, PREFERENCE)["left"].dtype == torch.bfloat16
    with torch.no_grad():
        torch.testing.assert_close(made(X, PREFERENCE)["left"], expected)
        assert made.double()(X.double(), PREFERENCE)["left"].dtype == torch.float64
        jacobian = torch.func.jacrev(lambda row: made(X.double(), row)["left"].sum())(torch.tensor(PREFERENCE).double())
        assert bool(jacobian.any())


def test_buffers_of_a_finite_set_are_its_own_now() -> None:
    made = model(ANCHORS, **NORM)
    assert isinstance(made.space, FiniteSpace)
    x = torch.randn(3, 4)
    with torch.no_grad():
        before = made(x, [0, 1])["left"]
        for value in made.running_statistics():
            value.add_(1)
        assert not torch.equal(made(x, [0, 1])["left"], before)


def test_copies_are_empty() -> None:
    made = model(**NETWORKS["mlp"])
    with torch.no_grad():
        made(X, PREFERENCE)
        other = copy.deepcopy(made)
        assert other.kept._last is None
        assert pickle.loads(pickle.dumps(made.kept))._last is None
        _first(other).add_(1)
        assert not torch.equal(other(X, PREFERENCE)["left"], made(X, PREFERENCE)["left"])
