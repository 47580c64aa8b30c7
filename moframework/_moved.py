"""Import paths of earlier versions. Each works for one release, says where the module is now, and is the same module.

A row of `MOVED` comes with a module that moves, and goes with the release after the one that first warned.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast

__all__ = ["MOVED", "install", "renamed"]

MOVED: Mapping[str, str] = {
    "moframework.adapting": "moframework.data.adapters",
    "moframework.analytic": "moframework.problem.analytic",
    "moframework.catalog": "moframework.reference.catalog",
    "moframework.columns": "moframework.data.table",
    "moframework.contents": "moframework.data.fingerprint",
    "moframework.datafiles": "moframework.data.cache",
    "moframework.downloads": "moframework.data.download",
    "moframework.engine.averaging": "moframework.optim.averaging",
    "moframework.engine.batchnorm": "moframework.engine.distributed.sync_batchnorm",
    "moframework.engine.division": "moframework.engine.distributed.partition",
    "moframework.engine.fully_sharded": "moframework.engine.distributed.fsdp_checkpoint",
    "moframework.engine.group": "moframework.processes.process_group",
    "moframework.engine.holding": "moframework.engine.distributed.optimizer_sharding",
    "moframework.engine.joining": "moframework.processes.launch",
    "moframework.engine.memory": "moframework.run.memory",
    "moframework.engine.optim": "moframework.optim",
    "moframework.engine.passes": "moframework.engine.acceleration.vmap_evaluation",
    "moframework.engine.recompute": "moframework.engine.acceleration.activation_checkpoint",
    "moframework.engine.recording": "moframework.engine.acceleration.cuda_graph",
    "moframework.engine.residence": "moframework.data.device_cache",
    "moframework.engine.streaming": "moframework.engine.distributed.fsdp",
    "moframework.engine.tally": "moframework.engine.accumulator",
    "moframework.engine.undivided": "moframework.engine.acceleration.single_pass",
    "moframework.engine.world": "moframework.processes.world",
    "moframework.files": "moframework.io.atomic",
    "moframework.imagefiles": "moframework.data.images",
    "moframework.overlay": "moframework.problems.overlay",
    "moframework.parts": "moframework.problem.from_parts",
    "moframework.plots": "moframework.pareto.plots",
    "moframework.progress": "moframework.cli.progress",
    "moframework.scaffold": "moframework.cli.scaffold",
    "moframework.tables": "moframework.cli.tables",
    "moframework.targets": "moframework.problem.tabular",
    "moframework.tasks": "moframework.problem.task",
    "moframework.tensorfiles": "moframework.io.tensors",
    "moframework.testing.few": "moframework.testing.subset",
    "moframework.weights.activation_space": "moframework.layers.low_rank",
    "moframework.weights.by_piece": "moframework.engine.acceleration.single_pass",
    "moframework.weights.joined": "moframework.layers.shared_concat",
    "moframework.weights.merging": "moframework.layers.merge",
    "moframework.weights.stand_in": "moframework.layers.lazy_tensor",
    "moframework.weights.unmade": "moframework.layers.rematerialized",
}
"""Old name → new name."""


# Neither class derives from those of importlib.abc, which take longer to import than all of this.
class _SameModule:
    """Gives the module of another name; the import system registers it under the name that was asked for."""

    def __init__(self, new: str) -> None:
        self.new = new

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module under its new name, with a warning that points at the import of the old one."""
        warnings.warn(
            f"{spec.name} is now {self.new}; the old path works until the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        module = importlib.import_module(self.new)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """The module ran when it was made; it gets back the spec that the import system has just overwritten."""
        module.__spec__ = self.spec


class _OldPaths:
    """Finds the modules of `MOVED`, which are no files any more."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        new = MOVED.get(fullname)
        return None if new is None else ModuleSpec(fullname, cast(Any, _SameModule(new)))


def install() -> None:
    """Let the old paths be imported. Further calls change nothing."""
    if not any(isinstance(finder, _OldPaths) for finder in sys.meta_path):
        sys.meta_path.append(_OldPaths())


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """A `__getattr__` for a module whose public names have changed: the old ones work for one release, with a warning.

    Args:
        module: its `__name__`.
        names: old name → new name, in the same module.

    Example::

        __getattr__ = renamed(__name__, {"Few": "Subset"})
    """

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module '{module}' has no attribute '{name}'")
        text = f"{module}.{name} is now {names[name]}; the old name works until the next release"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        found = getattr(sys.modules[module], names[name])
        setattr(sys.modules[module], name, found)  # one warning is enough: `from … import` asks twice
        return found

    return find
