"""The README does what it says: its commands, specs and Python are run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from moframework import check, load_spec, solve
from moframework.cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_set_up_is_exactly_two_commands() -> None:
    section = README.split("## Set up", 1)[1].split("\n## ", 1)[0]
    commands = re.findall(r"```bash\n(.*?)```", section, flags=re.DOTALL)
    assert len(commands) == 2
    assert all(len(command.strip().splitlines()) == 1 for command in commands)


def test_the_spec_that_is_explained_is_the_quickstart(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").write_text(blocks("yaml")[0])
    assert load_spec(tmp_path / "quickstart.yaml") == load_spec("quickstart")


def test_every_spec_can_be_checked(tmp_path: Path) -> None:
    found = blocks("yaml")
    assert len(found) == 2
    for i, text in enumerate(found):
        (tmp_path / f"{i}.yaml").write_text(text)
        assert check(tmp_path / f"{i}.yaml")


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    solve(load_spec("quickstart", ["training.epochs=1", "problem={name: digits, train: 512}"]), "runs/quickstart")
    (code,) = blocks("python")
    assert ">= 0.85" in code
    exec(code.replace(">= 0.85", ">= 0.0"), {})  # so short a training does not read 85 % of the digits
    assert "torch.Size([4, 10])" in capsys.readouterr().out


def test_the_command_table_is_complete() -> None:
    table = README.split("## Commands", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"^\| `moframework (\w+)", table, flags=re.MULTILINE)) == {
        name for name, command in main.commands.items() if not command.hidden
    }


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) >= 4
    for link in links:
        assert (ROOT / link).exists(), link
