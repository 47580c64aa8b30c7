"""A mixing matrix between the preference and a weight space."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from moframework.errors import SpecError
from moframework.weights import WeightSpace, WeightSpaceConfig
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.low_rank import LowRank
from moframework.weights.mixed import Mixed, inverse_mixing
from moframework.weights.remapped import unmapped

ROWS = ((0.7, 0.3), (0.3, 0.7))


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def built(options: WeightSpaceConfig, m: int = 2) -> WeightSpace:
    torch.manual_seed(0)
    space = options.build(network, m, None)
    with torch.no_grad():
        for parameter in space.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return space


@pytest.mark.parametrize("options", [ConvexHull(), LowRank(rank=2)])
def test_each_member_answers_its_own_preference(options: WeightSpaceConfig) -> None:
    mixed, plain = built(Mixed(space=options, trained_at=ROWS)), built(options)
    for row, vertex in zip(ROWS, torch.eye(2), strict=True):
        for name, value in mixed.weights(torch.tensor(row)).items():
            torch.testing.assert_close(value, plain.weights(vertex)[name])
    # A vertex lies beyond: c = P⁻ᵀ e_1 = (7/4, −3/4). The center stays the center.
    for at, c in (([1.0, 0.0], [1.75, -0.75]), ([0.5, 0.5], [0.5, 0.5])):
        for name, value in mixed.weights(torch.tensor(at)).items():
            torch.testing.assert_close(value, plain.weights(torch.tensor(c))[name])


def test_a_circulant_of_three_tasks() -> None:
    rows = [[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]]
    found = inverse_mixing(rows, 3)
    assert found is not None
    torch.testing.assert_close(found @ torch.tensor(rows).T, torch.eye(3))
    torch.testing.assert_close(found.sum(dim=0), torch.ones(3))
    # (a − b) I + b J with a = .6, b = .2 has the inverse 2.5 I − .5 J.
    torch.testing.assert_close(found, 2.5 * torch.eye(3) - 0.5)
    twice = inverse_mixing([[2 * value for value in row] for row in rows], 3)
    torch.testing.assert_close(twice, found)
    assert inverse_mixing(None, 3) is None


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[1, 0], [1, 0]], "depend on each other"),
        ([[0.5, 0.5], [1, 1]], "depend on each other"),
        ([[1, 0]], "2 rows of 2 .* but there are 1 rows"),
        ([], "but there are 0 rows"),
        ([[1, 0], [0, 1, 0]], r"but row 2 is \[0.0, 1.0, 0.0\]"),
        ([[1, 0], [-0.1, 1]], r"but row 2 is \[-0.1, 1.0\]"),
        ([[0, 0], [0, 1]], r"but row 1 is \[0.0, 0.0\]"),
        ([[1, 0], [math.nan, 1]], "but row 2 is"),
        ([[1, 0], [math.inf, 1]], "but row 2 is"),
    ],
)
def test_what_is_no_such_matrix(rows: list[list[float]], said: str) -> None:
    with pytest.raises(SpecError, match=f"solver.trained_at: .*{said}"):
        Mixed(space=ConvexHull(), trained_at=tuple(map(tuple, rows))).build(network, 2, None)


def test_all_else_is_the_other_spaces() -> None:
    mixed = built(Mixed(space=LowRank(rank=2, orthogonal=0.5, freeze_after=0.5), trained_at=ROWS))
    inner = unmapped(mixed)
    assert inner is not mixed
    assert unmapped(inner) is inner
    groups = [[(g["name"], g["lr"], len(g["params"])) for g in one.parameter_groups(0.1)] for one in (mixed, inner)]
    assert groups[0] == groups[1]
    assert [names for names, _ in mixed.named_storage()] == [names for names, _ in inner.named_storage()]
    penalty = mixed.penalty()
    assert penalty is not None
    assert torch.equal(penalty, inner.penalty())  # type: ignore[arg-type]
    mixed.progressed(1.0)
    assert not any(parameter.requires_grad for parameter in inner.shared)  # type: ignore[attr-defined, union-attr]
    assert mixed.anchors() is None
