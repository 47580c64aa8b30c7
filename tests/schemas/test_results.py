"""The schemas describe what is written: every key that a run leaves, and none that it does not; old files are read, and
newer ones refused."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from moframework import Front, ParetoModel, Run, solve
from moframework.errors import DamagedFileError, DataError, NewerFormatError, RunError
from moframework.model.io import verify_model
from moframework.processes.world import World
from moframework.run.ending import Ending
from moframework.run.splits import compare_splits
from moframework.run.timing import PARTS
from moframework.schemas import RESULT_FILES, result_schema
from tests.schemas.validation import faults, files, wrong
from tests.seals import change_json

OLD = Path(__file__).parents[1] / "compat" / "data"
OF_A_RUN = [name for name in RESULT_FILES if name != "results"]
NEWEST = {"model": 3}  # of all others 2
SPECS: dict[str, dict[str, Any]] = {
    "digits": {  # metrics, and a hypervolume of them
        "problem": {"name": "digits", "train": 64, "val": 32, "test": 32},
        "solver": {"name": "palora", "rank": 1},
        "training": {"steps": 4, "batch_size": 16},
        "evaluate": {"points": 3},
    },
    "docstrings": {  # inputs of several tensors
        "problem": {"name": "docstrings", "backbone": {"name": "text_transformer", "vocabulary": 4096, "width": 8}},
        "solver": {"name": "palora", "rank": 1},
        "training": {"steps": 1, "batch_size": 16},
        "evaluate": {"points": 2},
    },
    "zdt1": {  # a true front
        "problem": "zdt1",
        "solver": {"name": "multipoint", "points": 2},
        "training": {"steps": 2},
    },
}


@pytest.fixture(scope="module", params=SPECS)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; do not change it."""
    return solve(SPECS[request.param], tmp_path_factory.mktemp("schemas") / "run", device="cpu").path


