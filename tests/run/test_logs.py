from __future__ import annotations

import gc
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from moframework.engine.events import Progress, Reading
from moframework.pareto.front import Front
from moframework.run.logs import Lines, TensorBoardLog, TextLog, loss_text

TASKS = ("left", "right")
STEPS = 40


def progress(step: int) -> Progress:
    return Progress(step=step, steps=STEPS, epoch=step / 10, epochs=4)


def front(step: int) -> Front:
    """Three points, all non-dominated, better the later the step."""
    preferences = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    losses = np.array([[0.1, 0.8], [0.3, 0.4], [0.7, 0.2]]) * (1 - step / 100)
    accuracies = {"left/accuracy": np.array([0.9, 0.7, 0.3]), "right/accuracy": np.array([0.2, 0.6, 0.8])}
    return Front(
        tasks=TASKS,
        preferences=preferences,
        losses=losses,
        metrics=accuracies,
        higher_is_better=dict.fromkeys(accuracies, True),
        split="val",
        reference=(1.0, 1.0),
        metric_reference=dict.fromkeys(accuracies, 0.0),
    )


def tell(log: Any, step: int, *, loss: float | None = None) -> None:
    """What the engine tells after a step at which it logs, validates and saves."""
    log.stepped(progress(step))
    log.logged(
        progress(step),
        Reading(
            losses={"left": step / 10 if loss is None else loss, "right": 0.5},
            learning_rates={"main": 1e-3, "adapters": 2e-3},
            preferences=np.array([[0.25, 0.75], [0.6, 0.4]]),
            seconds_per_step=0.0125,
        ),
    )
    log.evaluated(progress(step), front(step), hypervolume=front(step).hypervolume(), is_best=True)
    log.saved(progress(step), Path("checkpoints/last"))


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "histograms": 0})
    events.Reload()
    return events


def scalars(folder: Path, tag: str) -> list[tuple[int, object]]:
    return [(event.step, pytest.approx(event.value)) for event in read(folder).Scalars(tag)]


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return tmp_path / "events"


@pytest.fixture
def board(events: Path) -> Iterator[TensorBoardLog]:
    log = TensorBoardLog(events, TASKS)
    yield log
    log.close()


def test_tensorboard_scalars(board: TensorBoardLog, events: Path) -> None:
    board.started(progress(0))
    for step in (10, 20):
        tell(board, step)
    board.finished(progress(20))
    assert scalars(events, "loss/left") == [(10, 1.0), (20, 2.0)]
    assert scalars(events, "learning_rate/adapters") == [(10, 2e-3), (20, 2e-3)]
    assert scalars(events, "speed/milliseconds_per_step") == [(10, 12.5), (20, 12.5)]
    assert scalars(events, "validation/hypervolume") == [(step, front(step).hypervolume()) for step in (10, 20)]
    accuracy = front(10).hypervolumes()["accuracy"]["value"]
    assert scalars(events, "validation/hypervolume_accuracy") == [(10, accuracy), (20, accuracy)]
    assert scalars(events, "validation/nondominated_share") == [(10, 1.0), (20, 1.0)]
    assert scalars(events, "best_loss/right") == [(10, 0.2 * 0.9), (20, 0.2 * 0.8)]
    assert scalars(events, "best_metric/left/accuracy") == [(10, 0.9), (20, 0.9)]
    assert scalars(events, "controllability/left") == [(10, -1.0), (20, -1.0)]


def test_tensorboard_preferences(board: TensorBoardLog, events: Path) -> None:
    board.started(progress(0))
    tell(board, 10)
    board.close()
    (event,) = read(events).Histograms("preference/left")
    assert event.step == 10
    assert (event.histogram_value.min, event.histogram_value.max, event.histogram_value.num) == (0.25, 0.6, 2)


def test_tensorboard_picture_of_the_front_changes(board: TensorBoardLog, events: Path) -> None:
    board.started(progress(0))
    tell(board, 10)
    tell(board, 20)
    board.finished(progress(20))
    images = read(events).Images("front/validation")
    assert [image.step for image in images] == [10, 20]
    assert images[0].encoded_image_string != images[1].encoded_image_string
    pixels = np.asarray(Image.open(io.BytesIO(images[1].encoded_image_string)))
    assert pixels.shape == (images[1].height, images[1].width, 3)
    assert pixels.std() > 1, "something is drawn"


def test_pictures_stay_a_small_part_of_fast_validations(board: TensorBoardLog, events: Path) -> None:
    board.started(progress(0))
    for step in range(1, 31):
        board.evaluated(progress(step), front(step), hypervolume=0.5, is_best=False)
    board.finished(progress(30))
    steps = [image.step for image in read(events).Images("front/validation")]
    assert len(steps) < 10
    assert steps[0] == 1
    assert steps[-1] == 30, "the last front is always drawn"
    assert len(scalars(events, "validation/hypervolume")) == 30


