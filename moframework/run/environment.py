"""What a result depended on besides its spec: versions, devices, threads, command and commit."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from moframework.config import entries, kinds
from moframework.processes.world import World

__all__ = ["environment"]

# The variables that change results or speed. The rest of the environment may hold secrets and is never recorded.
VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "MKL_NUM_THREADS",
    "MOFRAMEWORK_DATA",
    "OMP_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ENABLE_MPS_FALLBACK",
)


def environment(world: World | None = None) -> dict[str, Any]:
    """Describe this process and machine as plain data, ready for JSON; needs no network and takes well under a second.

    Args:
        world: the processes that solve one spec together; None: this one alone.

    Returns:
        `time` (UTC, ISO 8601), `command` (the arguments), `python`, `platform`, `packages` {name: version} of
        moframework, its dependencies and every package that brought a plug-in, `torch` (threads, devices, determinism),
        `distributed` (`world_size`, and the `backend` by which the processes talk, None for a single one), `variables`
        (a fixed list of environment variables, those that are set) and `git` (`commit`, `dirty`) of the
        current folder, or None where there is none. No user name, host name or other variable is recorded.
    """
    world = World() if world is None else world
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": {
            "system": platform.platform(),
            "machine": platform.machine(),
            "processor": _processor(),
            "cpus": os.cpu_count(),
        },
        "packages": _packages(),
        "torch": _torch(),
        "distributed": {"world_size": world.size, "backend": world.backend},
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "git": _git(Path.cwd()),
    }


def _packages() -> dict[str, str]:
    """Installed versions of what this package requires without extras, and of what brought plug-ins."""
    names = {"moframework"}
    names.update(entry.package for kind in kinds() for entry in entries(kind))
    for requirement in metadata.requires("moframework") or ():
        name, _, marker = requirement.partition(";")
        if "extra" not in marker:
            names.add(re.split(r"[\s<>=!~\[(]", name, maxsplit=1)[0])
    versions: dict[str, str] = {}
    for name in sorted(names, key=str.lower):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _torch() -> dict[str, Any]:
    cuda = torch.cuda.is_available()
    return {
        "version": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.version.cuda if cuda else None,
        "cudnn": torch.backends.cudnn.version() if cuda else None,  # type: ignore[no-untyped-call]
        "devices": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if cuda else [],
        "mps": torch.backends.mps.is_available(),
    }


def _processor() -> str:
    """The processor's model name where the system tells it, else the architecture."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux
        return platform.processor()
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else platform.processor()


def _git(folder: Path) -> dict[str, Any] | None:
    """Commit and cleanliness of the checkout holding `folder`; not the remote's address, which may hold a token."""
    try:
        commit = _run_git(folder, "rev-parse", "HEAD")
        changes = _run_git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):  # no git, not a checkout, no commit yet, or it takes too long
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _run_git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10, stdin=subprocess.DEVNULL)
    return done.stdout.strip()
