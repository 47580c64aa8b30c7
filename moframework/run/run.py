"""`solve`: a spec to a run directory; `Run`: a run directory as an object."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from moframework.data import Split
from moframework.engine.checkpoint import BEST, LAST, read_checkpoint
from moframework.engine.evaluate import Evaluator, calibration_data
from moframework.engine.events import Observer, Observers
from moframework.engine.fit import fit
from moframework.errors import InterruptedRun, MoframeworkError, RunError, nearest
from moframework.io.atomic import atomic_write, remove_leftovers, write_text
from moframework.model import ParetoModel
from moframework.pareto.front import Front
from moframework.pareto.plots import front_figure
from moframework.processes.launch import launched_world
from moframework.processes.world import World
from moframework.run.environment import environment
from moframework.run.logs import TensorBoardLog, TextLog
from moframework.run.memory import keep_freed_memory, peak_memory
from moframework.run.plan import Plan, plan
from moframework.run.signals import stop_signals
from moframework.run.splits import compare_splits, describe_splits, write_splits
from moframework.spec import Spec, load_spec

__all__ = ["Run", "check", "solve"]

_SPEC, _STATUS, _ENVIRONMENT, _LOG = "spec.yaml", "status.json", "environment.json", "log.txt"
_CHECKPOINTS, _EVENTS, _MODEL, _DATA = "checkpoints", "events", "model", "data.json"


class Run:
    """A run directory.

    Example::

        run = Run("runs/quickstart-20260101-120000")
        front = run.front("test")
        network = run.model().at([0.3, 0.7])

    Raises:
        RunError: `path` is not a run.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not (self.path / _SPEC).is_file():
            hint = ""
            if self.path.parent.is_dir():
                guess = nearest(self.path.name, [p.name for p in self.path.parent.iterdir() if (p / _SPEC).is_file()])
                hint = f" Did you mean {self.path.parent / guess}?" if guess else ""
            raise RunError(f"{self.path} is not a run folder: it has no {_SPEC}.{hint} `moframework solve` makes one.")

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def spec(self) -> Spec:
        """The expanded spec that the run solves."""
        return load_spec(self.path / _SPEC)

    @property
    def status(self) -> str:
        """`running`, `done`, `interrupted` or `failed`. A run whose process was killed stays `running`."""
        return str(self.summary().get("status", "running"))

    def summary(self) -> dict[str, Any]:
        """What `status.json` says: status, seconds, steps, hypervolumes, parameters; empty when it does not exist
        yet."""
        path = self.path / _STATUS
        return dict(json.loads(path.read_text())) if path.is_file() else {}

    def front(self, split: str = "test") -> Front:
        """The evaluated front of `split`, `val` or `test`.

        Raises:
            RunError: not evaluated yet.
        """
        path = self.path / f"front-{split}.json"
        if not path.is_file():
            have = sorted(p.stem.removeprefix("front-") for p in self.path.glob("front-*.json"))
            raise RunError(
                f"{self.path} has no front of split '{split}' (status: {self.status}). "
                + (f"It has: {', '.join(have)}." if have else f"Finish it with: moframework solve {self.path} --resume")
            )
        return Front.load(path)

    def delta_m(self, single: Run, split: str = "test") -> NDArray[np.float64]:
        """Δm % of each point (n,) against a run of single-task networks, such as `stl`; see `Front.delta_m`.

        Raises:
            RunError: the other run is no single-task learning, solves another problem, or either has no such front.
        """
        one, other = self.spec, single.spec
        if not type(other.solver).single_task:
            raise RunError(
                f"{single.path} is no run of single-task networks, which Δm refers to: "
                f"its solver is {type(other.solver).__name__}. Solve the same problem with solver: stl."
            )
        if one.problem != other.problem:
            raise RunError(f"{single.path} solves another problem than {self.path}, or with other options of it")
        try:
            return self.front(split).delta_m(single.front(split))
        except ValueError as error:
            raise RunError(f"{self.path} cannot be held against {single.path}: {error}") from error

    def model(self, device: torch.device | str = "cpu") -> ParetoModel:
        """The trained model. Raises `RunError` when the run has not finished."""
        return ParetoModel.load(self.path / _MODEL, device)


def check(spec: Spec | Path | str | Mapping[str, Any]) -> list[str]:
    """Do all that can be known before the first batch, and describe it in a few lines.

    Raises:
        SpecError, DataError: what is wrong with the spec or its data.
    """
    return plan(_loaded(spec)).describe()


