from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moframework.config.options import OptionError
from moframework.preferences.annealed import Annealed
from moframework.preferences.simplex import lattice
from tests.preferences.claims import assert_on_simplex, seeded

# λ_1 of the published schedule for m = 2, M = 5, Q = 5, ε = 0.01, to four digits (zeros are below 5e-5).
PUBLISHED = {
    1e-4: (0.4994, 0.4999, 0.5, 0.5001, 0.5006),
    0.1: (0.0913, 0.3691, 0.5, 0.6309, 0.9087),
    0.2: (0.01, 0.255, 0.5, 0.745, 0.99),
    0.5: (0.0, 0.0641, 0.5, 0.9359, 1.0),
    1.0: (0.0, 0.0047, 0.5, 0.9953, 1.0),
}


@pytest.mark.parametrize("progress", PUBLISHED)
def test_two_tasks_are_as_published(progress: float) -> None:
    drawn = Annealed().draw(progress, 5, 2, seeded())
    assert drawn[:, 0].tolist() == pytest.approx(PUBLISHED[progress], abs=5.1e-5)


@pytest.mark.parametrize("m", [2, 3, 5])
def test_after_its_end_preferences_stay_as_they_are_then(m: int) -> None:
    ended, whole = Annealed(end=0.4), Annealed()
    assert torch.equal(ended.draw(0.3, 6, m, seeded()), whole.draw(0.3, 6, m, seeded()))
    for progress in (0.4, 0.7, 1.0):
        assert torch.equal(ended.draw(progress, 6, m, seeded()), whole.draw(0.4, 6, m, seeded()))


@settings(max_examples=60, deadline=None)
@given(
    progress=st.floats(1e-3, 1.0),
    count=st.integers(2, 9),
    temperature=st.floats(0.1, 20.0),
    margin=st.floats(0.001, 0.29),
)
def test_two_tasks_follow_the_equation(progress: float, count: int, temperature: float, margin: float) -> None:
    grid = np.linspace(margin, 1 - margin, count)
    base = np.stack([grid, 1 - grid], axis=1) ** (temperature * progress)
    drawn = Annealed(temperature=temperature, margin=margin).draw(progress, count, 2, seeded())
    np.testing.assert_allclose(drawn.numpy(), base / base.sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("count", "partitions"), [(3, 1), (6, 2), (10, 3), (15, 4)])
def test_three_tasks_use_the_lattice(count: int, partitions: int) -> None:
    base = 0.01 + 0.97 * lattice(3, partitions)
    drawn = Annealed().draw(0.2, count, 3, seeded())
    torch.testing.assert_close(drawn, base.float(), rtol=1e-6, atol=1e-7)
    sharp = base**5
    torch.testing.assert_close(
        Annealed().draw(1.0, count, 3, seeded()), (sharp / sharp.sum(1, keepdim=True)).float(), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize(("count", "m"), [(2, 2), (5, 2), (6, 3), (10, 3)])
def test_a_lattice_takes_nothing_from_the_generator(count: int, m: int) -> None:
    generator = seeded(5)
    before = generator.get_state()
    Annealed().draw(0.7, count, m, generator)
    assert torch.equal(generator.get_state(), before)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 12), m=st.integers(2, 12), seed=st.integers(0, 1000))
def test_it_opens_from_the_center_and_only_ever_sharpens(count: int, m: int, seed: int) -> None:
    schedule = Annealed()
    rows = [schedule.draw(t, count, m, seeded(seed)) for t in (1e-6, 0.1, 0.2, 0.6, 1.0)]
    # at worst the ratio of two weights is (1 / margin)^(Q·t)
    torch.testing.assert_close(rows[0], torch.full((count, m), 1 / m), rtol=1e-3, atol=0)
    largest = torch.stack([row.max(dim=1).values for row in rows])
    assert (largest.diff(dim=0) > -1e-6).all()


# Few and odd counts, down to one, for few and many tasks; (40, 5) are the attributes of CelebA.
DRAWN = [(2, 1), (3, 1), (3, 2), (3, 5), (4, 1), (4, 4), (4, 6), (7, 5), (40, 1), (40, 5), (40, 41)]


@pytest.mark.parametrize(("m", "count"), DRAWN)
@pytest.mark.parametrize("progress", [0.05, 0.2, 1.0])
def test_over_the_steps_every_task_is_emphasized_equally_often(m: int, count: int, progress: float) -> None:
    generator = seeded(m + count)
    steps = math.ceil(300 * m / count)
    rows = torch.cat([Annealed().draw(progress, count, m, generator) for _ in range(steps)])
    times = torch.bincount(rows.argmax(dim=1), minlength=m).double()
    # 300 expected each; a fair draw has a standard deviation of 17 at most: 4.5 of those happen once in 100,000
    assert (times - steps * count / m).abs().max() < 78
    assert (rows.double().mean(dim=0) * m - 1).abs().max() < 0.35


@pytest.mark.parametrize(("m", "count"), DRAWN)
def test_within_a_step_no_task_is_emphasized_twice_before_all_are_once(m: int, count: int) -> None:
    generator = seeded(1)
    for _ in range(20):
        times = torch.bincount(Annealed().draw(0.2, count, m, generator).argmax(dim=1), minlength=m)
        assert times.max() - times.min() <= 1


@pytest.mark.parametrize(("m", "count"), DRAWN)
def test_late_in_training_rows_come_near_the_vertex_of_every_task(m: int, count: int) -> None:
    generator = seeded(2)
    steps = math.ceil(40 * m / count)
    rows = torch.cat([Annealed().draw(1.0, count, m, generator) for _ in range(steps)])
    assert (rows.max(dim=0).values > 0.99).all()
    assert (rows.max(dim=1).values > 0.7).double().mean() > 0.7


@pytest.mark.parametrize(("m", "count"), DRAWN)
def test_the_base_of_a_draw_keeps_the_margin(m: int, count: int) -> None:
    schedule = Annealed(margin=0.02)
    rows = schedule.draw(1 / schedule.temperature, count, m, seeded(3))
    assert rows.min() >= 0.02 * min(1, 3 / m) * (1 - 1e-5)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 45), m=st.integers(1, 45), seed=st.integers(0, 10**6), margin=st.sampled_from([0.0, 0.01]))
def test_the_end_is_safe_without_margin(count: int, m: int, seed: int, margin: float) -> None:
    for temperature in (5.0, 1e4):
        for progress in (1e-300, 0.999999, 1.0):
            drawn = Annealed(temperature=temperature, margin=margin).draw(progress, count, m, seeded(seed))
            assert_on_simplex(drawn, count, m)


def test_without_margin_the_border_of_a_grid_stays_border() -> None:
    drawn = Annealed(margin=0.0).draw(1e-6, 3, 2, seeded())
    assert drawn.tolist() == [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"margin": 0.3}, "margin must be"),
        ({"margin": -0.1}, "margin must be"),
        ({"temperature": 0.0}, "temperature must be"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        Annealed(**options)  # type: ignore[arg-type]
