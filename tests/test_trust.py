"""What docs/security.md promises of loading: no code of anyone's is imported or called that is not trusted.

A stranger's run names a network in a file, or in a module, that leaves a mark when it is imported and another when it
is called. This process knows the same network by another name only.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import frozen
from torch import nn

from moframework import Front, Observer, ParetoModel, Progress, Run, check, load_benchmark, load_spec, solve
from moframework.backbones.torchvision import TorchvisionBackbone
from moframework.benchmark.cells import cell
from moframework.cli.main import main
from moframework.config import build
from moframework.errors import DataError, InterruptedRun, MoframeworkError, RunError, SpecError
from moframework.model.io import read_model
from moframework.weights import WeightSpaceConfig
from tests.seals import change_json, change_text

CODE = """
import math
from pathlib import Path
from torch import nn

Path(__file__).with_name("imported").touch()


class Network(nn.Module):
    def __init__(self, features, outputs):
        super().__init__()
        self.heads = nn.ModuleDict({f"to_{key}": nn.Linear(features, size) for key, size in outputs.items()})

    def forward(self, x):
        return {key[3:]: head(x.flatten(1)) for key, head in self.heads.items()}


def network(input_shape, outputs) -> nn.Module:
    Path(__file__).with_name("called").touch()
    return Network(math.prod(input_shape), outputs)
"""


def spec(reference: str, **solver: Any) -> dict[str, Any]:
    return {
        "problem": {"name": "digits", "train": 64, "val": 32, "test": 32, "backbone": {"python": reference}},
        "solver": {"name": "palora", "rank": 1, **solver},
        "training": {"steps": 2, "batch_size": 32, "device": "cpu"},
        "evaluate": {"points": 3},
    }


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that this process has solved; do not change it."""
    folder = tmp_path_factory.mktemp("known")
    (folder / "ours.py").write_text(CODE)
    return solve(spec(f"{folder / 'ours.py'}:network"), folder / "run")


@frozen
class Foreign:
    """A run, as if a stranger had solved it with code that this process has not seen."""

    run: Path
    code: Path
    reference: str
    action: str

    def marks(self) -> list[str]:
        return sorted(
            path.name for path in self.code.parent.iterdir() if path.suffix == "" and path.name != "__pycache__"
        )


