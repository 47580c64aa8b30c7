"""What holds for every loss: against torch.nn.functional, over uneven chunks, with gradients and in half precision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from moframework.config import build
from moframework.errors import MoframeworkError
from moframework.losses import MSE, BinaryCrossEntropy, Cosine, CrossEntropy, GroupGap, Huber, Loss, MaskedL1
from tests.losses.cases import CASES


@pytest.fixture(params=sorted(CASES), name="each")
def _each(request: pytest.FixtureRequest) -> tuple[Loss, Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]]:
    torch.manual_seed(0)
    loss, make, reference = CASES[request.param]
    return loss, *make(), reference


@pytest.mark.parametrize("count", [1, 3, 20])
@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_losses_of_groups_are_those_of_each(name: str, alike: bool, count: int) -> None:
    loss, make, _ = CASES[name]
    output, target = make()
    if alike:
        output, target = (value[: len(value) // count * count] for value in (output, target))
    output.requires_grad_()
    sizes = [len(group) for group in target.tensor_split(count)]
    found = loss.per_group(output, target, sizes)
    groups = zip(output.tensor_split(count), target.tensor_split(count), strict=True)
    expected = torch.stack([loss(*group) for group in groups])
    torch.testing.assert_close(found, expected)
    (first,), (second,) = (torch.autograd.grad(losses.sin().sum(), output) for losses in (found, expected))
    torch.testing.assert_close(first, second)


def test_values_and_gradients_are_those_of_torch(each: tuple[Loss, Tensor, Tensor, Callable[..., Tensor]]) -> None:
    loss, output, target, reference = each
    ours, theirs = output.clone().requires_grad_(), output.clone().requires_grad_()
    value, expected = loss(ours, target), reference(theirs, target)
    value.backward()
    expected.backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_uneven_chunks_add_up_exactly(each: tuple[Loss, Tensor, Tensor, Callable[..., Tensor]]) -> None:
    loss, output, target, _ = each
    output = output.double()  # where rounding cannot hide a mean of means
    sizes = [1, 5, 0, len(output) - 6]
    parts = zip(output.split(sizes), target.split(sizes), strict=True)
    totals = torch.stack([loss.statistics(o, t).sum(dim=0) for o, t in parts])
    whole = loss(output, target)
    torch.testing.assert_close(loss.finish(totals.sum(dim=0)), whole, rtol=1e-12, atol=0)
    each_alone = loss.finish(totals)
    assert each_alone.shape == (4,)
    assert each_alone[2] == 0
    assert not torch.isclose(each_alone[[0, 1, 3]].mean(), whole, rtol=1e-6)


def test_order_does_not_matter(each: tuple[Loss, Tensor, Tensor, Callable[..., Tensor]]) -> None:
    loss, output, target, _ = each
    order = torch.randperm(len(output))
    torch.testing.assert_close(loss(output[order], target[order]), loss(output, target))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(
    each: tuple[Loss, Tensor, Tensor, Callable[..., Tensor]], dtype: torch.dtype
) -> None:
    loss, output, target, _ = each
    half = output.to(dtype).requires_grad_()
    statistics = loss.statistics(half, target)
    assert statistics.dtype == torch.float32
    torch.testing.assert_close(statistics, loss.statistics(half.detach().float(), target))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(half, target)
    assert value.dtype == torch.float32
    value.backward()
    assert half.grad is not None
    assert half.grad.dtype == dtype


@pytest.mark.parametrize(
    ("loss", "output", "target"),
    [
        (CrossEntropy(), torch.randn(4, 3), torch.full((4,), -100)),
        (CrossEntropy(weight=(1.0, 2.0, 3.0), ignore_index=-1), torch.randn(2, 3, 5, 5), torch.full((2, 5, 5), -1)),
        (BinaryCrossEntropy(), torch.randn(4, 1), torch.full((4,), -100)),
        (MaskedL1(), torch.randn(2, 1, 5, 5), torch.zeros(2, 1, 5, 5)),
        (Cosine(), torch.randn(2, 3, 5, 5), torch.zeros(2, 3, 5, 5)),
        (Cosine(), torch.zeros(2, 3, 5, 5), torch.zeros(2, 3, 5, 5)),
        (MSE(), torch.randn(0, 1), torch.randn(0)),
        (GroupGap(), torch.randn(3, 2), torch.tensor([1, 1, -100])),  # a group is absent
        (GroupGap(), torch.randn(3, 2), torch.tensor([0, -100, 0])),
        (GroupGap(), torch.randn(0, 2), torch.zeros(0, dtype=torch.long)),
    ],
)
def test_nothing_valid_costs_nothing(loss: Loss, output: Tensor, target: Tensor) -> None:
    output = output.clone().requires_grad_()
    value = loss(output, target)
    value.backward()
    assert value == 0
    torch.testing.assert_close(output.grad, torch.zeros_like(output))


def test_registered_names() -> None:
    assert set(Loss.names()) >= {"cross_entropy", "binary_cross_entropy", "mse", "l1", "huber", "masked_l1", "cosine"}
    assert build(Loss, "group_gap") == GroupGap()  # type: ignore[type-abstract]
    assert build(Loss, {"name": "huber", "delta": 2}) == Huber(delta=2.0)  # type: ignore[type-abstract]
    assert build(Loss, "masked_l1") == MaskedL1()  # type: ignore[type-abstract]


def log_cosh(output: Tensor, target: Tensor, scale: float = 1.0) -> Tensor:
    """Smooth absolute error. scale: of the differences."""
    return (scale * (output.squeeze(1) - target)).cosh().log()


def test_a_function_is_a_loss() -> None:
    made = Loss.from_function(log_cosh)
    output, target = torch.randn(5, 1), torch.randn(5)
    assert made() == made(scale=1.0)  # type: ignore[call-arg]
    value = made(scale=2.0)(output, target)  # type: ignore[call-arg,operator]
    torch.testing.assert_close(value, (2 * (output[:, 0] - target)).cosh().log().mean())


def test_a_function_of_positions_is_a_loss() -> None:
    made = Loss.from_function(lambda output, target: (output - target).abs())
    output, target = torch.randn(5, 2, 3), torch.randn(5, 2, 3)
    torch.testing.assert_close(made()(output, target), F.l1_loss(output, target))  # type: ignore[operator]


def test_a_function_that_takes_the_mean_itself_is_refused() -> None:
    made = Loss.from_function(lambda output, target: (output - target).abs().mean())
    with pytest.raises(ValueError, match="leave the mean"):
        made()(torch.zeros(3), torch.zeros(3))  # type: ignore[operator]


def test_a_function_of_one_tensor_is_refused() -> None:
    with pytest.raises(MoframeworkError, match="takes output and target first"):
        Loss.from_function(lambda output: output)


def test_a_function_with_open_keywords_is_refused() -> None:
    def anything(output: Tensor, target: Tensor, **options: float) -> Tensor:
        return output

    with pytest.raises(MoframeworkError, match="cannot be an option"):
        Loss.from_function(anything)


def test_nothing_is_read_back_from_the_device(each: tuple[Loss, Tensor, Tensor, Callable[..., Tensor]]) -> None:
    """Tensors on the meta device have no values: whatever reads one, or selects by a mask, fails there."""
    loss, output, target, _ = each
    output = output.to("meta").requires_grad_()
    loss(output, target.to("meta")).backward()
    assert output.grad is not None
    assert output.grad.shape == output.shape
