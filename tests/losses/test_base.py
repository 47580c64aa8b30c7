"""Losses: against torch.nn.functional, over uneven chunks, with gradients, masks and half precision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from moframework.config import build
from moframework.errors import MoframeworkError
from moframework.losses import L1, MSE, BinaryCrossEntropy, Cosine, CrossEntropy, GroupGap, Huber, Loss, MaskedL1

CASES: dict[str, tuple[Loss, Callable[[], tuple[Tensor, Tensor]], Callable[[Tensor, Tensor], Tensor]]] = {}


def case(name: str, loss: Loss, reference: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., None]:
    def add(make: Callable[[], tuple[Tensor, Tensor]]) -> None:
        CASES[name] = (loss, make, reference)

    return add


def classes() -> tuple[Tensor, Tensor]:
    return torch.randn(17, 5), torch.randint(0, 5, (17,))


def some_ignored() -> tuple[Tensor, Tensor]:
    output, target = classes()
    return output, torch.where(torch.rand(17) < 0.4, -100, target)


def pixels() -> tuple[Tensor, Tensor]:
    # uneven numbers of valid pixels per image, so that a mean of means would differ
    target = torch.randint(0, 4, (9, 6, 7))
    return torch.randn(9, 4, 6, 7), torch.where(torch.rand(9, 6, 7) < torch.rand(9, 1, 1), -1, target)


def logits() -> tuple[Tensor, Tensor]:
    return torch.randn(17, 1) * 3, torch.randint(0, 2, (17,))


def values() -> tuple[Tensor, Tensor]:
    return torch.randn(17, 1) * 2, torch.randn(17)


def depths() -> tuple[Tensor, Tensor]:
    return torch.randn(9, 1, 6, 7), torch.rand(9, 1, 6, 7) * (torch.rand(9, 1, 6, 7) < torch.rand(9, 1, 1, 1))


def normals() -> tuple[Tensor, Tensor]:
    target = F.normalize(torch.randn(9, 3, 6, 7), dim=1)
    return torch.randn(9, 3, 6, 7), target * (torch.rand(9, 1, 6, 7) < 0.7)


WEIGHT = (1.0, 2.0, 0.5, 3.0, 0.25)
case("cross_entropy", CrossEntropy(), F.cross_entropy)(classes)
case("ignored", CrossEntropy(), F.cross_entropy)(some_ignored)
case("smoothed", CrossEntropy(label_smoothing=0.1), lambda o, t: F.cross_entropy(o, t, label_smoothing=0.1))(
    some_ignored
)
case("weighted", CrossEntropy(weight=WEIGHT), lambda o, t: F.cross_entropy(o, t, torch.tensor(WEIGHT)))(some_ignored)
case(
    "weighted, smoothed",
    CrossEntropy(weight=WEIGHT, label_smoothing=0.2),
    lambda o, t: F.cross_entropy(o, t, torch.tensor(WEIGHT), label_smoothing=0.2),
)(some_ignored)
case("pixels", CrossEntropy(ignore_index=-1), lambda o, t: F.cross_entropy(o, t, ignore_index=-1))(pixels)
case("binary", BinaryCrossEntropy(), lambda o, t: F.binary_cross_entropy_with_logits(o.squeeze(1), t.float()))(logits)
case(
    "binary, positive weight",
    BinaryCrossEntropy(positive_weight=3.0),
    lambda o, t: F.binary_cross_entropy_with_logits(o.squeeze(1), t.float(), pos_weight=torch.tensor(3.0)),
)(logits)
case("mse", MSE(), lambda o, t: F.mse_loss(o.squeeze(1), t))(values)
case("l1", L1(), lambda o, t: F.l1_loss(o.squeeze(1), t))(values)
case("huber", Huber(delta=0.5), lambda o, t: F.huber_loss(o.squeeze(1), t, delta=0.5))(values)
case("masked_l1", MaskedL1(), lambda o, t: (o - t)[t != 0].abs().mean())(depths)
case(
    "cosine",
    Cosine(),
    lambda o, t: (1 - F.cosine_similarity(o, t, dim=1))[(t != 0).any(dim=1)].mean(),
)(normals)


def groups() -> tuple[Tensor, Tensor]:
    return torch.randn(17, 2) * 2, torch.tensor([0, 1, -100, 1, 0, 0, 1, 0, -100, 1, 1, 0, 0, 0, 1, -100, 0])


def gap_by_hand(output: Tensor, target: Tensor) -> Tensor:
    chance = output.softmax(dim=1)[:, 1] if output.dim() == 2 and output.shape[1] == 2 else output.sigmoid().squeeze(1)
    return (chance[target == 1].mean() - chance[target == 0].mean()).abs()


case("group_gap", GroupGap(), gap_by_hand)(groups)
case("group_gap of one logit", GroupGap(), gap_by_hand)(lambda: (groups()[0][:, :1], groups()[1]))


@pytest.fixture(params=sorted(CASES), name="each")
def _each(request: pytest.FixtureRequest) -> tuple[Loss, Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]]:
    torch.manual_seed(0)
    loss, make, reference = CASES[request.param]
    return loss, *make(), reference


@pytest.mark.parametrize("count", [1, 3, 20])
@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_losses_of_pieces_are_those_of_each(name: str, alike: bool, count: int) -> None:
    loss, make, _ = CASES[name]
    output, target = make()
    if alike:
        output, target = (value[: len(value) // count * count] for value in (output, target))
    output.requires_grad_()
    sizes = [len(piece) for piece in target.tensor_split(count)]
    found = loss.by_piece(output, target, sizes)
    pieces = zip(output.tensor_split(count), target.tensor_split(count), strict=True)
    expected = torch.stack([loss(*piece) for piece in pieces])
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


def test_samples_without_weight_count_for_nothing() -> None:
    loss = CrossEntropy(weight=(0.0, 1.0))
    output, target = torch.randn(6, 2), torch.tensor([0, 0, 1, 0, 1, 0])
    torch.testing.assert_close(loss(output, target), F.cross_entropy(output[target == 1], target[target == 1]))
    assert loss(output[:2], target[:2]) == 0


def test_binary_targets_of_any_kind() -> None:
    output = torch.randn(4, 1)
    integers = torch.tensor([0, 1, 1, 0])
    expected = BinaryCrossEntropy()(output, integers)
    for target in (integers.bool(), integers.float(), integers.unsqueeze(1), integers.to(torch.uint8)):
        torch.testing.assert_close(BinaryCrossEntropy()(output, target), expected)


def test_cosine_of_known_angles() -> None:
    target = torch.tensor([[1.0, 0, 0]]).repeat(3, 1)
    output = torch.tensor([[2.0, 0, 0], [0, 3.0, 0], [-1.0, 0, 0]])
    torch.testing.assert_close(Cosine().statistics(output, 7 * target)[:, 0], torch.tensor([0.0, 1.0, 2.0]))


def test_constants_made_in_inference_mode_can_train_later() -> None:
    loss = CrossEntropy(weight=(0.3, 0.7))
    output, target = torch.randn(4, 2, requires_grad=True), torch.tensor([0, 1, 1, 0])
    with torch.inference_mode():
        loss(output, target)
    loss(output, target).backward()


@pytest.mark.parametrize(
    ("loss", "output", "target", "words"),
    [
        (MSE(), torch.zeros(4, 2), torch.zeros(4), r"mse .* \(4, 2\) and \(4,\)"),
        (L1(), torch.zeros(4), torch.zeros(4, 1), "l1 needs"),  # would broadcast to 4×4
        (CrossEntropy(), torch.zeros(4, 3), torch.zeros(4, 1, dtype=torch.long), r"\(4, 3\) and \(4, 1\)"),
        (CrossEntropy(), torch.zeros(4, 3), torch.zeros(4), "integer classes"),
        (Cosine(), torch.zeros(4, 3), torch.zeros(4, 2), "one shape"),
        (GroupGap(), torch.zeros(4, 3), torch.zeros(4, dtype=torch.long), r"group_gap .* \(4, 3\) and \(4,\)"),
        (GroupGap(), torch.zeros(4, 2), torch.zeros(4, 2, dtype=torch.long), r"group_gap needs .* \(4,\) and \(4, 2\)"),
        (GroupGap(), torch.zeros(4, 1, 5), torch.zeros(4, 5, dtype=torch.long), "a group for each sample"),
    ],
)
def test_shapes_that_do_not_match_are_refused(loss: Loss, output: Tensor, target: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        loss(output, target)


@pytest.mark.parametrize(
    ("loss", "target", "size", "words"),
    [
        (CrossEntropy(), torch.tensor([1, 2, 10]), 10, "run from 1 to 10, but size 10 allows 0 to 9"),
        (CrossEntropy(), torch.tensor([-1, 2]), 10, "run from -1"),
        (CrossEntropy(), torch.tensor([0.0]), 10, "integer classes"),
        (CrossEntropy(), torch.tensor([0]), 1, "at least 2"),
        (CrossEntropy(weight=(1.0, 1.0)), torch.tensor([0]), 3, "2 class weights for 3"),
        (BinaryCrossEntropy(), torch.tensor([0, 1, 2]), 1, "from 0 to 2"),
        (GroupGap(), torch.tensor([0, 1]), 3, "an output of size 1 or 2, but size is 3"),
        (GroupGap(), torch.tensor([0, 1, 2]), 2, "both groups, 0 and 1, as targets (and -100"),
        (GroupGap(), torch.tensor([1, -100]), 2, "but they hold 1"),
        (GroupGap(), torch.tensor([-100]), 2, "but they hold none"),
    ],
)
def test_targets_that_cannot_be_right_are_told(loss: Loss, target: Tensor, size: int, words: str) -> None:
    fault = loss.fault(target, size)
    assert fault is not None
    assert words in fault


@pytest.mark.parametrize(
    ("loss", "target", "size"),
    [
        (CrossEntropy(), torch.tensor([-100, 0, 9]), 10),
        (CrossEntropy(), torch.tensor([-100]), 10),
        (CrossEntropy(ignore_index=-1), torch.tensor([-1, 0, 9]), 10),
        (BinaryCrossEntropy(), torch.tensor([0, 1, -100]), 1),
        (MSE(), torch.tensor([1e9]), 1),
        (GroupGap(), torch.tensor([1, -100, 0]), 2),
    ],
)
def test_targets_that_are_right_pass(loss: Loss, target: Tensor, size: int) -> None:
    assert loss.fault(target, size) is None


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
