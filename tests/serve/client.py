"""A client that costs little: several connections in one thread, each with one request under way at a time."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable

from attrs import define, field, frozen

__all__ = ["Load", "request", "response"]


def request(body: bytes, path: str = "/predict", method: str = "POST", kind: str = "application/json") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def response(data: bytes | bytearray) -> tuple[int, bytes] | None:
    """Status and body of an answer; None where it is not whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(data[:end]).lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    if len(data) < end + 4 + length:
        return None
    return int(head[9:12]), bytes(data[end + 4 :])


@define
class _Connection:
    socket: socket.socket
    number: int
    began: float = 0.0
    left: bytes = b""
    data: bytearray = field(factory=bytearray)


@frozen
class Load:
    """What came of it.

    Attributes:
        seconds: of each request.
        statuses: of each answer.
        total: seconds of all.
    """

    seconds: list[float]
    statuses: list[int]
    total: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.total

    def quantile(self, share: float) -> float:
        """Seconds within which this share of the requests was answered."""
        return sorted(self.seconds)[min(int(len(self.seconds) * share), len(self.seconds) - 1)]

    @classmethod
    def of(cls, port: int, connections: int, seconds: float, make: Callable[[int], bytes]) -> Load:
        """As many requests as go through in some seconds; `make` gives the number-th one."""
        selector = selectors.DefaultSelector()
        sent, times, statuses = 0, list[float](), list[int]()
        active = []
        for number in range(connections):
            one = _Connection(socket.create_connection(("127.0.0.1", port)), number)
            one.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(one.socket, selectors.EVENT_READ, one)
            active.append(one)
        start = time.perf_counter()
        for one in active:
            one.began = time.perf_counter()
            one.socket.sendall(make(sent))
            sent += 1
        waiting = connections
        while waiting:
            for key, _ in selector.select(10):
                one = key.data
                piece = one.socket.recv(1 << 18)
                if not piece:
                    raise ConnectionError("the server closed a connection")
                one.data += piece
                found = response(one.data)
                if found is None:
                    continue
                now = time.perf_counter()
                times.append(now - one.began)
                statuses.append(found[0])
                one.data.clear()
                if now - start < seconds:
                    one.began = now
                    one.socket.sendall(make(sent))
                    sent += 1
                else:
                    waiting -= 1
        total = time.perf_counter() - start
        for one in active:
            one.socket.close()
        selector.close()
        return cls(times, statuses, total)
