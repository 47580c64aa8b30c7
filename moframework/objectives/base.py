"""The contract of an objective, in three forms: by what it needs to know of a step."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from moframework.config import Component
from moframework.config.signature import arguments, options_class
from moframework.errors import MoframeworkError
from moframework.objectives.look_ahead import LookAhead

__all__ = ["Aggregation", "Objective", "Scalarization", "Weighting", "inner_faults", "wrong_length"]


class Objective(Component, kind="objectives"):
    """How the losses of r preferences become one direction of descent.

    What is written is one of

    - `Scalarization`: one scalar from losses and preferences; the engine differentiates it;
    - `Weighting`: weights from the Gramians of the tasks' gradients; the engine descends the weighted sum of losses;
    - `Aggregation`: a direction from the tasks' gradients themselves;
    - `features.FeatureAggregation`: one from their gradients at the features that all heads read.

    A scalarization can also be given as a plain function; its further parameters become options. With `losses` and
    `preference`, both (m,), it scalarizes one preference, and the mean over preferences is descended. With `losses`
    and `preferences`, both (r, m), it sees all at once and returns a scalar, or values (r,) whose mean is taken; the
    engine then holds the graphs of all r forward passes::

        def augmented(losses, preference, *, rho: float = 0.05):
            return (preference * losses).max() + rho * losses.sum()

    Class data:
        separable: the result is the mean over preferences of something that depends on one preference alone. The
            engine then goes preference by preference and holds one graph at a time, and each of the r preferences of a
            step has a state of its own.

    >>> from moframework.objectives.linear import Linear
    >>> from moframework.objectives.nash_mtl import NashMTL
    >>> losses, preferences = torch.tensor([[1.0, 3.0]]), torch.tensor([[0.25, 0.75]])
    >>> float(Linear()(losses, preferences))  # a scalarization: ¼ · 1 + ¾ · 3
    2.5
    >>> gramians = torch.eye(2).unsqueeze(0)  # of gradients with length 1, at right angles
    >>> NashMTL(max_norm=None).weights(losses, preferences, gramians)  # a weighting: here m λ_t
    tensor([[0.5000, 1.5000]])
    """

    returns = Tensor
    separable: ClassVar[bool] = True

    @property
    def reviews(self) -> bool:
        """Whether `review` wants the losses of the same batch after the optimizer's step: one more forward pass."""
        return False

    @property
    def needs_halves(self) -> bool:
        """Whether a `Weighting` wants products of gradients that are independent of each other: those of the tasks on
        the first half of a batch with those on the second, rather than a Gramian, whose noise is on average above 0."""
        return False

    @property
    def held_out_share(self) -> float | None:
        """The share of the training split that is set aside for `look_ahead`, in [0, 1): no step descends it. 0: it
        sees training samples in another order. None, the default: it wants no further batch. For separable objectives
        alone."""
        return None

    def faults(self, m: int, r: int) -> list[str]:
        """What does not fit m tasks and r preferences a step, in words; nothing by default. Asked before training."""
        return []

    def build(self, m: int, r: int) -> nn.Module | None:
        """State for m tasks and r preferences, or None (the default) where there is none.

        Parameters join the optimizer, buffers are saved, and a resumed training continues with the same numbers. The
        state is handed to every call below. Where the objective is separable, r is 1 and there is a state for each
        preference of a step: in a finite set, for each network.
        """
        return None

    def review(self, before: Tensor, after: Tensor, state: nn.Module | None) -> None:
        """Change `state` in place given the losses (r, m) of one batch before and after the optimizer's step, detached
        and not balanced. Called when `reviews`."""

    def look_ahead(self, ahead: LookAhead, preference: Tensor, state: nn.Module | None) -> None:
        """Change `state` in place before a step, given losses as functions of weights, of its batch and of a further
        one, for a preference (m,). Called where `held_out_share` is not None."""

    def progressed(self, progress: float, state: nn.Module | None) -> None:
        """Change `state` in place before a step, given the share of the training that is done after it, in (0, 1];
        nothing by default. As of a weight space, it must be a function of `progress` alone."""

    def of_embeddings(
        self, embedded: Callable[[Tensor], Tensor | None], preferences: Tensor, state: nn.Module | None = None
    ) -> Tensor | None:
        """A scalar to add once a step that depends on what a weight space computes from its preferences; None by
        default.

        Args:
            embedded: preferences (r, m) → (r, e), differentiable; None for a space without.
            preferences: all of the step, (r, m).
            state: as `build` made it, where the objective is not separable.
        """
        return None

    def epoch_ended(self, state: nn.Module | None) -> None:
        """Change `state` in place at the end of an epoch; nothing by default."""

    @classmethod
    def from_function(cls, function: Callable[..., Any]) -> type[Component]:
        """A scalarization around a plain function of losses and preference(s).

        Raises:
            MoframeworkError: its first two parameters are not these, or a further one cannot be an option.
        """
        name = getattr(function, "__name__", type(function).__name__)
        first = tuple(inspect.signature(function).parameters)[:2]
        if first not in _FORMS:
            raise MoframeworkError(
                f"an objective function takes losses and preference (m,), or losses and preferences (r, m), by these "
                f"names, but the first parameters of {name} are ({', '.join(first)})"
            )
        made: type[Component] = options_class(function, name=name, bases=(_FORMS[first],), skip=set(first))
        return made