def solve(
    spec: Spec | Path | str | Mapping[str, Any],
    out: Path | str | None = None,
    *,
    resume: bool = False,
    device: str | None = None,
    observers: Sequence[Observer] = (),
) -> Run:
    """Solve `spec`: train, evaluate, and leave everything in a run directory.

    Where torchrun has started several processes, each calls this alike, and they solve it together: `training.
    distributed` says how. The first one writes the run directory and is heard by `observers`; all stop together. A run
    can be resumed by another number of processes.

    Args:
        spec: a spec, a path or bundled name, or a mapping. With `resume` also a run folder.
        out: the run directory; by default `runs/<name>-<date>-<time>`.
        resume: continue the run in `out` (or in `spec`) where its last checkpoint ends; a run that was never started is
            started, a finished one is returned.
        device: replaces `training.device`.
        observers: told about progress, beside the run's own logs.

    Raises:
        SpecError, DataError: before anything is written; also where the data of a run to resume has changed.
        RunError: `out` holds another run, or there is nothing to resume.
        NonFiniteLossError, InterruptedRun: during training; the last good checkpoint is kept.
        PeerError: another process failed, and raises one of these or what else went wrong.
    """
    with launched_world() as world:
        return _solve(world, spec, out, resume, device, observers)


def _solve(
    world: World,
    spec: Spec | Path | str | Mapping[str, Any],
    out: Path | str | None,
    resume: bool,
    device: str | None,
    observers: Sequence[Observer],
) -> Run:
    if resume and isinstance(spec, str | Path) and Path(spec).is_dir():
        out = Path(spec) if out is None else Path(out)
        spec = Run(spec).spec
    loaded = _loaded(spec)
    if device is not None:
        loaded = _on(loaded, device)
    if resume and out is None:
        raise RunError("resume needs the run folder: give --out RUN, or the run folder in place of the spec")
    folder, done = world.from_rank_zero(lambda: _chosen(loaded, out, resume))
    if done:
        return Run(folder)
    with world.fail_together():
        ready = plan(loaded, world)
        splits = describe_splits(ready.data)
        compare_splits(folder / _DATA, splits)
    started = time.time()
    with world.fail_together():
        if world.is_rank_zero:
            folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(folder)
            write_text(folder / _SPEC, loaded.to_yaml())
            write_splits(folder / _DATA, splits)
            write_text(folder / _ENVIRONMENT, json.dumps(environment(world), indent=2) + "\n")
            _state(folder, "running", started=started)
    try:
        _train(ready, folder, observers, started, world)
        world.any_rank(False)  # all is written when the first process comes here
    except InterruptedRun as error:
        if world.is_rank_zero:
            _state(folder, "interrupted", started=started, message=str(error))
        raise InterruptedRun(f"{error}. Continue with: moframework solve {folder} --resume") from None
    except Exception as error:
        blamed = _record_failure(error, folder, started, world)
        if blamed is not None:
            raise blamed from error
        raise
    return Run(folder)


def _record_failure(error: Exception, folder: Path, started: float, world: World) -> Exception | None:
    """Write why the run failed. Returns what to raise in place of `error` where another process failed first."""
    with stop_signals():  # torchrun ends those that another process has left behind
        blamed = world.root_cause(error)
        if world.is_rank_zero and isinstance(error, MoframeworkError | RuntimeError | OSError | MemoryError):
            message = f"{type(error).__name__}: {error}" if blamed is None else str(blamed)
            _state(folder, "failed", started=started, message=message)
    return blamed


def _chosen(spec: Spec, out: Path | str | None, resume: bool) -> tuple[Path, bool]:
    """The run folder, and whether the run in it is done. Raises `RunError` when it cannot be used."""
    name = spec.name or "run"
    folder = Path(out) if out is not None else Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    _compare(folder, spec, resume)
    return folder, resume and (folder / _STATUS).is_file() and Run(folder).status == "done"


def _loaded(spec: Spec | Path | str | Mapping[str, Any]) -> Spec:
    return spec if isinstance(spec, Spec) else load_spec(spec)


def _on(spec: Spec, device: str) -> Spec:
    """`spec` on another device."""
    training = attrs.evolve(cast(Any, spec.training), device=device)
    return cast(Spec, attrs.evolve(cast(Any, spec), training=training))


