"""`textures`: what is drawn has the shares, groups and signal that it states, and can be told."""

from __future__ import annotations

import pytest
import torch
from moframework.problems.textures import Textures

from moframework.data import SPLITS


def test_shares_and_groups_are_as_stated() -> None:
    problem = Textures(attributes=12, train=20_000)
    there = torch.stack(list(problem.data("train").targets.values()), dim=1).float()
    generator = torch.Generator().manual_seed(0)
    torch.randn(12, 3, 6, 6, generator=generator)
    shares = torch.rand(12, generator=generator) * 0.7 + 0.1
    torch.testing.assert_close(there.mean(0), shares, atol=0.015, rtol=0)
    together = torch.corrcoef(there.T)
    assert (together[0, 1:5] > 0.15).all()
    assert (together[0, 5:].abs() < 0.03).all()


def test_a_linear_probe_on_the_known_textures_tells_attributes() -> None:
    """The signal is there: images against the texture itself, which a network would have to find."""
    problem = Textures(attributes=4, train=4000)
    data = problem.data("train")
    textures = torch.nn.functional.interpolate(
        torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0)), 16, mode="bilinear"
    )
    scores = torch.einsum("nchw,tchw->nt", data.inputs, textures)
    for scored, target in zip(scores.unbind(1), data.targets.values(), strict=True):
        there, absent = scored[target == 1], scored[target == 0]
        assert (there[:, None] > absent[None, :]).float().mean() > 0.95


@pytest.mark.parametrize("split", SPLITS)
def test_splits_are_drawn_apart_and_alike_each_time(split: str) -> None:
    problem = Textures(attributes=3, train=50, val=50, test=50)
    own = problem.data(split).inputs  # type: ignore[arg-type]
    assert torch.equal(own, Textures(attributes=3, train=50, val=50, test=50).data(split).inputs)  # type: ignore[arg-type]
    assert not torch.equal(own, Textures(attributes=3, train=50, val=50, test=50, seed=1).data(split).inputs)  # type: ignore[arg-type]
    others = [problem.data(other).inputs for other in SPLITS if other != split]
    assert not any(torch.equal(own, other) for other in others)
