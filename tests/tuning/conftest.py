from __future__ import annotations

import pytest

from moframework.tuning.results import StudyResults
from moframework.tuning.running import tune
from tests.tuning.parts import PRUNING, here, study


@pytest.fixture(scope="package")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """A finished study, whose trials ended in every way; do not change its folder."""
    return tune(study(pruning=PRUNING), tmp_path_factory.mktemp("tuning") / "study", workers=here)
