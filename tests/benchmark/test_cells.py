from __future__ import annotations

import json
from pathlib import Path

from moframework.benchmark.cells import cell, chosen, decisive
from moframework.benchmark.loading import load_benchmark
from moframework.io.atomic import write_text
from moframework.io.sealed import write_sealed_yaml
from moframework.spec import load_spec
from tests.benchmark.parts import pretend_done, tiny
from tests.seals import change_json

BENCHMARK = load_benchmark(tiny())


def test_where_a_cell_lies(tmp_path: Path) -> None:
    one = cell(BENCHMARK, tmp_path, 0, 0, 1)
    assert one.folder.parent == tmp_path / "cells" / "digits" / "palora"
    assert one.folder.name.startswith("seed-1-")
    assert one.name == "small, adapters, seed 1"
    assert one.folder == cell(load_benchmark(tiny()), tmp_path, 0, 0, 1).folder
    others = [
        cell(BENCHMARK, tmp_path, 0, 0, 0),
        cell(BENCHMARK, tmp_path, 0, 0, 1, {"training.optimizer.lr": 0.5}),
        cell(load_benchmark(tiny(), ["training.steps=3"]), tmp_path, 0, 0, 1),
    ]
    assert len({one.folder, *(other.folder for other in others)}) == 4
    assert others[1].name == "small, adapters, seed 1, lr=0.5"


def test_a_new_label_makes_no_new_cell(tmp_path: Path) -> None:
    renamed = load_benchmark(tiny(), ["solvers.0.label=other", "problems.0.label=other"])
    one = cell(renamed, tmp_path, 0, 0, 1)
    assert one.folder == cell(BENCHMARK, tmp_path, 0, 0, 1).folder
    assert one.name == "other, other, seed 1"


def test_states(tmp_path: Path) -> None:
    one = cell(BENCHMARK, tmp_path, 0, 0, 0)
    assert (one.state, one.message) == ("missing", None)
    job = one.prepare()
    assert one.state == "missing"
    assert load_spec(job.folder / "spec.yaml") == one.spec
    assert job.command[-3:] == (str(one.folder), "--resume", "--quiet")
    one.fail("out of paper")
    assert (one.state, one.message) == ("failed", "out of paper")
    write_text(one.folder / "status.json", json.dumps({"status": "interrupted"}))
    one.prepare()
    assert (one.state, one.message) == ("unfinished", None), "a new attempt forgets the failure"
    pretend_done(one)
    assert one.state == "done"
    text = (one.folder / "front-val.json").read_text()
    (one.folder / "front-val.json").write_text(text.replace("0.3", "0.4"))
    assert one.state == "unfinished", "a result that is damaged is made anew"
    pretend_done(one)
    change_json(one.folder / "environment.json", format=3)
    assert one.state == "unfinished", "a newer version wrote it: running the cell tells"
    pretend_done(one)
    write_text(one.folder / "spec.yaml", "seed: 3\n")
    assert one.state == "unfinished", "the folder holds a run of another spec"


def test_a_cell_of_a_version_before_constraints_is_done(tmp_path: Path) -> None:
    one = cell(BENCHMARK, tmp_path, 0, 0, 0)
    one.prepare()
    pretend_done(one)
    assert "\nconstraints: {}\n" in one.text
    write_sealed_yaml(one.folder / "spec.yaml", one.text.replace("constraints: {}\n", ""))
    assert one.state == "done"
    write_sealed_yaml(one.folder / "spec.yaml", one.text.replace("constraints: {}", "constraints: {left/loss: < 1}"))
    assert one.state == "unfinished"


def test_a_cell_of_a_version_before_starts_of_adapters_is_done(tmp_path: Path) -> None:
    one = cell(BENCHMARK, tmp_path, 0, 0, 0)
    one.prepare()
    pretend_done(one)
    lines = "  adapter_init: lora\n  adapter_init_std: 0.3\n"
    assert lines in one.text
    assert "adapter" not in decisive(one.text).replace("adapter_lr_factor", "").replace("adapter: lora", "")
    write_sealed_yaml(one.folder / "spec.yaml", one.text.replace(lines, ""))
    assert one.state == "done"
    write_sealed_yaml(one.folder / "spec.yaml", one.text.replace("adapter_init: lora", "adapter_init: pissa"))
    assert one.state == "unfinished"


def test_choices_for_people() -> None:
    choice = {"training.optimizer.lr": 1e-4, "solver.rank": 3, "solver.conv": "peft", "a.b": {"name": "x"}}
    assert chosen(choice) == ["lr=0.0001", "rank=3", "conv=peft", 'b={"name": "x"}']
