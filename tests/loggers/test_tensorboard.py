from __future__ import annotations

import gc
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from moframework.loggers.tensorboard import TensorBoardLog
from tests.loggers.telling import TASKS, front, progress, results, tell


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


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are long enough for pictures from the first validation on."""
    monkeypatch.setattr("moframework.loggers.tensorboard.FIRST_PICTURE", 0.0)


def test_a_short_run_has_the_last_picture_alone(board: TensorBoardLog, events: Path) -> None:
    board.started(progress(0))
    tell(board, 10)
    tell(board, 20)
    board.finished(progress(20))
    assert [image.step for image in read(events).Images("front/validation")] == [20]


def test_tensorboard_picture_of_the_front_changes(patient: None, events: Path) -> None:
    board = TensorBoardLog(events, TASKS)
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


def test_pictures_stay_a_small_part_of_fast_validations(patient: None, events: Path) -> None:
    board = TensorBoardLog(events, TASKS)
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
    log.close()
    del log
    gc.collect()  # an open file would warn here, and a warning is an error


def test_telling_a_closed_log_is_a_mistake(board: TensorBoardLog) -> None:
    board.close()
    with pytest.raises(RuntimeError, match="between `started` and"):
        board.saved(progress(1), Path("x"))


def test_spec_and_final_numbers_are_hparams(events: Path) -> None:
    from tensorboard.plugins.hparams import plugin_data_pb2  # type: ignore[import-untyped]

    log = TensorBoardLog(events, TASKS, {"seed": 3, "solver": {"name": "palora", "layers": [1, 2]}, "name": None})
    log.started(progress(0))
    tell(log, 40)
    log.finished(progress(40))
    log.ended(results())
    log.close()
    assert scalars(events, "test/hypervolume") == [(40, results().fronts["test"].hypervolume())]
    assert scalars(events, "test/best_metric/left/accuracy") == [(40, 0.9)]
    metadata = read(events).SummaryMetadata("_hparams_/session_start_info")
    data = plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content)
    found = {key: value.number_value or value.string_value for key, value in data.session_start_info.hparams.items()}
    assert found == {"seed": 3.0, "solver.name": "palora", "solver.layers": "[1, 2]", "name": "null"}
    experiment = read(events).SummaryMetadata("_hparams_/experiment").plugin_data.content
    metrics = plugin_data_pb2.HParamsPluginData.FromString(experiment).experiment.metric_infos
    assert {"val/hypervolume", "test/hypervolume_accuracy"} <= {metric.name.tag for metric in metrics}
    assert [path.name for path in events.iterdir() if path.is_dir()] == [], "no second run beside"
