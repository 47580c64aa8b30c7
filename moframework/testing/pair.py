"""What a solver and a problem claim together."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from attrs import frozen
from torch import Tensor, nn

from moframework.backbones.base import named_outputs
from moframework.config.fields import options_of
from moframework.config.options import Component
from moframework.data import SPLITS, batches
from moframework.engine.evaluate import Evaluator
from moframework.engine.events import Observer, Progress
from moframework.engine.fit import fit
from moframework.errors import BrokenPartError, DataError, SpecError
from moframework.inputs import Tree, called
from moframework.model import ParetoModel
from moframework.pareto.front import Front
from moframework.problem import Problem
from moframework.run.plan import Plan, plan
from moframework.run.solving import solve
from moframework.solvers.base import Solver
from moframework.spec import Spec, load_spec
from moframework.testing.matrix import Pair
from moframework.testing.members import with_members
from moframework.weights import WeightSpace

__all__ = ["Conformance", "check_pair"]

_UNKNOWN = "no_such_option"


@frozen
class Conformance:
    """What became of a pair: solved, refused as impossible (why), or not run (why)."""

    state: Literal["solved", "refused", "not run"]
    reason: str = ""


def check_pair(pair: Pair, folder: Path, *, max_parameters: int = 1_000_000) -> Conformance:
    """Check all that a solver and a problem claim together, on a few steps over a few samples, on the CPU.

    - The spec, every option spelled out, can be written and read again; an option that nobody knows is refused by name.
    - An impossible pair is refused with a reason, by `check` and `solve` alike, before anything is trained. Else:
    - the weight space holds every parameter in exactly one group, and answers every preference or a finite set of them
      as the solver declares;
    - it solves: weights change, where it trains, and the front is finite;
    - saved and loaded, the model gives the same front;
    - `at(λ)` is a plain network that returns what `forward(x, λ)` returns;
    - the same seed gives the same weights (and evaluations) to the last bit, also when killed midway and resumed.

    Args:
        pair: from `pairs`. A solver that needs members is given some: see `with_members`.
        folder: an empty folder to write into.
        max_parameters: a problem with a larger network is not run.

    Returns:
        solved, refused, or not run: data is missing on this machine, the network is too large, or an option must be
        given (then give the pair one).

    Raises:
        AssertionError: a claim does not hold.
    """
    required = _required(pair)
    if required:
        return Conformance("not run", required)
    pair = with_members(pair, folder)
    spec = pair.spec()
    absent = _absent(spec.problem, max_parameters)
    if absent:
        return Conformance("not run", absent)
    _check_round_trip(spec, folder)
    _check_unknown_keys(pair)
    try:
        ready = _planned(spec)
    except (SpecError, DataError) as error:
        _check_refusal(spec, str(error), folder)
        return Conformance("refused", str(error))
    _check_space(ready)
    if not ready.method.trains:
        return _check_untrained(ready, spec, folder)
    before = {name: value.clone() for name, value in ready.model.state_dict().items()}
    front = _train(ready, folder / "first")
    state = ready.model.state_dict()
    assert any(not torch.equal(before[name], value) for name, value in state.items()), "training changed no weight"
    _check_use(ready, front, folder)
    _check_repetition(spec, state, folder)
    return Conformance("solved")


def _planned(spec: Spec) -> Plan:
    try:
        ready = plan(spec)
        ready.describe()
    except BrokenPartError as error:  # no refusal of an impossible pair
        raise AssertionError(str(error)) from error
    return ready


def _check_untrained(ready: Plan, spec: Spec, folder: Path) -> Conformance:
    """What a solver that takes no step claims."""
    if ready.method.search is not None:
        _check_search(spec, folder)
    _check_use(ready, _front(ready, ready.model), folder)
    state, again = (one.model.state_dict() for one in (ready, plan(spec)))
    differing = [name for name, value in state.items() if not torch.equal(value, again[name])]
    assert not differing, f"planned again with the same seed, other weights: {', '.join(differing[:5])}"
    return Conformance("solved")


def _check_search(spec: Spec, folder: Path) -> None:
    """What a search claims: it spends its evaluations inside the bounds, and killed and resumed ends the same."""
    function = spec.problem.box_function
    assert function is not None, "the plan has checked it"
    run = solve(spec, folder / "searched")
    known = run.evaluations()
    assert len(known) == run.summary()["evaluations"], "status and journal count differently"
    assert (known.x >= function.lower).all(), "an evaluation is below the bounds"
    assert (known.x <= function.upper).all(), "an evaluation is above the bounds"
    killer = _Killer(len(known) - 1)
    try:
        solve(spec, folder / "killed", observers=[killer])
    except _Killed:
        pass
    else:
        raise AssertionError(f"the search did not come to evaluation {killer.steps}")
    again = solve(spec, folder / "killed", resume=True)
    assert np.array_equal(known.x, again.evaluations().x), "killed and resumed, it evaluates other points"
    state, other = (one.model().state_dict() for one in (run, again))
    differing = [name for name, value in state.items() if not torch.equal(value, other[name])]
    assert not differing, f"killed and resumed, it ends with other weights: {', '.join(differing[:5])}"


def _check_use(ready: Plan, front: Front, folder: Path) -> None:
    """A model with that front, saved, loaded and taken at operating points."""
    loaded = _saved_and_loaded(ready.model, folder / "model")
    again = _front(ready, loaded)
    _close(again.losses, front.losses, "the front of the saved and loaded model")
    _check_operating_points(ready, loaded)


def _required(pair: Pair) -> str:
    """Why a registered part cannot be made by its name alone; empty when it can."""
    interfaces: tuple[tuple[Any, Any], ...] = ((Solver, pair.solver), (Problem, pair.problem))
    for interface, named in interfaces:
        if set(named) == {"name"}:
            cls: type[Component] = interface.lookup(named["name"])
            missing = [option.key for option in options_of(cls) if option.required]
            if missing:
                return f"{interface.noun()} '{named['name']}' needs the option {', '.join(missing)}"
    return ""


def _absent(problem: Problem, max_parameters: int) -> str:
    """Why a problem cannot be run here; empty when it can."""
    try:
        for split in SPLITS:
            problem.data(split)
    except DataError as error:
        return f"data is missing: {error}"
    size = sum(parameter.numel() for parameter in problem.backbone().parameters())
    return f"the network has {size:,} parameters, more than {max_parameters:,}" if size > max_parameters else ""


def _check_round_trip(spec: Spec, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spec.yaml"
    path.write_text(spec.to_yaml(), encoding="utf-8")
    again = load_spec(path)
    assert again == spec, f"the spec, written and read again, is another: {again} instead of {spec}"


def _check_unknown_keys(pair: Pair) -> None:
    mapping = pair.mapping()
    mapping["solver"] = {**mapping["solver"], _UNKNOWN: 1}
    mapping["problem"] = {**mapping["problem"], "problem": {**pair.problem, _UNKNOWN: 1}}
    text = ""
    try:
        load_spec(mapping)
    except SpecError as error:
        text = str(error)
    assert text, "options that nobody knows were accepted"
    for place in (f"solver.{_UNKNOWN}", f"problem.problem.{_UNKNOWN}"):
        assert place in text, f"an unknown option {place} is not named by the error: {text}"


def _check_refusal(spec: Spec, reason: str, folder: Path) -> None:
    assert len(reason.split()) > 3, f"refused without a reason: '{reason}'"
    run = folder / "refused"
    try:
        solve(spec, run)
    except (SpecError, DataError):
        trained = sorted(path.name for path in run.rglob("*.pt")) + sorted(path.name for path in run.glob("front-*"))
        assert not trained, f"refused, but only after writing {trained}"
    else:
        raise AssertionError(f"`check` refuses this ({reason}), `solve` does not")


def _check_space(ready: Plan) -> None:
    space: WeightSpace = ready.model.space
    continuous, anchors = type(ready.spec.solver).continuous, space.anchors()
    assert continuous == (anchors is None), f"the solver declares continuous = {continuous}, but its weight space " + (
        "answers every preference" if anchors is None else f"has {len(anchors)} anchors"
    )


class _Killed(Exception):
    """Stands for the end of a process."""


class _Killer(Observer):
    """Ends the training after a number of steps, between two checkpoints, as a kill would."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def stepped(self, progress: Progress) -> None:
        """Raise at the step."""
        if progress.step == self.steps:
            raise _Killed


