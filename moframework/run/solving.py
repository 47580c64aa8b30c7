"""`solve`: a spec to a run directory; `check`: all that can be known before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import attrs
from attrs import field, frozen
from matplotlib.image import imsave

from moframework.config import Trust
from moframework.data import Split
from moframework.engine.checkpoint import BEST, LAST, exists, recover
from moframework.engine.evaluate import Evaluator, calibration_data
from moframework.engine.events import Observer
from moframework.engine.fit import UNTRAINED, Fit, fit
from moframework.engine.loop import Hook, Loop
from moframework.errors import MoframeworkError, RunError, SpecError, shortened
from moframework.io.atomic import PREFIX, atomic_write, remove_leftovers
from moframework.io.lock import LOCK, OWNER, FolderLock
from moframework.io.sealed import FORMAT, write_json, write_sealed_yaml
from moframework.loggers import Results
from moframework.model import ParetoModel
from moframework.pareto.front import Front
from moframework.pareto.plots import front_figure, pixels
from moframework.processes.launch import launched_world
from moframework.processes.world import World
from moframework.run.batchnorm_gap import batchnorm_gap
from moframework.run.constraining import Constraining, conditions_of, limit_dial
from moframework.run.ending import Ending
from moframework.run.environment import environment
from moframework.run.flat_start import FlatStart
from moframework.run.history import History
from moframework.run.memory import keep_freed_memory, peak_memory
from moframework.run.plan import Plan, plan
from moframework.run.progress import watching
from moframework.run.reference import untrained_losses
from moframework.run.rehearsal import rehearse
from moframework.run.report import Notes, report, write_report
from moframework.run.resuming import check_changes, is_longer
from moframework.run.run import CHECKPOINTS, DATA, ENVIRONMENT, HISTORY, MODEL, SPEC, STATUS, Run
from moframework.run.searching import Searching
from moframework.run.signals import StopRequest, stop_signals
from moframework.run.splits import compare_splits, describe_splits, write_splits
from moframework.run.timing import Timing
from moframework.run.watching import watched
from moframework.spec import Spec, load_spec

__all__ = ["check", "solve"]

_OWN_REHEARSAL = 100
"""A training of so many steps is tried out by itself: little is lost where it fails at its end."""

_DPI = 120  # of the picture of the front


def check(spec: Spec | Path | str | Mapping[str, Any], *, trust: Trust = False, verbose: bool = False) -> list[str]:
    """Do all that can be known before training, and describe it in a few lines. A few samples go all the way: through
    a step, a checkpoint, an evaluation, saving, loading and `at(λ)`.

    Args:
        spec: a spec, a path or bundled name, or a mapping; code that it names is imported.
        trust: what may be imported where the run that `solver.initial` names, names code.
        verbose: tell too what each acceleration does, and why the others do not apply.

    Raises:
        SpecError, DataError: what is wrong with the spec or its data.

    >>> lines = check({"problem": "quadratics", "solver": {"name": "pamal"}})
    >>> lines[3]
    'solver      pamal, 4 parameters (+2, +100.0%)'
    """
    ready = plan(_loaded(spec), trust=trust)
    lines = ready.describe(verbose)
    return [*lines, *(f"tried out   {left_out}" for left_out in rehearse(ready))]


def solve(
    spec: Spec | Path | str | Mapping[str, Any],
    out: Path | str | None = None,
    *,
    resume: bool = False,
    device: str | None = None,
    observers: Sequence[Observer] = (),
    progress: bool = False,
    trust: Trust = False,
) -> Run:
    """Solve `spec`: train, evaluate, and leave everything in a run directory.

    Where torchrun has started several processes, each calls this alike, and they solve it together: `training.
    distributed` says how. The first one writes the run directory and is heard by `observers`; all stop together. A run
    can be resumed by another number of processes. Whatever ends it is recorded in its `status.json`, with the traceback
    in `log.txt`. One process at a time solves in a folder.

    Args:
        spec: a spec, a path or bundled name, or a mapping, with relative paths from the working directory; with
            `resume` also a run folder.
        out: the run directory; by default `runs/<name>-<date>-<time>`.
        resume: continue the run in `out` (or in `spec`) where its last checkpoint ends; a run that was never started is
            started, a finished one is returned. With a spec that trains longer a finished run goes on, and whatever
            follows the course of the training (learning rates, preferences, averages) is from there on that of the
            longer one. What else a spec may change: `moframework.run.resuming.CHANGEABLE`.
        device: replaces `training.device`.
        observers: told about progress, beside the run's own logs.
        progress: show it, too, by `run.progress.watching`; by default nothing is printed.
        trust: what may be imported where a run folder to resume, or the run that `solver.initial` names, names code;
            code that `spec` itself names is always imported. See `Run`.

    Raises:
        SpecError, DataError: before anything is written; also where the data of a run to resume has changed.
        RunError: `out` holds another run, or another process solves it; nothing to resume; memory or disk is full.
        NonFiniteLossError: during training; the last good checkpoint is kept.
        InterruptedRun: SIGINT, SIGTERM or SIGHUP asked for it; the step is finished and saved. A second ends at once.
        PeerError: another process failed, and raises one of these or what else went wrong.

    >>> run = solve({"problem": "quadratics", "solver": "pamal", "training": {"epochs": 1}, "log": []}, "runs/toy")
    >>> run.status, run.front("test").preferences.shape
    ('done', (11, 2))
    """
    if resume:
        spec, out = _to_resume(spec, out, trust)
    loaded = _loaded(spec) if device is None else _on(_loaded(spec), device)
    with launched_world() as world, stop_signals(polled=False) as stop:
        folder, done = world.from_rank_zero(lambda: _chosen(loaded, out, resume, trust))
        if not done:
            _Solving(loaded, folder, world, stop, trust, observers, progress).run(resume)
    return Run(folder, trust=trust)


def _to_resume(
    spec: Spec | Path | str | Mapping[str, Any], out: Path | str | None, trust: Trust
) -> tuple[Spec | Path | str | Mapping[str, Any], Path | str]:
    """Spec and run folder, where the folder may have been given in place of the spec. Raises `RunError` without one."""
    if isinstance(spec, str | Path) and Path(spec).is_dir():
        return Run(spec, trust=trust).spec, Path(spec if out is None else out)
    if out is None:
        raise RunError("resume needs the run folder: give --out RUN, or the run folder in place of the spec")
    return spec, out


@frozen
class _Solving:
    """One `solve` of a run that is not done."""

    spec: Spec
    folder: Path
    world: World
    stop: StopRequest
    trust: Trust
    observers: Sequence[Observer]
    progress: bool
    timing: Timing = field(factory=Timing)
    notes: Notes = field(factory=Notes)
    history: History = field(factory=History)

    def run(self, resume: bool) -> None:
        """Hold the folder, prepare, train or search, evaluate and write; whatever ends it is recorded."""
        world = self.world
        with contextlib.ExitStack() as stack:
            world.from_rank_zero(lambda: stack.enter_context(_held(self.folder, self.spec, resume, self.trust)))
            shown = stack.enter_context(watching(quiet=not (self.progress and world.is_rank_zero)))
            ending = stack.enter_context(Ending(self.folder, world))
            with self.timing.phase("start_up"):
                ready = self.prepare(ending)
            act = self.train if ready.method.search is None else self.search
            act(ready, ending, (self.notes, self.history, *self.observers, *shown))
            world.any_rank(False)  # all is written when the first process comes here

    def prepare(self, ending: Ending) -> Plan:
        """Read the data, and write down what will be done."""
        self.stop.during("reading the data")
        world, folder = self.world, self.folder
        with world.fail_together():
            ready = plan(self.spec, world, self.trust)
            splits = describe_splits(ready.data, ready.labels)
            compare_splits(folder / DATA, splits)
            if ready.steps > _OWN_REHEARSAL and world.is_rank_zero and not exists(folder / CHECKPOINTS / LAST):
                rehearse(ready)
            text = _text(self.spec, folder)
        with world.fail_together():
            if world.is_rank_zero:
                remove_leftovers(folder)
                write_sealed_yaml(folder / SPEC, text)
                write_splits(folder / DATA, splits)
                write_json(folder / ENVIRONMENT, {"format": FORMAT, **environment(world)})
                ending.state("running")
        return ready

    def train(self, ready: Plan, ending: Ending, observers: Sequence[Observer]) -> None:
        """Train, evaluate, and write the results."""
        spec, model, place, world, stop = ready.spec, ready.model, ready.place, self.world, self.stop
        keep_freed_memory()
        place.move(model)
        checkpoints = self.folder / CHECKPOINTS
        stop.during("evaluating the untrained network")
        evaluator = Evaluator.of_spec(spec.problem, place, spec.training, spec.evaluate, world)
        with self.timing.phase("evaluation"):
            reference = ready.reference or untrained_losses(ready, evaluator)
        resume = world.from_rank_zero(lambda: exists(checkpoints / LAST))
        stop.during("training")
        with watched(ready, self.folder, observers, world) as watch:
            for text in ready.remarks() if world.is_rank_zero else ():
                self.notes.noted(text)
            with stop.polled():
                job = ready.job(checkpoints, reference)
                self.timing.starting()
                result = UNTRAINED
                if ready.method.trains:
                    result = fit(job, observer=watch, resume=resume, stop=stop, world=world, around=self.hooks)
            stop.during("evaluating the model")
            if spec.evaluate.checkpoint == "best" and world.from_rank_zero(lambda: exists(checkpoints / BEST)):
                best = world.from_rank_zero(lambda: recover(checkpoints / BEST, watch.noted))
                model.load_state_dict(best["model"])
            evaluator = attrs.evolve(evaluator, reference=reference)
            self.limit(ready, evaluator, watch.noted)
            fronts = self.fronts(ready, evaluator)
            stop.during("writing the results")
            if world.is_rank_zero:
                facts = self.write(ready, result, fronts)
                watch.ended(
                    Results(fronts={str(split): front for split, front in fronts.items()}, facts=facts, model=model)
                )
        if world.is_rank_zero:
            ending.state("done", **facts)

    def search(self, ready: Plan, ending: Ending, observers: Sequence[Observer]) -> None:
        """Search a function in the place of a training, and write the results."""
        keep_freed_memory()
        self.stop.during("searching")
        with watched(ready, self.folder, observers, self.world) as watch:
            for text in ready.remarks():
                self.notes.noted(text)
            with self.stop.polled():
                found = Searching(
                    ready=ready, folder=self.folder, observer=watch, timing=self.timing, stop=self.stop
                ).run()
            self.stop.during("writing the results")
            with self.timing.phase("writing"):
                _write(self.folder, found.ready.model, found.fronts)
            facts = {**_facts(found.ready, found.fit, found.fronts), **found.counts}
            write_report(self.folder, report(found.ready, facts, found.fronts, self.timing, self.notes))
            fronts = {str(split): front for split, front in found.fronts.items()}
            watch.ended(Results(fronts=fronts, facts=facts, model=found.ready.model))
        ending.state("done", **facts)

    def fronts(self, ready: Plan, evaluator: Evaluator) -> dict[Split, Front]:
        """The fronts of the trained model on `val` and `test`."""
        calibration = calibration_data(ready.spec.evaluate, ready.data["train"])
        evaluator = attrs.evolve(evaluator, calibration=calibration)
        splits: tuple[Split, ...] = ("val", "test")
        with self.timing.phase("evaluation"):
            model, preferences = ready.model, ready.preferences
            fronts = {split: evaluator.front(model, ready.data[split], preferences, split) for split in splits}
            if calibration is None:
                gap = batchnorm_gap(model, evaluator, ready.data["train"], ready.data["val"], preferences)
                if gap is not None:
                    self.notes.noted(gap)
        return fronts

    def limit(self, ready: Plan, evaluator: Evaluator, noted: Callable[[str], None]) -> None:
        """Let the dial of the trained model be what meets the spec's constraints."""
        conditions = conditions_of(ready.spec)
        if not conditions:
            return
        with self.timing.phase("evaluation"):
            calibration = calibration_data(ready.spec.evaluate, ready.data["train"])
            evaluator = attrs.evolve(evaluator, calibration=calibration)
            limit_dial(conditions, ready.model, evaluator, ready.data["val"], ready.preferences, noted)

    def hooks(self, loop: Loop, hooks: list[Hook]) -> list[Hook]:
        """The hooks of the training, with those of the report, the history, and constraints."""
        conditions = conditions_of(self.spec)
        own: list[Hook] = [self.notes.hook, self.history.hook, FlatStart()]
        if conditions:
            own.append(Constraining(conditions, loop, lambda: self.timing.phase("evaluation")))
        return self.timing.around(loop, [*own, *hooks])

    def write(self, ready: Plan, result: Fit, fronts: Mapping[Split, Front]) -> dict[str, Any]:
        """Write the results and the report, and return what the status of the finished run tells."""
        with self.timing.phase("writing"):
            _write(self.folder, ready.model, fronts)
            self.history.write(self.folder / HISTORY, fronts["val"])
        facts = _facts(ready, result, fronts)
        times = self.history.times()
        write_report(self.folder, report(ready, facts, fronts, self.timing, self.notes, self.world.size, times))
        return facts


