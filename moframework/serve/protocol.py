"""`BoundedProtocol`: HTTP connections whose headers are bounded in size and time."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from moframework.serve.refusal import PROBLEM_TYPE, Refusal

__all__ = ["BoundedProtocol", "bounded"]

_HEAD_BYTES = 1 << 15
_HEAD_SECONDS = 10.0


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol on httptools, which takes headers of any size for as long as a client likes, and any number of
    connections. Here a request whose headers have more than 32 KiB or take more than 10 s is refused, and so is a
    connection beyond `most`. What is no HTTP gets problem details too.
    """

    most: int = 1000
    _head: int = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A connection begins: it is one too many, or has so long for its first request."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse(Refusal(503, "there are too many connections: try again later"), "retry-after: 1\r\n")
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection is over."""
        self._head_over()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come; as long as headers are not whole they count."""
        super().data_received(data)
        if self._timer is not None and not self.transport.is_closing():  # still in the headers
            self._head += len(data)
            if self._head > _HEAD_BYTES:
                self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Headers are whole; those that came in one piece are measured here."""
        self._head_over()
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > _HEAD_BYTES:
            self._refuse(_TOO_LARGE)
            return
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        if not self.transport.is_closing():
            self._refuse(Refusal(400, "this is no HTTP request"))

    def _await_head(self) -> None:
        self._head_over()
        self._timer = self.loop.call_later(_HEAD_SECONDS, self._late)

    def _head_over(self) -> None:
        self._head = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        self._refuse(Refusal(408, f"there was no request within {_HEAD_SECONDS:g} s"))

    def _refuse(self, error: Refusal, headers: str = "") -> None:
        self._head_over()
        plain = error.as_plain()
        body = orjson.dumps(plain)
        head = f"HTTP/1.1 {error.status} {plain['title']}\r\ncontent-type: {PROBLEM_TYPE}\r\n{headers}"
        self.transport.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        self.transport.close()


_TOO_LARGE = Refusal(431, f"the headers have more than {_HEAD_BYTES:,} bytes")


def bounded(most: int) -> type[BoundedProtocol]:
    """The protocol with so many connections at most."""
    return type("BoundedProtocol", (BoundedProtocol,), {"most": most})