def _fit(ready: Plan, folder: Path, observer: Observer, *, resume: bool = False) -> None:
    m = len(ready.spec.problem.tasks)
    ready.place.move(ready.model)
    fit(ready.job(folder, ready.reference or (1.0,) * m), observer=observer, resume=resume)


def _train(ready: Plan, folder: Path) -> Front:
    _fit(ready, folder, Observer())
    return _front(ready, ready.model)


def _front(ready: Plan, model: ParetoModel) -> Front:
    """The test front. A loss that is not finite raises ValueError, which names it."""
    evaluator = Evaluator(problem=ready.spec.problem, place=ready.place, batch_size=ready.spec.evaluate.batch_size)
    return evaluator.front(model, ready.data["test"], ready.preferences, "test")


def _saved_and_loaded(model: ParetoModel, folder: Path) -> ParetoModel:
    model.save(folder)
    loaded = ParetoModel.load(folder)
    state, again = model.state_dict(), loaded.state_dict()
    assert state.keys() == again.keys(), f"the loaded model has other tensors: {state.keys() ^ again.keys()}"
    for name, value in state.items():
        assert torch.equal(value, again[name]), f"{name} is not what was saved"
    return loaded


def _check_operating_points(ready: Plan, model: ParetoModel) -> None:
    x, _ = next(batches(ready.data["test"], 4, order=None, device="cpu"))
    keys = tuple(ready.spec.problem.outputs)
    for preference in (ready.preferences[0], ready.preferences[-1], ready.preferences.mean(dim=0)):
        network = model.at(preference)
        for module in network.modules():
            assert not isinstance(module, WeightSpace | ParetoModel), f"at(λ) holds a {type(module).__name__}"
        expected = _outputs(model, x, preference)
        how = model.network.how
        with torch.no_grad():
            found = named_outputs(called(network.eval(), x, how), keys)
        for key in keys:
            what = f"output '{key}' of at({preference.tolist()})"
            _close(found[key].detach().numpy(), expected[key].numpy(), what)


