"""Requirements are read as pip reads them, and known faults apply to the versions that they name."""

from __future__ import annotations

from importlib import metadata

import pytest
from packaging.requirements import Requirement as Reference

from moframework.cli import requirements
from moframework.cli.requirements import EXTRAS, KNOWN_BAD, KnownBad, installed_version, known_faults, meets, required


@pytest.mark.parametrize(
    ("version", "bounds", "fits"),
    [
        ("2.14.1+cu130", ">=2.9", True),  # by number, not by letter
        ("2.9", ">=2.9", True),
        ("2.9.0rc1", ">=2.9", False),
        ("2.8.1", ">=2.9", False),
        ("0.18.0", "<0.19,>=0.18", True),
        ("0.19", "<0.19,>=0.18", False),
        ("2.0.0", "==2.0", True),
        ("2", "!=2", False),
        ("1.26.4", "", True),
        ("of today", ">=2", None),
        ("2.9", "about 2", None),
    ],
)
def test_versions_and_bounds(version: str, bounds: str, fits: bool | None) -> None:
    assert meets(version, bounds) is fits


def test_every_requirement_of_this_package_is_read() -> None:
    lines = [Reference(line) for line in metadata.requires("moframework") or ()]
    plain = {line.name for line in lines if line.marker is None}
    assert {one.name for one in required("moframework")} == plain
    assert set(EXTRAS) == set(metadata.metadata("moframework").get_all("Provides-Extra") or ())
    for extra in EXTRAS:
        names = {line.name for line in lines if line.marker is not None and f'extra == "{extra}"' in str(line.marker)}
        assert names - {"moframework"} <= {one.name for one in required("moframework", extra)}


def test_extras_of_what_is_required_count(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        "moframework": [
            'torchjd[cagrad]<0.19,>=0.18; extra == "cagrad"',
            'winonly; sys_platform == "win32"',
            "torch>=2.9",
        ],
        "torchjd": ["torch>=2.3", 'cvxpy>=1.3; extra == "cagrad"'],
    }
    monkeypatch.setattr(requirements.metadata, "requires", known.get)
    monkeypatch.setattr(requirements, "installed_version", lambda name: "0.18.0" if name == "torchjd" else None)
    assert [str(one) for one in required("moframework", "cagrad")] == ["torchjd[cagrad]<0.19,>=0.18", "cvxpy>=1.3"]
    assert [str(one) for one in required("moframework")] == ["torch>=2.9"]


@pytest.mark.parametrize(
    ("versions", "word"),
    [
        ({"torch": "2.8.0", "torchvision": "0.23.0"}, "wrong gradients"),
        ({"torch": "2.6.0"}, "training.compile"),
        ({"moocore": "0.3.1"}, "IGD"),
        ({"numpy": "2.1.0", "pymoo": "0.6.1.1"}, "numpy 2"),
        ({"torchjd": "0.19.0"}, "names"),
        ({"torch": "2.10.0+cpu", "torchvision": "0.24.1"}, "another torch than 2.10"),
        ({"torch": "2.10.0", "torchvision": "0.26.0"}, "another torch than 2.10"),
    ],
)
def test_known_faults_apply_to_their_versions(versions: dict[str, str], word: str) -> None:
    (found,) = known_faults(versions.get)
    assert word in found.what
    assert found.remedy.startswith("pip install ")
    assert found.source


def test_good_versions_have_no_known_fault() -> None:
    good = {"torch": "2.9.1", "torchvision": "0.24.1", "moocore": "0.3.2", "numpy": "2.1", "pymoo": "0.6.1.5"}
    assert not list(known_faults(good.get))
    assert not list(known_faults({}.get))
    assert len(KNOWN_BAD) > 5


def test_a_fault_needs_all_of_its_versions() -> None:
    one = KnownBad(versions={"a": "<2", "b": ">=1"}, what="x", remedy="y", source="z")
    assert one.applies({"a": "1", "b": "1"}.get)
    assert not one.applies({"a": "1"}.get)
    assert not one.applies({"a": "2", "b": "1"}.get)
    assert installed_version("no-such-package-here") is None
