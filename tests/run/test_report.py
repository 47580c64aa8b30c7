"""The page at the end of a run, and where it has the times from."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moframework import Run, load_spec, solve
from moframework.engine import fit as fitting
from moframework.engine.events import Observer, Progress
from moframework.engine.loop import Loop
from moframework.errors import InterruptedRun
from moframework.io.sealed import read_json
from moframework.pareto.front import Front
from moframework.run import timing
from moframework.run.report import barriers, oddities
from moframework.run.timing import FIRST, LAST, PARTS

SPEC: dict[str, Any] = {
    "name": "paged",
    "problem": {"name": "digits", "train": 512, "val": 64, "test": 64},
    "solver": {"name": "palora", "rank": 1},
    "training": {"epochs": 2, "batch_size": 32, "log_every": 5},
    "evaluate": {"points": 3},
    "seed": 3,
}


def page(run: Run) -> dict[str, Any]:
    return read_json(run.path / "report.json", advice="")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return solve(load_spec(SPEC), tmp_path_factory.mktemp("paged") / "run", device="cpu")


def test_the_page_tells_what_ran_and_what_came_of_it(done: Run) -> None:
    found = page(done)
    front, status = done.front("test"), done.summary()
    assert found["format"] == 2
    assert found["run"]["spec"] == "paged"
    assert (found["run"]["problem"], found["run"]["solver"]) == ("digits", "palora")
    assert (found["run"]["steps"], found["run"]["seed"]) == (32, 3)
    assert found["run"]["versions"]["torch"] == str(torch.__version__)
    assert found["peak_memory"] == status["peak_memory"]
    assert found["fronts"]["test"]["hypervolumes"] == json.loads(json.dumps(front.hypervolumes()))
    assert found["fronts"]["test"]["nondominated"] == front.nondominated().sum()
    best = found["fronts"]["test"]["best"]["left/accuracy"]
    row = int(front.metrics["left/accuracy"].argmax())
    assert best == {"value": front.metrics["left/accuracy"][row], "preference": front.preferences[row].tolist()}
    assert found["fronts"]["val"]["best"]["right/loss"]["value"] == done.front("val").losses[:, 1].min()


def test_notes_on_results_come_before_those_on_speed(tmp_path: Path) -> None:
    """Training notes first how it is accelerated; what is wrong with the front is known at the end."""
    changes = {"training": {"steps": 1, "optimizer": {"name": "adam", "lr": 1e-6}}, "evaluate": {"points": 3}}
    found = page(solve(load_spec({**SPEC, **changes}), tmp_path / "run", device="cpu"))["notes"]
    beginnings = [" ".join(note.split()[:4]) for note in found]
    assert beginnings[0] == "The front is flat:"
    assert beginnings[-1].startswith("accelerated by ")


def test_times_add_up_to_the_wall_clock(done: Run) -> None:
    told, status = page(done)["time"], done.summary()
    assert set(told["seconds"]) <= set(PARTS)
    assert told["wall_seconds"] == pytest.approx(sum(told["seconds"].values()), abs=0.02)
    assert sum(told["percent"].values()) == pytest.approx(100, abs=1)
    assert told["wall_seconds"] == pytest.approx(status["seconds"], rel=0.1, abs=0.5)
    steps = sum(told["seconds"][part] for part in ("data", "forward", "backward", "optimizer", "between"))
    assert steps == pytest.approx(status["training_seconds"], abs=0.02)
    assert min(told["seconds"][part] for part in ("forward", "backward", "evaluation", "writing", "start_up")) > 0
    assert told["sampled_steps"] == LAST - FIRST + 1
    assert told["complete"]


def test_the_text_has_the_same(done: Run) -> None:
    text, found = (done.path / "report.txt").read_text(), page(done)
    for part, seconds in found["time"]["seconds"].items():
        (line,) = [one for one in text.splitlines() if one.startswith(f"  {part.replace('_', ' '):22}")]
        assert f"{seconds:.2f} s" in line
    value = found["fronts"]["test"]["hypervolumes"]["losses"]["value"]
    assert f"hypervolume of losses: {value:.4f}" in text
    assert "torch.autograd.backward" in text  # how it was measured


class Watched(Observer):
    """Notes, after each step, what a step calls, and stops when told to."""

    def __init__(self) -> None:
        self.loop: Loop | None = None
        self.divided: list[int] = []

    def stepped(self, progress: Progress) -> None:
        assert self.loop is not None
        if "_update" in vars(self.loop):
            self.divided.append(progress.step)
            assert self.loop.step.execute != self.loop.step.run


def test_only_some_steps_are_divided_and_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched, before = Watched(), (torch.autograd.backward, torch.autograd.grad)
    make = fitting.make_hooks

    def kept(loop: Loop, stop: Any) -> Any:
        watched.loop = loop
        return make(loop, stop)

    monkeypatch.setattr(fitting, "make_hooks", kept)
    solve(load_spec(SPEC), tmp_path / "run", device="cpu", observers=[watched])
    assert watched.divided == list(range(FIRST, LAST + 1))
    assert watched.loop is not None
    assert watched.loop.step.execute == watched.loop.step.run
    assert "_update" not in vars(watched.loop)
    assert (torch.autograd.backward, torch.autograd.grad) == before
    assert not any(isinstance(hook, timing._Sampler) for hook in watched.loop.hooks)


def test_results_are_those_of_a_run_that_is_not_measured(
    done: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing.Timing, "around", lambda self, loop, hooks: hooks)
    plain = solve(load_spec(SPEC), tmp_path / "run", device="cpu")
    for name in ("model/model.safetensors", "model/model.json", "front-val.json", "front-test.json"):
        assert (plain.path / name).read_bytes() == (done.path / name).read_bytes()


class Interrupting(Observer):
    """Stands for somebody who presses Ctrl-C at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, progress: Progress) -> None:
        if progress.step == self.step:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("interrupted") / "run"
    with pytest.raises(InterruptedRun):
        solve(load_spec(SPEC), folder, device="cpu", observers=[Interrupting(20)])
    return folder