def _outputs(model: ParetoModel, x: Tree, preference: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        outputs: dict[str, Tensor] = nn.Module.__call__(model.eval(), x, model.checked(preference))
    return outputs


def _check_repetition(spec: Spec, state: dict[str, Tensor], folder: Path) -> None:
    killed = folder / "second"
    steps = spec.training.steps or 1
    try:
        _fit(plan(spec), killed, _Killer(steps - 1))
    except _Killed:
        pass
    else:
        raise AssertionError(f"the training did not come to step {steps - 1} of {steps}")
    ready = plan(spec)
    _fit(ready, killed, Observer(), resume=True)
    again = ready.model.state_dict()
    differing = [name for name, value in state.items() if not torch.equal(value, again[name])]
    if not differing:
        return
    ready = plan(spec)
    _fit(ready, folder / "third", Observer())
    same = all(torch.equal(value, ready.model.state_dict()[name]) for name, value in state.items())
    raise AssertionError(
        f"{'killed and resumed' if same else 'repeated with the same seed'}, the training ends with other weights: "
        f"{', '.join(differing[:5])}"
    )


def _close(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], what: str) -> None:
    assert found.shape == expected.shape, f"{what} has shape {found.shape}, not {expected.shape}"
    # Merged weights may be added up in another order: a few roundings of float32.
    scale = 1e-5 * max(1.0, float(np.abs(expected).max(initial=0.0)))
    worst = float(np.abs(found - expected).max(initial=0.0))
    assert worst <= scale, f"{what} is off by {worst:.3g}"
