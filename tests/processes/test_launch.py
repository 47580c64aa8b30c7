"""A single process joins nothing, and pays for nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import moframework
from moframework.processes.launch import launched_world
from moframework.processes.world import World


def test_a_process_alone_needs_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with launched_world() as world:
        assert type(world) is World
    monkeypatch.setenv("WORLD_SIZE", "1")
    with launched_world() as world:
        assert (world.rank, world.size, world.is_rank_zero, world.backend) == (0, 1, True, None)


def test_what_talks_to_processes_is_imported_only_where_there_are_several() -> None:
    """A run of one process pays nothing for others."""
    talkers = {"process_group", "fsdp", "fsdp_checkpoint"}
    home = Path(moframework.__file__).parent
    talking, listening = set(), set()
    for path in home.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.startswith("torch.distributed") for name in names):
                talking.add(path.stem)
            found = {name.rpartition(".")[2] for name in names if name.startswith("moframework.")}
            if path.stem not in talkers and talkers & found:
                assert isinstance(node, ast.ImportFrom)
                assert node.col_offset > 0, f"{path.name} imports it at its top"
                listening.add(path.stem)
    assert talking == talkers
    assert listening == {"launch", "loop"}
