"""What every schedule and every set of preferences claims, each written once."""

from __future__ import annotations

import torch
from torch import Tensor

from moframework.preferences import Schedule


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_on_simplex(rows: Tensor, count: int, m: int) -> None:
    assert rows.shape == (count, m)
    assert rows.dtype == torch.float32
    assert rows.device.type == "cpu"
    assert torch.isfinite(rows).all()
    assert (rows >= 0).all()
    assert torch.allclose(rows.double().sum(dim=1), torch.ones(count, dtype=torch.float64), rtol=0, atol=1e-5)


def assert_pure(schedule: Schedule, progress: float, count: int, m: int) -> None:
    """Same generator state, same rows; nothing global is read or moved; the schedule is unchanged."""
    before = (repr(schedule), torch.get_rng_state())
    first = schedule.draw(progress, count, m, seeded(3))
    torch.rand(5)
    second = schedule.draw(progress, count, m, seeded(3))
    assert torch.equal(first, second)
    assert repr(schedule) == before[0]
    torch.set_rng_state(before[1])
    schedule.draw(progress, count, m, seeded(4))
    assert torch.equal(torch.get_rng_state(), before[1])
