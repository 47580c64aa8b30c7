"""`Limits`: what a server takes on."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from moframework.config import build, config, option
from moframework.errors import RequestError

__all__ = ["Limits", "read_limits"]


@config
class Limits:
    """What a server takes on; each of them has its status where it is exceeded.

    >>> Limits().max_batch
    64
    """

    max_batch: int = option(64, ge=1, le=100_000, help="samples that go through the network at once")
    max_wait: float = option(
        0.005, ge=0, le=10, help="seconds that a request waits for others to join it, while several come at once"
    )
    max_samples: int = option(256, ge=1, le=1_000_000, help="samples of one request; more: 422")
    max_length: int = option(
        4096, ge=1, le=10_000_000, help="size of a dimension that may vary, such as a text's length; more: 422"
    )
    max_body: int = option(4 << 20, ge=1000, le=1 << 34, help="bytes of one request's body; more: 413")
    max_requests: int = option(256, ge=1, le=100_000, help="requests under way; more: 503, to be tried again")
    max_time: float = option(30.0, gt=0, le=86400, help="seconds until a request is answered; more: 504")
    max_connections: int = option(1000, ge=1, le=1_000_000, help="connections; more: 503")
    drain: float = option(10.0, ge=0, le=3600, help="seconds that requests under way have when the server is stopped")


def read_limits(given: Sequence[str]) -> Limits:
    """Limits from texts such as `max_batch=1`. Raises `RequestError`, or `SpecError` of the value, where one is none.

    >>> read_limits(["max_batch=8", "max_time=2.5"]).max_batch
    8
    """
    plain = {}
    for text in given:
        key, sign, value = text.partition("=")
        if not sign:
            raise RequestError(f"--limit '{text}' is not of the form KEY=VALUE, as in max_batch=32")
        try:
            plain[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise RequestError(f"--limit '{text}': '{value}' is no number") from None
    return build(Limits, plain)
