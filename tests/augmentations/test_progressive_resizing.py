"""Images that grow in the course of training: sizes, maps worked by hand, and trainings that see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from moframework import check, solve
from moframework.augmentations import MapKind, augmented
from moframework.augmentations.progressive_resizing import ProgressiveResizing
from moframework.config import structure
from moframework.data import TensorData
from moframework.engine.loop import Loop
from moframework.errors import InterruptedRun
from moframework.problem.trying import idle_notes
from moframework.run.signals import StopRequest
from tests.augmentations.scene import MAPS, batch, generator

HALF = ProgressiveResizing(initial=0.5, multiple=1)
SCENES: dict[str, Any] = {
    "problem": {
        "name": "scenes",
        "size": [16, 24],
        "train": 10,
        "val": 2,
        "test": 2,
        "backbone": {"name": "segnet", "width": 2, "stages": 3},
        "augmentation": [{"name": "progressive_resizing", "stages": 3, "until": 0.6}, "flip"],
    },
    "solver": {"name": "palora", "rank": 1, "preferences": {"name": "annealed", "per_batch": 3, "batch": "split"}},
    "training": {"steps": 10, "batch_size": 4, "device": "cpu"},
    "evaluate": {"points": 3, "every": 0},
}


def sizes(part: ProgressiveResizing, steps: int, height: int = 48, width: int = 64) -> list[tuple[int, int]]:
    """What images come out as in each step of a training."""
    x = torch.zeros(1, 1, height, width)
    made = (augmented([part], x, {}, {}, generator(), done / steps)[0] for done in range(steps))
    return [(image.shape[-2], image.shape[-1]) for image in made]


def test_sizes_in_the_course_of_training() -> None:
    found = sizes(ProgressiveResizing(), 100)
    assert [(size, found.count(size)) for size in dict.fromkeys(found)] == [
        ((24, 32), 24),  # until 7/30 of it
        ((32, 40), 23),
        ((40, 56), 23),
        ((48, 64), 30),
    ]
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (ProgressiveResizing(stages=2), (48, 64), [(24, 32), (48, 64)]),
        (ProgressiveResizing(stages=3, multiple=1), (9, 7), [(4, 4), (7, 5), (9, 7)]),
        (ProgressiveResizing(stages=3, multiple=16), (20, 100), [(16, 48), (16, 80), (20, 100)]),
        (ProgressiveResizing(initial=0.01), (28, 28), [(8, 8), (16, 16), (28, 28)]),  # (24 - 8) / 3 rounds alike
        (ProgressiveResizing(), (6, 5), [(6, 5)]),  # never larger
        (ProgressiveResizing(until=0), (48, 64), [(48, 64)]),
        (ProgressiveResizing(initial=1), (49, 63), [(49, 63)]),
    ],
)
def test_sizes_are_rounded_and_never_above_the_whole_one(
    part: ProgressiveResizing, whole: tuple[int, int], expected: list[tuple[int, int]]
) -> None:
    assert list(dict.fromkeys(sizes(part, 50, *whole))) == expected


def test_at_is_asked_once_or_again_alike() -> None:
    part = ProgressiveResizing()
    assert part.at(0.0) == part
    assert part.at(0.3).at(0.3) != part
    assert part.at(0.69).initial == pytest.approx(5 / 6)
    assert part.at(0.7).initial == part.at(1.0).initial == 1.0
    assert part == ProgressiveResizing()


def test_maps_worked_by_hand() -> None:
    """Pixels 4 x 6 as 2 x 3: of each square the one below and right of the middle, or the mean."""
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(6.0), indexing="ij")
    depth = (10 * rows + columns).view(1, 1, 4, 6)
    depth[..., 1, :] = 0  # unknown, as is the nearest of all squares of the first row
    normals = torch.stack([0.6 + 0 * rows, 0 * rows, 0.8 + 0 * rows]).unsqueeze(0)
    normals[..., 3] = 0
    targets = {
        "class": (10 * rows + columns).long().unsqueeze(0) - 1,
        "height": columns.view(1, 1, 4, 6).clone(),
        "depth": depth,
        "normal": normals,
        "digit": torch.tensor([7]),
    }
    x, changed = HALF.apply((2 * rows).view(1, 1, 4, 6), targets, MAPS, generator())
    assert changed["class"].tolist() == [[[10, 12, 14], [30, 32, 34]]]
    assert changed["class"].dtype == torch.int64
    assert changed["depth"].tolist() == [[[[0, 0, 0], [31, 33, 35]]]]
    assert torch.equal(changed["normal"][0, 0], torch.tensor([[0.6, 0.0, 0.6]] * 2))
    assert torch.equal(changed["normal"][0, 2], torch.tensor([[0.8, 0.0, 0.8]] * 2))
    assert changed["digit"] is targets["digit"]
    # A triangle over four pixels: 1, 3, 3, 1 eighths, of those inside 3, 3, 1 sevenths at the edges.
    torch.testing.assert_close(x[0, 0, :, 1], torch.tensor([2 * (0 * 3 + 1 * 3 + 2) / 7, 2 * (1 + 2 * 3 + 3 * 3) / 7]))
    torch.testing.assert_close(
        changed["height"][0, 0, 0], torch.tensor([(3 + 2) / 7, (1 + 2 * 3 + 3 * 3 + 4) / 8, (3 + 4 * 3 + 5 * 3) / 7])
    )


def test_a_view_stays_the_same_view() -> None:
    """Coordinates that are written into an image tell where its pixels are: spread evenly over the whole of it."""
    x, targets = batch(2, 48, 64)
    small, changed = HALF.apply(x, targets, MAPS, generator())
    assert small.shape == (2, 3, 24, 32)
    inner = small[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(inner[0, 0, 0], torch.arange(1, 31) * 2 + 1.0)
    torch.testing.assert_close(inner[0, 1, :, 0], torch.arange(1, 23) * 2 + 1.0)
    torch.testing.assert_close(changed["height"], small[:, 1:2])
    torch.testing.assert_close(changed["depth"][:, :, :, 1:-1], inner[:, :1, :1].expand(-1, -1, 24, -1) + 1.5)
    torch.testing.assert_close(changed["normal"].norm(dim=1), torch.ones(2, 24, 32))
    assert torch.equal(changed["class"] // 100, (2 * torch.arange(24) + 1).view(1, -1, 1).expand(2, -1, 32))


@pytest.mark.parametrize("size", [(5, 7), (7, 11), (13, 9)])
def test_pixels_are_those_at_the_center_for_any_ratio(size: tuple[int, int]) -> None:
    x, targets = batch(1, *size)
    for initial in (0.3, 0.5, 0.77):
        part = ProgressiveResizing(initial=initial, multiple=1)
        small, changed = part.apply(x, targets, MAPS, generator())
        shape = small.shape[-2:]
        for dim, unit, count, whole in ((0, 100, shape[0], size[0]), (1, 1, shape[1], size[1])):
            centers = (torch.arange(count) + 0.5) * whole / count
            found = changed["class"][0] // unit % 100
            assert found.select(1 - dim, 0).tolist() == centers.floor().long().tolist()


def test_pure_and_without_random_numbers() -> None:
    x, targets = batch()
    kept = x.clone(), {key: value.clone() for key, value in targets.items()}
    source, outside = generator(), torch.get_rng_state()
    before = source.get_state()
    HALF.apply(x, targets, MAPS, source)
    assert torch.equal(source.get_state(), before)
    assert torch.equal(torch.get_rng_state(), outside)
    assert torch.equal(x, kept[0])
    assert all(torch.equal(targets[key], value) for key, value in kept[1].items())
    whole, same = HALF.at(1.0).apply(x, targets, MAPS, source)
    assert whole is x
    assert same["depth"] is targets["depth"]


def test_integers_stay_integers() -> None:
    x = torch.tensor([[[[0, 1], [1, 1]]]], dtype=torch.uint8)
    small, _ = HALF.apply(255 * x, {}, {}, generator())
    assert small.dtype == torch.uint8
    assert small.tolist() == [[[[191]]]]  # 3/4 of 255, rounded


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"initial": 0}, "initial: must be greater than 0 and at most 1, but it is 0"),
        ({"initial": 1.5}, "initial: must be greater than 0 and at most 1, but it is 1.5"),
        ({"until": 1}, "until: must be at least 0 and less than 1, but it is 1"),
        ({"stages": 1}, "stages: must be at least 2"),
        ({"multiple": 0}, "multiple: must be at least 1"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], words: str) -> None:
    _, faults = structure(options, ProgressiveResizing)
    assert words in str(faults[0])


def trained(spec: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[Any]:
    """Solve, and tell the size of the images of each step, and of its map of depth."""
    seen: list[Any] = []
    ready = Loop.ready

    def watched(self: Loop, x: Tensor, targets: dict[str, Tensor]) -> Any:
        made = ready(self, x, targets)
        if self.job.folder.is_relative_to(folder):  # not the rehearsal
            seen.append((made[0].shape[-2:], made[1]["depth"].shape[-2:]))
        return made

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "ready", watched)
        solve(spec, folder, **options)
    return seen


@pytest.mark.parametrize("solver", [SCENES["solver"], "cosmos", {"name": "single", "objective": "modo"}], ids=str)
def test_a_training_sees_images_grow(solver: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = {**SCENES["training"], "steps": 3, **({"accumulate": 2} if solver == "cosmos" else {})}
    spec = {**SCENES, "solver": solver, "training": training}
    seen = trained(spec, tmp_path / "run", monkeypatch)
    assert [image for image, _ in seen[:: len(seen) // 3]] == [(8, 16), (16, 16), (16, 24)]
    assert all(image == depth for image, depth in seen)


def test_resumed_with_the_same_sizes_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained(SCENES, tmp_path / "whole", monkeypatch)
    assert len(set(whole)) == 3
    steps = iter(range(100))
    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "__call__", lambda _: next(steps) == 3)
        with pytest.raises(InterruptedRun):
            solve(SCENES, tmp_path / "parts")
    rest = trained(SCENES, tmp_path / "parts", monkeypatch, resume=True)
    assert rest == whole[-len(rest) :]
    assert len(rest) == 6
    one, other = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert one == other


def test_it_is_told_where_no_image_is_smaller() -> None:
    """Sides that rounding keeps whole: the training would take the time it takes without, and nobody would know."""
    scenes = {"name": "scenes", "size": [32, 32], "train": 8, "val": 4, "test": 4}

    def told(augmentation: list[Any]) -> list[bool]:
        lines = check(
            {"problem": {**scenes, "augmentation": augmentation}, "solver": "palora", "training": {"epochs": 1}}
        )
        return ["ProgressiveResizing changes nothing" in line for line in lines if line.startswith("note")]

    part = {"name": "progressive_resizing", "initial": 0.5, "multiple": 32}
    assert any(told(["flip", part]))
    assert not any(told(["flip"]))


def test_it_is_not_told_where_images_are_smaller() -> None:
    maps: dict[str, MapKind] = {}
    data = TensorData(torch.rand(4, 3, 32, 32), {"y": torch.zeros(4)})
    assert idle_notes([ProgressiveResizing(initial=0.5, multiple=16)], data, maps) == []
    assert len(idle_notes([ProgressiveResizing(initial=0.5, multiple=32)], data, maps)) == 1
