"""`moframework export`: its options, what it prints, what it answers to wrong use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from moframework import Run
from tests.cli.test_main import Call, call, finished

__all__ = ["call", "finished"]


def test_files_are_printed(call: Call, finished: Path, tmp_path: Path) -> None:
    made = call("export", finished, "--preference", "0.3,0.7", "--to", tmp_path / "m.safetensors")
    assert made.code == 0, made.err
    assert made.out.splitlines() == [
        str(tmp_path / f"m.safetensors{end}") for end in ("", ".card.json", ".md", ".preparation.json")
    ]
    again = call("export", finished, "--dial", "--to", tmp_path / "m.safetensors")
    assert (again.code, "m.safetensors exists" in again.err) == (1, True)
    assert call("export", finished, "--dial", "--to", tmp_path / "m.safetensors", "--overwrite").code == 0
    assert call("export", finished, "--dial-per-sample", "--to", tmp_path / "m.pt2").code == 0


def test_the_point_is_chosen_as_pick_does_and_the_card_says_by_what(call: Call, finished: Path, tmp_path: Path) -> None:
    bound = float(Run(finished).front("val").losses[:, 0].mean())
    made = call(
        "export",
        finished,
        "--pick",
        f"left/loss <= {bound:.3f}; minimize right/loss",
        "--to",
        tmp_path / "m.safetensors",
    )
    assert made.code == 0, made.err
    picked = Run(finished).pick(f"left/loss <= {bound:.3f}", minimize="right/loss")
    assert f"note: picked λ = {','.join(f'{weight:.6g}' for weight in picked.preference)} (" in made.err
    card = json.loads((tmp_path / "m.safetensors.card.json").read_text())
    assert card["preference"] == pytest.approx(picked.preference)
    assert card["chosen"]["conditions"] == [f"left/loss <= {bound:.4g}"]
    assert (card["chosen"]["rule"], card["chosen"]["split"]) == (picked.rule, "val")
    text = (tmp_path / "m.safetensors.md").read_text()
    assert f", chosen on the validation split: {picked.rule} where left/loss <= {bound:.4g}." in text
    assert "left/loss" in card["metrics"]["test"]


def test_what_cannot_be_written_is_told_before_anything_is_searched(
    call: Call, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def searched(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Run, "pick", searched)
    monkeypatch.setattr(Run, "trained", searched)
    (tmp_path / "m.pt2").write_text("")
    for name, words in (("m.pt2", "m.pt2 exists"), ("m.zip", ".safetensors"), ("folder", "adapters of PEFT")):
        for point in ("--pick=knee", "--preference=0.3,0.7"):
            made = call("export", finished, point, "--to", tmp_path / name)
            assert made.code in (1, 2), made.err
            assert words in made.err


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--to", "m.pt2"], 2, "give one of --preference 0.3,0.7"),
        (["--dial", "--preference", "1,0", "--to", "m.pt2"], 2, "give one of --preference"),
        (["--pick", "knee", "--preference", "1,0", "--to", "m.pt2"], 2, "give one of --preference"),
        (["--pick", "kne", "--to", "m.pt2"], 2, "there is no rule 'kne'; did you mean 'knee'?"),
        (["--pick", "left/loss < 0", "--to", "m.pt2"], 1, "meets all conditions"),
        (["--dial"], 2, "Missing option '--to'"),
        (["--preference", "a,b", "--to", "m.pt2"], 2, "'a,b' is not numbers with commas between"),
        (["--preference", "1,0,0", "--to", "m.pt2"], 2, "a preference has 2 numbers, one for each of left, right"),
        (["--preference=-1,0", "--to", "m.pt2"], 2, "non-negative"),
        (["--dial", "--to", "m.h5"], 2, "let it end in .safetensors"),
    ],
)
def test_wrong_use(
    options: list[str],
    code: int,
    words: str,
    call: Call,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = call("export", finished, *options)
    assert (answer.code, words in answer.err) == (code, True), answer.err
    assert list(tmp_path.iterdir()) == []
