from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import attrs
import pytest

from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.results import Results
from moframework.benchmark.saving import figure_name, to_json
from moframework.errors import DamagedFileError
from moframework.io.sealed import read_json
from moframework.schemas import RESULT_FILES
from tests.schemas.validation import faults, files, wrong

PICTURES = {"attainment/small": "attainment-small.png"}


def test_files(finished: tuple[Results, Path]) -> None:
    _, folder = finished
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "attainment-small.png", "benchmark.yaml", "cells", "fronts-small.html", "fronts-small.png", "results.csv",
        "results.html", "results.json", "results.md", "results.tex",
    }  # fmt: skip
    assert (folder / "fronts-small.png").read_bytes().startswith(b"\x89PNG")


def test_the_saved_spec_is_the_benchmark(finished: tuple[Results, Path]) -> None:
    results, folder = finished
    assert load_benchmark(folder / "benchmark.yaml") == results.benchmark


def test_csv_and_json_agree(finished: tuple[Results, Path]) -> None:
    _, folder = finished
    data = json.loads((folder / "results.json").read_text())
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["solver"] for row in rows] == ["adapters", "networks"]
    for row, told in zip(rows, data["problems"][0]["rows"], strict=True):
        assert row["problem"] == "small"
        assert float(row["training.optimizer.lr"]) == told["tuned"]["chosen"]["training.optimizer.lr"]
        for key, measure in told["measures"].items():
            values = [value for value in measure["values"] if value is not None]
            if values:
                assert math.isclose(float(row[f"{key}_mean"]), sum(values) / len(values), abs_tol=1e-12)
            assert row[f"{key}_mean"] == ("" if measure["mean"] is None else repr(measure["mean"]))
    assert rows[1]["overhead_mean"] == "1.0", "two networks"


def test_json_holds_what_a_comparison_needs(finished: tuple[Results, Path]) -> None:
    _, folder = finished
    data = json.loads((folder / "results.json").read_text())
    assert data["environment"]["packages"]["moframework"]
    assert data["environment"]["time"]
    assert data["environment"]["platform"]["cpus"] >= 1
    assert data["benchmark"]["training"]["steps"] == 2
    assert data["problems"][0]["loss_reference"] == [1.0, 1.0]
    assert {cell["state"] for cell in data["cells"]} == {"done"}
    for cell in data["cells"]:
        assert json.loads((folder / cell["folder"] / "status.json").read_text())["status"] == "done"
        assert cell["environment"]["torch"]


def test_every_json_file_is_as_its_schema_says(finished: tuple[Results, Path]) -> None:
    _, folder = finished
    found = files(folder)
    assert found[folder / "results.json"] == "results"
    assert set(found.values()) == set(RESULT_FILES), "and those of its cells"
    assert wrong(folder) == []


def test_a_key_that_is_not_described_does_not_pass(finished: tuple[Results, Path]) -> None:
    _, folder = finished
    data = json.loads((folder / "results.json").read_text())
    row, cell = data["problems"][0]["rows"][0], data["cells"][0]
    closed = [
        data, data["environment"], data["environment"]["torch"], data["problems"][0], data["problems"][0]["columns"][0],
        row, row["measures"]["seconds"], row["tuned"], row["tuned"]["trials"][0], cell, cell["environment"],
    ]  # fmt: skip
    for one in closed:
        one["undescribed"] = 1
        assert faults("results", data)
        del one["undescribed"]
    assert not faults("results", data)


def test_the_json_file_has_its_format_and_a_checksum(finished: tuple[Results, Path], tmp_path: Path) -> None:
    results, folder = finished
    text = (folder / "results.json").read_text()
    assert read_json(folder / "results.json", advice="")["format"] == 2
    assert text.startswith(to_json(results, folder, PICTURES).rstrip().removesuffix("\n}")), "else laid out as before"
    damaged = tmp_path / "results.json"
    damaged.write_text(text.replace('"seed": 1', '"seed": 2', 1))
    assert damaged.read_text() != text
    with pytest.raises(DamagedFileError, match="SHA-256"):
        read_json(damaged, advice="")


@pytest.mark.parametrize(
    ("titles", "names"),
    [(("a", "b c"), ["fronts-a.png", "fronts-b-c.png"]), (("a b", "a:b"), ["fronts-a-b-0.png", "fronts-a-b-1.png"])],
)
def test_pictures_never_share_a_name(finished: tuple[Results, Path], titles: tuple[str, str], names: list[str]) -> None:
    results, _ = finished
    groups = tuple(attrs.evolve(results.groups[0], problem=title) for title in titles)
    several = attrs.evolve(results, groups=groups)
    assert [figure_name(several, group) for group in groups] == names
