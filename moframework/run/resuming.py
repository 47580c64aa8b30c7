"""How to go on with a run, in words: which command resumes it."""

from __future__ import annotations

from pathlib import Path

from moframework.config.references import references
from moframework.spec.marks import Source, plain
from moframework.spec.reading import read_yaml

__all__ = ["resume_command"]


def resume_command(folder: Path) -> str:
    """The command that continues the run in `folder`, with `--trust` where its spec names code. Nothing is imported,
    and it does not matter whether the spec can be read."""
    return f"moframework solve {folder} --resume" + (" --trust" if _names_code(folder / "spec.yaml") else "")


def _names_code(spec: Path) -> bool:
    try:
        text = spec.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    root, _ = read_yaml(text, Source(str(spec), spec.parent, len(text.splitlines())))
    return root is not None and any(references(plain(root)))
