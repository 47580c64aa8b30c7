"""`scenes`: exact maps, determinism, splits, cache; it needs no network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from moframework.problems.scenes import Scenes, World, draw_world, render

from moframework.config import OptionError
from moframework.data import SPLITS
from moframework.problem import get_problem

SIZE = (32, 40)
SMALL = {"size": SIZE, "train": 20, "val": 6, "test": 6}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOFRAMEWORK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_facts() -> None:
    problem = get_problem("scenes")
    assert problem == Scenes()
    assert problem.outputs == {"segmentation": 5, "depth": 1, "normal": 3}
    assert get_problem("scenes", classes="shapes_and_patterns").outputs["segmentation"] == 8
    assert problem.input_shape == (3, 48, 64)
    assert problem.reference == (1.3, 1.5, 0.4)
    labels = [metric.label for task in problem.tasks for metric in task.metrics]
    assert labels == ["iou", "accuracy", "mae", "relative_error", "mean_angle", "median_angle", "within_11.25",
                      "within_22.5", "within_30"]  # fmt: skip
    with pytest.raises(OptionError, match="size must be at least 8"):
        Scenes(size=(4, 64))


def test_sizes_types_and_ranges() -> None:
    problem = Scenes(**SMALL, holes=0.1)  # type: ignore[arg-type]
    for split, count in zip(SPLITS, (20, 6, 6), strict=True):
        data = problem.data(split)
        assert data.inputs.shape == (count, 3, *SIZE)
        assert 0 <= float(data.inputs.min()) < float(data.inputs.max()) <= 1
        labels, depth, normal = (data.targets[key] for key in ("segmentation", "depth", "normal"))
        assert (labels.shape, labels.dtype) == ((count, *SIZE), torch.int64)
        assert (depth.shape, depth.dtype) == ((count, 1, *SIZE), torch.float32)
        assert (normal.shape, normal.dtype) == ((count, 3, *SIZE), torch.float32)
        assert 0.05 < float((depth == 0).float().mean()) < 0.15
        assert 0.5 < float(depth[depth > 0].min()) < float(depth.max()) < 20
    assert set(problem.data("train").targets["segmentation"].unique().tolist()) == set(range(5))
    problem.check()


def drawn(count: int = 12, seed: int = 0) -> World:
    return draw_world(count, 3, np.random.RandomState(seed))


def test_depth_leads_back_to_points_on_the_surface_told_by_the_label() -> None:
    world = drawn()
    _, labels, depths, normals = render(world, SIZE)
    camera = world.camera
    rays = camera.local_rays(*SIZE)
    local = depths.flatten(2).mT * rays
    points = local @ camera.axes + camera.positions[:, None]
    up = (normals.flatten(2).mT @ camera.axes)[..., 1]
    labels = labels.flatten(1)
    planes, _, balls, tubes = world.shapes
    assert float(points[labels == 0][:, 1].abs().max()) < 1e-4  # the floor is y = 0 …
    torch.testing.assert_close(up[labels == 0], torch.ones(int((labels == 0).sum())))  # … and faces up
    from_walls = (points @ planes.normals[:, 1:].mT - planes.offsets[:, None, 1:]).abs().amin(dim=-1)  # type: ignore[attr-defined]
    assert float(from_walls[labels == 1].max()) < 1e-4
    assert float(up[labels == 1].abs().max()) < 1e-4
    from_balls = ((points.unsqueeze(2) - balls.centers[:, None]).norm(dim=-1) - balls.radii[:, None]).abs()  # type: ignore[attr-defined]
    assert float(from_balls.amin(dim=-1)[labels == 3].max()) < 1e-4
    flat = points.unsqueeze(2) - tubes.centers[:, None]  # type: ignore[attr-defined]
    side = (flat[..., ::2].norm(dim=-1) - tubes.radii[:, None]).abs()  # type: ignore[attr-defined]
    end = (flat[..., 1].abs() - tubes.halves[:, None]).abs()  # type: ignore[attr-defined]
    assert float(torch.minimum(side, end).amin(dim=-1)[labels == 4].max()) < 1e-4
    assert {0, 1, 2, 3, 4} == set(labels.unique().tolist())


def test_normals_are_unit_and_face_the_camera() -> None:
    world = drawn()
    _, _, depths, normals = render(world, SIZE)
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(12, *SIZE))
    rays = world.camera.local_rays(*SIZE).mT.unflatten(-1, SIZE)
    assert float((rays * normals).sum(dim=1).max()) < 0
    assert bool((depths > 0).all())


def test_normals_are_the_slope_of_depth() -> None:
    """Where four neighbors lie on one plane, the cross product of their differences is the normal."""
    world = drawn()
    _, labels, depths, normals = render(world, SIZE)
    points = depths * world.camera.local_rays(*SIZE).mT.unflatten(-1, SIZE)
    right = points[:, :, :-1, 1:] - points[:, :, :-1, :-1]
    down = points[:, :, 1:, :-1] - points[:, :, :-1, :-1]
    slope = torch.nn.functional.normalize(torch.linalg.cross(down, right, dim=1), dim=1)
    corner = normals[:, :, :-1, :-1]
    flat = labels == 0
    flat = flat[:, :-1, :-1] & flat[:, 1:, :-1] & flat[:, :-1, 1:]
    assert int(flat.sum()) > 1000
    assert float((slope * corner).sum(dim=1)[flat].min()) > 0.9999


def test_the_same_seed_gives_the_same_data_and_splits_differ() -> None:
    one, other = Scenes(**SMALL), Scenes(**SMALL, seed=1)  # type: ignore[arg-type]
    first = one.data("val")
    assert torch.equal(first.inputs, Scenes(**SMALL).data("val").inputs)  # type: ignore[arg-type]
    assert not torch.equal(first.inputs, other.data("val").inputs)
    assert not torch.equal(first.targets["depth"], one.data("test").targets["depth"])
    rows = torch.cat([one.data(split).targets["normal"] for split in SPLITS]).flatten(1)
    assert len(rows.unique(dim=0)) == 32  # no scene twice
    # RandomState's stream is frozen: this camera is the same on every machine
    assert drawn(2).camera.yaws.tolist() == pytest.approx([0.20420752, 0.02022644], abs=1e-6)


def test_each_split_is_rendered_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Scenes(**SMALL).data("val")  # type: ignore[arg-type]
    assert len(list(cache.glob("scenes-*.safetensors"))) == 1
    monkeypatch.setattr("moframework.problems.scenes.render", None)
    assert torch.equal(Scenes(**SMALL).data("val").targets["normal"], kept.targets["normal"])  # type: ignore[arg-type]


def test_patterned_objects_can_be_classes_of_their_own() -> None:
    shapes = Scenes(**SMALL).data("train")  # type: ignore[arg-type]
    both = Scenes(**SMALL, classes="shapes_and_patterns").data("train")  # type: ignore[arg-type]
    assert torch.equal(shapes.inputs, both.inputs)
    one, other = shapes.targets["segmentation"], both.targets["segmentation"]
    assert torch.equal(torch.where(other > 4, other - 3, other), one)
    assert set(other.unique().tolist()) == set(range(8))


def test_an_empty_room() -> None:
    data = Scenes(size=SIZE, train=2, objects=0).data("train")
    assert set(data.targets["segmentation"].unique().tolist()) == {0, 1}
