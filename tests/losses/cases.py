"""A loss, data for it, and the same number computed by torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from moframework.losses import (
    L1,
    MSE,
    BinaryCrossEntropy,
    Cosine,
    CrossEntropy,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    GroupGap,
    Huber,
    Loss,
    MaskedL1,
)


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


def groups() -> tuple[Tensor, Tensor]:
    return torch.randn(17, 2) * 2, torch.tensor([0, 1, -100, 1, 0, 0, 1, 0, -100, 1, 1, 0, 0, 0, 1, -100, 0])


def gap_by_hand(output: Tensor, target: Tensor) -> Tensor:
    chance = output.softmax(dim=1)[:, 1] if output.dim() == 2 and output.shape[1] == 2 else output.sigmoid().squeeze(1)
    return (chance[target == 1].mean() - chance[target == 0].mean()).abs()


def labels_and_groups() -> tuple[Tensor, Tensor]:
    """Three groups, each with samples of both labels among those of even and of odd place."""
    label = torch.tensor([0, 0, 1, 1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0, 1])
    group = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 0, 1, 2, 0, 1])
    return torch.randn(17, 1) * 2, torch.stack([label, group], dim=1)


def rates(output: Tensor, target: Tensor, label: int | None) -> Tensor:
    """Mean chances of the groups that have samples of this label, or of any."""
    counts = torch.ones(len(target), dtype=torch.bool) if label is None else target[:, 0] == label
    chance = output.sigmoid().squeeze(1)
    found = [chance[counts & (target[:, 1] == group)] for group in range(3)]
    return torch.stack([values.mean() for values in found if len(values)])


def spread(output: Tensor, target: Tensor, label: int | None) -> Tensor:
    found = rates(output, target, label)
    return found.max() - found.min()


def cosmos_deo(output: Tensor, target: Tensor) -> Tensor:
    """As the code of COSMOS has it, of two groups; here max − min over three."""
    chance = torch.sigmoid(output).squeeze(1)
    sums = [torch.tanh(chance[(target[:, 0] == 1) & (target[:, 1] == group)]).sum() for group in range(3)]
    return 1 / len(output) * (torch.stack(sums).max() - torch.stack(sums).min())


CASES: dict[str, tuple[Loss, Callable[[], tuple[Tensor, Tensor]], Callable[[Tensor, Tensor], Tensor]]] = {
    "cross_entropy": (CrossEntropy(), classes, F.cross_entropy),
    "ignored": (CrossEntropy(), some_ignored, F.cross_entropy),
    "smoothed": (
        CrossEntropy(label_smoothing=0.1),
        some_ignored,
        lambda o, t: F.cross_entropy(o, t, label_smoothing=0.1),
    ),
    "weighted": (
        CrossEntropy(weight=WEIGHT),
        some_ignored,
        lambda o, t: F.cross_entropy(o, t, torch.tensor(WEIGHT)),
    ),
    "weighted, smoothed": (
        CrossEntropy(weight=WEIGHT, label_smoothing=0.2),
        some_ignored,
        lambda o, t: F.cross_entropy(o, t, torch.tensor(WEIGHT), label_smoothing=0.2),
    ),
    "pixels": (CrossEntropy(ignore_index=-1), pixels, lambda o, t: F.cross_entropy(o, t, ignore_index=-1)),
    "binary": (
        BinaryCrossEntropy(),
        logits,
        lambda o, t: F.binary_cross_entropy_with_logits(o.squeeze(1), t.float()),
    ),
    "binary, positive weight": (
        BinaryCrossEntropy(positive_weight=3.0),
        logits,
        lambda o, t: F.binary_cross_entropy_with_logits(o.squeeze(1), t.float(), pos_weight=torch.tensor(3.0)),
    ),
    "mse": (MSE(), values, lambda o, t: F.mse_loss(o.squeeze(1), t)),
    "l1": (L1(), values, lambda o, t: F.l1_loss(o.squeeze(1), t)),
    "huber": (Huber(delta=0.5), values, lambda o, t: F.huber_loss(o.squeeze(1), t, delta=0.5)),
    "masked_l1": (MaskedL1(), depths, lambda o, t: (o - t)[t != 0].abs().mean()),
    "cosine": (
        Cosine(),
        normals,
        lambda o, t: (1 - F.cosine_similarity(o, t, dim=1))[(t != 0).any(dim=1)].mean(),
    ),
    "group_gap": (GroupGap(), groups, gap_by_hand),
    "group_gap of one logit": (GroupGap(), lambda: (groups()[0][:, :1], groups()[1]), gap_by_hand),
    "demographic_parity": (DemographicParity(groups=3), labels_and_groups, lambda o, t: spread(o, t, None)),
    "equal_opportunity": (EqualOpportunity(groups=3), labels_and_groups, lambda o, t: spread(o, t, 1)),
    "equal_opportunity, published": (EqualOpportunity(groups=3, form="published"), labels_and_groups, cosmos_deo),
    "equalized_odds": (
        EqualizedOdds(groups=3),
        labels_and_groups,
        lambda o, t: torch.maximum(spread(o, t, 1), spread(o, t, 0)),
    ),
    "equalized_odds, mean": (
        EqualizedOdds(groups=3, combine="mean"),
        labels_and_groups,
        lambda o, t: (spread(o, t, 1) + spread(o, t, 0)) / 2,
    ),
}
"""By name: a loss, what makes outputs and targets for it, and the same number computed otherwise."""
