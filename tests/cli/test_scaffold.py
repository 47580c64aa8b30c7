"""Files to start from: they work as they are, and overwrite nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from moframework import check
from moframework.cli.scaffold import write_problem
from moframework.errors import SpecError
from moframework.spec import load_spec


def test_what_is_written_works(tmp_path: Path) -> None:
    module, spec, test = write_problem("my_problem", tmp_path / "new")
    assert [path.name for path in (module, spec, test)] == ["my_problem.py", "my_problem.yaml", "test_my_problem.py"]
    lines = check(spec)
    assert any("sine (mse, mae), cosine (mse, mae)" in line for line in lines)
    assert any("train 512, val 512, test 512" in line for line in lines)
    assert len(load_spec(spec, ["problem.samples=9"]).problem.data("val")) == 9  # type: ignore[arg-type]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", test.name],
        cwd=tmp_path / "new",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("mine")
    with pytest.raises(SpecError, match=r"mine\.yaml exists already, and nothing is overwritten"):
        write_problem("mine", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]
    assert (tmp_path / "mine.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("my problem", "cannot be the name of a Python function.*for example 'my_problem'"),
        ("2nd", "cannot be the name"),
        ("class", "cannot be the name"),
        ("a/b", "for example 'a_b'"),
        ("../x", "for example 'x'"),
        ("data", "is used for something else"),
    ],
)
def test_names_that_cannot_be_used(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=words):
        write_problem(name, tmp_path)
    assert not list(tmp_path.iterdir())
