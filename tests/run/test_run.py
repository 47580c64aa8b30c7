"""`solve` and `Run`: a whole run on embedded data, killed and resumed, refused and repeated."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from moframework import ParetoModel, Run, check, load, load_spec, problem_from_parts, solve
from moframework.errors import DataError, InterruptedRun, NonFiniteLossError, RequestError, RunError, SpecError
from moframework.io.sealed import write_json
from moframework.spec import Spec

TINY: dict[str, Any] = {
    "name": "tiny",
    "problem": {"name": "digits", "train": 256, "val": 64, "test": 64},
    "solver": {"name": "palora", "rank": 1, "preferences": {"name": "annealed", "per_batch": 2, "batch": "split"}},
    "training": {"epochs": 2, "batch_size": 32, "log_every": 3},
    "evaluate": {"points": 3},
}
FILES = {
    ".lock", "checkpoints", "data.json", "environment.json", "events", "front-test.json", "front-val.json", "front.png",
    "history.json", "log.txt", "model", "report.json", "report.txt", "spec.yaml", "status.json",
}  # fmt: skip


def tiny(**changes: Any) -> Spec:
    return load_spec({**TINY, **changes})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return solve(tiny(), tmp_path_factory.mktemp("run") / "tiny")


def test_a_run_folder_holds_everything(done: Run) -> None:
    assert {path.name for path in done.path.iterdir()} == FILES
    assert done.status == "done"
    summary = done.summary()
    assert summary["steps"] == 16
    assert summary["parameters"] > summary["backbone_parameters"]
    assert (done.path / "front.png").read_bytes().startswith(b"\x89PNG")
    assert "torch" in json.loads((done.path / "environment.json").read_text())["packages"]


def test_the_front_is_that_of_the_saved_model(done: Run) -> None:
    front = done.front("test")
    model = done.model()
    data = done.spec.problem.data("test")
    for j, preference in enumerate(front.preferences):
        network = model.at(preference.tolist())
        with torch.no_grad():
            outputs = network(data.inputs)
        for t, task in enumerate(done.spec.problem.tasks):
            loss = torch.nn.functional.cross_entropy(outputs[task.name], data.targets[task.name])
            np.testing.assert_allclose(front.losses[j, t], float(loss), rtol=1e-5)
            right = (outputs[task.name].argmax(1) == data.targets[task.name]).float().mean()
            np.testing.assert_allclose(front.metrics[f"{task.name}/accuracy"][j], float(right), rtol=1e-6)


def test_the_expanded_spec_solves_to_the_same_result(done: Run, tmp_path: Path) -> None:
    again = solve(done.path / "spec.yaml", tmp_path / "again")
    assert again.front("test").to_json() == done.front("test").to_json()
    assert (again.path / "spec.yaml").read_text() == (done.path / "spec.yaml").read_text()


def test_another_seed_gives_another_front(done: Run, tmp_path: Path) -> None:
    other = solve(tiny(seed=1), tmp_path / "other")
    assert not np.array_equal(other.front("test").losses, done.front("test").losses)


def test_a_finite_solver_evaluates_its_own_preferences(tmp_path: Path) -> None:
    run = solve(tiny(solver={"name": "multipoint", "points": 3}), tmp_path / "run")
    np.testing.assert_allclose(np.sort(run.front("val").preferences[:, 0]), [0.0, 0.5, 1.0])
    assert run.summary()["parameters"] == 3 * run.summary()["backbone_parameters"]


def test_expanding_a_front_around_a_trained_network(done: Run, tmp_path: Path) -> None:
    network = done.model().at([0.5, 0.5])
    torch.save(network.state_dict(), tmp_path / "network.pt")
    solver = {**TINY["solver"], "initial": str(tmp_path / "network.pt")}
    training = {**TINY["training"], "epochs": 1, "optimizer": {"name": "adam", "lr": 1e-4}}
    run = solve(tiny(solver=solver, training=training), tmp_path / "run")
    before = done.front("val").losses[1]
    assert np.abs(run.front("val").losses - before).max() < 0.5  # it starts where the network was, not anew
    assert done.model().tasks == run.model().tasks


def test_best_checkpoint_can_be_chosen(tmp_path: Path) -> None:
    run = solve(tiny(evaluate={"points": 3, "checkpoint": "best"}), tmp_path / "run")
    best = torch.load(run.path / "checkpoints" / "best.pt", weights_only=True, map_location="cpu")["model"]
    assert all(
        torch.equal(value, best[name]) for name, value in load_file(run.path / "model" / "model.safetensors").items()
    )


def test_a_problem_without_reference_gets_the_untrained_losses(tmp_path: Path) -> None:
    declared = {
        "data": {"name": "npz", "path": str(tmp_path / "data.npz")},
        "backbone": {"name": "mlp", "hidden": [8]},
        "tasks": {"sum": {"loss": "mse", "metrics": ["mae"]}, "product": {"loss": "mse"}},
    }
    x = np.random.default_rng(0).random((90, 2), dtype=np.float32)
    np.savez(
        tmp_path / "data.npz", inputs=x, sum=x.sum(1, keepdims=True), product=x.prod(1, keepdims=True),
        split=np.repeat([0, 1, 2], 30),
    )  # fmt: skip
    training = {"epochs": 20, "batch_size": 10, "optimizer": {"name": "adam", "lr": 0.05}}
    run = solve(tiny(problem=declared, training=training), tmp_path / "run")
    front = run.front("test")
    assert front.reference is not None
    assert front.hypervolume() > 0
    assert set(front.metrics) == {"sum/mae"}


def test_a_gap_has_its_largest_value_as_its_reference(tmp_path: Path) -> None:
    """Before anything is learned it is near 0, below which there is no hypervolume."""
    rows = "".join(f"{i % 7},{i % 5},{int(i % 7 > 3)},{'mf'[i % 2]}\n" for i in range(200))
    (tmp_path / "people.csv").write_text("a,b,hired,sex\n" + rows)
    problem = {
        "name": "csv", "path": str(tmp_path / "people.csv"), "targets": {"hired": "binary"},
        "fairness": {"sex": "demographic_parity"}, "backbone": {"name": "mlp", "hidden": [8]},
    }  # fmt: skip
    spec = tiny(problem=problem, training={"epochs": 1, "batch_size": 50})
    assert "hypervolume below the untrained network's losses, but 1 for sex_gap" in "\n".join(check(spec))
    front = solve(spec, tmp_path / "run").front("test")
    assert front.reference is not None
    assert front.reference[1] == 1
    assert 0.5 < front.reference[0] < 1
    assert front.hypervolume() > 0


def test_check_describes_the_plan() -> None:
    text = "\n".join(check(tiny()))
    for words in ("2 tasks: left", "train 256", "lenet", "16 steps", "2 preferences", "3 preferences", "(1, 1)"):
        assert words in text, text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"evaluate": {"reference": [1.0, 1.0, 1.0]}}, "evaluate.reference: has 3 numbers"),
        ({"solver": {"name": "multipoint", "points": 2}, "problem": "dtlz2"}, "2 networks cannot cover 3 tasks"),
        (
            {"solver": {"name": "pamal", "preferences": {"name": "single", "preference": [1, 2, 3]}}},
            "solver.preferences: preference has 3 numbers",
        ),
        (
            {"solver": "pamal", "problem": {"name": "dtlz2", "objectives": 4}, "evaluate": {"points": 3}},
            "evaluate.points: 3 evaluation preferences are too few",
        ),
        ({"training": {"device": "cuda:9"}}, "training.device"),
        ({"training": {"scheduler": "reduce_on_plateau"}, "evaluate": {"every": 0}}, "but evaluate.every is 0"),
        (
            {"training": {"parameter_groups": [{"match": "*.bias2"}]}},
            r"parameter_groups.0.match: '.*' matches no trained",
        ),
        (
            {"training": {"epochs": 2, "scheduler": [{"name": "linear"}, {"name": "cosine_annealing", "T_max": 3}]}},
            "training.scheduler.0.length: must say how many epochs",
        ),
        (
            {"training": {"epochs": 2, "scheduler": [{"name": "linear", "length": 2}, "cosine_annealing"]}},
            "training.scheduler: the schedulers before the last one take 2 epochs, but the training has 2",
        ),
        ({"training": {"device": "tpu"}}, "'tpu' is not a device"),
        ({"problem": {"name": "digits", "tasks": {"left": {"target": "lfet"}}}}, "'lfet'"),
        ({"problem": {"name": "digits", "backbone": "mlp", "tasks": {"left": {"size": 3}}}}, "left"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_written(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=words.replace("(", r"\(")):
        solve(tiny(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_folders_are_not_overwritten(done: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="already holds a run"):
        solve(tiny(), done.path)
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(RunError, match="is not a run"):
        solve(tiny(), tmp_path)


def test_resuming_with_another_spec_is_refused(done: Run) -> None:
    with pytest.raises(RunError, match=r"another spec: seed: 0 → 3"):
        solve(tiny(seed=3), done.path, resume=True)


def test_a_finished_run_goes_on_with_more_steps_and_refuses_fewer(tmp_path: Path) -> None:
    def spec(epochs: int, **training: Any) -> dict[str, Any]:
        return tiny(training={"epochs": epochs, "batch_size": 64, **training})

    run = solve(spec(1), tmp_path / "run")
    steps = run.summary()["steps"]
    longer = solve(spec(2, log_every=7), run.path, resume=True)
    assert (longer.status, longer.summary()["steps"]) == ("done", 2 * steps)
    assert (longer.spec.training.epochs, longer.spec.training.log_every) == (2, 7)
    assert any(f"now has {2 * steps}" in note for note in json.loads((run.path / "report.json").read_text())["notes"])
    for fewer, words in (
        ({"epochs": 1}, r"training.epochs: 1 is less than the 2 that the run in .* has done"),
        ({"epochs": None, "steps": 50}, "counts its training in epochs"),
        ({"batch_size": 32}, "training.batch_size: 64 → 32. On resuming may change: training.epochs, training.steps"),
    ):
        with pytest.raises(RunError, match=words):
            solve(spec(**{"epochs": 2, **fewer}), run.path, resume=True)
        assert (run.status, run.spec.training.epochs) == ("done", 2)


def test_resuming_with_other_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"

    def write(last: float) -> None:
        x = np.linspace(0, last, 12).reshape(12, 1)
        np.savez(path, inputs=x, up=x[:, 0], down=-x[:, 0], split=np.arange(12) % 3)

    write(1.0)
    problem = {
        "data": {"name": "npz", "path": str(path)},
        "backbone": {"name": "mlp", "hidden": [2]},
        "tasks": {"up": {"loss": "mse"}, "down": {"loss": "mse"}},
    }
    spec = tiny(problem=problem, training={"steps": 2, "batch_size": 4})
    run = solve(spec, tmp_path / "run")
    before = (run.path / "data.json").read_bytes()
    assert [json.loads(before)[split]["samples"] for split in ("train", "val", "test")] == [4, 4, 4]
    write_json(run.path / "status.json", {**run.summary(), "status": "interrupted"})
    write(2.0)
    with pytest.raises(DataError, match=r"the data is not what .* was started with: train was 4 samples"):
        solve(run.path, resume=True)
    assert (run.path / "data.json").read_bytes() == before
    assert run.status == "failed"
    assert "the data is not what" in run.summary()["message"]
    write(1.0)
    assert solve(run.path, resume=True).status == "done"


def test_resuming_a_finished_run_returns_it(done: Run) -> None:
    before = (done.path / "status.json").read_bytes()
    assert solve(done.path, resume=True).path == done.path
    assert (done.path / "status.json").read_bytes() == before


def test_a_folder_that_is_no_run_names_the_nearest(done: Run) -> None:
    with pytest.raises(RequestError, match=r"there is no such folder. Did you mean .*tiny\?"):
        Run(done.path.parent / "tinyy")


def test_a_front_that_is_missing_says_what_there_is(done: Run) -> None:
    with pytest.raises(RunError, match="It has: test, val"):
        done.front("train")


def test_a_failed_run_says_so_and_keeps_its_log(tmp_path: Path) -> None:
    training = {**TINY["training"], "optimizer": {"name": "sgd", "lr": 1e30}}
    with pytest.raises(NonFiniteLossError):
        solve(tiny(training=training), tmp_path / "run")
    run = Run(tmp_path / "run")
    assert run.status == "failed"
    assert "NonFiniteLossError" in run.summary()["message"]


def test_a_device_given_apart_replaces_that_of_the_spec(tmp_path: Path) -> None:
    spec = tiny(training={**TINY["training"], "device": "cuda"})
    run = solve(spec, tmp_path / "run", device="cpu")
    assert run.spec.training.device == "cpu"
    assert attrs.evolve(run.spec, training=spec.training) == attrs.evolve(spec, name=run.spec.name)


def start(warm: list[str], spec: Path, out: Path, *options: str) -> subprocess.Popen[bytes]:
    """A run in a process of its own; what it says goes to `said(out)`."""
    command = [*warm, "-m", "moframework", "solve", str(spec), "--out", str(out), "--quiet", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WARM_PID": str(out.with_suffix(".pid"))}
    with out.with_suffix(".stderr").open("ab") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=file)


def kill(process: subprocess.Popen[bytes], out: Path) -> None:
    """Kill a run that `start` has started, at once."""
    with contextlib.suppress(ProcessLookupError):  # it may have ended
        os.kill(int(out.with_suffix(".pid").read_text()), signal.SIGKILL)
    process.wait()


def said(out: Path) -> str:
    return out.with_suffix(".stderr").read_text()


def wait_for(condition: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.002)


def steps_logged(out: Path) -> int:
    log = out / "log.txt"
    return log.read_text().count("\n") if log.is_file() else 0


def reached(out: Path, lines: int, process: subprocess.Popen[bytes]) -> bool:
    return steps_logged(out) >= lines or process.poll() is not None


LONGER = {
    **TINY,
    "training": {"epochs": 12, "batch_size": 32, "log_every": 1, "checkpoint_every": 5},
    "evaluate": {"points": 3, "every": 3},
}


@pytest.fixture(scope="module")
def uninterrupted(warm: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    spec = folder / "spec.yaml"
    spec.write_text(load_spec(LONGER).to_yaml())
    process = start(warm, spec, folder / "run")
    assert process.wait() == 0, said(folder / "run")
    return spec, (folder / "run" / "model" / "model.safetensors").read_bytes()


def test_killed_at_a_random_moment_and_resumed_is_byte_identical(
    warm: list[str], uninterrupted: tuple[Path, bytes], tmp_path: Path
) -> None:
    """Two moments here; `tests/faults` has more, of all kinds."""
    spec, expected = uninterrupted
    out = tmp_path / "run"
    moments = random.Random(0)
    process = start(warm, spec, out)
    for _ in range(2):  # killed twice
        lines = steps_logged(out) + moments.randint(1, 45)
        wait_for(functools.partial(reached, out, lines, process))
        time.sleep(moments.random() * 0.02)
        kill(process, out)
        process = start(warm, spec, out, "--resume")
    assert process.wait() == 0, said(out)
    assert (out / "model" / "model.safetensors").read_bytes() == expected
    assert {path.name for path in out.iterdir()} == FILES


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_saves_and_leaves_with_130(
    warm: list[str], uninterrupted: tuple[Path, bytes], tmp_path: Path, number: signal.Signals
) -> None:
    spec, expected = uninterrupted
    out = tmp_path / "run"
    process = start(warm, spec, out)
    wait_for(lambda: steps_logged(out) >= 10)
    process.send_signal(number)
    assert process.wait() == 130, said(out)
    assert "--resume" in said(out)
    assert Run(out).status == "interrupted"
    process = start(warm, spec, out, "--resume")
    assert process.wait() == 0, said(out)
    assert (out / "model" / "model.safetensors").read_bytes() == expected


def test_the_model_loads_without_the_run(done: Run, tmp_path: Path) -> None:
    (done.path / "model").rename(tmp_path / "elsewhere")
    try:
        assert ParetoModel.load(tmp_path / "elsewhere").tasks == ("left", "right")
    finally:
        (tmp_path / "elsewhere").rename(done.path / "model")


def test_interrupting_through_the_api_says_how_to_go_on(tmp_path: Path) -> None:
    from moframework import Observer, Progress

    class Stop(Observer):
        def stepped(self, progress: Progress) -> None:
            if progress.step == 3:
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(InterruptedRun, match=r"step 3 of 16.*--resume"):
        solve(tiny(), tmp_path / "run", observers=[Stop()])
    assert solve(tmp_path / "run", resume=True).status == "done"


def test_a_finished_run_is_loaded_ready_to_use(done: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    once = ParetoModel.load
    monkeypatch.setattr(ParetoModel, "load", lambda *given, **named: read.append(given) or once(*given, **named))
    run = load(done.path)
    x = done.spec.problem.data("test").inputs[:3]
    network = run.at([0.25, 0.75])
    expected = run.model()(x, [0.25, 0.75])
    read.clear()
    for key, output in network(x).items():
        torch.testing.assert_close(output, expected[key])
    assert run.predict(x, [0.25, 0.75]).rows() == done.model().predict(x, [0.25, 0.75]).rows()
    assert len(read) == 1, "by `done` alone: it is kept"
    assert load(run) is run
    assert repr(run) == f"Run({str(done.path)!r})"


def test_a_model_that_was_written_anew_is_read_anew(done: Run, tmp_path: Path) -> None:
    run = load(shutil.copytree(done.path, tmp_path / "run"))
    x = done.spec.problem.data("test").inputs[:3]
    before = run.at([0.5, 0.5])(x)["left"]
    model = run.model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    model.save(run.path / "model")
    os.utime(run.path / "model" / "model.safetensors", ns=(1, 1))
    assert not torch.equal(run.at([0.5, 0.5])(x)["left"], before)


def test_what_is_no_finished_run_is_not_loaded(done: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        load(tmp_path)
    copy = shutil.copytree(done.path, tmp_path / "run")
    shutil.rmtree(copy / "model")
    with pytest.raises(RunError, match="holds no model"):
        load(copy)


def test_run_and_model_show_themselves_in_a_notebook(done: Run, tmp_path: Path) -> None:
    page = done._repr_html_()
    assert f"<b>{done.path}</b>: done, 16 steps" in page
    assert page.count("<svg") == 1
    assert "ParetoModel(left, right; LowRankSpace" in done.model()._repr_html_()
    assert "<svg" in done.model()._repr_html_(), "the front of its run"
    alone = shutil.copytree(done.path / "model", tmp_path / "<b>hostile" / "model")
    assert "<svg" not in ParetoModel.load(alone)._repr_html_()
    copy = shutil.copytree(done.path, tmp_path / "<b>hostile" / "run")
    (copy / "front-test.json").unlink()
    page = Run(copy)._repr_html_()
    assert "has no front of split &#x27;test&#x27;" in page
    assert "<b>hostile" not in page


def test_problems_made_of_objects_in_memory_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.linspace(-1, 1, 40)[:, None]
    data = {split: (x, {"a": x, "b": 1 - x}) for split in ("train", "val", "test")}
    module = types.ModuleType("a_notebook")
    monkeypatch.setitem(sys.modules, "a_notebook", module)
    tasks = {"a": {"loss": "mse"}, "b": {"loss": "mse"}}
    module.problem = problem_from_parts(tasks=tasks, network=_Lines, data=data)  # type: ignore[attr-defined]
    spec = {"solver": "palora", "training": {"steps": 1}, "evaluate": {"every": 0, "points": 2}}
    with pytest.raises(SpecError, match=r"made of objects in memory.*__main__:problem"):
        solve({**spec, "problem": module.problem}, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    run = solve({**spec, "problem": {"python": "a_notebook:problem"}}, tmp_path / "run")
    assert "python: a_notebook:problem" in run.spec_file.read_text()
    assert run.spec.problem.tasks == module.problem.tasks


class _Lines(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(1, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.line(x).split(1, dim=1))
