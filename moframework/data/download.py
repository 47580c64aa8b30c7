"""Files fetched over HTTP: resumed where a transfer broke off, verified, and never left half written under their
name."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from moframework.errors import DataError
from moframework.io.atomic import atomic_write, file_lock

__all__ = ["download"]

_CHUNK = 1 << 20
# Times in a row that a place may break off without having sent anything more before it is given up.
_PATIENCE = 3


def download(urls: Sequence[str], target: Path, *, md5: str, unpack: bool = False, timeout: float = 30.0) -> None:
    """Fetch one file from the first of `urls` that gives it, whole and with the right checksum, or not at all.

    Does nothing when `target` exists. Several processes may ask for one file at once: one fetches, the others wait.

    What has arrived is kept beside `target`, as `<name>.part`. A transfer that breaks off goes on from there, at once
    or when the file is next asked for, where the server can (HTTP Range). The checksum is taken over the whole file in
    the end, whoever sent which part; with a wrong one the part is removed.

    Args:
        urls: the same file at several places, tried in order.
        target: where it goes; its folder is made.
        md5: checksum of what is transferred.
        unpack: it is transferred gzip-compressed and kept unpacked.
        timeout: seconds without any answer after which a place is given up.

    Raises:
        DataError: no place gave the file; the text tells what each of them answered.
    """
    part = target.with_name(target.name + ".part")
    with file_lock(target):
        if target.exists():
            return
        reasons = []
        for url in urls:
            try:
                _fetch_verified(url, part, md5, timeout)
                _place(part, target, unpack)
                return
            # OSError: no such host, refused, timed out, not found, a full disk; EOFError: packed data that ends early
            except (OSError, EOFError, http.client.HTTPException, _TransferError) as error:
                reasons.append(f"{url}: {error}")
        raise DataError(f"{target.name} cannot be downloaded: " + "; ".join(reasons))


class _TransferError(Exception):
    """What was transferred is not the file that was asked for, or not all of it."""


def _fetch_verified(url: str, part: Path, md5: str, timeout: float) -> None:
    """Bring `part` to the whole file of that checksum; else raise, and remove it if it is whole but wrong."""
    begun = _size(part)
    _fetch(url, part, timeout)
    found = _md5(part)
    if found != md5 and begun:
        # What was there before may be from another file, such as a mirror's page of regrets.
        part.unlink()
        _fetch(url, part, timeout)
        found = _md5(part)
    if found != md5:
        part.unlink()
        raise _TransferError(f"checksum {found} instead of {md5}")


def _fetch(url: str, part: Path, timeout: float) -> None:
    """Append to `part` what it lacks, trying again for as long as the place sends anything."""
    fruitless = 0
    while True:
        before = _size(part)
        try:
            if _receive(url, part, timeout):
                return
            reason: Exception = _TransferError(f"the transfer broke off after {_size(part)} bytes")
        except urllib.error.HTTPError:
            raise  # an answer, if not the one wanted: asking again would not change it
        except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
            reason = error
        fruitless = fruitless + 1 if _size(part) <= before else 0
        if fruitless == _PATIENCE or (before == 0 and _size(part) == 0):
            raise reason


def _receive(url: str, part: Path, timeout: float) -> bool:
    """One request for what `part` lacks. Returns whether all of it came."""
    start = _size(part)
    headers = {"User-Agent": "moframework"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            error.close()
            return True  # nothing lies beyond: the file is whole, or not this one, which its checksum tells
        raise
    with answer:
        goes_on = answer.status == http.HTTPStatus.PARTIAL_CONTENT and _starts_at(answer, start)
        if start and not goes_on:
            start = 0  # the server sends everything from the beginning
        stated = answer.headers.get("Content-Length")
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(start)
            file.seek(start)
            while block := answer.read1(_CHUNK):
                file.write(block)
            received = file.tell() - start
    return stated is None or not stated.isdecimal() or received >= int(stated)


def _starts_at(answer: http.client.HTTPResponse, start: int) -> bool:
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return found is not None and int(found[1]) == start


def _place(part: Path, target: Path, unpack: bool) -> None:
    with atomic_write(target) as unfinished:
        if unpack:
            with gzip.open(part) as source, unfinished.open("wb") as file:
                shutil.copyfileobj(source, file, _CHUNK)
        else:
            part.replace(unfinished)
    part.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