@pytest.fixture(params=["file", "module"])
def foreign(request: pytest.FixtureRequest, known: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Foreign:
    name = "strangers_" + re.sub(r"\W", "_", tmp_path.name)
    code = tmp_path / "code" / f"{name}.py"
    code.parent.mkdir()
    code.write_text(CODE)
    where, action = str(code), f"run the file {code}"
    if request.param == "module":
        monkeypatch.syspath_prepend(code.parent)
        where, action = name, f"import the module {name}"
    run = Path(shutil.copytree(known.path, tmp_path / "run"))
    for file in (run / "spec.yaml", run / "model" / "model.json"):
        ours = "../ours.py" if file.parent == run else "../../ours.py"
        assert ours in file.read_text()
        change_text(file, lambda text: text.replace(ours, where))  # noqa: B023 (called at once)
    return Foreign(run, code, f"{where}:network", action)


@pytest.fixture
def unfinished(foreign: Foreign) -> Foreign:
    """It was interrupted after its last step."""
    change_json(foreign.run / "status.json", status="interrupted")
    for file in [*foreign.run.glob("front-*.json"), foreign.run / "front.png"]:
        file.unlink()
    return foreign


def refused(foreign: Foreign, action: Callable[[], object], kind: type[MoframeworkError], place: str) -> None:
    """Nothing was imported, and the words say where it stands, what it would do, and what to do."""
    with pytest.raises(kind) as error:
        action()
    text = str(error.value)
    assert place in text
    assert f"'{foreign.reference}' is code" in text
    assert f"this would {foreign.action}" in text
    for step in ("trust=True", "--trust", "trust=[network]"):
        assert step in text
    assert foreign.marks() == []


def same_outputs(one: ParetoModel, other: ParetoModel) -> None:
    x = torch.rand(2, *one.recipe.input_shape)
    for key, value in one(x, [0.3, 0.7]).items():
        assert torch.equal(other(x, [0.3, 0.7])[key], value)


def another_network() -> Callable[..., nn.Module]:
    def network(input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return nn.Linear(1, 1)

    network.__qualname__ = "network"
    return network


# Models


def test_a_model_imports_and_calls_nothing(foreign: Foreign) -> None:
    file = foreign.run / "model" / "model.json"
    for load in (lambda: ParetoModel.load(foreign.run / "model"), lambda: Run(foreign.run).model()):
        refused(foreign, load, RunError, f"{file}: backbone.python: ")


def test_a_model_that_is_trusted_is_loaded(foreign: Foreign, known: Run) -> None:
    model = ParetoModel.load(foreign.run, trust=True)
    assert foreign.marks() == ["called", "imported"]
    same_outputs(model, known.model())
    same_outputs(Run(foreign.run, trust=True).model(), model)
    # Now this process knows it, and what it has is used.
    same_outputs(ParetoModel.load(foreign.run), model)


def test_a_function_or_class_can_be_handed_in(foreign: Foreign, known: Run, tmp_path: Path) -> None:
    ours: Any = known.model().recipe.backbone
    network = type(ours).function
    for model in (
        ParetoModel.load(foreign.run, trust=[print, network]),
        Run(foreign.run, trust=[network]).model(),
        Run(foreign.run).model(trust=[network]),
    ):
        same_outputs(model, known.model())
    assert Run(foreign.run, trust=[network]).spec.problem.network == ours
    assert foreign.marks() == []
    refused(foreign, lambda: ParetoModel.load(foreign.run, trust=[print]), RunError, "model.json")
    refused(foreign, lambda: ParetoModel.load(foreign.run, trust=[]), RunError, "model.json")
    with pytest.raises(RunError, match="2 of the parts that are handed in are called 'network'"):
        ParetoModel.load(foreign.run, trust=[network, another_network()])
    with pytest.raises(RunError, match="'network', which is handed in, is not a backbone"):
        ParetoModel.load(foreign.run, trust=[type("network", (), {})])
    for wrong in ("network", [network, "network"], 1):
        with pytest.raises(TypeError, match="trust is True, False, or a list of classes and functions"):
            ParetoModel.load(foreign.run, trust=wrong)  # type: ignore[arg-type]


def test_the_process_that_solved_a_run_loads_its_model(known: Run, tmp_path: Path) -> None:
    run = Run(known.path)
    same_outputs(run.model(), ParetoModel.load(run.path))
    assert type(run.spec.problem.network) is type(run.model().recipe.backbone)


def test_code_that_has_changed_since_is_not_known(foreign: Foreign, request: pytest.FixtureRequest) -> None:
    ParetoModel.load(foreign.run, trust=True)
    for mark in ("called", "imported"):
        (foreign.code.parent / mark).unlink()
    foreign.code.write_text(CODE + "\n# changed\n")
    if ".py:" not in foreign.reference:  # a module stays as it was imported
        ParetoModel.load(foreign.run)
        assert foreign.marks() == ["called"]
        return
    refused(foreign, lambda: ParetoModel.load(foreign.run), RunError, "which has changed since this process ran it")
    foreign.code.unlink()  # then there is nothing else that could be meant
    ParetoModel.load(foreign.run)


def test_what_a_model_is_made_of_is_looked_up_by_registered_names_only(foreign: Foreign) -> None:
    file = foreign.run / "model" / "model.json"
    change_json(file, backbone={"name": foreign.reference})
    with pytest.raises(RunError, match="no backbone called"):
        ParetoModel.load(foreign.run, trust=True)
    for weights in ({"name": "os:getcwd"}, {"python": "os:getcwd"}, {"python": "moframework.run.solving:solve"}):
        change_json(file, backbone={"name": "lenet"}, weights=weights)
        with pytest.raises(RunError, match=r"model\.json: weights"):
            ParetoModel.load(foreign.run)
    assert foreign.marks() == []


def test_a_model_does_not_fetch_the_weights_that_its_recipe_names(known: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(known.path / "model", tmp_path / "model"))
    change_json(folder / "model.json", backbone={"name": "torchvision", "model": "resnet18", "pretrained": "DEFAULT"})
    recipe, _ = read_model(folder)
    assert recipe.backbone == TorchvisionBackbone(model="resnet18")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("[1]", "holds no JSON object"),
        ('{"format": null}', "has lost its checksum"),
        ("{}", "states no format"),
        ('{"format": 1}', r"model\.json: backbone: is missing"),
    ],
)
def test_a_damaged_recipe_is_named(known: Run, tmp_path: Path, text: str, words: str) -> None:
    folder = Path(shutil.copytree(known.path / "model", tmp_path / "model"))
    (folder / "model.json").write_text(text)
    with pytest.raises(RunError, match=words) as error:
        ParetoModel.load(folder)
    assert str(folder / "model.json") in str(error.value)


