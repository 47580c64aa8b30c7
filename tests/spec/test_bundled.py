from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from moframework.benchmark.loading import cell_spec, load_benchmark
from moframework.config import unstructure
from moframework.errors import SpecError
from moframework.spec import bundled, bundled_specs, find_spec, load_spec, specs_folder


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three bundled specs, and an empty current folder."""
    folder = tmp_path / "shipped"
    (folder / "paper").mkdir(parents=True)
    for name in ("quickstart.yaml", "multimnist.yaml", "paper/multimnist-palora.yaml"):
        (folder / name).write_text("seed: 1\n")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(bundled, "specs_folder", lambda: folder)
    return folder


def test_names(shipped: Path) -> None:
    assert list(bundled_specs()) == ["multimnist", "paper/multimnist-palora", "quickstart"]
    assert bundled_specs()["quickstart"] == shipped / "quickstart.yaml"


def test_by_name_or_path(shipped: Path) -> None:
    assert find_spec("quickstart") == shipped / "quickstart.yaml"
    assert find_spec("paper/multimnist-palora.yaml") == shipped / "paper/multimnist-palora.yaml"
    Path("quickstart").write_text("seed: 2\n")
    assert find_spec("quickstart") == Path("quickstart")
    assert find_spec("quickstart.yaml", Path("/nowhere")) == shipped / "quickstart.yaml"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("quikstart", "bundled spec; did you mean 'quickstart'? `moframework specs` lists all"),
        ("multimnist-palora", "bundled spec; did you mean 'paper/multimnist-palora'?"),
        ("mine.yml", "did you mean 'mine.yaml'?"),
        ("folder", "'folder' is a folder, not a spec"),
        ("zzzzzz", "is neither a file nor a bundled spec; bundled: multimnist, quickstart, paper/multimnist-palora (`"),
    ],
)
def test_nothing_of_that_name(shipped: Path, name: str, words: str) -> None:
    Path("mine.yaml").write_text("seed: 2\n")
    Path("folder").mkdir()
    with pytest.raises(SpecError) as error:
        find_spec(name)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("benchmark.yaml", "run_benchmark('runs/benchmark.yaml', 'runs', report_only=True)"),
        ("study.yaml", "its study is 'runs/study.yaml'"),
        ("spec.yaml", "'runs' is a folder, not a spec; its spec is 'runs/spec.yaml'"),
    ],
)
def test_a_folder_of_results_in_the_place_of_a_spec(shipped: Path, file: str, words: str) -> None:
    Path("runs").mkdir()
    (Path("runs") / file).touch()
    with pytest.raises(SpecError) as error:
        find_spec("runs")
    assert words in str(error.value)


def test_of_many_names_a_few_are_told(shipped: Path) -> None:
    for i in range(30):
        (shipped / "paper" / f"p{i}.yaml").write_text("seed: 1\n")
    with pytest.raises(
        SpecError, match=r"bundled: multimnist, quickstart, paper/.*and 23 more \(`moframework specs`\)"
    ):
        find_spec("zzzzzz")


def test_the_real_folder() -> None:
    assert (specs_folder() / "__init__.py").is_file()
    assert all(path.is_file() for path in bundled_specs().values())


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys, moframework.spec.loading; from moframework.spec import bundled_specs; bundled_specs(); "
        "print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_benchmark_of_one_epoch_has_the_settings_of_its_spec() -> None:
    spec, benchmark = load_spec("multimnist-one-epoch"), load_benchmark("benchmarks/time-to-front")
    made = cell_spec(benchmark, 0, 0, spec.seed)
    assert unstructure(made.solver) == unstructure(spec.solver)
    assert unstructure(made.training) == unstructure(spec.training)


def test_specs_of_papers_inherit_no_schedule_of_ours() -> None:
    """A paper's constant learning rate was a cosine, since what the spec extends had one."""
    checked = 0
    for name, path in bundled_specs().items():
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        base = str(content.get("extends", ""))
        if name.startswith("paper/") and base in bundled_specs() and not base.startswith("paper/"):
            assert "scheduler" in content.get("training", {}), f"{name} has the schedule of {base}"
            checked += 1
    assert checked >= 8
    assert load_spec("paper/multimnist-pamal").training.scheduler is None
    assert load_spec("paper/multifashion-phn").training.scheduler is None