@contextlib.contextmanager
def _held(folder: Path, spec: Spec, resume: bool, trust: Trust) -> Iterator[None]:
    """Hold the run folder, which is made, and is removed again when nothing was written into it.

    Raises:
        RunError: it cannot be written, another process holds it, or it holds another run by now.
    """
    made = not folder.exists()
    try:
        with contextlib.ExitStack() as stack:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FolderLock(folder))
            except OSError as error:
                raise RunError(f"{folder} cannot be written ({error.strerror}). Choose another --out.") from error
            _compare(folder, spec, resume, trust)
            yield
    finally:
        if made and folder.is_dir() and not (folder / SPEC).is_file():
            (folder / LOCK).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                folder.rmdir()


def _chosen(spec: Spec, out: Path | str | None, resume: bool, trust: Trust) -> tuple[Path, bool]:
    """The run folder, and whether the run in it is done. Raises `RunError` when it cannot be used."""
    name = spec.name or "run"
    folder = Path(out) if out is not None else Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    _compare(folder, spec, resume, trust)
    if not resume or not (folder / STATUS).is_file() or is_longer(Run(folder, trust=trust).spec, spec):
        return folder, False
    return folder, Run(folder).status == "done" and not Run(folder).damaged()


def _loaded(spec: Spec | Path | str | Mapping[str, Any]) -> Spec:
    return spec if isinstance(spec, Spec) else load_spec(spec)


