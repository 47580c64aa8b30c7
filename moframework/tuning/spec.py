"""What a study is made from: a run's spec, or a benchmark, with ranges and a budget."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from moframework.benchmark.spec import Benchmark, key_refused
from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.run.resuming import BUDGET
from moframework.spec import Spec
from moframework.tuning.ranges import Range

__all__ = ["ContenderSearch", "Contest", "Pruning", "Search", "Study", "key_fault"]


@config
class Pruning:
    """When a trial is stopped early: its best validation hypervolume so far is not among the better ones that earlier
    trials had at the same epoch (Optuna's percentile pruner; of half of them, the median)."""

    keep: float = option(0.5, gt=0, lt=1, help="share of the earlier trials among which a trial must be to go on")
    startup: int = option(5, ge=1, help="trials that come to their end before any is pruned")
    warmup: int = option(0, ge=0, help="epochs of each trial in which it is not pruned")


@config
class Search:
    """Which options are tuned over which ranges, and the budget of that."""

    ranges: dict[str, Range] = option(
        help="what is tried by key: `training.optimizer.lr: {log: [1e-4, 1e-2]}`; log, uniform, integers, log_integers "
        "or choices"
    )
    trials: int = option(20, ge=1, le=10_000, help="trials in all, whatever becomes of them")
    seconds: float | None = option(None, gt=0, help="seconds after which no further trial begins; none: any")
    processor_seconds: float | None = option(
        None, gt=0, help="processor seconds of all trials after which no further one begins; none: any"
    )
    epochs: int | None = option(None, ge=1, help="epochs of a trial; none: as many as the spec trains")
    by: str = option("losses", help="which validation hypervolume decides: losses, or a metric that all tasks have")
    sampler: Literal["tpe", "random"] = option(
        "tpe", help="what is tried next: by a tree-structured Parzen estimator from earlier trials, or at random"
    )
    startup: int = option(10, ge=1, help="trials at random before tpe begins")
    seed: int = option(0, ge=0, help="of the sampler; runs have the spec's own seed")
    pruning: Pruning | None = option(None, help="stop trials early by their validations; none: no trial is stopped")
    jobs: int = option(
        1, ge=1, le=1024, help="trials at a time, which share the cores; with one a study repeats bit by bit"
    )

    def __attrs_post_init__(self) -> None:
        if not self.ranges:
            raise OptionError("ranges must name at least one key, such as training.optimizer.lr", "ranges")


@config
class ContenderSearch(Search):
    """The search of every contender of a benchmark: ranges for all, ranges of each, and the budget of one."""

    ranges: dict[str, Range] = option(factory=dict, help="what is tried of every contender, by key")
    contenders: dict[str, dict[str, Range]] = option(
        factory=dict, help="what is tried of one contender beside that, by its label: `palora: {solver.rank: …}`"
    )
    trials: int = option(20, ge=1, le=10_000, help="trials of each contender on each problem")
    seconds: float | None = option(
        None, gt=0, help="seconds of each contender after which no further trial begins; none: any"
    )
    processor_seconds: float | None = option(
        None, gt=0, help="processor seconds of each contender after which no further trial begins; none: any"
    )

    def __attrs_post_init__(self) -> None:
        if not self.ranges and not any(self.contenders.values()):
            raise OptionError("ranges must name at least one key, of all or of some `contenders`", "ranges")

    @property
    def size(self) -> int:
        """How many runs there are of a contender, beside those of the benchmark."""
        return self.trials

    def of(self, title: str) -> dict[str, Range]:
        """All ranges of one contender; its own go before those of every one."""
        return {**self.ranges, **self.contenders.get(title, {})}


@config
class Study(Spec):
    """A run's spec with what is tuned of it.

    >>> from moframework.tuning.loading import load_study
    >>> tune = {"ranges": {"solver.rank": {"integers": [1, 8]}}, "trials": 3}
    >>> load_study({"problem": "digits", "solver": "palora", "tune": tune}).tune.ranges["solver.rank"].ends
    (1, 8)
    """

    tune: Search = option(
        help="ranges of options, and the budget of the search in them, as in {ranges: {training.optimizer.lr: {log: "
        "[1e-4, 1e-2]}}, trials: 20}"
    )

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.tune.epochs is not None and self.training.steps is not None:
            raise OptionError("epochs has no meaning here: training.steps says how long a run trains", "tune.epochs")
        if self.tune.pruning is not None and self.training.steps is None:
            self._check_validations()

    def _check_validations(self) -> None:
        every, epochs = self.evaluate.every, self.tune.epochs or self.training.epochs or 10
        if not type(self.solver).trains or type(self.solver).searches:
            why = "the solver does not train"
        elif every == 0:
            why = "evaluate.every is 0"
        elif epochs <= every:
            long = f"{epochs} {'epoch' if epochs == 1 else 'epochs'}"
            why = f"evaluate.every is {every}, and a trial has {long}, so that it validates at its end alone"
        else:
            return
        raise OptionError(
            f"there are no validations to prune by: {why}. Validate more often, or leave pruning out", "tune.pruning"
        )


@config
class Contest(Benchmark):
    """A benchmark with what is tuned of its contenders, all within the same budget, on each problem.

    Runs have the first of `seeds`. What was found is written as a benchmark, which `moframework benchmark` runs.
    """

    tune: ContenderSearch = option(  # type: ignore[assignment]
        help="ranges of options, and the budget of each contender on each problem"
    )


def key_fault(key: str, others: Iterable[str]) -> str | None:
    """Why a key cannot be tuned, whatever its range: it is not of the answer but of the question, or it is the budget.

    Args:
        key: such as `training.optimizer.lr`.
        others: the other keys that are tuned.
    """
    refused = key_refused(key)
    if refused is not None:
        return refused
    if key in BUDGET:
        return "cannot be tuned: it is the budget of a run, which all trials share"
    below = next((other for other in others if other.startswith(f"{key}.")), None)
    return None if below is None else f"cannot be tuned beside {below}, which is a part of it"