def content_of(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def schemas_within(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and all that it is made of, but for the conditions that only combine what is described elsewhere."""
    if isinstance(schema, dict):
        yield schema
        for key, value in schema.items():
            if key in ("properties", "definitions"):
                for part in value.values():
                    yield from schemas_within(part)
            elif key in ("items", "additionalProperties", "then"):
                yield from schemas_within(value)
            elif key == "oneOf":
                for part in value:
                    yield from schemas_within(part)


def objects_within(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the objects of a JSON document are."""
    if isinstance(content, dict):
        yield place
    parts = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in parts:
        yield from objects_within(value, (*place, key))


@pytest.mark.parametrize("name", RESULT_FILES)
def test_each_schema_is_one_and_describes_every_key(name: str) -> None:
    schema = result_schema(name)
    Draft7Validator.check_schema(schema)
    newest = NEWEST.get(name, 2)
    assert schema["$id"] == f"urn:moframework:schema:{name}:{newest}"
    assert RESULT_FILES[name].rpartition("/")[2].replace("*", "SPLIT") in schema["title"]
    assert schema["properties"]["format"].get("enum", [schema["properties"]["format"].get("const")])[-1] == newest
    assert {"format", "sha256"} <= set(schema["required"])
    described = 0
    for part in schemas_within(schema):
        for key, value in part.get("properties", {}).items():
            if "additionalProperties" in part:  # the rest are conditions on keys that are described
                assert value.get("description", "").endswith("."), f"{key} has no description"
                described += 1
    assert described >= len(schema["properties"])


def test_there_is_a_schema_for_every_name_and_no_other() -> None:
    folder = Path(result_schema.__code__.co_filename).parent
    assert sorted(path.stem for path in folder.glob("*.json")) == sorted(RESULT_FILES)
    with pytest.raises(KeyError, match=r"'logs'; there are: status, data"):
        result_schema("logs")


def test_what_stands_in_two_schemas_is_the_same() -> None:
    environment = copy.deepcopy(result_schema("environment")["properties"])
    del environment["format"], environment["sha256"]
    assert result_schema("results")["properties"]["environment"]["properties"] == environment
    parts = result_schema("report")["properties"]["time"]["properties"]
    for part in (parts["seconds"], parts["percent"]):
        assert list(part["properties"]) == list(PARTS)
    one, *others = [result_schema(name)["definitions"]["hypervolume"] for name in ("status", "front", "report")]
    assert all(other == one for other in others)


def test_every_file_of_a_run_is_as_its_schema_says(finished: Path) -> None:
    assert sorted(set(files(finished).values())) == sorted(OF_A_RUN), "each kind is there"
    assert wrong(finished) == []


def test_a_key_that_is_not_described_does_not_pass(finished: Path) -> None:
    """Where the keys are closed, which are all objects but mappings by name and the options of parts."""
    open_ = {
        ("hypervolumes",), ("hypervolumes", "val"), ("hypervolumes", "test"), ("hypervolume",), ("packages",),
        ("variables",), ("metrics",), ("higher_is_better",), ("metric_reference",), ("outputs",), ("backbone",),
        ("weights",), *((split, "labels", "by_task") for split in ("train", "val", "test")),
        *(("labels", split, "by_task") for split in ("train", "val", "test")),
        *(("validations", i, key) for i in range(4) for key in ("metrics", "hypervolumes")),
        *(("fronts", split, key) for split in ("val", "test") for key in ("controllability", "hypervolumes", "best")),
    }  # fmt: skip
    closed = 0
    for path, name in files(finished).items():
        content = content_of(path)
        for place in objects_within(content):
            if place in open_ or place[:1] in {("backbone",), ("weights",), ("reader",)}:
                continue
            changed = copy.deepcopy(content)
            inner = changed
            for key in place:
                inner = inner[key]
            inner["undescribed"] = 1
            assert faults(name, changed), f"{path.name}: {place}"
            closed += 1
    assert closed > 30


@pytest.mark.parametrize("name", OF_A_RUN)
def test_a_key_that_is_missing_does_not_pass(finished: Path, name: str) -> None:
    (path,) = [path for path, kind in files(finished).items() if kind == name and path.name != "front-val.json"]
    content = content_of(path)
    optional = {"preparation_sha256"}  # of a model that is saved without its problem
    for key in content.keys() - optional:
        assert faults(name, {k: v for k, v in content.items() if k != key}), key
    assert faults(name, {**content, "format": 4})
    assert faults(name, {**content, "sha256": "0"})


def test_the_status_of_each_end(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("seed: 0\n")
    ending = Ending(tmp_path, World())
    ending.state("running")
    assert wrong(tmp_path) == []
    for error in (KeyboardInterrupt(), ValueError("x" * 10_000)):
        with pytest.raises(type(error)), ending:
            raise error
        assert content_of(tmp_path / "status.json")["status"] in ("interrupted", "failed")
        assert wrong(tmp_path) == []
    content = content_of(tmp_path / "status.json")
    assert faults("status", {**content, "status": "done"}), "one that is done has its facts"
    assert faults("status", {**content, "steps": 3}), "and only one that is done"
    assert faults("status", {**content, "status": "paused"})


@pytest.mark.parametrize("method", sorted(path.name for path in OLD.iterdir() if path.is_dir()))
def test_files_of_the_first_format_are_read(method: str) -> None:
    old = OLD / method
    for path in (old / "run" / "status.json", old / "run" / "data.json", old / "finished" / "front-test.json"):
        assert "format" not in content_of(path)
    assert content_of(old / "finished" / "model.json")["format"] == 1
    assert Run(old / "run").summary()["message"].startswith("stopped at step")
    before = content_of(old / "run" / "data.json")
    compare_splits(old / "run" / "data.json", before)
    with pytest.raises(DataError, match="is not what"):
        compare_splits(old / "run" / "data.json", {**before, "train": {"samples": 1, "contents": "0"}})
    front = content_of(old / "finished" / "front-test.json")
    assert Front.load(old / "finished" / "front-test.json").losses.tolist() == front["losses"]
    verify_model(old / "finished")


READERS: dict[str, Callable[[Path], object]] = {
    "status.json": lambda run: Run(run).summary(),
    "data.json": lambda run: compare_splits(run / "data.json", {}),
    "environment.json": lambda run: Run(run).environment(),
    "front-test.json": lambda run: Run(run).front(),
    "model/model.json": lambda run: ParetoModel.load(run),
    "history.json": lambda run: Run(run).history(),
    "report.json": lambda run: Run(run).report(),
}


@pytest.mark.parametrize("file", READERS)
def test_a_newer_format_is_refused_in_words(finished: Path, tmp_path: Path, file: str) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    READERS[file](run)
    newest = NEWEST.get(Path(file).stem, 2)
    change_json(run / file, format=newest + 1)
    with pytest.raises(RunError) as caught:
        READERS[file](run)
    words = f"has format {newest + 1}; this version reads up to {newest}. Update moframework."
    assert str(caught.value) == f"{run / file} {words}"
    assert not isinstance(caught.value, DamagedFileError), "which would be made anew"


@pytest.mark.parametrize(
    "file", ["status.json", "environment.json", "front-val.json", "history.json", "model/model.json"]
)
def test_results_of_a_newer_version_are_not_replaced(finished: Path, tmp_path: Path, file: str) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    change_json(run / file, format=NEWEST.get(Path(file).stem, 2) + 1)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(NewerFormatError, match=r"Update moframework\.$"):
        solve(run, resume=True)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