# Runs


def test_a_runs_spec_and_fronts_import_nothing(foreign: Foreign) -> None:
    file = foreign.run / "spec.yaml"
    line = next(i for i, text in enumerate(file.read_text().splitlines(), 1) if "python:" in text)
    refused(foreign, lambda: Run(foreign.run).spec, SpecError, f"{file}:{line}:")
    refused(foreign, lambda: Run(foreign.run).delta_m(Run(foreign.run)), SpecError, "problem.backbone.python")
    assert len(Run(foreign.run).front("test").losses) == 3
    assert len(Front.load(foreign.run / "front-val.json").losses) == 3
    assert foreign.marks() == []
    assert Run(foreign.run, trust=True).spec.problem.backbone() is not None
    assert foreign.marks() == ["called", "imported"]


def test_a_run_is_not_resumed_with_code_that_is_not_trusted(unfinished: Foreign) -> None:
    refused(unfinished, lambda: solve(unfinished.run, resume=True), SpecError, "problem.backbone.python")
    assert Run(unfinished.run).status == "interrupted"
    assert solve(unfinished.run, resume=True, trust=True).status == "done"
    assert unfinished.marks() == ["called", "imported"]


def test_a_spec_of_ones_own_does_not_trust_the_run_it_resumes(unfinished: Foreign, known: Run) -> None:
    own = known.spec
    refused(unfinished, lambda: solve(own, unfinished.run, resume=True), SpecError, "problem.backbone.python")
    with pytest.raises(RunError, match="made from another spec"):
        solve(own, unfinished.run, resume=True, trust=True)


def test_hints_say_trust_where_it_is_needed(unfinished: Foreign, known: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=re.escape(f"moframework solve {unfinished.run} --resume --trust")):
        Run(unfinished.run).front("test")
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "spec.yaml").write_text("problem: digits\nsolver: palora\n")
    with pytest.raises(RunError, match=rf"moframework solve {re.escape(str(plain))} --resume$"):
        Run(plain).front("test")
    assert unfinished.marks() == []


def test_an_interrupted_run_says_it_too(known: Run, tmp_path: Path) -> None:
    class Stop(Observer):
        def stepped(self, progress: Progress) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(InterruptedRun, match=r"--resume --trust$"):
        solve(known.spec, tmp_path / "stopped", observers=[Stop()])


# Networks of other runs


def test_the_network_of_another_run_is_not_executed(foreign: Foreign, known: Run, tmp_path: Path) -> None:
    ours = known.path.parent / "ours.py"
    own = spec(f"{ours}:network", initial=str(foreign.run))
    refused(foreign, lambda: check(own), RunError, "initial: ")
    refused(foreign, lambda: solve(own, tmp_path / "new"), RunError, "initial: ")
    assert not (tmp_path / "new").exists()
    assert check(own, trust=True)
    assert foreign.marks() == ["called", "imported"]


def test_the_network_of_a_run_with_the_same_code_is_taken(known: Run) -> None:
    own = spec(f"{known.path.parent / 'ours.py'}:network", initial=str(known.path))
    assert check(own)


# Pickles


class Mark:
    """Unpickling one would leave a mark."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_pickles_are_not_executed(known: Run, tmp_path: Path) -> None:
    mark, run = tmp_path / "mark", Path(shutil.copytree(known.path, known.path.parent / "pickles"))
    change_json(run / "status.json", status="running")
    for name in ("last.pt", "last.previous.pt"):
        torch.save({"format": 1, "steps": Mark(mark)}, run / "checkpoints" / name)
    with pytest.raises(RunError, match=r"last\.pt"):
        solve(run, resume=True)
    torch.save({"weight": Mark(mark)}, tmp_path / "start.pt")
    with pytest.raises(DataError, match=r"start\.pt"):
        check(spec(f"{known.path.parent / 'ours.py'}:network", initial=str(tmp_path / "start.pt")))
    assert not mark.exists()
    torch.load(tmp_path / "start.pt", weights_only=False)
    assert mark.exists(), "it would have been seen"


# The command line


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs the command line in this process; exit code and stderr."""

    def run(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments], prog_name="moframework")
        code = stopped.value.code
        return (0 if code is None else int(code)), capsys.readouterr().err

    return run


