"""With MLflow's file store, which takes no time to make, and holds infinite numbers as they are."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moframework.engine.events import Reading
from moframework.errors import InterruptedRun
from moframework.loggers import LoggedRun
from moframework.loggers.mlflow import MLflow, MLflowLog
from tests.extras import needs_mlflow
from tests.loggers.telling import TASKS, front, progress, results, tell

pytestmark = [needs_mlflow, pytest.mark.filterwarnings("ignore")]  # MLflow warns of its own modules when imported

SPEC = {"seed": 0, "solver": {"name": "palora"}, "problem": {"targets": {"a*b": "binary"}}, "training": {"epochs": 4}}


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return (tmp_path / "store").as_uri()


@pytest.fixture
def run(tmp_path: Path) -> LoggedRun:
    folder = tmp_path / "run"
    (folder / "model").mkdir(parents=True)
    (folder / "front.png").write_bytes(b"a picture")
    results().model.save(folder / "model")
    return LoggedRun(folder=folder, name="tried", tasks=TASKS, spec=SPEC)


def client(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def only_run(uri: str) -> Any:
    (experiment,) = [one for one in client(uri).search_experiments() if one.name != "Default"]
    (found,) = client(uri).search_runs([experiment.experiment_id])
    return found


def history(uri: str, metric: str) -> list[tuple[int, float]]:
    found = only_run(uri)
    return [(point.step, point.value) for point in client(uri).get_metric_history(found.info.run_id, metric)]


def whole(log: MLflowLog) -> None:
    log.started(progress(0))
    for step in (10, 20):
        tell(log, step)
    log.finished(progress(20))
    log.ended(results())
    log.close()


def test_a_run_of_mlflow_has_parameters_numbers_files_and_the_model(uri: str, run: LoggedRun) -> None:
    whole(MLflowLog(MLflow(uri=uri, experiment="digits"), run))
    found = only_run(uri)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "tried")
    assert found.data.params == {
        "seed": "0", "solver.name": "palora", "problem.targets.a_b": "binary", "training.epochs": "4"
    }  # fmt: skip
    assert history(uri, "loss/left") == [(10, 1.0), (20, 2.0)]
    assert history(uri, "validation/hypervolume") == [(step, front(step).hypervolume()) for step in (10, 20)]
    assert history(uri, "test/hypervolume") == [(20, results().fronts["test"].hypervolume())]
    assert {file.path for file in client(uri).list_artifacts(found.info.run_id)} == {"front.png", "model"}


def test_the_model_there_takes_a_preference(uri: str, run: LoggedRun) -> None:
    import mlflow

    whole(MLflowLog(MLflow(uri=uri), run))
    found = only_run(uri)
    model = mlflow.pyfunc.load_model(f"{found.info.artifact_uri}/model")
    x = np.ones((2, 3), dtype=np.float32)
    made = model.predict(x, params={"preference": [0.2, 0.8]})
    expected = results().model(_tensor(x), [0.2, 0.8])
    assert made.keys() == {"left", "right"}
    for key, value in made.items():
        np.testing.assert_allclose(value, expected[key].detach().numpy(), rtol=1e-6)


def _tensor(x: Any) -> Any:
    import torch

    return torch.from_numpy(x)


def _store(kind: str, tmp_path: Path, uri: str) -> tuple[str, float]:
    """A store of a kind, and what it makes of infinity."""
    if kind == "files":
        return uri, math.inf
    if importlib.util.find_spec("sqlalchemy") is None:
        pytest.skip("needs all of mlflow; mlflow-skinny has no databases")
    return f"sqlite:///{tmp_path / 'mlflow.db'}", np.finfo(np.float64).max


@pytest.mark.parametrize("kind", ["files", "database"])
def test_what_is_no_finite_number_stays_so(kind: str, tmp_path: Path, uri: str, run: LoggedRun) -> None:
    store, largest = _store(kind, tmp_path, uri)
    log = MLflowLog(MLflow(uri=store, model=False), run)
    log.started(progress(0))
    for step, loss in ((10, math.nan), (20, math.inf), (30, -math.inf), (40, 1.0)):
        reading = Reading(
            losses={"left": loss}, learning_rates={}, preferences=np.ones((1, 2)), seconds_per_step=0.1
        )  # fmt: skip
        log.logged(progress(step), reading)
    log.close()
    told = history(store, "loss/left")
    assert math.isnan(told[0][1])
    assert told[1:] == [(20, largest), (30, -largest), (40, 1.0)]
    assert only_run(store).data.tags["infinite.loss/left"] == "inf at step 20, -inf at step 30"


def test_a_resumed_run_goes_on_and_writes_no_step_twice(uri: str, run: LoggedRun) -> None:
    """The killed process had told steps up to 30; its last checkpoint was of step 20."""
    killed = MLflowLog(MLflow(uri=uri, model=False), run)
    killed.started(progress(0))
    for step in (10, 20, 30):
        tell(killed, step)
    longer = LoggedRun(folder=run.folder, name="tried", tasks=TASKS, spec=SPEC | {"training": {"epochs": 8}, "new": 1})
    resumed = MLflowLog(MLflow(uri=uri, model=False), longer)
    resumed.started(progress(20))
    assert only_run(uri).info.status == "RUNNING"
    for step in (30, 40):
        tell(resumed, step)
    resumed.finished(progress(40))
    resumed.ended(results())
    resumed.close()
    for metric in ("loss/left", "validation/hypervolume"):
        assert [step for step, _ in history(uri, metric)] == [10, 20, 30, 40]
    data = only_run(uri).data
    assert (data.params["training.epochs"], data.params["new"]) == ("4", "1")
    assert data.tags["resumed.training.epochs"] == "8"


@pytest.mark.parametrize(
    ("error", "status"), [(InterruptedRun("stop"), "KILLED"), (KeyboardInterrupt(), "KILLED"), (OSError(), "FAILED")]
)
def test_how_a_run_ended(uri: str, run: LoggedRun, error: BaseException, status: str) -> None:
    log = MLflowLog(MLflow(uri=uri), run)
    log.started(progress(0))
    log.close(error)
    assert only_run(uri).info.status == status


def test_a_run_that_mlflow_no_longer_has_is_begun_anew(uri: str, run: LoggedRun) -> None:
    run.remember("mlflow", "0" * 32)
    log = MLflowLog(MLflow(uri=uri), run)
    log.started(progress(20))
    tell(log, 30)
    log.close()
    assert run.remembered("mlflow") == only_run(uri).info.run_id
    assert history(uri, "loss/left") == [(30, 3.0)]


def test_nothing_of_mlflow_itself_is_changed(uri: str, run: LoggedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    import mlflow

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    before = mlflow.get_tracking_uri(), dict(os.environ)
    whole(MLflowLog(MLflow(uri=uri, model=False), run))
    assert (mlflow.get_tracking_uri(), dict(os.environ)) == before
    assert mlflow.active_run() is None