def test_times_of_a_resumed_run_add_up(interrupted: Path, done: Run) -> None:
    path = interrupted / "checkpoints" / "last.pt"
    carried = torch.load(path, weights_only=True)["timing"]
    assert carried["processes"] == 1
    assert carried["seconds"]["forward"] > 0
    run = solve(interrupted, resume=True, device="cpu")
    told = page(run)["time"]
    assert (told["processes"], told["complete"]) == (2, True)
    before = carried["seconds"]
    assert all(told["seconds"][part] > before[part] for part in ("forward", "backward", "evaluation", "writing"))
    # What is left of a step may have been nothing that a clock sees.
    assert all(told["seconds"][part] >= seconds - 1e-3 for part, seconds in before.items() if part != "other")
    assert any("2 processes worked on this run" in text for text in told["remarks"])
    steps = sum(told["seconds"][part] for part in ("data", "forward", "backward", "optimizer", "between"))
    assert steps == pytest.approx(run.summary()["training_seconds"], rel=0.05)
    assert (run.path / "front-test.json").read_bytes() == (done.path / "front-test.json").read_bytes()


def test_a_checkpoint_without_times_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(timing.Timing, "around", lambda self, loop, hooks: hooks)  # as earlier versions
        with pytest.raises(InterruptedRun):
            solve(load_spec(SPEC), tmp_path / "run", device="cpu", observers=[Interrupting(20)])
    run = solve(tmp_path / "run", resume=True, device="cpu")
    told = page(run)["time"]
    assert not told["complete"]
    assert any("not known" in text for text in told["remarks"])


def test_a_recovered_checkpoint_is_a_note(tmp_path: Path) -> None:
    spec = load_spec({**SPEC, "training": {**SPEC["training"], "checkpoint_every": 5}})
    with pytest.raises(InterruptedRun):
        solve(spec, tmp_path / "run", device="cpu", observers=[Interrupting(14)])
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    run = solve(tmp_path / "run", resume=True, device="cpu")
    assert any("The checkpoint before it is used" in note for note in page(run)["notes"])


