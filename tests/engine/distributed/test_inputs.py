"""Two processes share batches of inputs that are trees, of padded ones, and of several data sets: the front is that of
one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moframework import load_spec
from moframework.engine.evaluate import Evaluator
from moframework.engine.fit import fit
from moframework.processes.world import World
from moframework.run.plan import plan
from tests.engine.distributed.processes import in_processes
from tests.inputs.test_every_form import SPLIT, spec
from tests.run.test_sets import DIVIDED
from tests.run.test_sets import spec as sets_spec

PADDED = {"python": "tests.inputs.ragged:texts", "collate": {"name": "pad", "entries": ["ids"], "mask": "mask"}}
CASES: dict[str, dict[str, Any]] = {
    "samples": spec("nested"),
    "divided": spec("positions", {"name": "palora", **SPLIT}, training={"batch_size": 14}),
    "spread": spec("nested", training={"distributed": {"preferences": "spread"}}),
    "sharded": spec("keywords", training={"distributed": {"parameters": "sharded"}}),
    "items": spec("dataclass", loaded=True, training={"workers": 1}),
    "padded": {**spec("keywords"), "problem": PADDED},
    "sets": sets_spec(DIVIDED, {"batch_size": 24}),
    "sets in turn": sets_spec(by="turn", loaded=True),
}


def trained(world: World, folder: Path) -> dict[str, Any]:
    found = {}
    for name, given in CASES.items():
        ready = plan(load_spec(given), world)
        fit(ready.job(folder / name, (4.0, 4.0)), world=world)
        settings = ready.spec
        evaluator = Evaluator.of_spec(settings.problem, ready.place, settings.training, settings.evaluate, world)
        found[name] = evaluator.front(ready.model, ready.data["test"], ready.preferences, "test").losses
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("both")
    found: list[dict[str, Any]] = in_processes(trained, folder, folder)
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return trained(World(), tmp_path_factory.mktemp("alone"))


@pytest.mark.parametrize("name", CASES)
def test_the_front_is_that_of_one_process(name: str, both: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    for found in both:
        np.testing.assert_allclose(found[name], alone[name], rtol=2e-4)
