"""Any aggregator of the installed TorchJD by name, with its own options checked against its signature."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from moframework.config import Component, config, option
from moframework.config.by_name import by_name, classes_of
from moframework.config.signature import arguments, options_class
from moframework.errors import MoframeworkError
from moframework.objectives.base import Aggregation
from moframework.objectives.from_torchjd import dual_cone_projector
from moframework.objectives.presence import present

__all__ = ["TorchJD", "TorchJDMethod"]

_INSTALL = "TorchJD is not installed here: pip install 'moframework[torchjd]'"
# Its programs for cvxpy lie in no buffer, so that it could not be resumed; `nash_mtl` is exact.
_NOT_OFFERED = frozenset({"NashMTL"})
# What is not for a spec to say: how many tasks there are, the preference, and what takes the place of quadprog.
_GIVEN = {"n_tasks", "pref_vector", "projector"}


class TorchJDMethod(Component, kind="torchjd_methods"):
    """An aggregator of TorchJD with its options, for example `{name: trimmedmean, trim_number: 1}`.

    Names are TorchJD's class names in lower case: all public aggregators of the installed release whose options can be
    written in a spec. The list, with what each is: `moframework list torchjd_methods`.
    """

    target: ClassVar[type[nn.Module]]

    def make(self, m: int) -> nn.Module:
        """TorchJD's object for m tasks. Raises what its constructor raises, `ImportError` where packages are missing
        and `ValueError` where an option is out of range."""
        given, asked = arguments(self), inspect.signature(self.target).parameters
        if "n_tasks" in asked:
            given["n_tasks"] = m
        if "projector" in asked:
            given["projector"] = dual_cone_projector()
        return self.target(**given)

    @property
    def takes_preference(self) -> bool:
        """Whether the method has a preference vector of its own."""
        return "pref_vector" in inspect.signature(self.target).parameters

    @classmethod
    def unavailable(cls) -> str | None:
        """See `Component.unavailable`."""
        return _INSTALL if find_spec("torchjd") is None else None

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """All aggregators of the installed TorchJD that a spec can use; none where it is not installed."""
        return () if cls.unavailable() else tuple(sorted(_method_classes()))

    @classmethod
    def lookup(cls, name: str) -> type[Component]:
        """The option class of one aggregator. Raises `UnknownNameError`, or `MoframeworkError` without TorchJD."""
        absent = cls.unavailable()
        if absent is not None:
            raise MoframeworkError(absent)
        return by_name("method of TorchJD", name, _method_classes(), _method_classes().__getitem__)


@config
class TorchJD(Aggregation):
    """An aggregator of TorchJD (https://torchjd.org, MIT) by name, whatever the installed release has: `{name: torchjd,
    method: {name: trimmedmean, trim_number: 1}}`.

    Where the method has a preference vector of its own, that is λ; else it sees the gradients of m λ_t L_t, so that
    equal preferences give the method itself. λ has no effect on methods whose result does not depend on the scale of a
    gradient: for those that have a name of their own among the objectives, such as `mgda` and `imtl_g`, λ is treated as
    suits them, so take that one.

    A task that a batch has no label of is left out, unless the method keeps something from step to step. Buffers and
    numbers that it keeps are saved. Limits: parameters of single tasks get plain gradients.

    >>> objective = TorchJD(method=TorchJDMethod.lookup("trimmedmean")(trim_number=1))
    >>> jacobians, even = torch.tensor([[[1.0], [2.0], [9.0]]]), torch.ones(1, 3) / 3
    >>> objective.aggregate(jacobians, torch.ones(1, 3), even, objective.build(m=3, r=1))  # the mean of the middle
    tensor([[2.]])
    """

    method: TorchJDMethod | None = option(None, help="which one, with its options: `moframework list torchjd_methods`")

    def faults(self, m: int, r: int) -> list[str]:
        """Packages that are missing, a method that is not named, and options that it refuses for m tasks."""
        absent = TorchJDMethod.unavailable()
        if absent is not None:
            return [absent]
        if self.method is None:
            names = ", ".join(TorchJDMethod.names())
            return [f"method: must be named; TorchJD {version('torchjd')} has {names}"]
        try:
            with torch.random.fork_rng(devices=[]):
                self.method.make(m)(torch.eye(m))
        except (ImportError, ValueError, RuntimeError) as error:
            return [f"method: {type(self.method).__name__}: {error}"]
        return []

    def build(self, m: int, r: int) -> nn.Module:
        """TorchJD's object, whose buffers and numbers are saved."""
        if self.method is None:
            raise MoframeworkError("method: must be named (`moframework list torchjd_methods`)")
        with torch.random.fork_rng(devices=[]):
            return _Kept(self.method.make(m))

    def aggregate(
        self, jacobians: Tensor, losses: Tensor, preferences: Tensor, state: nn.Module | None = None
    ) -> Tensor:
        """See `Aggregation.aggregate`."""
        own, method = cast(_Kept, state), cast(TorchJDMethod, self.method)
        broken = 0 * jacobians.sum(dim=(1, 2)).unsqueeze(1)
        jacobians = jacobians.nan_to_num()
        known = present(losses) | jacobians.any(dim=2)
        rows = []
        for jacobian, preference, here in zip(jacobians, preferences, known, strict=True):
            if own.is_stateful:
                here = torch.ones_like(here)
            kept = here.nonzero().flatten()
            if not len(kept):
                rows.append(torch.zeros_like(jacobian[0]))
            elif method.takes_preference:
                own.held.pref_vector = preference[kept]
                rows.append(own(jacobian[kept]))
            else:
                rows.append(own(jacobian[kept] * (len(losses[0]) * preference[kept]).unsqueeze(1)))
        return torch.stack(rows) + broken


class _Kept(nn.Module):
    """An aggregator that stays out of what moves between devices, while its buffers and numbers are saved."""

    def __init__(self, held: nn.Module) -> None:
        super().__init__()
        self._held = [held]  # in a list, so that it is no submodule
        self._loaded: dict[str, Any] = {}

    @property
    def held(self) -> Any:
        return self._held[0]

    @property
    def is_stateful(self) -> bool:
        """Whether it keeps something from step to step: TorchJD gives such methods a `reset`."""
        return hasattr(self.held, "reset")

    def forward(self, matrix: Tensor) -> Tensor:
        """The direction (p,) for gradients (m, p)."""
        if self._loaded:
            # Buffers come into being with the first call, with the shapes of its gradients.
            with torch.random.fork_rng():
                self.held(matrix)
            for owner, name, key in _kept_in(self.held):
                if key in self._loaded:
                    value = self._loaded[key]
                    setattr(owner, name, value.to(matrix.device) if isinstance(value, Tensor) else value)
            self._loaded = {}
        return cast(Tensor, self.held(matrix))

    def get_extra_state(self) -> dict[str, Any]:
        return self._loaded or {key: getattr(owner, name) for owner, name, key in _kept_in(self.held)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self._loaded = {key: value.clone() if isinstance(value, Tensor) else value for key, value in state.items()}


def _kept_in(method: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Buffers that are there and plain numbers of a module and those in it: where, the name there, and a key."""
    for prefix, owner in method.named_modules():
        numbers = [name for name, value in vars(owner).items() if type(value) in (int, float)]
        for name in [*(name for name, value in owner._buffers.items() if value is not None), *numbers]:
            yield owner, name, f"{prefix}.{name}"


@functools.cache
def _method_classes() -> dict[str, type[Component]]:
    """Option classes of all aggregators that can be made from what a spec says."""
    from torchjd import aggregation

    base = cast(Any, aggregation.Aggregator)  # abstract, which is no matter here
    found: dict[str, type[nn.Module]] = classes_of(aggregation, base, _NOT_OFFERED, str.lower)
    made = {}
    for name, target in found.items():
        if inspect.isabstract(target):
            continue
        try:
            options = options_class(target, name=target.__name__, bases=(TorchJDMethod,), skip=_GIVEN)
        except MoframeworkError:  # it needs a tensor, or another object of TorchJD
            continue
        options.target, options.__doc__ = target, _plain(inspect.getdoc(target) or "")
        made[name] = cast(type[Component], options)
    return made


def _plain(text: str) -> str:
    """A docstring without reStructuredText's roles and links, and without what says that a class is stateful.

    >>> _plain(":class:`~torchjd.Stateful` :class:`~torchjd.aggregation.Aggregator` of `A Paper <https://a.b>`_.")
    'Aggregator of A Paper.'
    """
    without_roles = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"\1", text)
    return re.sub(r"`([^`<]+?)\s*<[^>`]+>`_+", r"\1", without_roles).removeprefix("Stateful").lstrip()
