"""Requests go through together where they come together, and none waits for nobody."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from moframework.serve.batching import Batcher


async def with_batcher(batcher: Batcher[Any], body: Any) -> Any:
    batcher.start(asyncio.get_running_loop())
    try:
        return await body
    finally:
        assert await asyncio.to_thread(batcher.stop, 5)


def test_what_waits_goes_together_up_to_the_largest_batch() -> None:
    batches: list[list[int]] = []

    def compute(asked: list[int]) -> list[int]:
        batches.append(asked)
        time.sleep(0.05)
        return [10 * each for each in asked]

    batcher = Batcher(compute, max_batch=4, max_wait=0.0)

    async def body() -> list[int]:
        return await asyncio.gather(*(batcher.answer(i, 1) for i in range(9)))

    assert asyncio.run(with_batcher(batcher, body())) == [10 * i for i in range(9)]
    assert [each for batch in batches for each in batch] == list(range(9)), "in their order"
    assert max(map(len, batches)) == 4
    assert len(batches) <= 4


def test_a_request_with_many_samples_goes_alone_and_nobody_is_lost() -> None:
    batches: list[list[int]] = []
    batcher: Batcher[int] = Batcher(lambda asked: batches.append(asked) or asked, 4, 0.0)  # type: ignore[func-returns-value]

    async def body() -> list[int]:
        return await asyncio.gather(*(batcher.answer(count, count) for count in (1, 9, 2, 2, 1)))

    assert asyncio.run(with_batcher(batcher, body())) == [1, 9, 2, 2, 1]
    assert all(sum(batch) <= 4 or len(batch) == 1 for batch in batches)


def test_only_company_is_waited_for() -> None:
    sizes: list[int] = []
    batcher: Batcher[int] = Batcher(
        lambda asked: asked, 8, 0.5, lambda requests, samples, seconds: sizes.append(requests)
    )

    async def body() -> tuple[float, float]:
        started = time.perf_counter()
        await batcher.answer(0, 1)
        await batcher.answer(0, 1)
        alone = time.perf_counter() - started
        await asyncio.gather(*(batcher.answer(0, 1) for _ in range(3)))
        started = time.perf_counter()
        late = asyncio.create_task(batcher.answer(0, 1))
        await asyncio.sleep(0.02)
        await asyncio.gather(late, *(batcher.answer(0, 1) for _ in range(sizes[-1] - 1)))
        return alone, time.perf_counter() - started

    alone, _ = asyncio.run(with_batcher(batcher, body()))
    assert alone < 0.5, "one after the other: none waits"
    assert sizes[:2] == [1, 1]
    assert sizes[-1] == sizes[-2] or sizes[-1] > 1, "it waited for those that came together before"


def test_an_error_is_that_of_its_request_and_the_thread_goes_on() -> None:
    def compute(asked: list[int]) -> list[Any]:
        if asked == [3]:
            raise RuntimeError("all of it")
        return [ValueError("one") if each == 2 else each for each in asked]

    batcher = Batcher(compute, 1, 0.0)

    async def body() -> list[Any]:
        return await asyncio.gather(*(batcher.answer(i, 1) for i in (1, 2, 3, 4)), return_exceptions=True)

    first, second, third, last = asyncio.run(with_batcher(batcher, body()))
    assert (first, last) == (1, 4)
    assert isinstance(second, ValueError)
    assert isinstance(third, RuntimeError)


def test_what_nobody_waits_for_is_not_computed() -> None:
    seen: list[int] = []

    def compute(asked: list[int]) -> list[int]:
        seen.extend(asked)
        time.sleep(0.1)
        return asked

    batcher = Batcher(compute, 1, 0.0)

    async def body() -> None:
        first = asyncio.create_task(batcher.answer(1, 1))
        await asyncio.sleep(0.02)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await batcher.answer(2, 1)
        assert await batcher.answer(3, 1) == 3
        assert await first == 1

    asyncio.run(with_batcher(batcher, body()))
    assert seen == [1, 3]