class Scalarization(Objective):
    """A scalar from losses and preferences.

    >>> from moframework.config import config
    >>> @config
    ... class Squares(Scalarization):
    ...     "The weighted sum of squared losses."
    ...     def __call__(self, losses, preferences, state=None):
    ...         return (preferences * losses**2).sum() / len(losses)
    >>> float(Squares()(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.5, 0.5]])))  # ½ · 1² + ½ · 3²
    5.0
    """

    @abstractmethod
    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """The scalar to minimize.

        Args:
            losses: L (r, m), differentiable; scaled by the balancings, where there are any.
            preferences: Λ (r, m), rows on the simplex, same device.
            state: as `build` made it; left out where it made none.

        Returns:
            a scalar, normalized as a mean over the r rows, so that the step size does not depend on r.
        """

    def penalty(self, losses: Tensor, preferences: Tensor) -> Tensor | None:
        """A further term to minimize that concerns the losses (r, m) as they are: no balancing scales them. None by
        default."""
        return None

    def total(
        self, losses: Tensor, preferences: Tensor, scales: Tensor | None = None, state: nn.Module | None = None
    ) -> Tensor:
        """What a step minimizes: the scalar of the losses (r, m) times the balancings' scales (r, m), and the
        penalty."""
        extra = () if state is None else (state,)
        value = self(losses if scales is None else losses * scales, preferences, *extra)
        penalty = self.penalty(losses, preferences)
        return value if penalty is None else value + penalty


class Weighting(Objective):
    """Weights of the losses from inner products of the tasks' gradients. The engine descends
    `mean_j Σ_t w_jt L_jt`; the weights are constants to it.

    >>> from moframework.config import config
    >>> @config
    ... class EqualLengths(Weighting):
    ...     "Gradients of length 1."
    ...     def weights(self, losses, preferences, gramians, state=None):
    ...         return preferences / gramians.diagonal(dim1=1, dim2=2).sqrt()
    >>> gramians = torch.tensor([[[1.0, 0.0], [0.0, 4.0]]])
    >>> EqualLengths().weights(torch.ones(1, 2), torch.tensor([[0.5, 0.5]]), gramians)
    tensor([[0.5000, 0.2500]])
    """

    @abstractmethod
    def weights(self, losses: Tensor, preferences: Tensor, gramians: Tensor, state: nn.Module | None = None) -> Tensor:
        """Weights (r, m), of any sign.

        Args:
            losses: L (r, m), detached.
            preferences: Λ (r, m).
            gramians: (r, m, m), inner products of the gradients of the tasks with respect to θ(λ_j), over the
                parameters that every task reaches (all parameters where there are no such). Where `needs_halves`: entry
                s, t that of task s on the first half of the batch with task t on the second, not symmetric.
            state: as `build` made it; left out where it made none.

        Returns:
            (r, m). Where an input is not finite the result is not finite either: the engine reports such losses.
        """


