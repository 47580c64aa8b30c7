"""Closed-form maps of features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from moframework import check, solve
from moframework.errors import SpecError
from moframework.merging.react import AlignedHeadsSpace, feature_map, features, first_layers, map_at, moments
from tests.merging.two_heads import TASKS, Normed, TwoHeads
from tests.solvers.tiny import DIGITS, spec


def test_a_map_is_found_where_there_is_one() -> None:
    torch.manual_seed(0)
    merged, true = torch.randn(50, 4), torch.randn(4, 4)
    top, bottom = feature_map(*moments(merged @ true.T, merged), 0.0)
    torch.testing.assert_close(map_at(top[None], bottom[None], torch.ones(1)), true, atol=1e-5, rtol=1e-5)


def test_by_hand() -> None:
    # One feature: cross 6, covariance 4, rotation +1, β 2: W = (6 + 2) / (4 + 2).
    top, bottom = feature_map(*moments(torch.tensor([[3.0]]), torch.tensor([[2.0]])), 2.0)
    assert map_at(top[None], bottom[None], torch.ones(1)).item() == pytest.approx(8 / 6)
    # A second task with W C = 1 and C = 2 has half of the weight: (4 + .5) / (3 + 1).
    tops, bottoms = torch.tensor([[[8.0]], [[1.0]]]), torch.tensor([[[6.0]], [[2.0]]])
    assert map_at(tops, bottoms, torch.tensor([0.5, 0.5])).item() == pytest.approx(4.5 / 4)


def test_much_of_the_rotation_is_a_rotation() -> None:
    torch.manual_seed(0)
    top, bottom = feature_map(*moments(torch.randn(50, 4), torch.randn(50, 4)), 1e9)
    found = map_at(top[None], bottom[None], torch.ones(1))
    torch.testing.assert_close(found @ found.T, torch.eye(4), atol=1e-4, rtol=0)


def test_features_are_what_heads_read() -> None:
    network = TwoHeads().eval()
    x = torch.randn(3, 4)
    wanted = network.norm(network.shared(x)).relu()
    torch.testing.assert_close(features(network, "b.weight", [x[:2], x[2:]], "one"), wanted)
    heads = [["a.0.weight", "a.0.bias"], ["b.weight", "b.bias"]]
    assert first_layers(network, heads, TASKS) == ["a.0.weight", "b.weight"]
    with pytest.raises(SpecError, match=r"that of 'left' begins with a.1"):
        first_layers(network, [["a.1.weight"], ["b.weight"]], TASKS)
    with pytest.raises(SpecError, match=r"that of 'right' was not found"):
        first_layers(network, [["a.0.weight"], []], TASKS)
    network.b = nn.Linear(5, 2)
    with pytest.raises(SpecError, match=r"theirs have \[5, 6\] entries"):
        first_layers(network, heads, TASKS)


def test_channels_of_a_convolution_are_its_features() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1), nn.Conv2d(2, 2, 1, groups=2))
    x, heads = torch.randn(2, 1, 5, 6), [["1.weight", "1.bias"], ["2.weight"]]
    read = network[0](x)
    torch.testing.assert_close(
        features(network, "1.weight", [x[:1], x[1:]], "one"), read.permute(0, 2, 3, 1).reshape(-1, 4)
    )
    with pytest.raises(SpecError, match=r"convolution in one group; that of 'right' begins with 2"):
        first_layers(network, heads, TASKS)
    assert first_layers(network, [heads[0], heads[0]], TASKS) == ["1.weight"] * 2

    # The mapped head is the head on mapped features, at the image's edge too.
    space = AlignedHeadsSpace(network, 1)
    tops, bottoms = torch.randn(1, 4, 4).double(), torch.eye(4)[None].double()
    space.align(["1.weight"], tops, bottoms)
    mapped = torch.einsum("ij,bjhw->bihw", tops[0].float(), read)
    found = nn.functional.conv2d(read, space.weights(torch.ones(1))["1.weight"], network[1].bias, padding=1)
    torch.testing.assert_close(found, network[1](mapped), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("normed", [False, True])
def test_a_run(tmp_path: Path, normed: bool) -> None:
    problem: dict[str, Any] = dict(DIGITS)
    if normed:
        problem["backbone"] = {"python": f"{Normed.__module__}:Normed"}
    solve(spec("single", problem, steps=8), tmp_path / "base")
    solve(spec({"name": "stl", "initial": str(tmp_path / "base")}, problem, steps=6), tmp_path / "tuned")
    solver = {"name": "react", "members": str(tmp_path / "tuned"), "base": str(tmp_path / "base"), "share": 0.5}
    given = {"problem": problem, "solver": solver, "evaluate": {"points": 5}}
    run = solve(given, tmp_path / "run")
    front = run.front("test")
    assert np.isfinite(front.losses).all()
    assert np.ptp(front.losses, axis=0).min() > 0
    # The encoder is one network; heads differ by a map.
    model = run.model()
    first, last = (model.at(preference).state_dict() for preference in ([1.0, 0.0], [0.0, 1.0]))
    differ = {name for name, value in first.items() if not torch.equal(value, last[name])}
    wanted = {"left.weight", "right.weight"} if normed else {"heads.to_left.0.weight", "heads.to_right.0.weight"}
    assert differ == wanted
    np.testing.assert_allclose(run.evaluate().losses, front.losses, rtol=1e-5)
    assert "mapped in front of" in "\n".join(check(given))
