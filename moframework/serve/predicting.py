"""The way of one request for predictions through the server, as a bare ASGI application: most of the load is here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import orjson

from moframework.serve.asking import Asked
from moframework.serve.batching import Batcher
from moframework.serve.monitoring import Monitor
from moframework.serve.refusal import PROBLEM_TYPE, Refusal
from moframework.serve.service import Service

__all__ = ["Message", "Predicting", "Receive", "Send", "respond", "respond_refusal"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_LOG = logging.getLogger("moframework.serve")
_AGAIN = {"retry-after": "1"}
_LARGE = 1 << 17
"""Bytes of a body from which it is read in another thread, so that others are answered meanwhile."""
_DRAINED, _DRAIN_SECONDS = 1 << 26, 2.0
"""Of a body that is too large so much is read, and thrown away, for so long: a client that sends does not read."""


class Predicting:
    """Requests for predictions, `POST` with a JSON body.

    Args:
        service: answers them.
        batcher: in one thread.
        monitor: counts.
    """

    def __init__(self, service: Service, batcher: Batcher[Asked], monitor: Monitor) -> None:
        self._service, self._batcher, self._monitor = service, batcher, monitor
        self._limits = service.limits
        self._active = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; never with more of an error than its `Refusal` says."""
        started = time.perf_counter()
        try:
            if self._active >= self._limits.max_requests:
                raise Refusal(503, "too many requests are under way: try again later", headers=_AGAIN)
            self._active += 1
            try:
                body = await self._answer(scope, receive)
            finally:
                self._active -= 1
        except Refusal as error:
            status = error.status
            await respond_refusal(send, error)
        else:
            status = 200
            await respond(send, status, body, "application/json")
        self._monitor.answered(status, time.perf_counter() - started)

    @property
    def active(self) -> int:
        """Requests under way."""
        return self._active

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive) -> bytes:
        limit = self._limits.max_time
        reading = True
        try:
            async with asyncio.timeout(limit):
                body = await self._body(scope["headers"], receive)
                reading = False
                asking = self._service.asking
                quick = len(body) < _LARGE and not asking.decodes
                asked = asking.read(body) if quick else await asyncio.to_thread(asking.read, body)
                answer: bytes = await self._batcher.answer(asked, asked.samples)
                return answer
        except TimeoutError:
            if reading:
                raise Refusal(
                    408, f"the request did not arrive within {limit:g} s", headers={"connection": "close"}
                ) from None
            raise Refusal(504, f"there was no answer within {limit:g} s", headers=_AGAIN) from None
        except Refusal:
            raise
        except asyncio.CancelledError:  # only a server that stops, and has waited as long as it may, does this
            raise Refusal(503, "the server stopped before there was an answer", headers=_AGAIN) from None
        except Exception as error:
            _LOG.error("a request failed", exc_info=error)
            raise Refusal(500, "the server failed; its log says why") from None

    async def _body(self, headers: Iterable[tuple[bytes, bytes]], receive: Receive) -> bytearray:
        """The whole body. Raises `Refusal` where it is too large or not said to be JSON."""
        kind, length = _declared(headers)
        if kind != "application/json" and not kind.endswith("+json"):
            raise Refusal(415, f"the body is JSON, with the header `content-type: application/json`, not '{kind[:60]}'")
        if length > self._limits.max_body:
            await self._refuse_large(receive, 0, length)
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal(400, "the client went away")
            body += message.get("body", b"")
            if len(body) > self._limits.max_body:
                await self._refuse_large(receive, len(body), length)
            if not message.get("more_body", False):
                return body

    async def _refuse_large(self, receive: Receive, seen: int, length: int) -> None:
        """Raise `Refusal`, after what is still sent was thrown away, as far as that is little."""
        if length <= _DRAINED:
            try:
                async with asyncio.timeout(_DRAIN_SECONDS):
                    more = True
                    while more and seen <= _DRAINED:
                        message = await receive()
                        seen += len(message.get("body", b""))
                        more = message.get("more_body", False)
            except TimeoutError:
                pass
        raise Refusal(413, f"the body has more than {self._limits.max_body:,} bytes", headers={"connection": "close"})


def _declared(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, int]:
    """The type of a body, without parameters, and its length; 0 where it is not said."""
    kind, length = "", 0
    for name, value in headers:
        if name == b"content-type":
            kind = value.partition(b";")[0].strip().lower().decode("latin-1")
        elif name == b"content-length" and value.isdigit():
            length = int(value[:18])
    return kind, length


async def respond(send: Send, status: int, body: bytes, kind: str, headers: Iterable[tuple[str, str]] = ()) -> None:
    """Send an answer."""
    own = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
    own += [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": own})
    await send({"type": "http.response.body", "body": body})


async def respond_refusal(send: Send, error: Refusal) -> None:
    """Send why there is no answer, as problem details."""
    await respond(send, error.status, orjson.dumps(error.as_plain()), PROBLEM_TYPE, error.headers.items())
