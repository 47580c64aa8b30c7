"""Loggers: what gets a training's numbers, pictures and model beside the run folder: TensorBoard, MLflow, W&B.

A spec names them under `log`. Each is one file: option class and what it opens. What must not live here: the run
folder's own files, and anything that a result depends on; a run without any logger ends in the same weights.
"""

from moframework.loggers.base import Log, LoggedRun, Logger, Results

__all__ = ["Log", "LoggedRun", "Logger", "Results"]
