"""Soups, as runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moframework import Run, check, load_spec, solve
from moframework.errors import SpecError
from moframework.io.tensors import save_tensors
from tests.solvers.tiny import DIGITS, spec

BATCHNORM = {**DIGITS, "backbone": {"python": "tests.merging.two_heads:Normed"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A multi-task network in `base`, and `tuned`: networks of each task that started from it."""
    folder = tmp_path_factory.mktemp("soup")
    solve(spec("single", steps=12), folder / "base")
    solve(spec({"name": "stl", "initial": str(folder / "base")}, steps=6), folder / "tuned")
    return folder


def soup(folder: Path, **options: Any) -> dict[str, Any]:
    return {
        "problem": DIGITS,
        "solver": {"name": "soup", "members": str(folder / "tuned"), "base": str(folder / "base"), **options},
        "evaluate": {"points": 3},
    }


def test_the_ends_of_the_front_are_the_members(folder: Path, tmp_path: Path) -> None:
    run = solve({**soup(folder), "training": None}, tmp_path / "run")
    front, tuned = run.front("test"), Run(folder / "tuned").front("test")
    for task in range(2):
        ours, theirs = (one.losses[one.preferences[:, task] == 1, task] for one in (front, tuned))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert run.summary()["steps"] == 0
    assert run.status == "done"
    assert not (run.path / "checkpoints").exists()
    page = (run.path / "report.txt").read_text()
    assert "heads from the member that trained them: heads.to_left.0" in page
    assert "smallest cosine" in page
    again = solve(run.spec, tmp_path / "again")
    assert again.front("test") == run.front("test")
    assert solve(run.path, resume=True).front("val") == run.front("val")


def test_a_model_needs_its_members_no_longer(folder: Path, tmp_path: Path) -> None:
    run = solve(soup(folder, merge={"name": "ties", "density": 0.5}, lines={"beta": 0.5}), tmp_path / "run")
    model = Run(run.path).model()
    x = run.spec.problem.data("test")[:4][0]
    preference = [0.25, 0.75]
    outputs = model.eval()(x, preference)
    for key, value in outputs.items():
        torch.testing.assert_close(model.at(preference).eval()(x)[key], value)
    mixed = model(x, torch.tensor([preference, [1.0, 0.0], [0.0, 1.0], preference]))
    torch.testing.assert_close(mixed["left"][0], outputs["left"][0])
    assert run.evaluate(points=5).losses.shape == (5, 2)
    assert 0 <= run.pick(minimize="left/loss", evaluations=4).preference[0] <= 1


def test_check_says_what_is_merged(folder: Path) -> None:
    lines = "\n".join(check({**soup(folder, lines={}), "training": {"epochs": 3}}))
    assert "training    none" in lines
    assert "soup trains nothing: training.epochs has no effect" in lines
    assert "LiNeS: factors from 1 to 2 over the blocks encoder.conv1, encoder.conv2, encoder.linear" in lines


def test_wrong_options_are_told(folder: Path, tmp_path: Path) -> None:
    for options, said in (
        ({"members": None}, "solver.members: required"),
        ({"base": None, "merge": "ties"}, "solver.base: all but a plain linear merge"),
        ({"members": {"left": str(folder / "tuned")}}, "no member for right"),
        ({"heads": {"left": "heads.left"}}, "no parameter or module is called 'heads.left'"),
        ({"trained_at": [[1, 0], [1, 0]]}, "depend on each other"),
    ):
        with pytest.raises(SpecError, match=said):
            check(soup(folder, **options))
    solve(spec("stl", steps=1), tmp_path / "others")
    with pytest.raises(SpecError, match="do not come from one start"):
        check(soup(folder, members=str(tmp_path / "others"), base=None))


def test_a_barrier_is_told(folder: Path, tmp_path: Path) -> None:
    """Members that are each other's mirror: between them is a network of zeros."""
    state = Run(folder / "tuned").model().at([1.0, 0.0]).state_dict()
    save_tensors(tmp_path / "one.safetensors", {name: value.contiguous() for name, value in state.items()})
    mirrored = {name: -value.contiguous() if "encoder" in name else value for name, value in state.items()}
    save_tensors(tmp_path / "other.safetensors", mirrored)
    members = {"left": str(tmp_path / "one.safetensors"), "right": str(tmp_path / "other.safetensors")}
    run = solve(soup(folder, members=members, base=None, far="warn", heads={}), tmp_path / "run")
    page = (run.path / "report.txt").read_text()
    assert "do not come from one start" in page


def test_statistics_of_batchnorm_are_taken_anew(tmp_path: Path) -> None:
    solve(spec("single", BATCHNORM, steps=4), tmp_path / "base")
    solve(spec({"name": "stl", "initial": str(tmp_path / "base")}, BATCHNORM, steps=4), tmp_path / "tuned")
    given = {**soup(tmp_path), "problem": BATCHNORM}
    run = solve(given, tmp_path / "run")
    shared = solve({**given, "evaluate": {"points": 3, "batchnorm": "shared"}}, tmp_path / "shared")
    anew = solve({**given, "evaluate": {"points": 3, "batchnorm": "recalibrate"}}, tmp_path / "anew")
    assert run.front("test") == anew.front("test")
    assert run.front("test") != shared.front("test")
    np.testing.assert_allclose(run.evaluate().losses, run.front("test").losses, rtol=1e-5)


def test_no_training_is_for_solvers_that_need_none(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("problem: digits\nsolver: palora\ntraining: none\n")
    with pytest.raises(SpecError, match=r"spec.yaml:3:11: training: none, but the solver trains"):
        load_spec(tmp_path / "spec.yaml")
    assert load_spec({**soup(folder), "training": None}).training == load_spec(soup(folder)).training
