"""Two versions side by side: installing, keeping them apart, taking turns. Small packages stand in for moframework."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.speed.__main__ import main
from tests.speed.version_cases import VersionCase, version_cases
from tests.speed.versions import HERE, Bench, BenchError, Turns, _installed, compare, compare_memory
from tests.speed.worker import Version

_CASES = """
import sys, time
from pathlib import Path

class Case:
    def __init__(self, name, make):
        self.name, self.make = name, make

def sleeping():
    from moframework.engine.late import seconds  # not loaded before
    return lambda count: time.sleep(count * seconds())

def growing():
    import moframework
    held = []
    return lambda count: held.append(bytearray(count * moframework.MEGABYTES * 2**20))

def failing():
    import moframework
    if moframework.MEGABYTES == 20:
        raise ImportError("the old one lacks this")
    return lambda count: None

def version_cases():
    yield Case("step/sleep", sleeping)
    yield Case("step/grow", growing)
    yield Case("step/fail", failing)
"""


def package(site: Path, milliseconds: int, megabytes: int) -> Path:
    """Something that a worker takes for an installed moframework."""
    engine = site / "moframework" / "engine"
    engine.mkdir(parents=True)
    (site / "moframework" / "__init__.py").write_text(f"MEGABYTES = {megabytes}\n")
    (engine / "__init__.py").write_text("")
    (engine / "late.py").write_text(f"def seconds():\n    return {milliseconds} / 1000\n")
    shutil.copy(HERE / "moframework" / "run" / "memory.py", engine)  # a worker finds it where old versions have it too
    return site


@pytest.fixture
def on(tmp_path: Path) -> Bench:
    """A new version that sleeps three times as long as the old one, and grows by as much more."""
    harness = tmp_path / "harness"
    speed = harness / "tests" / "speed"
    speed.mkdir(parents=True)
    for file in (harness / "tests" / "__init__.py", speed / "__init__.py"):
        file.write_text("")
    shutil.copy(HERE / "tests" / "speed" / "worker.py", speed)
    (speed / "version_cases.py").write_text(_CASES)
    sites = {"new": package(tmp_path / "new", 6, 60), "old": package(tmp_path / "old", 2, 20)}
    return Bench(python=sys.executable, harness=harness, sites=sites, threads=1)  # type: ignore[arg-type]


def cases(*names: str) -> list[VersionCase]:
    return [VersionCase(name=name, make=lambda: lambda count: None, limit=1.05) for name in names]


def test_both_take_turns_and_each_runs_its_own_code(on: Bench) -> None:
    said: list[str] = []
    turns = Turns(rounds=4, seconds=0.004, clock="wall")
    lines = list(compare(cases("step/sleep", "step/fail", "step/unknown"), on, turns, said.append))
    assert [(line.case, line.contender, line.limit) for line in lines] == [("step", "sleep", 1.05)]
    assert lines[0].amount >= 0.006
    assert lines[0].ratio > 1.5, "asleep three times as long"
    assert lines[0].low <= lines[0].ratio <= lines[0].high
    assert lines[0].verdict == "MISSED"
    assert any("step/fail is left out" in words and "the old one lacks this" in words for words in said)
    assert any("step/unknown is left out" in words for words in said)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell how large a process is")
def test_peaks_are_those_of_one_side(on: Bench) -> None:
    (line,) = compare_memory(cases("step/grow"), on, lambda words: None, processes=2)
    assert line.unit == "bytes"
    assert line.amount > 3 * 60 * 2**20
    assert 1.5 < line.ratio < 4.5


def test_a_version_leaves_nothing_behind(tmp_path: Path) -> None:
    before = {
        name: module for name, module in sys.modules.items() if name.partition(".")[0] in ("moframework", "tests")
    }
    versions = [Version(package(tmp_path / str(each), each, each)) for each in (1, 2)]
    try:
        for name in before:
            del sys.modules[name]
        for _ in range(2):
            for each, version in enumerate(versions, start=1):
                with version.active():
                    import moframework

                    assert each == moframework.MEGABYTES  # type: ignore[attr-defined]
                    assert sys.modules["moframework"].__file__ == str(tmp_path / str(each) / "moframework/__init__.py")
                assert "moframework" not in sys.modules
                assert version.path not in sys.path
    finally:
        sys.modules.update(before)


def test_a_checkout_is_installed_whole_and_not_written_to(tmp_path: Path) -> None:
    def files() -> set[Path]:
        return set(_tracked(HERE))

    before = files()
    site = _installed(HERE, tmp_path)
    assert files() == before
    assert (site / "moframework" / "problems" / "digits.py").is_file()
    assert (site / "moframework" / "specs" / "quickstart.yaml").is_file()
    assert list(site.glob("moframework-*.dist-info/entry_points.txt"))
    with pytest.raises(BenchError, match="no checkout"):
        _installed(tmp_path, tmp_path / "again")


def _tracked(folder: Path) -> Iterator[Path]:
    """What lies at the top of a checkout and of its packages; bytecode comes and goes."""
    for part in (folder, folder / "moframework", folder / "problems"):
        yield from (path for path in part.iterdir() if path.name != "__pycache__")


def test_cases_have_distinct_names_and_unknown_ones_are_refused() -> None:
    names = [case.name for case in version_cases()]
    assert len(set(names)) == len(names) > 40
    result = CliRunner().invoke(main, ["--against", str(HERE), "stp"])
    assert result.exit_code == 2
    assert "step/lenet/palora" in result.output
    for option in (["--python", sys.executable], ["--memory"]):
        result = CliRunner().invoke(main, option)
        assert result.exit_code == 2
        assert "--against" in result.output


@pytest.mark.parametrize("name", ["step/mlp/palora, 2 split", "evaluate/mlp", "run/mlp, pamal", "start/import"])
def test_cases_run_with_this_version(name: str) -> None:
    (case,) = (case for case in version_cases() if case.name == name)
    case.make()(2)
