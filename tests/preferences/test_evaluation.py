from __future__ import annotations

import hashlib

import pytest
import torch

from moframework.preferences import evaluation_set
from moframework.preferences.simplex import lattice
from tests.preferences.claims import assert_on_simplex


def test_two_tasks_have_eleven_even_points() -> None:
    torch.testing.assert_close(evaluation_set(2)[:, 0], torch.linspace(0, 1, 11), rtol=0, atol=1e-7)


def test_three_tasks_have_the_lattice_of_66() -> None:
    assert torch.equal(evaluation_set(3), lattice(3, 10).float())


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 11), (3, 66), (4, 66), (7, 66), (32, 66), (33, 67), (40, 81)])
def test_default_numbers(m: int, n: int) -> None:
    assert_on_simplex(evaluation_set(m), n, m)


@pytest.mark.parametrize("m", [4, 7, 40])
@pytest.mark.parametrize("extra", [0, 1, 9])
def test_beyond_three_tasks_vertices_and_center_are_always_there(m: int, extra: int) -> None:
    points = evaluation_set(m, m + 1 + extra)
    assert len(points) == m + 1 + extra
    assert torch.equal(points[:m], torch.eye(m))
    assert torch.equal(points[m], torch.full((m,), 1 / m))


def test_one_point_is_the_center() -> None:
    assert evaluation_set(4, 1).tolist() == [[0.25] * 4]


@pytest.mark.parametrize(("m", "points"), [(4, 0), (4, 3), (4, 4), (3, 2), (40, 40)])
def test_too_few_points_are_refused(m: int, points: int) -> None:
    with pytest.raises(ValueError, match=f"{points} .*prefer.* {m} tasks"):
        evaluation_set(m, points)


@pytest.mark.parametrize(("m", "digest"), [(4, "dbb91bb9b7ed"), (7, "9fb74751767b"), (40, "ef62f74e82d0")])
def test_the_set_never_changes(m: int, digest: str) -> None:
    """Fronts are comparable only over the same preferences, so a change of the construction must be seen."""
    text = str([[round(weight, 6) for weight in row] for row in evaluation_set(m).tolist()])
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == digest
