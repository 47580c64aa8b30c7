"""MLflow (https://mlflow.org, Apache-2.0): optional, `pip install 'moframework[mlflow]'`."""

from __future__ import annotations

import contextlib
import math
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from moframework.config import config, option
from moframework.engine.events import Progress, Reading
from moframework.errors import InterruptedRun, shortened
from moframework.loggers import scalars
from moframework.loggers.base import Log, LoggedRun, Logger, Results, needs
from moframework.pareto.front import Front

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

__all__ = ["MLflow", "MLflowLog"]

_EXPERIMENT = "moframework"
_ID = "mlflow"
_KEY, _VALUE, _PARAMS = 250, 5000, 100  # characters of names and texts, and parameters of a request, that MLflow takes
_FILES = ("front.png", "front-val.json", "front-test.json", "spec.yaml", "report.txt")
# A training waits for every answer: MLflow's own 7 repetitions, with pauses that double, are minutes.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


@config
class MLflow(Logger):
    """A run of MLflow: the spec as parameters, numbers over the steps, picture and files, and the model as an MLflow
    model with the preference as a parameter. Needs the extra: `pip install 'moframework[mlflow]'`.

    A server of one's own, which gets all but the model::

        log: {name: mlflow, uri: "http://localhost:5000", experiment: digits, model: false}
    """

    uri: str | None = option(
        None, help="tracking server or store, such as http://localhost:5000; none: what MLflow has without it"
    )
    experiment: str | None = option(
        None, help="name of the experiment, made where missing; none: MLFLOW_EXPERIMENT_NAME, else moframework"
    )
    model: bool = option(True, help="whether the model goes there too")

    def check(self) -> None:
        """It needs MLflow."""
        needs("mlflow", "mlflow", "the logger mlflow")

    def log(self, run: LoggedRun) -> Log:
        return MLflowLog(self, run)


