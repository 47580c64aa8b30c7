from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from moframework.benchmark.fork_server import ForkServer
from moframework.cli.main import main
from moframework.io.sealed import write_sealed_yaml
from moframework.spec.writing import write_yaml
from moframework.tuning.loading import load_study, trial_spec
from moframework.tuning.processes import processes
from moframework.tuning.solving import trial_folder
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


@pytest.mark.skipif(not ForkServer.available(), reason="forks on Linux only")
def test_later_trials_are_forked_from_what_has_read_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, started = list[ForkServer](), list[ForkServer]()
    with_data, start = ForkServer.with_data, ForkServer.start

    def noted_with_data(server: ForkServer, *given: Any) -> ForkServer:
        held.append(with_data(server, *given))
        return held[-1]

    def noted_start(server: ForkServer, *given: Any) -> Any:
        started.append(server)
        return start(server, *given)

    monkeypatch.setattr(ForkServer, "with_data", noted_with_data)
    monkeypatch.setattr(ForkServer, "start", noted_start)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    spec = load_study(tiny(ranges={LR: {"log": [1e-3, 1]}}, trials=2, epochs=1))
    with processes(1, False) as begin:
        for number in range(2):
            folder = trial_folder(tmp_path, number)
            folder.mkdir(parents=True)
            write_sealed_yaml(folder / "spec.yaml", trial_spec(spec, {LR: 0.1}, None, "trial").to_yaml())
            one = begin(folder)
            deadline = time.monotonic() + 120
            while one.poll() is None or not held[0].ready:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert "trial_number" in one.said()  # no study knows it: each has come as far as that
    assert (len(held), started[0] is held[0], started[1] is held[0]) == (1, False, True)