def _text(spec: Spec, folder: Path) -> str:
    """What the run's spec file says. Raises `SpecError` where a run could not say what it solved."""
    try:
        return spec.to_yaml(folder)
    except (MoframeworkError, TypeError) as error:
        raise SpecError(
            "problem: it is made of objects in memory, so that the run could not say what it solves. Name it instead: "
            '{"python": "./mine.py:problem"}, or "__main__:problem" for one of this notebook or script, where '
            f"`problem` is the object or a function that returns it ({shortened(' '.join(str(error).split()), 80)})"
        ) from error


def _on(spec: Spec, device: str) -> Spec:
    """`spec` on another device."""
    training = attrs.evolve(cast(Any, spec.training), device=device)
    return cast(Spec, attrs.evolve(cast(Any, spec), training=training))


def _compare(folder: Path, spec: Spec, resume: bool, trust: Trust) -> None:
    """Refuse to overwrite another run, or to resume one with a spec that changes more than it may."""
    if not (folder / SPEC).is_file():
        # A process that was killed before it had written the spec leaves its lock and what was unfinished.
        if folder.is_dir() and any(not path.name.startswith((LOCK, OWNER, PREFIX)) for path in folder.iterdir()):
            raise RunError(f"{folder} exists, is not empty, and is not a run. Choose another --out.")
        return
    if not resume:
        raise RunError(f"{folder} already holds a run. Continue it with --resume, or choose another --out.")
    check_changes(folder, Run(folder, trust=trust).spec, spec)


def _write(folder: Path, model: ParetoModel, fronts: Mapping[Split, Front]) -> None:
    model.save(folder / MODEL)
    for split, value in fronts.items():
        value.save(folder / f"front-{split}.json")
    with atomic_write(folder / "front.png") as partial:
        imsave(partial, pixels(front_figure(fronts["test"]), dpi=_DPI), format="png", dpi=_DPI)


def _facts(ready: Plan, result: Fit, fronts: Mapping[Split, Front]) -> dict[str, Any]:
    """What the status of a finished run tells."""
    return {
        "steps": result.steps,
        "skipped_steps": result.skipped_steps,
        "training_seconds": round(result.training_seconds, 3),
        "processor_seconds": round(result.processor_seconds, 3),
        "compile_seconds": result.compile_seconds,
        "peak_memory": peak_memory(ready.place.device),
        "backbone_parameters": ready.backbone_parameters,
        "parameters": sum(parameter.numel() for parameter in ready.model.space.parameters()),
        "hypervolumes": {split: value.hypervolumes() for split, value in fronts.items()},
    }
