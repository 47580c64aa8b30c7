"""The README does what it says, and so do the pages with the tables it leads to: commands, specs and Python are run,
and the tables of commands, solvers and problems have all there is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from moframework import check, load_spec, solve
from moframework.cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SPECS = (ROOT / "docs" / "specs.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def section(page: str, title: str) -> str:
    text = (ROOT / "docs" / page).read_text()
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def first_cells(table: str) -> set[str]:
    """Names in code in the first cells of a table."""
    return {
        name
        for cell in re.findall(r"^\|([^|]*)\|", table, flags=re.MULTILINE)
        for name in re.findall("`([^`]+)`", cell)
    }


def test_it_is_short_and_shows_one_picture() -> None:
    assert len(README.splitlines()) <= 110, "what is more stands on a page of docs/"
    (picture,) = re.findall(r"!\[[^\]]{40,}\]\(([^)]+)\)", README)
    assert (ROOT / picture).stat().st_size < 200_000


def test_set_up_is_exactly_two_commands() -> None:
    section = README.split("## Set up", 1)[1].split("\n## ", 1)[0]
    commands = re.findall(r"```bash\n(.*?)```", section, flags=re.DOTALL)
    assert len(commands) == 2
    assert all(len(command.strip().splitlines()) == 1 for command in commands)


@pytest.mark.parametrize("page", [README, SPECS], ids=["README", "specs"])
def test_the_spec_that_is_explained_is_the_quickstart(page: str, tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").write_text(blocks("yaml", page)[0])
    assert load_spec(tmp_path / "quickstart.yaml") == load_spec("quickstart")


def test_every_spec_can_be_checked(tmp_path: Path) -> None:
    (of_readme,), of_page = blocks("yaml"), blocks("yaml", SPECS)
    assert len(of_page) == 2
    for i, text in enumerate((of_readme, of_page[1])):  # the page's first one is the README's
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
    table = section("runs.md", "Commands")
    assert set(re.findall(r"^\| `moframework (\w+)", table, flags=re.MULTILINE)) == {
        name for name, command in main.commands.items() if not command.hidden
    }


@pytest.mark.parametrize(
    ("kind", "page", "title"),
    [("solvers", "which-solver.md", "All solvers"), ("problems", "problems.md", "Problems")],
)
def test_a_table_of_parts_is_complete(kind: str, page: str, title: str) -> None:
    rows = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert first_cells(section(page, title)) == rows[f"moframework.{kind}"].keys()


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) >= 4
    for link in links:
        assert (ROOT / link).exists(), link
