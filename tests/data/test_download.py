"""Downloads from a local server that answers, refuses, lies, and breaks off."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import random
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define, field

from moframework.data.download import download
from moframework.errors import DataError

CONTENT = random.Random(0).randbytes(200_000)
PACKED = gzip.compress(CONTENT, mtime=0)
MD5, PACKED_MD5 = (hashlib.md5(data).hexdigest() for data in (CONTENT, PACKED))


@define
class Server:
    """What it serves under /whole, /missing and these:

    - /cut/N breaks off after N bytes of each answer, and honors ranges;
    - /stubborn/N likewise, but sends everything from the beginning each time;
    - /lie sends other bytes of the same length, as ranges too.
    """

    address: str = ""
    asked: list[str] = field(factory=list)
    """Path and Range header of each request."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            made.asked.append(f"{self.path} {wanted}".strip())
            _, kind, *most = self.path.split("/")
            if kind == "missing":
                self.send_error(404)
                return
            data = {"lie": bytes(len(CONTENT)), "packed": PACKED}.get(kind, CONTENT)
            found = re.match(r"bytes=(\d+)-", wanted) if kind != "stubborn" else None
            start = int(found[1]) if found else 0
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206 if found else 200)
            if found:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            self.wfile.write(data[start : start + int(most[0])] if most else data[start:])

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        made.address = f"http://127.0.0.1:{running.server_address[1]}"
        yield made
        running.shutdown()
        thread.join()


def visible(folder: Path) -> list[str]:
    """Everything in a folder but locks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_download(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    urls = [f"{server.address}/missing", f"{server.address}/packed"]
    download(urls, target, md5=PACKED_MD5, unpack=True)
    assert target.read_bytes() == CONTENT
    assert visible(target.parent) == ["file"]
    target.write_bytes(b"mine")
    download(urls, target, md5=PACKED_MD5)
    assert target.read_bytes() == b"mine"  # what exists is left alone
    assert len(server.asked) == 2
    download(urls, tmp_path / "packed", md5=PACKED_MD5)
    assert (tmp_path / "packed").read_bytes() == PACKED


def test_a_transfer_that_breaks_off_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    download([f"{server.address}/cut/70000"], tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == ["/cut/70000", "/cut/70000 bytes=70000-", "/cut/70000 bytes=140000-"]
    assert visible(tmp_path) == ["file"]


def test_a_later_call_goes_on_too_from_any_place(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"broke off after 50000 bytes"):
        download([f"{server.address}/stubborn/50000"], tmp_path / "file", md5=MD5)
    assert visible(tmp_path) == ["file.part"]
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:50_000]
    server.asked.clear()
    download([f"{server.address}/missing", f"{server.address}/whole"], tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == ["/missing bytes=50000-", "/whole bytes=50000-"]
    assert visible(tmp_path) == ["file"]


def test_what_was_whole_already_is_only_verified(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    download([f"{server.address}/whole"], tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [f"/whole bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("found", [b"<html>sorry</html>", bytes(len(CONTENT) + 5)])
def test_a_wrong_beginning_is_found_by_the_checksum_and_fetched_anew(
    server: Server, tmp_path: Path, found: bytes
) -> None:
    (tmp_path / "file.part").write_bytes(found)
    download([f"{server.address}/whole"], tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [f"/whole bytes={len(found)}-", "/whole"]


def test_a_place_that_sends_something_else_leaves_nothing(server: Server, tmp_path: Path) -> None:
    urls = [f"{server.address}/missing", f"{server.address}/lie", "http://127.0.0.1:9/refused"]
    with pytest.raises(DataError) as error:
        download(urls, tmp_path / "file", md5=MD5, timeout=5)
    text = str(error.value)
    assert text.startswith("file cannot be downloaded: ")
    assert f"{server.address}/missing: HTTP Error 404" in text
    assert f"{server.address}/lie: checksum {hashlib.md5(bytes(len(CONTENT))).hexdigest()} instead of {MD5}" in text
    assert "http://127.0.0.1:9/refused: " in text
    assert visible(tmp_path) == []


def test_a_place_that_sends_nothing_more_is_given_up(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="broke off after 0 bytes"):
        download([f"{server.address}/cut/0"], tmp_path / "file", md5=MD5)
    assert len(server.asked) == 1
    (tmp_path / "file.part").write_bytes(CONTENT[:10])
    with pytest.raises(DataError, match="broke off after 10 bytes"):
        download([f"{server.address}/cut/0"], tmp_path / "file", md5=MD5)
    assert len(server.asked) == 4


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        download(["http://127.0.0.1:9/"], tmp_path / "file" / "below" / "x", md5=MD5)
