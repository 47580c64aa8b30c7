from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from moframework.cli.main import main
from moframework.spec.writing import write_yaml
from tests.tuning.parts import LR, tiny


def test_the_command_runs_trials_in_processes_of_their_own(tmp_path: Path) -> None:
    spec = tiny(ranges={LR: {"log": [1e-3, 1]}}, trials=2, epochs=1)
    (tmp_path / "s.yaml").write_text(write_yaml(spec))
    out = tmp_path / "out"
    told = CliRunner().invoke(main, ["tune", str(tmp_path / "s.yaml"), "--out", str(out), "--jobs", "2"])
    assert told.exit_code == 0, told.output
    assert "validation hypervolume" in told.output
    assert str(out / "best.yaml") in told.output
    assert "2 trials (2 done) of at most 2 trials, 1 epochs a trial" in (out / "results.md").read_text()
    assert "2 at a time" in (out / "results.md").read_text()
    for name in ("0000", "0001"):
        assert (out / "trials" / name / "front-val.json").is_file()
        assert (out / "trials" / f"{name}.log").read_text() == ""
