"""Warm commands are as cold ones: arguments, folder, environment, streams, exit codes, signals."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

SHOW = "import os, sys; print(sys.argv, os.getcwd(), os.environ['A'], sys.stdin.read(), __name__, sys.path[0])"


def both(warm: list[str], folder: Path, *argv: str) -> list[tuple[int, str]]:
    return [
        (done.returncode, done.stdout)
        for words in (warm, [sys.executable])
        for done in [
            subprocess.run(
                [*words, *argv],
                cwd=folder,
                env={"A": "ä", "PYTHONPATH": "site"},
                input="in",
                capture_output=True,
                encoding="utf-8",
                check=False,
            )
        ]
    ]


def test_a_command_sees_what_it_was_given(warm: list[str], tmp_path: Path) -> None:
    (tmp_path / "shown.py").write_text(SHOW, encoding="utf-8")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "lent.py").write_text("import sys\nprint(__name__, sys.argv[1:])\nsys.exit(3)\n")
    for argv in (["-c", SHOW, "x"], ["shown.py", "-y"], ["-m", "lent", "z"], ["-c", "1 / 0"], ["-V"]):
        ours, reference = both(warm, tmp_path, *argv)
        assert ours == reference
    assert both(warm, tmp_path, "-m", "lent")[0] == (3, "__main__ []\n")


def test_imports_are_done(warm: list[str], tmp_path: Path) -> None:
    ours, reference = both(warm, tmp_path, "-c", "import sys; print('torch' in sys.modules)")
    assert (ours[1], reference[1]) == ("True\n", "False\n")


def test_signals_reach_the_command(warm: list[str]) -> None:
    code = "import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); print(1, flush=True); signal.pause()"
    for ending, text in ((7, code), (-signal.SIGTERM, "import time; print(1, flush=True); time.sleep(60)")):
        running = subprocess.Popen([*warm, "-c", text], stdout=subprocess.PIPE)
        assert running.stdout is not None
        assert running.stdout.readline() == b"1\n"
        running.terminate()
        assert running.wait(30) == ending
        running.stdout.close()
