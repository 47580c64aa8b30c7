from __future__ import annotations

from pathlib import Path

import pytest

from moframework.loggers import LoggedRun
from moframework.loggers.wandb import WandB, WandBLog
from tests.extras import needs_wandb
from tests.loggers.telling import TASKS, progress, results, tell

pytestmark = [needs_wandb, pytest.mark.filterwarnings("ignore")]


def test_offline_a_run_and_its_continuation_have_one_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import PIL.Image

    monkeypatch.setenv("WANDB_SILENT", "true")
    PIL.Image.new("RGB", (4, 4)).save(tmp_path / "front.png")
    results().model.save(tmp_path / "model")
    run = LoggedRun(folder=tmp_path, name="tried", tasks=TASKS, spec={"solver": {"name": "palora"}})
    for start in (0, 20):
        log = WandBLog(WandB(mode="offline", model=True), run)
        log.started(progress(start))
        tracked = log._tracked
        assert dict(tracked.config) == {"solver.name": "palora"}
        tell(log, start + 20)
        log.finished(progress(40))
        log.ended(results())
        assert start or tracked.summary["loss/left"] == 2.0
        assert tracked.summary["test/hypervolume"] == results().fronts["test"].hypervolume()
        log.close()
    assert run.remembered("wandb") == tracked.id
    made = sorted((tmp_path / "wandb").glob("offline-run-*"))
    assert {path.name.rpartition("-")[2] for path in made} == {tracked.id}
    assert all(list(path.glob("run-*.wandb")) for path in made)