def _compare(folder: Path, spec: Spec, resume: bool) -> None:
    """Refuse to overwrite another run, or to resume one with another spec (the device may differ)."""
    if not (folder / _SPEC).is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise RunError(f"{folder} exists, is not empty, and is not a run. Choose another --out.")
        return
    if not resume:
        raise RunError(f"{folder} already holds a run. Continue it with --resume, or choose another --out.")

    def comparable(one: Spec) -> str:
        return cast(str, attrs.evolve(cast(Any, _on(one, "auto")), name=None).to_yaml())

    before, after = comparable(Run(folder).spec).splitlines(), comparable(spec).splitlines()
    if before != after:
        changed = [f"{old.strip()} → {new.strip()}" for old, new in zip(before, after, strict=False) if old != new]
        raise RunError(
            f"{folder} was made from another spec; first difference: {changed[0] if changed else 'its length'}. "
            f"Resume with `moframework solve {folder} --resume`, or start a new run with another --out."
        )


def _train(ready: Plan, folder: Path, observers: Sequence[Observer], started: float, world: World) -> None:
    spec, model, place = ready.spec, ready.model, ready.place
    keep_freed_memory()
    place.move(model)
    checkpoints = folder / _CHECKPOINTS
    evaluator = Evaluator.of_spec(spec.problem, place, spec.training, spec.evaluate, world)
    reference = ready.reference or _untrained(ready, evaluator)
    resume = world.from_rank_zero((checkpoints / LAST).is_file)
    with stop_signals() as stop, _watched(ready, folder, observers, world) as observer:
        result = fit(ready.job(checkpoints, reference), observer=observer, resume=resume, stop=stop, world=world)
    if spec.evaluate.checkpoint == "best" and world.from_rank_zero((checkpoints / BEST).is_file):
        model.load_state_dict(world.from_rank_zero(lambda: read_checkpoint(checkpoints / BEST))["model"])
    evaluated: tuple[Split, ...] = ("val", "test")
    calibration = calibration_data(spec.evaluate, ready.data["train"])
    evaluator = attrs.evolve(evaluator, reference=reference, calibration=calibration)
    fronts = {split: evaluator.front(model, ready.data[split], ready.preferences, split) for split in evaluated}
    if not world.is_rank_zero:
        return
    model.save(folder / _MODEL)
    for split, value in fronts.items():
        value.save(folder / f"front-{split}.json")
    with atomic_write(folder / "front.png") as partial:
        front_figure(fronts["test"]).savefig(partial, dpi=120)
    _state(
        folder, "done", started=started, steps=result.steps, training_seconds=round(result.training_seconds, 3),
        processor_seconds=round(result.processor_seconds, 3), compile_seconds=result.compile_seconds,
        peak_memory=peak_memory(place.device),
        backbone_parameters=ready.backbone_parameters, parameters=sum(p.numel() for p in model.space.parameters()),
        hypervolumes={split: value.hypervolumes() for split, value in fronts.items()},
    )  # fmt: skip


@contextlib.contextmanager
def _watched(ready: Plan, folder: Path, observers: Sequence[Observer], world: World) -> Iterator[Observer]:
    """What watches the training: logs and `observers` in the first process, nothing in the others."""
    if not world.is_rank_zero:
        yield Observer()
        return
    tasks = tuple(task.name for task in ready.spec.problem.tasks)
    text, board = TextLog(folder / _LOG), TensorBoardLog(folder / _EVENTS, tasks)
    with contextlib.closing(text), contextlib.closing(board):
        yield Observers((text, board, *observers))


def _untrained(ready: Plan, evaluator: Evaluator) -> tuple[float, ...]:
    """The losses of the untrained network at the centre of the simplex, 10 % farther out: a reference point for
    problems that state none. It depends on problem, backbone and seed only, so that it is the same after a resume."""
    m = len(ready.spec.problem.tasks)
    evaluator = attrs.evolve(evaluator, metrics=False, reference=[float("inf")] * m)
    front = evaluator.front(ready.model, ready.data["val"], torch.full((1, m), 1 / m), "val")
    return tuple(float(value + 0.1 * abs(value)) for value in front.losses[0])


def _state(folder: Path, status: str, *, started: float, **facts: Any) -> None:
    now = time.time()
    content = {
        "status": status,
        "started": datetime.fromtimestamp(started).isoformat(timespec="seconds"),
        "seconds": round(now - started, 3),
        **facts,
    }
    write_text(folder / _STATUS, json.dumps(content, indent=2) + "\n")
