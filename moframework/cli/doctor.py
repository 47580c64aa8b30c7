"""What `moframework doctor` finds: environment, devices, extras, data, disk, and what is wrong with them.

Nothing is downloaded, nothing is changed, and no part that fails keeps the others from being told.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from moframework.cli.finding import Finding
from moframework.cli.plugins import plugins
from moframework.cli.requirements import EXTRAS, installed_version, known_faults, meets, required
from moframework.data.cache import cache_folder, data_folder
from moframework.run.memory import free_memory
from moframework.run.memory_estimate import as_size

__all__ = ["DATA_SETS", "DataSet", "Examination", "examine"]

_LITTLE_DISK = 2 * 10**9
_LITTLE_SHARED_MEMORY = 2**30
_LOOKED_AT_FOR = 1.0  # seconds that counting a folder may take


@frozen
class Examination:
    """All that was found, by section."""

    sections: Mapping[str, list[Finding]]

    @property
    def problems(self) -> list[str]:
        """What is wrong, a text each, which ends with the next step."""
        return [f"{one.what}: {one.problem}" for found in self.sections.values() for one in found if one.problem]

    def as_json(self) -> dict[str, Any]:
        """As plain data: `sections` with their findings, and `problems`."""
        sections = {title: [asdict(one) for one in found] for title, found in self.sections.items()}
        return {"format": 2, "sections": sections, "problems": self.problems}


@frozen
class DataSet:
    """Data of bundled problems that are no part of the package.

    Attributes:
        problems: that use it.
        files: below the data root; of each a compressed form counts too.
        how: to get it.
        folders: other folders that may hold the files, in place of the first.
    """

    problems: tuple[str, ...]
    files: tuple[str, ...]
    how: str
    folders: tuple[str, ...] = ()

    def missing(self, root: Path) -> list[str]:
        """Which of the files are not below `root`."""
        return [file for file in self.files if not any(path.exists() for path in self._places(root, file))]

    def _places(self, root: Path, file: str) -> Iterator[Path]:
        first, _, name = file.partition("/")
        for folder in (first, *self.folders):
            yield root / folder / name
            yield root / folder / f"{name}.gz"


_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_NPY = "get the preprocessed .npy folders that https://github.com/lorenmt/mtan links to"

DATA_SETS: tuple[DataSet, ...] = (
    DataSet(
        ("multimnist", "multimnist3", "fashion_and_mnist"),
        tuple(f"MNIST/raw/{name}" for name in _IDX),
        "downloaded when first used, or put the four files there",
    ),
    DataSet(
        ("multifashion", "fashion_and_mnist"),
        tuple(f"FashionMNIST/raw/{name}" for name in _IDX),
        "downloaded when first used, or put the four files there",
    ),
    DataSet(
        ("census", "fairness"),
        ("census/census-income.data", "census/census-income.test"),
        "get it from https://archive.ics.uci.edu/dataset/117/census+income+kdd",
        ("census-income", "census-income-mld", "census+income+kdd", "."),
    ),
    DataSet(
        ("adult",),
        ("adult/adult.data", "adult/adult.test"),
        "get both from https://archive.ics.uci.edu/dataset/2/adult",
        (".",),
    ),
    DataSet(
        ("german_credit",),
        ("german-credit/german.data",),
        "get it from https://archive.ics.uci.edu/dataset/144/statlog+german+credit+data",
        ("statlog+german+credit+data", "."),
    ),
    DataSet(
        ("sarcos",),
        ("sarcos/sarcos_inv.mat", "sarcos/sarcos_inv_test.mat"),
        "get both from http://gaussianprocess.org/gpml/data/",
    ),
    DataSet(("cityscapes",), ("cityscapes/train/image", "cityscapes/val/image"), _NPY),
    DataSet(("nyuv2",), ("nyuv2/train/image", "nyuv2/val/image"), _NPY),
    DataSet(("utkface",), ("UTKFace/",), "get UTKFace.tar.gz from https://susanqq.github.io/UTKFace/ and unpack it"),
    DataSet(
        ("celeba",),
        ("celeba/list_attr_celeba.txt", "celeba/list_eval_partition.txt", "celeba/img_align_celeba"),
        "get it from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    ),
)


def examine() -> Examination:
    """Look at everything; takes seconds, most of them to import torch."""
    return Examination(
        {
            "environment": _guarded("environment", _environment),
            "devices": _guarded("devices", _devices),
            "packages": _guarded("packages", _packages),
            "extras": _guarded("extras", _extras),
            "plug-ins": _guarded("plug-ins", plugins),
            "known bad combinations": _guarded("known bad combinations", _combinations),
            "data": _guarded("data", _data),
            "disk and memory": [
                one
                for what, look in (
                    ("this folder", _here),
                    ("cache", _cache),
                    ("memory", _memory),
                    ("/dev/shm", _shared),
                )
                for one in _guarded(what, look)
            ],
        }
    )


def _guarded(what: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """What `look` finds; where it fails, that."""
    try:
        return look()
    except Exception as error:  # whatever is broken here, the rest is still worth telling
        words = f"{type(error).__name__}: {error}"
        return [Finding(what, f"could not be looked at ({words})", problem=f"looking at it failed: {words}")]


def _environment() -> list[Finding]:
    import torch

    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "PYTORCH_CUDA_ALLOC_CONF")
    given = [f"{name}={os.environ[name]}" for name in variables if name in os.environ]
    python = ".".join(map(str, sys.version_info[:3]))
    old = None if sys.version_info >= (3, 11) else "too old: use Python 3.11 or newer"
    return [
        Finding("moframework", f"{metadata.version('moframework')}, {Path(__file__).parents[1]}"),
        Finding("python", f"{platform.python_implementation()} {python}, {sys.executable}", problem=old),
        Finding("platform", f"{platform.platform()}, {platform.machine()}"),
        Finding("torch", f"{torch.__version__}, {_build(torch)}"),
        Finding("variables", ", ".join(given) or "none of those that change speed are set"),
    ]


def _build(torch: Any) -> str:
    if torch.version.cuda is not None:
        return f"built for CUDA {torch.version.cuda}"
    hip = getattr(torch.version, "hip", None)
    return "built for the CPU alone" if hip is None else f"built for ROCm {hip}"


def _devices() -> list[Finding]:
    import torch

    cores, threads = _cores(), torch.get_num_threads()
    too_many = f"torch uses {threads} threads on {cores} cores: set OMP_NUM_THREADS={cores}"
    cpu = Finding("cpu", f"{cores} cores usable, {threads} threads", hint=too_many if threads > cores else None)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    if available:
        cards = []
        for index in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(index)
            kind = f"{facts.name}, {as_size(facts.total_memory)}, compute capability {facts.major}.{facts.minor}"
            cards.append(Finding(f"cuda:{index}", kind))
    else:
        cards = [_no_cuda(torch, [str(one.message) for one in told])]
    mps = torch.backends.mps.is_available()
    apple = "available" if mps else "none: no Apple device, or torch is not built for it"
    return [cpu, *cards, Finding("mps", apple)]


def _cores() -> int:
    """Processor cores that this process may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
        count = min(count, max(1, -(-int(quota) // int(period))))
    return count


def _no_cuda(torch: Any, told: list[str], driver: Path = Path("/proc/driver/nvidia/version")) -> Finding:
    """Why torch finds no CUDA device."""
    if torch.version.cuda is None:
        step = "install a torch for it: https://pytorch.org/get-started/locally/"
        there = f"there is an NVIDIA driver, but torch is built without CUDA; to use the device, {step}"
        return Finding("cuda", "none: torch is built without CUDA", hint=there if driver.exists() else None)
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return Finding("cuda", "none: CUDA_VISIBLE_DEVICES hides all devices")
    if not driver.exists():
        return Finding("cuda", f"none: torch is built for CUDA {torch.version.cuda}, but there is no NVIDIA driver")
    reason = " ".join(told).partition("\n")[0] or "no device answers"
    problem = (
        f"there is an NVIDIA driver, but torch finds no device ({reason}): look at `nvidia-smi`, and update the driver "
        f"to one for CUDA {torch.version.cuda}, or install a torch for the driver"
    )
    return Finding("cuda", "none, though there is a driver", problem=problem)


def _packages() -> list[Finding]:
    found = []
    for one in required("moframework"):
        version = installed_version(one.name)
        if version is None:
            found.append(Finding(one.name, "not installed", problem=f"is missing: pip install '{one}'"))
        else:
            found.append(
                Finding(
                    one.name,
                    f"{version} ({one.specifier or 'any'})",
                    problem=_bound(version, str(one.specifier), str(one)),
                )
            )
    return found


def _bound(version: str, bounds: str, requirement: str) -> str | None:
    fits = meets(version, bounds)
    return f"{version} does not meet {bounds}: pip install '{requirement}'" if fits is False else None


def _extras() -> list[Finding]:
    found = []
    for extra in metadata.metadata("moframework").get_all("Provides-Extra") or ():
        needs = required("moframework", extra)
        versions = {one: installed_version(one.name) for one in needs}
        lacking = [one.name for one, version in versions.items() if version is None]
        faults = [
            fault
            for one, version in versions.items()
            if version is not None and (fault := _bound(version, str(one.specifier), str(one))) is not None
        ]
        there = ", ".join(f"{one.name} {version}" for one, version in versions.items() if version is not None)
        state = "installed" if not lacking else "partly installed" if there else "not installed"
        told = f"{state}: {there}" if there else state
        told += f"; lacks {', '.join(lacking)}" if there and lacking else ""
        hint = f"to have it: pip install 'moframework[{extra}]'" if lacking else None
        text = f"{EXTRAS.get(extra, '')} — {told}"
        found.append(Finding(extra, text, problem="; ".join(faults) or None, hint=hint))
    return found


def _combinations() -> list[Finding]:
    found = [
        Finding(
            ", ".join(f"{package} {installed_version(package)}" for package in one.versions),
            one.what,
            problem=f"{one.what} ({one.source}): {one.remedy}",
        )
        for one in known_faults()
    ]
    return found or [Finding("combinations", "none of those known is installed")]


def _data() -> list[Finding]:
    root = data_folder()
    chosen = os.environ.get("MOFRAMEWORK_DATA")
    source = "MOFRAMEWORK_DATA" if chosen else "MOFRAMEWORK_DATA is not set"
    there = root.is_dir()
    gone = f"{root} is no folder: make it, or set MOFRAMEWORK_DATA to the one with your data"
    exists = "" if there else ", not there yet"
    found = [Finding("data root", f"{root} ({source}){exists}", problem=gone if chosen and not there else None)]
    for one in DATA_SETS:
        names, missing = ", ".join(one.problems), one.missing(root)
        if not missing:
            found.append(Finding(names, f"found in {root / one.files[0].split('/')[0]}"))
            continue
        lacking = f"missing: {missing[0]}" + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
        found.append(Finding(names, lacking, hint=f"{one.how}; into {root}"))
    return found


def _here() -> list[Finding]:
    folder = Path.cwd()
    return [Finding("this folder", f"{folder}, {_free_disk(folder)}", problem=_disk_problem(folder, "runs go here"))]


def _cache() -> list[Finding]:
    folder = cache_folder()
    size, whole = _size(folder)
    held = f"{'' if whole else 'more than '}{as_size(size)}" if folder.is_dir() else "not there yet"
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    problem = _disk_problem(nearest, f"prepared data goes to {folder}; MOFRAMEWORK_CACHE names another folder")
    return [Finding("cache", f"{folder}, {held}, {_free_disk(nearest)}", problem=problem)]


def _disk_problem(folder: Path, why: str) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return f"{folder} cannot be written ({error.strerror}; {why}): change its permissions, or choose another"
    if shutil.disk_usage(folder).free < _LITTLE_DISK:
        return f"little space is left in {folder} ({_free_disk(folder)}; {why}): free some, or choose another"
    return None


def _free_disk(folder: Path) -> str:
    return f"{as_size(shutil.disk_usage(folder).free)} free"


def _size(folder: Path) -> tuple[int, bool]:
    """Bytes of the files below a folder, and whether all of them were counted in the time there is."""
    until, size = time.monotonic() + _LOOKED_AT_FOR, 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += (Path(place) / name).lstat().st_size
        if time.monotonic() > until:
            return size, False
    return size, True


def _memory() -> list[Finding]:
    import torch

    free = free_memory(torch.device("cpu"))
    return [Finding("memory", "not told by this system" if free is None else f"{as_size(free)} free")]


def _shared(folder: Path = Path("/dev/shm")) -> list[Finding]:
    """Shared memory, which processes that load data hand their batches over in."""
    if not folder.is_dir():
        return []
    size = shutil.disk_usage(folder)
    small = (
        f"small for training.workers > 0: use workers: 0, or give the container more (docker run --shm-size 8g); "
        f"{as_size(size.free)} are free"
    )
    hint = small if size.free < _LITTLE_SHARED_MEMORY else None
    return [Finding(str(folder), f"{as_size(size.total)}, {as_size(size.free)} free", hint=hint)]
