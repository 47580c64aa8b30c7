"""Statistics of BatchNorm layers: a run may be evaluated with others than its model is used with."""

from __future__ import annotations

from pathlib import Path

import yaml

from moframework.io.sealed import read_sealed_yaml
from moframework.model import ParetoModel

__all__ = ["saved_statistics_note"]


def saved_statistics_note(spec: Path, model: ParetoModel) -> str | None:
    """What to tell of the answers of a run's model, where its fronts were evaluated with statistics taken anew for each
    preference, or None. Nothing that the spec names is imported.

    Args:
        spec: file of the run's spec; where there is none, nothing is known.

    Raises:
        DamagedFileError: the file is damaged.
    """
    if not model.norms() or not spec.is_file():
        return None
    read = yaml.safe_load(read_sealed_yaml(spec, advice="Bring it back from a copy."))
    if read.get("evaluate", {}).get("batchnorm") != "recalibrate":
        return None
    return (
        "the run's fronts were evaluated with statistics of BatchNorm layers taken anew for each preference "
        "(evaluate.batchnorm: recalibrate), but answers use those saved with the model: they may be worse than the "
        "fronts say. `moframework evaluate RUN --batchnorm shared` tells what they reach; `moframework export RUN "
        "--preference` and model.at(λ, calibrate=batches) have statistics of one preference"
    )
