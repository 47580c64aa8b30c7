"""`ParetoModel`: any module, unmodified."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from moframework import ParetoModel, solve
from moframework.backbones.base import Backbone
from moframework.config import config
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.low_rank import LowRank
from tests.model.networks import LSTM, ODD, model, recipe


def test_training_updates_shared_running_statistics() -> None:
    made = ParetoModel(recipe(**ODD)).train()
    made(torch.randn(8, 4) + 5, torch.tensor([0.5, 0.5]))
    assert bool((made.skeleton.norm.running_mean != 0).any())


def test_parameters_are_those_of_the_space_alone() -> None:
    made = model()
    assert {id(p) for p in made.parameters()} == {id(p) for p in made.space.parameters()}


def test_lenet_overhead_at_rank_1() -> None:
    made = ParetoModel(recipe(LowRank(rank=1), input_shape=(1, 28, 28)))
    count = sum(p.numel() for p in made.parameters())
    # 2 · (conv1 275 + conv2 750 + fc 370 + heads 2·(100 + 60)): the published formula on the published network
    assert count == 27450 + 3430


class TestRecurrent:
    def test_weights_beside_the_parameters_are_right_in_training_too(self) -> None:
        network = nn.LSTM(3, 2)
        made = model(ConvexHull(), backbone=LSTM(), input_shape=(5, 3), outputs={"left": 2}).train()
        x = torch.randn(4, 5, 3)
        outputs = made(x, torch.tensor([0.5, 0.5]))["left"]
        outputs.sum().backward()
        copied = made.at([1, 1])  # while a graph of the last forward pass is alive
        network.load_state_dict({name.removeprefix("cell."): v for name, v in copied.state_dict().items()})
        torch.testing.assert_close(network(x)[0], outputs)
        torch.testing.assert_close(made.double().at([1, 1])(x.double()), outputs.double(), rtol=1e-4, atol=1e-5)


def test_frozen_batch_norm_keeps_the_statistics_it_starts_with() -> None:
    @config
    class Half(Backbone):
        """Two BatchNorm layers, the first frozen."""

        def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
            network = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2), nn.BatchNorm1d(2))
            network[0].requires_grad_(False)
            return network

    initial = {"0.running_mean": torch.tensor([1.0, 2.0, 3.0]), "0.running_var": torch.full((3,), 4.0)}
    made = ParetoModel(recipe(LowRank(rank=1), Half(), input_shape=(3,), outputs={"y": 2}), initial)
    x, preference = torch.randn(8, 3), torch.tensor([0.5, 0.5])
    for one in (made, copy.deepcopy(made).train(), copy.deepcopy(made.eval()).train()):
        seen: list[Tensor] = []
        one.skeleton[1].register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        one.train()(x, preference)
        torch.testing.assert_close(seen[0], (x - initial["0.running_mean"]) / 2)
        assert torch.equal(one.skeleton[0].running_mean, initial["0.running_mean"])
        assert not torch.equal(one.skeleton[2].running_mean, torch.zeros(2))
    found = made.batch_statistics(preference.unsqueeze(0), [x])
    assert set(found[0]) == {"2.running_mean", "2.running_var", "2.num_batches_tracked"}


class TestPreference:
    """λ as `model(x, λ)` takes it."""

    x = torch.linspace(0, 1, 2 * 400).reshape(2, 1, 20, 20)

    @pytest.mark.parametrize(
        "preference",
        [
            [1, 3],
            (0.25, 0.75),
            np.array([1, 3]),
            np.float32([0.25, 0.75]),
            torch.tensor([1, 3]),
            torch.tensor([2.0, 6.0]),
        ],
    )
    def test_is_taken_and_scaled_as_at_does(self, preference: Any) -> None:
        made = model()
        expected = made(self.x, torch.tensor([0.25, 0.75]))["left"]
        assert torch.equal(made(self.x, preference)["left"], expected)
        torch.testing.assert_close(made.at(preference)(self.x)["left"], expected)

    @pytest.mark.parametrize("make", [list, torch.tensor])
    @pytest.mark.parametrize(
        "numbers",
        [
            [1.0],
            [0.2, 0.3, 0.5],
            [[0.5, 0.5]],
            [-0.5, 1.5],
            [float("nan"), 1.0],
            [1.0, float("nan")],
            [float("inf"), 0.0],
            [0.0, 0.0],
            [],
        ],
    )
    def test_is_refused_as_at_does(self, make: Any, numbers: list[Any]) -> None:
        made = model()
        for action in (lambda: made.at(make(numbers)), lambda: made(self.x, make(numbers))):
            with pytest.raises(
                ValueError,
                match=r"a preference (has 2 numbers, one for each of left, right|is non-neg)|"
                r"of a preference are finite|got 1 for a batch of 2",
            ):
                action()

    def test_on_the_simplex_it_is_used_as_it_is(self) -> None:
        made = model()
        for preference in (torch.tensor([0.3, 0.7]), torch.tensor([1 / 3, 2 / 3]), torch.tensor([0.1, 0.9]).double()):
            expected = made.call(made.weights(preference), self.x)["left"]
            assert torch.equal(made(self.x, preference)["left"], expected)

    def test_it_keeps_its_gradient(self) -> None:
        made = model()
        preference = torch.tensor([0.3, 0.7], requires_grad=True)
        made(self.x, preference)["left"].sum().backward()
        again = torch.tensor([0.3, 0.7], requires_grad=True)
        made.call(made.weights(again), self.x)["left"].sum().backward()
        assert preference.grad is not None
        assert again.grad is not None
        assert torch.equal(preference.grad, again.grad)
        assert bool(preference.grad.any())
        scaled = torch.tensor([3.0, 7.0], requires_grad=True)
        made(self.x, scaled)["left"].sum().backward()
        assert scaled.grad is not None
        # Along λ the result does not change, so its gradient is what is left of the other, a tenth of it.
        left = again.grad - (again.grad * again.detach()).sum()
        torch.testing.assert_close(scaled.grad, left / 10, rtol=1e-3, atol=1e-5)

    def test_functional_transforms_go_through(self) -> None:
        made = model()
        preferences = torch.tensor([[0.3, 0.7], [1.0, 0.0]])
        outputs = torch.func.vmap(lambda row: made(self.x, row)["left"])(preferences)
        for row, output in zip(preferences, outputs, strict=True):
            torch.testing.assert_close(output, made(self.x, row)["left"])
        with pytest.raises(ValueError, match=r"got a tensor of shape \(3,\)"):
            torch.func.vmap(lambda row: made(self.x, row)["left"])(torch.rand(2, 3))
        jacobian = torch.func.jacrev(lambda row: made(self.x, row)["left"].sum())(preferences[0])
        assert jacobian.shape == (2,)
        with torch.device("meta"):
            assert model().to("meta")(torch.empty(2, 1, 20, 20), torch.empty(2))["left"].shape == (2, 10)

    def test_it_is_exported_and_compiled_as_an_input(self) -> None:
        made = model()
        first, other = torch.tensor([0.3, 0.7]), torch.tensor([0.9, 0.1])
        expected = made(self.x, other)["left"]
        exported = torch.export.export(made, (self.x, first)).module()
        torch.testing.assert_close(exported(self.x, other)["left"], expected)
        compiled = torch.compile(made, fullgraph=True, backend="eager")
        compiled(self.x, first)
        torch.testing.assert_close(compiled(self.x, other)["left"], expected)

    def test_training_does_not_check_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def forward(*given: object) -> None:
            raise AssertionError("the check is in the way of training")

        monkeypatch.setattr(ParetoModel, "forward", forward)
        run = solve(
            {
                "problem": {"name": "digits", "train": 32, "val": 16, "test": 16},
                "solver": {"name": "palora", "rank": 1},
                "training": {"steps": 2, "batch_size": 16},
                "evaluate": {"points": 3},
            },
            tmp_path / "run",
        )
        assert run.status == "done"

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_on_a_cuda_device_it_is_checked_and_can_be_captured(self) -> None:
        made, x = model().cuda(), self.x.cuda()
        torch.testing.assert_close(
            made(x, torch.tensor([1.0, 3.0], device="cuda"))["left"], made(x, [0.25, 0.75])["left"]
        )
        with pytest.raises(ValueError, match="non-negative"):
            made(x, torch.tensor([-1.0, 2.0], device="cuda"))
        preference = torch.tensor([0.3, 0.7], device="cuda")
        with torch.no_grad():
            made(x, preference)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                captured = made(x, preference)["left"]
            preference.copy_(torch.tensor([0.9, 0.1]))
            graph.replay()
            torch.testing.assert_close(captured, made(x, [0.9, 0.1])["left"])
