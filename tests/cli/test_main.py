from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from moframework.cli.main import main
from moframework.config import entries
from moframework.errors import (
    DataError,
    InterruptedRun,
    MoframeworkError,
    NonFiniteLossError,
    RunError,
    SpecError,
    UnknownNameError,
)
from moframework.reference.catalog import all_kinds
from moframework.spec.bundled import bundled_specs

SMALL = """\
# A tiny run for tests.
problem: {name: digits, train: 96, val: 48, test: 48}
solver: {name: palora, rank: 1}
training: {steps: 4, batch_size: 32, log_every: 2}
"""

Call = Callable[..., SimpleNamespace]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command line in this process: `call("list", "losses")` has `code`, `out` and `err`."""

    def run(*arguments: object) -> SimpleNamespace:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments], prog_name="moframework")
        captured = capsys.readouterr()
        code = stopped.value.code
        return SimpleNamespace(code=0 if code is None else code, out=captured.out, err=captured.err)

    return run


def spawn(warm: list[str], *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [*warm, "-m", "moframework", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; do not change it."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "small.yaml").write_text(SMALL)
    with pytest.raises(SystemExit) as stopped:
        main(["solve", str(folder / "small.yaml"), "--out", str(folder / "run"), "--quiet"])
    assert not stopped.value.code
    return folder / "run"


# Help and usage


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_commands_and_exit_codes(call: Call, flag: str) -> None:
    found = call(flag)
    assert found.code == 0
    for command in (
        "benchmark", "check", "evaluate", "front", "list", "new", "pick", "schema", "solve", "specs"
    ):  # fmt: skip
        assert re.search(rf"^  {command} +[A-Z][^.]+\.$", found.out, re.MULTILINE), "a whole sentence about each"
    assert "0 done; 1 failed run; 2 wrong usage or spec; 130 interrupted" in " ".join(found.out.split())


@pytest.mark.parametrize(
    "command", ["benchmark", "check", "evaluate", "front", "list", "new", "pick", "schema", "solve", "specs"]
)
def test_every_command_and_option_has_help(call: Call, command: str) -> None:
    found = call(command, "-h")
    assert found.code == 0
    assert found.out.startswith(f"Usage: moframework {command}")
    for option in main.commands[command].params:
        assert isinstance(option, click.Argument) or getattr(option, "help", None), f"{option.name} has no help"


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from moframework.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'yaml', 'rich', 'attrs', 'moframework.config', 'moframework.run'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Commands:" in done.stdout
    assert done.stderr.strip() == "[]"


def test_version(call: Call) -> None:
    found = call("--version")
    assert re.fullmatch(r"moframework, version \d+\.\d+\.\d+\n", found.out)


def test_unknown_command_names_the_nearest(call: Call) -> None:
    found = call("slove", "spec.yaml")
    assert found.code == 2
    assert "there is no command 'slove'. Did you mean 'solve'?" in found.err
    assert found.out == ""


def test_unlike_any_command_lists_all(call: Call) -> None:
    found = call("xyzzy")
    assert found.code == 2
    assert (
        "Commands: benchmark, check, docs, doctor, evaluate, export, front, list, new, pick, plot, predict, report, "
        "schema, serve, solve, specs, tune." in found.err
    )


def test_forgotten_command(call: Call, spec: Path) -> None:
    found = call(spec)
    assert found.code == 2
    assert f"To solve it: moframework solve {spec}" in found.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["solve"], "Missing argument 'SPEC'"),
        (["solve", "x", "--devise", "cpu"], "--device"),
        (["solve", "x", "--resume"], "x is no run folder: say which with --out RUN"),
        (["front", "run", "--split", "train"], "'val', 'test'"),
        (["list", "a", "b", "c"], "unexpected extra argument"),
    ],
)
def test_wrong_usage(call: Call, arguments: list[str], said: str) -> None:
    found = call(*arguments)
    assert found.code == 2
    assert said in found.err
    assert found.out == ""


BENCHMARK = """\
# A tiny benchmark for tests.
problems: [{name: digits, train: 96, val: 48, test: 48}]
solvers: [{name: palora, rank: 1}, {solver: {name: multipoint, points: 2}, label: networks}]
seeds: [0]
training: {steps: 4, batch_size: 32, log_every: 2}
"""


def test_benchmark(call: Call, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(BENCHMARK)
    out = tmp_path / "out"
    command = ["benchmark", tmp_path / "small.yaml", "--out", out, "--set", "training.steps=2"]
    found = call(*command, "--jobs", "2")
    assert found.code == 0, found.err
    assert re.search(r"^ +palora +networks *$", found.out, re.MULTILINE), "a column for each solver"
    for text in ("hypervolume, accuracy", "training, s", f"{out / 'results.md'}\n"):
        assert text in found.out
    lines = found.err.splitlines()
    assert lines[0] == "2 of 2 cells to run"
    assert sorted(lines[1:3]) == ["started  digits, networks, seed 0", "started  digits, palora, seed 0"]
    assert re.match(r"\[2/2\] done  digits, \w+, seed 0 in \d+ (s|min), validation hypervolume [\d.]+$", lines[-1])
    assert "steps: 2" in (out / "benchmark.yaml").read_text()
    again = call(*command, "--jobs", "2", "--report-only")
    assert (again.code, again.err, again.out) == (0, "", found.out)
    broken = call(*command, "--set", "solvers.1.training={optimizer: {name: sgd, lr: 1e30}}")
    assert broken.code == 1
    assert "[2/2] failed  digits, networks, seed 0" in broken.err
    assert "failed: digits, networks, seed 0: Error: " in broken.err
    assert "Traceback" not in broken.err
    assert re.search(r"^ seeds +1 +0 of 1 *$", broken.out, re.MULTILINE)


def test_interrupted_benchmark_saves_its_cells_and_says_how_to_continue(warm: list[str], tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(BENCHMARK.replace("networks}", "networks, training: {steps: 20000}}"))
    command = [*warm, "-m", "moframework", "benchmark", "small.yaml", "--out", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("started  digits, networks"):
            break
    (folder,) = tmp_path.glob("out/cells/digits/multipoint/seed-0-*/")
    deadline = time.monotonic() + 240
    while not ((folder / "log.txt").is_file() and "loss" in (folder / "log.txt").read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert "1 of 2 cells of this round are done. The same command goes on" in err
    assert json.loads((folder / "status.json").read_text())["status"] == "interrupted"
    report = spawn(warm, "benchmark", "small.yaml", "--out", "out", "--report-only", cwd=tmp_path)
    assert report.returncode == 0
    assert "0 of 1" in report.stdout


def test_wrong_benchmark_is_told_with_positions(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("problems: [digits]\nsolvers: [{solver: palora, training: {epoch: 1}}]\nseed: 3\n")
    found = call("benchmark", path, "--jobs", "2")
    assert found.code == 2
    assert [line.removeprefix(f"{path}:").split(": ")[:2] for line in found.err.splitlines()] == [
        ["2:39", "solvers.0.training.epoch"],
        ["3:1", "seed"],
    ]
    assert "did you mean 'seeds'?" in found.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("command", "given", "said"),
    [
        ("solve", "benchmarks/digits", "this is a benchmark, not the spec of one run; run: moframework benchmark"),
        ("check", "benchmarks/digits", "this is a benchmark, not the spec of one run; run: moframework benchmark"),
        ("benchmark", "quickstart", "this is the spec of one run, not a benchmark; run: moframework solve"),
    ],
)
def test_a_spec_of_the_other_kind(call: Call, command: str, given: str, said: str) -> None:
    found = call(command, given)
    assert found.code == 2
    assert found.out == ""
    (line,) = found.err.splitlines()
    assert line.endswith(f"{said} {given}")


def test_folder_in_place_of_a_spec(call: Call, tmp_path: Path) -> None:
    found = call("solve", tmp_path)
    assert found.code == 2
    assert f"moframework solve {tmp_path} --resume" in found.err


def test_two_runs_to_resume(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    found = call("solve", tmp_path / "a", "--resume", "--out", tmp_path / "b")
    assert found.code == 2
    assert "one run" in found.err


# Errors and exit codes


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SpecError("a.yaml:1:2: x: wrong\na.yaml:3:4: y: wrong"), 2, "a.yaml:1:2: x: wrong\na.yaml:3:4: y: wrong\n"),
        (UnknownNameError("no such thing"), 2, "Error: no such thing\n"),
        (InterruptedRun("stopped at step 3"), 130, "stopped at step 3\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (NonFiniteLossError("step 3, task left"), 1, "Error: step 3, task left\n"),
        (DataError("get it there"), 1, "Error: get it there\n"),
        (RunError("not a run"), 1, "Error: not a run\n"),
        (MoframeworkError("whatever"), 1, "Error: whatever\n"),
        (
            ModuleNotFoundError("No module named 'jsonschema'", name="jsonschema.validators"),
            1,
            "Error: this needs the package 'jsonschema', which is not installed. "
            "Install it with: pip install 'moframework[test]'\n",
        ),
        (
            ModuleNotFoundError("No module named 'elsewhere'", name="elsewhere"),
            1,
            "Error: this needs the package 'elsewhere', which is not installed. "
            "Install it with: pip install elsewhere\n",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_exit_codes(
    call: Call, spec: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("moframework.run.solving.solve", fail)
    found = call("solve", spec, "--quiet")
    assert (found.code, found.out, found.err) == (code, "", said)


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), ModuleNotFoundError("x", name="moframework.absent")])
def test_unexpected_error_keeps_its_traceback_in_a_file(
    call: Call, spec: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("moframework.run.solving.solve", fail)
    found = call("solve", spec, "--quiet")
    assert found.code == 1
    assert found.err.startswith(f"Error: unexpected {type(error).__name__}: {error}\nThe traceback is in ")
    assert "Traceback" not in found.err
    file = Path(found.err.strip().rpartition(" ")[2])
    assert file.parent == tmp_path
    assert "in fail" in file.read_text()


def test_reader_that_stops_reading_is_no_error() -> None:
    command = f"{sys.executable} -m moframework list losses | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_terminal_without_greek_letters() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "moframework", "list", "objectives"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "linear" in done.stdout


def test_wrong_spec_is_told_with_positions_and_without_traceback(warm: list[str], tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "problem: digitz\nsolver: {name: palora, rank: 0, rnak: 2}\ntraining: {epochs: 3.7}\nseed: 'no'\nevalute: {}\n"
    )
    done = spawn(warm, "solve", path)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    positions = [re.match(rf"{re.escape(str(path))}:(\d+):\d+: ", line) for line in lines]
    assert all(positions), done.stderr
    assert [int(found[1]) for found in positions if found] == [1, 2, 2, 3, 4, 5]
    assert done.stdout == ""
    assert not list(tmp_path.glob("runs")), "nothing is written"


def test_spec_that_is_not_there(call: Call) -> None:
    found = call("check", "quikstart")
    assert found.code == 2
    assert "quickstart" in found.err


@pytest.mark.parametrize("arguments", [["front"], ["solve", "--resume"]])
def test_folder_that_is_not_a_run(call: Call, tmp_path: Path, arguments: list[str]) -> None:
    command, *flags = arguments
    found = call(command, tmp_path, *flags)
    assert found.code == 2
    assert f"{tmp_path} is not a run folder" in found.err


@pytest.mark.parametrize(
    "command",
    [
        "front RUN", "front RIGHT --against RUN", "evaluate RUN", "pick RUN --knee", "report RUN",
        "plot RUN --to f.pdf", "export RUN --dial --to m.pt2", "predict RUN FILE --preference 1,1", "serve RUN",
        "solve RUN --resume",
    ],
)  # fmt: skip
def test_a_misspelt_run_folder_is_wrong_usage(call: Call, finished: Path, command: str) -> None:
    where = {"RUN": finished.parent / f"{finished.name}s", "RIGHT": finished, "FILE": finished / "status.json"}
    found = call(*(where.get(word, word) for word in command.split()))
    assert found.code == 2, found.err
    assert f"id you mean {finished}?" in found.err


def test_a_file_that_is_not_there_is_wrong_usage(call: Call, finished: Path) -> None:
    (finished.parent / "rows.npz").touch()
    wrong = finished.parent / "row.npz"
    for command in (("predict", finished, wrong, "--preference", "1,1"), ("evaluate", finished, "--data", wrong)):
        found = call(*command)
        assert found.code == 2
        assert f"there is no file or folder {wrong}; did you mean {finished.parent / 'rows.npz'}?" in found.err


# Commands


def test_solve_ends_with_a_table_and_what_next(call: Call, spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = call("solve", spec, "--out", out, "--set", "training.steps=2", "--device", "cpu")
    assert found.code == 0, found.err
    said = found.out
    assert "front on the test split, 11 points" in said
    assert said.count(" yes") + said.count(" no ") == 11
    assert "hypervolume of losses: " in said
    assert "hypervolume of accuracy: " in said
    for text in (f"run folder      {out}\n", f"moframework front {out} --json\n", f"tensorboard --logdir {out}\n"):
        assert text in said
    assert "step 2/2: training finished" in found.err, "--set was heard, and progress goes to stderr"
    assert "device: cpu" in (out / "spec.yaml").read_text()


def test_solve_quietly_prints_the_run_folder_alone(
    call: Call, spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = call("solve", spec, "--quiet", "--set", "training.steps=1")
    assert (found.code, found.err) == (0, "")
    assert re.fullmatch(r"runs/small-\d{8}-\d{6}\n", found.out)
    assert (tmp_path / found.out.strip() / "front.png").is_file()


@pytest.mark.parametrize("by_folder", [True, False])
def test_resume_of_a_finished_run_shows_it_again(call: Call, finished: Path, by_folder: bool) -> None:
    where = [finished] if by_folder else [finished.parent / "small.yaml", "--out", finished]
    found = call("solve", *where, "--resume")
    assert found.code == 0, found.err
    assert f"run folder      {finished}\n" in found.out


def test_run_folder_is_not_overwritten(call: Call, finished: Path) -> None:
    found = call("solve", finished.parent / "small.yaml", "--out", finished)
    assert found.code == 1
    assert "--resume" in found.err


def test_interrupted_run_says_how_to_continue_and_does(warm: list[str], tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SMALL.replace("steps: 4", "steps: 20000"))
    command = [*warm, "-m", "moframework", "solve", "spec.yaml", "--out", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "loss" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert "moframework solve run --resume" in err
    assert json.loads((tmp_path / "run" / "status.json").read_text())["status"] == "interrupted"
    process = subprocess.Popen(
        [*warm, "-m", "moframework", "solve", "run", "--resume"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=240)
    assert first.startswith("continuing at epoch ")
    assert process.returncode == 130


def test_front_as_json(call: Call, finished: Path) -> None:
    found = call("front", finished, "--json")
    assert (found.code, found.err) == (0, "")
    front = json.loads(found.out)
    assert front["tasks"] == ["left", "right"]
    assert front["split"] == "test"
    for key in ("preferences", "losses"):
        assert [len(row) for row in front[key]] == [2] * 11
    assert {name: len(values) for name, values in front["metrics"].items()} == {
        "left/accuracy": 11,
        "right/accuracy": 11,
    }
    assert len(front["nondominated"]) == 11
    assert set(front["nondominated"]) <= {True, False}
    assert set(front["hypervolume"]["losses"]) == {"value", "reference", "convention"}


def test_front_as_table(call: Call, finished: Path) -> None:
    found = call("front", finished, "--split", "val")
    assert found.code == 0
    assert "front on the val split, 11 points" in found.out


def test_front_against_single_task_networks(call: Call, finished: Path, spec: Path, tmp_path: Path) -> None:
    single = tmp_path / "single"
    assert (
        call(
            "solve", spec, "--set", "solver={name: stl}", "--set", "training.steps=30", "--out", single, "--quiet"
        ).code
        == 0
    )
    found = call("front", finished, "--against", single)
    assert (found.code, found.err) == (0, "")
    front = json.loads(call("front", finished, "--against", single, "--json").out)
    ideal = json.loads(call("front", single, "--json").out)
    (left,) = (ideal["metrics"]["left/accuracy"][i] for i in range(2) if ideal["preferences"][i] == [1, 0])
    (right,) = (ideal["metrics"]["right/accuracy"][i] for i in range(2) if ideal["preferences"][i] == [0, 1])
    mine = zip(front["metrics"]["left/accuracy"], front["metrics"]["right/accuracy"], strict=True)
    expected = [50 * ((left - a) / left + (right - b) / right) for a, b in mine]
    assert front["delta_m"] == pytest.approx(expected)
    assert f"best {min(expected):.2f} %" in found.out
    rows = [line for line in found.out.splitlines() if line.rstrip().endswith(("yes", "no"))]
    assert [row.split()[-2] for row in rows] == [f"{value:.2f}" for value in expected]


def test_front_against_what_is_no_reference(call: Call, finished: Path, spec: Path, tmp_path: Path) -> None:
    found = call("front", finished, "--against", finished)
    assert found.code == 2
    assert "no run of single-task networks" in found.err
    assert "solver: stl" in found.err
    assert f"moframework report {finished} {finished}" in found.err
    other = tmp_path / "other"
    call("solve", spec, "--set", "solver={name: stl}", "--set", "problem.train=64", "--out", other, "--quiet")
    swapped = call("front", other, "--against", finished)
    assert f"It is {other} that has them: moframework front {finished} --against {other}" in swapped.err
    found = call("front", finished, "--against", other)
    assert found.code == 2
    assert "solves another problem" in found.err


def test_front_that_was_not_evaluated_yet(call: Call, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "front-test.json").unlink()
    found = call("front", tmp_path / "run")
    assert found.code == 1
    assert "no front of split 'test'" in found.err


def test_front_that_cannot_be_read(call: Call, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "front-test.json").write_text("{")
    found = call("front", tmp_path / "run")
    assert found.code == 1
    assert "front-test.json" in found.err
    assert "Traceback" not in found.err


def test_check_prints_the_plan_and_writes_nothing(
    call: Call, spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = call("check", spec, "--set", "solver.rank=2")
    assert (found.code, found.err) == (0, "")
    for word in ("left", "right", "palora", "96", "4 steps"):
        assert word in found.out
    assert "\naccelerated by nothing\nmemory" in found.out
    assert "not cuda_graph: the device is cpu" in call("check", spec, "--verbose").out
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_schema_is_a_json_schema(call: Call) -> None:
    import jsonschema

    found = call("schema")
    assert found.code == 0
    schema = json.loads(found.out)
    jsonschema.Draft7Validator.check_schema(schema)
    assert "palora" in found.out


def test_schema_of_benchmarks(call: Call) -> None:
    import jsonschema

    found = call("schema", "--benchmark")
    assert found.code == 0
    schema = json.loads(found.out)
    jsonschema.Draft7Validator(schema).validate({"problems": ["digits"], "solvers": ["palora"]})


@pytest.mark.parametrize("name", ["status", "data", "environment", "front", "model", "report", "results"])
def test_schema_of_results(call: Call, name: str) -> None:
    found = call("schema", "--of", name)
    assert (found.code, found.err) == (0, "")
    schema = json.loads(found.out)
    assert schema["$id"] == f"urn:moframework:schema:{name}:{3 if name == 'model' else 2}"
    assert schema["additionalProperties"] is False


def test_schema_of_results_by_another_name(call: Call) -> None:
    found = call("schema", "--of", "log")
    assert found.code == 2
    assert (
        "'status', 'data', 'environment', 'front', 'history', 'model', 'preparation', 'report', 'results'" in found.err
    )
    found = call("schema", "--benchmark", "--of", "results")
    assert found.code == 2
    assert "give one of them" in found.err


def test_list_of_kinds(call: Call) -> None:
    found = call("list")
    assert found.code == 0
    for kind in all_kinds():
        assert re.search(rf"^ ?{kind} ", found.out, re.MULTILINE)
    assert re.search(rf"^ ?losses .* {len(entries('losses'))} *$", found.out, re.MULTILINE)


def test_list_of_one_kind(call: Call) -> None:
    found = call("list", "solvers")
    assert found.code == 0
    for entry in entries("solvers"):
        assert re.search(rf"^ ?{entry.name} .*{entry.package} *$", found.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("backbones", ["weights", "freeze", "call"]),
        ("problems", ["backbone", "tasks", "augmentation", "collate", "reference"]),
        ("losses", []),
    ],
)
def test_list_tells_the_keys_of_all_parts(call: Call, kind: str, keys: list[str]) -> None:
    _, heading, rest = call("list", kind).out.partition(f"key of all {kind}")
    assert bool(heading) == bool(keys)
    assert re.findall(r"^ ?(\w+) ", rest, re.MULTILINE) == keys


def test_list_of_an_unknown_kind(call: Call) -> None:
    found = call("list", "solver")
    assert found.code == 2
    assert "did you mean 'solvers'?" in found.err


def test_specs_with_their_first_comment(call: Call) -> None:
    found = call("specs")
    assert found.code == 0
    assert len(bundled_specs()) > 1
    for name, path in bundled_specs().items():
        comment = path.read_text(encoding="utf-8").partition("\n")[0]
        assert comment.startswith("# "), f"{path} opens with a comment: what it shows"
        assert re.search(rf"^ ?{name} +{re.escape(comment[2:])}", found.out, re.MULTILINE)


def test_a_new_problem_says_what_to_do_next(call: Call, tmp_path: Path) -> None:
    result = call("new", "problem", "mine", "--out", tmp_path)
    assert result.code == 0
    assert f"moframework solve {tmp_path / 'mine.yaml'}" in result.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.py", "mine.yaml", "test_mine.py"]
    again = call("new", "problem", "mine", "--out", tmp_path)
    assert again.code == 2
    assert "nothing is overwritten" in again.err
