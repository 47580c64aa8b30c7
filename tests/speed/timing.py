"""Contenders that take turns, and what comes of it."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from attrs import frozen

__all__ = ["Clock", "Figure", "alternate"]

Clock = Literal["wall", "processor"]
"""wall: seconds that pass. processor: seconds of this process on any core, which a busy machine does not add to; on an
accelerator only wall seconds mean anything."""


@frozen
class Figure:
    """How long one contender took, in itself and against the first contender of its case."""

    seconds: float
    """Median over rounds of the seconds of one call."""
    ratio: float
    """Median over rounds of its seconds over those of the first contender in the same round."""
    low: float
    """Lower quartile of that ratio."""
    high: float
    """Upper quartile."""
    rounds: int


def alternate(
    contenders: Mapping[str, Callable[[], object]], *, rounds: int, least_seconds: float, clock: Clock
) -> dict[str, Figure]:
    """Let contenders take turns.

    Args:
        contenders: what to call, by name; the first is what the others are held against. Each is called before anything
            is measured.
        rounds: turns of each, at least 2.
        least_seconds: a turn is as many calls as take the fastest contender this long.
        clock: what is read.

    Returns:
        a figure for each contender.
    """
    now = time.process_time if clock == "processor" else time.perf_counter

    def turn(call: Callable[[], object], count: int) -> float:
        begin = now()
        for _ in range(count):
            call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return (now() - begin) / count

    for call in contenders.values():
        # On an accelerator kernels are chosen, and steps recorded, at the first calls.
        for _ in range(6 if torch.cuda.is_available() else 1):
            call()
    counts = {name: max(1, round(least_seconds / max(turn(call, 1), 1e-7))) for name, call in contenders.items()}
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    gc.collect()
    gc.disable()
    try:
        for index in range(rounds):
            # Forwards and backwards in turn: what gets slower within a round must not always be the last one's burden.
            for name in order if index % 2 == 0 else reversed(order):
                taken[name].append(turn(contenders[name], counts[name]))
    finally:
        gc.enable()
    first = taken[order[0]]
    figures = {}
    for name, seconds in taken.items():
        ratios = [one / other for one, other in zip(seconds, first, strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
        figures[name] = Figure(statistics.median(seconds), statistics.median(ratios), low, high, rounds)
    return figures