@pytest.mark.parametrize("cut", [0, 7])
def test_resume_leaves_no_step_twice(events: Path, cut: int) -> None:
    """The killed process had logged steps 10, 20 and 30, but its last checkpoint was of step 20."""
    killed = TensorBoardLog(events, TASKS)
    killed.started(progress(0))
    for step in (10, 20, 30):
        tell(killed, step, loss=9.0)
    killed.close()
    (first,) = events.iterdir()
    first.write_bytes(first.read_bytes()[: -cut or None])  # killed in the middle of a record
    resumed = TensorBoardLog(events, TASKS)
    resumed.started(progress(20))
    for step in (30, 40):
        tell(resumed, step)
    resumed.finished(progress(40))
    assert scalars(events, "loss/left") == [(10, 9.0), (20, 9.0), (30, 3.0), (40, 4.0)]
    for tag in read(events).Tags()["scalars"]:
        steps = [event.step for event in read(events).Scalars(tag)]
        assert steps == [10, 20, 30, 40], tag
    assert [event.step for event in read(events).Histograms("preference/left")] == [10, 20, 30, 40]
    pictures = [image.step for image in read(events).Images("front/validation")]
    assert pictures == sorted(set(pictures))
    assert pictures[-1] == 40


def test_resume_before_the_first_checkpoint_starts_over(events: Path) -> None:
    for loss in (9.0, 1.0):
        log = TensorBoardLog(events, TASKS)
        log.started(progress(0))
        tell(log, 0, loss=loss)
        log.close()
    assert scalars(events, "loss/left") == [(0, 1.0)]


def test_everything_told_is_on_disk_at_once(board: TensorBoardLog, events: Path) -> None:
    board.started(progress(0))
    tell(board, 10)
    assert scalars(events, "loss/left") == [(10, 1.0)], "readable while the writer is still open"


def test_no_open_file_is_left(events: Path) -> None:
    log = TensorBoardLog(events, TASKS)
    log.started(progress(0))
    with pytest.raises(ZeroDivisionError), log:
        math.sin(1 / 0)
    del log
    gc.collect()  # an open file would warn here, and a warning is an error


def test_telling_a_closed_log_is_a_mistake(board: TensorBoardLog) -> None:
    board.close()
    with pytest.raises(RuntimeError, match="between `started` and"):
        board.saved(progress(1), Path("x"))


def test_text_log(tmp_path: Path) -> None:
    log = TextLog(tmp_path / "log.txt")
    log.started(progress(0))
    tell(log, 10)
    log.finished(progress(10))
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line[25:] for line in lines] == [
        " training: 40 steps, 4 epochs",
        " epoch 1.00/4 step 10/40: loss left 1, right 0.5; learning rate 0.001, 0.002; 12.5 ms a step",
        f" epoch 1.00/4 step 10/40: val hypervolume {front(10).hypervolume():.4f} (best), 3 of 3 points non-dominated",
        " epoch 1.00/4 step 10/40: training finished",
    ]
    assert all(line[:4].isdigit() and line[10] == " " for line in lines), "each begins with date and time"


def test_text_log_continues_after_a_line_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("whole\ncut sh")
    log = TextLog(path)
    log.started(progress(20))
    log.close()
    lines = path.read_text().splitlines()
    assert lines[:2] == ["whole", "cut sh"]
    assert lines[2].endswith(" continuing at epoch 2.00/4 step 20/40: 40 steps, 4 epochs")


def test_lines_leave_out_readings_that_follow_too_fast() -> None:
    lines: list[str] = []
    log = Lines(lines.append, pause=1000.0)
    log.started(progress(0))
    for step in range(1, 40):
        log.stepped(progress(step))
        reading = Reading(losses={"left": 1.0}, learning_rates={}, preferences=np.ones((1, 1)), seconds_per_step=0.1)
        log.logged(progress(step), reading)
    readings = [line for line in lines if "loss" in line]
    assert len(readings) == 4, "the first of each epoch"
    log.evaluated(progress(40), front(40), hypervolume=0.5, is_best=False)
    assert lines[-1] == "epoch 4.00/4 step 40/40: val hypervolume 0.5000, 3 of 3 points non-dominated"


def test_many_tasks_are_told_by_their_mean() -> None:
    assert loss_text({"a": 0.123456, "b": 2.0}) == "a 0.1235, b 2"
    assert loss_text({str(i): float(i) for i in range(40)}) == "19.5 (mean of 40 tasks)"
