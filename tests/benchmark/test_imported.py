from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from moframework.benchmark.imported import located, read_imported
from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.results import Results
from moframework.benchmark.running import run_benchmark
from moframework.benchmark.spec import ImportedEntry
from moframework.config import build
from moframework.errors import SpecError
from moframework.problem import Problem
from tests.benchmark.conftest import TUNE
from tests.benchmark.parts import SMALL, tiny
from tests.schemas.validation import wrong

HEAD = "seed,split,left/preference,right/preference,left/loss,right/loss,left/accuracy,right/accuracy"
ROWS = ("0,test,1,0,0.2,0.6,0.9,0.5", "0,test,0,1,0.7,0.3,0.4,0.8", "1,test,1,0,0.3,0.6,0.8,0.5",
        "1,test,0,1,0.7,0.2,0.5,0.9", "0,val,1,0,0.2,0.7,0.6,0.5", "0,val,0,1,0.6,0.3,0.5,0.9")  # fmt: skip


@pytest.fixture
def problem() -> Problem:
    return build(Problem, SMALL)


def entry(file: Path, **more: Any) -> ImportedEntry:
    return ImportedEntry(label="theirs", file=file, source="somewhere", license="MIT", **more)


def written(folder: Path, *lines: str, name: str = "theirs.csv") -> Path:
    file = folder / name
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_fronts_of_a_csv(tmp_path: Path, problem: Problem) -> None:
    file = written(tmp_path, "# a comment", "", HEAD, *ROWS)
    first, second = read_imported(entry(file), problem, "test")
    assert (first.seed, second.seed) == (0, 1)
    assert first.front.losses.tolist() == [[0.2, 0.6], [0.7, 0.3]]
    assert first.front.preferences.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert second.front.metrics["right/accuracy"].tolist() == [0.5, 0.9]
    assert first.front.higher_is_better == {"left/accuracy": True, "right/accuracy": True}
    assert first.front.reference == problem.reference
    assert first.validation is not None
    assert first.validation.losses.tolist() == [[0.2, 0.7], [0.6, 0.3]]
    assert second.validation is None
    (only,) = read_imported(entry(file), problem, "val")
    assert only.front.split == "val"


def test_json_says_the_same(tmp_path: Path, problem: Problem) -> None:
    names = HEAD.split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in ROWS]
    plain = [{name: value if name == "split" else float(value) for name, value in row.items()} for row in rows]
    other = tmp_path / "theirs.json"
    other.write_text(json.dumps(plain))
    theirs = read_imported(entry(other), problem, "test")
    assert theirs == read_imported(entry(written(tmp_path, HEAD, *ROWS)), problem, "test")


def test_one_contender_of_several_and_what_may_be_absent(tmp_path: Path, problem: Problem) -> None:
    file = written(tmp_path, "contender,left/loss,right/loss", "x,1,2", "y,3,4")
    (found,) = read_imported(entry(file, contender="y"), problem, "test")
    assert (found.seed, found.has_preferences, found.front.losses.tolist()) == (0, False, [[3.0, 4.0]])
    with pytest.raises(SpecError, match=r"no row of contender 'z'; it has: x, y"):
        read_imported(entry(file, contender="z"), problem, "test")


WRONG = {
    "line 3: left/loss must be a finite number, but it is 'x'": ("left/loss,right/loss", "1,2", "x,2"),
    "line 2: right/loss must be a finite number, but it is missing": ("left/loss,right/loss", "1,"),
    "line 2: left/loss must be a finite number, but it is 'nan'": ("left/loss,right/loss", "nan,2"),
    "line 3: right/loss must be a finite number, but it is 'inf'": ("left/loss,right/loss", "1,2", "1,inf"),
    "unknown column 'left/los'": ("left/los,right/loss", "1,2"),
    "did you mean 'left/accuracy'?": ("left/accurac", "1"),
    "no column 'right/loss'": ("left/loss", "1"),
    "no column 'left/preference'": ("left/loss,right/loss,right/preference", "1,1,1"),
    "neither losses nor metrics": ("seed,left/preference,right/preference", "0,1,0"),
    "line 2: it has 1 cells, and there are 2 columns": ("left/loss,right/loss", "1"),
    "line 1: column 'left/loss' is there twice": ("left/loss,left/loss", "1,2"),
    "line 2: seed must be a whole number of at least 0, but it is '-1'": ("seed,left/loss,right/loss", "-1,1,2"),
    "line 2: seed must be a whole number": ("seed,left/loss,right/loss", "1.5,1,2"),
    "left/preference must be between 0 and 1, but it is 3": (HEAD.replace("split,", ""), "0,3,0,1,1,1,1"),
    "no row is of the split 'test'": ("split,left/loss,right/loss", "val,1,2"),
    "seed 0 has 1 points on val and 2 on test": ("split,left/loss,right/loss", "test,1,2", "test,1,2", "val,1,2"),
    "it has no line with the names of columns": ("# nothing",),
    "there is no row": ("left/loss,right/loss",),
}


