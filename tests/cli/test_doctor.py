"""What `moframework doctor` finds, in good order and in bad."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from moframework import get_problem
from moframework.cli import doctor
from moframework.cli.doctor import DATA_SETS, Examination, examine
from moframework.cli.finding import Finding
from moframework.cli.main import main
from moframework.cli.plugins import plugins
from moframework.cli.requirements import KnownBad
from moframework.config import Entry, entries
from moframework.errors import DataError

Usage = namedtuple("Usage", "total used free")
NEEDS_NO_DATA = {
    "arm", "digits", "docstrings", "scenes", "textures", "quadratics", "vlmop2", "re21",
    *(f"zdt{i}" for i in (1, 2, 3, 4, 6)), *(f"dtlz{i}" for i in (1, 2, 3, 4)),
}  # fmt: skip
ODD = """
class Odd:
    def __getattribute__(self, name):
        raise RuntimeError(name)


odd = Odd()
"""
YOURS = {"csv", "images", "black_box"}


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOFRAMEWORK_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MOFRAMEWORK_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


def found(one: Examination, section: str, what: str) -> Finding:
    (finding,) = [each for each in one.sections[section] if each.what == what]
    return finding


def test_everything_is_looked_at_in_little_time() -> None:
    began = time.monotonic()
    one = examine()
    assert time.monotonic() - began < 5
    assert str(torch.__version__) in found(one, "environment", "torch").found
    assert found(one, "packages", "torch").found.startswith(metadata.version("torch"))
    assert {each.what for each in one.sections["extras"]} == {
        "torchjd",
        "cagrad",
        "mlflow",
        "wandb",
        "botorch",
        "tune",
        "ray",
        "submitit",
        "optimizers",
        "timm",
        "transformers",
        "parquet",
        "onnx",
        "peft",
        "serve",
        "docs",
        "test",
        "dev",
    }
    assert all(" — " in each.found and not each.found.startswith(" ") for each in one.sections["extras"])
    assert {each.what for each in one.sections["disk and memory"]} >= {"this folder", "cache", "memory"}
    assert json.loads(json.dumps(one.as_json()))["problems"] == one.problems


def test_the_command_tells_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    good = Examination({"devices": [Finding("cpu", "2 cores", hint="set OMP_NUM_THREADS=2")]})
    bad = Examination({"packages": [Finding("torch", "2.8.0", problem="pip install 'torch>=2.9'")]})
    for one, code, words in [
        (good, 0, ["2 cores", "→ set OMP", "Nothing is wrong."]),
        (bad, 1, ["- torch: pip install"]),
    ]:
        monkeypatch.setattr(doctor, "examine", lambda one=one: one)
        told = CliRunner().invoke(main, ["doctor"])
        assert told.exit_code == code
        assert all(word in told.output for word in words)
        plain = CliRunner().invoke(main, ["doctor", "--json"])
        assert plain.exit_code == code
        assert json.loads(plain.output) == one.as_json()


def test_sentences_are_folded_where_nothing_says_how_wide_the_output_is(monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/" + "long/" * 30
    found = [Finding("dev", "word " * 60, hint="step " * 40), Finding("cache", path)]
    monkeypatch.setattr(doctor, "examine", lambda: Examination({"extras": found}))
    lines = CliRunner().invoke(main, ["doctor"]).output.splitlines()
    assert max(len(line) for line in lines if "word" in line or "step" in line) <= 100
    assert sum(line.count("word") for line in lines) == 60
    assert any(path in line for line in lines), "what is copied stays whole"


def test_a_part_that_fails_is_told_and_the_rest_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[Finding]:
        raise ValueError("no such thing")

    monkeypatch.setattr(doctor, "_devices", broken)
    one = examine()
    assert found(one, "devices", "devices").found == "could not be looked at (ValueError: no such thing)"
    assert any("no such thing" in problem for problem in one.problems)
    assert len(one.sections["packages"]) > 10


def test_plugins_are_imported_and_held_to_their_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good_plugin.py").write_text("def widest(losses, preference):\n    return losses.amax()\n")
    with (tmp_path / "good_plugin.py").open("a") as file:
        file.write(ODD)
    (tmp_path / "bad_plugin.py").write_text("widest = not_a_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    brought = [
        ("objectives", "good", "good_plugin:widest", "p"),
        ("objectives", "bad", "bad_plugin:widest", "p"),
        ("objectives", "gone", "good_plugin:narrowest", "p"),
        ("objectives", "odd", "good_plugin:odd", "p"),
        ("solvers", "errors", "moframework.errors:SpecError", "p"),
        ("solvers", "palora", "moframework.solvers.palora:PaLoRA", "p"),
        ("solver", "good", "good_plugin:widest", "p"),
    ]
    known = {kind: {one.name: (one,) for one in entries(kind)} for kind in ("objectives", "solvers", "losses")}
    for kind, name, target, package in brought:
        names = known.setdefault(kind, {})
        names[name] = (*names.get(name, ()), Entry(kind, name, target, package))
    monkeypatch.setattr("moframework.config.registry._all", lambda: known)
    told = {one.what: one for one in plugins()}
    assert list(told) == [
        "objectives/bad",
        "objectives/gone", "objectives/good", "objectives/odd", "solver/good", "solvers/errors", "solvers/palora",
    ]  # fmt: skip
    assert told["objectives/good"].problem is None
    assert told["objectives/good"].found == "package p, good_plugin:widest"
    for what, words in [
        ("objectives/bad", "cannot be imported: NameError: name 'not_a_name' is not defined"),
        ("objectives/gone", "package 'p' has no good_plugin:narrowest"),
        ("objectives/odd", "RuntimeError"),
        ("solvers/errors", "is not a solver: it must derive from"),
        ("solvers/palora", "claimed by moframework"),
        ("solver/good", 'did you mean [project.entry-points."moframework.solvers"]?'),
    ]:
        assert words in (told[what].problem or ""), told[what]


def test_no_plugins_are_told_as_such() -> None:
    (one,) = plugins()
    assert (one.what, one.problem) == ("plug-ins", None)


def test_versions_that_do_not_fit_are_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.8.0", "moocore": None, "torchjd": "0.20.0"}
    before = doctor.installed_version
    monkeypatch.setattr(doctor, "installed_version", lambda name: versions[name] if name in versions else before(name))
    packages = {one.what: one for one in doctor._packages()}
    assert packages["torch"].problem == "2.8.0 does not meet >=2.9: pip install 'torch>=2.9'"
    assert packages["moocore"].problem == "is missing: pip install 'moocore>=0.3.2'"
    assert packages["numpy"].problem is None
    extras = {one.what: one for one in doctor._extras()}
    assert "0.20.0 does not meet" in (extras["torchjd"].problem or "")
    versions["torchjd"] = None
    extras = {one.what: one for one in doctor._extras()}
    assert extras["torchjd"].problem is None
    assert extras["torchjd"].hint == "to have it: pip install 'moframework[torchjd]'"
    assert "not installed" in extras["torchjd"].found


def test_known_faults_are_problems_with_their_source(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = KnownBad(versions={"torch": ">=2"}, what="all is wrong", remedy="pip install 'torch<2'", source="a test")
    monkeypatch.setattr(doctor, "known_faults", lambda: [fault])
    (one,) = doctor._combinations()
    assert one.problem == "all is wrong (a test): pip install 'torch<2'"
    assert one.what.startswith("torch 2.")


@pytest.mark.parametrize(
    ("cuda", "driver", "hidden", "words", "wrong"),
    [
        (None, False, None, "built without CUDA", False),
        (None, True, None, "built without CUDA", False),
        ("13.0", False, None, "no NVIDIA driver", False),
        ("13.0", True, "", "CUDA_VISIBLE_DEVICES hides", False),
        ("13.0", True, None, "though there is a driver", True),
    ],
)
def test_why_there_is_no_cuda_device(
    cuda: str | None, driver: bool, hidden: str | None, words: str, wrong: bool,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    file = tmp_path / "version"
    if driver:
        file.write_text("NVRM version")
    one = doctor._no_cuda(torch, ["the driver is too old\nmore"], file)
    assert words in one.found
    assert (one.problem is not None) == wrong
    assert not wrong or "(the driver is too old)" in str(one.problem)
    assert (one.hint is not None) == (cuda is None and driver)


@pytest.mark.parametrize("data_set", DATA_SETS, ids=lambda one: one.problems[0])
def test_data_sets_are_those_that_the_problems_ask_for(data_set: doctor.DataSet, tmp_path: Path) -> None:
    """A problem without its data names the folder and a file that the table has."""
    root = tmp_path / "data"
    assert data_set.missing(root) == list(data_set.files)
    for name in data_set.problems:
        options = {"download": False} if data_set.how.startswith("downloaded") else {}
        with pytest.raises(DataError) as refused:
            get_problem(name, root=root, **options).data("train")
        if len(data_set.problems) > 1 and name == "fashion_and_mnist":
            continue  # it asks for the first of its two sets
        assert str(root / data_set.files[0].partition("/")[0]) in str(refused.value)
    for file in data_set.files:
        path = root / file
        path.mkdir(parents=True) if file.endswith("/") else (
            path.parent.mkdir(parents=True, exist_ok=True),
            path.touch(),
        )
    assert data_set.missing(root) == []


def test_the_table_has_every_problem_that_needs_data() -> None:
    ours = {entry.name for entry in entries("problems") if entry.package == "moframework"}
    assert {name for one in DATA_SETS for name in one.problems} == ours - NEEDS_NO_DATA - YOURS


def test_data_may_lie_in_other_places(tmp_path: Path) -> None:
    (census,) = [one for one in DATA_SETS if "census" in one.problems]
    (tmp_path / "census-income").mkdir()
    for name in ("census-income.data.gz", "census-income.test"):
        (tmp_path / "census-income" / name).touch()
    assert census.missing(tmp_path) == []


def test_a_data_root_that_is_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._data()[0].problem is None  # not named: it is made when it is needed
    monkeypatch.setenv("MOFRAMEWORK_DATA", str(tmp_path / "gone"))
    root, *sets = doctor._data()
    assert "is no folder: make it" in (root.problem or "")
    assert all(one.found.startswith("missing: ") and str(tmp_path / "gone") in (one.hint or "") for one in sets)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="may write everywhere")
def test_folders_that_cannot_be_written_are_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o500)
    monkeypatch.setenv("MOFRAMEWORK_CACHE", str(closed / "cache"))
    assert "cannot be written" in (doctor._cache()[0].problem or "")


def test_a_folder_that_refuses_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refused)
    (one,) = doctor._here()
    assert (one.problem or "").startswith(f"{tmp_path} cannot be written (Permission denied; runs go here)")


def test_little_space_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(64 * 2**20, 0, 64 * 2**20))
    assert "little space is left" in (doctor._here()[0].problem or "")
    shared = doctor._shared(Path.cwd())
    assert "workers: 0" in (shared[0].hint or "")
    assert shared[0].problem is None
    assert doctor._shared(Path("nowhere")) == []


def test_the_cache_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not there yet" in doctor._cache()[0].found
    (tmp_path / "cache" / "data").mkdir(parents=True)
    (tmp_path / "cache" / "data" / "a").write_bytes(bytes(3_000_000))
    assert "cache, 3 MB," in doctor._cache()[0].found
    monkeypatch.setattr(doctor, "_LOOKED_AT_FOR", -1.0)
    assert "more than" in doctor._cache()[0].found


def test_more_threads_than_cores_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_cores", lambda: 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert "set OMP_NUM_THREADS=1" in (doctor._devices()[0].hint or "")
