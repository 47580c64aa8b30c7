"""`MAPStart`: coefficients of task vectors for every preference, from quadratic surrogates of the losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Generator, Tensor

from moframework.config import Trust
from moframework.data import Batch, Dataset, batches
from moframework.data.sampling import evenly_spread
from moframework.errors import SpecError
from moframework.merging.quadratic import Link, Quadratic, Search, needed
from moframework.merging.scalarized import Kind, Scalarized
from moframework.merging.start import FromMembers
from moframework.merging.tabulated import TabulatedSpace
from moframework.model import ParetoModel
from moframework.model.buffers import modes_kept
from moframework.problem import Problem

__all__ = ["MAPStart", "sampled"]

Array = NDArray[np.float64]

_BATCH = 500
_CALIBRATION = 1000  # training samples for statistics of BatchNorm layers
_DEVIATION = 0.1
_GOOD, _NEAR = 0.9, 0.1  # R², and relative errors of predictions, that are worth no note


def sampled(count: int, m: int, seed: int) -> Tensor:
    """Coefficients (count, m) to evaluate: the one-hot vectors; then in turn c·(1, …, 1) with c uniform in [0, 1], a
    one-hot vector disturbed towards the inside by normal numbers of deviation .1, and a point uniform in [0, 1]^m.

    >>> sampled(6, 2, 0)[:2].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    drawn = Generator().manual_seed(seed)
    rows = list(torch.eye(m, dtype=torch.float64)[:count])
    for place in range(count - len(rows)):
        uniform = torch.rand(m, generator=drawn).double()
        noise = (_DEVIATION * torch.randn(m, generator=drawn).double()).abs().clamp(max=1)
        one = torch.eye(m, dtype=torch.float64)[place // 3 % m]
        made = (uniform[:1].expand(m), (one - noise).abs(), uniform)
        rows.append(made[place % 3])
    return torch.stack(rows)


@frozen(kw_only=True)
class MAPStart:
    """Evaluates a few coefficient vectors, fits the losses, finds the front of the fits, and lets each preference have
    the coefficients on it that are the best there.

    Attributes:
        gather: reads the members.
        evaluations: how many coefficient vectors are evaluated; None: (m+1)(m+2).
        split, samples: on which split, and on how many of its samples at most.
        link: see `quadratic.Link`.
        search: finds the front.
        scalarization: see `scalarized.best_at`.
    """

    gather: FromMembers
    evaluations: int | None
    split: Literal["val", "train"]
    samples: int
    link: Link
    search: Search
    scalarization: Kind

    def __call__(self, model: ParetoModel, problem: Problem, data: Dataset, trust: Trust) -> Sequence[str]:
        """See `engine.method.Start`. Raises `SpecError` where too few vectors are evaluated for a fit."""
        told, m, space = self.gather(model, problem, data, trust), len(model.tasks), cast(TabulatedSpace, model.space)
        count = 2 * needed(m) if self.evaluations is None else self.evaluations
        if count < needed(m):
            raise SpecError(
                f"solver.evaluations: a quadratic of {m} coefficients has {needed(m)} numbers, so at least as many "
                f"coefficient vectors must be evaluated, but it is {count}; twice as many is the default"
            )
        split = evenly_spread(data if self.split == "train" else problem.data("val"), self.samples)
        measured = Measured(model, problem, list(batches(split, _BATCH, order=None, device="cpu")), data)
        points = sampled(count, m, self.search.seed)
        losses = measured.losses(points)
        finite = np.isfinite(losses).all(axis=1)
        if finite.sum() < needed(m):
            raise SpecError(
                f"solver.members: of {count} mixtures of the members only {finite.sum()} have finite losses, too few "
                f"for a quadratic of {m} coefficients: the members are too far apart"
            )
        fits = [Quadratic.fit(points.numpy()[finite], column, self.link) for column in losses[finite].T]
        self.fill(space, fits)
        size = f"{len(split):,} samples of {self.split}"  # type: ignore[arg-type]
        return [*told, *self._quality(measured, space, fits, f"{finite.sum()} coefficient vectors on {size}")]

    def fill(self, space: TabulatedSpace, fits: Sequence[Quadratic]) -> None:
        """Let the coefficients at each point of the space's lattice be the best on the surrogates' front."""
        scalarized = Scalarized(fits=fits, bound=self.search.bound, kind=self.scalarization)
        front = self.search.front(scalarized.losses, len(fits))
        chosen = scalarized.coefficients(space.points.double().numpy(), front)
        with torch.no_grad():
            space.table.copy_(torch.from_numpy(chosen))

    def _quality(self, measured: Measured, space: TabulatedSpace, fits: Sequence[Quadratic], on: str) -> list[str]:
        """How well the losses are fitted, and how far predictions are off at the front's vertices and center, whose
        coefficients were in no fit."""
        tasks, m = measured.model.tasks, len(fits)
        told = ", ".join(f"{fit.r2:.3f} ({task})" for fit, task in zip(fits, tasks, strict=True))
        checks = torch.cat([torch.eye(m), torch.full((1, m), 1 / m)])
        points = torch.stack([space.coefficients(row) for row in checks]).double()
        losses = measured.losses(points)
        predicted = np.stack([fit.at(points.numpy()) for fit in fits], axis=1)
        size = np.abs(losses).max(axis=0)
        with np.errstate(invalid="ignore"):
            error = (np.abs(predicted - losses) / np.where(size > 0, size, 1)).max(axis=0)
        lines = [f"quadratics fitted to the losses of {on}: R² {told}"]
        for task, fit, off in zip(tasks, fits, error, strict=True):
            if not fit.r2 >= _GOOD or not off <= _NEAR:
                lines.append(
                    f"a quadratic fits the loss of {task} badly: R² is {fit.r2:.3f}, and on the front that it led to "
                    f"predictions are off by up to {off:.0%} of that loss. More `evaluations`, or a smaller `bound` of "
                    "the coefficients, may help; a soup rests on no fit"
                )
        return lines


@frozen(eq=False)
class Measured:
    """Losses of merged networks on batches that are held; statistics of BatchNorm layers are taken anew for each."""

    model: ParetoModel
    problem: Problem
    batches: Sequence[Batch]
    training: Dataset

    @torch.no_grad()
    def losses(self, points: Tensor) -> Array:
        """Losses (n, m) at coefficients (n, m)."""
        model, rows = self.model, points.float()
        with modes_kept(model), cast(TabulatedSpace, model.space).by_coefficients():
            model.eval()
            statistics = [dict[str, Tensor]() for _ in rows]
            if model.norms():
                data = evenly_spread(self.training, _CALIBRATION)
                drop = len(data) > _BATCH  # type: ignore[arg-type]
                inputs = batches(data, _BATCH, order=None, device="cpu", drop_last=drop)
                statistics = model.batch_statistics(rows, (x for x, _ in inputs))
            found = [self._at({**model.weights(c), **own}) for c, own in zip(rows, statistics, strict=True)]
        return torch.stack(found).double().numpy()

    def _at(self, theta: dict[str, Tensor]) -> Tensor:
        tasks = self.problem.tasks
        totals: list[Tensor | float] = [0.0] * len(tasks)
        for x, targets in self.batches:
            outputs = self.model.call(theta, x)
            for t, task in enumerate(tasks):
                found = task.loss.statistics(outputs[task.output_key], targets[task.target_key])
                totals[t] = totals[t] + found.sum(dim=0, dtype=torch.float64)
        return torch.stack([task.loss.finish(cast(Tensor, total)) for task, total in zip(tasks, totals, strict=True)])
