"""`moframework serve`: its options, and what it says of wrong ones."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import moframework.serve
from moframework import Run, solve
from moframework.cli.main import main
from moframework.errors import MoframeworkError
from moframework.serve import server
from moframework.serve.points import named_points

SPEC = {
    "problem": {"name": "digits", "train": 32, "val": 16, "test": 16},
    "solver": {"name": "palora", "rank": 1},
    "training": {"steps": 1},
    "evaluate": {"points": 2},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return solve(SPEC, tmp_path_factory.mktemp("run") / "run", device="cpu").path


@pytest.fixture
def command(run: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Callable[..., Result], list[Any]]:
    """The command, whose server ends at once, and the servers."""
    served: list[Any] = []

    def at_once(own: server.Server, sockets: Any = None) -> None:
        own._started()
        served.append(own)

    monkeypatch.setattr(server.Server, "run", at_once)
    return lambda *options, folder=run: CliRunner().invoke(
        main, ["serve", str(folder), "--port", "0", *options]
    ), served


def test_what_is_served_is_told(command: tuple[Callable[..., Result], list[Any]], run: Path) -> None:
    serve, served = command
    point = run.parent / "best.json"
    point.write_text(json.dumps({"preference": [0.2, 0.6]}))
    result = serve(
        "--point",
        "balanced=1,1",
        "--point",
        f"best={point}",
        "--point",
        "even=compromise",
        "--limit",
        "max_batch=3",
        "--samples",
        "2",
    )
    assert result.exit_code == 0, result.output
    assert "note: run is served at http://127.0.0.1:" in result.stderr
    assert "reached from other machines" not in result.stderr
    (one,) = served
    service = one._app.service
    assert service.points["balanced"] == [0.5, 0.5]
    assert service.points["best"] == pytest.approx([0.25, 0.75])
    assert service.points["even"] == pytest.approx(Run(run).pick(rule="compromise").preference)
    assert "note: picked λ = " in result.stderr
    assert (service.limits.max_batch, len(service.samples)) == (3, 2)
    assert one._app.hosts == ("localhost", "127.0.0.1", "[::1]", "127.0.0.1")


def test_an_address_that_others_reach_is_noted_and_a_model_has_no_samples(
    command: tuple[Callable[..., Result], list[Any]], run: Path
) -> None:
    serve, served = command
    result = serve("--host", "0.0.0.0", folder=run / "model")
    assert result.exit_code == 0, result.output
    assert "note: 0.0.0.0 is reached from other machines. There is no encryption" in result.stderr
    assert "note: there are no samples to try: this is the folder of a model, which has no data" in result.stderr
    assert served[0]._app.hosts == ()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--point", "balanced"], "is not of the form NAME=NUMBERS, NAME=FILE or NAME=CONDITIONS"),
        (
            ["--point", "a=1,2,3"],
            "a preference has 2 numbers, one for each of left, right, such as [0.5, 0.5]; got [1.0, 2.0, 3.0]",
        ),
        (["--point", "a=missing.json"], "neither numbers with commas between nor a JSON file"),
        (["--point", "a=1,1", "--point", "a=1,0"], "has the name of another"),
        (["--point", "a=nan,1"], "the numbers of a preference are finite"),
        (["--point", "a=left/acc >= 0.5"], "did you mean 'left/accuracy'?"),
        (["--limit", "max_bach=3"], "did you mean 'max_batch'?"),
        (["--limit", "max_batch=0"], "max_batch"),
        (["--limit", "max_batch"], "not of the form KEY=VALUE"),
        (["--limit", "max_batch=["], "'[' is no number"),
        (["--device", "cuda:99"], "--device: "),
    ],
)
def test_wrong_options_are_told(
    command: tuple[Callable[..., Result], list[Any]], options: list[str], words: str
) -> None:
    result = command[0](*options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not command[1]


def test_a_port_that_is_taken_is_told(command: tuple[Callable[..., Result], list[Any]], run: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(main, ["serve", str(run), "--port", str(port)])
    assert result.exit_code == 1
    assert f"cannot bind to 127.0.0.1:{port}" in result.stderr


def test_what_is_not_installed_is_told_with_its_install_line(
    command: tuple[Callable[..., Result], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moframework.serve, "find_spec", lambda name: None if name == "orjson" else object())
    result = command[0]()
    assert result.exit_code == 1
    assert "serving needs orjson, which is not installed: pip install 'moframework[serve]'" in result.stderr
    with pytest.raises(AttributeError, match="has no 'servo'"):
        moframework.serve.servo  # noqa: B018


def test_points_are_named_once_and_read_from_files(tmp_path: Path) -> None:
    assert named_points(["a=b=1,3"], ("x", "y")) == {"a=b": [0.25, 0.75]}
    (tmp_path / "bad.json").write_text('{"preference": "x"}')
    with pytest.raises(MoframeworkError, match="neither numbers"):
        named_points([f"a={tmp_path / 'bad.json'}"], ("x", "y"))
