from __future__ import annotations

from pathlib import Path

import numpy as np

from moframework.engine.events import Reading
from moframework.run.logs import Lines, TextLog, loss_text
from tests.loggers.telling import front, progress, tell


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
