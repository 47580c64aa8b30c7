"""What this package requires, what of it is installed, and combinations of versions that are known to go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import metadata

from attrs import frozen
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

__all__ = ["EXTRAS", "KNOWN_BAD", "KnownBad", "installed_version", "known_faults", "meets", "required"]

EXTRAS: Mapping[str, str] = {
    "torchjd": "weightings from gradients: mgda, pcgrad, upgrad, …",
    "cagrad": "the weighting cagrad, which solves with cvxpy",
    "optimizers": "optimizers beside torch's: lion, soap, schedulefreeadamw, …",
    "timm": "timm's networks as backbones",
    "transformers": "the networks of transformers as backbones",
    "botorch": "the solver qnehvi, a baseline of searches",
    "tune": "moframework tune: the best values in ranges",
    "ray": "benchmarks on a Ray cluster",
    "submitit": "benchmarks on a Slurm cluster",
    "mlflow": "the logger mlflow",
    "wandb": "the logger wandb",
    "parquet": "tables to predict, and predictions, as .parquet",
    "onnx": "exports to .onnx, which onnxruntime runs",
    "peft": "exports of adapters, which PEFT loads",
    "serve": "moframework serve: a model over HTTP",
    "docs": "building the site of the documentation",
    "test": "running the tests",
    "dev": "working on moframework: tests, formatter, linter, types",
}
"""What each extra is for."""


def required(package: str, extra: str | None = None) -> list[Requirement]:
    """What an installed package requires: without extras, or for one of them, with what extras of others require.

    Requirements of other systems (`sys_platform == …`) are left out.

    Raises:
        PackageNotFoundError: it is not installed.
    """
    found: list[Requirement] = []
    for one in map(Requirement, metadata.requires(package) or ()):
        if not _is_asked(one, extra):
            continue
        one.marker = None  # which has been answered
        if one.name != package:
            found.append(one)
        for other in sorted(one.extras):
            if installed_version(one.name) is not None:
                found += required(one.name, other)
    return list(dict.fromkeys(found))


def _is_asked(one: Requirement, extra: str | None) -> bool:
    always = one.marker is None or one.marker.evaluate({"extra": ""})
    if extra is None or one.marker is None or always:
        return extra is None and always
    return one.marker.evaluate({"extra": extra})


def installed_version(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def meets(version: str, bounds: str) -> bool | None:
    """Whether a version lies within bounds; None where either is not written as versions are (PEP 440).

    What follows a plus sign (`+cu130`) does not count.

    >>> meets("2.14.1+cu130", ">=2.9"), meets("0.19.0", "<0.19,>=0.18"), meets("2.9.0rc1", ">=2.9")
    (True, False, False)
    """
    try:
        return SpecifierSet(bounds).contains(Version(version).public, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return None


@frozen(kw_only=True)
class KnownBad:
    """Versions that are known to go wrong.

    Attributes:
        versions: by package, bounds that all hold where it goes wrong; a package that is not installed has none.
        what: goes wrong.
        remedy: the next step.
        source: where that is known from.
    """

    versions: Mapping[str, str]
    what: str
    remedy: str
    source: str

    def applies(self, version: Callable[[str], str | None] = installed_version) -> bool:
        """Whether these versions are installed."""
        found = {package: version(package) for package in self.versions}
        return all(one is not None and meets(one, self.versions[package]) for package, one in found.items())


_MEASURED = "measured with this package; docs/changelog.md"
_PAIRS = "torchvision's table of releases, https://github.com/pytorch/vision#installation"

KNOWN_BAD: tuple[KnownBad, ...] = (
    KnownBad(
        versions={"torch": "<2.9,>=2.7"},
        what="training.distributed.parameters: sharded trains on wrong gradients on a CPU (FSDP2), without a word",
        remedy="pip install 'torch>=2.9' 'torchvision>=0.24'",
        source=_MEASURED,
    ),
    KnownBad(
        versions={"torch": "<2.7"},
        what="training.compile and training.distributed.parameters: sharded fail",
        remedy="pip install 'torch>=2.9' 'torchvision>=0.24'",
        source=_MEASURED,
    ),
    KnownBad(
        versions={"moocore": "<0.3.2"},
        what="IGD and IGD+ of fronts with 34 or more objectives are wrong (2.026 for 2.351 at 40)",
        remedy="pip install 'moocore>=0.3.2'",
        source=_MEASURED,
    ),
    KnownBad(
        versions={"numpy": ">=2", "pymoo": "<0.6.1.3"},
        what="pymoo fails on import with numpy 2",
        remedy="pip install 'pymoo>=0.6.1.3'",
        source="pymoo's releases; the bound in pyproject.toml",
    ),
    KnownBad(
        versions={"torchjd": ">=0.19"},
        what="TorchJD changes names in each 0.x release: weightings of objectives may fail or be others",
        remedy="pip install 'torchjd>=0.18,<0.19'",
        source="the bound in pyproject.toml",
    ),
    *(
        KnownBad(
            versions={"torch": f">=2.{minor},<2.{minor + 1}", "torchvision": bounds},
            what=f"torchvision is built for another torch than {f'2.{minor}'}, and fails on import or in its operators",
            remedy=f"pip install 'torch==2.{minor}.*' 'torchvision==0.{minor + 15}.*'",
            source=_PAIRS,
        )
        for minor in range(9, 15)  # those of the table when this was written
        for bounds in (f"<0.{minor + 15}", f">=0.{minor + 16}")
    ),
)


def known_faults(version: Callable[[str], str | None] = installed_version) -> Iterator[KnownBad]:
    """Those of `KNOWN_BAD` that are installed."""
    return (one for one in KNOWN_BAD if one.applies(version))