class Aggregation(Objective):
    """A direction from the tasks' gradients, for what a Gramian does not tell: signs of single entries, or gradients
    of other preferences.

    >>> from moframework.config import config
    >>> @config
    ... class Agreeing(Aggregation):
    ...     "The weighted gradients, where all have one sign."
    ...     def aggregate(self, jacobians, losses, preferences, state=None):
    ...         agree = jacobians.sign().sum(dim=1).abs() == jacobians.shape[1]
    ...         return agree * (preferences.unsqueeze(2) * jacobians).sum(dim=1)
    >>> jacobians = torch.tensor([[[2.0, 1.0], [4.0, -1.0]]])
    >>> Agreeing().aggregate(jacobians, torch.ones(1, 2), torch.tensor([[0.5, 0.5]]))
    tensor([[3., 0.]])
    """

    @abstractmethod
    def aggregate(
        self, jacobians: Tensor, losses: Tensor, preferences: Tensor, state: nn.Module | None = None
    ) -> Tensor:
        """Directions to descend (r, p), one a preference; the engine takes their mean.

        Args:
            jacobians: (r, m, p), the gradient of each task with respect to θ(λ_j), over the p parameters that every
                task reaches (all where there are no such). The others, heads of single tasks, get the plain gradients
                of their tasks.
            losses: L (r, m), detached.
            preferences: Λ (r, m).
            state: as `build` made it; left out where it made none.
        """


def inner_faults(inner: Objective, m: int, r: int) -> list[str]:
    """What does not fit m tasks and r preferences a step of an objective inside another one, in words."""
    found = inner.faults(m, r)
    if inner.held_out_share is not None:
        found = [*found, "learns from a further batch of samples, which only an objective by itself is given"]
    return [f"inner: {fault}" for fault in found]


def wrong_length(option: str, values: Sequence[float] | None, m: int) -> list[str]:
    """What to say when an option with a number a task has another count of numbers; None stands for a default."""
    if values is None or len(values) == m:
        return []
    return [f"{option}: has {len(values)} numbers; the problem has {m} tasks"]


class _RowFunction(Scalarization):
    """The mean over preferences of what a plain function returns for each."""

    function: ClassVar[Callable[..., Tensor]]

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        options = arguments(self)
        rows = zip(losses.unbind(), preferences.unbind(), strict=True)
        return torch.stack([_shaped(self, type(self).function(*row, **options), ((),)) for row in rows]).mean()


class _MatrixFunction(Scalarization):
    """What a plain function returns for all preferences at once."""

    separable: ClassVar[bool] = False
    function: ClassVar[Callable[..., Tensor]]

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        value = type(self).function(losses, preferences, **arguments(self))
        return _shaped(self, value, ((), (len(losses),))).mean()


_FORMS: dict[tuple[str, ...], type[Scalarization]] = {
    ("losses", "preference"): _RowFunction,
    ("losses", "preferences"): _MatrixFunction,
}


def _shaped(objective: Objective, value: object, shapes: tuple[tuple[int, ...], ...]) -> Tensor:
    if isinstance(value, Tensor) and tuple(value.shape) in shapes:
        return value
    got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
    wanted = "a scalar" if len(shapes) == 1 else f"a scalar or values {shapes[1]}"
    raise ValueError(f"the objective function {type(objective).__name__} must return {wanted}, but returned {got}")
