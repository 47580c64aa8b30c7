"""Random numbers: a seed for each step, epoch and purpose, derived from the one that a spec states.

Randomness of a step is a function of (seed, step) alone, and the order of samples of (seed, epoch): a training that
was killed and resumed takes the same steps as one that was not.
"""

from __future__ import annotations

import torch

__all__ = ["derive_seed", "seed_generators"]


def derive_seed(seed: int, purpose: int, index: int) -> int:
    """A 63-bit seed for the random numbers of one step or epoch (splitmix64 over the three numbers).

    >>> derive_seed(0, 1, 2) == derive_seed(0, 1, 2), derive_seed(0, 1, 2) == derive_seed(0, 2, 1)
    (True, False)
    """
    value = 0
    for part in (seed, purpose, index):
        value = (value + part + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        value ^= value >> 31
    return value >> 1


def seed_generators(value: int) -> None:
    """Seed what torch draws from, on the host and on devices in use.

    As `torch.manual_seed`, but for CUDA that is built in and not in use: there that function keeps each call, with the
    stack it came from, for the day when it is (a third of a millisecond and a few kilobytes a step).
    """
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(value)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(value)