def a_front(losses: list[list[float]], reference: tuple[float, float] = (2.0, 2.0)) -> Front:
    weights = np.linspace(0, 1, len(losses))
    preferences = np.stack([weights, 1 - weights], axis=1)
    return Front(tasks=("a", "b"), preferences=preferences, losses=losses, reference=reference, split="test")


@pytest.mark.parametrize(
    ("losses", "reference", "words"),
    [
        ([[1.0, 0.2], [0.5, 0.5], [0.2, 1.0]], (2.0, 2.0), []),
        ([[1.0, 0.999], [0.9995, 0.9995], [0.999, 1.0]], (2.0, 2.0), ["is flat"]),
        ([[1.0, 0.2], [0.999, 0.5], [0.998, 1.0]], (2.0, 2.0), ["is flat in 'a', whose loss"]),
        ([[0.0, 0.2], [0.0, 0.5], [0.0, 1.0]], (2.0, 2.0), ["'a' is exactly 0 everywhere"]),
        ([[0.2, 0.2], [0.5, 0.5], [1.0, 1.0]], (2.0, 2.0), ["'a' is reversed on the validation and the test split"]),
        ([[1.0, 0.2], [0.5, 0.5], [0.2, 1.0]], (0.1, 0.1), ["hypervolume of losses is 0"]),
    ],
)
def test_what_is_odd_about_a_front(losses: list[list[float]], reference: tuple[float, float], words: list[str]) -> None:
    found = oddities(a_front(losses, reference), {"steps": 10}, a_front(losses, reference))
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_dial_that_is_reversed_on_one_split_is_told(split: str) -> None:
    good, bad = a_front([[1.0, 0.2], [0.5, 0.5], [0.2, 1.0]]), a_front([[0.2, 0.2], [0.5, 0.5], [1.0, 1.0]])
    test, val = (good, bad) if split == "validation" else (bad, good)
    (told,) = oddities(test, {"steps": 10}, val)
    assert f"The dial of 'a' is reversed on the {split} split: more weight" in told
    assert ("+1.00 on the validation split, -1.00 on the test split" in told) == (split == "validation")


def test_skipped_steps_are_a_note() -> None:
    good = a_front([[1.0, 0.2], [0.2, 1.0]])
    (told,) = oddities(good, {"steps": 10, "skipped_steps": 2}, good)
    assert "2 of 10 steps were skipped" in told


def test_a_process_of_few_steps_is_not_divided(tmp_path: Path) -> None:
    training = {"steps": FIRST - 1, "batch_size": 32}
    told = page(solve(load_spec({**SPEC, "training": training}), tmp_path / "run", device="cpu"))["time"]
    assert told["sampled_steps"] == 0
    assert told["seconds"]["undivided"] > 0
    assert "forward" not in told["seconds"]


def test_backward_passes_of_single_tasks_count_as_such(tmp_path: Path) -> None:
    solver = {"name": "single", "objective": "nash_mtl"}
    run = solve(load_spec({**SPEC, "solver": solver}), tmp_path / "run", device="cpu")
    seconds = page(run)["time"]["seconds"]
    assert seconds["backward"] > 0.3 * seconds["forward"]


def test_a_barrier_between_merged_networks_is_told() -> None:
    ends = [[1.0, 0.2], [0.2, 1.0]]
    assert barriers(a_front([ends[0], [0.6, 0.6], ends[1]])) == []
    (told,) = barriers(a_front([ends[0], [1.04, 1.5], ends[1]]))
    assert "at λ = (0.5, 0.5) the test loss of 'b' is 1.5, more than 1, the most at any vertex" in told
    assert barriers(a_front(ends)) == []


def test_a_reversed_dial_is_told_beside_that_of_validation() -> None:
    good, bad = a_front([[1.0, 0.2], [0.2, 1.0]]), a_front([[0.2, 0.2], [1.0, 1.0]])
    (told,) = oddities(bad, {"steps": 10}, good)
    assert "(rank correlation -1.00 on the validation split, +1.00 on the test split; -1 is ideal)" in told
