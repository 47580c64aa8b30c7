"""The training loop: budget, resume, stopping, early stopping, non-finite losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from moframework.augmentations import Augmentation
from moframework.config import config
from moframework.config.structure import build
from moframework.engine.checkpoint import BEST, LAST, previous, read_checkpoint, write_checkpoint
from moframework.engine.events import Observer, Progress, Reading
from moframework.engine.settings import EarlyStopping, Evaluation, Training
from moframework.errors import (
    DamagedFileError,
    DataError,
    InterruptedRun,
    NewerFormatError,
    NonFiniteLossError,
    RunError,
)
from moframework.objectives import Objective
from moframework.objectives.balancing import LossBalancing
from moframework.objectives.uncertainty import Uncertainty
from moframework.optim import LRSchedule, Optimizer
from moframework.optim.averaging import Averaging
from moframework.preferences.annealed import Annealed
from moframework.problem import ProblemOverrides
from moframework.seeding import derive_seed
from moframework.weights.hypernetwork import Hypernetwork
from tests.engine.conftest import Conflict, Train, method, same_state, stop_at
from tests.extras import needs_torchjd


class Watch(Observer):
    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.losses: list[dict[str, float]] = []
        self.rates: list[dict[str, float]] = []
        self.fronts: list[Any] = []
        self.best: list[bool] = []
        self.notes: list[str] = []

    def noted(self, words: str) -> None:
        if "accelerat" not in words:
            self.notes.append(words)

    def started(self, progress: Progress) -> None:
        self.calls.append(("started", progress.step))

    def stepped(self, progress: Progress) -> None:
        self.calls.append(("stepped", progress.step))

    def logged(self, progress: Progress, reading: Reading) -> None:
        self.calls.append(("logged", progress.step))
        self.losses.append(reading.losses)
        self.rates.append(reading.learning_rates)

    def evaluated(self, progress: Progress, front: Any, **facts: Any) -> None:
        self.calls.append(("evaluated", progress.step))
        self.fronts.append(front)
        self.best.append(facts["is_best"])

    def saved(self, progress: Progress, path: Path) -> None:
        self.calls.append(("saved", progress.step))

    def finished(self, progress: Progress) -> None:
        self.calls.append(("finished", progress.step))

    def steps(self, event: str) -> list[int]:
        return [step for name, step in self.calls if name == event]


def test_training_learns_the_trade_off(train: Train) -> None:
    watch = Watch()
    adam = build(Optimizer, {"name": "adam", "lr": 1e-2})
    _, result = train(training=Training(epochs=60, batch_size=16, optimizer=adam), observer=watch)
    last = watch.fronts[-1]
    assert result.steps == 240
    assert last.hypervolume() > 1.2 * watch.fronts[0].hypervolume()
    assert last.losses[0, 0] < last.losses[1, 0] < last.losses[2, 0]
    assert last.losses[0, 1] > last.losses[1, 1] > last.losses[2, 1]


def test_events_come_at_their_moments(train: Train) -> None:
    watch = Watch()
    train(training=Training(epochs=3, batch_size=16, log_every=3), evaluation=Evaluation(every=2), observer=watch)
    assert watch.calls[0] == ("started", 0)
    assert watch.calls[-1] == ("finished", 12)
    assert watch.steps("stepped") == list(range(1, 13))
    assert watch.steps("logged") == [3, 4, 6, 8, 9, 12]
    assert watch.steps("evaluated") == [8, 12]
    assert watch.steps("saved") == [4, 8, 12]


@pytest.mark.parametrize(
    ("options", "steps"),
    [({"steps": 5}, 5), ({"epochs": 2}, 8), ({"epochs": 2, "drop_last": False, "batch_size": 15}, 10)],
)
def test_budget(train: Train, options: dict[str, Any], steps: int) -> None:
    assert train(training=Training(**{"batch_size": 16, **options}))[1].steps == steps


@pytest.mark.parametrize("at", [1, 4, 6, 11])
def test_stopped_and_resumed_is_bitwise_the_same(train: Train, tmp_path: Path, at: int) -> None:
    training = Training(
        epochs=3, batch_size=16, scheduler=build(LRSchedule, {"name": "cosine_annealing", "interval": "step"})
    )
    parts = method(balancing=(LossBalancing(window=3),), preferences=Annealed(per_batch=2, batch="split"))
    whole, _ = train(parts, training, folder=tmp_path / "whole")
    with pytest.raises(InterruptedRun, match=f"step {at} of 12"):
        train(parts, training, folder=tmp_path / "parts", stop=stop_at(at))
    watch = Watch()
    resumed, _ = train(parts, training, folder=tmp_path / "parts", resume=True, observer=watch)
    assert watch.calls[0] == ("started", at)
    assert same_state(resumed.state_dict(), whole.state_dict())
    one, other = (read_checkpoint(tmp_path / name / LAST) for name in ("parts", "whole"))
    assert one["best"] == other["best"]
    assert str(one["optimizer"]) == str(other["optimizer"])


PLATEAU = {"name": "reduce_on_plateau", "patience": 0, "threshold": 10.0, "factor": 0.5}


@pytest.mark.parametrize("at", [4, 9])
def test_a_row_with_a_plateau_and_groups_of_parameters_resume_bitwise(train: Train, tmp_path: Path, at: int) -> None:
    row = [{"name": "linear", "total_iters": 1}, PLATEAU]
    groups = [
        {"match": "*.bias", "lr_factor": 0.5},
        {"match": "encoder.1.weight", "optimizer": {"name": "muon", "lr": 1e-3}},
    ]
    given = {"epochs": 4, "batch_size": 16, "parameter_groups": groups}
    training = build(Training, {**given, "scheduler": row})
    watch = Watch()
    whole, _ = train(training=training, folder=tmp_path / "whole", observer=watch)
    # A hypervolume would have to grow elevenfold; the first validation of a plateau is its best.
    assert [rates["shared"] for rates in watch.rates] == pytest.approx([1e-3, 1e-3, 5e-4, 2.5e-4])
    assert [rates["shared:*.bias"] for rates in watch.rates] == pytest.approx([5e-4, 5e-4, 2.5e-4, 1.25e-4])
    with pytest.raises(InterruptedRun):
        train(training=training, folder=tmp_path / "parts", stop=stop_at(at))
    resumed, _ = train(training=training, folder=tmp_path / "parts", resume=True)
    assert same_state(resumed.state_dict(), whole.state_dict())


def test_a_finished_training_goes_on_along_the_course_of_a_longer_one(train: Train) -> None:
    def training(epochs: int) -> Training:
        return Training(
            epochs=epochs, batch_size=16, averaging=Averaging(start=0.5),
            scheduler=build(LRSchedule, {"name": "cosine_annealing"}),
            early_stopping=EarlyStopping(patience=1, min_delta=99),
        )  # fmt: skip

    train(training=training(2))
    watch = Watch()
    _, result = train(training=training(6), resume=True, observer=watch)
    assert watch.steps("stepped") == [9, 10, 11, 12], "patience began anew, and ran out after one more validation"
    assert result.steps == 12
    assert watch.rates[-1]["shared"] == pytest.approx(1e-3 / 2)  # of the cosine of 6 epochs, after 3
    assert "was to have 8 steps and now has 24, of which 8 are done" in watch.notes[0]
    with pytest.raises(RunError, match="has 4 steps, but 12 are done already"):
        train(training=training(1), resume=True)


@pytest.mark.parametrize("name", sorted({*Objective.names()} - {"bayes_agg", "rotograd"}))  # want heads
@pytest.mark.parametrize("at", [3, 8])
def test_every_objective_resumes_bitwise(train: Train, tmp_path: Path, name: str, at: int) -> None:
    # What compares what a space computes from preferences needs one that does.
    parts = method(objective=build(Objective, name), **({"weights": Hypernetwork()} if name == "contrastive" else {}))
    faults = parts.objective.faults(2, 3)
    if faults:
        pytest.skip(faults[0])
    training = Training(epochs=4, batch_size=16)
    evaluation = Evaluation(every=0)
    whole, _ = train(parts, training, evaluation, folder=tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        train(parts, training, evaluation, folder=tmp_path / "parts", stop=stop_at(at))
    resumed, _ = train(parts, training, evaluation, folder=tmp_path / "parts", resume=True)
    assert same_state(resumed.state_dict(), whole.state_dict())
    one, other = (read_checkpoint(tmp_path / folder / LAST) for folder in ("parts", "whole"))
    assert str(one["objective"]) == str(other["objective"])
    assert str(one["optimizer"]) == str(other["optimizer"])


@needs_torchjd
@pytest.mark.parametrize("name", ["excessmtl", "pcd", "gradvac", "random"])
def test_methods_of_torchjd_resume_bitwise(train: Train, tmp_path: Path, name: str) -> None:
    parts = method(objective=build(Objective, {"name": "torchjd", "method": name}))
    training, evaluation = Training(epochs=3, batch_size=16), Evaluation(every=0)
    whole, _ = train(parts, training, evaluation, folder=tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        train(parts, training, evaluation, folder=tmp_path / "parts", stop=stop_at(5))
    resumed, _ = train(parts, training, evaluation, folder=tmp_path / "parts", resume=True)
    assert same_state(resumed.state_dict(), whole.state_dict())


@pytest.mark.parametrize(
    "name", ["uncertainty", "dwa", "famo", pytest.param("gradvac", marks=needs_torchjd), "pareto_mtl"]
)
def test_states_of_objectives_matter_and_are_saved(train: Train, tmp_path: Path, name: str) -> None:
    train(method(objective=build(Objective, name)), Training(epochs=3, batch_size=16), Evaluation(every=0))
    saved = read_checkpoint(tmp_path / "checkpoints" / LAST)["objective"]
    tensors = [v for part in saved.values() for v in (part.values() if isinstance(part, dict) else [part])]
    assert any(bool(tensor.any()) for tensor in tensors)


def test_parameters_of_an_objective_are_a_group_of_the_optimizer(train: Train) -> None:
    watch = Watch()
    train(method(objective=Uncertainty()), Training(epochs=1, batch_size=16), observer=watch)
    assert watch.rates[-1]["objective"] == pytest.approx(1e-3)


@pytest.mark.parametrize(
    "name",
    [
        *("epo", "hypervolume_gradient", "nash_mtl", "pareto_mtl", "moo_svgd"),
        *(pytest.param(name, marks=needs_torchjd) for name in ("upgrad", "aligned_mtl")),
    ],
)
def test_an_objective_solved_on_the_host_leaves_broken_losses_to_the_report(train: Train, name: str) -> None:
    data = Conflict().data("train")
    data.targets["cosine"][:] = float("inf")
    with pytest.raises(NonFiniteLossError, match=r"step 1: the loss of task 'cosine' is (inf|nan)"):
        train(method(objective=build(Objective, name)), Training(epochs=1, batch_size=16), data=data)


def test_resuming_a_finished_training_takes_no_step(train: Train) -> None:
    model, _ = train()
    watch = Watch()
    again, result = train(resume=True, observer=watch)
    assert watch.steps("stepped") == []
    assert result.steps == 12
    assert same_state(again.state_dict(), model.state_dict())


def test_nothing_to_resume_is_an_error(train: Train) -> None:
    with pytest.raises(RunError, match="nothing to resume"):
        train(resume=True)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "missing"])
def test_the_checkpoint_before_a_damaged_one_is_used(train: Train, tmp_path: Path, damage: str) -> None:
    whole, _ = train(folder=tmp_path / "whole")
    last = tmp_path / "checkpoints" / LAST
    with pytest.raises(InterruptedRun):
        train(stop=stop_at(8))
    assert [read_checkpoint(path)["step"] for path in (last, previous(last))] == [8, 4]
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "missing":
        last.unlink()
    else:
        last.write_bytes({"flip": bytes(data), "cut": bytes(data[:-100]), "empty": b""}[damage])
    watch = Watch()
    resumed, _ = train(resume=True, observer=watch)
    assert watch.calls[0] == ("started", 4)
    (words,) = watch.notes
    assert str(last) in words
    assert "The checkpoint before it is used, of step 4" in words
    assert same_state(resumed.state_dict(), whole.state_dict())
    aside = last.with_name("last.damaged.pt")
    assert aside.is_file() == (damage != "missing")


def test_two_damaged_checkpoints_are_an_error_and_stay(train: Train, tmp_path: Path) -> None:
    train()
    last = tmp_path / "checkpoints" / LAST
    for path in (last, previous(last)):
        path.write_bytes(b"half")
    with pytest.raises(DamagedFileError, match=r"last\.pt .* damaged .* And the one before it: .*last\.previous\.pt"):
        train(resume=True)
    assert last.is_file()
    assert previous(last).is_file()


def test_a_checkpoint_of_a_newer_version_is_told(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / LAST, {"model": {}, "format": 3})
    with pytest.raises(NewerFormatError, match=r"has format 3; this version reads up to 2\. Update moframework\."):
        read_checkpoint(tmp_path / LAST)


def test_a_checkpoint_of_another_training_is_an_error(train: Train) -> None:
    train(method(objective=build(Objective, "uncertainty")))
    with pytest.raises(RunError, match="is not of this training"):
        train(resume=True)


def test_early_stopping_waits_for_patience(train: Train, tmp_path: Path) -> None:
    watch = Watch()
    training = Training(epochs=50, batch_size=16, early_stopping=EarlyStopping(patience=2, min_delta=10.0))
    _, result = train(training=training, observer=watch)
    assert result.steps == 12  # the first validation is the best; two more without improvement
    assert watch.best == [True, False, False]
    assert read_checkpoint(tmp_path / "checkpoints" / BEST)["step"] == 4
    again = Watch()
    train(training=training, observer=again, resume=True)
    assert again.steps("stepped") == []


def test_learning_rates_follow_the_schedule_and_the_groups(train: Train) -> None:
    watch = Watch()
    training = Training(
        epochs=3, batch_size=16, scheduler=build(LRSchedule, {"name": "multi_step", "milestones": [1], "gamma": 0.5})
    )
    train(training=training, observer=watch)
    assert [rates["shared"] for rates in watch.rates] == pytest.approx([5e-4] * 3)
    assert [rates["adapters"] for rates in watch.rates] == pytest.approx([1e-3] * 3)


def test_a_loss_that_is_not_finite_names_step_task_and_preference(train: Train, tmp_path: Path) -> None:
    problem = Conflict()
    data = problem.data("train")
    training = Training(epochs=2, batch_size=16, drop_last=False)
    train(training=training)
    kept = (tmp_path / "checkpoints" / LAST).read_bytes()
    data.targets["cosine"][:] = float("inf")
    with pytest.raises(
        NonFiniteLossError, match=r"step 1: the loss of task 'cosine' is (inf|nan) at preference \(0\.\d+, 0\.\d+\)"
    ):
        train(training=training, data=data)
    assert (tmp_path / "checkpoints" / LAST).read_bytes() == kept


def test_weights_that_are_not_finite_are_never_saved(train: Train, tmp_path: Path) -> None:
    training = Training(steps=1, batch_size=16, optimizer=build(Optimizer, {"name": "sgd", "lr": 1e39}))
    with pytest.raises(NonFiniteLossError, match="a weight is not finite"):
        train(training=training, evaluation=Evaluation(every=0))
    assert not (tmp_path / "checkpoints" / LAST).exists()


def test_clipping_bounds_the_update(train: Train) -> None:
    sgd = build(Optimizer, {"name": "sgd", "lr": 1.0})
    parts = method(weights=type(method().weights)(rank=2, lr_factor=1.0))
    before, _ = train(parts, Training(steps=1, batch_size=16, optimizer=build(Optimizer, {"name": "sgd", "lr": 0.0})))
    after, _ = train(parts, Training(steps=1, batch_size=16, optimizer=sgd, clip_gradient_norm=1e-3))
    moved = torch.cat(
        [(a - b).detach().flatten() for a, b in zip(after.parameters(), before.parameters(), strict=True)]
    ).norm()
    assert float(moved) == pytest.approx(1e-3, rel=1e-3)


def test_split_needs_a_sample_for_each_preference(train: Train) -> None:
    with pytest.raises(DataError, match="2 samples cannot be split among 3"):
        train(method(preferences=Annealed(per_batch=3, batch="split")), Training(epochs=1, batch_size=2))


def test_streams_of_random_numbers_differ() -> None:
    seen = {derive_seed(seed, kind, index) for seed in range(10) for kind in range(3) for index in range(100)}
    assert len(seen) == 3000


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_reduced_precision_trains_on_the_cpu(train: Train, precision: str) -> None:
    from moframework.engine.device import placement

    training = Training(
        epochs=30,
        batch_size=16,
        precision=precision,
        optimizer=build(Optimizer, {"name": "adam", "lr": 1e-2}),
        device="cpu",
    )
    problem = Conflict()
    place = placement(training, problem.backbone(), problem.input_shape)
    watch = Watch()
    model, _ = train(training=training, place=place, observer=watch, problem=problem)
    assert all(p.dtype is torch.float32 for p in model.parameters())
    assert watch.fronts[-1].hypervolume() > watch.fronts[0].hypervolume()


@config
class Jitter(Augmentation):
    """Noise on the inputs; what was drawn is kept for the test."""

    def apply(self, x: Tensor, targets: Any, maps: Any, generator: Generator) -> tuple[Tensor, Any]:
        noise = torch.randn(x.shape, generator=generator)
        JITTERED.append(noise)
        return x + 0.1 * noise, targets


JITTERED: list[Tensor] = []


def test_augmentation_of_every_step_and_of_no_evaluation_is_the_same_when_resumed(train: Train, tmp_path: Path) -> None:
    problem = Conflict().customized(ProblemOverrides(augmentation=(Jitter(),)))
    JITTERED.clear()
    whole, _ = train(problem=problem, evaluation=Evaluation(every=1), folder=tmp_path / "whole")
    drawn = list(JITTERED)
    assert len(drawn) == 12
    assert len({float(noise[0]) for noise in drawn}) == 12
    plain, _ = train(folder=tmp_path / "plain")
    assert not same_state(plain.state_dict(), whole.state_dict())

    JITTERED.clear()
    with pytest.raises(InterruptedRun):
        train(problem=problem, folder=tmp_path / "parts", stop=lambda: len(JITTERED) == 5)
    resumed, _ = train(problem=problem, folder=tmp_path / "parts", resume=True)
    assert all(torch.equal(one, other) for one, other in zip(drawn, JITTERED, strict=True))
    assert same_state(resumed.state_dict(), whole.state_dict())