class MLflowLog(Log):
    """Writes a run down in MLflow, by a client of its own: what is active in MLflow's own functions stays as it is.

    Metrics have the names of `moframework.loggers.scalars`; characters that MLflow does not take become `_`. A resumed
    run goes on in the same run of MLflow, and no step is written twice. nan stays nan. Stores in a database turn an
    infinite number into the largest there is; a tag `infinite.METRIC` therefore says where a metric was infinite.

    Args:
        options: of the logger.
        run: what is logged.
    """

    def __init__(self, options: MLflow, run: LoggedRun) -> None:
        self.options, self.run = options, run
        self._client: MlflowClient | None = None
        self._id = ""
        self._resumed = False
        self._step = 0
        self._last: dict[str, int] = {}  # by metric: its last step in a run that is resumed
        self._infinite: dict[str, str] = {}

    def started(self, progress: Progress) -> None:
        """Find the run in MLflow or make it, and write the spec down as its parameters."""
        from mlflow.tracking import MlflowClient

        with _patient():
            client = MlflowClient(tracking_uri=self.options.uri)
            known = self.run.remembered(_ID)
            self._resumed = known is not None and _is_there(client, known)
            if known is not None and self._resumed:
                self._id = known
                client.update_run(known, status="RUNNING")
            else:
                tags = {"moframework.folder": str(self.run.folder.absolute()), "mlflow.source.name": "moframework"}
                made = client.create_run(
                    _experiment(client, self.options.experiment), run_name=self.run.name, tags=tags
                )
                self._id = made.info.run_id
                self.run.remember(_ID, self._id)
            self._client, self._step = client, progress.step
            self._write_spec(client)

    def logged(self, progress: Progress, reading: Reading) -> None:
        """Write losses, rates and speed."""
        self._write(scalars.of_reading(reading), progress.step)

    def evaluated(self, progress: Progress, front: Front, *, hypervolume: float, is_best: bool) -> None:
        """Write the indicators of the validation front."""
        self._write(scalars.of_front(front, hypervolume), progress.step)

    def finished(self, progress: Progress) -> None:
        """Know the step of the final numbers."""
        self._step = progress.step

    def ended(self, results: Results) -> None:
        """Write the final numbers, the picture and the files, and the model."""
        self._write(scalars.of_results(results.fronts), self._step)
        client, folder = self._open(), self.run.folder
        with _patient(), tempfile.TemporaryDirectory() as work:
            for path in (folder / name for name in _FILES):
                if path.is_file():
                    client.log_artifact(self._id, str(path))
            if self.options.model:
                from moframework.loggers.mlflow_model import save_mlflow_model

                made = Path(work) / "model"
                save_mlflow_model(results.model, made, files=folder / "model")
                client.log_artifacts(self._id, str(made), "model")

    def close(self, error: BaseException | None = None) -> None:
        """Say how the run ended."""
        if self._client is None:
            return
        client, self._client = self._client, None
        asked = isinstance(error, InterruptedRun | KeyboardInterrupt)
        with _patient():
            client.set_terminated(self._id, "FINISHED" if error is None else "KILLED" if asked else "FAILED")

    def _open(self) -> MlflowClient:
        if self._client is None:
            raise RuntimeError("a run of MLflow is written between `started` and `close`")
        return self._client

    def _write_spec(self, client: MlflowClient) -> None:
        """The spec as parameters. These never change in MLflow: what a resumed run has changed becomes tags."""
        from mlflow.entities import Param, RunTag

        known = client.get_run(self._id).data
        self._infinite = {key: value for key, value in known.tags.items() if key.startswith("infinite.")}
        spec = {_name(key): shortened(str(value), _VALUE) for key, value in scalars.flat(self.run.spec).items()}
        new = [Param(key, value) for key, value in spec.items() if key not in known.params]
        tags = [
            RunTag(_name(f"resumed.{key}"), value)
            for key, value in spec.items()
            if known.params.get(key, value) != value
        ]
        for start in range(0, max(len(new), 1), _PARAMS):
            client.log_batch(self._id, params=new[start : start + _PARAMS], tags=tags if start == 0 else [])

    def _write(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of a step, unless the run that is resumed has them already."""
        from mlflow.entities import Metric, RunTag

        client, now = self._open(), int(1000 * time.time())
        with _patient():
            if step <= self._last_step(client, _name(next(iter(values)))):
                return
            tags = []
            for name, value in values.items():
                if math.isinf(value):
                    key = _name(f"infinite.{name}")
                    before = self._infinite.get(key)
                    told = f"{value:g} at step {step}" if before is None else f"{before}, {value:g} at step {step}"
                    self._infinite[key] = shortened(told, _VALUE)
                    tags.append(RunTag(key, self._infinite[key]))
            metrics = [Metric(_name(name), float(value), now, step) for name, value in values.items()]
            for start in range(0, len(metrics), 1000 - len(tags)):
                client.log_batch(self._id, metrics=metrics[start : start + 1000 - len(tags)], tags=tags)

    def _last_step(self, client: MlflowClient, name: str) -> int:
        if not self._resumed:
            return -1
        if name not in self._last:
            self._last[name] = max((point.step for point in client.get_metric_history(self._id, name)), default=-1)
        return self._last[name]


def _is_there(client: MlflowClient, run: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run).info.lifecycle_stage == "active"
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False


def _experiment(client: MlflowClient, name: str | None) -> str:
    """The id of the experiment, which is made where it is missing."""
    name = name or os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
    found = client.get_experiment_by_name(name)
    return str(client.create_experiment(name)) if found is None else str(found.experiment_id)


def _name(text: str) -> str:
    """A name as MLflow takes one."""
    return re.sub(r"[^\w./ :-]", "_", text)[:_KEY]


@contextlib.contextmanager
def _patient() -> Iterator[None]:
    """While inside, MLflow waits for a server no longer than a training can; who has set it otherwise is obeyed."""
    own = {key: value for key, value in _PATIENCE.items() if key not in os.environ}
    os.environ.update(own)
    try:
        yield
    finally:
        for key in own:
            os.environ.pop(key, None)