def test_commands_take_trust(unfinished: Foreign, call: Callable[..., tuple[int, str]]) -> None:
    run = unfinished.run
    code, said = call("solve", run, "--resume")
    assert code == 2
    assert f"this would {unfinished.action}" in said
    code, said = call("solve", run)
    assert code == 2
    assert f"moframework solve {run} --resume --trust" in said
    assert unfinished.marks() == []
    code, said = call("solve", run, "--resume", "--trust", "--quiet")
    assert code == 0
    assert said == f"problem.backbone.python names network: this will {unfinished.action}\n"
    assert unfinished.marks() == ["called", "imported"]
    assert f"code of your own: {unfinished.reference}\n" in (run / "log.txt").read_text()


def test_front_needs_trust_for_specs_only(foreign: Foreign, call: Callable[..., tuple[int, str]]) -> None:
    assert call("front", foreign.run) == (0, "")
    code, said = call("front", foreign.run, "--against", foreign.run)
    assert code == 2
    assert f"this would {foreign.action}" in said
    assert foreign.marks() == []
    code, said = call("front", foreign.run, "--against", foreign.run, "--trust")
    assert code == 2
    assert "is no run of single-task networks" in said


def test_a_spec_that_is_solved_says_what_it_imports_before_it_does(foreign: Foreign) -> None:
    told: list[tuple[str, list[str]]] = []

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append((record.getMessage(), foreign.marks()))

    logger, handler = logging.getLogger("moframework.imports"), Told()
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        for _ in range(2):  # the second time nothing is imported, and nothing said
            load_spec(spec(foreign.reference))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert told == [(f"problem.backbone.python names network: this will {foreign.action}", [])]


def test_check_says_it_on_stderr(
    foreign: Foreign, tmp_path: Path, call: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.yaml").write_text(json.dumps(spec(foreign.reference)))
    code, said = call("check", tmp_path / "own.yaml")
    assert code == 0
    assert said.startswith(f"problem.backbone.python names network: this will {foreign.action}\n")
    with pytest.raises(SpecError, match="is code"):
        load_spec(spec("nowhere.such:network"), trust=False)


# Benchmarks


def test_a_cell_imports_the_benchmarks_code_and_no_other(
    foreign: Foreign, known: Run, tmp_path: Path, call: Callable[..., tuple[int, str]]
) -> None:
    own = spec(f"{known.path.parent / 'ours.py'}:network")
    started = {"solver": {**own["solver"], "initial": str(foreign.run)}, "label": "started"}
    loaded = load_benchmark({
        "problems": [{"problem": own["problem"]}],
        "solvers": [{"solver": own["solver"]}, started],
        "seeds": [0],
        "training": own["training"],
        "evaluate": own["evaluate"],
    })  # fmt: skip
    job = cell(loaded, tmp_path / "bench", 0, 0, 0).prepare()
    assert job.command[1:3] == ("-m", "moframework")
    assert "--trust" not in job.command
    assert call(*job.command[3:])[0] == 0
    other = cell(loaded, tmp_path / "bench", 0, 1, 0)
    code, said = call(*other.prepare().command[3:])
    assert code == 1
    assert f"this would {foreign.action}" in said
    assert foreign.marks() == []
    trusting = other.prepare(trust=True)
    assert trusting.command[-1] == "--trust"
    assert call(*trusting.command[3:])[0] == 0
    assert foreign.marks() == ["called", "imported"]


def test_moframeworks_own_parts_need_no_trust() -> None:
    name = "moframework.weights.low_rank:LowRank"
    assert build(WeightSpaceConfig, {"python": name, "rank": 3}).rank == 3
    for other in ("moframework.weights.low_rank:nn.Linear", "moframework.backbones.base:Shared"):
        with pytest.raises(SpecError, match=r"is code|leads into another module"):
            build(WeightSpaceConfig, {"python": other})
