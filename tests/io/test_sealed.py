from __future__ import annotations

import hashlib
import json
import random
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from moframework.errors import DamagedFileError, NewerFormatError
from moframework.io import sealed
from moframework.io.sealed import (
    checksum,
    read_json,
    read_sealed_yaml,
    seal_json,
    verify_zip,
    write_json,
    write_sealed_yaml,
)
from moframework.io.tensors import load_plain, save_plain

CONTENT: dict[str, Any] = {"format": 2, "name": "λ", "values": [1.5, None, {"a": []}], "last": {}}
TEXT = "seed: 0\nname: λ  # of the first run\n"
STATE = {"format": 2, "w": torch.arange(300.0).reshape(3, 100), "text": "λ", "parts": [{"x": torch.zeros(0)}]}


def read_zip(path: Path) -> Any:
    if not verify_zip(path, advice="Ask."):
        raise DamagedFileError(f"{path} has no checksum. Ask.")
    return load_plain(path)


KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any]]] = {
    "json": (lambda path: write_json(path, CONTENT), lambda path: read_json(path, advice="Ask.")),
    "yaml": (lambda path: write_sealed_yaml(path, TEXT), lambda path: read_sealed_yaml(path, advice="Ask.")),
    "zip": (lambda path: save_plain(path, STATE), read_zip),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(kind: str, tmp_path: Path) -> Path:
    path = tmp_path / f"file.{kind}"
    KINDS[kind][0](path)
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", CONTENT)
    assert read_json(tmp_path / "a.json", advice="") == CONTENT
    write_sealed_yaml(tmp_path / "a.yaml", TEXT)
    assert read_sealed_yaml(tmp_path / "a.yaml", advice="") == TEXT
    save_plain(tmp_path / "a.pt", STATE)
    found = read_zip(tmp_path / "a.pt")
    assert torch.equal(found["w"], STATE["w"])
    assert found["text"] == "λ"


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"format": 3})
    with pytest.raises(NewerFormatError) as caught:
        read_json(path, advice="Resume.")
    assert str(caught.value) == f"{path} has format 3; this version reads up to 2. Update moframework."
    assert read_json(path, advice="", newest=3) == {"format": 3}
    write_json(path, {"format": 2})
    with pytest.raises(NewerFormatError, match="reads up to 1"):
        read_json(path, advice="", newest=1)
    path.write_text('{"train": 1}\n')
    assert read_json(path, advice="", newest=1) == {"train": 1}, "the first format had no number"


@pytest.mark.parametrize("number", [0, -1, "2", 2.5, True, None, [2]])
def test_what_is_no_format_is_refused(tmp_path: Path, number: object) -> None:
    write_json(tmp_path / "a.json", {"format": number})
    with pytest.raises(DamagedFileError, match=r"a\.json has the format .+, which is none of ours\. Ask\.$"):
        read_json(tmp_path / "a.json", advice="Ask.")


def test_other_readers_read_it_too(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", CONTENT)
    assert {k: v for k, v in json.loads((tmp_path / "a.json").read_text()).items() if k != "sha256"} == CONTENT
    write_sealed_yaml(tmp_path / "a.yaml", TEXT)
    assert yaml.safe_load((tmp_path / "a.yaml").read_text()) == {"seed": 0, "name": "λ"}
    save_plain(tmp_path / "a.pt", STATE)
    assert torch.equal(torch.load(tmp_path / "a.pt", weights_only=True)["w"], STATE["w"])
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        assert archive.comment.startswith(b"sha256: ")
    assert torch.serialization.get_crc32_options(), "the option of torch is as it was"


def test_the_checksum_is_sha256_of_what_stands_before_it(tmp_path: Path) -> None:
    save_plain(tmp_path / "a.pt", STATE)
    data = (tmp_path / "a.pt").read_bytes()
    assert data[-64:].decode() == hashlib.sha256(data[:-72]).hexdigest()
    assert checksum(tmp_path / "a.pt") == hashlib.sha256(data).hexdigest()
    told = subprocess.run(["sha256sum", tmp_path / "a.pt"], capture_output=True, text=True, check=True).stdout
    assert told.split()[0] == checksum(tmp_path / "a.pt")


def test_large_files_are_flushed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_plain(tmp_path / "a.pt", STATE)
    monkeypatch.setattr(sealed, "_LARGE", 1)
    monkeypatch.setattr(sealed, "_CHUNK", 100)
    save_plain(tmp_path / "b.pt", STATE)
    assert (tmp_path / "a.pt").stat().st_size == (tmp_path / "b.pt").stat().st_size
    assert torch.equal(read_zip(tmp_path / "b.pt")["w"], STATE["w"])


def test_every_flipped_bit_is_noticed(kind: str, path: Path) -> None:
    data, draw = path.read_bytes(), random.Random(0)
    ends = range(8 * (len(data) - 100), 8 * len(data))  # all of the checksum and around it
    for bit in [*(draw.randrange(8 * len(data)) for _ in range(300)), *ends]:
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match=r"Ask\.$") as caught:
            KINDS[kind][1](path)
        assert str(path) in str(caught.value), bit


@pytest.mark.parametrize("damage", ["cut", "zeros", "empty", "foreign", "missing", "longer"])
def test_other_damage_is_noticed(kind: str, path: Path, damage: str) -> None:
    data = path.read_bytes()
    for part in range(1, 20):
        at = len(data) * part // 20
        new = {
            "cut": data[:at], "zeros": data[: at - 8] + bytes(8) + data[at:], "empty": b"",
            "foreign": bytes(range(256)), "missing": b"", "longer": data + b"\n",
        }[damage]  # fmt: skip
        if new == data:  # there were zeros
            continue
        path.write_bytes(new)
        if damage == "missing":
            path.unlink()
        with pytest.raises((DamagedFileError, ValueError)) as caught:
            KINDS[kind][1](path)
        assert str(path) in str(caught.value), at


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"status": "done"}')
    assert read_json(tmp_path / "a.json", advice="") == {"status": "done"}
    (tmp_path / "a.yaml").write_text(TEXT)
    assert read_sealed_yaml(tmp_path / "a.yaml", advice="") == TEXT
    torch.save(STATE, tmp_path / "a.pt")
    assert not verify_zip(tmp_path / "a.pt", advice="")


@pytest.mark.parametrize("text", ["[1]", "3", "{", "nul", '{"format": 2}', '{"format": "2"}'])
def test_json_that_is_none_of_ours(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DamagedFileError, match=r"a\.json .*Ask\."):
        read_json(tmp_path / "a.json", advice="Ask.")


def test_a_sealed_text_keeps_its_lines() -> None:
    text = seal_json('{\n  "a": [1, 2]\n}\n')
    assert text.splitlines()[:2] == ["{", '  "a": [1, 2],']
    assert json.loads(text)["a"] == [1, 2]