@pytest.mark.parametrize("words", WRONG)
def test_errors_name_the_file_and_the_row(tmp_path: Path, problem: Problem, words: str) -> None:
    file = written(tmp_path, *WRONG[words])
    with pytest.raises(SpecError, match=re.escape(words)) as caught:
        read_imported(entry(file), problem, "test")
    assert str(caught.value).startswith(str(file))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "this is no JSON"),
        ('{"left/loss": 1}', "a list of objects"),
        ('[{"left/loss": 1, "right/loss": true}]', "row 1: right/loss must be a finite number, but it is True"),
        ('[{"left/loss": 1, "right/loss": 1}, {"left/loss": 1}]', "row 2: right/loss must be a finite number"),
    ],
)
def test_errors_of_json(tmp_path: Path, problem: Problem, content: str, words: str) -> None:
    file = written(tmp_path, content, name="x.json")
    with pytest.raises(SpecError, match=re.escape(words)):
        read_imported(entry(file), problem, "test")
    with pytest.raises(SpecError, match="cannot be read"):
        read_imported(entry(tmp_path / "absent.csv"), problem, "test")


def imported(file: Path, **more: Any) -> dict[str, Any]:
    return {"label": "theirs", "file": str(file), "source": "https://x", "license": "MIT", **more}


def joined_results(finished: tuple[Results, Path], out: Path, *entries: dict[str, Any]) -> tuple[Results, str]:
    """The finished benchmark with further rows, written elsewhere."""
    spec = load_benchmark(tiny(tune=TUNE, imported=list(entries), columns=["cross_angle", "span"]))
    (out / "cells").symlink_to(finished[1] / "cells")
    results = run_benchmark(spec, out, report_only=True)
    return results, (out / "results.md").read_text()


def test_imported_rows_join_the_table(finished: tuple[Results, Path], tmp_path: Path) -> None:
    file = written(tmp_path, HEAD, *ROWS)
    (tmp_path / "out").mkdir()
    results, page = joined_results(
        finished, tmp_path / "out",
        imported(file, commit="f9e8210", settings="10 epochs", differs="another draw"),
    )  # fmt: skip
    (group,) = results.groups
    row = group.rows[-1]
    assert [one.seed for one in row.done] == [0, 1]
    for one, by_hand in zip(row.done, (0.8 * 0.4 + 0.3 * 0.3, 0.7 * 0.4 + 0.3 * 0.4), strict=True):
        assert one.measures["hypervolume/losses"] == pytest.approx(by_hand)
        assert one.measures["controllability"] == pytest.approx(-1)
        assert one.measures["span"] is not None
        assert one.measures["seconds"] is None
    # validation of seed 0 is best in the mean at its second point, where test has .4 and .8; seed 1 has none
    assert [one.measures["single/accuracy"] for one in row.done] == [pytest.approx(0.6), None]
    assert "| theirs ‡ | 2, imported | " in page
    assert "‡ Not of the same problem" in page
    told = "theirs is imported and was not run here. From: https://x; commit: f9e8210; file: theirs.csv; license: MIT; "
    assert f"{told}settings: 10 epochs; differs: another draw." in page
    assert "Left out of tests: theirs (another draw)." in page
    data = json.loads((tmp_path / "out" / "results.json").read_text())
    origin = data["problems"][0]["rows"][-1]["imported"]
    assert (origin["source"], origin["file"], len(origin["sha256"])) == ("https://x", "theirs.csv", 64)
    assert len(data["cells"]) == 4, "nothing of it is a cell"
    assert [fault for fault in wrong(tmp_path / "out") if "results.json" in fault] == []


def test_without_losses_or_preferences_only_what_follows_is_told(
    finished: tuple[Results, Path], tmp_path: Path
) -> None:
    metrics = written(tmp_path, "left/accuracy,right/accuracy", "0.9,0.5", "0.5,0.8", name="metrics.csv")
    losses = written(tmp_path, "left/loss,right/loss", "0.2,0.6", "0.7,0.3", name="losses.csv")
    (tmp_path / "out").mkdir()
    results, _ = joined_results(
        finished, tmp_path / "out", imported(metrics), {**imported(losses), "label": "losses alone"}
    )
    by_metric, by_loss = results.groups[0].rows[-2:]
    (one,), (other,) = by_metric.done, by_loss.done
    assert one.front is None
    assert one.measures["hypervolume/accuracy"] == pytest.approx(0.9 * 0.5 + 0.5 * 0.3)
    assert one.measures["best/left/accuracy"] == 0.9
    assert {key for key, value in one.measures.items() if value is not None} == {
        "hypervolume/accuracy", "best/left/accuracy", "best/right/accuracy", "preferences",
    }  # fmt: skip
    assert other.measures["hypervolume/losses"] == pytest.approx(0.8 * 0.4 + 0.3 * 0.3)
    assert (other.measures["controllability"], other.measures["cross_angle"]) == (None, None)
    assert other.measures["nondominated"] == 1.0
    assert results.groups[0].reference == (1.0, 1.0)
    np.testing.assert_allclose(results.groups[0].scale[0] if results.groups[0].scale else (), (0.2, 0.3))


