"""Arithmetic of merges: worked by hand, and against PEFT's."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from moframework.errors import SpecError
from moframework.merging.dare import DARE
from moframework.merging.kernels import agreeing, consensus, drop, elected_signs, tall_masks, trimmed
from moframework.merging.linear import LinearMerge
from moframework.merging.lines import depth_factors
from moframework.merging.masks import TALL, Consensus
from moframework.merging.space import inverse_mixing
from moframework.merging.ties import TIES
from tests.extras import needs_peft

V = torch.tensor([[4.0, -1.0, 3.0, 0.5], [-2.0, -5.0, 1.0, 0.2]])
HALF = torch.tensor([0.5, 0.5])


def random_vectors(m: int = 3, p: int = 200) -> Tensor:
    return torch.randn(m, p, generator=Generator().manual_seed(0))


def test_ties_by_hand() -> None:
    # Half of each: (4, 0, 3, 0) and (-2, -5, 0, 0). Totals 2, -5, 3, 0 elect +, -, +, none.
    merge = TIES(density=0.5)
    edited = merge.edited(V)
    assert edited.tolist() == [[4, 0, 3, 0], [-2, -5, 0, 0]]
    assert merge.combined(edited, HALF).tolist() == [4, -5, 3, 0]
    assert TIES(density=0.5, form="sum").combined(edited, HALF).tolist() == [2, -2.5, 1.5, 0]
    # λ = (.25, .75): the first entry's total is 1 - 1.5, so the second task wins it.
    assert merge.combined(edited, torch.tensor([0.25, 0.75])).tolist() == [-2, -5, 3, 0]


def test_frequency_counts_signs() -> None:
    three = torch.tensor([[9.0], [-1.0], [-1.0]])
    third = torch.full((3,), 1 / 3)
    assert elected_signs(three, third).tolist() == [1.0]
    assert elected_signs(three, third, "frequency").tolist() == [-1.0]


@pytest.mark.parametrize("merge", [LinearMerge(), TIES(), TIES(form="sum"), DARE(), DARE(signs="elected"), TALL()])
def test_a_vertex_is_its_own_task(merge: LinearMerge) -> None:
    edited = merge.edited(random_vectors())
    for task, row in enumerate(torch.eye(3)):
        torch.testing.assert_close(merge.combined(edited, row), edited[task])


def test_dare_keeps_the_expectation_and_its_seed() -> None:
    many = torch.ones(2, 20_000)
    dropped = drop(many, 0.9, Generator().manual_seed(1))
    assert sorted(dropped.unique().tolist()) == pytest.approx([0.0, 10.0])
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.05)
    assert torch.equal(DARE(seed=3).edited(many), DARE(seed=3).edited(many))
    assert not torch.equal(DARE(seed=3).edited(many), DARE(seed=4).edited(many))


def test_masks_by_hand() -> None:
    # Of the sum (2, -6, 4, .7) task 1 needs what is at least κ of the others' part: 4 ≥ .5·2, 1 < .5·5, 3 ≥ .5, ...
    masks = tall_masks(V, 0.5)
    assert masks.tolist() == [[True, False, True, True], [True, True, False, False]]
    assert TALL(threshold=0.5).edited(V)[1].tolist() == [2, -6, 0, 0]
    assert consensus(masks, 2).tolist() == [True, False, False, False]
    assert Consensus(threshold=0.5).edited(V).tolist() == [[4, 0, 0, 0], [-2, 0, 0, 0]]


def test_nothing_given_is_changed() -> None:
    before = V.clone()
    for merge in (TIES(), DARE(), TALL(), Consensus()):
        merge.combined(merge.edited(V), HALF)
    assert torch.equal(V, before)


@needs_peft
@pytest.mark.parametrize("method", ["total", "frequency"])
def test_ties_is_that_of_peft(method: str) -> None:
    from peft.utils import merge_utils

    vectors = random_vectors()
    wanted = merge_utils.ties(list(vectors), torch.ones(3), 0.3, method)  # type: ignore[arg-type]
    merge = TIES(density=0.3, election=method)  # type: ignore[arg-type]
    found = merge.combined(merge.edited(vectors), torch.full((3,), 1 / 3))
    # Where nothing is left in an entry, or signs tie, PEFT elects +, which keeps zeros or the positive entries.
    tie = elected_signs(trimmed(vectors, 0.3), torch.ones(3), method) == 0  # type: ignore[arg-type]
    torch.testing.assert_close(found[~tie], wanted[~tie], rtol=1e-6, atol=1e-6)
    weights = torch.tensor([0.2, 0.5, 0.3])
    linear = merge_utils.magnitude_prune(list(vectors), weights, 0.3)
    torch.testing.assert_close(LinearMerge().combined(trimmed(vectors, 0.3), weights), linear, rtol=1e-6, atol=1e-6)


@needs_peft
def test_dare_is_that_of_peft_where_both_drop_the_same() -> None:
    from peft.utils import merge_utils

    vectors, weights = random_vectors(), torch.full((3,), 1 / 3)
    torch.manual_seed(0)
    pruned = torch.stack([merge_utils.prune(one, 0.4, "random", rescale=True) for one in vectors])
    torch.manual_seed(0)
    wanted = merge_utils.dare_linear(list(vectors), weights, 0.4)
    torch.testing.assert_close(DARE().combined(pruned, weights), wanted, rtol=1e-6, atol=1e-6)
    mask = merge_utils.calculate_majority_sign_mask(pruned)
    elected = agreeing(pruned, weights, elected_signs(pruned, weights))
    alive = elected_signs(pruned, weights) != 0
    torch.testing.assert_close(elected[alive], merge_utils.disjoint_merge(pruned, mask)[alive], rtol=1e-6, atol=1e-6)


def test_depth_maps() -> None:
    names = ["stem.weight", "a.0.weight", "a.0.bias", "b.weight", "scale"]
    factors, blocks = depth_factors(names, ["a", "b"], 0.2, 0.8)
    assert factors == [0.2, 0.2, 0.2, 1.0, 0.2]
    assert blocks == ["a", "b"]
    assert depth_factors(names, None, 0.0, 3.0) == ([0.0, 1.0, 1.0, 2.0, 3.0], ["stem", "a.0", "b", ""])
    with pytest.raises(SpecError, match=r"solver.lines.blocks: no merged parameter lies in 'c'"):
        depth_factors(names, ["c"], 1.0, 1.0)


def test_members_between_vertices_get_weights_that_give_them_back() -> None:
    rows = [[0.7, 0.2, 0.1], [0.1, 0.7, 0.2], [0.2, 0.1, 0.7]]
    mixing = inverse_mixing(rows, 3)
    assert mixing is not None
    for task, row in enumerate(rows):
        torch.testing.assert_close(mixing @ torch.tensor(row), torch.eye(3)[task], atol=1e-6, rtol=0)
    assert float((mixing @ torch.tensor([0.5, 0.4, 0.1])).sum()) == pytest.approx(1.0)
    assert inverse_mixing(None, 3) is None
    for wrong in ([[1, 0]], [[1, 0], [1, 0]], [[-1, 2], [0, 1]]):
        with pytest.raises(SpecError, match=r"solver.trained_at"):
            inverse_mixing(wrong, 2)
