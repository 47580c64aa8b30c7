"""`run_benchmark`: the cells that are missing, then the results of all."""

from __future__ import annotations

import contextlib
import itertools
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from moframework.benchmark.belonging import SPEC, refuse_another
from moframework.benchmark.cells import Cell, cell
from moframework.benchmark.collecting import collect
from moframework.benchmark.executor import Outcome
from moframework.benchmark.imported import read_all
from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.results import Results
from moframework.benchmark.saving import save
from moframework.benchmark.spec import Benchmark
from moframework.benchmark.tuning import Tuned, candidates, choose
from moframework.errors import InterruptedRun
from moframework.io.atomic import write_text
from moframework.run.signals import stop_signals

__all__ = ["Watcher", "default_folder", "run_benchmark"]

_STOPPED = 130


class Watcher:
    """Is told what happens, and does nothing with it: override what is of interest."""

    def planned(self, jobs: int, done: int) -> None:
        """A round begins: of `jobs` cells `done` are finished already."""

    def waiting(self, cells: Sequence[Cell], parallel: int | None) -> None:
        """The cells that the round will run, in this order, `parallel` at a time, where that is known."""

    def started(self, cell: Cell) -> None:
        """A cell starts, or goes on where it was interrupted."""

    def ended(self, cell: Cell, seconds: float) -> None:
        """A cell ended; its `state` and `message` say how."""


def run_benchmark(
    benchmark: Benchmark | Path | str | Mapping[str, object],
    out: Path | str | None = None,
    *,
    report_only: bool = False,
    watcher: Watcher | None = None,
    trust: bool = False,
) -> Results:
    """Run what is missing of a benchmark, and write its results.

    Only cells that are missing, unfinished or failed are run; one that was interrupted goes on where it was. Tuning
    comes first, for every contender; its runs serve as cells where seed and values agree. A cell that fails is recorded
    with its message and stops no other. What is written into `out`: `benchmark.yaml` (expanded), `cells/` (a run folder
    each, and its log), and the results: see `saving.save`.

    Args:
        benchmark: what `load_benchmark` gives, or what it takes.
        out: its folder; by default `runs/benchmark-NAME`. The same folder again goes on.
        report_only: run nothing; make the results of what is there.
        watcher: told about progress.
        trust: whether cells may import code that the runs named, by their solvers' `initial`, as networks to start
            from, name; the benchmark's own is always imported.

    Raises:
        InterruptedRun: asked to stop by SIGINT or SIGTERM; running cells were saved, and the results are not written.
        RunError: `out` holds another benchmark, without a problem or without a contender in common.
        SpecError: as `load_benchmark`; `tune.by` names no hypervolume of a problem, or a file that is imported is not
            as it should be.

    What was run so far of one, which here is nothing:

    >>> given = {"problems": ["quadratics"], "solvers": ["pamal", "palora"], "seeds": [0]}
    >>> results = run_benchmark(given, "runs/toys", report_only=True)
    >>> [(row.solver, [cell.state for cell in row.cells]) for row in results.groups[0].rows]
    [('pamal', ['missing']), ('palora', ['missing'])]
    """
    if not isinstance(benchmark, Benchmark):
        benchmark = load_benchmark(benchmark)
    imported = read_all(benchmark)
    folder = Path(out) if out is not None else default_folder(benchmark)
    refuse_another(benchmark, folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / SPEC, benchmark.to_yaml())
    work = _Work(benchmark, folder, None if report_only else watcher or Watcher(), trust)
    tuned = work.tune()
    results = collect(benchmark, work.cells(tuned), tuned, imported)
    save(results, folder)
    return results


def default_folder(benchmark: Benchmark) -> Path:
    """Where a benchmark lies unless told otherwise: `runs/benchmark-NAME`, so that the same command goes on."""
    return Path("runs") / f"benchmark-{benchmark.name or 'unnamed'}"


class _Work:
    """The rounds of one benchmark. Without a watcher nothing is run."""

    def __init__(self, benchmark: Benchmark, folder: Path, watcher: Watcher | None, trust: bool) -> None:
        self.benchmark, self.folder, self.watcher, self.trust = benchmark, folder, watcher, trust
        self.pairs = list(itertools.product(range(len(benchmark.problems)), range(len(benchmark.solvers))))

    def tune(self) -> dict[tuple[int, int], Tuned]:
        """What is chosen for each pair of problem and solver; empty when nothing is tuned."""
        tuning = self.benchmark.tune
        if tuning is None:
            return {}
        choices = candidates(tuning)
        trials = {
            pair: [cell(self.benchmark, self.folder, *pair, tuning.seed, choice) for choice in choices]
            for pair in self.pairs
        }
        self.run(list(itertools.chain(*trials.values())))
        return {pair: choose(tuning, cells) for pair, cells in trials.items()}

    def cells(self, tuned: dict[tuple[int, int], Tuned]) -> dict[tuple[int, int], tuple[Cell, ...]]:
        """The cells of each pair, one a seed, after running them; none where tuning chose nothing."""
        cells: dict[tuple[int, int], tuple[Cell, ...]] = {}
        for pair in self.pairs:
            choice = tuned[pair].choice if pair in tuned else {}
            seeds = () if choice is None else self.benchmark.seeds
            cells[pair] = tuple(cell(self.benchmark, self.folder, *pair, seed, choice) for seed in seeds)
        # Seed by seed, so that a benchmark that is stopped early has compared all contenders on something.
        ordered = [one for row in itertools.zip_longest(*cells.values()) for one in row if one is not None]
        self.run(ordered)
        return cells

    def run(self, cells: Sequence[Cell]) -> None:
        """Run the cells that are not done, each once."""
        if self.watcher is None:
            return
        distinct = {one.folder: one for one in cells}
        open_ = [one for one in distinct.values() if one.state != "done"]
        self.watcher.planned(len(distinct), len(distinct) - len(open_))
        if not open_:
            return
        self.watcher.waiting(open_, self.benchmark.executor.parallel())
        by_job = {one.prepare(trust=self.trust): one for one in open_}
        with stop_signals() as stop:
            started = self.watcher.started
            ended = self.benchmark.executor.run(list(by_job), started=lambda job: started(by_job[job]), stop=stop)
            with contextlib.closing(ended):
                for outcome in ended:
                    _record(by_job[outcome.job], outcome, stopping=stop())
                    self.watcher.ended(by_job[outcome.job], outcome.seconds)
            if stop():
                done = sum(one.state == "done" for one in distinct.values())
                raise InterruptedRun(
                    f"stopped: {done} of {len(distinct)} cells of this round are done. The same command goes on; "
                    "with --report-only it makes the results of what there is."
                )


def _record(one: Cell, outcome: Outcome, *, stopping: bool) -> None:
    """Note why a cell failed, or what it took; one that was stopped on request did not fail."""
    if one.state == "done":
        one.note_seconds(outcome.seconds)
        return
    if outcome.late:
        one.fail(
            f"ended after {outcome.seconds:.0f} s, as the executor's `limit` says. What it had saved is kept: with a "
            "larger limit (--set executor.limit=SECONDS) it goes on."
        )
        return
    if outcome.code == _STOPPED or (stopping and outcome.code < 0):
        return
    how = f"exit code {outcome.code}"
    if outcome.code < 0:
        name = signal.Signals(-outcome.code).name
        how = f"killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
    one.fail("\n".join(filter(None, [outcome.said, how if outcome.code < 0 or not outcome.said else ""])))
