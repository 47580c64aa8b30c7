"""`Monitor`: what a server counts, in Prometheus's form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

__all__ = ["Monitor"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Monitor:
    """Metrics of one server, in a registry of its own.

    Args:
        waiting: says how many requests are in the queue.
    """

    def __init__(self, waiting: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        own: Any = {"registry": self.registry, "namespace": "moframework"}
        self._requests = Counter("requests", "Requests for predictions, by status of the answer.", ["status"], **own)
        self._seconds = Histogram(
            "request_seconds", "From a request's headers to its answer; answers of status 200.", buckets=_SECONDS, **own
        )
        self._samples = Counter("samples", "Samples that went through the network.", **own)
        self._sizes = Histogram("batch_samples", "Samples that went through together.", buckets=_SIZES, **own)
        self._joint = Histogram("batch_requests", "Requests that went through together.", buckets=_SIZES, **own)
        self._passes = Histogram("batch_seconds", "Of one pass, with its answers.", buckets=_SECONDS, **own)
        self.active = Gauge("requests_active", "Requests for predictions under way.", **own)
        Gauge("requests_queued", "Requests that wait for the next pass.", **own).set_function(waiting)
        ProcessCollector(registry=self.registry)
        self._by_status: dict[int, Counter] = {}

    def answered(self, status: int, seconds: float) -> None:
        """A request was answered."""
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self._requests.labels(str(status))
        counter.inc()
        if status == 200:
            self._seconds.observe(seconds)

    def passed(self, requests: int, samples: int, seconds: float) -> None:
        """A batch went through the network."""
        self._samples.inc(samples)
        self._sizes.observe(samples)
        self._joint.observe(requests)
        self._passes.observe(seconds)

    def page(self) -> tuple[bytes, str]:
        """All of it as text, and its type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