def test_a_wrong_file_is_told_before_anything_runs(tmp_path: Path) -> None:
    spec = load_benchmark(tiny(imported=[imported(written(tmp_path, "left/loss,right/loss", "1,x"))]))
    with pytest.raises(SpecError, match=r"theirs\.csv: line 2: right/loss"):
        run_benchmark(spec, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"source": " "}, "imported.0.source: must not be empty"),
        ({"license": ""}, "imported.0.license: must not be empty"),
        ({"file": "x.txt"}, "imported.0.file: must end in .csv or .json"),
        ({"label": "adapters"}, "two contenders are called 'adapters'"),
        ({"problem": "smalls"}, "there is no problem 'smalls'; did you mean 'small'? there are: small"),
        ({"label": "a|b"}, "without |"),
    ],
)
def test_wrong_entries(more: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=re.escape(words)):
        load_benchmark(tiny(imported=[{**imported(Path("x.csv")), **more}]))


def test_several_problems_need_a_name_and_labels_are_told_apart() -> None:
    problems = [{"problem": SMALL, "label": "one"}, {"problem": SMALL, "label": "two"}]
    with pytest.raises(SpecError, match="problem must say whose table it joins: one, two"):
        load_benchmark(tiny(problems=problems, imported=[imported(Path("x.csv"))]))
    both = [imported(Path("x.csv"), problem=name) for name in ("one", "two")]
    assert len(load_benchmark(tiny(problems=problems, imported=both)).imported) == 2
    with pytest.raises(SpecError, match="'theirs' is imported twice"):
        load_benchmark(tiny(problems=problems, imported=[both[0], both[0]]))


def test_a_file_is_found_beside_its_spec(tmp_path: Path) -> None:
    written(tmp_path, HEAD, *ROWS)
    spec = tmp_path / "b.yaml"
    spec.write_text(
        "problems: [digits]\nsolvers: [palora]\nimported: [{label: x, file: theirs.csv, source: s, license: l}]\n"
    )
    assert load_benchmark(spec).imported[0].file == tmp_path / "theirs.csv"
    assert attrs.evolve(load_benchmark(spec), name="n").imported[0].label == "x"


def test_published_results_are_bundled_and_as_their_authors_have_them() -> None:
    """https://github.com/nik-dim/palora, f9e8210, src/callbacks/utils/results/multimnist.json."""
    spec = load_benchmark("benchmarks/multimnist-published")
    assert len(spec.imported) == 13
    problem = spec.problems[0].problem
    found = {one.label: read_imported(one, problem, "test") for one in spec.imported}
    assert {len(own) for own in found.values()} == {3}
    assert {one.license for one in spec.imported} == {"MIT, Copyright (c) 2024 Nikolaos Dimitriadis"}
    assert all(one.differs for one in spec.imported)
    pamal, nash = found["PaMaL (authors)"], found["Nash-MTL (authors)"]
    assert pamal[0].front.preferences[:2].tolist() == [[1.0, 0.0], [0.9, 0.1]]
    assert pamal[0].front.losses[0].tolist() == [0.1244942, 0.2124345]
    assert nash[0].front.losses.tolist() == [[0.1293186, 0.1600921]]
    # The mean that the papers' tables have for PaMaL, as its front is measured here.
    volumes = [one.front.hypervolumes()["accuracy"]["value"] for one in pamal]
    assert float(np.mean(volumes)) == pytest.approx(0.9167, abs=5e-5)
    assert nash[0].validation is not None
    assert nash[0].validation.losses.tolist() == [[0.128519, 0.1634963]]


def test_a_file_at_its_path_goes_before_a_bundled_one_of_its_name(tmp_path: Path, problem: Problem) -> None:
    own = written(tmp_path, "left/loss,right/loss", "1,2", name="palora-multimnist-pamal.csv")
    (found,) = read_imported(entry(own), problem, "test")
    assert found.front.losses.tolist() == [[1.0, 2.0]]
    assert located(entry(own)) == own
    assert located(entry(tmp_path / "gone" / own.name)).parent.name == "benchmarks"
