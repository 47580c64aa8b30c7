"""Malformed and oversized requests of many kinds, to see that a server neither falls, nor tells its inside, nor grows.

    python -m tests.serve.hostile [--count 10000]

A server of its own process takes them; its memory is read after each tenth. `test_hostile.py` sends 200.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.serve.client import request, response

__all__ = ["KINDS", "check", "hostile", "send"]

_LEAKS = re.compile(rb'Traceback|File \\?"|\.py\b|site-packages|line \d+, in ')
_GOOD: dict[str, Any] = {"inputs": [[[[0.5] * 20] * 20]], "preference": [1, 1]}


def _json(plain: Any) -> bytes:
    return request(json.dumps(plain).encode())


def _mutated(rng: random.Random) -> bytes:
    body = bytearray(json.dumps(_GOOD).encode())
    for _ in range(rng.randint(1, 8)):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return request(bytes(body))


def _odd_value(rng: random.Random) -> Any:
    return rng.choice(
        [
            None,
            True,
            -1,
            0,
            1e308,
            -1e308,
            1 << 80,
            "",
            "\u202e",
            "a" * 5000,
            [],
            {},
            [[]],
            [[[[[[]]]]]],
            {"a": {"b": []}},
        ]
    )


def _odd(rng: random.Random) -> bytes:
    plain = dict(_GOOD)
    for _ in range(rng.randint(1, 3)):
        key = rng.choice(["inputs", "preference", "point", "samples", "rows", "images", "keep", "outputs", "__proto__"])
        plain[key] = _odd_value(rng)
    return _json(plain)


def _ragged(rng: random.Random) -> bytes:
    image = [[[0.5] * rng.choice([19, 20, 21]) for _ in range(rng.choice([19, 20]))]]
    return _json({"inputs": [image], "preference": [rng.choice([1, float(10**20), -3, 0]), 1]})


KINDS: dict[str, Callable[[random.Random], bytes]] = {
    "changed bytes": _mutated,
    "odd values": _odd,
    "ragged": _ragged,
    "cut JSON": lambda rng: request(json.dumps(_GOOD).encode()[: rng.randrange(2000)]),
    "deep JSON": lambda rng: request(rng.choice([b"[", b'{"a":']) * rng.randrange(1, 20_000)),
    "no UTF-8": lambda rng: request(bytes(rng.randrange(256) for _ in range(200))),
    "too large": lambda rng: request(b" " * ((4 << 20) + rng.randrange(1, 1 << 19))),
    "said to be too large": lambda rng: b"POST /predict HTTP/1.1\r\nhost: localhost\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n{}" % (10 ** rng.randint(9, 30)),
    "too many samples": lambda rng: _json({"inputs": [0.5] * 257, "preference": [1, 1]}),
    "many texts": lambda rng: _json({"inputs": [["x" * 100_000, *range(3000)]], "preference": [1, 1]}),
    "no HTTP": lambda rng: bytes(rng.randrange(256) for _ in range(rng.randint(1, 300))) + b"\r\n\r\n",
    "wrong method": lambda rng: request(b"{}", method=rng.choice(["PUT", "DELETE", "BREW", "OPTIONS"])),
    "wrong path": lambda rng: request(b"{}", path=rng.choice(["/../etc/passwd", "/predict/", "/%ff%00", "/" * 900])),
    "wrong type": lambda rng: request(b"{}", kind=rng.choice(["text/plain", "multipart/form-data", "", "a" * 999])),
    "wrong host": lambda rng: b"GET /model HTTP/1.1\r\nhost: evil.example\r\n\r\n",
    "headers too large": lambda rng: b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 200_000 + b"\r\n\r\n",
    "headers without end": lambda rng: b"GET / HTTP/1.1\r\nhost: localhost\r\n" + b"a: b\r\n" * 30_000,
    "bad chunks": lambda rng: b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "gone": lambda rng: request(json.dumps(_GOOD).encode())[: rng.randrange(60, 1500)],
}  # fmt: skip


def hostile(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """So many requests, all kinds by turns."""
    rng = random.Random(seed)
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        yield kind, KINDS[kind](rng)


def send(port: int, kind: str, data: bytes) -> int | None:
    """The status of the answer to a request, or None where the server closed without one. An answer tells nothing of
    the server's inside, and refusals are problem details."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        received = bytearray()
        try:
            connection.sendall(data)
            if kind == "gone":
                return None
            while (found := response(received)) is None:
                piece = connection.recv(1 << 16)
                if not piece:
                    return None
                received += piece
        except (BrokenPipeError, ConnectionResetError):
            return None
    status, body = found
    assert not _LEAKS.search(received), (kind, bytes(received[:500]))
    if status != 200:
        assert b"application/problem+json" in received, (kind, bytes(received[:500]))
        assert json.loads(body)["status"] == status
    return status


def check(port: int) -> None:
    """The server still answers."""
    assert send(port, "good", _json(_GOOD)) == 200


def _memory(pid: int) -> float:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--port", type=int, default=8390)
    parser.add_argument("--serve", action="store_true")
    given = parser.parse_args()
    if given.serve:
        from moframework.serve import serve
        from tests.serve.serving import digits_service

        serve(digits_service(), port=given.port, note=lambda text: print(text, flush=True))
        return
    command = [sys.executable, "-m", "tests.serve.hostile", "--serve", "--port", str(given.port)]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        try:
            statuses = _sent(process, given.port, given.count)
        finally:
            process.terminate()
            print("the server ended with", process.wait(30))
        errors.seek(0)
        print("and said:", errors.read()[-2000:].decode(errors="replace") or "nothing")
    for kind in KINDS:
        found = sorted((str(status), number) for (one, status), number in statuses.items() if one == kind)
        print(f"  {kind}: {', '.join(f'{number} x {status}' for status, number in found)}")


def _sent(process: subprocess.Popen[bytes], port: int, count: int) -> Counter[tuple[str, int | None]]:
    assert process.stdout is not None
    process.stdout.readline()
    statuses: Counter[tuple[str, int | None]] = Counter()

    def told(number: int) -> None:
        files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        print(f"{number:6} requests: {_memory(process.pid):.1f} MiB, {files} files", flush=True)

    for _ in range(20):
        check(port)
    for number, (kind, data) in enumerate(hostile(count)):
        if number % max(count // 10, 1) == 0:
            told(number)
        statuses[kind, send(port, kind, data)] += 1
    check(port)
    told(count)
    return statuses


if __name__ == "__main__":
    main()
