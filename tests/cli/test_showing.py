"""`report` and `plot` from the command line: files, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from moframework.cli.main import main
from tests.report.runs import shown_runs

__all__ = ["shown_runs"]

Runs = Mapping[str, Path]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_files_are_written(shown_runs: Runs, tmp_path: Path) -> None:
    runs = (shown_runs["palora"], shown_runs["single"])
    done = call("report", *runs, "--out", tmp_path / "r.html", "--title", "Mine")
    assert (done.exit_code, done.stdout.strip()) == (0, str(tmp_path / "r.html"))
    assert "<h1>Mine</h1>" in (tmp_path / "r.html").read_text(encoding="utf-8")
    done = call("plot", *runs, "--to", tmp_path / "f.png", "--columns", "left/loss,right/accuracy", "--size", "3.3,2.6",
                "--no-title", "--split", "val")  # fmt: skip
    assert (done.exit_code, done.stdout.strip()) == (0, str(tmp_path / "f.png"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report"], "Missing argument 'RUN…'"),
        (["report", "RUN", "--out", "nowhere/r.html"], "the folder of nowhere/r.html does not exist"),
        (["report", "nix"], "nix is not a run folder"),
        (["plot", "RUN"], "Missing option '--to'"),
        (["plot", "RUN", "--to", "f.gif"], "f.gif must end with one of .pdf, .svg, .png"),
        (["plot", "RUN", "--to", "f.pdf", "--size", "3"], "'3' is not two numbers"),
        (["plot", "RUN", "--to", "f.pdf", "--size", "0.1,nan"], "are 1 to 60 inches"),
        (["plot", "RUN", "--to", "f.pdf", "--columns", "left/los"], "did you mean 'left/loss'?"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    shown_runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(*(shown_runs["palora"] if one == "RUN" else one for one in arguments))
    assert done.exit_code in (1, 2)
    assert words in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []
