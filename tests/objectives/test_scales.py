"""Objectives that put tasks of different size on one footing: by hand, and against TorchJD."""

from __future__ import annotations

import math

import pytest
import torch

from moframework.objectives.db_mtl import DBMTL
from moframework.objectives.geometric_mean import GeometricMean
from moframework.objectives.gradnorm import GradNorm
from moframework.objectives.imtl_l import IMTLL
from moframework.objectives.scale_invariant import ScaleInvariant
from moframework.objectives.stch_set import STCHSet
from tests.extras import needs_torchjd

EVEN = torch.full((1, 3), 1 / 3)
LOSSES = torch.tensor([[0.5, 2.0, 8.0]])


def test_geometric_mean_by_hand() -> None:
    torch.testing.assert_close(GeometricMean()(LOSSES, EVEN), torch.tensor(2.0))
    torch.testing.assert_close(GeometricMean()(LOSSES, torch.tensor([[0.0, 0.5, 0.5]])), torch.tensor(4.0))
    leaves = LOSSES.clone().requires_grad_()
    GeometricMean()(leaves, EVEN).backward()
    torch.testing.assert_close(leaves.grad, 2 / 3 / LOSSES)


def test_geometric_mean_leaves_out_what_has_no_label() -> None:
    losses = torch.tensor([[0.5, 0.0, 8.0], [0.0, 0.0, 0.0]], requires_grad=True)
    value = GeometricMean()(losses, EVEN.expand(2, 3))
    torch.testing.assert_close(value, torch.tensor(2.0 / 2))
    value.backward()
    assert losses.grad is not None
    torch.testing.assert_close(losses.grad, torch.tensor([[1.0, 0.0, 1 / 16], [0, 0, 0]]))


def test_scale_invariant_by_hand() -> None:
    torch.testing.assert_close(ScaleInvariant()(LOSSES, EVEN), torch.tensor(math.log(2.0)))
    one, other = LOSSES.clone().requires_grad_(), (LOSSES * 10).requires_grad_()
    ScaleInvariant()(one, EVEN).backward()
    ScaleInvariant()(other, EVEN).backward()
    assert one.grad is not None
    assert other.grad is not None
    torch.testing.assert_close(one.grad * one.detach(), other.grad * other.detach())
    assert bool(ScaleInvariant()(torch.tensor([[-1.0, 1.0, 1.0]]), EVEN).isnan())


@needs_torchjd
def test_geometric_mean_and_imtl_l_agree_with_torchjd() -> None:
    from torchjd.scalarization import IMTLL as Peer
    from torchjd.scalarization import GeometricMean as Mean

    torch.testing.assert_close(GeometricMean()(LOSSES, EVEN), Mean()(LOSSES[0]))
    ours, peer = IMTLL().build(3, 1), Peer(3)
    steps = [torch.optim.SGD(list(module.parameters()), lr=0.1) for module in (ours, peer)]
    for losses in torch.rand(20, 1, 3, generator=torch.Generator().manual_seed(0)) + 0.2:
        values = IMTLL()(losses, EVEN, ours), peer(losses[0])
        torch.testing.assert_close(*values)
        for value, optimizer in zip(values, steps, strict=True):
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    torch.testing.assert_close(next(ours.parameters())[0], next(peer.parameters()))


def test_gradnorm_by_hand() -> None:
    method, gramians = GradNorm(rate=0.025), torch.diag(torch.tensor([1.0, 9.0]))[None]
    state, even = method.build(2, 1), torch.tensor([[0.5, 0.5]])
    # Sizes (1, 3), mean 2, rates alike: slope (−1, 3) / 2, w = (1.0125, .9625) · 2 / 1.975.
    found = method.weights(torch.tensor([[2.0, 1.0]]), even, gramians, state)
    torch.testing.assert_close(found, torch.tensor([[1.0125, 0.9625]]) * 2 / 1.975)
    for _ in range(300):
        found = method.weights(torch.tensor([[2.0, 1.0]]), even, gramians, state)
    torch.testing.assert_close(found, torch.tensor([[1.5, 0.5]]), atol=0.05, rtol=0)  # sizes alike
    slow = method.build(2, 1)
    method.weights(torch.tensor([[2.0, 1.0]]), even, gramians, slow)
    for _ in range(300):
        found = method.weights(torch.tensor([[2.0, 0.25]]), even, gramians, slow)
    assert float(found[0, 0]) > 1.7, "the task whose loss stays is pulled more"
    copy = method.build(2, 1)
    copy.load_state_dict(slow.state_dict())
    arguments = torch.tensor([[2.0, 0.25]]), torch.tensor([[0.9, 0.1]]), gramians
    assert torch.equal(method.weights(*arguments, copy), method.weights(*arguments, slow))


def test_gradnorm_does_not_move_for_what_is_not_there_or_not_finite() -> None:
    method, even = GradNorm(), torch.tensor([[0.5, 0.5]])
    state = method.build(2, 1)
    found = method.weights(torch.tensor([[2.0, 0.0]]), even, torch.diag(torch.tensor([1.0, 0.0]))[None], state)
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0]]))
    assert float(state.first[0, 1]) == 0
    broken = method.weights(torch.tensor([[math.nan, 1.0]]), even, torch.eye(2)[None], state)
    assert bool(broken.isnan().all())
    assert bool(torch.cat(list(state.state_dict().values())).isfinite().all())


def test_db_mtl_by_hand() -> None:
    # n = (1 / 2, 3 / 1): all as long as 3, so w = 3 / ‖g‖ = (3, 1).
    found = DBMTL().weights(
        torch.tensor([[2.0, 1.0]]), torch.tensor([[0.5, 0.5]]), torch.diag(torch.tensor([1.0, 9.0]))[None]
    )
    torch.testing.assert_close(found, torch.tensor([[3.0, 1.0]]))


def test_a_set_needs_one_good_network_a_task() -> None:
    method, preferences = STCHSet(mu=0.01), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    good = torch.tensor([[0.1, 9.0], [9.0, 0.4]], requires_grad=True)
    value = method(good, preferences)
    assert float(value.detach()) == pytest.approx(0.5 * 0.4, abs=0.01)  # the worst of the tasks' best
    value.backward()
    assert good.grad is not None
    torch.testing.assert_close(good.grad, torch.tensor([[0.0, 0.0], [0.0, 0.5]]), atol=1e-5, rtol=0)
    large = STCHSet(mu=0.5)
    by_hand = 0.5 * math.log(
        sum(
            math.exp(0.5 * -0.5 * math.log(sum(math.exp(-v / 0.5) for v in column)) / 0.5)
            for column in ((0.1, 9.0), (9.0, 0.4))
        )
    )
    assert float(large(good.detach(), preferences)) == pytest.approx(by_hand, rel=1e-5)
    assert STCHSet(ideal=(0.0,)).faults(2, 2) == ["ideal: has 1 numbers; the problem has 2 tasks"]


def test_a_set_where_a_task_has_no_label() -> None:
    method, preferences = STCHSet(), torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    losses = torch.tensor([[0.3, 0.0], [0.4, 0.0]], requires_grad=True)
    value = method(losses, preferences)
    value.backward()
    assert bool(value.isfinite())
    assert losses.grad is not None
    assert bool(losses.grad.isfinite().all())
    assert bool(losses.grad[:, 0].all())
