"""`list` and `docs`: what there is, in a terminal."""

from __future__ import annotations

import re
import webbrowser
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from moframework.cli import reference
from moframework.cli.main import main
from moframework.config.fields import options_of
from moframework.solvers.palora import PaLoRA


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="moframework")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A built site, on a terminal."""
    (tmp_path / "index.html").write_text("")
    monkeypatch.setenv(reference.SITE, str(tmp_path))
    monkeypatch.setattr(reference, "_on_terminal", lambda: True)
    return tmp_path


def test_options_of_a_part_with_defaults_and_help() -> None:
    told = call("list", "solvers", "palora").output
    assert told.startswith("Pareto Low-Rank Adapters: a shared trained network")
    for option in options_of(PaLoRA):
        assert re.search(rf"^ ?{option.key} .*{re.escape(option.help)}", told, re.MULTILINE), option.key
    assert re.search(r"^ ?rank +4 +a whole number, at least 1 and at most 4096 +rank r of each adapter", told, re.M)
    assert told.endswith("More: moframework docs solvers/palora\n")


def test_a_required_option_and_keys_of_all() -> None:
    told = call("list", "problems", "csv").output
    assert re.search(r"^ ?path +\(required\) +a path ", told, re.MULTILINE)
    assert "Keys of all problems: backbone, tasks, augmentation, collate, reference (`moframework list" in told


def test_a_part_without_options_says_so() -> None:
    assert "It has no options." in call("list", "objectives", "linear").output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "solvers", "paloar"), "did you mean 'palora'?"),
        (("list", "solver", "palora"), "there is no kind 'solver'; did you mean 'solvers'?"),
        (("docs", "training.epohcs"), "did you mean 'training.epochs'?"),
    ],
)
def test_what_is_not_there_names_the_nearest(arguments: tuple[str, ...], said: str) -> None:
    found = call(*arguments)
    assert found.exit_code == 2
    assert said in found.output


def test_docs_prints_markdown_for_a_program() -> None:
    told = call("docs", "palora").output
    assert told.startswith("## `palora`\n\nPareto Low-Rank Adapters")
    assert "- `rank` (a whole number, at least 1 and at most 4096; default `4`): rank r of each adapter" in told


def test_docs_of_a_name_that_several_have() -> None:
    told = call("docs", "single").output
    assert re.findall(r"^# .*", told, re.MULTILINE) == ["# schedules/single", "# solvers/single"]


def test_docs_of_a_page() -> None:
    assert call("docs", "choosing").output.startswith("# Choosing an operating point\n")


def test_docs_opens_the_site(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    assert call("docs").output == f"{site.as_uri()}/index.html\n"
    told = call("docs", "solve").output.splitlines()
    assert told[0] == opened[-1] == f"{site.as_uri()}/reference/python/solve.html#name-solve"
    assert told[1:] == [f"also: {site.as_uri()}/reference/commands.html#command-solve"]
    assert "## `palora`" in call("docs", "palora", "--text").output or len(opened) == 2


def test_docs_prints_where_no_browser_opens(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    assert "Pareto Low-Rank Adapters" in call("docs", "palora").output


def test_a_site_by_its_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(reference.SITE, "https://example.org/moframework/")
    assert reference._site() == "https://example.org/moframework"
    monkeypatch.setenv(reference.SITE, str(tmp_path))
    with pytest.raises(click.UsageError, match=r"no index\.html"):
        reference._site()
