"""Targets that are unknown: with half of them removed every loss is that of the samples that have one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from moframework.config import config
from moframework.losses import L1, MSE, BinaryCrossEntropy, CrossEntropy, GroupGap, Huber, Loss, MaskedL1, MeanLoss
from tests.losses.cases import CASES

NAN = float("nan")


def without(loss: Loss, target: Tensor, gone: Tensor) -> Tensor:
    """The target with the samples `gone` (b,) unknown: nan, or the class that the loss ignores."""
    mark = NAN if target.is_floating_point() else loss.ignore_index  # type: ignore[attr-defined]
    return torch.where(gone.reshape(-1, *[1] * (target.dim() - 1)), mark, target)


@pytest.mark.parametrize("name", CASES)
def test_with_half_of_the_labels_a_loss_is_that_of_the_samples_that_have_one(name: str) -> None:
    torch.manual_seed(0)
    loss, make, reference = CASES[name]
    output, target = make()
    gone = torch.arange(len(target)) % 2 == 1
    output = output.double().requires_grad_()
    partial = without(loss, target, gone)
    value = loss(output, partial)
    torch.testing.assert_close(value.float(), reference(output[~gone].float(), target[~gone]))
    torch.testing.assert_close(value, loss(output[~gone], target[~gone]), rtol=1e-12, atol=0)
    (gradient,) = torch.autograd.grad(value, output)
    (expected,) = torch.autograd.grad(loss(output[~gone], target[~gone]), output)
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-14)
    assert not loss.known(partial)[gone].any()


@pytest.mark.parametrize("name", CASES)
def test_statistics_and_groups_leave_unknown_targets_out_too(name: str) -> None:
    """What several processes, pieces of a batch and batches of an evaluation add up."""
    torch.manual_seed(0)
    loss, make, _ = CASES[name]
    output, target = make()
    output = output[:8].double().requires_grad_()
    gone = torch.tensor([1, 0, 1, 0, 0, 1, 1, 1], dtype=torch.bool)
    partial = without(loss, target[:8], gone)
    expected = loss(output[~gone], target[:8][~gone])
    added = sum(loss.statistics(o, t).sum(dim=0) for o, t in zip(output.split(3), partial.split(3), strict=True))
    assert isinstance(added, Tensor)
    torch.testing.assert_close(loss.finish(added), expected, rtol=1e-12, atol=0)
    for sizes in ([4, 4], [2, 6]):
        found = loss.per_group(output, partial, sizes)
        alone = [
            loss(o[~g], t[~g]) for o, t, g in zip(*(v.split(sizes) for v in (output, target[:8], gone)), strict=True)
        ]
        torch.testing.assert_close(found, torch.stack(alone), rtol=1e-12, atol=0)
        (gradient,) = torch.autograd.grad(found.sum(), output, retain_graph=True)
        assert torch.isfinite(gradient).all()
        assert not gradient[gone].any()


@pytest.mark.parametrize("name", CASES)
def test_where_nothing_is_known_the_loss_is_0_without_gradient(name: str) -> None:
    loss, make, _ = CASES[name]
    output, target = make()
    output.requires_grad_()
    partial = without(loss, target, torch.ones(len(target), dtype=torch.bool))
    half = [len(output) // 2, len(output) - len(output) // 2]
    for value in (
        loss(output, partial),
        *loss.per_group(output, partial, half),
        *loss.per_group(output, partial, [len(output)]),
    ):
        assert value == 0
        (gradient,) = torch.autograd.grad(value, output, retain_graph=True)
        assert not gradient.any(), "0, and never nan"


@pytest.mark.parametrize("loss", [MSE(), L1(), Huber(delta=0.5), MaskedL1(invalid=-1.0), BinaryCrossEntropy()])
def test_single_numbers_of_a_target_may_be_unknown(loss: Loss) -> None:
    torch.manual_seed(0)
    output, target = torch.randn(5, 3, 4), torch.rand(5, 3, 4)
    gone = torch.rand(5, 3, 4) < 0.5
    found = loss(output, torch.where(gone, NAN, target))
    torch.testing.assert_close(found, loss(output[~gone], target[~gone]))


def test_by_hand() -> None:
    output, target = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([0.0, NAN, 0.0, NAN])
    assert MSE()(output, target) == (1 + 9) / 2
    assert L1()(output, target) == 2
    assert Huber()(output, target) == (0.5 + 2.5) / 2
    assert MSE().per_group(output, target, [2, 2]).tolist() == [1, 9]
    logits = torch.zeros(3, 2)
    torch.testing.assert_close(CrossEntropy()(logits, torch.tensor([0, -100, 1])), torch.tensor(2.0).log())
    torch.testing.assert_close(
        BinaryCrossEntropy()(logits[:, 0], torch.tensor([1.0, NAN, -100])), torch.tensor(2.0).log()
    )


def masked(output: Tensor, target: Tensor) -> Tensor:
    """The obvious work-around: 0 where the label is unknown."""
    output, known = output.squeeze(1), ~target.isnan()
    return torch.where(known, (output - target.nan_to_num()) ** 2, 0.0 * output)


@config
class Known(MeanLoss):
    """Squared error of known labels, with weights of its own."""

    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        known = ~target.isnan()
        return torch.where(known, (output.squeeze(1) - target.nan_to_num()) ** 2, 0.0), known


def test_a_work_around_is_not_diluted() -> None:
    """The mean is that over the labels there are, whether the loss thinks of unknown ones itself or not."""
    output, target = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([0.0, NAN, 0.0, NAN])
    for made in (Loss.from_function(masked)(), Known(), Loss.from_function(lambda o, t: (o.squeeze(1) - t) ** 2)()):
        assert made(output, target) == 5, made  # type: ignore[operator]
        assert made.per_group(output, target, [2, 2]).tolist() == [1, 9]  # type: ignore[attr-defined]


def test_a_function_whose_gradient_is_not_finite_where_the_target_is_unknown() -> None:
    made = Loss.from_function(lambda output, target: (output.squeeze(1) / target - 1).abs().sqrt())()
    output = torch.tensor([[1.0], [2.0], [0.0]], requires_grad=True)
    value = made(output, torch.tensor([4.0, NAN, NAN]))  # type: ignore[operator]
    value.backward()
    torch.testing.assert_close(value.detach(), torch.tensor(0.75).sqrt())
    assert output.grad is not None
    torch.testing.assert_close(output.grad, torch.tensor([[-0.125 / 0.75**0.5], [0.0], [0.0]]))


def test_a_value_of_a_vector_counts_where_the_whole_vector_is_known() -> None:
    made = Loss.from_function(lambda output, target: (output - target).square().sum(dim=1))()
    output, target = torch.ones(3, 2), torch.tensor([[0.0, 0.0], [0.0, NAN], [1.0, 0.0]])
    assert made(output, target) == 1.5  # type: ignore[operator]
    sample = Loss.from_function(lambda output, target: (output - target).square().flatten(1).mean(dim=1))()
    assert sample(torch.ones(2, 2, 2), torch.tensor([[[0.0, 0], [0, 0]], [[0, NAN], [0, 0]]])) == 1  # type: ignore[operator]


def test_weights_of_classes_count_known_classes_only() -> None:
    output, target = torch.randn(6, 3), torch.tensor([0, -100, 2, 2, -100, 1])
    weight = (1.0, 5.0, 0.5)
    expected = F.cross_entropy(output[target >= 0], target[target >= 0], torch.tensor(weight))
    torch.testing.assert_close(CrossEntropy(weight=weight)(output, target), expected)


def test_faults_pass_over_unknown_targets() -> None:
    assert BinaryCrossEntropy().fault(torch.tensor([0.0, NAN, 1.0]), 1) is None
    assert "run from 0 to 2" in str(BinaryCrossEntropy().fault(torch.tensor([0.0, NAN, 2.0]), 1))
    assert GroupGap().fault(torch.tensor([0.0, NAN, 1.0]), 1) is None
    assert "-100 (ignore_index), not nan" in str(CrossEntropy().fault(torch.tensor([0.0, NAN]), 3))
