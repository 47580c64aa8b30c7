"""Criteria of fairness as losses: by hand, with empty cells, in the published form, and targets that cannot be
right."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from moframework.config import build
from moframework.losses import DemographicParity, EqualizedOdds, EqualOpportunity, GroupGap, Loss

NAN = float("nan")


def cells(*rows: tuple[float, float, float]) -> tuple[Tensor, Tensor]:
    """Logits, and targets, of (chance, label, group)."""
    chance, label, group = torch.tensor(rows).unbind(dim=1)
    return torch.logit(chance).requires_grad_(), torch.stack([label, group], dim=1)


PEOPLE = ((0.9, 1, 0), (0.5, 1, 0), (0.2, 0, 0), (0.6, 1, 1), (0.4, 0, 1), (0.1, 1, 2), (0.3, 0, 2))
# By group: of all .5333, .5, .2; of label 1 .7, .6, .1; of label 0 .2, .4, .3.


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (DemographicParity(groups=3), 1.6 / 3 - 0.2),
        (EqualOpportunity(groups=3), 0.6),
        (EqualizedOdds(groups=3), 0.6),
        (EqualizedOdds(groups=3, combine="mean"), (0.6 + 0.2) / 2),
    ],
)
def test_three_groups_by_hand(loss: Loss, expected: float) -> None:
    output, target = cells(*PEOPLE)
    value = loss(output, target)
    assert float(value.detach()) == pytest.approx(expected, abs=1e-6)
    (gradient,) = torch.autograd.grad(value, output)
    assert gradient.any()
    if isinstance(loss, EqualOpportunity):  # the two groups farthest apart, and of these label 1
        assert (gradient != 0).tolist() == [True, True, False, False, False, True, False]


def test_a_group_without_samples_of_a_class_is_left_out() -> None:
    output, target = cells(*PEOPLE[:5], (0.3, 0, 2))
    assert EqualOpportunity(groups=3)(output, target).item() == pytest.approx(0.7 - 0.6, abs=1e-6)
    assert EqualizedOdds(groups=3)(output, target).item() == pytest.approx(0.4 - 0.2, abs=1e-6)
    output, target = cells((0.9, 1, 0), (0.2, 0, 0), (0.6, 0, 1))  # nobody else has class 1
    value = EqualOpportunity()(output, target)
    assert float(value.detach()) == 0
    assert not torch.autograd.grad(value, output)[0].any()
    assert EqualizedOdds(combine="mean")(output, target).item() == pytest.approx(0.4, abs=1e-6)  # of what there is


def test_labels_do_not_matter_for_demographic_parity() -> None:
    output, target = cells((0.9, NAN, 0), (0.5, 1, 0), (0.2, -100, 1), (0.3, 0, NAN), (0.3, 0, -100))
    assert DemographicParity()(output, target).item() == pytest.approx(0.5, abs=1e-6)
    assert DemographicParity().known(target)[:, 1].tolist() == [True, True, True, False, False]
    assert not DemographicParity().known(target)[0, 0]
    assert EqualOpportunity().known(target).tolist() == [[False] * 2, [True] * 2, *[[False] * 2] * 3]


def test_two_groups_are_those_of_group_gap() -> None:
    torch.manual_seed(0)
    output, label, group = torch.randn(40, 2), torch.arange(40) // 2 % 2, torch.arange(40) % 2
    target = torch.stack([label, group], dim=1)
    assert DemographicParity()(output, target) == GroupGap()(output, group)
    among = torch.where(label == 1, group, -100)
    assert EqualOpportunity()(output, target) == GroupGap()(output, among)
    one = output[:, 1:] - output[:, :1]
    torch.testing.assert_close(EqualOpportunity()(one, target), EqualOpportunity()(output, target))
    torch.testing.assert_close(EqualOpportunity()(one[:, 0], target), EqualOpportunity()(output, target))


@pytest.mark.parametrize("loss", [DemographicParity(form="published"), EqualOpportunity(form="published")])
def test_the_published_form_divides_sums_by_all_samples(loss: Loss) -> None:
    """As objectives.py of the code of COSMOS (`DDPHyperbolicTangentRelaxation`, `DEOHyperbolicTangentRelaxation`)."""
    torch.manual_seed(0)
    logits, labels, s = torch.randn(256), torch.arange(256) % 4 == 0, torch.arange(256) % 3 == 0
    p = torch.sigmoid(logits)
    among = labels if isinstance(loss, EqualOpportunity) else torch.ones_like(labels)
    expected = 1 / 256 * (torch.tanh(p[~s & among]).sum() - torch.tanh(p[s & among]).sum()).abs()
    target = torch.stack([labels.long(), s.long()], dim=1)
    torch.testing.assert_close(loss(logits, target), expected)
    chunks = [loss.statistics(o, t).sum(dim=0) for o, t in zip(logits.split(100), target.split(100), strict=True)]
    torch.testing.assert_close(loss.finish(torch.stack(chunks).sum(dim=0)), expected)


@pytest.mark.parametrize(
    ("loss", "target", "size", "words"),
    [
        (EqualOpportunity(), torch.zeros(4, 2), 3, "an output of size 1 or 2, but size is 3"),
        (EqualOpportunity(), torch.zeros(4), 1, "targets (n, 2), label and group, but they are (4,)"),
        (EqualOpportunity(), torch.tensor([[2, 0], [1, 1]]), 1, "labels (the first column) must be 0 or 1 (or -100"),
        (EqualOpportunity(), torch.tensor([[1, 0], [1, 2]]), 1, "groups (the second column) must be 0 or 1"),
        (
            EqualOpportunity(groups=3),
            torch.tensor([[1, 0.5], [1, 2]]),
            1,
            "must be 0 to 2 (or -100: unknown), but they",
        ),
        (EqualOpportunity(), torch.tensor([[1, 0], [0, 1]]), 1, "fewer than two have samples of class 1"),
        (EqualizedOdds(), torch.tensor([[1, 0], [1, 1], [0, 1]]), 1, "fewer than two have samples of class 0"),
        (DemographicParity(), torch.tensor([[1, 0], [1, -100]]), 1, "fewer than two have samples"),
    ],
)
def test_targets_that_cannot_be_right_are_told(loss: Loss, target: Tensor, size: int, words: str) -> None:
    assert words in str(loss.fault(target, size))


def test_what_is_right_passes_and_other_shapes_do_not() -> None:
    target = torch.tensor([[1.0, 0], [NAN, 0], [0, 1], [1, 1], [0, 0], [1, NAN]])
    for loss in (DemographicParity(), EqualOpportunity(), EqualizedOdds()):
        assert loss.fault(target, 1) is None
        assert loss.expects_logits
        assert loss.worst == 1
        assert build(Loss, loss.word) == loss  # type: ignore[type-abstract]
    with pytest.raises(ValueError, match=r"label and group, \(b, 2\), but has \(4,\)"):
        EqualOpportunity()(torch.zeros(4), torch.zeros(4))
    with pytest.raises(ValueError, match=r"equalized_odds needs logits .* but has \(3, 3\) and \(3, 2\)"):
        EqualizedOdds()(torch.zeros(3, 3), torch.zeros(3, 2))
