"""`moframework evaluate` and `moframework pick`, on a small run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from moframework import Front, Run, load_spec, solve
from tests.cli.test_main import Call, call

__all__ = ["call"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    spec = {
        "problem": {"name": "digits", "train": 256, "val": 64, "test": 64},
        "solver": {"name": "palora", "rank": 1},
        "training": {"epochs": 4, "batch_size": 64},
        "evaluate": {"points": 3, "every": 0},
    }
    return solve(load_spec(spec), tmp_path_factory.mktemp("pick") / "run")


def test_evaluate_prints_a_front_and_writes_it(call: Call, run: Run, tmp_path: Path) -> None:
    found = call("evaluate", run.path, "--points", "5", "--split", "val", "--out", tmp_path / "front.json")
    assert found.code == 0
    assert "front on the val split, 5 points" in found.out
    front = Front.load(tmp_path / "front.json")
    assert front.preferences[:, 0].tolist() == [0, 0.25, 0.5, 0.75, 1]
    found = call("evaluate", run.path, "--preferences", "1,3; 1,1", "--json")
    assert json.loads(found.out)["preferences"] == [[0.25, 0.75], [0.5, 0.5]]
    assert call("evaluate", run.path, "--preferences", "1,x").code == 2


def test_evaluate_takes_the_point_that_conditions_choose(call: Call, run: Run) -> None:
    found = call("evaluate", run.path, "--pick", "knee", "--split", "val", "--json")
    assert found.code == 0, found.err
    assert json.loads(found.out)["preferences"] == [pytest.approx(run.pick(rule="knee").preference)]
    assert "note: picked λ = " in found.err
    several = call("evaluate", run.path, "--pick", "knee", "--points", "3")
    assert (several.code, "give one of --points, --preferences and --pick" in several.err) == (2, True)


def test_pick_prints_a_point_with_its_intervals(call: Call, run: Run) -> None:
    bound = float(run.front("val").losses[:, 0].mean())
    arguments = ("--where", f"left/loss <= {bound}", "--minimize", "right/loss", "--evaluations", "6")
    found = call("pick", run.path, *arguments)
    assert found.code == 0, found.err
    point = json.loads(call("pick", run.path, *arguments, "--json").out)
    assert point["val"]["left/loss"] <= bound
    low, high = point["intervals"]["test"]["right/loss"]
    assert f"{point['test']['right/loss']:.4f}   {low:.4f} to {high:.4f}" in found.out
    assert f"{point['preference'][0]:.4g}, {point['preference'][1]:.4g}" in found.out
    assert f"{point['evaluations']} preferences were evaluated" in found.out


@pytest.mark.parametrize(
    "rule",
    [
        ["--knee"],
        ["--tradeoff"],
        ["--nearest", "left/loss=0.5,right/accuracy=0.5"],
        ["--weights", "1,2"],
        ["--pseudo-weights", "left=1,right=2"],
        ["--step", "right/loss=worse"],
        ["--from", "1,1", "--step", "left/loss=better"],
    ],
)
def test_every_rule_chooses(call: Call, run: Run, rule: list[str]) -> None:
    found = call("pick", run.path, *rule, "--evaluations", "3", "--json")
    assert found.code == 0, found.err
    point = json.loads(found.out)
    assert sum(point["preference"]) == pytest.approx(1)
    assert (point["before"] is None) == ("--step" not in rule)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--where", "left/accuracy >= 2"], 2, "left/accuracy >= 2' holds nowhere, for 1 is the best value"),
        (["--where", "left/acc >= 0.5"], 2, "did you mean 'left/accuracy'?"),
        (["--knee", "--tradeoff"], 2, "one rule decides"),
        (["--knee", "--minimize", "left/loss"], 2, "one rule decides"),
        (["--weights", "1,2,3"], 2, "needs 2 numbers, for left, right, but has 3"),
        (["--nearest", "left/loss"], 2, "NAME=NUMBER"),
        (["--from", "0.5,0.5"], 2, "--from says where --step begins"),
        (["--step", "right"], 2, "COLUMN=better or COLUMN=worse"),
    ],
)
def test_what_cannot_be_picked_is_told(call: Call, run: Run, arguments: list[str], code: int, words: str) -> None:
    found = call("pick", run.path, *arguments, "--evaluations", "3")
    assert found.code == code
    assert words in found.err


def test_predict_picks_its_operating_point(call: Call, run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", run.spec.problem.data("test").inputs[:4].numpy())
    bound = float(run.front("val").losses[:, 0].mean())
    text = f"left/loss <= {bound}; minimize right/loss"
    found = call("predict", run.path, tmp_path / "images.npy", "--pick", text)
    assert found.code == 0, found.err
    picked = run.pick(f"left/loss <= {bound}", minimize="right/loss")
    assert f"note: picked λ = {','.join(f'{weight:.6g}' for weight in picked.preference)} (" in found.err
    chosen = ",".join(map(repr, picked.preference))
    assert call("predict", run.path, tmp_path / "images.npy", "--preference", chosen).out == found.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give one of --preference 0.3,0.7 and --pick"),
        (["--preference", "1,1", "--pick", "knee"], "give one of --preference and --pick, not both"),
        (["--pick", "knee; maximize left/accuracy"], "one rule decides"),
        (["--pick", "kne"], "there is no rule 'kne'"),
        (["--pick", "left/acc >= 0.5"], "did you mean 'left/accuracy'?"),
        (["--pick", " ; "], "nothing is asked for"),
        (["--pick", "left/loss <= 9; minimize"], "'minimize' names no column"),
    ],
)
def test_predict_says_what_is_wrong_with_a_pick(
    call: Call, run: Run, tmp_path: Path, arguments: list[str], words: str
) -> None:
    (tmp_path / "rows.npy").touch()
    found = call("predict", run.path, tmp_path / "rows.npy", *arguments)
    assert (found.code, words in found.err) == (2, True), found.err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("pick --where left/loss?1", "cannot read condition"),
        ("pick --minimize middle/loss", "allowed: left/preference"),
        ("pick --weights lef=1", "did you mean 'left'?"),
        ("evaluate --preferences 1,2,3", "a preference has 2 numbers"),
        ("export --to x.pt2 --preference 1,2,3", "a preference has 2 numbers"),
        ("plot --to x.png --columns left/los", "did you mean 'left/loss'?"),
        ("plot --to x.jpeg", "x.jpeg must end with one of .pdf, .svg, .png"),
    ],
)
def test_what_is_written_wrongly_is_wrong_usage(call: Call, run: Run, command: str, words: str) -> None:
    name, *options = command.split()
    found = call(name, run.path, *options)
    assert (found.code, words in found.err) == (2, True), found.err
